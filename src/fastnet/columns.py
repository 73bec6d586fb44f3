"""Tables in CSV files, and the encoder that turns their columns into numbers, the same way each time.

`Columns.fit` looks at a table once and decides: which columns are numbers, which are text and what
categories they have, what the target is. `Columns.encode` then applies that to any table with those
columns; `config` and `from_config` keep it as JSON, so that a saved model can read new files.
"""

from __future__ import annotations

import csv
import itertools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastnet.data import Dataset, one_hot
from fastnet.errors import FastnetFormatError, existing

__all__ = ["Column", "Columns", "Table", "Task", "read_table"]

Task = Literal["classification", "regression"]

_TASKS = ("classification", "regression")
_DELIMITERS = (",", ";", "\t", "|")
_MISSING = frozenset({"", "?", "na", "n/a", "nan", "null"})
_SAMPLE_LINES = 50
# An integer target of at most this many values, each in at least two rows on average, holds classes.
_FEW_VALUES = 20


@dataclass(frozen=True)
class Table:
    """The text of a CSV file.

    Attributes
    ----------
    path : str
        Where it came from, for errors.
    header : tuple of str
        The names of the columns.
    rows : tuple of tuple of str
        The fields of each row, without surrounding white space.
    lines : tuple of int
        The line of the file on which each row ends, for errors.
    delimiter : str, optional
        The character between fields that was asked for; None where it was found.
    """

    path: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    delimiter: str | None = None

    @property
    def name(self) -> str:
        """The file's name without folder and extension."""
        return Path(self.path).stem

    def column(self, name: str) -> list[str]:
        """Return the fields of a column.

        Raises
        ------
        FastnetFormatError
            If there is no such column, or a value is missing.
        """
        if name not in self.header:
            raise FastnetFormatError(
                f"{self.path} has no column {name!r}; its columns are {_listed(self.header)}"
            )
        index = self.header.index(name)
        values = [row[index] for row in self.rows]
        if not _MISSING.isdisjoint(map(str.lower, values)):
            row = next(row for row, value in enumerate(values) if value.lower() in _MISSING)
            found = repr(values[row]) if values[row] else "empty"
            raise FastnetFormatError(
                f"{self.place(row, name)} is {found}: a missing value; fill it in, or leave out the row "
                "or the column"
            )
        return values

    def place(self, row: int, name: str) -> str:
        """Return where a field is, for an error."""
        return f"{self.path}, line {self.lines[row]}, column {name!r}"


Source: TypeAlias = str | os.PathLike[str] | Table


def read_table(path: str | os.PathLike[str], *, delimiter: str | None = None) -> Table:
    """Read a CSV file of UTF-8 text whose first line names the columns.

    Parameters
    ----------
    path : str or path-like
    delimiter : str, optional
        The character between fields. By default the one of comma, semicolon, tab and bar that divides
        the first lines into the same number of fields, and into most.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FastnetFormatError
        If it is not such a file: no header, no rows, a row of another length than the header, names
        that are empty or not unique, an open quote, another encoding.
    TypeError, ValueError
        If `delimiter` is not a single character.
    """
    _check_delimiter(delimiter)
    where = os.fspath(path)
    try:
        with existing(where), open(where, encoding="utf-8-sig", newline="") as file:
            between = delimiter or _sniff(list(itertools.islice(file, _SAMPLE_LINES)))
            file.seek(0)
            reader = csv.reader(file, delimiter=between, skipinitialspace=True, strict=True)
            try:
                records = [(reader.line_num, tuple(map(str.strip, fields))) for fields in reader if fields]
            except csv.Error as error:
                raise FastnetFormatError(f"{where}, line {reader.line_num}: {error}") from None
    except UnicodeDecodeError as error:
        raise FastnetFormatError(f"{where} is not UTF-8 text: {error}") from None
    if len(records) < 2:
        raise FastnetFormatError(f"{where} has {len(records)} lines; wanted a header and at least one row")
    header = records[0][1]
    _check_header(header, where)
    for line, fields in records[1:]:
        if len(fields) != len(header):
            raise FastnetFormatError(
                f"{where}, line {line} has {len(fields)} fields; the header has {len(header)}"
            )
    lines, rows = zip(*records[1:], strict=True)
    return Table(where, header, rows, lines, delimiter)


def _check_delimiter(delimiter: str | None) -> None:
    if delimiter is None:
        return
    if not isinstance(delimiter, str):
        raise TypeError(f"delimiter is {delimiter!r}; wanted a string of one character")
    if not _is_delimiter(delimiter):
        raise ValueError(
            f"delimiter is {delimiter!r}; wanted one character that is no quote, space or line end"
        )


