"""Checkpoints: what a file keeps of a `Trainer`, beside its network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnet import losses, optimizers, storage
from fastnet.architecture import expected_tensors, lower, parse
from fastnet.arrays import as_count, as_number
from fastnet.checks import Array, check_loss, check_seed
from fastnet.history import History
from fastnet.losses import Loss
from fastnet.network import Network
from fastnet.optimizers import Optimizer

if TYPE_CHECKING:
    from fastnet.training import Trainer

__all__ = ["Checkpoint", "load", "save"]

# Counters are kept as float64, which is exact up to here.
_MOST_STEPS = 1 << 53


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a file keeps of a `Trainer`, checked.

    Attributes
    ----------
    network : Network
        With its parameters.
    optimizer : Optimizer
        The description; its state is in `state`.
    loss : Loss or None
        None where it was a function.
    seed, epoch, steps : int
        As in `Trainer`.
    rng_state : dict
        State of the generator that makes the order of samples.
    state : list of ndarray (P,)
        The optimizer's state vectors.
    history : History
        As it was.
    """

    network: Network
    optimizer: Optimizer
    loss: Loss | None
    seed: int
    epoch: int
    steps: int
    rng_state: dict[str, Any]
    state: list[Array]
    history: History


def save(trainer: Trainer, path: str | os.PathLike[str]) -> None:
    """Write a checkpoint."""
    loss, history = trainer.loss, trainer.history
    description = {
        "network": trainer.network.config(),
        "optimizer": trainer.optimizer.config(),
        "loss": _written_loss(loss) if isinstance(loss, Loss) else None,
        "seed": trainer.seed,
        "epoch": trainer.epoch,
        "steps": trainer.steps,
        "rng": _written_rng(trainer.rng.bit_generator.state),
        "history": {"names": list(history), "epochs": history.epochs, "stopped": history.stopped},
    }
    tensors = trainer.network.tensors()
    tensors |= {f"optimizer.{name}": vector for name, vector in trainer.state.items()}
    tensors |= {f"history.{name}": np.array(values, np.float64) for name, values in history.items()}
    tensors["epoch_seconds"] = np.array(history.epoch_seconds, np.float64)
    storage.write(path, "checkpoint", description, tensors)


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    FastnetFormatError
        It is not such a file, or a damaged one; the message says what is wrong with it.
    """
    parsed: list[dict[str, Any]] = []

    def expect(kind: str, description: dict[str, Any]) -> dict[str, storage.TensorKind]:
        wanted = expected_tensors(description["network"])
        layers, shape, dtype, _ = parse(description["network"])
        graph = lower(layers, shape)[1]
        fields = _parse(description)
        if fields["loss"] is not None:
            check_loss(fields["loss"], graph)
        parsed.append(fields)
        for name in fields["optimizer"].states:
            wanted[f"optimizer.{name}"] = ((graph.parameter_count,), dtype.name)
        history = description["history"]
        for name in history["names"]:
            wanted[f"history.{name}"] = ((history["epochs"],), "float64")
        wanted["epoch_seconds"] = ((history["epochs"],), "float64")
        return wanted

    _, description, tensors = storage.read(path, ("checkpoint",), expect)
    fields = parsed[0]
    history = History()
    names = description["history"]["names"]
    for epoch, seconds in enumerate(tensors["epoch_seconds"].tolist()):
        history.append({name: float(tensors[f"history.{name}"][epoch]) for name in names}, seconds)
    history.stopped = description["history"]["stopped"]
    state = [tensors[f"optimizer.{name}"] for name in fields["optimizer"].states]
    return Checkpoint(
        network=Network.from_config(description["network"], tensors), state=state, history=history, **fields
    )


def _parse(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a checkpoint that its description has, checked."""
    history = description["history"]
    as_count("history epochs", history["epochs"], 0)
    if not isinstance(history["stopped"], str) or not all(isinstance(name, str) for name in history["names"]):
        raise ValueError("the history is not one")
    if "loss" not in history["names"]:
        raise ValueError("the history has no loss")
    if description["seed"] is None:
        raise ValueError("seed is missing")
    return {
        "optimizer": optimizers.from_config(description["optimizer"]),
        "loss": _parse_loss(description["loss"]),
        "seed": check_seed(description["seed"]),
        "epoch": as_count("epoch", description["epoch"], 0, _MOST_STEPS),
        "steps": as_count("steps", description["steps"], 0, _MOST_STEPS),
        "rng_state": _parsed_rng(description["rng"]),
    }


def _parse_loss(loss: Mapping[str, Any] | None) -> Loss | None:
    """Return the loss of a description; None stays None."""
    if loss is None:
        return None
    numbers = {"parameter": loss["parameter"], "scale": loss.get("scale", 1.0)}
    for name, number in numbers.items():
        numbers[name] = as_number(f"loss {name}", number, 0.0)
        if numbers[name] == 0.0:
            raise ValueError(f"loss {name} is 0; wanted a positive number")
    return losses.get(loss["name"])._replace(**numbers)


def _written_loss(loss: Loss) -> dict[str, Any]:
    """Return a loss as JSON, which older versions read too where nothing is scaled."""
    scale = {} if loss.scale == 1.0 else {"scale": loss.scale}
    return {"name": loss.name, "parameter": loss.parameter, **scale}


def _written_rng(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a PCG64 state as JSON; its 128-bit numbers as text, as not every reader of JSON has them."""
    return {
        "state": hex(state["state"]["state"]),
        "increment": hex(state["state"]["inc"]),
        "has_uint32": int(state["has_uint32"]),
        "uinteger": int(state["uinteger"]),
    }


def _parsed_rng(rng: Mapping[str, Any]) -> dict[str, Any]:
    """Return the PCG64 state that `_written_rng` wrote, checked."""
    limit = (1 << 128) - 1
    words = {key: as_count(f"rng {key}", int(rng[key], 16), 0, limit) for key in ("state", "increment")}
    if words["increment"] % 2 == 0:
        raise ValueError("rng increment is even")
    return {
        "bit_generator": "PCG64",
        "state": {"state": words["state"], "inc": words["increment"]},
        "has_uint32": as_count("rng has_uint32", rng["has_uint32"], 0, 1),
        "uinteger": as_count("rng uinteger", rng["uinteger"], 0, (1 << 32) - 1),
    }
