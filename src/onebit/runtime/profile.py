"""Where the time of a run goes, operation by operation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onebit.core.errors import Unsupported
from onebit.runtime.backend import Native, Step, available_isas
from onebit.runtime.port import Port

if TYPE_CHECKING:
    from onebit.runtime.model import Model

WARMUP = 2  # runs that make the plan and fill the caches


@dataclass(frozen=True)
class Operation:
    """What the engine does at once: a node, or a product and the pointwise nodes that follow it.

    Args:
        nodes: numbers of the nodes in the graph of the file, as ``onebit inspect`` counts them.
        kinds: their kinds in the same order.
        dtypes: of the two factors of a product; of other operations none.
        output: name, dtype and shape of the result of the last node.
        operations: number of operations by number system (:data:`onebit.ir.cost.OPERATIONS`), those that occur.
        bytes_read: of the values that it reads, its packed weights and its tables, each once.
        bytes_written: of the values that it leaves for others; what stays in registers is not among them.
        median, minimum: seconds over the timed runs.
        share: of the median in the sum of all medians and the rest of a run.
    """

    nodes: tuple[int, ...]
    kinds: tuple[str, ...]
    dtypes: tuple[str, ...]
    output: Port
    operations: dict[str, int]
    bytes_read: int
    bytes_written: int
    median: float
    minimum: float
    share: float

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all number systems."""
        return sum(count for name, count in self.operations.items() if name.endswith("macs"))

    @property
    def what(self) -> str:
        """The kind of the first node, of a product with the dtypes that it multiplies: ``"conv, bit"``.

        Example:
            >>> def first(kind, dtypes):
            ...     return Operation((0,), (kind,), dtypes, Port("y", "float32", (1,)), {}, 0, 0, 0.0, 0.0, 0.0).what
            >>> first("conv", ("bit", "bit")), first("linear", ("int8", "ternary")), first("relu", ())
            ('conv, bit', 'linear, int8 x ternary', 'relu')
        """
        return ", ".join([self.kinds[0], *([" x ".join(dict.fromkeys(self.dtypes))] if self.dtypes else [])])


@dataclass(frozen=True)
class Profile:
    """The time of a run and of its operations.

    Args:
        operations: in the order of the run. A reshape that only renames memory is none.
        rest: median of the seconds of a run outside its operations: the way through Python, bits packed at the border,
            states kept.
        median, minimum: seconds of a whole run. On a machine with other work the median is more than the sum of the
            others: a whole run is interrupted more often than one operation is.
        repeats: timed runs.
        isa, threads: of the engine.
    """

    operations: list[Operation]
    rest: float
    median: float
    minimum: float
    repeats: int
    isa: str
    threads: int


def profile(model: Model, inputs: Sequence[np.ndarray], repeats: int) -> Profile:
    """See :meth:`Model.profile`."""
    backend = model._backend
    if not isinstance(backend, Native):
        engines = ", ".join(available_isas()[:-1]) or "those that the package has when it is built with a C++ compiler"
        raise Unsupported(
            f"a profile is of the native engine, and this one runs in the {model.isa}: choose another isa, {engines}"
        )
    state = backend.state()
    runs: list[float] = []
    profiles: list[list[float]] = []
    try:
        results = model.run(*inputs)
        out = list(results) if isinstance(results, tuple) else [results]
        steps = backend.steps(model._admit(inputs, None)[0])
        for _ in range(WARMUP + repeats):
            backend.set_state(state)
            began = time.perf_counter()
            times = backend.profile(*model._admit(inputs, out))
            runs.append(time.perf_counter() - began)
            profiles.append(times)
    finally:
        backend.set_state(state)
    runs, profiles = runs[WARMUP:], profiles[WARMUP:]
    rest = statistics.median(run - sum(times) for run, times in zip(runs, profiles))
    by_step = list(zip(*profiles))
    explained = rest + sum(map(statistics.median, by_step))
    operations = [_operation(step, times, explained) for step, times in zip(steps, by_step)]
    return Profile(operations, rest, statistics.median(runs), min(runs), repeats, model.isa, model.threads)


def _operation(step: Step, times: Sequence[float], whole: float) -> Operation:
    from onebit.ir import TensorType, cost

    def type_of(port: Port) -> TensorType:
        return TensorType(port.dtype, port.shape)

    counts = [
        cost.operations(node.kind, node.attributes, type_of(node.output), list(map(type_of, node.inputs)))
        for node in step.nodes
    ]
    multiplies = any(name.endswith("macs") for name in counts[0])
    median = statistics.median(times)
    return Operation(
        tuple(node.number for node in step.nodes),
        tuple(node.kind for node in step.nodes),
        tuple(port.dtype for port in step.nodes[0].inputs) if multiplies else (),
        step.nodes[-1].output,
        cost.summed(counts),
        step.bytes_read,
        step.bytes_written,
        median,
        min(times),
        median / whole,
    )
