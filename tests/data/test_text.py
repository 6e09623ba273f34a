"""Text as tokens, and the sentences of GLUE."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import torch

from onebit import data, learn
from onebit.data import glue

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "##b", "##bc", "ab", "!", "b"]


def test_a_word_becomes_its_longest_parts_and_all_parts_make_the_word_again():
    pieces = data.WordPiece(VOCABULARY)
    for word in ("abbc", "ab", "abb", "abbbc", "bbb"):
        parts = [VOCABULARY[number] for number in pieces.numbers(word)]
        assert "".join(part.removeprefix("##") for part in parts) == word
    assert [VOCABULARY[n] for n in pieces.numbers("abbc!")] == ["ab", "##bc", "!"]


def test_case_accents_spaces_and_control_characters_do_not_count():
    pieces = data.WordPiece(VOCABULARY)
    assert pieces.numbers("\u00c1B\u00a0 \x00ab\n") == pieces.numbers("ab ab")


@pytest.mark.parametrize("word", ["c", "ac", "a" * 101])
def test_a_word_without_parts_is_unknown_as_a_whole(word):
    assert data.WordPiece(VOCABULARY).numbers(word) == [1]


def test_a_text_is_cut_to_its_length_and_ends_all_the_same():
    pieces = data.WordPiece(VOCABULARY)
    assert pieces(["a a a a a", ""], 4).tolist() == [[2, 4, 4, 3], [2, 3, 0, 0]]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (VOCABULARY[1:], r"must have \[PAD\], which is missing"),
        ([*VOCABULARY, "a"], "no token twice"),
        (["a", *VOCABULARY[:4]], r"\[PAD\] first, got it at 1"),
    ],
)
def test_another_vocabulary_is_refused_with_the_file(tmp_path, lines, reason):
    (tmp_path / "vocab.txt").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=f"vocab.txt: vocabulary must have .*{reason.removeprefix('must have ')}"):
        data.WordPiece.read(tmp_path / "vocab.txt")


SST2, COLA = "sentence\tlabel\na b \t1\nb\t0\n", "gj04\t1\t\ta b.\nks08\t0\t*\tb a.\n"


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_sentences_are_read_with_their_labels(tmp_path, pack):
    for text, read, sentences in ((SST2, glue.read_sst2, ["a b ", "b"]), (COLA, glue.read_cola, ["a b.", "b a."])):
        (tmp_path / "file").write_bytes(pack(text.encode()))
        assert read(tmp_path / "file", 2) == (sentences, [1, 0])


@pytest.mark.parametrize(
    ("text", "read", "reason"),
    [
        (SST2[9:], glue.read_sst2, "must begin with the line"),
        ("", glue.read_sst2, "must begin with the line"),
        (SST2[:-4], glue.read_sst2, "must have 2 sentences, got 1"),
        (SST2.replace("\t0", "\t2"), glue.read_sst2, "line 3 must have 2 columns and a label 0 or 1"),
        (COLA.replace("\t*", ""), glue.read_cola, "line 2 must have 4 columns"),
    ],
)
def test_other_sentences_are_refused_with_the_line(tmp_path, text, read, reason):
    (tmp_path / "file").write_text(text)
    with pytest.raises(ValueError, match=reason):
        read(tmp_path / "file", 2)


def test_cola_holds_its_counts_and_begins_and_ends_every_sentence(load_dataset):
    cola = load_dataset("cola")
    assert (tuple(cola.train.inputs.shape), tuple(cola.test.inputs.shape)) == ((8551, 32), (1043, 32))
    assert (cola.num_tokens, cola.metric) == (30_522, "matthews")
    assert (cola.train.inputs[:, 0] == 101).all()  # [CLS] and [SEP] of BERT's uncased vocabulary
    assert ((cola.train.inputs == 102).sum(1) == 1).all()
    assert float((cola.train.inputs == 100).double().mean()) < 1e-3  # hardly a word is unknown
    assert 0.65 < float(cola.test.labels.double().mean()) < 0.75


def test_the_correlation_of_matthews_is_that_of_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    generator = np.random.default_rng(0)
    for classes in (2, 3, 5):
        predicted, labels = torch.from_numpy(generator.integers(0, classes, (2, 100)))
        assert learn.matthews(predicted, labels) == pytest.approx(metrics.matthews_corrcoef(labels, predicted))
    assert learn.matthews(labels, labels) == 1
    assert learn.matthews(torch.zeros_like(labels), labels) == 0


def sentences() -> data.Dataset:
    part = data.Split(torch.tensor([[2, 4, 3], [2, 5, 3], [2, 4, 3]]), torch.tensor([0, 1, 1]))
    return data.Dataset("sentences", part, part, 2, ("no", "yes"), num_tokens=6, metric="matthews")


def test_the_measure_of_a_set_is_the_one_it_names():
    class Same(torch.nn.Module):
        def forward(self, tokens):
            return torch.nn.functional.one_hot((tokens[:, 1] == 5).long(), 2).float()

    some = sentences()
    assert learn.measure(Same(), some) == learn.matthews(torch.tensor([0, 1, 0]), some.test.labels)
    assert learn.evaluate(Same(), some).accuracy == pytest.approx(2 / 3)


def test_a_model_of_numbers_refuses_tokens_in_a_sentence():
    with pytest.raises(ValueError, match="model 'mlp' takes numbers, and the examples of data set 'sentences' are tok"):
        learn.ModelSpec("mlp").fitted(sentences())


def test_tokens_beyond_the_vocabulary_are_refused():
    part = sentences().train
    with pytest.raises(ValueError, match=r"tokens of the train part must be 0\.\.4, got 2\.\.5"):
        data.Dataset("sentences", part, part, 2, ("no", "yes"), num_tokens=5)
