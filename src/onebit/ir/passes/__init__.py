"""Passes: functions ``Graph -> Graph`` that keep what the graph computes and make it smaller or faster.

Exactness is defined on the graph after its passes: :func:`fold_batch_norm` and :func:`permute_linear` change the last
bits of floats, the others change nothing (a sign taken before a max-pool differs where a NaN is in the window).
"""

from __future__ import annotations

from onebit.ir.graph import Graph
from onebit.ir.passes.bits_through_max_pool import bits_through_max_pool
from onebit.ir.passes.fold_affine import fold_batch_norm
from onebit.ir.passes.fold_constants import fold_constants
from onebit.ir.passes.moves import permute_linear, sign_before_moves
from onebit.ir.passes.remove import remove_dead, remove_identities
from onebit.ir.passes.thresholds import thresholds

#: In the order of :func:`optimize`.
PASSES = (
    fold_constants,
    remove_identities,
    fold_batch_norm,
    remove_dead,
    sign_before_moves,
    bits_through_max_pool,
    fold_batch_norm,
    thresholds,
    remove_identities,
    permute_linear,
    remove_identities,
    remove_dead,
)


def optimize(graph: Graph) -> Graph:
    """The graph after all passes, ready to be packed.

    Raises:
        ValueError: the graph is not valid.
    """
    for one in PASSES:
        graph = one(graph)
    graph.types()
    return graph


__all__ = [
    "PASSES",
    "bits_through_max_pool",
    "fold_batch_norm",
    "fold_constants",
    "optimize",
    "permute_linear",
    "remove_dead",
    "remove_identities",
    "sign_before_moves",
    "thresholds",
]
