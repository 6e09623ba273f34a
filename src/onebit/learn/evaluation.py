"""How good a network is on given examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from onebit.core.errors import check_range
from onebit.data import Dataset, Split, normalize
from onebit.learn.agreement import correlation
from onebit.learn.randomness import preserved


@dataclass(frozen=True)
class Metrics:
    """Means over ``count`` examples.

    Args:
        loss: cross-entropy in nats.
        accuracy: share of the examples whose highest output is that of their label, 0..1; outputs with a NaN are wrong.
        count: number of examples.
        matthews: Matthews' correlation, -1..1 (:func:`onebit.learn.matthews`), of a data set whose measure it is; else
            ``None``.
    """

    loss: float
    accuracy: float
    count: int
    matthews: float | None = None

    @property
    def score(self) -> float:
        """The measure that is customary for the data: Matthews' correlation where there is one, else accuracy."""
        return self.accuracy if self.matthews is None else self.matthews

    def to_dict(self) -> dict[str, Any]:
        """Plain values; without ``matthews`` where there is none."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}

    def __str__(self) -> str:
        more = "" if self.matthews is None else f"  Matthews' correlation {self.matthews:.4f}"
        return f"loss {self.loss:.4f}  accuracy {100 * self.accuracy:.2f} % of {self.count}{more}"


def _device(model: nn.Module) -> torch.device:
    for tensor in (*model.parameters(), *model.buffers()):
        return tensor.device
    return torch.device("cpu")


def _pixels(
    data: Dataset | Split | Tensor, mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[Tensor, Sequence[float], Sequence[float]]:
    if isinstance(data, Dataset):
        return data.test.images, data.mean if mean is None else mean, data.std if std is None else std
    images = data.images if isinstance(data, Split) else data
    if images.dtype == torch.uint8 and (mean is None or std is None):
        raise ValueError("mean and std must be given with uint8 images: those of the data set, or () for none")
    return images, mean or (), std or ()


def _outputs(
    model: nn.Module, images: Tensor, mean: Sequence[float], std: Sequence[float], batch_size: int
) -> Iterator[tuple[slice, Tensor]]:
    check_range("batch_size", batch_size, 1)
    device, training = _device(model), [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), preserved(model):
            for start in range(0, len(images), batch_size) if len(images) else (0,):
                rows = slice(start, start + batch_size)
                yield rows, model(normalize(images[rows].to(device), mean, std))
    finally:
        for module, mode in training:
            module.training = mode


def outputs(
    model: nn.Module,
    data: Dataset | Split | Tensor,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    batch_size: int = 500,
) -> Tensor:
    """What ``model`` gives in evaluation mode, on the CPU: ``(N, K)``, N of 0 included; arguments as in
    :func:`evaluate`."""
    images, mean, std = _pixels(data, mean, std)
    return torch.cat([logits.cpu() for _, logits in _outputs(model, images, mean, std, batch_size)])


def predict(
    model: nn.Module,
    data: Dataset | Split | Tensor,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    batch_size: int = 500,
) -> Tensor:
    """The class of the highest output, of the first NaN where there is one: ``(N,)`` int64; arguments as in
    :func:`evaluate`."""
    return outputs(model, data, mean=mean, std=std, batch_size=batch_size).argmax(1)


def sums(model: nn.Module, split: Split, mean: Sequence[float], std: Sequence[float], batch_size: int = 500) -> Tensor:
    """What :func:`metrics` needs, of ``K`` classes: ``(4 + 2 K,)`` float64, which may be added for parts of a split.

    Cross-entropy; the number right, outputs with a NaN never; of all; of those whose class is that of the highest
    output or first NaN; then how many of each class are predicted, and how many of each there are.
    """
    total = torch.zeros((), dtype=torch.float64)
    for rows, logits in _outputs(model, split.images, mean, std, batch_size):
        classes = logits.shape[1]
        labels = split.labels[rows].to(logits.device)
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
            got = f"{int(labels.min())}..{int(labels.max())}"
            raise ValueError(f"labels must be 0..{classes - 1}, the outputs of the model, got {got}")
        loss = nn.functional.cross_entropy(logits.double(), labels, reduction="sum")
        chosen = logits.argmax(1)
        agree = chosen == labels
        counts = [torch.bincount(x, minlength=classes) for x in (chosen, labels)]
        right, count = (agree & ~logits.isnan().any(1)).sum(), torch.full_like(agree.sum(), len(labels))
        total = total.to(loss.device) + torch.cat([torch.stack([loss, right, count, agree.sum()]), *counts])
    return total.cpu()


def evaluate(
    model: nn.Module,
    data: Dataset | Split,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    batch_size: int = 500,
) -> Metrics:
    """Loss and accuracy of ``model`` in evaluation mode, and Matthews' correlation where it is the measure of the data
    set; its state and all random streams are as before.

    Args:
        model: ``(N, ...) -> (N, K)``.
        data: a data set, of which the test part counts, or a split.
        mean, std: of the normalisation; those of the data set where ``None``. A split of uint8 images needs them.
        batch_size: examples at a time.
    """
    _, mean, std = _pixels(data, mean, std)
    split = data.test if isinstance(data, Dataset) else data
    if not len(split):
        raise ValueError("data must have at least one example to evaluate on, got none")
    metric = data.metric if isinstance(data, Dataset) else "accuracy"
    return metrics(sums(model, split, mean, std, batch_size), metric)


def metrics(found: Tensor, metric: str = "accuracy") -> Metrics:
    """The means of what :func:`sums` gives, over at least one example; ``metric`` as of a :class:`Dataset`."""
    loss, (right, count, agree), counts = float(found[0]), found[1:4].long().tolist(), found[4:].long().tolist()
    half = len(counts) // 2
    correlated = correlation(agree, counts[:half], counts[half:]) if metric == "matthews" else None
    return Metrics(loss / count, right / count, count, correlated)


def measure(model: nn.Module, data: Dataset) -> float:
    """The measure that is customary for ``data``, on its test part: accuracy 0..1, or Matthews' correlation -1..1."""
    return evaluate(model, data).score
