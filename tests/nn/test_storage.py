"""``save`` and ``load``: models of bits on disk."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import onebit
from onebit.core.progress import Progress
from onebit.nn import broadcast, models, quantize_, schemes
from onebit.nn.schemes import Scheme


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3),
        nn.Flatten(),
        nn.Linear(64, 6),
        nn.Linear(6, 2),
    )


def state_of(model: nn.Module) -> dict[str, tuple]:
    """Names, dtypes and values of all that ``model`` keeps."""
    return {name: (value.dtype, value.tolist()) for name, value in model.state_dict().items()}


X = torch.linspace(-1, 1, 2 * 3 * 64).reshape(2, 3, 8, 8)


@pytest.mark.parametrize("scheme", sorted(schemes.registry))
def test_a_saved_model_comes_back_bit_for_bit_into_a_float_model(scheme: str, tmp_path):
    model = network()
    quantize_(model, scheme)
    model(X)
    broadcast(model, Progress.complete(2))
    model.eval()
    onebit.save(model, tmp_path / "m.safetensors")
    for target in (network(), network):
        loaded = onebit.load(tmp_path / "m.safetensors", target)
        assert not loaded.training
        assert torch.equal(loaded(X), model(X))


def test_settings_of_the_scheme_come_back(tmp_path):
    model = network()
    quantize_(model, schemes.biper(freq="auto", stages=2, scale="mean_abs"))
    onebit.save(model, tmp_path / "m")
    loaded = onebit.load(tmp_path / "m", network())
    assert loaded[3].weight_quantizer.freq == model[3].weight_quantizer.freq
    assert loaded[3].weight_quantizer.stage == 1
    assert loaded[3].input_quantizer.shift_kind == "centred"
    onebit.save(loaded, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "m").read_bytes()


def test_the_filter_need_not_be_known_to_load(tmp_path):
    model = network()
    quantize_(model, "bnn", filter_fn=lambda module, path: path == "6")
    onebit.save(model.eval(), tmp_path / "m")
    assert torch.equal(onebit.load(tmp_path / "m", network)(X), model(X))


def test_a_model_of_bits_from_the_start_loads_too(tmp_path):
    def make() -> nn.Module:
        return nn.Sequential(nn.Flatten(), onebit.nn.Linear(192, 4, weight_quantizer="biper", input_quantizer="react"))

    model = make().eval()
    onebit.save(model, tmp_path / "m")
    assert torch.equal(onebit.load(tmp_path / "m", make)(X), model(X))


def test_tied_tensors_are_written_once_and_stay_tied(tmp_path):
    def make() -> nn.Module:
        model = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 4), nn.Linear(4, 7, bias=False))
        model[2].weight = model[0].weight
        return model

    model = make()
    quantize_(model, "bnn")
    onebit.save(model, tmp_path / "m")
    assert "2.weight" not in load_file(tmp_path / "m")
    loaded = onebit.load(tmp_path / "m", make)
    assert loaded[2].weight is loaded[0].weight
    assert torch.equal(loaded[0].weight, model[0].weight)


def test_every_call_of_quantize_comes_back_also_on_parts(tmp_path):
    model = network()
    quantize_(model[3:6], "biper")
    quantize_(model, "dorefa", filter_fn=lambda module, path: path == "6")
    quantize_(model, "xnor", filter_fn=lambda module, path: path == "0")
    model(X)
    onebit.save(model.eval(), tmp_path / "m")
    loaded = onebit.load(tmp_path / "m", network)
    assert torch.equal(loaded(X), model(X))
    assert [report.scheme for report in loaded.onebit_report.history()] == ["dorefa", "xnor"]


@pytest.mark.parametrize("scheme", sorted(schemes.registry))
def test_the_report_comes_back_word_for_word(scheme: str, tmp_path):
    model = network()
    report = quantize_(model, scheme)
    onebit.save(model, tmp_path / "m")
    loaded = onebit.load(tmp_path / "m", network)
    assert loaded.onebit_report == report
    assert str(loaded.onebit_report) == str(report)


@pytest.mark.parametrize("name", sorted(models.registry))
@pytest.mark.parametrize("scheme", [None, "biper", schemes.dorefa(2, 3)], ids=["float", "biper", "settings"])
def test_a_model_built_by_name_loads_without_it(name: str, scheme, tmp_path):
    # The width of pokebnn is a factor; dfsmn has two.
    other = {"pokebnn": {"blocks": [1, 1], "channels": [8, 16]}, "dfsmn": {"hidden": 8, "memory": 4}}
    sizes = other.get(name, {"width": 4})
    model = models.build(name, num_classes=3, scheme=scheme, **sizes).eval()
    onebit.save(model, tmp_path / "m")
    loaded = onebit.load(tmp_path / "m")
    assert type(loaded) is type(model)
    assert not loaded.training
    assert state_of(loaded) == state_of(model)
    assert models.description(loaded) == models.description(model)
    onebit.save(loaded, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "m").read_bytes()


def test_a_model_built_by_name_and_quantized_loads_without_it(tmp_path):
    model = models.build("mlp", in_features=6, width=4, num_classes=3)
    quantize_(model, "reste")
    onebit.save(model.eval(), tmp_path / "m")
    x = torch.randn(5, 6)
    assert torch.equal(onebit.load(tmp_path / "m")(x), model(x))


def test_a_schedule_goes_on_from_where_it_was(tmp_path):
    model = network()
    quantize_(model, schemes.biper(stages=2))
    other = network()
    quantize_(other, schemes.reste())
    for made in (model, other):
        broadcast(made, Progress(3, 8, 3, 8, 1))
        onebit.save(made, tmp_path / "m")
        loaded = onebit.load(tmp_path / "m", network)
        assert state_of(loaded) == state_of(made)
        for progress in (Progress(5, 8, 5, 8, 1), Progress(7, 8, 7, 8, 2)):
            broadcast(made, progress)
            broadcast(loaded, progress)
            assert torch.equal(loaded(X), made.eval()(X))


def test_tensors_come_back_in_their_dtypes_and_parameters_stay_the_same_objects(tmp_path):
    for dtype in (torch.float64, torch.bfloat16):
        model = network()
        quantize_(model, "react")
        onebit.save(model.to(dtype).eval(), tmp_path / "m")
        target = network()
        before = dict(target.named_parameters())
        loaded = onebit.load(tmp_path / "m", target)
        assert all(dict(loaded.named_parameters())[name] is value for name, value in before.items())
        assert torch.equal(loaded(X.to(dtype)), model(X.to(dtype)))


def test_shared_layers_stay_shared_and_loose_buffers_are_the_models_own(tmp_path):
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 6)
            self.again = self.same = nn.Linear(6, 6)
            self.last = nn.Linear(6, 2)
            self.register_buffer("factor", torch.tensor(0.5), persistent=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.same(self.again(self.first(x)) * self.factor))

    model = Loop()
    quantize_(model, "bireal")
    onebit.save(model.eval(), tmp_path / "m")
    assert not {"factor", "same.weight"} & set(load_file(tmp_path / "m"))
    loaded = onebit.load(tmp_path / "m", Loop)
    assert loaded.again is loaded.same
    x = torch.randn(3, 4)
    assert torch.equal(loaded(x), model(x))


def test_two_tensors_are_not_loaded_into_one(tmp_path):
    def make(tied: bool) -> nn.Module:
        model = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 4), nn.Linear(4, 7, bias=False))
        if tied:
            model[2].weight = model[0].weight
        return model

    onebit.save(make(False), tmp_path / "m")
    with pytest.raises(ValueError, match=r"'2.weight' and '0.weight' are one tensor in the model and differ"):
        onebit.load(tmp_path / "m", make(True))
    onebit.save(make(True), tmp_path / "m")
    loaded = onebit.load(tmp_path / "m", make(False))
    assert torch.equal(loaded[0].weight, loaded[2].weight)


def test_a_scheme_made_by_hand_cannot_be_saved(tmp_path):
    model = network()
    quantize_(model, Scheme("bnn", "bnn"))
    with pytest.raises(ValueError, match="made by hand"):
        onebit.save(model, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_errors_say_what_is_wrong(tmp_path):
    path = tmp_path / "m"
    with pytest.raises(FileNotFoundError, match="no file"):
        onebit.load(path, network)
    path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="is not a safetensors file"):
        onebit.load(path, network)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"was not written by onebit\.save"):
        onebit.load(path, network)
    save_file({"a": torch.zeros(1)}, path, metadata={"onebit.model": json.dumps({"format": 99})})
    with pytest.raises(ValueError, match=r"has format 99, this onebit reads format \d+: install a newer one"):
        onebit.load(path, network)
    model = network()
    quantize_(model, "bnn")
    onebit.save(model, path)
    with pytest.raises(ValueError, match="no float layer '3'"):
        onebit.load(path, lambda: nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)))

    def wider() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 5, 3),
            nn.BatchNorm2d(5),
            nn.ReLU(),
            nn.Conv2d(5, 4, 3),
            nn.Flatten(),
            nn.Linear(64, 6),
            nn.Linear(6, 2),
        )

    with pytest.raises(ValueError, match=r"'0.weight' has shape .* \(5, 3, 3, 3\) in the model"):
        onebit.load(path, wider)


def changed(path, change) -> None:
    """The file at ``path`` with ``change`` done to what its metadata says."""
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["onebit.model"])
    change(about)
    save_file(load_file(path), path, metadata={"onebit.model": json.dumps(about)})


def renamed(about: dict) -> None:
    about["quantized"][0]["scheme"]["name"] = "biperr"


def other_settings(about: dict) -> None:
    about["quantized"][0]["scheme"]["settings"]["frequency"] = 3


def no_rows(about: dict) -> None:
    del about["quantized"][0]["rows"]


def short_row(about: dict) -> None:
    about["quantized"][0]["rows"][0] = ["3"]


def other_types(about: dict) -> None:
    about["quantized"] = 3


def dangling(about: dict) -> None:
    about["aliases"]["7.weight"] = "8.weight"


def unknown_model(about: dict) -> None:
    about["built"] = {"name": "resnet2000", "sizes": {}, "scheme": None}


def enormous(about: dict) -> None:
    about["quantized"] = []
    about["built"] = {"name": "mlp", "sizes": {"in_features": 4, "width": 10**7, "num_classes": 3}, "scheme": None}


def not_a_model(about: dict) -> None:
    about["built"] = 3


@pytest.mark.parametrize(
    ("change", "target", "message"),
    [
        (renamed, network, "needs the scheme 'biperr', which is not registered here; known: .*biper"),
        (other_settings, network, "scheme 'biper' cannot be built here: .*frequency"),
        (no_rows, network, r"record of quantize_ is damaged: it has no 'rows'"),
        (short_row, network, "record of quantize_ is damaged"),
        (other_types, network, "was not written by onebit.save"),
        (dangling, network, "'7.weight' is said to be '8.weight', which is not in the file"),
        (lambda about: None, None, "does not say how the model is built: give load the model or its factory"),
        (unknown_model, None, "the model that it names cannot be built here: .*unknown model 'resnet2000'"),
        (not_a_model, None, "the model that it names cannot be built here"),
        (enormous, None, r"has shape .* in the file, \(10000000, 4\) in the model"),
    ],
    ids=lambda value: getattr(value, "__name__", "") if callable(value) else "",
)
def test_a_damaged_file_is_one_sentence_that_names_it(change, target, message: str, tmp_path):
    model = network()
    quantize_(model, "biper")
    onebit.save(model, tmp_path / "m")
    changed(tmp_path / "m", change)
    with pytest.raises(ValueError, match=message) as error:
        onebit.load(tmp_path / "m", target)
    assert str(error.value).startswith(str(tmp_path / "m"))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("xnor", "scale of '6.weight_quantizer' is 'none' in the file, 'channel' in the model"),
        ("reste", "'6.weight_quantizer"),
        (None, "'6' is of bits in the file"),
    ],
)
def test_a_model_of_bits_is_not_filled_from_a_file_of_other_bits(other: str | None, message: str, tmp_path):
    bits = {"weight_quantizer": "bnn", "input_quantizer": "bnn"}

    def make(scheme: str | None) -> nn.Module:
        model = network()
        if scheme is None:
            return model
        if scheme == "bnn":  # of bits from the start: no record of quantize_
            model[6] = onebit.nn.Linear(6, 2, **bits)
        else:
            quantize_(model, scheme, filter_fn=lambda module, path: path == "6")
        return model

    onebit.save(make("bnn"), tmp_path / "m")
    with pytest.raises(ValueError, match=message):
        onebit.load(tmp_path / "m", make(other))
    onebit.load(tmp_path / "m", make("bnn"))


def test_an_error_leaves_the_model_as_it_was(tmp_path):
    model = network()
    quantize_(model, "biper")
    onebit.save(model, tmp_path / "m")
    target = network()
    target[1] = nn.BatchNorm2d(4, affine=False)
    before, state = [*target.modules()], state_of(target)
    with pytest.raises(ValueError, match=r"it has '1\.(weight|bias)', which the model does not have"):
        onebit.load(tmp_path / "m", target)
    assert all(a is b for a, b in zip(target.modules(), before, strict=True))
    assert state_of(target) == state
    assert not hasattr(target, "onebit_report")
    assert target.training


def test_nothing_is_read_from_or_written_to_the_meta_device(tmp_path):
    onebit.save(network(), tmp_path / "m")
    with torch.device("meta"):
        empty = network()
    with pytest.raises(ValueError, match=r"'0\.weight' of the model is on the meta device: build it on a real one"):
        onebit.load(tmp_path / "m", empty)
    with pytest.raises(ValueError, match=r"0\.weight is on the meta device: it has no data to be saved"):
        onebit.save(empty, tmp_path / "n")
    assert not (tmp_path / "n").exists()


def test_settings_that_json_does_not_have_are_refused(tmp_path):
    model = network()
    made = schemes.Scheme("bnn", "bnn", name="mine", settings={"limit": float("inf")})
    quantize_(model, made)
    with pytest.raises(ValueError, match="settings of a scheme must be plain finite values to be saved"):
        onebit.save(model, tmp_path / "m")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"is a folder without config.json"):
        onebit.load(tmp_path)
