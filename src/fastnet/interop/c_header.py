"""A network as one C99 header: its weights as constants, a function that predicts, and a test of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnet.architecture import slot_name
from fastnet.arrays import require_finite
from fastnet.backends.reference.activations import activation_forward
from fastnet.interop import c_source, quantize
from fastnet.storage import replace_file

if TYPE_CHECKING:
    from fastnet.network import Network

__all__ = ["MOST_PARAMETERS", "write"]

MOST_PARAMETERS = 10_000_000
"""A header of more is refused: its text would have over 150 MB, and a compiler takes gigabytes for it."""

_TESTS = 4  # vectors of the self-test
_TOLERANCE = {None: 1e-5, "int8": 1e-3}  # of the largest output
_LONGEST_NAME = 40  # with what is added to it, at most 63 characters: as many as C99 tells apart

Float = NDArray[np.float32]


class Step(NamedTuple):
    """What C does at a time: a product with weights, or a copy, and then activations in place.

    Attributes
    ----------
    layer : int
        Index in the network, for names.
    inputs, units : int
        Values that it reads and writes.
    weights : ndarray (inputs, units), Quantized or None
        None copies.
    bias : ndarray (units,) or None
        None adds nothing.
    activations : list of str
        One after the other.
    """

    layer: int
    inputs: int
    units: int
    weights: Float | quantize.Quantized | None
    bias: Float | None
    activations: list[str]


def write(network: Network, path: str | os.PathLike[str], quantized: str | None = None) -> None:
    """Write the header; see `Network.to_c`."""
    if quantized is not None and not (isinstance(quantized, str) and quantized in _TOLERANCE):
        raise ValueError(f"quantize is {quantized!r}; wanted None (float) or 'int8'")
    name = check_name(path)
    count = network.graph.parameter_count
    if count > MOST_PARAMETERS:
        raise ValueError(
            f"the network has {count:,} parameters; a C header can have {MOST_PARAMETERS:,}: "
            "compilers take gigabytes for more"
        )
    steps = read_steps(network, quantized)
    samples, outputs, tolerance = expected_outputs(network, steps, quantized)
    parts = [
        *_preamble(network, steps, bool(quantized)),
        *_definitions(steps, tolerance, bool(quantized)),
        *_constants(steps),
        *_functions(steps, bool(quantized)),
        *_predict(steps, bool(quantized)),
        *_self_test(samples, outputs),
        "#endif",
    ]
    words = {"NAME": name, "UPPER": name.upper()}
    text = re.sub("NAME|UPPER", lambda found: words[found[0]], "\n".join(parts) + "\n")
    replace_file(os.fsdecode(path), text.encode("ascii"))


def check_name(path: str | os.PathLike[str]) -> str:
    """Return the stem of a header's path, with which all its names begin."""
    stem, ending = os.path.splitext(os.path.basename(os.fsdecode(path)))
    if ending != ".h":
        raise ValueError(f"path is {os.fsdecode(path)!r}; wanted that of a C header, which ends in .h")
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", stem):
        trouble = "is no C identifier: wanted letters, digits and underscores, no digit first"
    elif stem in c_source.RESERVED:
        trouble = "is a keyword of C or C++"
    elif stem in c_source.STANDARD_HEADERS:
        trouble = "is that of a header of the C library"
    elif stem[0] == "_" or stem[-1] == "_" or "__" in stem:
        trouble = "makes names that C or C++ reserves: wanted no underscore at its ends, and no two in a row"
    elif len(stem) > _LONGEST_NAME:
        trouble = f"has {len(stem)} characters; wanted at most {_LONGEST_NAME}"
    else:
        return stem
    raise ValueError(f"the file's stem {stem!r} {trouble}; the header's functions are named after it")


# ---- what is computed


