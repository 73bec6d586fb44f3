"""The optimizers.

An optimizer here is a description: its name, its numbers, and how many state vectors it keeps. The
update itself is one loop over the flat parameter vector, in `fastnet.backends`. The state belongs to
the `Trainer`, so that one optimizer object can serve many runs.

Weight decay leaves biases alone: it is a prior on the size of weights, and shrinking a threshold
serves nothing (as in scikit-learn; Goodfellow, Bengio and Courville 2016, section 7.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

from fastnet import schedules
from fastnet.errors import unknown
from fastnet.schedules import Schedule

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "Rprop",
    "from_config",
    "get",
]


def _number(name: str, value: float, low: float, high: float, *, open_low: bool = False) -> float:
    """Check that a number is in [low, high) (or in (low, high)) and return it as a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    above = value > low if open_low else value >= low
    if not (above and value < high):
        bounds = f"{'(' if open_low else '['}{low:g}, {high:g})"
        raise ValueError(f"{name} must be in {bounds}, got {value!r}")
    return float(value)


class Optimizer:
    """What all optimizers share.

    Parameters
    ----------
    learning_rate : float or Schedule
        Size of a step, positive and finite; a schedule changes it with time.
    weight_decay : float
        Pull of the weights (not of the biases) towards zero.
    clip_norm : float, optional
        Scale the whole gradient down to this Euclidean length where it is longer (Pascanu et al. 2013).
    clip_value : float, optional
        Cut each value of the gradient to the interval from minus to plus this; before `clip_norm`.

    Attributes
    ----------
    name : str
        What files call it.
    states : tuple of str
        Names of the state vectors it keeps, each as long as the parameter vector.
    """

    name: ClassVar[str] = ""
    states: tuple[str, ...] = ()

    def __init__(
        self,
        learning_rate: float | Schedule,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        **numbers: float,
    ) -> None:
        self.learning_rate = learning_rate
        self._numbers: dict[str, float] = {
            "weight_decay": _number("weight_decay", weight_decay, 0.0, math.inf),
            **numbers,
        }
        self.clip_norm = (
            None if clip_norm is None else _number("clip_norm", clip_norm, 0, math.inf, open_low=True)
        )
        self.clip_value = (
            None if clip_value is None else _number("clip_value", clip_value, 0, math.inf, open_low=True)
        )

    @property
    def learning_rate(self) -> Schedule:
        """Size of a step as a function of time; may be set, also to a number, while training goes on."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: float | Schedule) -> None:
        self._learning_rate = schedules.get(learning_rate)

    def __getattr__(self, name: str) -> float:
        numbers: dict[str, float] = self.__dict__.get("_numbers", {})
        if name in numbers:
            return numbers[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name: str, value: object) -> None:
        if name in self.__dict__.get("_numbers", {}) or (name in self.__dict__ and name.startswith("clip_")):
            raise AttributeError(
                f"{name} cannot change, only the learning_rate of an optimizer can; "
                f"make a new {type(self).__name__}"
            )
        super().__setattr__(name, value)

    def hyper(self) -> dict[str, float]:
        """Return the numbers of the update by name; a clip of 0 means none."""
        return {**self._numbers, "clip_norm": self.clip_norm or 0.0, "clip_value": self.clip_value or 0.0}

    def config(self) -> dict[str, Any]:
        """Return a JSON-able description from which `from_config` makes an equal optimizer."""
        return {
            "name": self.name,
            "learning_rate": self.learning_rate.config(),
            "clip_norm": self.clip_norm,
            "clip_value": self.clip_value,
            **self._numbers,
        }

    def __repr__(self) -> str:
        shown = [f"{self.learning_rate!r}", *(f"{k}={v:g}" for k, v in self._numbers.items() if v)]
        shown += [f"{k}={v:g}" for k in ("clip_norm", "clip_value") if (v := getattr(self, k)) is not None]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Optimizer) and self.config() == other.config()

    __hash__ = None  # type: ignore[assignment]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if wanted.

    ``g += weight_decay * w; v = momentum * v + g; w -= learning_rate * v``; with `nesterov`,
    ``w -= learning_rate * (g + momentum * v)`` (Sutskever et al. 2013).

    Parameters
    ----------
    learning_rate : float or Schedule
        Size of a step.
    momentum : float
        Share of the last step that is kept, in [0, 1).
    nesterov : bool
        Look ahead; needs momentum.
    weight_decay, clip_norm, clip_value
        See `Optimizer`.
    """

    name = "sgd"

    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        momentum = _number("momentum", momentum, 0.0, 1.0)
        if nesterov and momentum == 0.0:
            raise ValueError("nesterov=True needs a momentum above 0, got momentum=0")
        super().__init__(
            learning_rate,
            weight_decay,
            clip_norm,
            clip_value,
            momentum=momentum,
            nesterov=float(bool(nesterov)),
        )
        self.states = ("velocity",) if momentum else ()


class AdaGrad(Optimizer):
    """Steps that shrink with the sum of squared gradients (Duchi, Hazan and Singer 2011).

    ``s += g^2; w -= learning_rate * g / (sqrt(s) + epsilon)``.

    Parameters
    ----------
    learning_rate : float or Schedule
        Size of a step.
    epsilon : float
        Keeps the quotient finite.
    weight_decay, clip_norm, clip_value
        See `Optimizer`.
    """

    name = "adagrad"
    states = ("square_sum",)

    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        epsilon: float = 1e-10,
        weight_decay: float = 0.0,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        epsilon = _number("epsilon", epsilon, 0.0, math.inf, open_low=True)
        super().__init__(learning_rate, weight_decay, clip_norm, clip_value, epsilon=epsilon)


