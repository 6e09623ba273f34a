"""One layer as a shape: as a graph of bits for the engine, as float layers for its peers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from onebit import ir
from onebit.core.errors import require

FORMS = ("bits", "float")
DEPTH = 4


class Shape(NamedTuple):
    """A square convolution, or a linear layer: height (and width) and channels of its input.

    Padding keeps the size; with stride 2 channels double. A linear layer is a convolution of size 1.
    """

    size: int
    channels: int
    stride: int = 1
    kernel: int = 3
    batch: int = 1

    @classmethod
    def linear(cls, features: int, batch: int = 1) -> Shape:
        """A linear layer with as many outputs as inputs."""
        return cls(1, features, 1, 1, batch)

    @property
    def is_linear(self) -> bool:
        """Whether it is a linear layer."""
        return self.size == self.kernel == 1

    @property
    def kind(self) -> str:
        """``"linear"``, or ``"conv"`` and the size of the kernel."""
        return "linear" if self.is_linear else f"conv {self.kernel}x{self.kernel}"

    @property
    def out_size(self) -> int:
        """Height and width of the output."""
        return (self.size - 1) // self.stride + 1

    @property
    def out_channels(self) -> int:
        """Channels of the output."""
        return self.channels * self.stride

    @property
    def padding(self) -> list[int]:
        """Of the convolution: top, bottom, left, right."""
        return [self.kernel // 2] * 4

    @property
    def weights(self) -> int:
        """Weights of one such layer."""
        return self.out_channels * self.channels * self.kernel**2

    @property
    def outputs(self) -> int:
        """Numbers that one such layer gives."""
        return self.batch * self.out_size**2 * self.out_channels

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one such layer."""
        return self.batch * self.out_size**2 * self.weights

    def bytes(self, form: str) -> float:
        """Bytes that one such layer of bits must read and write at least: bits, and float32 in the form ``float``."""
        bits = self.batch * self.size**2 * self.channels + self.weights + self.outputs
        return bits / 8 + (8 * self.outputs if form == "float" else 0)

    def tensor(self, size: int, channels: int) -> tuple[int, ...]:
        """The shape of a tensor of this layer, channels last."""
        return (self.batch, channels) if self.is_linear else (self.batch, size, size, channels)

    def __str__(self) -> str:
        if self.is_linear:
            return f"{self.channels}, batch {self.batch}"
        return f"{self.size}x{self.size}x{self.channels}{f' /{self.stride}' if self.stride > 1 else ''}"


SIZES = ((56, 64), (28, 128), (14, 256), (7, 512))
#: The binary convolutions of ResNet-18, 1x1 convolutions of the same sizes, and linear layers.
SHAPES = (
    *(Shape(size, channels) for size, channels in SIZES),
    *(Shape(size, channels, 2) for size, channels in SIZES[:3]),
    *(Shape(size, channels, 1, 1) for size, channels in SIZES),
    *(Shape.linear(features, batch) for features in (1024, 4096) for batch in (1, 16, 256)),
)


def binary_layers(shape: Shape, form: str, depth: int = DEPTH, seed: int = 0) -> ir.Graph:
    """``depth`` layers of bits, convolutions with zero padding; no inputs, and one row of each result as outputs."""
    rng = np.random.default_rng(seed)
    graph = ir.Graph({})
    chained = shape.stride == 1
    bits = graph.constant(_signs(rng, *shape.tensor(shape.size, shape.channels)), bit=True)
    y = graph.constant(rng.standard_normal(shape.tensor(shape.out_size, shape.out_channels)).astype(np.float32))
    packed = []
    for _ in range(depth):
        if shape.is_linear:
            weight = graph.constant(_signs(rng, shape.out_channels, shape.channels), bit=True)
            sums = graph.add("linear", bits, weight)
        else:
            weight = graph.constant(
                _signs(rng, shape.out_channels, shape.kernel, shape.kernel, shape.channels), bit=True
            )
            sums = graph.add("conv", bits, weight, padding=shape.padding, stride=[shape.stride] * 2)
        if form == "bits":
            limit = graph.constant(rng.integers(-9, 10, shape.out_channels).astype(np.int32))
            packed.append(
                graph.add("threshold", sums, limit, graph.constant(_signs(rng, shape.out_channels), bit=True))
            )
        else:
            scale = graph.constant(rng.uniform(0.01, 0.1, shape.out_channels).astype(np.float32))
            shift = graph.constant(rng.standard_normal(shape.out_channels).astype(np.float32))
            y = graph.add("add", graph.add("affine", sums, scale, shift), y)
            packed.append(graph.add("sign", y))
        if chained:
            bits = packed[-1]
    results = [*([y] if form == "float" else []), *(packed[-1:] if chained else packed)]
    axis = 0 if shape.is_linear else 1
    graph.outputs = [graph.add("slice", value, axis=axis, stop=1) for value in results]
    return graph


