"""Small and medium neural networks on the CPU, trained and run as fast as the machine can."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastnet import activations, callbacks, initializers, losses, metrics, schedules
from fastnet.backends import active as backend
from fastnet.backends import available as available_backends
from fastnet.backends import get_num_threads, set_num_threads
from fastnet.backends import use as use_backend
from fastnet.data import Dataset, Normalise, Standardise, from_one_hot, one_hot
from fastnet.errors import DivergenceWarning, FastnetFormatError, GradientWarning, OverfittingWarning
from fastnet.explain import Explanation, explain
from fastnet.gradients import gradient_check
from fastnet.history import History
from fastnet.layers import Dense, Dropout, Flatten, Layer
from fastnet.network import Network, load, mlp
from fastnet.optimizers import SGD, AdaGrad, Adam, AdamW, Optimizer, RMSprop, Rprop
from fastnet.perceptron import Perceptron
from fastnet.training import Trainer

if TYPE_CHECKING:
    from fastnet import datasets, plotting

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Dataset",
    "Dense",
    "DivergenceWarning",
    "Dropout",
    "Explanation",
    "FastnetFormatError",
    "Flatten",
    "GradientWarning",
    "History",
    "Layer",
    "Network",
    "Normalise",
    "Optimizer",
    "OverfittingWarning",
    "Perceptron",
    "RMSprop",
    "Rprop",
    "Standardise",
    "Trainer",
    "activations",
    "available_backends",
    "backend",
    "callbacks",
    "datasets",
    "explain",
    "from_one_hot",
    "get_num_threads",
    "gradient_check",
    "initializers",
    "load",
    "losses",
    "metrics",
    "mlp",
    "one_hot",
    "plotting",
    "schedules",
    "set_num_threads",
    "use_backend",
]

__version__ = "0.1.0"  # read by the build: keep it a literal

# Modules that are loaded when first used, as they take longer than the rest together.
_LAZY = ("datasets", "plotting")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return import_module(f"fastnet.{name}")
    raise AttributeError(f"module 'fastnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
