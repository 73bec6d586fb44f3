"""The `fastnet` command: train a network from a terminal, predict with it, look at it."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.util
import os
import platform
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

import fastnet
from fastnet import backends, cli_predict, cli_train
from fastnet.activations import ACTIVATIONS
from fastnet.backends.isa import INSTRUCTION_SETS, PACKAGE
from fastnet.cli_train import INTERRUPTED, LEARNING_RATES
from fastnet.network import load
from fastnet.optimizers import OPTIMIZERS

__all__ = ["main"]

_USER_ERROR = 2
_HIDDEN_ACTIVATIONS = [name for name in ACTIVATIONS if name not in ("step", "softmax")]


def _info(options: argparse.Namespace) -> int:
    """Print what this installation is, or what a model is."""
    if options.model is not None:
        print(cli_predict.describe(load(options.model)))
        return 0
    features = "unknown: no compiled kernels are installed"
    if importlib.util.find_spec(f"{PACKAGE}._system") is not None:
        found = importlib.import_module(f"{PACKAGE}._system").cpu_features()
        features = ", ".join(sorted(found)) or "none beyond the baseline"
    built = [one.name for one in INSTRUCTION_SETS if importlib.util.find_spec(one.module("float32"))]
    rows = {
        "fastnet": fastnet.__version__,
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "numpy": np.__version__,
        "backend": f"{backends.active()} (this machine can run: {', '.join(backends.available())})",
        "instruction sets": f"installed: {', '.join(built) or 'none'}; the CPU has: {features}",
        "threads": str(backends.get_num_threads()),
    }
    for name, value in rows.items():
        print(f"{name:<17} {value}")
    return 0


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(_USER_ERROR, f"fastnet: error: {message} (see: {self.prog} --help)\n")


def _hidden(text: str) -> tuple[int, ...]:
    """Return the sizes in ``64,32``; none for ``none``."""
    if text == "none":
        return ()
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = (0,)
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"is {text!r}; wanted sizes such as 64,32, or none")
    return sizes


def _count(text: str) -> int:
    """Return a whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"is {text!r}; wanted a whole number, at least 1")
    return int(text)


