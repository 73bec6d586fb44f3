"""PyTorch: `torch.nn.Sequential` to a network and back.

A module is read by the exact classes of its parts and by their attributes; it is never called. A subclass may
do anything in its `forward`, so it is refused, and so are hooks, which may too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from fastnet.arrays import require_finite
from fastnet.checks import check_shape
from fastnet.errors import missing
from fastnet.interop.assemble import Part, assemble
from fastnet.layers import Dense, Dropout, Flatten, Layer
from fastnet.network import Network

if TYPE_CHECKING:
    from torch import nn

__all__ = ["from_torch", "to_torch"]

# Our names of activations, PyTorch's classes, and the settings with which they are the same function.
_ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("ReLU", {}),
    "leaky_relu": ("LeakyReLU", {"negative_slope": 0.01}),
    "elu": ("ELU", {"alpha": 1.0}),
    "gelu": ("GELU", {"approximate": "none"}),
    "silu": ("SiLU", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "softplus": ("Softplus", {"beta": 1.0, "threshold": 20.0}),
    "softmax": ("Softmax", {"dim": -1}),
}
_NAMES = {name: ours for ours, (name, _) in _ACTIVATIONS.items()}
_KINDS = ("Sequential", "Linear", "Dropout", "Flatten", "Identity", *_NAMES)

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")

_ADVICE = {
    "LogSoftmax": "write nn.Softmax(dim=1) in its place, and train with loss='cross_entropy'",
    "BatchNorm1d": "torch.nn.utils.fusion.fuse_linear_bn_eval makes one Linear of it and the one before",
    "LazyLinear": "call the module once, on a batch, which makes it a Linear",
    "ParametrizedLinear": "torch.nn.utils.parametrize.remove_parametrizations makes it a Linear",
}

_WAY_OUT = (
    ", as the forward of another class may do anything: write it as a Sequential, or give "
    "fastnet.from_onnx what torch.onnx.export makes of it"
)


def from_torch(module: nn.Module, inputs: int | Sequence[int] | None = None) -> Network:
    """Return a network that computes what a PyTorch module computes, with copies of its weights.

    Parameters
    ----------
    module : torch.nn.Sequential or torch.nn.Linear
        Of Linear, each with an activation after it or none, Flatten, Dropout, Identity and further
        Sequential. Activations are ReLU, LeakyReLU, ELU, GELU, SiLU, Sigmoid, Tanh, Softplus and Softmax, as
        they are by default. Parameters are float32 or float64, on any device. It is not changed.
    inputs : int or tuple of int, optional
        Shape of one sample. None takes it from the first Linear; a module that begins with Flatten does not
        know it: give ``(1, 28, 28)``, say.

    Returns
    -------
    Network
        Of the module's dtype. Dropout has the module's rates and is at work in training only, whatever mode
        the module is in.

    Raises
    ------
    ImportError
        PyTorch is not installed.
    TypeError
        It is no such module.
    ValueError
        A part cannot be expressed, which the message names with its place; or `inputs` is missing or wrong,
        or a weight is not finite.

    Notes
    -----
    PyTorch's Softplus is linear above 20, where it differs by less than 3e-9. `requires_grad` is not kept:
    all layers can be trained.
    """
    torch = _torch("reading PyTorch's modules")
    if _kind(torch, module) not in ("Sequential", "Linear"):
        raise TypeError(
            f"module is a {_full_name(module)}; wanted a torch.nn.Sequential or torch.nn.Linear"
            + _WAY_OUT * isinstance(module, torch.nn.Module)
        )
    parts: list[Part] = []
    previous = "the input"
    leaves = list(_leaves(torch, module, "module"))
    _check_own(leaves)
    for where, leaf in leaves:
        kind = _kind(torch, leaf)
        if kind == "Linear":
            parts.append(_dense(torch, leaf, where, _width(parts)))
        elif kind in _NAMES:
            parts.append(_activated(parts, leaf, where, previous))
        elif kind == "Dropout":
            parts.append(Part(_dropout(leaf, where)))
        elif kind == "Flatten":
            flatten = Part(_flatten(leaf, where))
            parts += [] if _width(parts) else [flatten]  # what a Linear gives is flat
        previous = previous if kind in ("Flatten", "Identity") else where
    if not parts:
        raise ValueError("module has no layers; wanted at least one")
    dtypes = {values.dtype for part in parts for values in part[1:] if values is not None}
    if len(dtypes) > 1:
        raise ValueError("module has float32 and float64 parameters; wanted one dtype: module.float()")
    return assemble(parts, _input_shape(parts, inputs), *dtypes)


def to_torch(network: Network) -> nn.Sequential:
    """Return a PyTorch module that computes what a network computes, with copies of its parameters.

    Parameters
    ----------
    network : Network
        It is not changed.

    Returns
    -------
    torch.nn.Sequential
        On the CPU, of the network's dtype, in evaluation mode: dropout does nothing, as in `predict`, until
        ``module.train()``. It takes batches, (N, ...); a Flatten begins it where samples are not flat.

    Raises
    ------
    ImportError
        PyTorch is not installed.
    ValueError
        PyTorch has no module for a layer: for the activations "step" and "exp". The message names it.
    """
    torch = _torch("writing PyTorch's modules")
    modules: list[nn.Module] = []
    flat = len(network.input_shape) == 1
    for index, layer in enumerate(network.layers):
        if isinstance(layer, Dense):
            if layer.activation not in ("identity", *_ACTIVATIONS):
                raise ValueError(f"layers[{index}] ({layer!r}): PyTorch has no {layer.activation!r}")
            modules.append(_linear(torch, layer))
            if layer.activation != "identity":
                name, settings = _ACTIVATIONS[layer.activation]
                modules.append(getattr(torch.nn, name)(**settings))
        elif isinstance(layer, Dropout):
            modules.append(torch.nn.Dropout(layer.rate))
        elif not isinstance(layer, Flatten):
            raise ValueError(f"layers[{index}] ({layer!r}): there is no module to express it by")
        elif not flat:
            modules.append(torch.nn.Flatten())
            flat = True
    whole: nn.Sequential = torch.nn.Sequential(*modules).eval()
    return whole


def _torch(what: str) -> Any:
    try:
        import torch
    except ImportError:
        raise missing(what, "PyTorch", "torch") from None
    return torch


# ---- reading ------------------------------------------------------------------------------------------


def _kind(torch: Any, module: object) -> str:
    """Return the name of a module's class in `torch.nn`; of any other class, even a subclass, ``""``."""
    name = type(module).__name__
    return name if type(module) is getattr(torch.nn, name, None) else ""


