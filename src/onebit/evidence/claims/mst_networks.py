"""What the claim of MST-compression measures: networks trained with and without the tree distance, and their trees."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from torch import nn

from onebit import deploy
from onebit.core.spanning import minimum_spanning_tree, prim
from onebit.data import Dataset
from onebit.deploy import compression
from onebit.deploy.compression import ReuseOrder, hamming_matrix, layer_cost
from onebit.evidence.claims import small
from onebit.ir import interpreter
from onebit.ir.graph import Graph
from onebit.ir.types import TensorType
from onebit.nn import tree_distance_
from onebit.nn.layers import Linear
from onebit.nn.layers.quantized import Quantized
from onebit.nn.quantizers import BinaryActivation, BinaryWeight

#: Neurons of the multilayer perceptron by data set.
WIDTHS = {"digits": 64, "mnist": 128}
SIGNS = np.array([-1, 1], np.int8)


def mlp(dataset: Dataset) -> nn.Sequential:
    """Three layers of bits with batch norms, hard tanh between; all weights and hidden activations are bits."""
    features, width = math.prod(dataset.input_shape), WIDTHS[dataset.name]

    def layer(inputs: int, outputs: int, quantizer: str | None) -> list[nn.Module]:
        weight = BinaryWeight("clipped", "none")
        return [
            Linear(inputs, outputs, bias=False, weight_quantizer=weight, input_quantizer=quantizer),
            nn.BatchNorm1d(outputs),
        ]

    return nn.Sequential(
        nn.Flatten(),
        *layer(features, width, None),
        nn.Hardtanh(),
        *layer(width, width, "sign"),
        nn.Hardtanh(),
        *layer(width, dataset.num_classes, "sign"),
    )


def cnn(dataset: Dataset) -> nn.Sequential:
    """The network that claims about binarization share: a float stem, three binary convolutions."""
    return small.network(
        functools.partial(BinaryWeight, "clipped", "tensor"), functools.partial(BinaryActivation, "clipped"), dataset
    )


def regularised(model: nn.Module, network: str) -> list[Quantized]:
    """The layers whose kernels are compared: the perceptron's middle one, all of the convolutional network."""
    return [model[4]] if network == "mlp" else list(small.binary_layers(model))  # type: ignore[index,list-item]


def kernels_of(layer: Quantized) -> np.ndarray:
    """The bits of a layer's weight."""
    assert layer.weight_quantizer is not None
    with torch.no_grad():
        return layer.weight_quantizer.encode(layer.latent_weight()).codes.numpy().astype(np.int8)