def read_steps(network: Network, quantized: str | None) -> list[Step]:
    """Return what C has to do, at least one step; refuse, by name, what it cannot."""
    graph, tensors = network.graph, network.tensors()
    steps: list[Step] = []
    buffer = 0
    for op in graph.ops:
        where = f"layers[{op.layer}] ({type(network.layers[op.layer]).__name__})"
        if op.inputs != (buffer,):
            raise ValueError(
                f"{where} does not read what the one before wrote; a C header is a chain of layers"
            )
        inputs, units, buffer = graph.size(buffer), graph.size(op.output), op.output
        if op.kind == "dense":
            if quantized and inputs > quantize.MOST_INPUTS:
                raise ValueError(f"{where} has {inputs:,} inputs; int8 can have {quantize.MOST_INPUTS:,}")
            arrays = {
                slot.name: _as_float(slot.layer, slot.name, tensors[slot_name(slot)]) for slot in op.slots
            }
            weights = quantize.quantize(arrays["weights"]) if quantized else arrays["weights"]
            steps.append(Step(op.layer, inputs, units, weights, arrays.get("bias"), []))
        elif op.kind == "activation":
            activation = str(op.attributes["name"])
            if activation not in c_source.ACTIVATIONS:
                raise ValueError(f"{where}: a C header cannot express the activation {activation!r}")
            if not steps:
                steps.append(Step(op.layer, inputs, inputs, None, None, []))
            steps[-1].activations.append(activation)
        elif op.kind not in ("dropout", "flatten"):  # which change nothing when a network predicts
            raise ValueError(f"{where}: a C header cannot express the operation {op.kind!r}")
    size = graph.size(0)
    return steps or [Step(0, size, size, None, None, [])]


def _as_float(layer: int, name: str, values: NDArray[Any]) -> Float:
    """Return parameters in float32, all finite."""
    where = f"layers[{layer}].{name}"
    require_finite(where, values)
    largest = np.abs(values).max()
    if largest > np.finfo(np.float32).max:
        raise ValueError(f"{where} holds a value of size {largest:.3g}; a C header has float, up to 3.4e38")
    return values.astype(np.float32)


def forward(steps: Sequence[Step], x: Float) -> Float:
    """Return what C computes, in NumPy, but for the order of sums: x (N, inputs) -> (N, outputs)."""
    for step in steps:
        if isinstance(step.weights, quantize.Quantized):
            x = quantize.dense(x, step.weights, step.bias)
        elif step.weights is not None:
            x = x @ step.weights + (0 if step.bias is None else step.bias)
        for name in step.activations:
            z, x = x, np.empty_like(x)
            activation_forward(z, x, name)
    return x


def expected_outputs(
    network: Network, steps: Sequence[Step], quantized: str | None
) -> tuple[Float, Float, float]:
    """Return inputs for the self-test, the outputs to them, and how far from these a right one may be.

    Inputs become smaller from one to the next, so that not all of them drive a network to the ends of its
    activations, where a wrong weight would not be seen.
    """
    rng = np.random.Generator(np.random.PCG64(0))
    whole = rng.integers(-64, 65, (_TESTS, steps[0].inputs))
    samples = (whole * 0.5 ** np.arange(5, 5 + _TESTS)[:, None]).astype(np.float32)  # from -2 to 2; exact
    with np.errstate(over="ignore", invalid="ignore"):
        computed = forward(steps, samples)
    outputs = computed
    if not quantized:
        outputs = network.predict(samples.reshape(_TESTS, *network.input_shape)).reshape(_TESTS, -1)
    if not np.isfinite(computed).all() or not np.isfinite(outputs).all():
        raise ValueError("the network's outputs for inputs from -2 to 2 are beyond float, up to 3.4e38")
    rounding = float(np.abs(computed - outputs).max())
    allowed = max(_TOLERANCE[quantized] * max(1.0, float(np.abs(outputs).max())), 16 * rounding)
    return samples, outputs.astype(np.float32), allowed


# ---- how it is written


