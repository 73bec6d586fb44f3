"""CSV files: reading them, deciding what their columns are, and reading another one the same way."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnet import datasets
from fastnet.columns import Column, Columns, read_table
from fastnet.errors import FastnetFormatError

PETS = """name,weight,color,kind
Rex,12.5,brown,dog
Tom,4,grey,cat
Ada,3.5,"white, spotted",cat
Bo,30,grey,dog
"""


@pytest.fixture
def write(tmp_path: Path) -> object:
    """A function that writes a file and returns its path."""

    def write(text: str | bytes, name: str = "pets.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


# ---- datasets.csv -----------------------------------------------------------------------------------


def test_text_target_and_mixed_columns(write) -> None:
    data = datasets.csv(write(PETS), "kind", exclude=["name"])
    assert data.feature_names == ("weight", "color=brown", "color=grey", "color=white, spotted")
    assert data.x.dtype == np.float64
    assert data.x.tolist() == [[12.5, 1, 0, 0], [4, 0, 1, 0], [3.5, 0, 0, 1], [30, 0, 1, 0]]
    assert data.class_names == ("cat", "dog")
    assert data.y.dtype == np.int64 and data.y.tolist() == [1, 0, 0, 1]
    assert data.name == "pets"


def test_number_target_in_the_middle(write) -> None:
    data = datasets.csv(str(write(PETS)), "weight", exclude=("name", "color"))
    assert data.y.dtype == np.float64 and data.y.tolist() == [12.5, 4, 3.5, 30]
    assert data.class_names is None
    assert data.feature_names == ("kind=cat", "kind=dog")
    assert data.x.tolist() == [[0, 1], [1, 0], [1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["1", "0", "1", "0"], ("0", "1")),
        (["10", "9", "10", "9.0"], ("9", "10")),  # in the order of numbers, however they are written
        (["-1", "+1", "-1", "1"], ("-1", "1")),
        (["yes", "no", "no", "maybe"], ("maybe", "no", "yes")),
        (["1", "x", "y", "x"], ("1", "x", "y")),
        (["1", "2", "1", "3"], None),  # three values in four rows
        (["0.5", "1.5", "0.5", "1.5"], None),
        ([str(i % 20) for i in range(40)], tuple(map(str, range(20)))),
        ([str(i % 21) for i in range(80)], None),
    ],
)
def test_task_found_from_the_target(write, values: list[str], classes: tuple[str, ...] | None) -> None:
    path = write("a,t\n" + "".join(f"{row},{value}\n" for row, value in enumerate(values)))
    columns = Columns.fit(path, "t")
    assert columns.task == ("regression" if classes is None else "classification")
    assert columns.classes == (classes or ())
    data = columns.dataset(path)
    if classes is None:
        assert data.y.tolist() == [float(value) for value in values]
    else:
        positions = {name: i for i, name in enumerate(classes)}
        assert [classes[i] for i in data.y] == [
            value if value in positions else f"{float(value):g}" for value in values
        ]


def test_task_can_be_given(write) -> None:
    path = write("a,t\n1,0.5\n2,1.5\n3,0.5\n4,2\n")
    data = datasets.csv(path, "t", task="classification")
    assert data.class_names == ("0.5", "1.5", "2") and data.y.tolist() == [0, 1, 0, 2]
    data = datasets.csv(write("a,t\n1,0\n2,1\n3,0\n4,1\n"), "t", task="regression")
    assert data.class_names is None and data.y.dtype == np.float64
    with pytest.raises(FastnetFormatError, match="line 2, column 'kind' is 'dog'; wanted a finite number"):
        datasets.csv(write(PETS), "kind", task="regression")


# ---- reading ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "header", "rows"),
    [
        ("a,b\n1,2\n", ("a", "b"), [("1", "2")]),
        ("a;b\n1,5;2,5\n", ("a", "b"), [("1,5", "2,5")]),
        ("a\tb\tc\n1\t2\t3\n", ("a", "b", "c"), [("1", "2", "3")]),
        ("a|b\n1|2\n", ("a", "b"), [("1", "2")]),
        ("a, EUR;b, USD\n1;2\n3;4\n", ("a, EUR", "b, USD"), [("1", "2"), ("3", "4")]),
        ("a\n1\n2\n", ("a",), [("1",), ("2",)]),
        ('\ufeffa,b\r\n 1 , "2"\r\n\r\n', ("a", "b"), [("1", "2")]),
        ('"a","b ""c"""\n"x\ny",2', ("a", 'b "c"'), [("x\ny", "2")]),
        ("ä,ß\n1,ü\n", ("ä", "ß"), [("1", "ü")]),
    ],
)
def test_read_table(write, text: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = read_table(write(text))
    assert table.header == header
    assert list(table.rows) == rows


def test_given_delimiter(write) -> None:
    assert read_table(write("a,b:c\n1,2:3\n"), delimiter=":").header == ("a,b", "c")
    for delimiter in ("", "ab", '"', "\n", " "):
        with pytest.raises(ValueError, match="delimiter is"):
            read_table(write(PETS), delimiter=delimiter)
    with pytest.raises(TypeError, match="delimiter is 1"):
        read_table(write(PETS), delimiter=1)  # type: ignore[arg-type]


def test_a_quoted_field_across_the_end_of_the_sample(write) -> None:
    text = "a,1;b,2;c,3\n" + "1;2;3\n" * 48 + '4;"x\ny;z";5\n' + "6;7;8\n" * 9
    table = read_table(write(text))
    assert table.header == ("a,1", "b,2", "c,3")
    assert table.rows[48] == ("4", "x\ny;z", "5")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has 0 lines"),
        ("a,b\n", "has 1 lines; wanted a header and at least one row"),
        ("1,2\n3,4\n", "begins with numbers"),
        ("a,,c\n1,2,3\n", "column 2 of the header has no name"),
        ("a,b,a\n1,2,3\n", "names columns twice: 'a'"),
        ("a,b\n1,2\n\n1,2,3\n", "line 4 has 3 fields; the header has 2"),
        ("a,b\n1\n", "line 2 has 1 fields"),
        ('a,b\n1,"2\n3,4\n', "line 3: unexpected end of data"),
        ('a,b\n1,"2"3\n', "line 2: "),
        (b"a,b\n1,\xff\n", "is not UTF-8 text"),
        (b"\x1f\x8b\x08\x00", "is not UTF-8 text"),
        ("a,b\n1," + "x" * 200_000 + "\n", "field larger than field limit"),
    ],
)
def test_damaged_files(write, text: str | bytes, message: str) -> None:
    path = write(text)
    with pytest.raises(FastnetFormatError, match=message) as caught:
        read_table(path)
    assert str(path) in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing\\.csv"):
        datasets.csv(tmp_path / "nothing.csv", "a")


