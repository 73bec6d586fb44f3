"""`python -m bench.peers` runs; only its fastnet and NumPy peers, as these are there in every environment."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
if not (ROOT / "bench").is_dir():
    pytest.skip("the tests run without the benchmarks", allow_module_level=True)

TITLES = ["4-16-16-2, Adam, batch 32", "predict 1 row, 4-16-16-2"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, with the fastnet that is tested here."""
    return subprocess.run(
        [sys.executable, "-m", "bench.peers", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """What one short run printed and wrote."""
    path = tmp_path_factory.mktemp("peers") / "report.json"
    only = [word for title in TITLES for word in ("--only", title)]
    few = ["--turns", "2", "--threads", "1", "--peers", "fastnet", "numpy", "--no-limits"]
    finished = run(*only, *few, "--json", str(path))
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout, json.loads(path.read_text())


def test_the_report_has_every_measurement(done: tuple[str, dict[str, Any]]) -> None:
    report = done[1]
    assert sorted(report["tasks"]) == sorted(TITLES)
    for task in report["tasks"].values():
        assert sorted(task["results"]) == ["fastnet", "numpy"] and task["left_out"] == {}
        assert task["checked"] >= 3
        for by_threads in task["results"].values():
            assert len(by_threads["1"]["seconds"]) == 2 and min(by_threads["1"]["seconds"]) > 0


def test_the_table_has_a_line_for_each(done: tuple[str, dict[str, Any]]) -> None:
    for title in TITLES:
        assert f"| {title} | " in done[0]
    assert "NumPy by hand" in done[0] and "median" in done[0] and "minimum" in done[0]


def test_a_peer_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('planted')")
    few = [
        "--only",
        TITLES[1],
        "--turns",
        "1",
        "--threads",
        "1",
        "--peers",
        "fastnet",
        "torch",
        "--no-limits",
    ]
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    finished = run(*few, PYTHONPATH=paths)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "PyTorch        MISSING: planted" in finished.stdout


def test_other_losses_are_found() -> None:
    code = """
from bench.peers.contest import disagreement
from bench.peers.tasks import MAIN, TASKS
task = MAIN[0]
assert len(TASKS) >= 40 and not disagreement(task, [2.3, 2.2], [2.3, 2.20001])
assert disagreement(task, [2.3, 2.2], [2.3, 2.201]) and disagreement(task, [2.3, 2.2], [2.3])
assert disagreement(task, [2.3, 2.2], [2.3, float("nan")])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The modules of the bench, by name."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"bench.peers.{name}")


def report(fastnet: float, numpy: float) -> dict[str, Any]:
    """A report of one task, with these seconds, on a machine of 100 GFLOP/s and 100 GB/s."""
    both = {"fastnet": {"2": {"seconds": [fastnet] * 3}}, "numpy": {"1": {"seconds": [numpy] * 3}}}
    rates = {"2": 1e11}
    return {
        "peers": {"fastnet": {"version": "1"}, "numpy": {"version": "2"}},
        "limits": {
            "caches": {"L1": 1 << 15, "L2": 1 << 20, "L3": 1 << 25},
            "peak": {"float32": rates},
            "bandwidth": {"L1": rates, "L2": rates, "L3": rates, "DRAM": rates},
        },
        "tasks": {"784-128-64-10, SGD, batch 256": {"results": both, "left_out": {}}},
    }


def test_a_peer_that_is_faster_is_called_out(modules: Any) -> None:
    table, title = modules("table"), "784-128-64-10, SGD, batch 256"
    assert "2.00 x as fast as NumPy by hand on 1; wanted 1.6 to 2; ok" in table.verdict(
        report(1e-3, 2e-3), title
    )
    assert "0.50 x as fast as NumPy by hand on 1; wanted 1.6 to 2; BELOW" in table.verdict(
        report(2e-3, 1e-3), title
    )


def test_the_limit_is_arithmetic_or_memory(modules: Any) -> None:
    limits, tasks = modules("limits"), modules("tasks")
    found = report(1.0, 1.0)["limits"]
    large, small = (tasks.TASKS[f"784-128-64-10, SGD, batch {n}"] for n in (256, 1))
    products = 784 * 128 + 128 * 64 + 64 * 10
    assert limits.seconds(large, found, 2) == pytest.approx(2 * 256 * (3 * products - 784 * 128) / 1e11)
    assert limits.seconds(small, found, 2) == pytest.approx(4 * (3 * (products + 202) + 784) / 1e11)
    assert limits.seconds(large, {"missing": "no C compiler"}, 2) is None


def test_a_disturbed_measurement_is_repeated(modules: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    disturbance = modules("disturbance")
    if not disturbance.STAT.is_file():
        pytest.skip("only Linux says what other processes use")
    clock = iter([0.0, 5.0, 5.0, 5.0])  # others use five seconds during the first measurement, then none
    monkeypatch.setattr(disturbance, "machine_seconds", lambda: next(clock))
    calls: list[None] = []
    disturbance.undisturbed(lambda: calls.append(None), lambda: 0.0)
    assert len(calls) == 2
