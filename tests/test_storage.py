"""Files of networks and checkpoints: round trips, and files that are damaged, foreign or hostile."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import fastnet as fn
from fastnet import initializers


def network(dtype: str = "float32") -> fn.Network:
    layers = [
        fn.Flatten(),
        fn.Dense(6, "elu", bias=False, weights_init=initializers.uniform(-1.0, 1.0)),
        fn.Dropout(0.3),
        fn.Dense(3, "softmax", bias_init=[1, 2, 3]),
    ]
    net = fn.Network(layers, inputs=(2, 2), dtype=dtype, seed=11)
    net.metadata = {"classes": ["a", "ä", "c"], "mean": [0.1, 0.2]}
    return net


def content(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    with safe_open(path, framework="numpy") as file:
        return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def test_a_network_comes_back(backend: str, dtype: str, tmp_path: Path, rng: np.random.Generator) -> None:
    net = network(dtype)
    net.save(tmp_path / "net.safetensors")
    again = fn.load(str(tmp_path / "net.safetensors"))
    assert again.parameters.tobytes() == net.parameters.tobytes()
    assert again.config() == net.config()
    assert again.dtype == dtype and again.metadata == net.metadata and again.seed == 11
    x = rng.normal(size=(5, 2, 2))
    np.testing.assert_array_equal(again.predict(x), net.predict(x))
    again.fit(x, [0, 1, 2, 0, 1], epochs=1, verbose=0)  # it is a network like any other


def test_what_is_in_the_file(tmp_path: Path) -> None:
    net = network()
    net.save(tmp_path / "net.safetensors")
    metadata, tensors = content(tmp_path / "net.safetensors")
    assert {name: array.shape for name, array in tensors.items()} == {
        "layers.1.weights": (4, 6),
        "layers.3.weights": (6, 3),
        "layers.3.bias": (3,),
    }
    np.testing.assert_array_equal(tensors["layers.3.bias"], [1, 2, 3])
    assert (
        metadata["format"] == "fastnet"
        and metadata["format_version"] == "1"
        and metadata["kind"] == "network"
    )
    described = json.loads(metadata["description"])["network"]
    assert [layer["name"] for layer in described["layers"]] == ["flatten", "dense", "dropout", "dense"]


def test_given_values_and_functions_come_back_as_their_weights(tmp_path: Path) -> None:
    layers = [
        fn.Dense(2, weights_init=np.ones((3, 2)), bias_init=lambda rng, shape, i, o: np.full(shape, 0.5))
    ]
    net = fn.Network(layers, inputs=3)
    net.save(tmp_path / "net.safetensors")
    assert fn.load(tmp_path / "net.safetensors").parameters.tolist() == [1, 1, 1, 1, 1, 1, 0.5, 0.5]


def test_a_network_without_parameters(tmp_path: Path) -> None:
    fn.Network([fn.Flatten()], inputs=(2, 3)).save(tmp_path / "net.safetensors")
    assert (
        fn.load(tmp_path / "net.safetensors").predict(np.eye(6).reshape(6, 2, 3)).tolist()
        == np.eye(6).tolist()
    )


def test_values_that_are_not_finite_survive(tmp_path: Path) -> None:
    net = network()
    net.parameters[:2] = [np.nan, np.inf]
    net.save(tmp_path / "net.safetensors")
    assert fn.load(tmp_path / "net.safetensors").parameters.tobytes() == net.parameters.tobytes()


# ---- writing: whole or not at all --------------------------------------------------------------------


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.safetensors"
    net = network()
    net.save(path)
    old = path.read_bytes()
    net.parameters[...] = 0
    net.metadata["when"] = {1, 2}
    with pytest.raises(TypeError, match=r"metadata.*set"):
        net.save(path)
    net.metadata["when"] = float("nan")  # is not JSON either, though Python writes it
    with pytest.raises(ValueError, match="metadata"):
        net.save(path)
    net.metadata = {}

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            net.save(path)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]  # no remains
    net.save(path)
    assert path.read_bytes() != old and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "latest.safetensors"
    link.symlink_to(tmp_path / "real" / "net.safetensors")
    network().save(link)
    assert link.is_symlink() and fn.load(tmp_path / "real" / "net.safetensors").seed == 11


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_the_file_has_the_usual_rights(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    network().save(tmp_path / "net.safetensors")
    assert (tmp_path / "net.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        network().save(tmp_path / "nowhere" / "net.safetensors")


# ---- reading what is not right -----------------------------------------------------------------------


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.safetensors"):
        fn.load(tmp_path / "nothing.safetensors")
    with pytest.raises(FileNotFoundError, match=r"nothing\.ckpt"):
        fn.Trainer.load(tmp_path / "nothing.ckpt")
    with pytest.raises(OSError, match=tmp_path.name):
        fn.load(tmp_path)


def test_truncated_files(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    network().save(path)
    whole = path.read_bytes()
    for length in (0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(
            fn.FastnetFormatError, match=r"net\.safetensors: not a safetensors file, or a damaged"
        ):
            fn.load(path)


@pytest.mark.parametrize(
    "foreign",
    [b"PK\x03\x04 a zip file, such as PyTorch writes", b"\x93NUMPY", b"{}", b"\xff" * 100, b"\0" * 100],
)
def test_foreign_files(tmp_path: Path, foreign: bytes) -> None:
    (tmp_path / "model").write_bytes(foreign)
    for load in (fn.load, fn.Trainer.load):
        with pytest.raises(fn.FastnetFormatError, match="model: "):
            load(tmp_path / "model")


def test_another_programs_safetensors(tmp_path: Path) -> None:
    save_file({"weight": np.zeros(3, np.float32)}, tmp_path / "model")
    with pytest.raises(
        fn.FastnetFormatError, match="model: a safetensors file, but not one that fastnet wrote"
    ):
        fn.load(tmp_path / "model")


Damage = Callable[[dict[str, str], dict[str, np.ndarray], dict[str, Any]], object]


def item(*path: Any, value: Any) -> Damage:
    """Set one item of the description."""

    def damage(metadata: dict[str, str], tensors: dict[str, np.ndarray], description: dict[str, Any]) -> None:
        place: Any = description
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return damage


def head(key: str, value: str) -> Damage:
    """Set one item of the metadata."""
    return lambda metadata, tensors, description: metadata.update({key: value})


def tensor(name: str, value: np.ndarray | None) -> Damage:
    """Set or remove a tensor."""
    if value is None:
        return lambda metadata, tensors, description: tensors.pop(name)
    return lambda metadata, tensors, description: tensors.update({name: value})


WEIGHTS = "layers.1.weights"
NETWORK_DAMAGE = {
    "future version": (
        head("format_version", "2"),
        "format version is 2; this fastnet reads up to 1: install",
    ),
    "no version": (head("format_version", "new"), "format version is 'new'"),
    "huge version": (head("format_version", "9" * 5000), "format version is '9999"),
    "unknown kind": (head("kind", "virus"), "holds a virus; wanted a network"),
    "not JSON": (head("description", "{"), "description is not JSON"),
    "empty JSON": (head("description", ""), "description is not JSON"),
    "deep JSON": (head("description", "[" * 100_000), "description is not JSON"),
    "a huge number": (head("description", "9" * 100_000), "description is"),
    "a list": (head("description", "[]"), "description is a list"),
    "no network": (head("description", "{}"), "description lacks 'network'"),
    "network is a list": (item("network", value=[]), "description is wrong"),
    "no layers": (item("network", "layers", value=[]), "layers is empty"),
    "layers is a number": (item("network", "layers", value=7), "description is wrong"),
    "layer is a text": (item("network", "layers", 0, value="flatten"), "description is wrong"),
    "unknown layer": (item("network", "layers", 0, "name", value="os.system"), "unknown layer 'os.system'"),
    "unknown activation": (
        item("network", "layers", 1, "activation", value="evil"),
        "unknown activation 'evil'",
    ),
    "unknown argument": (item("network", "layers", 1, "hook", value="evil"), "hook"),
    "unknown initializer": (item("network", "layers", 1, "weights_init", value={"name": "evil"}), "evil"),
    "absurd units": (
        item("network", "layers", 1, "units", value=10**18),
        r"shape \(4, 6\); wanted \(4, 10000",
    ),
    "fractional units": (item("network", "layers", 1, "units", value=6.5), "units is 6.5"),
    "endless units": (item("network", "layers", 1, "units", value=float("inf")), "units is inf"),
    "absurd inputs": (item("network", "inputs", value=[10**9, 10**9]), WEIGHTS),
    "negative inputs": (item("network", "inputs", value=[-4]), "inputs is -4"),
    "inputs not flat": (item("network", "layers", 0, value={"name": "dropout", "rate": 0.1}), r"Flatten\(\)"),
    "wrong rate": (item("network", "layers", 2, "rate", value=1.5), "rate is 1.5"),
    "other dtype": (item("network", "dtype", value="float64"), "is F32; wanted F64"),
    "unknown dtype": (item("network", "dtype", value="object"), "dtype is 'object'"),
    "no seed": (item("network", "seed", value=None), "seed is missing"),
    "text as seed": (item("network", "seed", value="x"), "seed is 'x'"),
    "metadata is a list": (item("network", "metadata", value=[1]), "metadata"),
    "missing tensor": (tensor(WEIGHTS, None), "lacks tensor 'layers.1.weights'"),
    "additional tensor": (tensor("layers.9.bias", np.zeros(2, np.float32)), "unknown tensor 'layers.9.bias'"),
    "transposed tensor": (tensor(WEIGHTS, np.zeros((6, 4), np.float32)), r"shape \(6, 4\); wanted \(4, 6\)"),
    "other tensor": (tensor(WEIGHTS, np.zeros((4, 6), np.int32)), "is I32; wanted F32"),
    "half tensor": (tensor(WEIGHTS, np.zeros((4, 6), np.float16)), "is F16; wanted F32"),
}


def damaged(path: Path, damage: Damage) -> None:
    """Change a file that is right."""
    metadata, tensors = content(path)
    description = json.loads(metadata["description"])
    before = json.dumps(description)
    damage(metadata, tensors, description)
    if json.dumps(description) != before:
        metadata["description"] = json.dumps(description)
    save_file(tensors, path, metadata)


@pytest.mark.parametrize("name", NETWORK_DAMAGE)
def test_damaged_networks(tmp_path: Path, name: str) -> None:
    damage, message = NETWORK_DAMAGE[name]
    path = tmp_path / "net.safetensors"
    network().save(path)
    damaged(path, damage)
    with pytest.raises(fn.FastnetFormatError, match=rf"net\.safetensors: .*{message}"):
        fn.load(path)


CHECKPOINT_DAMAGE = {
    **NETWORK_DAMAGE,
    "unknown kind": (head("kind", "virus"), "holds a virus; wanted a checkpoint"),
    "no optimizer": (item("optimizer", value=None), "description is wrong"),
    "unknown optimizer": (item("optimizer", "name", value="evil"), "unknown optimizer 'evil'"),
    "wrong learning rate": (item("optimizer", "learning_rate", value={"name": "constant"}), "learning_rate"),
    "wrong momentum": (item("optimizer", "beta1", value=2.0), r"beta1 must be in \[0, 1\)"),
    "other optimizer": (
        item("optimizer", value={"name": "sgd", "learning_rate": {"name": "constant", "learning_rate": 0.1}}),
        "unknown tensor 'optimizer.mean'",
    ),
    "unknown loss": (item("loss", "name", value="evil"), "unknown loss 'evil'"),
    "loss that does not fit": (item("loss", "name", value="binary_cross_entropy"), "does not fit"),
    "wrong loss parameter": (item("loss", "parameter", value=-1.0), "loss parameter is -1"),
    "negative steps": (item("steps", value=-1), "steps is -1"),
    "fractional epoch": (item("epoch", value=1.5), "epoch is 1.5"),
    "huge steps": (item("steps", value=10**30), "steps is 1000"),
    "no rng": (item("rng", value={}), "lacks 'state'"),
    "even increment": (item("rng", "increment", value="0x2"), "increment is even"),
    "large rng": (item("rng", "state", value="0x" + "f" * 40), "rng state is"),
    "odd rng": (item("rng", "has_uint32", value=2), "has_uint32 is 2"),
    "absurd history": (item("history", "epochs", value=10**18), "epoch_seconds|history"),
    "history without loss": (item("history", "names", value=[]), "history has no loss"),
    "history of numbers": (item("history", "names", value=[1, 2]), "history"),
    "short history": (tensor("history.loss", np.zeros(1)), r"shape \(1,\); wanted \(2,\)"),
    "missing state": (tensor("optimizer.mean", None), "lacks tensor 'optimizer.mean'"),
    "short state": (tensor("optimizer.mean", np.zeros(3, np.float32)), r"wanted \(45,\)"),
}


@pytest.mark.parametrize("name", CHECKPOINT_DAMAGE)
def test_damaged_checkpoints(tmp_path: Path, name: str) -> None:
    damage, message = CHECKPOINT_DAMAGE[name]
    path = tmp_path / "run.ckpt"
    trainer = fn.Trainer(network(), optimizer=fn.Adam(0.01))
    trainer.fit(np.ones((4, 2, 2)), [0, 1, 2, 0], epochs=2, verbose=0)
    trainer.save(path)
    fn.Trainer.load(path)
    damaged(path, damage)
    with pytest.raises(fn.FastnetFormatError, match=rf"run\.ckpt: .*({message})"):
        fn.Trainer.load(path)


def test_networks_and_checkpoints_are_not_confused(tmp_path: Path) -> None:
    net = network()
    net.save(tmp_path / "net")
    fn.Trainer(net).save(tmp_path / "run")
    with pytest.raises(fn.FastnetFormatError, match=r"run: it holds a checkpoint.*Trainer\.load"):
        fn.load(tmp_path / "run")
    with pytest.raises(fn.FastnetFormatError, match=r"net: it holds a network.*fastnet\.load"):
        fn.Trainer.load(tmp_path / "net")


def test_every_flipped_byte_of_the_head_is_survived(tmp_path: Path) -> None:
    """Whatever one byte becomes, reading ends in a network or in the one error that it may end in."""
    path = tmp_path / "net.safetensors"
    net = fn.Network([fn.Dense(2, "relu")], inputs=2, seed=0)
    net.save(path)
    whole = path.read_bytes()
    head_length = len(whole) - net.parameters.nbytes
    outcomes = set()
    for position in range(0, head_length, 3):
        for value in (0x00, 0x39, 0xFF):
            path.write_bytes(whole[:position] + bytes([value]) + whole[position + 1 :])
            try:
                outcomes.add(type(fn.load(path)).__name__)
            except fn.FastnetFormatError:
                outcomes.add("error")
    assert outcomes == {"Network", "error"}