@pytest.mark.parametrize("value", ["", "  ", "?", "NA", "n/a", "NaN", "null"])
@pytest.mark.parametrize("column", ["weight", "color", "kind"])
def test_missing_values_are_named(write, value: str, column: str) -> None:
    rows = [line.split(";") for line in ["weight;color;kind", "1;red;a", "2;red;b", "3;blue;a", "4;blue;b"]]
    rows[3][rows[0].index(column)] = value
    path = write("\n".join(";".join(row) for row in rows))
    with pytest.raises(FastnetFormatError, match=rf"pets\.csv, line 4, column '{column}' is .*missing value"):
        datasets.csv(path, "kind")


@pytest.mark.parametrize(
    ("text", "keywords", "message"),
    [
        (PETS, {"target": "sort"}, "no column 'sort'; its columns are 'name', 'weight', 'color', 'kind'"),
        (PETS, {"target": "kind", "exclude": ["nme"]}, "no column 'nme'"),
        (
            PETS,
            {"target": "kind", "exclude": ["name", "weight", "color"]},
            "leaves no column to predict 'kind'",
        ),
        (
            PETS,
            {"target": "kind", "max_categories": 3},
            "column 'name' is text, as 'Rex' on line 2 .* 4 different",
        ),
        (PETS, {"target": "name", "max_categories": 3}, "column 'name' has 4 different values in 4 rows"),
        ("a,t\n1,x\n2,x\n", {"target": "t"}, "column 't' is 'x' in every row"),
        ("a,t\n1,1\n2,1.0\n", {"target": "t"}, "column 't' is '1' in every row"),
        ("a,t\n1e999,1\n2,3\n", {"target": "t"}, "line 2, column 'a' is '1e999'; wanted a finite number"),
        ("a,t\n1,1\n2,inf\n", {"target": "t"}, "line 3, column 't' is 'inf'"),
    ],
)
def test_tables_that_cannot_be_used(write, text: str, keywords: dict[str, object], message: str) -> None:
    with pytest.raises(FastnetFormatError, match=message):
        datasets.csv(write(text), **keywords)