def buffers(steps: Sequence[Step], quantized: bool) -> dict[str, tuple[str, int]]:
    """Return the type and length of each array that `predict` has on its stack, by name.

    In float, hidden layers write to `a` and `b` in turn. In int8 one float buffer does, as what a layer reads
    was first rounded into `q`.
    """
    hidden = [step.units for step in steps[:-1]]
    if not quantized:
        lengths = {"a": ("float", max(hidden[::2], default=0)), "b": ("float", max(hidden[1::2], default=0))}
    else:
        read = (step.inputs for step in steps if step.weights is not None)
        lengths = {"z": ("float", max(hidden, default=0)), "q": ("int16_t", max(read, default=0))}
    return {name: (kind, length) for name, (kind, length) in lengths.items() if length}


def _preamble(network: Network, steps: Sequence[Step], quantized: bool) -> Iterator[str]:
    """Yield a comment for who wants to use the header."""
    count = sum(step.units * step.inputs for step in steps if step.weights is not None)
    floats = sum(step.units for step in steps if step.bias is not None)
    floats += sum(step.units for step in steps if quantized and step.weights is not None)
    flash = count * (1 if quantized else 4) + floats * 4
    stack = sum(length * (4 if kind == "float" else 2) for kind, length in buffers(steps, quantized).values())
    yield "/* NAME.h: a neural network in C99 (or C++11), written by fastnet."
    yield " *"
    yield f" *     {'input':<10}{' x '.join(map(str, network.input_shape))}"
    for step in steps:
        kind = "copy" if step.weights is None else "dense" if step.bias is not None else "dense without bias"
        what = ", ".join([f"{kind} {step.inputs} -> {step.units}", *step.activations])
        yield f" *     {f'layer {step.layer}':<10}{what}"
    yield " *"
    yield " *     float x[UPPER_INPUTS], y[UPPER_OUTPUTS];"
    yield " *     NAME_predict(x, y);"
    yield " *"
    yield f" * Constants: {flash:,} bytes{_bits(network, quantized)}. Stack: {stack:,} bytes of buffers."
    yield f" * Taken from the C library: {', '.join(_from_library(steps)) or 'nothing'}."
    yield " * Nothing is allocated, and nothing kept between calls, which may run side by side."
    yield " * Each file that includes this and calls it has constants and code of its own: let one do that."
    yield " */"


def _bits(network: Network, quantized: bool) -> str:
    """What is to be said of how weights are kept."""
    if quantized:
        return ", weights in 8 bits and values in 16"
    return ", rounded from float64 to float" if network.dtype == np.float64 else ""


def _from_library(steps: Sequence[Step]) -> list[str]:
    """Functions of libm that are called."""
    source = "".join(c_source.ACTIVATIONS[name] for step in steps for name in step.activations)
    return [name for name in ("expf", "tanhf") if name in source]


def _definitions(steps: Sequence[Step], tolerance: float, quantized: bool) -> Iterator[str]:
    """Yield includes and macros."""
    yield "#ifndef FASTNET_NAME_H"
    yield "#define FASTNET_NAME_H"
    yield ""
    if _from_library(steps):
        yield "#include <math.h>"
    if quantized:
        yield "#include <stdint.h>"
    if _from_library(steps) or quantized:
        yield ""
    yield f"#define UPPER_INPUTS {steps[0].inputs}"
    yield f"#define UPPER_OUTPUTS {steps[-1].units}"
    yield f"#define UPPER_TESTS {_TESTS}"
    yield f"#define UPPER_TOLERANCE {_literal(tolerance)}"
    yield ""


def _constants(steps: Sequence[Step]) -> Iterator[str]:
    """Yield the weights: a row for each unit, which starts a line."""
    for step in steps:
        if step.weights is None:
            continue
        title = f"NAME_weights_{step.layer}[{step.units * step.inputs}]"
        if isinstance(step.weights, quantize.Quantized):
            yield from _array("int8_t", title, step.weights.weights)
            yield from _array("float", f"NAME_scale_{step.layer}[{step.units}]", step.weights.scale[None])
        else:
            yield from _array("float", title, step.weights.T)
        if step.bias is not None:
            yield from _array("float", f"NAME_bias_{step.layer}[{step.units}]", step.bias[None])


