"""What lies in a folder: read as what each file says it is, and told apart from times."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch
import yaml
from safetensors.numpy import load_file

from onebit import ir
from onebit.core import journal
from onebit.learn import checkpoints

TIMES = {"seconds", "elapsed", "seconds_per_epoch"}


def _packed(path: Path) -> bytes:
    ir.load(path)
    return path.read_bytes()


def _onnx(path: Path) -> bytes:
    onnx.checker.check_model(str(path), full_check=True)
    return path.read_bytes()


def _weights(path: Path) -> Any:
    load_file(path)
    return path.read_bytes()


def _lines(path: Path) -> Any:
    text = path.read_bytes()
    assert not text or text.endswith(b"\n"), f"the last line of {path} is cut off"
    return sorted(json.dumps(timeless(row), sort_keys=True) for row in journal.read(path))


def _rows(path: Path) -> Any:
    # Lines are added to this one file in place: its readers pass over a last line that a kill has cut off.
    return sorted(json.dumps(timeless(row), sort_keys=True) for row in journal.read(path))


def _svg(path: Path) -> bytes:
    text = path.read_bytes()
    assert text.rstrip().endswith(b"</svg>")
    return text


def _environment(path: Path) -> list[str]:
    return sorted(json.loads(path.read_text()))  # its values are of this moment: the commit, for one


READERS: dict[str, Callable[[Path], Any]] = {
    "checkpoint.safetensors": lambda path: timeless(checkpoints.load(path)),
    "rows.jsonl": _rows,
    ".safetensors": _weights,
    ".onebit": _packed,
    ".onnx": _onnx,
    ".jsonl": _lines,
    ".json": _environment,
    ".yaml": lambda path: yaml.safe_load(path.read_text()),
    ".svg": _svg,
    ".bin": Path.read_bytes,
}


def timeless(value: Any) -> Any:
    """``value`` without the entries that hold times, tensors as plain values."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in TIMES}
    if isinstance(value, list):
        return [timeless(item) for item in value]
    if isinstance(value, torch.Tensor):
        return [str(value.dtype), list(value.shape), value.contiguous().numpy().tobytes()]
    return value


def contents(folder: Path) -> dict[str, Any]:
    """Every file under its final name below ``folder``, read; fails where one is not what its name says."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            reader = READERS.get(path.name) or READERS[path.suffix]
            found[str(path.relative_to(folder))] = elsewhere(reader(path), str(folder))
    return found


def elsewhere(value: Any, folder: str) -> Any:
    """``value`` with the texts that name a place below ``folder`` as they would be in any folder."""
    if isinstance(value, dict):
        return {key: elsewhere(item, folder) for key, item in value.items()}
    return value.replace(folder, "") if isinstance(value, str) else value


def leftovers(folder: Path) -> list[str]:
    """Temporary files below ``folder``."""
    return [str(path.relative_to(folder)) for path in folder.rglob(".*")]
