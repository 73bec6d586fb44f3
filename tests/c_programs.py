"""C programs for the tests of headers: one includes any number of them, reads samples and writes outputs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

import fastnet as fn

Array = NDArray[Any]

C99 = ("gcc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
CPP11 = ("g++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-pedantic")


def need(*programs: str) -> None:
    """Skip the test where one of these is not installed."""
    if os.name == "nt":
        pytest.skip("standard input and output are text on Windows, and these programs read numbers")
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def gcc(folder: Path, *arguments: str, command: Sequence[str] = C99) -> None:
    """Run a compiler in a folder; what it says is what the test says."""
    need(command[0])
    done = subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


class Result(NamedTuple):
    """What C made of a header: outputs (N, outputs), and how many of the self-test's are wrong."""

    outputs: Array
    wrong: int


def run(
    folder: Path, samples: dict[str, Array], *flags: str, command: Sequence[str] = C99
) -> dict[str, Result]:
    """Compile one program with these headers of a folder, by stem; run each on its samples (N, inputs)."""
    parts = [f'#include "{name}.h"\n' for name in samples]
    parts += ["#include <stdio.h>\n\nint main(void)\n{\n"]
    for name, x in samples.items():
        parts.append(f"""    {{
        float x[{name.upper()}_INPUTS], y[{name.upper()}_OUTPUTS];
        for (int i = 0; i < {len(x)}; ++i) {{
            if (fread(x, sizeof x, 1, stdin) != 1) {{
                return 1;
            }}
            {name}_predict(x, y);
            fwrite(y, sizeof y, 1, stdout);
        }}
        y[0] = (float){name}_self_test();
        fwrite(y, sizeof y[0], 1, stdout);
    }}
""")
    (folder / "program.c").write_text("".join([*parts, "    return 0;\n}\n"]))
    gcc(folder, "-O2", *flags, "program.c", "-o", "program", "-lm", command=command)
    data = b"".join(np.ascontiguousarray(x, np.float32).tobytes() for x in samples.values())
    done = subprocess.run([folder / "program"], input=data, capture_output=True, timeout=60)
    assert done.returncode == 0
    return _read(folder, samples, np.frombuffer(done.stdout, np.float32))


def _read(folder: Path, samples: dict[str, Array], flat: Array) -> dict[str, Result]:
    results, position = {}, 0
    for name, x in samples.items():
        text = (folder / f"{name}.h").read_text()
        outputs = int(text.split(f"#define {name.upper()}_OUTPUTS ")[1].split()[0])
        stop = position + len(x) * outputs
        results[name] = Result(flat[position:stop].reshape(len(x), outputs), int(flat[stop]))
        position = stop + 1
    assert position == len(flat)
    return results


def unit(activation: str = "identity", dtype: str = "float32") -> fn.Network:
    """A network that is its activation: one input, one weight of 1."""
    return fn.Network([fn.Dense(1, activation, weights_init=[[1.0]])], inputs=1, dtype=dtype, seed=0)
