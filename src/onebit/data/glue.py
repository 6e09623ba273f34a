"""Two tasks of GLUE on one sentence each: SST-2, what a review thinks, and CoLA, whether a sentence is grammatical."""

from __future__ import annotations

from pathlib import Path

import torch

from onebit.core.errors import check_range, shown
from onebit.data.dataset import Dataset, Split, registry
from onebit.data.lines import read_lines
from onebit.data.sources import Remote, Sources
from onebit.data.wordpiece import WordPiece

SST2_HEADER = "sentence\tlabel"


def read_sst2(path: Path, count: int) -> tuple[list[str], list[int]]:
    """Sentences and labels of a file with the lines ``sentence TAB label`` after one that says so."""
    lines = read_lines(path)
    if not lines or lines[0] != SST2_HEADER:
        raise ValueError(f"{path} must begin with the line {SST2_HEADER!r}, got {shown(lines[0] if lines else '')}")
    return _rows(path, lines[1:], count, 2, first=2, label=1, sentence=0)


def read_cola(path: Path, count: int) -> tuple[list[str], list[int]]:
    """Sentences and labels of a file with the lines ``source TAB label TAB mark TAB sentence``."""
    return _rows(path, read_lines(path), count, 4, first=1, label=1, sentence=3)


def _rows(
    path: Path, lines: list[str], count: int, columns: int, first: int, label: int, sentence: int
) -> tuple[list[str], list[int]]:
    if len(lines) != count:
        raise ValueError(f"{path} must have {count} sentences, got {len(lines)}")
    rows = [line.split("\t") for line in lines]
    for i, row in enumerate(rows):
        if len(row) != columns or row[label] not in ("0", "1"):
            raise ValueError(
                f"{path}, line {first + i} must have {columns} columns and a label 0 or 1 as number {label + 1}, "
                f"got {shown(lines[i])}"
            )
    return [row[sentence] for row in rows], [int(row[label]) for row in rows]


def _load(name: str, sources: Sources, length: int, classes: tuple[str, str], metric: str = "accuracy") -> Dataset:
    check_range("length", length, 2, 512)
    folder, read, counts = {"sst2": ("SST-2", read_sst2, (67_349, 872)), "cola": ("CoLA", read_cola, (8551, 1043))}[
        name
    ]
    vocabulary = Remote("vocab.txt.gz")
    how = "get vocab.txt of BERT base uncased, gzipped or not,"
    pieces = WordPiece.read(sources.fetch(vocabulary, ("bert-vocab",), ("vocab.txt",), how))
    splits = []
    for part, count in zip(("train", "dev"), counts):
        names = (f"glue/{folder}", folder, name)
        how = f"get the task {folder} of GLUE (gluebenchmark.com)"
        sentences, labels = read(sources.fetch(Remote(f"{part}.tsv.gz"), names, (f"{part}.tsv",), how), count)
        splits.append(Split(pieces(sentences, length), torch.tensor(labels, dtype=torch.int64)))
    return Dataset(name, splits[0], splits[1], 2, classes, num_tokens=len(pieces), metric=metric)


@registry.register("sst2")
def sst2(sources: Sources, length: int = 64) -> Dataset:
    """SST-2 of GLUE: 67,349 + 872 phrases and sentences of film reviews, positive or not [Socher2013].

    Inputs: ``(N, length)`` int64, tokens of :class:`onebit.data.WordPiece` in BERT's uncased vocabulary, 0 pads. The
    test part is the development part of GLUE, whose own test labels are not public [Wang2019].

    Args:
        sources: where the files are.
        length: tokens of an example, its begin and end included, 2..512; longer ones are cut.
    """
    return _load("sst2", sources, length, ("negative", "positive"))


@registry.register("cola")
def cola(sources: Sources, length: int = 32) -> Dataset:
    """CoLA of GLUE: 8,551 + 1,043 sentences of linguists, grammatical or not [Warstadt2019].

    Inputs, test part and arguments as of ``sst2``. Seven of ten sentences are grammatical, so its measure is Matthews'
    correlation (:func:`onebit.learn.matthews`), which is 0 for who always says so.
    """
    return _load("cola", sources, length, ("not grammatical", "grammatical"), "matthews")
