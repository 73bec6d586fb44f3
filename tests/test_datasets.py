"""Datasets: the bundled, the downloaded and the computed ones."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastnet import datasets
from fastnet.data import Dataset
from fastnet.datasets import read_idx
from fastnet.download import cache_folder, fetch
from fastnet.errors import FastnetFormatError

FILES = tuple(datasets.MNIST_SHA256)
STEMS = tuple(name.removesuffix(".gz") for name in FILES)
REAL_DATA = os.environ.get("FASTNET_DATA", "")


@pytest.fixture(autouse=True)
def no_data_from_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads or fills the user's own folders."""
    monkeypatch.delenv("FASTNET_DATA", raising=False)
    monkeypatch.setenv("FASTNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def idx(array: np.ndarray, code: int = 0x08) -> bytes:
    """An array as an IDX file."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def tiny_mnist(rows: int = 3) -> dict[str, bytes]:
    """Four files of MNIST's form, not gzipped, by name without .gz."""
    random = np.random.default_rng(0)
    files = {}
    for part, count in (("train", rows), ("t10k", rows - 1)):
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        images[0, 0, :2] = 0, 255
        files[f"{part}-images-idx3-ubyte"] = idx(images)
        files[f"{part}-labels-idx1-ubyte"] = idx(np.arange(9, 9 - count, -1).astype(np.uint8))
    return files


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


# ---- digits -----------------------------------------------------------------------------------------


def test_digits() -> None:
    load_digits = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed").load_digits
    train, test = datasets.digits()
    assert (len(train), len(test)) == (1348, 449)
    pixels, labels = load_digits(return_X_y=True)
    label_of = {tuple(row): label for row, label in zip((pixels / 16).tolist(), labels, strict=True)}
    for part in (train, test):
        assert part.x.dtype == np.float32 and part.x.shape[1:] == (64,)
        assert (part.x.min(), part.x.max()) == (0.0, 1.0)
        assert part.class_names == tuple("0123456789") and part.name == "digits"
        assert [label_of[tuple(row)] for row in part.x.tolist()] == part.y.tolist()
    assert len({tuple(row) for part in (train, test) for row in part.x.tolist()}) == len(label_of)
    shares = np.bincount(test.y) / np.bincount(labels)
    assert np.abs(shares - 0.25).max() < 0.006  # one row of 180
    assert np.array_equal(datasets.digits(seed=0)[0].y, train.y)
    assert not np.array_equal(datasets.digits(seed=1)[0].y, train.y)
    assert len(datasets.digits(0.5)[1]) == 899
    with pytest.raises(ValueError, match=r"fraction is 1\.5"):
        datasets.digits(1.5)


def test_digits_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(
        ImportError, match=r"^loading the digits needs scikit-learn: pip install 'fastnet\[cli\]'$"
    ):
        datasets.digits()


# ---- IDX files --------------------------------------------------------------------------------------

DTYPES = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}


@given(data=st.data(), code=st.sampled_from(list(DTYPES)), packed=st.booleans())
def test_read_idx_gives_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, code: int, packed: bool
) -> None:
    array = data.draw(hnp.arrays(DTYPES[code], hnp.array_shapes(max_dims=4, max_side=5)))
    path = tmp_path_factory.mktemp("idx") / "file"
    content = idx(array, code)
    path.write_bytes(gzip.compress(content) if packed else content)
    found = read_idx(path)
    assert found.dtype == array.dtype and found.dtype.isnative and found.shape == array.shape
    assert found.tobytes() == array.tobytes()  # bit by bit, NaN too


IMAGES = idx(np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4))
PACKED = gzip.compress(IMAGES, mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (b"\0\0\x08", "begins with 00 00 08"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is not an IDX file: it begins with 89 50 4e 47"),
        (b"\0\0\x07\x01" + bytes(100), "is not an IDX file"),
        (b"\0\0\x08\x00" + bytes(100), "has 0 dimensions; wanted 1 to 8"),
        (b"\0\0\x08\xff" + bytes(2000), "has 255 dimensions"),
        (b"\0\0\x08\x03\0\0\0\x02\0\0", "ends in the header"),
        (b"\0\0\x08\x02\0\0\0\0\xff\xff\xff\xff", "no empty dimension"),
        (IMAGES[:-1], "is truncated: it holds 23 bytes of values; shape .* needs 24"),
        (IMAGES[:16], "is truncated"),
        (IMAGES + b"\0", "goes on after the 24 bytes"),
        (gzip.compress(IMAGES[:-1], mtime=0), "is truncated: it holds 23 bytes"),
        (gzip.compress(IMAGES + b"\0", mtime=0), "goes on after the 24 bytes"),
        (PACKED[:-9], "is damaged gzip data"),
        (PACKED[:12], "is damaged gzip data"),
        (PACKED[:-6] + b"\0" + PACKED[-5:], "is damaged gzip data: CRC"),
        (
            PACKED[:14] + bytes([PACKED[14] ^ 0xFF]) + PACKED[15:],
            "is damaged|is truncated|is not an IDX file|no empty|goes on",
        ),
        (PACKED + b"garbage", "is damaged gzip data"),
        (gzip.compress(PACKED, mtime=0), "is not an IDX file"),
    ],
    ids=lambda value: value if isinstance(value, str) else len(value),
)
def test_damaged_idx_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(FastnetFormatError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shape", [(2**31, 28, 28), (2**32 - 1,) * 8, (2**24, 1)])
def test_a_header_that_lies_allocates_nothing(tmp_path: Path, shape: tuple[int, ...], packed: bool) -> None:
    import tracemalloc

    content = struct.pack(f">BBBB{len(shape)}I", 0, 0, 0x0E, len(shape), *shape) + bytes(1000)
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(content) if packed else content)
    tracemalloc.start()
    try:
        with pytest.raises(FastnetFormatError, match="is truncated: shape"):
            read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


