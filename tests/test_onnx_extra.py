"""Where the library onnx is not installed, one line says what to install."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import fastnet as fn


def test_reading_and_writing_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError) as reading:
        fn.from_onnx(tmp_path / "model.onnx")
    with pytest.raises(ImportError) as writing:
        fn.mlp([2, 1]).to_onnx(tmp_path / "model.onnx")
    assert str(reading.value) == "reading ONNX files needs onnx: pip install 'fastnet[onnx]'"
    assert str(writing.value) == "writing ONNX files needs onnx: pip install 'fastnet[onnx]'"
    assert reading.value.__suppress_context__ and writing.value.__suppress_context__
    assert list(tmp_path.iterdir()) == []
