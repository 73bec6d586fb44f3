"""The `fastnet` command: what it prints, what it writes, and how it says no."""

from __future__ import annotations

import csv
import gzip
import os
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import FLOWERS, HOUSES, Capture, fails, flowers, houses, run, write_csv

import fastnet as fn
from fastnet import backends, cli_train

for module in ("sklearn", "matplotlib", "rich"):
    pytest.importorskip(module, reason=f"{module} is not installed, which is in the command's extra")
pytestmark = pytest.mark.usefixtures("folder")

# ---- train


def test_train_digits(backend: str, folder: Path, capsys: Capture) -> None:
    assert run("train", "digits") == 0
    printed = capsys.readouterr().out
    accuracy = float(re.search(r"^test accuracy (0\.\d+)$", printed, re.MULTILINE)[1])
    assert accuracy >= 0.97
    kernels = r" \(installed without compiled kernels\)" if backends.available() == ["numpy"] else ""
    threads = rf"{fn.get_num_threads()} threads?"
    assert re.search(rf"^backend +{backend}{kernels}, {threads}$", printed, re.MULTILINE)
    assert re.search(r"^time +\d+\.\d\d s for 60 epochs, [\d,]+ samples/s$", printed, re.MULTILINE)
    assert re.search(r"^epoch 60/60  loss .* accuracy .* [\d,]+ samples/s$", printed, re.MULTILINE)
    assert printed.splitlines()[-1] == "wrote digits.safetensors and digits.png"
    assert (folder / "digits.png").read_bytes().startswith(b"\x89PNG")
    _, test = fn.datasets.digits()
    assert len(test) == 449  # a quarter
    net = fn.load("digits.safetensors")
    assert net.evaluate(*test)["accuracy"] == pytest.approx(accuracy, abs=5e-5)
    assert net.metadata["training"]["test accuracy"] == pytest.approx(accuracy, abs=5e-5)


def test_train_is_reproducible(capsys: Capture) -> None:
    for name in ("a", "b"):
        assert run("train", "digits", "--epochs", 3, "--output", f"{name}.safetensors", "--no-plot") == 0
    assert run("train", "digits", "--epochs", 3, "--seed", 1, "--output", "c.safetensors", "--no-plot") == 0
    a, b, c = (fn.load(f"{name}.safetensors").parameters for name in "abc")
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_train_shows_a_bar_on_a_terminal() -> None:
    pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "fastnet", "train", "digits", "--no-plot"]
    environment = {**os.environ, "COLUMNS": "140", "TERM": "xterm-256color"}
    process = subprocess.Popen(command, stderr=follower, stdout=subprocess.PIPE, env=environment, text=True)
    os.close(follower)
    shown = b""
    try:
        while chunk := os.read(leader, 65536):
            shown += chunk
    except OSError:  # how Linux says that the other end was closed
        pass
    printed, _ = process.communicate(timeout=60)
    os.close(leader)
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    for pattern in (
        r"epoch \d+/60",
        r"epoch 60/60",
        r"loss \d\.\d+",
        r"accuracy \d\.\d+",
        r"[\d,]+ samples/s",
    ):
        assert re.search(pattern, text), pattern
    assert "test accuracy" in printed and "epoch 6/60" not in printed


def test_train_mnist(mnist_root: Path, folder: Path, capsys: Capture) -> None:
    assert run("train", "mnist", "--data", mnist_root, "--epochs", 1, "--threads", 1) == 0
    printed = capsys.readouterr().out
    assert "784-128-64-10, 109,386 parameters, float32" in printed
    assert "60,000 samples to train on, 10,000 to test on" in printed
    assert float(re.search(r"test accuracy (0\.\d+)", printed)[1]) > 0.955
    assert run("predict", "mnist.safetensors", next(mnist_files(mnist_root))) == 0
    predicted = [line.split(",")[0] for line in capsys.readouterr().out.splitlines()[1:]]
    _, test = fn.datasets.mnist(mnist_root)
    assert np.mean(np.array(predicted, dtype=int) == test.y) > 0.955


def mnist_files(root: Path):
    return (path for path in sorted(root.rglob("t10k-images-idx3-ubyte*")) if path.is_file())