def _delimiter(text: str) -> str:
    """Return the character between fields; ``tab``, which is hard to type, is one."""
    return "\t" if text == "tab" else text


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="fastnet",
        description="Small and medium neural networks on the CPU, as fast as the machine can.",
        epilog="example: fastnet train digits",
    )
    parser.add_argument("--version", action="version", version=f"fastnet {fastnet.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Any, summary: str, examples: str) -> argparse.ArgumentParser:
        one = commands.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=f"examples:\n{examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        one.set_defaults(run=run)
        return one

    train = command(
        "train",
        cli_train.run,
        "train a network and write it with its learning curves",
        "  fastnet train digits\n"
        "  fastnet train mnist --data ~/mnist --hidden 256,128 --epochs 20\n"
        "  fastnet train houses.csv --target price --exclude id --output prices.safetensors",
    )
    _add_train_options(train)
    predict = command(
        "predict",
        cli_predict.run,
        "predict with a model and print the predictions as CSV",
        "  fastnet predict prices.safetensors new_houses.csv --output predicted.csv\n"
        "  fastnet predict mnist.safetensors t10k-images-idx3-ubyte.gz\n"
        "  fastnet predict digits.safetensors images.npy",
    )
    predict.add_argument("model", metavar="MODEL", help="a file that fastnet train or Network.save wrote")
    predict.add_argument(
        "file",
        metavar="FILE",
        help="a CSV file with the model's columns (others are ignored); or, for images, an IDX file or a "
        ".npy array, of pixels as in the training or of floats from 0 to 1",
    )
    predict.add_argument("--output", metavar="OUT.csv", help="where to write (default: print)")
    _add_delimiter(predict, "that of the training, or found")
    _add_machine_options(predict)
    info = command(
        "info",
        _info,
        "show version, backend and threads; or a model",
        "  fastnet info\n  fastnet info digits.safetensors",
    )
    info.add_argument("model", metavar="MODEL", nargs="?", help="a model file to describe")
    _add_machine_options(info)
    return parser


def _add_train_options(train: argparse.ArgumentParser) -> None:
    train.add_argument(
        "what", metavar="DATA", help="digits, mnist, or a CSV file whose first line names the columns"
    )
    data = train.add_argument_group("data")
    data.add_argument("--target", metavar="COLUMN", help="of a CSV file: the column to predict")
    data.add_argument(
        "--task",
        choices=("classification", "regression"),
        help="of a CSV file (default: found from the target: text and few different integers are classes)",
    )
    data.add_argument(
        "--exclude", metavar="COLUMN", action="append", default=[], help="leave a column out; can be repeated"
    )
    data.add_argument(
        "--categorical",
        metavar="COLUMN",
        action="append",
        default=[],
        help="take a column's values as categories, also where they are numbers; can be repeated",
    )
    _add_delimiter(data, "found from comma, semicolon, tab and bar")
    data.add_argument(
        "--data",
        metavar="FOLDER",
        help="of mnist: where its files are (default: FASTNET_DATA, or they are downloaded)",
    )
    data.add_argument(
        "--test", metavar="PART", type=float, help="part of the rows to hold out and test on (default: 0.25)"
    )
    network = train.add_argument_group("network")
    network.add_argument(
        "--hidden",
        metavar="SIZES",
        type=_hidden,
        help="hidden layers (default: digits 256,128, mnist 128,64, CSV files 64,32)",
    )
    network.add_argument(
        "--activation",
        choices=_HIDDEN_ACTIVATIONS,
        default="relu",
        help="of the hidden layers (default: relu)",
    )
    network.add_argument("--dropout", metavar="PART", type=float, help="default: 0.1; for digits 0.3")
    network.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", help="default: float32"
    )
    training = train.add_argument_group("training")
    training.add_argument("--optimizer", choices=tuple(OPTIMIZERS), help="default: adamw; for mnist sgd")
    rates = ", ".join(f"{name} {rate:g}" for name, rate in LEARNING_RATES.items())
    training.add_argument(
        "--learning-rate", metavar="RATE", type=float, help=f"the largest; default: {rates}"
    )
    training.add_argument(
        "--schedule",
        choices=("one-cycle", "cosine", "constant"),
        default="one-cycle",
        help="how the learning rate changes (default: one-cycle, a rise and a long fall)",
    )
    training.add_argument("--momentum", metavar="SHARE", type=float, help="of sgd (default: 0.9, Nesterov's)")
    training.add_argument(
        "--weight-decay",
        metavar="RATE",
        type=float,
        help="default: adamw 0.3 (digits, mnist: 0.01), others 0",
    )
    training.add_argument(
        "--epochs",
        metavar="N",
        type=_count,
        help="default: digits 60, mnist 10, CSV files 10 to 150 by their size",
    )
    training.add_argument(
        "--batch-size",
        metavar="N",
        type=_count,
        help="default: 32; mnist 64; large CSV files 128; rprop all rows",
    )
    training.add_argument(
        "--seed",
        metavar="N",
        type=int,
        default=0,
        help="of split, first weights, order and dropout (default: 0)",
    )
    output = train.add_argument_group("output")
    output.add_argument("--output", metavar="MODEL", help="default: DATA.safetensors in this folder")
    output.add_argument("--no-plot", action="store_true", help="do not draw the learning curves (MODEL.png)")
    output.add_argument("--quiet", action="store_true", help="print the test's result and nothing else")
    _add_machine_options(train)


def _add_delimiter(parser: argparse._ActionsContainer, default: str) -> None:
    parser.add_argument(
        "--delimiter",
        metavar="CHAR",
        type=_delimiter,
        help=f"of a CSV file: the character between fields, or the word tab (default: {default})",
    )


def _add_machine_options(parser: argparse.ArgumentParser) -> None:
    machine = parser.add_argument_group("machine")
    names = ", ".join(backends.available())
    machine.add_argument("--backend", metavar="NAME", help=f"one of {names} (default: {backends.active()})")
    machine.add_argument("--threads", metavar="N", type=_count, help="default: all CPUs it may use")


def _choose_backend(options: argparse.Namespace) -> None:
    if options.backend is not None:
        backends.use(options.backend)
    if options.threads is not None:
        backends.set_num_threads(options.threads)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"fastnet: warning: {message}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        0; 1 if the loss of a training ceased to be finite; 2 for a mistake of the user's, which one line on
        standard error explains; 130 after Ctrl-C.
    """
    try:
        options = _parser().parse_args(arguments)
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = _show_warning
            _choose_backend(options)
            return int(options.run(options))
    except SystemExit as stop:  # argparse: --help, --version and errors
        return stop.code if isinstance(stop.code, int) else 0
    except KeyboardInterrupt:
        print("fastnet: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        print("fastnet: error: there is not enough memory for this", file=sys.stderr)
        return _USER_ERROR
    except (ValueError, OSError, ImportError) as error:
        print(f"fastnet: error: {_one_line(error)}", file=sys.stderr)
        return _USER_ERROR


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())
