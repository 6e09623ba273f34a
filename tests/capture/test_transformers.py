"""Hugging Face models, built from a configuration, as graphs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import onebit
from onebit import capture

transformers = pytest.importorskip("transformers")

IDS = torch.tensor([[3, 1, 4, 1, 5, 9], [2, 7, 1, 8, 2, 8]])
MASK = torch.tensor([[1, 1, 1, 1, 0, 0], [1] * 6])


def bert() -> torch.nn.Module:
    return transformers.BertForSequenceClassification(
        transformers.BertConfig(
            vocab_size=11,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=24,
            max_position_embeddings=8,
        )
    )


def gpt2() -> torch.nn.Module:
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=11,
            n_embd=16,
            n_layer=1,
            n_head=2,
            n_positions=8,
            use_cache=False,
            bos_token_id=0,
            eos_token_id=0,
        )
    )


def llama() -> torch.nn.Module:
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=11,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=24,
            max_position_embeddings=8,
            use_cache=False,
        )
    )


def check(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> None:
    graph = capture.from_torch(model, (), inputs)
    with torch.no_grad():
        want = model.eval()(**inputs)[0].numpy()
    (got,), _ = graph.run(*[inputs[name].numpy() for name in graph.inputs])
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    (one,), _ = graph.run(*[inputs[name][1:].numpy() for name in graph.inputs])
    np.testing.assert_array_equal(one, got[1:])


@pytest.mark.parametrize("make", [bert, gpt2, llama])
@pytest.mark.parametrize("masked", [False, True])
def test_the_graph_of_a_transformer_gives_what_it_gives(make, masked):
    check(make(), {"input_ids": IDS} | ({"attention_mask": MASK} if masked else {}))


@pytest.mark.parametrize("make", [bert, gpt2])
def test_a_transformer_in_bits_becomes_a_graph_of_bits(make):
    model = make()
    onebit.quantize_(model, "bnn")
    for p in model.parameters():  # without biases many sums cancel to 0, and a rounding of floats decides their sign
        if p.ndim == 1:
            torch.nn.init.normal_(p)
    check(model, {"input_ids": IDS, "attention_mask": MASK})
    graph = capture.from_torch(model, (), {"input_ids": IDS})
    assert len(graph.bits) >= 4