@given(content=st.binary(max_size=60), packed=st.booleans())
def test_random_bytes_never_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, packed: bool
) -> None:
    path = tmp_path_factory.mktemp("idx") / "file"
    for head in (b"", b"\0\0\x08\x01", b"\0\0\x0d\x01\0\0\0\x02"):
        path.write_bytes(gzip.compress(head + content) if packed else head + content)
        try:
            found = read_idx(path)
        except FastnetFormatError:
            continue
        assert found.nbytes <= len(content)


# ---- MNIST from a folder ----------------------------------------------------------------------------


def check_tiny(parts: tuple[Dataset, Dataset], files: dict[str, bytes]) -> None:
    for part, stem, rows in zip(parts, ("train", "t10k"), (3, 2), strict=True):
        pixels = np.frombuffer(files[f"{stem}-images-idx3-ubyte"][16:], np.uint8).reshape(rows, 784)
        assert part.x.dtype == np.float32 and part.x.shape == (rows, 784)
        assert np.array_equal(part.x, pixels.astype(np.float32) / np.float32(255))
        assert part.x[0, :2].tolist() == [0.0, 1.0]
        assert part.y.dtype == np.int64 and part.y.tolist() == [9, 8, 7][:rows]
        assert part.class_names == tuple("0123456789") and part.name == "mnist"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("inside", ["", "mnist"])
@pytest.mark.parametrize("by", ["root", "FASTNET_DATA"])
def test_mnist_from_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool, inside: str, by: str
) -> None:
    files = tiny_mnist()
    stored = {name + ".gz": gzip.compress(content) for name, content in files.items()} if packed else files
    write_files(tmp_path / "data" / inside, stored)
    if by == "root":
        monkeypatch.setenv("FASTNET_DATA", str(tmp_path / "not there"))
        check_tiny(datasets.mnist(tmp_path / "data"), files)
    else:
        monkeypatch.setenv("FASTNET_DATA", str(tmp_path / "data"))
        check_tiny(datasets.mnist(), files)


def test_mnist_as_images(tmp_path: Path) -> None:
    root = write_files(tmp_path / "data", tiny_mnist())
    flat, images = datasets.mnist(str(root))[0], datasets.mnist(root, flat=False)[0]
    assert images.x.shape == (3, 1, 28, 28)
    assert np.array_equal(images.x.reshape(3, 784), flat.x)


@pytest.mark.parametrize("missing", STEMS)
def test_a_missing_file_is_named_and_nothing_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    root = write_files(tmp_path / "data", {name: c for name, c in tiny_mnist().items() if name != missing})
    with pytest.raises(FileNotFoundError, match=rf"no file {missing} or {missing}\.gz in .*data \(root\)"):
        datasets.mnist(root)
    monkeypatch.setenv("FASTNET_DATA", str(root))
    with pytest.raises(FileNotFoundError, match="FASTNET_DATA"):
        datasets.mnist()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("stem", "content", "message"),
    [
        (STEMS[0], idx(np.zeros((3, 27, 28), np.uint8)), r"holds uint8 of shape \(3, 27, 28\); wanted"),
        (STEMS[0], idx(np.zeros((3, 28, 28), np.int8), 0x09), "holds int8"),
        (
            STEMS[1],
            idx(np.zeros(4, np.uint8)),
            r"shape \(4,\); wanted uint8 of shape \(3,\), a label for each",
        ),
        (STEMS[3], idx(np.array([1, 10], np.uint8)), r"holds the label 10; wanted 0 \.\. 9"),
        (STEMS[2], tiny_mnist()[STEMS[2]][:-1], "is truncated"),
    ],
)
def test_files_of_another_form(tmp_path: Path, stem: str, content: bytes, message: str) -> None:
    root = write_files(tmp_path / "data", tiny_mnist() | {stem: content})
    with pytest.raises(FastnetFormatError, match=f"{stem}.*{message}"):
        datasets.mnist(root)


