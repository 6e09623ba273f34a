"""The scikit-learn classifier: scikit-learn's own checks, its tools, and the packed file of it."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import onebit
from onebit import OneBitClassifier, runtime

SMALL = {"width": 32, "epochs": 5, "min_steps": 150, "random_state": 0}


@parametrize_with_checks([OneBitClassifier(**SMALL)])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_it_searches_a_grid_in_a_pipeline():
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(MinMaxScaler(), OneBitClassifier(**SMALL))
    search = GridSearchCV(pipeline, {"onebitclassifier__scheme": ["react", None]}, cv=3).fit(X, y)
    assert search.best_score_ > 0.85
    assert set(search.cv_results_["param_onebitclassifier__scheme"]) == {"react", None}


def test_the_packed_file_gives_the_same_classes(tmp_path):
    X, y = load_digits(return_X_y=True)
    classifier = OneBitClassifier(width=64, epochs=2, random_state=0).fit(X[::2], y[::2])
    X = X.astype(np.float32)
    onebit.pack(classifier.model_, torch.from_numpy(X[:2]), tmp_path / "digits.onebit")
    model = runtime.load(tmp_path / "digits.onebit")
    assert np.array_equal(classifier.classes_[model.predict(X[1::2])], classifier.predict(X[1::2]))
    assert classifier.score(X[1::2], y[1::2]) > 0.9


def test_the_same_seed_gives_the_same_bits_and_pickling_keeps_them():
    X, y = load_iris(return_X_y=True)
    first, second = (OneBitClassifier(**SMALL).fit(X, y) for _ in range(2))
    assert np.array_equal(first.predict_proba(X), second.predict_proba(X))
    assert np.array_equal(pickle.loads(pickle.dumps(first)).predict_proba(X), first.predict_proba(X))


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"scheme": "biperr"}, "did you mean 'biper'"), ({"width": 0}, "width"), ({"learning_rate": -1}, "learning_rate")],
)
def test_bad_settings_are_named_when_it_is_fitted(settings, said):
    with pytest.raises((ValueError, KeyError), match=said):
        OneBitClassifier(**settings).fit([[0.0], [1.0]], [0, 1])
