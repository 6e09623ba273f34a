"""Classifiers of sequences: frames or tokens in, a class out."""

from __future__ import annotations

import functools

import torch
from torch import nn

from onebit.nn import layers, schemes
from onebit.nn.models import parts
from onebit.nn.models.registry import registry


class RecurrentClassifier(nn.Module):
    """A recurrent network of bits between a first layer and a head of float or 8-bit numbers.

    | layer | output | numbers |
    | --- | --- | --- |
    | linear of each frame, or an embedding of each token | `(T, width)` | `stem` |
    | layer norm | `(T, width)` | float |
    | `depth` recurrent layers, one or both directions | `(T, width)` each | bits |
    | the last state of the uppermost layer | `width`, or twice that | |
    | linear with bias | `num_classes` | `head` |

    Gates and states are float. A packed network takes sequences of the length that it was packed with.

    Args:
        num_classes: outputs.
        frame_features: numbers in one frame.
        num_tokens: size of the vocabulary: the input is tokens instead of frames; None for frames.
        width: size of the states.
        depth: recurrent layers.
        bidirectional: whether there is a second direction.
        scheme: how layers become bits; ``None`` is the float twin.
        stem, head: ``"float"`` or ``"int8"`` for first and last layer; an embedding is float.

    Shape: frames ``(N, T, frame_features)``, tokens ``(N, T)`` int64, or images ``(N, C, H, W)``, whose rows are the
    frames, C * W numbers each, to ``(N, num_classes)``.
    """

    recurrent_class: type[layers.LSTM | layers.GRU | layers.RNN]

    def __init__(
        self,
        num_classes: int = 10,
        frame_features: int = 28,
        num_tokens: int | None = None,
        width: int = 128,
        depth: int = 1,
        bidirectional: bool = False,
        scheme=None,
        stem: str = "float",
        head: str = "float",
    ) -> None:
        super().__init__()
        sizes = (("num_classes", num_classes), ("frame_features", frame_features), ("width", width), ("depth", depth))
        for name, value in sizes:
            parts.check_size(name, value)
        if num_tokens is None:
            self.stem: nn.Module = parts.stem_linear(frame_features, width, stem)
        else:
            self.stem = nn.Embedding(parts.check_size("num_tokens", num_tokens), width)
        self.frame_features, self.tokens = frame_features, num_tokens is not None
        self.norm = nn.LayerNorm(width)
        made = None if scheme is None else schemes.build(scheme)
        self.recurrent = self.recurrent_class(
            width,
            width,
            depth,
            batch_first=True,
            bidirectional=bidirectional,
            weight_quantizer=None if made is None else functools.partial(made.weight_quantizer, linear=True),  # type: ignore[arg-type]
            input_quantizer=None if made is None else functools.partial(made.input_quantizer, linear=True),  # type: ignore[arg-type]
        )
        self.head = parts.head(width * (1 + bidirectional), num_classes, head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x if self.tokens else parts.frames(x, self.frame_features)
        y, _ = self.recurrent(self.norm(self.stem(x)))
        width = self.recurrent.hidden_size
        last = y[:, -1, :width]
        return self.head(torch.cat([last, y[:, 0, width:]], -1) if self.recurrent.bidirectional else last)


@registry.register("lstm-classifier")
class LSTMClassifier(RecurrentClassifier):
    """An LSTM of bits that classifies sequences [Hochreiter1997]: see :class:`RecurrentClassifier`."""

    recurrent_class = layers.LSTM


@registry.register("gru-classifier")
class GRUClassifier(RecurrentClassifier):
    """A GRU of bits that classifies sequences [Cho2014]: see :class:`RecurrentClassifier`."""

    recurrent_class = layers.GRU


@registry.register("rnn-classifier")
class RNNClassifier(RecurrentClassifier):
    """A recurrent network of bits that classifies sequences [Elman1990]: see :class:`RecurrentClassifier`."""

    recurrent_class = layers.RNN
