"""A loaded network: what goes in, what comes out, what it says when something does not fit."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from onebit import runtime
from onebit.core.errors import OnebitWarning

from . import packed

WAYS = [*runtime.available_isas()]


@pytest.fixture(params=WAYS)
def isa(request):
    """Each instruction set of this machine, and the interpreter."""
    return request.param


@pytest.fixture
def convolution(isa):
    """A network of bits for images (batch, 1, 8, 8) and three classes."""
    return runtime.Model(packed.convolution(), isa=isa)


@pytest.fixture
def recurrent(isa):
    """Two inputs, two outputs, a float and a bit state."""
    return runtime.Model(packed.recurrent(), isa=isa)


def images(batch: int, seed: int = 0) -> np.ndarray:
    """float32 (batch, 1, 8, 8)."""
    return np.random.default_rng(seed).normal(size=(batch, 1, 8, 8)).astype(np.float32)


def step(n: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The inputs of the recurrent network."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(1, 4)).astype(np.float32), rng.normal(size=(2 * n, 1)).astype(np.float32)


# Running


@pytest.mark.parametrize("batch", [0, 1, 7])
def test_every_instruction_set_gives_the_bits_of_the_interpreter(convolution, batch):
    expected = runtime.Model(packed.convolution(), isa="interpreter").run(images(batch))
    assert convolution.run(images(batch)).tobytes() == expected.tobytes()


def test_every_number_of_threads_gives_the_same_bits(isa):
    one, two = (runtime.Model(packed.convolution(), threads, isa) for threads in (1, 2))
    assert one.run(images(9)).tobytes() == two.run(images(9)).tobytes()


def test_results_go_into_out_and_are_the_same(convolution):
    out = np.full((5, 3), np.nan, np.float32)
    assert convolution.run(images(5), out=out) is out
    assert out.tobytes() == convolution.run(images(5)).tobytes()


def test_several_outputs_come_as_a_tuple_and_go_into_a_list(recurrent):
    results = recurrent.run(*step())
    assert [result.shape for result in results] == [(1, 1), (4, 3)]
    recurrent.reset()
    out = [np.empty((1, 1), np.float32), np.empty((4, 3), np.float32)]
    for given, result, written in zip(out, results, recurrent.run(*step(), out=out)):
        assert written is given
        assert written.tobytes() == result.tobytes()


def test_a_result_is_not_changed_by_the_next_run(convolution):
    first = convolution.run(images(3))
    kept = first.copy()
    convolution.run(images(3, seed=1))
    assert first.tobytes() == kept.tobytes()


@pytest.mark.parametrize(
    "strange",
    [
        lambda x: np.asfortranarray(x),
        lambda x: np.repeat(x, 2, axis=3)[..., ::2],
        lambda x: x[::-1].copy()[::-1],
        lambda x: np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape),
    ],
    ids=["Fortran order", "strided", "reversed", "not aligned"],
)
def test_arrays_of_any_layout_are_read_rightly(convolution, strange):
    x = images(4)
    assert convolution.run(strange(x)).tobytes() == convolution.run(x).tobytes()


def test_a_read_only_array_is_an_input(convolution):
    x = images(2)
    x.setflags(write=False)
    assert convolution.run(x).shape == (2, 3)


def test_bits_are_bytes_at_the_border(isa):
    signs = np.array([[[[1, -1]]], [[[-1, -1]]]], np.int8)
    data = packed.packed_file(
        packed.graph(
            [["x", "bit", ["batch", 2]]],
            [["linear", ["x", "w"], ["sums"]], ["threshold", ["sums", "limit", "sense"], ["y"]]],
            ["sums", "y"],
        ),
        {"limit": np.array([2, -1], np.int32)},
        {"w": signs.reshape(2, 2), "sense": np.array([1, -1], np.int8)},
    )
    sums, y = runtime.Model(data, isa=isa).run(np.array([[1, -1], [1, 1], [-1, -1]], np.int8))
    assert sums.tolist() == [[2, 0], [0, -2], [0, 2]]
    assert y.tolist() == [[1, -1], [-1, 1], [-1, -1]]
    assert y.dtype == np.int8


# What does not fit


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((1, 28, 28)), r"input 'x' must be float32 \(batch, 1, 8, 8\), got float64 \(1, 28, 28\)$"),
        (np.zeros((2, 1, 8, 7), np.float32), r"got float32 \(2, 1, 8, 7\)$"),
        (np.zeros((2, 1, 8, 8), ">f4"), r"got >f4 \(2, 1, 8, 8\)$"),
        (np.zeros((2, 1, 8, 8), np.uint8), r"got uint8 "),
        ([[0.0]], r"got list$"),
        (None, r"got NoneType$"),
    ],
)
def test_an_input_that_does_not_fit_is_named(convolution, wrong, message):
    with pytest.raises(ValueError, match=message):
        convolution.run(wrong)


def test_a_wrong_number_of_inputs_is_named(recurrent):
    with pytest.raises(ValueError, match=r"the network has 2 inputs \(x, z\), got 1$"):
        recurrent.run(step()[0])


def test_a_size_that_is_no_multiple_is_named(recurrent):
    with pytest.raises(ValueError, match=r"input 'z' must be float32 \(2\*n, 1\), got float32 \(3, 1\)$"):
        recurrent.run(step()[0], np.zeros((3, 1), np.float32))


def test_two_inputs_must_agree_in_their_symbols(isa):
    inputs = {"a": ("float32", ["n", 2]), "b": ("float32", ["n", 2])}
    model = runtime.Model(packed.one_node("add", inputs), isa=isa)
    with pytest.raises(ValueError, match=r"input 'b' must be float32 \(n, 2\) with n = 3, got float32 \(4, 2\)$"):
        model.run(np.zeros((3, 2), np.float32), np.zeros((4, 2), np.float32))


def test_bits_other_than_plus_and_minus_one_are_refused(isa):
    model = runtime.Model(packed.one_node("cast", {"x": ("bit", [2])}, attributes={"dtype": "float32"}), isa=isa)
    with pytest.raises(ValueError, match=r"input 'x' must hold -1 and \+1 only"):
        model.run(np.array([1, 0], np.int8))


@pytest.mark.parametrize(
    "out",
    [
        np.empty((4, 3), np.float32),
        np.empty((5, 3), np.float64),
        np.empty((3, 5), np.float32).T,
        [np.empty((5, 3), np.float32)] * 2,
        [],
        [None],
    ],
    ids=["shape", "dtype", "order", "two", "none", "None"],
)
def test_an_out_that_does_not_fit_is_refused(convolution, out):
    with pytest.raises(ValueError, match=r"^out "):
        convolution.run(images(5), out=out)


def test_an_out_that_cannot_be_written_is_refused(convolution):
    out = np.empty((5, 3), np.float32)
    out.setflags(write=False)
    with pytest.raises(ValueError, match=r"out for 'y' must be a writeable"):
        convolution.run(images(5), out=out)


def test_an_out_that_overlaps_an_input_is_refused(isa):
    model = runtime.Model(packed.one_node("relu", {"x": ("float32", ["n"])}), isa=isa)
    memory = np.zeros(8, np.float32)
    with pytest.raises(ValueError, match=r"must not overlap"):
        model.run(memory[:6], out=memory[2:])


def test_a_run_beyond_max_memory_is_refused_before_it_starts(isa):
    attributes = {"shape": [2**40, 2**15]}
    model = runtime.Model(
        packed.one_node("broadcast_to", {"x": ("float32", [1])}, attributes=attributes), isa=isa, max_memory=1 << 20
    )
    with pytest.raises(ValueError, match=r"max_memory|memory"):
        model.run(np.zeros(1, np.float32))


@pytest.mark.parametrize("arguments", [{"threads": 0}, {"threads": 1.5}, {"threads": True}, {"max_memory": 0}])
def test_an_argument_out_of_range_is_named(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=rf"{name} must be an integer of 1 or more, got"):
        runtime.Model(packed.recurrent(), **arguments)


def test_an_unknown_instruction_set_is_named():
    with pytest.raises(ValueError, match=r"isa must be one of .*interpreter.* got 'sse9'"):
        runtime.Model(packed.recurrent(), isa="sse9")


def test_a_file_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        runtime.load(tmp_path / "none.onebit")


# The environment


def test_the_environment_chooses_the_instruction_set(monkeypatch):
    monkeypatch.setenv("ONEBIT_ISA", "interpreter")
    assert runtime.Model(packed.recurrent()).isa == "interpreter"
    assert runtime.Model(packed.recurrent(), isa=WAYS[0]).isa == WAYS[0]
    monkeypatch.setenv("ONEBIT_ISA", "sse9")
    with pytest.raises(ValueError, match=r"ONEBIT_ISA must be one of"):
        runtime.Model(packed.recurrent())


def test_without_the_engine_the_interpreter_runs_with_a_warning(monkeypatch):
    monkeypatch.setitem(sys.modules, "onebit.runtime._engine", None)
    monkeypatch.delenv("ONEBIT_ISA", raising=False)
    with pytest.warns(OnebitWarning, match=r"NumPy interpreter"):
        model = runtime.Model(packed.recurrent())
    assert model.isa == "interpreter"
    assert runtime.available_isas() == ["interpreter"]
    runtime.Model(packed.recurrent(), isa="interpreter")  # asked for: no warning


# State


def test_state_moves_on_with_each_run_and_goes_back(recurrent):
    start = recurrent.state
    first = recurrent.run(*step())[0]
    moved = recurrent.state
    assert not np.array_equal(start["h"], moved["h"])
    assert not np.array_equal(first, recurrent.run(*step())[0])
    recurrent.reset()
    assert {name: array.tolist() for name, array in recurrent.state.items()} == {
        name: array.tolist() for name, array in start.items()
    }
    assert np.array_equal(first, recurrent.run(*step())[0])
    assert recurrent.state["h"].tobytes() == moved["h"].tobytes()


def test_state_that_is_put_in_comes_out(recurrent):
    recurrent.state = {"h": np.array([[1, 2, 3]], np.float32), "g": np.array([[-1, -1, 1]], np.int8)}
    assert recurrent.state["h"].tolist() == [[1, 2, 3]]
    assert recurrent.state["g"].tolist() == [[-1, -1, 1]]


def test_state_is_a_copy(recurrent):
    recurrent.state["h"][:] = 7
    assert recurrent.state["h"].tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("isa", runtime.available_isas())
def test_a_state_that_is_an_input_stays_when_its_array_is_written_over(isa):
    data = packed.packed_file(
        packed.graph([["x", "float32", [2]]], [], ["h"], states=[["h", "x"]]), {"h": np.zeros(2, np.float32)}
    )
    model = runtime.Model(data, isa=isa)
    x = np.float32([1, 2])
    model.run(x)
    x[:] = 7
    assert model.state["h"].tolist() == [1, 2]
    assert model.run(x).tolist() == [1, 2]


def test_a_state_that_does_not_fit_is_named(recurrent):
    with pytest.raises(ValueError, match=r"state must hold h, g, got h$"):
        recurrent.state = {"h": np.zeros((1, 3), np.float32)}
    with pytest.raises(ValueError, match=r"state 'h' must be float32 \(1, 3\), got float32 \(1, 4\)"):
        recurrent.state = {"h": np.zeros((1, 4), np.float32), "g": np.ones((1, 3), np.int8)}


# Classes and images


def test_predict_is_the_argmax(convolution):
    x = images(6)
    classes = convolution.predict(x)
    assert classes.dtype == np.int64
    assert classes.tolist() == convolution.run(x).argmax(1).tolist()
    assert convolution.predict(images(0)).shape == (0,)
    assert convolution.class_names == ["a", "b", "c"]


def test_predict_needs_scores(isa):
    model = runtime.Model(packed.one_node("relu", {"x": ("float32", ["n"])}), isa=isa)
    with pytest.raises(ValueError, match=r"predict needs a first output of shape \(N, classes\), the network has y: "):
        model.predict(np.zeros(3, np.float32))


def test_normalize_scales_to_1_and_takes_mean_and_std(convolution):
    pixels = np.arange(2 * 64, dtype=np.uint8).reshape(2, 1, 8, 8)
    expected = (pixels.astype(np.float32) / np.float32(255) - np.float32(0.5)) / np.float32(0.25)
    result = convolution.normalize(pixels)
    assert result.dtype == np.float32
    assert result.tobytes() == expected.tobytes()


def test_normalize_without_mean_and_std_scales_to_1(recurrent):
    assert recurrent.normalize(np.full((1, 2, 1, 1), 255, np.uint8)).tolist() == [[[[1]], [[1]]]]


@pytest.mark.parametrize(("shape", "dtype"), [((1, 8, 8), np.uint8), ((1, 1, 8, 8), float), ((1, 3, 8, 8), np.uint8)])
def test_images_of_another_kind_are_refused(convolution, shape, dtype):
    with pytest.raises(ValueError, match=r"images must be uint8 \(N, 1, H, W\), got"):
        convolution.normalize(np.zeros(shape, dtype))


def test_a_model_says_what_it_is(convolution, isa):
    assert repr(convolution) == (
        f"Model(x: float32 (batch, 1, 8, 8) -> y: float32 (batch, 3); isa={isa!r}, threads={convolution.threads})"
    )
