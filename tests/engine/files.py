"""Writes packed random graphs for the native driver: ``python -m tests.engine.files FOLDER --count 300``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tests.graphs import random_graph

from onebit import ir
from onebit.evidence.engine import FORMS, Shape, binary_layers


def write(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """``count`` random graphs and the layers of the benchmark, small; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    graphs = {
        f"layers-{form}-{stride}": binary_layers(Shape(9, 96, stride), form, depth=2)
        for form in FORMS
        for stride in (1, 2)
    }
    for number in range(count):
        graphs[f"random-{number}"] = random_graph(np.random.default_rng([seed, number]), batch_norm=False)[0]
    paths = []
    for name, graph in graphs.items():
        paths.append(folder / f"{name}.onebit")
        paths[-1].write_bytes(ir.dumps(graph))
    return paths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(len(write(options.folder, options.count, options.seed)), "files in", options.folder)
