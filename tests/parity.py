"""How kernels are compared with those of the reference: the checker, and one call of each kernel to check.

How far two right results may be apart. With u the rounding error of one operation (half of `eps`), a sum
of K terms, in whatever order, has an error of at most (K - 1) u sum|terms|, and each operation that makes
a term adds u times its size (Higham, "Accuracy and Stability of Numerical Algorithms", section 3.1). Two
results, each with `count` operations on its longest path, differ by at most count * eps * sum|terms|. So
each case below states, for every element, how many operations there are and how large the terms are, both
worked out in float64 from the inputs. Results near the smallest normal number may be flushed to zero: an
absolute floor, and nothing more.

The outputs are full of NaN before the call, so nothing can stay unwritten; all arrays lie between margins
which must not change; inputs are read-only.
`test_parity.py` plants bugs and demands that they are found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnet.activations import ACTIVATIONS
from fastnet.backends import reference
from fastnet.losses import LOSSES
from fastnet.optimizers import OPTIMIZERS

Array = npt.NDArray[Any]

MARGIN = 37  # elements on each side; odd, so that nothing starts where vectors like to
NAN = float("nan")
INF = float("inf")
NOT_FINITE = (NAN, INF, -INF)


# ---- one case, and how it is checked --------------------------------------------------------------------


@dataclass
class Case:
    """One call of a kernel, and how far its results may be from those of the reference."""

    kernel: str
    reads: Sequence[Array | None]
    writes: Sequence[Array]  # as they are before the call
    numbers: Sequence[Any] = ()
    # (what the reference wrote, what it returned) -> a bound for each element of each
    bounds: Callable[[list[Array], Any], tuple[list[Any], Any]] = lambda written, _: (
        [0.0 for _ in written],
        0,
    )


def blank(*shape: int, dtype: str) -> Array:
    """An output that nothing has been written to."""
    return np.full(shape, NAN, dtype)


def framed(values: Array) -> tuple[Array, Array]:
    """A copy between two margins, and the whole array: NaN (or a huge label) on both sides."""
    margin = np.iinfo(values.dtype).max if values.dtype.kind == "i" else NAN
    frame = np.full(values.size + 2 * MARGIN, margin, values.dtype)
    inner = frame[MARGIN : MARGIN + values.size].reshape(values.shape)
    inner[...] = values
    return inner, frame


def run(module: Any, case: Case) -> tuple[list[Array], Any]:
    """Call the kernel on framed copies; returns what it wrote and what it returned."""
    reads = [None if one is None else framed(one) for one in case.reads]
    writes = [framed(one) for one in case.writes]
    before = [None if one is None else one[1].tobytes() for one in reads]
    for one in reads:
        if one is not None:
            one[0].flags.writeable = False
    arguments = [None if one is None else one[0] for one in reads] + [one[0] for one in writes]
    with np.errstate(all="ignore"):
        returned = getattr(module, case.kernel)(*arguments, *case.numbers)
    for one, bits in zip(reads, before, strict=True):
        assert one is None or one[1].tobytes() == bits, f"{case.kernel} changed an input"
    for inner, frame in writes:
        margins = (frame[:MARGIN], frame[MARGIN + inner.size :])
        assert all(np.isnan(one).all() for one in margins), f"{case.kernel} wrote outside its output"
    return [one[0] for one in writes], returned


def compare(actual: Any, expected: Any, bound: Any) -> None:
    """Equal NaN and infinities, and finite values within the bound, element by element."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected), "NaN elsewhere")
    for sign in (INF, -INF):
        np.testing.assert_array_equal(actual == sign, expected == sign, f"{sign} elsewhere")
    finite = np.isfinite(expected)
    difference = np.abs(actual[finite].astype(np.float64) - expected[finite].astype(np.float64))
    allowed = np.broadcast_to(np.asarray(bound, np.float64), expected.shape)[finite]
    wrong = ~(difference <= allowed)
    if wrong.any():
        worst = int(np.argmax(np.where(wrong, difference, 0.0)))
        raise AssertionError(
            f"{np.count_nonzero(wrong)} of {wrong.size} differ by more than allowed, such as "
            f"{actual[finite][worst]!r} and {expected[finite][worst]!r}: {difference[worst]:.3g} > "
            f"{allowed[worst]:.3g}"
        )


def check(module: Any, case: Case) -> None:
    """Run the case on both and compare all they wrote and returned."""
    expected, expected_return = run(reference, case)
    actual, actual_return = run(module, case)
    with np.errstate(all="ignore"):
        bounds, bound_return = case.bounds(expected, expected_return)
    for one, other, bound in zip(actual, expected, bounds, strict=True):
        compare(one, other, bound)
    assert (actual_return is None) == (expected_return is None)
    if expected_return is not None:
        compare(np.array(actual_return, float), np.array(expected_return, float), bound_return)


