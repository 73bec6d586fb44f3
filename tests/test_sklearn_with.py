"""The estimators with what surrounds them: sparse matrices, data frames, searches, pickles, bad input."""

from __future__ import annotations

import builtins
import pickle
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")

import sklearn
from joblib import parallel_backend
from scipy import sparse
from sklearn import neural_network
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastnet as fn
from fastnet.sklearn import MLPClassifier, MLPRegressor, rows

Array = np.ndarray[Any, Any]
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@pytest.fixture(scope="module")
def iris() -> tuple[Array, Array]:
    x, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(x), y


def same(one: Any, other: Any) -> bool:
    return one.network_.parameters.tobytes() == other.network_.parameters.tobytes()


# ---- kinds of input -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix", "csr_array"])
@pytest.mark.parametrize("limit", [rows.DENSE_BYTES, 0, 2500])  # as a whole, one batch, two batches at a time
@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 32},
        {"early_stopping": True},
        {"solver": "lbfgs", "max_iter": 8},
        {"loss": "function"},
        {"dropout": 0.3, "batch_size": 32, "class_weight": {0: 3.0}},
    ],
)
def test_sparse_samples_are_as_good_as_dense_ones(
    iris: Any, monkeypatch: pytest.MonkeyPatch, kind: str, limit: int, settings: dict[str, Any]
) -> None:
    x, y = iris
    x = x * (np.abs(x) > 0.5)
    if settings.get("loss"):
        settings = {"loss": lambda o, t: (float(((o - t) ** 2).mean()), 2 * (o - t) / o.size)}
    thin = getattr(sparse, kind)(x)
    models = [MLPClassifier((7,), **{"max_iter": 4, **settings}, random_state=0) for _ in range(2)]
    models[0].fit(x, y, X_val=x[:20], y_val=y[:20])
    monkeypatch.setattr(rows, "DENSE_BYTES", limit)
    models[1].fit(thin, y, X_val=thin[:20], y_val=y[:20])
    assert same(*models)
    assert models[0].validation_loss_curve_ == models[1].validation_loss_curve_
    np.testing.assert_array_equal(models[1].predict_proba(thin), models[0].predict_proba(x))
    np.testing.assert_array_equal(models[1].predict(thin[:1]), models[0].predict(x[:1]))


def test_a_large_sparse_matrix_is_not_made_dense(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    dense = rows.SparseRows.__getitem__

    def noted(self: Any, index: Any) -> Array:
        sizes.append((found := dense(self, index)).nbytes)
        return found

    monkeypatch.setattr(rows.SparseRows, "__getitem__", noted)
    monkeypatch.setattr(rows, "DENSE_BYTES", 1 << 22)
    x = sparse.random(4000, 500, 1e-3, format="csr", random_state=0)  # 16 MB
    model = MLPRegressor(hidden_layer_sizes=(2,), max_iter=1, batch_size=100, random_state=0)
    model.fit(x, np.zeros(4000))
    assert sum(sizes) == 4000 * 500 * 8 and max(sizes) <= 1 << 22


def test_pandas(iris: Any) -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    x, y = iris
    names = ["a", "b", "c", "d"]
    frame, labels = pandas.DataFrame(x, columns=names), pandas.Series(np.array(["x", "y", "z"])[y])
    model = MLPClassifier(max_iter=3, random_state=0).fit(frame, labels, X_val=frame, y_val=labels)
    assert list(model.feature_names_in_) == names
    plain = MLPClassifier(max_iter=3, random_state=0).fit(x, y)
    assert same(model, plain)
    np.testing.assert_array_equal(model.predict_proba(frame), plain.predict_proba(x))
    with pytest.warns(UserWarning, match="valid feature names"):
        model.predict(x)
    with pytest.warns(UserWarning, match="valid feature names"):
        model.predict(x[:1])
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[names[::-1]])


def test_polars(iris: Any) -> None:
    polars = pytest.importorskip("polars", reason="needs polars")
    x, y = iris
    frame = polars.DataFrame(x, schema=["a", "b", "c", "d"])
    model = MLPClassifier(max_iter=3, random_state=0).fit(frame, polars.Series(y))
    theirs = neural_network.MLPClassifier(max_iter=3, random_state=0).fit(frame, polars.Series(y))
    # Names of columns are found from some version of either on.
    names = [getattr(one, "feature_names_in_", np.array([])).tolist() for one in (model, theirs)]
    assert names[0] == names[1]
    assert same(model, MLPClassifier(max_iter=3, random_state=0).fit(x, y))
    assert len(model.predict(frame)) == 150


