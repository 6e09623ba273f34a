"""What PyTorch does to models - copy, move, cast, store, compile, export - leaves networks of bits what they were."""

from __future__ import annotations

import copy
import functools
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
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
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


# the full product, but many layers and variants only where they differ in what they keep
CASES = [(s, f) for f in FAMILIES for s in schemes.registry if f != "resnet20" or s in ("bnn", "biper", "react")]
CASES += [(s, f) for f in ("perceptron", "sequence") for s in SCHEMES if s not in schemes.registry]
FEW = [*((scheme, "perceptron") for scheme in SCHEMES), ("biper", "encoder"), ("react", "sequence"), ("bnn", "bert")]


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


@pytest.mark.parametrize(("scheme", "family"), CASES)
@pytest.mark.parametrize("transformation", EXACT, ids=lambda function: function.__name__)
def test_the_outputs_stay_bit_for_bit(transformation: Callable, scheme: str, family: str, tmp_path):
    made = case(scheme, family)
    with torch.no_grad():
        assert torch.equal(transformation(made, tmp_path), made.y)


def compiled(case: Case, folder) -> Tensor:
    torch._dynamo.reset()
    return run(torch.compile(case.model, backend="aot_eager", fullgraph=True), case.x)


def exported(case: Case, folder) -> Tensor:
    return run(torch.export.export(case.model, (case.x,)).module(), case.x)


@pytest.mark.parametrize(("scheme", "family"), FEW)
@pytest.mark.parametrize("transformation", [compiled, exported], ids=lambda function: function.__name__)
def test_a_program_of_the_network_gives_its_outputs_bit_for_bit(
    transformation: Callable, scheme: str, family: str, tmp_path
):
    made = case(scheme, family)
    with torch.no_grad():
        assert torch.equal(transformation(made, tmp_path), made.y)


def test_a_compiled_network_is_exported_by_its_original():
    made = case("biper", "perceptron")
    program = torch.compile(made.model, backend="aot_eager")
    with torch.no_grad():
        assert torch.equal(exported(made._replace(model=program._orig_mod), None), run(program, made.x))


# training: the same gradients


