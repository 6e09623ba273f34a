"""Conditional computation: a small network decides for each example which units of a large layer are computed."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from onebit.core.errors import check_positive
from onebit.core.registry import Registry
from onebit.nn.layers.sparsity import AdaptiveL1, SparsityCrossEntropy, check_share
from onebit.nn.operators.score import BernoulliReinforce, Pending
from onebit.nn.operators.stochastic import (
    NoisyRectifier,
    NoisySigmoid,
    NoisyThreshold,
    StochasticOperator,
    StochasticTimesSmooth,
)

INCOMING = 15  # weights that are not 0 of each gate that is a rectifier, at the start
FOLLOW = 0.05  # of each batch in the running threshold


class Gate(NamedTuple):
    """What makes a kind of gate.

    Args:
        unit: ``(units) -> operator``.
        sparsity: ``(target) -> term of the loss``, or ``None``.
        rate: the factor on the gradient of the gater.
        sparse: whether the gater starts with few weights that are not 0, as rectifiers want.
        dense: whether the gates are never 0.
    """

    unit: Callable[[int], StochasticOperator]
    sparsity: Callable[[float], nn.Module] | None
    rate: float = 1.0
    sparse: bool = False
    dense: bool = False


def _cross_entropy(weight: float) -> Callable[[float], nn.Module]:
    return functools.partial(SparsityCrossEntropy, weight=weight)


#: The gates of [Bengio2013] with the weights of their sparsity terms.
gates: Registry[Gate] = Registry("gate")
_papers = ("Bengio2013",)
gates.add("straight-through", Gate(lambda units: NoisyThreshold(), _cross_entropy(0.1)), papers=_papers)
gates.add("stochastic-times-smooth", Gate(lambda units: StochasticTimesSmooth(), _cross_entropy(0.001)), papers=_papers)
gates.add("reinforce", Gate(BernoulliReinforce, _cross_entropy(1.0), rate=0.01), papers=_papers)
gates.add("noisy-rectifier", Gate(lambda units: NoisyRectifier(), AdaptiveL1, sparse=True), papers=_papers)
gates.add("rectifier", Gate(lambda units: NoisyRectifier("none"), AdaptiveL1, sparse=True), papers=_papers)
gates.add("sigmoid", Gate(lambda units: NoisySigmoid(0.0), None, dense=True), papers=_papers)
gates.add("noisy-sigmoid", Gate(lambda units: NoisySigmoid(), None, dense=True), papers=_papers)


class Operations(NamedTuple):
    """Multiply-accumulates of one example.

    Args:
        gater: of the network that decides.
        experts: of the units that are on.
        output: of the connections that leave them.
        dense: of experts and output if all units were on, without a gater: the layer that is gated.
    """

    gater: float
    experts: float
    output: float
    dense: float

    @property
    def total(self) -> float:
        """What is computed, the gater included."""
        return self.gater + self.experts + self.output


class GatedLinear(nn.Module):
    """Two linear layers with gates between them that are 0 for most units of an example, which are then skipped.

    | part | computes | shape |
    | --- | --- | --- |
    | gater | ``a = W2 tanh(W1 x + b1) + b2`` | ``(B, units)`` |
    | gates | ``h = gate(a)`` | ``(B, units)`` |
    | experts | ``z = W0 x + b0``, no non-linearity | ``(B, units)`` |
    | output | ``y = W3 (h * z) + b3`` | ``(B, out_features)`` |

    In training everything is computed. In evaluation a unit whose gate is 0 is skipped: its row of W0 and its column
    of W3 are not read. That pays example by example; larger batches than ``skip_batch``, examples with most units on
    (:attr:`SKIP_SHARE`) and experts of bits are computed whole. What is captured, and so what the engine runs, is the
    dense network, with the zeros multiplied.

    In evaluation gates that have a threshold are on where ``a >= threshold``. In training it follows the quantile of a
    that leaves the share ``target`` on; :meth:`fit_threshold` sets it exactly.

    The sparsity term of the last forward pass in training is :meth:`penalty`, which trainers add to the loss.

    Args:
        in_features, units, out_features: sizes.
        hidden: units of the gater, few.
        gate: a name of ``onebit.nn.layers.gates``: ``"straight-through"``, ``"stochastic-times-smooth"``,
            ``"reinforce"``, ``"noisy-rectifier"``, ``"rectifier"``, or the dense ``"sigmoid"``, ``"noisy-sigmoid"``.
        target: share of units to be on.
        sparsity_weight: of the sparsity term (the first one where it adapts); ``None``: the paper's of each gate.
        gater_rate: factor on the gradient of the gater, which is one on its learning rate with SGD; ``None``: 0.01
            for ``"reinforce"``, else 1.
        experts: a layer ``(B, in_features) -> (B, units)`` instead of a float one: experts of bits.
        skip_batch: largest batch that is computed example by example, 0: none; wide layers allow for more.

    Raises:
        KeyError: unknown gate. ValueError: a size or share out of range.

    Reference: [Bengio2013].

    Example:
        >>> layer = GatedLinear(8, 20, 3, hidden=4).eval()
        >>> x = torch.randn(5, 8)
        >>> layer.fit_threshold(x)
        >>> layer.gates(x).mean(), layer(x).shape
        (tensor(0.1000), torch.Size([5, 3]))
        >>> layer.operations(x)
        Operations(gater=112, experts=16.0, output=6.0, dense=220)
    """

    SKIP_SHARE = 0.25  # of the units: beyond it copying rows costs more than it saves
    gate: StochasticOperator
    experts: nn.Module

    def __init__(
        self,
        in_features: int,
        units: int,
        out_features: int,
        hidden: int,
        gate: str = "straight-through",
        target: float = 0.1,
        sparsity_weight: float | None = None,
        gater_rate: float | None = None,
        experts: nn.Module | None = None,
        skip_batch: int = 4,
    ) -> None:
        super().__init__()
        made = gates[gate]
        for name, size in (("in_features", in_features), ("units", units), ("out_features", out_features),
                           ("hidden", hidden), ("skip_batch", skip_batch + 1)):  # fmt: skip
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise ValueError(f"{name} must be an integer of at least 1, got {size!r}")
        self.in_features, self.units, self.out_features, self.hidden = in_features, units, out_features, hidden
        self.gate_name, self.target, self.skip_batch = gate, check_share("target", target), skip_batch
        self.gater_rate = made.rate if gater_rate is None else float(check_positive("gater_rate", gater_rate))
        self.gater = nn.Sequential(nn.Linear(in_features, hidden), nn.Tanh(), nn.Linear(hidden, units))
        self.gate = made.unit(units)
        self.sparsity = None if made.sparsity is None else made.sparsity(self.target)
        if sparsity_weight is not None and isinstance(self.sparsity, SparsityCrossEntropy):
            self.sparsity.weight = float(sparsity_weight)
        elif sparsity_weight is not None and isinstance(self.sparsity, AdaptiveL1):
            self.sparsity.weight.fill_(sparsity_weight)
        self.experts = nn.Linear(in_features, units) if experts is None else experts
        self.output = nn.Linear(units, out_features)
        self._penalty = Pending()
        self._start(made.sparse)

    @torch.no_grad()
    def _start(self, sparse: bool) -> None:
        hidden, gating = self.gater[0], self.gater[2]
        for layer, gain in ((hidden, 1), (gating, 4), (self.experts, 1), (self.output, 1)):
            if isinstance(layer, nn.Linear) and type(layer) is nn.Linear:
                bound = gain * math.sqrt(6 / (layer.in_features + layer.out_features))
                layer.weight.uniform_(-bound, bound)
                layer.bias.zero_()
        if sparse:
            weight, count = gating.get_parameter("weight"), min(INCOMING, self.hidden)
            chosen = torch.rand_like(weight).argsort(1)[:, :count]
            weight.zero_().scatter_(1, chosen, torch.randn(self.units, count))

    @property
    def thresholded(self) -> bool:
        """Whether the gates are on where their input reaches a threshold."""
        return not isinstance(self.gate, (NoisyRectifier, NoisySigmoid))

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 2 or x.shape[1] != self.in_features:
            raise ValueError(f"input must have the shape (B, {self.in_features}), got {tuple(x.shape)}")
        a = self.gater(x)
        if self.training:
            return self._trained(x, a)
        h = self.gate(a)
        return self._skipping(x, h) if self._pays(x, h) else self.output(self.experts(x) * h)

    def _trained(self, x: Tensor, a: Tensor) -> Tensor:
        if a.requires_grad and self.gater_rate != 1:
            a.register_hook(lambda gradient: gradient * self.gater_rate)
        h = self.gate(a)
        if self.thresholded:
            with torch.no_grad():
                self.gate.threshold.lerp_(quantile(a, self.target).to(self.gate.threshold.dtype), FOLLOW)
        if self.sparsity is not None and torch.is_grad_enabled():
            self._penalty.put(self.sparsity(h, self.gate.active(a)))
        return self.output(self.experts(x) * h)

    def _pays(self, x: Tensor, h: Tensor) -> bool:
        if torch.compiler.is_exporting() or not 0 < len(x) <= self.skip_batch:
            return False
        return type(self.experts) is nn.Linear and float(h.count_nonzero()) <= self.SKIP_SHARE * h.numel()

    def _skipping(self, x: Tensor, h: Tensor) -> Tensor:
        """The forward pass over the units that are on, example by example."""
        weight, bias = self.experts.get_parameter("weight"), self.experts.get_parameter("bias")
        rows = []
        for example, gate in zip(x, h):
            on = gate.nonzero().squeeze(1)  # index_select: an index in brackets takes five times as long
            z = torch.addmv(bias.index_select(0, on), weight.index_select(0, on), example) * gate.index_select(0, on)
            rows.append(torch.addmv(self.output.bias, self.output.weight.index_select(1, on), z))
        return torch.stack(rows)

    def penalty(self) -> Tensor:
        """The sparsity term of the last forward pass in training, once; else 0."""
        term = self._penalty.take()
        return torch.zeros(()) if term is None else term

    @torch.no_grad()
    def gates(self, x: Tensor) -> Tensor:
        """``h`` of ``x (B, in_features)`` in the mode the layer is in: ``(B, units)``."""
        return self.gate(self.gater(x))

    @torch.no_grad()
    def fit_threshold(self, x: Tensor) -> None:
        """Set the threshold so that the share ``target`` of all gates of ``x (B, in_features)`` is on.

        Gates without a threshold - rectifiers, sigmoids - stay as they are.
        """
        if not len(x):
            raise ValueError("x must have at least one example to fit a threshold, got none")
        if self.thresholded:
            self.gate.threshold.fill_(quantile(self.gater(x), self.target))

    def operations(self, x: Tensor) -> Operations:
        """What one example of ``x (B, in_features)`` takes on average, with the units that are off skipped."""
        if not len(x):
            raise ValueError("x must have at least one example to count the operations of, got none")
        on = float(self.gates(x).count_nonzero()) / len(x)
        through = self.in_features + self.out_features
        gater = self.hidden * (self.in_features + self.units)
        return Operations(gater, on * self.in_features, on * self.out_features, self.units * through)

    def extra_repr(self) -> str:
        return f"gate={self.gate_name!r}, target={self.target}, skip_batch={self.skip_batch}"


def quantile(a: Tensor, share: float) -> Tensor:
    """A threshold that the largest numbers of ``a`` reach, ``share`` of all rounded up: 0-d.

    Halfway to the next smaller number, so that no decision hangs on the last bit of a sum.

    Example:
        >>> quantile(torch.arange(10.0), 0.2)
        tensor(7.5000)
    """
    count = max(1, math.ceil(round(share * a.numel(), 6)))
    largest = a.flatten().topk(min(count + 1, a.numel())).values
    return largest[count - 1 :].mean()
