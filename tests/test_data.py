"""Datasets, transforms and one-hot rows."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastnet.arrays import require_finite, row_chunks
from fastnet.data import Dataset, Normalise, Standardise, from_one_hot, one_hot, transform_from_config
from fastnet.errors import FastnetFormatError


def numbered(rows: int, classes: int = 3) -> Dataset:
    """Rows that know their number, so that any mix-up of rows or of x and y shows."""
    x = np.arange(rows, dtype=np.float32)[:, np.newaxis] * [1.0, 100.0]
    names = [f"class {label}" for label in range(classes)]
    return Dataset(x, np.arange(rows) % classes, feature_names=["a", "b"], class_names=names, name="numbers")


def numbers_of(data: Dataset) -> list[int]:
    """The numbers of a `numbered` dataset's rows, after checking that x and y still belong together."""
    numbers = data.x[:, 0].astype(int)
    assert np.array_equal(data.x[:, 1], 100 * numbers)
    assert np.array_equal(data.y, numbers % 3)
    return numbers.tolist()


# ---- holding ----------------------------------------------------------------------------------------


def test_unpacks_into_x_and_y_and_counts_rows() -> None:
    data = numbered(7)
    x, y = data
    assert x is data.x and y is data.y
    assert len(data) == 7
    assert "numbers" in repr(data) and "7 rows" in repr(data) and "3 classes" in repr(data)


@pytest.mark.parametrize(
    ("given_dtype", "kept_dtype"),
    [
        ("float32", "float32"),
        ("float64", "float64"),
        ("float16", "float32"),
        ("longdouble", "float64"),
        ("int8", "float32"),
        ("int64", "float32"),
        ("uint8", "float32"),
        ("bool", "float32"),
        (">f4", "float32"),
        (">f8", "float64"),
    ],
)
def test_dtype_of_x(given_dtype: str, kept_dtype: str) -> None:
    x = np.array([[0, 1], [1, 0], [1, 1]]).astype(given_dtype)
    data = Dataset(x, [0, 1, 2])
    assert data.x.dtype == kept_dtype and data.x.dtype.isnative
    assert np.array_equal(data.x, [[0, 1], [1, 0], [1, 1]])


@pytest.mark.parametrize(
    ("y", "dtype"),
    [
        (np.array([1, 0], np.uint8), "int64"),
        ([True, False], "int64"),
        (np.array([1, 0], ">i2"), "int64"),
        ([1.5, 0.0], "float64"),
        (np.array([1, 0], "float32"), "float32"),
        (np.array([1, 0], "float16"), "float32"),
        ([[1, 0], [0, 1]], "float32"),
        ([[1.0], [0.0]], "float64"),
    ],
)
def test_dtype_of_y(y: object, dtype: str) -> None:
    data = Dataset(np.zeros((2, 1)), y)
    assert data.y.dtype == dtype and data.y.dtype.isnative
    assert np.array_equal(data.y, y)


def test_good_arrays_are_not_copied_and_nobody_can_write_to_them() -> None:
    x, y = np.ones((4, 2), np.float32), np.zeros(4, np.int64)
    data = Dataset(x, y)
    assert np.shares_memory(data.x, x) and np.shares_memory(data.y, y)
    with pytest.raises(ValueError, match="read-only"):
        data.x[0] = 2
    with pytest.raises(ValueError, match="read-only"):
        data[1:].y[0] = 2
    assert x.flags.writeable and y.flags.writeable
    with pytest.raises(AttributeError):
        data.x = x  # type: ignore[misc]