def _is_delimiter(value: object) -> bool:
    return isinstance(value, str) and len(value) == 1 and value not in '"\r\n '


def _sniff(lines: Sequence[str]) -> str:
    """Return the delimiter that divides all lines alike and, among those, the first line into most fields."""

    def merit(delimiter: str) -> tuple[bool, int]:
        records = [
            record for record in csv.reader(lines, delimiter=delimiter, skipinitialspace=True) if record
        ]
        if len(lines) == _SAMPLE_LINES:
            records = records[:-1]  # the sample may end inside a quoted field
        lengths = [len(record) for record in records] or [0]
        return len(set(lengths)) == 1 and lengths[0] > 1, lengths[0]

    try:
        return max(_DELIMITERS, key=merit)
    except csv.Error:
        return ","  # the reader proper will meet the same trouble and name the line


def _check_header(header: tuple[str, ...], where: str) -> None:
    if all(_number(name) is not None for name in header):
        raise FastnetFormatError(f"{where} begins with numbers; wanted a first line that names the columns")
    if "" in header:
        raise FastnetFormatError(f"{where}: column {header.index('') + 1} of the header has no name")
    twice = {name for name in header if header.count(name) > 1}
    if twice:
        raise FastnetFormatError(f"{where} names columns twice: {_listed(sorted(twice))}")


