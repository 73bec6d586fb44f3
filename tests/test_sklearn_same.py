"""The estimators beside scikit-learn's own: the same parameters, weights, scores and attributes."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")

import sklearn
from sklearn import datasets, neural_network
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from fastnet.sklearn import MLPClassifier, MLPRegressor

Array = np.ndarray[Any, Any]
PAIRS = [(MLPClassifier, neural_network.MLPClassifier), (MLPRegressor, neural_network.MLPRegressor)]
SETS = ["digits", "iris", "wine", "breast_cancer", "diabetes"]
WEIGHTS = tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 7)
"""Whether scikit-learn's own take sample_weight, and the Poisson loss."""
NEEDS_WEIGHTS = pytest.mark.skipif(not WEIGHTS, reason="scikit-learn's own take weights from 1.7 on")

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*iprint.*:DeprecationWarning"),  # of scikit-learn 1.6 itself
]


def load(name: str) -> list[Array]:
    """Training and test samples, scaled, then their targets."""
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    y = (y - y.mean()) / y.std() if name == "diabetes" else y
    return train_test_split(StandardScaler().fit_transform(x), y, random_state=0)


def pair(name: str, **parameters: Any) -> tuple[Any, Any]:
    """Our estimator and scikit-learn's, for a data set."""
    ours, theirs = PAIRS[name == "diabetes"]
    return ours(random_state=3, **parameters), theirs(random_state=3, **parameters)


def outputs(model: Any, x: Array) -> Array:
    return model.predict_proba(x) if hasattr(model, "predict_proba") else model.predict(x)


def furthest(ours: Any, theirs: Any) -> float:
    """The largest difference of two weights."""
    pairs = zip([*ours.coefs_, *ours.intercepts_], [*theirs.coefs_, *theirs.intercepts_], strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


# ---- data sets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_scores_are_no_worse_and_predictions_from_equal_weights_are_equal(name: str) -> None:
    x, test_x, y, test_y = load(name)
    ours, theirs = pair(name, max_iter=40)
    ours.fit(x, y)
    theirs.fit(x, y)
    # Points are hundredths: of accuracy, or of R2.
    assert 100 * ours.score(test_x, test_y) >= 100 * theirs.score(test_x, test_y) - 0.5
    stranger = pair(name, max_iter=1)[0].set_params(random_state=4).fit(x, y)
    assert np.abs(outputs(stranger, test_x) - outputs(theirs, test_x)).max() > 1e-2
    stranger.coefs_, stranger.intercepts_ = theirs.coefs_, theirs.intercepts_
    np.testing.assert_allclose(outputs(stranger, test_x), outputs(theirs, test_x), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(stranger.predict(test_x).round(6), theirs.predict(test_x).round(6))
    for row in (0, 7):  # which takes another way
        np.testing.assert_allclose(
            outputs(stranger, test_x[row : row + 1]), outputs(theirs, test_x)[row : row + 1], atol=1e-6
        )


# ---- the same network -----------------------------------------------------------------------------------

SETTINGS: list[dict[str, Any]] = [
    {},
    {"early_stopping": True, "validation_fraction": 0.2},
    {"early_stopping": True, "tol": 0, "n_iter_no_change": 2, "learning_rate_init": 0.03},
    {"batch_size": 37, "alpha": 1.0, "activation": "tanh"},
    {"hidden_layer_sizes": (20, 10), "activation": "logistic", "shuffle": False},
    {"hidden_layer_sizes": 7, "activation": "identity", "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
    {"hidden_layer_sizes": (), "alpha": 0},
    {"solver": "sgd", "learning_rate_init": 0.01},
    {"solver": "sgd", "learning_rate_init": 0.01, "momentum": 0, "batch_size": 50},
    {"solver": "sgd", "learning_rate_init": 0.1, "momentum": 0.5, "nesterovs_momentum": False},
    {"solver": "sgd", "learning_rate_init": 0.01, "learning_rate": "invscaling", "power_t": 0.2},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 2, "alpha": 0},
    {"solver": "lbfgs", "max_iter": 15},
    {"solver": "lbfgs", "max_fun": 6},
]  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda one: ",".join(map(str, one.values())) or "default")
@pytest.mark.parametrize("name", ["iris", "breast_cancer", "diabetes"])
def test_training_makes_the_same_network(name: str, settings: dict[str, Any]) -> None:
    """First weights, split, order, penalty, updates, learning rate and end are all scikit-learn's."""
    x, _, y, _ = load(name)
    ours, theirs = pair(name, **{"max_iter": 25, **settings})
    ours.fit(x, y)
    theirs.fit(x, y)
    assert (ours.n_iter_, ours.t_) == (theirs.n_iter_, theirs.t_)
    assert furthest(ours, theirs) < 1e-8
    assert ours.out_activation_ == theirs.out_activation_
    assert (ours.n_layers_, ours.n_outputs_) == (theirs.n_layers_, theirs.n_outputs_)
    if settings.get("solver") == "lbfgs":
        assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-9)
        return
    slack = 1e-6  # a weak penalty is interpolated between the ends of an epoch
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9, atol=slack)
    for attribute in ("best_loss_", "validation_scores_", "best_validation_score_"):
        expected = getattr(theirs, attribute)
        assert getattr(ours, attribute) == (
            expected if expected is None else pytest.approx(expected, abs=slack)
        )


