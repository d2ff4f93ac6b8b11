"""Measuring split weights again gives the manifest that splitting gave, from wherever the files lie."""

from pathlib import Path

import numpy as np
import onnx
import onnx_models
import pytest
from onnx import TensorProto, helper, numpy_helper

from modelver.core.manifest import FileEntry, TensorEntry
from modelver.core.verify import judge_tensors
from modelver.errors import InvalidInput, NotFound
from modelver.formats import onnx_split, safetensors
from modelver.formats.remeasure import measure


def scattered(weights: Path, cache: Path, files: tuple[FileEntry, ...]) -> dict[str, Path]:
    """The files under other names, as DVC's cache has them, read-only and with a second name."""
    cache.mkdir()
    paths = {}
    for number, entry in enumerate(files):
        paths[entry.path] = cache / f"object-{number}"
        (weights / entry.path).rename(paths[entry.path])
        paths[entry.path].chmod(0o444)
        (cache / f"link-{number}").hardlink_to(paths[entry.path])
    return paths


def small_tensors() -> onnx.ModelProto:
    """Beside a big one: strings, an int4, a small Constant, a scalar, an empty tensor."""
    weights = [
        onnx_models.matrix(1, "big"),
        helper.make_tensor("labels", TensorProto.STRING, [2], [b"yes", b"no"]),
        helper.make_tensor("quarter", TensorProto.INT4, [3], [1, -2, 3]),
        numpy_helper.from_array(np.float32(2.5), "scalar"),
        numpy_helper.from_array(np.zeros((0, 4), np.float32), "empty"),
        numpy_helper.from_array(np.array([np.nan, np.inf, 0, 1], np.float16), "odd"),
    ]
    nodes = [
        helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(np.ones(4, np.float32))),
        helper.make_node("MatMul", ["x", "big"], ["y"]),
    ]
    return onnx_models.model(nodes, weights, opsets=(("", 21),))


def external_constant(folder: Path) -> Path:
    """A small Constant whose data lies in a file of its own: listed, though inline after the split."""
    tensor = numpy_helper.from_array(np.arange(4, dtype=np.float32), "")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, text in (("location", "data"), ("length", "16")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, text
    nodes = [helper.make_node("Constant", [], ["k"], value=tensor), helper.make_node("Identity", ["x"], ["y"])]
    folder.mkdir()
    (folder / "data").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    (folder / "m.onnx").write_bytes(onnx_models.model(nodes).SerializeToString())
    return folder / "m.onnx"


MODELS = {
    "chain": lambda: onnx_models.chain(3),
    "inner initializers": onnx_models.inner_initializers,
    "inner constant": onnx_models.inner_constant,
    "constant": onnx_models.constant,
    "function": onnx_models.function,
    "sparse": onnx_models.sparse_constant,
    "typed": onnx_models.typed,
    "every place": onnx_models.every_place,
    "small": small_tensors,
}


def source(tmp_path: Path, name: str) -> Path:
    if name == "external constant":
        return external_constant(tmp_path / "source")
    path = tmp_path / "m.onnx"
    path.write_bytes(MODELS[name]().SerializeToString())
    return path


@pytest.mark.parametrize("name", [*MODELS, "external constant"])
def test_onnx(tmp_path, name):
    found = onnx_split.split(source(tmp_path, name), tmp_path / "weights")
    assert found.tensors
    paths = scattered(tmp_path / "weights", tmp_path / "cache", found.files)
    measured = measure(paths)
    assert judge_tensors("tensors.jsonl", found.tensors, measured) == []
    assert {entry for entry, must in measured if must} <= {*found.tensors} <= {entry for entry, _ in measured}


def test_safetensors(tmp_path):
    from safetensors.numpy import save_file

    rng = np.random.default_rng(3)
    tensors = {
        "big": rng.standard_normal((600, 600), dtype=np.float32),
        "a": rng.integers(0, 9, 5),
        "b": np.ones((2, 3)),
    }
    (tmp_path / "source").mkdir()
    save_file(tensors, str(tmp_path / "source/model.safetensors"))
    found = safetensors.split(tmp_path / "source/model.safetensors", tmp_path / "weights")
    paths = scattered(tmp_path / "weights", tmp_path / "cache", found.files)
    paths["adapter.safetensors"] = tmp_path / "cache/link-0"  # a companion, whatever it holds
    measured = measure(paths)
    assert [must for _, must in measured] == [True] * 3
    assert judge_tensors("tensors.jsonl", found.tensors, measured) == []


def test_each_field_of_each_line_counts(tmp_path):
    """Of the manifest, one field changed at a time; and of a tensor file, one byte."""
    found = onnx_split.split(source(tmp_path, "small"), tmp_path / "weights")
    paths = scattered(tmp_path / "weights", tmp_path / "cache", found.files)
    measured = measure(paths)
    for index, entry in enumerate(found.tensors):
        for field in TensorEntry.__slots__:
            value = getattr(entry, field)
            other = (value, 7) if field == "shape" else f"{value}x" if isinstance(value, str) else (value or 0) + 1
            changed = TensorEntry(**{**{f: getattr(entry, f) for f in entry.__slots__}, field: other})
            listed = [*found.tensors[:index], changed, *found.tensors[index + 1 :]]
            assert judge_tensors("t", listed, measured), (entry.name, field)
    big = next(path for name, path in paths.items() if name.startswith("tensors/"))
    data = bytearray(big.read_bytes())
    data[-1] ^= 1
    big.chmod(0o644)
    big.write_bytes(data)
    (problem,) = judge_tensors("t", found.tensors, measure(paths))
    assert "sha256" in problem.message


def test_what_is_missing_or_not_listed(tmp_path):
    found = onnx_split.split(source(tmp_path, "chain"), tmp_path / "weights")
    paths = scattered(tmp_path / "weights", tmp_path / "cache", found.files)
    del paths[f"tensors/{found.tensors[0].sha256}"]
    with pytest.raises(InvalidInput, match="missing"):
        measure(paths)
    paths["model.onnx"] = tmp_path / "nothing"
    with pytest.raises(NotFound):
        measure(paths)