# ---- what surrounds estimators --------------------------------------------------------------------------


def test_in_a_pipeline_with_sample_weight(iris: Any) -> None:
    x, y = iris
    model = make_pipeline(
        StandardScaler(), MLPClassifier((20,), max_iter=60, learning_rate_init=0.02, random_state=0)
    )
    model.fit(x, y, mlpclassifier__sample_weight=np.ones(150))
    assert model.score(x, y) > 0.95
    with sklearn.config_context(enable_metadata_routing=True):
        routed = MLPClassifier(max_iter=3, random_state=0).set_fit_request(sample_weight=True)
        weight = np.arange(150.0)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipeline = make_pipeline(scaler, routed).fit(x, y, sample_weight=weight)
        scaled = StandardScaler().fit_transform(x)
        assert same(pipeline[-1], MLPClassifier(max_iter=3, random_state=0).fit(scaled, y, weight))


def test_search_with_threads_is_the_search_without(iris: Any) -> None:
    x, y = iris
    grid = {"alpha": [1e-4, 1.0], "hidden_layer_sizes": [(5,), (9, 5)], "dropout": [0.0, 0.2]}
    found = []
    for jobs in (1, 4):
        with parallel_backend("threading"):
            search = GridSearchCV(MLPClassifier(max_iter=8, random_state=0), grid, cv=2, n_jobs=jobs).fit(
                x, y
            )
        found.append((search.cv_results_["mean_test_score"].tolist(), search.best_params_))
        assert search.predict(x).shape == (150,)
    assert found[0] == found[1]


def test_threads_train_without_the_interpreters_lock() -> None:
    """A thread that only counts gets on while another one is in `fit`."""
    x, y = np.random.default_rng(0).normal(size=(2000, 100)), np.zeros(2000)
    y[:] = x[:, 0]
    ended, counted = threading.Event(), 0

    def train() -> None:
        MLPRegressor(hidden_layer_sizes=(200,), max_iter=6, random_state=0, tol=0).fit(x, y)
        ended.set()

    thread = threading.Thread(target=train)
    thread.start()
    while not ended.is_set():
        counted += 1
    thread.join()
    assert counted > 10_000


def test_loky_and_small_pickles(iris: Any) -> None:
    x, y = iris
    with parallel_backend("loky", n_jobs=2):
        scores = cross_val_score(MLPClassifier(max_iter=5, random_state=0), x, y, cv=2)
    np.testing.assert_array_equal(
        scores, cross_val_score(MLPClassifier(max_iter=5, random_state=0), x, y, cv=2)
    )


@pytest.mark.parametrize("early", [False, True])
def test_a_pickle_is_no_larger_than_what_it_must_keep(early: bool) -> None:
    x, y = np.random.default_rng(0).normal(size=(300, 64)), np.arange(300) % 10
    settings: dict[str, Any] = {"max_iter": 3, "early_stopping": early, "random_state": 0}
    model = MLPClassifier(**settings).fit(x, y)
    weights = model.network_.parameters.nbytes
    size = len(pickle.dumps(model))
    assert size < 3 * weights + 8000  # and the two means of Adam
    assert size < len(pickle.dumps(neural_network.MLPClassifier(**settings).fit(x, y)))
    assert not model._trainer._executors  # their buffers hold a batch of each layer
    model.partial_fit(x, y)  # which keeps its buffers for the next call
    assert len(pickle.dumps(model)) < (4 if early else 3) * weights + 8000
    assert len(pickle.dumps(MLPClassifier())) < 1500
    stateless = MLPClassifier(solver="lbfgs", max_iter=3).fit(x, y)
    assert len(pickle.dumps(stateless)) < weights + 8000


def test_calibrated(iris: Any) -> None:
    x, y = iris
    model = CalibratedClassifierCV(
        MLPClassifier((20,), max_iter=60, learning_rate_init=0.02, random_state=0), cv=3
    )
    assert model.fit(x, y).score(x, y) > 0.9
    assert model.predict_proba(x).shape == (150, 3)


