"""Versions share what they share: one changed tensor of 64 costs one tensor; readers take the weights as they lie."""

import os
from pathlib import Path

import numpy as np
import pytest
from sandbox import Sandbox

WIDTH = 512  # 512 x 512 float32 is 1 MiB, the size from which a tensor has a file of its own
COUNT = 64


def _tensors(changed: int | None) -> dict[str, np.ndarray]:
    seeds = [1000 if n == changed else n for n in range(COUNT)]
    return {
        f"layer{n:02}": np.random.default_rng(seed).standard_normal((WIDTH, WIDTH)).astype(np.float32) / WIDTH
        for n, seed in enumerate(seeds)
    }


def _onnx(path: Path, changed: int | None) -> Path:
    from onnx import TensorProto, helper, numpy_helper, save

    tensors = _tensors(changed)
    values = ["x", *(f"h{n}" for n in range(COUNT))]
    nodes = [helper.make_node("MatMul", [values[n], name], [values[n + 1]]) for n, name in enumerate(tensors)]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", WIDTH])],
        [helper.make_tensor_value_info(values[-1], TensorProto.FLOAT, ["N", WIDTH])],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), str(path))
    return path


def _safetensors(path: Path, changed: int | None) -> Path:
    from safetensors.numpy import save_file

    save_file(_tensors(changed), str(path))
    return path


def _bytes_below(folder: Path) -> int:
    return sum((Path(place) / name).stat().st_size for place, _, names in os.walk(folder) for name in names)


@pytest.mark.parametrize("make", [_onnx, _safetensors])
def test_one_changed_tensor_of_64_costs_that_tensor(empty_repo: Sandbox, tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    suffix = make.__name__.removeprefix("_")
    source = make(tmp_path / f"model.{suffix}", None)
    empty_repo.mv("add", "m", str(source))
    empty_repo.commit("add m")
    empty_repo.mv("tag", "m")
    first = _bytes_below(empty_repo.root / ".dvc/cache/files")
    make(source, 7)
    empty_repo.mv("add", "m", str(source))
    empty_repo.mv("tag", "m")
    grown = _bytes_below(empty_repo.root / ".dvc/cache/files") - first
    tensor = WIDTH * WIDTH * 4
    assert tensor <= grown <= 1.02 * tensor

    diff = empty_repo.mv("diff", "v1.0.0", "v1.0.1", "--format", "json").json()
    assert diff["tensors"]["same"] == COUNT - 1
    assert [change["name"] for change in diff["tensors"]["changed"]] == ["layer07"]

    _check_loads(empty_repo.root / "models/m/weights", suffix, changed=7)
    empty_repo.git("checkout", "-q", "m@v1.0.0")
    _check_loads(empty_repo.root / "models/m/weights", suffix, changed=None)


def _check_loads(weights: Path, suffix: str, changed: int | None) -> None:
    expected = _tensors(changed)
    if suffix == "onnx":
        import onnxruntime

        x = np.random.default_rng(5).standard_normal((2, WIDTH)).astype(np.float32)
        session = onnxruntime.InferenceSession(str(weights / "model.onnx"), providers=["CPUExecutionProvider"])
        wanted = x.astype(np.float64)
        for array in expected.values():
            wanted = wanted @ array
        np.testing.assert_allclose(session.run(None, {"x": x})[0], wanted, rtol=1e-3, atol=1e-6)
        return
    import json

    from safetensors import safe_open

    index = json.loads((weights / "model.safetensors.index.json").read_text())
    assert set(index["weight_map"]) == set(expected)
    for name, shard in index["weight_map"].items():
        with safe_open(str(weights / shard), framework="numpy") as reader:
            np.testing.assert_array_equal(reader.get_tensor(name), expected[name])