def test_awkward_memory_layouts(tmp_path: object) -> None:
    wanted = np.arange(12, dtype=np.float32).reshape(4, 3)
    mapped = np.memmap(f"{tmp_path}/x", np.float32, "w+", shape=(4, 3))
    mapped[:] = wanted
    backwards = np.ascontiguousarray(wanted[::-1, ::-1])[::-1, ::-1]
    frozen = wanted.copy()
    frozen.flags.writeable = False
    for x in (np.asfortranarray(wanted), backwards, frozen, mapped, wanted.tolist()):
        data = Dataset(x, range(4))
        assert data.x.flags.c_contiguous
        assert np.array_equal(data.x, wanted)


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (np.zeros((3, 2)), [0, 1], ValueError, "x has 3 rows and y has 2"),
        (np.zeros(3), [0, 1, 2], ValueError, r"x has shape \(3,\); wanted \(N, \.\.\.\)"),
        (5.0, [0], ValueError, "x is a single number"),
        (np.zeros((0, 2)), [], ValueError, r"x has shape \(0, 2\); wanted at least one row"),
        (np.zeros((2, 0)), [0, 1], ValueError, r"x has shape \(2, 0\)"),
        ([[1, 2], [3]], [0, 1], ValueError, "x is not a rectangular array"),
        ([["a"], ["b"]], [0, 1], TypeError, "x holds strings"),
        ([[None], [1]], [0, 1], TypeError, "x holds objects"),
        ([[1j], [2]], [0, 1], TypeError, "x holds complex numbers"),
        (np.array([["2020-01-01"]], "datetime64[D]"), [0], TypeError, "x holds values of type datetime64"),
        ([[1.0, 2.0], [3.0, np.nan]], [0, 1], ValueError, r"x\[1, 1\] is nan; wanted finite"),
        ([[-np.inf, 2.0]], [0], ValueError, r"x\[0, 0\] is -inf"),
        (np.zeros((2, 1)), ["cat", "dog"], TypeError, "y holds strings"),
        (np.zeros((2, 1)), [0.5, np.inf], ValueError, r"y\[1\] is inf"),
        (np.zeros((2, 1)), np.zeros((2, 1, 1)), ValueError, r"y has shape \(2, 1, 1\)"),
        (np.zeros((1, 1)), np.array([2**63], np.uint64), ValueError, "y holds 9223372036854775808"),
    ],
)
def test_bad_arrays(x: object, y: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Dataset(x, y)


@pytest.mark.parametrize(
    ("keywords", "y", "error", "message"),
    [
        ({"feature_names": ["a"]}, [0, 1], ValueError, "feature_names has 1 names; wanted 6"),
        ({"feature_names": "abcdef"}, [0, 1], TypeError, "feature_names is 'abcdef'"),
        ({"feature_names": range(6)}, [0, 1], TypeError, "feature_names"),
        ({"class_names": ["a", "b"]}, [0, 2], ValueError, r"y\[1\] is 2; wanted labels in 0 \.\. 1"),
        ({"class_names": ["a", "b"]}, [-1, 0], ValueError, r"y\[0\] is -1"),
        ({"class_names": ["a", "b"]}, [0.0, 0.5], ValueError, r"y\[1\] is 0.5; wanted a whole number"),
        ({"class_names": ["a", "b"]}, [[0], [1]], ValueError, "class_names has 2 names; wanted 1"),
    ],
)
def test_bad_names(keywords: dict[str, object], y: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Dataset(np.zeros((2, 2, 3)), y, **keywords)


def test_survives_copying_and_pickling() -> None:
    data = numbered(5)
    for twin in (copy.copy(data), copy.deepcopy(data), pickle.loads(pickle.dumps(data))):
        assert numbers_of(twin) == numbers_of(data)
        assert (twin.name, twin.class_names) == (data.name, data.class_names)


# ---- rows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "rows"),
    [
        (slice(1, 3), [1, 2]),
        (slice(None, None, -2), [4, 2, 0]),
        ([3, 0, 3], [3, 0, 3]),
        ([-1], [4]),
        (np.array([True, False, False, True, False]), [0, 3]),
        (np.array([2], np.uint8), [2]),
    ],
)
def test_index(index: object, rows: list[int]) -> None:
    part = numbered(5)[index]
    assert numbers_of(part) == rows
    assert part.x.flags.c_contiguous
    assert (part.name, part.feature_names) == ("numbers", ("a", "b"))


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (3, TypeError, r"dataset.x\[i\]"),
        ((0, 1), TypeError, "index is"),
        ([0.5], TypeError, "index is"),
        (slice(5, None), ValueError, "none of the 2 rows"),
        ([], ValueError, "none of the 2 rows"),
        ([False, False], ValueError, "none"),
        ([True], IndexError, "boolean"),
        ([2], IndexError, "out of bounds"),
        ([[0]], TypeError, "one-dimensional"),
        ("x", TypeError, "index is 'x'"),
    ],
)
def test_bad_index(index: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        numbered(2)[index]


def test_shuffle_keeps_rows_together_and_depends_on_the_seed_only() -> None:
    data = numbered(50)
    first = numbers_of(data.shuffle(1))
    assert first == numbers_of(data.shuffle(1))
    assert first != numbers_of(data.shuffle(2))
    assert sorted(first) == list(range(50)) != first
    assert numbers_of(data) == list(range(50))


def test_batches() -> None:
    data = numbered(10)
    batches = list(data.batches(4))
    assert [len(x) for x, _ in batches] == [4, 4, 2]
    assert np.shares_memory(batches[0][0], data.x)
    assert np.array_equal(np.concatenate([x for x, _ in batches]), data.x)
    assert np.array_equal(np.concatenate([y for _, y in batches]), data.y)
    assert [len(x) for x, _ in data.batches(4, drop_last=True)] == [4, 4]
    assert [len(x) for x, _ in data.batches(5, drop_last=True)] == [5, 5]
    assert [len(x) for x, _ in data.batches(11)] == [10]
    assert list(data.batches(11, drop_last=True)) == []


def test_shuffled_batches_visit_each_row_once() -> None:
    def visited(seed: int | None) -> list[int]:
        xs, ys = zip(*data.batches(4, shuffle=True, seed=seed), strict=True)
        return numbers_of(Dataset(np.concatenate(xs), np.concatenate(ys)))

    data = numbered(30)
    assert sorted(visited(0)) == list(range(30)) != visited(0)
    assert visited(0) == visited(0) != visited(1)
    assert visited(None) != visited(None)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size is 0; wanted an integer of at least 1"),
        ({"batch_size": 2.0}, TypeError, "batch_size is 2.0; wanted an integer"),
        ({"batch_size": True}, TypeError, "batch_size is True"),
        ({"batch_size": 2, "shuffle": True, "seed": -1}, ValueError, "seed is -1"),
        ({"batch_size": 2, "shuffle": True, "seed": "a"}, TypeError, "seed is 'a'"),
    ],
)
def test_bad_batches_are_refused_before_the_first_is_asked_for(
    arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        numbered(3).batches(**arguments)


# ---- split ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "fraction", "test_rows"),
    [(100, 0.25, 25), (10, 0.25, 3), (10, 0.24, 2), (10, 0.01, 1), (10, 0.99, 9), (2, 0.5, 1), (7, 0.5, 4)],
)
def test_split_divides_the_rows(rows: int, fraction: float, test_rows: int) -> None:
    train, test = numbered(rows).split(fraction)
    assert len(test) == test_rows
    assert sorted(numbers_of(train) + numbers_of(test)) == list(range(rows))
    assert train.class_names == test.class_names == ("class 0", "class 1", "class 2")


