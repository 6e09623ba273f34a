"""The engine on processors that are not here, under QEMU's user-mode emulation: ``python -m tests.engine.emulate``.

x86 models run the driver that the build made: instructions that the model lacks would end it, and its first output must
name the instruction sets that the model has. For aarch64 the driver is cross-compiled: NEON and portable must agree
there, and the outputs must have the digests that they have here.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.engine.c_library import ROOT, build_folder
from tests.engine.files import write

#: QEMU's name of a processor -> the instruction sets of the engine that it has.
PROCESSORS = {
    "Opteron_G1": "portable",  # x86-64 as it was in the beginning: SSE2
    "Conroe": "portable",  # SSSE3
    "Nehalem": "portable",  # SSE4.2, POPCNT
    "SandyBridge": "portable",  # AVX, but not AVX2
    "Haswell": "avx2 portable",
}
CROSS = "aarch64-linux-gnu-"


def missing() -> str:
    """Why x86 models cannot be emulated here; empty where they can."""
    if platform.machine() != "x86_64":
        return f"this machine is {platform.machine()}, and the driver is built for it"
    return "" if shutil.which("qemu-x86_64") else "qemu-x86_64 is not installed (Debian and Ubuntu: qemu-user)"


def run(command: list[str | Path]) -> str:
    """What a command says; RuntimeError with all of it when it fails. QEMU's warnings go to the standard error."""
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        errors = [line for line in found.stderr.splitlines() if "warning" not in line]
        raise RuntimeError(f"{command[0]} ends with {found.returncode}: {found.stdout}{' '.join(errors)}")
    return found.stdout


def processor(name: str, files: list[Path]) -> str:
    """The verdict of the driver on one x86 model."""
    return run(["qemu-x86_64", "-cpu", name, build_folder() / "onebit_driver", *files])


def cross_compiled(folder: Path) -> Path:
    """The driver for aarch64."""
    compilers = [f"-DCMAKE_{language}_COMPILER={CROSS}{tool}" for language, tool in (("C", "gcc"), ("CXX", "g++"))]
    target = ["-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64", *compilers]
    run(["cmake", "-S", ROOT, "-B", folder, "-G", "Ninja", "-DONEBIT_PYTHON=OFF", *target])
    run(["cmake", "--build", folder, "--target", "onebit_driver", "c_interface"])
    return folder / "onebit_driver"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40, help="random networks")
    count = parser.parse_args().count
    if missing():
        print(f"emulate: {missing()}", file=sys.stderr)
        return 2
    wrong = 0
    with TemporaryDirectory() as folder:
        files = write(Path(folder), count, seed=3)
        for name, isas in PROCESSORS.items():
            said = processor(name, files).strip()
            print(f"{name}: {said}")
            wrong += not said.endswith(f"on: {isas}")
        if shutil.which(f"{CROSS}g++") is None or shutil.which("qemu-aarch64") is None:
            print(f"aarch64: left out, as {CROSS}g++ or qemu-aarch64 is not installed")
            return int(wrong != 0)
        driver = cross_compiled(ROOT / "build/aarch64")
        qemu = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]
        print(f"aarch64: {run([*qemu, driver, *files]).strip()}")
        print(f"aarch64: {run([*qemu, driver.with_name('c_interface'), *files]).strip()}")
        here = run([build_folder() / "onebit_driver", "--digest", *files])
        there = run([*qemu, driver, "--digest", *files])
        differ = sum(a != b for a, b in zip(here.splitlines(), there.splitlines(), strict=True))
        print(f"aarch64: the outputs of {differ} of {len(here.splitlines())} runs differ from those here")
        return int(wrong + differ != 0)


if __name__ == "__main__":
    sys.exit(main())
