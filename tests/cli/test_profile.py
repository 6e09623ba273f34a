"""``onebit profile``: the table, the JSON, the inputs it makes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from onebit import examples, ir, runtime
from onebit.cli.main import main
from onebit.cli.profile import random_inputs
from onebit.runtime import Port

pytestmark = pytest.mark.skipif(len(runtime.available_isas()) == 1, reason="the engine was not built")


def test_the_table_has_a_line_for_each_operation_and_the_sum_of_each_kind(capsys):
    assert main(["profile", "--example", "--repeats", "1"]) == 0
    out = capsys.readouterr().out
    model = runtime.load(examples.network("mnist"))
    operations = model.profile(np.zeros((1, 1, 28, 28), np.float32), repeats=1).operations
    first, _, second = out.partition("by kind")
    assert sum(" + ".join([o.what, *o.kinds[1:]]) in first for o in operations) == len(operations)
    for what in {operation.what for operation in operations}:
        assert what in second
    for line in ("all operations", "the rest", "the sum", "A whole run took"):
        assert line in second


def test_the_json_has_the_operations_and_the_rest(capsys):
    file = examples.network("digits")
    assert main(["profile", str(file), "--batch", "2", "--repeats", "2", "--isa", "portable", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["isa"], found["repeats"], found["file"]) == ("portable", 2, str(file))
    whole = found["rest"] + sum(row["median"] for row in found["operations"])
    assert [row["share"] * whole for row in found["operations"]] == pytest.approx(
        [row["median"] for row in found["operations"]]
    )
    assert {row["output"]["shape"][0] for row in found["operations"]} == {2}
    count = len(ir.load(file).nodes)
    assert all(0 <= node < count for row in found["operations"] for node in row["nodes"])


@pytest.mark.parametrize("dtype", ["float32", "int8", "uint8", "int32", "int64", "bool", "bit"])
def test_inputs_of_every_dtype_fit(dtype):
    port = Port("x", dtype, ("batch", "2*length", 3))
    (array,) = random_inputs([port], 4, ["length=5"])
    assert array.shape == (4, 10, 3)
    assert runtime.port.Gate("input", port).receive(array, {}) is array


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "give either FILE or --example, got neither"),
        (["x.onebit", "--example"], "got both"),
        (["missing.onebit"], "missing.onebit does not exist"),
        (["--example", "--batch", "0"], "--batch must be"),
        (["--example", "--repeats", "0"], "--repeats must be"),
        (
            ["--example", "--batch", str(10**20)],
            "input x: float32 (100000000000000000000, 1, 28, 28) is more than the memory",
        ),
        (["--example", "--size", "bach=2"], "did you mean 'batch'?"),
        (["--example", "--size", "batch=0"], "--size batch must be an integer of 1 or more, got 0"),
        (["--example", "--isa", "interpreter"], "a profile is of the native engine"),
        (["--example", "--reapeats", "3"], "did you mean '--repeats'?"),
    ],
)
def test_what_cannot_be_profiled_is_one_sentence(arguments, sentence, capsys):
    assert main(["profile", *arguments]) == 2
    assert sentence in capsys.readouterr().err
