"""The C interface gives what ``onebit.runtime`` gives, refuses what it should, and a C program can use it."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from tests.engine.build import ISAS, normal, same, signs
from tests.engine.c_library import (
    BAD_ARGUMENT,
    BAD_FILE,
    NO_FILE,
    NO_MEMORY,
    ROOT,
    CModel,
    Options,
    Refused,
    build_folder,
    open_library,
)
from tests.engine.files import write
from tests.graphs import random_graph
from tests.graphs.checks import outcome
from tests.runtime.packed import CORPUS

import onebit
from onebit import ir, runtime
from onebit.ir import Graph, TensorType
from onebit.runtime.port import Gate, factors

CC = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1"]

needs_compiler = pytest.mark.skipif(CC is None, reason="a C compiler (cc, gcc or clang) is not installed")


@pytest.fixture(scope="session")
def prefix(tmp_path_factory) -> Path:
    """Where the library and its header are installed, as `cmake --install` puts them."""
    cmake = shutil.which("cmake", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if cmake is None:
        pytest.skip("cmake is not installed")
    folder = tmp_path_factory.mktemp("prefix")
    command = [cmake, "--install", str(build_folder()), "--component", "c", "--prefix", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def library(prefix) -> ctypes.CDLL:
    return open_library(next(prefix.glob("lib*/libonebit.so")))


def compiled(prefix: Path, source: Path, program: Path, *flags: str) -> Path:
    """A strict C99 program that knows nothing but what was installed."""
    folder = next(prefix.glob("lib*/libonebit.so")).parent
    command = [CC, *STRICT, *flags, f"-I{prefix / 'include'}", str(source), "-o", str(program)]
    command += [f"-L{folder}", "-lonebit", f"-Wl,-rpath,{folder}", "-lm", "-pthread"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    return program


def logic() -> bytes:
    """Inputs and outputs that are bits, truth values and integers."""
    graph = Graph(
        {
            "a": TensorType("bit", ("n", 40)),
            "b": TensorType("bool", ("n", 1)),
            "c": TensorType("int32", (1, 40)),
            "d": TensorType("uint8", ("2*m",)),
        }
    )
    rng = np.random.default_rng(0)
    sums = graph.add("linear", "a", graph.constant(signs(rng, 40, 40), bit=True))
    total = graph.add("add", sums, "c")
    graph.outputs = [
        graph.add("where", "b", total, sums),
        graph.add("logical_not", "b"),
        graph.add("sign", graph.add("cast", total, dtype="float32")),
        graph.add("cast", "d", dtype="int64"),
    ]
    return ir.dumps(graph)


def inputs_of(model: runtime.Model, rng: np.random.Generator, size: int) -> list[np.ndarray]:
    arrays = []
    for port in model.inputs:
        shape = Gate("input", port).shape({symbol: size for dim in port.shape for symbol in factors(dim)[1]})
        if port.dtype == "bit":
            arrays.append(signs(rng, *shape))
        elif port.dtype == "float32":
            arrays.append(normal(rng, *shape))
        else:
            arrays.append(rng.integers(0, 2 if port.dtype == "bool" else 7, shape).astype(port.dtype))
    return arrays


FILES = {name: make() for name, make in CORPUS.items()} | {"logic": logic()}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("name", FILES)
def test_outputs_and_states_are_those_of_the_runtime(name, isa, library, tmp_path):
    path = tmp_path / f"{name}.onebit"
    path.write_bytes(FILES[name])
    ours, rng = runtime.load(path), np.random.default_rng(0)
    for threads, source in ((1, path), (3, FILES[name])):
        model = CModel(library, source, threads=threads, isa=isa.encode())
        ours.reset()
        for size in (2, 1, 3, 0, 2):
            inputs = inputs_of(ours, rng, size)
            expected = ours.run(*inputs)
            expected = expected if isinstance(expected, tuple) else (expected,)
            assert all(map(same, model.run(*inputs), expected))
            assert all(map(same, model.state(), ours.state.values()))


def test_random_networks_give_the_outputs_of_the_interpreter(library):
    for seed in range(30):
        graph, inputs = random_graph(np.random.default_rng([7, seed]), batch_norm=False)
        model, expected = CModel(library, ir.dumps(graph), threads=2), outcome(graph, [inputs, inputs])
        given = [np.ascontiguousarray(values).reshape(values.shape) for values in inputs]
        for outputs, _ in expected.results:
            assert all(map(same, model.run(*given), map(np.asarray, outputs)))
        if expected.error is not None:
            with pytest.raises(Refused):
                model.run(*given)


@pytest.mark.parametrize("name", FILES)
def test_the_library_describes_a_network_as_the_runtime_does(name, library):
    model, ours = CModel(library, FILES[name]), runtime.Model(FILES[name])
    assert [port.told() for port in model.inputs] == [tuple(port) for port in ours.inputs]
    assert [port.told() for port in model.outputs] == [tuple(port) for port in ours.outputs]
    assert [port.told()[0] for port in model.states] == list(ours.state)
    names = ours.class_names or []
    given = [library.onebit_class_name(model.handle, i) for i in range(len(names) + 2)]
    assert given == [*(text.encode() for text in names), None, None]
    count = library.onebit_channel_count(model.handle)
    assert count == len(ours.meta.get("mean", []))
    if count:
        assert library.onebit_mean(model.handle)[:count] == list(np.float32(ours.meta["mean"]))
        assert library.onebit_std(model.handle)[:count] == list(np.float32(ours.meta["std"]))
    assert library.onebit_isa(model.handle).decode() == ours.isa


def test_the_library_knows_its_version_and_the_instruction_sets(library):
    assert library.onebit_version().decode() == onebit.__version__
    assert [library.onebit_isa_name(i) for i in range(len(ISAS) + 2)] == [*(isa.encode() for isa in ISAS), None, None]


def test_states_can_be_kept_put_back_and_reset(library):
    model, rng = CModel(library, FILES["recurrent"]), np.random.default_rng(0)
    x, z = normal(rng, 1, 4), normal(rng, 4, 1)
    start = model.state()
    first = model.run(x, z)
    middle = model.state()
    second = model.run(x, z)
    assert not same(first[0], second[0])
    model.set_state(middle)
    assert all(map(same, model.run(x, z), second))
    model.reset()
    assert all(map(same, model.state(), start))
    assert all(map(same, model.run(x, z), first))
    wrong = np.full(3, 2, np.int8)
    with pytest.raises(Refused, match="state 'g' must hold -1 and \\+1 only"):
        model.check(library.onebit_set_state(model.handle, 1, wrong.ctypes.data, 3))


def test_an_output_may_have_more_room_than_it_needs_and_not_one_byte_less(library):
    model, rng = CModel(library, FILES["convolution"]), np.random.default_rng(0)
    x = normal(rng, 2, 1, 8, 8)
    (expected,) = model.run(x)
    outputs, memory = model.prepare(x)
    needed = outputs[0].bytes
    assert memory >= needed == expected.nbytes
    room = np.full(needed + 8, 255, np.uint8)
    outputs[0].data, outputs[0].bytes, outputs[0].dtype, outputs[0].rank = room.ctypes.data, room.nbytes, 0, -5
    given = model.arrays([x])
    assert library.onebit_run(model.handle, given, 1, outputs, 1) == 0
    assert (outputs[0].dtype, outputs[0].rank, list(outputs[0].shape[:2])) == (1, 2, [2, 3])
    assert same(room[:needed].view(np.float32).reshape(2, 3), expected)
    assert np.all(room[needed:] == 255)
    outputs[0].bytes = needed - 1
    assert library.onebit_run(model.handle, given, 1, outputs, 1) == BAD_ARGUMENT
    assert library.onebit_error().decode() == (
        f"output 'y' of the shape (2, 3) takes {needed} bytes, there is room for {needed - 1}"
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dtype": 5}, "input 'x' must have dtype float32, got int64"),
        ({"dtype": 77}, "input 'x' must have dtype float32, got the number 77"),
        ({"rank": 9}, "input 'x': rank must be 0..8, got 9"),
        ({"rank": 3}, "input 'x'"),
        ({"bytes": 255}, "input 'x' of the shape (1, 1, 8, 8) takes 256 bytes, got 255"),
        ({"data": None}, "input 'x': data must not be NULL"),
        ({"data": 6}, "input 'x' must be aligned to its elements"),
    ],
)
def test_an_input_that_does_not_fit_is_a_sentence(change, sentence, library):
    model = CModel(library, FILES["convolution"])
    given = model.arrays([np.zeros((1, 1, 8, 8), np.float32)])
    room = np.empty(3, np.float32)
    outputs, _ = model.prepare(np.zeros((1, 1, 8, 8), np.float32))
    outputs[0].data = room.ctypes.data
    for field, value in change.items():
        setattr(given[0], field, value)
    assert library.onebit_run(model.handle, given, 1, outputs, 1) == BAD_ARGUMENT
    assert sentence in library.onebit_error().decode()


@pytest.mark.parametrize(
    ("source", "settings", "status", "sentence"),
    [
        (Path("no/such.onebit"), {}, NO_FILE, "no/such.onebit cannot be read: No such file or directory"),
        (Path("."), {}, NO_FILE, ". cannot be read: Is a directory"),
        (ROOT / "pyproject.toml", {}, BAD_FILE, "pyproject.toml is no packed network: "),
        (b"", {}, BAD_FILE, "data is no packed network: a packed file has at least 8 bytes"),
        (FILES["logic"], {"threads": -1}, BAD_ARGUMENT, "threads must be 1..1024, got -1"),
        (FILES["logic"], {"isa": b"sse9"}, BAD_ARGUMENT, "isa must be one of those this processor has"),
        (FILES["logic"], {"reserved": 1}, BAD_ARGUMENT, "options.reserved must be 0, got 1"),
        (FILES["logic"], {"size": 8}, BAD_ARGUMENT, "options.size must be sizeof(onebit_options), 32..4096, got 8"),
    ],
)
def test_what_cannot_be_loaded_is_a_status_and_a_sentence(source, settings, status, sentence, library):
    with pytest.raises(Refused) as refused:
        CModel(library, source, **settings)
    assert refused.value.status == status
    assert sentence in refused.value.sentence


def test_a_run_beyond_max_memory_is_refused_and_a_smaller_one_is_not(library):
    model, rng = CModel(library, FILES["convolution"], max_memory=20_000), np.random.default_rng(0)
    model.run(normal(rng, 1, 1, 8, 8))
    with pytest.raises(Refused, match="max_memory allows 20000") as refused:
        model.run(normal(rng, 1000, 1, 8, 8))
    assert refused.value.status == NO_MEMORY
    model.run(normal(rng, 1, 1, 8, 8))


class NewerOptions(Options):
    _fields_ = (("more", ctypes.c_uint64),)


def test_options_of_a_newer_program_work_unless_they_ask_for_what_is_unknown(library):
    data, handle = FILES["logic"], ctypes.c_void_p()
    for more, status in ((0, 0), (1, BAD_ARGUMENT)):
        options = NewerOptions(size=ctypes.sizeof(NewerOptions), more=more)
        assert library.onebit_load_memory(data, len(data), options, ctypes.byref(handle)) == status
        library.onebit_free(handle)
    assert handle.value is None
    assert "has a field that this library" in library.onebit_error().decode()


def test_the_environment_names_an_instruction_set_where_the_options_do_not(library, monkeypatch):
    monkeypatch.setenv("ONEBIT_ISA", "portable")
    assert library.onebit_isa(CModel(library, FILES["logic"]).handle) == b"portable"
    assert library.onebit_isa(CModel(library, FILES["logic"], isa=ISAS[0].encode()).handle) == ISAS[0].encode()
    monkeypatch.setenv("ONEBIT_ISA", "sse9")
    with pytest.raises(Refused, match="ONEBIT_ISA: isa must be one of"):
        CModel(library, FILES["logic"])


def test_every_thread_has_an_error_of_its_own(library):
    found: dict[str, str] = {}
    both = threading.Barrier(2)

    def work(name: str) -> None:
        with pytest.raises(Refused):
            CModel(library, Path(name))
        both.wait()
        found[name] = library.onebit_error().decode()

    threads = [threading.Thread(target=work, args=(name,)) for name in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(text.startswith(f"{name} cannot be read") for name, text in found.items())
    assert len(found) == 2


# One gibibyte of address space is less than the stacks of 1024 threads.
FEW_THREADS = """
import resource, sys
from tests.engine.c_library import FAILED, CModel, Refused, open_library
from onebit import runtime
library = open_library(sys.argv[1])
resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, resource.getrlimit(resource.RLIMIT_STACK)[1]))
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
try:
    CModel(library, sys.argv[2], threads=1024)