def test_train_a_classification(backend: str, folder: Path, capsys: Capture) -> None:
    write_csv("flowers.csv", FLOWERS, flowers())
    assert run("train", "flowers.csv", "--target", "kind") == 0
    printed = capsys.readouterr().out
    assert float(re.search(r"test accuracy ([01]\.\d+)", printed)[1]) >= 0.97
    assert "180 samples to train on, 60 to test on; 3 classes" in printed
    assert (folder / "flowers.safetensors").is_file() and (folder / "flowers.png").is_file()

    assert run("predict", "flowers.safetensors", "flowers.csv") == 0  # the target's column is ignored
    lines = list(csv.reader(capsys.readouterr().out.splitlines()))
    assert lines[0] == ["prediction", "probability"] and len(lines) == 241
    right = [row[3] == line[0] for row, line in zip(flowers(), lines[1:], strict=True)]
    assert np.mean(right) > 0.97
    assert all(0.33 < float(line[1]) <= 1.0 for line in lines[1:])


def test_predictions_do_not_depend_on_the_order_of_columns_or_rows(capsys: Capture) -> None:
    write_csv("flowers.csv", FLOWERS, flowers())
    run("train", "flowers.csv", "--target", "kind", "--quiet", "--no-plot")
    mixed = [[row[2], "ignored", row[1], row[0]] for row in flowers()[5:9]]
    write_csv("new.csv", ["ground", "remark", "width", "length"], mixed)
    capsys.readouterr()
    run("predict", "flowers.safetensors", "flowers.csv")
    wanted = capsys.readouterr().out.splitlines()[6:10]
    assert run("predict", "flowers.safetensors", "new.csv", "--output", "out.csv") == 0
    assert capsys.readouterr().out == ""
    assert Path("out.csv").read_text().splitlines()[1:] == wanted
    assert [line.split(",")[0] for line in wanted] == ["tulip", "aster", "rose", "tulip"]


@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_train_a_regression(backend: str, folder: Path, capsys: Capture, scale: float) -> None:
    rows = [[size, age, float(price) * scale] for size, age, price in houses()]
    write_csv("houses.csv", HOUSES, rows)
    assert run("train", "houses.csv", "--target", "price", "--dtype", "float64") == 0
    printed = capsys.readouterr().out
    score, error = map(float, re.search(r"test R2 (\S+), RMSE (\S+)", printed).groups())
    assert score > 0.97
    assert 4_000 * scale < error < 20_000 * scale  # in the target's own units; the noise is 5,000
    assert run("predict", "houses.safetensors", "houses.csv") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "prediction"
    residuals = np.array([float(line) for line in lines[1:]]) - [row[2] for row in rows]
    assert np.sqrt(np.mean(residuals**2)) < 20_000 * scale


def test_nothing_is_learned_from_the_held_out_part(capsys: Capture) -> None:
    """The scale comes from the training part alone."""
    rows = houses()
    write_csv("houses.csv", HOUSES, rows)
    run("train", "houses.csv", "--target", "price", "--epochs", 1, "--no-plot")
    metadata = fn.load("houses.safetensors").metadata
    columns = fn.datasets.csv("houses.csv", "price")
    train, _ = columns.split(0.25, seed=0)
    np.testing.assert_allclose(metadata["scale"]["mean"], train.x.mean(axis=0))
    np.testing.assert_allclose(metadata["target_scale"]["std"], [train.y.std()])


def test_options_are_obeyed(capsys: Capture) -> None:
    write_csv("flowers.csv", FLOWERS, flowers())
    options = """
        --hidden 7,5 --activation tanh --dropout 0.25 --dtype float64 --exclude width --test 0.5 --seed 5
        --optimizer sgd --momentum 0 --schedule constant --learning-rate 0.05 --weight-decay 0.001
        --epochs 4 --batch-size 9 --output model.st --backend numpy --threads 1
    """
    assert run("train", "flowers.csv", "--target", "kind", *options.split()) == 0
    printed = capsys.readouterr().out
    assert "3-7-5-3" in printed and re.search("^backend   numpy.*, 1 thread$", printed, re.MULTILINE)
    assert "4 epochs in batches of 9" in printed and "wrote model.st and model.png" in printed
    net = fn.load("model.st")
    assert net.dtype == np.float64 and net.seed == 5
    assert [getattr(layer, "activation", layer.__class__.__name__) for layer in net.layers] == [
        "tanh",
        "Dropout",
        "tanh",
        "Dropout",
        "softmax",
    ]
    training = net.metadata["training"]
    assert training["optimizer"] == repr(fn.SGD(0.05, weight_decay=0.001))
    assert (training["rows"], training["test rows"], training["epochs"]) == (120, 120, 4)
    assert [column["name"] for column in net.metadata["columns"]["features"]] == ["length", "ground"]