def test_bad_arguments(write) -> None:
    with pytest.raises(ValueError, match="task is 'cluster'; wanted one of 'classification', 'regression'"):
        datasets.csv(write(PETS), "kind", task="cluster")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="exclude is 'name'"):
        datasets.csv(write(PETS), "kind", exclude="name")


def test_pythons_underscored_numbers_are_text(write) -> None:
    columns = Columns.fit(write("a,t\n1_000,1\n2,3\n"), "t", categorical=["a"])
    assert columns.feature_names == ("a=1_000", "a=2")


# ---- numbers and text in one column -------------------------------------------------------------------


def column_of(*values: str) -> str:
    """A table with these values in the column `a` and as many different numbers in `t`."""
    return "a;t\n" + "".join(f"{value};{row}.5\n" for row, value in enumerate(values))


@pytest.mark.parametrize("token", ["-", "None", "12 kg", "n.a.", "1_000"])
def test_text_among_numbers_is_an_error(write, token: str) -> None:
    path = write(column_of("1", "2.5", token, "-3e2", "x"))
    with pytest.raises(FastnetFormatError) as caught:
        datasets.csv(path, "t")
    assert str(caught.value) == (
        f"{path}, line 4, column 'a' is {token!r}; wanted a number, as 3 of the column's 5 values look like "
        "one: correct it, leave its row out, leave the column out (exclude), or take its values as "
        "categories (categorical)"
    )
    with pytest.raises(
        FastnetFormatError, match=r"line 4, column 'a' .*, or make it a classification \(task"
    ):
        datasets.csv(path, "a")
    assert datasets.csv(path, "a", task="classification").class_names == tuple(
        sorted(["1", "2.5", token, "-3e2", "x"])
    )


@pytest.mark.parametrize(
    ("values", "mixed"),
    [
        (("1", "2", "x", "y"), True),  # half of them
        (("1", "2", "x", "y", "z"), False),
        (("1", "x"), True),
        (("x", "y"), False),
        (("1", "2"), False),
    ],
)
def test_half_of_the_values_make_a_column_of_numbers(write, values: tuple[str, ...], mixed: bool) -> None:
    path = write(column_of(*values))
    if mixed:
        with pytest.raises(FastnetFormatError, match="column 'a' is 'x'; wanted a number"):
            Columns.fit(path, "t")
    else:
        Columns.fit(path, "t")


def test_decimal_commas_are_refused(write) -> None:
    wanted = r"line 2, column 'a' is '1,5'; wanted a number, written with a decimal point and without commas"
    for values in (("1,5", "2,25"), ("1,5", "2"), ("1,5", "1.234,5", "x")):
        path = write(column_of(*values))
        for target in ("a", "t"):
            with pytest.raises(FastnetFormatError, match=wanted):
                datasets.csv(path, target)
    with pytest.raises(FastnetFormatError, match="'1,5'; wanted a finite number, written with a decimal"):
        datasets.csv(path, "a", task="regression")
    columns = Columns.fit(write(column_of("1", "2")), "t")
    with pytest.raises(FastnetFormatError, match=r"line 3, column 'a' is '7,5'; .* with a decimal point"):
        columns.encode(write(column_of("7", "7,5"), "other.csv"))


