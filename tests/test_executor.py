"""Whole graphs: every compiled executor against the reference, and what only a whole executor can do.

How far two right results may be apart: an error of one operation (eps / 2) passes through the sums of each
layer, forward and backward, and through every step, and what it does there depends on the network. So we
let the reference say it: parameters and data are changed by a relative eps * K, with K the longest sum, and
what that changes in the reference's result (in the root mean square) is the unit. Two results may differ by
8 units, each being a mean over several such changes. `test_the_bound_*` plants bugs below that.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tasks import Array, Task, bits, deep, lowered, sandwich, trained

from fastnet import backends
from fastnet.activations import ACTIVATIONS
from fastnet.backends import reference
from fastnet.graph import Graph, GraphBuilder
from fastnet.layers import Dense, Dropout, Flatten
from fastnet.losses import LOSSES
from fastnet.optimizers import OPTIMIZERS, SGD, Adam, Optimizer

Outcome = dict[str, Array]
Make = Callable[[], Task]


def one_batch(module: ModuleType, task: Task) -> Outcome:
    """Loss and gradients of one batch, evaluation, and prediction."""
    executor = task.executor(module, batch_size=task.rows)
    loss = executor.loss_and_gradients(task.x, task.y, task.weight, True, 5)
    total, norm, *_ = executor.evaluate(task.x, task.y, task.weight)
    out = np.full((task.rows, task.graph.size(task.graph.output)), np.nan, task.dtype)
    executor.predict(task.x, out)
    return {
        "loss": np.array([loss]),
        "gradients": task.gradients.copy(),
        "evaluation": np.array([total, norm]),
        "prediction": out,
    }


def some_epochs(module: ModuleType, task: Task) -> Outcome:
    """Two epochs of training."""
    executor = task.executor(module)
    losses = []
    for _ in range(2):
        assert task.train(executor)
        losses.append(task.progress[2:4].copy())
    return {
        "losses": np.array(losses),
        "parameters": task.parameters.copy(),
        "gradients": task.gradients.copy(),
        "state": task.state.copy(),
    }


def rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values.astype(np.float64))))) if values.size else 0.0


def compare(actual: Outcome, expected: Outcome, changes: list[Outcome], dtype: str) -> None:
    """Assert that two outcomes differ by no more than 8 times what rounding errors change."""
    tiny = float(np.finfo(dtype).tiny)
    for name, right in expected.items():
        assert actual[name].shape == right.shape
        assert np.isfinite(actual[name]).all(), f"{name}: not finite"
        unit = np.mean([rms(one[name] - right) for one in changes])
        unit = max(unit, float(np.finfo(dtype).eps) * rms(right))
        difference = rms(actual[name].astype(np.float64) - right)
        assert difference <= 8 * unit + tiny, f"{name}: {difference:.3g} > 8 x {unit:.3g}"


def check(module: ModuleType, make: Make, run: Callable[[Any, Task], Outcome]) -> None:
    """Run a task on the reference and on another backend and compare."""
    rng = np.random.default_rng(11)
    expected, changes = run(reference, make()), []
    for _ in range(4):
        task = make()
        task.perturbed(rng)
        changes.append(run(reference, task))
    task = make()
    x, y = task.x.copy(), task.y.copy()
    for values in (task.x, task.y, task.order):
        values.flags.writeable = False
    compare(run(module, task), expected, changes, task.dtype)
    np.testing.assert_array_equal(task.x, x)
    np.testing.assert_array_equal(task.y, y)


# ---- networks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [one_batch, some_epochs])
@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "step"])
def test_every_activation_inside(kernels: ModuleType, dtype: str, name: str, run: Any) -> None:
    def make() -> Task:
        task = Task(sandwich(name), "mean_squared_error", dtype)
        task.parameters *= 0.2 if name == "exp" else 1  # of an exponential of exponentials
        return task

    check(kernels, make, run)


def legal_pairs() -> list[tuple[str, str]]:
    """Every loss with every output activation that it allows; a step has no slope to learn by."""
    return [
        (loss, name) for loss, row in LOSSES.items() for name in ACTIVATIONS if name in row.outputs - {"step"}
    ]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("loss", "name"), legal_pairs())
def test_every_loss_and_output(kernels: ModuleType, dtype: str, loss: str, name: str, weighted: bool) -> None:
    graph = lowered([Dense(9, "tanh"), Dense(5, name)], 7)
    check(kernels, lambda: Task(graph, loss, dtype, weighted=weighted), one_batch)


@pytest.mark.parametrize("weighted", [False, True])
def test_labels(kernels: ModuleType, dtype: str, weighted: bool) -> None:
    graph = lowered([Dense(9, "relu"), Dense(17, "softmax")], 7)
    for run in (one_batch, some_epochs):
        check(kernels, lambda: Task(graph, "cross_entropy", dtype, labels=True, weighted=weighted), run)


@pytest.mark.parametrize("width", [1, 7, 9, 17, 33, 65])
@pytest.mark.parametrize("rows", [1, 8, 16, 17, 41])
def test_widths_and_last_batches(kernels: ModuleType, dtype: str, width: int, rows: int) -> None:
    """Of batches of 8: one that is not full, none, one of a single row."""
    graph = lowered([Dense(width, "elu"), Dense(width, "sigmoid"), Dense(3)], width)
    check(kernels, lambda: Task(graph, "huber", dtype, rows=rows), some_epochs)


@pytest.mark.parametrize("outputs", [1, 10, 129])
@pytest.mark.parametrize("rows", [1, 5, 48, 49])
def test_long_sums(kernels: ModuleType, dtype: str, rows: int, outputs: int) -> None:
    """Which small batches make in pieces, and larger ones do not."""
    graph = lowered([Dense(261, "relu"), Dense(outputs)], 300)
    make = functools.partial(Task, graph, "huber", dtype, rows=rows + 2, batch_size=rows)
    check(kernels, make, some_epochs)
    check(kernels, functools.partial(Task, graph, "huber", dtype, rows=rows, batch_size=rows), one_batch)


@pytest.mark.parametrize("optimizer", [SGD(0.1), SGD(0.1, momentum=0.5)], ids=str)
@pytest.mark.parametrize("rows", [11, 12, 55])
def test_wide_layers(kernels: ModuleType, dtype: str, rows: int, optimizer: Optimizer) -> None:
    """Whose weights are read in panels and groups: more lines than one has, and panels that are not full."""
    graph = lowered([Dense(70, "relu"), Dense(1030, "tanh"), Dense(267, "relu"), Dense(3)], 250)
    options: dict[str, Any] = {"batch_size": rows, "optimizer": optimizer}
    check(kernels, functools.partial(Task, graph, "huber", dtype, rows=rows + 2, **options), some_epochs)
    check(kernels, functools.partial(Task, graph, "huber", dtype, rows=rows, **options), one_batch)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss != "cross_entropy"])
def test_every_loss_of_a_single_output(kernels: ModuleType, dtype: str, loss: str, weighted: bool) -> None:
    """Rows go through it as whole vectors, as far as they make some, and their targets lie anywhere."""
    name = next(name for name in ("identity", "sigmoid", "softplus") if name in LOSSES[loss].outputs)
    graph = lowered([Dense(9, "tanh"), Dense(1, name)], 7)
    for rows in (8, 37, 64):
        make = functools.partial(Task, graph, loss, dtype, rows=rows, batch_size=rows, weighted=weighted)
        check(kernels, make, one_batch)
        check(kernels, make, some_epochs)


@pytest.mark.parametrize("outputs", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("rows", [15, 16, 33])
def test_few_outputs(kernels: ModuleType, dtype: str, rows: int, outputs: int) -> None:
    """Some of whose rows are turned in registers, with the same bits as all others."""
    graph = lowered([Dense(outputs, "relu"), Dense(19, "relu"), Dense(outputs)], 37)
    make = functools.partial(Task, graph, "huber", dtype, rows=rows, batch_size=rows)
    check(kernels, make, one_batch)
    task = make()
    executor, whole = task.executor(kernels), np.empty((rows, outputs), task.dtype)
    executor.predict(task.x, whole)
    for n in range(rows):
        one = np.empty((1, outputs), task.dtype)
        executor.predict(task.x[n : n + 1], one)
        if kernels is not reference:  # a BLAS has its own ways with few rows
            assert one.tobytes() == whole[n : n + 1].tobytes()


@pytest.mark.parametrize("widths", [(130, 140), (521, 513)], ids=["near", "far"])
@pytest.mark.parametrize("optimizer", [SGD(0.1), SGD(0.1, momentum=0.5)], ids=str)
def test_wide_layers_of_large_batches(
    kernels: ModuleType, dtype: str, optimizer: Optimizer, widths: tuple[int, int]
) -> None:
    """Of more rows than a panel has lines."""
    graph = lowered([Dense(widths[0], "relu"), Dense(3)], widths[1])
    options: dict[str, Any] = {"rows": 1100, "batch_size": 1090, "optimizer": optimizer}
    check(kernels, functools.partial(Task, graph, "huber", dtype, **options), some_epochs)


@pytest.mark.parametrize(
    "options",
    [{}, {"weight_decay": 0.02}, {"clip_norm": 0.05}, {"clip_value": 0.01, "weight_decay": 0.1}],
    ids=str,
)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(kernels: ModuleType, dtype: str, name: str, options: dict[str, float]) -> None:
    choices = [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}] if name == "sgd" else [{}]
    for own in choices:
        graph, optimizer = sandwich("tanh"), OPTIMIZERS[name](0.1, **own, **options)
        make = functools.partial(Task, graph, "mean_squared_error", dtype, optimizer=optimizer)
        check(kernels, make, some_epochs)


DROPPED = {
    "inside": [Dense(17, "relu"), Dropout(0.3), Dense(9, "gelu"), Dropout(0.5), Dense(5, "softmax")],
    "at the input": [Dropout(0.2), Dense(17, "silu"), Dense(5, "softmax")],
    "after dense": [Dense(17), Dropout(0.4), Dense(9, "tanh"), Dense(5, "softmax")],
    "twice": [Dropout(0.1), Dropout(0.1), Dense(9, "elu"), Dropout(0.1), Dropout(0.2), Dense(5, "softmax")],
    "before flatten": [Dropout(0.2), Flatten(), Dense(9, "relu"), Dense(5, "softmax")],
    "at the end": [Dense(9, "relu"), Dense(5, "softmax"), Dropout(0.1)],
}


@pytest.mark.parametrize("where", DROPPED)
def test_dropout(kernels: ModuleType, dtype: str, where: str) -> None:
    graph = lowered(DROPPED[where], 3, 4) if "flatten" in where else lowered(DROPPED[where], 12)
    loss = "mean_squared_error" if where == "at the end" else "cross_entropy"
    for run in (one_batch, some_epochs):
        check(kernels, lambda: Task(graph, loss, dtype), run)


def test_flatten(kernels: ModuleType, dtype: str) -> None:
    graph = lowered([Flatten(), Dense(17, "relu"), Dense(5, "sigmoid")], 3, 2, 4)
    assert any(op.kind == "flatten" for op in graph.ops)
    for run in (one_batch, some_epochs):
        check(kernels, lambda: Task(graph, "binary_cross_entropy", dtype), run)


def scrambled() -> Graph:
    """Buffers are numbered against the order in which they are used, and dropout comes before a flatten."""
    builder = GraphBuilder((7,))
    last, activated, dense, flat = (builder.buffer((size,)) for size in (5, 9, 9, 9))
    slots = [
        builder.parameter(shape, decay=len(shape) > 1, name="", layer=0) for shape in ((7, 9), (9,), (9, 5))
    ]
    builder.add("dense", [0], dense, layer=0, slots=slots[:2])
    builder.add("flatten", [dense], flat, layer=1)
    builder.add("activation", [flat], activated, layer=2, name="gelu")
    builder.add("dense", [activated], last, layer=3, slots=slots[2:])
    return builder.build(last)


def test_buffers_in_any_order(kernels: ModuleType, dtype: str) -> None:
    for run in (one_batch, some_epochs):
        check(kernels, lambda: Task(scrambled(), "mean_squared_error", dtype), run)


@pytest.mark.parametrize("name", ["relu", "gelu", "softmax"])
def test_graphs_without_parameters(kernels: ModuleType, dtype: str, name: str) -> None:
    builder = GraphBuilder((7,))
    buffer = builder.buffer((7,))
    builder.add("activation", [0], buffer, layer=0, name=name)
    graph = builder.build(buffer)
    check(kernels, lambda: Task(graph, "mean_squared_error", dtype), one_batch)


def test_empty_graph_returns_its_input(kernels: ModuleType, dtype: str) -> None:
    task = Task(GraphBuilder((7,)).build(0), "mean_squared_error", dtype)
    out = np.full_like(task.x, np.nan)
    task.executor(kernels).predict(task.x, out)
    np.testing.assert_array_equal(out, task.x)


# ---- callable losses: forward, backward, update -------------------------------------------------------


def by_hand(module: ModuleType, task: Task) -> Outcome:
    """Three steps of half the squared error, which Python computes."""
    executor = task.executor(module, loss="", batch_size=task.rows)
    outputs = []
    for step in (1, 2, 3):
        output = np.array(executor.forward(task.x, True, step))
        outputs.append(output)
        executor.backward((output - task.y) / task.rows)
        executor.update(0.1, step)
    return {"outputs": np.array(outputs), "gradients": task.gradients, "parameters": task.parameters}


@pytest.mark.parametrize("optimizer", [SGD(0.1), Adam(0.1), SGD(0.1, momentum=0.5, clip_norm=0.1)], ids=str)
def test_callable_losses(kernels: ModuleType, dtype: str, optimizer: Optimizer) -> None:
    graph = lowered([Dropout(0.2), Dense(17, "silu"), Dropout(0.2), Dense(5, "softmax")], 7)
    check(kernels, lambda: Task(graph, "", dtype, optimizer=optimizer), by_hand)


def test_backward_needs_forward(kernels: ModuleType, dtype: str) -> None:
    task = Task(sandwich("tanh"), "", dtype)
    with pytest.raises(RuntimeError, match=r"needs a forward\(\) first"):
        task.executor(kernels).backward(np.zeros((3, 7), dtype))


# ---- negative controls --------------------------------------------------------------------------------


def spoil(outcome: Outcome, name: str, bug: str) -> Outcome:
    wrong = outcome[name].copy()
    if bug == "factor 1.01":
        wrong *= 1.01
    elif bug == "flipped sign":
        wrong = -wrong
    elif bug == "zeros":
        wrong[...] = 0
    elif bug == "one wrong element":
        wrong.flat[np.argmax(np.abs(wrong))] *= 1.01
    elif bug == "stale":
        wrong[...] = np.nan
    return {**outcome, name: wrong}


@pytest.mark.parametrize("bug", ["factor 1.01", "flipped sign", "zeros", "one wrong element", "stale"])
@pytest.mark.parametrize("run", [one_batch, some_epochs])
def test_planted_bugs_are_found(dtype: str, run: Any, bug: str) -> None:
    names = list(run(reference, Task(sandwich("tanh"), "mean_squared_error", dtype, optimizer=Adam(0.1))))
    for name in names:

        def broken(module: Any, task: Task, name: str = name) -> Outcome:
            outcome: Outcome = run(reference, task)
            return outcome if module is reference else spoil(outcome, name, bug)

        with pytest.raises(AssertionError):
            check(
                ModuleType("broken"),
                lambda: Task(sandwich("tanh"), "mean_squared_error", dtype, optimizer=Adam(0.1)),
                broken,
            )


# ---- training: chunks, orders, progress ---------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [Adam(0.1), SGD(0.1)], ids=["adam", "sgd"])
def test_chunks_and_repeats_give_the_same_bits(kernels: ModuleType, dtype: str, optimizer: Optimizer) -> None:
    """Also where the updates of all steps but a chunk's last are made without writing the gradients."""
    whole = trained(kernels, deep(dtype, rows=1000, optimizer=optimizer))
    assert trained(kernels, deep(dtype, rows=1000, optimizer=optimizer)) == whole
    assert trained(kernels, deep(dtype, rows=1000, optimizer=optimizer), seconds=0.0) == whole
    other_masks = trained(kernels, deep(dtype, rows=1000, optimizer=optimizer), seed=4)
    assert other_masks != whole  # negative control


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("widths", [(65, 3), (90, 501, 3), (1, 3), (3,)], ids=str)
def test_single_rows_begun_in_advance_give_the_same_bits(
    kernels: ModuleType, dtype: str, widths: tuple[int, ...], threads: int
) -> None:
    """A batch of one makes the next one's first product with its own update, unless its call ends there."""
    graph = lowered([*(Dense(width, "tanh") for width in widths[:-1]), Dense(widths[-1], "softmax")], 300)
    options: dict[str, Any] = {"batch_size": 1, "threads": threads, "optimizer": SGD(0.1), "labels": True}

    def make() -> Task:
        task = Task(graph, "cross_entropy", dtype, rows=40, **options)
        task.x[::3] = 0
        task.parameters[::5] = -0.0  # whose sign must be the same, too
        return task

    whole = trained(kernels, make())
    assert trained(kernels, make(), seconds=0.0) == whole
    assert trained(kernels, make(), keeps_gradients=True) == whole
    assert trained(kernels, make(), threads_from=60_000) == whole  # hardly a layer is shared
    check(kernels, make, some_epochs)