def _array(kind: str, title: str, rows: NDArray[Any], each: str = "{}") -> Iterator[str]:
    """Yield an array of constants; a row that takes several lines is indented after the first."""
    literal, width = (_literal, 6) if kind == "float" else (str, 18)
    yield f"static const {kind} {title} = {{"
    for row in rows.tolist():
        texts = list(map(literal, row))
        lines = [", ".join(texts[start : start + width]) for start in range(0, len(texts), width)]
        yield "    " + each.format(",\n        ".join(lines)) + ","
    yield "};"
    yield ""


def _literal(value: float) -> str:
    """Return a float as C has it; nine digits give back the same float, and C++11 has none in hexadecimal."""
    text = f"{value:.9g}"
    return text + ("f" if "." in text or "e" in text else ".0f")


def _functions(steps: Sequence[Step], quantized: bool) -> Iterator[str]:
    """Yield the functions that `predict` calls."""
    if any(step.weights is None for step in steps):
        yield c_source.COPY
    if any(step.weights is not None for step in steps):
        yield c_source.DENSE_INT8 if quantized else c_source.DENSE
    used = {name for step in steps for name in step.activations}
    yield from (text for name, text in c_source.ACTIVATIONS.items() if name in used and text)


def _predict(steps: Sequence[Step], quantized: bool) -> Iterator[str]:
    """Yield the function that runs the network, layer by layer."""
    yield "/* From x, UPPER_INPUTS numbers, to y, UPPER_OUTPUTS numbers; they must not overlap. */"
    yield "static inline void NAME_predict(const float *x, float *y)"
    yield "{"
    yield from (f"    {kind} {name}[{length}];" for name, (kind, length) in buffers(steps, quantized).items())
    source = "x"
    for number, step in enumerate(steps):
        hidden = "z" if quantized else "ab"[number % 2]
        target = "y" if number == len(steps) - 1 else hidden
        yield from (f"    {line}" for line in _lines(step, source, target))
        source = target
    yield "}"
    yield ""


def _lines(step: Step, source: str, target: str) -> Iterator[str]:
    """Yield the statements of one step."""
    bias = "0" if step.bias is None else f"NAME_bias_{step.layer}"
    weights = f"NAME_weights_{step.layer}"
    if step.weights is None:
        yield f"NAME_copy({source}, {step.inputs}, {target});"
    elif isinstance(step.weights, quantize.Quantized):
        limit = _literal(quantize.value_limit(step.inputs))
        x_scale = f"scale_{step.layer}"
        yield f"const float {x_scale} = NAME_quantize({source}, {step.inputs}, {limit}, q);"
        scale = f"NAME_scale_{step.layer}"
        yield f"NAME_dense(q, {x_scale}, {step.inputs}, {weights}, {scale}, {bias}, {step.units}, {target});"
    else:
        yield f"NAME_dense({source}, {step.inputs}, {weights}, {bias}, {step.units}, {target});"
    for name in step.activations:
        if name == "softmax":
            yield f"NAME_softmax({target}, {step.units});"
        elif name != "identity":
            yield f"for (int i = 0; i < {step.units}; ++i) {{"
            yield f"    {target}[i] = NAME_{name}({target}[i]);"
            yield "}"


def _self_test(samples: Float, outputs: Float) -> Iterator[str]:
    """Yield inputs, the outputs to them, and the function that compares."""
    yield from _array("float", "NAME_test_x[UPPER_TESTS][UPPER_INPUTS]", samples, "{{{}}}")
    yield from _array("float", "NAME_test_y[UPPER_TESTS][UPPER_OUTPUTS]", outputs, "{{{}}}")
    yield c_source.SELF_TEST
