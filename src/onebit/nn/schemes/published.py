"""The published schemes by name. Defaults are the code of BiBench or of the paper; what differs is said in each."""

from __future__ import annotations

import functools
from typing import Any

from onebit.core.errors import check_positive
from onebit.nn.layers import MagnitudeMap, ScaleMap
from onebit.nn.layers.quantized import QuantizerLike
from onebit.nn.operators import ClippedSTESign
from onebit.nn.quantizers import (
    AbsmaxActivation,
    BinaryActivation,
    BinaryWeight,
    DoReFaActivation,
    PeriodicWeight,
    RectifiedWeight,
    bounded_activation,
    reste_activation,
    reste_weight,
)
from onebit.nn.quantizers.binary import check_choice
from onebit.nn.quantizers.dorefa import dorefa_activation, dorefa_weight
from onebit.nn.schemes.scheme import Scheme, registry

VARIANTS = ("bibench", "original")


@registry.register("bnn")
def bnn() -> Scheme:
    """Signs without a scale, gradients clipped at 1 [Courbariaux2016].

    As in [Qin2023]: ``xb = sign x``, ``wb = sign w``; ``dx = 1[|x| <= 1] G``, ``dw = 1[|w| <= 1] G``.
    """
    return Scheme("bnn", "bnn", name="bnn")


@registry.register("xnor")
def xnor(variant: str = "bibench") -> Scheme:
    """XNOR-Net [Rastegari2016], as BiBench [Qin2023] codes it or as the paper has it.

    ``"bibench"``: ``xb = K sign x`` with K the mean of ``|x|`` per sample, ``wb = s sign w`` with s the mean of ``|w|``
    per output channel; gradients as in ``bnn``, without K and s. In linear layers K is per row, w is centred per output
    first, and gradients have K and s.

    ``"original"``: ``y = K conv(sign x, s sign w)`` with K a map, the mean of ``|x|`` under the kernel at each output
    (:class:`onebit.nn.layers.MagnitudeMap`), in linear layers of each row; ``dw = (1/n + s 1[|w| <= 1]) G``.

    Args:
        variant: ``"bibench"`` or ``"original"``.
    """
    check_choice("variant", variant, VARIANTS)
    if variant == "original":
        weight = functools.partial(BinaryWeight, "clipped", "channel", "average")
        return Scheme(
            weight,
            "sign",
            _magnitude_map,
            name="xnor",
            settings={"variant": variant},
            linear_activation=_scaled_activation,
        )
    return Scheme(
        "xnor",
        "xnor",
        name="xnor",
        settings={"variant": variant},
        linear_weight=functools.partial(BinaryWeight, "clipped", "channel", "detached", centre=True),
        linear_activation=_scaled_activation,
    )


@registry.register("dorefa")
def dorefa(weight_bits: int = 1, activation_bits: int = 1, variant: str = "bibench") -> Scheme:
    """DoReFa-Net [Zhou2016]: 1 bit as BiBench [Qin2023] codes it or as the paper has it, k bits as in the paper.

    1 bit, ``"bibench"``: ``xb = sign x``, ``wb = s sign w`` with s the mean of ``|w|`` per output channel; gradients as
    in ``bnn``. In linear layers s multiplies the gradient, and the edges ``|x| = 1``, ``|w| = 1`` get none.
    1 bit, ``"original"``: ``xb = round(clamp(x, 0, 1))``, ``wb = s sign w`` with s the mean of ``|w|`` per layer and
    ``dw = G``.
    More bits: weights squeezed by tanh (2..7 bits), activations clamped to [0, 1] (2..8 bits).

    Args:
        weight_bits, activation_bits: 1..7, 1..8.
        variant: ``"bibench"`` or ``"original"``, of what has 1 bit.
    """
    check_choice("variant", variant, VARIANTS)
    settings = {"weight_bits": weight_bits, "activation_bits": activation_bits, "variant": variant}
    weight: QuantizerLike = functools.partial(dorefa_weight, weight_bits)
    activation: QuantizerLike = functools.partial(dorefa_activation, activation_bits)
    linear_weight = linear_activation = None
    if weight_bits == 1:
        if variant == "original":
            weight = functools.partial(BinaryWeight, "identity", "tensor", "ignored")
        else:
            linear_weight = functools.partial(_open_weight, "channel")
    if activation_bits == 1:
        if variant == "original":
            activation = functools.partial(DoReFaActivation, 1)
        else:
            linear_activation = _open_activation
    return Scheme(
        weight,
        activation,
        name="dorefa",
        settings=settings,
        linear_weight=linear_weight,
        linear_activation=linear_activation,
    )


@registry.register("xnor++")
def xnorpp(size: int = 256) -> Scheme:
    """XNOR-Net++ [Bulat2019] as BiBench [Qin2023] codes it: signs, and learned scales of the output.

    ``y = conv(sign x, sign w) o[c] h[row] v[column]`` with three learned vectors that start at 1; in one dimension
    ``o[c] v[position]``, in linear layers ``o[c]``. Gradients of the signs as in ``bnn`` (in linear layers the edges
    get none), those of the vectors by the product rule. A network is packed for one size of its maps.

    Args:
        size: entries of h and v: the largest map, at least 1.
    """
    return Scheme(
        "xnor++",
        "xnor++",
        functools.partial(_scale_map, size),
        name="xnor++",
        settings={"size": size},
        linear_weight=functools.partial(_open_weight, "learned"),
        linear_activation=_open_activation,
    )


@registry.register("bireal")
def bireal() -> Scheme:
    """Bi-Real Net [Liu2018]: the triangle as the gradient of the input's sign.

    As in [Qin2023]: ``xb = sign x``, ``wb = s sign w``; ``dx = max(0, 2 - 2|x|) G``, ``dw = 1[|w| <= 1] G``.
    """
    return Scheme("bireal", "bireal", name="bireal")


