"""What y means: what it is to the executors, and what a network's outputs are to the user."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

from fastnet.checks import Array
from fastnet.losses import LOSSES, Loss
from fastnet.sklearn.parameters import Objective, as_it_is, regression

__all__ = ["GroupedCrossEntropy", "Labels", "Targets", "Values"]


class Targets(ABC):
    """The kind of targets that an estimator was trained on.

    Attributes
    ----------
    outputs : int
        Of the network.
    stratifies : bool
        Whether data that is held out has the same parts of each target.
    """

    outputs: int
    stratifies = False

    @abstractmethod
    def encode(self, y: Any) -> Array:
        """Return y as numbers, (N,) or (N, K); raises `ValueError` where it is of another kind."""

    @abstractmethod
    def for_loss(self, encoded: Array, loss: Any, dtype: np.dtype[Any]) -> Array:
        """Return what a loss wants in place of encoded targets: labels (N,), or rows (N, O) of a dtype."""

    @abstractmethod
    def objective(self, estimator: Any) -> Objective:
        """Return what an estimator makes small."""

    @abstractmethod
    def score(self, output: Array, encoded: Array, weight: Array | None) -> float:
        """Return the score of outputs (N, O), as ``estimator.score`` does."""

    @abstractmethod
    def decode(self, output: Array) -> Any:
        """Return predictions for outputs (N, O)."""

    def weights(self, estimator: Any, encoded: Array, weight: Array | None) -> Array | None:
        """Return the weights of the samples, with what the estimator adds."""
        return weight


class Values(Targets):
    """Numbers, for a regressor.

    Parameters
    ----------
    y : ndarray (N,) or (N, K)
        The first ones seen.
    """

    def __init__(self, y: Array) -> None:
        self.outputs = 1 if y.ndim == 1 else y.shape[1]

    def encode(self, y: Any) -> Array:
        """Return y as it is."""
        y = _array(y)
        if y.dtype.kind not in "biuf":
            raise ValueError(f"y is an array of {y.dtype}; wanted numbers")
        if (1 if y.ndim == 1 else y.shape[1]) != self.outputs:
            raise ValueError(f"y has shape {y.shape}; the network has {self.outputs} outputs")
        return np.asarray(y)

    def for_loss(self, encoded: Array, loss: Any, dtype: np.dtype[Any]) -> Array:
        """Return rows (N, O)."""
        return np.ascontiguousarray(encoded.reshape(len(encoded), self.outputs), dtype)

    def objective(self, estimator: Any) -> Objective:
        """Return what an estimator makes small."""
        return regression(estimator.loss, self.outputs, estimator.delta, estimator.quantile)

    def score(self, output: Array, encoded: Array, weight: Array | None) -> float:
        """Return R2, the mean over outputs."""
        y = encoded.reshape(output.shape).astype(np.float64)
        shares = (np.ones(len(y)) if weight is None else weight)[:, None].astype(np.float64)
        mean = (shares * y).sum(axis=0) / shares.sum()
        error, spread = (shares * (y - output) ** 2).sum(axis=0), (shares * (y - mean) ** 2).sum(axis=0)
        # Where all targets are equal: 1 if they were met, else 0.
        scores = np.where(spread > 0, 1 - error / np.where(spread > 0, spread, 1), error == 0)
        return float(scores.mean())

    def decode(self, output: Array) -> Array:
        """Return predictions: (N,), or (N, K) of several outputs."""
        return output[:, 0] if self.outputs == 1 else output


class Labels(Targets):
    """Classes, for a classifier.

    Parameters
    ----------
    y : ndarray (N,) or (N, K), or sparse matrix (N, K)
        Labels; (N, K) are either zeros and ones, several labels at once, or K labels of a sample.
    classes : array-like or list of array-like, optional
        All classes there are, where they need not be in y.

    Attributes
    ----------
    kind : str
        ``"binary"``, ``"multiclass"``, ``"multilabel"`` or ``"multioutput"``.
    classes : ndarray or list of ndarray
        As in scikit-learn's ``classes_``.
    """

    def __init__(self, y: Any, classes: Any = None) -> None:
        check_classification_targets(y)
        found = type_of_target(y, input_name="y")
        self.sparse = not isinstance(y, np.ndarray)
        self.classes: Any
        if found == "multilabel-indicator":
            self.kind, self.classes = "multilabel", np.arange(y.shape[1])
        elif y.ndim == 2:
            if classes is not None and len(classes) != y.shape[1]:
                raise ValueError(f"classes has {len(classes)} entries; y has {y.shape[1]} columns")
            self.kind = "multioutput"
            self.classes = [np.unique(one) for one in (_array(y).T if classes is None else classes)]
        else:
            self.classes = unique_labels(y if classes is None else classes)
            self.kind = "binary" if len(self.classes) <= 2 else "multiclass"
        self.outputs = {"binary": 1, "multioutput": sum(map(np.size, self.classes))}.get(
            self.kind, len(self.classes)
        )
        self.stratifies = self.kind == "binary"

    def encode(self, y: Any) -> Array:
        """Return labels as whole numbers: (N,), or (N, K) as zeros and ones or one label for each column."""
        if self.kind == "multilabel":
            dense = np.asarray(y.toarray() if hasattr(y, "toarray") else y)
            if dense.shape[1:] != self.classes.shape or not ((dense == 0) | (dense == 1)).all():
                raise ValueError(f"y has shape {dense.shape}; wanted zeros and ones, (N, {self.outputs})")
            return dense.astype(np.int64)
        y = _array(y)
        if self.kind == "multioutput":
            if y.shape[1:] != (len(self.classes),):
                raise ValueError(f"y has shape {y.shape}; wanted (N, {len(self.classes)})")
            places = [_places(column, one) for column, one in zip(y.T, self.classes, strict=True)]
            return np.column_stack(places)
        if y.ndim != 1:
            raise ValueError(f"y has shape {y.shape}; wanted labels (N,), as in the first call")
        return _places(y, self.classes)

    def all_in(self, encoded: Array) -> bool:
        """Whether all classes are among encoded labels."""
        if self.kind == "multilabel":
            return True
        columns = encoded.T if self.kind == "multioutput" else [encoded]
        groups = self.classes if self.kind == "multioutput" else [self.classes]
        return all(len(np.unique(column)) == len(one) for column, one in zip(columns, groups, strict=True))

    def knows(self, classes: Any) -> bool:
        """Whether these are the classes."""
        if self.kind != "multioutput":
            return np.array_equal(self.classes, unique_labels(classes))
        return len(classes) == len(self.classes) and all(
            map(np.array_equal, self.classes, map(np.unique, classes))
        )

    def for_loss(self, encoded: Array, loss: Any, dtype: np.dtype[Any]) -> Array:
        """Return labels for a loss that takes them, else rows of zeros and ones."""
        if self.kind != "multiclass":
            return np.ascontiguousarray(encoded.reshape(len(encoded), -1), dtype)
        if isinstance(loss, Loss) and loss.labels:
            return encoded
        rows = np.zeros((len(encoded), self.outputs), dtype)
        rows[np.arange(len(encoded)), encoded] = 1
        return rows

    def objective(self, estimator: Any) -> Objective:
        """Return what an estimator makes small."""
        loss = estimator.loss
        activation = "softmax" if self.kind == "multiclass" else "sigmoid"
        plain = isinstance(loss, str) and loss == "log_loss"
        if self.kind == "multioutput":
            if not plain:
                raise ValueError(
                    f"loss is {loss!r}; for several outputs of several classes wanted 'log_loss'"
                )
            return Objective(GroupedCrossEntropy([len(one) for one in self.classes]), "identity")
        if plain and self.kind == "multiclass":
            return Objective(LOSSES["cross_entropy"], activation)
        if plain:
            return Objective(LOSSES["binary_cross_entropy"]._replace(scale=float(self.outputs)), activation)
        found, _ = as_it_is(loss, ["log_loss"])
        if isinstance(found, Loss) and (activation not in found.outputs or found.targets == "sign"):
            raise ValueError(
                f"loss is {found.name!r}; it does not fit {activation!r} outputs: take 'log_loss'"
            )
        return Objective(found, activation)

    def score(self, output: Array, encoded: Array, weight: Array | None) -> float:
        """Return the accuracy; of several labels at once, all must be right."""
        if self.kind == "multiclass":
            right = output.argmax(axis=1) == encoded
        elif self.kind == "multioutput":
            right = (self._highest(output) == encoded).all(axis=1)
        else:
            right = ((output > 0.5) == (encoded.reshape(output.shape) > 0)).all(axis=1)
        return float(np.average(right, weights=weight))

    def weights(self, estimator: Any, encoded: Array, weight: Array | None) -> Array | None:
        """Return the weights of the samples times those of their classes."""
        asked = estimator.class_weight
        if asked is None:
            return weight
        by_class = self._class_weights(asked, encoded, weight)
        if not (np.isfinite(by_class).all() and (by_class >= 0).all()):
            raise ValueError(f"class_weight is {asked!r}; wanted finite weights of at least 0")
        both: Array = by_class if weight is None else by_class * weight
        if not both.any():
            raise ValueError("class_weight leaves every sample the weight 0; at least one must count")
        return both

    def _class_weights(self, asked: Any, encoded: Array, weight: Array | None) -> Array:
        """Return the weight of each sample by its classes."""
        listed = isinstance(asked, list) and encoded.ndim == 2
        if not (isinstance(asked, dict) or listed or (isinstance(asked, str) and asked == "balanced")):
            wanted = "a dict {label: weight}" if encoded.ndim == 1 else "a list, a dict for each column of y"
            raise ValueError(f"class_weight is {asked!r}; wanted 'balanced' or {wanted}")
        if encoded.ndim == 1:
            if asked == "balanced":  # all classes that are there count the same
                sums = np.bincount(encoded, weight, len(self.classes))
                shares: Array = sums.sum() / (np.count_nonzero(sums) * np.where(sums > 0, sums, 1))
            else:
                shares = compute_class_weight(asked, classes=self.classes, y=self.classes[encoded])
            return shares[encoded]
        columns = encoded
        if self.kind == "multioutput":
            pairs = zip(self.classes, encoded.T, strict=True)
            columns = np.column_stack([one[column] for one, column in pairs])
        found: Array = compute_sample_weight(asked, columns)
        return found

    def decode(self, output: Array) -> Any:
        """Return labels for outputs (N, O)."""
        if self.kind == "multiclass":
            return self.classes.take(output.argmax(axis=1))
        if self.kind == "binary":
            first = len(self.classes) == 1  # the only one
            return self.classes.take(np.zeros(len(output), np.intp) if first else output[:, 0] > 0.5)
        if self.kind == "multioutput":
            pairs = zip(self.classes, self._highest(output).T, strict=True)
            return np.column_stack([one.take(column) for one, column in pairs])
        found = (output > 0.5).astype(np.int64)
        if not self.sparse:
            return found
        from scipy.sparse import csr_matrix

        return csr_matrix(found)

    def probabilities(self, output: Array) -> Any:
        """Return probabilities (N, classes) for outputs (N, O); for several outputs a list, one for each."""
        if self.kind == "binary":
            if len(self.classes) == 1:
                return np.ones((len(output), 1), output.dtype)
            return np.hstack([1 - output, output])
        if self.kind == "multioutput":
            return [_softmax(part) for part in self._parts(output)]
        return output

    def _parts(self, output: Array) -> list[Array]:
        return np.split(output, np.cumsum([len(one) for one in self.classes])[:-1], axis=1)

    def _highest(self, output: Array) -> NDArray[np.intp]:
        return np.column_stack([part.argmax(axis=1) for part in self._parts(output)])


class GroupedCrossEntropy:
    """The sum of the cross entropies of groups of logits; a loss ``(output, target) -> (value, d_output)``.

    Parameters
    ----------
    sizes : list of int
        Outputs of each group. Targets are labels (N, groups), and if there is a column more, weights (N,).
    """

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes

    def __call__(self, output: Array, target: Array) -> tuple[float, Array]:
        """Return the mean over samples, and its slope."""
        weights = np.ones(len(output)) if target.shape[1] == len(self.sizes) else target[:, -1]
        shares = weights / (weights.sum() or 1)
        rows, value, start = np.arange(len(output)), 0.0, 0
        d_output = np.empty_like(output)
        for group, size in enumerate(self.sizes):
            part = slice(start, start + size)
            p, labels = _softmax(output[:, part]), target[:, group].astype(np.int64)
            value -= float(shares @ np.log(np.maximum(p[rows, labels], np.finfo(p.dtype).tiny)))
            p[rows, labels] -= 1
            d_output[:, part] = p * shares[:, None]
            start += size
        return value, d_output

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GroupedCrossEntropy) and self.sizes == other.sizes

    __hash__ = None  # type: ignore[assignment]


def _softmax(z: Array) -> Array:
    e: Array = np.exp(z - z.max(axis=1, keepdims=True))
    e /= e.sum(axis=1, keepdims=True)
    return e


def _array(y: Any) -> Array:
    """Return y, which must not be a sparse matrix."""
    if not isinstance(y, np.ndarray):
        raise TypeError(
            "y is sparse, and not the zeros and ones of several labels; wanted an array: y.toarray()"
        )
    return y


def _places(y: Array, classes: NDArray[Any]) -> NDArray[np.int64]:
    """Return the place of each label among sorted classes."""
    places = np.searchsorted(classes, y).clip(0, len(classes) - 1)
    if not (classes[places] == y).all():
        raise ValueError(
            f"`y` has classes not in `self.classes_`: {np.setdiff1d(y, classes)}; known: {classes}"
        )
    return places.astype(np.int64)