def test_a_call_without_time_makes_a_start(kernels: ModuleType, dtype: str) -> None:
    task = deep(dtype, rows=4000, batch_size=1)
    executor = task.executor(kernels)
    rates = np.full(4000, 0.01)
    assert executor.train(task.x, task.y, None, task.order, rates, task.progress, 0.0)
    steps = task.progress[reference.STEP]
    assert 1 <= steps < 4000
    assert (
        task.progress[reference.ROW]
        == task.progress[reference.NORM]
        == task.progress[reference.TOTAL]
        == steps
    )


def test_nothing_to_visit_changes_nothing(kernels: ModuleType, dtype: str) -> None:
    task = deep(dtype)
    executor = task.executor(kernels)
    before = bits(task)
    nothing = np.empty(0, np.int64)
    assert executor.train(task.x, task.y, None, nothing, np.empty(0), task.progress, 1.0)
    assert bits(task) == before


def test_an_order_is_a_choice_of_rows(kernels: ModuleType, dtype: str) -> None:
    """Training on some rows, some of them twice, equals training on a copy of these."""
    chosen, copied = deep(dtype, rows=30, weighted=True), deep(dtype, rows=30, weighted=True)
    chosen.order = np.array([5, 3, 3, 29, 0, 7, 5, 11, 12, 2, 3])
    assert copied.weight is not None
    copied.x, copied.y = copied.x[chosen.order], copied.y[chosen.order]
    copied.weight, copied.order = copied.weight[chosen.order], np.arange(11)
    assert trained(kernels, chosen) == trained(kernels, copied)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["cross_entropy", "mean_squared_error", "half_squared_error"])
