"""The verdicts on operators against onnxruntime itself, on the real models that ONNX ships for testing backends."""

from pathlib import Path

import onnx
import onnx.backend.test
import pytest

from modelver.formats import onnx_cost
from modelver.runtimes import support

DATA = Path(onnx.backend.test.__file__).parent / "data"
MODELS = sorted(
    path
    for folder in ("simple", "pytorch-converted", "pytorch-operator", "light")
    for path in (DATA / folder).rglob("*.onnx")
)


def verdicts(path: Path) -> dict:
    proto = onnx_cost.skeleton(path)
    _, inferred = onnx_cost.estimate(proto)
    return {target.runtime: target for target in support.targets(path, inferred, support.operators(proto))}


def test_onnx_ships_models():
    assert len(MODELS) > 100


@pytest.mark.parametrize("start", range(4))
def test_what_the_kernels_promise_loads_and_what_they_lack_does_not(start):
    wrong = []
    for path in MODELS[start::8]:
        if "strnorm" in path.as_posix():
            continue  # wants a locale that not every machine has
        found = verdicts(path)
        loads, promised = found["onnxruntime"].loads, found["onnxruntime-node"].ok
        if promised is not None and loads != promised:
            wrong.append((path.parent.name, loads, promised, found["onnxruntime"].error))
    assert wrong == []


def test_the_table_of_openvino_names_operators_as_onnx_does():
    known = {f"{schema.domain or 'ai.onnx'}/{schema.name}" for schema in onnx.defs.get_all_schemas_with_history()}
    gone = {"ATen", "Affine", "ConstantFill", "Crop", "ImageScaler", "IsFinite", "SimplifiedLayerNormalization"}
    listed = support._table("openvino")["operators"]
    assert {name for name in listed if name not in known} == {f"ai.onnx/{name}" for name in gone}
    assert all(versions == sorted(versions) and versions for versions, _ in listed.values())


def test_errors_are_told_without_the_place_in_onnxruntimes_source(tmp_path):
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", 1, [1])],
        [onnx.helper.make_tensor_value_info("y", 1, [1])],
    )
    onnx.save(onnx.helper.make_model(graph, ir_version=99), tmp_path / "m.onnx")
    error = verdicts(tmp_path / "m.onnx")["onnxruntime"].error
    assert "IR version" in error
    assert "onnxruntime_src" not in error
    assert str(tmp_path) not in error
