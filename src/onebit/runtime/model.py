"""A packed network, loaded: arrays in, arrays out."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onebit.runtime.backend import INTERPRETER, Backend, available_isas, open_backend
from onebit.runtime.port import Gate, Port
from onebit.runtime.profile import Profile, profile


def load(
    path: str | os.PathLike[str], threads: int = 1, isa: str | None = None, max_memory: int | None = None
) -> Model:
    """Load a packed network.

    Args:
        path: a file that ``onebit pack`` or :func:`onebit.deploy.pack` wrote.
        threads: threads of a run, 1 or more. The results are the same bits for any number.
        isa: instruction set (see :func:`available_isas`) or ``"interpreter"``; None: the environment variable
            ``ONEBIT_ISA``, else the fastest that the machine has. The results are the same bits for all of them.
        max_memory: bytes that a run may take, checked before anything is allocated; None: no limit.

    Raises:
        ValueError: one sentence on what is wrong with the file or an argument.
        OSError: the file cannot be read.
    """
    data = Path(path).read_bytes()
    try:
        return Model(data, threads, isa, max_memory)
    except _BadFile as error:
        raise ValueError(f"{os.fspath(path)} is no packed network: {error}") from None


class _BadFile(ValueError):
    """What is wrong with the bytes of a file."""


class Model:
    """A packed network that runs. Make one with :func:`load`, or from the bytes of a file.

    With ``share_threads`` its threads are those of every other model that was made so, instead of its own; a run that
    finds them at work for another goes on in the thread that called it.

    Attributes:
        inputs, outputs: a :class:`Port` (name, dtype, shape) each.
        isa: the instruction set that it runs on; ``"interpreter"`` for none.
        threads: threads of a run.
        meta: what the file says about the network: ``class_names``, ``mean``, ``std``, ``producer``.
    """

    def __init__(
        self,
        data: bytes,
        threads: int = 1,
        isa: str | None = None,
        max_memory: int | None = None,
        share_threads: bool = False,
    ) -> None:
        threads = _at_least_1("threads", threads)
        max_memory = None if max_memory is None else _at_least_1("max_memory", max_memory)
        isa = _checked_isa(isa)
        try:
            self._backend: Backend = open_backend(data, threads, isa, max_memory, share_threads)
        except ValueError as error:
            raise _BadFile(str(error)) from None
        self.inputs: list[Port] = self._backend.inputs
        self.outputs: list[Port] = self._backend.outputs
        self.isa, self.threads = self._backend.isa, self._backend.threads
        self.meta: dict[str, Any] = self._backend.meta
        self._in = [Gate("input", port) for port in self.inputs]
        self._out = [Gate("out for", port) for port in self.outputs]
        self._states = [Gate("state", port) for port in self._backend.states]
        self._initial = self._backend.state()

    def __repr__(self) -> str:
        inputs, outputs = (", ".join(map(str, ports)) for ports in (self.inputs, self.outputs))
        return f"Model({inputs} -> {outputs}; isa={self.isa!r}, threads={self.threads})"

    # Running

    def run(
        self, *inputs: np.ndarray, out: np.ndarray | Sequence[np.ndarray] | None = None
    ) -> np.ndarray | tuple[np.ndarray, ...]:
        """The outputs for these inputs: one array, or a tuple where the network has several. State tensors move on.

        Args:
            inputs: one array for each of ``self.inputs``, of its exact dtype and shape (bits: int8 of -1 and +1). Any
                batch, 0 included.
            out: an array to write the output into, or one for each output: then a run of a shape that was run before
                allocates nothing. They must not overlap the inputs.

        Raises:
            ValueError: an input or ``out`` does not fit; the text names it, what is wanted and what came.
        """
        results = self._backend.run(*self._admit(inputs, out))
        return results[0] if len(results) == 1 else tuple(results)

    def _admit(
        self, inputs: Sequence[np.ndarray], out: np.ndarray | Sequence[np.ndarray] | None
    ) -> tuple[list[np.ndarray], list[np.ndarray] | None]:
        """Inputs and targets as the backend takes them."""
        if len(inputs) != len(self._in):
            raise ValueError(f"the network has {len(self._in)} inputs ({_names(self.inputs)}), got {len(inputs)}")
        sizes: dict[str, int] = {}
        arrays = [gate.receive(array, sizes) for gate, array in zip(self._in, inputs)]
        return arrays, None if out is None else self._targets(out, arrays, sizes)

    def run_dlpack(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """One run on memory that others own, without a copy: what :meth:`run` does with ``out``.

        Args:
            inputs, outputs: DLPack capsules, or arrays that have ``__dlpack__``, one for each input and output; on the
                CPU, C-contiguous, of the exact dtype and shape. They must not overlap. Not for inputs of bits.

        Raises:
            ValueError: one of them does not fit; or the network runs in the interpreter, which takes NumPy arrays.
        """
        if self.isa == INTERPRETER or any(port.dtype == "bit" for port in self.inputs):
            raise ValueError("run_dlpack must be of the native engine and of no input of bits: use run")
        self._backend.run(list(inputs), list(outputs))

    def _targets(
        self, out: np.ndarray | Sequence[np.ndarray], arrays: list[np.ndarray], sizes: dict[str, int]
    ) -> list[np.ndarray]:
        given = [out] if isinstance(out, np.ndarray) else list(out)
        if len(given) != len(self._out):
            raise ValueError(f"out must be {len(self._out)} arrays ({_names(self.outputs)}), got {len(given)}")
        targets = [gate.offer(array, sizes) for gate, array in zip(self._out, given)]
        for index, target in enumerate(targets):
            for other in (*arrays, *targets[:index]):
                if _overlap(target, other):
                    name = self.outputs[index].name
                    raise ValueError(f"out for {name!r} must not overlap an input or another output")
        return targets

    def profile(self, *inputs: np.ndarray, repeats: int = 50) -> Profile:
        """Where the time of a run goes: each operation of the engine with the nodes that it does, and its seconds.

        Each run is one of :meth:`run` with ``out``, with a clock beside each operation. The state tensors are
        afterwards what they were, and each run starts from them.

        Args:
            inputs: as for :meth:`run`.
            repeats: timed runs, 1 or more, after two that are not timed.

        Raises:
            ValueError: an input does not fit.
            Unsupported: the network runs in the interpreter.

        Example:
            >>> from onebit import examples, runtime
            >>> model = runtime.load(examples.network("digits"))
            >>> profile = model.profile(np.zeros((1, 1, 8, 8), np.float32), repeats=2)
            >>> profile.operations[1].nodes, profile.operations[1].kinds
            ((2, 3, 4, 5), ('conv', 'affine', 'prelu', 'sign'))
        """
        return profile(self, inputs, _at_least_1("repeats", repeats))

    def predict(self, *inputs: np.ndarray) -> np.ndarray:
        """The class of each row: argmax of the first output ``(N, classes)``, int64 ``(N,)``; see ``class_names``."""
        if not self.outputs or len(self.outputs[0].shape) != 2 or self.outputs[0].shape[1] == 0:
            got = f"{self.outputs[0]}" if self.outputs else "no output"
            raise ValueError(f"predict needs a first output of shape (N, classes), the network has {got}")
        results = self.run(*inputs)
        scores = results[0] if isinstance(results, tuple) else results
        return np.argmax(scores, axis=1).astype(np.int64)

    def normalize(self, images: np.ndarray) -> np.ndarray:
        """Images of bytes as the network was trained on them: ``(images / 255 - mean) / std`` in float32.

        Args:
            images: uint8 ``(N, C, H, W)``, one channel for each entry of ``mean`` and ``std`` in the file. Where the
                file has none, the images are only scaled to 0..1.
        """
        mean, std = (np.array(self.meta.get(name, ()), np.float32).reshape(-1, 1, 1) for name in ("mean", "std"))
        channels = len(mean) or None
        if (
            not isinstance(images, np.ndarray)
            or images.dtype != np.uint8
            or images.ndim != 4
            or channels not in (None, images.shape[1])
        ):
            got = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
            raise ValueError(f"images must be uint8 (N, {channels or 'C'}, H, W), got {got}")
        scaled = images.astype(np.float32) / np.float32(255)
        return scaled if channels is None else (scaled - mean) / std

    @property
    def class_names(self) -> list[str] | None:
        """Names of the classes that :meth:`predict` numbers; None where the file has none."""
        return self.meta.get("class_names")

    # State

    @property
    def state(self) -> dict[str, np.ndarray]:
        """Copies of the state tensors by name; assign a dict of all of them to replace them."""
        return {gate.port.name: array for gate, array in zip(self._states, self._backend.state())}

    @state.setter
    def state(self, arrays: Mapping[str, np.ndarray]) -> None:
        wanted = [gate.port.name for gate in self._states]
        if set(arrays) != set(wanted):
            raise ValueError(f"state must hold {', '.join(wanted) or 'nothing'}, got {', '.join(arrays) or 'nothing'}")
        self._backend.set_state([gate.receive(arrays[gate.port.name], {}) for gate in self._states])

    def reset(self) -> None:
        """Put the state back to what the file says."""
        self._backend.set_state(self._initial)


def _checked_isa(isa: str | None) -> str | None:
    name = "isa" if isa is not None else "ONEBIT_ISA"
    value = isa if isa is not None else os.environ.get("ONEBIT_ISA") or None
    if value is None:
        return None
    allowed = available_isas()
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)} on this machine, got {value!r}")
    return value


def _at_least_1(name: str, value: int) -> int:
    try:
        if isinstance(value, bool) or operator.index(value) < 1:
            raise TypeError
    except TypeError:
        raise ValueError(f"{name} must be an integer of 1 or more, got {value!r}") from None
    return operator.index(value)


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays may share memory; arrays that own theirs do not, and that is the quick answer."""
    return a is b or ((a.base is not None or b.base is not None) and np.may_share_memory(a, b))


def _names(ports: list[Port]) -> str:
    return ", ".join(port.name for port in ports)
