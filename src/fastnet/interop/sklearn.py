"""scikit-learn: fitted estimators that are dense networks, as networks.

Estimators are known by their exact classes and read by their fitted attributes; a subclass may predict in
another way, so it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.arrays import as_numbers
from fastnet.errors import missing
from fastnet.interop.assemble import Part, assemble
from fastnet.layers import Dense
from fastnet.network import Network

__all__ = ["from_sklearn"]

_ACTIVATIONS = {
    "identity": "identity",
    "logistic": "sigmoid",
    "tanh": "tanh",
    "relu": "relu",
    "softmax": "softmax",
    "exp": "exp",
}
_MLP = ("MLPClassifier", "MLPRegressor")
_PROBABILITIES = ("LogisticRegression", "LogisticRegressionCV", "SGDClassifier")
_DECISIONS = ("Perceptron", "RidgeClassifier", "LinearSVC")
_PREDICTIONS = (
    *("LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "ElasticNet", "ElasticNetCV"),
    *("SGDRegressor", "LinearSVR"),
)
_ESTIMATORS = (*_MLP, *_PROBABILITIES, *_DECISIONS, *_PREDICTIONS)
_SCALERS = ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler")


def from_sklearn(estimator: Any) -> Network:
    """Return a network that computes what a fitted estimator of scikit-learn computes.

    The network's output is

    * ``predict`` of MLPRegressor, LinearRegression, Ridge, RidgeCV, Lasso, LassoCV, ElasticNet, ElasticNetCV,
      SGDRegressor and LinearSVR;
    * ``predict_proba`` of MLPClassifier, LogisticRegression, LogisticRegressionCV, and SGDClassifier with the
      loss "log_loss"; of two classes, one output, the probability of the second, as the estimator's weights
      are for one (an ONNX file of it has two, see `from_onnx`);
    * ``decision_function`` of Perceptron, RidgeClassifier, LinearSVC, and SGDClassifier with another loss.

    Parameters
    ----------
    estimator : estimator
        One of these, of `fastnet.sklearn`, or a Pipeline of one of them after StandardScaler, MinMaxScaler,
        MaxAbsScaler or RobustScaler, which go into the weights of the first layer. It is not changed.

    Returns
    -------
    Network
        With the outputs as columns, (N, outputs), also where scikit-learn returns (N,). Of the dtype of the
        estimator's coefficients. ``metadata["classes"]`` are a classifier's classes, if JSON has them.

    Raises
    ------
    ImportError
        scikit-learn is not installed.
    sklearn.exceptions.NotFittedError
        It is not fitted.
    TypeError
        It is none of these estimators.
    ValueError
        A setting makes of it something that is no dense network, which the message names; or a coefficient is
        not finite.
    """
    try:
        from sklearn.utils.validation import check_is_fitted
    except ImportError:
        raise missing("reading scikit-learn's estimators", "scikit-learn", "sklearn") from None
    *scalers, last = _steps(estimator)
    for step in (*scalers, last):
        check_is_fitted(step)
    network = _network(last)
    return _scaled(network, scalers) if scalers else network


# ---- which estimators ---------------------------------------------------------------------------------


def _class(estimator: object) -> str:
    """Return the name of an estimator's class in scikit-learn; of any other, even a subclass, ``""``."""
    kind = type(estimator)
    return kind.__name__ if kind.__module__.partition(".")[0] == "sklearn" else ""


def _is_ours(estimator: object) -> bool:
    return type(estimator).__module__.startswith("fastnet.sklearn.")


def _steps(estimator: Any) -> list[Any]:
    """Return scalers, all of known classes, and then an estimator of a known class."""
    unpacked = _unpacked(estimator)
    if not unpacked:
        raise ValueError("estimator is a pipeline without steps")
    *scalers, last = unpacked
    for step, known in (*((scaler, _SCALERS) for scaler in scalers), (last, _ESTIMATORS)):
        if _class(step) not in known and not (step is last and _is_ours(step)):
            found = f"{type(step).__module__}.{type(step).__qualname__}"
            hint = "; give its best_estimator_" if hasattr(step, "best_estimator_") else ""
            place = "estimator" if step is last else "a step of the pipeline"
            raise TypeError(
                f"{place} is a {found}{hint}; wanted one of scikit-learn's {', '.join(known)} (no subclass)"
            )
    return [*scalers, last]


def _unpacked(estimator: Any) -> list[Any]:
    """Return the steps of a pipeline, and of pipelines in it, or else the estimator alone."""
    if _class(estimator) != "Pipeline":
        return [estimator]
    steps = [step for _, step in estimator.steps if step is not None and step != "passthrough"]
    return [one for step in steps for one in _unpacked(step)]


# ---- what they are made of ----------------------------------------------------------------------------


def _network(estimator: Any) -> Network:
    """Return the network of an estimator without scalers."""
    if _is_ours(estimator):
        network: Network = estimator.network_.copy()
        network.metadata |= _classes(estimator)
        return network
    name = _class(estimator)
    parts = _mlp(estimator) if name in _MLP else [_linear(estimator, name)]
    weights = np.asarray(parts[0].weights)
    network = assemble(parts, len(weights), np.float32 if weights.dtype == np.float32 else np.float64)
    network.metadata = _classes(estimator)
    return network