class FloatLayers(NamedTuple):
    """``depth`` float32 layers of the same shapes and arrangement, for the peers."""

    shape: Shape
    weights: list[np.ndarray]

    @classmethod
    def random(cls, shape: Shape, depth: int = DEPTH, seed: int = 0) -> FloatLayers:
        """With weights that keep the size of what runs through."""
        rng = np.random.default_rng(seed)
        size = (shape.out_channels, shape.channels, *([] if shape.is_linear else [shape.kernel] * 2))
        spread = np.float32((shape.weights / shape.out_channels) ** -0.5)
        return cls(shape, [rng.standard_normal(size).astype(np.float32) * spread for _ in range(depth)])

    def input(self) -> np.ndarray:
        """Random float32, channels first."""
        given = self._tensor(self.shape.size, self.shape.channels)
        return np.random.default_rng(1).standard_normal(given).astype(np.float32)

    def module(self) -> Callable:
        """The layers as a PyTorch module."""
        torch = require("torch", "train", "timing PyTorch")
        s = self.shape
        made = []
        for weight in self.weights:
            if s.is_linear:
                layer = torch.nn.Linear(s.channels, s.out_channels, bias=False)
            else:
                layer = torch.nn.Conv2d(s.channels, s.out_channels, s.kernel, s.stride, s.kernel // 2, bias=False)
            layer.weight = torch.nn.Parameter(torch.from_numpy(weight), requires_grad=False)
            made.append(layer)
        return torch.nn.Sequential(*made).eval() if s.stride == 1 else _Readers(made)

    def write(self, path: Path) -> Path:
        """The layers as an ONNX file."""
        onnx = require("onnx", "train", "timing ONNX Runtime")
        s, depth, chained = self.shape, len(self.weights), self.shape.stride == 1
        kind = "Gemm" if s.is_linear else "Conv"
        settings = (
            {"transB": 1}
            if s.is_linear
            else {"kernel_shape": [s.kernel] * 2, "pads": s.padding, "strides": [s.stride] * 2}
        )
        nodes = [
            onnx.helper.make_node(kind, [f"x{i if chained else 0}", f"w{i}"], [f"x{i + 1}"], **settings)
            for i in range(depth)
        ]
        value, float32 = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
        made = self._tensor(s.out_size, s.out_channels)
        graph = onnx.helper.make_graph(
            nodes,
            "layers",
            [value("x0", float32, self._tensor(s.size, s.channels))],
            [value(f"x{i}", float32, made) for i in ([depth] if chained else range(1, depth + 1))],
            [onnx.numpy_helper.from_array(weight, f"w{i}") for i, weight in enumerate(self.weights)],
        )
        opset = [onnx.helper.make_opsetid("", 17)]
        onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)
        return path

    def _tensor(self, size: int, channels: int) -> tuple[int, ...]:
        batch = self.shape.batch
        return (batch, channels) if self.shape.is_linear else (batch, channels, size, size)


class _Readers:
    """Layers that read one input."""

    def __init__(self, layers: list) -> None:
        self.layers = layers

    def to(self, **settings) -> _Readers:
        return _Readers([layer.to(**settings) for layer in self.layers])

    def __call__(self, x):
        return [layer(x) for layer in self.layers]


def _signs(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(0, 2, shape, np.int8) * np.int8(2) - np.int8(1)
