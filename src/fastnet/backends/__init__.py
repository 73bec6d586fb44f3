"""The switch between backends: what runs the arithmetic, and on how many threads.

A backend is either ``numpy`` (`fastnet.backends.reference`, the specification) or an instruction set, whose
kernels are compiled once for each dtype. The best that the machine can run is active from the start, unless
the environment variable ``FASTNET_BACKEND`` names another; ``FASTNET_NUM_THREADS`` sets the threads.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
import warnings
from types import ModuleType

import numpy as np
import numpy.typing as npt

from fastnet.backends.isa import DTYPES, INSTRUCTION_SETS, PACKAGE
from fastnet.backends.threads import check_count, parse_count, usable_cpus

__all__ = ["active", "available", "get_num_threads", "kernels", "set_num_threads", "use", "version"]


def _find() -> tuple[str, ...]:
    """Backends that are installed and that this machine can run, best first.

    Only a module that is not there is passed over: one that is there and cannot be imported is an error.
    """
    compiled: list[str] = []
    if importlib.util.find_spec(f"{PACKAGE}._system") is not None:
        features = importlib.import_module(f"{PACKAGE}._system").cpu_features()
        for one in INSTRUCTION_SETS:
            modules = [one.module(dtype) for dtype in DTYPES]
            if one.features <= features and all(map(importlib.util.find_spec, modules)):
                compiled.append(one.name)
    return (*compiled, "numpy")


def _check(name: object, source: str) -> str:
    """The name of a backend that this machine can run, or an error that lists those."""
    if not isinstance(name, str):
        raise TypeError(f"{source} must be a backend's name, a str; got {type(name).__name__}")
    if name not in _AVAILABLE:
        known = name in (one.name for one in INSTRUCTION_SETS)
        problem = "is not one that this machine can run" if known else "is not a backend's name"
        raise ValueError(f"{source} {name!r} {problem}; those it can run: {', '.join(_AVAILABLE)}")
    return name


def _choose() -> str:
    """The backend to start with: from the environment, or the best."""
    wanted = os.environ.get("FASTNET_BACKEND", "")
    if wanted:
        return _check(wanted, "FASTNET_BACKEND")
    if _AVAILABLE == ("numpy",):
        warnings.warn(
            "fastnet has no compiled kernels here and runs on NumPy, much slower; reinstall it with a C "
            "compiler at hand, or set FASTNET_BACKEND=numpy if this is what you want",
            RuntimeWarning,
            stacklevel=3,
        )
    return _AVAILABLE[0]


def _start_threads() -> int:
    """The number of threads to start with: from the environment, or every CPU the process may use."""
    wanted = os.environ.get("FASTNET_NUM_THREADS", "")
    limit = usable_cpus()
    return min(parse_count(wanted, "FASTNET_NUM_THREADS"), limit) if wanted else limit


_AVAILABLE = _find()
_lock = threading.Lock()
_active = _choose()
_threads = _start_threads()
_version = 0


def _after_fork() -> None:
    """Let a forked child make executors of its own: threads that it lacks may hold the locks of the old."""
    global _lock, _version
    _lock = threading.Lock()
    _version += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def available() -> list[str]:
    """Backends that this machine can run, best first.

    Returns
    -------
    list of str
        Names of instruction sets, such as ``"avx512"``, and at the end always ``"numpy"``.
    """
    return list(_AVAILABLE)


def active() -> str:
    """Name of the backend in use.

    Returns
    -------
    str
    """
    return _active


def use(name: str) -> None:
    """Switch to another backend. Networks follow at their next call.

    Parameters
    ----------
    name : str
        One of `available`.

    Raises
    ------
    ValueError
        This machine cannot run it, or it is no backend; the message lists those it can.
    TypeError
        The name is not a str.
    ImportError
        Its modules are installed and cannot be loaded.
    """
    global _active, _version
    checked = _check(name, "backend")
    for dtype in DTYPES:  # load before switching, so that a failure changes nothing
        importlib.import_module(_module(checked, dtype))
    with _lock:
        _active = checked
        _version += 1


def kernels(dtype: npt.DTypeLike) -> ModuleType:
    """The module that holds the active backend's kernels and `Executor` for a dtype.

    Parameters
    ----------
    dtype : dtype-like
        float32 or float64, in native byte order.

    Returns
    -------
    module
        `fastnet.backends.reference`, or a compiled module; loaded when first asked for.

    Raises
    ------
    ValueError
        The dtype is another.
    ImportError
        The module is installed and cannot be loaded.
    """
    found = None if dtype is None else np.dtype(dtype)  # np.dtype(None) would be float64
    for name in DTYPES:
        if found == name and found.isnative:
            module = _module(_active, name)
            return sys.modules.get(module) or importlib.import_module(module)
    raise ValueError(f"dtype must be {' or '.join(DTYPES)}; got {dtype!r}")


def _module(name: str, dtype: str) -> str:
    """Full name of the module that holds a backend's kernels for a dtype."""
    for one in INSTRUCTION_SETS:
        if one.name == name:
            return one.module(dtype)
    return "fastnet.backends.reference"


def version() -> int:
    """A number that grows whenever the backend or the number of threads is set.

    Returns
    -------
    int
        Who keeps an `Executor` rebuilds it when this has changed.
    """
    return _version


def set_num_threads(count: int) -> None:
    """Set how many threads one call may use.

    Parameters
    ----------
    count : int
        At least 1. No more are used than the process has CPUs (its affinity mask and the quota of its
        control group): a greater number is reduced to that, and `get_num_threads` tells.

    Raises
    ------
    ValueError
        The count is less than 1.
    TypeError
        The count is not an integer.
    """
    global _threads, _version
    threads = min(check_count(count, "the number of threads"), usable_cpus())
    with _lock:
        _threads = threads
        _version += 1


def get_num_threads() -> int:
    """How many threads one call may use.

    Returns
    -------
    int
        From the start every CPU that the process may use, or ``FASTNET_NUM_THREADS`` if that is less.
    """
    return _threads
