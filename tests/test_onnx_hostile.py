"""ONNX files that are damaged or made to do harm: one error, little time and memory, and no other file."""

from __future__ import annotations

import builtins
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnet as fn

onnx = pytest.importorskip("onnx", reason="needs the extra: onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx_models import model, numbers, written  # noqa: E402

DATA = Path(__file__).parent / "data" / "onnx"
NODES = [("Gemm", "x w b", "z"), ("Relu", "z", "r"), ("MatMul", "r v", "y")]
CONSTANTS = {"w": numbers(3, 4), "b": numbers(4), "v": numbers(4, 2)}


def outcome(path: Path) -> str:
    """What reading ends in: a network that runs, or the one error that it may end in."""
    try:
        net = fn.from_onnx(path)
    except fn.FastnetFormatError as error:
        assert path.name in str(error) and len(str(error)) < 1000
        return "error"
    assert np.isfinite(net.parameters).all()
    if np.prod(net.input_shape) < 1e6:
        assert net.predict(np.zeros((2, *net.input_shape))).shape == (2, *net.output_shape)
    return "network"


# ---- damage -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sklearn_two_classes", "torch_script_view", "torch_dynamo_fixed"])
def test_truncated_files(tmp_path: Path, name: str) -> None:
    """Protobuf has no end mark, so a file that is cut between two fields is a whole one with less in it."""
    whole = (DATA / f"{name}.onnx").read_bytes()
    lengths = sorted({*range(0, len(whole), 5), *range(len(whole) - 50, len(whole))})
    found = {length: outcome(written(whole[:length], tmp_path)) for length in lengths}
    weights = max(len(one.SerializeToString()) for one in onnx.load_from_string(whole).graph.initializer)
    assert all(found[length] == "error" for length in lengths if length < len(whole) - weights)
    assert list(found.values()).count("network") <= 2
    assert outcome(written(whole, tmp_path)) == "network"


@pytest.mark.parametrize("path", sorted(DATA.glob("*.onnx")), ids=lambda path: path.stem)
def test_mutated_files(tmp_path: Path, path: Path) -> None:
    """A few bytes of a file changed, cut out, doubled or moved, at seeded random."""
    whole = path.read_bytes()
    rng = np.random.default_rng(len(whole))
    found = []
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            place, other = (int(one) for one in rng.integers(0, len(data), 2))
            length = int(rng.integers(1, 9))
            change = rng.integers(5)
            if change == 0:
                data[place] = int(rng.integers(256))
            elif change == 1:
                data[place] ^= 1 << int(rng.integers(8))
            elif change == 2:
                del data[place : place + length]
            elif change == 3:
                data[place:place] = data[other : other + length]
            else:
                data[place : place + length] = data[other : other + length]
        found.append(outcome(written(bytes(data), tmp_path)))
    assert set(found) == {"network", "error"}


def fields(message: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, Any, Any]]:
    """Every field that is set in a message and those within it: (message, its description, index)."""
    found: list[tuple[Any, Any, Any]] = []
    for field, value in message.ListFields():
        repeated = not isinstance(value, (bytes, str, int, float)) and not hasattr(value, "ListFields")
        for index, one in enumerate(value) if repeated else [(None, value)]:
            found.append((message, field, index))
            if hasattr(one, "ListFields"):
                found += fields(one)
    return found


def test_every_field_gone_or_absurd(tmp_path: Path) -> None:
    """Within the format: numbers become huge, negative or 0, names others, and parts go missing."""
    found: dict[str, int] = {"network": 0, "error": 0}
    whole = (DATA / "sklearn_two_classes.onnx").read_bytes()
    for place in range(len(fields(onnx.load_from_string(whole)))):
        for value in (None, -1, 2**62, "w", b"\xff" * 9):
            damaged = onnx.load_from_string(whole)
            message, field, index = fields(damaged)[place]
            try:
                if value is None and index is None:
                    message.ClearField(field.name)
                elif value is None:
                    del getattr(message, field.name)[index]
                elif index is None:
                    setattr(message, field.name, value)
                else:
                    getattr(message, field.name)[index] = value
            except (TypeError, ValueError, AttributeError):
                continue  # not a value that such a field can have
            found[outcome(written(damaged, tmp_path))] += 1
    assert found["error"] > 150 and found["network"] > 50