def test_categorical_columns(write) -> None:
    path = write("zip;floor;t\n02134;1;0.5\n10001;g;1.5\n2134;2;2.5\n")
    columns = Columns.fit(path, "t", categorical=("zip", "floor"))
    assert columns.feature_names == ("zip=2134", "zip=10001", "floor=1", "floor=2", "floor=g")
    assert columns.encode(path).tolist() == [[1, 0, 1, 0, 0], [0, 1, 0, 0, 1], [1, 0, 0, 1, 0]]
    other = write("zip,floor\n10001.0,1\n", "other.csv")
    assert columns.encode(other).tolist() == [[0, 1, 1, 0, 0]]
    assert np.array_equal(datasets.csv(path, "t", categorical=["zip", "floor"]).x, columns.encode(path))
    with pytest.raises(FastnetFormatError, match="line 2, column 'zip' is '3'; known are '2134', '10001'"):
        columns.encode(write("zip,floor\n3,1\n", "other.csv"))


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"categorical": "weight"}, TypeError, "categorical is 'weight'; wanted a sequence"),
        ({"categorical": ["wight"]}, FastnetFormatError, "no column 'wight'; its columns are 'name', 'weig"),
        ({"categorical": ["kind"]}, ValueError, "'kind', which is the target: give task='classification'"),
        ({"categorical": ["name"], "exclude": ["name"]}, ValueError, "'name', which is in exclude, too"),
        (
            {"categorical": ["weight"], "max_categories": 3, "exclude": ["name"]},
            FastnetFormatError,
            "column 'weight' is categorical with 4 different values; wanted at most 3",
        ),
    ],
)
def test_bad_categorical_columns(
    write, keywords: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        datasets.csv(write(PETS), "kind", **keywords)


# ---- reading another file the same way ----------------------------------------------------------------


def test_another_file_is_read_the_same_way(write) -> None:
    columns = Columns.fit(write(PETS), "kind", exclude=["name"])
    other = write("color;age;weight\ngrey;1;7\nbrown;2;8.5\n", "other.csv")
    assert columns.encode(other).tolist() == [[7, 0, 1, 0], [8.5, 1, 0, 0]]
    assert columns.encode(read_table(other)).tolist() == columns.encode(other).tolist()
    with_target = write("kind,color,weight\ncat,grey,7\n", "with.csv")
    assert columns.encode(with_target).tolist() == [[7, 0, 1, 0]]
    data = columns.dataset(with_target)
    assert data.y.tolist() == [0] and data.class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("weight\n1\n", "no column 'color'; its columns are 'weight'"),
        ("weight,color\n1,grey\n2,pink\n", "line 3, column 'color' is 'pink'; known are 'brown', 'grey'"),
        ("weight,color\n0,grey\nheavy,grey\n", "line 3, column 'weight' is 'heavy'; wanted a finite number"),
        ("weight,color\n0,grey\n1_0,grey\n", "line 3, column 'weight' is '1_0'; wanted a finite number"),
        ("weight,color\n-inf,grey\n", "column 'weight' is '-inf'; wanted a finite number"),
        ("weight,color\n,grey\n", "line 2, column 'weight' is empty: a missing value"),
    ],
)
def test_files_that_do_not_fit(write, text: str, message: str) -> None:
    columns = Columns.fit(write(PETS), "kind", exclude=["name"])
    with pytest.raises(FastnetFormatError, match=message):
        columns.encode(write(text, "other.csv"))


def test_unknown_class_and_missing_target(write) -> None:
    columns = Columns.fit(write(PETS), "kind", exclude=["name"])
    with pytest.raises(FastnetFormatError, match="line 2, column 'kind' is 'cow'; known are 'cat', 'dog'"):
        columns.targets(write("kind\ncow\n", "other.csv"))
    with pytest.raises(FastnetFormatError, match="no column 'kind'"):
        columns.targets(write("weight\n1\n", "other.csv"))


def test_numeric_classes_are_found_however_written(write) -> None:
    columns = Columns.fit(write("a,t\n1,0\n2,1\n3,0\n4,1\n"), "t")
    assert columns.targets(write("t\n1.0\n00\n1\n", "other.csv")).tolist() == [1, 0, 1]


