"""How good predictions are: a table of functions of outputs and targets, and the confusion matrix.

Each metric is a function ``(output, target, sample_weight=None) -> float``. Outputs are what
`Network.predict` returns, (N, O) or (N,); targets are labels (N,) or rows (N, O), as in training.

Where classes are meant, outputs and targets are read like this:

* labels (N,) for two or more outputs, or rows (N, O) that sum to 1: the class is the place of the largest
  output (and target);
* otherwise each output is a decision of its own, above 0.5 or not, and so is each target in 0 .. 1;
* targets of -1 and 1, as the perceptron loss has them: the decision is the sign; an output of 0 is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnet.arrays import as_count, as_floats, as_labels, as_numbers, require_finite

__all__ = [
    "METRICS",
    "Metric",
    "accuracy",
    "balanced_accuracy",
    "confusion_matrix",
    "f1",
    "get",
    "mean_absolute_error",
    "mean_squared_error",
    "precision",
    "r2",
    "recall",
    "top_k_accuracy",
]

Metric: TypeAlias = Callable[..., float]

_Floats: TypeAlias = NDArray[np.float64]


def accuracy(output: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Return the part of the decisions that are right.

    One decision for each row where rows are classes, one for each element otherwise.

    Parameters
    ----------
    output : array_like, (N, O) or (N,)
    target : array_like, (N,) or (N, O)
    sample_weight : array_like, (N,), optional

    Raises
    ------
    TypeError
        If an argument does not hold numbers.
    ValueError
        If shapes do not fit, numbers are not finite, or targets are neither labels, nor in 0 .. 1, nor
        -1 and 1.
    """
    predicted, true = _decisions(output, target)
    right = (predicted == true).reshape(len(true), -1).mean(axis=1)
    return float(np.average(right, weights=_weights(sample_weight, len(true))))


def top_k_accuracy(
    output: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None, *, k: int = 5
) -> float:
    """Return the part of the rows whose class is among those with the `k` largest outputs.

    Of equal outputs the one that stands first counts as larger.

    Parameters
    ----------
    output : array_like, (N, O)
        O must be larger than `k`.
    target : array_like, (N,) labels or (N, O) rows that sum to 1
    sample_weight : array_like, (N,), optional
    k : int, default 5

    Raises
    ------
    TypeError
        If an argument does not hold numbers.
    ValueError
        If shapes do not fit, numbers are not finite, a label is out of range or `k` is not below O.
    """
    rows = _outputs(output)
    k = as_count("k", k)
    if k >= rows.shape[1]:
        raise ValueError(f"k is {k} and output has {rows.shape[1]} columns; wanted more columns than k")
    true = _rows_as_labels(rows, _targets(target, rows))
    if true is None:
        raise ValueError(
            "target holds several decisions a row; top_k_accuracy wants labels or rows that sum to 1"
        )
    own = rows[np.arange(len(rows)), true][:, np.newaxis]
    before = np.arange(rows.shape[1]) < true[:, np.newaxis]
    rank = ((rows > own) | ((rows == own) & before)).sum(axis=1)
    return float(np.average(rank < k, weights=_weights(sample_weight, len(rows))))