def test_a_reader_that_lets_an_error_through_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests above are only as good as `outcome`."""
    path = written(model(NODES, CONSTANTS), tmp_path)
    assert outcome(path) == "network"
    for error in (
        KeyError("x"),
        MemoryError(),
        RecursionError(),
        ValueError("x"),
        UnicodeDecodeError("u", b"", 0, 1, ""),
    ):

        def broken(path: Path, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(fn, "from_onnx", broken)
        with pytest.raises(type(error)):
            outcome(path)


@pytest.mark.parametrize(
    "foreign", [b"", b"PK\x03\x04", b"\x93NUMPY", b"{}", b"\xff" * 100, b"\0" * 100, b"\x0a" * 99]
)
def test_foreign_files(tmp_path: Path, foreign: bytes) -> None:
    with pytest.raises(fn.FastnetFormatError, match=r"model\.onnx: not an ONNX file, or a damaged one"):
        fn.from_onnx(written(foreign, tmp_path))


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.onnx"):
        fn.from_onnx(tmp_path / "nothing.onnx")
    with pytest.raises(OSError, match=tmp_path.name):
        fn.from_onnx(tmp_path)


def test_a_file_larger_than_the_format_allows_is_not_read(tmp_path: Path) -> None:
    with open(tmp_path / "model.onnx", "wb") as file:
        file.truncate(2**31)  # without blocks, where the file system can
    with pytest.raises(fn.FastnetFormatError, match="2147483648 bytes; an ONNX file has at most 2147483647"):
        fn.from_onnx(tmp_path / "model.onnx")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_has_no_end_is_not_read() -> None:
    with pytest.raises(fn.FastnetFormatError, match="/dev/zero: not an ONNX file"):
        fn.from_onnx("/dev/zero")


# ---- harm ---------------------------------------------------------------------------------------------


def tensors(made: Any) -> dict[str, Any]:
    return {one.name: one for one in made.graph.initializer}


def external(place: str) -> Callable[[Any], None]:
    def change(made: Any) -> None:
        tensor = tensors(made)["w"]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=place)

    return change


def sized(*dims: int) -> Callable[[Any], None]:
    return lambda made: tensors(made)["w"].dims.__setitem__(slice(None), dims)


def appended(*arguments: Any, **options: Any) -> Callable[[Any], None]:
    return lambda made: made.graph.node.append(helper.make_node(*arguments, **options))


def typed(count: int) -> Callable[[Any], None]:
    def change(made: Any) -> None:
        tensors(made)["w"].ClearField("raw_data")
        tensors(made)["w"].float_data.extend([1.0] * count)

    return change


HARM: dict[str, tuple[Callable[[Any], object], str]] = {
    "external": (
        external("other.bin"),
        r"tensor 'w' is kept in another file \('other\.bin'\), and nothing outside",
    ),
    "external, outside": (external("../../etc/passwd"), r"kept in another file \('\.\./\.\./etc/passwd'\)"),
    "external, absolute": (external("/etc/passwd"), "kept in another file"),
    "external, a web address": (external("https://example.org/w"), "kept in another file"),
    "external, not named": (
        lambda m: setattr(tensors(m)["w"], "data_location", 1),
        "another file .not named",
    ),
    "external, but not marked": (
        lambda m: tensors(m)["w"].external_data.add(key="location", value="a"),
        "another file",
    ),
    "huge": (sized(2**40, 2**40), r"'w' has 48 bytes; its shape \(1099511627776, 1099511627776\) needs"),
    "beyond 64 bits": (sized(2**62, 2**62), "has 48 bytes"),
    "negative": (sized(-3, -4), r"shape \(-3, -4\)"),
    "empty": (sized(0, 4), r"shape \(0, 4\)"),
    "many dimensions": (sized(3, 4, *[1] * 60), "has the shape .*at most 8 sizes"),
    "one too many": (sized(3, 5), r"48 bytes; its shape \(3, 5\) needs 60"),
    "no values": (lambda m: tensors(m)["w"].ClearField("raw_data"), "0 values; its shape .* needs 12"),
    "too few values": (typed(11), "11 values; its shape .* needs 12"),
    "too many values": (typed(13), "13 values"),
    "values of another type": (lambda m: setattr(tensors(m)["w"], "data_type", 11), "48 bytes; .* needs 96"),
    "an unknown type": (lambda m: setattr(tensors(m)["w"], "data_type", 99), "'w' is type 99"),
    "text": (lambda m: setattr(tensors(m)["w"], "data_type", 8), "'w' is string"),
    "a segment": (lambda m: setattr(tensors(m)["w"].segment, "begin", 1), "'w' has 48 bytes"),
    "two of a name": (lambda m: m.graph.initializer.append(tensors(m)["w"]), "two of the tensor 'w'"),
    "two that make the same": (appended("Relu", ["z"], ["y"]), "makes 'y', which is there already"),
    "a node that makes a constant": (appended("Relu", ["z"], ["w"]), "makes 'w', which is there already"),
    "a node that makes the input": (appended("Relu", ["z"], ["x"]), "makes 'x', which is there already"),
    "a missing tensor": (lambda m: m.graph.initializer.pop(), "'v' is neither in the file nor"),
    "a missing output": (
        lambda m: setattr(m.graph.output[0], "name", "u"),
        "output 'u' is neither in the file nor",
    ),
    "a circle": (lambda m: m.graph.node[0].input.__setitem__(0, "r"), "depends on its own output"),
    "a circle of one": (
        lambda m: m.graph.node[1].input.__setitem__(0, "r"),
        "Relu .* depends on its own output",
    ),
    "sparse": (
        lambda m: (
            m.graph.sparse_initializer.add().values.CopyFrom(tensors(m)["v"]) or m.graph.initializer.pop()
        ),
        "'v' is neither in the file nor",
    ),
    "a subgraph": (
        lambda m: m.graph.node[1].attribute.append(helper.make_attribute("body", m.graph)),
        "attribute 'body'",
    ),
    "a reference": (
        lambda m: m.graph.node[1].attribute.add(name="alpha", ref_attr_name="alpha", type=1),
        "attribute 'alpha'",
    ),
    "an endless name": (lambda m: setattr(m.graph.node[1], "op_type", "R" * 10**6), r"operator R+\.\.\. "),
    "control characters": (
        lambda m: setattr(m.graph.node[1], "op_type", "\x1b[2J\n"),
        r"operator \\x1b\[2J\\n ",
    ),
    "a huge input": (
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 2**62),
        "Gemm .*weights of shape",
    ),
}


@pytest.mark.parametrize("name", HARM)
def test_harm(name: str, tmp_path: Path) -> None:
    change, message = HARM[name]
    made = model(NODES, CONSTANTS)
    assert outcome(written(made, tmp_path)) == "network"
    change(made)
    (tmp_path / "other.bin").write_bytes(CONSTANTS["w"].tobytes())
    with pytest.raises(fn.FastnetFormatError, match=rf"model\.onnx: .*{message}") as caught:
        fn.from_onnx(written(made, tmp_path))
    assert len(str(caught.value)) < 1000 and str(caught.value).isprintable()


def test_no_other_file_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = model(NODES, CONSTANTS)
    path = written(made, tmp_path)
    fn.from_onnx(path)  # so that what is imported is
    opened: list[str] = []
    true_open, true_os_open = builtins.open, os.open

    def watched(name: Any, *arguments: Any, **options: Any) -> Any:
        opened.append(os.fspath(name))
        return true_open(name, *arguments, **options)

    def watched_os(name: Any, *arguments: Any, **options: Any) -> Any:
        opened.append(os.fspath(name))
        return true_os_open(name, *arguments, **options)

    monkeypatch.setattr(builtins, "open", watched)
    monkeypatch.setattr(os, "open", watched_os)
    fn.from_onnx(path)
    assert opened == [str(path)]
    for place in ("other.bin", "../other.bin", str(tmp_path / "other.bin")):
        made = model(NODES, CONSTANTS)
        external(place)(made)
        path.write_bytes(made.SerializeToString())
        opened.clear()
        with pytest.raises(fn.FastnetFormatError, match="another file"):
            fn.from_onnx(path)
        assert opened == [str(path)]
    opened.clear()
    onnx.load(str(path), load_external_data=False)  # the watch sees what goes on
    assert opened == [str(path)]


def test_names_that_are_not_text(tmp_path: Path) -> None:
    data = (
        model(NODES, CONSTANTS)
        .SerializeToString()
        .replace(b"node1", b"n\xff\xfe\xfd1")
        .replace(b"Relu", b"Rel\xff")
    )
    with pytest.raises(fn.FastnetFormatError, match=r"model\.onnx: "):
        fn.from_onnx(written(data, tmp_path))


def within(field: int, content: bytes) -> bytes:
    """A field of a message, as protobuf writes it: number and kind, length, content."""
    length, sizes = len(content), b""
    while length > 127:
        length, sizes = length >> 7, sizes + bytes([length & 127 | 128])
    return bytes([field << 3 | 2]) + sizes + bytes([length]) + content


def test_deep_nesting(tmp_path: Path) -> None:
    """A node with a graph in an attribute, with a node in it, and so on."""
    for depth, wanted in ((1, "network"), (2000, "error")):  # which nothing depends on
        inner = b""
        for _ in range(depth):
            inner = within(1, within(5, within(6, inner)))  # node, attribute, graph
        data = model(NODES, CONSTANTS).SerializeToString() + within(7, inner)  # a second part of the graph
        assert outcome(written(data, tmp_path)) == wanted


# ---- time and memory ----------------------------------------------------------------------------------


def bounded(path: Path, seconds: float, megabytes: float, message: str) -> None:
    """Demand a refusal within these bounds."""
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(fn.FastnetFormatError, match=message):
            fn.from_onnx(path)
        assert tracemalloc.get_traced_memory()[1] < megabytes * 1e6
        assert time.perf_counter() - start < seconds
    finally:
        tracemalloc.stop()


def repeated(operator: str, constants: str, count: int) -> list[Any]:
    """A chain of the same node."""
    names = ["x", *(f"t{i}" for i in range(1, count)), "y"]
    return [(operator, f"{names[i]} {constants}".strip(), names[i + 1]) for i in range(count)]


@pytest.mark.parametrize("operator", ["MatMul w", "Gemm w b"])
def test_one_tensor_in_many_layers(tmp_path: Path, operator: str) -> None:
    """A file of 4 MB that would come to layers of 36 GB."""
    constants = {"w": np.eye(1000, dtype=np.float32), "b": np.float32(1)}
    made = model(repeated(*operator.split(" ", 1), 9000), constants, shape=("N", 1000))
    bounded(written(made, tmp_path), 30, 60, "many times the numbers that the file holds")


def test_one_scale_many_times(tmp_path: Path) -> None:
    made = model(repeated("Mul", "s", 9000), {"s": np.ones(100_000, np.float32)}, shape=("N", 100_000))
    bounded(written(made, tmp_path), 30, 100, "many times the numbers that the file holds")


def test_too_many_nodes(tmp_path: Path) -> None:
    made = model(repeated("Relu", "", 20_000), {})
    bounded(written(made, tmp_path), 30, 100, "depends on more than 10000 nodes")


def test_long_networks_are_read(tmp_path: Path) -> None:
    """The bounds leave room: a thousand layers, of which some share their weights."""
    chain: list[Any] = [("Gemm", "x w0 b", "t0")]
    for i in range(1000):
        chain += [("Tanh", f"t{i}", f"a{i}"), ("Gemm", f"a{i} w{i % 500} b", f"t{i + 1}" if i < 999 else "y")]
    constants = {f"w{i}": numbers(3, 3, seed=i) for i in range(500)} | {"b": numbers(3)}
    net = fn.from_onnx(written(model(chain, constants), tmp_path))
    assert len(net.layers) == 1001
    np.testing.assert_array_equal(net.layers[-1].weights, constants["w499"])
    assert numpy_helper.to_array(numpy_helper.from_array(constants["b"])).shape == net.layers[0].bias.shape