def test_clone_repr_and_html(iris: Any) -> None:
    model = MLPRegressor(
        "huber", (5,), activation=["gelu"], delta=2.0, callbacks=[fn.callbacks.EarlyStopping("loss")]
    )
    copy = clone(model)
    assert copy.get_params().keys() == model.get_params().keys() and copy.delta == 2.0
    assert copy.callbacks[0] is not model.callbacks[0]
    assert "delta=2.0" in repr(model) and "tol" not in repr(model)
    assert "MLPRegressor" in model._repr_html_()
    assert not hasattr(model.fit(*iris), "partial_fit_") and hasattr(model, "partial_fit")
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit"):
        MLPClassifier(solver="lbfgs").partial_fit(*iris)


# ---- predicting -----------------------------------------------------------------------------------------


def everything(model: Any) -> list[Any]:
    names = ("predict", "predict_proba", "predict_log_proba")
    return [getattr(model, name) for name in names if hasattr(model, name)]


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regressor"])
def test_the_short_way_is_the_long_way(iris: Any, kind: str) -> None:
    x, y = iris
    targets = {"binary": y > 0, "multiclass": y, "multilabel": np.eye(3, dtype=int)[y], "regressor": y * 1.0}[
        kind
    ]
    model = (MLPRegressor if kind == "regressor" else MLPClassifier)(max_iter=3, random_state=0).fit(
        x, targets
    )
    for method in everything(model):
        for rows_ in (slice(0, 1), slice(0, 7)):
            long = method(x[rows_].tolist())
            for other in (
                x[rows_],
                np.asfortranarray(x[rows_]),
                x[::-1][::-1][rows_],
                x[rows_].astype(object),
            ):
                short = method(other)
                assert short.dtype == long.dtype and short.shape == long.shape
                np.testing.assert_array_equal(short, long)


def test_the_short_way_has_scikit_learns_errors(iris: Any) -> None:
    x, y = iris
    model = MLPClassifier(max_iter=2, random_state=0)
    with pytest.raises(NotFittedError):
        model.predict(x)
    model.fit(x, y)
    for wrong, message in (
        (np.full((1, 4), np.nan), "Input X contains NaN"),
        (np.full((3, 4), np.inf), "Input X contains infinity"),
        (x[:1, :3], "X has 3 features"),
        (x[0], "Expected 2D array"),
        (x[:0], "Found array with 0 sample"),
        (x[None], "dim 3"),
    ):
        for method in everything(model):
            with pytest.raises(ValueError, match=message):
                method(wrong)
    with sklearn.config_context(assume_finite=True):
        assert model.predict(np.full((3, 4), np.nan)).shape == (3,)


def test_a_switch_of_the_backend_is_followed(iris: Any, tested_backends: list[str]) -> None:
    x, y = iris
    model = MLPClassifier(max_iter=2, random_state=0).fit(x, y)
    expected = model.predict_proba(x)
    for name in tested_backends:
        fn.use_backend(name)
        np.testing.assert_allclose(model.predict_proba(x), expected, rtol=1e-9)
        np.testing.assert_allclose(model.predict_proba(x[:1]), expected[:1], rtol=1e-9)
        other = MLPClassifier(max_iter=2, random_state=0).fit(x, y)
        np.testing.assert_allclose(other.network_.parameters, model.network_.parameters, atol=1e-9)


# ---- the import -----------------------------------------------------------------------------------------


def test_without_scikit_learn_one_line_names_the_extra() -> None:
    code = "import sys; sys.modules['sklearn'] = None\nfrom fastnet.sklearn import MLPClassifier"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: fastnet.sklearn needs scikit-learn 1.6 or newer: pip install 'fastnet[sklearn]'"
    )
    assert "During handling" not in done.stderr and "direct cause" not in done.stderr


def test_an_old_scikit_learn_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """`validate_data` came with 1.6."""
    original = builtins.__import__

    def old(name: str, *rest: Any) -> Any:
        if name == "sklearn.utils.validation" and "validate_data" in (rest[2] or ()):
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", old)
    for name in [one for one in sys.modules if one.startswith("fastnet.sklearn")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError, match=r"needs scikit-learn 1\.6 or newer"):
        import fastnet.sklearn  # noqa: F401


def test_the_package_has_it_as_an_attribute() -> None:
    code = "import fastnet as fn, sys; assert 'sklearn' not in sys.modules; print(fn.sklearn.__all__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "['MLPClassifier', 'MLPRegressor']\n"
