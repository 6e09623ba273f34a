"""Attention of bits: PyTorch's outputs without quantizers, whatever the masks, and calls that no fast path skips."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn
from torch.export import Dim

from onebit.nn import MultiheadAttention, TransformerEncoderLayer, penalty
from onebit.nn.layers import Linear
from onebit.nn.quantizers import PeriodicWeight

E, HEADS, N, L, S = 8, 2, 3, 5, 7


def inputs(batch_first: bool = True) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    query, memory = torch.randn(N, L, E), torch.randn(N, S, E)
    return (query, memory, memory) if batch_first else tuple(x.transpose(0, 1) for x in (query, memory, memory))


def masks(kind: str) -> dict:
    padding = torch.zeros(N, S, dtype=torch.bool)
    padding[0, -2:] = True
    causal = torch.ones(L, S).triu(1).bool()
    return {
        "none": {},
        "padding": {"key_padding_mask": padding},
        "float padding": {"key_padding_mask": torch.zeros(N, S).masked_fill(padding, -3.0)},
        "square": {"attn_mask": causal},
        "float": {"attn_mask": torch.randn(L, S)},
        "per head": {"attn_mask": torch.rand(N * HEADS, L, S) < 0.3},
        "both": {"key_padding_mask": padding, "attn_mask": causal},
    }[kind]


@pytest.mark.parametrize("kind", ["none", "padding", "float padding", "square", "float", "per head", "both"])
@pytest.mark.parametrize(("need_weights", "average"), [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("batch_first", [True, False])
def test_without_quantizers_attention_is_pytorchs(kind: str, need_weights: bool, average: bool, batch_first: bool):
    plain = nn.MultiheadAttention(E, HEADS, batch_first=batch_first)
    nn.init.normal_(plain.in_proj_bias)
    ours = MultiheadAttention.from_float(plain, None, None)
    arguments = inputs(batch_first)
    options = {**masks(kind), "need_weights": need_weights, "average_attn_weights": average}
    for training in (True, False):
        expected, expected_weights = plain.train(training)(*arguments, **options)
        output, weights = ours.train(training)(*arguments, **options)
        assert torch.allclose(output, expected, atol=1e-6, equal_nan=True)
        assert (weights is None) == (expected_weights is None)
        assert weights is None or torch.allclose(weights, expected_weights, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize(
    "settings",
    [
        {"bias": False},
        {"kdim": 6, "vdim": 4},
        {"add_bias_kv": True},
        {"add_zero_attn": True},
        {"add_bias_kv": True, "add_zero_attn": True, "bias": False},
    ],
    ids=str,
)
def test_every_option_of_the_constructor_is_pytorchs(settings: dict):
    plain = nn.MultiheadAttention(E, HEADS, batch_first=True, **settings)
    ours = MultiheadAttention.from_float(plain, None, None)
    query = torch.randn(N, L, E)
    key, value = torch.randn(N, S, settings.get("kdim", E)), torch.randn(N, S, settings.get("vdim", E))
    options = masks("both")
    assert torch.allclose(ours(query, key, value, **options)[0], plain(query, key, value, **options)[0], atol=1e-6)


def test_without_a_batch_dimension_attention_is_pytorchs():
    plain = nn.MultiheadAttention(E, HEADS)
    ours = MultiheadAttention.from_float(plain, None, None)
    x = torch.randn(L, E)
    for mine, theirs in zip(ours(x, x, x), plain(x, x, x)):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_parameters_and_their_names_are_kept():
    plain = nn.MultiheadAttention(E, HEADS)
    parameters = dict(plain.named_parameters())
    ours = MultiheadAttention.from_float(plain, "bnn", "sign")
    assert {name: id(p) for name, p in ours.named_parameters()} == {name: id(p) for name, p in parameters.items()}
    other = MultiheadAttention(E, HEADS, weight_quantizer="biper", input_quantizer="react")
    other.load_state_dict(plain.state_dict())
    assert torch.equal(other.in_proj_weight, plain.in_proj_weight)
    assert torch.equal(other.out_proj.weight, plain.out_proj.weight)


def test_projections_are_those_of_layers_of_bits_in_training_and_eval():
    layer = MultiheadAttention(E, HEADS, batch_first=True, weight_quantizer="xnor", input_quantizer="xnor")
    reference = [Linear(E, E, weight_quantizer="xnor", input_quantizer="xnor") for _ in range(3)]
    weights, biases = layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3)
    with torch.no_grad():
        for linear, weight, bias in zip(reference, weights, biases):
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
    arguments = inputs()
    for training in (True, False):
        layer.train(training)
        for mine, linear, x in zip(layer._project(arguments), reference, arguments):
            assert torch.equal(mine, linear.train(training)(x))


def test_each_projection_has_quantizers_of_its_own_and_its_penalty_counts():
    layer = MultiheadAttention(E, HEADS, weight_quantizer=PeriodicWeight(sine_penalty=1.0), input_quantizer="react")
    quantizers = [*layer.weight_quantizers.values(), layer.out_proj.weight_quantizer]
    assert len({id(quantizer) for quantizer in quantizers}) == 4
    weights = [*layer.in_proj_weight.chunk(3), layer.out_proj.weight]
    expected = sum(torch.sin(20 * weight).square().mean() for weight in weights)
    assert torch.allclose(penalty(layer), expected)


def test_gradients_reach_every_parameter():
    layer = MultiheadAttention(E, HEADS, batch_first=True, weight_quantizer="biper", input_quantizer="react")
    layer(*inputs())[0].square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name


def test_a_causal_hint_without_a_mask_is_refused():
    with pytest.raises(ValueError, match="is_causal=True is a hint"):
        MultiheadAttention(E, HEADS, batch_first=True)(*inputs(), is_causal=True, need_weights=False)


def test_bad_shapes_are_refused():
    layer = MultiheadAttention(E, HEADS, batch_first=True)
    with pytest.raises(ValueError, match="must have 2 or 3 dimensions each"):
        layer(torch.zeros(1, 1, 1, E), torch.zeros(1, 1, E), torch.zeros(1, 1, E))
    with pytest.raises(ValueError, match=r"attn_mask must be \(L, S\) or"):
        layer(*inputs(), attn_mask=torch.zeros(2, L, S))
    with pytest.raises(ValueError, match=r"key_padding_mask must be \(N, 7\)"):
        layer(*inputs(), key_padding_mask=torch.zeros(N, 2, dtype=torch.bool))


@pytest.mark.parametrize(
    ("norm_first", "activation", "batch_first"), list(itertools.product([True, False], ["relu", "gelu"], [True, False]))
)
def test_without_quantizers_the_encoder_layer_is_pytorchs(norm_first: bool, activation: str, batch_first: bool):
    plain = nn.TransformerEncoderLayer(
        E, HEADS, 16, dropout=0.0, norm_first=norm_first, activation=activation, batch_first=batch_first
    )
    ours = TransformerEncoderLayer.from_float(plain, None, None)
    x = torch.randn(N, L, E) if batch_first else torch.randn(L, N, E)
    padding = torch.zeros(N, L, dtype=torch.bool)
    padding[1, -1] = True
    causal = torch.ones(L, L).triu(1).bool()
    for training in (True, False):
        for options in ({}, {"src_key_padding_mask": padding}, {"src_mask": causal, "is_causal": True}):
            expected = plain.train(training)(x, **options)
            output = ours.train(training)(x, **options)
            keep = ~padding if batch_first else ~padding.t()
            assert torch.allclose(output[keep], expected[keep], atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_only_after_relu_the_second_feed_forward_layer_gets_a_centred_shift(activation: str):
    layer = TransformerEncoderLayer(E, HEADS, 16, activation=activation, input_quantizer="bireal")
    kinds = [layer.linear1.input_quantizer.shift_kind, layer.linear2.input_quantizer.shift_kind]
    assert kinds == ["none", "centred" if activation == "relu" else "none"]


@pytest.mark.parametrize("batch_first", [True, False])
def test_an_exported_encoder_layer_is_the_eval_layer_bit_for_bit(batch_first: bool):
    layer = TransformerEncoderLayer(
        E, HEADS, 16, batch_first=batch_first, weight_quantizer="xnor", input_quantizer="xnor"
    )
    layer.eval()
    x = torch.randn(4, 4, E)
    with torch.no_grad():
        dynamic = ({0 if batch_first else 1: Dim("batch")},)
        program = torch.export.export(layer, (x,), dynamic_shapes=dynamic).run_decompositions({})
        other = torch.randn(7, 4, E) if batch_first else torch.randn(4, 7, E)
        assert torch.equal(program.module()(other), layer(other))
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert targets.count("onebit.linear.default") == 6


def test_in_eval_mode_without_gradients_every_projection_is_called():
    encoder = nn.TransformerEncoder(TransformerEncoderLayer(E, HEADS, 16, batch_first=True), 2).eval()
    calls = []
    for module in encoder.modules():
        if isinstance(module, Linear):
            module.register_forward_hook(lambda *_: calls.append(1))
    padding = torch.zeros(N, L, dtype=torch.bool)
    padding[0, -2:] = True
    with torch.no_grad():
        output = encoder(torch.randn(N, L, E), src_key_padding_mask=padding)
    assert output.shape == (N, L, E)
    assert len(calls) == 2 * 3  # out_proj, linear1, linear2 of two layers
