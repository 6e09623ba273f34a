"""Inputs, dynamic sizes, modes, errors of capture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import onebit.nn
from onebit import capture
from onebit.core.errors import Unsupported


class Block(nn.Module):
    def __init__(self, inner) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


class Sort(nn.Module):
    def forward(self, x):
        return x.sort(1).values


class Masked(nn.Module):
    def forward(self, x):
        mask = onebit.nn.context.get("mask")
        return x if mask is None else x * mask[:, :, None]


def run(graph, *arrays):
    (got,), _ = graph.run(*[array.numpy() for array in arrays])
    return got


def test_training_modes_and_gradients_come_back_as_they_were():
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(3), nn.Linear(3, 2))
    model[1].eval()
    capture.from_torch(model, torch.randn(4, 3))
    assert [module.training for module in model] == [True, False, True]
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
    assert torch.is_grad_enabled()


def test_batch_norm_uses_its_running_statistics_and_keeps_them():
    model = nn.BatchNorm1d(3)
    model.running_mean.fill_(2.0)
    x = torch.randn(5, 3)
    got = run(capture.from_torch(model, x), x)
    np.testing.assert_allclose(got, model.eval()(x).detach().numpy(), rtol=1e-6)
    assert model.running_mean.tolist() == [2.0] * 3


@pytest.mark.parametrize("batch", [0, 1, 2, 5])
def test_the_batch_of_the_example_does_not_matter(batch):
    graph = capture.from_torch(nn.Linear(3, 2), torch.zeros(batch, 3))
    assert graph.inputs["input"].shape == ("batch", 3)
    assert run(graph, torch.zeros(7, 3)).shape == (7, 2)


def test_what_a_model_does_in_place_is_captured_and_its_input_kept():
    class InPlace(nn.Module):
        def forward(self, x):
            y = x * 2
            y += 1
            y[:, 0] = 5
            return nn.functional.relu_(y) + x

    x = torch.randn(3, 4)
    np.testing.assert_array_equal(run(capture.from_torch(InPlace(), x), x), InPlace()(x).numpy())


def test_nothing_is_dynamic_where_none_is_given():
    assert capture.from_torch(nn.Linear(3, 2), torch.zeros(1, 3), dynamic={}).inputs["input"].shape == (1, 3)


def test_two_dynamic_axes_keep_their_names():
    class Tokens(nn.Module):
        def forward(self, ids, scale):
            return scale[:, :, None] * ids[..., None].float().expand(-1, -1, 3)

    ids, scale = torch.arange(8).view(2, 4), torch.ones(2, 4)
    axes = {0: "batch", 1: "length"}
    graph = capture.from_torch(Tokens(), (ids,), {"scale": scale}, dynamic={"ids": axes, "scale": axes})
    assert graph.types()[graph.outputs[0]].shape == ("batch", "length", 3)
    assert run(graph, torch.ones(1, 7, dtype=torch.long), torch.ones(1, 7)).shape == (1, 7, 3)


def test_nodes_know_the_module_they_come_from():
    model = Block(nn.Sequential(nn.Linear(3, 2), nn.ReLU()))
    paths = {node.kind: node.path for node in capture.from_torch(model, torch.zeros(2, 3)).nodes}
    assert paths == {"linear": "inner.0", "add": "inner.0", "relu": "inner.1"}


def test_side_inputs_become_inputs_of_the_graph():
    x, mask = torch.randn(2, 3, 4), torch.tensor([[1.0, 0, 1], [0, 1, 0]])
    graph = capture.from_torch(Block(Masked()), x, {"mask": mask})
    assert list(graph.inputs) == ["x", "mask"]
    assert [node.path for node in graph.nodes if node.kind == "mul"] == ["inner"]
    np.testing.assert_array_equal(run(graph, x, mask), (x * mask[:, :, None]).numpy())


def test_an_operator_without_a_rule_names_itself_and_its_module():
    with pytest.raises(Unsupported, match=r"aten\.sort\.default in module 'inner': capture has no rule .* replace it"):
        capture.from_torch(Block(Sort()), torch.zeros(2, 3))


def test_control_flow_on_data_is_an_error_that_says_so():
    class Branch(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(Unsupported, match=r"torch\.export cannot trace Branch"):
        capture.from_torch(Branch(), torch.zeros(2, 3))


def test_a_size_that_the_program_fixes_cannot_be_dynamic():
    class Fixed(nn.Module):
        def forward(self, x):
            return x.view(2, -1)

    with pytest.raises(Unsupported, match=r"batch|dynamic"):
        capture.from_torch(Fixed(), torch.zeros(2, 3))


@pytest.mark.parametrize(
    ("dynamic", "message"),
    [({"y": {0: "batch"}}, "no tensor input"), ({"input": {2: "batch"}}, r"0\.\.1"), ({"input": {0: "a b"}}, "name")],
)
def test_a_wrong_dynamic_axis_is_named(dynamic, message):
    with pytest.raises(ValueError, match=message):
        capture.from_torch(nn.Linear(3, 2), torch.zeros(2, 3), dynamic=dynamic)


def test_other_floats_than_float32_are_refused():
    with pytest.raises(Unsupported, match=r"float64.*model\.float\(\)"):
        capture.from_torch(nn.Linear(3, 2).double(), torch.zeros(2, 3).double())


def test_shared_weights_are_kept_once():
    layer = nn.Linear(3, 3)
    graph = capture.from_torch(nn.Sequential(layer, nn.ReLU(), layer), torch.zeros(2, 3))
    assert sorted(array.shape for array in graph.tensors.values()) == [(3,), (3, 3)]
