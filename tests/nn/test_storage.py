"""``save`` and ``load``: models of bits on disk."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import onebit
from onebit.core.progress import Progress
from onebit.nn import broadcast, quantize_, schemes
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
    with pytest.raises(ValueError, match="format 99"):
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
