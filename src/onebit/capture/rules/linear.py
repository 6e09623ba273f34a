"""Matrix products and embeddings."""

from __future__ import annotations

from onebit.capture.builder import Builder, to_numpy
from onebit.capture.rules.table import rule
from onebit.capture.values import Constant, Value, constant


@rule("aten.linear.default")
def linear(b: Builder, x, weight, bias=None) -> Value:
    if not isinstance(weight, Constant):
        y = matmul(b, x, b.permute(weight, (1, 0)))
        return y if bias is None else b.float_op("add", y, bias)
    x = b.floats(x)
    last = len(x.shape) - 1
    x = x if x.order[-1] == last else b.lay_out(x)
    name = b.emit("linear", x.name, b.tensor(to_numpy(weight.tensor, "float32")))
    if bias is not None:
        name = b.emit("add", name, b.vector(bias))
    return b.value(name, x.order)


@rule("aten.matmul.default", "aten.bmm.default", "aten.mm.default")
def matmul(b: Builder, x, y) -> Value:
    if len(x.shape) == 1 or len(y.shape) == 1:
        return _vectors(b, x, y)
    if isinstance(y, Constant) and len(y.shape) == 2 and not y.spread:
        return linear(b, x, constant(y.tensor.t()))
    x, y = b.lay_out(b.floats(x)), b.lay_out(b.floats(y))
    return b.value(b.emit("matmul", x.name, y.name))


def _vectors(b: Builder, x, y) -> Value:
    """A product with a vector on one or both sides."""
    left, right = len(x.shape) == 1, len(y.shape) == 1
    x, y = b.floats(x), b.floats(y)
    product = matmul(b, b.unsqueeze(x, 0) if left else x, b.unsqueeze(y, 1) if right else y)
    rank = len(product.shape)
    return b.squeeze(product, [axis for axis, drop in ((rank - 2, left), (rank - 1, right)) if drop])


@rule("aten.addmm.default", "aten.baddbmm.default")
def addmm(b: Builder, bias, x, y, beta=1, alpha=1) -> Value:
    product = matmul(b, x, y)
    product = product if alpha == 1 else b.float_op("mul", product, alpha)
    if beta == 0:
        return product
    return b.float_op("add", product, bias if beta == 1 else b.float_op("mul", bias, beta))


@rule("aten.embedding.default")
def embedding(b: Builder, weight, index, *_, **__) -> Value:
    index = b.lay_out(b.materialize(index))
    return b.value(b.emit("embedding", b.lay_out(b.floats(weight)).name, index.name))