def _mlp(estimator: Any) -> list[Part]:
    """Return the layers of a multi-layer perceptron."""
    output = estimator.out_activation_
    if output not in _ACTIVATIONS:
        raise ValueError(f"out_activation_ is {output!r}, which no activation here equals")
    names = [estimator.activation] * (len(estimator.coefs_) - 1) + [output]
    return [
        Part(Dense(weights.shape[1], _ACTIVATIONS[name]), weights, bias)
        for name, weights, bias in zip(names, estimator.coefs_, estimator.intercepts_, strict=True)
    ]


def _linear(estimator: Any, name: str) -> Part:
    """Return the layer that a linear model is."""
    coefficients = estimator.coef_
    if hasattr(coefficients, "toarray"):  # after `sparsify`
        coefficients = coefficients.toarray()
    weights = np.atleast_2d(as_numbers("coef_", coefficients)).T
    units = weights.shape[1]
    activation = _activation(estimator, len(estimator.classes_)) if name in _PROBABILITIES else "identity"
    bias = None
    if estimator.fit_intercept:
        bias = np.broadcast_to(as_numbers("intercept_", estimator.intercept_), (units,))
    return Part(Dense(units, activation, bias=bias is not None), weights, bias)


def _activation(estimator: Any, classes: int) -> str:
    """Return what makes a linear classifier's scores its probabilities."""
    loss = getattr(estimator, "loss", "log_loss")
    if loss == "modified_huber":
        raise ValueError("loss is 'modified_huber', whose probabilities no activation here equals")
    if loss != "log_loss":
        return "identity"  # there are no probabilities, but decisions
    # One classifier against the rest for each class gives sigmoids, divided by their sum. Until version 1.7,
    # multi_class could ask for that, or for a softmax over the score and its negative where classes are two.
    multi_class = getattr(estimator, "multi_class", "auto")
    alone = hasattr(estimator, "loss") or multi_class == "ovr" or estimator.solver == "liblinear"
    if classes > 2 and alone:
        raise ValueError(
            f"estimator is a {type(estimator).__name__} that tells each of {classes} classes from the rest, "
            "whose probabilities no activation here equals; wanted two classes, or LogisticRegression with "
            "another solver than 'liblinear'"
        )
    if classes <= 2 and multi_class == "multinomial":
        raise ValueError("multi_class is 'multinomial' with two classes; wanted 'auto'")
    return "softmax" if classes > 2 else "sigmoid"


def _classes(estimator: Any) -> dict[str, Any]:
    """Return metadata that name the classes, where there are any and JSON has them."""
    if not hasattr(estimator, "classes_"):
        return {}
    found = estimator.classes_  # of several outputs a list, and arrays of several lengths in it
    labels = [one.tolist() for one in found] if isinstance(found, list) else np.asarray(found).tolist()
    metadata = {"classes": labels}
    try:
        json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError):
        return {}
    return metadata


# ---- scaling ------------------------------------------------------------------------------------------


def _scaled(network: Network, scalers: Sequence[Any]) -> Network:
    """Return the network that does to unscaled inputs what `network` does to scaled ones."""
    first, *others = network.layers
    if not isinstance(first, Dense):
        raise ValueError(f"the network begins with {first!r}; wanted a Dense, whose weights can scale inputs")
    weights = first.weights.astype(np.float64)
    bias = np.zeros(first.units) if first.bias is None else first.bias.astype(np.float64)
    with np.errstate(all="ignore"):  # what is too large becomes infinite, which `assemble` finds
        for scaler in reversed(scalers):
            slope, shift = _scale(scaler, len(weights))
            weights, bias = slope[:, None] * weights, bias + shift @ weights
        parts = [
            Part(Dense(first.units, first.activation), *(v.astype(network.dtype) for v in (weights, bias)))
        ]
    for layer in others:
        values = (layer.weights, layer.bias) if isinstance(layer, Dense) else ()
        parts.append(Part(layer.recipe(), *values))
    scaled = assemble(parts, network.input_shape, network.dtype)
    scaled.metadata = network.metadata
    return scaled


def _scale(scaler: Any, features: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return slope and shift of a scaler, for each feature: ``slope * x + shift``."""
    if getattr(scaler, "clip", False):
        raise ValueError(f"{scaler!r} cuts what is out of its range, which weights cannot; wanted clip=False")
    name = _class(scaler)
    slope: Any = 1.0
    shift: Any = 0.0
    if name == "MinMaxScaler":
        slope, shift = scaler.scale_, scaler.min_
    elif name == "MaxAbsScaler":
        slope = 1 / scaler.scale_
    else:
        standard = name == "StandardScaler"
        if scaler.with_std if standard else scaler.with_scaling:
            slope = 1 / scaler.scale_
        if scaler.with_mean if standard else scaler.with_centering:
            shift = -(scaler.mean_ if standard else scaler.center_) * slope
    return np.broadcast_to(slope, features), np.broadcast_to(shift, features)
