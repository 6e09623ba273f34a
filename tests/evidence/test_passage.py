"""The picture of a picture's way through a packed network."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as xml
from pathlib import Path

import numpy as np
import pytest

from onebit import examples, ir
from onebit.cli.main import CANNOT_RUN, DONE, main
from onebit.evidence import passage

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "network.svg"


@pytest.fixture(scope="module")
def graph():
    return ir.load(examples.network("digits"))


def test_the_bits_are_those_that_the_network_makes_and_taking_them_changes_nothing(graph):
    x = np.random.default_rng(0).standard_normal((1, 1, 8, 8), dtype=np.float32)
    before = graph.run(x)[0]
    maps = passage.bits(graph, x)
    assert len(maps) == sum(node.kind in ("sign", "threshold") for node in graph.nodes)
    assert all(set(np.unique(layer)) <= {-1, 1} for layer in maps)
    assert all((a == b).all() for a, b in zip(before, graph.run(x)[0]))


def test_of_a_graph_without_bits_there_are_no_maps():
    graph = ir.Graph({"x": ir.TensorType("float32", (1, 1, 2, 2))}, ["y"], [ir.Node("relu", ("x",), ("y",))])
    assert passage.bits(graph, np.zeros((1, 1, 2, 2), np.float32)) == []


def test_the_drawing_holds_every_bit_of_the_maps_it_shows():
    ones = np.random.default_rng(1).random((5, 7)) < 0.5
    root = xml.fromstring(f'<svg xmlns="">{passage._map(ones, 0, 0)}</svg>')
    drawn = np.zeros_like(ones)
    for x, y, long in re.findall(r"M(\d+) (\d+)h(\d+)v1", root.find(".//path").get("d")):
        drawn[int(y), int(x) : int(x) + int(long)] = True
    assert (drawn == ones).all()


def test_the_drawing_is_well_formed_and_names_every_class():
    maps = [np.ones((4, 4, 3), np.int8)]
    names = ["<a>", "b & c"]
    root = xml.fromstring(passage.drawing(np.eye(6, dtype=np.uint8) * 255, maps, [0.0, 1.0], names))
    assert [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")][-2:] == names


def test_the_committed_picture_is_what_the_command_draws(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["plot", "network"]) == DONE
    assert (tmp_path / "network.svg").read_text() == COMMITTED.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["network", "--low", "1"], "--low and --high"),
        (["network", "-o", "a.png"], "--output must end in .svg"),
        (["network", "nothing.onebit"], "nothing.onebit does not exist"),
        (["operators", "nothing.onebit"], "FILE belongs to network"),
        (["operators", "--image", "a.png"], "--image belongs to network and corruptions"),
        (["network", "--data", "digits"], "--data belongs to corruptions"),
        (["corruptions", "--high", "1"], "corruptions has none"),
        (["corruptions", "-o", "folder"], "--output must end in .svg, .png, .pdf"),
        (["corruptions", "--data", "digits", "--image", "a.png"], "either --image or --data"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(arguments, said, capsys):
    assert main(["plot", *arguments]) == CANNOT_RUN
    assert said in capsys.readouterr().err


def test_a_folder_gets_a_picture_of_every_operator(tmp_path, capsys):
    from onebit.nn import operators

    assert main(["plot", "operators", "-o", str(tmp_path / "all")]) == DONE
    drawn = sorted((tmp_path / "all").iterdir())
    assert [path.name for path in drawn] == sorted(f"{name}.svg" for name in operators.registry)
    assert all(xml.parse(path) for path in drawn)


def test_the_sheet_of_corruptions_is_drawn_or_measured(tmp_path, capsys):
    from onebit.data import CORRUPTIONS

    file = tmp_path / "all.svg"
    assert main(["plot", "corruptions", "--data", "digits", "-o", str(file)]) == DONE
    assert str(file) in capsys.readouterr().out
    assert len(list(xml.parse(file).iter("{http://www.w3.org/2000/svg}image"))) == 6 * len(CORRUPTIONS)
    assert main(["plot", "corruptions", "--json"]) == DONE
    far = json.loads(capsys.readouterr().out)
    assert set(far) == set(CORRUPTIONS)
    assert all(len(row) == 5 and row[0] <= row[4] > 0 for row in far.values())
