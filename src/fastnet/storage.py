"""The file format: safetensors files, with what the tensors mean as JSON in their metadata.

A file's metadata has ``format`` ("fastnet"), ``format_version``, ``kind`` ("network" or "checkpoint") and
``description``, JSON. Nothing in a file is ever executed, and nothing is allocated before the sizes that it
declares have been compared with those that its description calls for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

from numpy.typing import NDArray

from fastnet.errors import FastnetFormatError, check_target, existing

__all__ = ["FORMAT_VERSION", "TensorKind", "read", "replace_file", "write"]

FORMAT = "fastnet"
FORMAT_VERSION = 1
"""Grows when a file of the new version cannot be read by an older fastnet."""

TensorKind: TypeAlias = tuple[tuple[int, ...], str]
"""Shape and dtype of a tensor: ``((784, 128), "float32")``."""

_DTYPES = {"float32": "F32", "float64": "F64"}  # numpy's name: safetensors' name


def write(
    path: str | os.PathLike[str],
    kind: str,
    description: Mapping[str, Any],
    tensors: Mapping[str, NDArray[Any]],
) -> None:
    """Write a file, whole or not at all: under a name of its own first, then moved into place.

    Parameters
    ----------
    path : path-like
        Replaced if it exists.
    kind : str
        What the file holds: ``"network"`` or ``"checkpoint"``.
    description : mapping
        JSON-able; says what the tensors mean.
    tensors : mapping of str to ndarray
        float32 or float64, C-contiguous.

    Raises
    ------
    TypeError, ValueError
        The description cannot be written as JSON.
    OSError
        The file cannot be written; one that was there is as before.
    """
    from safetensors.numpy import save

    try:
        text = json.dumps(description, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"a {kind} with this in its metadata cannot be written as JSON: {error}") from None
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "kind": kind,
        "description": text,
    }
    content = save(dict(tensors), metadata)
    replace_file(path, content)


def replace_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file of any format, whole or not at all: under a name of its own first, then moved into place.

    Raises
    ------
    OSError
        The file cannot be written; one that was there is as before.
    """
    target = os.path.realpath(os.fspath(path))  # a link stays a link
    check_target(target)
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{os.urandom(6).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def read(
    path: str | os.PathLike[str],
    kinds: Collection[str],
    expect: Callable[[str, dict[str, Any]], Mapping[str, TensorKind]],
) -> tuple[str, dict[str, Any], dict[str, NDArray[Any]]]:
    """Read a file that `write` wrote.

    Parameters
    ----------
    path : path-like
        The file.
    kinds : collection of str
        The kinds of file that are welcome.
    expect : callable
        ``(kind, description) -> {name: (shape, dtype)}``: the tensors that the file must hold, exactly. It
        checks the description too: what it raises is reported as trouble with the file.

    Returns
    -------
    kind : str
        One of `kinds`.
    description : dict
        As it was written.
    tensors : dict of str to ndarray
        Those that `expect` named.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    FastnetFormatError
        It is no file of this format, or is damaged; the message names the file and the trouble.
    """
    from safetensors import SafetensorError, safe_open

    name = os.fspath(path)
    with existing(name), open(name, "rb"):  # an unreadable file is the operating system's error
        pass
    try:
        with safe_open(name, framework="numpy") as file:
            kind, description = _head(file.metadata() or {}, kinds)
            wanted = _expected(expect, kind, description)
            _compare(file, wanted)
            return kind, description, {key: file.get_tensor(key) for key in wanted}
    except SafetensorError as error:
        raise FastnetFormatError(f"{name}: not a safetensors file, or a damaged one ({error})") from None
    except FastnetFormatError as error:
        raise FastnetFormatError(f"{name}: {error}") from None


def _head(metadata: Mapping[str, str], kinds: Collection[str]) -> tuple[str, dict[str, Any]]:
    """Return kind and description from a file's metadata."""
    if metadata.get("format") != FORMAT:
        raise FastnetFormatError("a safetensors file, but not one that fastnet wrote")
    version = metadata.get("format_version", "")
    if not version.isdecimal() or not 1 <= len(version) <= 9:
        raise FastnetFormatError(f"its format version is {version[:20]!r}; wanted a number")
    if int(version) > FORMAT_VERSION:
        raise FastnetFormatError(
            f"its format version is {version}; this fastnet reads up to {FORMAT_VERSION}: install a newer one"
        )
    kind = metadata.get("kind", "")
    if kind not in kinds:
        hint = ": read it with Trainer.load" if kind == "checkpoint" else ""
        hint = ": read it with fastnet.load" if kind == "network" else hint
        found = f"a {kind[:20]}" if kind else "neither network nor checkpoint"
        raise FastnetFormatError(f"it holds {found}; wanted a {' or a '.join(kinds)}{hint}")
    try:
        description = json.loads(metadata.get("description", ""))
    except (ValueError, RecursionError) as error:
        raise FastnetFormatError(f"its description is not JSON: {error}") from None
    if not isinstance(description, dict):
        raise FastnetFormatError(f"its description is a {type(description).__name__}; wanted an object")
    return kind, description


def _expected(
    expect: Callable[[str, dict[str, Any]], Mapping[str, TensorKind]], kind: str, description: dict[str, Any]
) -> Mapping[str, TensorKind]:
    """Call `expect`, and report what it raises as trouble with the file."""
    try:
        return expect(kind, description)
    except KeyError as error:
        raise FastnetFormatError(f"its description lacks {error}") from None
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise FastnetFormatError(f"its description is wrong: {error}") from None


def _compare(file: Any, wanted: Mapping[str, TensorKind]) -> None:
    """Compare names, shapes and dtypes of a file's tensors with those it should have."""
    found = set(file.keys())
    for word, names in (("lacks", wanted.keys() - found), ("has an unknown", found - wanted.keys())):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise FastnetFormatError(f"it {word} tensor {min(names)!r}{more}")
    for name, (shape, dtype) in wanted.items():
        tensor = file.get_slice(name)
        if tuple(tensor.get_shape()) != tuple(shape):
            raise FastnetFormatError(
                f"tensor {name!r} has shape {tuple(tensor.get_shape())}; wanted {tuple(shape)}"
            )
        if tensor.get_dtype() != _DTYPES[dtype]:
            raise FastnetFormatError(
                f"tensor {name!r} is {tensor.get_dtype()}; wanted {_DTYPES[dtype]}, {dtype}"
            )
