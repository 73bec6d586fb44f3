"""``fastnet train``: from a name or a CSV file to a tested model with its learning curves.

What `predict` needs to read new data as the training read its own (columns, classes, means and deviations)
is kept as JSON in ``network.metadata``, and with it in the model file.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import math
import os
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastnet
from fastnet import backends, datasets
from fastnet.callbacks import Callback
from fastnet.columns import Columns, read_table
from fastnet.data import Dataset
from fastnet.errors import DivergenceWarning
from fastnet.metrics import mean_squared_error, r2
from fastnet.network import Network, mlp
from fastnet.optimizers import OPTIMIZERS, Optimizer
from fastnet.schedules import Constant, Cosine, OneCycle, Schedule
from fastnet.training import Trainer
from fastnet.transforms import Normalise, Standardise, Transform

__all__ = ["DIVERGED", "INTERRUPTED", "LEARNING_RATES", "refuse_to_overwrite", "run"]

DIVERGED, INTERRUPTED = 1, 130
"""Exit codes: the loss ceased to be finite; Ctrl-C was pressed."""

LEARNING_RATES = {
    "sgd": 0.1,
    "adagrad": 0.03,
    "rmsprop": 0.002,
    "adam": 0.004,
    "adamw": 0.004,
    "rprop": 0.01,
}
"""The largest learning rate of each optimizer, where no option gives it."""

_REPORTS = 10  # lines on the progress of a training that no terminal shows


# ---- what to train, and how


@dataclass(frozen=True)
class _Recipe:
    """What is done where no option says otherwise."""

    hidden: tuple[int, ...] = (64, 32)
    dropout: float = 0.1
    optimizer: str = "adamw"
    weight_decay: float = 0.3  # of adamw, times the learning rate; elsewhere none
    epochs: int = 60
    batch_size: int = 32


@dataclass(frozen=True)
class _Job:
    """Data, ready to train on, with what a model has to remember of them."""

    name: str
    train: Dataset
    test: Dataset | None
    recipe: _Recipe
    metadata: dict[str, Any]
    target_scale: Transform | None = None  # of a regression
    source: str = ""  # the CSV file
    notes: list[str] = field(default_factory=list)

    @property
    def classes(self) -> list[str]:
        """Names of the classes; none for a regression."""
        return list(self.metadata.get("classes", ()))


def _digits(options: argparse.Namespace) -> _Job:
    """Return the handwritten digits of scikit-learn."""
    train, test = datasets.digits(options.test or 0.25, seed=options.seed)
    metadata = {
        "task": "classification",
        "classes": list(train.class_names or ()),
        "images": {"shape": [8, 8], "scale": Normalise(0.0, 16.0).config()},
    }
    return _Job("digits", train, test, _Recipe(hidden=(256, 128), dropout=0.3, weight_decay=0.01), metadata)


def _mnist(options: argparse.Namespace) -> _Job:
    """Return the handwritten digits of MNIST."""
    train, test = datasets.mnist(options.data)
    metadata = {
        "task": "classification",
        "classes": list(train.class_names or ()),
        "images": {"shape": [28, 28], "scale": Normalise().config()},
    }
    recipe = _Recipe((128, 64), 0.1, "sgd", weight_decay=0.01, epochs=10, batch_size=64)
    return _Job("mnist", train, test, recipe, metadata)


def _csv(options: argparse.Namespace) -> _Job:
    """Return a table, standardised, with the target that was asked for."""
    if not os.path.exists(options.what):
        raise FileNotFoundError(f"{options.what}: no such file; DATA is digits, mnist or a CSV file")
    table = read_table(options.what, delimiter=options.delimiter)
    if options.target is None:
        names = ", ".join(map(repr, table.header))
        raise ValueError(f"--target is missing: which column is to be predicted? {options.what} has {names}")
    columns = Columns.fit(
        table, options.target, task=options.task, exclude=options.exclude, categorical=options.categorical
    )
    data, notes = columns.dataset(table), []
    share = 0.25 if options.test is None else options.test
    train, test = data, None
    if share:
        rare = _single(data)
        if rare:
            notes.append(f"class {rare!r} has a single row, so the classes are not held out in equal shares")
        train, test = data.split(share, stratify=bool(data.class_names) and not rare, seed=options.seed)
    scale = Standardise.fit(train)
    metadata = {
        "task": columns.task,
        "classes": list(columns.classes),
        "columns": columns.config(),
        "scale": scale.config(),
    }
    target_scale = None
    if columns.task == "regression":
        target_scale = Standardise.fit(train.y)
        metadata["target_scale"] = target_scale.config()
    train, test = scale(train), None if test is None else scale(test)
    recipe = _table_recipe(len(train))
    return _Job(table.name, train, test, recipe, metadata, target_scale, options.what, notes)


def _single(data: Dataset) -> str:
    """Return the name of a class that has a single row, if there is one."""
    names = data.class_names or ()
    counts = np.bincount(data.y, minlength=len(names)).tolist() if names else []
    return next((name for name, count in zip(names, counts, strict=True) if count == 1), "")


def _table_recipe(rows: int) -> _Recipe:
    """Return a recipe of about 8,000 updates, fewer for small tables and more for large ones."""
    batch_size = 32 if rows <= 5_000 else 128
    return _Recipe(epochs=min(max(8_000 * batch_size // rows, 10), 150), batch_size=batch_size)


def _job(options: argparse.Namespace) -> _Job:
    """Return the data that the command line asks for."""
    parts = {"--test": (options.test, "rows"), "--dropout": (options.dropout, "values to drop")}
    for name, (part, whole) in parts.items():
        if part is not None and not 0.0 <= part < 1.0:
            raise ValueError(f"{name} is {part:g}; wanted a part of the {whole}, at least 0 and below 1")
    if options.what in ("digits", "mnist"):
        for name in ("target", "task", "exclude", "categorical", "delimiter"):
            if getattr(options, name):
                raise ValueError(f"--{name} is for CSV files; {options.what} needs none")
    if options.data is not None and options.what != "mnist":
        raise ValueError("--data is the folder with the files of MNIST; it goes with: fastnet train mnist")
    if options.what == "digits":
        if options.test == 0.0:
            raise ValueError("--test is 0; the digits are always tested on a part of them")
        return _digits(options)
    if options.what == "mnist":
        if options.test is not None:
            raise ValueError("--test is for other data; MNIST has 10,000 images of its own to test on")
        return _mnist(options)
    return _csv(options)


def _network(job: _Job, options: argparse.Namespace) -> Network:
    """Return a new network that fits the data."""
    hidden = job.recipe.hidden if options.hidden is None else options.hidden
    dropout = job.recipe.dropout if options.dropout is None else options.dropout
    sizes = [job.train.x.shape[1], *hidden, len(job.classes) or 1]
    output = "softmax" if job.classes else "identity"
    return mlp(sizes, options.activation, output, dropout=dropout, dtype=options.dtype, seed=options.seed)


def _optimizer(job: _Job, options: argparse.Namespace, epochs: int) -> Optimizer:
    """Return the optimizer with its schedule."""
    name = options.optimizer or job.recipe.optimizer
    rate = LEARNING_RATES[name] if options.learning_rate is None else options.learning_rate
    schedule: Schedule = Constant(rate)
    if options.schedule == "cosine":
        schedule = Cosine(rate, epochs=epochs)
    elif options.schedule == "one-cycle" and name != "rprop":  # whose steps set their own sizes
        schedule = OneCycle(rate, epochs=epochs)
    numbers: dict[str, Any] = {}
    if name == "sgd":
        momentum = 0.9 if options.momentum is None else options.momentum
        numbers = {"momentum": momentum, "nesterov": momentum > 0.0}
    elif options.momentum is not None:
        raise ValueError(f"--momentum goes with --optimizer sgd; the optimizer is {name}")
    if options.weight_decay is not None:
        numbers["weight_decay"] = options.weight_decay
    elif name == "adamw":
        numbers["weight_decay"] = job.recipe.weight_decay
    return OPTIMIZERS[name](schedule, **numbers)


# ---- training it


class _Reports(Callback):
    """Ten lines on how training goes, where no terminal shows a bar."""

    def __init__(self, epochs: int, samples: int) -> None:
        self.epochs, self.samples = epochs, samples
        self._start, self._told = 0.0, 0

    def on_train_begin(self, trainer: Trainer) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_epoch_end(self, trainer: Trainer, epoch: int, logs: Mapping[str, float]) -> None:
        """Write a line when another tenth is done."""
        if epoch * _REPORTS // self.epochs > self._told:
            self._told = epoch * _REPORTS // self.epochs
            speed = epoch * self.samples / max(time.perf_counter() - self._start, 1e-9)
            numbers = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
            print(f"epoch {epoch}/{self.epochs}  {numbers}  {speed:,.0f} samples/s", flush=True)


def run(options: argparse.Namespace) -> int:
    """Train a network, test it, and write it with its learning curves; return the exit code."""
    job = _job(options)
    model = Path(options.output or f"{job.name}.safetensors")
    picture = None if options.no_plot else model.with_suffix(".png")
    _check_outputs(job.source, model, picture)
    epochs = job.recipe.epochs if options.epochs is None else options.epochs
    whole = options.optimizer == "rprop"  # which trusts the sign of each gradient
    batch_size = options.batch_size or (len(job.train) if whole else job.recipe.batch_size)
    network = _network(job, options)
    loss = "cross_entropy" if job.classes else "mean_squared_error"
    trainer = Trainer(network, loss=loss, optimizer=_optimizer(job, options, epochs))
    for note in job.notes:
        print(f"fastnet: note: {note}", file=sys.stderr)
    if not options.quiet:
        _introduce(job, network, epochs, batch_size)
    start = time.perf_counter()
    try:
        _fit(job, trainer, epochs, batch_size, options.quiet)
    except KeyboardInterrupt:
        _remember(job, trainer, time.perf_counter() - start, {})
        network.save(model)
        where = f"interrupted in epoch {trainer.epoch + 1}"
        print(f"fastnet: {where}; the model as it stands is in {model}", file=sys.stderr)
        return INTERRUPTED
    seconds, trouble = time.perf_counter() - start, trainer.history.stopped
    if trouble and not trainer.epoch:
        reason = trouble.partition(";")[0]
        print(f"fastnet: error: {reason}, so no model is written; lower --learning-rate", file=sys.stderr)
        return DIVERGED
    if trouble:
        print(f"fastnet: warning: {trouble}", file=sys.stderr)
    results = {} if job.test is None else _measure(job, network, job.test)
    _remember(job, trainer, seconds, results)
    network.save(model)
    if picture is not None:
        trainer.history.plot(picture)
    _conclude(job, trainer, seconds, results, options.quiet)
    if not options.quiet:
        print(f"wrote {model}" + ("" if picture is None else f" and {picture}"))
    return DIVERGED if trouble else 0


def _fit(job: _Job, trainer: Trainer, epochs: int, batch_size: int, quiet: bool) -> None:
    """Train, and show how it goes: a bar on a terminal, elsewhere some lines."""
    warnings.simplefilter("ignore", DivergenceWarning)  # the caller tells
    watched = sys.stderr is not None and sys.stderr.isatty()
    trainer.fit(
        job.train.x,
        _scaled_targets(job, job.train),
        epochs=epochs,
        batch_size=batch_size,
        validation=None if job.test is None else (job.test.x, _scaled_targets(job, job.test)),
        callbacks=[] if watched or quiet else [_Reports(epochs, len(job.train))],
        verbose=None if watched and not quiet else 0,
    )


def _check_outputs(source: str, model: Path, picture: Path | None) -> None:
    """Find out before the training, not after it, that something cannot be written."""
    if model.suffix == ".png" or model.is_dir():
        raise ValueError(f"--output is {model}; wanted a file's name, such as model.safetensors")
    if not model.parent.is_dir():
        raise ValueError(f"--output is {model}; there is no folder {model.parent}")
    if not os.access(model.parent, os.W_OK):
        raise ValueError(f"{model} cannot be written: its folder is read-only; choose another with --output")
    refuse_to_overwrite([source], [model, picture])
    if picture is not None and importlib.util.find_spec("matplotlib") is None:
        raise ImportError(
            "drawing the learning curves needs matplotlib: pip install 'fastnet[cli]', or add --no-plot"
        )


def refuse_to_overwrite(
    inputs: Sequence[str | os.PathLike[str]], outputs: Sequence[str | os.PathLike[str] | None]
) -> None:
    """Raise a `ValueError` if a file to be written is one of those that are read, under whatever name."""
    for output, source in itertools.product(outputs, inputs):
        if output is None or not (os.path.exists(output) and os.path.exists(source)):
            continue
        if os.path.samefile(output, source):
            raise ValueError(f"{output} is the same file as {source}, which is read; choose another --output")


def _scaled_targets(job: _Job, data: Dataset) -> NDArray[Any]:
    """Return labels as they are, and numbers on the scale that the network learns."""
    return data.y if job.target_scale is None else job.target_scale(data.y)


def _introduce(job: _Job, network: Network, epochs: int, batch_size: int) -> None:
    """Print what is going to happen."""
    tested = "" if job.test is None else f", {len(job.test):,} to test on"
    kind = f"{len(job.classes)} classes" if job.classes else f"regression of {_target(job)!r}"
    print(f"data      {job.name}: {len(job.train):,} samples to train on{tested}; {kind}")
    sizes = "-".join(str(network.graph.size(buffer)) for buffer in _layer_buffers(network))
    print(f"network   {sizes}, {network.parameters.size:,} parameters, {network.dtype.name}")
    threads = backends.get_num_threads()
    missing = " (installed without compiled kernels)" if backends.available() == ["numpy"] else ""
    print(f"backend   {backends.active()}{missing}, {threads} thread{'s' if threads > 1 else ''}")
    print(f"training  {epochs} epochs in batches of {min(batch_size, len(job.train))}", flush=True)


def _layer_buffers(network: Network) -> list[int]:
    """Return the numbers of the input's buffer and of those behind the dense layers."""
    return [0, *(op.output for op in network.graph.ops if op.kind == "dense")]