def test_split_is_shuffled_and_depends_on_the_seed_only() -> None:
    data = numbered(60)
    for stratify in (False, True):
        splits = [
            [numbers_of(part) for part in data.split(stratify=stratify, seed=seed)] for seed in (0, 0, 1)
        ]
        assert splits[0] == splits[1] != splits[2]
        assert all(part != sorted(part) for part in splits[0])


@given(
    sizes=st.lists(st.integers(2, 30), min_size=1, max_size=6),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 5),
)
def test_stratified_split_shares_each_class_in_proportion(
    sizes: list[int], fraction: float, seed: int
) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    data = Dataset(np.arange(len(labels))[:, np.newaxis], labels)
    total = min(max(int(fraction * len(labels) + 0.5), 1), len(labels) - 1)
    if min(total, len(labels) - total) < len(sizes):
        with pytest.raises(ValueError, match=f"each of the {len(sizes)} classes"):
            data.split(fraction, stratify=True, seed=seed)
        return
    train, test = data.split(fraction, stratify=True, seed=seed)
    assert len(test) == total
    assert sorted([*train.x[:, 0], *test.x[:, 0]]) == list(range(len(labels)))
    assert np.array_equal(labels[test.x[:, 0].astype(int)], test.y)
    counts = np.bincount(test.y, minlength=len(sizes))
    assert (counts >= 1).all() and (counts < sizes).all()
    share = total / len(labels) * np.array(sizes)
    legal = (share >= 1) & (share <= np.array(sizes) - 1)
    if legal.all():  # no class had to be given more or less than its share
        assert (np.abs(counts - share) < 1).all()


