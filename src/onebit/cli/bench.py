"""``onebit bench``: measurements of speed."""

from __future__ import annotations

from typing import Literal

from tyro.conf import Positional

from onebit.cli.arguments import OptionalPath
from onebit.cli.output import plain, print_json, progress


def bench(
    track: Positional[Literal["engine"]] = "engine",
    /,
    *,
    quick: bool = False,
    threads: int = 1,
    results: OptionalPath = None,
    json: bool = False,
) -> None:
    """Time the engine against PyTorch and ONNX Runtime in float32, taking turns in one process.

    Example: onebit bench engine --quick

    Args:
        track: what is measured.
        quick: fewer repetitions, for a first look.
        threads: of the engine and its peers.
        results: record what was measured in this folder, docs/results for the report; by default it is only printed.
        json: print JSON.
    """
    from onebit.core.errors import check_range
    from onebit.evidence import engine

    check_range("--threads", threads, 1, 1024)
    with progress("timing the layers of a ResNet-18", quiet=json):
        found = engine.bench(quick=quick, threads=threads)
    if results is not None:
        options = [*(["--quick"] if quick else []), *(["--threads", str(threads)] if threads != 1 else [])]
        engine.record(found, results, " ".join(["onebit bench engine", *options]))
    if json:
        print_json([plain(layer) | {"ratio": layer.ratio} for layer in found.layers])
    else:
        print(found)
