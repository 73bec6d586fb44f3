"""How many threads the process may use: CPU affinity and control-group quota."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Iterator
from typing import SupportsIndex

__all__ = ["cgroup_cpus", "check_count", "parse_count", "usable_cpus"]


def usable_cpus(root: str = "/") -> int:
    """CPUs that this process may use.

    Parameters
    ----------
    root : str
        Folder in which ``proc`` and the control groups are looked up; tests give another.

    Returns
    -------
    int
        The CPUs of the affinity mask, or the quota of the control group, rounded up, where that is less;
        at least 1.
    """
    affinity = getattr(os, "process_cpu_count", None)  # Python 3.13
    if affinity is not None:
        cpus = affinity() or 1
    elif hasattr(os, "sched_getaffinity"):
        cpus = len(os.sched_getaffinity(0))
    else:
        cpus = os.cpu_count() or 1
    return max(1, math.ceil(min(cpus, cgroup_cpus(root))))


def cgroup_cpus(root: str = "/") -> float:
    """CPU time per second that Linux control groups (version 1 or 2) grant to this process.

    Parameters
    ----------
    root : str
        Folder in which ``proc`` and the control groups are looked up; tests give another.

    Returns
    -------
    float
        For instance 1.5; infinity where there is no limit, or no control group.
    """
    return min(map(_quota, _cgroup_folders(root)), default=math.inf)


def check_count(count: object, name: str) -> int:
    """Check a number of threads.

    Parameters
    ----------
    count : object
        An integer of at least 1, also a NumPy one.
    name : str
        What the error message calls it.

    Returns
    -------
    int

    Raises
    ------
    TypeError
        It is not an integer.
    ValueError
        It is less than 1.
    """
    wanted = f"{name} must be an integer of at least 1"
    if isinstance(count, bool) or not isinstance(count, SupportsIndex):
        raise TypeError(f"{wanted}; got {count!r}")
    if operator.index(count) < 1:
        raise ValueError(f"{wanted}; got {count!r}")
    return operator.index(count)


def parse_count(text: str, name: str) -> int:
    """Read a number of threads from text.

    Parameters
    ----------
    text : str
        The digits of an integer of at least 1.
    name : str
        What the error message calls it.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        The text is something else.
    """
    if not text.strip().isdecimal():
        raise ValueError(f"{name} must be an integer of at least 1; got {text!r}")
    return check_count(int(text), name)


def _read(*path: str) -> str:
    """Text of a file; empty when it cannot be read."""
    try:
        with open(os.path.join(*path), encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return ""


def _cgroup_folders(root: str) -> Iterator[str]:
    """Folders of the control groups that this process is in, each followed by those that contain it."""
    groups = {}  # "" (version 2) or "cpu" (version 1) -> path of this process's group in that hierarchy
    for line in _read(root, "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            groups["cpu" if controllers else ""] = path
    for line in _read(root, "proc/self/mountinfo").splitlines() if groups else ():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2":
            group = groups.get("")
        elif kind == "cgroup" and "cpu" in options.split(","):
            group = groups.get("cpu")
        else:
            continue
        if group is None:
            continue
        # A container sees a part of the hierarchy: "mounted" is the group that stands at the mount point.
        mounted, mount_point = before.split(" ")[3:5]
        inside = os.path.relpath(group, mounted)
        parts = [] if inside.startswith("..") else [part for part in inside.split("/") if part != "."]
        while True:
            yield os.path.join(root, mount_point.lstrip("/"), *parts)
            if not parts:
                break
            parts.pop()


def _quota(folder: str) -> float:
    """CPUs' worth of time that one control group grants."""
    fields = _read(folder, "cpu.max").split()  # version 2: quota or "max", and period
    if not fields:
        fields = [*_read(folder, "cpu.cfs_quota_us").split(), *_read(folder, "cpu.cfs_period_us").split()]
    try:
        quota, period = map(float, fields)
    except ValueError:  # "max", or no such files
        return math.inf
    return quota / period if quota > 0 and period > 0 else math.inf