def test_one_wrong_number_makes_another_network() -> None:
    """Negative control: the comparison above sees a penalty that is not divided, and another epsilon."""
    x, _, y, _ = load("iris")
    for change in ({"alpha": 1e-4 * len(x)}, {"epsilon": 3e-8}, {"random_state": 4}, {"momentum": 0.8}):
        ours, theirs = pair("iris", max_iter=25, solver="sgd" if "momentum" in change else "adam")
        assert furthest(ours.set_params(**change).fit(x, y), theirs.fit(x, y)) > 1e-7


@pytest.mark.parametrize("weighted", [False, pytest.param(True, marks=NEEDS_WEIGHTS)])
@pytest.mark.parametrize("alpha", [1e-4, 0.1])
@pytest.mark.parametrize("name", ["wine", "diabetes"])
def test_training_ends_with_the_same_epoch(name: str, alpha: float, weighted: bool) -> None:
    """The loss of an epoch, which decides, is a mean of those of its batches."""
    x, _, y, _ = load(name)
    weight = [np.random.default_rng(0).lognormal(size=len(x))] if weighted else []
    ours, theirs = pair(name, alpha=alpha, batch_size=32, learning_rate_init=0.02, tol=1e-3, max_iter=300)
    ours.fit(x, y, *weight)
    theirs.fit(x, y, *weight)
    assert ours.n_iter_ == theirs.n_iter_ < 300
    exact = weighted or alpha > 1e-4
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=0, atol=1e-12 if exact else 1e-5)
    assert ours.best_loss_ == pytest.approx(theirs.best_loss_, abs=1e-12 if exact else 1e-5)


@pytest.mark.parametrize("alpha", [1e-4, 0.1])
def test_several_outputs_make_the_same_network(alpha: float) -> None:
    """scikit-learn's gradient is that of a sum over outputs, its loss a mean; a penalty shows the factor."""
    x, _, y, _ = load("diabetes")
    ours, theirs = pair("diabetes", max_iter=25, alpha=alpha)
    several = np.column_stack([y, -y, y**2])
    assert furthest(ours.fit(x, several), theirs.fit(x, several)) < 1e-8
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=0, atol=1e-8)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), atol=1e-8)
    labels = several > 0
    ours, theirs = pair("iris", max_iter=25, alpha=alpha)
    assert furthest(ours.fit(x, labels), theirs.fit(x, labels)) < 1e-8
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=0, atol=1e-8)
    np.testing.assert_array_equal(ours.predict(x), theirs.predict(x))
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)


@NEEDS_WEIGHTS
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_weights_of_samples_make_the_same_network(solver: str) -> None:
    for name in ("iris", "diabetes"):
        x, _, y, _ = load(name)
        weight = np.random.default_rng(0).random(len(x)) * 2
        ours, theirs = pair(name, max_iter=20, batch_size=40, solver=solver)
        assert furthest(ours.fit(x, y, weight), theirs.fit(x, y, weight)) < 1e-8
        plain = pair(name, max_iter=20, batch_size=40, solver=solver)[0].fit(x, y)
        assert furthest(plain, theirs) > 1e-3


