"""``quantize_``: what is swapped, what is kept, and the traps."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

import onebit
from onebit.core.progress import Progress
from onebit.nn import Conv2d, Linear, MultiheadAttention, TransformerEncoderLayer, broadcast, quantize_, schemes
from onebit.nn.layers import Quantized, TransposedLinear
from onebit.nn.quantizers import BinaryActivation, BinaryWeight, UniformActivation, UniformWeight
from onebit.nn.schemes import Scheme

SCHEMES = sorted(schemes.registry)


class Block(nn.Module):
    """A residual block with a strided shortcut."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, 2, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.conv2(self.relu(self.bn1(self.conv1(x)))) + self.downsample(x))


def resnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        Block(4, 8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


class Transformer(nn.Module):
    """A tiny language model with separate projections and a tied head."""

    def __init__(self, layers: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({name: nn.Linear(8, 8) for name in ("query", "key", "value", "out", "fc")})
            for _ in range(layers)
        )
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens)
        for block in self.blocks:
            q, k, v = block["query"](x), block["key"](x), block["value"](x)
            x = x + block["out"](nn.functional.scaled_dot_product_attention(q, k, v))
            x = x + block["fc"](torch.relu(x))
        return self.head(x)


def state(report: onebit.nn.schemes.Report) -> dict[str, str]:
    return {row.path: row.why if not row.swapped else "swapped" for row in report.rows}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_trains_a_swapped_network(scheme: str):
    model = resnet()
    quantize_(model, scheme)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    x, y = torch.randn(32, 3, 8, 8), torch.arange(32) % 5
    losses = []
    for step in range(30):
        broadcast(model, Progress(step, 30, step, 30))
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_a_convolutional_network_keeps_first_convolution_classifier_and_shortcuts():
    report = quantize_(resnet(), "bireal")
    assert state(report) == {
        "0": "first convolution",
        "2.conv1": "swapped",
        "2.conv2": "swapped",
        "2.downsample.0": "1x1 convolution of a shortcut",
        "5": "classifier or head",
    }
    everything = quantize_(resnet(), Scheme("bireal", "bireal", keep_downsample=False))
    assert state(everything)["2.downsample.0"] == "swapped"


def test_a_perceptron_keeps_first_and_last_layer():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    assert state(quantize_(model, "bnn")) == {"0": "first layer", "2": "swapped", "4": "classifier or head"}


def test_a_network_without_linear_layers_keeps_its_last_convolution():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 2, 1))
    assert state(quantize_(model, "bnn")) == {"0": "first convolution", "1": "swapped", "2": "last convolution"}


def test_a_transformer_keeps_embeddings_and_head_and_never_one_projection_alone():
    for layers in (1, 2):
        rows = state(quantize_(Transformer(layers), "bnn"))
        assert rows["embedding"] == "embedding"
        assert rows["head"] == "tied to an embedding"
        assert all(value == "swapped" for path, value in rows.items() if path.startswith("blocks"))


def test_swapping_a_query_projection_alone_is_refused():
    with pytest.raises(
        ValueError, match=r"query, key and value must be swapped together: blocks\.0\.query chosen without"
    ):
        quantize_(Transformer(), "bnn", filter_fn=lambda module, path: path == "blocks.0.query")


def test_the_filter_decides_instead_of_the_rules():
    model = resnet()
    report = quantize_(model, "bnn", filter_fn=lambda module, path: isinstance(module, nn.Linear))
    assert [row.path for row in report.swapped] == ["5"]
    assert isinstance(model[5], Linear)
    assert {row.why for row in report.kept} == {"filter_fn"}


def test_an_example_shows_what_the_order_of_definition_hides():
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.classifier = nn.Linear(6, 2)
            self.unused = nn.Linear(6, 6)
            self.second = nn.Conv2d(4, 6, 3)
            self.first = nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.classifier(self.second(torch.relu(self.first(x))).mean((2, 3)))

    model = Backwards().train()
    model.second.eval()
    report = quantize_(model, "bireal", example=torch.randn(4, 3, 8, 8))
    rows = state(report)
    assert rows["first"] == "first convolution"
    assert rows["classifier"] == "classifier or head"
    assert rows["unused"] == "did not run on the example"
    assert [(row.path, row.non_negative) for row in report.swapped] == [("second", True)]
    assert model.second.input_quantizer.initialized
    assert model.training
    assert not model.second.training


