"""The switch between backends: what is found, what is chosen, and what is said when it cannot be."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastnet
import fastnet_command
from fastnet import backends
from fastnet.backends import isa
from fastnet.backends.threads import cgroup_cpus, check_count, parse_count, usable_cpus

PURE = os.environ.get("FASTNET_PURE") == "1"
PACKAGE = Path(fastnet.__file__).parent
COMPILED = [name for name in backends.available() if name != "numpy"]
needs_compiled = pytest.mark.skipif(PURE, reason="FASTNET_PURE=1: installed without compiled kernels")


def cpu_flags() -> set[str]:
    """What the operating system says of the CPU: another source than our own cpuid."""
    if sys.platform.startswith("linux"):
        found = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        return set(found.group(1).split()) if found else set()
    if sys.platform == "darwin":
        wanted = {"avx2": "avx2_0", "fma": "fma", "avx512f": "avx512f"}
        answers = {
            flag: subprocess.run(["sysctl", "-n", f"hw.optional.{key}"], capture_output=True, text=True)
            for flag, key in wanted.items()
        }
        return {flag for flag, answer in answers.items() if answer.stdout.strip() == "1"}
    present = ctypes.windll.kernel32.IsProcessorFeaturePresent
    return {flag for flag, number in {"avx2": 40, "fma": 40, "avx512f": 41}.items() if present(number)}


def expected_backends() -> list[str]:
    if PURE:
        return ["numpy"]
    machine = platform.machine().lower()
    if machine in ("aarch64", "arm64"):
        return ["neon", "numpy"]
    flags = cpu_flags() if machine in ("x86_64", "amd64") else set()
    # Every CPU that has AVX-512 F and a use for it also has DQ, BW and VL (Skylake and later).
    names = ["avx512"] if "avx512f" in flags else []
    names += ["avx2"] if {"avx2", "fma"} <= flags else []
    return [*names, "baseline", "numpy"]


def run(
    code: str, *options: str, path: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own, with these environment variables set or (empty) unset."""
    changed = {"FASTNET_BACKEND": "", "FASTNET_NUM_THREADS": "", **environment}
    if path is not None:
        changed["PYTHONPATH"] = str(path)
    variables = {key: value for key, value in {**os.environ, **changed}.items() if value}
    command = [sys.executable, "-W", "ignore" if PURE else "error", *options, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=variables, timeout=120)


def copy_package(folder: Path, *, compiled: bool) -> Path:
    """A copy of the installed package in `folder`, with or without its compiled modules."""
    ignored = shutil.ignore_patterns("__pycache__", *([] if compiled else ["*.so", "*.pyd"]))
    shutil.copytree(PACKAGE, folder / "fastnet", ignore=ignored)
    return folder / "fastnet" / "backends" / "compiled"


def module_file(folder: Path, name: str) -> Path:
    """The file of a compiled module in a copy of the package."""
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    return folder / Path(spec.origin).name


# ---- what is there ------------------------------------------------------------------------------------


def test_expected_backends_are_available() -> None:
    assert backends.available() == expected_backends()


def test_every_available_backend_is_tested(tested_backends: list[str]) -> None:
    only = os.environ.get("FASTNET_BACKEND")
    assert tested_backends == ([only] if only else expected_backends())


def test_best_backend_is_active_at_the_start() -> None:
    result = run("import fastnet.backends as b; print(b.active())")
    assert result.stdout.strip() == expected_backends()[0], result.stderr


@needs_compiled
@pytest.mark.parametrize("name", COMPILED)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_module_has_its_own_flags(name: str, dtype: str) -> None:
    # The constants come from the compiler's own macros, so they tell which flags it was given.
    backends.use(name)
    module = backends.kernels(dtype)
    (entry,) = (one for one in isa.INSTRUCTION_SETS if one.name == name)
    flags = (module.ISA, module.DTYPE, module.VECTOR_BYTES)
    assert flags == (name, dtype, entry.vector_bytes)


@needs_compiled
def test_features_agree_with_the_operating_system() -> None:
    from fastnet.backends.compiled import _system

    found = _system.cpu_features()
    assert found <= set().union(*(one.features for one in isa.INSTRUCTION_SETS))
    if platform.machine().lower() in ("x86_64", "amd64"):
        known = {"avx2", "fma", "avx512f"}
        assert found & known == cpu_flags() & known


@needs_compiled
def test_float_mode_reads_back_what_was_set() -> None:
    from fastnet.backends.compiled import _system

    before = _system.float_mode()
    flush = {"x86_64": 0x8040, "amd64": 0x8040}.get(platform.machine().lower(), 1 << 24)
    try:
        _system.set_float_mode(before | flush)
        changed = _system.float_mode()
    finally:
        _system.set_float_mode(before)
    assert changed == before | flush
    assert _system.float_mode() == before


