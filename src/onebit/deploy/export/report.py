"""Exporting as one act: write the file, check it, run it beside the engine, report."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from onebit.core.errors import require
from onebit.core.registry import unknown
from onebit.core.tables import plain_table
from onebit.deploy.comparison import Comparison
from onebit.deploy.export.comparison import compare_with_engine, decisions, in_batches, sizes_of, with_bits
from onebit.deploy.export.executors import Run, onnx_runtime, qonnx_executor
from onebit.deploy.export.file import to_onnx
from onebit.deploy.export.qonnx import to_qonnx
from onebit.ir import Graph
from onebit.ir import dim as dims

#: Largest share of the samples that may have a changed bit, or another prediction.
ALLOWED = 0.001
BATCH = 100
MOST_BITS = 2**26  # that one batch of the comparison holds


class Format(NamedTuple):
    """A format of files that other people's programs run.

    Args:
        write: ``write(graph, path)``.
        write_for: ``write_for(graph, path, sizes)``: the same for these sizes of its symbols, where the program that
            runs the file needs that.
        run: what runs a file.
        runs: the name of that program.
    """

    write: Callable[[Graph, Path], Any]
    write_for: Callable[[Graph, Path, dict[str, int]], Any]
    run: Callable[[Any], Run]
    runs: str


FORMATS: dict[str, Format] = {
    "onnx": Format(to_onnx, lambda graph, path, sizes: to_onnx(graph, path), onnx_runtime, "ONNX Runtime"),
    "qonnx": Format(
        to_qonnx,
        lambda graph, path, sizes: to_qonnx(graph, path, sizes=sizes),
        qonnx_executor,
        "the executor of qonnx",
    ),
}


@dataclass(frozen=True)
class ExportReport:
    """What an export made. Prints as a table.

    Args:
        path: the file.
        format: a key of ``FORMATS``.
        size: its bytes.
        nodes: its nodes.
        opset: version of the standard operators.
        comparison: with the engine, on the inputs; None without inputs.
        runs: the program that ran the file for it.
    """

    path: str
    format: str
    size: int
    nodes: int
    opset: int
    comparison: Comparison | None
    runs: str

    @property
    def holds(self) -> bool:
        """Whether at most 0.1 % of the samples have a changed bit, and at most 0.1 % another prediction."""
        return self.comparison is None or self.comparison.within(ALLOWED)

    def __str__(self) -> str:
        rows = [
            ["file", self.path],
            ["size", f"{self.size:,} bytes"],
            ["nodes", f"{self.nodes}, opset {self.opset}"],
            ["checker of ONNX", "passed"],
        ]
        if self.comparison is not None:
            rows += [["runs in", self.runs], *self.comparison.rows("the engine")]
        return plain_table([f"exported as {self.format.upper()}", ""], rows)


def export(
    graph: Graph,
    path: str | Path,
    to: str = "onnx",
    *,
    inputs: Sequence[np.ndarray] | None = None,
    advance: Callable[[int], object] = lambda count: None,
) -> ExportReport:
    """Write a graph for other people's programs, check the file, and run it beside the engine.

    Args:
        graph: after its passes: what :func:`onebit.deploy.prepare` or :func:`onebit.ir.load` gives.
        path: the file; whole or not there.
        to: a key of ``FORMATS``: ``"onnx"``, ``"qonnx"``.
        inputs: one array for each input of the graph, samples along axis 0: on these the file is compared with the
            engine, with every activation of one bit as a further output of both. None: no comparison.
        advance: called with the number of samples whenever some have been compared.

    Raises:
        Unsupported: a kind that the format has no rule for; the text names it and its module.
        ValueError: the format is not known, or the graph is not valid.

    Example:
        >>> from onebit import ir
        >>> graph = Graph({"x": ir.TensorType("float32", ("batch", 2))})
        >>> graph.outputs = [graph.add("linear", graph.add("sign", "x"), graph.constant(np.int8([[1, -1]]), bit=True))]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = export(graph, f"{folder}/a.onnx", inputs=[np.float32([[1, -2], [0, 3]])])
        >>> report.comparison.samples_with_changed_bit, report.comparison.outputs_differ, report.holds
        (0, 0, True)
    """
    if to not in FORMATS:
        raise ValueError(unknown("format", to, FORMATS))
    onnx = require("onnx", "train", "exporting ONNX")
    path = Path(path)
    FORMATS[to].write(graph, path)
    onnx.checker.check_model(str(path), full_check=True)
    written = onnx.load(path)
    opset = next(imported.version for imported in written.opset_import if not imported.domain)
    comparison = compare(graph, to, inputs, advance) if inputs is not None else None
    return ExportReport(
        str(path), to, path.stat().st_size, len(written.graph.node), opset, comparison, FORMATS[to].runs
    )


def compare(
    graph: Graph, to: str, inputs: Sequence[np.ndarray], advance: Callable[[int], object] = lambda count: None
) -> Comparison:
    """The export of a graph and the engine on the same inputs; arguments as for :func:`export`."""
    total: Comparison | None = None
    runs: dict[tuple[int, ...], tuple[Run, Run | None]] = {}
    for batch in in_batches(graph, inputs, _batch(graph)):
        sizes = sizes_of(graph, batch)
        if (key := tuple(sizes.values())) not in runs:
            runs[key] = _runs(graph, to, sizes)
        part = compare_with_engine(graph, *runs[key], [batch])
        total = part if total is None else total + part
        advance(part.samples)
    if total is None:
        first = next(iter(graph.inputs.values()))
        raise ValueError(f"inputs must hold at least one batch for {first}, got {inputs[0].shape}")
    return total


def _runs(graph: Graph, to: str, sizes: dict[str, int]) -> tuple[Run, Run | None]:
    """What runs the export of a graph, and that with its bits as further outputs."""
    onnx = require("onnx", "train", "exporting ONNX")
    made: list[Run] = []
    with tempfile.TemporaryDirectory() as folder:
        for one in [graph, with_bits(graph)] if decisions(graph) else [graph]:
            path = Path(folder) / f"{len(made)}.onnx"
            FORMATS[to].write_for(one, path, sizes)
            made.append(FORMATS[to].run(onnx.load(path)))
    return made[0], made[1] if len(made) > 1 else None


def _batch(graph: Graph) -> int:
    """Samples of one batch of the comparison: 100, fewer where their bits would fill the memory."""
    symbols = {symbol for given in graph.inputs.values() for symbol in dims.symbols_of(given.shape)}
    types, once = graph.types(), dict.fromkeys(symbols, 1)
    bits = sum(
        int(np.prod([dims.evaluate(dim, once) for dim in types[name].shape], dtype=float)) for name in decisions(graph)
    )
    return max(1, min(BATCH, MOST_BITS // max(bits, 1)))
