"""WordPiece: text as numbers of a vocabulary of word parts, as BERT's uncased models read it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from onebit.core.errors import check_range
from onebit.data.lines import read_lines

PAD, UNKNOWN, BEGIN, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
LONGEST_WORD = 100


def words(text: str) -> list[str]:
    """The words of a text: lower case without accents, every mark of punctuation and every ideograph on its own.

    Example:
        >>> words("Café, isn't it?")
        ['cafe', ',', 'isn', "'", 't', 'it', '?']
    """
    plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    spaced = []
    for c in plain:
        kind = unicodedata.category(c)
        if c in "\t\n\r" or kind == "Zs":
            spaced.append(" ")
        elif kind[0] == "C" or c == "\ufffd":
            continue  # control characters count for nothing
        elif kind[0] == "P" or (c.isascii() and not c.isalnum() and c != " ") or "\u4e00" <= c <= "\u9fff":
            spaced.append(f" {c} ")
        else:
            spaced.append(c)
    return "".join(spaced).split()


class WordPiece:
    """Words as the longest parts that a vocabulary has, from the left [Devlin2019].

    Args:
        vocabulary: a text a token, ``##`` before those that go on with a word; with ``[PAD]`` first, ``[UNK]``,
            ``[CLS]`` and ``[SEP]``, none twice.

    Example:
        >>> pieces = WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##bound", "##ed"])
        >>> pieces.numbers("Unbounded joy")
        [4, 5, 6, 1]
        >>> pieces(["Unbounded joy", "un"], 5)
        tensor([[2, 4, 5, 6, 3],
                [2, 4, 3, 0, 0]])
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.number = {token: i for i, token in enumerate(vocabulary)}
        if len(self.number) != len(vocabulary):
            raise ValueError(f"vocabulary must have no token twice, got {len(vocabulary) - len(self.number)} again")
        for token in (PAD, UNKNOWN, BEGIN, END):
            if token not in self.number:
                raise ValueError(f"vocabulary must have {token}, which is missing")
        if self.number[PAD] != 0:
            raise ValueError(f"vocabulary must have {PAD} first, got it at {self.number[PAD]}")

    @classmethod
    def read(cls, path: Path) -> WordPiece:
        """The vocabulary of a text file, gzipped or not, a token a line; ``ValueError`` names the file."""
        try:
            return cls(read_lines(path))
        except ValueError as error:
            said = str(error)
            raise ValueError(said if said.startswith(str(path)) else f"{path}: {said}") from None

    def __len__(self) -> int:
        return len(self.number)

    def numbers(self, text: str) -> list[int]:
        """The tokens of a text, without those that begin and end it; a word that has no parts is ``[UNK]``."""
        return [number for word in words(text) for number in self._word(word)]

    def _word(self, word: str) -> list[int]:
        found: list[int] = []
        start = 0
        while start < len(word) <= LONGEST_WORD:
            for end in range(len(word), start, -1):
                number = self.number.get(("##" if start else "") + word[start:end])
                if number is not None:
                    found.append(number)
                    start = end
                    break
            else:
                return [self.number[UNKNOWN]]
        return found or [self.number[UNKNOWN]]

    def __call__(self, texts: Sequence[str], length: int) -> Tensor:
        """The texts between ``[CLS]`` and ``[SEP]``, cut to ``length`` tokens or followed by ``[PAD]``, which is 0.

        Returns:
            ``(N, length)`` int64; the mask of what is text is ``tokens != 0``.
        """
        check_range("length", length, 2)
        tokens = torch.zeros(len(texts), length, dtype=torch.int64)
        for row, text in zip(tokens, texts):
            line = [self.number[BEGIN], *self.numbers(text)[: length - 2], self.number[END]]
            row[: len(line)] = torch.tensor(line)
        return tokens