def test_the_real_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    if not REAL_DATA:
        pytest.skip("FASTNET_DATA names no folder with MNIST")
    monkeypatch.setenv("FASTNET_DATA", REAL_DATA)
    train, test = datasets.mnist()
    assert train.x.shape == (60000, 784) and test.x.shape == (10000, 784)
    assert np.bincount(test.y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(train.y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert (train.x.min(), train.x.max()) == (0.0, 1.0)
    assert train.x.mean() == pytest.approx(0.1307, abs=1e-4)


# ---- download ---------------------------------------------------------------------------------------


class Server:
    """A web server of this process: contents by path, statuses by path, and the paths asked for."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.announced: dict[str, int] = {}
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                content = server.contents.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(server.announced.get(self.path, len(content))))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


CONTENT = bytes(range(256)) * 1000  # more than one chunk
SUM = hashlib.sha256(CONTENT).hexdigest()


def test_a_download_is_stored_once(server: Server, tmp_path: Path) -> None:
    server.contents["/base/file.gz"] = CONTENT
    folder = tmp_path / "new" / "folder"
    for base in (f"{server.url}/base", f"{server.url}/base/"):
        path = fetch("file.gz", folder, urls=[base], sha256=SUM)
        assert path == folder / "file.gz" and path.read_bytes() == CONTENT
    assert server.asked == ["/base/file.gz"]
    assert os.listdir(folder) == ["file.gz"]


def test_a_stored_file_that_was_damaged_is_downloaded_again(server: Server, tmp_path: Path) -> None:
    server.contents["/file.gz"] = CONTENT
    (tmp_path / "file.gz").write_bytes(CONTENT[:-1])
    assert fetch("file.gz", tmp_path, urls=[server.url], sha256=SUM).read_bytes() == CONTENT


def test_the_second_mirror_is_asked_if_the_first_has_nothing_good(server: Server, tmp_path: Path) -> None:
    server.contents["/bad/file.gz"] = CONTENT[::-1]
    server.contents["/good/file.gz"] = CONTENT
    urls = [f"{server.url}/{name}" for name in ("none", "bad", "good", "never")]
    assert fetch("file.gz", tmp_path, urls=urls, sha256=SUM).read_bytes() == CONTENT
    assert server.asked == ["/none/file.gz", "/bad/file.gz", "/good/file.gz"]
    assert os.listdir(tmp_path) == ["file.gz"]


def wrong(server: Server) -> str:
    server.contents["/file.gz"] = CONTENT + b"x"
    return r"the SHA-256 sum of what came is [0-9a-f]{64}; wanted [0-9a-f]{64}"


def truncated(server: Server) -> str:
    server.contents["/file.gz"] = CONTENT[:-10]
    server.announced["/file.gz"] = len(CONTENT)
    return f"{len(CONTENT) - 10} of {len(CONTENT)} bytes"


def absent(server: Server) -> str:
    return "HTTP Error 404"


def unreachable(server: Server) -> str:
    server.url = "http://127.0.0.1:1"
    return "refused"


def no_address(server: Server) -> str:
    server.url = "ftp//"
    return "unknown url type"


@pytest.mark.parametrize("trouble", [wrong, truncated, absent, unreachable, no_address])
def test_a_failed_download_leaves_nothing_behind(
    server: Server, tmp_path: Path, trouble: Callable[[Server], str]
) -> None:
    message = trouble(server)
    with pytest.raises(OSError, match=rf"^file\.gz could not be downloaded: .*file\.gz: .*{message}"):
        fetch("file.gz", tmp_path, urls=[server.url], sha256=SUM)
    assert os.listdir(tmp_path) == []


def test_no_mirrors(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no address is given"):
        fetch("file.gz", tmp_path, urls=[], sha256=SUM)


def test_a_silent_server_is_given_up(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(OSError, match="timed out"):
            fetch("file.gz", tmp_path, urls=[url], sha256=SUM, timeout=0.05)
    assert os.listdir(tmp_path) == []


def test_an_interrupted_download_leaves_nothing_behind(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.contents["/file.gz"] = CONTENT

    def interrupt(*arguments: object) -> None:
        assert len(os.listdir(tmp_path)) == 1  # the temporary file
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch("file.gz", tmp_path, urls=[server.url], sha256=SUM)
    assert os.listdir(tmp_path) == []


def test_mnist_is_downloaded_to_the_cache(server: Server, tmp_path: Path) -> None:
    files = tiny_mnist()
    packed = {f"{name}.gz": gzip.compress(content) for name, content in files.items()}
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in packed.items()}
    server.contents.update({f"/m/{name}": content for name, content in packed.items()})
    urls = [f"{server.url}/nothing", f"{server.url}/m"]
    check_tiny(datasets.mnist(urls=urls, checksums=sums), files)
    assert sorted(os.listdir(tmp_path / "cache" / "mnist")) == sorted(FILES)
    asked = len(server.asked)
    check_tiny(datasets.mnist(urls=urls, checksums=sums), files)
    assert len(server.asked) == asked  # the second time from the cache
    with pytest.raises(OSError, match="can be given as root or in FASTNET_DATA"):
        datasets.mnist(urls=urls)  # these are not the published files
    with pytest.raises(ValueError, match=r"checksums has no sum for train-images-idx3-ubyte\.gz"):
        datasets.mnist(urls=urls, checksums={})


def test_the_place_of_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("FASTNET_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "fastnet"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / "home" / ".cache" / "fastnet"


# ---- computed datasets ------------------------------------------------------------------------------


def test_truth_tables() -> None:
    inputs = [[0, 0], [0, 1], [1, 0], [1, 1]]
    for data, wanted in ((datasets.nand(), [1, 1, 1, 0]), (datasets.xor(), [0, 1, 1, 0])):
        assert data.x.tolist() == inputs and data.y.tolist() == wanted
        assert data.x.dtype == np.float32 and data.y.dtype == np.int64
    data = datasets.trask()
    assert data.x.tolist() == [[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]]
    assert data.y.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_parity(bits: int) -> None:
    data = datasets.parity(bits)
    assert len(data) == 2**bits
    for number, (row, label) in enumerate(zip(data.x.astype(int), data.y, strict=True)):
        assert "".join(map(str, row)) == f"{number:0{bits}b}"
        assert label == (number % 2 == 0)
    assert data.class_names == ("odd", "even")


@pytest.mark.parametrize("make", [datasets.spirals, datasets.moons])
def test_points_depend_on_the_seed_only_and_are_shuffled(make: Callable[..., Dataset]) -> None:
    first, again, other = make(n=101, seed=1), make(n=101, seed=1), make(n=101, seed=2)
    assert np.array_equal(first.x, again.x) and np.array_equal(first.y, again.y)
    assert not np.array_equal(first.x, other.x)
    assert first.x.shape == (101, 2) and first.x.dtype == np.float32
    counts = np.bincount(first.y)
    assert counts.max() - counts.min() <= 1
    assert (np.diff(first.y) != 0).mean() > 0.3


def test_moons_without_noise_are_half_circles() -> None:
    x, y = datasets.moons(200, noise=0.0)
    for label, center, side in ((0, [0.0, 0.0], 1.0), (1, [1.0, 0.5], -1.0)):
        offset = x[y == label] - center
        assert np.hypot(*offset.T) == pytest.approx(np.ones(100), abs=1e-6)
        assert (side * offset[:, 1] > -1e-6).all()
    noisy = datasets.moons(2000, noise=0.1)
    radius = np.hypot(*noisy.x[noisy.y == 0].T)
    assert radius.std() == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_spirals_are_arms_at_equal_angles(classes: int) -> None:
    x, y = datasets.spirals(60 * classes, classes, noise=0.0)
    radius = np.hypot(*x.T)
    assert radius.max() == pytest.approx(1.0) and radius.min() == pytest.approx(1 / 60, rel=1e-5)
    turned = np.arctan2(x[:, 1], x[:, 0]) - 4.0 * radius - 2 * np.pi * y / classes
    assert np.abs(np.sin(turned / 2)).max() < 1e-5
    noisy = datasets.spirals(900, classes, noise=0.2)
    turned = (
        np.arctan2(noisy.x[:, 1], noisy.x[:, 0]) - 4.0 * np.hypot(*noisy.x.T) - 2 * np.pi * noisy.y / classes
    )
    assert np.angle(np.exp(1j * turned)).std() == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: datasets.parity(0), ValueError, "bits is 0; wanted an integer from 1 to 20"),
        (lambda: datasets.parity(21), ValueError, "bits is 21"),
        (lambda: datasets.parity(3.0), TypeError, "bits is 3.0"),
        (lambda: datasets.spirals(classes=1), ValueError, "classes is 1; wanted an integer of at least 2"),
        (lambda: datasets.spirals(2, 3), ValueError, "n is 2; wanted an integer of at least 3"),
        (
            lambda: datasets.spirals(noise=-0.1),
            ValueError,
            "noise is -0.1; wanted a finite number of at least 0",
        ),
        (lambda: datasets.moons(1), ValueError, "n is 1"),
        (lambda: datasets.moons(noise=float("nan")), ValueError, "noise is nan"),
        (lambda: datasets.moons(noise="much"), TypeError, "noise is 'much'"),
    ],
)
def test_bad_arguments(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_every_public_name_is_there() -> None:
    assert all(hasattr(datasets, name) for name in datasets.__all__)
