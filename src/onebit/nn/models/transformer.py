"""Transformers: encoders of tokens, and of the patches of an image."""

from __future__ import annotations

import torch
from torch import nn

from onebit.nn import layers, schemes
from onebit.nn.models import parts
from onebit.nn.models.registry import registry


class Attention(nn.Module):
    """Self-attention whose four projections and whose products are of bits by ``scheme``, or float without one.

    Every projection is followed by a layer norm: sums of bits are as large as the root of the width, and signs pass no
    gradient where their inputs are beyond 1.
    """

    def __init__(self, width: int, heads: int, scheme) -> None:
        super().__init__()
        self.query, self.key, self.value = (_normed(width, width, scheme) for _ in range(3))
        made = None if scheme is None else schemes.build(scheme)
        quantizer = None if made is None else lambda: made.input_quantizer(linear=True)
        self.product = layers.DotProductAttention(width, heads, quantizer)  # type: ignore[arg-type]
        self.output = _normed(width, width, scheme)

    def forward(self, x: torch.Tensor, padding: torch.Tensor | None) -> torch.Tensor:
        return self.output(self.product(self.query(x), self.key(x), self.value(x), padding))


class Block(nn.Module):
    """``x + attention(norm(x))``, then ``x + feed_forward(norm(x))``: one layer of the encoder."""

    def __init__(self, width: int, heads: int, hidden: int, scheme) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads, scheme)
        self.feed_forward = nn.Sequential(_normed(width, hidden, scheme), nn.Hardtanh(), _normed(hidden, width, scheme))

    def forward(self, x: torch.Tensor, padding: torch.Tensor | None) -> torch.Tensor:
        x = x + self.attention(self.norm1(x), padding)
        return x + self.feed_forward(self.norm2(x))


class Encoder(nn.Module):
    """Learned positions, ``depth`` blocks and a norm: what transformers of tokens and of images share.

    Shape: x ``(N, L, width)``, L at most ``length``; padding ``(N, L)`` bool or None; to ``(N, L, width)``.
    """

    def __init__(self, length: int, width: int, depth: int, heads: int, expansion: int, scheme) -> None:
        super().__init__()
        sizes = (("width", width), ("depth", depth), ("heads", heads), ("expansion", expansion))
        for name, value in sizes:
            parts.check_size(name, value)
        if width % heads:
            raise ValueError(f"width must be a multiple of heads = {heads}, got {width}")
        self.positions = nn.Parameter(torch.randn(length, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads, expansion * width, scheme) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: torch.Tensor, padding: torch.Tensor | None = None) -> torch.Tensor:
        x = x + self.positions[: x.shape[1]]
        for block in self.blocks:
            x = block(x, padding)
        return self.norm(x)


