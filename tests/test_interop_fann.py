"""FANN's files in: what the real FANN wrote and made of them, and files that are damaged or hostile.

``data/fann/make.c`` wrote the files and, beside them, inputs and what `fann_run` gave for each.
"""

from __future__ import annotations

import re
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnet as fn

FILES = Path(__file__).parent / "data" / "fann"
NEURONS = "neurons (num_inputs, activation_function, activation_steepness)="
CONNECTIONS = "connections (connected_to_neuron, weight)="

# How far from FANN's outputs ours may be in float64; FANN computed in float32 but for the last.
BOUNDS = {
    "steepness": 1e-6,
    "sparse": 1e-7,
    "scaled": 2e-5,  # of about 70
    "scaled_sigmoid": 2e-5,
    "steepest": 8e-6,  # FANN cuts total inputs
    "xor_double": 1e-14,
}


def outputs_of_fann(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs, and what FANN gave for them."""
    inputs = {"steepness": 3, "sparse": 6, "stepwise": 3}.get(name, 2)
    x, y = np.split(np.loadtxt(FILES / f"{name}.csv", delimiter=",", ndmin=2), [inputs], axis=1)
    return x, y


def difference(net: fn.Network, name: str) -> float:
    x, y = outputs_of_fann(name)
    return float(np.abs(net.predict(x) - y).max())


# ---- files of the real FANN ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", BOUNDS)
def test_outputs_are_those_of_fann(backend: str, name: str) -> None:
    path = FILES / f"{name}.net"
    assert difference(fn.from_fann(path, dtype="float64"), name) <= BOUNDS[name]
    net = fn.from_fann(str(path))
    assert net.dtype == "float32"
    assert difference(net, name) <= max(BOUNDS[name], 1e-6)


def half_steep(net: fn.Network) -> None:
    net.layers[1].weights *= 0.5


def no_bias(net: fn.Network) -> None:
    net.layers[0].bias[...] = 0


def transposed(net: fn.Network) -> None:
    net.layers[1].weights[:4, :4] = net.layers[1].weights[:4, :4].T.copy()


def one_neuron(net: fn.Network) -> None:
    net.layers[0].weights[:, 1] *= 1.01


@pytest.mark.parametrize("plant", [half_steep, no_bias, transposed, one_neuron])
def test_a_planted_difference_is_found(plant: Callable[[fn.Network], None]) -> None:
    net = fn.from_fann(FILES / "steepness.net", "float64")
    assert difference(net, "steepness") <= BOUNDS["steepness"]
    plant(net)
    assert difference(net, "steepness") > 1e-3


def test_what_the_networks_are() -> None:
    shown = {name: list(fn.from_fann(FILES / f"{name}.net").layers) for name in BOUNDS}
    assert repr(shown["steepness"]) == "[Dense(5, 'tanh'), Dense(4, 'sigmoid'), Dense(2, 'identity')]"
    assert repr(shown["scaled"]) == "[Dense(4, 'tanh'), Dense(2, 'identity')]"
    assert repr(shown["scaled_sigmoid"]) == "[Dense(4, 'tanh'), Dense(2, 'sigmoid'), Dense(2, 'identity')]"


def test_connections_that_are_not_there_are_zeros() -> None:
    net = fn.from_fann(FILES / "sparse.net")
    assert [int((layer.weights == 0).sum()) for layer in net.layers] == [30 - 12, 15 - 6]
    assert all((layer.bias != 0).all() for layer in net.layers)


def test_stepwise_functions_are_read_as_the_exact_ones_with_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"stepwise\.net has FANN_SIGMOID_STEPWISE.*up to 0\.034") as record:
        net = fn.from_fann(FILES / "stepwise.net", "float64")
    assert record[0].filename == __file__ and len(record) == 1
    assert 1e-3 < difference(net, "stepwise") < 0.05
    symmetric = changed("stepwise", lambda text: text.replace(", 4, 5.0", ", 6, 5.0"))
    with pytest.warns(UserWarning, match=r"FANN_SIGMOID_SYMMETRIC_STEPWISE.*up to 0\.067"):
        assert [one.activation for one in from_text(symmetric).layers] == ["tanh", "tanh"]


def test_the_warning_tells_how_far_stepwise_functions_are() -> None:
    """By the points of fann_activation.h between which they are lines; beyond, they are at their limits."""
    places = np.array([-2.646652937, -1.472219348, -0.5493061543, 0.5493061543, 1.472219348, 2.646652937])
    z = np.linspace(-6, 6, 100_001)

    def lines(values: list[float], low: float) -> np.ndarray:
        found = np.interp(z, places, values)
        return np.where(z < places[0], low, np.where(z >= places[-1], 1.0, found))

    tanh = np.abs(lines([-0.99, -0.9, -0.5, 0.5, 0.9, 0.99], -1.0) - np.tanh(z)).max()
    sigmoid = np.abs(lines([0.005, 0.05, 0.25, 0.75, 0.95, 0.995], 0.0) - 1 / (1 + np.exp(-2 * z))).max()
    assert 0.066 < tanh <= 0.067 and 0.033 < sigmoid <= 0.034


def test_fann_keeps_linear_outputs_within_bounds_and_we_do_not() -> None:
    x, y = outputs_of_fann("cut")
    found = fn.from_fann(FILES / "cut.net", "float64").predict(x)
    assert np.abs(found).max() > 50
    np.testing.assert_allclose(np.clip(found, -150 / 4, 150 / 4), y, rtol=0, atol=2e-5)


def test_it_can_be_saved_and_trained_on(tmp_path: Path) -> None:
    net = fn.from_fann(FILES / "xor_double.net")
    x = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
    y = -x[:, 0] * x[:, 1]
    net.fit(x, y, loss="mean_squared_error", optimizer=fn.Adam(0.05), epochs=300, verbose=0, seed=0)
    assert (np.sign(net.predict(x)[:, 0]) == y).all()
    net.save(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(fn.load(tmp_path / "net.safetensors").predict(x), net.predict(x))


# ---- what is refused, and what is not -----------------------------------------------------------------


@pytest.fixture(autouse=True)
def folder_of_files(folder: Path) -> None:
    """`from_text` writes into the current folder."""


def from_text(text: str | bytes, dtype: str = "float32") -> fn.Network:
    Path("a.net").write_bytes(text if isinstance(text, bytes) else text.encode())
    return fn.from_fann("a.net", dtype)


def changed(name: str, change: Callable[[str], str]) -> str:
    """A file with a change, which must be one."""
    text = (FILES / f"{name}.net").read_text()
    assert change(text) != text
    return change(text)


def line(key: str, value: str | None) -> Callable[[str], str]:
    """Give a line another value, or leave it out."""
    new = "" if value is None else f"{key}={value}\n"
    return lambda text: re.sub(rf"^{re.escape(key)}=.*\n", lambda found: new, text, flags=re.M)


def swap(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("shortcut", r"its network_type is 1; wanted 0, a layered network"),
        (
            "gaussian",
            r"layer 1 has FANN_GAUSSIAN, which no activation here equals; wanted one of FANN_LINEAR",
        ),
        ("mixed", r"layer 1 has units with different activations \(FANN_LINEAR, FANN_SIGMOID\)"),
        ("fixed", r"it is a network of whole numbers \(FANN_FIX_2\.0\)"),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(name: str, message: str) -> None:
    with pytest.raises(fn.FastnetFormatError, match=rf"{name}\.net: {message}"):
        fn.from_fann(FILES / f"{name}.net")


@pytest.mark.parametrize("number", range(20))
def test_every_activation_of_fann_is_read_or_refused(number: int) -> None:
    text = changed("xor_double", lambda text: text.replace(", 5, 5.0", f", {number}, 5.00"))
    if number in (0, 3, 5):
        assert {layer.activation for layer in from_text(text).layers} <= {"identity", "sigmoid", "tanh"}
    elif number in (4, 6):
        with pytest.warns(UserWarning, match="STEPWISE"):
            from_text(text)
    else:
        name = (
            "FANN_[A-Z_]+, which no activation"
            if number < 18
            else f"the unknown activation function {number}"
        )
        with pytest.raises(fn.FastnetFormatError, match=rf"layer 1 has {name}"):
            from_text(text)


ACCEPTED = {
    "version 2.0": lambda text: line("scale_included", None)(text.replace("FLO_2.1", "FLO_2.0")),
    "lines of Windows": lambda text: text.replace("\n", "\r\n"),
    "no last newline": lambda text: text.rstrip(),
    "other spaces": lambda text: text.replace(") (", ")   ("),
    "another training": lambda text: line("training_algorithm", "0")(line("rprop_delta_max", None)(text)),
    "keys of another version": lambda text: text.replace(
        "layer_sizes", "sarprop_temperature=0.015\nlayer_sizes"
    ),
    "shorter numbers": lambda text: text.replace("5.00000000000000000000e-01", ".5"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_files_of_other_versions_and_systems(name: str) -> None:
    net = from_text(changed("steepness", ACCEPTED[name]), "float64")
    assert difference(net, "steepness") <= BOUNDS["steepness"]


BIG = "9" * 400
DAMAGE: dict[str, tuple[str, Callable[[str], str], str]] = {
    "version 1.1": (
        "sparse",
        swap("FLO_2.1", "FLO_1.1"),
        r"its version is FANN_FLO_1\.1; wanted FANN_FLO_2\.0 or",
    ),
    "a later version": ("sparse", swap("FLO_2.1", "FLO_3.0"), "its version is FANN_FLO_3"),
    "a decimal comma": (
        "sparse",
        lambda text: re.sub(r"(\d)\.(\d)", r"\1,\2", text).replace("FLO_2,1", "FLO_2.1"),
        r"its numbers have commas \(learning_rate=0,700000\).*LC_NUMERIC=C",
    ),
    "not text": ("sparse", swap("layer_sizes", "layer_s\xefzes"), "it is not text: byte 0xc3"),
    "no layers": ("sparse", line("num_layers", None), "it lacks 'num_layers'; it may have been cut off"),
    "no sizes": ("sparse", line("layer_sizes", None), "it lacks 'layer_sizes'"),
    "no neurons": ("sparse", line(NEURONS[:-1], None), "it lacks 'neurons"),
    "no connections": ("sparse", line(CONNECTIONS[:-1], None), "it lacks 'connections"),
    "twice": ("sparse", swap("num_layers=3\n", "num_layers=3\nnum_layers=3\n"), "it has 'num_layers' twice"),
    "other number of layers": (
        "sparse",
        line("num_layers", "4"),
        "num_layers '4'; wanted two layers or more",
    ),
    "many layers": ("sparse", line("num_layers", "4294967295"), "num_layers '4294967295'"),
    "layers in words": ("sparse", line("num_layers", "three"), "num_layers is 'three'; wanted a number"),
    "layers of NaN": ("sparse", line("num_layers", "nan"), "num_layers 'nan'"),
    "an empty number": ("sparse", line("num_layers", ""), "num_layers is ''; wanted a number"),
    "one layer": (
        "sparse",
        lambda t: line("num_layers", "1")(line("layer_sizes", "7")(t)),
        "layer_sizes is '7'",
    ),
    "an empty layer": ("sparse", line("layer_sizes", "7 1 4"), "layer_sizes is '7 1 4'"),
    "negative size": (
        "sparse",
        line("layer_sizes", "7 -6 4"),
        r"layer_sizes has '-6 4' where a number or item",
    ),
    "absurd sizes": (
        "sparse",
        line("layer_sizes", "999999999 999999999 999999999"),
        "it has 17 neurons; its lay",
    ),
    "more absurd sizes": ("sparse", line("layer_sizes", f"{BIG} 6 4"), "layer_sizes has '9999"),
    "fractional size": ("sparse", line("layer_sizes", "7 6.5 4"), r"layer_sizes has '6\.5 4'"),
    "sizes in another order": (
        "sparse",
        line("layer_sizes", "6 7 4"),
        "first layer have connections|unit without",
    ),
    "no sizes at all": ("sparse", line("layer_sizes", ""), "layer_sizes is ''"),
    "a shortcut": ("sparse", line("network_type", "1"), "its network_type is 1"),
    "an unknown type": ("sparse", line("network_type", "7"), "its network_type is 7"),
    "connection rate of words": ("sparse", line("connection_rate", "all"), "connection_rate is 'all'"),
    "neurons that are none": ("sparse", line(NEURONS[:-1], "none"), "neurons has 'none' where"),
    "a neuron less": (
        "sparse",
        swap("(0, 3, 0.00000000000000000000e+00) ", ""),
        "it has 16 neurons; its layer_sizes",
    ),
    "a neuron with many connections": (
        "sparse",
        swap("(4, 5,", "(999999999, 5,"),
        "it has 26 connections; its neu",
    ),
    "a neuron with a connection more": (
        "sparse",
        swap("(4, 5,", "(5, 5,"),
        "it has 26 connections; its neurons have 27",
    ),
    "an input with connections": (
        "xor_double",
        swap("(0, 0,", "(3, 0,"),
        "it has 17 connections; its neurons have 20",
    ),
    "connections at the wrong layer": (
        "xor_double",
        lambda text: swap("(3, 5,", "(0, 5,")(swap("(0, 0,", "(3, 0,")(text)),
        "neurons of its first layer have connections",
    ),
    "a unit without connections": (
        "xor_double",
        lambda text: swap("(3, 5,", "(0, 5,")(swap("(3, 5,", "(6, 5,")(text)),
        "layer 1 has a unit without connections or a bias with some",
    ),
    "a bias with connections": (
        "xor_double",
        lambda text: swap("(0, 5, 0.0", "(1, 5, 0.0")(swap("(3, 5,", "(2, 5,")(text)),
        "layer 1 has a unit without connections or a bias with some",
    ),
    "from the layer after": (
        "sparse",
        swap("(6, -7.", "(7, -7."),
        "layer 1 is connected to neurons 0 to 7; wanted",
    ),
    "from nowhere": (
        "sparse",
        swap("(12, 1.", "(999999999, 1."),
        r"layer 2 is connected .* to 999999999; wanted.*7 to 12",
    ),
    "from before the layer": ("sparse", swap("(12, 1.", "(0, 1."), "layer 2 is connected to neurons 0 to 12"),
    "the same twice": ("sparse", swap("(6, -7.8", "(4, -7.8"), "layer 1 has the same connection twice"),
    "out of order": (
        "xor_double",
        lambda text: re.sub(r"=\(0, (\S+)\) \(1, ", r"=(1, \1) (0, ", text),
        "layer 1 lacks connections or has them out of order at connection_rate 1",
    ),
    "not all of them": (
        "sparse",
        line("connection_rate", "1.000000"),
        "layer 1 lacks connections or has them",
    ),
    "negative connection": ("sparse", swap("(4, 8.", "(-4, 8."), r"connections has '\(-4, 8\.4"),
    "three numbers": ("sparse", swap("(4, 8.", "(4, 5, 8."), r"connections has '\(4, 5, 8\.4"),
    "no number": ("sparse", swap("(4, 8.", "(4, e8."), r"connections has '\(4, e8\.4"),
    "two points": ("sparse", swap("(4, 8.", "(4, 8.."), r"connections has '\(4, 8\.\.4"),
    "underscores": ("sparse", swap("(4, 8.", "(4, 8_0."), "connections has"),
    "hexadecimal": ("sparse", swap("(4, 8.", "(4, 0x8."), "connections has"),
    "a weight too large": (
        "sparse",
        swap("519531e-01)", "519531e+999)"),
        r"layers\[0\]: bias\[0\] is -inf; wanted finite",
    ),
    "a weight of infinity": ("sparse", swap("(4, 8.", "(4, inf) (4, 8."), "it has 27 connections"),
    "a weight of NaN": (
        "sparse",
        lambda text: re.sub(r"\(4, 8\S+\)", "(4, -nan)", text),
        r"weights\[4, 0\] is nan",
    ),
    "too large for float32": (
        "sparse",
        swap("519531e-01)", "519531e+40)"),
        r"layers\[0\]: bias\[0\] is -inf",
    ),
    "a long number": ("sparse", lambda text: re.sub(r"\(4, 8\S+\)", f"(4, {BIG})", text), "connections has"),
    "steepness 0": ("sparse", swap("5, 5.0", "5, 0.0"), "layer 1 has a steepness of 0; wanted more than 0"),
    "steepness below": ("sparse", swap("5, 5.0", "5, -5.0"), r"layer 1 has a steepness of -0\.5"),
    "steepness of NaN": ("sparse", lambda text: re.sub(r"5, 5\S+\)", "5, nan)", text), "a steepness of nan"),
    "steepness of infinity": (
        "sparse",
        lambda text: re.sub(r"5, 5\S+\)", "5, inf)", text),
        "a steepness of inf",
    ),
    "too steep": (
        "sparse",
        lambda text: re.sub(r"5, 5\S+\)", "5, 24.5)", text),
        r"of 24\.5; wanted more than 0 and, but",
    ),
    "scaling cut off": ("scaled", line("scale_factor_out", None), "it lacks 'scale_factor_out'; it may"),
    "short scaling": (
        "scaled",
        line("scale_mean_in", "1.0"),
        r"scale_mean_in is '1\.0'; wanted 2 finite numbers",
    ),
    "scaling of NaN": (
        "scaled",
        line("scale_new_min_out", "1.0 nan"),
        "scale_new_min_out is '1.0 nan'; wanted 2",
    ),
    "scaling by 0": ("scaled", line("scale_deviation_in", "1.0 0.000000"), "scale_deviation_in has a 0"),
    "scaling by factor 0": ("scaled", line("scale_factor_out", "0.000000 1.0"), "scale_factor_out has a 0"),
    "scaling of words": (
        "scaled",
        line("scale_factor_out", "much 1.0"),
        "scale_factor_out has 'much 1.0' where",
    ),
    "scaling too large": (
        "scaled",
        line("scale_factor_in", "1e300 1.0"),
        r"layers\[0\]: \w+\[0.*\] is -?inf",
    ),
    "vanishing scaling": (
        "scaled",
        line("scale_factor_out", "1e-300 1.0"),
        r"layers\[1\]: \w+\[0.*\] is -?inf",
    ),
    "overflowing scaling": (
        "scaled",
        lambda t: line("scale_deviation_in", "1e-300 1.0")(line("scale_factor_in", "1e300 1.0")(t)),
        r"layers\[0\]: \w+\[0.*\] is (-?inf|nan)",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files(name: str) -> None:
    original, change, message = DAMAGE[name]
    with pytest.raises(fn.FastnetFormatError, match=rf"^a\.net: .*({message})"):
        from_text(changed(original, change))


@pytest.mark.parametrize(
    "head", [b"", b"\n", b"{}", b"PK\x03\x04", b"\x93NUMPY", b"\xff" * 100, b"FANN", b"\0" * 9]
)
def test_foreign_files(head: bytes) -> None:
    with pytest.raises(fn.FastnetFormatError, match=r"^a\.net: it begins with .*; wanted FANN's text format"):
        from_text(head)


def test_missing_files_and_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.net"):
        fn.from_fann(tmp_path / "nothing.net")
    with pytest.raises(OSError, match=tmp_path.name):
        fn.from_fann(tmp_path)
    with pytest.raises(ValueError, match=r"^dtype is 'float16'"):
        fn.from_fann(FILES / "sparse.net", dtype="float16")


# ---- truncated, mutated, hostile ----------------------------------------------------------------------


def outcome(content: bytes) -> str:
    """A network, or the one error that reading may end in; it takes no more memory than 100 such files."""
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*STEPWISE", category=UserWarning)
            return type(from_text(content)).__name__
    except fn.FastnetFormatError:
        return "error"
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1_000_000 + 100 * len(content), peak


@pytest.mark.parametrize("name", ["scaled", "sparse"])
def test_truncated_files(name: str) -> None:
    whole = (FILES / f"{name}.net").read_bytes()
    complete = len(whole.rstrip())
    for length in {*range(0, complete, 11), complete - 1}:
        assert outcome(whole[:length]) == "error", length
    assert outcome(whole[:complete]) == "Network"


TOKENS = st.sampled_from(
    [
        "",
        "0",
        "1",
        "-1",
        "7",
        "1e999",
        "-nan",
        "inf",
        "999999999",
        "4294967296",
        "0,5",
        "(",
        ")",
        "=",
        "\n",
        "9" * 99,
    ]
)


@settings(max_examples=300)
@given(name=st.sampled_from(["steepness", "sparse", "scaled_sigmoid"]), data=st.data())
def test_mutated_files(name: str, data: st.DataObject) -> None:
    """Some numbers of the file become others."""
    parts = re.split(r"([-+.\de]+)", (FILES / f"{name}.net").read_text())
    for _ in range(data.draw(st.integers(1, 3))):
        parts[data.draw(st.integers(0, len(parts) - 1))] = data.draw(TOKENS)
    assert outcome("".join(parts).encode()) in ("Network", "error")


@settings(max_examples=200)
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_files_with_a_changed_byte(place: int, byte: int) -> None:
    content = bytearray((FILES / "steepness.net").read_bytes())
    content[place % len(content)] = byte
    assert outcome(bytes(content)) in ("Network", "error")


def sparse_text(inputs: int, units: int) -> str:
    """A file that is right, in which each unit has one connection."""
    neurons = "(0, 0, 0.0) " * (inputs + 1) + "(1, 0, 1.0) " * units + "(0, 0, 0.0) "
    connections = "".join(f"({unit % inputs}, 1.0) " for unit in range(units))
    return (
        "FANN_FLO_2.1\nnum_layers=2\nlearning_rate=0.7\nconnection_rate=0.1\nnetwork_type=0\n"
        f"layer_sizes={inputs + 1} {units + 1} \n{NEURONS}{neurons}\n{CONNECTIONS}{connections}\n"
    )


def test_a_file_cannot_ask_for_much_more_memory_than_it_has() -> None:
    assert from_text(sparse_text(40, 50)).parameters.sum() == 50
    content = sparse_text(20_000, 20_000).encode()  # 1 MB, but 400 million weights
    with pytest.raises(
        fn.FastnetFormatError, match=r"would need 400020000 weights for its 20000 connections"
    ):
        from_text(content)
    assert outcome(content) == "error"


def test_a_reader_that_asks_for_more_memory_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastnet.interop.fann._SPARSEST", 1e9)
    with pytest.raises(AssertionError):
        outcome(sparse_text(3000, 3000).encode())


@pytest.mark.parametrize(
    "text",
    ["9" * 2_000_000, "(" * 2_000_000, "(1, 1.0) " * 200_000 + "x", "1." * 1_000_000, " " * 2_000_000 + "x"],
)
def test_long_lines_take_no_long_time(text: str) -> None:
    for key in (NEURONS[:-1], CONNECTIONS[:-1], "layer_sizes", "connection_rate"):
        damaged = changed("sparse", line(key, text))
        with pytest.raises(fn.FastnetFormatError):  # quadratic time would take hours
            from_text(damaged)
