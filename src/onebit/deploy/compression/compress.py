"""A packed file as a smaller packed file of the same network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onebit import ir, runtime
from onebit.core.files import write_bytes
from onebit.core.tables import plain_table
from onebit.deploy.compression.cost import LayerCost, report, table
from onebit.deploy.pack import check_same


@dataclass(frozen=True)
class CompressReport:
    """What compressing made. Prints as two tables.

    Args:
        path: the file.
        size: its bytes.
        plain_size: bytes of the file with plain bits.
        trees: bit tensors that are stored as trees, because that is smaller.
        tensors: bit tensors.
        layers: the cost of every layer of bits.
    """

    path: str
    size: int
    plain_size: int
    trees: int
    tensors: int
    layers: list[LayerCost]

    @property
    def times_smaller(self) -> float:
        """How many times smaller the file is than with plain bits."""
        return self.plain_size / self.size

    def __str__(self) -> str:
        rows = [
            ["file", self.path],
            ["size", f"{self.size:,} bytes"],
            ["with plain bits", f"{self.plain_size:,} bytes, {self.times_smaller:.2f} times as large"],
            ["stored as trees", f"{self.trees} of {self.tensors} tensors of bits"],
        ]
        text = plain_table(["compressed", ""], rows)
        return f"{text}\n\n{table(self.layers)}" if self.layers else text


def compress(graph: ir.Graph, path: str | Path, *, max_depth: int | None = None, samples: int = 3) -> CompressReport:
    """Write ``graph`` as a packed file with its kernels of bits as trees of differences, where that is smaller.

    The network is the same: what was written is read back by both readers and compared. The engine decodes it at load
    and runs it as fast as the plain file.

    Args:
        graph: of a packed file or a captured model.
        path: the file, whole or not there.
        max_depth: of the trees in the report; the file has the shortest ones.
        samples: random layers for the report's ratio of chance.

    Raises:
        ValueError: the graph cannot be packed.
        OSError: the file cannot be written.

    Example:
        >>> import numpy as np, tempfile
        >>> graph = ir.Graph({"x": ir.TensorType("bit", ("batch", 640))})
        >>> weight = np.ones((64, 640), np.int8)
        >>> graph.outputs = [graph.add("linear", "x", graph.constant(weight, bit=True))]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     compress(graph, f"{folder}/small.onebit").trees
        1
    """
    plain, data = ir.dumps(graph), ir.dumps(graph, reuse=True)
    if len(data) >= len(plain):
        data = plain
    check_same(graph, ir.loads(data))
    runtime.Model(data)  # the loader that will read the file accepts it
    layers = report(graph, max_depth=max_depth, samples=samples)
    write_bytes(path, data)
    bits = [name for name in graph.bits if name not in graph.states]
    trees = 0 if data is plain else sum(ir.reuse.pack(graph.tensors[name]) is not None for name in bits)
    return CompressReport(str(path), len(data), len(plain), trees, len(bits), layers)