@registry.register("transformer")
class Transformer(nn.Module):
    """A small encoder of bits that classifies sequences of tokens [Vaswani2017].

    | layer | output | numbers |
    | --- | --- | --- |
    | embedding of each token, plus one of its position | `(T, width)` | float |
    | `depth` times: layer norm, attention of `heads` heads, plus shortcut | `(T, width)` | bits |
    | and: layer norm, linear, layer norm, hardtanh, linear, layer norm, plus shortcut | `(T, width)` | bits |
    | layer norm, mean over the tokens that are no padding | `width` | float |
    | linear with bias | `num_classes` | `head` |

    The projections of queries, keys, values and outputs, both products of the attention and the two layers of the
    feed-forward part take bits; the softmax and the norms are float. Layer norms, of which every layer of bits has one
    before and one after it: those of batches would count the padding. The token 0 is padding: nobody attends to it, and
    it is not in the mean.

    Args:
        num_classes: outputs.
        num_tokens: size of the vocabulary.
        length: tokens of the longest sequence.
        width: numbers of a token, a multiple of ``heads``.
        depth: blocks.
        heads: of the attention.
        expansion: times ``width`` is what the feed-forward part has inside.
        scheme: how layers become bits; ``None`` is the float twin.
        head: ``"float"`` or ``"int8"`` for the last layer.

    Shape: ``(N, T)`` int64, T at most ``length``, to ``(N, num_classes)``. A packed network takes sequences as long as
    those that it was packed with: pad them with 0.

    Example:
        >>> model = Transformer(num_classes=2, num_tokens=100, width=16, scheme="bireal").eval()
        >>> model(torch.tensor([[7, 42, 3, 0, 0]])).shape
        torch.Size([1, 2])
    """

    def __init__(
        self,
        num_classes: int = 10,
        num_tokens: int = 30_522,
        length: int = 64,
        width: int = 64,
        depth: int = 2,
        heads: int = 4,
        expansion: int = 2,
        scheme=None,
        head: str = "float",
    ) -> None:
        super().__init__()
        for name, value in (("num_classes", num_classes), ("num_tokens", num_tokens), ("length", length)):
            parts.check_size(name, value)
        self.encoder = Encoder(length, width, depth, heads, expansion, scheme)
        self.embedding = nn.Embedding(num_tokens, width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.head = parts.head(width, num_classes, head)
        self.length = length

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dim() != 2 or x.shape[1] > self.length:
            raise ValueError(f"x must be tokens (N, T) with T at most {self.length}, got {tuple(x.shape)}")
        padding = x == 0
        kept = padding.logical_not().float().unsqueeze(2)
        y = self.encoder(self.embedding(x), padding) * kept
        return self.head(y.sum(1) / kept.sum(1).clamp(min=1))


@registry.register("vit")
class ViT(nn.Module):
    """A small encoder of bits that classifies images by their patches [Dosovitskiy2021].

    | layer | output | numbers |
    | --- | --- | --- |
    | linear of each patch, plus an embedding of its position | `(H W / patch^2, width)` | `stem` |
    | `depth` blocks as of :class:`Transformer` | the same | bits |
    | layer norm, mean over the patches | `width` | float |
    | linear with bias | `num_classes` | `head` |

    Args:
        num_classes: outputs.
        in_channels: channels of the images.
        image_size: height and width of the images, a multiple of ``patch``.
        patch: height and width of a patch.
        width: numbers of a patch, a multiple of ``heads``.
        depth: blocks.
        heads: of the attention.
        expansion: times ``width`` is what the feed-forward part has inside.
        scheme: how layers become bits; ``None`` is the float twin.
        stem, head: ``"float"`` or ``"int8"`` for first and last layer.

    Shape: ``(N, in_channels, image_size, image_size) -> (N, num_classes)``.

    Example:
        >>> ViT(image_size=8, width=16, scheme="bnn")(torch.randn(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        image_size: int = 28,
        patch: int = 4,
        width: int = 64,
        depth: int = 2,
        heads: int = 4,
        expansion: int = 2,
        scheme=None,
        stem: str = "float",
        head: str = "float",
    ) -> None:
        super().__init__()
        for name, value in (("num_classes", num_classes), ("in_channels", in_channels), ("patch", patch)):
            parts.check_size(name, value)
        if parts.check_size("image_size", image_size) % patch:
            raise ValueError(f"image_size must be a multiple of patch = {patch}, got {image_size}")
        self.stem = parts.stem_linear(in_channels * patch * patch, width, stem)
        self.encoder = Encoder((image_size // patch) ** 2, width, depth, heads, expansion, scheme)
        self.head = parts.head(width, num_classes, head)
        self.shape, self.patch = (in_channels, image_size, image_size), patch

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if tuple(x.shape[1:]) != self.shape:
            raise ValueError(f"x must be images (N, {', '.join(map(str, self.shape))}), got {tuple(x.shape)}")
        x = x.unflatten(2, (-1, self.patch)).unflatten(4, (-1, self.patch))  # (N, C, rows, patch, columns, patch)
        patches = x.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        return self.head(self.encoder(self.stem(patches)).mean(1))


def _normed(in_features: int, out_features: int, scheme) -> nn.Sequential:
    """A linear layer of bits and the layer norm of its sums."""
    return nn.Sequential(parts.linear(in_features, out_features, scheme), nn.LayerNorm(out_features))
