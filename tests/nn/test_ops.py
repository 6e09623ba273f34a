"""The four custom operators: what they compute, and that their shapes are inferred right."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from onebit.nn import ops


def test_sign_compares_and_never_reads_the_sign_bit():
    x = torch.tensor([0.0, -0.0, math.nan, -math.nan, math.inf, -math.inf, 1e-45, -1e-45])
    assert torch.ops.onebit.sign(x).tolist() == [1, 1, -1, -1, 1, -1, 1, -1]


def test_quantize_rounds_half_to_even_clamps_and_sends_nan_to_the_zero_point():
    x = torch.tensor([0.5, 1.5, 2.5, -0.5, 1e9, -1e9, math.inf, -math.inf, math.nan])
    codes = torch.ops.onebit.quantize(x, torch.tensor(1.0), 3, -8, 7)
    assert codes.tolist() == [3, 5, 5, 3, 7, -8, 7, -8, 3]


@given(st.data())
def test_conv_is_pytorchs_on_a_padded_input(data):
    draw = data.draw
    dims = draw(st.integers(1, 2))
    groups = draw(st.integers(1, 2))
    kernel = [draw(st.integers(1, 3)) for _ in range(dims)]
    stride = [draw(st.integers(1, 3)) for _ in range(dims)]
    dilation = [draw(st.integers(1, 2)) for _ in range(dims)]
    padding = [draw(st.integers(0, 2)) for _ in range(2 * dims)]
    pad_value = draw(st.sampled_from([-1, 0, 1]))
    x = torch.randn(2, 2 * groups, *[7] * dims)
    weight = torch.randn(3 * groups, 2, *kernel)
    pairs = [side for dim in reversed(range(dims)) for side in padding[2 * dim : 2 * dim + 2]]
    padded = F.pad(x, pairs, value=float(pad_value))
    plain = (F.conv1d, F.conv2d)[dims - 1]
    expected = plain(padded, weight, None, stride, 0, dilation, groups)
    y = torch.ops.onebit.conv(x, weight, stride, padding, dilation, groups, pad_value)
    assert torch.allclose(y, expected, atol=1e-5)
    assert ops.conv_shape(x.shape, weight.shape, stride, padding, dilation) == list(expected.shape)


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        (torch.ops.onebit.sign.default, (torch.randn(2, 3),)),
        (torch.ops.onebit.quantize.default, (torch.randn(2, 3), torch.tensor(0.1), 0, -127, 127)),
        (torch.ops.onebit.linear.default, (torch.randn(2, 5, 3), torch.randn(4, 3))),
        (
            torch.ops.onebit.conv.default,
            (torch.randn(2, 3, 8, 8), torch.randn(4, 3, 3, 2), [2, 1], [1, 2, 0, 1], [1, 2], 1, -1),
        ),
        (torch.ops.onebit.conv.default, (torch.randn(2, 4, 8), torch.randn(4, 2, 3), [2], [1, 1], [1], 2, 0)),
    ],
    ids=["sign", "quantize", "linear", "conv2d", "conv1d"],
)
def test_the_operators_are_registered_right(operator, arguments):
    torch.library.opcheck(operator, arguments, test_utils=("test_schema", "test_faketensor"))
