"""The procedure of networks with units that learn from the loss of each example alone."""

from __future__ import annotations

from torch import Tensor, nn

from onebit.learn.batches import Batch
from onebit.learn.procedure import BackPropagation, Procedure, Session
from onebit.nn.operators import BernoulliReinforce


class ScoreFunction(BackPropagation):
    """Back-propagation, and the score-function estimator for :class:`onebit.nn.operators.BernoulliReinforce` units.

    The units' :meth:`~onebit.nn.operators.BernoulliReinforce.surrogate` of the losses of the batch's examples, of
    value 0, joins the loss: what lies before the units learns from the estimate, everything else by back-propagation.
    :func:`onebit.learn.fit` takes it by itself for a network that has such units.

    Raises:
        ValueError: from ``start``: a network without such units, or distillation, whose loss of an example is not
            that of its label alone.

    Reference: [Bengio2013].

    Example:
        >>> from onebit import data, learn
        >>> from onebit.nn import models
        >>> model = models.build("conditional-mlp", in_features=64, width=20, hidden=5, gate="reinforce")
        >>> recipe = learn.Recipe(epochs=1, optimizer="sgd", batch_size=32, learning_rate=0.1, threads=1)
        >>> history = learn.fit(model, data.load("digits"), recipe, ScoreFunction(), progress=False)
        >>> len(history.rows)
        1
    """

    def start(self, session: Session) -> None:
        self.units = score_units(session.model)
        if not self.units:
            raise ValueError("model must have a unit that learns from the score function, such as BernoulliReinforce")
        if session.recipe.distillation is not None:
            raise ValueError("distillation cannot be had with units that learn from the loss of each example")
        super().start(session)

    def _loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        smoothing = self.session.recipe.label_smoothing
        losses = nn.functional.cross_entropy(outputs, batch.labels, reduction="none", label_smoothing=smoothing)
        return losses.sum() + sum(unit.surrogate(losses) for unit in self.units)


def score_units(model: nn.Module) -> list[BernoulliReinforce]:
    """The units of ``model`` that learn from the loss of each example."""
    return [module for module in model.modules() if isinstance(module, BernoulliReinforce)]


def customary(model: nn.Module) -> Procedure:
    """The procedure that ``model`` asks for."""
    return ScoreFunction() if score_units(model) else BackPropagation()
