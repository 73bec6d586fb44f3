"""Each kernel against its twin in NumPy, on a few sizes; verified equal before it is timed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from parity import (
    KERNEL_LOSSES,
    Case,
    activation_cases,
    check,
    dense_cases,
    dropout_case,
    loss_case,
    numbers,
    optimizer_cases,
    outputs_for,
)

from fastnet import backends
from fastnet.activations import ACTIVATIONS
from fastnet.optimizers import OPTIMIZERS

Benchmark = Any

SIZES = [(1, 784, 128), (32, 32, 32), (64, 784, 128), (256, 128, 64)]  # N, I, O


def cases(n: int, i: int, o: int) -> Iterator[Case]:
    """Every kernel with every row of the tables."""
    rng, dtype = np.random.default_rng(4), "float32"
    yield from dense_cases(rng, dtype, n, i, o)
    for name in ACTIVATIONS:
        yield from activation_cases(rng, dtype, name, numbers(rng, dtype, n, o))
    for name in KERNEL_LOSSES:
        kind = "labels" if name == "softmax_cross_entropy" else "rows"
        yield loss_case(rng, dtype, name, outputs_for(rng, dtype, name, n, o), kind, "none")
    for name in OPTIMIZERS:
        *_, last = optimizer_cases(rng, dtype, name, {}, (i + 1) * o, steps=2)
        decay = last.reads[1]
        decay[: i * o], decay[i * o :] = 1, 0  # a layer's weights, and then its biases
        yield last
    yield dropout_case(rng, dtype, n, o, 0.2, 2**63)


def title(case: Case) -> str:
    name = next((one for one in case.numbers if isinstance(one, str)), "")
    return f"{case.kernel} {name}" if name else case.kernel


def distinct(n: int, i: int, o: int) -> dict[str, Case]:
    found: dict[str, Case] = {}
    for case in cases(n, i, o):
        found.setdefault(title(case), case)
    return found


ALL = {size: distinct(*size) for size in SIZES}
NAMES = list(ALL[SIZES[0]])


@pytest.mark.parametrize("backend", backends.available())
@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
@pytest.mark.parametrize("name", NAMES)
def test_kernel(benchmark: Benchmark, name: str, size: tuple[int, int, int], backend: str) -> None:
    case = ALL[size][name]
    backends.use(backend)
    module = backends.kernels("float32")
    check(module, case)
    benchmark.group = f"{name} {size}"
    writes = [one.copy() for one in case.writes]
    with np.errstate(all="ignore"):
        benchmark(getattr(module, case.kernel), *case.reads, *writes, *case.numbers)
