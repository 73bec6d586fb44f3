"""`python -m bench.scaling` runs, on the smallest tasks, and its tables say what is missed."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fastnet import backends

ROOT = Path(__file__).parent.parent
if not (ROOT / "bench").is_dir():
    pytest.skip("the tests run without the benchmarks", allow_module_level=True)

TITLE = "predict 1 row, 4-16-16-2"
HAS_BASELINE = "baseline" in backends.available()


def run(*arguments: str) -> str:
    """What the command prints, with the fastnet that is tested here."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.scaling", *arguments],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The modules of the bench, by name."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"bench.{name}")


def test_the_command_measures_and_shows_a_file_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.json"
    few = [
        "--only",
        "threads",
        "baseline",
        "--tasks",
        TITLE,
        "--turns",
        "2",
        "--pairs",
        "2",
        "--patience",
        "0",
    ]
    printed = run(*few, "--json", str(path))
    sections = json.loads(path.read_text())["sections"]
    assert list(sections) == ["threads", "baseline"]
    pairs = sections["threads"][TITLE]["results"]
    assert [sorted(pair) for pair in pairs.values()] == [["1", "2"], ["1", "2"]]
    assert all(len(one["seconds"]) == 2 for pair in pairs.values() for one in pair.values())
    names = ["baseline", "numpy", "numpy, SSE"] if HAS_BASELINE else []
    assert sorted(sections["baseline"].get(TITLE, {"results": {}})["results"]) == names
    assert printed.count(f"| {TITLE} | ") == 1 + HAS_BASELINE
    assert run("--load", str(path)) == printed


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("python_threads", {"title": "4-16-16-2, Adam, batch 32", "turns": 2, "seconds": 0.01}),
        ("kernels", {"names": [backends.available()[0], "numpy"], "turns": 1}),
    ],
)
def test_a_probe_answers(modules: Any, name: str, arguments: dict[str, Any]) -> None:
    found = modules("scaling").probe(name, 2, **arguments)
    if name == "python_threads":
        assert sorted(found["rates"]) == ["1x1", "1x2", "2x1", "2x2"]
        assert all(len(rates) == 2 and min(rates) > 0 for rates in found["rates"].values())
    else:
        assert "dense_forward, 256 x 128 x 64" in found and len(found) > 100
        assert all(min(map(min, one.values())) > 0 for one in found.values())


def test_a_probe_that_fails_says_why(modules: Any) -> None:
    with pytest.raises(RuntimeError, match="KeyError: 'no such task'"):
        modules("scaling").probe("python_threads", 1, title="no such task")


def rows(report: dict[str, Any], modules: Any) -> list[list[str]]:
    """Cells of each row of the tables."""
    tables = modules("scaling_tables").TABLES
    return [row for section, table in tables for row in table(report.get(section, {}))[1]]


def contest(**seconds: dict[str, float]) -> dict[str, Any]:
    results = {
        name: {count: {"seconds": [one] * 3} for count, one in by_threads.items()}
        for name, by_threads in seconds.items()
    }
    return {"results": results, "left_out": {}, "apart": {"least": 25, "most": 170, "far": 1, "disturbed": 0}}


@pytest.mark.parametrize(
    ("title", "two", "word"),
    [
        ("784-128-64-10, SGD, batch 256", 0.5, "ok"),
        ("784-128-64-10, SGD, batch 256", 0.6, "BELOW"),
        ("784-128-64-10, SGD, batch 64", 0.6, "ok"),
        ("784-128-64-10, SGD, batch 64", 1.03, "equal"),
        ("784-128-64-10, SGD, batch 64", 1.1, "BELOW"),
    ],
)
def test_two_threads_that_are_slower_are_called_out(modules: Any, title: str, two: float, word: str) -> None:
    row = rows({"threads": {title: contest(a={"1": 1.0, "2": two})}}, modules)[0]
    assert row[0] == title and row[-1] == word and row[3] == f"{1 / two:.2f}"


def test_every_bound_has_its_verdict(modules: Any) -> None:
    rates = {"1x1": [1.0], "2x1": [1.8], "1x2": [1.7], "2x2": [1.8]}
    slow = contest(baseline={"1": 2.0, "2": 1.0}, numpy={"1": 1.0, "2": 2.0})
    slow["results"]["numpy, SSE"] = slow["results"]["numpy"]
    found = rows(
        {
            "python": {"net": {"rates": rates, "apart": {"least": 0, "most": 0}}},
            "memory": {
                "fits": {"given": 2e8, "converted": 0, "peak": 39e6},
                "does not": {"given": 2e8, "converted": 0, "peak": 41e6},
                "converted": {"pixels": "uint8", "given": 5e7, "converted": 2e8, "peak": 2.1e8},
                "epoch": {"held_out": 0, "peak": 17e3, "kept": 0},
            },
            "idle": {"idle": {"cpu": 0.1, "seconds": 2.0, "workers": 1, "states": "RS"}},
            "baseline": {"task": slow},
            "kernels": {
                "kernel": {name: {"baseline": [2.0], "numpy": [1.0]} for name in ("numpy", "numpy, SSE")}
            },
        },
        modules,
    )
    wanted = ["BELOW", "", "ok", "ABOVE", "", "ABOVE", "ABOVE", "AWAKE", "BELOW BELOW ok ok", "BELOW BELOW"]
    assert [row[-1] for row in found] == wanted