def test_example_takes_a_tuple_and_keywords():
    for example in ((torch.zeros(1, 3, dtype=torch.long),), {"tokens": torch.zeros(1, 3, dtype=torch.long)}):
        report = quantize_(Transformer(), "bnn", example=example)
        assert {row.path for row in report.swapped if row.non_negative} == {"blocks.0.fc", "blocks.1.fc"}


@pytest.mark.parametrize(
    "before", [nn.ReLU(), nn.ReLU6(), nn.Sigmoid(), nn.Softmax(-1), nn.Softplus(), nn.Hardsigmoid()], ids=str
)
def test_after_a_function_that_is_never_negative_the_sign_gets_a_centred_shift(before: nn.Module):
    model = nn.Sequential(
        nn.Linear(6, 6), before, nn.Dropout(0.0), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.Linear(6, 2)
    )
    report = quantize_(model, "bireal")
    assert model[3].input_quantizer.shift_kind == "centred"
    assert model[5].input_quantizer.shift_kind == "none"
    (row,) = [row for row in report.rows if row.non_negative]
    assert row.path == "3"
    assert type(before).__name__ in row.why
    assert "centred shift" in row.why
    codes = model[3].input_quantizer(model[:3](torch.randn(64, 6)))
    assert -0.9 < codes.mean() < 0.9  # not all +1


def test_a_relu_is_seen_through_nested_sequentials_and_pooling():
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(4, 4, 3)),
        nn.Conv2d(4, 2, 1),
    )
    quantize_(model, "react")
    assert model[1][0].input_quantizer.shift_kind == "centred"


def test_inside_a_block_the_order_of_definition_is_taken_for_the_order_of_calls():
    model = resnet()
    quantize_(model, "bireal")
    assert model[2].conv2.input_quantizer.shift_kind == "centred"
    assert model[2].conv1.input_quantizer.shift_kind == "none"


def test_a_quantizer_for_positive_inputs_needs_no_shift():
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.Linear(6, 2))
    report = quantize_(model, schemes.dorefa(2, 2))
    assert "its quantizer is made for that" in report.rows[1].why
    assert Scheme(None, None).input_quantizer(non_negative=True) is None


# parameters, names, tying, optimizers, state dicts


@pytest.mark.parametrize("scheme", ["bnn", "biper", "react"])
def test_parameter_objects_and_names_are_kept(scheme: str):
    model = resnet()
    before = dict(model.named_parameters())
    report = quantize_(model, scheme)
    after = dict(model.named_parameters())
    assert all(after[name] is parameter for name, parameter in before.items())
    assert sorted(set(after) - set(before)) == sorted(report.new_parameters)


def test_an_optimizer_made_before_still_trains_the_model():
    model = resnet()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    model(torch.randn(4, 3, 8, 8)).square().sum().backward()
    optimizer.step()
    quantize_(model, "bnn")
    before = model[2].conv1.weight.detach().clone()
    optimizer.zero_grad()
    model(torch.randn(4, 3, 8, 8)).square().sum().backward()
    optimizer.step()
    assert not torch.equal(model[2].conv1.weight, before)


def test_a_float_state_dict_fits_afterwards():
    plain = resnet()
    state_dict = copy.deepcopy(plain.state_dict())
    quantize_(plain, "biper")
    for value in plain.parameters():
        nn.init.zeros_(value)
    plain.load_state_dict(state_dict)
    assert all(torch.equal(plain.state_dict()[name], value) for name, value in state_dict.items())


def test_tied_and_shared_layers_stay_tied_and_shared():
    shared = nn.Linear(6, 6)
    model = nn.ModuleDict(
        {"in": nn.Linear(6, 6), "a": shared, "b": nn.Linear(6, 6), "c": shared, "out": nn.Linear(6, 2)}
    )
    model["b"].weight = shared.weight
    quantize_(model, "bnn")
    assert model["a"] is model["c"]
    assert isinstance(model["a"], Linear)
    assert model["b"].weight is model["a"].weight


def test_hooks_and_parametrizations_survive_the_swap():
    model = nn.Sequential(nn.Linear(6, 6), nn.utils.parametrizations.weight_norm(nn.Linear(6, 6)), nn.Linear(6, 2))
    calls = []
    handle = model[1].register_forward_hook(lambda *_: calls.append(1))
    weight = model[1].weight.detach().clone()
    report = quantize_(model, "dorefa")
    assert [row.path for row in report.swapped] == ["1"]
    assert isinstance(model[1], Linear)
    assert torch.equal(model[1].weight, weight)
    model(torch.randn(3, 6)).sum().backward()
    assert calls == [1]
    assert model[1].parametrizations.weight.original1.grad is not None
    copy.deepcopy(model)
    handle.remove()
    model(torch.randn(3, 6))
    assert calls == [1]