def gradients(model: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    run(forward, x).square().sum().backward()
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def by_the_copy(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    other = copy.deepcopy(model)
    return gradients(other, other, x)


def by_a_function_of_the_state(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    state = dict(model.named_parameters()) | dict(model.named_buffers())
    return gradients(model, lambda x: torch.func.functional_call(model, state, (x,)), x)


def by_checkpointing(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    return gradients(model, lambda x: torch.utils.checkpoint.checkpoint(model, x, use_reentrant=False), x)


def by_accelerate(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    accelerator = pytest.importorskip("accelerate").Accelerator(cpu=True)
    wrapped = accelerator.prepare(model)
    model.zero_grad()
    accelerator.backward(run(wrapped, x).square().sum())
    return {name: value.grad for name, value in model.named_parameters() if value.grad is not None}


@pytest.mark.parametrize(("scheme", "family"), [item for item in CASES if item[1] != "resnet20"])
def test_gradients_stay_bit_for_bit(scheme: str, family: str):
    made = case(scheme, family)
    model = made.fresh().train()  # shifts that start from data start here, in the first pass of each
    expected = by_the_copy(model, made.x)
    assert any((value != 0).any() for value in expected.values())
    for way in (by_a_function_of_the_state, by_checkpointing, by_accelerate):
        got = way(copy.deepcopy(model), made.x)
        assert got.keys() == expected.keys()
        assert all(torch.equal(got[name], value) for name, value in expected.items()), way.__name__


@pytest.mark.parametrize("family", ["perceptron", "sequence"])
def test_gradients_of_a_compiled_network_are_those_of_the_network(family: str):
    made = case("biper", family)
    model = made.model.train()
    expected = by_the_copy(model, made.x)
    torch._dynamo.reset()
    got = gradients(model, torch.compile(model, backend="aot_eager", fullgraph=True), made.x)
    assert got.keys() == expected.keys()
    # PyTorch takes the backward of batch norm apart, which rounds otherwise
    assert all(torch.allclose(got[name], value, rtol=1e-4, atol=1e-5) for name, value in expected.items())


# fewer bits of float: what is documented to hold


@pytest.mark.parametrize(("scheme", "family"), CASES)
def test_autocast_changes_no_bit_of_what_a_layer_is_given(scheme: str, family: str):
    made = case(scheme, family)
    seen: list[tuple[Quantized, Tensor, Tensor]] = []

    def look(layer: Quantized, arguments: tuple, y: Tensor) -> None:
        seen.append((layer, arguments[0].detach(), y.detach()))

    layers = [module for module in made.model.modules() if isinstance(module, Quantized)]
    hooks = [layer.register_forward_hook(look) for layer in layers]
    for mode in (True, False):
        made.model.train(mode)
        made.model.zero_grad()
        seen.clear()
        with torch.autocast("cpu", torch.bfloat16):
            loss = run(made.model, made.x).float().square().sum()
            weights = [layer.weight_quantizer.encode(layer.latent_weight()).codes for layer in layers]
        loss.backward()
        assert all(p.grad.isfinite().all() for p in made.model.parameters() if p.grad is not None)
        for layer, codes in zip(layers, weights):
            assert torch.equal(codes, layer.weight_quantizer.encode(layer.latent_weight()).codes)
    for hook in hooks:
        hook.remove()
    assert {id(layer) for layer, *_ in seen} == {id(layer) for layer in layers}
    for layer, x, y in seen:  # eval mode: sums in float32 from the same bits, whatever the dtype of the input
        assert y.isfinite().all()
        assert y.dtype == torch.float32
        if scheme not in ("dorefa-2-bits", "bitnet"):  # rounding to levels is arithmetic, a sign is not
            codes = [layer.input_quantizer.encode(value).codes.float() for value in (x, x.float())]
            assert torch.equal(*codes)
        if x.dtype == torch.float32:
            assert torch.equal(y, layer(x))


@pytest.mark.parametrize(("scheme", "family"), CASES)
def test_a_network_cast_to_bfloat16_runs_and_coming_back_keeps_what_bfloat16_holds(scheme: str, family: str):
    made = case(scheme, family)
    state = {name: value.clone() for name, value in made.model.state_dict().items()}
    half = made.model.to(torch.bfloat16)
    x = made.x.to(torch.bfloat16) if made.x.is_floating_point() else made.x
    with torch.no_grad():
        y = run(half, x)
    assert y.dtype == torch.bfloat16
    assert y.isfinite().all()
    run(half.train(), x).float().square().sum().backward()
    assert all(p.grad.isfinite().all() for p in half.parameters() if p.grad is not None)
    back = case(scheme, family).model.to(torch.bfloat16).to(torch.float32).state_dict()
    for name, value in state.items():
        expected = value.to(torch.bfloat16).to(torch.float32) if value.is_floating_point() else value
        assert torch.equal(back[name], expected), name


# the float network before


@pytest.mark.parametrize(("scheme", "family"), CASES)
def test_a_float_state_dict_and_an_optimizer_made_before_fit(scheme: str, family: str):
    made = prepared(scheme, family)
    model = made.make()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    run(model, made.x).square().sum().backward()
    optimizer.step()
    old = {name: value.detach().clone() for name, value in model.named_parameters()}
    trained = {name for name, value in model.named_parameters() if value.grad is not None}
    state = copy.deepcopy(model.state_dict())
    quantize_(model, made.scheme())
    optimizer.zero_grad()
    run(model, made.x).square().sum().backward()
    optimizer.step()
    now = dict(model.named_parameters())
    assert {id(value) for value in now.values()} >= {id(value) for value in optimizer.param_groups[0]["params"]}
    for name in trained:
        assert optimizer.state[now[name]]["step"] == 2
        assert not torch.equal(now[name], old[name]), name
    model.load_state_dict(state)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())