def wide(values: Array) -> Array:
    return values.astype(np.float64)


def numbers(rng: np.random.Generator, dtype: str, *shape: int, special: Sequence[float] = ()) -> Array:
    """Normal values of mixed magnitude with some zeros, and here and there a special one."""
    values = rng.normal(size=shape) * 10.0 ** rng.integers(-2, 2, size=shape)
    values[rng.random(shape) < 0.05] = 0.0
    if special:
        where = rng.random(shape) < 0.1
        values[where] = rng.choice(list(special), size=int(where.sum()))
    return values.astype(dtype)


# ---- matrix products ------------------------------------------------------------------------------------


def dense_cases(
    rng: np.random.Generator, dtype: str, n: int, i: int, o: int, special: Sequence[float] = ()
) -> Iterator[Case]:
    """The four kernels of a dense layer. A sum of K products takes K + 1 operations, and one for a bias."""
    eps = float(np.finfo(dtype).eps)
    x, weights = numbers(rng, dtype, n, i, special=special), numbers(rng, dtype, i, o)
    bias, d_z = numbers(rng, dtype, o, special=special), numbers(rng, dtype, n, o, special=special)
    with np.errstate(all="ignore"):
        terms = np.abs(wide(x)) @ np.abs(wide(weights))
        forward = eps * (i + 2) * (terms + np.abs(wide(bias)))
        to_weights = eps * (n + 2) * (np.abs(wide(x)).T @ np.abs(wide(d_z)))
        to_bias = eps * (n + 2) * np.abs(wide(d_z)).sum(axis=0)
        to_input = eps * (o + 2) * (np.abs(wide(d_z)) @ np.abs(wide(weights)).T)
        plain = eps * (i + 2) * terms

    def case(kernel: str, reads: Sequence[Array | None], shape: tuple[int, ...], bound: Array) -> Case:
        return Case(kernel, reads, [blank(*shape, dtype=dtype)], (), lambda *_: ([bound], 0))

    yield case("dense_forward", [x, weights, bias], (n, o), forward)
    yield case("dense_forward", [x, weights, None], (n, o), plain)
    yield case("dense_backward_weights", [x, d_z], (i, o), to_weights)
    yield case("dense_backward_bias", [d_z], (o,), to_bias)
    yield case("dense_backward_input", [d_z, weights], (n, i), to_input)


# ---- activations ----------------------------------------------------------------------------------------


def exact_slope(name: str, z: Array, a: Array) -> Array:
    """da/dz in float64."""
    slope = np.empty(z.shape)
    reference.activation_backward(wide(z), wide(a), np.ones(z.shape), slope, name)
    return slope


def slope_terms(name: str, z: Array, a: Array) -> Array:
    """Size of the terms that a slope is the sum of; 1 and |a| where nothing better is known."""
    if name in ("identity", "step", "relu", "leaky_relu", "softplus", "sigmoid"):
        return np.abs(exact_slope(name, z, a))  # nothing is added up that could cancel
    z, a = np.clip(wide(z), -1e3, 1e3), wide(a)  # infinity times 0 has its limit, 0
    if name == "gelu":  # Phi(z) + z phi(z); in the tail z^2 multiplies the rounding of the exponent
        tail = np.minimum(z, 0) ** 2
        density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi)
        below = 0.5 * np.frompyfunc(math.erfc, 1, 1)(-z / math.sqrt(2)).astype(np.float64)
        return below * (1 + tail) + np.abs(z) * density * (1 + z * z)
    if name == "silu":
        s = 1 / (1 + np.exp(-z))
        return s + np.abs(z) * s * (1 - s)
    return 1.0 + np.abs(a)


def activation_cases(
    rng: np.random.Generator, dtype: str, name: str, z: Array, special: Sequence[float] = ()
) -> Iterator[Case]:
    """Forward and backward. An elementary function is within 8 ulp, and the reference within 4."""
    eps, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).tiny)
    a = np.empty_like(z)
    with np.errstate(all="ignore"):
        reference.activation_forward(z, a, name)
    d_a = numbers(rng, dtype, *z.shape, special=special)
    a64, d64 = np.abs(wide(a)), np.abs(wide(d_a))

    def forward(written: list[Array], _: object) -> tuple[list[Any], Any]:
        if name == "softmax":  # a sum of O exponentials below a quotient
            return [eps * (z.shape[1] + 12) * a64 + 32 * tiny], 0
        # An error of the argument, as in erf(z / sqrt 2), becomes one of |z slope| times its size.
        argument = np.nan_to_num(np.abs(wide(z) * exact_slope(name, z, a)), nan=0, posinf=0)
        return [12 * eps * (a64 + argument) + 32 * tiny], 0

    def backward(written: list[Array], _: object) -> tuple[list[Any], Any]:
        if name == "softmax":
            dot = (a64 * d64).sum(axis=1, keepdims=True)
            return [eps * (z.shape[1] + 4) * a64 * (d64 + dot)], 0
        return [d64 * (16 * eps * slope_terms(name, z, a) + 32 * tiny)], 0

    out = np.full_like(z, NAN)
    yield Case("activation_forward", [z], [out], (name,), forward)
    yield Case("activation_backward", [z, a, d_a], [out], (name,), backward)