def test_stratified_split_of_one_hot_rows_and_one_column() -> None:
    labels = np.repeat([0, 1, 2], [40, 20, 4])
    x = np.arange(64)[:, np.newaxis]
    for y in (one_hot(labels), labels[:, np.newaxis], labels.astype(float)):
        test = Dataset(x, y).split(0.25, stratify=True)[1]
        assert np.bincount(labels[test.x[:, 0].astype(int)]).tolist() == [10, 5, 1]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"fraction": 0.0}, ValueError, "fraction is 0; wanted a number strictly between 0 and 1"),
        ({"fraction": 1}, ValueError, "fraction is 1"),
        ({"fraction": float("nan")}, ValueError, "fraction is nan"),
        ({"fraction": "half"}, TypeError, "fraction is 'half'"),
        ({"seed": 1.5}, TypeError, "seed is 1.5"),
    ],
)
def test_bad_splits(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        numbered(9).split(**arguments)


def test_what_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="1 row cannot be split"):
        numbered(1).split()
    with pytest.raises(ValueError, match=r"at least 2 rows of each class; class 2 has 1"):
        Dataset(np.zeros((5, 1)), [0, 0, 1, 1, 2]).split(0.5, stratify=True)
    with pytest.raises(ValueError, match="stratify needs classes"):
        Dataset(np.zeros((4, 1)), [0.1, 0.1, 0.2, 0.2]).split(0.5, stratify=True)


# ---- transforms -------------------------------------------------------------------------------------


def test_standardise_features() -> None:
    x = np.random.default_rng(0).normal([5.0, -3.0, 1000.0], [2.0, 0.1, 30.0], (500, 3))
    scale = Standardise.fit(x)
    assert scale.mean == pytest.approx(x.mean(axis=0), rel=1e-12)
    assert scale.std == pytest.approx(x.std(axis=0), rel=1e-12)
    z = scale(x)
    assert z == pytest.approx((x - x.mean(axis=0)) / x.std(axis=0), abs=1e-12)
    assert scale.inverse(z) == pytest.approx(x, rel=1e-12)
    assert np.array_equal(scale.transform(x), z)


@pytest.mark.parametrize("shape", [(40, 3, 5, 4), (40, 3, 7)])
def test_standardise_channels(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).uniform(-1, 4, shape) * np.array([1, 10, 100]).reshape(
        3, *(1,) * (len(shape) - 2)
    )
    scale = Standardise.fit(x)
    axes = (0, *range(2, x.ndim))
    assert scale.mean == pytest.approx(x.mean(axis=axes)) and scale.std == pytest.approx(x.std(axis=axes))
    z = scale(x)
    assert z.mean(axis=axes) == pytest.approx(0, abs=1e-12) and z.std(axis=axes) == pytest.approx(1)
    assert scale.inverse(z) == pytest.approx(x)


def test_standardise_one_dimension_is_one_feature() -> None:
    y = np.array([1.0, 3.0, 5.0])
    scale = Standardise.fit(y)
    assert scale.mean.shape == (1,)
    assert scale(y) == pytest.approx([-(1.5**0.5), 0, 1.5**0.5])
    assert np.array_equal(scale(y[:, np.newaxis])[:, 0], scale(y))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_constant_features_become_zero_and_come_back(dtype: str) -> None:
    x = np.full((1000, 2), [0.1, 3.3]).astype(dtype)  # neither is a binary fraction
    scale = Standardise.fit(x)
    assert np.array_equal(scale.std, [0, 0])
    assert np.array_equal(scale(x), np.zeros((1000, 2)))
    assert np.array_equal(scale.inverse(scale(x)), x.astype(scale(x).dtype))
    assert scale([[1.1, 3.3]])[0, 0] == pytest.approx(1.0, abs=1e-3)
    flat = Normalise.fit(x)
    assert np.array_equal(flat(x), np.zeros((1000, 2)))


def test_large_offsets_cost_no_accuracy() -> None:
    seconds = 1_700_000_000 + np.arange(1000)  # beyond the digits of float32
    z = Standardise.fit(seconds)(seconds)
    assert z.dtype == np.float32
    wanted = (np.arange(1000) - 499.5) / np.arange(1000).std()
    assert z == pytest.approx(wanted, abs=1e-6)
    far = 1e9 + np.random.default_rng(0).normal(size=(1000, 1))
    assert Standardise.fit(far).std[0] == pytest.approx(np.std(far - 1e9), rel=1e-9)


@pytest.mark.parametrize(
    ("given_dtype", "dtype"),
    [
        ("float32", "float32"),
        ("float64", "float64"),
        ("float16", "float32"),
        ("uint8", "float32"),
        ("bool", "float32"),
    ],
)
@pytest.mark.parametrize("make", [Standardise.fit, Normalise.fit, lambda x: Normalise()])
def test_dtype_of_transforms(make: object, given_dtype: str, dtype: str) -> None:
    x = np.asfortranarray(np.array([[0, 1], [1, 0], [1, 1]]).astype(given_dtype))
    transform = make(x)
    z = transform(x)
    assert z.dtype == dtype and transform.inverse(z).dtype == dtype
    assert transform.inverse(z) == pytest.approx(x.astype(float), abs=1e-5)
    assert x.dtype == given_dtype


