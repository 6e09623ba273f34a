"""The C interface from Python: ``native/include/onebit.h`` word for word, and a model that takes NumPy arrays."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, byref, c_char_p, c_float, c_int32, c_int64, c_size_t, c_uint64, c_void_p
from pathlib import Path

import numpy as np

OK, BAD_ARGUMENT, BAD_FILE, NO_FILE, NO_MEMORY, FAILED = range(6)
DTYPES = ["any", "float32", "int8", "uint8", "int32", "int64", "bool", "bit"]
ROOT = Path(__file__).parents[2]


class Options(ctypes.Structure):
    _fields_ = (
        ("size", c_size_t),
        ("threads", c_int32),
        ("reserved", c_int32),
        ("isa", c_char_p),
        ("max_memory", c_uint64),
    )

    def __init__(self, **settings: object) -> None:
        super().__init__(**({"size": ctypes.sizeof(Options)} | settings))


class Port(ctypes.Structure):
    _fields_ = (
        ("name", c_char_p),
        ("dtype", c_int32),
        ("rank", c_int32),
        ("shape", c_int64 * 8),
        ("symbols", c_char_p * 8),
    )

    def told(self) -> tuple[str, str, tuple[int | str, ...]]:
        """Name, dtype and shape as ``onebit.runtime`` tells them."""
        dims = [self.shape[i] if self.symbols[i] is None else self.symbols[i].decode() for i in range(self.rank)]
        return self.name.decode(), DTYPES[self.dtype], tuple(dims)


class Array(ctypes.Structure):
    _fields_ = (
        ("data", c_void_p),
        ("bytes", c_size_t),
        ("dtype", c_int32),
        ("rank", c_int32),
        ("shape", c_int64 * 8),
    )


def array(values: np.ndarray, dtype: str) -> Array:
    """``values`` as the library takes them; the caller keeps them alive."""
    shape = (c_int64 * 8)(*values.shape)
    return Array(values.ctypes.data, values.nbytes, DTYPES.index(dtype), values.ndim, shape)


def build_folder() -> Path:
    """Where the engine of this checkout was built."""
    found = sorted((ROOT / "build").glob("cp*/libonebit.so"), key=lambda path: path.stat().st_mtime)
    assert found, "build/cp*/libonebit.so is missing: install the package from this checkout (make native)"
    return found[-1].parent


def open_library(path: Path) -> ctypes.CDLL:
    """The shared library with the types of its functions."""
    library = ctypes.CDLL(str(path))
    arrays = POINTER(Array)
    counts = {f"{port}_count": (c_size_t, c_void_p) for port in ("input", "output", "state", "channel")}
    ports = {port: (POINTER(Port), c_void_p, c_size_t) for port in ("input", "output", "state")}
    runs = {
        "prepare": (c_int32, c_void_p, arrays, c_size_t, arrays, c_size_t, POINTER(c_uint64)),
        "run": (c_int32, c_void_p, arrays, c_size_t, arrays, c_size_t),
        "get_state": (c_int32, c_void_p, c_size_t, c_void_p, c_size_t),
        "set_state": (c_int32, c_void_p, c_size_t, c_void_p, c_size_t),
        "reset": (c_int32, c_void_p),
    }
    functions = (
        counts
        | ports
        | runs
        | {
            "version": (c_char_p,),
            "error": (c_char_p,),
            "isa_name": (c_char_p, c_size_t),
            "isa": (c_char_p, c_void_p),
            "class_name": (c_char_p, c_void_p, c_size_t),
            "mean": (POINTER(c_float), c_void_p),
            "std": (POINTER(c_float), c_void_p),
            "load": (c_int32, c_char_p, POINTER(Options), POINTER(c_void_p)),
            "load_memory": (c_int32, c_char_p, c_size_t, POINTER(Options), POINTER(c_void_p)),
            "free": (None, c_void_p),
        }
    )
    for name, (result, *arguments) in functions.items():
        function = getattr(library, f"onebit_{name}")
        function.restype, function.argtypes = result, arguments
    return library


class Refused(Exception):
    """A call did not give ``ONEBIT_OK``."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class CModel:
    """A packed network behind the C interface; ``source`` is a path or the bytes of a file."""

    def __init__(self, library: ctypes.CDLL, source: Path | bytes, **settings: object) -> None:
        self.library, self.handle = library, c_void_p()
        options = byref(Options(**settings)) if settings else None
        if isinstance(source, bytes):
            self.check(library.onebit_load_memory(source, len(source), options, byref(self.handle)))
        else:
            self.check(library.onebit_load(str(source).encode(), options, byref(self.handle)))
        ports = {}
        for what in ("input", "output", "state"):
            count = getattr(library, f"onebit_{what}_count")(self.handle)
            ports[what] = [getattr(library, f"onebit_{what}")(self.handle, i)[0] for i in range(count)]
        self.inputs, self.outputs, self.states = ports["input"], ports["output"], ports["state"]

    def __del__(self) -> None:
        self.library.onebit_free(self.handle)

    def check(self, status: int) -> None:
        if status != OK:
            raise Refused(status, self.library.onebit_error().decode())

    def arrays(self, inputs: Sequence[np.ndarray]) -> ctypes.Array:
        made = [array(values, DTYPES[port.dtype]) for values, port in zip(inputs, self.inputs)]
        return (Array * len(made))(*made)

    def prepare(self, *inputs: np.ndarray) -> tuple[ctypes.Array, int]:
        """The arrays of the outputs without their data, and the bytes of a run."""
        outputs, memory = (Array * len(self.outputs))(), c_uint64()
        given = self.arrays(inputs)
        self.check(self.library.onebit_prepare(self.handle, given, len(given), outputs, len(outputs), byref(memory)))
        return outputs, memory.value

    def run(self, *inputs: np.ndarray) -> list[np.ndarray]:
        outputs, _ = self.prepare(*inputs)
        results = []
        for out in outputs:
            dtype = {"bit": "int8"}.get(DTYPES[out.dtype], DTYPES[out.dtype])
            results.append(np.empty(tuple(out.shape[: out.rank]), dtype))
            assert results[-1].nbytes == out.bytes
            out.data = results[-1].ctypes.data
        given = self.arrays(inputs)
        self.check(self.library.onebit_run(self.handle, given, len(given), outputs, len(outputs)))
        return results

    def state(self) -> list[np.ndarray]:
        held = []
        for i, port in enumerate(self.states):
            _, dtype, shape = port.told()
            held.append(np.empty(shape, {"bit": "int8"}.get(dtype, dtype)))
            self.check(self.library.onebit_get_state(self.handle, i, held[-1].ctypes.data, held[-1].nbytes))
        return held

    def set_state(self, arrays: Sequence[np.ndarray]) -> None:
        for i, values in enumerate(arrays):
            self.check(self.library.onebit_set_state(self.handle, i, values.ctypes.data, values.nbytes))

    def reset(self) -> None:
        self.check(self.library.onebit_reset(self.handle))
