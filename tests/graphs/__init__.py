"""Random valid graphs that cover every kind: for the interpreter, the passes, the packed file and the engine.

``random_graph(rng)`` makes one graph and inputs for it in a millisecond or so; ``graphs()`` is a hypothesis strategy
over it (a seed and a number of steps, so failures shrink to few nodes). A graph is grown as a program: each step
appends a node (or a block of nodes as they occur in networks) whose inputs are chosen among the existing values of a
suitable type, so every kind can follow every kind. Constants and inputs may hold NaN,
infinities, denormals and -0.0.

Beside the generator: ``case`` (a graph with its runs, saved and loaded), ``checks`` (what must hold of it),
``rounding`` (how far two graphs may differ that round differently), ``shrink`` and ``resize`` (a failing case made
small), ``isolated`` (work that may die), ``facts`` and ``coverage`` (what is met how often).
"""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from tests.graphs import channels, elementwise, patterns, products, shapes, unusual, windows  # their steps
from tests.graphs.program import Program
from tests.graphs.values import random_inputs

from onebit.ir import Graph

__all__ = [
    "channels",
    "elementwise",
    "graphs",
    "patterns",
    "products",
    "random_graph",
    "random_inputs",
    "shapes",
    "unusual",
    "windows",
]


@st.composite
def graphs(draw: st.DrawFn, max_steps: int = 20, batch_norm: bool = True) -> tuple[Graph, list[np.ndarray]]:
    """A valid graph and inputs for it."""
    seed = draw(st.integers(0, 2**32 - 1))
    steps = draw(st.integers(1, max_steps))
    return random_graph(np.random.default_rng(seed), steps, batch_norm=batch_norm)


def random_graph(
    rng: np.random.Generator, steps: int | None = None, *, batch_norm: bool = True, wild: bool = False
) -> tuple[Graph, list[np.ndarray]]:
    """A valid graph of about ``steps`` nodes and inputs for it.

    Args:
        rng: where all of it comes from.
        steps: how many; None for 2 to 20.
        batch_norm: with batch norms and weights that are computed from constants, which the passes fold; without, it
            can be packed as it is.
        wild: with runs that fail (a reduction over nothing) and weights that no file can hold.
    """
    program = Program(rng, batch_norm, wild)
    for _ in range(program.choose.randint(2, 20) if steps is None else steps):
        program.step()
    return program.finish(), random_inputs(rng, program.graph)
