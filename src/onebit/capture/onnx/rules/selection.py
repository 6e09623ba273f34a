"""``Where``, and what it stands for: signs, thresholds, codes without NaN."""

from __future__ import annotations

import numpy as np

from onebit.capture.onnx.call import Call, rule
from onebit.capture.onnx.rules.quantization import codes
from onebit.capture.onnx.rules.sums import without_zeros
from onebit.capture.values import Value


@rule("Where", dtype=1)
def where(call: Call) -> Value:
    b = call.b
    for special in (_bits, _rounded, _extreme, without_zeros):
        found = special(call)
        if found is not None:
            return found
    condition, *branches = (call.operand(index) for index in range(3))
    narrow = {x.dtype if isinstance(x, Value) else call.dtype for x in branches}
    dtype = narrow.pop() if len(narrow) == 1 else call.dtype
    return b.elementwise("where", condition, *branches, dtypes=["bool", dtype, dtype])


def _extreme(call: Call) -> Value | None:
    """The larger or smaller of two integers, chosen by comparing them."""
    made = call.maker(0, "Greater", "Less")
    if made is None or call.dtype not in ("int32", "int64"):
        return None
    if not (call.is_same(1, made, 0) and call.is_same(2, made, 1)):
        return None
    kind = "max" if made.op == "Greater" else "min"
    return call.b.elementwise(kind, call.operand(1), call.operand(2), dtypes=[call.dtype] * 2)


def _bits(call: Call) -> Value | None:
    """Bits, where one branch is -1 and the other +1: a sign, a threshold, or the sign of the selection."""
    plus, minus = call.constant(1), call.constant(2)
    if plus is None or minus is None or call.dtype != "float32" or not isinstance(call.known(0).value, Value):
        return None
    if plus.size == 0 or np.any(np.abs(plus) != 1) or plus.shape != minus.shape or np.any(plus != -minus):
        return None
    made = call.maker(0, "GreaterOrEqual")
    limit = made.constant(1) if made is not None else None
    b = call.b
    if made is not None and limit is not None and isinstance(made.known(0).value, Value):
        x = made.value(0)
        if x.dtype == "float32" and limit.size == 1 and limit.reshape(()).item() == 0 and np.all(plus == 1):
            return b.value(b.emit("sign", x.name), x.order)
        if x.dtype == "int32":
            found = _threshold(call, x, limit, plus)
            if found is not None:
                return found
    condition, *branches = (call.operand(index) for index in range(3))
    selected = b.elementwise("where", condition, *branches, dtypes=["bool", "float32", "float32"])
    return b.value(b.emit("sign", selected.name), selected.order)


def _threshold(call: Call, x: Value, limit: np.ndarray, plus: np.ndarray) -> Value | None:
    """``x >= limit`` where ``plus`` is +1, ``x <= limit - 1`` where it is -1, per channel."""
    b, rank = call.b, len(x.shape)
    axes = {axis - array.ndim + rank for array in (limit, plus) for axis, size in enumerate(array.shape) if size != 1}
    if len(axes) > 1 or max(limit.ndim, plus.ndim) > rank or not np.all(np.abs(limit.astype(np.float64)) <= 2.0**31):
        return None
    axis = axes.pop() if axes else x.order[-1]
    channels = x.shape[axis]
    if not isinstance(channels, int) or any(array.size not in (1, channels) for array in (limit, plus)):
        return None
    least = np.ceil(limit.astype(np.float64)).reshape(-1).astype(np.int64)
    sense = np.broadcast_to(plus.reshape(-1), (channels,)).astype(np.int8)
    last = np.where(sense > 0, least, least - 1)
    if np.any(last > 2**31 - 1) or np.any(last < -(2**31)):
        return None
    x = x if x.order[-1] == axis else b.channels_last(x, axis)
    names = (b.tensor(last.astype(np.int32)), b.tensor(sense, dtype="bit"))
    return b.value(b.emit("threshold", x.name, *names), x.order)


def _rounded(call: Call) -> Value | None:
    """``quantize`` written out: ``Where(IsNaN(x / s), z, Clip(Round(x / s) + z, low, high))``."""
    test, clip = call.maker(0, "IsNaN"), call.maker(2, "Clip")
    add = clip.maker(0, "Add") if clip is not None else None
    rounded = add.maker(0, "Round") if add is not None else None
    ratio = rounded.maker(0, "Div") if rounded is not None else None
    if test is None or clip is None or add is None or rounded is None or ratio is None or call.opset < 11:
        return None
    numbers = [call.constant(1), add.constant(1), clip.constant(1), clip.constant(2)]
    scale = ratio.constant(1)
    if scale is None or not test.is_same(0, rounded, 0) or any(n is None or n.size != 1 for n in numbers):
        return None
    zero, other, low, high = (n.reshape(()).item() for n in numbers if n is not None)
    whole = all(abs(n) < 256 and n == round(n) for n in (zero, low, high))
    fits = zero == other and whole and low <= zero <= high and (-128 <= low <= high <= 127 or 0 <= low <= high <= 255)
    x = ratio.operand(0)
    axes = [axis - scale.ndim + len(x.shape) for axis, size in enumerate(scale.shape) if size != 1]
    if not fits or len(axes) > 1 or not isinstance(x, Value):
        return None
    return codes(call, call.b.floats(x), scale, axes[0] if axes else 0, int(zero), int(low), int(high))
