"""Pictures: what is in them, that they are written, that pyplot is left alone."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastnet import plotting

pytest.importorskip("matplotlib")

HISTORY = {
    "loss": [2.0, 1.0, 0.5, 0.06],
    "accuracy": [0.2, 0.5, 0.8, 0.9],
    "val_loss": [2.1, 1.1, 0.7, 0.9],
    "val_accuracy": [0.2, 0.6, 0.5, 0.4],
}


def lines_of(axes) -> dict[str, list[float]]:
    return {
        line.get_label(): list(line.get_ydata()) for line in axes.get_lines() if line.get_label()[0] != "_"
    }


def pixels(path: Path) -> np.ndarray:
    from matplotlib.image import imread

    return imread(path)


# ---- curves


def test_curves_have_a_panel_for_each_quantity() -> None:
    figure = plotting.curves(HISTORY)
    loss, accuracy = figure.axes
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss", "accuracy")
    assert loss.get_xlabel() == "epoch"
    assert lines_of(loss) == {
        "training": HISTORY["loss"],
        "validation (best 0.7, epoch 3)": HISTORY["val_loss"],
    }
    assert lines_of(accuracy) == {
        "training": HISTORY["accuracy"],
        "validation (best 0.6, epoch 2)": HISTORY["val_accuracy"],
    }
    assert list(loss.get_lines()[0].get_xdata()) == [1, 2, 3, 4]
    assert (loss.get_yscale(), accuracy.get_yscale()) == ("log", "linear")
    assert [text.get_text() for text in loss.get_legend().get_texts()] == list(lines_of(loss))


def test_curves_of_one_epoch_show_a_dot() -> None:
    (axes,) = plotting.curves({"loss": [0.5]}).axes
    assert axes.get_lines()[0].get_marker() == "o"
    assert axes.get_legend() is None  # one line needs no names


def test_curves_leave_out_what_is_not_finite() -> None:
    history = {"loss": [1.0, math.inf, math.nan], "val_loss": [math.nan, math.nan, math.nan]}
    figure = plotting.curves(history)
    assert lines_of(figure.axes[0])["validation"]
    figure.canvas.draw()


@pytest.mark.parametrize("history", [{}, {"loss": []}])
def test_curves_of_nothing(history: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError, match="history has no epochs"):
        plotting.curves(history)


# ---- learning rates


def test_learning_rates() -> None:
    runs = {
        0.001: {"loss": [1.0, 0.99, 0.98]},
        0.1: {"loss": [1.0, 0.3, 0.01]},
        10: {"loss": [1.0, 500.0, math.nan]},
    }
    (axes,) = plotting.learning_rates(runs).axes
    lines = lines_of(axes)
    assert list(lines) == ["0.001", "0.1", "10 (diverged)"]
    assert lines["0.1"] == [1.0, 0.3, 0.01]
    assert axes.get_yscale() == "log"
    assert axes.get_ylim()[1] == 10.0  # 500 would hide the others
    cross = next(line for line in axes.get_lines() if line.get_marker() == "x")
    assert (list(cross.get_xdata()), list(cross.get_ydata())) == ([2], [500.0])
    assert len({line.get_color() for line in axes.get_lines() if line is not cross}) == 3


def test_learning_rates_by_another_quantity() -> None:
    runs = {"good": {"loss": [1.0], "accuracy": [0.5, 0.9]}}
    (axes,) = plotting.learning_rates(runs, quantity="accuracy").axes
    assert lines_of(axes) == {"good": [0.5, 0.9]}
    assert axes.get_ylabel() == "accuracy"


def test_learning_rates_without_what_they_need() -> None:
    with pytest.raises(ValueError, match="histories is empty"):
        plotting.learning_rates({})
    with pytest.raises(ValueError, match=r"the history of 0.1 has no 'val_loss'; it has: loss"):
        plotting.learning_rates({0.1: {"loss": [1.0]}}, quantity="val_loss")


# ---- confusion matrix


def test_confusion_matrix() -> None:
    figure = plotting.confusion_matrix([[8, 2], [1, 0]], ["cat", "dog"])
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.get_images()[0].get_array(), [[0.8, 0.2], [1.0, 0.0]])
    texts = {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}
    assert texts == {(0, 0): "8", (1, 0): "2", (0, 1): "1"}  # (column, row); zeros are left out
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", "dog"]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true class", "predicted class")


def test_confusion_matrix_with_a_class_that_does_not_occur() -> None:
    shares = plotting.confusion_matrix([[0, 0], [1, 1]]).axes[0].get_images()[0].get_array()
    np.testing.assert_array_equal(shares, [[0, 0], [0.5, 0.5]])


def test_confusion_matrix_of_many_classes_has_no_numbers() -> None:
    assert not plotting.confusion_matrix(np.eye(40, dtype=int)).axes[0].texts


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1, 2]],), r"matrix has shape \(1, 2\)"),
        (([],), r"matrix has shape \(0,\)"),
        (([[1, 2], [3, 4]], ["a"]), "class_names has 1 names; matrix has 2 classes"),
    ],
)
def test_bad_confusion_matrices(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plotting.confusion_matrix(*arguments)


# ---- images and weights


def shown(figure) -> list[np.ndarray]:
    axes = [a for a in figure.axes if a.get_label() != "<colorbar>"]
    return [np.asarray(image.get_array()) for a in axes for image in a.get_images()]


def test_images() -> None:
    digits = np.arange(12).reshape(3, 4)
    figure = plotting.images([digits, digits[:2] / 2], (2, 2), titles=["digits", "reconstructions"])
    pictures = shown(figure)
    assert len(pictures) == 5
    np.testing.assert_array_equal(pictures[1], [[4, 5], [6, 7]])
    np.testing.assert_array_equal(pictures[4], [[2, 2.5], [3, 3.5]])
    assert {image.get_clim() for axes in figure.axes for image in axes.get_images()} == {(0.0, 11.0)}
    assert [strip.get_suptitle() for strip in figure.subfigs] == ["digits", "reconstructions"]


def test_colour_images_have_their_channels_last() -> None:
    values = np.linspace(0, 1, 18).reshape(1, 3, 2, 3)
    (picture,) = shown(plotting.images([values], (3, 2, 3)))
    np.testing.assert_array_equal(picture, np.moveaxis(values[0], 0, 2))
    (grey,) = shown(plotting.images([values[:, :1]], (1, 2, 3)))
    np.testing.assert_array_equal(grey, values[0, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([np.zeros((2, 5))], (2, 2)), r"rows\[0\] has shape \(2, 5\); wanted \(N, 4\)"),
        (([np.zeros(4)], (2, 2)), r"rows\[0\] has shape \(4,\)"),
        (([], (2, 2)), "rows is empty"),
        (([np.zeros((0, 4))], (2, 2)), "rows is empty"),
        (([np.zeros((1, 4))], (4,)), r"shape is \(4,\)"),
        (([np.zeros((1, 8))], (2, 2, 2)), r"shape is \(2, 2, 2\)"),
        (([np.zeros((1, 4))], (2, 2), None, ["a", "b"]), "titles has 2 titles; rows has 1 rows"),
    ],
)
def test_bad_images(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plotting.images(*arguments)


def test_weights_are_drawn_unit_by_unit() -> None:
    import fastnet as fn

    net = fn.Network([fn.Dense(3, "relu")], inputs=4, seed=0)
    figure = plotting.weights(net.layers[0], (2, 2))
    pictures = shown(figure)
    assert len(pictures) == 3
    for unit, picture in enumerate(pictures):
        np.testing.assert_allclose(picture, net.layers[0].weights[:, unit].reshape(2, 2))
    limit = float(np.abs(net.layers[0].weights).max())
    assert figure.axes[0].get_images()[0].get_clim() == pytest.approx((-limit, limit))
    assert [figure.axes[unit].get_title() for unit in range(3)] == ["unit 0", "unit 1", "unit 2"]


def test_weights_of_many_units_stop_at_the_most_wanted() -> None:
    weights = np.random.default_rng(0).normal(size=(4, 100))
    assert len(shown(plotting.weights(weights, (2, 2), most=7))) == 7
    assert len(shown(plotting.weights(weights, (2, 2)))) == 64
    assert len(shown(plotting.weights(np.zeros((4, 1)), (2, 2)))) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros(4), (2, 2)), r"weights has shape \(4,\)"),
        ((np.zeros((5, 3)), (2, 2)), r"weights.T has shape \(3, 5\); wanted \(N, 4\)"),
    ],
)
def test_bad_weights(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plotting.weights(*arguments)


# ---- files, and what is left behind

MAKERS = {
    "curves": lambda path: plotting.curves(HISTORY, path),
    "learning_rates": lambda path: plotting.learning_rates({0.1: HISTORY}, path),
    "confusion_matrix": lambda path: plotting.confusion_matrix([[3, 1], [0, 4]], path=path),
    "images": lambda path: plotting.images([np.arange(16).reshape(4, 4)], (2, 2), path),
    "weights": lambda path: plotting.weights(np.eye(4), (2, 2), path),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_png_is_written_where_a_path_is_given(name: str, tmp_path: Path) -> None:
    figure = MAKERS[name](tmp_path / "picture.png")
    picture = pixels(tmp_path / "picture.png")
    width, height = figure.get_size_inches()
    assert picture.shape[:2] == pytest.approx((150 * height, 150 * width), abs=1)
    assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 2  # it is not blank


@pytest.mark.parametrize("name", MAKERS)
def test_an_svg_is_written_too(name: str, tmp_path: Path) -> None:
    MAKERS[name](str(tmp_path / "picture.svg"))
    assert "</svg>" in (tmp_path / "picture.svg").read_text(encoding="utf-8")


def test_history_plots_itself(tmp_path: Path) -> None:
    from fastnet.history import History

    history = History()
    history.append({"loss": 1.0}, 0.1)
    history.append({"loss": 0.5}, 0.1)
    figure = history.plot(tmp_path / "curve.png")
    assert lines_of(figure.axes[0]) == {"training": [1.0, 0.5]}
    assert (tmp_path / "curve.png").stat().st_size > 1000


def run_python(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return result.stdout.strip()


def test_matplotlib_is_not_loaded_before_a_picture_is_made_and_pyplot_never() -> None:
    code = (
        "import sys; from fastnet import plotting; before = 'matplotlib' in sys.modules;"
        "plotting.curves({'loss': [1.0]}); print(before, 'matplotlib.pyplot' in sys.modules)"
    )
    assert run_python(code) == "False False"


@pytest.mark.parametrize("name", MAKERS)
def test_without_matplotlib_the_error_names_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"^plotting needs matplotlib: pip install 'fastnet\[plot\]'$"):
        MAKERS[name](None)