def test_a_dataset_is_transformed_with_the_training_parts_scale() -> None:
    train, test = numbered(40).split()
    scale = Standardise.fit(train)
    new = scale(test)
    assert isinstance(new, Dataset)
    assert np.array_equal(new.y, test.y) and new.class_names == test.class_names
    assert np.array_equal(new.x, scale(test.x))
    assert new.x == pytest.approx((test.x - train.x.mean(axis=0)) / train.x.std(axis=0), abs=1e-5)
    assert scale.inverse(new).x == pytest.approx(test.x, rel=1e-5, abs=1e-4)
    own, fitted = train.standardise()
    assert np.array_equal(own.x, scale(train).x) and np.array_equal(fitted.mean, scale.mean)


def test_normalise_bytes_and_other_ranges() -> None:
    pixels = np.array([[0, 51, 255]], np.uint8)
    assert Normalise()(pixels) == pytest.approx(np.array([[0, 0.2, 1]]), abs=1e-7)
    assert np.array_equal(Normalise().inverse(Normalise()(pixels)), pixels)
    assert Normalise(-2, 2)([[-2.0, 0.0, 4.0]]).tolist() == [[0.0, 0.5, 1.5]]
    data, transform = Dataset(pixels.T, [0, 1, 2]).normalise()
    assert data.x[:, 0] == pytest.approx([0, 0.2, 1], abs=1e-7)
    assert np.array_equal(transform.inverse(data).x, pixels.T)


def test_normalise_fitted_per_feature_and_channel() -> None:
    x = np.array([[1.0, -5.0], [3.0, 5.0], [2.0, 0.0]])
    assert Normalise.fit(x)(x).tolist() == [[0, 0], [1, 1], [0.5, 0.5]]
    images = np.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2)
    transform = Normalise.fit(images)
    assert transform.low.tolist() == [0, 4, 8] and transform.high.tolist() == [15, 19, 23]
    assert transform(images)[1, 2, 1, 1] == 1.0 and transform(images)[0, 1, 0, 0] == 0.0