def test_progress_counts(kernels: ModuleType, dtype: str, loss: str, weighted: bool) -> None:
    """Against what single calls say: with a learning rate of nothing, an epoch is an evaluation."""
    graph = lowered([Dense(9, "tanh"), Dense(5, "softmax")], 7)
    task = Task(graph, loss, dtype, rows=41, metric="argmax", weighted=weighted)
    executor = task.executor(kernels)
    task.progress[:] = (17, 0, 0, 0, 0, 0)
    rates = np.zeros(6)
    assert executor.train(task.x, task.y, task.weight, task.order, rates, task.progress, 1e9)
    total, norm, correct, count = executor.evaluate(task.x, task.y, task.weight)
    assert task.progress[[reference.STEP, reference.ROW]].tolist() == [17 + 6, 41]
    assert task.progress[[reference.CORRECT, reference.TOTAL]].tolist() == [correct, count]
    assert 0 < correct < count == 41
    weight = 41.0 if task.weight is None else float(task.weight.sum(dtype=np.float64))
    norms = {"cross_entropy": (weight, weight), "mean_squared_error": (5 * weight, 5 * weight)}
    wanted = norms.get(loss, (6.0, 1.0))  # half the squared error: 1 for each of 6 batches
    assert (task.progress[reference.NORM], norm) == pytest.approx(wanted, rel=1e-12)
    eps = float(np.finfo(dtype).eps)
    assert task.progress[reference.LOSS_SUM] == pytest.approx(total, rel=41 * 5 * eps)


