"""Models in and out: what other libraries and languages wrote, and what they can run."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the names of _LAZY
    from fastnet.interop.fann import from_fann
    from fastnet.interop.onnx_reader import from_onnx
    from fastnet.interop.sklearn import from_sklearn
    from fastnet.interop.torch import from_torch, to_torch

__all__ = ["from_fann", "from_onnx", "from_sklearn", "from_torch", "to_torch"]

# Each module is loaded when one of its names is first used.
_LAZY: dict[str, tuple[str, ...]] = {
    "fann": ("from_fann",),
    "onnx_reader": ("from_onnx",),
    "sklearn": ("from_sklearn",),
    "torch": ("from_torch", "to_torch"),
}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        for module, names in _LAZY.items():
            if name in names:
                return getattr(import_module(f"fastnet.interop.{module}"), name)
        raise AttributeError(f"module 'fastnet.interop' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