def test_a_delimiter_that_was_given_is_kept(write) -> None:
    path = write("a,b:t\np,q:0\nq,p:1\np,q:0\nq,p:1\n")  # which seems to be divided by commas
    with pytest.raises(FastnetFormatError, match="no column 't'; its columns are 'a', 'b:t'"):
        Columns.fit(path, "t")
    columns = Columns.fit(read_table(path, delimiter=":"), "t")
    assert columns.delimiter == ":" and columns.feature_names == ("a,b=p,q", "a,b=q,p")
    twin = Columns.from_config(json.loads(json.dumps(columns.config())))
    assert twin == columns
    for data in (columns.dataset(path), twin.dataset(path)):
        assert data.x.tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]] and data.y.tolist() == [0, 1, 0, 1]
    assert Columns.fit(write(PETS), "kind", exclude=["name"]).delimiter is None


def test_columns_survive_json(write) -> None:
    for target in ("kind", "weight"):
        columns = Columns.fit(write(PETS), target, exclude=["name"])
        twin = Columns.from_config(json.loads(json.dumps(columns.config())))
        assert twin == columns
        assert np.array_equal(twin.encode(write(PETS)), columns.encode(write(PETS)))
        with pytest.raises(dataclasses.FrozenInstanceError):
            twin.target = "name"  # type: ignore[misc]


GOOD = {
    "target": "t",
    "task": "classification",
    "classes": ["a", "b"],
    "features": [{"name": "x", "categories": None}, {"name": "y", "categories": ["p", "q"]}],
}


def test_the_good_description_is_good() -> None:
    wanted = Columns("t", "classification", (Column("x"), Column("y", ("p", "q"))), ("a", "b"))
    assert Columns.from_config(GOOD) == wanted


@pytest.mark.parametrize(
    "config",
    [
        None,
        [],
        {},
        *({key: value for key, value in GOOD.items() if key != left_out} for left_out in GOOD),
        GOOD | {"target": 3},
        GOOD | {"target": "x"},
        GOOD | {"task": "cluster"},
        GOOD | {"task": "regression"},
        GOOD | {"classes": []},
        GOOD | {"classes": "ab"},
        GOOD | {"classes": ["a", "a"]},
        GOOD | {"classes": [0, 1]},
        GOOD | {"classes": None},
        GOOD | {"delimiter": "ab"},
        GOOD | {"delimiter": 3},
        GOOD | {"features": []},
        GOOD | {"features": "x"},
        GOOD | {"features": [{"name": "x"}]},
        GOOD | {"features": [{"name": 1, "categories": None}]},
        GOOD | {"features": [{"name": ["x"], "categories": None}]},
        GOOD | {"features": [{"name": "x", "categories": []}]},
        GOOD | {"features": [{"name": "x", "categories": None}] * 2},
    ],
)
def test_damaged_descriptions(config: object) -> None:
    with pytest.raises(FastnetFormatError, match="columns are"):
        Columns.from_config(config)  # type: ignore[arg-type]


@given(
    st.lists(st.tuples(st.floats(-1e9, 1e9), st.sampled_from(["p", "q,r", 's "t"'])), min_size=4, max_size=12)
)
def test_numbers_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, str]]
) -> None:
    quoted = [(number, '"' + text.replace('"', '""') + '"') for number, text in rows]
    text = "a,b,t\n" + "".join(f"{number!r},{word},{row}.5\n" for row, (number, word) in enumerate(quoted))
    path = tmp_path_factory.mktemp("csv") / "table.csv"
    path.write_text(text, encoding="utf-8")
    data = datasets.csv(path, "t")
    assert data.x[:, 0].tolist() == [number for number, _ in rows]
    names = [name.removeprefix("b=") for name in data.feature_names[1:]]
    assert [names[i] for i in data.x[:, 1:].argmax(axis=1)] == [word for _, word in rows]
    assert data.y.tolist() == [row + 0.5 for row in range(len(rows))]
