"""The classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target

from fastnet.checks import Array
from fastnet.sklearn.base import BaseMLP, is_stochastic
from fastnet.sklearn.targets import Labels

__all__ = ["MLPClassifier"]


class MLPClassifier(ClassifierMixin, BaseMLP):  # type: ignore[misc]
    """A multi-layer perceptron that tells classes apart.

    It can stand in for ``sklearn.neural_network.MLPClassifier``: the parameters up to `max_fun` are its own.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(100,)
        Units of each hidden layer.
    activation : str or sequence of str, default="relu"
        Of the hidden layers: "identity", "logistic", "tanh", "relu", or another name in
        `fastnet.activations.ACTIVATIONS`; a sequence has one for each layer.
    solver : {"adam", "sgd", "lbfgs"}, default="adam"
        The last one is SciPy's, and takes all data in each step.
    alpha : float, default=0.0001
        Strength of the penalty on squared weights: to the loss of a batch is added half of it times their
        sum, divided by the batch's number of samples (by the sum of their weights).
    batch_size : int or "auto", default="auto"
        Samples of one update; "auto" is the smaller one of 200 and the number of samples.
    learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
        What becomes of the learning rate of solver "sgd": it stays, falls as
        ``learning_rate_init / t_ ** power_t``, or is divided by 5 where training no longer gets better.
    learning_rate_init : float, default=0.001
        The first learning rate.
    power_t : float, default=0.5
        See `learning_rate`.
    max_iter : int, default=200
        Most epochs; for "lbfgs" most iterations.
    shuffle : bool, default=True
        Whether each epoch takes the samples in a new order.
    random_state : int, RandomState instance or None, default=None
        Of first weights, validation split, order of samples and dropout.
    tol : float, default=0.0001
        An epoch that is not better by this much is no improvement. For "lbfgs": the largest gradient to
        stop at.
    verbose : bool or int, default=False
        Whether to print a line for each epoch.
    warm_start : bool, default=False
        Whether another `fit` goes on with the weights there are, and with the optimizer's state.
    momentum : float, default=0.9
        Part of the last step of "sgd" that is kept, from 0 to 1.
    nesterovs_momentum : bool, default=True
        Whether that looks ahead.
    early_stopping : bool, default=False
        Whether the score on validation data decides when to stop, and which weights to keep.
    validation_fraction : float, default=0.1
        Part of the samples that is held out for that where `fit` is given no validation data.
    beta_1, beta_2 : float, default=0.9, 0.999
        Parts of the running means of "adam" that are kept.
    epsilon : float, default=1e-8
        Of "adam": keeps the quotient finite.
    n_iter_no_change : int, default=10
        Epochs without improvement that are allowed.
    max_fun : int, default=15000
        Most calls of the loss by "lbfgs".
    dropout : float or sequence of float, default=0.0
        Part of each hidden layer's values that is dropped in training; not with "lbfgs".
    loss : str, fastnet.losses.Loss or callable, default="log_loss"
        "log_loss", another name or row of `fastnet.losses` that fits, or a function
        ``(output, target) -> (value, d_output)`` of probabilities and of zeros and ones, both (N, outputs).
    class_weight : dict, "balanced", list of dict or None, default=None
        Weights of the classes; multiplies `sample_weight`. A list has a dict for each column of y.
    dtype : {"float32", "float64"} or None, default=None
        Of weights and arithmetic. None is that of the samples if it is one of the two, else float64.
        float32 is up to twice as fast.
    callbacks : list of fastnet.callbacks.Callback or None, default=None
        Called as training goes on; of "lbfgs", an iteration is an epoch.
    progress_bar : bool, default=False
        Whether to show one on standard error; where no bar can be drawn, a line a second.

    Attributes
    ----------
    classes_ : ndarray or list of ndarray
        The classes, sorted; a list where y has several columns of several classes each.
    network_ : fastnet.Network
        What was trained: to be saved, exported, explained.
    history_ : fastnet.History
        Loss of each epoch, without the penalty; with validation data, callbacks or a progress bar also what
        they look at, such as accuracy.
    coefs_, intercepts_ : list of ndarray
        Weights (inputs, units) and biases (units,) of each layer: live views of the network's; may be set.
    loss_, best_loss_ : float
        The last epoch's loss with the penalty, and the lowest (None with early stopping).
    loss_curve_ : list of float
        That of each epoch, over all calls that went on with this network.
    validation_loss_curve_ : list of float
        Loss on the validation data after each epoch, without the penalty; empty where there are none.
    validation_scores_, best_validation_score_ : list of float, float
        With early stopping; else None.
    stopped_ : bool
        Whether training stopped because it no longer got better.
    n_iter_ : int
        Epochs of the last call.
    t_ : int
        Samples trained on in all.
    n_layers_, n_outputs_ : int
        Layers, the input among them; units of the last one.
    out_activation_ : str
        "logistic" for two classes and for several labels at once, else "softmax".
    n_features_in_ : int
        Features seen in `fit`.
    feature_names_in_ : ndarray of str
        Their names, where all of them are strings.

    Notes
    -----
    y is (N,) of two or more classes, (N, K) of zeros and ones (several labels at once), or (N, K) of K labels
    of several classes each. The last kind has a group of outputs for each column, whose logits `network_`
    gives. Its loss is computed in Python, and its penalty is divided by the number of samples, not by the sum
    of their weights.

    Examples
    --------
    >>> X, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0]
    >>> MLPClassifier((8,), "tanh", solver="lbfgs", random_state=1).fit(X, y).predict(X)
    array([0, 1, 1, 0])
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: Any = 0.0,
        loss: Any = "log_loss",
        class_weight: Any = None,
        dtype: Any = None,
        callbacks: Any = None,
        progress_bar: bool = False,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.dropout = dropout
        self.loss = loss
        self.class_weight = class_weight
        self.dtype = dtype
        self.callbacks = callbacks
        self.progress_bar = progress_bar

    # ---- training

    def fit(
        self,
        X: Any,  # noqa: N803 - scikit-learn's name
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,  # noqa: N803
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> MLPClassifier:
        """Train on samples and labels.

        Parameters
        ----------
        X : array-like or sparse matrix (N, features)
            Samples; also a data frame of pandas or polars.
        y : array-like (N,) or (N, K)
            Labels.
        sample_weight : array-like (N,), optional
            Weights of the samples.
        X_val, y_val, sample_weight_val : optional
            Validation data of one's own: its loss is in `validation_loss_curve_`, and with early stopping its
            score decides, in place of samples held out.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            A parameter or an argument is wrong, or the loss was not finite any more.

        Warns
        -----
        ConvergenceWarning
            `max_iter` was reached before training stopped getting better.
        """
        self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val))
        return self

    @available_if(is_stochastic)  # type: ignore[untyped-decorator]
    def partial_fit(
        self,
        X: Any,  # noqa: N803 - scikit-learn's name
        y: Any,
        sample_weight: Any = None,
        classes: Any = None,
        *,
        X_val: Any = None,  # noqa: N803
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> MLPClassifier:
        """Train on these samples for one epoch, from where the last call ended.

        With early stopping, each call scores `X_val` and `y_val` (or samples held out of this call's) and
        keeps the best weights. After more than `n_iter_no_change` calls without improvement, these weights
        are put back and `stopped_` is True; whoever calls once more trains on from there.

        Parameters
        ----------
        X, y, sample_weight, X_val, y_val, sample_weight_val
            As in `fit`.
        classes : array-like or list of array-like, optional
            All classes that will come; needed in the first call, unless y is zeros and ones, (N, K).

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            A parameter or an argument is wrong, or the loss was not finite: then the weights are as before.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight is {self.class_weight!r}; partial_fit does not see all labels: give it a dict"
            )
        validation = (X_val, y_val, sample_weight_val)
        self._fit(X, y, sample_weight, validation, incremental=True, classes=classes)
        return self

    def _new_targets(self, y: Any, incremental: bool, classes: Any) -> Labels:
        if incremental and classes is None and type_of_target(y) != "multilabel-indicator":
            raise ValueError("classes must be passed on the first call to partial_fit.")
        return Labels(y, classes)

    def _encoded(self, targets: Any, y: Any, incremental: bool, classes: Any) -> Array:
        if classes is not None and not targets.knows(classes):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on an earlier call: {targets.classes!r}"
            )
        encoded: Array = targets.encode(y)
        if not incremental and not targets.all_in(encoded):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {targets.classes}, `y` has {np.unique(y)}"
            )
        return encoded

    # ---- predicting

    @property
    def classes_(self) -> Any:
        """The classes, sorted; of several outputs with several classes each, a list of them."""
        targets = self.__dict__.get("_targets")
        if targets is None:
            raise AttributeError("this MLPClassifier is not fitted yet")
        return targets.classes

    def predict(self, X: Any) -> Any:  # noqa: N803
        """Return labels for samples: (N,), or (N, K) where y had K columns.

        Parameters
        ----------
        X : array-like or sparse matrix (N, features)
            Samples. One row as an array (1, features) of the network's dtype is the fastest way.

        Raises
        ------
        NotFittedError
            `fit` was not called.
        TypeError, ValueError
            X has another number of features, is not made of numbers, or holds NaN or infinity.
        """
        output = self._outputs(X)
        return self._targets.decode(output)

    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        """Return the probability of each class, (N, classes): as in `predict`; of several outputs a list."""
        output = self._outputs(X)
        labels: Any = self._targets
        return labels.probabilities(output)

    def predict_log_proba(self, X: Any) -> Any:  # noqa: N803
        """Return the logarithm of `predict_proba`."""
        found = self.predict_proba(X)
        with np.errstate(divide="ignore"):  # of 0 it is minus infinity
            return [np.log(one) for one in found] if isinstance(found, list) else np.log(found)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:  # noqa: N803
        """Return the part of samples whose labels are right, where y has K columns all K of them.

        Parameters
        ----------
        X : array-like or sparse matrix (N, features)
            Samples.
        y : array-like (N,) or (N, K)
            Their labels.
        sample_weight : array-like (N,), optional
            Weights of the samples.
        """
        predicted = self.predict(X)
        labels: Any = self._targets
        if labels.kind != "multioutput":
            return float(accuracy_score(y, predicted, sample_weight=sample_weight))
        if np.shape(y) != predicted.shape:
            raise ValueError(f"y has shape {np.shape(y)}; wanted {predicted.shape}")
        return float(np.average((np.asarray(y) == predicted).all(axis=1), weights=sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags
