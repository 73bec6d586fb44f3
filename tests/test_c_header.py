"""Networks as C headers, compiled without a warning and compared with `predict` number by number."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from c_programs import C99, CPP11, Array, gcc, need, run, unit

import fastnet as fn
from fastnet import backends
from fastnet.activations import ACTIVATIONS
from fastnet.interop import c_header, c_source
from fastnet.layers import Layer

ROWS = 20
MODES = (None, "int8")


def random_network(seed: int) -> fn.Network:
    """One of many kinds: depths, widths, activations, with and without bias, in both dtypes."""
    rng = np.random.default_rng(seed)
    names = list(ACTIVATIONS)
    layers: list[Layer] = [fn.Flatten(), fn.Dropout(0.5)] if seed % 5 == 0 else []
    for index in range(1 + seed % 4):
        name = names[seed % len(names)] if index == 0 else str(rng.choice(names))
        bias = fn.initializers.normal(0.3)
        layers.append(fn.Dense(int(rng.integers(1, 40)), name, bias=bool(rng.random() < 0.8), bias_init=bias))
    inputs = (2, 3, int(rng.integers(1, 9))) if seed % 5 == 0 else int(rng.integers(1, 80))
    return fn.Network(layers, inputs, dtype=("float32", "float64")[seed % 2], seed=seed)


def rows_for(net: fn.Network, seed: int = 0, rows: int = ROWS) -> Array:
    """Samples from small to large, of float32: (rows, *input_shape)."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, *net.input_shape)) * 10 ** np.linspace(-2, 1, rows).reshape(
        -1, *[1] * len(net.input_shape)
    )
    return x.astype(np.float32)


def flat(array: Array) -> Array:
    return array.reshape(len(array), -1)


def distance(found: Array, wanted: Array) -> Array:
    """Differences in terms of each row's largest output, or of 1."""
    wanted = flat(wanted)
    return np.abs(found - wanted) / np.maximum(1, np.abs(wanted).max(axis=1, keepdims=True))


def twin(net: fn.Network, x: Array) -> Array:
    """What int8 computes, in NumPy."""
    return c_header.forward(c_header.read_steps(net, "int8"), flat(x))


# ---- what is computed


def test_every_activation_has_its_c() -> None:
    assert list(c_source.ACTIVATIONS) == list(ACTIVATIONS)


def test_headers_compute_what_networks_compute(tmp_path: Path, tested_backends: list[str]) -> None:
    nets = {f"net{seed}": random_network(seed) for seed in range(22)}
    nets["wide"] = fn.mlp(
        [784, 30, 10], output="softmax", seed=0
    )  # more than 516 inputs: other whole numbers
    nets["nothing"] = fn.Network([fn.Flatten(), fn.Dropout(0.5)], (3, 5))
    for name, net in nets.items():
        net.to_c(tmp_path / f"{name}.h")
        net.to_c(tmp_path / f"{name}_int8.h", quantize="int8")
    x = {name: rows_for(net) for name, net in nets.items()}
    results = run(tmp_path, {name + end: flat(x[name]) for name in nets for end in ("", "_int8")})
    assert {name: result.wrong for name, result in results.items() if result.wrong} == {}
    for name, net in nets.items():
        for backend in tested_backends:
            backends.use(backend)
            assert distance(results[name].outputs, net.predict(x[name])).max() <= 1e-5, (name, backend)
        # A value that expf and NumPy make differently may be rounded to the next whole number.
        apart = distance(results[f"{name}_int8"].outputs, twin(net, x[name]))
        assert apart.max() <= 1e-3 and np.mean(apart <= 1e-5) > 0.9, name


@pytest.mark.parametrize("quantize", MODES)
def test_a_planted_bug_is_found(tmp_path: Path, quantize: str | None) -> None:
    """One sign, one bias, one scale, a transposed matrix: the outputs and the self-test both show it."""
    bias = fn.initializers.normal(0.3)
    layers = [fn.Dense(6, "tanh", bias_init=bias), fn.Dense(6, "sigmoid", bias_init=bias)]
    net = fn.Network(layers, inputs=6, seed=3)
    one = r"(weights_1\[36\] = \{\n    )-?([\d.]+f?)"
    bugs: dict[str, tuple[str, str]] = {
        "right": ("$^", ""),
        "sign": (one, r"\g<1>-\g<2>" if (net.layers[1].weights[0, 0] > 0) else r"\1\2"),
        "bias": (r"(bias_0\[6\] = \{\n    )[-\de.]+f", r"\g<1>0.5f"),
        "nan": (r"(bias_0\[6\] = \{\n    )[-\de.]+f", r"\g<1>NAN"),
        "activation": (r"1\.0f / \(1\.0f|1\.0f\) / \(1\.0f", "1.01f) / (1.0f"),
        "order": (r"sum \+= (.*)\*weights\+\+", r"sum += \g<1>weights[i * units + j]"),
    }
    if quantize:
        bugs["scale"] = (r"(scale_1\[6\] = \{\n    )[-\de.]+f", r"\g<1>0.1f")
    for name, (pattern, replacement) in bugs.items():
        net.to_c(tmp_path / f"{name}.h", quantize=quantize)
        text = (tmp_path / f"{name}.h").read_text()
        changed, count = re.subn(pattern, replacement, text, count=1)
        assert count == 1 or name == "right", name
        (tmp_path / f"{name}.h").write_text(changed)
    x = rows_for(net)
    wanted = twin(net, x) if quantize else net.predict(x)
    results = run(tmp_path, dict.fromkeys(bugs, x))
    for name, (outputs, wrong) in results.items():
        right = bool(distance(outputs, wanted).max() <= 1e-5)
        assert (right, wrong == 0) == ((True, True) if name == "right" else (False, False)), name


def test_activations_are_exact_everywhere(tmp_path: Path) -> None:
    """To 3e-7 of what float64 gives, from the smallest numbers to the largest, which overflow in exp only."""
    size = np.geomspace(1e-45, 3.4e38, 5000)
    x = np.concatenate([np.linspace(-20, 20, 20001), size, -size, [0.0, -0.0]]).astype(np.float32)[:, None]
    names = [name for name in ACTIVATIONS if name != "softmax"]
    for name in names:
        unit(name).to_c(tmp_path / f"{name}_unit.h")
    for name, result in run(tmp_path, {f"{name}_unit": x for name in names}).items():
        wanted = unit(name.removesuffix("_unit"), "float64").predict(x)
        wanted[wanted > np.finfo(np.float32).max] = np.inf  # of exp alone
        with np.errstate(invalid="ignore"):
            error = np.abs(result.outputs - wanted) / np.maximum(1, np.abs(wanted))
        error[result.outputs == wanted] = 0
        assert error.max() <= 3e-7, (name, x[error.argmax()])


def test_extreme_logits_and_broken_inputs(tmp_path: Path) -> None:
    net = fn.Network([fn.Dense(3, "softmax", weights_init=np.eye(3))], inputs=3)
    for name, quantize in (("softmax", None), ("softmax_int8", "int8")):
        net.to_c(tmp_path / f"{name}.h", quantize=quantize)
    inf, nan = np.inf, np.nan
    x = np.array([[3e38, -3e38, 3e38], [-3e38] * 3, [1e-45, 0, 0], [0] * 3, [nan, 1, 2], [1, inf, 2]])
    third = 1 / 3
    wanted = [[0.5, 0, 0.5], [third] * 3, [third] * 3, [third] * 3, [nan] * 3, [nan] * 3]
    for result in run(tmp_path, {"softmax": x, "softmax_int8": x}).values():
        assert np.allclose(result.outputs, wanted, rtol=0, atol=1e-6, equal_nan=True)
        assert result.wrong == 0


def test_constants_are_the_same_floats_again(tmp_path: Path) -> None:
    special = [1.0, -0.0, 1e-45, -1.17549435e-38, 3.40282347e38, 0.1, -1 / 3, 16777216.0, 1e10]
    drawn = np.random.default_rng(0).standard_normal(500) * 10.0 ** np.linspace(-38, 37, 500)
    values = np.concatenate([special, drawn]).astype(np.float32)
    net = fn.Network([fn.Dense(len(values), bias=False, weights_init=values[None])], inputs=1)
    with pytest.raises(ValueError, match="outputs for inputs from -2 to 2 are beyond float"):
        net.to_c(tmp_path / "values.h")
    values[4] /= 2  # so that twice this is a float, as the self-test wants
    net.layers[0].weights = values[None]
    net.to_c(tmp_path / "values.h")
    outputs = run(tmp_path, {"values": np.ones((1, 1))})["values"].outputs[0]
    assert np.array_equal(outputs.view(np.uint32) << 1, values.view(np.uint32) << 1)  # 0 + -0.0 is 0
    assert np.array_equal(outputs, values)


# ---- how it compiles


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with headers of a network that has every activation, in float and in int8."""
    folder = tmp_path_factory.mktemp("everything")
    net = fn.Network([fn.Dense(7, name) for name in ACTIVATIONS], inputs=5, seed=0)
    net.to_c(folder / "all.h")
    net.to_c(folder / "all_int8.h", quantize="int8")
    includes = '#include "all.h"\n#include "all_int8.h"\n'
    call = (
        "all_predict(x, y);\n    all_int8_predict(x, y);\n    return all_self_test() + all_int8_self_test();"
    )
    for name in ("main", "other"):
        text = (
            f"{includes}{includes}int {name}(void);\nint {name}(void)\n{{\n    float x[5] = {{1.0f}}, y[7];\n"
        )
        (folder / f"{name}.c").write_text(f"{text}    {call}\n}}\n")
    (folder / "unused.c").write_text(
        f"{includes}int unused(void);\nint unused(void)\n{{\n    return 0;\n}}\n"
    )
    return folder


@pytest.mark.parametrize("optimize", ["-O0", "-O2", "-O3", "-Os"])
def test_no_warning_at_any_level(everything: Path, optimize: str) -> None:
    """Also of those that firmware asks for; included twice, in two files of a program, or without use."""
    more = ["-Wconversion", "-Wshadow", "-Wdouble-promotion", "-Wstrict-prototypes", "-Wvla", "-Wcast-qual"]
    files = ["main.c", "other.c", "unused.c"]
    gcc(everything, optimize, *more, *files, "-o", "program", "-lm")
    assert subprocess.run([everything / "program"], timeout=60).returncode == 0


def test_c_plus_plus_takes_it_too(everything: Path) -> None:
    gcc(everything, "-O2", "-x", "c++", "main.c", "-o", "program_cpp", "-lm", command=CPP11)
    assert subprocess.run([everything / "program_cpp"], timeout=60).returncode == 0


def undefined(folder: Path, source: str) -> set[str]:
    """Names that a file takes from elsewhere."""
    need("nm")
    gcc(folder, "-O2", "-fno-builtin", "-fno-stack-protector", "-c", source, "-o", "file.o")
    done = subprocess.run(["nm", "-u", "file.o"], cwd=folder, capture_output=True, text=True, check=True)
    return {line.split()[-1].lstrip("_") for line in done.stdout.splitlines()} - {"GLOBAL_OFFSET_TABLE_"}


def test_only_expf_and_tanhf_are_taken_from_the_library(everything: Path) -> None:
    assert undefined(everything, "other.c") <= {"expf", "tanhf", "memcpy", "memset"}  # gcc copies by memcpy
    assert {"expf", "tanhf"} <= undefined(everything, "other.c")
    text = (everything / "other.c").read_text()
    planted = text.replace("float x[5] = {1.0f}", "float *x = malloc((size_t)(5 + 0 * erff(1)))")
    (everything / "planted.c").write_text(f"#include <stdlib.h>\n{planted}")
    assert {"erff", "malloc"} <= undefined(everything, "planted.c")


def test_headers_include_only_what_they_use(tmp_path: Path) -> None:
    unit("relu").to_c(tmp_path / "a.h")
    unit("relu").to_c(tmp_path / "b.h", quantize="int8")
    unit("silu").to_c(tmp_path / "c.h")
    found = {name: re.findall("#include <(.*)>", (tmp_path / f"{name}.h").read_text()) for name in "abc"}
    assert found == {"a": [], "b": ["stdint.h"], "c": ["math.h"]}


@pytest.mark.parametrize("quantize", MODES)
def test_memory_is_as_the_comment_says(everything: Path, quantize: str | None) -> None:
    net = fn.mlp([300, 20, 70, 40, 5], seed=0)
    net.to_c(everything / "memory.h", quantize=quantize)
    text = (everything / "memory.h").read_text()
    size = {"float": 4, "int8_t": 1, "int16_t": 2}
    arrays = re.findall(r"static const (\w+) memory_(?:weights|bias|scale)_\d\[(\d+)\]", text)
    body = text.split("static inline void memory_predict")[1].split("\n}\n")[0]
    stack = re.findall(r"^ +(float|int16_t) \w\[(\d+)\];", body, flags=re.M)
    claimed = re.search(r"Constants: ([\d,]+) bytes.*Stack: ([\d,]+) bytes", text)
    assert claimed is not None
    counted = [sum(size[kind] * int(length) for kind, length in found) for found in (arrays, stack)]
    assert [int(number.replace(",", "")) for number in claimed.groups()] == counted
    weights, units = 300 * 20 + 20 * 70 + 70 * 40 + 40 * 5, 20 + 70 + 40 + 5
    if quantize:
        assert counted == [weights + 8 * units, 4 * 70 + 2 * 300]
    else:
        assert counted == [4 * (weights + units), 4 * (40 + 70)]


# ---- the file


def test_the_same_network_makes_the_same_file(tmp_path: Path) -> None:
    net = random_network(7)
    for quantize in MODES:
        net.to_c(str(tmp_path / "net.h"), quantize=quantize)
        first = (tmp_path / "net.h").read_bytes()
        net.copy().to_c(os.fsencode(tmp_path / "net.h"), quantize=quantize)
        assert (tmp_path / "net.h").read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["net.h"]


REFUSED_NAMES = {
    "2net.h": "the file's stem '2net' is no C identifier",
    "my-net.h": "stem 'my-net' is no C identifier",
    "my.net.h": "stem 'my.net' is no C identifier",
    "netz_ä.h": "is no C identifier",
    "net\n.h": "is no C identifier",
    ".h": "wanted that of a C header, which ends in .h",
    "int.h": "stem 'int' is a keyword of C or C..",
    "class.h": "stem 'class' is a keyword of C or C..",
    "math.h": "stem 'math' is that of a header of the C library",
    "_net.h": "makes names that C or C.. reserves",
    "my__net.h": "makes names that C or C.. reserves",
    "net_.h": "makes names that C or C.. reserves",
    "n" * 41 + ".h": "has 41 characters; wanted at most 40",
    "net": "path is .*net'; wanted that of a C header, which ends in .h",
    "net.c": "wanted that of a C header",
}


@pytest.mark.parametrize("name", REFUSED_NAMES)
def test_names_that_c_does_not_have_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=REFUSED_NAMES[name]):
        unit().to_c(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_every_name_in_a_header_is_its_own(tmp_path: Path) -> None:
    """A stem of 40 characters with the words that the text of a header is made with."""
    stem = "UPPER_my_NAME_x" + "y" * 25
    unit("gelu").to_c(tmp_path / f"{stem}.h", quantize="int8")
    text = (tmp_path / f"{stem}.h").read_text()
    names = re.findall(r"(?:#define|static (?:inline|const) \w+) (\w+)", text)
    assert len(names) >= 12
    assert {name for name in names if stem.upper() not in name.upper() or len(name) > 63} == set()
    assert run(tmp_path, {stem: np.ones((1, 1))})[stem].wrong == 0


def no_chain(net: fn.Network) -> None:
    first, *rest = net.graph.ops
    net.graph = net.graph._replace(ops=(first, rest[0]._replace(inputs=(0,)), *rest[1:]))


def another_operation(net: fn.Network) -> None:
    first, *rest = net.graph.ops
    net.graph = net.graph._replace(ops=(first._replace(kind="convolution"), *rest))


def another_activation(net: fn.Network) -> None:
    first, second, *rest = net.graph.ops
    net.graph = net.graph._replace(ops=(first, second._replace(attributes={"name": "swoosh"}), *rest))


def break_weight(net: fn.Network) -> None:
    net.layers[1].weights[2, 1] = np.nan


def infinite_bias(net: fn.Network) -> None:
    net.layers[0].bias[3] = np.inf


def large_weight(net: fn.Network) -> None:
    net.layers[0].weights[0, 0] = -1e39


def large_outputs(net: fn.Network) -> None:
    for layer in net.layers:
        layer.weights[...] = 1e30


REFUSED: dict[Callable[[fn.Network], None], str] = {
    no_chain: r"layers\[0\] \(Dense\) does not read what the one before wrote",
    another_operation: r"layers\[0\] \(Dense\): a C header cannot express the operation 'convolution'",
    another_activation: r"layers\[0\] \(Dense\): a C header cannot express the activation 'swoosh'",
    break_weight: r"layers\[1\]\.weights\[2, 1\] is nan; wanted finite numbers",
    infinite_bias: r"layers\[0\]\.bias\[3\] is inf",
    large_weight: r"layers\[0\]\.weights holds a value of size 1e\+39; a C header has float",
    large_outputs: "outputs for inputs from -2 to 2 are beyond float",
}


@pytest.mark.parametrize("quantize", MODES)
@pytest.mark.parametrize("change", REFUSED, ids=lambda change: change.__name__)
def test_what_c_cannot_express_is_refused_by_name(
    tmp_path: Path, change: Callable[[fn.Network], None], quantize: str | None
) -> None:
    net = fn.mlp([4, 4, 2], seed=0, dtype="float64")
    (tmp_path / "net.h").write_text("what was there")
    change(net)
    with pytest.raises(ValueError, match=REFUSED[change]):
        net.to_c(tmp_path / "net.h", quantize=quantize)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["what was there"]


@pytest.mark.parametrize("quantize", ["int4", "INT8", "", 8, True, ("int8",), ["int8"]])
def test_a_wrong_quantization_is_refused(tmp_path: Path, quantize: object) -> None:
    with pytest.raises(ValueError, match=r"quantize is .*; wanted None \(float\) or 'int8'"):
        unit().to_c(tmp_path / "net.h", quantize=quantize)  # type: ignore[arg-type]


def test_too_large_networks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c_header, "MOST_PARAMETERS", 20)
    with pytest.raises(ValueError, match="the network has 21 parameters; a C header can have 20"):
        fn.mlp([2, 5, 1]).to_c(tmp_path / "net.h")
    wide = fn.Network([fn.Dense(1, weights_init="zeros")], inputs=133_145)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"layers\[0\] \(Dense\) has 133,145 inputs; int8 can have 133,144"):
        wide.to_c(tmp_path / "net.h", quantize="int8")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.h").write_text("what was there")

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        unit().to_c(tmp_path / "net.h")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["what was there"]
    with pytest.raises(FileNotFoundError, match="no such folder"):
        unit().to_c(tmp_path / "nowhere" / "net.h")


def test_the_commands_of_these_tests_are_strict() -> None:
    assert {"-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"} <= set(C99)
