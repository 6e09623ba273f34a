"""Attention of bits: what it equals, what it cannot see, what is exact in it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from onebit.nn.layers import DotProductAttention


def operands(length: int = 5, keys: int = 7) -> tuple[torch.Tensor, ...]:
    return torch.randn(2, length, 8), torch.randn(2, keys, 8), torch.randn(2, keys, 8)


def heads(x: torch.Tensor) -> torch.Tensor:
    return x.unflatten(-1, (2, 4)).transpose(1, 2)


def test_without_a_quantizer_it_is_attention_as_pytorch_has_it():
    q, k, v = operands()
    padding = torch.zeros(2, 7, dtype=torch.bool)
    padding[:, 5:] = True
    want = F.scaled_dot_product_attention(heads(q), heads(k), heads(v), ~padding[:, None, None, :])
    got = DotProductAttention(8, 2, None)(q, k, v, padding)
    torch.testing.assert_close(got, want.transpose(1, 2).flatten(2))


def test_with_signs_it_is_attention_of_the_signs_but_for_the_rounding_of_the_weights():
    q, k, v = operands()
    signs = [torch.where(x >= 0, 1.0, -1.0) for x in (q, k, v)]
    want = DotProductAttention(8, 2, None)(*signs)
    # 7 weights, each of them off by half of 1/255 at most
    assert (DotProductAttention(8, 2, "sign")(q, k, v) - want).abs().max() <= 7 / 510 + 1e-6


def test_signs_do_not_see_how_large_their_operands_are():
    q, k, v = operands()
    layer = DotProductAttention(8, 2, "sign")
    assert torch.equal(layer(q * 2, k * 3, v * 5), layer(q, k, v))


def test_values_that_cancel_out_leave_exactly_nothing():
    q, k, v = operands(keys=31)
    layer = DotProductAttention(8, 2, "sign")
    order = torch.randperm(62)
    output = layer(q, torch.cat([k, k], 1)[:, order], torch.cat([v, -v], 1)[:, order])
    assert torch.equal(output, torch.zeros_like(output))


@pytest.mark.parametrize("quantizer", [None, "sign", "react", "xnor"])
def test_padding_is_as_if_it_were_not_there(quantizer):
    q, k, v = operands()
    layer = DotProductAttention(8, 2, quantizer).eval()
    padding = torch.arange(7).ge(4).expand(2, 7)
    torch.testing.assert_close(layer(q, k, v, padding), layer(q, k[:, :4], v[:, :4]))


def test_a_row_that_is_all_padding_stays_finite():
    q, k, v = operands()
    assert torch.isfinite(DotProductAttention(8, 2)(q, k, v, torch.ones(2, 7, dtype=torch.bool))).all()


def test_queries_and_keys_get_gradients():
    q, k, v = (x.requires_grad_() for x in operands())
    DotProductAttention(8, 2, "bireal")(q, k, v).square().sum().backward()
    assert all(x.grad.abs().sum() > 0 for x in (q, k, v))


def test_a_float_state_dict_fits_and_each_operand_has_a_quantizer_of_its_own():
    layer = DotProductAttention(8, 2, "react")
    layer.load_state_dict(DotProductAttention(8, 2, None).state_dict())
    assert len({id(p) for p in layer.parameters()}) == 3


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="embed_dim must be a multiple of num_heads = 3, got 8"):
        DotProductAttention(8, 3)
