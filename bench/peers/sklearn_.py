"""scikit-learn: `partial_fit` of the whole data set is one epoch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier, MLPRegressor

from bench.peers.tasks import Task
from bench.peers.timing import Epochs, clocked
from bench.workloads import RATE, Array

VERSION = sklearn.__version__
ACTIVATIONS = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic"}


def cannot(task: Task) -> str:
    if task.activation not in ACTIVATIONS:
        return f"has no {task.activation}"
    if task.dropout:
        return "has no dropout"
    return "scales weight decay otherwise" if task.weight_decay else ""


def start(threads: int) -> None:
    """The BLAS read its number of threads from the environment; data need not be searched for NaN."""
    sklearn.set_config(assume_finite=True)


def estimator(task: Task, x: Array, y: Array) -> Any:
    """A network with the first weights, whose optimizer has not made a step."""
    options = {
        "hidden_layer_sizes": task.sizes[1:-1],
        "activation": ACTIVATIONS[task.activation],
        "solver": task.optimizer,
        "alpha": 0.0,
        "batch_size": task.batch,
        "learning_rate_init": RATE,
        "momentum": task.momentum,
        "nesterovs_momentum": False,
        "shuffle": False,
    }
    if task.labels:
        network = MLPClassifier(**options).partial_fit(x[:1], y[:1], classes=np.arange(task.sizes[-1]))
    else:
        network = MLPRegressor(**options).partial_fit(x[:1], y[:1].squeeze(1) if y.shape[1] == 1 else y[:1])
    weights, biases = zip(*task.first_weights(), strict=True)
    network.coefs_, network.intercepts_ = list(weights), list(biases)
    del network._optimizer  # the next call makes a new one, for these weights
    return network


def training(task: Task, x: Array, y: Array) -> Epochs:
    warnings.simplefilter("ignore")
    network = estimator(task, x, y)
    targets = y if task.labels or y.shape[1] > 1 else y[:, 0]
    scale = 1.0 if task.labels else 2.0  # it halves the squares; Adam does not feel it

    def epoch() -> float:
        network.partial_fit(x, targets)
        return scale * network.loss_

    return clocked(epoch)


def prediction(task: Task) -> Callable[[Array], Array]:
    warnings.simplefilter("ignore")
    network = estimator(task, *task.data(1))
    output = network.predict_proba if task.labels else network.predict
    return lambda x: output(x if x.ndim == 2 else x[None])
