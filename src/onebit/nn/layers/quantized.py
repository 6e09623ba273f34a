"""What every layer of bits does, whatever its product: quantize input and weight, multiply, scale, add the bias."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from onebit.nn.operators.base import in_dtype
from onebit.nn.quantizers import Quantizer, build_activation, build_weight
from onebit.nn.quantizers.base import Encoded

QuantizerLike = str | Quantizer | Callable[[], Quantizer] | None
Layer = TypeVar("Layer", bound="Quantized")

_PARTS = ("weight_quantizer", "input_quantizer", "output")
_INJECTED = ("__getstate__", "__deepcopy__")


class Quantized(nn.Module):
    """Mixin: ``y = product(input_quantizer(x), weight_quantizer(weight)) + bias``.

    - training: the product of the dequantized tensors, differentiable;
    - eval: the product of the **codes** - sums of integers, exact in float32 - times the scales. (A product of
      dequantized tensors rounds: it turns sums that are 0 into small non-zeros and so flips signs after it.) Computed
      in float32 at least, whatever autocast says, and rounded once to the dtype of the weight;
    - exporting: the same through the custom operators of :mod:`onebit.nn.ops`;
    - accelerated (``onebit.accelerate_``), in eval mode: the same by the engine, where the call is one that it takes.

    The weight is read as an attribute, so a parametrization of it comes before its quantizer.

    Attributes:
        weight_quantizer, input_quantizer: quantizers, or None for float.
        output: a module ``output(y, x) -> y`` before the bias, or None.
        any_size: whether the layer is the same for maps of any size; one whose padding follows the size of its input
            is not accelerated.
        packed: what computes the layer in eval mode instead of :meth:`compute`, or None; ``train()`` takes it away.
    """

    weight_quantizer: Quantizer | None
    input_quantizer: Quantizer | None
    output: nn.Module | None
    packed: Any
    bias: Any
    any_size: bool = True
    spatial: int = 0
    channel_dim: int = -1

    def attach(
        self, weight_quantizer: QuantizerLike, input_quantizer: QuantizerLike, output: nn.Module | None = None
    ) -> None:
        """Give the layer its quantizers, built from names where names came."""
        self.weight_quantizer = build_weight(weight_quantizer)
        self.input_quantizer = build_activation(input_quantizer)
        self.output = output
        self.packed = None
        with torch.no_grad():
            weight = self.latent_weight()
            if self.weight_quantizer is not None:
                self.weight_quantizer.attach(weight, 0)
            if self.input_quantizer is not None:
                shape = [0] * (self.spatial + 2)
                shape[self.channel_dim] = self.input_channels()
                self.input_quantizer.attach(weight.new_empty(shape), self.channel_dim)

    @classmethod
    def from_float(
        cls: type[Layer],
        module: nn.Module,
        weight_quantizer: QuantizerLike,
        input_quantizer: QuantizerLike,
        **settings: Any,
    ) -> Layer:
        """A layer of bits that holds the very parameters, buffers, hooks and parametrizations of the float
        ``module``."""
        layer = cls.__new__(parametrized_class(cls, module))
        take_over(layer, module)
        layer.adopt(**settings)
        layer.attach(weight_quantizer, input_quantizer)
        layer.train(module.training)
        return layer

    def adopt(self) -> None:
        """Set, after :meth:`from_float`, the attributes that the float module does not have."""

    def latent_weight(self) -> Tensor:
        """The weight before its quantizer, output channels first."""
        return self.weight  # type: ignore[return-value]

    def input_channels(self) -> int:
        """Size of the channel dimension of the input."""
        raise TypeError(f"{type(self).__name__} does not define input_channels()")

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        """The sums, without scales and bias."""
        raise TypeError(f"{type(self).__name__} does not define product(x, weight)")

    def penalty(self) -> Tensor:
        """The weight quantizer's regulariser of this layer's weight."""
        return torch.zeros(()) if self.weight_quantizer is None else self.weight_quantizer.penalty(self.latent_weight())

    def forward(self, x: Tensor) -> Tensor:
        self.check_input(x)
        packed = self.packed
        if packed is None or self.training or not packed.takes(self, x):
            return self.compute(x)
        return packed.run(self, x)

    def train(self: Layer, mode: bool = True) -> Layer:
        """As PyTorch's; a layer that is trained is no longer accelerated, for its packed weights would grow old."""
        if mode:
            self.packed = None
        return super().train(mode)

    def compute(self, x: Tensor) -> Tensor:
        """The layer's result by PyTorch."""
        y = quantized_product(
            self.product,
            x,
            self.latent_weight(),
            self.input_quantizer,
            self.weight_quantizer,
            [-1, *[1] * self.spatial],
            self.training,
        )
        if self.output is not None:
            y = self.output(y, x)
        return y if self.bias is None else y + self.bias.view(-1, *[1] * self.spatial)

    def check_input(self, x: Tensor) -> None:
        """``ValueError`` where the shape of ``x`` does not fit."""
        channels = self.input_channels()
        if x.dim() < self.spatial + 1 or (self.spatial and x.dim() != self.spatial + 2):
            expected = "(..., C)" if not self.spatial else "(N, C, L)" if self.spatial == 1 else "(N, C, H, W)"
            raise ValueError(f"x must have shape {expected}, got {tuple(x.shape)}")
        if x.shape[self.channel_dim] != channels:
            raise ValueError(f"x must have {channels} channels, got {x.shape[self.channel_dim]} in {tuple(x.shape)}")

    def _load_from_state_dict(self, state_dict, prefix, *arguments) -> None:
        keep_own(self, _PARTS, state_dict, prefix)
        # A regulariser is the trainer's, not the layer's: a state dict of a layer that had one fits a layer without.
        if "regularizer" not in self._modules:
            for key in [key for key in state_dict if key.startswith(f"{prefix}regularizer.")]:
                del state_dict[key]
        super()._load_from_state_dict(state_dict, prefix, *arguments)


