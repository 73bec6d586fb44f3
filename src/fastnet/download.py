"""Fetching a published file once, into a folder, checked against its SHA-256 sum."""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path

__all__ = ["cache_folder", "fetch"]

_CHUNK = 1 << 16
_MAXIMUM_BYTES = 1 << 28  # more than any file asked for here; an endless answer does not fill the disk


def cache_folder() -> Path:
    """Return the folder for downloads: FASTNET_CACHE, else XDG_CACHE_HOME/fastnet, else ~/.cache/fastnet."""
    if own := os.environ.get("FASTNET_CACHE"):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "fastnet"


def fetch(name: str, folder: Path, *, urls: Sequence[str], sha256: str, timeout: float = 30.0) -> Path:
    """Return the path of a file in `folder`, downloading it unless it is there and whole.

    Parameters
    ----------
    name : str
        The file's name, in the folder and on the servers.
    folder : Path
        Made if it is not there.
    urls : sequence of str
        Base addresses of mirrors, tried in this order.
    sha256 : str
        The file's SHA-256 sum in hexadecimal.
    timeout : float, default 30
        Seconds to wait for a server to answer or to send more.

    Raises
    ------
    OSError
        If no mirror sends the file with this sum; the message says what each did. `folder` is left
        without a file of this name then: it appears in one step, after its sum was checked.
    """
    path = folder / name
    if path.is_file():
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                return path
        path.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    failures = []
    for base in urls:
        url = f"{base.rstrip('/')}/{name}"
        try:
            _download(url, path, sha256, timeout)
        except (OSError, http.client.HTTPException, ValueError) as error:
            failures.append(f"{url}: {error}")
        else:
            return path
    raise OSError(f"{name} could not be downloaded: {'; '.join(failures) or 'no address is given'}")


def _download(url: str, path: Path, sha256: str, timeout: float) -> None:
    """Download to a temporary file beside `path` and rename it once its sum is right."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file, urllib.request.urlopen(url, timeout=timeout) as response:
            digest = hashlib.sha256()
            received = 0
            while chunk := response.read(_CHUNK):
                digest.update(chunk)
                file.write(chunk)
                received += len(chunk)
                if received > _MAXIMUM_BYTES:
                    raise OSError(f"more than {_MAXIMUM_BYTES} bytes came")
            announced = response.headers.get("Content-Length")
        if announced is not None and received != int(announced):
            raise OSError(f"{received} of {announced} bytes came")
        if digest.hexdigest() != sha256:
            raise OSError(f"the SHA-256 sum of what came is {digest.hexdigest()}; wanted {sha256}")
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
