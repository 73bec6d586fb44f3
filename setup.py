"""Builds the compiled backends: one module for each instruction set of the target and each dtype.

Everything else is in pyproject.toml. ``FASTNET_PURE=1 pip install .`` installs without compiled modules;
otherwise a failed compile fails the install.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import PlatformError
from setuptools.modified import newer_group

ROOT = Path(__file__).parent
SOURCE = "src/fastnet/backends/compiled"

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "freethreading_compatible": True,
    "embedsignature": True,
}

# No -ffast-math and no -march=native: docs/kernels.md says why. -Wno-psabi silences gcc's note on how
# vectors are passed between functions; ours are all inlined or static.
COMMON_FLAGS = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-g0", "-Wno-psabi"]
# A wheel needs no names of static functions; a build in place keeps them, for profilers.
LINK_FLAGS = ["-s"] if sys.platform == "linux" and "bdist_wheel" in sys.argv else []


def load_isa():
    """The table of instruction sets, read without importing the package (which needs NumPy)."""
    spec = importlib.util.spec_from_file_location("isa", ROOT / "src/fastnet/backends/isa.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def target_machine():
    """The machine type that is built for; it differs from this machine's when cross-compiling."""
    if sys.platform == "darwin":
        # A universal Python would compile every file for two architectures at once.
        native = "arm64" if os.uname().machine == "arm64" else "x86_64"
        flags = os.environ.setdefault("ARCHFLAGS", f"-arch {native}")
        machines = set(re.findall(r"-arch\s+(\S+)", flags)) or {native}
        if len(machines) > 1:
            raise PlatformError(f"ARCHFLAGS={flags!r} names several architectures; build one at a time")
        return machines.pop()
    if sys.maxsize < 2**32:
        return "32-bit"
    return sysconfig.get_platform().rpartition("-")[2]


def extensions():
    """Instruction sets x dtypes, and the small module that tells what the machine supports."""
    if os.environ.get("FASTNET_PURE", "") not in ("", "0"):
        return []
    isa = load_isa()
    kinds = {".pyx", ".pxd", ".pxi", ".h"}
    sources = [f"{SOURCE}/{path.name}" for path in sorted((ROOT / SOURCE).iterdir()) if path.suffix in kinds]
    common = {
        "include_dirs": [SOURCE],
        "extra_link_args": LINK_FLAGS,
        # A change to any of these rebuilds everything.
        "depends": [*sources, "src/fastnet/backends/isa.py", "setup.py"],
    }
    found = [
        Extension(f"{isa.PACKAGE}._shared", [], extra_compile_args=["-g0"], **common),
        Extension(f"{isa.PACKAGE}._system", [f"{SOURCE}/_system.pyx"], extra_compile_args=["-g0"], **common),
    ]
    for one in isa.for_architecture(isa.architecture(target_machine())):
        for dtype in isa.DTYPES:
            found.append(
                Extension(
                    one.module(dtype),
                    [f"{SOURCE}/backend.pyx"],
                    define_macros=[("FASTNET_DOUBLE", "1")] if dtype == "float64" else [],
                    extra_compile_args=[*COMMON_FLAGS, *one.flags],
                    **common,
                )
            )
    return found


def find_clang_cl():
    """Path of clang-cl: the kernels use vector types that Microsoft's own compiler does not have."""
    candidates = [os.environ.get("CC", ""), "clang-cl", r"C:\Program Files\LLVM\bin\clang-cl.exe"]
    found = next(filter(None, (shutil.which(name) for name in candidates if "clang-cl" in name)), None)
    if found is None:
        raise PlatformError(
            "fastnet's kernels need clang-cl on Windows, and it was not found: install LLVM, "
            "or set CC to its path, or install without compiled kernels (FASTNET_PURE=1)"
        )
    return found


class BuildExtensions(build_ext):
    """Translates and compiles the extensions in parallel."""

    def finalize_options(self):
        """Use all CPUs unless told otherwise."""
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self):
        """Choose the compiler, then build."""
        if self.compiler.compiler_type == "msvc":
            self.use_clang_cl()
        super().build_extensions()

    def build_extension(self, ext):
        """Translate from Cython, then compile."""
        ext.sources = [self.translate(ext)]
        super().build_extension(ext)

    def translate(self, ext):
        """Write the C file of an extension; many have the same source, so each has a folder of its own.

        Not by `cythonize`: it merges the compiler flags of earlier calls on a source into later ones, and
        Cython in a process of its own can work on several at once.
        """
        package, _, name = ext.name.rpartition(".")
        target = f"build/cython/{name}/{Path(*ext.sources or [name]).stem}.c"
        if self.force or newer_group([*ext.sources, *ext.depends], target):
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            options = [f"--directive={key}={value}" for key, value in DIRECTIVES.items()]
            options += ["-I", "src", "--module-name", ext.name]
            if ext.sources:
                options += ["--shared", f"{package}._shared", "--output-file", target, *ext.sources]
            else:  # what Cython would put into each of the others
                options += ["--generate-shared", target]
            subprocess.run([sys.executable, "-m", "cython", *options], check=True)
        return target

    def use_clang_cl(self):
        """Compile with clang-cl in place of cl.exe; the linker and the libraries stay Microsoft's."""
        compiler = self.compiler
        if not compiler.initialized:
            compiler.initialize(self.plat_name)
        compiler.cc = find_clang_cl()
        compiler.compile_options = [flag for flag in compiler.compile_options if flag != "/GL"]
        target = {"win-amd64": "x86_64", "win-arm64": "aarch64", "win32": "i686"}[self.plat_name]
        for extension in self.extensions:
            flags = [f"/clang:{flag}" for flag in extension.extra_compile_args]
            extension.extra_compile_args = [f"--target={target}-pc-windows-msvc", *flags]


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExtensions})
