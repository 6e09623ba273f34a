"""Files made to hurt a reader: each is valid or nearly so, of a size that is asked for, and would be slow or large in a
reader that is quadratic, recursive or trusting somewhere. ``FILES`` holds them by name, as ``make(count) -> bytes``;
``HUGE`` holds small files whose run would take more memory than there is.

    python -m tests.runtime.hostile --count 20000       load and run each of that size; status 1 where a rule is broken
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from . import packed

BATCH = ["x", "float32", ["batch", 4]]


def names(count: int, letter: str = "v") -> list[str]:
    """As many names, as short as they can be."""
    return [f"{letter}{number:x}" for number in range(count)]


def text(graph: dict[str, Any]) -> str:
    """The compact JSON of a graph."""
    return json.dumps(graph, separators=(",", ":"))


def chain(kind: str, count: int, attributes: dict[str, Any] | None = None) -> bytes:
    """Nodes of one input, one after another."""
    made = ["x", *names(count)]
    more = [attributes] if attributes else []
    nodes = [[kind, [a], [b], *more] for a, b in itertools.pairwise(made)]
    return packed.container(text(packed.graph([BATCH], nodes, [made[-1]])), {})


def fan(kind: str, count: int) -> bytes:
    """Nodes that all read the input and are read by one concat at the end: all of them live at once."""
    made = names(count)
    nodes = [[kind, ["x"], [name]] for name in made]
    return packed.container(text(packed.graph([BATCH], [*nodes, ["concat", made, ["y"], {"axis": 1}]], ["y"])), {})


def layers(count: int) -> bytes:
    """Binary products that read one weight."""
    made = names(count)
    nodes = [["sign", ["x"], ["b"]], *([["linear", ["b", "w"], [name]] for name in made])]
    return packed.packed_file(packed.graph([BATCH], nodes, [made[-1]]), {}, {"w": np.ones((4, 4), np.int8)})


def kernels(count: int, step: int) -> bytes:
    """Kernels of 64 equal bits as a tree of differences: each the child of the one before, or all of the first."""
    count = min(count, 2**15)
    words = packed.tree_words(np.full((count, 64), -1, np.int8), [max(0, (i - 1) * step) for i in range(count)], 0)
    graph = packed.graph([BATCH], [["cast", ["w"], ["y"], {"dtype": "int8"}]], ["y"], reuse={"w": [count, 64]})
    return packed.container(text(graph), {"w": words})


def states(count: int) -> bytes:
    """States, each with a tensor and a node of its own."""
    held, made = names(count, "h"), names(count)
    nodes = [["relu", [a], [b]] for a, b in zip(held, made)]
    graph = packed.graph([BATCH], nodes, ["x"], states=[list(pair) for pair in zip(held, made)])
    return packed.container(text(graph), {name: np.zeros(1, np.float32) for name in held})


def tensors(count: int) -> bytes:
    """Tensors without a byte."""
    return packed.container(text(packed.graph([BATCH], [], ["x"])), {n: np.zeros(0, np.int8) for n in names(count)})


def filled(piece: str, last: str) -> Callable[[int], bytes]:
    """A graph whose `meta` is a list of ``count`` pieces of JSON."""

    def make(count: int) -> bytes:
        start = text(packed.graph([BATCH], [], ["x"]))[:-1]
        return packed.container(f'{start},"meta":[{",".join([piece] * (count - 1) + [last])}]}}', {})

    return make


def keys(count: int, twice: str | None) -> bytes:
    """An object of many keys, one of them twice."""
    held = [*names(count), *([twice] if twice else [])]
    return packed.container(
        text(packed.graph([BATCH], [], ["x"]))[:-1] + "".join(f',"{key}":0' for key in held) + "}", {}
    )


def wide(count: int) -> bytes:
    """Nodes whose results have as many axes and symbols as there may be."""
    inputs = [[f"s{i}", "bool", [f"s{i}"]] for i in range(60)]
    shape = ["*".join(f"s{(7 * axis + i) % 60}" for i in range(8)) for axis in range(8)]
    nodes = [["broadcast_to", ["c"], [name], {"shape": shape}] for name in names(count)]
    return packed.container(text(packed.graph([BATCH, *inputs], nodes, ["x"])), {"c": np.zeros(1, np.bool_)})


FILES: dict[str, Callable[[int], bytes]] = {
    "a long chain of one pointwise kind": lambda n: chain("relu", n),
    "a long chain of a kind that runs alone": lambda n: chain("softmax", n),
    "a long chain of reshapes": lambda n: chain("reshape", n, {"shape": ["batch", 4]}),
    "many values that live at once": lambda n: fan("softmax", n),
    "many signs at once": lambda n: fan("sign", n),
    "many products": layers,
    "many states": states,
    "many tensors": tensors,
    "many values of eight axes": wide,
    "many outputs that are one": lambda n: packed.container(
        text(packed.graph([BATCH], [["exp", ["x"], ["y"]]], ["y"] * n)), {}
    ),
    "many outputs": lambda n: packed.container(
        text(packed.graph([BATCH], [["exp", ["x"], [v]] for v in names(n)], names(n))), {}
    ),
    "many inputs": lambda n: packed.container(
        text(packed.graph([[v, "bool", []] for v in names(n)], [], [names(1)[0]])), {}
    ),
    "many inputs of one node": lambda n: packed.container(
        text(packed.graph([BATCH], [["concat", ["x"] * n, ["y"], {"axis": 0}]], ["y"])), {}
    ),
    "many symbols": lambda n: packed.container(
        text(packed.graph([[v, "bool", [v]] for v in names(n)], [], [names(1)[0]])), {}
    ),
    "many numbers": filled("0", "0"),
    "many fractions": filled("1e1", "0"),
    "many empty lists": filled("[]", "0"),
    "many empty objects": filled("{}", "0"),
    "many short objects": filled('{"":0}', "0"),
    "many texts": filled('"ab"', "0"),
    "many truth values": filled("true", "0"),
    "many keys": lambda n: keys(n, None),
    "many keys, the last one twice": lambda n: keys(n, f"v{n - 1:x}"),
    "a long name": lambda n: packed.container(text(packed.graph([["n" * n, "float32", [1]]], [], ["x"])), {}),
    "a long dimension": lambda n: packed.container(
        text(packed.graph([["x", "float32", ["*".join("n" * (n // 2))]]], [], ["x"])), {}
    ),
    "a long number": lambda n: packed.container(text(packed.graph([BATCH], [], ["x"])).replace("4", "4" * n), {}),
    "a long fraction": lambda n: packed.container(
        text(packed.graph([BATCH], [], ["x"])).replace("4", "0." + "4" * n), {}
    ),
    "open brackets": lambda n: packed.container("[" * n, {}),
    "brackets in brackets": lambda n: packed.container("[" * n + "]" * n, {}),
    "escaped quotes without an end": lambda n: packed.container('"' + '\\"' * n, {}),
    "quotes": lambda n: packed.container('"' * n, {}),
    "backslashes": lambda n: packed.container('"' + "\\" * n, {}),
    "escapes": lambda n: packed.container('{"\\u0041' + "\\u00e9" * n, {}),
    "attributes that are long": lambda n: packed.one_node(
        "transpose", {"x": ("float32", [4])}, attributes={"perm": [0] * n}
    ),
    "attributes that are nested": lambda n: packed.one_node(
        "pad", {"x": ("float32", [4])}, attributes={"pads": [[0, 0]] * n, "value": 0}
    ),
    "a long text for a number": lambda n: packed.one_node(
        "clip", {"x": ("float32", [4])}, attributes={"low": "z" * n, "high": 0}
    ),
    "spaces": lambda n: packed.raw_file(b"{" + b" " * n, b""),
    "names that begin alike": lambda n: packed.container(
        text(packed.graph([BATCH], [["relu", ["x"], ["n" * 240 + v]] for v in names(n)], ["x"])), {}
    ),
    "bits one in a row": lambda n: packed.packed_file(
        packed.graph([BATCH], [["cast", ["w"], ["y"], {"dtype": "int8"}]], ["y"]), {}, {"w": np.ones((n, 1), np.int8)}
    ),
    "ternary numbers": lambda n: packed.packed_file(
        packed.graph([BATCH], [["cast", ["w"], ["y"], {"dtype": "int8"}]], ["y"], trits={"w": [5 * n]}),
        {"w": np.zeros(n, np.uint8)},
    ),
    "kernels in a row": lambda n: kernels(n, 1),
    "kernels that are alike": lambda n: kernels(n, 0),
    "bits without a column": lambda n: packed.packed_file(
        {**packed.graph([BATCH], [["cast", ["w"], ["y"], {"dtype": "int8"}]], ["y"]), "bits": {"w": [2**48, 0]}},
        {"w": np.zeros(0, np.uint64)},
    ),
}


def far(kind: str, attributes: dict[str, Any], size: int = 1) -> bytes:
    """A window that reads far beyond a small map."""
    weight = {"w": np.ones((1, 1, 1, 1), np.float32)} if kind == "conv" else {}
    return packed.one_node(kind, {"x": ("float32", [1, size, size, 1])}, weight, attributes)


def doubling(times: int) -> bytes:
    """Each node twice as wide as the one before."""
    made = ["x", *names(times)]
    nodes = [["concat", [a, a], [b], {"axis": 1}] for a, b in itertools.pairwise(made)]
    return packed.container(text(packed.graph([["x", "float32", [1, 4]]], nodes, [made[-1]])), {})


def repeated(count: int, times: int) -> bytes:
    """One large value, handed out many times."""
    grow = [["broadcast_to", ["x"], ["y"], {"shape": [count]}]]
    return packed.container(text(packed.graph([["x", "float32", [1]]], grow, ["y"] * times)), {})


def tall(height: int) -> bytes:
    """A convolution of bits along a very long map of one column."""
    nodes = [
        ["broadcast_to", ["x"], ["long"], {"shape": [1, height, 1, 1]}],
        ["conv", ["long", "w"], ["y"], {"padding": [1, 1, 1, 1]}],
    ]
    graph = packed.graph([["x", "bit", [1]]], nodes, ["y"])
    return packed.packed_file(graph, {}, {"w": np.ones((1, 3, 3, 1), np.int8)})


PADDING = {"padding": [65535] * 4, "stride": [65535, 65535]}
WINDOW = {"kernel": [65535, 65535], "stride": [1, 1], "padding": [65535, 65535, 65535, 65535]}
HUGE: dict[str, bytes] = {
    "one value of 2^50 bytes": packed.one_node(
        "broadcast_to", {"x": ("float32", [1])}, attributes={"shape": [2**24, 2**24]}
    ),
    "an output of 2^36 bytes": repeated(2**34, 1),
    "an output of 16 MiB, 4096 times": repeated(2**22, 4096),
    "forty doublings": doubling(40),
    "a map of 2^30 rows": tall(2**30),
    "padding of 2^34 pixels": far("conv", {"padding": [65535] * 4}),
    "a pool of 2^33 windows": far("avg_pool", WINDOW),
    "pads of 2^31 on each side": packed.one_node(
        "pad", {"x": ("float32", [1])}, attributes={"pads": [[2**31 - 1] * 2], "value": 0}
    ),
    "an outer product of 2^40": packed.one_node("matmul", {"x": ("float32", [2**20, 0]), "z": ("float32", [0, 2**20])}),
    "bits of 2^40": packed.one_node(
        "pad", {"x": ("bit", [1])}, attributes={"pads": [[2**31 - 1, 2**31 - 1]], "value": 1}
    ),
}


def judge(number: int) -> str | None:
    """What is wrong with how the readers treat file ``number``: engine first, then interpreter."""
    from onebit import runtime

    from .mutate import is_sentence, load_bound, outcome, small_inputs

    name, isa = list(FILES)[number // 2], (None, "interpreter")[number % 2]
    data = FILES[name](COUNT)
    counted = isa is not None and COUNT <= 5000  # counting makes it several times slower
    if counted:
        tracemalloc.start()
    try:
        model = runtime.Model(data, isa=isa, max_memory=1 << 28)
    except ValueError as error:
        return None if is_sentence(str(error)) else f"{name}: no sentence: {str(error)[:200]!r}"
    finally:
        held = tracemalloc.get_traced_memory()[1] if counted else 0
        tracemalloc.stop()
    if held > load_bound(len(data)):
        return f"{name}: the Python reader held {held} bytes for a file of {len(data)}"
    outcome(model, small_inputs(model, 1, np.random.default_rng(0)))
    return None


COUNT = int(os.environ.get("HOSTILE_COUNT", "1000"))


def main() -> int:
    """See the module."""
    from onebit.cli.output import progress

    from .watch import watch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="how many of what makes a file long")
    parser.add_argument("--limit", type=float, default=300, help="seconds that one file may take")
    arguments = parser.parse_args()
    os.environ["HOSTILE_COUNT"] = str(arguments.count)  # the processes that judge read it
    found = 0
    with progress("hostile files", 2 * len(FILES)) as advance:
        for problem in watch(judge, range(2 * len(FILES)), os.cpu_count() or 1, arguments.limit, advance):
            found += 1
            print(problem, flush=True)
    print(f"{len(FILES)} files made to hurt a reader, {found} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
