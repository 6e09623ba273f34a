"""The gated perceptron: conditional computation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from onebit.core.errors import check_positive
from onebit.nn.layers.conditional import GatedLinear
from onebit.nn.models import parts
from onebit.nn.models.registry import registry
from onebit.nn.progress import Progress


@registry.register("conditional-mlp")
class ConditionalMLP(nn.Sequential):
    """A perceptron whose hidden units are switched on and off for each example by a small network.

    Flattened input, then one :class:`onebit.nn.layers.GatedLinear`. [Bengio2013] has ``width=2000, hidden=400`` on
    MNIST, SGD with batches of 32 and learning rate 0.1 without momentum, and every unit's incoming weights capped.

    Args:
        num_classes: outputs.
        in_features: numbers in one example; images are flattened.
        width: units that are gated.
        hidden: units of the gater.
        gate, target, sparsity_weight, gater_rate, skip_batch: of the layer.
        max_norm: the incoming weights of every unit, in every layer, are scaled to this Euclidean norm where it is
            larger, after each step; ``None``: not.
        scheme: how the gated units become bits; they are then computed whole. ``None``: float.

    Shape: ``(N, ...) -> (N, num_classes)``.

    Reference: [Bengio2013].
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_features: int = 784,
        width: int = 2000,
        hidden: int = 400,
        gate: str = "straight-through",
        target: float = 0.1,
        sparsity_weight: float | None = None,
        gater_rate: float | None = None,
        max_norm: float | None = 2.1,
        skip_batch: int = 4,
        scheme=None,
    ) -> None:
        for name, value in (("num_classes", num_classes), ("in_features", in_features), ("width", width),
                            ("hidden", hidden)):  # fmt: skip
            parts.check_size(name, value)
        self.max_norm = None if max_norm is None else float(check_positive("max_norm", max_norm))
        experts = None if scheme is None else parts.linear(in_features, width, scheme)
        layer = GatedLinear(
            in_features, width, num_classes, hidden, gate, target, sparsity_weight, gater_rate, experts, skip_batch
        )
        super().__init__(nn.Flatten(), layer)

    @property
    def layer(self) -> GatedLinear:
        """The gated layer."""
        return self[1]  # type: ignore[return-value]

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)

    @torch.no_grad()
    def on_progress(self, progress: Progress) -> None:
        """Cap the norms: before a step, and so after the one before it, and at the end."""
        if self.max_norm is None:
            return
        for module in self.modules():
            if isinstance(module, nn.Linear):
                norm = module.weight.norm(dim=1, keepdim=True)
                module.weight.mul_(norm.clamp(max=self.max_norm) / (1e-7 + norm))
