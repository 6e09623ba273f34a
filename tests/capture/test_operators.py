"""Every rule of capture gives what PyTorch gives, for batches of 0, 1 and 3."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from onebit import capture

torch.manual_seed(0)
IMAGE, LINE, ROWS = torch.randn(3, 4, 6, 6), torch.randn(3, 4, 9), torch.randn(3, 5)
TOKENS = torch.randn(3, 6, 8)
VECTOR, KERNEL, KERNEL1 = torch.randn(4), torch.randn(8, 2, 3, 3), torch.randn(8, 4, 3)
MASK = torch.tensor([[True] * 6, [True, True, False, False, True, False], [False] * 6])

ON_IMAGES = {
    "convolution with groups, stride, dilation, bias": lambda x: F.conv2d(
        x, KERNEL, torch.arange(8.0), (2, 1), (1, 2), (1, 2), 2
    ),
    "same padding of an even kernel": lambda x: F.conv2d(x, KERNEL[:, :, :2, :2], padding="same", groups=2),
    "batch norm": lambda x: F.batch_norm(x, VECTOR, VECTOR.abs() + 0.5, VECTOR, -VECTOR),
    "batch norm without weights": lambda x: F.batch_norm(x, VECTOR, VECTOR.abs() + 0.5),
    "relu and clamp on one side": lambda x: x.relu() + x.clamp(min=-0.5) + x.clamp(max=0.25),
    "prelu per channel": lambda x: F.prelu(x, VECTOR),
    "prelu with one slope": lambda x: F.prelu(x, VECTOR[:1]),
    "hardtanh, relu6, leaky relu, elu": lambda x: F.hardtanh(x, -0.3, 0.7) + F.relu6(x) + F.leaky_relu(x) + F.elu(x),
    "hardswish and hardsigmoid": lambda x: F.hardswish(x) * F.hardsigmoid(x),
    "max pool, padded, dilated": lambda x: F.max_pool2d(x, 3, 2, 1) - F.max_pool2d(x, 2, 2, 0, 2, True)[..., :1, :1],
    "max pool rounding up": lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True),
    "average pool, padding counted": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "average pool, padding not counted": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "average pool rounding up": lambda x: F.avg_pool2d(x[..., :5], 2, ceil_mode=True),
    "adaptive average pool": lambda x: (
        F.adaptive_avg_pool2d(x, 1).flatten(1).sum(1, keepdim=True) + F.adaptive_avg_pool2d(x, (3, 1)).flatten(1)
    ),
    "means over axes": lambda x: (
        x.mean((2, 3)) + x.mean((3, 2), keepdim=True).flatten(1) + x.mean((1, 3)).mean(1, keepdim=True)
    ),
    "mean over one axis of maps": lambda x: x.mean(1) * x.mean(2).mean(1, keepdim=True),
    "sums and extremes": lambda x: x.sum((1, 2)) + x.amax((1, 2)) - x.amin(1).amin(1),
    "variance": lambda x: x.var((2, 3)) + x.var(1, correction=0).flatten(1)[:, :4],
    "a shortcut with more channels": lambda x: torch.cat([x, x * 2], 1) + F.pad(x, (0, 0, 0, 0, 1, 3)),
    "padding of height and width": lambda x: F.pad(x, (1, 2, 0, 3), value=-1.0),
    "channels first to tokens": lambda x: x.flatten(2).transpose(1, 2).softmax(-1),
    "broadcasting by channel, row and column": lambda x: (
        x * VECTOR[:, None, None] + torch.arange(6.0)[:, None] - torch.arange(6.0)
    ),
    "where and masked fill": lambda x: torch.where(x > 0, x, -x / 3).masked_fill(x.abs() < 0.2, 7.0),
    "comparisons and logic": lambda x: ((x > 0) & ~(x.ge(1)) | (x <= -1)).float() + (x != x).to(torch.float32),
    "selecting, slicing, splitting": lambda x: (
        torch.cat([x[:, 1:3, ::2], *x.chunk(2, 1)[0].split([3, 3], 2)[1:]], 2) + x[:, 0, 2, 3][:, None, None, None]
    ),
    "unbinding, stacking": lambda x: torch.stack([x.unbind(1)[0], x.unbind(1)[2]], 3).squeeze(2).unsqueeze(1),
    "reversing and repeating channels": lambda x: x[:, [3, 1, 0]].repeat(1, 2, 1, 1),
    "a constant of the batch's size": lambda x: (
        x.flatten(1)[:, :3] + torch.ones(x.shape[0], 3) + torch.zeros_like(x)[:, 0, 0, :3]
    ),
    "positions": lambda x: x + torch.arange(6).expand(x.shape[0], 1, 1, 6) * (torch.arange(6) > 2),
    "instance of rsqrt, reciprocal, powers": lambda x: (
        x.square().add(1).rsqrt() + x.pow(2).add(1).reciprocal() + x**3 + x**4 + (x * x + 1) ** -0.5
    ),
}
ON_ROWS = {
    "linear, gelu, tanh gelu": lambda x: (
        F.gelu(F.linear(x, KERNEL1[:2, :, 0].repeat(1, 2)[:, :5], VECTOR[:2])) + F.gelu(x[:, :2], approximate="tanh")
    ),
    "silu, sigmoid, tanh, exp, erf, sqrt": lambda x: (
        F.silu(x) + x.sigmoid() * x.tanh() - x.exp() + torch.erf(x) + x.abs().sqrt()
    ),
    "softmax over the batch's rows": lambda x: x.softmax(1) + F.layer_norm(x, (5,)),
    "batch norm of rows": lambda x: F.batch_norm(x[:, :4], VECTOR, VECTOR.abs() + 0.5, VECTOR, -VECTOR),
    "addmm and matmul with a constant": lambda x: (
        torch.addmm(VECTOR, x, KERNEL.flatten()[:20].view(5, 4)) + x @ KERNEL1.flatten()[:20].view(5, 4)
    ),
    "a product with a vector": lambda x: x @ torch.arange(5.0),
    "scalars on both sides": lambda x: (
        2 - x / 3 + 1 / (x * x + 1) - x.neg() + torch.maximum(x, -x) * torch.minimum(x, x * 2)
    ),
    "an embedding": lambda x: F.embedding((x > 0).long(), KERNEL1[:, :, 0]),
}
ON_LINES = {
    "one-dimensional convolution": lambda x: F.conv1d(x, KERNEL1, None, 2, 1, 2),
    "one-dimensional batch norm after it": lambda x: F.batch_norm(x, VECTOR, VECTOR.abs() + 0.5, VECTOR, VECTOR).relu(),
}
ON_TOKENS = {
    "attention": lambda x: F.scaled_dot_product_attention(x[:, :3], x * 2, x.tanh()),
    "causal attention of heads": lambda x: _heads(
        F.scaled_dot_product_attention(*[x.view(-1, 6, 2, 4).transpose(1, 2)] * 3, is_causal=True)
    ),
    "attention with a boolean mask": lambda x: F.scaled_dot_product_attention(
        x, x, x, MASK[1] & (torch.arange(6)[:, None] > 1)
    ),
    "attention with a float mask and a scale": lambda x: F.scaled_dot_product_attention(
        x, x, x, torch.arange(36.0).view(6, 6), scale=0.3
    ),
    "attention with fewer key heads": lambda x: F.scaled_dot_product_attention(
        x.view(-1, 6, 4, 2).transpose(1, 2),
        x[..., :4].reshape(-1, 6, 2, 2).transpose(1, 2),
        x[..., 4:].reshape(-1, 6, 2, 2).transpose(1, 2),
        enable_gqa=True,
    ),
    "layer norm over two axes": lambda x: F.layer_norm(x, (6, 8), torch.arange(48.0).view(6, 8)),
    "batched products": lambda x: torch.bmm(x, x.transpose(1, 2)) @ x,
    "max pooling of bits": lambda x: F.max_pool2d(torch.ops.onebit.sign(x.view(-1, 1, 6, 8)), 2),
}


def _heads(x: torch.Tensor) -> torch.Tensor:
    return x.transpose(1, 2).flatten(2)


class Function(torch.nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: torch.Tensor) -> torch.Tensor:
        raise AssertionError


class One(Function):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


class Two(Function):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.function(x, y)


CASES = [
    (name, f, x)
    for table, x in ((ON_IMAGES, IMAGE), (ON_ROWS, ROWS), (ON_LINES, LINE), (ON_TOKENS, TOKENS))
    for name, f in table.items()
]


@pytest.mark.filterwarnings("ignore:var")  # of an empty batch
@pytest.mark.parametrize(("name", "function", "x"), CASES, ids=[case[0] for case in CASES])
def test_the_graph_gives_what_pytorch_gives(name, function, x):
    graph = capture.from_torch(One(function), x)
    for rows in (x, x[:1], x[:0]):
        ((got,), _), want = graph.run(rows.numpy()), function(rows)
        np.testing.assert_allclose(got, want.numpy(), rtol=2e-5, atol=2e-5)
        assert got.dtype == want.numpy().dtype


def test_a_value_of_fewer_axes_broadcasts():
    row = torch.randn(4, 1, 6)
    graph = capture.from_torch(
        Two(lambda x, y: F.relu6(F.conv2d(x, KERNEL, groups=2)[:, :4, :1] * y)),
        (IMAGE, row[..., :4]),
        dynamic={"x": {0: "batch"}},
    )
    want = F.relu6(F.conv2d(IMAGE, KERNEL, groups=2)[:, :4, :1] * row[..., :4])
    (got,), _ = graph.run(IMAGE.numpy(), row[..., :4].contiguous().numpy())
    np.testing.assert_allclose(got, want.numpy(), rtol=1e-5, atol=1e-5)


def test_a_row_whose_mask_hides_every_key_attends_to_nothing():
    def masked(x, mask):
        return F.scaled_dot_product_attention(x, x, x, mask[:, None])

    graph = capture.from_torch(Two(masked), (TOKENS, MASK))
    (got,), _ = graph.run(TOKENS.numpy(), MASK.numpy())
    np.testing.assert_allclose(got, masked(TOKENS, MASK).numpy(), rtol=1e-5, atol=1e-6)
    assert not got[2].any()


def test_not_a_number_passes_through_as_in_pytorch():
    x = torch.tensor([[math.nan, math.inf, -math.inf, -0.0, 1.0]])

    def function(x):
        return torch.cat([F.hardtanh(x), x.relu(), x.clamp(min=0.5), F.prelu(x, VECTOR[:1]), torch.maximum(x, -x)])

    (got,), _ = capture.from_torch(One(function), x, dynamic={}).run(x.numpy())
    np.testing.assert_array_equal(got, function(x).numpy())
