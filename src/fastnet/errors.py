"""The exceptions and warnings that are fastnet's own.

Wrong arguments raise the built-in `ValueError` and `TypeError`; only what a caller may want to tell
apart from those has a class of its own.
"""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager

__all__ = [
    "DivergenceWarning",
    "FastnetFormatError",
    "GradientWarning",
    "MissingFileError",
    "OverfittingWarning",
    "check_target",
    "existing",
    "missing",
    "unknown",
    "warn",
]


class FastnetFormatError(ValueError):
    """A file is not what its format says: truncated, foreign, contradictory or of another version.

    A file that is not there at all is a `MissingFileError`.
    """


class MissingFileError(FileNotFoundError, FastnetFormatError):
    """There is no such file or folder: a `ValueError`, as all such trouble, and a `FileNotFoundError`."""


def unknown(kind: str, name: object, known: Collection[str]) -> str:
    """What an error says of a name that is not in a table, whose names are all in lower case."""
    from difflib import get_close_matches  # a millisecond that only a mistake is worth

    close = get_close_matches(str(name).lower(), known, 1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"unknown {kind} {name!r}{hint}; known: {', '.join(known)}"


def missing(what: str, library: str, extra: str) -> ImportError:
    """Return the error for `what`, for which a library is missing: it names the extra to install."""
    return ImportError(f"{what} needs {library}: pip install 'fastnet[{extra}]'", name=library)


@contextmanager
def existing(path: object) -> Iterator[None]:
    """Turn the `FileNotFoundError` of what is done inside into a `MissingFileError` that names the path."""
    try:
        yield
    except FileNotFoundError:
        raise MissingFileError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None


def check_target(path: str | os.PathLike[str]) -> None:
    """Check that a file can have this path: its folder is there, and the path is not a folder itself.

    Raises
    ------
    MissingFileError
        There is no such folder.
    IsADirectoryError
        The path is a folder.
    """
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise MissingFileError(errno.ENOENT, "there is no such folder to write to", folder)
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, "it is a folder; wanted the path of a file", os.fspath(path))


class DivergenceWarning(RuntimeWarning):
    """Training stopped because the loss was no longer finite; the last finite weights were restored."""


class OverfittingWarning(UserWarning):
    """The accuracy on the training data has left the accuracy on the validation data behind."""


class GradientWarning(UserWarning):
    """The gradients of a layer vanish or explode."""


def warn(message: str, category: type[Warning]) -> None:
    """Issue a warning that points to the line outside of this package that led to it."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("fastnet."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