# ---- dropout --------------------------------------------------------------------------------------------


def dropout_case(rng: np.random.Generator, dtype: str, n: int, o: int, rate: float, key: int) -> Case:
    x = numbers(rng, dtype, n, o, special=NOT_FINITE)
    return Case("dropout", [x], [blank(n, o, dtype=dtype)], (rate, key))


# ---- losses ---------------------------------------------------------------------------------------------

KERNEL_LOSSES = [
    name
    for row in LOSSES.values()
    for name, there in (
        (row.name, row.outputs != {row.paired}),  # else it is there from the logits alone
        (f"{row.paired}_{row.name}", bool(row.paired)),
    )
    if there
]
"""What the kernels call the losses: paired ones start from the logits."""
EXACT_SLOPES = (
    "half_squared_error", "mean_squared_error", "mean_absolute_error", "huber", "quantile", "perceptron",
)  # fmt: skip


def loss_case(
    rng: np.random.Generator,
    dtype: str,
    name: str,
    output: Array,
    kind: str,
    weights: str,
    parameter: float = 1.0,
    scale: float = 1.0,
) -> Case:
    """`kind` of target: "labels" or "rows"; `weights`: "none", "some" (a third of them 0) or "zero"."""
    n, o = output.shape
    eps = float(np.finfo(dtype).eps)
    target: Array = rng.integers(0, max(o, 1), n)
    if kind == "rows":
        (row,) = [one for one in LOSSES.values() if name in (one.name, f"{one.paired}_{one.name}")]
        target = numbers(rng, dtype, n, o)
        if row.targets == "sign":
            target = np.where(target > 0.1, 1, -1).astype(dtype)
        elif row.targets != "any":
            target = (
                np.abs(target) if row.targets == "positive" else rng.random((n, o)).round(1).astype(dtype)
            )
    chosen = rng.random(n) * (rng.random(n) < 0.7) if weights == "some" else np.zeros(n)
    sample_weight = None if weights == "none" else chosen.astype(dtype)

    def bounds(written: list[Array], returned: tuple[float, float]) -> tuple[list[Any], Any]:
        y, norm = wide(output), returned[1]
        w = np.ones((n, 1)) if sample_weight is None else wide(sample_weight)[:, None]
        if name == "softmax_cross_entropy":
            shifted = y - y.max(axis=1, keepdims=True)
            logs = 1 + np.log(np.exp(shifted).sum(axis=1, keepdims=True)) + np.abs(shifted)
            t = np.eye(max(o, 1))[target] if kind == "labels" else wide(target)
            values = np.where(t != 0, np.abs(t) * logs, 0)
            slope = np.exp(shifted) * np.abs(t).sum(axis=1, keepdims=True) + np.abs(t)
        else:
            t, exact = wide(target), np.empty((n, o))
            y = np.maximum(y, float(np.finfo(dtype).tiny)) if name == "poisson" else y  # its floor
            _, divisor = reference.loss_and_slope(y, t, None, exact, name, parameter, scale)
            values = np.abs(y) + np.abs(t) + np.abs(y * t)
            slope = np.abs(exact) * divisor + (0 if name in EXACT_SLOPES else 1 + np.abs(t))
        # A row is a sum of O values, each of at most 16 operations; a slope has no sum but softmax's.
        w_slope = w * (scale if name == "softmax_cross_entropy" else 1)
        slope_bound = eps * (16 + o) * slope * w_slope / (norm or 1) + float(np.finfo(dtype).tiny)
        value_bound = eps * (16 + o) * ((values * w).sum() + abs(returned[0]))
        return [slope_bound], np.array([value_bound, n * np.finfo(np.float64).eps * norm])

    reads, writes = [output, target, sample_weight], [blank(n, o, dtype=dtype)]
    return Case("loss_and_slope", reads, writes, (name, parameter, scale), bounds)


def outputs_for(rng: np.random.Generator, dtype: str, name: str, n: int, o: int) -> Array:
    """Outputs that a network may have with this loss."""
    output = numbers(rng, dtype, n, o)
    return np.abs(output) if name == "poisson" else output  # with zeros: where softplus underflows


