"""How far two graphs may differ that round differently: a running error bound of what one pass replaced.

Only what differs between the graphs is compared: a node that both have gets the same values in both, and every value
that such a node, an output or a state reads from a replaced node must agree within the rounding errors of the nodes
that were replaced and of those that replace them. A constant that the pass made is off by its own rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from onebit.ir import Graph, Node, interpreter, registry

UNIT = 2.0**-24  # of a float32 that is rounded once
TINY = 2.0**-149  # the rounding of a float32 below the normal ones, and no less
Array = np.ndarray
Bounded = tuple[Array, Array]  # a value as it was computed, and how far it can be from the exact one


def farthest(
    graph: Graph, result: Graph, inputs: Sequence[Array], state: Mapping[str, Array] | None = None
) -> str | None:
    """What is wrong with ``result``, made of ``graph`` by a pass that moves roundings; None if nothing is."""
    before = interpreter.evaluate(graph, inputs, state)
    kept = [node for node in graph.nodes if node in result.nodes]
    common = {node.output for node in kept}
    after = {name: before[name] for name in (*graph.inputs, *graph.states, *common)}
    made = {name: array for name, array in result.tensors.items() if name not in graph.tensors}
    after.update({name: array for name, array in result.tensors.items() if name not in after})
    sizes = {name: array.shape for name, array in before.items()}
    first = _errors([node for node in graph.nodes if node.output not in common], before, {}, sizes)
    own = {name: 2.01 * UNIT * np.abs(array.astype(np.float64)) + TINY for name, array in made.items()
           if array.dtype == np.float32}  # fmt: skip
    second = _errors([node for node in result.nodes if node.output not in common], after, own, sizes, run=True)
    border = {*result.outputs, *result.states.values(), *(name for node in kept for name in node.inputs)}
    for name in border & second.keys():
        a, b = before[name], after[name]
        if a.dtype != b.dtype or a.shape != b.shape:
            return f"{name} was {a.dtype} {a.shape} and is {b.dtype} {b.shape}"
        if a.dtype != np.float32:
            if not np.array_equal(a, b):
                return f"{name} ({a.dtype} {a.shape}) differs"
            continue
        with np.errstate(all="ignore"):
            allowed = 1.01 * (first.get(name, 0.0) + second[name]) + TINY
            distance = np.abs(a.astype(np.float64) - b.astype(np.float64))
        wrong = np.isfinite(allowed) & ~(distance <= allowed)
        if np.any(wrong):
            where = tuple(int(i[0]) for i in np.nonzero(wrong))
            return f"{name} at {where} was {a[where]!r} and is {b[where]!r}, which may differ by {allowed[where]:.3g}"
    return None


def _errors(
    nodes: list[Node], values: dict[str, Array], errors: dict[str, Array], sizes: Mapping[str, Any], run: bool = False
) -> dict[str, Array]:
    """The error of each of ``nodes``; with ``run`` their values are computed first."""
    found: dict[str, Array] = {}
    for node in nodes:
        kind = registry[node.kind]
        attributes = kind.complete(node.attributes)
        with np.errstate(all="ignore"):
            if run:
                shape = sizes.get(node.output, ())
                if node.kind == "reshape":  # a reshape in a new place: of the size that it had
                    shape = sizes[node.output]
                values[node.output] = kind.run(attributes, shape, *[values[name] for name in node.inputs])
            given = [(values[name], found.get(name, errors.get(name, np.float64(0)))) for name in node.inputs]
            y = values[node.output]
            if y.dtype != np.float32:
                found[node.output] = np.zeros(y.shape)
                continue
            if node.kind not in RULES:
                raise AssertionError(f"{node.kind} was replaced, whose rounding nobody bounds")
            found[node.output] = RULES[node.kind](attributes, np.abs(y.astype(np.float64)), *given)
    return found


def _size(x: Bounded) -> Array:
    return np.abs(x[0].astype(np.float64))


def _product(a: Bounded, b: Bounded) -> Array:
    size = _size(a) * _size(b)
    return _size(a) * b[1] + _size(b) * a[1] + a[1] * b[1] + UNIT * size + TINY


def _quotient(a: Array, ea: Array, b: Array, eb: Array) -> Array:
    return np.where(b > eb, (ea + a / b * eb) / (b - eb), np.inf) + UNIT * a / b + TINY


def _affine(_: Mapping[str, Any], y: Array, x: Bounded, scale: Bounded, shift: Bounded) -> Array:
    x = (x[0], x[1] + (UNIT * _size(x) if x[0].dtype == np.int32 else 0))
    return _product(x, scale) + shift[1] + UNIT * y


def _batch_norm(attributes: Mapping[str, Any], y: Array, x: Bounded, *vectors: Bounded) -> Array:
    weight, bias, mean, var = (vector[0].astype(np.float64) for vector in vectors)
    d = np.abs(x[0] - mean)
    r = np.sqrt(var + attributes["eps"])
    q = _quotient(d, x[1] + UNIT * d, r, 2 * UNIT * r + TINY)
    return np.abs(weight) * q + UNIT * np.abs(weight) * d / r + TINY + UNIT * (y + np.abs(bias))


def _sums(kind: str) -> Callable[..., Array]:
    def rule(attributes: Mapping[str, Any], y: Array, x: Bounded, weight: Bounded) -> Array:
        def run(x: Array, weight: Array, pad: int) -> Array:
            given = attributes | ({"pad_value": pad} if kind == "conv" else {})
            upper = np.nextafter(np.float32(np.broadcast_to(x, shape)), np.float32(np.inf))
            return registry[kind].run(given, y.shape, upper, np.float32(weight)).astype(np.float64)

        shape = x[0].shape
        count = weight[0].size // len(weight[0])
        size = run(np.abs(x[0]), np.abs(weight[0]), abs(attributes.get("pad_value", 0)))
        moved = run(x[1], np.abs(weight[0]), 0) if np.any(x[1] != 0) else 0.0
        new = 2.02 * UNIT if np.any(weight[1] != 0) else 0.0
        return 1.01 * ((count + 1) * UNIT * size + moved + new * (size + moved)) + count * TINY * (1 + size * new)

    return rule


RULES: dict[str, Callable[..., Array]] = {
    "mul": lambda _, y, a, b: _product(a, b),
    "div": lambda _, y, a, b: _quotient(_size(a), a[1], _size(b), b[1]),
    "add": lambda _, y, a, b: a[1] + b[1] + UNIT * y,
    "sub": lambda _, y, a, b: a[1] + b[1] + UNIT * y,
    "neg": lambda _, y, x: np.broadcast_to(x[1], y.shape),
    "cast": lambda _, y, x: x[1] + (UNIT * y if x[0].dtype != np.float32 else 0),
    "reshape": lambda _, y, x: np.broadcast_to(x[1], x[0].shape).reshape(y.shape),
    "affine": _affine,
    "batch_norm": _batch_norm,
    "conv": _sums("conv"),
    "linear": _sums("linear"),
}
