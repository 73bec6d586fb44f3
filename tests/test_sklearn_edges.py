"""The estimators at their edges: failed calls, odd labels and weights, and what warnings and errors say."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")

from scipy import sparse
from sklearn import neural_network
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score

import fastnet as fn
from fastnet.sklearn import MLPClassifier, MLPRegressor, lbfgs

Array = np.ndarray[Any, Any]
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*iprint.*:DeprecationWarning"),  # of scikit-learn 1.6 itself
]


@pytest.fixture
def points(rng: np.random.Generator) -> tuple[Array, Array]:
    """Three classes, (60, 4)."""
    x = rng.normal(size=(60, 4))
    return x, (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)


def classifier(**parameters: Any) -> MLPClassifier:
    return MLPClassifier(**{"max_iter": 4, "random_state": 0, **parameters})


# ---- calls that fail ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    [
        lambda model, x, y: model.set_params(learning_rate_init=1e200, solver="sgd").fit(x, y),
        lambda model, x, y: model.fit(x, y, -np.ones(60)),
        lambda model, x, y: model.fit(x, y + 0.5),
        lambda model, x, y: model.set_params(callbacks=[Breaks()]).fit(x, y),
    ],
    ids=["diverges", "weights", "targets", "callback"],
)
def test_a_failed_fit_of_other_samples_leaves_the_model_whole(points: Any, broken: Any) -> None:
    """It does not take the new samples' number of features with the old network."""
    x, y = points
    model = classifier().fit(x, y)
    before = model.predict_proba(x)
    with pytest.raises((ValueError, ZeroDivisionError)):
        broken(model, np.hstack([x, x]), y)
    np.testing.assert_array_equal(model.predict_proba(x), before)
    with pytest.raises(ValueError, match="X has 8 features, but MLPClassifier is expecting 4"):
        model.predict(np.hstack([x, x]))
    fresh = classifier()
    with pytest.raises((ValueError, ZeroDivisionError)):
        broken(fresh, x, y)
    assert not hasattr(fresh, "n_features_in_")


def test_a_failed_fit_leaves_the_names_of_features(points: Any) -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    x, y = points
    model = classifier().fit(pandas.DataFrame(x, columns=list("abcd")), y)
    for other in (x, pandas.DataFrame(x, columns=list("efgh"))):
        with pytest.raises(ValueError, match="sample_weight"):
            model.fit(other, y, -np.ones(60))
        assert list(model.feature_names_in_) == list("abcd")


class Breaks(fn.callbacks.Callback):
    """A callback with a mistake."""

    def on_epoch_end(self, trainer: fn.Trainer, epoch: int, logs: Any) -> None:
        raise ZeroDivisionError


def test_divergence_is_an_error_without_warnings(points: Any) -> None:
    x, y = points
    model = MLPRegressor(solver="sgd", learning_rate_init=1e200, max_iter=9, random_state=0)
    with warnings.catch_warnings(), pytest.raises(ValueError, match="non-finite"):
        warnings.simplefilter("error")
        model.fit(x, y)


def test_another_dtype_is_another_network(points: Any) -> None:
    model = classifier(warm_start=True).fit(*points)
    with pytest.raises(ValueError, match="network there is, of float64; dtype now asks for 'float32'"):
        model.set_params(dtype="float32").fit(*points)
    assert model.set_params(dtype="float64").fit(*points).t_ == 480


def test_a_larger_batch_with_a_stronger_penalty_is_noticed(points: Any) -> None:
    """Divided by the samples of a batch the penalty is the same; the number that is divided is not."""
    options: dict[str, Any] = {"solver": "sgd", "momentum": 0, "shuffle": False, "warm_start": True}
    changed = {"batch_size": 20, "alpha": 2.0}
    one = classifier(batch_size=10, alpha=1.0, **options).fit(*points)
    other = classifier(**changed, **options).fit(*points)
    other.coefs_, other.intercepts_ = one.coefs_, one.intercepts_
    for model in (one, other):
        model.set_params(**changed).fit(*points)
    assert one.network_.parameters.tobytes() == other.network_.parameters.tobytes()


def test_lbfgs_that_makes_no_step_has_a_loss(points: Any) -> None:
    ours, theirs = (
        one(solver="lbfgs", tol=1e9, random_state=0).fit(*points)
        for one in (MLPClassifier, neural_network.MLPClassifier)
    )
    assert ours.n_iter_ == theirs.n_iter_ == 0 and ours.loss_curve_ == []
    assert ours.loss_ == ours.best_loss_ == pytest.approx(theirs.loss_, rel=1e-9)


@pytest.mark.parametrize("loss", ["squared_error", "half_squared_error"])
def test_blocks_of_lbfgs_make_a_whole(points: Any, monkeypatch: pytest.MonkeyPatch, loss: str) -> None:
    x, y = points
    whole, parts = (MLPRegressor(loss, (5,), solver="lbfgs", max_iter=9, random_state=0) for _ in range(2))
    whole.fit(x, y, np.arange(60.0))
    monkeypatch.setattr(lbfgs, "BLOCK", 7)
    parts.fit(x, y, np.arange(60.0))
    np.testing.assert_allclose(parts.predict(x), whole.predict(x), rtol=1e-6)
    np.testing.assert_allclose(parts.loss_curve_, whole.loss_curve_, rtol=1e-9)


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


@pytest.mark.filterwarnings("error")
def test_batches_that_weigh_little_or_nothing_have_a_loss(points: Any) -> None:
    """What they add to the sums of the others would be lost by rounding."""
    x, y = points
    weight = np.repeat([1.0, 1e-30, 0.0], 20)
    with pytest.warns(ConvergenceWarning):
        model = classifier(batch_size=20, shuffle=False, alpha=0.0).fit(x, y, weight)
    first = classifier(batch_size=20, shuffle=False, alpha=0.0, max_iter=1)
    with pytest.warns(ConvergenceWarning):
        first.fit(x, y, np.repeat([1.0, 1.0, 0.0], 20))
    assert model.loss_curve_[0] == pytest.approx(first.loss_, rel=1e-9)
    assert np.isfinite(model.loss_curve_).all()


# ---- what is said ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"delta": 0}, "delta is 0; wanted above 0"),
        ({"quantile": 1}, "quantile is 1; wanted above 0 and below 1"),
        ({"quantile": "half"}, "quantile is 'half'; wanted a number"),
        ({"dropout": -0.5}, "dropout is -0.5; wanted at least 0 and below 1"),
        ({"early_stopping": True, "validation_fraction": 0.0}, "validation_fraction is 0; for early"),
    ],
)
def test_messages_name_the_parameter(points: Any, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        MLPRegressor(**parameters).fit(*points)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_warnings_point_to_who_called(points: Any, solver: str) -> None:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        classifier(solver=solver, batch_size=1000, max_iter=2).fit(*points)
    assert ConvergenceWarning in [one.category for one in found]
    assert {one.filename for one in found} == {__file__}
