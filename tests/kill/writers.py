"""Writers of the library that no quick command reaches, as functions of a folder; run in forks of the warm process."""

from __future__ import annotations

from pathlib import Path


def weights(folder: str) -> None:
    """``onebit.save``."""
    import torch

    import onebit
    from onebit.nn import models

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        onebit.save(models.build("mlp", in_features=4, width=8, scheme="biper"), Path(folder) / "a.safetensors")


def history(folder: str) -> None:
    """The plot of a training's history."""
    from onebit.learn.history import History, Row

    History(tuple(Row(n, n, 1, 0.1, 1 / n) for n in (1, 2))).plot(Path(folder) / "a.svg")


def float_onnx(folder: str) -> None:
    """The float twin for ONNX Runtime."""
    import torch
    from torch import nn

    from onebit import deploy

    deploy.float_onnx(nn.Sequential(nn.Linear(2, 2)), torch.zeros(2, 2), Path(folder) / "a.onnx")


def download(folder: str, url: str) -> None:
    """A file of a data set, into the cache."""
    from onebit.data.sources import Remote, Sources

    Sources((), Path(folder)).fetch(Remote("file.bin", (url,)), ["a-set"])


def page(folder: str) -> None:
    """What writes the page of the demo, and every other text."""
    from onebit.core.files import write_text

    write_text(Path(folder) / "a.svg", "<svg></svg>")


def rows(folder: str) -> None:
    """Three rows of a sweep, the second of which fails."""
    from onebit.evidence import sweep

    sweep.run(lambda s: {"inverse": 1 / s["x"]}, sweep.named(sweep.grid({"x": [1, 0, 2]})), Path(folder) / "rows.jsonl")