def test_without_a_held_out_part_there_is_no_score(capsys: Capture) -> None:
    write_csv("houses.csv", HOUSES, houses(60))
    assert run("train", "houses.csv", "--target", "price", "--test", 0, "--epochs", 2, "--no-plot") == 0
    printed = capsys.readouterr().out
    assert "60 samples to train on; regression" in printed and "test R2" not in printed
    assert not Path("houses.png").exists()


def test_quiet_prints_the_result_alone(capsys: Capture) -> None:
    assert run("train", "digits", "--epochs", 2, "--quiet", "--no-plot") == 0
    assert re.fullmatch(r"test accuracy 0\.\d{4}\n", capsys.readouterr().out)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "rmsprop", "adam", "adamw", "rprop"])
def test_every_optimizer_has_a_default_rate_that_learns(optimizer: str, capsys: Capture) -> None:
    arguments = ["train", "digits", "--optimizer", optimizer, "--quiet", "--no-plot"]
    assert run(*arguments) == 0
    assert float(capsys.readouterr().out.split()[-1]) > 0.95


def test_a_class_with_a_single_row_is_told(capsys: Capture) -> None:
    write_csv("flowers.csv", FLOWERS, [*flowers(), ["9.0", "1000", "clay", "orchid"]])
    assert run("train", "flowers.csv", "--target", "kind", "--epochs", 2, "--no-plot") == 0
    assert "fastnet: note: class 'orchid' has a single row" in capsys.readouterr().err