def test_other_numbers_are_wrong_and_in_no_table(modules: Any) -> None:
    content = {**contest(a={"1": 1.0, "2": 1.0}), "left_out": {"b": "WRONG on 2: planted"}}
    report = {"threads": {"task": content}}
    assert modules("scaling_tables").wrong({"sections": report}) == ["task: b WRONG on 2: planted"]
    assert rows(report, modules) == []


def test_the_page_gets_its_tables_between_the_marks(
    modules: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tables, peers = modules("scaling_tables"), modules("peers.table")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{peers.MARKS[0]}\n{tables.MARKS[0]}\nold\n{tables.MARKS[1]}\nafter")
    monkeypatch.setattr(peers, "PAGE", page)
    beside = contest(baseline={"1": 2.0, "2": 1.0}, numpy={"1": 1.0, "2": 2.0})
    beside["results"]["numpy, SSE"] = {count: {"seconds": [3.0] * 3} for count in ("1", "2")}
    sections = {"threads": {"task": contest(a={"1": 1.0, "2": 0.8})}, "baseline": {"task": beside}}
    sections |= {name: {} for name in ("python", "memory", "idle")}
    tables.write({"machine": {"cpu": "one", "python": "3"}, "date": "today", "sections": sections})
    text = page.read_text()
    assert text.startswith(f"before\n{peers.MARKS[0]}\n") and text.endswith("\nafter") and "old" not in text
    assert "| task | 1.25 | 1 | 0.50 | 2.00 | 1.50 | 3.00 |" in text


def test_files_are_shown_as_one(modules: Any, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.json", "b.json")]
    for path, sections in zip(paths, ({"idle": 1, "python": 2}, {"idle": 3}), strict=True):
        path.write_text(json.dumps({"date": path.name, "sections": sections}))
    assert modules("scaling").loaded(paths) == {"date": "b.json", "sections": {"idle": 3, "python": 2}}


# ---- CPUs that are far apart, or used by others


@pytest.fixture
def near(modules: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A `Near` that finds these distances (below 0: one core), and is disturbed where it is told so."""
    distance = modules("distance")
    monkeypatch.setattr(distance, "PAUSE", 0)

    def make(distances: list[float], disturbed: list[bool], patience: float) -> Any:
        found, others = iter(distances), iter(disturbed)
        monkeypatch.setattr(distance, "watched", lambda measure, own: (measure(), next(others)))
        return distance.Near(lambda: distance.Place(abs(one := next(found)), one < 0), patience)

    return make


@pytest.mark.parametrize(
    ("distances", "disturbed"),
    [
        ([170, 170, 25, 26], [False, False]),
        ([25, 170, 25, 25], [False, False]),
        ([25] * 4, [True, False]),
        ([25, -14, 25, 25], [False, False]),
    ],
)
def test_a_measurement_that_means_nothing_is_repeated(
    near: Any, distances: list[float], disturbed: list[bool]
) -> None:
    calls: list[int] = []
    one = near([25.0, *distances, 25.0, 25.0], disturbed, 60)
    assert one(lambda: calls.append(1), lambda: 0.0) is None
    assert (
        len(calls) == 2 and one.far == one.disturbed == 0 and one.least <= 25 and one.most == max(distances)
    )


def test_one_without_patience_counts(near: Any) -> None:
    one = near([25.0, 25.0, 170.0], [True], 0)
    assert one(lambda: 7, lambda: 0.0) == 7
    assert one.found() == {"least": 25.0, "most": 170.0, "far": 1, "disturbed": 1}


def test_cpus_that_are_one_core_for_good_are_not_waited_for(near: Any) -> None:
    calls: list[int] = []
    one = near([-14.0] * 100, [False] * 50, 60)
    one(lambda: calls.append(1), lambda: 0.0)
    assert len(calls) == 10
    assert one.found() == {"least": 0.0, "most": 0.0, "far": 1, "disturbed": 0}
    one = near([-14.0] * 8 + [25.0] * 3, [False] * 50, 60)  # they were, for a while
    one(lambda: 7, lambda: 0.0)
    assert one.found() == {"least": 25.0, "most": 25.0, "far": 0, "disturbed": 0}


def test_the_distance_is_measured_or_nothing(modules: Any) -> None:
    from contextlib import ExitStack

    with ExitStack() as stack:
        found = modules("distance").meter(stack)()
    assert found.distance == 0 or 1 < found.distance < 1e6
