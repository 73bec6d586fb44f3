"""The shape of the source: dependencies point one way, files are short, kernels keep their rules."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "fastnet"
pytestmark = pytest.mark.skipif(not SOURCE.is_dir(), reason="the tests run without the source")

# A module may import those that stand before it. A new module gets its place here.
# fmt: off
ORDER = [
    "errors", "arrays", "graph",
    "backends.isa", "backends.threads", "backends.compiled", "backends", "backends.reference",
    "activations", "schedules", "losses", "optimizers", "initializers", "metrics",
    "transforms", "data", "columns", "idx", "download", "datasets",
    "checks", "evaluation", "loss_functions", "layers", "storage", "architecture", "network", "gradients",
    "plotting", "history", "callbacks", "progress", "run", "checkpoints", "training",
    "perceptron", "explanation", "explain",
    "interop.assemble", "interop.c_source", "interop.quantize", "interop.c_header", "interop.fann",
    "interop.onnx_tensors", "interop.onnx_flow", "interop.onnx_operators", "interop.onnx_reader",
    "interop.onnx_writer", "interop.sklearn", "interop.torch", "interop", ".",
    "sklearn.parameters", "sklearn.rows", "sklearn.training", "sklearn.targets", "sklearn.lbfgs",
    "sklearn.base", "sklearn.classifier", "sklearn.regressor", "sklearn",
    "cli_train", "cli_predict", "cli", "__main__",
]
# fmt: on

# Imports against the order, each inside a function: conveniences that delegate upwards.
DEFERRED = {("network", "training"), ("interop.onnx_writer", ".")} | {
    ("network", f"interop.{name}") for name in ("c_header", "onnx_writer", "torch")
}

FORBIDDEN_FLAGS = re.compile(r"-ffast-math|-Ofast|-march=|-mtune=|-fopenmp|[-/:]arch:|/fp:fast")
FORBIDDEN_CODE = re.compile(r"\bcimport\s+numpy\b|\bnumpy\s+cimport\b|\bprange\b|#\s*pragma\s+omp|<omp\.h>")


def name_of(path: Path, source: Path) -> str:
    """Name of a module within the package; the package itself is a dot."""
    parts = path.relative_to(source).with_suffix("").parts
    return place_of(".".join(parts[:-1] if parts[-1] == "__init__" else parts) or ".")


def place_of(module: str) -> str:
    """The files of the reference backend have one place in the order; they are free among themselves."""
    return "backends.reference" if module.startswith("backends.reference.") else module


def imports_of(path: Path, names: set[str]) -> Iterator[str]:
    """Modules of the package that a module imports, wherever in the file but for the sake of types alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guards = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    for_types = {inner for guard in guards for statement in guard.body for inner in ast.walk(statement)}
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: imports are absolute"
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in found:
            if name.split(".")[0] == "fastnet":
                inside = place_of(name.removeprefix("fastnet").removeprefix(".") or ".")
                yield inside if inside in names else inside.rpartition(".")[0] or "."


def violations(source: Path) -> list[str]:
    """Imports against the order, and modules without a place in it."""
    modules = [(name_of(path, source), path) for path in source.rglob("*.py")]
    found = [f"{name} has no place in ORDER" for name, _ in modules if name not in ORDER]
    for name, path in modules:
        if name not in ORDER:
            continue
        for other in imports_of(path, {name for name, _ in modules}):
            upwards = other not in ORDER or ORDER.index(other) > ORDER.index(name)
            if upwards and (name, other) not in DEFERRED:
                found.append(f"{name} imports {other}")
    return sorted(set(found))


def test_dependencies_point_one_way() -> None:
    assert violations(SOURCE) == []


@pytest.mark.parametrize(
    "line",
    [
        "from fastnet.network import Network",
        "import fastnet.network",
        "def f():\n    from fastnet import network",
    ],
)
def test_a_planted_import_against_the_order_is_found(tmp_path: Path, line: str) -> None:
    for name in ("layers", "network"):
        (tmp_path / f"{name}.py").write_text("")
    (tmp_path / "layers.py").write_text(f"import os\n{line}\n")
    assert violations(tmp_path) == ["layers imports network"]


def test_a_module_without_a_place_is_found(tmp_path: Path) -> None:
    (tmp_path / "utils.py").write_text("")
    assert violations(tmp_path) == ["utils has no place in ORDER"]


def source_files() -> list[Path]:
    folders = [SOURCE, *(ROOT / name for name in ("tests", "bench", "examples"))]
    kinds = {".py", ".pyx", ".pxd", ".pxi", ".h"}
    return [path for folder in folders for path in folder.rglob("*") if path.suffix in kinds]


def test_no_file_is_long() -> None:
    lengths = {
        str(p.relative_to(ROOT)): len(p.read_text(encoding="utf-8").splitlines()) for p in source_files()
    }
    assert {name: length for name, length in lengths.items() if length > 600} == {}


def test_kernels_use_neither_numpys_abi_nor_openmp() -> None:
    kernels = [path for path in source_files() if path.suffix in {".pyx", ".pxd", ".pxi", ".h"}]
    assert kernels
    assert [path.name for path in kernels if FORBIDDEN_CODE.search(path.read_text(encoding="utf-8"))] == []
    assert FORBIDDEN_CODE.search("cimport numpy as np") and FORBIDDEN_CODE.search(
        "from numpy cimport ndarray"
    )


def flags_in(text: str) -> list[str]:
    """Forbidden flags among a Python file's strings; comments may name them."""
    strings = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    return [value for value in strings if isinstance(value, str) and FORBIDDEN_FLAGS.search(value)]


def test_no_forbidden_compiler_flag() -> None:
    for path in (ROOT / "setup.py", SOURCE / "backends" / "isa.py"):
        assert flags_in(path.read_text(encoding="utf-8")) == [], path.name
    assert flags_in("FLAGS = ['-O3', '-march=native', '/arch:AVX2']") == ["-march=native", "/arch:AVX2"]
