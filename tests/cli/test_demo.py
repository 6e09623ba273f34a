"""The demo from end to end, small: what it prints, what it writes, and that its page needs nothing else."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from onebit.cli.main import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def numbers(folder):
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        status = main(["demo", "--epochs", "2", "--width", "16", "--output", str(folder), "--json"])
    assert status == 0
    return json.loads(out.getvalue())


def test_engine_and_interpreter_agree_bit_for_bit(numbers):
    assert numbers["differing_bits"] == 0
    assert numbers["exact_examples"] == numbers["test_examples"] == 360
    assert {e["isa"] for e in numbers["exactness"]} >= {"portable"}
    assert all(e["outputs"] == 3600 for e in numbers["exactness"])


def test_the_packed_file_predicts_what_the_network_of_bits_predicts_in_pytorch(numbers):
    assert numbers["packed_accuracy"] == pytest.approx(numbers["bits_accuracy"], abs=1 / 360 + 1e-9)
    assert numbers["packed_accuracy"] > 0.5


def test_sizes_are_those_of_the_files(numbers, folder):
    assert numbers["packed_bytes"] == (folder / "digits.onebit").stat().st_size
    assert numbers["float_bytes"] == (folder / "float-twin.safetensors").stat().st_size
    assert numbers["times_smaller"] == pytest.approx(numbers["float_bytes"] / numbers["packed_bytes"])


def test_latencies_are_of_three_peers(numbers):
    assert set(numbers["latency"]) == {"engine", "pytorch_float32", "onnxruntime_float32"}
    assert all(timing["median"] >= timing["minimum"] > 0 for timing in numbers["latency"].values())


def test_the_page_is_well_formed_and_needs_no_other_file(numbers, folder):
    text = (folder / "index.html").read_text()
    page = ElementTree.fromstring(text.removeprefix("<!doctype html>"))
    for element in page.iter():
        assert element.tag not in ("script", "link", "iframe", "object")
        for name in ("src", "href"):
            assert element.get(name, "data:").startswith("data:")
    assert not re.search(r"url\(|@import|https?://", text)
    assert 'name="viewport"' in text
    assert "prefers-color-scheme: dark" in text


def test_the_page_shows_curves_of_every_operator_the_samples_and_the_bits(numbers, folder):
    from onebit.nn import operators

    text = (folder / "index.html").read_text()
    for name in operators.registry:
        assert f"<code>{name}</code>" in text
    assert text.count("<figure>") == 24
    assert 'class="bits"' in text
    assert "not one bit differs" in text


def test_nothing_half_written_is_left_behind(numbers, folder):
    assert not list(folder.glob(".*"))


def test_run_prints_class_and_probability_of_a_picture(numbers, folder, capsys):
    from PIL import Image

    from onebit import data

    split = data.load("digits").test
    picture = folder / "digit.png"
    Image.fromarray(split.images[3, 0].numpy()).save(picture)
    assert main(["run", str(folder / "digits.onebit"), str(picture)]) == 0
    assert re.fullmatch(r"\d \(\d+ %\)\n", capsys.readouterr().out)


def test_run_on_a_test_set_finds_the_accuracy_that_the_demo_found(numbers, folder, capsys):
    assert main(["run", str(folder / "digits.onebit"), "--data", "digits", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == numbers["packed_accuracy"]


def test_run_refuses_a_data_set_of_another_shape_and_a_file_that_is_no_picture(numbers, folder, capsys, load_dataset):
    (folder / "bad.png").write_text("no picture")
    assert main(["run", str(folder / "digits.onebit"), str(folder / "bad.png")]) == 2
    assert "is not a picture" in capsys.readouterr().err
    load_dataset("mnist")
    assert main(["run", str(folder / "digits.onebit"), "--data", "mnist"]) == 2
    assert "(1, 28, 28)" in capsys.readouterr().err


def test_inspect_prints_every_node_and_the_total(numbers, folder, capsys):
    from onebit import ir

    graph = ir.load(folder / "digits.onebit")
    assert main(["inspect", str(folder / "digits.onebit"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["kind"] for row in found["nodes"]] == [*(node.kind for node in graph.nodes), "total"]
    assert main(["inspect", str(folder / "digits.onebit")]) == 0
    assert "bit macs" in capsys.readouterr().out


def test_differing_bits_counts_bits_and_takes_any_nan_for_any_other():
    from onebit.evidence.demo import differing_bits

    a = np.array([1.0, np.nan, 0.0], np.float32)
    b = a.copy()
    b.view(np.uint32)[1] ^= 1
    assert differing_bits(a, b) == 0
    b.view(np.uint32)[0] ^= 0b101
    assert differing_bits(a, b) == 2
