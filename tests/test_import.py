"""`import fastnet`: what it loads, seen in interpreters of their own, and which names are there."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastnet as fn
from fastnet import backends

# fmt: off
# What it takes to make, load and run a network; a module of ours that is not here is loaded when first used.
OURS = {
    "activations", "architecture", "arrays", "backends", "checks", "errors", "evaluation", "explain", "graph",
    "initializers", "layers", "losses", "network",
}
# Of others, what only some programs need: for mistakes, files, training, drawing, downloads.
OTHERS = {
    "argparse", "asyncio", "csv", "difflib", "email", "hashlib", "http.client", "json", "logging",
    "multiprocessing", "random", "secrets", "string", "subprocess", "tempfile", "unittest", "urllib.request",
    "jax", "matplotlib", "pandas", "rich", "safetensors", "scipy", "sklearn", "torch",
}
# fmt: on
BACKEND = re.compile(r"fastnet\.backends\.(reference$|compiled\._\w+_f\d\d$)")


def output(code: str) -> str:
    """What code prints in an interpreter of its own."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded(code: str) -> set[str]:
    """Modules that code loads, and `import numpy` does not."""
    show = "\nimport sys; print(*sys.modules)"
    return set(output(code + show).split()) - set(output("import numpy" + show).split())


def is_heavy(module: str) -> bool:
    """Whether `import fastnet` must not load it."""
    package, _, name = module.partition(".")
    if package != "fastnet":
        return module in OTHERS
    return bool(BACKEND.match(module)) or (name != "" and name.split(".")[0] not in OURS)


def heavy(code: str) -> list[str]:
    """What code loads and `import fastnet` must not."""
    return sorted(filter(is_heavy, loaded(code)))


# ---- what is loaded -----------------------------------------------------------------------------------


def test_import_is_light() -> None:
    assert "fastnet.network" in loaded("import fastnet")
    assert heavy("import fastnet") == []


@pytest.mark.parametrize(
    ("planted", "module"),
    [
        ("import difflib", "difflib"),
        ("from fastnet import perceptron", "fastnet.perceptron"),
        ("fastnet.gradient_check", "fastnet.gradients"),
    ],
)
def test_a_planted_import_is_found(planted: str, module: str) -> None:
    assert heavy(f"import fastnet\n{planted}") == [module]


def test_a_prediction_loads_the_kernels_of_one_backend_for_one_dtype() -> None:
    name = backends.active()
    wanted = "reference" if name == "numpy" else f"compiled._{name}_f32"
    found = heavy("import fastnet\nfastnet.mlp([2, 1]).predict([[0.0, 1.0]])")
    assert list(filter(BACKEND.match, found)) == [f"fastnet.backends.{wanted}"]


# ---- names --------------------------------------------------------------------------------------------


def test_public_names() -> None:
    for name in fn.__all__:
        assert getattr(fn, name) is not None
    assert isinstance(fn.__version__, str) and fn.datasets.__name__ == "fastnet.datasets"
    with pytest.raises(AttributeError, match="no attribute 'Convolution'"):
        _ = fn.Convolution


def test_names_are_listed_before_they_are_loaded() -> None:
    listed = output("import fastnet; print(*dir(fastnet))").split()
    assert {*fn.__all__, "optimizers", "__version__"} <= set(listed)


def test_a_star_brings_every_name() -> None:
    assert set(fn.__all__) <= set(output("from fastnet import *; print(*globals())").split())


def test_modules_are_attributes() -> None:
    """Also those that nothing has loaded yet."""
    for name in ("optimizers", "training", "transforms", "backends", "layers", "network"):
        assert output(f"import fastnet; print(fastnet.{name}.__name__)").strip() == f"fastnet.{name}"


def test_a_name_is_looked_up_once() -> None:
    assert fn.Adam is fn.optimizers.Adam is vars(fn)["Adam"]


def test_readers_of_other_models_load_when_they_are_used() -> None:
    assert fn.interop.from_fann is fn.from_fann and {"from_fann", "to_torch"} <= set(dir(fn.interop))
    found = heavy("import fastnet\nfastnet.from_fann, fastnet.from_torch, fastnet.from_sklearn")
    ours = [f"fastnet.interop{one}" for one in ("", ".assemble", ".fann", ".sklearn", ".torch")]
    assert found == [*ours, "json"]
    with pytest.raises(AttributeError, match=r"'fastnet\.interop' has no attribute 'from_paper'"):
        _ = fn.interop.from_paper


def test_explain_is_a_function_whatever_was_imported_before() -> None:
    """A module of the same name takes its place if it is loaded later than the package."""
    code = "from fastnet.explain import explain; import fastnet; print(fastnet.explain is explain)"
    assert output(code).strip() == "True"


def test_type_checkers_see_the_names_that_are_loaded_when_first_used() -> None:
    tree = ast.parse(Path(fn.__file__).read_text(encoding="utf-8"))
    guard = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        (one.module.removeprefix("fastnet").removeprefix("."), alias.name)
        for one in guard.body
        if isinstance(one, ast.ImportFrom) and one.module
        for alias in one.names
    }
    modules = {("", name) for name in fn._LAZY if name in fn.__all__}
    assert seen == modules | {(module, name) for module, names in fn._LAZY.items() for name in names}