class RMSprop(Optimizer):
    """Steps divided by a running root mean square of the gradient (Tieleman and Hinton 2012).

    ``s = rho * s + (1 - rho) * g^2; w -= learning_rate * g / (sqrt(s) + epsilon)``.

    Parameters
    ----------
    learning_rate : float or Schedule
        Size of a step.
    rho : float
        Share of the running mean that is kept, in [0, 1).
    epsilon : float
        Keeps the quotient finite.
    weight_decay, clip_norm, clip_value
        See `Optimizer`.
    """

    name = "rmsprop"
    states = ("square_mean",)

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        rho: float = 0.9,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        rho = _number("rho", rho, 0.0, 1.0)
        epsilon = _number("epsilon", epsilon, 0.0, math.inf, open_low=True)
        super().__init__(learning_rate, weight_decay, clip_norm, clip_value, rho=rho, epsilon=epsilon)


class Adam(Optimizer):
    """Adaptive moments (Kingma and Ba 2015).

    ``m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2``, both corrected for their start at
    zero, ``w -= learning_rate * m_hat / (sqrt(v_hat) + epsilon)``. Weight decay is added to g.

    Parameters
    ----------
    learning_rate : float or Schedule
        Size of a step.
    beta1, beta2 : float
        Share of the running means that is kept, in [0, 1).
    epsilon : float
        Keeps the quotient finite.
    weight_decay, clip_norm, clip_value
        See `Optimizer`.
    """

    name = "adam"
    states = ("mean", "square_mean")

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        beta1 = _number("beta1", beta1, 0.0, 1.0)
        beta2 = _number("beta2", beta2, 0.0, 1.0)
        epsilon = _number("epsilon", epsilon, 0.0, math.inf, open_low=True)
        super().__init__(
            learning_rate, weight_decay, clip_norm, clip_value, beta1=beta1, beta2=beta2, epsilon=epsilon
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019).

    As `Adam`, but the decay acts on the weights themselves: ``w -= learning_rate * weight_decay * w``
    before the step.
    """

    name = "adamw"

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(
            learning_rate, beta1, beta2, epsilon, weight_decay, clip_norm=clip_norm, clip_value=clip_value
        )


class Rprop(Optimizer):
    """Resilient propagation: only the sign of the gradient counts (Riedmiller and Braun 1993).

    Each parameter has a step of its own, which grows by `eta_plus` while the gradient keeps its sign;
    where it changes, the step shrinks by `eta_minus` and this update is left out (iRprop-, Igel and
    Hüsken 2003). For full batches.

    Parameters
    ----------
    learning_rate : float or Schedule
        Every parameter's first step; a schedule is read at the first update only.
    eta_minus, eta_plus : float
        Factors, in (0, 1) and above 1.
    step_min, step_max : float
        Bounds of a step.
    weight_decay, clip_norm, clip_value
        See `Optimizer`.
    """

    name = "rprop"
    states = ("last_gradient", "step_size")

    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        eta_minus: float = 0.5,
        eta_plus: float = 1.2,
        step_min: float = 1e-6,
        step_max: float = 50.0,
        weight_decay: float = 0.0,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> None:
        super().__init__(
            learning_rate,
            weight_decay,
            clip_norm,
            clip_value,
            eta_minus=_number("eta_minus", eta_minus, 0.0, 1.0, open_low=True),
            eta_plus=_number("eta_plus", eta_plus, 1.0, math.inf, open_low=True),
            step_min=_number("step_min", step_min, 0.0, math.inf, open_low=True),
            step_max=_number("step_max", step_max, step_min, math.inf),
        )


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    cls.name: cls for cls in (SGD, AdaGrad, RMSprop, Adam, AdamW, Rprop)
}
"""Every optimizer by the name that files and `get` know it by."""


def get(optimizer: object) -> Optimizer:
    """Return an optimizer from an instance or from a name, then with its default numbers.

    Raises
    ------
    TypeError
        `optimizer` is neither an `Optimizer` nor a string.
    ValueError
        There is no optimizer of this name; the message lists those there are.
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, str):
        if optimizer.lower() not in OPTIMIZERS:
            raise ValueError(unknown("optimizer", optimizer, OPTIMIZERS))
        return OPTIMIZERS[optimizer.lower()]()
    raise TypeError(f"optimizer must be an optimizer such as fn.Adam(1e-3), not {type(optimizer).__name__}")


def from_config(config: dict[str, Any]) -> Optimizer:
    """Make the optimizer that `Optimizer.config` described.

    Raises
    ------
    ValueError
        The description names no known optimizer, or its numbers are out of range.
    """
    numbers = dict(config)
    name = numbers.pop("name", None)
    if name not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer {name!r}; known: {', '.join(OPTIMIZERS)}")
    numbers["learning_rate"] = schedules.from_config(numbers["learning_rate"])
    if "nesterov" in numbers:
        numbers["nesterov"] = bool(numbers["nesterov"])
    try:
        return OPTIMIZERS[name](**numbers)
    except TypeError as error:
        raise ValueError(f"optimizer {name!r}: {error}") from None
