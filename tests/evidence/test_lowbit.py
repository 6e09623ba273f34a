"""The benchmark of low-bit linear layers: it times what it says, on more bytes than a cache holds."""

from __future__ import annotations

import numpy as np
import pytest

from onebit.cli.main import main
from onebit.core import journal
from onebit.evidence import lowbit
from onebit.evidence.engine import Timing
from onebit.evidence.site import bench


@pytest.fixture(scope="module")
def found() -> lowbit.Bench:
    pytest.importorskip("onnxruntime")
    return lowbit.bench([(64, 32)], [1, 3], repeats=2, cache_bytes=4096)


def test_every_engine_has_a_row_for_each_number_of_rows(found):
    assert [(row.batch, row.name) for row in found.rows] == [(b, name) for b in (1, 3) for name in lowbit.LABELS]


def test_all_go_through_four_times_the_cache(found):
    for row in found.rows:
        assert row.matrices * row.weight_bytes >= lowbit.CACHES * 4096
        assert (row.matrices - 1) * row.weight_bytes < lowbit.CACHES * 4096


def test_packed_weights_take_two_bits_and_one(found):
    taken = {row.name: row.weight_bytes * 8 / (64 * 32) for row in found.rows}
    assert taken["ternary"] == 2
    assert taken["bit"] == 1
    assert taken["torch_float32"] == 32
    assert taken["torch_bfloat16"] == 16
    assert taken["onnxruntime_int8"] == 8
    assert taken["onnxruntime_4bit"] == 5  # a float32 scale for 32 weights


def test_a_share_is_the_time_of_a_plain_read_over_that_of_the_product():
    row = lowbit.Row("ternary", 4, 8, 1, 1000, 3, Timing(2e-6, 1e-6, 5), Timing(1e-6, 1e-6, 5))
    assert row.share == 0.5
    assert row.rate == 5e8


def test_a_plain_read_gives_the_sum_of_the_words():
    engine = pytest.importorskip("onebit.runtime._engine")
    words = np.random.default_rng(0).integers(0, 2**32, 100_003, np.uint32)
    for isa in engine.available_isas():
        for threads in (1, 3):
            read = engine.PlainRead(isa, threads).sum(words)
            assert read == int(words.sum(dtype=np.uint64)) % 2**32


def test_the_last_level_cache_is_the_largest_that_the_system_names(tmp_path):
    for index, size in enumerate(["32K", "32K", "1024K", "32768K"]):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(f"{size}\n")
    assert lowbit.last_level_cache(tmp_path) == 32 << 20
    assert lowbit.last_level_cache(tmp_path / "nowhere") == 32 << 20


def test_a_record_is_a_line_of_the_journal_and_the_table_has_a_line_a_row(found, tmp_path):
    lowbit.append(found, tmp_path)
    (record,) = journal.read(tmp_path / lowbit.JOURNAL)
    assert len(record["rows"]) == len(found.rows)
    assert lowbit.newest(tmp_path) == found
    assert str(found).count("\n64 x 32 ") == len(found.rows)


def test_the_newest_record_is_printed_again_and_stands_in_the_report(found, tmp_path, capsys):
    assert main(["bench", "lowbit", "--recorded", "--results", str(tmp_path)]) == 2
    assert "make one with --results" in capsys.readouterr().err
    lowbit.append(found, tmp_path)
    assert main(["bench", "lowbit", "--recorded", "--results", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{found}\n"
    (section,) = bench.engine(tmp_path)["sections"]
    assert len(section["rows"]) == len(found.rows)
    assert section["figures"][0]["svg"].startswith("<svg")


def test_a_line_that_is_no_record_is_refused_with_its_place(tmp_path):
    journal.append(tmp_path / "journal.jsonl", {"rows": [{}]})
    (tmp_path / "bench").mkdir()
    (tmp_path / "journal.jsonl").rename(tmp_path / lowbit.JOURNAL)
    with pytest.raises(ValueError, match=r"lowbit\.jsonl: this is no record of low-bit linear layers"):
        lowbit.newest(tmp_path)