# ---- optimizers -----------------------------------------------------------------------------------------


def update_terms(
    name: str, h: dict[str, float], g: Array, w: Array, old: Array, new: Array, rate: float, step: int
) -> tuple[Array, list[Array]]:
    """Size of what the new parameters and each new state are sums of; g: |gradient| and |decay| together."""
    if name in ("adagrad", "rmsprop"):
        share = 1 - h["rho"] if name == "rmsprop" else 1.0
        return w + rate * g / (np.sqrt(new[0]) + h["epsilon"]), [old[0] + share * g * g]
    if name in ("adam", "adamw"):
        mean = h["beta1"] * np.abs(old[0]) + (1 - h["beta1"]) * g
        square = h["beta2"] * old[1] + (1 - h["beta2"]) * g * g
        root = np.sqrt(new[1] / (1 - h["beta2"] ** step)) + h["epsilon"]
        # An error of the root is one of the quotient; with decay, g may be a small difference.
        grown = mean + np.abs(new[0]) * square / np.maximum(new[1], np.finfo(np.float64).tiny)
        return w + rate / (1 - h["beta1"] ** step) * grown / root, [mean, square]
    if name == "rprop":
        return w + new[1], [g, new[1]]
    if name == "sgd":
        states = [h["momentum"] * np.abs(one) + g for one in old]
        return w + rate * (g + sum(states)), states
    raise ValueError(f"update_terms does not know the terms of the optimizer {name!r}")


def update_case(
    name: str,
    h: dict[str, float],
    gradients: Array,
    decay: Array,
    w: Array,
    state: Array,
    rate: float,
    step: int,
) -> Case:
    eps, tiny = float(np.finfo(w.dtype).eps), float(np.finfo(w.dtype).tiny)

    def bounds(written: list[Array], _: object) -> tuple[list[Any], Any]:
        g = np.abs(wide(gradients))
        g = np.minimum(g, h["clip_value"]) if h["clip_value"] else g
        g = g * min(1.0, h["clip_norm"] / float(np.sqrt((g * g).sum()))) if h["clip_norm"] and g.any() else g
        g = g + wide(decay) * h["weight_decay"] * np.abs(wide(w))
        terms, states = update_terms(name, h, g, np.abs(wide(w)), wide(state), wide(written[1]), rate, step)
        stacked = np.array(states).reshape(state.shape)
        return [16 * eps * terms + tiny, 16 * eps * stacked + tiny], 0  # at most 16 operations, no sums

    return Case("update", [gradients, decay], [w, state], (name, h, rate, step), bounds)


def optimizer_cases(
    rng: np.random.Generator, dtype: str, name: str, options: dict[str, float], count: int, steps: int = 5
) -> Iterator[Case]:
    """Some steps, each from where the reference's last one ended."""
    optimizer = OPTIMIZERS[name](0.1, **options)
    w, state = numbers(rng, dtype, count), np.zeros((len(optimizer.states), count), dtype)
    decay = (np.arange(count) % 23 < 14).astype(dtype)  # runs of weights and of biases
    for step in range(1, steps + 1):
        case = update_case(
            name, optimizer.hyper(), numbers(rng, dtype, count), decay, w, state, 0.1 / step, step
        )
        yield case
        (w, state), _ = run(reference, case)


# ---- all of them -----------------------------------------------------------------------------------------


def all_cases(rng: np.random.Generator, dtype: str, n: int, i: int, o: int) -> Iterator[Case]:
    """Every kernel, with every row of the tables, once."""
    yield from dense_cases(rng, dtype, n, i, o)
    for name in ACTIVATIONS:
        yield from activation_cases(rng, dtype, name, numbers(rng, dtype, n, o))
    for name in KERNEL_LOSSES:
        for kind in ("labels", "rows") if name == "softmax_cross_entropy" else ("rows",):
            weights = str(rng.choice(["none", "some"]))
            yield loss_case(rng, dtype, name, outputs_for(rng, dtype, name, n, o), kind, weights)
    for name in OPTIMIZERS:
        yield from optimizer_cases(rng, dtype, name, {}, i * o, steps=2)
    yield dropout_case(rng, dtype, n, o, float(rng.random()), int(rng.integers(2**63)))
    output, target = numbers(rng, dtype, n, o), numbers(rng, dtype, n, o)
    yield Case("count_correct", [output, target], [], ("threshold", 0.5))


NOT_KERNELS = {"Executor", "dropout_key"}


def public_functions() -> list[str]:
    """Names of the kernels."""
    return [one for one in reference.__all__ if callable(getattr(reference, one)) and one not in NOT_KERNELS]