@given(
    x=hnp.arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(1, 4)), elements=st.floats(-1e6, 1e6)),
)
def test_inverse_undoes_every_transform(x: np.ndarray) -> None:
    for transform in (Standardise.fit(x), Normalise.fit(x), Normalise(-3, 5)):
        z = transform(x)
        assert np.isfinite(z).all()
        assert np.allclose(transform.inverse(z), x, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize(
    "transform",
    [Standardise.fit(np.random.default_rng(0).normal(size=(9, 3))), Normalise(), Normalise([0.1], [0.3])],
)
def test_a_transform_survives_json(transform: Standardise | Normalise) -> None:
    config = json.loads(json.dumps(transform.config()))
    for twin in (transform_from_config(config), type(transform).from_config(config)):
        assert type(twin) is type(transform)
        x = np.random.default_rng(1).normal(size=(4, 3 if isinstance(transform, Standardise) else 1))
        assert np.array_equal(twin(x), transform(x))


@pytest.mark.parametrize(
    "config",
    [
        None,
        [],
        {},
        {"name": "pickle"},
        {"name": "standardise"},
        {"name": "standardise", "mean": [0]},
        {"name": "standardise", "mean": [0], "std": [1, 2]},
        {"name": "standardise", "mean": [0], "std": [-1]},
        {"name": "standardise", "mean": ["a"], "std": [1]},
        {"name": "standardise", "mean": [0], "std": [float("nan")]},
        {"name": "standardise", "mean": 0, "std": 1},
        {"name": "standardise", "mean": [], "std": []},
        {"name": "standardise", "mean": [0], "std": [1], "more": 1},
        {"name": "normalise", "low": 1, "high": 1},
        {"name": "normalise", "low": 1, "high": [2]},
        {"name": "normalise", "low": None, "high": 1},
    ],
)
def test_damaged_descriptions_of_transforms(config: object) -> None:
    with pytest.raises(FastnetFormatError, match="transform"):
        transform_from_config(config)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Standardise.fit(np.zeros((0, 3))), ValueError, r"x has shape \(0, 3\)"),
        (lambda: Standardise.fit([[1.0, np.nan]]), ValueError, r"x\[0, 1\] is nan"),
        (lambda: Standardise.fit([["a"]]), TypeError, "x holds strings"),
        (lambda: Standardise.fit([[1e200], [-1e200]]), ValueError, "squares"),
        (
            lambda: Standardise.fit(np.zeros((3, 2)))(np.zeros((3, 4))),
            ValueError,
            "has 4 features.*made for 2",
        ),
        (lambda: Standardise.fit(np.zeros((3, 2)))(np.zeros(2)), ValueError, "1 features.*made for 2"),
        (lambda: Standardise([0], [1])([[np.inf]]), ValueError, r"x\[0, 0\] is inf"),
        (lambda: Standardise([0], [1]).inverse([["a"]]), TypeError, "x holds strings"),
        (lambda: Standardise([0], [1])(1.0), ValueError, "x is a single number"),
        (lambda: Standardise([0], [-1]), ValueError, "std holds -1"),
        (lambda: Standardise([0, 1], [1]), ValueError, "mean has shape"),
        (lambda: Normalise(1, 1), ValueError, "wanted low < high"),
        (lambda: Normalise([0, 5], [1, 4]), ValueError, "wanted low < high"),
        (lambda: Normalise(-1e308, 1e308), ValueError, "not too far apart"),
        (lambda: Normalise("a", 1), TypeError, "low holds strings"),
        (lambda: Normalise.fit([]), ValueError, r"x has shape \(0,\)"),
        (lambda: numbered(3).with_x(np.zeros((2, 2))), ValueError, "x has 2 rows; the dataset has 3"),
    ],
)
def test_bad_transforms(call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_data_larger_than_one_chunk_is_transformed_whole() -> None:
    x = np.random.default_rng(0).normal(3.0, 2.0, (5000, 40))
    assert len(list(row_chunks(x))) > 2
    assert np.allclose(Standardise.fit(x)(x), (x - x.mean(axis=0)) / x.std(axis=0), rtol=0, atol=1e-12)
    x[4321, 7] = np.nan
    with pytest.raises(ValueError, match=r"x\[4321, 7\] is nan"):
        require_finite("x", x)


def test_a_sum_that_overflows_is_not_taken_for_an_infinity() -> None:
    require_finite("x", np.full(100, 3e38, np.float32))


# ---- one-hot ----------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 6), min_size=1, max_size=20), st.integers(7, 9))
def test_one_hot_and_back(labels: list[int], classes: int) -> None:
    rows = one_hot(labels, classes)
    assert rows.shape == (len(labels), classes) and rows.dtype == np.float32
    assert np.array_equal(rows, np.eye(classes)[labels])
    back = from_one_hot(rows)
    assert back.dtype == np.int64 and back.tolist() == labels


def test_one_hot_details() -> None:
    assert one_hot([2, 0]).shape == (2, 3)
    assert one_hot(np.array([1.0, 0.0], np.float16), dtype=np.int8).tolist() == [[0, 1], [1, 0]]
    assert one_hot([True, False]).tolist() == [[0, 1], [1, 0]]
    assert one_hot([], 3).shape == (0, 3)
    assert from_one_hot(np.zeros((0, 3))).shape == (0,)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: one_hot([0, 3], 3), ValueError, r"labels\[1\] is 3; wanted labels in 0 \.\. 2"),
        (lambda: one_hot([0, -1]), ValueError, r"labels\[1\] is -1; wanted labels from 0 up"),
        (lambda: one_hot([0.5]), ValueError, r"labels\[0\] is 0.5; wanted a whole number"),
        (lambda: one_hot([np.nan]), ValueError, r"labels\[0\] is nan"),
        (lambda: one_hot([[0], [1]]), ValueError, r"labels has shape \(2, 1\)"),
        (lambda: one_hot([]), ValueError, "labels is empty"),
        (lambda: one_hot(["a"]), TypeError, "labels holds strings"),
        (lambda: one_hot([0], 0), ValueError, "classes is 0"),
        (lambda: one_hot([0], 2.0), TypeError, "classes is 2.0"),
        (lambda: from_one_hot([[0, 1], [1, 1]]), ValueError, r"rows\[1\]"),
        (lambda: from_one_hot([[0, 0]]), ValueError, r"rows\[0\]"),
        (lambda: from_one_hot([[0.5, 1.0]]), ValueError, r"rows\[0\]"),
        (lambda: from_one_hot([[np.nan, 1.0]]), ValueError, r"rows\[0\]"),
        (lambda: from_one_hot([0, 1]), ValueError, r"rows has shape \(2,\)"),
    ],
)
def test_bad_one_hot(call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