def test_table_of_instruction_sets() -> None:
    assert [one.name for one in isa.for_architecture("x86_64")] == ["avx512", "avx2", "baseline"]
    assert [one.name for one in isa.for_architecture("aarch64")] == ["neon"]
    assert [one.name for one in isa.for_architecture("other")] == ["baseline"]
    assert [isa.architecture(m) for m in ("AMD64", "arm64", "riscv64")] == ["x86_64", "aarch64", "other"]


# ---- use ----------------------------------------------------------------------------------------------


def test_use_switches_and_version_grows() -> None:
    for name in backends.available():
        before = backends.version()
        backends.use(name)
        assert backends.active() == name
        assert backends.version() > before


def test_kernels_are_those_of_the_backend_in_use(backend: str, dtype: str) -> None:
    module = backends.kernels(dtype)
    suffix = "reference" if backend == "numpy" else f"compiled._{backend}_{isa.DTYPES[dtype]}"
    assert module.__name__ == f"fastnet.backends.{suffix}"
    assert hasattr(module, "Executor")
    assert backends.kernels(np.dtype(dtype)) is module
    assert backends.kernels(np.dtype(dtype).type) is module


@pytest.mark.parametrize("dtype", ["float16", "int32", None, ">f4" if sys.byteorder == "little" else "<f4"])
def test_other_dtypes_have_no_kernels(dtype: object) -> None:
    with pytest.raises(ValueError, match="dtype must be float32 or float64; got"):
        backends.kernels(dtype)


def test_use_of_an_unknown_name_lists_the_known_and_changes_nothing() -> None:
    before = backends.active(), backends.version()
    with pytest.raises(
        ValueError, match=f"'sse9' is not a backend's name.*{', '.join(backends.available())}"
    ):
        backends.use("sse9")
    assert (backends.active(), backends.version()) == before


def test_use_of_what_this_machine_cannot_run() -> None:
    missing = next(one.name for one in isa.INSTRUCTION_SETS if one.name not in backends.available())
    with pytest.raises(ValueError, match=f"'{missing}' is not one that this machine can run.*numpy"):
        backends.use(missing)


def test_use_of_what_is_no_name() -> None:
    with pytest.raises(TypeError, match="must be a backend's name, a str; got int"):
        backends.use(2)  # type: ignore[arg-type]


def test_environment_chooses_the_backend() -> None:
    for name in backends.available():
        result = run("import fastnet.backends as b; print(b.active())", FASTNET_BACKEND=name)
        assert result.stdout.strip() == name, result.stderr


@pytest.mark.parametrize("name", ["sse9", "NumPy"])
def test_environment_names_an_unknown_backend(name: str) -> None:
    result = run("import fastnet", FASTNET_BACKEND=name)
    assert result.returncode != 0
    assert f"ValueError: FASTNET_BACKEND {name!r} is not a backend's name" in result.stderr
    assert ", ".join(backends.available()) in result.stderr


# ---- what is loaded -----------------------------------------------------------------------------------


@needs_compiled
def test_only_the_backend_in_use_is_loaded() -> None:
    code = "import fastnet.backends as b, sys; b.kernels('float32'); print(*sorted(sys.modules))"
    loaded = [name for name in run(code).stdout.split() if re.search(r"_f\d\d$", name)]
    assert loaded == [f"fastnet.backends.compiled._{expected_backends()[0]}_f32"]


# ---- installations that lack something ----------------------------------------------------------------


def test_without_compiled_modules_one_warning_says_so(tmp_path: Path) -> None:
    copy_package(tmp_path, compiled=False)
    code = "import fastnet, fastnet.backends as b; print(b.available(), b.active(), fastnet.__file__)"
    result = run(code, "-W", "always", path=tmp_path)
    assert result.stdout.strip() == f"['numpy'] numpy {tmp_path / 'fastnet' / '__init__.py'}", result.stderr
    assert result.stderr.count("RuntimeWarning: fastnet has no compiled kernels") == 1


def test_who_asks_for_numpy_is_not_warned(tmp_path: Path) -> None:
    copy_package(tmp_path, compiled=False)
    result = run("import fastnet", "-W", "error", path=tmp_path, FASTNET_BACKEND="numpy")
    assert result.returncode == 0, result.stderr


def test_the_command_says_in_its_header_that_nothing_was_compiled(tmp_path: Path) -> None:
    """And does not warn of it, too: a warning would be an error here."""
    copy_package(tmp_path, compiled=False)
    shutil.copy(fastnet_command.__file__, tmp_path)

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        code = f"import sys; sys.argv[1:] = {arguments}; from fastnet_command import main; main()"
        return run(code, "-W", "error", path=tmp_path)

    result = command("info")
    assert "numpy (this machine can run: numpy)" in result.stdout, result.stderr
    assert "installed: none; the CPU has: unknown: no compiled kernels are installed" in result.stdout
    table, model = tmp_path / "table.csv", tmp_path / "model.safetensors"
    table.write_text("a,b\n" + "".join(f"{row},{row / 2}\n" for row in range(40)))
    options = ["--target", "b", "--output", str(model), "--no-plot", "--epochs", "1"]
    result = command("train", str(table), *options)
    assert "backend   numpy (installed without compiled kernels), " in result.stdout, result.stderr


