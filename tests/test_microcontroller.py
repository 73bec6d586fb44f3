"""The documents' C: the program compiles, and the microcontroller's figures are those that are measured."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from c_programs import gcc, need

import fastnet as fn

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "microcontroller.py"
PROCESSORS = ("Cortex-M4F", "Cortex-M0+")


def page(name: str) -> str:
    path = ROOT / "docs" / name
    if not path.is_file():
        pytest.skip("the tests run without the documents")
    return path.read_text(encoding="utf-8")


def test_the_program_of_the_documents_runs(tmp_path: Path) -> None:
    program = re.search(r"```c\n(.*?)```", page("interop.md"), flags=re.S)
    assert program is not None
    (tmp_path / "main.c").write_text(program[1])
    net = fn.mlp([2, 8, 1], "tanh", "sigmoid", seed=0)
    net.to_c(tmp_path / "net.h")
    gcc(tmp_path, "-O2", "main.c", "-o", "main", "-lm")
    done = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True, timeout=60)
    assert float(done.stdout) == pytest.approx(float(net.predict([0.5, -1.0])[0]), abs=2e-6)


def test_the_program_of_the_documents_is_that_of_the_example() -> None:
    shown = re.search(r"```c\n(.*?)```", page("microcontroller.md"), flags=re.S)
    text = (ROOT / "examples" / "microcontroller" / "main.c").read_text()
    plain = re.sub(r"#ifdef CHECK\n.*?#endif\n", "", text, flags=re.S).partition("*/\n")[2]
    assert shown is not None and shown[1] == plain


def measured(folder: Path) -> list[tuple[int, ...]]:
    """Flash, RAM, stack and instructions: on each processor in float, then in int8."""
    script = EXAMPLE.with_suffix("") / "measure.sh"
    done = subprocess.run(["sh", script, folder], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return [tuple(map(int, re.findall(r" (\d+)", line))) for line in done.stdout.splitlines()]


def test_the_figures_of_the_documents_are_measured(tmp_path: Path) -> None:
    """To a tenth, as other versions of compiler and library differ; and a wrong header fails."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    need("arm-none-eabi-gcc", "qemu-system-arm")
    subprocess.run([sys.executable, EXAMPLE, tmp_path], check=True, capture_output=True, timeout=60)
    found = measured(tmp_path)
    assert len(found) == 4
    text = page("microcontroller.md").split("## From Python")[0].replace(",", "")
    for title, column in (("flash", 0), ("RAM", 1), ("instructions", 3)):
        rows = re.findall(rf"\| {title}.*\| (\d+)(?: bytes)? \| (\d+)", text)
        claimed = [int(number) for row in rows for number in row]
        assert claimed == pytest.approx([row[column] for row in found], rel=0.1), title
    header = tmp_path / "int8" / "digits.h"
    broken = re.sub(r"(scale_1\[10\] = \{\n    )[\d.e-]+f", r"\g<1>9.0f", header.read_text())
    header.write_text(broken)
    with pytest.raises(AssertionError):
        measured(tmp_path)
