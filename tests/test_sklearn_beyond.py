"""What the estimators have beyond scikit-learn's own."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn")

from sklearn.metrics import accuracy_score, r2_score

import fastnet as fn
from fastnet.callbacks import Callback, EarlyStopping
from fastnet.sklearn import MLPClassifier, MLPRegressor

Array = np.ndarray[Any, Any]
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@pytest.fixture
def moons(rng: np.random.Generator) -> tuple[Array, Array]:
    """Two classes, (200, 2)."""
    x = rng.normal(size=(200, 2))
    return x, (np.sin(2 * x[:, 0]) > x[:, 1]).astype(int)


@pytest.fixture
def line(rng: np.random.Generator) -> tuple[Array, Array]:
    """Numbers with noise that is skewed, (400, 1)."""
    x = rng.uniform(-1, 1, (400, 1))
    return x, 2 * x[:, 0] + rng.exponential(1.0, 400)


def same(one: Any, other: Any) -> bool:
    """Whether two estimators have the same network, to the bit."""
    return one.network_.parameters.tobytes() == other.network_.parameters.tobytes()


# ---- layers ---------------------------------------------------------------------------------------------


def test_each_layer_has_an_activation_of_its_own(moons: Any) -> None:
    model = MLPClassifier((8, 6), ["gelu", "logistic"], dropout=[0.25, 0.0], max_iter=3, random_state=0).fit(
        *moons
    )
    assert [repr(layer) for layer in model.network_.layers] == [
        "Dense(8, 'gelu')", "Dropout(0.25)", "Dense(6, 'sigmoid')", "Dense(1, 'sigmoid')",
    ]  # fmt: skip
    assert len(model.coefs_) == len(model.intercepts_) == 3 and model.n_layers_ == 4
    assert np.abs(model.coefs_[0]).max() <= np.sqrt(6 / 10)
    assert np.abs(model.coefs_[1]).max() <= np.sqrt(2 / 14) + 0.01  # sigmoid starts smaller


def test_dropout_acts_in_training_only_and_is_seeded(moons: Any) -> None:
    models = [
        MLPClassifier((30,), dropout=rate, max_iter=5, random_state=0).fit(*moons) for rate in (0.5, 0.5, 0.0)
    ]
    assert same(models[0], models[1]) and not same(models[0], models[2])
    other = MLPClassifier((30,), dropout=0.5, max_iter=1, random_state=1).fit(*moons)
    assert models[0].network_.seed == models[1].network_.seed != other.network_.seed
    np.testing.assert_array_equal(models[0].predict_proba(moons[0]), models[0].predict_proba(moons[0]))
    with pytest.raises(ValueError, match="dropout needs solver"):
        MLPClassifier(solver="lbfgs", dropout=0.5).fit(*moons)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"hidden_layer_sizes": (5, 0)}, "hidden_layer_sizes must be > 0"),
        (
            {"activation": ["relu"], "hidden_layer_sizes": (3, 3)},
            "activation has 1 values; wanted one for each",
        ),
        ({"activation": "rleu"}, "did you mean 'relu'"),
        ({"dropout": 1.0}, "dropout is 1"),
        ({"dropout": [0.1, 0.1]}, "dropout has 2 values"),
        ({"solver": "adma"}, "unknown solver 'adma'"),
        ({"learning_rate": "fast"}, "unknown learning_rate"),
        ({"learning_rate_init": 0}, "learning_rate_init is 0; wanted above 0"),
        ({"alpha": -1}, "alpha is -1"),
        ({"momentum": 1.5}, "momentum is 1.5"),
        ({"beta_1": 1.0}, "beta_1 is 1"),
        ({"validation_fraction": 1.0}, "validation_fraction is 1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": "all"}, "wanted 'auto'"),
        ({"max_iter": 0}, "max_iter is 0"),
        ({"n_iter_no_change": 0}, "n_iter_no_change is 0"),
        ({"dtype": "float16"}, "wanted 'float32' or 'float64'"),
        ({"loss": "squared_eror"}, "did you mean"),
        ({"loss": "cross_entropy"}, "loss 'cross_entropy' wants"),
    ],
)
def test_wrong_parameters_are_named(line: Any, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLPRegressor(**parameters).fit(*line)


@pytest.mark.parametrize(
    "parameters",
    [{"shuffle": 1}, {"alpha": "x"}, {"callbacks": [1]}, {"callbacks": EarlyStopping()}, {"loss": 3}],
)
def test_parameters_of_wrong_types_are_named(line: Any, parameters: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(parameters))):
        MLPRegressor(**parameters).fit(*line)


# ---- losses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_losses_aim_at_what_they_are_for(line: Any, solver: str) -> None:
    """Of skewed noise: the mean, the median, something between, and a high quantile."""
    x, y = line
    options: dict[str, Any] = {
        "hidden_layer_sizes": (), "solver": solver, "learning_rate_init": 0.02, "max_iter": 150, "alpha": 0,
        "tol": 1e-7, "n_iter_no_change": 99, "random_state": 0, "delta": 0.5, "quantile": 0.9,
    }  # fmt: skip
    noise = {
        loss: MLPRegressor(loss, **options).fit(x, y).predict([[0.0]])[0]
        for loss in ("squared_error", "absolute_error", "huber", "quantile")
    }
    right = {"squared_error": 1.0, "absolute_error": np.log(2), "quantile": np.log(10)}
    for loss, value in right.items():
        assert noise[loss] == pytest.approx(value, abs=0.2), loss
    assert noise["absolute_error"] < noise["huber"] < noise["squared_error"]


def test_poisson_counts(rng: np.random.Generator) -> None:
    x = rng.uniform(-1, 1, (500, 1))
    y = rng.poisson(np.exp(1 + x[:, 0]))
    model = MLPRegressor("poisson", (), solver="lbfgs", random_state=0).fit(x, y)
    np.testing.assert_allclose(model.predict([[-1.0], [1.0]]), np.exp([0.0, 2.0]), rtol=0.25)
    assert model.out_activation_ == "exp"
    with pytest.raises(ValueError, match=r"y\[0, 0\] is -1"):
        model.fit(x, -np.ones(500))


def cubed(output: Array, target: Array) -> tuple[float, Array]:
    """The mean of |e|^3, over samples."""
    e = output - target
    return float((np.abs(e) ** 3).sum() / len(e)), 3 * e * np.abs(e) / len(e)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_a_loss_may_be_a_function(line: Any, moons: Any, solver: str) -> None:
    x, y = line
    model = MLPRegressor(cubed, (), solver=solver, learning_rate_init=0.02, max_iter=60, random_state=0).fit(
        x, y
    )
    assert 1.1 < model.predict([[0.0]])[0] < 2.0  # beyond the mean
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    with pytest.raises(ValueError, match="function as loss"):
        model.fit(x, y, sample_weight=np.ones(len(x)))

    def brier(output: Array, target: Array) -> tuple[float, Array]:
        e = output - target
        return float((e * e).mean()), 2 * e / e.size

    labels = np.array(["no", "yes", "maybe"])[(moons[1] + (moons[0][:, 0] > 1)) % 3]
    by_function = MLPClassifier(loss=brier, max_iter=20, solver=solver, random_state=0).fit(moons[0], labels)
    by_name = MLPClassifier(loss="mean_squared_error", max_iter=20, solver=solver, random_state=0)
    by_name.fit(moons[0], labels)
    np.testing.assert_allclose(
        by_function.predict_proba(moons[0]), by_name.predict_proba(moons[0]), atol=1e-6
    )
    assert set(by_name.predict(moons[0])) <= {"no", "yes", "maybe"}


def test_rows_of_the_table_are_losses_too(line: Any) -> None:
    one = MLPRegressor(fn.losses.huber(0.3), (5,), max_iter=5, random_state=0, alpha=0).fit(*line)
    other = MLPRegressor("huber", (5,), delta=0.3, max_iter=5, random_state=0, alpha=0).fit(*line)
    assert same(one, other)  # with one output, the mean is the sum
    with pytest.raises(ValueError, match="does not fit"):
        MLPClassifier(loss="perceptron").fit([[0.0], [1.0]], [0, 1])


# ---- weights --------------------------------------------------------------------------------------------


def test_class_weights_are_weights_of_samples(moons: Any) -> None:
    x, y = moons
    names = np.array(["no", "yes"])[y]
    options: dict[str, Any] = {"max_iter": 10, "random_state": 0, "hidden_layer_sizes": (9,)}
    by_class = MLPClassifier(class_weight={"yes": 3.0}, **options).fit(x, names)
    by_sample = MLPClassifier(**options).fit(x, names, np.where(y == 1, 3.0, 1.0))
    assert same(by_class, by_sample)
    counts = np.bincount(y)
    balanced = MLPClassifier(class_weight="balanced", **options).fit(x, names)
    assert same(balanced, MLPClassifier(**options).fit(x, names, (len(y) / 2 / counts)[y]))
    both = MLPClassifier(class_weight={"yes": 3.0}, **options).fit(x, names, np.arange(200.0))
    assert same(both, MLPClassifier(**options).fit(x, names, np.where(y == 1, 3.0, 1.0) * np.arange(200.0)))
    several = np.column_stack([y, 1 - y])
    listed = MLPClassifier(class_weight=[{0: 1, 1: 3}, {0: 1, 1: 2}], **options).fit(x, several)
    assert same(listed, MLPClassifier(**options).fit(x, several, np.where(y == 1, 3.0, 2.0)))
    with pytest.raises(ValueError, match=r"balanced.*partial_fit"):
        balanced.partial_fit(x, names)


def test_weights_of_samples_repeat_them(moons: Any) -> None:
    x, y = moons
    times = np.arange(200) % 3
    weighted = MLPClassifier(max_iter=20, batch_size=600, shuffle=False, random_state=0)
    repeated = MLPClassifier(max_iter=20, batch_size=600, shuffle=False, random_state=0)
    with pytest.warns(UserWarning, match="batch_size"):
        weighted.fit(x, y, times)
        repeated.fit(np.repeat(x, times, axis=0), np.repeat(y, times))
    np.testing.assert_allclose(weighted.predict_proba(x), repeated.predict_proba(x), rtol=1e-9)
    for wrong in (-np.ones(200), np.zeros(200), np.ones(3), np.ones((200, 1))):
        with pytest.raises(ValueError, match=r"(?i)sample.weight"):
            weighted.fit(x, y, wrong)


# ---- validation -----------------------------------------------------------------------------------------


def test_validation_data_of_ones_own(moons: Any) -> None:
    x, y = moons
    model = MLPClassifier(max_iter=6, random_state=0).fit(x[:150], y[:150], X_val=x[150:], y_val=y[150:])
    assert len(model.validation_loss_curve_) == model.n_iter_ == 6
    p = model.predict_proba(x[150:])[np.arange(50), y[150:]]
    assert model.validation_loss_curve_[-1] == pytest.approx(-np.log(p).mean(), rel=1e-9)
    assert model.history_["val_loss"] == pytest.approx(model.validation_loss_curve_)
    assert model.validation_scores_ is None
    alone = MLPClassifier(max_iter=6, random_state=0).fit(x[:150], y[:150])
    assert same(model, alone) and alone.validation_loss_curve_ == []
    early = MLPClassifier(max_iter=6, random_state=0, early_stopping=True)
    early.fit(x[:150], y[:150], X_val=x[150:], y_val=y[150:])
    assert len(early.validation_scores_) == 6 and early.best_loss_ is None
    assert max(early.validation_scores_) == early.best_validation_score_ == early.score(x[150:], y[150:])
    with pytest.raises(ValueError, match="y_val is missing"):
        model.fit(x, y, X_val=x)
    with pytest.raises(ValueError, match="features"):
        model.fit(x, y, X_val=x[:, :1], y_val=y)
    with pytest.raises(ValueError, match="classes not in"):
        model.fit(x, y, X_val=x, y_val=y + 5)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_validation_data_has_weights(line: Any, solver: str) -> None:
    x, y = line
    weight = np.where(y > 1, 0.0, 2.0)
    model = MLPRegressor(hidden_layer_sizes=(), solver=solver, max_iter=5, random_state=0)
    model.fit(x, y, X_val=x, y_val=y, sample_weight_val=weight)
    error = 0.5 * np.average((model.predict(x) - y) ** 2, weights=weight)
    assert model.validation_loss_curve_[-1] == pytest.approx(error, rel=1e-9)
    assert len(model.validation_loss_curve_) == len(model.loss_curve_) == model.n_iter_


def test_validation_scores_are_those_of_scikit_learn(rng: np.random.Generator) -> None:
    x = rng.normal(size=(60, 3))
    weight = rng.random(60)
    numbers, labels = rng.normal(size=(60, 2)), rng.integers(0, 3, (60, 2))
    for y in (numbers, numbers[:, 0], np.zeros(60)):
        model = MLPRegressor(early_stopping=True, max_iter=1).fit(
            x, y, X_val=x, y_val=y, sample_weight_val=weight
        )
        assert model.validation_scores_[0] == pytest.approx(
            r2_score(y, model.predict(x), sample_weight=weight)
        )
    for y in (labels, labels[:, 0], labels[:, 0] > 1, labels > 1):
        model = MLPClassifier(early_stopping=True, max_iter=1).fit(
            x, y, X_val=x, y_val=y, sample_weight_val=weight
        )
        right = (model.predict(x) == y).reshape(60, -1).all(axis=1)
        assert model.validation_scores_[0] == pytest.approx(np.average(right, weights=weight))
        if y.ndim == 1:
            assert accuracy_score(y, model.predict(x), sample_weight=weight) == pytest.approx(
                model.validation_scores_[0]
            )


# ---- going on -------------------------------------------------------------------------------------------


def test_partial_fit_stops_early_with_the_best_weights(moons: Any) -> None:
    x, y = moons
    model = MLPClassifier(
        (20,), early_stopping=True, n_iter_no_change=3, learning_rate_init=0.05, random_state=0
    )
    scores, networks = [], []
    for _ in range(300):
        model.partial_fit(x[:150], y[:150], classes=[0, 1], X_val=x[150:], y_val=y[150:])
        scores.append(model.validation_scores_[-1])
        networks.append(model.network_.parameters.copy())
        if model.stopped_:
            break
    assert model.stopped_ and len(scores) < 300
    best = int(np.argmax(scores))
    assert best < len(scores) - 1 and model.score(x[150:], y[150:]) == scores[best]
    np.testing.assert_array_equal(model.network_.parameters, networks[best])
    model.partial_fit(x[:150], y[:150], X_val=x[150:], y_val=y[150:])
    assert not model.stopped_ and len(model.validation_scores_) == len(scores) + 1


def test_partial_fit_holds_samples_out_if_none_are_given(moons: Any) -> None:
    model = MLPClassifier(early_stopping=True, random_state=0)
    model.partial_fit(*moons, classes=[0, 1])
    assert len(model.validation_scores_) == 1 and model.t_ == 180
    regressor = MLPRegressor(early_stopping=True, random_state=0).partial_fit(*moons)
    for one in (model, regressor):
        with pytest.raises(ValueError, match=r"validation set is too small|least populated"):
            one.partial_fit(moons[0][:5], moons[1][:5])
        assert len(one.validation_scores_) == 1


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_warm_start_goes_on_with_the_optimizers_state(moons: Any, solver: str) -> None:
    x, y = moons
    options: dict[str, Any] = {
        "solver": solver,
        "shuffle": False,
        "random_state": 0,
        "learning_rate_init": 0.01,
    }
    whole = MLPClassifier(max_iter=10, **options).fit(x, y)
    parts = MLPClassifier(max_iter=5, warm_start=True, **options).fit(x, y).fit(x, y)
    assert same(whole, parts) and parts.loss_curve_ == whole.loss_curve_
    assert (parts.n_iter_, parts.t_) == (5, 2000)
    forgetful = MLPClassifier(max_iter=5, warm_start=True, **options).fit(x, y)
    forgetful._trainer.state_vectors[...] = 0
    assert not same(forgetful.fit(x, y), whole)  # negative control


@pytest.mark.parametrize("change", [{"hidden_layer_sizes": (3,)}, {"activation": "tanh"}, {"dropout": 0.5}])
def test_warm_start_says_what_cannot_change(moons: Any, change: dict[str, Any]) -> None:
    model = MLPClassifier(warm_start=True, max_iter=2, random_state=0).fit(*moons)
    before = model.network_.parameters.copy()
    with pytest.raises(ValueError, match="go on with the network there is"):
        model.set_params(**change).fit(*moons)
    with pytest.raises(ValueError, match="same classes"):
        model.fit(moons[0][:5], np.zeros(5, int))
    np.testing.assert_array_equal(model.network_.parameters, before)


@pytest.mark.parametrize("rate", ["constant", "invscaling", "adaptive"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_a_pickle_goes_on_to_the_bit(moons: Any, solver: str, rate: str) -> None:
    x, y = moons
    options: dict[str, Any] = {
        "solver": solver,
        "learning_rate": rate,
        "max_iter": 4,
        "learning_rate_init": 0.1,
    }
    for early in (False, True):
        model = MLPClassifier((9,), ["gelu"], dropout=0.2, random_state=0, early_stopping=early, **options)
        model.set_params(warm_start=True, tol=0.5, n_iter_no_change=1).fit(x, y)
        for go_on in ("fit", "partial_fit"):
            copy = pickle.loads(pickle.dumps(model))
            assert same(model, copy)
            for one in (model, copy):
                getattr(one, go_on)(x, y)
            assert same(model, copy) and model.loss_curve_ == copy.loss_curve_
            assert model.validation_scores_ == copy.validation_scores_


def test_a_changed_learning_rate_counts_at_once(moons: Any) -> None:
    """The velocity is in steps, as in scikit-learn: a smaller rate does not shrink what is under way."""
    options: dict[str, Any] = {
        "solver": "sgd",
        "warm_start": True,
        "max_iter": 1,
        "shuffle": False,
        "batch_size": 200,
    }
    model = MLPClassifier((5,), learning_rate_init=0.1, random_state=0, alpha=0, **options).fit(*moons)
    before, velocity = model.network_.parameters.copy(), -0.1 * model._trainer.state_vectors[0]
    model.set_params(learning_rate_init=1e-12).fit(*moons)
    np.testing.assert_allclose(
        model.network_.parameters - before, 0.9 * 0.9 * velocity, rtol=1e-6, atol=1e-12
    )


# ---- several labels and outputs -------------------------------------------------------------------------


def test_several_outputs_of_several_classes(rng: np.random.Generator) -> None:
    x = rng.normal(size=(300, 4))
    y = np.column_stack(
        [
            np.array(["a", "b", "c"])[(x[:, 0] > 0) + (x[:, 1] > 0).astype(int)],
            np.where(x[:, 2] > 0, "x", "y"),
        ]
    )
    for solver in ("adam", "lbfgs"):
        model = MLPClassifier((20,), solver=solver, max_iter=80, learning_rate_init=0.02, random_state=0).fit(
            x, y
        )
        assert [list(one) for one in model.classes_] == [["a", "b", "c"], ["x", "y"]]
        assert (model.predict(x) == y).mean() > 0.95
        p = model.predict_proba(x)
        assert [one.shape for one in p] == [(300, 3), (300, 2)] and np.allclose(p[0].sum(axis=1), 1)
        assert [one.shape for one in model.predict_log_proba(x)] == [(300, 3), (300, 2)]
    times = np.arange(300) % 3
    options: dict[str, Any] = {
        "max_iter": 5,
        "random_state": 0,
        "shuffle": False,
        "batch_size": 300,
        "alpha": 0,
    }
    weighted = MLPClassifier(**options).fit(x, y, times)
    repeated = MLPClassifier(**options).fit(np.repeat(x, times, axis=0), np.repeat(y, times, axis=0))
    np.testing.assert_allclose(weighted.predict_proba(x)[0], repeated.predict_proba(x)[0], rtol=1e-9)
    stream = MLPClassifier(random_state=0).partial_fit(x[:9], y[:9], classes=[["a", "b", "c"], ["x", "y"]])
    assert stream.partial_fit(x, y).predict(x).shape == (300, 2)


def test_its_slope_is_right(rng: np.random.Generator) -> None:
    from fastnet.sklearn.targets import GroupedCrossEntropy

    net = fn.Network([fn.Dense(6, "tanh"), fn.Dense(5)], 3, "float64", seed=0)
    y = np.column_stack([rng.integers(0, 3, 8), rng.integers(0, 2, 8), rng.random(8)])
    loss = GroupedCrossEntropy([3, 2])
    x = rng.normal(size=(8, 3))
    assert fn.gradient_check(net, x, y, loss) < 1e-6
    assert fn.gradient_check(net, x, y, lambda o, t: (loss(o, t)[0], 1.01 * loss(o, t)[1])) > 1e-3


def test_several_labels_at_once_may_be_sparse(rng: np.random.Generator) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    x = rng.normal(size=(50, 3))
    y = (x @ rng.normal(size=(3, 4)) > 0).astype(int)
    dense = MLPClassifier(max_iter=5, random_state=0).fit(x, y)
    thin = MLPClassifier(max_iter=5, random_state=0).fit(x, sparse.csr_matrix(y))
    assert same(dense, thin)
    assert sparse.issparse(thin.predict(x)) and (thin.predict(x).toarray() == dense.predict(x)).all()


# ---- dtype, callbacks, progress -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "asked", "found"),
    [
        ("f4", None, "f4"),
        ("f8", None, "f8"),
        ("i4", None, "f8"),
        ("f8", "float32", "f4"),
        ("f4", "float64", "f8"),
    ],
)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_dtypes(moons: Any, given: str, asked: str | None, found: str, solver: str) -> None:
    x, y = (10 * moons[0]).astype(given), moons[1]
    model = MLPClassifier(dtype=asked, max_iter=30, solver=solver, random_state=0).fit(x, y)
    assert model.network_.dtype == found and model.coefs_[0].dtype == found
    assert model.predict_proba(x).dtype == found
    assert model.predict_proba(x[:1]).dtype == model.predict_proba(x.tolist()).dtype == found
    assert model.score(x, y) > 0.75


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_callbacks_are_called(moons: Any, solver: str) -> None:
    seen: list[Any] = []

    class Watch(Callback):
        def on_train_begin(self, trainer: fn.Trainer) -> None:
            seen.append(trainer.run.quantities)

        def on_epoch_end(self, trainer: fn.Trainer, epoch: int, logs: Any) -> None:
            seen.append((epoch, float(trainer.network.parameters.sum()), logs["loss"], logs["val_loss"]))
            if epoch == 3:
                trainer.stop("enough")

        def on_train_end(self, trainer: fn.Trainer) -> None:
            seen.append("end")

    x, y = moons
    model = MLPClassifier(callbacks=[Watch()], solver=solver, random_state=0).fit(x, y, X_val=x, y_val=y)
    assert model.n_iter_ == 3 and len(seen) == 5 and seen[-1] == "end"
    assert {"loss", "val_loss"} <= set(seen[0])
    assert seen[3][1] == pytest.approx(model.network_.parameters.sum())
    assert model.history_.stopped == "enough"
    assert model.history_["loss"] == [one[2] for one in seen[1:4]]


def test_fastnets_own_callbacks(moons: Any, tmp_path: Any) -> None:
    x, y = moons
    path = tmp_path / "run.ckpt"
    stop = EarlyStopping("val_loss", patience=2)
    callbacks = [stop, fn.callbacks.Checkpoint(path), fn.callbacks.CSVLog(tmp_path / "log.csv")]
    model = MLPClassifier(callbacks=callbacks, learning_rate_init=0.05, random_state=0)
    model.fit(x[:150], y[:150], X_val=x[150:], y_val=y[150:])
    assert model.n_iter_ < 200 and "val_loss has not improved" in model.history_.stopped
    loaded = fn.Trainer.load(path)
    assert loaded.epoch == model.n_iter_ and loaded.network.graph == model.network_.graph
    loaded.fit(x, y[:, None], epochs=1, verbose=0)
    assert len((tmp_path / "log.csv").read_text().splitlines()) == model.n_iter_ + 1


def test_a_progress_bar_on_request(moons: Any, capsys: pytest.CaptureFixture[str]) -> None:
    MLPClassifier(max_iter=3, random_state=0).fit(*moons)
    assert capsys.readouterr() == ("", "")
    MLPClassifier(max_iter=3, random_state=0, progress_bar=True).fit(*moons)
    said = capsys.readouterr()
    assert said.out == "" and "epoch 3/3" in said.err


# ---- when it goes wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_divergence_is_an_error_and_loses_nothing(line: Any, method: str) -> None:
    x, y = line
    model = MLPRegressor(solver="sgd", max_iter=1, warm_start=True, random_state=0).fit(x, y)
    model.set_params(learning_rate_init=1e12)
    with pytest.raises(ValueError, match="non-finite parameter weights: the loss was not finite in epoch"):
        for _ in range(9):
            before = model.network_.parameters.copy(), list(model.loss_curve_)
            getattr(model, method)(x, y)
    np.testing.assert_array_equal(model.network_.parameters, before[0])
    assert model.loss_curve_ == before[1] and np.isfinite(before[0]).all()
    fresh = MLPRegressor(solver="sgd", learning_rate_init=1e12)
    with pytest.raises(ValueError, match="non-finite"):
        fresh.fit(x, y)
    assert not hasattr(fresh, "coefs_")


def test_an_interrupt_keeps_what_was_trained(moons: Any) -> None:
    class Interrupt(Callback):
        def on_epoch_end(self, trainer: fn.Trainer, epoch: int, logs: Any) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted by user"):
        model = MLPClassifier(callbacks=[Interrupt()], random_state=0).fit(*moons)
    assert model.n_iter_ == 2 and len(model.predict(moons[0])) == 200


def test_weights_can_be_set(moons: Any) -> None:
    model = MLPClassifier((4,), max_iter=1, random_state=0).fit(*moons)
    model.coefs_[0][...] = 1.0
    model.coefs_[1] = np.full((4, 1), 2.0)
    model.intercepts_ = [np.zeros(4), np.zeros(1)]
    assert model.network_.parameters.sum() == 2 * 4 * 1 + 4 * 2
    with pytest.raises(ValueError, match=r"shape \(3, 1\)"):
        model.coefs_[1] = np.ones((3, 1))
    for name in ("coefs_", "intercepts_", "classes_"):
        assert not hasattr(MLPClassifier(), name)
