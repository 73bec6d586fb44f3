"""The table of instruction sets: the one place that knows build flags and the CPU features they need.

`setup.py` compiles one module for each instruction set of the target architecture and each dtype;
`fastnet.backends` offers those that the CPU and the operating system can run, in this table's order.
`setup.py` runs this file before the package is built, so it imports nothing of it.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DTYPES", "INSTRUCTION_SETS", "PACKAGE", "InstructionSet", "architecture", "for_architecture"]

PACKAGE = "fastnet.backends.compiled"
"""The package that holds the compiled modules."""

DTYPES = {"float32": "f32", "float64": "f64"}
"""Names of the supported dtypes, and the suffixes of their modules."""


class InstructionSet(NamedTuple):
    """One way to compile the kernels, and what a CPU needs to run them.

    Attributes
    ----------
    name : str
        Name of the backend, and part of its modules' names.
    architectures : tuple of str
        Target architectures for which it is built: ``"x86_64"``, ``"aarch64"`` or ``"other"``.
    features : frozenset of str
        What the CPU and the operating system must support, as `fastnet.backends.compiled._system` calls it.
    vector_bytes : int
        Size of one vector register in bytes.
    flags : tuple of str
        Compiler flags, as gcc and clang spell them; clang-cl takes the same behind ``/clang:``.
    """

    name: str
    architectures: tuple[str, ...]
    features: frozenset[str]
    vector_bytes: int
    flags: tuple[str, ...]

    def module(self, dtype: str) -> str:
        """Full name of the compiled module for a dtype.

        Parameters
        ----------
        dtype : str
            ``"float32"`` or ``"float64"``.

        Returns
        -------
        str
            For instance ``"fastnet.backends.compiled._avx2_f32"``.
        """
        return f"{PACKAGE}._{self.name}_{DTYPES[dtype]}"


# Best first: the first that a machine can run is its default backend.
INSTRUCTION_SETS = (
    InstructionSet(
        name="avx512",
        architectures=("x86_64",),
        features=frozenset({"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx2", "fma"}),
        vector_bytes=64,
        # Without the last flag compilers keep to 32-byte vectors where they vectorise loops themselves.
        flags=(
            "-mavx512f",
            "-mavx512dq",
            "-mavx512bw",
            "-mavx512vl",
            "-mavx2",
            "-mfma",
            "-mprefer-vector-width=512",
        ),
    ),
    InstructionSet(
        name="avx2",
        architectures=("x86_64",),
        features=frozenset({"avx2", "fma"}),
        vector_bytes=32,
        flags=("-mavx2", "-mfma"),
    ),
    InstructionSet(
        name="neon",
        architectures=("aarch64",),
        features=frozenset({"neon"}),
        vector_bytes=16,
        flags=(),  # every AArch64 CPU has it, and compilers use it unasked
    ),
    InstructionSet(
        name="baseline",
        architectures=("x86_64", "other"),
        features=frozenset(),
        vector_bytes=16,
        flags=(),
    ),
)


def architecture(machine: str) -> str:
    """The table's name for a machine type.

    Parameters
    ----------
    machine : str
        As `platform.machine`, `sysconfig.get_platform` or a compiler spell it, for instance ``"AMD64"``.

    Returns
    -------
    str
        ``"x86_64"``, ``"aarch64"`` or ``"other"``.
    """
    names = {"x86_64": "x86_64", "amd64": "x86_64", "x64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
    return names.get(machine.lower(), "other")


def for_architecture(name: str) -> tuple[InstructionSet, ...]:
    """The instruction sets that are built for an architecture, best first.

    Parameters
    ----------
    name : str
        ``"x86_64"``, ``"aarch64"`` or ``"other"``.

    Returns
    -------
    tuple of InstructionSet
    """
    return tuple(one for one in INSTRUCTION_SETS if name in one.architectures)
