"""Metrics, against scikit-learn and by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fastnet import metrics
from fastnet.data import one_hot

reference = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")

ROWS, CLASSES = 200, 7


def classification(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities that are right about half of the time, labels of which one class is rare, weights."""
    random = np.random.default_rng(seed)
    labels = random.choice(CLASSES, ROWS, p=[0.4, 0.2, 0.15, 0.1, 0.1, 0.04, 0.01])
    scores = random.gumbel(size=(ROWS, CLASSES)) + 2.0 * one_hot(labels, CLASSES)
    output = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return output, labels, random.uniform(0.0, 2.0, ROWS)


CLASS_METRICS: dict[str, Callable[..., float]] = {
    "accuracy": reference.accuracy_score,
    "balanced_accuracy": reference.balanced_accuracy_score,
    "precision": lambda *a, **k: reference.precision_score(*a, **k, average="macro", zero_division=0),
    "recall": lambda *a, **k: reference.recall_score(*a, **k, average="macro", zero_division=0),
    "f1": lambda *a, **k: reference.f1_score(*a, **k, average="macro", zero_division=0),
}
NUMBER_METRICS: dict[str, Callable[..., float]] = {
    "mean_squared_error": reference.mean_squared_error,
    "mean_absolute_error": reference.mean_absolute_error,
    "r2": reference.r2_score,
}


def test_every_metric_is_tested_against_a_reference() -> None:
    assert {*CLASS_METRICS, *NUMBER_METRICS, "top_k_accuracy"} == set(metrics.METRICS)
    assert all(getattr(metrics, name) is metric for name, metric in metrics.METRICS.items())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CLASS_METRICS)
class TestClasses:
    def check(
        self, name: str, output: object, target: object, predicted: object, true: object, weights: object
    ) -> None:
        wanted = CLASS_METRICS[name](true, predicted, sample_weight=weights)
        assert 0.05 < wanted < 0.95  # neither by chance
        assert metrics.get(name)(output, target, weights) == pytest.approx(wanted, rel=1e-12)

    def test_labels(self, name: str, weighted: bool) -> None:
        output, labels, weights = classification()
        self.check(name, output, labels, output.argmax(axis=1), labels, weights if weighted else None)

    def test_rows(self, name: str, weighted: bool) -> None:
        output, labels, weights = classification()
        rows = 0.9 * one_hot(labels, CLASSES, dtype=np.float64) + 0.1 / CLASSES
        self.check(name, output, rows, output.argmax(axis=1), labels, weights if weighted else None)

    def test_one_output(self, name: str, weighted: bool) -> None:
        output, labels, weights = classification()
        true, one = labels < 1, output[:, :1]
        chosen = weights if weighted else None
        for target in (true, true.astype(int), true[:, np.newaxis].astype(np.float32)):
            self.check(name, one, target, one[:, 0] > 0.5, true, chosen)
            self.check(name, one[:, 0], target, one[:, 0] > 0.5, true, chosen)
        signs = 2.0 * true - 1.0
        self.check(name, 2.0 * one - 1.0, signs, one[:, 0] > 0.5, true, chosen)


def test_a_class_that_is_never_predicted_or_never_there() -> None:
    output = one_hot([0, 0, 1, 3], 5)
    labels = [0, 0, 1, 2]
    for name, metric in CLASS_METRICS.items():
        with np.errstate(all="raise"):
            got = metrics.get(name)(output, labels)
        if name == "balanced_accuracy":  # scikit-learn warns of a predicted class that is not there
            assert got == pytest.approx(2 / 3)
        else:
            assert got == pytest.approx(metric(labels, [0, 0, 1, 3]))


def test_several_decisions_a_row() -> None:
    random = np.random.default_rng(0)
    output, weights = random.uniform(size=(50, 3)), random.uniform(size=50)
    target = (output + random.normal(size=(50, 3)) * 0.4 > 0.6).astype(np.float32)
    predicted = output > 0.5
    assert metrics.accuracy(output, target) == pytest.approx((predicted == target).mean())
    assert metrics.accuracy(output, target, weights) == pytest.approx(
        np.average((predicted == target).mean(axis=1), weights=weights)
    )
    for name in ("precision", "recall", "f1"):
        wanted = CLASS_METRICS[name](target.astype(int), predicted, sample_weight=weights)
        assert metrics.get(name)(output, target, weights) == pytest.approx(wanted)


