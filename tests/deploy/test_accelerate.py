"""Accelerated layers give the bits of the layers and of the interpreter, and say so where they cannot."""

from __future__ import annotations

import copy
import functools
import io
import os
import signal
import threading
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import onebit
from onebit import capture
from onebit.core.errors import OnebitWarning
from onebit.deploy.accelerate import graph as graphs
from onebit.deploy.accelerate.layer import Packed
from onebit.nn import models
from onebit.nn.layers import Conv1d, Conv2d, Linear, Quantized
from onebit.nn.operators import Operator
from onebit.nn.quantizers import BinaryActivation, activation_registry, weight_registry
from onebit.nn.schemes import build, registry

FORMS = {
    "linear of sequences": (lambda **q: Linear(33, 8, **q), (2, 5, 33)),
    "conv2d": (lambda **q: Conv2d(5, 6, 3, padding=1, **q), (2, 5, 7, 6)),
    "conv1d": (lambda **q: Conv1d(5, 6, 3, stride=2, padding=1, **q), (2, 5, 12)),
    "linear": (lambda **q: Linear(20, 9, bias=False, **q), (3, 20)),
    "grouped": (lambda **q: Conv2d(6, 4, (3, 2), stride=2, dilation=(1, 2), groups=2, bias=False, **q), (2, 6, 9, 8)),
    "same": (lambda **q: Conv2d(3, 4, 4, padding="same", **q), (2, 3, 6, 7)),
    "reflected": (lambda **q: Conv2d(3, 4, 3, padding=2, padding_mode="reflect", **q), (2, 3, 6, 7)),
    "pointwise": (lambda **q: Conv2d(40, 8, 1, **q), (2, 40, 1, 1)),
    "conv1d in a circle": (lambda **q: Conv1d(5, 6, 3, padding=1, padding_mode="circular", **q), (2, 5, 12)),
}
SCHEMES = [*((name, {}) for name in registry), ("dorefa", {"weight_bits": 2, "activation_bits": 3})]
#: The first forms with every scheme, the others with the scheme whose input has a scale.
CASES = [(form, *scheme) for i, form in enumerate(FORMS) for scheme in SCHEMES if i < 3 or scheme[0] == "xnor"]