def train(
    network: str, data: str, examples: int | None, epochs: int, mode: str, weight: float, decay: float, seed: int
) -> dict[str, Any]:
    """Train with a tree distance of this mode and weight (0: without); accuracy, and the cost of each layer's order."""

    def make(dataset: Dataset) -> nn.Module:
        model = {"mlp": mlp, "cnn": cnn}[network](dataset)
        if weight:
            layers = [id(layer) for layer in regularised(model, network)]
            tree_distance_(model, weight, mode, filter_fn=lambda module, path: id(module) in layers)
        return model

    model, history = small.train(
        make,
        small.load(data, examples, examples and 2000),
        seed,
        optimizer="adam",
        learning_rate=5e-3 if network == "mlp" else 1e-2,
        epochs=epochs,
        clip_latent=1.0,
        weight_decay=decay,
    )
    assert history.test is not None
    kernels = [kernels_of(layer) for layer in regularised(model, network)]
    costs = [layer_cost(ReuseOrder.of(each)) for each in kernels]
    stars = [layer_cost(ReuseOrder.of(each, max_depth=1), samples=0) for each in kernels]
    parameters = sum(cost.parameters for cost in costs)
    return {
        "test": history.test.accuracy,
        "ratio": parameters / sum(cost.used for cost in costs),
        "chance": parameters / sum(cost.parameters / cost.chance for cost in costs),
        "depth": max(cost.depth for cost in costs),
        "stored": sum(cost.stored_bits for cost in costs) / parameters,
        "entropy": sum(cost.entropy_bits for cost in costs) / parameters,
        "index": sum(cost.index_bits for cost in costs) / parameters,
        "star": parameters / sum(cost.used for cost in stars),
        "clusters": parameters / sum(clustered(each, len(each) // 8) for each in kernels),
    }


def clustered(kernels: np.ndarray, count: int) -> int:
    """Weight bits used where the kernels are split by k-means into ``count`` clusters, each with the best star."""
    rows = kernels.reshape(len(kernels), -1)
    count = max(1, count)
    _, labels = kmeans2(rows.astype(float), count, seed=np.random.default_rng(0), minit="++")
    distances = hamming_matrix(rows)
    used = 0
    for label in np.unique(labels):
        inside = np.flatnonzero(labels == label)
        used += rows.shape[1] + int(distances[np.ix_(inside, inside)].sum(1).min())
    return used


def exact(data: str, examples: int, epochs: int, layers: int, seed: int) -> dict[str, Any]:
    """Values that differ between reuse order and plain order: in every value of a trained network on test pictures, and
    in ``layers`` random layers (linear, and convolutions with groups, strides, padding and dilation)."""
    dataset = small.load(data, examples, 64)
    model, _ = small.train(cnn, dataset, seed, optimizer="adam", learning_rate=1e-2, epochs=epochs, clip_latent=1.0)
    images = (dataset.test.images.float() / 255 - dataset.mean[0]) / dataset.std[0]
    graph = deploy.prepare(model, images[:2])
    order = compression.order.orders(graph)
    plain = interpreter.evaluate(graph, [images.numpy()])
    reused = interpreter.evaluate(graph, [images.numpy()], instead={index: each.run for index, each in order.items()})
    wrong = sum(int((plain[name] != reused[name]).sum()) for name in plain)
    rng = np.random.default_rng(seed)
    drawn = [_random_layer(rng) for _ in range(layers)]
    wrong_random = sum(int((made.run(x)[0][0] != compression.run(made, x)[0][0]).sum()) for made, x in drawn)
    return {"wrong": wrong, "reused_layers": len(order), "wrong_random": wrong_random}


def _random_layer(rng: np.random.Generator) -> tuple[Graph, np.ndarray]:
    groups = int(rng.integers(1, 4))
    channels, outputs = (groups * int(rng.integers(1, 8)) for _ in range(2))
    if rng.random() < 0.3:
        graph = Graph({"x": TensorType("bit", ("batch", channels))})
        weight = graph.constant(rng.choice(SIGNS, (outputs, channels)), bit=True)
        graph.outputs = [graph.add("linear", "x", weight)]
        return graph, rng.choice(SIGNS, (2, channels))
    graph = Graph({"x": TensorType("bit", ("batch", 6, 7, channels))})
    weight = graph.constant(rng.choice(SIGNS, (outputs, *rng.integers(1, 4, 2), channels // groups)), bit=True)
    attributes: dict[str, Any] = {
        "stride": tuple(map(int, rng.integers(1, 3, 2))),
        "padding": tuple(map(int, rng.integers(0, 3, 4))),
        "dilation": tuple(map(int, rng.integers(1, 3, 2))),
        "groups": groups,
        "pad_value": int(rng.integers(-1, 2)),
    }
    graph.outputs = [graph.add("conv", "x", weight, **attributes)]
    return graph, rng.choice(SIGNS, (2, 6, 7, channels))


def trees(channels: int, entries: int, limits: Sequence[int], seed: int) -> dict[str, Any]:
    """Totals and depths of trees over random kernels."""
    rng = np.random.default_rng([seed, channels, entries])
    distances = hamming_matrix(rng.choice(SIGNS, (channels, entries)))
    tree = minimum_spanning_tree(distances)
    random = [int(rng.integers(vertex)) for vertex in range(1, channels)]
    return {
        "total": tree.total,
        "depth": tree.depth,
        "star": int(distances.sum(1).min()),
        "random": int(distances[np.arange(1, channels), random].sum()),
        "first_depth": first_found(distances)[1],
        "first_total": first_found(distances)[0],
        "limited": {str(limit): minimum_spanning_tree(distances, max_depth=limit).total for limit in limits},
        "one_root": prim(distances, [0])[0].depth,
    }


def first_found(distances: np.ndarray) -> tuple[int, int]:
    """Total and depth of the tree that Prim's algorithm grows from vertex 0, taking the first of equal edges."""
    count = len(distances)
    inside = np.zeros(count, bool)
    inside[0] = True
    nearest, parent, depth = distances[0].copy(), np.zeros(count, int), np.zeros(count, int)
    total = 0
    for _ in range(count - 1):
        vertex = int(np.where(inside, np.iinfo(np.int64).max, nearest).argmin())
        inside[vertex] = True
        total += int(nearest[vertex])
        depth[vertex] = depth[parent[vertex]] + 1
        closer = distances[vertex] < nearest
        nearest[closer], parent[closer] = distances[vertex][closer], vertex
    return total, int(depth.max())
