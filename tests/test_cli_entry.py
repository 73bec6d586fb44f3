"""What starts the `fastnet` command: what is said, and what Ctrl-C does, before the package is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import fastnet as fn
import fastnet_command

START = "import sys; from fastnet_command import main; sys.exit(main())"  # what pip makes of the entry point
ROOT = Path(__file__).parent.parent


def start(
    *arguments: str, code: str = START, first: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Start the command in a process of its own; modules in `first` are found before all others."""
    folders = [str(first or ""), str(Path(fastnet_command.__file__).parent), os.environ.get("PYTHONPATH", "")]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders)), **environment}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=variables, timeout=60)


def package(folder: Path, text: str) -> Path:
    """A package `fastnet` that does something else while it is loaded."""
    (folder / "fastnet").mkdir()
    (folder / "fastnet" / "__init__.py").write_text(text)
    (folder / "fastnet" / "cli.py").write_text("def main(): return 0")
    return folder


def test_it_runs_the_command() -> None:
    done = start("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"fastnet {fn.__version__}\n", "")
    done = start("train", "nothing")
    assert done.returncode == 2 and done.stderr.startswith("fastnet: error: nothing: no such file")


@pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="the tests run without the source")
def test_it_is_what_is_installed() -> None:
    with open(ROOT / "pyproject.toml", "rb") as file:
        settings = tomllib.load(file)
    assert settings["project"]["scripts"] == {"fastnet": "fastnet_command:main"}
    assert settings["tool"]["setuptools"]["py-modules"] == ["fastnet_command"]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("FASTNET_BACKEND", "foo", "FASTNET_BACKEND 'foo' is not a backend's name; those it can run: "),
        ("FASTNET_NUM_THREADS", "abc", "FASTNET_NUM_THREADS must be an integer of at least 1; got 'abc'"),
    ],
)
def test_a_wrong_variable_gets_one_line(name: str, value: str, message: str) -> None:
    done = start("info", **{name: value})
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"fastnet: error: {message}") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("swallow", [False, True])
def test_ctrl_c_while_the_package_is_loaded(tmp_path: Path, swallow: bool) -> None:
    """Also where something that is loaded takes the exception for an error of its own."""
    interrupt = "signal.raise_signal(signal.SIGINT)"
    if swallow:
        interrupt = f"try: {interrupt}\nexcept BaseException: pass"
    done = start(first=package(tmp_path, f"import signal\n{interrupt}\n"))
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_is_as_it_was_afterwards(tmp_path: Path) -> None:
    text = "import atexit, signal\natexit.register(lambda: print(signal.getsignal(signal.SIGINT)))"
    done = start(first=package(tmp_path, text))
    assert done.returncode == 0 and "default_int_handler" in done.stdout


def test_ctrl_c_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    text = "import signal\nsignal.raise_signal(signal.SIGINT)\nprint('still here')"
    ignoring = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); {START}"
    done = start(code=ignoring, first=package(tmp_path, text))
    assert (done.returncode, done.stdout) == (0, "still here\n")
