"""Checks what is in a source distribution and a wheel: ``check_distributions.py FILE...``."""

import re
import sys
import tarfile
import zipfile
from pathlib import Path

WHEEL_LIMIT = 2_000_000  # bytes
KERNEL_SOURCES = {".pyx", ".pxd", ".h"}


def check_wheel(path: Path) -> None:
    """Small; every compiled module, types and metadata; no sources of compiled modules, no tests."""
    size = path.stat().st_size
    assert size < WHEEL_LIMIT, f"{path.name} has {size} bytes; the limit is {WHEEL_LIMIT}"
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    folders = {name.split("/")[0] for name in names}
    assert all(re.match(r"fastnet(_command\.py|-.*\.dist-info)?$", folder) for folder in folders), folders
    kinds = {Path(name).suffix for name in names if name.startswith("fastnet/")} - {""}
    assert kinds <= {".py", ".pyi", ".typed", ".so", ".pyd"}, kinds
    assert "fastnet/py.typed" in names
    modules = [name for name in names if re.search(r"/_[a-z0-9]+_f(32|64)\.", name)]
    assert len(modules) >= 2, modules
    print(f"{path.name}: {size / 1e6:.2f} MB, {len(names)} files, {len(modules)} modules with kernels")


def check_sdist(path: Path) -> None:
    """Everything that a build and the tests need, and nothing that was built."""
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"setup.py", "pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md", "tests/conftest.py"}
    wanted |= {str(source) for source in Path("src").rglob("*") if source.suffix in {".py", *KERNEL_SOURCES}}
    assert wanted <= names, f"missing: {sorted(wanted - names)}"
    built = [name for name in names if Path(name).suffix in {".so", ".pyd", ".pyc"}]
    built += [name for name in names if name.startswith("src/") and name.endswith(".c")]
    assert not built, built
    print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, {len(names)} files")


for argument in map(Path, sys.argv[1:]):
    (check_wheel if argument.suffix == ".whl" else check_sdist)(argument)
