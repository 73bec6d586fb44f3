"""Learning rates over time: formulas, end points, units, errors, descriptions."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest

from fastnet import schedules
from fastnet.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    Exponential,
    InverseScaling,
    OneCycle,
    Schedule,
    Step,
    Warmup,
)

EXAMPLES = [
    Constant(0.1),
    Step(0.1, every=10),
    Step(0.1, every=3, factor=0.5, unit="steps"),
    Exponential(0.1, factor=0.9),
    InverseScaling(0.1, power=0.7, unit="steps"),
    Cosine(0.1, epochs=10),
    Cosine(0.1, steps=500, final=0.001),
    OneCycle(0.1, epochs=7),
    OneCycle(0.3, steps=100, warmup=0.1, start_divisor=10, final_divisor=100),
    Warmup(0.1, steps=100),
    Warmup(Cosine(0.1, epochs=10), epochs=2, start=0.5),
    Warmup(Warmup(0.1, epochs=1), epochs=1),
]


def test_every_schedule_has_an_example() -> None:
    assert {type(example) for example in EXAMPLES} == set(SCHEDULES.values())
    assert all(kind.name == name for name, kind in SCHEDULES.items())


# ---- formulas: one row of hand-computed rates for each


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (Constant(0.1), {0: 0.1, 2.5: 0.1, 1e9: 0.1}),
        (Step(0.8, every=10, factor=0.5), {0: 0.8, 9.999: 0.8, 10: 0.4, 19: 0.4, 20: 0.2, 35: 0.1}),
        (Step(0.8, every=2.5), {0: 0.8, 2.4: 0.8, 2.5: 0.08}),
        (Exponential(0.8, factor=0.5), {0: 0.8, 0.5: 0.8 * math.sqrt(0.5), 1: 0.4, 3: 0.1}),
        (Exponential(0.1, factor=10.0), {0: 0.1, 2: 10.0}),
        (InverseScaling(0.8), {0: 0.8, 3: 0.4, 15: 0.2}),
        (InverseScaling(0.8, power=1.0), {0: 0.8, 1: 0.4, 3: 0.2}),
        (Cosine(0.8, epochs=12), {0: 0.8, 4: 0.6, 6: 0.4, 8: 0.2, 12: 0.0, 99: 0.0}),
        (Cosine(0.9, epochs=12, final=0.1), {0: 0.9, 4: 0.7, 6: 0.5, 12: 0.1, 13: 0.1}),
        (
            OneCycle(1.0, epochs=10),
            {0: 0.04, 1.5: 0.52, 3: 1.0, 6.5: 0.5 + 0.5 * 4e-6, 10: 4e-6, 11: 4e-6},
        ),
        (
            OneCycle(1.0, epochs=10, warmup=0.5, start_divisor=2, final_divisor=5),
            {0: 0.5, 2.5: 0.75, 5: 1.0, 7.5: 0.55, 10: 0.1},
        ),
        (Warmup(0.8, epochs=4, start=0.25), {0: 0.2, 2: 0.5, 4: 0.8, 5: 0.8}),
        (Warmup(0.8, steps=4), {0: 0.008, 4: 0.8}),
        (Warmup(Cosine(0.8, epochs=12), epochs=3, start=0.5), {0: 0.4, 1.5: 0.6, 3: 0.8, 9: 0.4, 15: 0.0}),
    ],
    ids=repr,
)
def test_formula(schedule: Schedule, rates: dict[float, float]) -> None:
    np.testing.assert_allclose(schedule(list(rates)), list(rates.values()), rtol=1e-12, atol=1e-16)
    for t, rate in rates.items():
        assert schedule(t) == pytest.approx(rate, rel=1e-12, abs=1e-16)


@pytest.mark.parametrize("length", [1, 3, 7, 10, 97, 1000, 0.7])
@pytest.mark.parametrize("rate", [0.1, 0.3, 1e-3, 0.7])
def test_end_points_are_exact_and_stay(rate: float, length: float) -> None:
    cosine = Cosine(rate, steps=length, final=rate / 7)
    assert cosine(0) == rate
    assert cosine(length) == cosine(2 * length) == cosine(1e12) == rate / 7
    cycle = OneCycle(rate, steps=length)
    assert cycle(0) == rate / 25
    assert cycle(0.3 * length) == rate
    assert cycle(length) == cycle(2 * length) == cycle(1e12) == rate / 25 / 1e4
    warmup = Warmup(rate, steps=length, start=0.1)
    assert warmup(0) == rate * 0.1
    assert warmup(length) == warmup(1e12) == rate


def test_steps_fall_exactly_where_epochs_are_counted_in_steps() -> None:
    steps_per_epoch = 7
    t = np.arange(6 * steps_per_epoch) / steps_per_epoch
    drops = np.flatnonzero(np.diff(Step(1.0, every=2)(t))) + 1
    assert drops.tolist() == [2 * steps_per_epoch, 4 * steps_per_epoch]


@pytest.mark.parametrize("schedule", EXAMPLES, ids=repr)
def test_rates_are_positive_and_smooth_enough_over_a_whole_run(schedule: Schedule) -> None:
    t = np.linspace(0.0, 9.99, 1000) if schedule.unit == "epochs" else np.arange(500.0)
    rates = schedule(t)
    assert rates.shape == t.shape
    assert rates.dtype == np.float64
    assert np.all((rates > 0) & np.isfinite(rates))
    assert rates.max() <= getattr(schedule, "peak", 0.1) * (1 + 1e-12)


def test_only_a_cosine_that_ends_at_zero_gives_zero() -> None:
    ends = {
        repr(schedule): schedule(1e6) for schedule in EXAMPLES if not isinstance(schedule, Exponential | Step)
    }
    zero = {repr(Cosine(0.1, epochs=10)), repr(Warmup(Cosine(0.1, epochs=10), epochs=2, start=0.5))}
    assert {name for name, rate in ends.items() if rate == 0} == zero


# ---- calling


@pytest.mark.parametrize("schedule", EXAMPLES, ids=repr)
def test_arrays_and_numbers_agree(schedule: Schedule) -> None:
    t = np.array([[0.0, 0.5, 1.0], [2.0, 3.0, 200.0]])
    rates = schedule(t)
    assert rates.shape == (2, 3)
    for index in np.ndindex(t.shape):
        one = schedule(t[index])
        assert type(one) is float
        assert one == rates[index]
    assert schedule([]).shape == (0,)
    assert schedule(np.arange(3)).tolist() == schedule([0.0, 1.0, 2.0]).tolist()


@pytest.mark.parametrize("t", [-1e-9, math.nan, [0.0, -1.0], [0.0, math.nan]])
def test_times_before_the_start(t: object) -> None:
    for schedule in EXAMPLES:
        with pytest.raises(ValueError, match="t must not be negative or NaN"):
            schedule(t)


def test_unit() -> None:
    assert [example.unit for example in EXAMPLES] == [
        "epochs",
        "epochs",
        "steps",
        "epochs",
        "steps",
        "epochs",
        "steps",
        "epochs",
        "steps",
        "steps",
        "epochs",
        "epochs",
    ]


# ---- errors

BAD_RATES = [0, 0.0, -0.1, math.nan, math.inf]


@pytest.mark.parametrize("rate", BAD_RATES)
def test_a_rate_must_be_positive_and_finite(rate: float) -> None:
    message = f"learning_rate must be positive and finite, got {re.escape(f'{float(rate):g}')}"
    for make in (
        schedules.get,
        Constant,
        lambda r: Step(r, every=1),
        lambda r: Exponential(r, factor=0.9),
        InverseScaling,
        lambda r: Cosine(r, epochs=1),
        lambda r: Warmup(r, epochs=1),
    ):
        with pytest.raises(ValueError, match=message):
            make(rate)
    with pytest.raises(ValueError, match="peak must be positive"):
        OneCycle(rate, epochs=1)


@pytest.mark.parametrize("rate", ["0.1", None, True, [0.1], 1j])
def test_a_rate_must_be_a_number_or_a_schedule(rate: object) -> None:
    with pytest.raises(
        TypeError, match=r"learning_rate must be a number or a schedule \(Constant, Step, .*Warmup\)"
    ):
        schedules.get(rate)


@pytest.mark.parametrize(
    "kind", [lambda **k: Cosine(0.1, **k), lambda **k: OneCycle(0.1, **k), lambda **k: Warmup(0.1, **k)]
)
def test_exactly_one_length(kind: object) -> None:
    with pytest.raises(ValueError, match="as epochs= or as steps=, got neither"):
        kind()
    with pytest.raises(ValueError, match="as epochs= or as steps=, got both"):
        kind(epochs=1, steps=1)
    for bad in (0, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match="steps must be positive"):
            kind(steps=bad)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Step(0.1, every=0), "every must be positive"),
        (lambda: Step(0.1, every=1, factor=0), "factor must be positive"),
        (lambda: Step(0.1, every=1, unit="weeks"), "unit must be 'epochs' or 'steps', got 'weeks'"),
        (lambda: Exponential(0.1, factor=-1), "factor must be positive"),
        (lambda: Exponential(0.1, factor=0.9, unit=None), "unit must be"),
        (lambda: InverseScaling(0.1, power=0), "power must be positive"),
        (lambda: Cosine(0.1, epochs=1, final=0.2), "final must be from 0 to learning_rate, 0.1, got 0.2"),
        (lambda: Cosine(0.1, epochs=1, final=-0.1), "final"),
        (lambda: Cosine(0.1, epochs=1, final=math.nan), "final"),
        (lambda: OneCycle(0.1, epochs=1, warmup=1.0), "warmup must be a part of the length, below 1, got 1"),
        (lambda: OneCycle(0.1, epochs=1, warmup=0.0), "warmup must be positive"),
        (lambda: OneCycle(0.1, epochs=1, start_divisor=0.5), "start_divisor must be at least 1"),
        (lambda: OneCycle(0.1, epochs=1, final_divisor=0.5), "final_divisor must be at least 1"),
        (lambda: Warmup(0.1, epochs=1, start=0.0), "start must be positive"),
        (lambda: Warmup(0.1, epochs=1, start=1.5), "start must be a part of the first rate"),
        (
            lambda: Warmup(Cosine(0.1, epochs=5), steps=10),
            "Warmup counts steps; its schedule, Cosine, counts epochs",
        ),
    ],
)
def test_bad_arguments(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# ---- get and descriptions


def test_get() -> None:
    cosine = Cosine(0.1, epochs=3)
    assert schedules.get(cosine) is cosine
    assert schedules.get(0.5) == schedules.get(np.float32(0.5)) == Constant(0.5)
    assert schedules.get(1)(0) == 1.0


@pytest.mark.parametrize("schedule", EXAMPLES, ids=repr)
def test_a_description_makes_an_equal_schedule(schedule: Schedule) -> None:
    description = json.loads(json.dumps(schedule.config()))
    again = schedules.from_config(description)
    assert again == schedule
    t = np.linspace(0, 600, 50)
    np.testing.assert_array_equal(again(t), schedule(t))


def test_a_description_has_plain_numbers() -> None:
    config = Step(np.float32(0.5), every=np.int64(3)).config()
    assert config == {"name": "step", "learning_rate": 0.5, "every": 3.0, "factor": 0.1, "unit": "epochs"}
    assert {type(value) for value in config.values()} == {str, float}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "unknown schedule None"),
        ({"name": "cosin"}, "unknown schedule 'cosin'.*did you mean 'cosine'.*one_cycle"),
        ({"name": ["cosine"]}, "unknown schedule"),
        ({"name": "constant"}, "learning_rate"),
        ({"name": "constant", "learning_rate": "x"}, "learning_rate"),
        ({"name": "constant", "learning_rate": 0.1, "peak": 1}, "peak"),
        ({"name": "warmup", "schedule": {"name": "nothing"}, "epochs": 1}, "unknown schedule 'nothing'"),
        ({"name": "cosine", "learning_rate": 0.1}, "neither"),
    ],
)
def test_bad_descriptions(config: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        schedules.from_config(config)


def test_schedules_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Constant(0.1).learning_rate = 0.2
