"""A network of bits as a scikit-learn classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data
from torch import nn

from onebit.core.errors import check_range
from onebit.data import Dataset, Split
from onebit.learn.evaluation import outputs
from onebit.learn.fit import fit
from onebit.learn.recipe import Recipe
from onebit.learn.spec import ModelSpec


class Standardize(nn.Module):
    """``y = (x - mean) / std`` per feature; a feature that is constant is only shifted.

    Args:
        X: the examples that mean and standard deviation are taken from, ``(N, D)``.

    Shape: ``(N, D)`` float32 to the same.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, X: np.ndarray) -> None:
        super().__init__()
        wide = X.astype(np.float64)
        std = wide.std(0)
        self.register_buffer("mean", torch.from_numpy(wide.mean(0)).float())
        self.register_buffer("std", torch.from_numpy(np.where(std > 0, std, 1.0)).float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / self.std


class OneBitClassifier(ClassifierMixin, BaseEstimator):
    """A multilayer perceptron of bits that follows scikit-learn's rules: pipelines, grid search, cloning, pickling.

    Features are standardised inside the network (mean and standard deviation of the training data), so that it takes
    them as they come, also when it is packed: ``onebit.pack(classifier.model_, X[:2], "table.onebit")``. First and last
    layer are real, the ``depth`` layers between are of bits.

    Args:
        scheme: how layers become bits, a name of ``onebit.nn.schemes.registry``; ``None``: the float twin.
        width: neurons of each hidden layer.
        depth: hidden layers of bits, after the first, real one.
        epochs: passes over the training data; where these are fewer than ``min_steps`` steps, as many as make so many.
        min_steps: optimizer steps at least, so that small data are learned too.
        batch_size: examples of a step.
        learning_rate: the highest; it falls to 0 along a cosine (Adam).
        random_state: seed of weights and order; ``None``: another one each time.
        verbose: whether training prints a line an epoch.

    Attributes:
        classes_: labels ``(K,)``, sorted.
        n_features_in_, feature_names_in_: of the training data.
        model_: the trained network, ``(N, n_features_in_)`` float32 to ``(N, K)``.
        history_: what happened in training.
        n_iter_: epochs.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> classifier = OneBitClassifier(width=64, random_state=0).fit(X, y)
        >>> bool(classifier.score(X, y) > 0.9)
        True
    """

    def __init__(
        self,
        scheme: str | None = "biper",
        width: int = 128,
        depth: int = 1,
        epochs: int = 30,
        min_steps: int = 300,
        batch_size: int = 32,
        learning_rate: float = 0.01,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.scheme = scheme
        self.width = width
        self.depth = depth
        self.epochs = epochs
        self.min_steps = min_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> OneBitClassifier:
        """Train on ``X (N, D)``, numbers, and ``y (N,)``, labels of at least two classes.

        Raises:
            ValueError: data that no classifier takes, fewer than two classes, a setting out of its range.
        """
        X, y = validate_data(self, X, y, dtype=np.float32, ensure_min_samples=2)
        check_classification_targets(y)
        check_range("min_steps", self.min_steps, 0)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y must have at least 2 classes, got 1 class: {self.classes_[0]!r}")
        part = Split(torch.from_numpy(X), torch.from_numpy(labels.astype(np.int64)))
        data = Dataset("table", part, part.take(torch.zeros(0, dtype=torch.int64)), *self._labels())
        recipe = self._recipe(len(part))
        spec = ModelSpec("mlp", {"width": self.width, "depth": self.depth}, self.scheme).fitted(data)
        self.model_ = nn.Sequential(Standardize(X), spec.build(recipe.seed))
        self.history_ = fit(self.model_, data, recipe, progress=bool(self.verbose))
        self.n_iter_ = len(self.history_.rows)
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """The network's outputs ``(N, K)`` float32; of two classes the difference ``(N,)``, above 0 for the second."""
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict_proba(self, X: Any) -> np.ndarray:
        """Softmax of the outputs, ``(N, K)`` float64; rows sum to 1."""
        scores = self._scores(X).astype(np.float64)
        powers = np.exp(scores - scores.max(1, keepdims=True))
        return powers / powers.sum(1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """The class of each row of ``X``."""
        chosen = self._scores(X).argmax(1)
        return self.classes_[chosen]

    def _scores(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, reset=False)
        return outputs(self.model_, torch.from_numpy(X)).numpy()

    def _labels(self) -> tuple[int, tuple[str, ...]]:
        return len(self.classes_), tuple(map(str, self.classes_))

    def _recipe(self, examples: int) -> Recipe:
        size = max(1, min(self.batch_size, examples))
        steps = examples // size
        return Recipe(
            epochs=max(self.epochs, -(-self.min_steps // steps)),
            batch_size=size,
            learning_rate=self.learning_rate,
            validation=0.0,
            augment=False,
            threads=1,
            seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
        )
