"""The perceptron: one unit that answers 0 or 1, and the first rule by which a machine learned."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnet.arrays import as_count, as_generator, as_number, as_numbers, require_finite

__all__ = ["Perceptron"]


class Perceptron:
    """One threshold unit: output 1 where ``inputs . weights + bias > 0``, else 0.

    A total input of exactly 0 gives 0. Everything is float64 and plain NumPy.

    Parameters
    ----------
    weights : array_like (I,), optional
        One weight for each input. Without it, small random weights (evenly from -0.05 to 0.05), as soon as
        the number of inputs is known.
    bias : float, optional
        Minus the threshold. Without it, 0 where `weights` are given, and otherwise random as they are.
    inputs : int, optional
        The number of inputs. Without it, that of `weights`, or else of the first `fit`.
    seed : int, optional
        Seed of the random weights and of the order of rows in `fit`. Without it, each run differs.

    Attributes
    ----------
    weights : ndarray of float64 (I,) or None
        None until the number of inputs is known.
    bias : float

    Raises
    ------
    ValueError
        A value is not finite, or `weights` and `inputs` disagree.
    TypeError
        An argument is not a number.

    Examples
    --------
    >>> from fastnet import Perceptron
    >>> perceptron = Perceptron(weights=[0.5, -1.0, 1.5], bias=-1.5)
    >>> perceptron.total_input([8, 5, 2]), perceptron.predict([8, 5, 2])
    (0.5, 1)
    """

    def __init__(
        self,
        weights: ArrayLike | None = None,
        bias: float | None = None,
        *,
        inputs: int | None = None,
        seed: int | None = None,
    ) -> None:
        self._random = as_generator(seed)
        self._given_bias = None if bias is None else as_number("bias", bias)
        self.weights: NDArray[np.float64] | None = None
        self.bias = 0.0 if self._given_bias is None else self._given_bias
        if weights is not None:
            self.weights = _vector("weights", weights).astype(np.float64)
        if inputs is not None:
            as_count("inputs", inputs)
            if self.weights is None:
                self.weights, self.bias = self._first_values(inputs, self._random)
            elif len(self.weights) != inputs:
                raise ValueError(f"weights has {len(self.weights)} values; inputs is {inputs}")

    def total_input(self, x: ArrayLike) -> float | NDArray[np.float64]:
        """Return ``x . weights + bias``: a float for one sample (I,), an array (N,) for rows (N, I).

        Raises
        ------
        ValueError
            `x` has another number of features, or is not finite; or there are no weights yet.
        TypeError
            `x` does not hold numbers.
        """
        if self.weights is None:
            raise ValueError("the perceptron has no weights yet: give weights or inputs, or call fit first")
        rows = _samples(x, len(self.weights))
        total = rows @ self.weights + self.bias
        return total if rows.ndim == 2 else float(total)

    def predict(self, x: ArrayLike) -> int | NDArray[np.int64]:
        """Return 1 where the total input is above 0, else 0: an int for a sample (I,), (N,) for rows (N, I).

        Raises
        ------
        ValueError, TypeError
            As `total_input`.
        """
        above = np.greater(self.total_input(x), 0.0)
        return above.astype(np.int64) if above.ndim else int(above)

    __call__ = predict

    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike,
        *,
        epochs: int = 100,
        learning_rate: float = 1.0,
        shuffle: bool = False,
        seed: int | None = None,
    ) -> dict[str, list[int]]:
        """Learn from examples, one at a time, until an epoch has no mistakes.

        The perceptron learning rule: after each row, ``weights += learning_rate * (target - output) * x`` and
        ``bias += learning_rate * (target - output)``. If a plane separates the classes, it is found after a
        finite number of mistakes, in whatever order the rows come; if none does, the rule goes on for ever.
        F. Rosenblatt, "The Perceptron: A Probabilistic Model for Information Storage and Organization in the
        Brain", 1958; A. Novikoff, "On Convergence Proofs on Perceptrons", 1962.

        Parameters
        ----------
        x : array_like (N, I)
            One sample a row.
        y : array_like (N,)
            Targets, 0 or 1.
        epochs : int, default 100
            Most passes over the rows.
        learning_rate : float, default 1.0
            Positive. It sets the scale of the weights against their first values, and nothing else.
        shuffle : bool, default False
            Visit the rows in a new random order in each epoch, instead of in theirs.
        seed : int, optional
            Seed of that order, and of weights that are not there yet. Without it, the perceptron's own
            generator goes on.

        Returns
        -------
        dict
            ``{"mistakes": [...]}``: how many rows of each epoch were answered wrongly when they came. It ends
            with 0 where the perceptron has learned all of them.

        Raises
        ------
        ValueError
            A shape, a target or a number is wrong, or the weights overflow; the perceptron is then as before.
        TypeError
            An argument is not a number.
        """
        rows = _samples(x, None if self.weights is None else len(self.weights), at_least=1)
        targets = _targets(y, len(rows))
        epochs = as_count("epochs", epochs)
        learning_rate = as_number("learning_rate", learning_rate)
        if learning_rate <= 0.0:
            raise ValueError(f"learning_rate is {learning_rate:g}; wanted a positive number")
        random = self._random if seed is None else as_generator(seed)
        if self.weights is None:
            weights, bias = self._first_values(rows.shape[1], random)
        else:
            weights, bias = self.weights.copy(), self.bias
        mistakes: list[int] = []
        while len(mistakes) < epochs and (not mistakes or mistakes[-1]):
            order = random.permutation(len(rows)) if shuffle else np.arange(len(rows))
            wrong, bias = _epoch(rows, targets, order, learning_rate, weights, bias)
            mistakes.append(wrong)
            if not (math.isfinite(bias) and np.isfinite(weights).all()):
                raise ValueError(f"learning_rate is {learning_rate:g}; the weights overflow with it")
        self.weights, self.bias = weights, bias
        return {"mistakes": mistakes}

    def _first_values(self, inputs: int, random: np.random.Generator) -> tuple[NDArray[np.float64], float]:
        values = random.uniform(-0.05, 0.05, inputs + 1)
        return values[:-1], float(values[-1]) if self._given_bias is None else self._given_bias

    def __repr__(self) -> str:
        if self.weights is None:
            return "Perceptron()"
        weights = np.array2string(self.weights, separator=", ", threshold=8, edgeitems=3)
        return f"Perceptron(weights={weights}, bias={self.bias:g})"


def _epoch(
    x: NDArray[np.float64],
    targets: NDArray[np.int64],
    order: NDArray[np.int64],
    learning_rate: float,
    weights: NDArray[np.float64],
    bias: float,
) -> tuple[int, float]:
    """Apply the rule to each row in turn, to `weights` in place; return the mistakes and the new bias."""
    wrong = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for row in order:
            error = int(targets[row]) - int(x[row] @ weights + bias > 0.0)
            if error:
                weights += learning_rate * error * x[row]
                bias += learning_rate * error
                wrong += 1
    return wrong, bias


def _vector(name: str, values: ArrayLike) -> NDArray[np.float64]:
    array = as_numbers(name, values)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}; wanted one number for each input")
    require_finite(name, array)
    return array.astype(np.float64)


def _samples(x: ArrayLike, inputs: int | None, at_least: int = 0) -> NDArray[np.float64]:
    """Return one sample (I,) or rows (N, I); rows only where `at_least` asks for some."""
    array = as_numbers("x", x)
    if array.ndim != 2 and (array.ndim != 1 or at_least):
        wanted = "(N, I)" if at_least else "(N, I) or (I,)"
        raise ValueError(f"x has shape {array.shape}; wanted {wanted}")
    if len(array) < at_least or array.shape[-1] == 0:
        raise ValueError(f"x is empty: its shape is {array.shape}")
    if inputs is not None and array.shape[-1] != inputs:
        raise ValueError(f"x has {array.shape[-1]} features; the perceptron has {inputs} inputs")
    require_finite("x", array)
    return array.astype(np.float64)


def _targets(y: ArrayLike, rows: int) -> NDArray[np.int64]:
    array = as_numbers("y", y)
    if array.shape not in ((rows,), (rows, 1)):
        raise ValueError(f"y has shape {array.shape}; x has {rows} rows, so ({rows},) is wanted")
    array = array.reshape(rows)
    if not np.isin(array, (0, 1)).all():
        row = int(np.flatnonzero(~np.isin(array, (0, 1)))[0])
        raise ValueError(f"y[{row}] is {array[row]}; wanted 0 or 1")
    return array.astype(np.int64)
