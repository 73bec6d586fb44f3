"""The network: layers, one flat vector of parameters, and what can be done with them."""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike, DTypeLike

from fastnet import backends, evaluation
from fastnet.architecture import Summary, check_layers, expected_tensors, lower, parse, slot_name, summarize
from fastnet.arrays import aligned_zeros, as_numbers, require_finite
from fastnet.checks import (
    Array,
    ClassWeight,
    LossSpec,
    check_dtype,
    check_inputs,
    check_loss,
    check_metric,
    check_samples,
    check_seed,
    check_shape,
    check_targets,
    check_weights,
)
from fastnet.layers import Dense, Dropout, Layer
from fastnet.losses import Loss

if TYPE_CHECKING:
    from torch import nn

    from fastnet.callbacks import Callback
    from fastnet.data import Dataset
    from fastnet.history import History
    from fastnet.metrics import Metric
    from fastnet.optimizers import Optimizer

__all__ = ["Network", "load", "mlp"]


class Network:
    """A feed-forward network.

    Parameters
    ----------
    layers : iterable of Layer
        From the input's side to the output's, at least one. They are copied: the network's own, with the
        weights, are in `layers`.
    inputs : int or tuple of int
        Number of features, or the shape of one sample, such as ``(1, 28, 28)``.
    dtype : {"float32", "float64"}
        Of parameters, inputs and outputs.
    seed : int, optional
        Of the first weights, 0 .. 2**63 - 1. None draws one, which is then in `seed`.

    Attributes
    ----------
    layers : tuple of Layer
        With live, writable views: ``net.layers[0].weights``.
    graph : Graph
        The operations that the layers come to.
    dtype : numpy.dtype
        float32 or float64.
    seed : int
        As given, or as drawn.
    history : History or None
        What the last `fit` recorded.
    metadata : dict
        Anything JSON-able; saved with the network.

    Raises
    ------
    TypeError, ValueError
        An argument is not of its kind, or a layer does not fit the one before; the message names the layer.

    Examples
    --------
    >>> net = Network([Dense(3, "tanh"), Dense(1)], inputs=2, seed=0)
    >>> net.predict([[0.0, 0.0], [1.0, 2.0]]).shape
    (2, 1)
    """

    def __init__(
        self,
        layers: Iterable[Layer],
        inputs: int | Sequence[int],
        dtype: DTypeLike = "float32",
        seed: int | None = None,
    ) -> None:
        recipes = check_layers(layers)
        self._assemble(recipes, check_shape(inputs), check_dtype(dtype), check_seed(seed))
        rng = np.random.Generator(np.random.PCG64(self.seed))
        for index, layer in enumerate(self.layers):
            try:
                layer.initialize(rng, self._parameters)
            except ValueError as error:
                raise ValueError(f"layers[{index}] ({type(layer).__name__}): {error}") from None

    def _assemble(
        self, layers: Sequence[Layer], shape: tuple[int, ...], dtype: np.dtype[Any], seed: int
    ) -> None:
        """Lower the layers and give them their views; all parameters are 0."""
        self.layers, self.graph, _ = lower(layers, shape)
        self.dtype, self.seed = dtype, seed
        self.history: History | None = None
        self.metadata: dict[str, Any] = {}
        self._parameters = aligned_zeros((self.graph.parameter_count,), dtype)
        for layer in self.layers:
            layer.bind(self._parameters)
        self._connection: tuple[int, Any, Any] = (-1, None, None)

    # ---- what it is

    @property
    def parameters(self) -> Array:
        """All weights and biases, (P,), layer by layer: live, writable; setting it copies values in."""
        return self._parameters

    @parameters.setter
    def parameters(self, values: ArrayLike) -> None:
        if values is self._parameters:  # as after ``net.parameters -= step``
            return
        array = as_numbers("parameters", values)
        if array.shape != self._parameters.shape:
            raise ValueError(
                f"parameters has shape {array.shape}; the network's have {self._parameters.shape}"
            )
        require_finite("parameters", array)
        self._parameters[...] = array

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample of the input."""
        return self.graph.shapes[0]

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one sample of the output."""
        return self.graph.shapes[self.graph.output]

    def config(self) -> dict[str, Any]:
        """Return a JSON-able description of everything but the parameters."""
        return {
            "inputs": list(self.input_shape),
            "dtype": self.dtype.name,
            "seed": self.seed,
            "layers": [layer.config() for layer in self.layers],
            "metadata": self.metadata,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], values: Mapping[str, ArrayLike] | None = None) -> Network:
        """Make the network that `config` described, with the values of its slots by name."""
        layers, shape, dtype, seed = parse(config)
        network = cls.__new__(cls)
        network._assemble(layers, shape, dtype, seed)
        network.metadata = copy.deepcopy(dict(config["metadata"]))
        for name, view in network.tensors().items():
            if values is not None:
                view[...] = values[name]
        return network

    def tensors(self) -> dict[str, Array]:
        """Return a view of each slot by the name that files know it by."""
        return {
            slot_name(slot): self._parameters[slot.offset : slot.offset + slot.size].reshape(slot.shape)
            for slot in self.graph.slots
        }

    def __repr__(self) -> str:
        shape = self.input_shape
        inputs = shape[0] if len(shape) == 1 else shape
        return f"Network({list(self.layers)!r}, inputs={inputs}, dtype={self.dtype.name!r})"

    def summary(self) -> Summary:
        """Return a table of the layers: output shapes and numbers of parameters.

        Returns
        -------
        Summary
            A str that prints well, also as the value of a prompt or a notebook's cell.
        """
        return summarize(self.layers, self.graph, self.dtype)

    # ---- running it

    def executor(self, **options: Any) -> Any:
        """Return a new executor of the active backend for this network; see `fastnet.backends.reference`.

        Parameters
        ----------
        **options
            Passed on: loss, metric, optimizer, gradients, batch_size and so on.
        """
        return backends.kernels(self.dtype).Executor(
            self.graph, self._parameters, threads=backends.get_num_threads(), **options
        )

    def _connect(self) -> tuple[int, Any, Any]:
        """Return (version of the backends, fast path, executor), renewed where the backend was switched.

        One tuple is replaced by another, so that threads which get here together all see whole ones.
        """
        version = backends.version()
        if self._connection[0] != version:
            executor = self.executor()
            plain = executor.predict_plain if len(self.input_shape) == 1 else _no_fast_path
            self._connection = (version, plain, executor)
        return self._connection

    def predict(self, x: ArrayLike) -> Array:
        """Return the network's output; dropout does nothing here.

        Parameters
        ----------
        x : array_like, (N, inputs) or (inputs,)
            Samples, or a single one; an array of the network's dtype is the fastest way.

        Returns
        -------
        ndarray, (N, outputs) or (outputs,)
            New, of the network's dtype.

        Raises
        ------
        TypeError
            `x` is not made of numbers.
        ValueError
            `x` has another shape, or holds NaN or infinity.
        """
        version, plain, _ = self._connection
        if version != backends.version():
            plain = self._connect()[1]
        # Only of a plain array: the fast path would not see the mask of a masked one.
        output: Array | None = plain(x) if x.__class__ is ndarray else None
        return self._predict(x) if output is None else output

    __call__ = predict

    def _predict(self, x: ArrayLike) -> Array:
        """Predict what the fast path does not take."""
        array = as_numbers("x", x)
        shape = self.input_shape
        single = array.shape == shape
        array = array[None] if single else array
        rows = check_inputs(array, shape, self.dtype, finite=False)
        out, finite = evaluation.predict(self._connect()[2], self.graph, rows)
        if not finite:
            check_inputs(array, shape, self.dtype)  # which says where
        return out.reshape(self.output_shape if single else (len(rows), *self.output_shape))

    def loss_and_gradients(
        self,
        x: ArrayLike,
        y: ArrayLike,
        loss: LossSpec = "cross_entropy",
        sample_weight: ArrayLike | None = None,
        training: bool = False,
    ) -> tuple[float, Array]:
        """Return the loss over these samples and its gradient; nothing is changed.

        Parameters
        ----------
        x : array_like, (N, inputs)
            Samples, at least one.
        y : array_like, (N, outputs) or labels (N,)
            Their targets.
        loss : str, Loss or callable
            A name in `fastnet.losses.LOSSES`, or a function ``(output, target) -> (value, d_output)``.
        sample_weight : array_like, (N,), optional
            Weights of the samples.
        training : bool
            Whether dropout acts; its masks are then those of the first training step.

        Returns
        -------
        loss : float
            The value.
        gradients : ndarray (P,)
            New; in the order of `parameters`.

        Raises
        ------
        TypeError, ValueError
            An argument is wrong.
        """
        found = check_loss(loss, self.graph)
        rows = check_samples(x, self.input_shape, self.dtype)
        targets = check_targets(y, len(rows), found, self.graph, self.dtype)
        weight = check_weights(sample_weight, None, targets, found, self.graph, self.dtype)
        gradients = np.zeros_like(self._parameters)
        executor = self.executor(
            **evaluation.loss_options(found), gradients=gradients, batch_size=len(rows), seed=self.seed
        )
        if isinstance(found, Loss):
            return executor.loss_and_gradients(rows, targets, weight, training), gradients
        value, slope = evaluation.call_loss(found, executor.forward(rows, training, 1).copy(), targets)
        executor.backward(slope)
        return value, gradients

    def evaluate(
        self,
        x: ArrayLike,
        y: ArrayLike,
        loss: LossSpec = "cross_entropy",
        metrics: Collection[str | Metric] = ("accuracy",),
        sample_weight: ArrayLike | None = None,
    ) -> dict[str, float]:
        """Return the loss and other measures over these samples.

        Parameters
        ----------
        x : array_like, (N, inputs)
            Samples, at least one.
        y : array_like, (N, outputs) or labels (N,)
            Their targets.
        loss : str, Loss or callable
            As in `fit`.
        metrics : collection of str or callable
            Names in `fastnet.metrics.METRICS`, or such functions. "accuracy" is left out where it means
            nothing: for losses and outputs that do not classify.
        sample_weight : array_like, (N,), optional
            Weights of the samples.

        Returns
        -------
        dict of str to float
            ``"loss"``, then the metrics by name.

        Raises
        ------
        TypeError, ValueError
            An argument is wrong.
        """
        if isinstance(metrics, str):
            raise TypeError(f"metrics is {metrics!r}; wanted a collection such as ({metrics!r},)")
        from fastnet import metrics as metric_table

        measures = {
            one if isinstance(one, str) else getattr(one, "__name__", repr(one)): metric_table.get(one)
            for one in metrics
        }
        found = check_loss(loss, self.graph)
        rows = check_samples(x, self.input_shape, self.dtype)
        targets = check_targets(y, len(rows), found, self.graph, self.dtype)
        weight = check_weights(sample_weight, None, targets, found, self.graph, self.dtype)
        counted = check_metric(found, self.graph, targets)
        executor = self.executor(**evaluation.loss_options(found), metric=counted)
        value, accuracy = evaluation.evaluate(executor, self.graph, found, rows, targets, weight)
        results = {"loss": value}
        output = None
        for name, measure in measures.items():
            if name == "accuracy" and (accuracy is None or weight is None):
                results |= {} if accuracy is None else {name: accuracy}
                continue
            output = evaluation.predict(executor, self.graph, rows)[0] if output is None else output
            results[name] = measure(output, targets, weight)
        return results

    # ---- training it

    def fit(
        self,
        x: ArrayLike,
        y: ArrayLike,
        loss: LossSpec = "cross_entropy",
        optimizer: Optimizer | str | None = None,
        epochs: int = 10,
        batch_size: int = 64,
        validation: tuple[ArrayLike, ArrayLike] | Dataset | None = None,
        shuffle: bool = True,
        sample_weight: ArrayLike | None = None,
        class_weight: ClassWeight | None = None,
        callbacks: Iterable[Callback] = (),
        verbose: int | None = None,
        seed: int | None = None,
    ) -> History:
        """Train the network; each call is a run of its own. To go on with a run, see `fastnet.Trainer`.

        Parameters
        ----------
        x : array_like, (N, inputs)
            Samples, at least one.
        y : array_like, (N, outputs) or labels (N,)
            Their targets: for "cross_entropy" integer labels or rows of probabilities, else (N, outputs), or
            (N,) where there is one output.
        loss : str, Loss or callable
            A name in `fastnet.losses.LOSSES`, or a function ``(output, target) -> (value, d_output)``.
        optimizer : Optimizer or str, optional
            None is plain stochastic gradient descent, ``SGD(0.1)``.
        epochs : int
            How often to go through the samples, at least 1.
        batch_size : int
            Samples of one update, at least 1; the last batch of an epoch may be smaller.
        validation : (x, y) or Dataset, optional
            Samples to measure loss and accuracy on after each epoch.
        shuffle : bool
            Whether each epoch takes the samples in a new order.
        sample_weight : array_like, (N,), optional
            Weights of the samples in the loss.
        class_weight : mapping or "balanced", optional
            Weights of labels; multiplies `sample_weight`. "balanced" makes all classes count the same.
        callbacks : iterable of Callback
            Called as the training goes on; see `fastnet.callbacks`.
        verbose : int, optional
            None shows a progress bar on a terminal or in a notebook, 0 shows nothing, 1 a line an epoch.
        seed : int, optional
            Of shuffling and dropout; None takes the network's own.

        Returns
        -------
        History
            Loss, accuracy and so on of each epoch; also in `history`.

        Raises
        ------
        TypeError, ValueError
            An argument is wrong; the network is as before.
        KeyboardInterrupt
            Ctrl-C was pressed; the network is as after the last whole batch, and `history` is right. This
            takes at most 0.1 s and the batch under way: none is cut, so one of very many rows is waited for.
        """
        from fastnet.training import Trainer

        trainer = Trainer(self, loss=loss, optimizer=optimizer, seed=seed)
        return trainer.fit(
            x,
            y,
            epochs=epochs,
            batch_size=batch_size,
            validation=validation,
            shuffle=shuffle,
            sample_weight=sample_weight,
            class_weight=class_weight,
            callbacks=callbacks,
            verbose=verbose,
        )

    # ---- keeping it

    def copy(self, dtype: DTypeLike | None = None) -> Network:
        """Return an independent network with the same layers, parameters and metadata.

        Parameters
        ----------
        dtype : {"float32", "float64"}, optional
            Convert to this dtype.
        """
        config = self.config()
        if dtype is not None:
            config["dtype"] = check_dtype(dtype).name
        return self.from_config(config, self.tensors())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a safetensors file, which `fastnet.load` reads.

        Parameters
        ----------
        path : path-like
            Usually ending in ``.safetensors``; replaced if it exists, whole or not at all.

        Raises
        ------
        TypeError, ValueError
            `metadata` cannot be written as JSON.
        OSError
            The file cannot be written.
        """
        from fastnet import storage

        storage.write(path, "network", {"network": self.config()}, self.tensors())

    def to_c(self, path: str | os.PathLike[str], quantize: Literal["int8"] | None = None) -> None:
        """Write the network as one C99 header: ``net.h`` has ``net_predict(x, y)``; see ``docs/interop.md``.

        Parameters
        ----------
        path : path-like
            Ends in ``.h``; its stem is the name in C. Replaced if it exists, whole or not at all.
        quantize : {"int8"}, optional
            Weights of 8 bits and values of 16; None writes floats.

        Raises
        ------
        ValueError
            The stem is no name in C, or a header cannot express the network; the message names what.
        """
        from fastnet.interop import c_header

        c_header.write(self, path, quantize)

    def to_onnx(self, path: str | os.PathLike[str]) -> None:
        """Write the network as an ONNX file, which `fastnet.from_onnx` reads; dropout is left out.

        Raises
        ------
        ImportError
            The library onnx is missing.
        TypeError, ValueError
            Something cannot be written, or would be larger than ONNX allows (2 GB).
        """
        from fastnet.interop.onnx_writer import to_onnx

        to_onnx(self, path)

    def to_torch(self) -> nn.Sequential:
        """Return a `torch.nn.Sequential` that computes the same, with copies of the parameters.

        Raises
        ------
        ImportError
            PyTorch is not installed.
        ValueError
            PyTorch has no module for a layer; see `fastnet.interop.to_torch`.
        """
        from fastnet.interop.torch import to_torch

        return to_torch(self)

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.config(), "tensors": self.tensors(), "history": self.history}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(self.from_config(state["config"], state["tensors"]).__dict__)
        self.history = state["history"]


def mlp(
    sizes: Sequence[int],
    activation: str = "relu",
    output: str = "identity",
    dropout: float = 0.0,
    dtype: DTypeLike = "float32",
    seed: int | None = None,
) -> Network:
    """Return a multi-layer perceptron: dense layers, one after the other.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, units of each hidden layer, outputs: ``[784, 128, 64, 10]``.
    activation, output : str
        Activation of the hidden layers, and of the last one.
    dropout : float
        Part of the values that is dropped after each hidden layer in training.
    dtype, seed
        See `Network`.

    Raises
    ------
    TypeError, ValueError
        An argument is wrong.
    """
    if not isinstance(sizes, list | tuple | np.ndarray):
        raise TypeError(f"sizes is {sizes!r}; wanted a list such as [784, 128, 10]")
    if len(sizes) < 2:
        raise ValueError(f"sizes has {len(sizes)} numbers; wanted at least two, inputs and outputs")
    drop = Dropout(dropout)
    layers: list[Layer] = []
    for units in sizes[1:-1]:
        layers += [Dense(units, activation)] + ([drop] if drop.rate else [])
    return Network([*layers, Dense(sizes[-1], output)], sizes[0], dtype, seed)


def load(path: str | os.PathLike[str]) -> Network:
    """Read a network from a file that `Network.save` wrote.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    FastnetFormatError
        It is not such a file, or a damaged one; the message says what is wrong with it.
    """
    from fastnet import storage

    def expect(kind: str, description: dict[str, Any]) -> dict[str, storage.TensorKind]:
        return expected_tensors(description["network"])

    _, description, tensors = storage.read(path, ("network",), expect)
    return Network.from_config(description["network"], tensors)


def _no_fast_path(x: Any) -> None:
    """Leave every input to the general path: a flat row is not a sample here."""