def test_an_error_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16), nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1), nn.Linear(8, 2))
    before = [*model.modules()]

    def broken(layer: nn.Module) -> nn.Module:
        raise RuntimeError("no output for you")

    with pytest.raises(RuntimeError, match="no output for you"):
        quantize_(model, Scheme("bnn", "bnn", output=broken))
    assert all(a is b for a, b in zip(model.modules(), before, strict=True))
    assert type(model[0].self_attn) is nn.MultiheadAttention
    assert type(model[0].linear1) is nn.Linear


# attention and Hugging Face


def test_attention_is_replaced_whole_and_its_layers_are_called_in_eval_mode():
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2)
            self.head = nn.Linear(8, 3)

        def forward(self, x: torch.Tensor, padding: torch.Tensor | None = None) -> torch.Tensor:
            return self.head(self.encoder(x, src_key_padding_mask=padding).mean(1))

    model = Classifier()
    before = dict(model.named_parameters())
    report = quantize_(model, "bnn")
    assert state(report) == {"encoder.layers.0": "swapped", "encoder.layers.1": "swapped", "head": "classifier or head"}
    assert all(isinstance(layer, TransformerEncoderLayer) for layer in model.encoder.layers)
    assert all(dict(model.named_parameters())[name] is parameter for name, parameter in before.items())
    calls = []
    for module in model.modules():
        if isinstance(module, (Quantized, MultiheadAttention)):
            module.register_forward_hook(lambda *_: calls.append(1))
    padding = torch.zeros(2, 5, dtype=torch.bool)
    padding[0, -2:] = True
    model.eval()
    with torch.no_grad():
        output = model(torch.randn(2, 5, 8), padding)
    assert output.shape == (2, 3)
    assert len(calls) == 2 * 4  # attention, out_proj, linear1, linear2 of both layers


def test_a_filter_that_takes_only_linear_layers_replaces_the_whole_encoder_layer():
    model = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16), nn.Linear(8, 2))
    report = quantize_(model, "bnn", filter_fn=lambda module, path: type(module) is nn.Linear and path != "1")
    assert isinstance(model[0], TransformerEncoderLayer)
    assert report.rows[0].why == "replaced whole"


def test_a_decoder_gets_attention_of_bits_and_its_linear_layers():
    model = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
    rows = state(quantize_(model, "bnn"))
    assert set(rows.values()) == {"swapped"}
    assert isinstance(model.decoder.layers[0].multihead_attn, MultiheadAttention)
    assert isinstance(model.decoder.layers[0].linear2, Linear)
    model.eval()
    assert model(torch.randn(2, 4, 8), torch.randn(2, 3, 8)).shape == (2, 3, 8)


def test_a_hugging_face_model_keeps_embeddings_and_head_and_trains():
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        n_embd=8, n_layer=1, n_head=2, vocab_size=11, n_positions=8, bos_token_id=0, eos_token_id=0
    )
    model = transformers.GPT2LMHeadModel(config)
    weight = model.transformer.h[0].attn.c_attn.weight
    rows = state(quantize_(model, "biper"))
    assert isinstance(model.transformer.h[0].attn.c_attn, TransposedLinear)
    assert model.transformer.h[0].attn.c_attn.weight is weight
    assert {path for path, value in rows.items() if value != "swapped"} == {
        "transformer.wte",
        "transformer.wpe",
        "lm_head",
    }
    tokens = torch.randint(0, 11, (2, 6))
    model(tokens, labels=tokens).loss.backward()
    assert weight.grad.abs().sum() > 0