def test_thresholds_and_ties() -> None:
    assert metrics.accuracy([0.5, 0.5, 0.5, 0.5], [0, 0, 0, 1]) == 0.75  # a half is not above a half
    assert metrics.accuracy([0.0, 0.0, -1e-9, 1e-9], [-1, 1, -1, 1]) == 0.5  # no sign is right for neither
    assert metrics.accuracy([[0.5, 0.5]] * 4, [0, 0, 0, 1]) == 0.75  # the first of equals is the largest
    # Sigmoid outputs for one-hot rows: the class counts, not the many zeros that are easy to guess.
    assert metrics.accuracy([[0.2, 0.3, 0.1], [0.9, 0.8, 0.7]], [[0, 1, 0], [0, 1, 0]]) == 0.5


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [1, 3, 5, 6])
def test_top_k_accuracy(k: int, weighted: bool) -> None:
    output, labels, weights = classification()
    chosen = weights if weighted else None
    wanted = reference.top_k_accuracy_score(labels, output, k=k, labels=range(CLASSES), sample_weight=chosen)
    assert metrics.top_k_accuracy(output, labels, chosen, k=k) == pytest.approx(wanted)
    assert metrics.top_k_accuracy(output, one_hot(labels, CLASSES), chosen, k=k) == pytest.approx(wanted)
    if k == 5:
        assert metrics.get("top_k_accuracy")(output, labels, chosen) == pytest.approx(wanted)


def test_top_k_ties_go_to_the_first() -> None:
    output = np.ones((4, 4))
    assert metrics.top_k_accuracy(output, [0, 1, 2, 3], k=2) == 0.5
    assert metrics.top_k_accuracy(output[:2], [2, 3], k=2) == 0.0
    assert metrics.top_k_accuracy(output, [0, 1, 2, 3], k=1) == metrics.accuracy(output, [0, 1, 2, 3])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(60,), (60, 1), (60, 3)])
@pytest.mark.parametrize("name", NUMBER_METRICS)
def test_numbers(name: str, shape: tuple[int, ...], weighted: bool) -> None:
    random = np.random.default_rng(0)
    target = random.normal(5.0, 2.0, shape)
    output = target + random.normal(0.0, 0.7, shape)
    weights = random.uniform(size=60) if weighted else None
    wanted = NUMBER_METRICS[name](target, output, sample_weight=weights)
    assert metrics.get(name)(output, target, weights) == pytest.approx(wanted)
    if shape == (60,):
        assert metrics.get(name)(output[:, np.newaxis], target, weights) == pytest.approx(wanted)


def test_r2_of_a_column_without_variance() -> None:
    constant = np.full(9, 0.1)
    assert metrics.r2(constant, constant) == 1.0
    assert metrics.r2(constant + 1e-9, constant) == 0.0
    pair = np.stack([constant, np.arange(9.0)], axis=1)
    off = pair + np.array([1.0, 0.0])
    assert metrics.r2(off, pair) == 0.5  # scikit-learn divides by the rounding error of 0.1 - mean: -2.6e33


def test_every_metric_takes_lists_and_odd_dtypes_and_changes_nothing() -> None:
    output, labels, weights = classification()
    for name, metric in metrics.METRICS.items():
        target = one_hot(labels, CLASSES) if name in NUMBER_METRICS else labels.astype(np.uint8)
        half = output.astype(np.float16)
        wanted = metric(half.astype(np.float64), target, weights)
        for form in (half, np.asfortranarray(half), half[::-1].copy()[::-1], half.tolist()):
            assert metric(form, target.tolist(), weights.tolist()) == pytest.approx(wanted, rel=1e-12)
        assert isinstance(wanted, float)
        frozen = output.copy()
        metric(frozen, target, weights)
        assert np.array_equal(frozen, output)


