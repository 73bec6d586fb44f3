"""Fixtures of all tests: every backend, both dtypes, seeded randomness, and nothing left switched."""

from __future__ import annotations

import importlib
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

if os.environ.get("FASTNET_PURE") == "1":  # without compiled kernels, who does not ask for NumPy is warned
    os.environ.setdefault("FASTNET_BACKEND", "numpy")

from tasks import COMPILED

from fastnet import backends
from fastnet.backends.isa import DTYPES, PACKAGE

# For the processes that tests start, too. The folder of its own is because matplotlib keeps one list of fonts
# for all environments of a user: one that was removed while it drew leaves a list that lacks the usual fonts.
os.environ.setdefault("MPLBACKEND", "Agg")
drawing = tempfile.TemporaryDirectory(prefix="fastnet-matplotlib-")
os.environ["MPLCONFIGDIR"] = drawing.name

# A shell that runs the tests in the background has it ignored, and the tests of Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples at each run; `--hypothesis-profile=explore` looks for new ones.
shared = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}
settings.register_profile("fixed", derandomize=True, **shared)
settings.register_profile("explore", max_examples=1000, print_blob=True, **shared)
settings.load_profile("fixed")

TESTED = [os.environ["FASTNET_BACKEND"]] if os.environ.get("FASTNET_BACKEND") else backends.available()


@pytest.fixture(scope="session")
def tested_backends() -> list[str]:
    """The backends that the fixture `backend` goes through."""
    return list(TESTED)


@pytest.fixture(autouse=True)
def restored_switch() -> Iterator[None]:
    """Backend and number of threads are after each test as they were before it."""
    name, threads = backends.active(), backends.get_num_threads()
    yield
    if backends.active() != name:
        backends.use(name)
    if backends.get_num_threads() != threads:
        backends.set_num_threads(threads)


@pytest.fixture(params=TESTED)
def backend(request: pytest.FixtureRequest, restored_switch: None) -> str:
    """Each backend that this machine can run, in use during the test."""
    backends.use(request.param)
    return request.param


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    """Both dtypes, by name."""
    return request.param


@pytest.fixture
def kernels(backend: str, dtype: str) -> ModuleType:
    """The module with the kernels of `backend` for `dtype`."""
    return backends.kernels(dtype)


@pytest.fixture(params=COMPILED)
def compiled(request: pytest.FixtureRequest, dtype: str) -> ModuleType:
    """Each compiled module that this machine can run."""
    return importlib.import_module(f"{PACKAGE}._{request.param}_{DTYPES[dtype]}")


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator that starts at the same place in each test."""
    return np.random.default_rng(20260101)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Of many tiny epochs, two threads wait for one another where others want the cores."""
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    backends.set_num_threads(1)
    with threadpool_limits(1):
        yield


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """The folder with the files of MNIST."""
    root = os.environ.get("FASTNET_DATA")
    if not root:
        pytest.skip("FASTNET_DATA is not set: the folder with the files of MNIST is not known")
    return Path(root)
