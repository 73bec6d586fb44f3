"""scikit-learn's estimators in: the same predictions, and refusals by name."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnet as fn

pytest.importorskip("sklearn", reason="scikit-learn is not installed")
from sklearn import linear_model, neural_network, preprocessing, svm
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier

from fastnet.sklearn import MLPClassifier, MLPRegressor

RNG = np.random.default_rng(5)
X = RNG.normal(3.0, 2.0, (80, 4))
LABELS = (X[:, 0] + X[:, 1] > 6).astype(int) + (X[:, 2] > 4)  # 0, 1, 2
BINARY = np.array(["no", "yes"])[(X[:, 0] > 3).astype(int)]
SEVERAL = np.stack([X[:, 0] > 3, X[:, 1] > 3, X[:, 2] > 3], axis=1).astype(int)
VALUES = X @ [1.0, -2.0, 0.5, 0.0] + 3 + RNG.normal(0, 0.1, 80)
TWO_VALUES = np.stack([VALUES, X[:, 3] * 2], axis=1)


def fitted(estimator: Any, y: Any, x: Any = X) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of convergence, and of what old versions use
        return estimator.fit(x, y)


def mlp(regression: bool = False, **arguments: Any) -> Any:
    kind = neural_network.MLPRegressor if regression else neural_network.MLPClassifier
    return kind(hidden_layer_sizes=(7, 5), max_iter=30, random_state=0, **arguments)


def predicted(estimator: Any, x: Any = X) -> np.ndarray:
    """What a network is to give: probabilities of classes, decisions or values, as columns."""
    if hasattr(estimator, "predict_proba"):
        found = estimator.predict_proba(x)
        return found[:, 1:] if found.shape[1] == 2 and len(estimator.classes_) == 2 else found
    found = (estimator.decision_function if hasattr(estimator, "decision_function") else estimator.predict)(x)
    return found[:, None] if found.ndim == 1 else found


ESTIMATORS: dict[str, tuple[Callable[[], Any], Any]] = {
    "MLPClassifier": (mlp, LABELS),
    "MLPClassifier, two classes": (lambda: mlp(activation="tanh"), BINARY),
    "MLPClassifier, several labels": (lambda: mlp(activation="logistic"), SEVERAL),
    "MLPRegressor": (lambda: mlp(True, activation="identity"), VALUES),
    "MLPRegressor, two values": (lambda: mlp(True), TWO_VALUES),
    "LogisticRegression": (linear_model.LogisticRegression, LABELS),
    "LogisticRegression, two classes": (linear_model.LogisticRegression, BINARY),
    "LogisticRegression, no intercept": (
        lambda: linear_model.LogisticRegression(fit_intercept=False),
        LABELS,
    ),
    "LogisticRegression, liblinear": (lambda: linear_model.LogisticRegression(solver="liblinear"), BINARY),
    "SGDClassifier": (lambda: linear_model.SGDClassifier(loss="log_loss", random_state=0), BINARY),
    "SGDClassifier, hinge": (lambda: linear_model.SGDClassifier(random_state=0), LABELS),
    "Perceptron": (lambda: linear_model.Perceptron(random_state=0), BINARY),
    "RidgeClassifier": (linear_model.RidgeClassifier, LABELS),
    "LinearSVC": (lambda: svm.LinearSVC(random_state=0), LABELS),
    "LinearSVR": (lambda: svm.LinearSVR(random_state=0), VALUES),
    "LinearRegression": (linear_model.LinearRegression, VALUES),
    "LinearRegression, two values": (linear_model.LinearRegression, TWO_VALUES),
    "LinearRegression, no intercept": (lambda: linear_model.LinearRegression(fit_intercept=False), VALUES),
    "Ridge": (linear_model.Ridge, TWO_VALUES),
    "RidgeCV": (linear_model.RidgeCV, VALUES),
    "Lasso": (lambda: linear_model.Lasso(0.1), VALUES),
    "LassoCV": (linear_model.LassoCV, VALUES),
    "ElasticNet": (lambda: linear_model.ElasticNet(0.1), VALUES),
    "ElasticNetCV": (linear_model.ElasticNetCV, VALUES),
    "SGDRegressor": (lambda: linear_model.SGDRegressor(random_state=0), VALUES),
    "Perceptron after MaxAbsScaler": (
        lambda: make_pipeline(preprocessing.MaxAbsScaler(), linear_model.Perceptron(random_state=0)),
        LABELS,
    ),
    "MLPClassifier after StandardScaler": (
        lambda: make_pipeline(preprocessing.StandardScaler(), mlp()),
        LABELS,
    ),
    "MLPRegressor after MinMaxScaler": (
        lambda: make_pipeline(preprocessing.MinMaxScaler((-1, 1)), "passthrough", mlp(True)),
        VALUES,
    ),
    "Ridge after three": (
        lambda: make_pipeline(
            preprocessing.RobustScaler(),
            make_pipeline(preprocessing.StandardScaler(with_mean=False), preprocessing.MinMaxScaler()),
            linear_model.Ridge(fit_intercept=False),
        ),
        VALUES,
    ),
    "Ridge after parts of scalers": (
        lambda: make_pipeline(
            preprocessing.RobustScaler(with_centering=False),
            preprocessing.RobustScaler(with_scaling=False),
            preprocessing.StandardScaler(with_std=False),
            linear_model.Ridge(),
        ),
        TWO_VALUES,
    ),
}


@cache
def fitted_once(name: str) -> Any:
    make, y = ESTIMATORS[name]
    return fitted(make(), y)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_and_their_networks_agree(backend: str, name: str) -> None:
    estimator = fitted_once(name)
    net = fn.from_sklearn(estimator)
    assert net.dtype == "float64"
    np.testing.assert_allclose(net.predict(X), predicted(estimator), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(net.predict(X[0]), predicted(estimator)[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("pipeline", [False, True])
def test_an_estimator_of_float32_gives_such_a_network(pipeline: bool) -> None:
    scaler = preprocessing.StandardScaler() if pipeline else "passthrough"
    estimator = fitted(make_pipeline(scaler, mlp(activation="tanh")), LABELS, X.astype(np.float32))
    net = fn.from_sklearn(estimator)
    assert net.dtype == "float32"
    np.testing.assert_allclose(net.predict(X), predicted(estimator, X.astype(np.float32)), rtol=0, atol=1e-5)


def test_a_planted_difference_is_found() -> None:
    estimator = fitted(mlp(), LABELS)
    net = fn.from_sklearn(estimator)
    net.layers[1].weights[2, 3] += 1e-4
    assert np.abs(net.predict(X) - predicted(estimator)).max() > 1e-9
    wrong = fn.from_sklearn(fitted(linear_model.LogisticRegression(), BINARY))
    estimator = fitted(linear_model.LogisticRegression(C=0.99), BINARY)
    assert np.abs(wrong.predict(X) - predicted(estimator)).max() > 1e-9


def test_what_the_network_is() -> None:
    net = fn.from_sklearn(fitted(mlp(activation="logistic"), BINARY))
    assert repr(list(net.layers)) == "[Dense(7, 'sigmoid'), Dense(5, 'sigmoid'), Dense(1, 'sigmoid')]"
    net = fn.from_sklearn(fitted(linear_model.LogisticRegression(fit_intercept=False), LABELS))
    assert repr(list(net.layers)) == "[Dense(3, 'softmax', bias=False)]"
    pipeline = make_pipeline(preprocessing.StandardScaler(), linear_model.Ridge(fit_intercept=False))
    assert repr(list(fn.from_sklearn(fitted(pipeline, VALUES)).layers)) == "[Dense(1, 'identity')]"


def test_classes_are_kept(tmp_path: Path) -> None:
    net = fn.from_sklearn(fitted(mlp(), BINARY))
    assert net.metadata == {"classes": ["no", "yes"]}
    net.save(tmp_path / "net.safetensors")
    assert fn.load(tmp_path / "net.safetensors").metadata == net.metadata
    pipeline = make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression())
    assert fn.from_sklearn(fitted(pipeline, LABELS)).metadata == {"classes": [0, 1, 2]}
    assert fn.from_sklearn(fitted(linear_model.Ridge(), VALUES)).metadata == {}
    estimator = fitted(linear_model.LogisticRegression(), LABELS)
    estimator.classes_ = np.array([b"a", b"b", b"c"])  # which JSON does not have
    assert fn.from_sklearn(estimator).metadata == {}
    json.dumps(net.metadata)


def test_labels_of_two_classes_as_the_document_makes_them() -> None:
    estimator = fitted(linear_model.LogisticRegression(), BINARY)
    net = fn.from_sklearn(estimator)
    p = net.predict(X)
    label = np.array(net.metadata["classes"])[(p[:, 0] > 0.5).astype(int)]
    np.testing.assert_array_equal(label, estimator.predict(X))
    assert set(label) == {"no", "yes"}


def test_nothing_is_shared() -> None:
    estimator = fitted(mlp(), LABELS)
    before = [one.copy() for one in estimator.coefs_]
    net = fn.from_sklearn(estimator)
    net.parameters[...] = 3.0
    assert all((a == b).all() for a, b in zip(before, estimator.coefs_, strict=True))


def test_it_can_be_trained_on() -> None:
    estimator = fitted(make_pipeline(preprocessing.StandardScaler(), mlp()), LABELS)
    net = fn.from_sklearn(estimator)
    before = net.evaluate(X, LABELS)["loss"]
    net.fit(X, LABELS, optimizer=fn.Adam(0.003), epochs=60, verbose=0, seed=0)
    assert net.evaluate(X, LABELS)["loss"] < before


def test_sparse_coefficients() -> None:
    estimator = fitted(linear_model.SGDClassifier(loss="log_loss", random_state=0), BINARY)
    wanted = predicted(estimator)
    np.testing.assert_allclose(fn.from_sklearn(estimator.sparsify()).predict(X), wanted, rtol=1e-9)


# ---- estimators of our own ----------------------------------------------------------------------------


def ours() -> MLPRegressor:
    return MLPRegressor(
        hidden_layer_sizes=(5,), activation=["gelu"], dropout=0.1, max_iter=30, tol=1e9, random_state=0
    )


def test_estimators_of_our_own_give_a_copy() -> None:
    estimator = ours().fit(X, VALUES)
    net = fn.from_sklearn(estimator)
    assert net.config() == estimator.network_.config()
    np.testing.assert_array_equal(net.parameters, estimator.network_.parameters)
    assert not np.shares_memory(net.parameters, estimator.network_.parameters)
    with pytest.raises(NotFittedError):
        fn.from_sklearn(ours())


def test_estimators_of_our_own_after_a_scaler() -> None:
    pipeline = make_pipeline(preprocessing.StandardScaler(), ours()).fit(X, VALUES)
    net = fn.from_sklearn(pipeline)
    np.testing.assert_allclose(net.predict(X)[:, 0], pipeline.predict(X), rtol=1e-9, atol=1e-9)
    assert repr(list(net.layers)) == "[Dense(5, 'gelu'), Dropout(0.1), Dense(1, 'identity')]"
    pipeline[-1].network_ = fn.Network([fn.Dropout(0.1), fn.Dense(1)], inputs=4)
    with pytest.raises(ValueError, match=r"begins with Dropout\(0\.1\); wanted a Dense"):
        fn.from_sklearn(pipeline)


def test_classes_of_our_own_are_kept() -> None:
    two = np.stack([LABELS, LABELS > 0], axis=1)
    for y, outputs, classes in (
        (BINARY, 1, ["no", "yes"]),
        (LABELS, 3, [0, 1, 2]),
        (two, 5, [[0, 1, 2], [0, 1]]),
    ):
        estimator = fitted(MLPClassifier(hidden_layer_sizes=(5,), max_iter=3, random_state=0), y)
        for pipeline in (estimator, make_pipeline(preprocessing.StandardScaler().fit(X), estimator)):
            net = fn.from_sklearn(pipeline)
            assert net.metadata == {"classes": classes} and net.output_shape == (outputs,)
        assert estimator.network_.metadata == {}


# ---- what is refused ----------------------------------------------------------------------------------


class MyRidge(linear_model.Ridge):
    def predict(self, x: Any) -> Any:
        return -super().predict(x)


def with_attribute(estimator: Any, y: Any, name: str, value: Any) -> Any:
    setattr(fitted(estimator, y), name, value)
    return estimator


def spoilt(value: float) -> Any:
    estimator = fitted(linear_model.Ridge(), VALUES)
    estimator.coef_[1] = value
    return estimator


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a tree": (
        lambda: fitted(DecisionTreeClassifier(), LABELS),
        TypeError,
        r"estimator is a sklearn\.tree\..*DecisionTreeClassifier; wanted one of scikit-learn's MLPClassifier",
    ),
    "a subclass": (lambda: fitted(MyRidge(), VALUES), TypeError, "MyRidge; wanted one of"),
    "a search": (
        lambda: fitted(GridSearchCV(linear_model.Ridge(), {"alpha": [1.0, 2.0]}), VALUES),
        TypeError,
        "GridSearchCV; give its best_estimator_",
    ),
    "a class": (lambda: linear_model.Ridge, TypeError, "estimator is a "),
    "a network": (lambda: fn.mlp([2, 1]), TypeError, r"estimator is a fastnet\.network\.Network"),
    "nothing": (lambda: None, TypeError, r"estimator is a builtins\.NoneType"),
    "another step": (
        lambda: fitted(make_pipeline(preprocessing.PolynomialFeatures(), linear_model.Ridge()), VALUES),
        TypeError,
        r"a step of the pipeline is a .*PolynomialFeatures; wanted one of scikit-learn's StandardScaler",
    ),
    "no estimator": (
        lambda: fitted(make_pipeline(preprocessing.StandardScaler()), None),
        TypeError,
        "estimator is a .*StandardScaler",
    ),
    "no steps": (lambda: make_pipeline("passthrough"), ValueError, "pipeline without steps"),
    "not fitted": (mlp, NotFittedError, "not fitted"),
    "not fitted in a pipeline": (
        lambda: make_pipeline(preprocessing.StandardScaler(), linear_model.Ridge()),
        NotFittedError,
        "StandardScaler instance is not fitted",
    ),
    "a scaler that cuts": (
        lambda: fitted(make_pipeline(preprocessing.MinMaxScaler(clip=True), linear_model.Ridge()), VALUES),
        ValueError,
        r"MinMaxScaler\(clip=True\) cuts",
    ),
    "an activation of another version": (
        lambda: with_attribute(mlp(True), VALUES, "out_activation_", "erf"),
        ValueError,
        "out_activation_ is 'erf'",
    ),
    "classes one by one": (
        lambda: fitted(linear_model.SGDClassifier(loss="log_loss", random_state=0), LABELS),
        ValueError,
        "SGDClassifier that tells each of 3 classes from the rest",
    ),
    "old multi_class": (
        lambda: with_attribute(linear_model.LogisticRegression(), LABELS, "multi_class", "ovr"),
        ValueError,
        "LogisticRegression that tells each of 3 classes from the rest",
    ),
    "old liblinear": (
        lambda: with_attribute(linear_model.LogisticRegression(), LABELS, "solver", "liblinear"),
        ValueError,
        "another solver than 'liblinear'",
    ),
    "old multinomial": (
        lambda: with_attribute(linear_model.LogisticRegression(), BINARY, "multi_class", "multinomial"),
        ValueError,
        "multi_class is 'multinomial' with two classes",
    ),
    "modified huber": (
        lambda: fitted(linear_model.SGDClassifier(loss="modified_huber", random_state=0), BINARY),
        ValueError,
        "loss is 'modified_huber'",
    ),
    "NaN": (lambda: spoilt(np.nan), ValueError, r"layers\[0\]: weights\[1, 0\] is nan"),
    "infinity": (lambda: spoilt(np.inf), ValueError, r"weights\[1, 0\] is inf"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_dense_network_is_refused_by_name(name: str) -> None:
    make, kind, message = REFUSED[name]
    estimator = make()
    with pytest.raises(kind, match=message):
        fn.from_sklearn(estimator)


def test_scaling_too_large_for_the_dtype_is_refused() -> None:
    x = X.astype(np.float32)
    pipeline = fitted(make_pipeline(preprocessing.StandardScaler(), mlp()), LABELS, x)
    pipeline[0].scale_[1] = 1e-60
    with pytest.raises(ValueError, match=r"layers\[0\]: weights\[1, 0\] is -?inf"):
        fn.from_sklearn(pipeline)


def test_without_scikit_learn_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    estimator = fitted(linear_model.Ridge(), VALUES)
    monkeypatch.setitem(sys.modules, "sklearn.utils.validation", None)
    message = r"^reading scikit-learn's estimators needs scikit-learn: pip install 'fastnet\[sklearn\]'$"
    with pytest.raises(ImportError, match=message):
        fn.from_sklearn(estimator)
