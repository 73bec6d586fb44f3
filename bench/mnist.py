"""Time to 98 % of MNIST's test digits: ``python -m bench.mnist [FOLDER]``.

It trains 784-128-64-10 from nothing with one recipe, for each of a number of seeds, and tests once, at the
end. Then PyTorch does the same, where it is installed: the same recipe, and the same first weights. Seconds
are those of the training alone; reading the files, scaling the pixels and importing are printed apart. It
exits with 1 unless every seed of fastnet is at least 98.0 % right.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

import fastnet as fn
from bench.workloads import Array, blas_threads

SIZES = (784, 128, 64, 10)
EPOCHS, BATCH = 3, 128
PEAK, WARMUP = 0.006, 0.1
BETA2, WEIGHT_DECAY = 0.95, 0.25
MEAN, DEVIATION = 0.1307, 0.3081  # of the pixels to train on, in 0 .. 1
WANTED = 0.98

Sets = tuple[Array, Array, Array, Array]
"""x (N, 784) and y (N,), to train on and to test on."""

Train = Callable[[Sets, int], tuple[float, float]]
"""Trains from nothing with a seed; returns its seconds, and the part of the test digits that is right."""


def load(folder: str | None) -> Sets:
    """Read MNIST and standardise its pixels."""
    train, test = fn.datasets.mnist(folder)
    x, test_x = ((one.x - np.float32(MEAN)) / np.float32(DEVIATION) for one in (train, test))
    return x, train.y.copy(), test_x, test.y.copy()  # those of the file cannot be written, PyTorch warns


def network(seed: int) -> fn.Network:
    """The network at its start."""
    return fn.mlp(SIZES, activation="relu", output="softmax", seed=seed)


def schedule() -> fn.schedules.Schedule:
    """Learning rates over the whole of the training."""
    return fn.schedules.OneCycle(PEAK, epochs=EPOCHS, warmup=WARMUP)


def with_fastnet(sets: Sets, seed: int) -> tuple[float, float]:
    """Train and test with fastnet."""
    x, y, test_x, test_y = sets
    start = time.perf_counter()
    net = network(seed)
    optimizer = fn.AdamW(schedule(), beta2=BETA2, weight_decay=WEIGHT_DECAY)
    net.fit(x, y, optimizer=optimizer, epochs=EPOCHS, batch_size=BATCH, verbose=0)
    seconds = time.perf_counter() - start
    return seconds, net.evaluate(test_x, test_y)["accuracy"]


def with_torch(sets: Sets, seed: int) -> tuple[float, float]:
    """Train and test with PyTorch: eager and fused, as in `bench.peers.torch_`."""
    import torch
    import torch.nn.functional as F  # noqa: N812

    from bench.peers.tasks import network as task_of
    from bench.peers.torch_ import forward

    torch.set_num_threads(fn.get_num_threads())
    torch.manual_seed(seed)
    x, y, test_x, test_y = map(torch.from_numpy, sets)
    start = time.perf_counter()
    task = task_of(*SIZES)
    dense = [layer for layer in network(seed).layers if isinstance(layer, fn.Dense)]
    layers = [[torch.from_numpy(one.T.copy()).requires_grad_() for one in (d.weights, d.bias)] for d in dense]
    weights, biases = zip(*layers, strict=True)
    groups = [{"params": weights, "weight_decay": WEIGHT_DECAY}, {"params": biases, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, BETA2), fused=True)
    rates, count = schedule(), -(-len(x) // BATCH)
    for epoch in range(EPOCHS):
        order = torch.randperm(len(x))
        for step, rows in enumerate(order.split(BATCH)):
            for group in optimizer.param_groups:
                group["lr"] = float(rates(epoch + step / count))
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(forward(task, layers, x[rows]), y[rows]).backward()
            optimizer.step()
    seconds = time.perf_counter() - start
    with torch.inference_mode():
        right = (forward(task, layers, test_x).argmax(1) == test_y).float().mean()
    return seconds, float(right)


def report(name: str, train: Train, sets: Sets, seeds: range) -> list[float]:
    """Train with each seed and print; returns the accuracies."""
    found = []
    for seed in seeds:
        seconds, accuracy = train(sets, seed)
        found.append((seconds, accuracy))
        print(f"{name:8} seed {seed}: {100 * accuracy:.2f} % in {seconds:.2f} s", flush=True)
    times, accuracies = map(list, zip(*found, strict=True))
    print(
        f"{name:8} mean {100 * statistics.mean(accuracies):.2f} %, least {100 * min(accuracies):.2f} %; "
        f"median {statistics.median(times):.2f} s, least {min(times):.2f} s, most {max(times):.2f} s"
    )
    return accuracies


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.mnist",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "folder", nargs="?", help="where the files are; without it, as fastnet.datasets.mnist"
    )
    parser.add_argument("--seeds", type=int, default=5, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--no-torch", action="store_true", help="fastnet alone")
    options = parser.parse_args()
    fn.set_num_threads(options.threads)
    start = time.perf_counter()
    sets = load(options.folder)
    print(f"loading and scaling: {time.perf_counter() - start:.2f} s")
    print(
        f"{'-'.join(map(str, SIZES))}, backend {fn.backend()}, {fn.get_num_threads()} threads: AdamW, "
        f"batch {BATCH}, one cycle to {PEAK:g} over {EPOCHS} epochs, decay {WEIGHT_DECAY:g}, beta2 {BETA2:g}"
    )
    seeds = range(options.first, options.first + options.seeds)
    accuracies = report("fastnet", with_fastnet, sets, seeds)
    if not options.no_torch and importlib.util.find_spec("torch") is None:
        print("PyTorch is MISSING: pip install torch==2.13.0")
    elif not options.no_torch:
        start = time.perf_counter()
        import torch

        print(f"importing PyTorch {torch.__version__}: {time.perf_counter() - start:.2f} s")
        with blas_threads(options.threads):
            report("PyTorch", with_torch, sets, seeds)
    return 0 if min(accuracies) >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
