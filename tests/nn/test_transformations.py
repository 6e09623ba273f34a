"""What PyTorch does to models - copy, move, cast, store, compile, export - leaves networks of bits what they were."""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

import onebit
from onebit.core.progress import Progress
from onebit.nn import broadcast, models, quantize_, schemes
from onebit.nn.layers import Quantized

SCHEMES: dict[str, Callable[[], schemes.Scheme]] = {
    **{name: functools.partial(schemes.build, name) for name in sorted(schemes.registry)},
    "biper-auto-staged": functools.partial(schemes.biper, freq="auto", stages=2, scale="mean_abs"),
    "dorefa-2-bits": functools.partial(schemes.dorefa, 2, 2),
}


class Encoder(nn.Module):
    """A transformer encoder and a cross attention, with a linear head."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.query = nn.Parameter(torch.randn(1, 2, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.encoder(x)
        return self.head(self.attention(self.query.expand(x.shape[0], -1, -1), x, x)[0].flatten(1))


def sequence() -> nn.Module:
    """One-dimensional convolutions."""
    return nn.Sequential(
        nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.Conv1d(4, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(20, 3)
    )


def normed() -> nn.Module:
    """A parametrization under the quantizer."""
    hidden = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), hidden, nn.BatchNorm1d(8), nn.Linear(8, 3))


def bert() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = transformers.BertConfig(**sizes, **dropout, vocab_size=11, max_position_embeddings=8)
    return transformers.BertForSequenceClassification(config)


FAMILIES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "perceptron": (functools.partial(models.build, "mlp", in_features=6, width=8, num_classes=3), (4, 6)),
    "convolutions": (functools.partial(models.build, "convnet", in_channels=2, width=4, depth=3), (4, 2, 8, 8)),
    "resnet20": (functools.partial(models.build, "resnet20", in_channels=2, width=2), (4, 2, 8, 8)),
    "encoder": (Encoder, (4, 5, 8)),
    "sequence": (sequence, (4, 2, 14)),
    "weight norm": (normed, (4, 6)),
    "bert": (bert, (4, 7)),
}


class Case(NamedTuple):
    """A network of bits in eval mode after one step of training."""

    make: Callable[[], nn.Module]
    scheme: Callable[[], schemes.Scheme]
    model: nn.Module
    x: Tensor
    y: Tensor

    def fresh(self) -> nn.Module:
        """Another network of the same architecture and scheme, with other weights."""
        model = self.make()
        quantize_(model, self.scheme())
        return model.eval()


def run(model: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    y = model(x)
    return y if isinstance(y, Tensor) else y.logits


@functools.cache
def prepared(scheme: str, family: str) -> Case:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        make, shape = FAMILIES[family]
        x = torch.randint(0, 11, shape) if family == "bert" else torch.randn(shape)
        model = make()
        quantize_(model, SCHEMES[scheme]())
        run(model, x).square().sum().backward()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter -= 0.01 * parameter.grad.sign()
        model.zero_grad()
        broadcast(model, Progress.complete(2))
        with torch.no_grad():
            return Case(make, SCHEMES[scheme], model.eval(), x, run(model, x))


def case(scheme: str, family: str) -> Case:
    made = prepared(scheme, family)
    return made._replace(model=copy.deepcopy(made.model))


# what must leave every output as it is, bit for bit: a function of the case and a folder that gives the outputs


def deepcopied(case: Case, folder) -> Tensor:
    return run(copy.deepcopy(case.model), case.x)


def in_float64_and_back(case: Case, folder) -> Tensor:
    return run(case.model.to(torch.float64).to(torch.float32), case.x)


def through_the_meta_device(case: Case, folder) -> Tensor:
    state = copy.deepcopy(case.model.state_dict())
    loose = {name: value.clone() for name, value in case.model.named_buffers() if name not in state}
    empty = case.model.to("meta").to_empty(device="cpu")
    empty.load_state_dict(state)
    for name, value in loose.items():
        empty.get_buffer(name).copy_(value)
    return run(empty, case.x)


def quantized_on_the_meta_device(case: Case, folder) -> Tensor:
    with torch.device("meta"):
        empty = case.fresh()
    repr(empty)
    empty.load_state_dict(case.model.state_dict(), assign=True)
    for name, value in case.model.named_buffers():
        if empty.get_buffer(name).is_meta:
            empty.get_submodule(name.rpartition(".")[0]).register_buffer(name.rpartition(".")[2], value)
    return run(empty, case.x)


def state_dict_into_another(case: Case, folder) -> Tensor:
    other = case.fresh()
    other.load_state_dict(case.model.state_dict())
    return run(other, case.x)


def saved_and_loaded_into_a_float_one(case: Case, folder) -> Tensor:
    onebit.save(case.model, folder / "m")
    return run(onebit.load(folder / "m", case.make), case.x)


def saved_and_loaded_into_one_of_bits(case: Case, folder) -> Tensor:
    onebit.save(case.model, folder / "m")
    return run(onebit.load(folder / "m", case.fresh), case.x)


def as_a_function_of_its_state(case: Case, folder) -> Tensor:
    other, state = case.fresh(), case.model.state_dict()
    return run(lambda x: torch.func.functional_call(other, state, (x,)), case.x)


def trained_and_evaluated(case: Case, folder) -> Tensor:
    state = copy.deepcopy(case.model.state_dict())
    run(case.model.train(), case.x)
    case.model.load_state_dict(state)
    return run(case.model.eval(), case.x)


def averaged_with_itself(case: Case, folder) -> Tensor:
    average = torch.optim.swa_utils.AveragedModel(case.model, use_buffers=True)
    average.update_parameters(case.model)
    return run(average.eval(), case.x)


def prepared_by_accelerate(case: Case, folder) -> Tensor:
    accelerate = pytest.importorskip("accelerate")
    return run(accelerate.Accelerator(cpu=True).prepare(case.model), case.x)


def in_inference_mode_and_shared_memory(case: Case, folder) -> Tensor:
    with torch.inference_mode():
        return run(case.model.share_memory().requires_grad_(False), case.x).clone()


EXACT = [
    deepcopied,
    in_float64_and_back,
    through_the_meta_device,
    quantized_on_the_meta_device,
    state_dict_into_another,
    saved_and_loaded_into_a_float_one,
    saved_and_loaded_into_one_of_bits,
    as_a_function_of_its_state,
    trained_and_evaluated,
    averaged_with_itself,
    prepared_by_accelerate,
    in_inference_mode_and_shared_memory,
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("transformation", EXACT, ids=lambda function: function.__name__)
def test_the_outputs_stay_bit_for_bit(transformation: Callable, scheme: str, family: str, tmp_path):
    made = case(scheme, family)
    with torch.no_grad():
        assert torch.equal(transformation(made, tmp_path), made.y)