def precision(output: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Return the mean over classes of: of the rows taken for the class, the part that is of it.

    The classes are those that occur in targets or predictions; a class never predicted counts 0. Where
    an output has several columns that are decisions of their own, the mean is over the columns.
    Parameters and errors are those of `accuracy`.
    """
    right, predicted, _ = _class_counts(output, target, sample_weight)
    return float(_ratio(right, predicted).mean())


def recall(output: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Return the mean over classes of: of the rows of the class, the part that is taken for it.

    The classes are those that occur in targets or predictions; a class that no row is of counts 0. Where
    an output has several columns that are decisions of their own, the mean is over the columns.
    Parameters and errors are those of `accuracy`.
    """
    right, _, true = _class_counts(output, target, sample_weight)
    return float(_ratio(right, true).mean())


def f1(output: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Return the mean over classes of the harmonic mean of precision and recall.

    Classes are as for `precision`; parameters and errors are those of `accuracy`.
    """
    right, predicted, true = _class_counts(output, target, sample_weight)
    return float(_ratio(2.0 * right, predicted + true).mean())


def balanced_accuracy(output: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Return the mean of `recall` over the classes that targets have, so that rare ones count as much.

    Parameters and errors are those of `accuracy`.
    """
    right, _, true = _class_counts(output, target, sample_weight)
    there = true > 0
    return float(_ratio(right[there], true[there]).mean())


def mean_squared_error(output: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Return the mean of ``(output - target)**2`` over rows and columns.

    Parameters
    ----------
    output, target : array_like, (N, O) or (N,)
    sample_weight : array_like, (N,), optional

    Raises
    ------
    TypeError
        If an argument does not hold numbers.
    ValueError
        If shapes do not fit or numbers are not finite.
    """
    rows, wanted = _numbers(output, target)
    return float(
        np.average(np.square(rows - wanted).mean(axis=1), weights=_weights(sample_weight, len(rows)))
    )


def mean_absolute_error(
    output: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None
) -> float:
    """Return the mean of ``abs(output - target)`` over rows and columns, as `mean_squared_error` does."""
    rows, wanted = _numbers(output, target)
    return float(np.average(np.abs(rows - wanted).mean(axis=1), weights=_weights(sample_weight, len(rows))))


def r2(output: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
    """Return the coefficient of determination, the mean over columns of ``1 - residual / total``.

    `residual` is the sum of squared differences between output and target, `total` that between the
    target and its mean: 1 is perfect, 0 as good as the mean. A column of equal targets counts 1 if it is
    met exactly, else 0. Parameters and errors are those of `mean_squared_error`.
    """
    rows, wanted = _numbers(output, target)
    weights = _weights(sample_weight, len(rows))
    residual = np.average(np.square(rows - wanted), axis=0, weights=weights)
    # Around the first row, the total of equal targets is exactly 0.
    centered = wanted - wanted[0]
    centered -= np.average(centered, axis=0, weights=weights)
    total = np.average(np.square(centered), axis=0, weights=weights)
    scores = np.where(residual == 0.0, 1.0, 0.0)
    varied = total > 0.0
    scores[varied] = 1.0 - residual[varied] / total[varied]
    return float(scores.mean())


METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "f1": f1,
    "mean_absolute_error": mean_absolute_error,
    "mean_squared_error": mean_squared_error,
    "precision": precision,
    "r2": r2,
    "recall": recall,
    "top_k_accuracy": top_k_accuracy,
}
"""Every metric by its name."""


def get(metric: str | Metric) -> Metric:
    """Return the metric of this name; a function ``(output, target, sample_weight=None)`` is one itself.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If no metric has this name; the message lists those there are.
    """
    if callable(metric):
        return metric
    if not isinstance(metric, str):
        raise TypeError(f"metric is {metric!r}; wanted a name or a function")
    if metric not in METRICS:
        raise ValueError(f"metric is {metric!r}; known are {', '.join(METRICS)}")
    return METRICS[metric]


def confusion_matrix(
    target: ArrayLike, predicted: ArrayLike, classes: int | None = None
) -> NDArray[np.int64]:
    """Return how many rows of each class were taken for each class.

    Parameters
    ----------
    target, predicted : array_like, (N,)
        Labels from 0. The labels of probabilities are ``probabilities.argmax(axis=1)``.
    classes : int, optional
        The number of classes K. By default the largest label plus 1.

    Returns
    -------
    ndarray of int64, (K, K)
        Row: the true class; column: the predicted one.

    Raises
    ------
    TypeError
        If the labels are not numbers.
    ValueError
        If they are not whole numbers in 0 .. K - 1 or their numbers differ, or `classes` is not given and
        there is no label.

    Examples
    --------
    >>> confusion_matrix([0, 1, 1], [0, 0, 1])
    array([[1, 0],
           [1, 1]])
    """
    if classes is not None:
        classes = as_count("classes", classes)
    true, taken = as_labels("target", target, classes), as_labels("predicted", predicted, classes)
    if len(true) != len(taken):
        raise ValueError(f"target has {len(true)} labels and predicted {len(taken)}; wanted as many of each")
    if classes is None:
        if len(true) == 0:
            raise ValueError("target is empty; wanted at least one label, or the number of classes")
        classes = int(max(true.max(), taken.max())) + 1
    counts = np.bincount(true * classes + taken, minlength=classes * classes)
    return counts.astype(np.int64).reshape(classes, classes)


def _decisions(output: ArrayLike, target: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return predicted and true decisions: labels (N,) both, or bool (N, O) both."""
    rows = _outputs(output)
    wanted = _targets(target, rows)
    labels = _rows_as_labels(rows, wanted)
    if labels is not None:
        return rows.argmax(axis=1), labels
    wanted = wanted.reshape(rows.shape)
    if (wanted >= 0.0).all() and (wanted <= 1.0).all():
        return rows > 0.5, wanted > 0.5
    if (np.abs(wanted) == 1.0).all():
        positive = wanted > 0.0
        return np.where(rows == 0.0, ~positive, rows > 0.0), positive
    raise ValueError(
        f"target holds numbers from {wanted.min():g} to {wanted.max():g}; "
        "wanted labels, or numbers in 0 .. 1, or -1 and 1"
    )


def _rows_as_labels(rows: _Floats, target: NDArray[Any]) -> NDArray[np.int64] | None:
    """Return the true class of each row, or None where each element is a decision of its own."""
    if rows.shape[1] == 1:
        return None
    if target.ndim == 1:
        return as_labels("target", target, rows.shape[1])
    if (target >= 0.0).all() and np.allclose(target.sum(axis=1), 1.0, rtol=0.0, atol=1e-3):
        labels: NDArray[np.int64] = target.argmax(axis=1).astype(np.int64)
        return labels
    return None


def _class_counts(
    output: ArrayLike, target: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[_Floats, _Floats, _Floats]:
    """Return for each class the weight of rows rightly taken for it, of all taken for it and of all of it."""
    predicted, true = _decisions(output, target)
    weights = _weights(sample_weight, len(true))
    if true.ndim == 2 and true.shape[1] > 1:
        return weights @ (predicted & true), weights @ predicted, weights @ true
    classes, both = np.unique(np.concatenate([predicted, true]), return_inverse=True)
    taken, own = both.reshape(2, -1)

    def weigh(labels: NDArray[np.intp], counted: _Floats) -> _Floats:
        return np.bincount(labels, weights=counted, minlength=len(classes)).astype(np.float64)

    return weigh(own, weights * (taken == own)), weigh(taken, weights), weigh(own, weights)


def _ratio(part: _Floats, whole: _Floats) -> _Floats:
    """Return ``part / whole``, and 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0.0)


def _numbers(output: ArrayLike, target: ArrayLike) -> tuple[_Floats, _Floats]:
    """Return outputs and targets as (N, O) of float64."""
    rows = _outputs(output)
    wanted = _targets(target, rows)
    if wanted.ndim == 1 and rows.shape[1] > 1:
        raise ValueError(
            f"target has shape {wanted.shape} and output {rows.shape}; wanted a number for each output "
            "(fastnet.one_hot makes rows of labels)"
        )
    return rows, wanted.reshape(rows.shape).astype(np.float64)


def _outputs(output: ArrayLike) -> _Floats:
    """Return outputs as finite (N, O) of float64."""
    rows = as_floats("output", output).astype(np.float64)
    if rows.ndim > 2 or rows.size == 0:
        raise ValueError(f"output has shape {rows.shape}; wanted (N, O) or (N,), and not empty")
    return rows[:, np.newaxis] if rows.ndim == 1 else rows


def _targets(target: ArrayLike, rows: _Floats) -> NDArray[Any]:
    """Return targets as finite (N,) or (N, O), checked against outputs (N, O)."""
    wanted = as_numbers("target", target)
    if wanted.shape not in {rows.shape, rows.shape[:1]}:
        raise ValueError(
            f"target has shape {wanted.shape}; wanted {rows.shape[:1]} or {rows.shape} as output"
        )
    require_finite("target", wanted)
    return wanted


def _weights(sample_weight: ArrayLike | None, rows: int) -> _Floats:
    """Return the weights of the rows, (N,) of float64; 1 for each without."""
    if sample_weight is None:
        return np.ones(rows)
    weights = as_floats("sample_weight", sample_weight).astype(np.float64)
    if weights.shape != (rows,):
        raise ValueError(f"sample_weight has shape {weights.shape}; wanted ({rows},)")
    if weights.min() < 0.0 or weights.sum() == 0.0:
        raise ValueError(
            "sample_weight holds a negative number or only zeros; wanted weights with a positive sum"
        )
    return weights
