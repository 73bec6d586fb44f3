"""Handwritten digits for a microcontroller: a network of 64-32-10 as a C header, in float and in int8.

    python microcontroller.py [FOLDER]

Writes float/digits.h and int8/digits.h, and tries them where there is a C compiler (docs/microcontroller.md).
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import fastnet as fn

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
train, test = fn.datasets.digits()
net = fn.mlp([64, 32, 10], output="softmax", seed=0)
net.fit(*train, optimizer=fn.Adam(0.003), epochs=40, batch_size=32)
print(f"network: test accuracy {net.evaluate(*test)['accuracy']:.4f}")

host = Path(__file__).with_suffix("") / "host.c"
compiler = shutil.which("cc") or shutil.which("gcc")
for kind, quantize in (("float", None), ("int8", "int8")):
    header = folder / kind / "digits.h"
    header.parent.mkdir(exist_ok=True)
    net.to_c(header, quantize=quantize)
    print(f"wrote {kind}/digits.h")
    if compiler is None:
        print("no C compiler to try it with")
        continue
    with tempfile.TemporaryDirectory() as work:
        arguments = ["-std=c99", "-I", str(header.parent), str(host), "-o", f"{work}/digits", "-lm"]
        subprocess.run([compiler, *arguments], check=True)
        samples = " ".join(map(str, test.x.ravel()))
        done = subprocess.run([f"{work}/digits"], input=samples, capture_output=True, text=True, check=True)
    outputs = np.array(done.stdout.split(), np.float32).reshape(-1, 10)
    print(f"in C: test accuracy {np.mean(outputs.argmax(axis=1) == test.y):.4f}")
