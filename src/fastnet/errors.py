"""The exceptions and warnings that are fastnet's own.

Wrong arguments raise the built-in `ValueError` and `TypeError`; only what a caller may want to tell
apart from those has a class of its own.
"""

from __future__ import annotations

import sys
import warnings

__all__ = ["DivergenceWarning", "FastnetFormatError", "GradientWarning", "OverfittingWarning", "warn"]


class FastnetFormatError(ValueError):
    """A file is not what its format says: truncated, foreign, contradictory or of another version.

    A file that is not there at all raises `FileNotFoundError` instead.
    """


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
