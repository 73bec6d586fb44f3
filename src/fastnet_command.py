"""What the `fastnet` command starts: it can be stopped, and says what is wrong, while the package is loaded.

It stands beside the package because Python loads a package before any module inside.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings

__all__ = ["main"]

_USER_ERROR, _INTERRUPTED = 2, 130


def main() -> int:
    """Load the package and run the command; return its exit code, as `fastnet.cli.main` does."""
    # An exception would come out of whatever is being loaded, which may take it for an error of its own.
    # Where Ctrl-C is not Python's, as in the background, it is left as it is.
    guarded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if guarded:
        signal.signal(signal.SIGINT, lambda *_: os._exit(_INTERRUPTED))
    # `info` and the header of `train` say it.
    warnings.filterwarnings("ignore", "fastnet has no compiled kernels", RuntimeWarning)
    try:
        from fastnet.cli import main as command
    except ValueError as error:  # FASTNET_BACKEND or FASTNET_NUM_THREADS is wrong
        print(f"fastnet: error: {error}", file=sys.stderr)
        return _USER_ERROR
    finally:
        if guarded:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    return command()