@pytest.mark.skipif(not WEIGHTS, reason="scikit-learn has this loss from 1.7 on")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_poisson_makes_the_same_network(solver: str) -> None:
    x, _, y, _ = load("diabetes")
    counts = np.random.default_rng(0).poisson(np.exp(0.5 * y)).astype(float)
    ours, theirs = pair("diabetes", max_iter=20, loss="poisson", solver=solver)
    assert furthest(ours.fit(x, counts), theirs.fit(x, counts)) < 1e-8
    assert ours.loss_ == pytest.approx(theirs.loss_, abs=1e-7)
    assert ours.out_activation_ == theirs.out_activation_ == "exp"
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), rtol=1e-7)
    several, weight = (
        np.column_stack([counts, counts + 1, counts**2]),
        np.random.default_rng(1).random(len(x)),
    )
    ours, theirs = pair("diabetes", max_iter=20, loss="poisson", solver=solver, batch_size=100)
    assert furthest(ours.fit(x, several, weight), theirs.fit(x, several, weight)) < 1e-7
    assert ours.loss_ == pytest.approx(theirs.loss_, abs=1e-7)


@pytest.mark.parametrize("rate", ["constant", "invscaling", "adaptive"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_makes_the_same_network(solver: str, rate: str) -> None:
    """A learning rate that has fallen stays low from call to call."""
    x, _, y, _ = load("iris")
    settings: dict[str, Any] = {"learning_rate_init": 0.01, "n_iter_no_change": 1, "tol": 0.1}
    ours, theirs = pair("iris", solver=solver, learning_rate=rate, **settings)
    for _ in range(5):
        for rows in (slice(0, 50), slice(50, None)):
            ours.partial_fit(x[rows], y[rows], classes=np.unique(y))
            theirs.partial_fit(x[rows], y[rows], classes=np.unique(y))
    assert furthest(ours, theirs) < 1e-9
    assert (ours.n_iter_, ours.t_, len(ours.loss_curve_)) == (
        theirs.n_iter_,
        theirs.t_,
        len(theirs.loss_curve_),
    )


def test_verbose_prints_the_same_lines(capsys: pytest.CaptureFixture[str]) -> None:
    x, _, y, _ = load("iris")
    for settings in (
        {"max_iter": 3},
        {"max_iter": 200, "early_stopping": True, "n_iter_no_change": 2},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 1.0, "n_iter_no_change": 1},
    ):
        said = []
        for model in pair("iris", verbose=True, **settings):
            model.fit(x, y)
            said.append(capsys.readouterr().out)
        assert said[0] == said[1] != ""


# ---- parameters, attributes, checks ---------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_every_parameter_is_there_with_its_default(ours: Any, theirs: Any) -> None:
    own = inspect.signature(theirs).parameters
    parameters = inspect.signature(ours).parameters
    assert {name: one.default for name, one in own.items()}.items() <= {
        name: one.default for name, one in parameters.items()
    }.items()
    positional = [name for name, one in own.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
    if WEIGHTS:  # in 1.6 the regressor began with the layers
        assert list(parameters)[: len(positional)] == positional
    for method in ("fit", "partial_fit", "predict"):
        here = inspect.signature(getattr(ours(), method)).parameters
        assert inspect.signature(getattr(theirs(), method)).parameters.keys() <= here.keys()


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_every_public_attribute_is_there(ours: Any, theirs: Any) -> None:
    x, y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
    for early in (False, True):
        fitted = [
            one(max_iter=2, early_stopping=early, validation_fraction=0.3).fit(x, y) for one in (ours, theirs)
        ]
        names = {name for name in vars(fitted[1]) if name.endswith("_") and not name.startswith("_")}
        assert {"coefs_", "loss_curve_"} <= names
        for name in names:
            here, there = (getattr(one, name) for one in fitted)
            number = isinstance(here, float) and isinstance(there, float)
            assert number or isinstance(here, type(there)), name


@pytest.mark.parametrize("estimator", [MLPClassifier(), MLPRegressor()], ids=lambda one: type(one).__name__)
def test_check_estimator(estimator: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of checks that are left out: no decision_function, no array API
        results = check_estimator(estimator)
    assert {one["status"] for one in results} <= {"passed", "skipped"}
    assert sum(one["status"] == "passed" for one in results) > 50


def test_the_end_of_training_is_said_alike() -> None:
    x, _, y, _ = load("iris")
    for model in pair("iris", max_iter=2):
        with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
            model.fit(x, y)
    for model in pair("iris", max_iter=2, solver="lbfgs"):
        with pytest.warns(ConvergenceWarning, match="lbfgs"):
            model.fit(x, y)
    for model in pair("iris", max_iter=2, batch_size=1000):
        with pytest.warns(UserWarning, match="batch_size"):
            model.fit(x, y)
