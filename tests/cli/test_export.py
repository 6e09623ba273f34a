"""``onebit export``: files for other people's programs that do what the engine does, on real test sets."""

from __future__ import annotations

import json
import typing

import numpy as np
import pytest
import torch

from onebit.cli.main import main

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    status = main(arguments)
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A network of bits trained on digits for two epochs, with a float stem: where rounding could turn a bit."""
    path = tmp_path_factory.mktemp("runs") / "digits"
    sizes = ["--size", "width=16", "depth=2", "stem_stride=1"]
    flags = ["--data", "digits", "--scheme", "biper", "--epochs", "2", "--lr", "0.01", "--threads", "1"]
    assert main(["train", "--model", "convnet", *flags, *sizes, "--output", str(path), "--json"]) == 0
    return path


@pytest.fixture(scope="module")
def packed(folder, tmp_path_factory):
    file = tmp_path_factory.mktemp("packed") / "digits.onebit"
    assert main(["pack", str(folder), "--output", str(file), "--samples", "0", "--json"]) == 0
    return file


def test_the_test_set_of_digits_keeps_its_bits_and_predictions_in_onnx_runtime(folder, tmp_path, capsys):
    file = tmp_path / "digits.onnx"
    status, out, err = run(capsys, "export", str(folder), "--to", "onnx", "--output", str(file), "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert found["samples"] == "all 360 test examples of digits"
    assert found["report"]["comparison"]["samples"] == 360
    assert found["report"]["comparison"]["bits"] > 0
    assert found["report"]["comparison"]["predictions_differ"] == 0
    assert found["report"]["comparison"]["samples_with_changed_bit"] <= 0.001 * 360
    assert found["report"]["size"] == file.stat().st_size
    onnx.checker.check_model(str(file), full_check=True)
    assert {node.domain for node in onnx.load(file).graph.node} == {""}


def test_the_test_set_of_digits_keeps_its_bits_and_predictions_in_the_executor_of_qonnx(packed, tmp_path, capsys):
    pytest.importorskip("qonnx")
    file = tmp_path / "digits.qonnx.onnx"
    arguments = ["export", str(packed), "--to", "qonnx", "--data", "digits", "--output", str(file), "--json"]
    status, out, err = run(capsys, *arguments)
    assert (status, err) == (0, "")
    comparison = json.loads(out)["report"]["comparison"]
    assert comparison["samples"] == 360
    assert comparison["predictions_differ"] == 0
    assert comparison["samples_with_changed_bit"] <= 0.001 * 360
    assert "BipolarQuant" in {node.op_type for node in onnx.load(file).graph.node}


def test_at_most_a_thousandth_of_the_test_images_of_mnist_has_a_changed_bit(load_dataset):
    from onebit import deploy
    from onebit.data import normalize
    from onebit.deploy.export.report import compare
    from onebit.nn import models

    mnist = load_dataset("mnist")
    model = models.build("convnet", scheme="biper", width=8, depth=1, stem="float")
    images = normalize(mnist.test.images[:1000], mnist.mean, mnist.std)
    with torch.no_grad():  # statistics of batch norms as after a training, without one
        for start in range(0, 1000, 100):
            model(images[start : start + 100])
    found = compare(deploy.prepare(model.eval(), images[:1]), "onnx", [images.numpy()])
    assert found.samples == 1000
    assert found.bits > 1_000_000
    assert found.within(0.001)


def test_the_table_says_what_was_checked_and_compared(packed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, "export", str(packed), "--to", "onnx", "--samples", "20")
    assert status == 0
    assert "the inputs compared are random" in err
    rows = dict(line.split("  ", 1) for line in out.splitlines()[2:-1])
    rows = {name: value.strip() for name, value in rows.items()}
    assert rows["file"] == "digits.onnx"
    assert rows["checker of ONNX"] == "passed"
    assert rows["samples compared with the engine"] == "20"
    assert rows["samples with any changed bit"] == "0"
    assert "predictions that differ" in rows
    assert out.splitlines()[-1] == "Samples: random inputs."


def test_without_samples_nothing_is_compared(packed, tmp_path, capsys):
    file = tmp_path / "a.onnx"
    status, out, err = run(capsys, "export", str(packed), "--to", "onnx", "--samples", "0", "-o", str(file), "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["report"]["comparison"] is None
    assert file.exists()


def test_a_model_that_is_no_run_is_compared_on_random_inputs_of_its_size(tmp_path, capsys):
    file = tmp_path / "mlp.onnx"
    sizes = ["--size", "in_features=20", "width=16", "depth=1"]
    arguments = ["mlp", "--scheme", "bnn", *sizes, "--input", "20", "--to", "onnx", "-o", str(file), "--json"]
    status, out, err = run(capsys, "export", *arguments)
    assert status == 0
    assert "has not been trained" in err
    assert json.loads(out)["samples"] == "random inputs"
    assert json.loads(out)["report"]["comparison"]["samples"] == 100


def test_bits_that_change_in_more_than_a_thousandth_of_the_samples_are_status_1(packed, tmp_path, monkeypatch, capsys):
    from onebit.deploy.export import report

    right = report.FORMATS["onnx"]

    def wrong(model):
        runs = right.run(model)

        def run_wrongly(arrays):
            first, *bits = runs(arrays)
            return [first, *[np.where(np.arange(len(b)).reshape(-1, *[1] * (b.ndim - 1)) == 0, -b, b) for b in bits]]

        return run_wrongly

    monkeypatch.setitem(report.FORMATS, "onnx", right._replace(run=wrong))
    arguments = ["export", str(packed), "--to", "onnx", "--samples", "50", "-o", str(tmp_path / "a.onnx"), "--json"]
    status, out, _ = run(capsys, *arguments)
    assert status == 1
    found = json.loads(out)
    assert not found["holds"]
    assert found["report"]["comparison"]["samples_with_changed_bit"] == 1
    assert found["report"]["comparison"]["predictions_differ"] == 0


def test_every_format_of_the_library_is_one_of_the_command():
    from onebit.cli.export import SUFFIX, export
    from onebit.deploy.export.report import FORMATS

    assert set(typing.get_args(typing.get_type_hints(export)["to"])) == set(FORMATS) == set(SUFFIX)


def test_every_kind_can_be_exported_to_both(capsys):
    status, out, _ = run(capsys, "support", "--json")
    assert status == 0
    assert all(row["onnx"] and row["qonnx"] for row in json.loads(out).values())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "nir"], "--to must be one of onnx, qonnx, got 'nir'"),
        ([], "--to is required"),
        (["--to", "onnx", "--samples", "-1"], "--samples must be"),
        (["--to", "onnx", "--size", "width=3"], "belong to models; a packed file has its own"),
        (["--to", "onnx", "--data", "mnits"], "did you mean 'mnist'"),
        (["--to", "onnx", "--output", "{packed}"], "--output must be another file than MODEL"),
    ],
)
def test_errors_are_one_sentence_and_leave_no_file(arguments, said, packed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = packed.read_bytes()
    status, out, err = run(capsys, "export", str(packed), *[word.format(packed=packed) for word in arguments])
    assert (status, out) == (2, "")
    assert err.startswith("onebit export: ")
    assert len(err.splitlines()) == 1
    assert said in err
    assert not list(tmp_path.iterdir())
    assert packed.read_bytes() == before


def test_a_file_that_is_no_packed_network_is_named(tmp_path, capsys):
    for name, content in (("a.onebit", b"nonsense"), ("missing.onebit", None)):
        file = tmp_path / name
        if content is not None:
            file.write_bytes(content)
        status, _, err = run(capsys, "export", str(file), "--to", "onnx", "-o", str(tmp_path / "a.onnx"))
        assert status == 2
        assert name in err
        assert len(err.splitlines()) == 1
        assert not (tmp_path / "a.onnx").exists()


def test_a_data_set_of_another_shape_is_refused(packed, tmp_path, load_dataset, capsys):
    load_dataset("mnist")
    arguments = ["export", str(packed), "--to", "onnx", "--data", "mnist", "-o", str(tmp_path / "a.onnx")]
    status, _, err = run(capsys, *arguments)
    assert status == 2
    assert "--data mnist has examples of shape (1, 28, 28)" in err
    assert "takes (1, 8, 8)" in err
