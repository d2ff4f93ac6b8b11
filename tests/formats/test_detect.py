"""What a path holds, by content."""

import gzip
import json
import os
import pickle
import sys
import zipfile
from pathlib import Path
from subprocess import run

import joblib
import numpy as np
import onnx_models
import pytest
from safetensors.numpy import save_file

from modelver.errors import InvalidInput, NotFound
from modelver.formats.detect import detect
from modelver.formats.safetensors import INDEX


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "m.onnx").write_bytes(onnx_models.every_place().SerializeToString())
    (tmp_path / "onnx_by_content").write_bytes(onnx_models.every_place().SerializeToString())
    save_file({"a": np.ones(3, np.float32)}, tmp_path / "m.safetensors")
    save_file({"a": np.ones(3, np.float32)}, tmp_path / "safetensors_by_content")
    joblib.dump({"a": 1}, tmp_path / "m.joblib")
    (tmp_path / "m.pkl").write_bytes(pickle.dumps({"a": [1, 2]}))
    (tmp_path / "pickle_by_content").write_bytes(pickle.dumps({"a": [1, 2]}))
    with zipfile.ZipFile(tmp_path / "m.pt2", "w") as archive:
        archive.writestr("a", "b")
    (tmp_path / "m.gguf").write_bytes(b"GGUF\x03\0\0\0" + bytes(100))
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    (tmp_path / "empty").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("m.onnx", "onnx"),
        ("onnx_by_content", "onnx"),
        ("m.safetensors", "safetensors"),
        ("safetensors_by_content", "safetensors"),
        *(
            (name, "other")
            for name in ("m.joblib", "m.pkl", "pickle_by_content", "m.pt2", "m.gguf", "data.csv", "empty")
        ),
    ],
)
def test_files(files: Path, name: str, kind: str) -> None:
    assert detect(files / name) == kind


ZIP = b"PK\x03\x04" + bytes(40)


@pytest.mark.parametrize("suffix", [".onnx", ".safetensors", ".ONNX"])
@pytest.mark.parametrize(
    ("data", "what"),
    [
        (ZIP, "a zip archive"),
        (gzip.compress(b"x", mtime=0), "a gzip archive"),
        (b"<!DOCTYPE html><html>404</html>", "HTML"),
        (b"\n  <html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "Git LFS pointer"),
        (b"", "empty"),
        (pickle.dumps([1] * 300), "pickle"),
    ],
)
def test_named_like_a_model_but_something_else(tmp_path: Path, suffix: str, data: bytes, what: str) -> None:
    path = tmp_path / f"m{suffix}"
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match=what) as caught:
        detect(path)
    assert str(path) in caught.value.message


def test_truncated_models(files: Path) -> None:
    for name in ("m.onnx", "m.safetensors"):
        path = files / name
        path.write_bytes(path.read_bytes()[:60])
        with pytest.raises(InvalidInput):
            detect(path)


def folder(root: Path, *names: str) -> Path:
    path = root / "folder"
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(b"")
    return path


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("m.onnx", "m.onnx.data", "weights.bin", "config.json"), "onnx"),
        (("model.onnx", "tensors/00", "test_data_set_0/input_0.pb"), "onnx"),
        (("a.onnx", "b.onnx"), "other"),
        (("sub/a.onnx",), "other"),
        (("a.onnx", "pytorch_model.pt"), "other"),
        (("a.onnx", "a.safetensors"), "other"),
        ((INDEX, "model-00001-of-00001.safetensors", "config.json", "tokenizer.json"), "safetensors"),
        (("model.safetensors", "config.json", "1_Pooling/config.json", ".git/index.bin"), "safetensors"),
        (("model.safetensors", "pytorch_model.bin"), "other"),
        (("a.safetensors", "b.safetensors"), "other"),
        (("unet/a.safetensors",), "other"),
        (("m.gguf", "tokenizer.json"), "other"),
        (("notes.txt",), "other"),
    ],
)
def test_folders(tmp_path: Path, names: tuple[str, ...], kind: str) -> None:
    assert detect(folder(tmp_path, *names)) == kind


def test_missing_and_special(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        detect(tmp_path / "none")
    os.mkfifo(tmp_path / "fifo.onnx")
    with pytest.raises(InvalidInput, match="regular file"):
        detect(tmp_path / "fifo.onnx")


def test_formats_import_nothing_heavy() -> None:
    code = (
        "import sys, json, pkgutil, importlib, modelver.formats as f\n"
        "for m in ['detect', 'digest', 'onnx_split', 'onnx_join', 'onnx_describe', 'safetensors', 'stats']:\n"
        "    importlib.import_module(f'modelver.formats.{m}')\n"
        "print(json.dumps(sorted({'numpy', 'onnx', 'onnxruntime', 'ml_dtypes', 'google'} & set(sys.modules))))"
    )
    out = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(out.stdout) == []
