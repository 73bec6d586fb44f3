"""Small and medium neural networks on the CPU, trained and run as fast as the machine can."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastnet import activations, initializers, losses
from fastnet.backends import active as backend
from fastnet.backends import available as available_backends
from fastnet.backends import get_num_threads, set_num_threads
from fastnet.backends import use as use_backend
from fastnet.errors import DivergenceWarning, FastnetFormatError, GradientWarning, OverfittingWarning
from fastnet.explain import explain
from fastnet.layers import Dense, Dropout, Flatten, Layer
from fastnet.network import Network, load, mlp

if TYPE_CHECKING:  # the names of _LAZY
    from fastnet import callbacks, datasets, metrics, plotting, schedules
    from fastnet.data import Dataset, Normalise, Standardise, from_one_hot, one_hot
    from fastnet.explanation import Explanation
    from fastnet.gradients import gradient_check
    from fastnet.history import History
    from fastnet.interop import from_fann, from_onnx, from_sklearn, from_torch
    from fastnet.optimizers import SGD, AdaGrad, Adam, AdamW, Optimizer, RMSprop, Rprop
    from fastnet.perceptron import Perceptron
    from fastnet.training import Trainer

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
    "from_fann",
    "from_one_hot",
    "from_onnx",
    "from_sklearn",
    "from_torch",
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

# Modules that are loaded when first used, and the names that the package has from each: all that making a
# network and running it do not take.
_LAZY: dict[str, tuple[str, ...]] = {
    "callbacks": (),
    "checkpoints": (),
    "data": ("Dataset", "Normalise", "Standardise", "from_one_hot", "one_hot"),
    "datasets": (),
    "explanation": ("Explanation",),
    "gradients": ("gradient_check",),
    "history": ("History",),
    "interop": ("from_fann", "from_onnx", "from_sklearn", "from_torch"),
    "loss_functions": (),
    "metrics": (),
    "optimizers": ("SGD", "AdaGrad", "Adam", "AdamW", "Optimizer", "RMSprop", "Rprop"),
    "perceptron": ("Perceptron",),
    "plotting": (),
    "progress": (),
    "run": (),
    "schedules": (),
    "sklearn": (),
    "storage": (),
    "training": ("Trainer",),
    "transforms": (),
}


if not TYPE_CHECKING:  # who checks types would find every name here, also a misspelt one

    def __getattr__(name: str) -> Any:
        for module, names in _LAZY.items():
            if name == module:
                return import_module(f"fastnet.{name}")
            if name in names:
                found = globals()[name] = getattr(import_module(f"fastnet.{module}"), name)
                return found
        raise AttributeError(f"module 'fastnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_LAZY})