@pytest.mark.parametrize("metric", ["threshold", "sign"])
def test_metrics_of_elements(kernels: ModuleType, dtype: str, metric: str) -> None:
    loss, output = (
        ("binary_cross_entropy", "sigmoid") if metric == "threshold" else ("perceptron", "identity")
    )
    graph = lowered([Dense(5, output)], 7)
    counts = []
    for module in (reference, kernels):
        task = Task(graph, loss, dtype, metric=metric)
        executor = task.executor(module)
        counts.append(executor.evaluate(task.x, task.y)[2:])
        out = np.empty((41, 5), dtype)
        executor.predict(task.x, out)
        right = (out > 0.5) == (task.y > 0.5) if metric == "threshold" else out * task.y > 0
        assert counts[-1] == (np.count_nonzero(right), 205)
        assert task.train(executor)
        assert task.progress[reference.TOTAL] == 205
    assert counts[0] == counts[1]
    assert 0 < counts[0][0] < 205


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_loss_that_is_not_finite_changes_nothing(
    kernels: ModuleType, dtype: str, poison: float, threads: int
) -> None:
    graph = lowered([Dense(129, "tanh"), Dense(65, "tanh"), Dense(5)], 65)
    good, bad = (
        Task(
            graph, "mean_squared_error", dtype, rows=100, optimizer=Adam(0.01), batch_size=25, threads=threads
        )
        for _ in range(2)
    )
    good.order = bad.order = np.arange(100)
    bad.y[60, 2] = poison  # in the third batch
    executor = good.executor(kernels)
    assert executor.train(good.x, good.y, None, good.order[:50], np.full(4, 0.01), good.progress, 1e9)
    executor = bad.executor(kernels)
    assert not executor.train(bad.x, bad.y, None, bad.order, np.full(4, 0.01), bad.progress, 1e9)
    assert bad.progress.tolist() == good.progress.tolist()
    assert bad.progress[reference.STEP] == 2
    np.testing.assert_array_equal(bad.parameters, good.parameters)
    np.testing.assert_array_equal(bad.state, good.state)
    assert not executor.train(bad.x, bad.y, None, bad.order, np.full(4, 0.01), bad.progress, 1e9)
    np.testing.assert_array_equal(bad.parameters, good.parameters)