@needs_compiled
def test_backend_without_one_of_its_modules_is_not_available(tmp_path: Path) -> None:
    folder = copy_package(tmp_path, compiled=True)
    module_file(folder, f"fastnet.backends.compiled._{COMPILED[0]}_f64").unlink()
    result = run("import fastnet.backends as b; print(*b.available())", path=tmp_path)
    assert result.stdout.split() == backends.available()[1:], result.stderr


@needs_compiled
@pytest.mark.parametrize("call", ["kernels('float32')", "use(b.available()[0])"])
def test_module_that_cannot_be_loaded_is_an_error(tmp_path: Path, call: str) -> None:
    folder = copy_package(tmp_path, compiled=True)
    module_file(folder, f"fastnet.backends.compiled._{COMPILED[0]}_f32").write_bytes(b"not a library")
    result = run(f"import fastnet.backends as b; b.{call}", path=tmp_path)
    assert result.returncode != 0
    assert "ImportError" in result.stderr


# ---- threads ------------------------------------------------------------------------------------------


def test_threads_are_at_most_the_cpus_of_the_process() -> None:
    before = backends.version()
    backends.set_num_threads(1)
    assert backends.get_num_threads() == 1
    backends.set_num_threads(np.int64(10_000))
    assert backends.get_num_threads() == usable_cpus()
    assert backends.version() == before + 2


@pytest.mark.parametrize("count", [0, -1])
def test_threads_fewer_than_one(count: int) -> None:
    before = backends.get_num_threads()
    with pytest.raises(ValueError, match=f"must be an integer of at least 1; got {count}"):
        backends.set_num_threads(count)
    assert backends.get_num_threads() == before


@pytest.mark.parametrize("count", [1.0, "1", None, True])
def test_threads_of_the_wrong_kind(count: object) -> None:
    with pytest.raises(TypeError, match="the number of threads must be an integer"):
        backends.set_num_threads(count)  # type: ignore[arg-type]


def test_environment_sets_the_threads() -> None:
    code = "import fastnet.backends as b; print(b.get_num_threads())"
    assert run(code, FASTNET_NUM_THREADS="1").stdout.strip() == "1"
    assert run(code, FASTNET_NUM_THREADS="10000").stdout.strip() == str(usable_cpus())
    assert run(code).stdout.strip() == str(usable_cpus())


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_environment_sets_threads_wrongly(text: str) -> None:
    result = run("import fastnet", FASTNET_NUM_THREADS=text)
    assert result.returncode != 0
    assert "ValueError: FASTNET_NUM_THREADS must be an integer of at least 1; got" in result.stderr


def test_counts() -> None:
    assert check_count(np.int32(3), "n") == 3
    assert parse_count(" 3 ", "n") == 3


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux's affinity masks")
def test_affinity_limits_the_threads() -> None:
    # PYTHON_CPU_COUNT would override the mask from Python 3.13 on.
    code = "import os; os.sched_setaffinity(0, {0}); import fastnet.backends as b; print(b.get_num_threads())"
    code = code.replace("{0}", "{min(os.sched_getaffinity(0))}")
    assert run(code, PYTHON_CPU_COUNT="").stdout.strip() == "1"


def plant(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


V2_MOUNT = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MOUNT = "33 32 0:30 {} /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"


def test_cgroup_2_takes_the_least_quota_on_the_way_up(tmp_path: Path) -> None:
    root = plant(
        tmp_path,
        {
            "proc/self/cgroup": "0::/a.slice/b:c.scope\n",
            "proc/self/mountinfo": V2_MOUNT,
            "sys/fs/cgroup/a.slice/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/a.slice/b:c.scope/cpu.max": "max 100000\n",
        },
    )
    assert cgroup_cpus(root) == 1.5
    assert usable_cpus(root) == min(2, usable_cpus())  # rounded up


def test_cgroup_1_without_and_within_a_container(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "5:memory:/m\n4:cpu,cpuacct:/docker/abc\n",
        "proc/self/mountinfo": V1_MOUNT.format("/"),
        "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "25000\n",
        "sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    }
    outside = plant(tmp_path / "outside", files)
    assert cgroup_cpus(outside) == 0.25
    assert usable_cpus(outside) == 1
    # Inside, the container's own group is what is mounted.
    files["proc/self/mountinfo"] = V1_MOUNT.format("/docker/abc")
    files["sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us"] = "300000\n"
    assert cgroup_cpus(plant(tmp_path / "inside", files)) == 3.0


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": V2_MOUNT},
        {
            "proc/self/cgroup": "0::/\n",
            "proc/self/mountinfo": V2_MOUNT,
            "sys/fs/cgroup/cpu.max": "max 100000\n",
        },
    ],
    ids=["nothing", "no file", "no limit"],
)
def test_no_cgroup_limit(tmp_path: Path, files: dict[str, str]) -> None:
    root = plant(tmp_path, files)
    assert cgroup_cpus(root) == float("inf")
    assert usable_cpus(root) >= 1
