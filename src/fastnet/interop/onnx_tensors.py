"""Tensors of an ONNX file: their sizes are compared with what the file holds before an array is made."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnet.errors import FastnetFormatError

__all__ = ["TYPES", "shown", "tensor"]

TYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string",
    9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128",
    16: "bfloat16",
}  # fmt: skip
"""Types by their number in `TensorProto.DataType`; newer ones are all for quantized numbers."""

# What is read: how raw bytes are to be taken, and the field that has the values where there are no raw bytes.
_READ = {
    1: ("<f4", "float_data"),
    11: ("<f8", "double_data"),
    6: ("<i4", "int32_data"),
    7: ("<i8", "int64_data"),
    9: ("u1", "int32_data"),
}
_EXTERNAL = 1  # TensorProto.EXTERNAL
_MOST_DIMENSIONS = 8


def shown(text: object) -> str:
    """Return a name out of a file as a message may show it: quoted, and not long."""
    found = repr(text)
    return found if len(found) <= 80 else f"{found[:76]}...{found[-1]}"


def tensor(proto: Any, what: str) -> NDArray[Any]:
    """Return the values of a `TensorProto`, which may be float32, float64, int32, int64 or bool.

    Parameters
    ----------
    proto : onnx.TensorProto
        As it was parsed; nothing in it is trusted.
    what : str
        What messages call it.

    Raises
    ------
    FastnetFormatError
        It is kept outside of the file, is of another type, or its shape and its values contradict each other.
    """
    if proto.data_location == _EXTERNAL or len(proto.external_data):
        places = [entry.value for entry in proto.external_data if entry.key == "location"]
        place = shown(places[0]) if places else "not named"
        raise FastnetFormatError(
            f"{what} is kept in another file ({place}), and nothing outside of the model is read: "
            "write all into one file, as torch.onnx.export(..., external_data=False) does"
        )
    if proto.data_type not in _READ:
        kind = TYPES.get(proto.data_type, f"type {proto.data_type}")
        raise FastnetFormatError(f"{what} is {kind}; wanted float32 or float64")
    shape = tuple(proto.dims)
    if len(shape) > _MOST_DIMENSIONS or min(shape, default=1) < 1:
        raise FastnetFormatError(f"{what} has the shape {shown(shape)}; wanted at most 8 sizes of at least 1")
    count = math.prod(shape)
    dtype, field = _READ[proto.data_type]
    if proto.HasField("raw_data"):
        found, wanted, unit = len(proto.raw_data), count * np.dtype(dtype).itemsize, "bytes"
    else:
        found, wanted, unit = len(getattr(proto, field)), count, "values"
    if found != wanted or proto.HasField("segment"):
        raise FastnetFormatError(f"{what} has {found} {unit}; its shape {shape} needs {wanted}")
    if unit == "bytes":
        values = np.frombuffer(proto.raw_data, dtype)
    else:
        values = np.fromiter(getattr(proto, field), "<i4" if field == "int32_data" else dtype, count)
    return (values != 0 if dtype == "u1" else values).reshape(shape)
