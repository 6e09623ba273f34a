"""The portable path is portable: old processors run it; newer instructions are in the kernels that need them alone."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.engine import emulate
from tests.engine.c_library import ROOT, build_folder
from tests.engine.files import write

CXX = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")

needs_objdump = pytest.mark.skipif(
    shutil.which("objdump") is None or platform.machine() != "x86_64", reason="objdump is not installed, or not for x86"
)

# Beyond SSE2, which every 64-bit x86 processor has. (`tzcnt` is `bsf` with a prefix that older processors ignore.)
WIDE = re.compile(r"%[yz]mm|%k[0-7]")
NEWER = re.compile(
    r"v(?!err|erw)[a-z0-9]+|k(mov|or|and|xor|not|unpck|shift|test|add)[a-z]*"
    r"|andn|bextr|bls[a-z]+|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx|lzcnt|popcnt|crc32[a-z]*|movbe"
    r"|h(add|sub)p[sd]|addsubp[sd]|mov(sh|sl|d)dup|lddqu|pshufb|ph(add|sub)[a-z]+|pmulhrsw|psign[bwd]|palignr|pabs[bwd]"
    r"|pmaddubsw|dpp[sd]|p?blend[a-z]+|round[ps][sd]|insertps|extractps|p(ins|ext)r[bdq]|ptest|pcmp(eqq|gtq|[ei]str[im])"
    r"|pm(ax|in)(sb|sd|uw|ud)|pmuldq|pmulld|packusdw|pmov[sz]x[a-z]+|mpsadbw|phminposuw|movntdqa"
)


def objects() -> list[Path]:
    """Of the engine: all object files."""
    found = sorted((build_folder() / "CMakeFiles").glob("onebit_c*.dir/native/src/**/*.o"))
    assert len(found) > 20
    return found


def instructions(path: Path) -> list[str]:
    listed = subprocess.run(["objdump", "-d", "--no-show-raw-insn", path], capture_output=True, text=True, check=True)
    return [line.partition("\t")[2] for line in listed.stdout.splitlines() if "\t" in line]


@needs_objdump
def test_instructions_beyond_sse2_are_in_the_kernels_that_are_chosen_for_them_alone():
    special = {"avx2.cpp.o", "avx512bw.cpp.o", "avx512vpopcnt.cpp.o"}
    seen = set()
    for path in objects():
        newer = [
            text for text in instructions(path) if WIDE.search(text) or NEWER.fullmatch(text.split()[0].rstrip(","))
        ]
        if path.name in special:
            seen.add(path.name)
            assert newer, f"{path.name} has none of its own instructions: is this looking at the right thing?"
        else:
            assert not newer, f"{path.name}: {newer[:3]}"
    assert seen == special


@needs_objdump
def test_kernels_share_no_code_that_a_linker_could_merge():
    for path in objects():
        if path.parent.name != "kernel":
            continue
        listed = subprocess.run(["nm", "-C", "--defined-only", path], capture_output=True, text=True, check=True)
        symbols = [line.split(maxsplit=2)[1:] for line in listed.stdout.splitlines()]
        shown = [name for letter, name in symbols if letter not in "tdbr"]
        assert shown == [f"onebit::kernel::{path.name.removesuffix('.cpp.o')}"]


@pytest.mark.skipif(bool(emulate.missing()), reason=emulate.missing() or "-")
@pytest.mark.parametrize("name", ["Opteron_G1", "Haswell"])
def test_an_older_processor_gives_the_same_bits_with_the_kernels_that_it_has(name, tmp_path):
    said = emulate.processor(name, write(tmp_path, 6, seed=4))
    assert re.search(rf"files, 0 complaints, on: {emulate.PROCESSORS[name]}\n$", said), said


@pytest.mark.skipif(CXX is None, reason="a C++ compiler (c++, g++ or clang++) is not installed")
@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ([], ""),
        (["-U__BYTE_ORDER__", "-D__BYTE_ORDER__=__ORDER_BIG_ENDIAN__"], "onebit needs a little-endian processor"),
        (["-U__SIZEOF_POINTER__", "-D__SIZEOF_POINTER__=4"], "onebit needs a 64-bit processor"),
        (["-U__FLT_EVAL_METHOD__", "-D__FLT_EVAL_METHOD__=2"], "onebit needs float arithmetic that rounds to float"),
        (["-ffast-math"], "onebit must be compiled without -ffast-math"),
    ],
)
def test_a_processor_or_flag_that_the_engine_cannot_have_is_an_error_when_it_is_compiled(flags, sentence):
    source = ROOT / "native/src/platform.hpp"
    command = [CXX, "-std=c++20", "-x", "c++", "-fsyntax-only", "-w", *flags, str(source)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode != 0) == bool(sentence), found.stderr
    assert sentence in found.stderr