def test_ctrl_c_saves_the_model_as_it_stands(folder: Path) -> None:
    arguments = ["train", "digits", "--epochs", "1000000", "--schedule", "constant", "--no-plot"]
    command = [sys.executable, "-m", "fastnet", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("training"):
                break
        time.sleep(0.7)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    assert re.fullmatch(
        r"fastnet: interrupted in epoch \d+; the model as it stands is in digits\.safetensors\n", error
    )
    net = fn.load("digits.safetensors")
    assert net.metadata["training"]["epochs"] >= 1
    assert net.evaluate(*fn.datasets.digits()[1])["accuracy"] > 0.15


def test_ctrl_c_before_the_training(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_train, "_digits", interrupted)
    assert run("train", "digits") == 130
    assert capsys.readouterr().err == "fastnet: interrupted\n"
    assert not Path("digits.safetensors").exists()


# ---- predict


def train_digits(capsys: Capture) -> fn.Dataset:
    assert run("train", "digits", "--quiet", "--no-plot", "--epochs", 20) == 0
    capsys.readouterr()
    return fn.datasets.digits()[1]


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def test_predict_images(capsys: Capture) -> None:
    test = train_digits(capsys)
    pixels = (test.x * 16).astype(np.uint8)
    np.save("flat.npy", pixels)
    np.save("square.npy", pixels.reshape(-1, 8, 8))
    np.save("raw_floats.npy", pixels.astype(np.float64))
    np.save("scaled.npy", test.x)
    Path("images-idx3-ubyte").write_bytes(idx(pixels.reshape(-1, 8, 8)))
    Path("images.gz").write_bytes(gzip.compress(idx(pixels.reshape(-1, 8, 8))))
    outputs = set()
    for name in (
        "flat.npy",
        "square.npy",
        "raw_floats.npy",
        "scaled.npy",
        "images-idx3-ubyte",
        "images.gz",
    ):
        assert run("predict", "digits.safetensors", name) == 0
        outputs.add(capsys.readouterr().out)
    assert len(outputs) == 1
    lines = outputs.pop().splitlines()
    output = fn.load("digits.safetensors").predict(test.x)
    assert lines[1:] == [f"{row.argmax()},{row.max():.6f}" for row in output]
    for name, single in (("row.npy", pixels[3]), ("image.npy", pixels[3].reshape(8, 8))):
        np.save(name, single)
        assert run("predict", "digits.safetensors", name) == 0
        assert capsys.readouterr().out.splitlines() == [lines[0], lines[4]]


def test_predict_with_a_network_made_in_python(capsys: Capture) -> None:
    net = fn.mlp([3, 4, 2], seed=0)
    net.save("own.safetensors")
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.save("x.npy", x)
    assert run("predict", "own.safetensors", "x.npy") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "output_0,output_1"
    read = np.array([line.split(",") for line in lines[1:]], dtype=np.float32)
    assert np.array_equal(read, net.predict(x))
    assert "x.csv is a table" in fails(capsys, "predict", "own.safetensors", "x.csv")


def test_predict_says_what_is_wrong_with_a_table(capsys: Capture) -> None:
    write_csv("flowers.csv", FLOWERS, flowers())
    run("train", "flowers.csv", "--target", "kind", "--quiet", "--no-plot", "--epochs", 2)
    model = "flowers.safetensors"
    write_csv("narrow.csv", ["length", "kind"], [["1", "rose"]])
    assert "narrow.csv has no column 'width', 'ground'" in fails(capsys, "predict", model, "narrow.csv")
    write_csv("text.csv", FLOWERS[:3], [["1", "2", "clay"], ["long", "2", "clay"]])
    assert "line 3, column 'length' is 'long'; wanted a finite" in fails(capsys, "predict", model, "text.csv")
    write_csv("ground.csv", FLOWERS[:3], [["1", "2", "snow"]])
    assert "'ground' is 'snow'; known are 'clay', 'sand'" in fails(capsys, "predict", model, "ground.csv")
    write_csv("hole.csv", FLOWERS[:3], [["1", "", "clay"]])
    assert "column 'width' is empty" in fails(capsys, "predict", model, "hole.csv")
    np.save("x.npy", np.zeros((2, 3)))
    assert "x.npy is no table" in fails(capsys, "predict", model, "x.npy")
    assert "none.csv: No such file" in fails(capsys, "predict", model, "none.csv")


def test_a_failed_prediction_leaves_the_output_as_it_was(capsys: Capture) -> None:
    test = train_digits(capsys)
    np.save("wide.npy", np.zeros((2, 65)))
    Path("out.csv").write_text("precious")
    error = fails(capsys, "predict", "digits.safetensors", "wide.npy", "--output", "out.csv")
    assert "wide.npy holds float64 of shape (2, 65); wanted (N, 8, 8)" in error
    net = fn.load("digits.safetensors")
    net.metadata["classes"] = ["0"]
    net.save("damaged.safetensors")
    np.save("x.npy", test.x)
    assert "classes is damaged" in fails(
        capsys, "predict", "damaged.safetensors", "x.npy", "--output", "out.csv"
    )
    assert Path("out.csv").read_text() == "precious"


def test_predict_says_what_is_wrong_with_images(capsys: Capture) -> None:
    train_digits(capsys)
    for name, array in {
        "bytes.npy": np.full((2, 64), 255, dtype=np.uint8),
        "negative.npy": np.full((2, 64), -0.5),
        "nan.npy": np.full((2, 64), np.nan),
    }.items():
        np.save(name, array)
        assert "wanted pixels from 0 to 16, or floats" in fails(capsys, "predict", "digits.safetensors", name)
    np.save("text.npy", np.array(["a", "b"]))
    assert "does not hold an array of numbers" in fails(capsys, "predict", "digits.safetensors", "text.npy")
    Path("cut.npy").write_bytes(Path("bytes.npy").read_bytes()[:100])
    assert "cut.npy is not a .npy file, or a damaged" in fails(
        capsys, "predict", "digits.safetensors", "cut.npy"
    )
    Path("noise").write_bytes(b"noise")
    assert "noise is not an IDX file" in fails(capsys, "predict", "digits.safetensors", "noise")
    Path("table.csv").write_text("a,b\n1,2\n")
    assert "it takes images: an IDX file or a .npy" in fails(
        capsys, "predict", "digits.safetensors", "table.csv"
    )


@pytest.mark.parametrize(
    "damage",
    [
        {"columns": 5},
        {"columns": {"features": []}},
        {"scale": {"name": "other"}},
        {"scale": None},
        {"classes": "abc"},
        {"classes": ["one"]},
    ],
)
def test_damaged_metadata_is_an_error(damage: dict[str, object], capsys: Capture) -> None:
    write_csv("flowers.csv", FLOWERS, flowers(30))
    run("train", "flowers.csv", "--target", "kind", "--quiet", "--no-plot", "--epochs", 1)
    net = fn.load("flowers.safetensors")
    net.metadata |= damage
    net.save("damaged.safetensors")
    fails(capsys, "predict", "damaged.safetensors", "flowers.csv")


@pytest.mark.parametrize("images", [5, {}, {"shape": [8], "scale": {}}, {"shape": [8, 8], "scale": {}}])
def test_damaged_metadata_of_images_is_an_error(images: object, capsys: Capture) -> None:
    net = fn.mlp([64, 10], output="softmax")
    net.metadata = {"images": images, "classes": [str(i) for i in range(10)], "task": "classification"}
    net.save("damaged.safetensors")
    np.save("x.npy", np.zeros((1, 64)))
    assert "description of its images is damaged" in fails(capsys, "predict", "damaged.safetensors", "x.npy")
    assert run("info", "damaged.safetensors") == 0


def test_a_reader_that_goes_away_is_no_error(folder: Path) -> None:
    fn.mlp([2, 1], seed=0).save("own.safetensors")
    np.save("x.npy", np.zeros((200_000, 2)))
    command = [sys.executable, "-m", "fastnet", "predict", "own.safetensors", "x.npy"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline().strip() == b"output_0"
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=30) == 0
    process.stderr.close()


# ---- info


def test_info(backend: str, capsys: Capture) -> None:
    assert run("info") == 0
    printed = capsys.readouterr().out
    for pattern in (
        rf"fastnet +{re.escape(fn.__version__)}",
        rf"backend +{backend} ",
        r"instruction sets +installed: ",
        rf"threads +{fn.get_num_threads()}",
    ):
        assert re.search(pattern, printed), pattern
    assert all(name in printed for name in backends.available())


def test_info_of_a_model(capsys: Capture) -> None:
    write_csv("houses.csv", HOUSES, houses(60))
    run("train", "houses.csv", "--target", "price", "--quiet", "--no-plot", "--epochs", 2)
    capsys.readouterr()
    assert run("info", "houses.safetensors") == 0
    printed = capsys.readouterr().out
    assert str(fn.load("houses.safetensors").summary()) in printed
    for text in ("regression of 'price' from size, age", "epochs", "AdamW(", "test r2", "test rmse"):
        assert text in printed


# ---- errors and help


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("fly", "invalid choice: 'fly'"),
        ("train", "the following arguments are required: DATA"),
        ("train digit", "digit: no such file; DATA is digits, mnist or a CSV file"),
        ("train .", "Is a directory"),
        ("train digits --epochs 0", "--epochs: is '0'; wanted a whole number, at least 1"),
        ("train digits --batch-size x", "--batch-size: is 'x'; wanted a whole number"),
        ("train digits --hidden 8,zero", "--hidden: is '8,zero'; wanted sizes such as 64,32, or none"),
        ("train digits --activation rulu", "invalid choice: 'rulu'"),
        ("train digits --optimizer lbfgs", "invalid choice: 'lbfgs'"),
        ("train digits --learning-rate 0", "learning_rate must be positive"),
        ("train digits --learning-rate nan", "learning_rate must be positive and finite"),
        ("train digits --dropout 1", "--dropout is 1; wanted a part of the values to drop, at least 0 and"),
        ("train digits --dropout nan", "--dropout is nan; wanted a part of the values to drop"),
        ("train digits --seed -1", "-1"),
        ("train digits --test 1", "--test is 1; wanted a part of the rows"),
        ("train digits --test nan", "--test is nan; wanted a part of the rows"),
        ("train digits --test 0", "the digits are always tested"),
        ("train digits --target x", "--target is for CSV files"),
        ("train digits --categorical x", "--categorical is for CSV files"),
        ("train digits --delimiter ;", "--delimiter is for CSV files"),
        ("train digits --data .", "--data is the folder with the files of MNIST"),
        ("train digits --momentum 0.9", "--momentum goes with --optimizer sgd"),
        ("train digits --backend cuda", "'cuda' is not a backend's name; those it can run: "),
        ("train digits --output none/x.st", "there is no folder none"),
        ("train digits --output x.png", "wanted a file's name"),
        ("train mnist --data .", "no file train-images-idx3-ubyte"),
        ("train mnist --test 0.5", "--test is for other data"),
        (
            "train flowers.csv",
            "--target is missing: which column is to be predicted? flowers.csv has 'length', ",
        ),
        (
            "train flowers.csv --target colour",
            "flowers.csv has no column 'colour'; its columns are 'length', ",
        ),
        ("train flowers.csv --target kind --exclude x", "flowers.csv has no column 'x'"),
        ("train flowers.csv --target kind --categorical x", "flowers.csv has no column 'x'"),
        ("train flowers.csv --target kind --delimiter ab", "delimiter is 'ab'; wanted one character"),
        ("train flowers.csv --target kind --task regression", "wanted a finite number"),
        ("predict none.st flowers.csv", "none.st: No such file or directory"),
        ("predict flowers.csv flowers.csv", "not a safetensors file"),
        ("predict run.ckpt flowers.csv", "it holds a checkpoint; wanted a network"),
        ("info flowers.csv", "not a safetensors file"),
    ],
)
def test_a_mistake_gets_one_line(arguments: str, message: str, folder: Path, capsys: Capture) -> None:
    write_csv("flowers.csv", FLOWERS, flowers(9))
    fn.Trainer(fn.mlp([2, 1]), loss="mean_squared_error").save("run.ckpt")
    before = sorted(folder.iterdir())
    error = fails(capsys, *arguments.split())
    assert message in error
    assert sorted(folder.iterdir()) == before  # nothing is written