@contextlib.contextmanager
def unaccelerated(model: nn.Module) -> Iterator[None]:
    """``model`` without what ``onebit.accelerate_`` put into it: for readers that look inside its layers."""
    held = ((layer, getattr(layer, "packed", None)) for layer in model.modules())
    layers: list[tuple[Any, nn.Module]] = [(layer, packed) for layer, packed in held if isinstance(packed, nn.Module)]
    try:
        for layer, _ in layers:
            layer.packed = None
        yield
    finally:
        for layer, packed in layers:
            layer.packed = packed


def quantized_product(
    product: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    weight: Tensor,
    input_quantizer: Quantizer | None,
    weight_quantizer: Quantizer | None,
    weight_scale_shape: Sequence[int],
    training: bool,
) -> Tensor:
    """``product(Q(x), Q(weight))``: of dequantized tensors in training, of codes and then times the scales otherwise.

    Args:
        product: linear in both arguments.
        weight_scale_shape: the view that makes per-output-channel scales broadcast against the product.
        training: which of the two.
    """
    return held_product(product, weight, input_quantizer, weight_quantizer, weight_scale_shape, training)(x)


def held_product(
    product: Callable[[Tensor, Tensor], Tensor],
    weight: Tensor,
    input_quantizer: Quantizer | None,
    weight_quantizer: Quantizer | None,
    weight_scale_shape: Sequence[int],
    training: bool,
) -> Callable[[Tensor], Tensor]:
    """:func:`quantized_product` as a function of x alone, for a weight that is used many times and quantized once."""
    if training and not torch.compiler.is_exporting():
        value = weight if weight_quantizer is None else weight_quantizer(weight)
        return lambda x: product(x if input_quantizer is None else input_quantizer(x), value)
    right = _codes(weight, weight_quantizer)

    def of_codes(x: Tensor) -> Tensor:
        return _scaled_product(product, x, weight, right, input_quantizer, weight_quantizer, weight_scale_shape)

    return of_codes


def _scaled_product(
    product: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    weight: Tensor,
    right: Encoded,
    input_quantizer: Quantizer | None,
    weight_quantizer: Quantizer | None,
    weight_scale_shape: Sequence[int],
) -> Tensor:
    left = _codes(x, input_quantizer)
    sums = _exact(product, left.codes, right.codes, input_quantizer is not None and weight_quantizer is not None)
    scales = []
    if input_quantizer is not None and input_quantizer.scaled:
        scales.append(left.scale)
    if weight_quantizer is not None and weight_quantizer.scaled:
        scales.append(right.scale.reshape(weight_scale_shape) if right.scale.dim() else right.scale)
    if scales:
        sums = sums * (scales[0] * scales[1] if len(scales) == 2 else scales[0])
    return in_dtype(sums, weight)


def _codes(x: Tensor, quantizer: Quantizer | None) -> Encoded:
    """What is multiplied: codes less the zero point, levels looked up; the tensor itself without a quantizer."""
    if quantizer is None:
        return Encoded(x, x)
    encoded = quantizer.encode(x)
    codes = encoded.codes if encoded.levels is None else encoded.levels[encoded.codes.long()]
    return encoded._replace(codes=codes - encoded.zero_point if encoded.zero_point else codes)


def _exact(product: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor, integer: bool) -> Tensor:
    """``product(x, weight)``; of integer codes exactly: in float32 or wider, without autocast, and rounded on devices
    whose convolution may take a detour through fractions."""
    if torch.compiler.is_exporting() or not integer:
        return product(x, weight)
    dtype = torch.promote_types(torch.promote_types(x.dtype, weight.dtype), torch.float32)
    device = x.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        with torch.autocast(device, enabled=False):
            sums = product(x.to(dtype), weight.to(dtype))
    else:
        sums = product(x.to(dtype), weight.to(dtype))
    if device != "cpu":
        sums = sums + (sums.round() - sums).detach()
    return sums


def keep_own(layer: nn.Module, parts: Sequence[str], state_dict: dict[str, Any], prefix: str) -> None:
    """So that a float state dict fits: where it has nothing for the quantizers in ``parts``, they keep what they
    have."""
    own = {
        f"{prefix}{part}.{name}": value
        for part in parts
        if getattr(layer, part) is not None
        for name, value in getattr(layer, part).state_dict(keep_vars=True).items()
    }
    if not any(key in state_dict for key in own):
        state_dict.update(own)


def fresh(quantizer: QuantizerLike) -> QuantizerLike:
    """A copy of a quantizer object, so that projections do not share state; names and factories as they are."""
    return copy.deepcopy(quantizer) if isinstance(quantizer, Quantizer) else quantizer


def take_over(layer: nn.Module, module: nn.Module) -> None:
    """Give ``layer``, made without its constructor, all that ``module`` has: the very parameters, buffers and hooks.

    What is added to ``layer`` later does not appear in ``module``; hooks stay removable by the handles given out for
    them.
    """
    own = ("_parameters", "_buffers", "_modules")
    layer.__dict__.update({key: value.copy() if key in own else value for key, value in module.__dict__.items()})


def parametrized_class(cls: type[Layer], module: nn.Module) -> type[Layer]:
    """``cls``, or where ``module`` is parametrized the subclass of it with the same properties."""
    if not nn.utils.parametrize.is_parametrized(module):
        return cls
    injected = vars(type(module)).items()
    kept = {name: value for name, value in injected if not name.startswith("__") or name in _INJECTED}
    return type(f"Parametrized{cls.__name__}", (cls,), kept)
