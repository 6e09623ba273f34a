"""The published schemes by name. Defaults are the code of BiBench or of the paper; what differs is said in each."""

from __future__ import annotations

import functools

from onebit.nn.quantizers import (
    AbsmaxActivation,
    PeriodicWeight,
    reste_activation,
    reste_weight,
)
from onebit.nn.quantizers.dorefa import dorefa_activation, dorefa_weight
from onebit.nn.schemes.scheme import Scheme, registry


@registry.register("bnn")
def bnn() -> Scheme:
    """Signs without a scale, gradients clipped at 1 [Courbariaux2016].

    ``xb = sign x``, ``wb = sign w``; ``dx = 1[|x| <= 1] G``, ``dw = 1[|w| <= 1] G``.
    """
    return Scheme("bnn", "bnn", name="bnn")


@registry.register("xnor")
def xnor() -> Scheme:
    """XNOR-Net [Rastegari2016] as BiBench codes it.

    ``xb = K sign x`` with K the mean of ``|x|`` per sample (per row in linear layers), ``wb = s sign w`` with s the
    mean of ``|w|`` per output channel; gradients as in ``bnn``, without K and s. (The paper's K is a map, its ``dw``
    has s.)
    """
    return Scheme("xnor", "xnor", name="xnor")


@registry.register("dorefa")
def dorefa(weight_bits: int = 1, activation_bits: int = 1) -> Scheme:
    """DoReFa-Net [Zhou2016]: 1 bit as BiBench codes it, k bits as in the paper.

    1 bit: ``xb = sign x``, ``wb = s sign w`` with s the mean of ``|w|`` per output channel; gradients as in ``bnn``.
    More: weights squeezed by tanh (2..7 bits), activations clamped to [0, 1] (2..8 bits).
    """
    settings = {"weight_bits": weight_bits, "activation_bits": activation_bits}
    weight = functools.partial(dorefa_weight, weight_bits)
    activation = functools.partial(dorefa_activation, activation_bits)
    return Scheme(weight, activation, name="dorefa", settings=settings)


@registry.register("bireal")
def bireal() -> Scheme:
    """Bi-Real Net [Liu2018]: the triangle as the gradient of the input's sign.

    ``xb = sign x``, ``wb = s sign w``; ``dx = max(0, 2 - 2|x|) G``, ``dw = 1[|w| <= 1] G``.
    """
    return Scheme("bireal", "bireal", name="bireal")


@registry.register("react")
def react() -> Scheme:
    """ReActNet [Liu2020]: a learned shift per channel before the sign of ``bireal``. RPReLU belongs to the model."""
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


@registry.register("bitnet")
def bitnet(activation_bits: int = 8) -> Scheme:
    """BitNet b1.58 [Ma2024]: ternary weights, integers with a scale for each token as inputs.

    ``wt = s clamp(round(w / s), -1, 1)`` with s the mean of ``|w|`` of the layer; ``xq = t round(x / t)`` with t the
    largest ``|x|`` of the token / 127; gradients straight through both. The paper's normalisation before each layer
    belongs to the model.
    """
    activation = functools.partial(AbsmaxActivation, activation_bits)
    return Scheme("absmean", activation, name="bitnet", settings={"activation_bits": activation_bits})