def _target(job: _Job) -> str:
    return str(job.metadata["columns"]["target"])


def _measure(job: _Job, network: Network, test: Dataset) -> dict[str, float]:
    """Return how good the network is on the held-out part, in the target's own units."""
    if job.target_scale is None:
        return {"accuracy": network.evaluate(test.x, test.y)["accuracy"]}
    predicted = job.target_scale.inverse(network.predict(test.x)[:, 0].astype(np.float64))
    return {"r2": r2(predicted, test.y), "rmse": math.sqrt(mean_squared_error(predicted, test.y))}


def _remember(job: _Job, trainer: Trainer, seconds: float, results: Mapping[str, float]) -> None:
    """Put into the network's metadata what predictions need, and how it came about."""
    trainer.network.metadata = {
        **job.metadata,
        "training": {
            "data": job.name,
            "rows": len(job.train),
            "test rows": 0 if job.test is None else len(job.test),
            "epochs": trainer.epoch,
            "optimizer": repr(trainer.optimizer),
            "seed": trainer.seed,
            "seconds": round(seconds, 3),
            "backend": backends.active(),
            "fastnet": fastnet.__version__,
            **{f"test {name}": value for name, value in results.items()},
        },
    }


def _conclude(job: _Job, trainer: Trainer, seconds: float, results: Mapping[str, float], quiet: bool) -> None:
    """Print how long it took and how good it is."""
    if not quiet:
        speed = trainer.epoch * len(job.train) / seconds
        print(f"time      {seconds:.2f} s for {trainer.epoch} epochs, {speed:,.0f} samples/s")
    if "accuracy" in results:
        print(f"test accuracy {results['accuracy']:.4f}")
    elif results:
        print(f"test R2 {results['r2']:.4f}, RMSE {results['rmse']:.6g}")
