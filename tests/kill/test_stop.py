"""Interruption (Ctrl-C) and termination: one sentence on how to go on, status 130 or 143, no traceback."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.kill.conftest import Made
from tests.kill.contents import contents, leftovers
from tests.kill.machine import Machine

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.mark.parametrize("number", STATUS)
@pytest.mark.parametrize("name", ["train", "sweep", "export"])
def test_a_signal_stops_a_command_with_a_sentence(name, number, warm: Machine, made: Made, tmp_path):
    def arguments(folder: Path) -> list[str]:
        return {
            "train": ["train", "--recipe", str(made.job), "-o", str(folder), "--resume"],
            "sweep": ["sweep", str(made.job), "--over", "recipe.seed=0,1", "-o", str(folder), "--resume"],
            "export": ["export", str(made.packed), "--to", "onnx", "--samples", "0", "-o", str(folder / "a.onnx")],
        }[name]

    events = warm.run(arguments(tmp_path / "whole"), tmp_path / "whole").events
    for at in (2, events // 2, events - 4):
        folder = tmp_path / str(at)
        ended = warm.run(arguments(folder), folder, "interrupt", at=at, number=int(number))
        assert ended.status == STATUS[number], ended.err
        said = [line for line in ended.err.splitlines() if line.startswith("onebit")]
        assert len(said) == 1
        how = "the same command starts it anew" if name == "export" else "the same command with --resume goes on with"
        assert said[0].startswith(f"onebit {name}: stopped; {how}")
        assert "Traceback" not in ended.err
        assert leftovers(folder) == []
    assert warm.run(arguments(folder), folder).status == 0
    assert contents(folder) == contents(tmp_path / "whole")