def _full_name(module: object) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


def _refusal(module: object, where: str) -> str:
    """What an error says of a part that cannot be expressed."""
    name = type(module).__name__
    if name in _ADVICE:
        return f"{where} cannot be expressed: {_ADVICE[name]}"
    found, known = _full_name(module), ", ".join(_KINDS)
    return f"{where} cannot be expressed: it is a {found}; wanted one of torch.nn's {known} (no subclass)"


def _leaves(torch: Any, module: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Yield each part with its place and class, through sequences in sequences, all of `_KINDS`."""
    where = f"{place} ({type(module).__name__})"
    if _kind(torch, module) not in _KINDS:
        raise ValueError(_refusal(module, where))
    hooks = [name for name in _HOOKS if getattr(module, name)]
    if hooks or "forward" in vars(module):
        found = hooks[0] if hooks else "a forward of its own"
        raise ValueError(f"{where} has {found}, which may do anything; remove it first")
    if _kind(torch, module) != "Sequential":
        yield where, module
        return
    for index, child in enumerate(module):
        yield from _leaves(torch, child, f"{place}[{index}]")


def _width(parts: Sequence[Part]) -> int:
    """Return how many values the last Linear so far gives; 0 where there is none."""
    return next((part.layer.units for part in reversed(parts) if isinstance(part.layer, Dense)), 0)


def _dense(torch: Any, linear: Any, where: str, width: int) -> Part:
    """Return a Linear as a layer; `width` values come in, 0 where that is not known."""
    weight = _array(torch, linear.weight, f"{where}: weight")
    if weight.ndim != 2:  # as of a Linear that was given another one
        raise ValueError(f"{where}: weight has shape {weight.shape}; wanted (outputs, inputs)")
    bias = None if linear.bias is None else _array(torch, linear.bias, f"{where}: bias")
    if width not in (0, weight.shape[1]):
        raise ValueError(f"{where} takes {weight.shape[1]} values; the Linear before it gives {width}")
    return Part(Dense(len(weight), bias=bias is not None), weight.T, bias)


def _array(torch: Any, tensor: Any, name: str) -> NDArray[Any]:
    """Return a tensor as a finite array, which may share its memory."""
    if tensor.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{name} is {tensor.dtype}; wanted torch.float32 or torch.float64: module.float()")
    if tensor.is_meta or tensor.layout != torch.strided:
        raise ValueError(f"{name} is on {tensor.device}, {tensor.layout}; wanted a dense tensor with values")
    values: NDArray[Any] = tensor.detach().cpu().numpy()
    require_finite(name, values)
    return values


def _activated(parts: list[Part], module: Any, where: str, previous: str) -> Part:
    """Take the Linear that stands before off `parts`, and return it with an activation."""
    ours = _NAMES[type(module).__name__]
    for name, wanted in _ACTIVATIONS[ours][1].items():
        found = getattr(module, name)
        if found != wanted and (name, found) != ("dim", 1):
            raise ValueError(
                f"{where} has {name}={found!r}; {ours!r} is the same with {name}={wanted!r} only"
            )
    if not previous.endswith("(Linear)"):
        raise ValueError(f"{where} comes after {previous}; here an activation comes right after a Linear")
    layer, weights, bias = parts.pop()
    assert isinstance(layer, Dense)
    return Part(Dense(layer.units, ours, bias=layer.has_bias), weights, bias)


def _dropout(module: Any, where: str) -> Layer:
    if not 0 <= module.p < 1:
        raise ValueError(f"{where} has p={module.p:g}; wanted the part of the values to drop, below 1")
    return Dropout(float(module.p))


def _flatten(module: Any, where: str) -> Layer:
    if (module.start_dim, module.end_dim) != (1, -1):
        found = f"start_dim={module.start_dim}, end_dim={module.end_dim}"
        raise ValueError(f"{where} has {found}; wanted nn.Flatten(), from 1 to -1")
    return Flatten()


def _input_shape(parts: Sequence[Part], inputs: int | Sequence[int] | None) -> tuple[int, ...]:
    """Return the shape of one sample: the one that was given, or what the first Linear takes."""
    features = next((len(part.weights) for part in parts if part.weights is not None), None)
    if inputs is None:
        if features is None or any(isinstance(part.layer, Flatten) for part in parts):
            found = "has no Linear" if features is None else f"flattens what comes in, {features} values"
            raise ValueError(f"module {found}, so inputs is needed: the shape of one sample, say (1, 28, 28)")
        return (features,)
    shape = check_shape(inputs)
    if features is not None and math.prod(shape) != features:
        raise ValueError(f"inputs is {inputs}, {math.prod(shape)} values; the first Linear takes {features}")
    return shape


def _check_own(leaves: Sequence[tuple[str, Any]]) -> None:
    """Check that no parameter belongs to two layers."""
    owners: dict[int, str] = {}
    for where, leaf in leaves:
        for name, parameter in leaf.named_parameters(recurse=False):
            if id(parameter) in owners:
                raise ValueError(
                    f"{where} has its {name} in common with {owners[id(parameter)]}; wanted one of its own"
                )
            owners[id(parameter)] = where


# ---- writing ------------------------------------------------------------------------------------------


def _linear(torch: Any, layer: Dense) -> Any:
    """Return a Linear with copies of a layer's parameters; no random numbers are drawn for it."""
    size, weights, bias = layer.weights.shape, layer.weights, layer.bias
    linear = torch.nn.Linear(*size, bias=bias is not None, device="meta")
    linear.weight = torch.nn.Parameter(torch.from_numpy(weights.T.copy()))
    if bias is not None:
        linear.bias = torch.nn.Parameter(torch.from_numpy(bias.copy()))
    return linear