# ---- prediction ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [0, 1, 2, 95, 96, 97, 1000, 1025])
def test_predict_equals_forward(kernels: ModuleType, backend: str, dtype: str, rows: int) -> None:
    graph = lowered(
        [Dropout(0.2), Dense(65, "relu"), Dropout(0.3), Dense(33, "gelu"), Dense(7, "softmax")], 17
    )
    task = Task(graph, "", dtype, rows=rows, batch_size=max(rows, 1))
    executor = task.executor(kernels)
    frame = np.full((rows + 2, 7), np.nan, dtype)
    out = frame[1:-1]
    executor.predict(task.x, out)
    assert np.isnan(frame[0]).all() and np.isnan(frame[-1]).all()
    forward = executor.forward(task.x, False, 1) if rows else np.empty((0, 7), dtype)
    single = np.array([executor.predict_plain(one) for one in task.x]).reshape(rows, 7)
    if backend == "numpy":  # the BLAS adds up differently for each shape
        eps = float(np.finfo(dtype).eps)
        np.testing.assert_allclose(out, forward, rtol=100 * eps)
        np.testing.assert_allclose(out, single, rtol=200 * eps)
    else:
        np.testing.assert_array_equal(out, forward)
        np.testing.assert_array_equal(out, single)
    if rows > 1:
        assert not np.array_equal(out[0], out[1])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_predict_says_whether_all_is_finite(
    kernels: ModuleType, dtype: str, poison: float, threads: int
) -> None:
    """Wherever it lies; NaN and infinity need not reach the output through a relu."""
    task = Task(sandwich("relu"), "", dtype, rows=500, threads=threads)
    executor, out = task.executor(kernels), np.empty((500, 7), dtype)
    assert executor.predict(task.x, out)
    for place in [(0, 0), (499, 6), (97, 3), (250, 5)]:
        x = task.x.copy()
        x[place] = poison
        assert not executor.predict(x, out)