def bits(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous().view(torch.int32)


def network(scheme: str = "react") -> nn.Module:
    """Two quantized convolutions and a quantized linear layer, in eval mode."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Conv2d(6, 8, 3),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 8), nn.Linear(8, 3),
    )  # fmt: skip
    onebit.quantize_(model, scheme)
    model(torch.randn(8, 1, 9, 9))
    return model.eval()


@functools.cache
def _pair() -> tuple[nn.Module, nn.Module]:
    model = network()
    fast = copy.deepcopy(model)
    onebit.accelerate_(fast, threads=1)
    return model, fast


@pytest.fixture
def pair():
    """A network, the same one accelerated, and an input; without gradients."""
    with torch.no_grad():
        yield *copy.deepcopy(_pair()), torch.randn(4, 1, 9, 9)


@pytest.mark.parametrize(
    ("form", "scheme", "settings"), CASES, ids=lambda v: v if isinstance(v, str) else "k" * bool(v)
)
@torch.no_grad()
def test_every_scheme_gives_the_bits_of_the_layer_and_of_the_interpreter(form, scheme, settings):
    make, shape = FORMS[form]
    how = build(scheme, **settings)
    layer = make(weight_quantizer=how.weight_quantizer(), input_quantizer=how.input_quantizer())
    x = torch.randn(shape)
    layer(x)
    layer.eval()
    x.view(-1)[:3] = torch.tensor([0.0, -0.0, torch.inf])
    before = layer(x)
    (row,) = onebit.accelerate_(layer).rows
    if scheme == "bitnet" and layer.spatial:  # its codes depend on the largest of a whole map
        assert row.why == "what it computes from the input depends on the size of the map"
        return
    assert row.swapped, row.why
    after = layer(x)
    assert isinstance(layer.packed, Packed)
    assert after.shape == before.shape
    assert after.is_contiguous()
    assert torch.equal(bits(after), bits(before))
    if layer.spatial == 2 and layer.padding_mode == "zeros":
        graph = graphs.resized(graphs.build(layer), *x.shape[2:])
        given = [x.permute(0, 2, 3, 1).contiguous().numpy()]
        if graphs.needs_scale(layer.input_quantizer):
            given.append(layer.input_quantizer.sample_scale(x).numpy())
        (wanted,), _ = graph.run(*given)
        np.testing.assert_array_equal(after.permute(0, 2, 3, 1).numpy().view(np.int32), wanted.view(np.int32))


@pytest.mark.parametrize("name", weight_registry)
@torch.no_grad()
def test_every_weight_quantizer_gives_the_bits_of_the_layer_or_a_reason(name):
    layer = Linear(24, 5, weight_quantizer=name, input_quantizer="int8").eval()
    x = torch.randn(3, 24)
    before = layer(x)
    (row,) = onebit.accelerate_(layer).rows
    assert row.swapped, row.why
    assert torch.equal(bits(layer(x)), bits(before))


@pytest.mark.parametrize("name", sorted(set(activation_registry) - {"absmax", "bitnet"}))
@torch.no_grad()
def test_every_input_quantizer_gives_the_bits_of_the_layer(name):
    layer = Conv2d(3, 5, 3, padding=1, weight_quantizer="ternary", input_quantizer=name).eval()
    x = torch.randn(2, 3, 5, 4)
    before = layer(x)
    assert onebit.accelerate_(layer).swapped
    assert torch.equal(bits(layer(x)), bits(before))


@torch.no_grad()
def test_sums_beyond_2_to_the_24_are_exact_and_within_a_rounding_of_pytorch():
    layer = Linear(3000, 4, bias=False, weight_quantizer="int8", input_quantizer="int8").eval()
    layer.weight.uniform_(0.9, 1.0)
    layer.input_quantizer.step.fill_(1 / 127)
    x = torch.rand(2, 3000) + 0.5
    before = layer(x)
    onebit.accelerate_(layer)
    codes, scale, *_ = layer.weight_quantizer.encode(layer.weight)
    sums = layer.input_quantizer.encode(x).codes.long() @ codes.long().T
    assert sums.max() > 2**24
    assert torch.equal(layer(x), sums.float() * (layer.input_quantizer.step * scale.T))
    torch.testing.assert_close(layer(x), before, rtol=1e-6, atol=0)


@torch.no_grad()
def test_the_result_follows_the_memory_format_of_the_input_and_a_channels_last_input_is_not_copied(monkeypatch):
    layer = Conv2d(5, 6, 3).eval()
    onebit.accelerate_(layer)
    x = torch.randn(2, 5, 7, 6)
    last = x.to(memory_format=torch.channels_last)
    seen = []
    call = torch.ops.onebit.packed.default
    monkeypatch.setattr(
        "onebit.deploy.accelerate.layer.call", lambda x, *more: seen.append(x.data_ptr()) or call(x, *more)
    )
    assert torch.equal(layer(last), layer(x))
    assert seen[0] == last.data_ptr()
    assert layer(last).is_contiguous(memory_format=torch.channels_last)
    assert layer(x).is_contiguous()
    assert torch.equal(layer(x[:, :, ::2, 1:]), layer(x[:, :, ::2, 1:].clone()))


def test_batches_and_maps_of_any_size_the_empty_one_too(pair):
    model, fast, _ = pair
    for shape in [(0, 1, 9, 9), (1, 1, 9, 9), (3, 1, 12, 9), (2, 1, 7, 30)]:
        x = torch.randn(shape)
        assert torch.equal(fast(x), model(x))
    with pytest.raises(ValueError, match="must have a size of at least"):
        fast(torch.zeros(1, 1, 3, 3))


@pytest.mark.parametrize("threads", [None, 1, 3])
@torch.no_grad()
def test_any_number_of_threads_gives_the_same_bits(threads):
    layer = Conv2d(16, 32, 3, padding=1).eval()
    x = torch.randn(4, 16, 20, 20)
    before = layer(x)
    onebit.accelerate_(layer, threads=threads)
    assert torch.equal(layer(x), before)


def test_python_threads_call_the_same_layers_at_once(pair):
    model, fast, _ = pair
    inputs = [torch.randn(n, 1, 9, 9) for n in (1, 2, 3, 4)]
    wanted = [model(x) for x in inputs]
    wrong = []

    @torch.no_grad()
    def work(x, want):
        for _ in range(20):
            if not torch.equal(fast(x), want):
                wrong.append(1)

    workers = [threading.Thread(target=work, args=item) for item in zip(inputs, wanted)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_all_layers_share_their_threads_and_a_forked_process_goes_on_without_them():
    model = nn.Sequential(*[Conv2d(32, 32, 3, padding=1) for _ in range(6)]).eval()
    x = torch.randn(2, 32, 24, 24)
    with torch.no_grad():
        before = model(x)
        running = len(os.listdir("/proc/self/task"))
        onebit.accelerate_(model, threads=4)
        assert torch.equal(model(x), before)
        assert len(os.listdir("/proc/self/task")) <= running + 3
        child = os.fork()
        if child == 0:
            signal.alarm(20)  # a run that waited for threads that are not there would never end
            os._exit(0 if torch.equal(model(x), before) else 1)
        assert os.waitpid(child, 0)[1] == 0


# What does not go to the engine


class Noisy(Operator):
    def hard(self, x):
        return torch.where(torch.rand_like(x) < 0.5, 1.0, -1.0)


def test_what_the_engine_has_not_is_kept_with_its_reason():
    model = nn.Sequential(
        Linear(4, 4, input_quantizer=None), Linear(4, 4, weight_quantizer=None), Linear(4, 4, dtype=torch.bfloat16),
        Linear(4, 4, output=nn.Identity()), Linear(4, 4, input_quantizer=BinaryActivation(Noisy())),
        Linear(4, 4), Linear(4, 4), Linear(4, 4),
    ).eval()  # fmt: skip
    model[5].train()
    nn.init.constant_(model[6].weight, torch.nan)
    report = onebit.accelerate_(model, filter_fn=lambda _, path: path != "7")
    for row, why in zip(
        report.rows,
        ["its input is float", "its weight is float", "bfloat16", "output module", "rand", "training mode", "nan",
         "filter_fn"],
    ):  # fmt: skip
        assert why in row.why, row
        assert not row.swapped
    assert "filter_fn" in str(report)
    assert "0 layers swapped, 8 kept" in str(report)
    assert all(layer.packed is None for layer in model)
    for threads in (0, 1.5, True):
        with pytest.raises(ValueError, match="threads must be an integer of 1 or more"):
            onebit.accelerate_(model, threads=threads)


@pytest.mark.parametrize("scheme", ["bnn", "xnor"])
def test_attention_and_feed_forward_of_a_transformer_give_the_bits_of_the_layer(scheme):
    model = nn.Sequential(nn.Identity(), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True))
    onebit.quantize_(model, scheme, filter_fn=lambda *_: True)
    x = torch.randn(2, 5, 8)
    with torch.no_grad():
        before = model.eval()(x)
        report = onebit.accelerate_(model)
        assert torch.equal(model(x), before)
        model[1].self_attn.in_proj_weight.neg_()
        changed = model(x)
        assert not torch.equal(changed, before)
        onebit.decelerate_(model)
        assert torch.equal(model(x), changed)
    assert not report.kept
    parts = ["self_attn", "self_attn.out_proj", "linear1", "linear2"]
    assert [row.path for row in report.rows] == [f"1.{part}" for part in parts]


def test_a_gradient_is_refused_in_one_sentence_and_never_cut_off_silently(pair):
    _, fast, x = pair
    with torch.enable_grad():
        with pytest.raises(ValueError, match="layer '2' is accelerated and gives no gradients"):
            fast(x)
        for parameter in fast.parameters():
            parameter.requires_grad_(False)
        assert not fast(x).requires_grad
        with pytest.raises(ValueError, match=r"torch\.no_grad"):
            fast(x.clone().requires_grad_())


def test_other_dtypes_and_devices_are_computed_as_before(pair):
    model, fast, x = pair
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(fast(x), model(x))
    with torch.inference_mode():
        assert torch.equal(fast(x), model(x))
    assert torch.equal(torch.func.vmap(fast)(x[None]), torch.func.vmap(model)(x[None]))
    assert fast.to("meta")(x.to("meta")).device.type == "meta"


def test_a_layer_in_another_dtype_says_once_that_it_is_no_longer_accelerated():
    layer = Linear(8, 4).eval()
    onebit.accelerate_(layer)
    wanted = copy.deepcopy(layer).double()
    layer.double()
    with torch.no_grad(), pytest.warns(OnebitWarning, match="no longer accelerated: it is float64"):
        layer(torch.randn(2, 8))
    x = torch.randn(2, 8, dtype=torch.float64)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        onebit.decelerate_(wanted)
        assert torch.equal(layer(x), wanted(x))


# Numbers that change


def test_training_takes_the_acceleration_away_and_so_does_decelerate(pair):
    model, fast, x = pair
    assert any(isinstance(module, Packed) for module in fast.modules())
    fast.train()
    assert not any(isinstance(module, Packed) for module in fast.modules())
    with torch.enable_grad():
        fast(x).sum().backward()
    again = copy.deepcopy(model)
    onebit.accelerate_(again)
    onebit.decelerate_(again)
    assert not any(isinstance(module, Packed) for module in again.modules())
    assert not hasattr(again, "onebit_acceleration")
    assert torch.equal(again(x), model(x))


@torch.no_grad()
def test_new_weights_are_packed_whichever_way_they_come():
    model, other = (nn.Sequential(Linear(8, 4)).eval() for _ in range(2))
    fast = copy.deepcopy(model)
    onebit.accelerate_(fast)
    x = torch.randn(3, 8)
    wanted = other(x)
    assert not torch.equal(wanted, model(x))
    for way in ("load", "assign", "in place", "data", "replaced"):
        now = copy.deepcopy(fast)
        if way in ("load", "assign"):
            now.load_state_dict(other.state_dict(), assign=way == "assign")
        for (name, mine), theirs in zip(list(now.named_parameters()), other.parameters()):
            if way == "in place":
                mine.copy_(theirs)
            if way == "data":
                mine.data = theirs.data.clone()
            if way == "replaced":
                owner, _, last = name.rpartition(".")
                setattr(now.get_submodule(owner), last, nn.Parameter(theirs.clone()))
        assert torch.equal(now(x), wanted), way
        assert isinstance(now[0].packed, Packed)
        assert torch.equal(fast(x), model(x))


def test_weights_that_cannot_be_packed_leave_the_layer_to_pytorch_with_a_warning():
    layer = Linear(8, 4).eval()
    onebit.accelerate_(layer)
    with pytest.warns(OnebitWarning, match="no longer accelerated: bias holds nan"):
        layer.load_state_dict({**layer.state_dict(), "bias": torch.full((4,), torch.nan)})
    assert layer.packed is None


def test_the_state_dict_is_that_of_the_model_and_goes_both_ways(pair):
    model, fast, x = pair
    assert list(fast.state_dict()) == list(model.state_dict())
    model.load_state_dict(fast.state_dict())
    fast.load_state_dict(model.state_dict())
    assert torch.equal(fast(x), model(x))


def test_copies_and_pickles_stay_accelerated_and_do_not_pack_again(pair, monkeypatch):
    model, fast, x = pair
    file = io.BytesIO()
    torch.save(fast, file)
    file.seek(0)
    others = [copy.deepcopy(fast), torch.load(file, weights_only=False)]
    monkeypatch.setattr(graphs, "build", None)
    for other in others:
        assert torch.equal(other(x), model(x))
        assert isinstance(other[2].packed, Packed)


def test_hooks_of_a_layer_run_once():
    layer = Linear(8, 4).eval()
    layer.register_forward_pre_hook(lambda _, args: (args[0] * -1,))
    layer.register_forward_hook(lambda _, __, y: y * 3)
    x = torch.randn(2, 8)
    with torch.no_grad():
        before = layer(x)
        onebit.accelerate_(layer)
        assert torch.equal(layer(x), before)


def test_a_parametrized_weight_is_packed_as_it_comes_out():
    layer = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 2))
    nn.utils.parametrizations.weight_norm(layer[1])
    onebit.quantize_(layer, "react")
    x = torch.randn(3, 8)
    with torch.no_grad():
        before = layer.eval()(x)
        assert onebit.accelerate_(layer).swapped
        assert torch.equal(layer(x), before)


# Compiled and exported


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_model_is_one_graph_with_the_same_bits(pair, backend):
    model, fast, x = pair
    torch.compiler.reset()
    compiled = torch.compile(fast, fullgraph=True, backend=backend)
    assert torch.equal(compiled(x), model(x))
    assert torch.equal(compiled(x[:3]), model(x[:3]))
    for parameter in model.parameters():
        parameter.mul_(-1)
    fast.load_state_dict(model.state_dict())
    assert torch.equal(compiled(x), model(x))


@torch.no_grad()
def test_one_exported_or_compiled_program_takes_maps_of_any_size():
    model = nn.Sequential(
        Conv2d(3, 8, 3, stride=2, padding=1, input_quantizer="xnor"), Conv2d(8, 8, 3, padding=1, padding_mode="reflect")
    ).eval()
    x, other = torch.randn(2, 3, 9, 11), torch.randn(3, 3, 14, 8)
    wanted = model(x), model(other)
    onebit.accelerate_(model)
    auto = torch.export.Dim.AUTO
    exported = torch.export.export(model, (x,), dynamic_shapes=({0: auto, 2: auto, 3: auto},)).module()
    torch.compiler.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager", dynamic=True)
    for program in (exported, compiled):
        assert torch.equal(program(x), wanted[0])
        assert torch.equal(program(other), wanted[1])


@pytest.mark.parametrize("strict", [True, False])
def test_an_exported_program_carries_its_packed_layers(pair, strict):
    model, fast, x = pair
    program = torch.export.export(fast, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},), strict=strict)
    assert sum(node.target is torch.ops.onebit.packed.default for node in program.graph.nodes) == 3
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    again = torch.export.load(file).module()
    for rows in (x, x[:1]):
        assert torch.equal(again(rows), model(rows))


def test_the_operator_keeps_the_rules_of_operators():
    layer = Conv2d(3, 4, 3, input_quantizer="xnor").eval()
    onebit.accelerate_(layer)
    arguments = (torch.randn(2, 5, 6, 3), torch.rand(2, 1, 1, 1), layer.packed.file, [2, 3, 4, 4], 1)
    torch.library.opcheck(torch.ops.onebit.packed.default, arguments, test_utils=("test_schema", "test_faketensor"))


def test_capture_and_the_packed_file_see_the_layers_and_not_what_accelerates_them(pair, tmp_path):
    model, fast, x = pair
    captured, wanted = capture.from_torch(fast, x), capture.from_torch(model, x)
    assert [str(node) for node in captured.nodes] == [str(node) for node in wanted.nodes]
    report = onebit.pack(fast, x, tmp_path / "model.onebit", samples=x)
    assert report.comparison.bits == onebit.pack(model, x, tmp_path / "other.onebit", samples=x).comparison.bits > 0
    assert (tmp_path / "model.onebit").read_bytes() == (tmp_path / "other.onebit").read_bytes()
    assert isinstance(fast[2].packed, Packed)


def test_onebit_save_writes_the_model_and_load_gives_it_back(tmp_path):
    model = models.build("mlp", in_features=6, width=8, num_classes=3, scheme="xnor").eval()
    x = torch.randn(2, 6)
    with torch.no_grad():
        before = model(x)
        onebit.accelerate_(model)
        onebit.save(model, tmp_path / "model.safetensors")
        assert torch.equal(onebit.load(tmp_path / "model.safetensors")(x), before)


def test_a_shared_layer_has_one_row_and_one_packed_form():
    shared = Linear(8, 8)
    model = nn.Sequential(shared, nn.ReLU(), shared).eval()
    report = onebit.accelerate_(model)
    assert [row.path for row in report.rows] == ["0, 2"]
    assert sum(isinstance(module, Packed) for module in model.modules()) == 1
    assert isinstance(shared, Quantized)
