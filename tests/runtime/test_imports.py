"""What ``import onebit.runtime`` brings along: an edge device has NumPy and safetensors."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ["torch", "rich", "tyro", "importlib.metadata", "onebit.ir", "onebit.cli", "onebit.nn", "onebit.data", "scipy",
         "matplotlib", "safetensors", "onebit.runtime._engine", "json", "tempfile", "typing_extensions"]  # fmt: skip


def modules_after(code: str, baseline: str) -> set[str]:
    """The modules that ``code`` adds to those of ``baseline``."""
    script = f"{baseline}\nimport sys\nbefore = set(sys.modules)\n{code}\nprint(' '.join(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_runtime_imports_little_more_than_numpy():
    added = modules_after("import onebit.runtime", "import numpy")
    assert added
    allowed_anyway = modules_after("import json", "import numpy")
    assert not (added - allowed_anyway) & (set(HEAVY) - {"json"})
    assert len([name for name in added if not name.startswith("onebit")]) < 30


@pytest.mark.parametrize("name", ["torch", "safetensors", "onebit.ir"])
def test_a_network_loads_and_runs_in_the_engine_without(name, tmp_path):
    from . import packed

    path = tmp_path / "net.onebit"
    path.write_bytes(packed.convolution())
    code = (
        "import onebit.runtime, numpy\n"
        f"model = onebit.runtime.load({str(path)!r})\n"
        "model.predict(model.normalize(numpy.zeros((2, 1, 8, 8), numpy.uint8)))"
    )
    assert name not in modules_after(code, "import numpy")