def test_a_training_that_diverges_at_once_writes_nothing(folder: Path, capsys: Capture) -> None:
    assert run("train", "digits", "--learning-rate", "1e30") == 1
    error = capsys.readouterr().err
    assert re.fullmatch(
        r"fastnet: error: the loss was not finite in epoch 1, learning rate [\d.]+e\+28, so no model is "
        r"written; lower --learning-rate\n",
        error,
    )
    assert list(folder.iterdir()) == []


def test_a_training_that_diverges_late_keeps_the_last_good_weights(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(rate: float) -> fn.schedules.Schedule:
        return fn.schedules.Step(rate, every=3, factor=1e30)

    monkeypatch.setattr(cli_train, "Constant", explode)
    arguments = ["train", "digits", "--schedule", "constant", "--optimizer", "sgd", "--momentum", "0"]
    assert run(*arguments, "--no-plot") == 1
    captured = capsys.readouterr()
    assert "fastnet: warning: the loss was not finite in epoch 4" in captured.err
    assert float(re.search(r"test accuracy (0\.\d+)", captured.out)[1]) > 0.5
    assert np.isfinite(fn.load("digits.safetensors").parameters).all()


@pytest.mark.parametrize(
    ("module", "arguments", "message"),
    [
        ("sklearn.datasets", ["train", "digits"], "pip install 'fastnet[cli]'"),
        ("matplotlib", ["train", "digits"], "pip install 'fastnet[cli]', or add --no-plot"),
    ],
)
def test_a_missing_extra_is_named(
    module: str, arguments: list[str], message: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert message in fails(capsys, *arguments)


@pytest.mark.parametrize("command", ["train", "predict", "info"])
def test_help_has_an_example(command: str, capsys: Capture) -> None:
    assert run(command, "--help") == 0
    printed = capsys.readouterr().out
    assert re.search(rf"^  fastnet {command}", printed.partition("examples:")[2], re.MULTILINE)


def test_help_names_the_backend_that_is_taken(backend: str, capsys: Capture) -> None:
    assert run("train", "--help") == 0
    assert f"(default: {backend})" in " ".join(capsys.readouterr().out.split())


def test_help_and_version(capsys: Capture) -> None:
    assert run("--help") == 0
    printed = capsys.readouterr().out
    assert "train" in printed and "predict" in printed and "info" in printed
    assert run("--version") == 0
    assert capsys.readouterr().out == f"fastnet {fn.__version__}\n"


def test_python_m_fastnet() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fastnet", "train", "nothing"], capture_output=True, text=True
    )
    assert done.returncode == 2 and done.stderr.startswith("fastnet: error: nothing: no such file")