except Refused as error:
    assert error.status == FAILED, error.status
    print(error)
try:
    runtime.load(sys.argv[2], threads=1024)
except OSError as error:
    print(error)
assert CModel(library, sys.argv[2], threads=2).inputs
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on address space is Linux's")
def test_threads_that_the_system_does_not_give_are_an_error_and_no_abort(prefix, tmp_path):
    (tmp_path / "logic.onebit").write_bytes(FILES["logic"])
    arguments = [str(next(prefix.glob("lib*/libonebit.so"))), str(tmp_path / "logic.onebit")]
    found = subprocess.run(
        [sys.executable, "-c", FEW_THREADS, *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert found.returncode == 0, found.stderr
    assert re.fullmatch(r"(the system gives \d+ of 1024 threads: .*\n){2}", found.stdout), found.stdout


def test_the_library_shows_nothing_but_its_functions(prefix):
    if shutil.which("nm") is None:
        pytest.skip("nm is not installed")
    path = next(prefix.glob("lib*/libonebit.so"))
    listed = subprocess.run(["nm", "-D", "--defined-only", str(path)], capture_output=True, text=True, check=True)
    shown = {line.split()[-1].split("@")[0] for line in listed.stdout.splitlines() if " A " not in line}
    header = (prefix / "include" / "onebit.h").read_text()
    assert shown == set(re.findall(r"^ONEBIT_API .*?(onebit_\w+)\(", header, re.MULTILINE))


@needs_compiler
def test_programs_with_many_threads_and_every_misuse(prefix, tmp_path):
    source = ROOT / "native/tests/c_interface.c"
    program = compiled(prefix, source, tmp_path / "c_interface", "-D_POSIX_C_SOURCE=200809L")
    for name, data in FILES.items():
        (tmp_path / f"{name}.onebit").write_bytes(data)
    files = [*write(tmp_path / "random", 20, seed=2), *tmp_path.glob("*.onebit")]
    found = subprocess.run([str(program), *map(str, files)], capture_output=True, text=True, check=False, timeout=120)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.skipif(shutil.which("c++") is None, reason="a C++ compiler (c++) is not installed")
def test_the_header_is_valid_cxx_too(tmp_path):
    (tmp_path / "header.cpp").write_text('#include "onebit.h"\nonebit_options options = ONEBIT_DEFAULTS;\n')
    flags = ["-std=c++11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only", f"-I{ROOT / 'native/include'}"]
    found = subprocess.run(["c++", *flags, str(tmp_path / "header.cpp")], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> tuple[Path, np.ndarray, np.ndarray]:
    """A packed network that reads scikit-learn's digits (random bits, fitted read-out), test images and labels."""
    datasets = pytest.importorskip("sklearn.datasets")
    raw = datasets.load_digits()
    pixels = np.rint(raw.images * 255 / 16).astype(np.uint8)
    mean, std = 0.3, 0.4
    x = ((pixels.reshape(-1, 64) / np.float32(255) - np.float32(mean)) / np.float32(std)).astype(np.float32)
    rng = np.random.default_rng(0)
    hidden = normal(rng, 512, 64)
    bits = np.where(x @ hidden.T >= 0, 1.0, -1.0)
    targets = np.eye(10)[raw.target]
    train = slice(0, 1500)
    weight = np.linalg.solve(bits[train].T @ bits[train] + 50 * np.eye(512), bits[train].T @ (targets[train] - 0.1)).T
    scale = np.abs(weight).max() / 127
    graph = Graph({"x": TensorType("float32", ("batch", 1, 8, 8))})
    flat = graph.add("reshape", "x", shape=["batch", 64])
    sums = graph.add("linear", graph.add("sign", graph.add("linear", flat, graph.constant(hidden))),
                     graph.constant(np.rint(weight / scale).astype(np.int8)))  # fmt: skip
    channel = np.ones(10, np.float32)
    graph.outputs = [
        graph.add("affine", sums, graph.constant(channel * np.float32(8 * scale)), graph.constant(channel))
    ]
    graph.meta = {"class_names": [str(i) for i in range(10)], "mean": [mean], "std": [std]}
    path = tmp_path_factory.mktemp("digits") / "digits.onebit"
    ir.save(graph, path)
    return path, pixels[1500:], raw.target[1500:]


@needs_compiler
def test_the_example_says_what_the_command_says(prefix, digits, tmp_path, capsys):
    pytest.importorskip("PIL")
    from onebit.cli.main import main

    path, pixels, labels = digits
    program = compiled(prefix, ROOT / "native/examples/classify.c", tmp_path / "classify")
    right = 0
    for number in range(20):
        picture = tmp_path / f"{number}.pgm"
        picture.write_bytes(b"P5\n# a digit\n8 8 255\n" + pixels[number].tobytes())
        said = subprocess.run([str(program), str(path), str(picture)], capture_output=True, text=True, check=True)
        assert main(["run", str(path), str(picture)]) == 0
        assert said.stdout == capsys.readouterr().out
        right += said.stdout.startswith(f"{labels[number]} (")
    assert right >= 16


@needs_compiler
def test_the_example_refuses_what_it_cannot_read(prefix, digits, tmp_path):
    path, pixels, _ = digits
    program = compiled(prefix, ROOT / "native/examples/classify.c", tmp_path / "classify")
    good = b"P5 8 8 255\n" + pixels[0].tobytes()
    for data in (b"", good[:-1], good.replace(b"P5", b"P6"), good.replace(b"8 8", b"9 8"), b"P5 #", b"\x89PNG\r\n"):
        (tmp_path / "bad.pgm").write_bytes(data)
        found = subprocess.run([program, path, tmp_path / "bad.pgm"], capture_output=True, text=True, check=False)
        assert found.returncode == 2
        assert "bad.pgm must be a binary PGM picture of 8 x 8 with 8 bits a channel" in found.stderr
    found = subprocess.run([program, tmp_path / "bad.pgm", "x"], capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert "bad.pgm is no packed network: " in found.stderr


@needs_compiler
def test_the_program_in_the_documentation_runs(prefix, digits, tmp_path):
    path, _, _ = digits
    blocks = re.findall(r"```c\n(.*?)```", (ROOT / "docs/c.md").read_text(), re.DOTALL)
    (tmp_path / "program.c").write_text(blocks[0])
    program = compiled(prefix, tmp_path / "program.c", tmp_path / "program")
    found = subprocess.run([program], capture_output=True, text=True, check=False, cwd=path.parent)
    assert found.returncode == 0, found.stderr
    expected = runtime.load(path).run(np.zeros((1, 1, 8, 8), np.float32))
    assert same(np.float32(found.stdout.split())[None], expected)