@dataclass(frozen=True)
class Column:
    """How a column becomes features: a number as it is, text as one feature for each category."""

    name: str
    categories: tuple[str, ...] | None = None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the features, ``name`` or ``name=category``."""
        if self.categories is None:
            return (self.name,)
        return tuple(f"{self.name}={category}" for category in self.categories)

    def encode(self, table: Table) -> NDArray[np.float64]:
        """Return the features of each row of a table, (N, 1) or (N, categories)."""
        if self.categories is None:
            return _numbers(table, self.name)[:, np.newaxis]
        labels = _lookup(table, self.name, {category: i for i, category in enumerate(self.categories)})
        return one_hot(labels, len(self.categories), dtype=np.float64)


@dataclass(frozen=True)
class Columns:
    """What a model knows of the table it was trained on: how to read another one the same way.

    Attributes
    ----------
    target : str
        The column to be predicted.
    task : {"classification", "regression"}
    features : tuple of Column
        The columns to predict from, in the order of the table.
    classes : tuple of str
        The classes of the target in the order of their labels; empty for a regression.
    delimiter : str, optional
        The character between the fields of every file; by default it is found in each.

    Examples
    --------
    >>> columns = Columns.fit("iris.csv", "species")        # doctest: +SKIP
    >>> data = columns.dataset("iris.csv")                  # doctest: +SKIP
    >>> x = columns.encode("flowers_without_species.csv")   # doctest: +SKIP
    """

    target: str
    task: Task
    features: tuple[Column, ...]
    classes: tuple[str, ...] = ()
    delimiter: str | None = None

    @classmethod
    def fit(
        cls,
        source: Source,
        target: str,
        *,
        task: Task | None = None,
        exclude: Sequence[str] = (),
        categorical: Sequence[str] = (),
        max_categories: int = 100,
    ) -> Self:
        """Decide how to read tables like this one.

        A column of which at least half of the values are numbers, but not all, is an error, as it rarely
        holds categories: more often a few values are missing or mistyped.

        Parameters
        ----------
        source : path or Table
        target : str
            The column to be predicted.
        task : {"classification", "regression"}, optional
            By default text is classified; so are integers of at most 20 different values that number at
            most half the rows; other numbers are a regression.
        exclude : sequence of str
            Columns to leave out, such as names and numbers that only identify a row.
        categorical : sequence of str
            Columns whose values are categories, also where some or all are numbers. Of the target,
            `task` says that.
        max_categories : int, default 100
            A column with more categories than this is an error: it rarely holds any.

        Raises
        ------
        FastnetFormatError
            If the file is not in order, a column is not there, a value is missing or not finite, a column
            is a mixture of numbers and text or has too many categories, or the target has a single value
            or does not suit the task.
        TypeError, ValueError
            If an argument is not what it should be.
        """
        table = _table(source)
        if task is not None and task not in _TASKS:
            raise ValueError(f"task is {task!r}; wanted one of {_listed(_TASKS)}")
        for argument, given in (("exclude", exclude), ("categorical", categorical)):
            if isinstance(given, str):
                raise TypeError(f"{argument} is {given!r}; wanted a sequence of column names")
        for name in (target, *exclude, *categorical):
            if name not in table.header:
                raise FastnetFormatError(
                    f"{table.path} has no column {name!r}; its columns are {_listed(table.header)}"
                )
        names = [name for name in table.header if name != target and name not in exclude]
        if not names:
            raise FastnetFormatError(f"{table.path} leaves no column to predict {target!r} from")
        for name in categorical:
            if name not in names:
                hint = "the target: give task='classification'" if name == target else "in exclude, too"
                raise ValueError(f"categorical has {name!r}, which is {hint}")
        task, classes = _fit_target(table, target, task, max_categories)
        features = [_fit_column(table, name, name in categorical, max_categories) for name in names]
        return cls(target, task, tuple(features), classes, table.delimiter)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the features that `encode` returns."""
        return tuple(name for column in self.features for name in column.feature_names)

    def encode(self, source: Source) -> NDArray[np.float64]:
        """Return the features of each row of a table, (N, F).

        The columns are found by name; their order does not matter, and others are ignored, so the target
        may be there or not.

        Raises
        ------
        FastnetFormatError
            If a column is not there, a value is missing, not a finite number where the column held
            numbers, or not one of the column's categories.
        """
        table = _table(source, self.delimiter)
        absent = [column.name for column in self.features if column.name not in table.header]
        if absent:
            raise FastnetFormatError(
                f"{table.path} has no column {_listed(absent)}; its columns are {_listed(table.header)}"
            )
        return np.concatenate([column.encode(table) for column in self.features], axis=1)

    def targets(self, source: Source) -> NDArray[Any]:
        """Return the target of each row of a table: int64 labels or float64 numbers, (N,).

        Raises
        ------
        FastnetFormatError
            If the column is not there, a value is missing, or is not a known class or a finite number.
        """
        table = _table(source, self.delimiter)
        if self.task == "regression":
            return _numbers(table, self.target)
        return _lookup(table, self.target, {name: i for i, name in enumerate(self.classes)})

    def dataset(self, source: Source) -> Dataset:
        """Return features and targets of a table as a `Dataset`; raises as `encode` and `targets` do."""
        table = _table(source, self.delimiter)
        return Dataset(
            self.encode(table),
            self.targets(table),
            feature_names=self.feature_names,
            class_names=self.classes or None,
            name=table.name,
        )

    def config(self) -> dict[str, Any]:
        """Return the encoder as strings, lists and dicts, fit for JSON."""
        return {
            "target": self.target,
            "task": self.task,
            "classes": list(self.classes),
            "delimiter": self.delimiter,
            "features": [
                {"name": column.name, "categories": column.categories and list(column.categories)}
                for column in self.features
            ],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the encoder that a ``config()`` describes.

        Raises
        ------
        FastnetFormatError
            If it is not such a description.
        """
        try:
            features = tuple(
                Column(column["name"], _strings(column["categories"])) for column in config["features"]
            )
            classes = _strings(config["classes"]) or ()
            columns = cls(config["target"], config["task"], features, classes, config.get("delimiter"))
        except (KeyError, TypeError) as error:
            raise FastnetFormatError(
                f"columns are {config!r}: {error} is not there or of another type"
            ) from None
        names = [columns.target, *(column.name for column in features)]
        if (
            not features
            or any(column.categories == () for column in features)
            or not all(isinstance(name, str) for name in names)
            or len(set(names)) < len(names)
            or columns.task not in _TASKS
            or not (columns.delimiter is None or _is_delimiter(columns.delimiter))
            or (len(columns.classes) < 2) != (columns.task == "regression")
        ):
            raise FastnetFormatError(f"columns are {config!r}: wanted a description that config() gives")
        return columns


def _fit_target(
    table: Table, name: str, task: Task | None, max_categories: int
) -> tuple[Task, tuple[str, ...]]:
    """Decide what the target is, and which classes it has."""
    values = table.column(name)
    text = _first_text(values)
    if task is None:
        _check_mixture(table, name, text, "or make it a classification (task)")
    distinct = _distinct(values, text)
    if len(distinct) < 2:
        raise FastnetFormatError(
            f"{table.path}, column {name!r} is {values[0]!r} in every row: there is nothing to learn"
        )
    if task is None:
        numbers = [] if text is not None else [float(value) for value in distinct]
        whole = all(number.is_integer() for number in numbers)
        few = len(distinct) <= _FEW_VALUES and 2 * len(distinct) <= len(values)
        task = "classification" if text is not None or (whole and few) else "regression"
    if task == "regression":
        _numbers(table, name)
        return task, ()
    if len(distinct) > max_categories:
        raise FastnetFormatError(
            f"{table.path}, column {name!r} has {len(distinct)} different values in {len(values)} rows; "
            f"wanted at most {max_categories} classes (max_categories)"
        )
    return task, distinct


def _fit_column(table: Table, name: str, categorical: bool, max_categories: int) -> Column:
    """Decide how to read a column to predict from."""
    values = table.column(name)
    text = _first_text(values)
    if not categorical:
        if text is None:
            _numbers(table, name)
            return Column(name)
        _check_mixture(
            table,
            name,
            text,
            "leave the column out (exclude), or take its values as categories (categorical)",
        )
    categories = _distinct(values, text)
    if len(categories) > max_categories:
        kind = "categorical"
        if text is not None:
            kind = f"text, as {values[text]!r} on line {table.lines[text]} shows,"
        raise FastnetFormatError(
            f"{table.path}, column {name!r} is {kind} with {len(categories)} different values; wanted at "
            f"most {max_categories} (max_categories), or leave the column out (exclude)"
        )
    return Column(name, categories)


def _distinct(values: Sequence[str], text: int | None) -> tuple[str, ...]:
    """Return the different values in order; without text, numbers that are equal count once."""
    if text is not None:
        return tuple(sorted(set(values)))
    return tuple(sorted({_class_name(value) for value in values}, key=float))


def _check_mixture(table: Table, name: str, text: int | None, instead: str) -> None:
    """Refuse a column that is neither numbers nor text; `text` is the first row that is no number."""
    if text is None:
        return
    values = table.column(name)
    numbers = sum(_number(value.replace(",", "")) is not None for value in values)
    if 2 * numbers >= len(values):
        raise FastnetFormatError(
            f"{table.place(text, name)} is {values[text]!r}; wanted a number{_comma(values[text])}, as "
            f"{numbers} of the column's {len(values)} values look like one: correct it, leave its row out, "
            f"{instead}"
        )


def _numbers(table: Table, name: str) -> NDArray[np.float64]:
    """Return a column as finite numbers, (N,)."""
    values = table.column(name)
    numbers = _parsed(values)
    if numbers is not None and np.isfinite(numbers).all():
        return numbers
    found = map(_number, values)
    row = next(row for row, number in enumerate(found) if number is None or not math.isfinite(number))
    raise FastnetFormatError(
        f"{table.place(row, name)} is {values[row]!r}; wanted a finite number{_comma(values[row])}"
    )


def _lookup(table: Table, name: str, labels: Mapping[str, int]) -> NDArray[np.int64]:
    """Return the label of each value of a column, (N,); a number may be written in another way."""
    found = np.empty(len(table.rows), dtype=np.int64)
    for row, value in enumerate(table.column(name)):
        label = labels.get(value)
        if label is None:
            label = labels.get(_class_name(value))
        if label is None:
            raise FastnetFormatError(f"{table.place(row, name)} is {value!r}; known are {_listed(labels)}")
        found[row] = label
    return found


def _first_text(values: Sequence[str]) -> int | None:
    """Return the first row whose value is not a number, or None."""
    if _parsed(values) is not None:
        return None
    return next(row for row, value in enumerate(values) if _number(value) is None)


def _parsed(values: Sequence[str]) -> NDArray[np.float64] | None:
    """Return the values as numbers, or None if one is not a number, as `_number` sees it."""
    if "_" in "".join(values):
        return None
    try:
        return np.fromiter(map(float, values), np.float64, len(values))
    except ValueError:
        return None


def _number(text: str) -> float | None:
    """Return the number that `text` is, or None. Python's 1_000 is text here."""
    if "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _comma(text: str) -> str:
    """Return what to say of a number that is written with a comma; nothing of anything else."""
    found = "," in text and _number(text.replace(",", "")) is not None
    return ", written with a decimal point and without commas (1.5)" if found else ""


def _class_name(text: str) -> str:
    """Return one way to write a number, so that 1, 1.0 and 01 are the same class; other text as it is."""
    number = _number(text)
    if number is None or not math.isfinite(number):
        return text
    return str(int(number)) if number.is_integer() else repr(number)


def _table(source: Source, delimiter: str | None = None) -> Table:
    return source if isinstance(source, Table) else read_table(source, delimiter=delimiter)


def _strings(values: Any) -> tuple[str, ...] | None:
    """Return a list of different strings out of a description as a tuple."""
    if values is None:
        return None
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise TypeError(repr(values))
    if len(set(values)) < len(values):
        raise TypeError(repr(values))
    return tuple(values)


def _listed(names: Any) -> str:
    """Return names for an error, not more than fit a line or two."""
    shown = [repr(name) for name in itertools.islice(names, 20)]
    return ", ".join(shown) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
