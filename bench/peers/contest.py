"""The parent's side: starts the contenders, checks that they agree, and has them measure in turns."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from bench.peers.disturbance import process_seconds, undisturbed
from bench.peers.tasks import Task

ROOT = Path(__file__).parents[2]
Answer = dict[str, Any]

# What holds each library to AVX2.
AVX2 = {
    "FASTNET_BACKEND": "avx2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR AVX512_SKX AVX512_CLX AVX512_CNL",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
}


NO_SWITCH = ("onnxruntime",)
"""Peers that cannot be held to an instruction set, and are left out where fastnet is."""


def environment(threads: int, isa: str) -> dict[str, str]:
    """What a contender's process finds in its environment."""
    names = ("FASTNET_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    changes = {"PYTHONPATH": os.pathsep.join(paths), **dict.fromkeys(names, str(threads))}
    return {**os.environ, **changes, **(AVX2 if isa == "avx2" else {})}


class Contender:
    """A peer on a number of threads, in a process that stands still but when it is asked.

    Parameters
    ----------
    peer : str
        A key of `PEERS`.
    threads : int
        How many it may use.
    isa : {"", "avx2"}
        The instruction set that it is held to.
    name : str, optional
        What results call it, where a peer is there more than once.
    changes : mapping of str to str, optional
        More of the environment of its process.
    """

    def __init__(
        self, peer: str, threads: int, isa: str = "", name: str = "", changes: Mapping[str, str] | None = None
    ) -> None:
        self.peer, self.threads, self.name = peer, threads, name or peer
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.peers.worker", peer, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what goes wrong comes as an answer
            text=True,
            env={**environment(threads, isa), **(changes or {})},
            cwd=ROOT,
        )
        self.about = self._answer()

    def __enter__(self) -> Contender:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.kill()
        self.process.communicate()

    @property
    def missing(self) -> str:
        """Why it cannot be run at all."""
        return str(self.about.get("missing") or self.about.get("error") or "")

    def ask(self, do: str, **arguments: Any) -> Answer:
        """Let it go on until it has answered."""
        assert self.process.stdin is not None
        if self.process.poll() is not None:
            return {"error": f"the process ended with {self.process.returncode}"}
        self._signal("SIGCONT")
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> Answer:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        # A pool of threads goes on to spin for a while, and would take time from the next contender.
        self._signal("SIGSTOP")
        if not line:
            return {"error": f"the process ended with {self.process.wait()}"}
        answer: Answer = json.loads(line)
        return answer

    def _signal(self, name: str) -> None:
        number = getattr(signal, name, None)
        if number is not None and self.process.poll() is None:
            self.process.send_signal(number)


def start_all(peers: Iterable[str], threads: Iterable[int], isa: str, stack: ExitStack) -> list[Contender]:
    """Start every contender; each is ended with the stack."""
    return [stack.enter_context(Contender(peer, count, isa)) for peer in peers for count in threads]


def disagreement(task: Task, right: list[float], numbers: list[float]) -> str:
    """What is wrong with these losses or outputs; an empty string where they are those that they should be.

    In float32 sums of some thousand terms differ by some hundred eps of 1e-7; another learning rate, batch or
    formula by far more. Adam makes whole steps out of gradients that are hardly more than rounding errors.
    With dropout each draws masks of its own.
    """
    if len(numbers) != len(right):
        return f"{len(numbers)} numbers, not {len(right)}"
    a, b = np.array(numbers), np.array(right)
    apart = np.abs(a - b) / (np.abs(b) + (1e-2 if task.kind == "predict" else 0.0))
    tolerance = 0.1 if task.dropout else 2e-3 if task.optimizer == "adam" else 1e-4
    worst = float(np.max(apart, initial=0.0)) if np.isfinite(a).all() else float("inf")
    return "" if worst <= tolerance else f"its numbers are {worst:.1g} apart from fastnet's"


def contest(
    task: Task, contenders: list[Contender], turns: int, near: Callable[..., Answer]
) -> dict[str, Any]:
    """Prepare and check all, then measure in turns; returns what goes into the file for this task.

    `near` makes a measurement of several threads, and makes it again where it means nothing.
    """
    results: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    ready: list[tuple[Contender, list[float]]] = []
    right: list[float] = []
    for one in contenders:
        found = one.ask("prepare", task=task.title)
        if "cannot" in found:
            left_out[one.name] = found["cannot"]
            continue
        right = right or found.get("numbers", [])
        if problem := found.get("error") or disagreement(task, right, found["numbers"]):
            left_out[one.name] = f"WRONG on {one.threads}: {problem.strip()}"
            continue
        seconds: list[float] = []
        ready.append((one, seconds))
        results.setdefault(one.name, {})[str(one.threads)] = {
            "seconds": seconds,
            "setup": found["setup"],
            "steps": found["steps"] * found["repeats"],
        }
    for _ in range(turns):
        for one, seconds in ready:
            measured = near if one.threads > 1 else undisturbed
            found = measured(partial(one.ask, "measure"), partial(process_seconds, one.process.pid))
            if "error" in found:
                raise RuntimeError(f"{one.name}, {task.title}: {found['error']}")
            seconds.append(found["seconds"])
    return {"results": results, "left_out": left_out, "checked": len(right)}
