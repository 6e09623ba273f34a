"""Between number systems: integer codes, casts."""

from __future__ import annotations

import numpy as np
import torch

from onebit.capture.onnx.call import Call, rule
from onebit.capture.values import Value, constant


@rule("QuantizeLinear", dtype=lambda call: call.known(2).dtype if call.has(2) else "uint8")
def quantize(call: Call) -> Value:
    scale = call.needed(1, "a scale").astype(np.float32)
    zero = call.needed(2, "a zero point") if call.has(2) else np.zeros(1, np.uint8)
    if call.dtype not in ("int8", "uint8") or not call.attributes.get("saturate", 1):
        raise call.unsupported(f"codes of {call.dtype}", "use int8 or uint8")
    if zero.size < 1 or np.any(zero != zero.reshape(-1)[0]):
        raise call.unsupported("zero points that differ from channel to channel", "use one")
    x = call.value(0)
    made = call.maker(0, "Where")
    if made is not None and _replaces_nan(made):
        x = made.value(2)  # NaN gives the zero point in the graph
    x = call.b.floats(x)
    return codes(call, x, scale, call.attributes.get("axis", 1), int(zero.reshape(-1)[0]), *_limits(call.dtype))


def _limits(dtype: str) -> tuple[int, int]:
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def _replaces_nan(where: Call) -> bool:
    """Whether a node is ``Where(IsNaN(x), 0, x)``."""
    test, zero = where.maker(0, "IsNaN"), where.constant(1)
    return test is not None and zero is not None and not zero.any() and where.is_same(2, test, 0)


def codes(call: Call, x: Value, scale: np.ndarray, axis: int, zero_point: int, low: int, high: int) -> Value:
    """``quantize`` of ``x`` with one scale, or one for each entry along an axis."""
    b = call.b
    if scale.size > 1:
        x = b.channels_last(x, axis % len(x.shape))
    dtype = call.dtype if call.dtype in ("int8", "uint8") else "int8" if high <= 127 else "uint8"
    vector = b.vector(constant(torch.from_numpy(scale.reshape(-1).copy())))
    attributes = {"zero_point": zero_point, "low": low, "high": high, "dtype": dtype}
    return b.value(b.emit("quantize", x.name, vector, **attributes), x.order)


@rule("DequantizeLinear", dtype=1)
def dequantize(call: Call) -> Value:
    b, x = call.b, call.operand(0)
    scale = call.needed(1, "a scale").astype(np.float32)
    zero = call.needed(2, "a zero point").astype(np.float32) if call.has(2) else np.zeros(1, np.float32)
    axis = call.attributes.get("axis", 1)

    def along(vector: np.ndarray):
        shape = [-1 if a == axis % len(x.shape) else 1 for a in range(len(x.shape))] if vector.size > 1 else ()
        return constant(torch.from_numpy(vector.reshape(shape).copy()))

    if zero.any():
        x = b.float_op("sub", x, along(zero))
    return b.float_op("mul", x, along(scale)) if np.any(scale != 1) or not isinstance(x, Value) else x


@rule("Cast", dtype=lambda call: _target(call))
def cast(call: Call):
    """A cast that changes no number makes no node: the value keeps its narrow dtype."""
    b, x = call.b, call.value(0)
    source, target = call.known(0).dtype, call.dtype
    if target == "float32":
        return b.floats(x) if x.dtype == "int64" else x
    inner = call.maker(0, "Where")
    if source == "float32" and x.dtype == "float32" and inner is not None and _is_guard(inner, target):
        x = b.floats(inner.value(1))
    if target == "bool":
        return b.as_dtype(x, "bool")
    if x.dtype in HELD.get(target, ()):
        return x
    made = b.producer(x.name)
    if target in ("int8", "uint8") and made is not None and made.kind == "quantize":
        low, high = _limits(target)
        if low <= made.attributes["low"] and made.attributes["high"] <= high:  # codes of either dtype
            return b.value(b.emit("quantize", *made.inputs, **{**made.attributes, "dtype": target}), x.order)
    return b.as_dtype(x, target)


#: dtypes whose every number another one holds: a cast to that changes nothing. int64 stays wide for indices.
HELD = {"int8": ("int8", "bit"), "uint8": ("uint8",), "int32": ("int32", "bit", "int8", "uint8")}


def _target(call: Call) -> str:
    from onebit.capture.onnx import file

    return file.dtype(call.attributes["to"])


def _is_guard(where: Call, target: str) -> bool:
    """Whether a node is ``Where(And(x above the least, x below the most), x, 0)``: a cast in the graph does that."""
    both, zero = where.maker(0, "And"), where.constant(2)
    if both is None or zero is None or zero.any():
        return False
    above, below = both.maker(0, "Greater", "GreaterOrEqual"), both.maker(1, "Less")
    if above is None or below is None or not (where.is_same(1, above, 0) and where.is_same(1, below, 0)):
        return False
    limits = np.iinfo(target)
    least = float(limits.min) - (above.op == "Greater")
    ends = [made.constant(1) for made in (above, below)]
    return all(
        end is not None and end.size == 1 and end.reshape(()).item() == wanted
        for end, wanted in zip(ends, (least, float(limits.max) + 1))
    )