@registry.register("react")
def react() -> Scheme:
    """ReActNet [Liu2020]: a learned shift per channel before the sign of ``bireal``. RPReLU belongs to the model.

    As in [Qin2023]: ``u = x + t`` with t learned per input channel, 0 at the start; ``xb = sign u``, ``wb = s sign w``;
    gradients of u and w as those of x and w in ``bireal``.
    """
    return Scheme("react", "react", name="react")


@registry.register("biper")
def biper(freq: float | str = 20.0, stages: int = 1, scale: str = "learned", sine_penalty: float = 0.0) -> Scheme:
    """BiPer [Vargas2024]: square-wave weights with the gradient of a sine, activations of ``bireal`` normalised per
    sample.

    Args:
        freq: above 0, or ``"auto"`` (one per layer, from its weights; our extension).
        stages: 1: bits from the start; 2: the paper's two stages - while ``Progress.stage`` is 1 the weights are the
            real ``sin(freq w)``, so the training must go on to stage 2 before the network is one of bits.
        scale: as in ``PeriodicWeight``.
        sine_penalty: as in ``PeriodicWeight``.
    """
    if stages not in (1, 2):
        raise ValueError(f"stages must be 1 or 2, got {stages!r}")
    weight = PeriodicWeight(freq, stage=3 - stages, staged=stages == 2, scale=scale, sine_penalty=sine_penalty)
    settings = {"freq": freq, "stages": stages, "scale": scale, "sine_penalty": sine_penalty}
    return Scheme(weight, "biper", stages=stages, name="biper", settings=settings)


@registry.register("reste")
def reste(o_end: float = 3.0, clip: float = 1.5, inner: float = 0.1) -> Scheme:
    """ReSTE [Wu2023]: signs with the gradient of a power function that sharpens from o = 1 to ``o_end``.

    The scale is one mean of ``|w|`` per layer, not detached.
    """
    settings = {"o_end": o_end, "clip": clip, "inner": inner}
    weight = functools.partial(reste_weight, o_end, clip, inner)
    activation = functools.partial(reste_activation, o_end, clip, inner)
    return Scheme(weight, activation, name="reste", settings=settings)


@registry.register("recu")
def recu(start: float = 0.85, end: float = 0.99) -> Scheme:
    """ReCU [Xu2021]: weights standardised and clamped at a quantile that grows, activations of ``biper``.

    As in [Qin2023]: ``wb = alpha sign(clamp(z, -Q, Q))`` with z the standardised weight (see
    :class:`onebit.nn.quantizers.RectifiedWeight`) and alpha learned per output channel; ``xb = sign x``, in training of
    x divided by its standard deviation per sample. Gradients: identity through the weight's sign, the triangle through
    the input's, then through what comes before them.

    Args:
        start, end: first and last quantile.
    """
    return Scheme(
        functools.partial(RectifiedWeight, start, end), "recu", name="recu", settings={"start": start, "end": end}
    )


@registry.register("fda")
def fda() -> Scheme:
    """FDA [Xu2021b]: the gradient of a square wave's Fourier series, and a noise-adaptation network.

    As in [Qin2023]: ``xb = sign x + e(x)``, ``wb = s (sign w + e(w))`` with s the mean of ``|w|`` per output channel; e
    is :class:`onebit.nn.quantizers.NoiseAdaptation`, learned with all else, 0 from the last epoch on and in eval mode.
    ``dx = k(x) G``, ``dw = s k(w) G`` with k the gradient of the operator ``fourier``, and what comes through e.
    """
    return Scheme("fda", "fda", name="fda")


@registry.register("bitnet")
def bitnet(activation_bits: int = 8) -> Scheme:
    """BitNet b1.58 [Ma2024]: ternary weights, integers with a scale for each token as inputs.

    ``wt = s clamp(round(w / s), -1, 1)`` with s the mean of ``|w|`` of the layer; ``xq = t round(x / t)`` with t the
    largest ``|x|`` of the token / 127; gradients straight through both. The paper's normalisation before each layer
    belongs to the model.
    """
    activation = functools.partial(AbsmaxActivation, activation_bits)
    return Scheme("absmean", activation, name="bitnet", settings={"activation_bits": activation_bits})


@registry.register("pokebnn")
def pokebnn(bound: float = 3.0) -> Scheme:
    """PokeBNN [Zhang2022]: signs whose gradients pass inside a bound.

    ``xb = (B / 2) sign x``, ``wb = (B_c / 2) sign w`` with B_c the largest ``|w|`` of each output channel;
    ``dx = 1[|x| < (1 - 2^-7) B] G``, ``dw = 1[|w| < (1 - 2^-7) B_c] G``. The rest of the paper belongs to the model.

    Args:
        bound: B, above 0; worth tuning.
    """
    check_positive("bound", bound)
    return Scheme("pokebnn", functools.partial(bounded_activation, bound), name="pokebnn", settings={"bound": bound})


def _open_weight(scale: str) -> BinaryWeight:
    return BinaryWeight(ClippedSTESign(edge=False), scale, "detached")


def _open_activation() -> BinaryActivation:
    return BinaryActivation(ClippedSTESign(edge=False))


def _scaled_activation() -> BinaryActivation:
    return BinaryActivation("clipped", scale="sample", scale_gradient="detached")


def _magnitude_map(layer: Any) -> MagnitudeMap | None:
    return MagnitudeMap(layer) if layer.spatial else None


def _scale_map(size: int, layer: Any) -> ScaleMap | None:
    return ScaleMap(layer.spatial, size, layer.weight) if layer.spatial else None