@pytest.mark.parametrize(
    ("name", "output", "target", "weights", "error", "message"),
    [
        (
            "accuracy",
            np.zeros((3, 2)),
            [0, 1],
            None,
            ValueError,
            r"target has shape \(2,\); wanted \(3,\) or \(3, 2\)",
        ),
        (
            "accuracy",
            np.zeros((2, 2)),
            [0, 2],
            None,
            ValueError,
            r"target\[1\] is 2; wanted labels in 0 \.\. 1",
        ),
        (
            "accuracy",
            np.zeros((2, 2)),
            [0, 0.5],
            None,
            ValueError,
            r"target\[1\] is 0.5; wanted a whole number",
        ),
        ("accuracy", np.zeros((2, 1)), [0, 2], None, ValueError, "target holds numbers from 0 to 2"),
        ("accuracy", [[np.nan, 1.0]], [1], None, ValueError, r"output\[0, 0\] is nan"),
        ("accuracy", [[0.0, 1.0]], [np.nan], None, ValueError, r"target\[0\] is nan"),
        ("accuracy", np.zeros((0, 2)), [], None, ValueError, r"output has shape \(0, 2\)"),
        ("accuracy", np.zeros((1, 2, 2)), [0], None, ValueError, r"output has shape \(1, 2, 2\)"),
        ("accuracy", [["a", "b"]], [0], None, TypeError, "output holds strings"),
        (
            "accuracy",
            np.zeros((2, 2)),
            [0, 1],
            [1.0],
            ValueError,
            r"sample_weight has shape \(1,\); wanted \(2,\)",
        ),
        ("accuracy", np.zeros((2, 2)), [0, 1], [1.0, -1.0], ValueError, "sample_weight holds a negative"),
        ("accuracy", np.zeros((2, 2)), [0, 1], [0.0, 0.0], ValueError, "sample_weight"),
        ("accuracy", np.zeros((2, 2)), [0, 1], [1.0, np.inf], ValueError, r"sample_weight\[1\] is inf"),
        ("mean_squared_error", np.zeros((2, 3)), [0, 1], None, ValueError, "wanted a number for each output"),
        ("top_k_accuracy", np.zeros((2, 5)), [0, 1], None, ValueError, "k is 5 and output has 5 columns"),
        (
            "top_k_accuracy",
            np.zeros((1, 6)),
            [[1, 1, 0, 0, 0, 0]],
            None,
            ValueError,
            "several decisions a row",
        ),
    ],
)
def test_bad_input(
    name: str, output: object, target: object, weights: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        metrics.get(name)(output, target, weights)


def test_get() -> None:
    def own(output: object, target: object, sample_weight: object = None) -> float:
        return 1.0

    assert metrics.get(own) is own
    with pytest.raises(ValueError, match=r"metric is 'acuracy'; known are accuracy, .*top_k_accuracy"):
        metrics.get("acuracy")
    with pytest.raises(TypeError, match="metric is 3"):
        metrics.get(3)  # type: ignore[arg-type]


def test_confusion_matrix() -> None:
    output, labels, _ = classification()
    predicted = output.argmax(axis=1)
    matrix = metrics.confusion_matrix(labels, predicted)
    assert matrix.dtype == np.int64
    assert np.array_equal(matrix, reference.confusion_matrix(labels, predicted))
    assert not np.array_equal(matrix, matrix.T)  # so that swapped axes would show
    wide = metrics.confusion_matrix([0, 1], [1, 1], classes=4)
    assert wide.shape == (4, 4) and wide[0, 1] == wide[1, 1] == 1 and wide.sum() == 2
    assert metrics.confusion_matrix([], [], classes=2).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("target", "predicted", "classes", "error", "message"),
    [
        ([0, 1], [0], None, ValueError, "target has 2 labels and predicted 1"),
        ([0, 2], [0, 1], 2, ValueError, r"target\[1\] is 2"),
        ([0, 1], [0, -1], None, ValueError, r"predicted\[1\] is -1"),
        ([0], [[0.2, 0.8]], None, ValueError, r"predicted has shape \(1, 2\)"),
        ([], [], None, ValueError, "target is empty"),
        (["a"], [0], None, TypeError, "target holds strings"),
        ([0], [0], 0, ValueError, "classes is 0"),
    ],
)
def test_bad_confusion_matrix(
    target: object, predicted: object, classes: int | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        metrics.confusion_matrix(target, predicted, classes)