def test_transformers_is_never_imported():
    code = (
        "import sys, onebit.nn, torch\n"
        "model = torch.nn.Sequential(*[torch.nn.Linear(2, 2) for _ in range(3)])\n"
        "onebit.nn.quantize_(model, 'bnn')\n"
        "assert 'transformers' not in sys.modules and 'matplotlib' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# what cannot be swapped


def test_what_cannot_be_swapped_is_kept_with_a_reason():
    class Odd(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(2 * x)

    model = nn.Sequential(
        nn.Linear(4, 4),
        Odd(4, 4),
        nn.LazyLinear(4),
        Linear(4, 4),
        nn.LSTMCell(4, 4),
        nn.ConvTranspose2d(2, 2, 2),
        nn.Linear(4, 4),
        nn.Linear(4, 2),
    )
    rows = state(quantize_(model, "bnn"))
    assert rows["1"] == "a subclass, whose own forward a swap would lose"
    assert rows["2"] == "not initialised yet: run the model once first"
    assert rows["3"] == "of bits already"
    assert rows["4"] == rows["5"] == "there is no layer of bits for this class"
    assert rows["6"] == "swapped"


def test_quantizing_twice_changes_nothing_the_second_time():
    model = resnet()
    quantize_(model, "bnn")
    layer = model[2].conv1
    report = quantize_(model, "biper", filter_fn=lambda *_: True)
    assert model[2].conv1 is layer
    assert {row.path for row in report.kept} == {"2.conv1", "2.conv2"}


def test_a_single_layer_is_refused():
    with pytest.raises(ValueError, match=r"model must hold layers, got a single Linear: wrap it in nn.Sequential"):
        quantize_(nn.Linear(2, 2), "bnn")


def test_an_unknown_scheme_is_an_error_with_a_suggestion():
    with pytest.raises(KeyError, match=r"unknown scheme 'bipper' .*did you mean 'biper'"):
        quantize_(resnet(), "bipper")
    with pytest.raises(TypeError, match="scheme must be a name, a Scheme or a factory of one, got 3"):
        quantize_(resnet(), 3)


# report and schemes


def test_the_report_prints_as_a_table_and_promises_nothing():
    text = str(quantize_(resnet(), "biper"))
    lines = text.splitlines()
    assert lines[0].split() == ["layer", "class", "why"]
    assert any("2.conv1" in line and "swapped" in line for line in lines)
    assert "2 layers swapped, 3 kept" in text
    assert "optimizer.add_param_group" in text
    assert "Without training from here on, expect chance accuracy." in text


def test_layers_do_not_share_quantizers():
    model = resnet()
    quantize_(model, Scheme(BinaryWeight("swish"), BinaryActivation(shift="learned")))
    first, second = model[2].conv1, model[2].conv2
    assert first.weight_quantizer is not second.weight_quantizer
    assert first.input_quantizer.shift is not second.input_quantizer.shift
    assert (first.input_quantizer.shift.numel(), second.input_quantizer.shift.numel()) == (4, 8)


def test_a_scheme_with_an_output_module_gives_one_to_each_layer():
    class Gain(nn.Module):
        def __init__(self, layer: nn.Module) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.full((layer.out_channels, 1, 1), 2.0))

        def forward(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            return self.gain * y

    model = resnet()
    report = quantize_(model, Scheme("bnn", "sign", output=Gain))
    assert "2.conv1.output.gain" in report.new_parameters
    layer = model[2].conv1
    x = torch.randn(2, 4, 8, 8)
    assert torch.allclose(layer(x), 2 * Conv2d.product(layer, torch.sign(x), torch.sign(layer.weight)), atol=1e-5)


def test_post_training_int8_is_close_to_the_float_network():
    model = resnet().eval()
    x = torch.randn(4, 3, 8, 8)
    expected = model(x)
    quantize_(model, Scheme(UniformWeight, UniformActivation), filter_fn=lambda *_: True, example=x)
    model.train()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        model(x)
    assert (model.eval()(x) - expected).abs().max() < 0.05 * expected.abs().max() + 0.02


def test_both_stages_of_biper_switch_with_progress():
    model = resnet()
    quantize_(model, schemes.biper(stages=2))
    weight = model[2].conv1
    for stage, binary in ((1, False), (2, True)):
        broadcast(model, Progress(0, 1, 0, 1, stage))
        codes = weight.weight_quantizer.encode(weight.weight).codes
        assert bool((codes.abs() == 1).all()) == binary
    assert schemes.biper(stages=2).stages == 2
    assert schemes.biper().stages == 1


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: schemes.biper(stages=3), ValueError, "stages must be 1 or 2, got 3"),
        (lambda: Scheme("bnn", "bnn", stages=0), ValueError, "stages must be an integer of at least 1, got 0"),
        (lambda: Scheme("bnm", "bnn"), KeyError, "unknown weight quantizer 'bnm'"),
        (lambda: schemes.build("bnn", freq=3), TypeError, "freq"),
        (lambda: Scheme("bnn", "bnn").describe(), ValueError, "made by hand"),
    ],
)
def test_bad_schemes_are_refused(make, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_registered_scheme_can_be_made_again_from_its_description(scheme: str):
    made = schemes.build(scheme)
    description = made.describe()
    assert schemes.build(description["name"], **description["settings"]).describe() == description
