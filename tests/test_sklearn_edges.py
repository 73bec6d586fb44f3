"""The estimators at their edges: failed calls, odd labels and weights, and what warnings and errors say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")

from scipy import sparse
from sklearn import neural_network
from sklearn.model_selection import cross_val_score

import fastnet as fn
from fastnet.sklearn import MLPClassifier, MLPRegressor

Array = np.ndarray[Any, Any]
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*iprint.*:DeprecationWarning"),  # of scikit-learn 1.6 itself
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    fn.set_num_threads(1)
    yield


@pytest.fixture
def points(rng: np.random.Generator) -> tuple[Array, Array]:
    """Three classes, (60, 4)."""
    x = rng.normal(size=(60, 4))
    return x, (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)


def classifier(**parameters: Any) -> MLPClassifier:
    return MLPClassifier(**{"max_iter": 4, "random_state": 0, **parameters})


# ---- calls that fail ------------------------------------------------------------------------------------


# ---- labels and weights ---------------------------------------------------------------------------------


def test_text_labels_are_those_of_scikit_learn(points: Any) -> None:
    """Also of dtype object, as data frames have them."""
    x, y = points
    for dtype in (object, str):
        labels = np.array(["a", "bc", "d"], dtype)[y]
        ours, theirs = (
            one(max_iter=2, random_state=0).fit(x, labels)
            for one in (MLPClassifier, neural_network.MLPClassifier)
        )
        assert ours.classes_.dtype == theirs.classes_.dtype
        assert ours.predict(x).dtype == ours.predict(x[:1]).dtype == theirs.predict(x).dtype
        assert ours.score(x, labels) == theirs.score(x, labels)


def test_several_columns_of_labels_have_a_score(points: Any) -> None:
    x, y = points
    several = np.column_stack([y, y > 0])
    model = classifier(max_iter=60, learning_rate_init=0.02).fit(x, several)
    right = (model.predict(x) == several).all(axis=1)
    assert 0.5 < model.score(x, several) == right.mean()
    weight = np.arange(60.0)
    assert model.score(x, several, weight) == pytest.approx(np.average(right, weights=weight))
    with pytest.raises(ValueError, match="y has shape"):
        model.score(x, y)
    assert np.isfinite(cross_val_score(classifier(), x, several, cv=2)).all()


def test_sparse_targets_are_zeros_and_ones_of_several_labels(points: Any) -> None:
    x, y = points
    with pytest.raises(TypeError, match="y is sparse"):
        MLPRegressor().fit(x, sparse.csr_matrix(y[:, None]))
    with pytest.raises(TypeError, match="y is sparse"):
        MLPRegressor().fit(x, y, X_val=x, y_val=sparse.csr_matrix(y[:, None]))
    several = np.column_stack([y, y])
    with pytest.raises(TypeError, match="y is sparse"):
        classifier().fit(x, sparse.csr_matrix(several))
    with pytest.raises(TypeError, match="y is sparse"):
        classifier().fit(x, several, X_val=x, y_val=sparse.csr_matrix(several))


def test_numbers_as_text_are_no_targets(points: Any) -> None:
    x, y = points
    with pytest.raises(ValueError, match=r"y is an array of <U.*wanted numbers"):
        MLPRegressor().fit(x, y.astype(str))


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ("balance", "wanted 'balanced' or a dict"),
        (3, "wanted 'balanced' or a dict"),
        ([{0: 1}], "wanted 'balanced' or a dict"),
        ({0: -1.0}, "wanted finite weights of at least 0"),
        ({0: float("nan")}, "wanted finite weights of at least 0"),
        ({0: 0, 1: 0, 2: 0}, "class_weight leaves every sample the weight 0"),
    ],
)
def test_wrong_class_weights_are_named(points: Any, class_weight: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classifier(class_weight=class_weight).fit(*points)


# ---- what is said ---------------------------------------------------------------------------------------