def test_predict_plain_takes_only_its_own_kind(kernels: ModuleType, dtype: str) -> None:
    task = Task(sandwich("relu"), "", dtype)
    executor = task.executor(kernels)
    x = task.x[0].copy()
    right = executor.predict_plain(x)
    assert right.shape == (7,) and right.dtype == dtype
    other = "float32" if dtype == "float64" else "float64"
    swapped = x.astype(np.dtype(dtype).newbyteorder())
    wrong = [
        x.tolist(), tuple(x), None, 1.0, "seven", x[:6].copy(), np.append(x, x[:1]), x.astype(other),
        x.astype(int), x.astype("float16"), x.astype(complex), x > 0, swapped, x.astype(object),
        x[None, None], np.array(1.0, dtype), np.empty((0, 7), dtype), np.empty((2, 6), dtype),
        np.empty((7, 1), dtype),
    ]  # fmt: skip
    for value in wrong:
        assert executor.predict_plain(value) is None, repr(value)
    x.flags.writeable = False
    np.testing.assert_array_equal(executor.predict_plain(x), right)


def test_predict_plain_of_rows(kernels: ModuleType, dtype: str) -> None:
    """As many as one call may take: more of them would keep signals waiting."""
    graph = lowered([Dense(1200, "tanh"), Dense(1000, "tanh"), Dense(3)], 40)
    task = Task(graph, "", dtype, rows=graph.block_rows + 1)
    executor, out = task.executor(kernels), np.empty((len(task.x), 3), dtype)
    assert len(task.x) == 513 and executor.predict_plain(task.x) is None
    for rows in (1, 2, 512):
        executor.predict(task.x[:rows], out[:rows])
        result = executor.predict_plain(task.x[:rows])
        assert result.dtype == dtype and not np.shares_memory(result, out)
        np.testing.assert_array_equal(result, out[:rows])
    np.testing.assert_array_equal(executor.predict_plain(task.x[:1]), [executor.predict_plain(task.x[0])])


