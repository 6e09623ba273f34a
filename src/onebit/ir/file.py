"""The packed file, ``*.onebit``: a safetensors file with the graph as JSON in its metadata.

``docs/file-format.md`` is its definition. The reader trusts no byte.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from onebit.core.errors import Unsupported, shown
from onebit.core.files import write_bytes
from onebit.ir import document
from onebit.ir.graph import Graph
from onebit.ir.kind import registry
from onebit.ir.reuse import pack as pack_reuse
from onebit.ir.reuse import unpack as unpack_reuse
from onebit.ir.types import NAMES, TRITS

KEY = "onebit"
STORAGE: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "U64": np.dtype("<u8"),
    "BOOL": np.dtype("?"),
}
ENTRY = {"dtype", "shape", "data_offsets"}
WORD = 64
#: The five ternary numbers of each of the 243 bytes that stand for some: (243, 5).
TRITS_OF_BYTE = (np.arange(3**TRITS)[:, None] // 3 ** np.arange(TRITS) % 3 - 1).astype(np.int8)


def save(graph: Graph, path: str | Path, *, reuse: bool = False) -> None:
    """Write ``graph`` to ``path``; the file is whole or not there.

    Args:
        graph: a graph that can be packed.
        path: the file.
        reuse: store bits as trees of differences where that is smaller; the graph that is read back is the same.

    Raises:
        ValueError: the graph is not valid, or holds what a packed file cannot hold (``Unsupported``).
    """
    write_bytes(path, dumps(graph, reuse=reuse))


def load(path: str | Path) -> Graph:
    """The graph in a packed file.

    Raises:
        ValueError: one sentence on what is wrong with the file.
        OSError: it cannot be read.
    """
    try:
        return loads(Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is no packed network: {error}") from None


def dumps(graph: Graph, *, reuse: bool = False) -> bytes:
    """The bytes of the packed file of ``graph``, as :func:`save` writes them.

    Example:
        >>> graph = Graph({"x": ("float32", ("batch", 3))})
        >>> graph.outputs = [graph.add("relu", "x")]
        >>> loads(dumps(graph)).nodes
        [Node(kind='relu', inputs=('x',), outputs=('v0',), attributes={}, path='')]
    """
    graph.types()
    check_packable(graph)
    graph = document.shorten(graph)
    stored = {name: _stored(graph, name) for name in graph.tensors}
    trees = {}
    if reuse:
        candidates = [name for name in graph.tensors if name in graph.bits and name not in graph.states]
        trees = {name: tree for name in candidates if (tree := pack_reuse(graph.tensors[name])) is not None}
    return safetensors.numpy.save(stored | trees, {KEY: document.write(graph, trees.keys())})


def loads(data: bytes) -> Graph:
    """The graph in the bytes of a packed file; ``ValueError`` says what is wrong with them."""
    text, tensors = _read_container(data)
    graph, shapes = document.read(text, tensors)
    for key, unpack in UNPACK.items():
        for name, shape in shapes[key].items():
            graph.tensors[name] = unpack(name, tensors[name], shape)
    for name, array in graph.tensors.items():
        if array.dtype not in NAMES:
            raise ValueError(f"tensor {name!r} is {array.dtype}, which only bits may be")
    graph.types()
    check_packable(graph)
    return graph


def check_packable(graph: Graph) -> None:
    """``Unsupported`` where a valid graph holds what a packed file cannot hold."""
    for index, node in enumerate(graph.nodes):
        kind = registry[node.kind]
        where = f"node {index} ({node.kind}{f', from {node.path}' if node.path else ''})"
        if not kind.packed:
            raise Unsupported(f"{where}: a packed file cannot hold {node.kind}: fold it first (ir.passes.optimize)")
        for position in kind.positions:
            if not graph.is_constant(node.inputs[position]):
                raise Unsupported(
                    f"{where}: {kind.inputs[position]} must be a constant, got the computed value "
                    f"{node.inputs[position]!r}: fold constants first (ir.passes.optimize)"
                )


def pack_bits(array: np.ndarray) -> np.ndarray:
    """An array of -1 and +1 as 64-bit words: element i of the row-major order is bit ``i % 64`` of word ``i // 64``."""
    words = np.zeros(-(-array.size // WORD), "<u8")
    packed = np.packbits(array.reshape(-1) > 0, bitorder="little")
    words.view(np.uint8)[: packed.size] = packed
    return words


def unpack_bits(name: str, words: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The int8 array of -1 and +1 of this shape that :func:`pack_bits` packed; ``ValueError`` for anything else."""
    count = 1
    for size in shape:
        count *= size
    if words.dtype != np.uint64 or words.shape != (-(-count // WORD),):
        raise ValueError(
            f"the bits {name!r} of shape {list(shape)} must be stored as U64 [{-(-count // WORD)}], "
            f"got {words.dtype} {shown(list(words.shape))}"
        )
    bits = np.unpackbits(words.view(np.uint8), bitorder="little")
    if bits[count:].any():
        raise ValueError(f"the bits {name!r} have unused bits that are set")
    return (bits[:count].astype(np.int8) * np.int8(2) - np.int8(1)).reshape(shape)


def pack_trits(array: np.ndarray) -> np.ndarray:
    """An array of -1, 0 and +1 as bytes: element i of the row-major order, plus 1, is digit ``i % 5`` of byte
    ``i // 5`` in base 3, the first digit the smallest.

    Example:
        >>> pack_trits(np.int8([1, -1, 0, 0, -1, 1]))
        array([38,  2], dtype=uint8)
    """
    digits = np.zeros(-(-array.size // TRITS) * TRITS, np.uint8)
    digits[: array.size] = (array.reshape(-1) + 1).view(np.uint8)
    packed = np.zeros(digits.size // TRITS, np.uint8)
    for place in reversed(range(TRITS)):
        packed *= np.uint8(3)
        packed += digits[place::TRITS]
    return packed


def unpack_trits(name: str, packed: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The int8 array of -1, 0 and +1 of this shape that :func:`pack_trits` packed; ``ValueError`` for anything else."""
    count = 1
    for size in shape:
        count *= size
    if packed.dtype != np.uint8 or packed.shape != (-(-count // TRITS),):
        raise ValueError(
            f"the ternary numbers {name!r} of shape {list(shape)} must be stored as U8 [{-(-count // TRITS)}], "
            f"got {packed.dtype} {shown(list(packed.shape))}"
        )
    if packed.max(initial=0) >= 3**TRITS:
        raise ValueError(f"the ternary numbers {name!r} have a byte above {3**TRITS - 1}, which stands for none")
    digits = np.take(TRITS_OF_BYTE, packed, axis=0).reshape(-1)
    if (digits[count:] != -1).any():
        raise ValueError(f"the ternary numbers {name!r} have unused digits that are not 0")
    return digits[:count].reshape(shape)


#: What reads the tensors under each key of the JSON.
UNPACK = dict(zip(document.PACKED, (unpack_bits, unpack_trits, unpack_reuse), strict=True))


def _stored(graph: Graph, name: str) -> np.ndarray:
    """A tensor as the file holds it."""
    array = graph.tensors[name]
    if name in graph.bits:
        return pack_bits(array)
    return pack_trits(array) if name in graph.trits else np.ascontiguousarray(array).reshape(array.shape)


def _read_container(data: bytes) -> tuple[str, dict[str, np.ndarray]]:
    """The JSON of the graph and the tensors of a safetensors file, as they are stored; each is copied."""
    if len(data) < 8:
        raise ValueError(f"a packed file has at least 8 bytes, got {len(data)}")
    length = int.from_bytes(data[:8], "little")
    if length > len(data) - 8:
        raise ValueError(f"the header is said to have {length} bytes, the file has {len(data)}")
    try:
        header = document.parse(data[8 : 8 + length].decode(), "the header")
    except UnicodeDecodeError as error:
        raise ValueError(f"the header is not UTF-8 ({error.reason} at byte {error.start})") from None
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or list(metadata) != [KEY] or not isinstance(metadata[KEY], str):
        raise ValueError(f"the metadata must have the one key {KEY!r}, a text")
    for name, entry in header.items():
        if name != "__metadata__" and (not isinstance(entry, dict) or entry.keys() != ENTRY):
            raise ValueError(f"tensor {shown(name)} must have {', '.join(sorted(ENTRY))} and nothing else")
    try:
        found = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"not a valid safetensors file: {shown(str(error), 200)[1:-1]}") from None
    tensors = {}
    for name, entry in found:
        if entry["dtype"] not in STORAGE:
            raise ValueError(f"tensor {name!r} must be {', '.join(STORAGE)}, got {shown(entry['dtype'])}")
        if entry["dtype"] == "BOOL" and np.frombuffer(entry["data"], np.uint8).max(initial=0) > 1:
            raise ValueError(f"tensor {name!r} of BOOL must hold the bytes 0 and 1 only")
        tensors[name] = np.frombuffer(entry["data"], STORAGE[entry["dtype"]]).reshape(entry["shape"]).copy()
    return metadata[KEY], tensors
