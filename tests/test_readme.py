"""What the README says is so: its code runs, its commands work, its links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnet as fn
from fastnet import cli

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
APART = {"From PyTorch"}
pytestmark = pytest.mark.skipif(not README.is_file(), reason="the tests run without the source")


def text() -> str:
    return README.read_text(encoding="utf-8")


def blocks(language: str, section: str | None = None) -> list[str]:
    """Code of one section, or of all but those that need a library of their own."""
    parts = re.split(r"^## (.+)\n", text(), flags=re.MULTILINE)
    sections = dict(zip(["", *parts[1::2]], parts[::2], strict=True))
    chosen = [sections[section]] if section else [sections[one] for one in sections if one not in APART]
    return re.findall(rf"^```{language}\n(.*?)^```$", "".join(chosen), re.MULTILINE | re.DOTALL)


def test_it_opens_with_a_sentence_fifteen_lines_and_a_table() -> None:
    title, sentence, code = text().split("\n\n", 2)
    assert title == "# fastnet"
    assert "\n" not in sentence and sentence.count(". ") == 0 and sentence.endswith(".")
    assert code.startswith("```python\n")
    assert len(blocks("python")[0].splitlines()) <= 15
    assert text().index("<!-- table: begin -->") < text().index("<!-- table: end -->") < text().index("\n## ")


def test_its_code_runs(tmp_path: Path) -> None:
    """In a process of its own, as it switches the backend; warnings are errors."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    code = blocks("python")
    assert len(code) >= 6
    (tmp_path / "readme.py").write_text("\n".join(code), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "readme.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    accuracy = float(re.search(r"'accuracy': (0\.\d+)", done.stdout)[1])
    promised = float(re.search(r"# loss and accuracy, (0\.\d+)", text())[1])
    assert promised <= accuracy
    assert "0.14752178" in done.stdout  # explain
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"readme.py", "curves.png", "net.safetensors", "run.ckpt"}


def test_the_code_from_pytorch_runs() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    (code,) = blocks("python", "From PyTorch")
    assert len(code.splitlines()) <= 10
    first = blocks("python")[0].splitlines()
    needed = [line for line in first if line.startswith(("import fastnet", "train, test = "))]
    names: dict[str, Any] = {}
    exec("\n".join([*needed, code]), names)
    net, test = names["net"], names["test"]
    outputs = net.to_torch()(torch.tensor(test.x)).detach().numpy()
    np.testing.assert_allclose(outputs, net.predict(test.x), rtol=0, atol=1e-5)
    assert net.evaluate(test.x, test.y)["accuracy"] > 0.9


def test_its_code_has_the_types_it_should(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    code = blocks("python") + [block for section in sorted(APART) for block in blocks("python", section)]
    (tmp_path / "readme.py").write_text("\n".join(code), encoding="utf-8")
    (tmp_path / "mypy.ini").write_text("[mypy]\n[mypy-torch.*]\nfollow_imports = skip\n")  # it takes long
    # Of the package itself no errors are wanted, and NumPy's types are the one import that takes time.
    options = [
        "--follow-imports=silent",
        "--ignore-missing-imports",
        "--cache-dir",
        ".mypy",
    ]
    environment = {**os.environ, "MYPYPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "readme.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_command_and_the_code_write_different_files() -> None:
    assert "`digits.safetensors`" in text()  # of the command
    assert "digits.safetensors" not in "".join(blocks("python"))


def test_its_comments_tell_the_truth() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    net = fn.Network([fn.Dense(8, "tanh"), fn.Dropout(0.1), fn.Dense(1, "sigmoid")], inputs=2, seed=0)
    assert net.layers[0].weights.shape == (2, 8) and net.parameters.shape == (33,)
    assert sum(map(len, fn.datasets.digits())) == 1797
    assert fn.available_backends()[-1] == "numpy"


def test_its_commands_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    sizes = rng.uniform(50, 200, 120)
    (tmp_path / "houses.csv").write_text("size,price\n" + "".join(f"{s:.1f},{3000 * s:.1f}\n" for s in sizes))
    (tmp_path / "new_houses.csv").write_text("size\n100\n150\n")
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("fastnet ")]
    assert len(commands) >= 5
    for command in commands:
        if "mnist" not in command:
            assert cli.main(shlex.split(command)[1:]) == 0, (command, capsys.readouterr().err)
    predicted = (tmp_path / "predicted.csv").read_text().split()
    assert predicted[0] == "prediction"
    np.testing.assert_allclose([float(one) for one in predicted[1:]], [300_000, 450_000], rtol=0.05)


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", text())
    assert len(links) > 10
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_every_example_is_listed() -> None:
    scripts = {f"examples/{path.name}" for path in (ROOT / "examples").glob("*.py")}
    assert {link for link in re.findall(r"\]\((examples/\w+\.py)\)", text())} == scripts