def test_predict_plain_of_strided_arrays(kernels: ModuleType, backend: str, dtype: str) -> None:
    """Either the right answer or none: the compiled backend wants values that lie side by side."""
    task = Task(sandwich("relu"), "", dtype)
    executor = task.executor(kernels)
    right = executor.predict_plain(task.x[0].copy())
    for strided in (np.repeat(task.x[0], 2)[::2], task.x[0][::-1].copy()[::-1], np.asfortranarray(task.x)[0]):
        result = executor.predict_plain(strided)
        if backend == "numpy" and result is not None:
            np.testing.assert_allclose(result, right, rtol=1e-5)
        else:
            assert result is None


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_predict_plain_leaves_what_is_not_finite(kernels: ModuleType, dtype: str, poison: float) -> None:
    for width in (1, 7, 16, 33):
        task = Task(lowered([Dense(3)], width), "", dtype)
        executor = task.executor(kernels)
        for position in range(width):
            x = task.x[0].copy()
            x[position] = poison
            assert executor.predict_plain(x) is None
            assert executor.predict_plain(x[None]) is None
            assert executor.predict_plain(np.stack([task.x[0], x])) is None
        largest = np.full(width, np.finfo(dtype).max, dtype)  # finite, though its sum is not
        assert executor.predict_plain(largest) is not None
        assert executor.predict_plain(largest[None]) is not None


def test_predict_plain_returns_a_new_array(kernels: ModuleType, dtype: str) -> None:
    task = Task(sandwich("relu"), "", dtype)
    executor = task.executor(kernels)
    first = executor.predict_plain(task.x[0])
    kept = first.copy()
    executor.predict_plain(task.x[1])
    np.testing.assert_array_equal(first, kept)


def test_the_switch_gives_the_executor_of_the_backend(backend: str, kernels: ModuleType) -> None:
    assert backends.active() == backend
    assert kernels.Executor.__module__.startswith(kernels.__name__)
