"""Reading IDX files, the format in which MNIST and its relatives are published.

The layout: two zero bytes, a type code, the number of dimensions, each size as a big-endian 32-bit
integer, then the values, big-endian, in C order (http://yann.lecun.com/exdb/mnist/). Files come from
anywhere, so nothing in a header is believed before the length of the file agrees with it.
"""

from __future__ import annotations

import gzip
import io
import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastnet.errors import FastnetFormatError, existing

__all__ = ["read_idx"]

_Stream: TypeAlias = io.BufferedReader | gzip.GzipFile

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"
# Deflate spends at least one bit on 129 bytes, so no gzip file unpacks to more than this many times its size.
_GZIP_MAXIMUM_RATIO = 1032
_MAXIMUM_DIMENSIONS = 8
_CHUNK = 1 << 20


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read an IDX file, gzipped or not, into an array.

    Parameters
    ----------
    path : str or path-like
        Whether it is gzipped is seen from its content, not its name.

    Returns
    -------
    ndarray
        Of the file's shape and type, in native byte order.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FastnetFormatError
        If it is not a whole IDX file: another magic number or type, an empty or absurd shape, fewer or
        more bytes than the shape needs, damaged gzip data.
    """
    path = Path(path)
    with existing(path), path.open("rb") as file:
        packed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        longest = path.stat().st_size * (_GZIP_MAXIMUM_RATIO if packed else 1)
        if not packed:
            return _read(file, path, longest)
        try:
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read(unpacked, path, longest)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FastnetFormatError(f"{path} is damaged gzip data: {error}") from error


def _read(stream: _Stream, path: Path, longest: int) -> NDArray[Any]:
    """Read the array from a stream that cannot hold more than `longest` bytes."""
    shape, dtype = _read_header(stream, path)
    size = math.prod(shape) * dtype.itemsize
    if size > longest:
        raise FastnetFormatError(f"{path} is truncated: shape {shape} needs {size} bytes of values")
    # Chunk by chunk: a single read of `size` would allocate what the header merely claims.
    values = bytearray()
    while len(values) < size:
        chunk = stream.read(min(_CHUNK, size - len(values)))
        if not chunk:
            raise FastnetFormatError(
                f"{path} is truncated: it holds {len(values)} bytes of values; shape {shape} needs {size}"
            )
        values += chunk
    if stream.read(1):
        raise FastnetFormatError(f"{path} goes on after the {size} bytes of values that shape {shape} needs")
    array = np.frombuffer(values, dtype=dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_header(stream: _Stream, path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES:
        raise FastnetFormatError(
            f"{path} is not an IDX file: it begins with {magic.hex(' ') or 'nothing'}; "
            "wanted 00 00, a type from 08 to 0e and the number of dimensions"
        )
    dimensions = magic[3]
    if not 1 <= dimensions <= _MAXIMUM_DIMENSIONS:
        raise FastnetFormatError(f"{path} has {dimensions} dimensions; wanted 1 to {_MAXIMUM_DIMENSIONS}")
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise FastnetFormatError(f"{path} is truncated: it ends in the header")
    shape = struct.unpack(f">{dimensions}I", sizes)
    if 0 in shape:
        raise FastnetFormatError(f"{path} has shape {shape}; wanted no empty dimension")
    return shape, np.dtype(_TYPES[magic[2]])
