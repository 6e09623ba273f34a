"""The graph of one quantized layer, of channels-last images, for maps of any size."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from onebit import capture, ir
from onebit.core.errors import Unsupported
from onebit.deploy.pack import check_finite_graph
from onebit.ir import passes
from onebit.ir.types import TensorType
from onebit.nn.layers import Quantized
from onebit.nn.layers.quantized import take_over
from onebit.nn.quantizers import BinaryActivation, Quantizer
from onebit.nn.quantizers.base import Encoded

#: None of them changes a bit: a folded affine would give +0.0 where a product with a negative scale gives -0.0.
PASSES = (passes.fold_constants, passes.remove_identities, passes.remove_dead)


def build(layer: Quantized) -> ir.Graph:
    """The graph of ``layer`` in eval mode.

    Its inputs are ``x`` - ``(batch, H, W, C)``, of a one-dimensional convolution with H = 1, or ``(batch, C)`` - and,
    where the input's scale is computed from the input (XNOR-Net's K), that ``scale``, which PyTorch computes. The map
    is the smallest one that the kernel fits: see :func:`resized`.

    Raises:
        Unsupported: a layer that is not integers times integers, or whose graph depends on the size of the map.
        ValueError: a number that is not finite.
    """
    if layer.input_quantizer is None or layer.weight_quantizer is None:
        which = "input" if layer.input_quantizer is None else "weight"
        raise Unsupported(f"its {which} is float, which PyTorch's own product computes at least as fast")
    if layer.output is not None:
        raise Unsupported("it has an output module, which needs PyTorch's own sums")
    if not layer.any_size:
        raise Unsupported("its padding depends on the size of the map")
    dtype = layer.latent_weight().dtype
    if dtype != torch.float32:
        name = str(dtype).removeprefix("torch.")
        raise Unsupported(f"it is {name}: the engine computes in float32; use model.float()")
    alone = Alone(layer)
    graph = capture.from_torch(alone, alone.example())
    for one in PASSES:
        graph = one(graph)
    check_finite_graph(graph)
    types = graph.types()
    products = [node for node in graph.nodes if node.kind in ("conv", "linear")]
    if len(products) != 1 or types[products[0].output].dtype != "int32":
        raise Unsupported("its codes are no integers of at most 8 bits, and floats are as fast in PyTorch")
    try:
        _check_any_size(graph)
    except ValueError:
        raise Unsupported("what it computes from the input depends on the size of the map") from None
    return graph


def resized(graph: ir.Graph, height: int, width: int) -> ir.Graph:
    """The graph for maps of another size."""
    result = graph.copy()
    batch, _, _, channels = graph.inputs["x"].shape
    result.inputs["x"] = TensorType("float32", (batch, height, width, channels))
    return result


def codes(graph: ir.Graph) -> str:
    """What is multiplied: ``"bit x bit"``, ``"uint8 x int8"``, ..."""
    types = graph.types()
    product = next(node for node in graph.nodes if node.kind in ("conv", "linear"))
    return " x ".join(types[name].dtype for name in product.inputs[:2])


def needs_scale(quantizer: nn.Module | None) -> bool:
    """Whether the scale of the input is a mean over the input."""
    return isinstance(quantizer, BinaryActivation) and quantizer.scale == "sample"


def _check_any_size(graph: ir.Graph) -> None:
    shape = graph.inputs["x"].shape
    if len(shape) == 4:
        resized(graph, cast(int, shape[1]) + 1, cast(int, shape[2]) + 2).types()


class Alone(nn.Module):
    """A layer without its hooks, with channels last, its padding zeros, its weight encoded by PyTorch as ever,
    and the input's scale from outside.

    A one-dimensional convolution is one in two dimensions, with H = 1.
    """

    def __init__(self, layer: Quantized) -> None:
        super().__init__()
        bare: Any = type(layer).__new__(type(layer))
        take_over(bare, layer)
        bare.packed = None
        with torch.no_grad():
            encoded = _Encoded(cast(Quantizer, layer.weight_quantizer), layer.latent_weight(), layer.spatial == 1)
        bare.weight_quantizer = encoded
        bare.latent_weight = lambda: encoded.codes  # of which only the dtype is read
        if needs_scale(layer.input_quantizer):
            bare.input_quantizer = _Given(cast(Quantizer, layer.input_quantizer))
        if getattr(layer, "padding_mode", "zeros") != "zeros":  # padded before: see Packed.run
            bare.padding_mode = "zeros"
            bare._reversed_padding_repeated_twice = [0] * (2 * layer.spatial)
        if layer.spatial == 1:
            bare.spatial = 2
            bare.kernel_size, bare.stride, bare.dilation = (
                (1, *of_line) for of_line in (bare.kernel_size, bare.stride, bare.dilation)
            )
            bare._reversed_padding_repeated_twice = [*bare._reversed_padding_repeated_twice, 0, 0]
        self.layer = bare

    def example(self) -> tuple[Tensor, ...]:
        """Inputs of two examples."""
        layer = self.layer
        shape = [2, layer.input_channels()]
        if layer.spatial:
            reach = [d * (k - 1) + 1 for d, k in zip(layer.dilation, layer.kernel_size)]
            shape = [2, *reach, layer.input_channels()]
        scale = torch.ones(2, *[1] * (len(shape) - 1))
        return (torch.zeros(shape), scale) if isinstance(layer.input_quantizer, _Given) else (torch.zeros(shape),)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        if scale is not None:
            self.layer.input_quantizer.given = scale
        if self.layer.spatial:
            return self.layer.forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.layer.forward(x)


class _Encoded(Quantizer):
    """The codes and the scale that a quantizer gave a weight: constants, which capture need not trace."""

    codes: Tensor
    scale: Tensor

    def __init__(self, quantizer: Quantizer, weight: Tensor, line: bool) -> None:
        super().__init__()
        self.scaled = quantizer.scaled
        self.encoded = quantizer.encode(weight)
        codes = self.encoded.codes.detach()
        self.register_buffer("codes", codes.unsqueeze(2) if line else codes, False)
        self.register_buffer("scale", self.encoded.scale.detach(), False)

    def encode(self, x: Tensor) -> Encoded:
        return self.encoded._replace(codes=self.codes, scale=self.scale)


class _Given(Quantizer):
    """The codes of a quantizer with a scale that was computed before."""

    given: Tensor

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        self.quantizer = quantizer

    def encode(self, x: Tensor) -> Encoded:
        return self.quantizer.encode(x)._replace(scale=self.given)
