"""What random graphs cover, as a table: ``python -m tests.graphs.coverage --count 2000``.

:data:`WANTED` lists the facts that must be met; the table counts the graphs that have each of them, and exit status 1
says that one is missing.
"""

from __future__ import annotations

import argparse
import collections
import sys
from collections.abc import Iterable, Iterator

from tests.graphs.case import Case, random_case
from tests.graphs.facts import MOVES, NUMBERS, Fact, facts

from onebit.cli.output import print_table, progress
from onebit.ir import passes, registry
from onebit.ir.kinds.arithmetic import TWO_OPERANDS
from onebit.ir.kinds.convolution import INPUTS
from onebit.ir.kinds.logic import COMPARISONS
from onebit.ir.kinds.quantization import CASTS
from onebit.ir.kinds.reduction import OPERATIONS
from onebit.ir.types import VALUES

FORMS = ("equal", "scalar", "vector", "ones inside", "fewer axes", "both spread", "symbol with 1")


def _wanted() -> Iterator[Fact]:
    yield from (("kind", name) for name in registry)
    for kind in ("conv", "linear"):
        for x in INPUTS:
            own = "float32" if x == "float32" else "int8"
            yield from ((kind, f"{x} x {weight}") for weight in (own, "bit", "ternary"))
    windows = ("1x1", "a kernel that is not square", "stride", "a stride beyond the kernel", "padding")
    windows += ("asymmetric padding", "a symbolic height or width")
    for kind in ("conv", "max_pool", "avg_pool"):
        yield from ((kind, form) for form in windows)
    yield from ((kind, "dilation") for kind in ("conv", "max_pool"))
    yield from (("conv", form) for form in ("groups", "depthwise", "groups of several channels"))
    yield from (("conv", f"pad_value {value} of {dtype}") for value in (1, -1) for dtype in ("bit", "float32"))
    yield from (("avg_pool", f"count_include_pad {value}") for value in (True, False))
    yield from (("max_pool", dtype) for dtype in ("float32", "bit"))
    yield from (("reduce", f"{op}, keepdims {keep}") for op in OPERATIONS for keep in (True, False))
    yield from (("compare", f"{op} of {dtype}") for op in COMPARISONS for dtype in VALUES)
    yield from (("cast", f"{x} to {y}") for x, others in CASTS.items() for y in ({x, *others} - {"ternary"}))
    yield from ((kind, dtype) for kind in TWO_OPERANDS for dtype in ("float32", "int32", "int64"))
    yield from (("broadcasting", form) for form in FORMS)
    yield from ((kind, dtype) for kind in (*MOVES, "where") for dtype in VALUES)
    yield from (("pad", dtype) for dtype in ("float32", "bit"))
    yield from (("slice", form) for form in ("start", "stop", "step", "empty", "some"))
    yield from (("quantize", form) for form in ("int8", "uint8", "a scale a channel", "one scale", "zero_point"))
    yield from (("prelu", form) for form in ("a slope a channel", "one slope"))
    yield from (("embedding", dtype) for dtype in ("int32", "int64"))
    yield from (("affine", dtype) for dtype in ("float32", "int32"))
    yield from (("matmul", f"{rank} axes") for rank in (2, 3, 4))
    yield "clip", "low = high"
    yield from (("reading", form) for form in ("one value twice by one node", "one value by several nodes"))
    ways = ("as the first input", "constants alone", "a weight that is computed", "a weight that is a value as well")
    yield from (("constant", form) for form in (*ways, "shared"))
    yield from (("integers hold", form) for form in ("the least int32", "the least int64"))
    yield from (("input", dtype) for dtype in VALUES)
    yield from (("output", form) for form in (*VALUES, "an input", "a constant", "a state"))
    yield from (("state", form) for form in (*VALUES, "that stays", "that takes another's place"))
    yield from (("several", noun) for noun in ("inputs", "outputs", "states", "outputs that are one value"))
    yield from (("symbols", form) for form in ("none", "with a coefficient", "a product of two", "a square"))
    yield from (("rank", str(rank)) for rank in range(1, 9))
    yield from ((where, number) for where in ("inputs hold", "constants hold") for number in NUMBERS)
    yield from (("a symbol is", str(size)) for size in range(4))
    yield from (("pass", one.__name__) for one in passes.PASSES)
    yield from (("fold_batch_norm", form) for form in ("batch norm", "a chain of others", "into weights"))
    ways = ("of a product", "of any integer", "a falling function", "a sign that stays")
    yield from (("thresholds", form) for form in ways)
    yield from (("permute_linear", dtype) for dtype in ("float32", "bit", "int8", "uint8"))
    yield from (("bits_through_max_pool", form) for form in ("a function between", "nothing between"))
    yield from (("sign_before_moves", kind) for kind in ("transpose", "reshape", "slice", "broadcast_to"))
    done = ("transpose", "reshape", "cast", "slice", "pad", "broadcast_to")
    yield from (("remove_identities", form) for form in done)
    others = ("a transpose that moves no data", "a sign past a clip", "a node that repeats another")
    yield from (("remove_identities", form) for form in others)


#: Every fact that random graphs must show.
WANTED: tuple[Fact, ...] = tuple(dict.fromkeys(_wanted()))


def count(cases: Iterable[Case]) -> collections.Counter[Fact]:
    """In how many of the cases each fact is met."""
    found: collections.Counter[Fact] = collections.Counter()
    for case in cases:
        found.update(set(facts(case)))
    return found


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="how many graphs (2000)")
    options = parser.parse_args()
    with progress("graphs", options.count) as advance:

        def cases() -> Iterator[Case]:
            for seed in range(options.count):
                yield random_case(seed)
                advance()

        found = count(cases())
    rows = [(group, what, found[group, what]) for group, what in dict.fromkeys((*WANTED, *found))]
    print_table(f"What {options.count} random graphs cover", ["in", "<what>", "graphs"], rows)
    missing = [" ".join(fact) for fact in WANTED if not found[fact]]
    print(
        f"{len(WANTED) - len(missing)} of {len(WANTED)} are met"
        + (f"; missing: {', '.join(missing)}" if missing else "")
    )
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
