"""`bench/compare.py` finds what became slower, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

compare = pytest.importorskip("compare", reason="the tests run without the benchmarks")

TITLES = [f"task {i}" for i in range(20)]


def measured(seed: int, noise: float = 0.02, turns: int = 5) -> dict[str, list[float]]:
    """Measurements of every task, each of them 10 us but for noise."""
    rng = np.random.default_rng(seed)
    return {title: [1e-5 * float(np.exp(noise * z)) for z in rng.normal(size=turns)] for title in TITLES}


def peers(times: dict[str, list[float]], other: float = 1.0) -> dict[str, Any]:
    """A report of `bench.peers`; a peer is `other` times as slow."""

    def results(seconds: list[float]) -> dict[str, Any]:
        slow = [other * one for one in seconds]
        return {"fastnet": {"1": {"seconds": seconds}}, "torch": {"1": {"seconds": slow}}}

    return {"kind": "peers", "tasks": {title: {"results": results(one)} for title, one in times.items()}}


def benchmark(times: dict[str, list[float]]) -> dict[str, Any]:
    """A report of pytest-benchmark."""

    def stats(seconds: list[float]) -> dict[str, float]:
        low, middle, high = np.percentile(seconds, [25, 50, 75]).tolist()
        return {"median": middle, "iqr": high - low, "rounds": len(seconds)}

    return {"benchmarks": [{"fullname": title, "stats": stats(one)} for title, one in times.items()]}


def run(folder: Path, old: dict[str, Any], new: dict[str, Any], *options: str) -> int:
    paths = [folder / "old.json", folder / "new.json"]
    for path, report in zip(paths, (old, new), strict=True):
        path.write_text(json.dumps(report))
    return compare.main([*map(str, paths), *options])


@pytest.mark.parametrize("kind", [peers, benchmark])
@pytest.mark.parametrize("seed", range(5))
def test_noise_alone_passes(tmp_path: Path, kind: Any, seed: int) -> None:
    assert run(tmp_path, kind(measured(seed)), kind(measured(seed + 100))) == 0


@pytest.mark.parametrize("kind", [peers, benchmark])
@pytest.mark.parametrize("seed", range(5))
def test_a_planted_slowdown_is_found_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: Any, seed: int
) -> None:
    new = measured(seed + 100)
    new["task 7"] = [1.3 * one for one in new["task 7"]]
    assert run(tmp_path, kind(measured(seed)), kind(new)) == 1
    named = [line for line in capsys.readouterr().out.splitlines() if "slower  " in line]
    assert len(named) == 1 and "task 7" in named[0]


def test_what_became_faster_passes(tmp_path: Path) -> None:
    new = {title: [one / 2 for one in seconds] for title, seconds in measured(2).items()}
    assert run(tmp_path, peers(measured(1)), peers(new)) == 0


def test_a_few_percent_pass_however_small_the_noise(tmp_path: Path) -> None:
    old = {title: [1e-5] * 5 for title in TITLES}
    new = {title: [1.04e-5] * 5 for title in TITLES}
    assert run(tmp_path, peers(old), peers(new)) == 0


def test_a_noisy_machine_hides_what_a_quiet_one_shows(tmp_path: Path) -> None:
    def slower(noise: float) -> int:
        new = {title: [1.15 * one for one in seconds] for title, seconds in measured(2, noise).items()}
        return run(tmp_path, peers(measured(1, noise)), peers(new))

    assert slower(0.005) == 1
    assert not compare.Change(
        "noisy", compare.Timing.of([1.0, 1.6, 0.7]), compare.Timing.of([1.15, 1.8, 0.8])
    ).verdict


def test_peers_count_only_when_asked_for(tmp_path: Path) -> None:
    old, new = peers(measured(1)), peers(measured(2), other=2.0)
    assert run(tmp_path, old, new) == 0
    assert run(tmp_path, old, new, "--all") == 1


def test_files_without_anything_in_common_are_an_error(tmp_path: Path) -> None:
    assert run(tmp_path, peers(measured(1)), benchmark({"other": [1.0, 1.0]})) == 2
    with pytest.raises(ValueError, match=r"old\.json: neither"):
        run(tmp_path, {}, {})
