"""How good a network is on given examples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from onebit.core.errors import check_range
from onebit.data import Dataset, Split, normalize
from onebit.learn.randomness import preserved


@dataclass(frozen=True)
class Metrics:
    """Means over ``count`` examples.

    Args:
        loss: cross-entropy in nats.
        accuracy: share of the examples whose highest output is that of their label, 0..1; outputs with a NaN are wrong.
        count: number of examples.
    """

    loss: float
    accuracy: float
    count: int

    def __str__(self) -> str:
        return f"loss {self.loss:.4f}  accuracy {100 * self.accuracy:.2f} % of {self.count}"


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


def sums(
    model: nn.Module, split: Split, mean: Sequence[float], std: Sequence[float], batch_size: int = 500
) -> tuple[float, int, int]:
    """Summed cross-entropy, number right, number of examples; summed in float64."""
    loss, right = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.int64)
    for rows, logits in _outputs(model, split.images, mean, std, batch_size):
        labels = split.labels[rows].to(logits.device)
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < logits.shape[1]:
            got = f"{int(labels.min())}..{int(labels.max())}"
            raise ValueError(f"labels must be 0..{logits.shape[1] - 1}, the outputs of the model, got {got}")
        loss = loss.to(logits.device) + nn.functional.cross_entropy(logits.double(), labels, reduction="sum")
        right = right.to(logits.device) + ((logits.argmax(1) == labels) & ~logits.isnan().any(1)).sum()
    return float(loss), int(right), len(split)


def evaluate(
    model: nn.Module,
    data: Dataset | Split,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    batch_size: int = 500,
) -> Metrics:
    """Loss and accuracy of ``model`` in evaluation mode; its state and all random streams are as before.

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
    return metrics(*sums(model, split, mean, std, batch_size))


def metrics(loss: float, right: int, count: int) -> Metrics:
    """The means of the sums that :func:`sums` gives, over at least one example."""
    return Metrics(loss / count, right / count, count)
