"""What a sidecar says of an ONNX model, and what its graph's digest tells apart."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_models
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from modelver.formats.onnx_describe import describe
from modelver.formats.onnx_split import split


def facts(model: onnx.ModelProto, folder: Path):
    path = folder / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return describe(path)


def digest(model: onnx.ModelProto, folder: Path) -> str:
    return facts(model, folder)[2]["digest"]


def test_facts(tmp_path: Path) -> None:
    model = onnx_models.every_place()
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 4]))  # an initializer
    model.graph.input.append(helper.make_tensor_value_info("ids", TensorProto.INT64, [None, 3]))
    model.graph.input.append(helper.make_tensor_sequence_value_info("seq", TensorProto.STRING, None))
    model.graph.input.append(helper.make_tensor_value_info("any", TensorProto.BFLOAT16, None))
    form, signature, graph = facts(model, tmp_path)
    assert form == {
        "name": "onnx",
        "ir_version": 10,
        "opsets": {"ai.onnx": 17, "ai.onnx.ml": 3},
        "producer": "tests 1",
        "functions": 1,
        "metadata": {"key": "value"},
    }
    assert signature == {
        "inputs": [
            {"name": "x", "dtype": "float32", "shape": ["N", onnx_models.N]},
            {"name": "ids", "dtype": "int64", "shape": [None, 3]},
            {"name": "seq", "dtype": "sequence(string)", "shape": None},
            {"name": "any", "dtype": "bfloat16", "shape": None},
        ],
        "outputs": [{"name": "y", "dtype": "float32", "shape": ["N", onnx_models.N]}],
        "labels": None,
    }
    assert graph["nodes"] == 6  # four, and one in each branch
    assert graph["operators"] == {
        "ai.onnx.ml/Scaler": 1,
        "ai.onnx/Constant": 1,
        "ai.onnx/Identity": 2,
        "ai.onnx/If": 1,
        "ai.onnx/Pad": 1,
    }


@pytest.mark.parametrize("labels", [[0, 1, 2], ["a", "b", "c"]])
@pytest.mark.parametrize("estimator", [LogisticRegression(max_iter=500), RandomForestClassifier(5, random_state=0)])
def test_scikit_learn(tmp_path: Path, estimator, labels: list) -> None:
    x, y = load_iris(return_X_y=True)
    x = x.astype(np.float32)
    exported = [
        to_onnx(estimator.fit(x[rows], np.array(labels)[y[rows]]), x[:1], options={"zipmap": False}, target_opset=17)
        for rows in (slice(0, None, 2), slice(1, None, 2))
    ]
    first, second = (facts(model, tmp_path) for model in exported)
    assert first[1]["labels"] == labels
    assert first[1]["outputs"][1]["shape"] == [None, 3]
    assert first == second  # trained on other rows: only weights moved
    other = to_onnx(estimator, x[:1], options={"zipmap": True}, target_opset=17)
    assert facts(other, tmp_path)[1]["labels"] == labels
    assert digest(other, tmp_path) != first[2]["digest"]


def _weights(model: onnx.ModelProto) -> None:
    for number, weight in enumerate(model.graph.initializer):
        weight.CopyFrom(onnx_models.matrix(50 + number, weight.name))


def _rename(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.name = f"renamed_{node.op_type}"
        node.input[:] = [name if name == "x" else f"{name}_" for name in node.input]
        node.output[:] = [name if name == "y" else f"{name}_" for name in node.output]
    for weight in model.graph.initializer:
        weight.name += "_"
    model.graph.initializer.extend([model.graph.initializer.pop(0)])


def _texts(model: onnx.ModelProto) -> None:
    model.doc_string = model.graph.doc_string = model.graph.node[0].doc_string = "text"
    model.graph.node[0].metadata_props.add(key="pkg.torch.onnx.stack_trace", value="File /home/me/x.py")
    model.graph.name = "other"
    model.producer_version = "2"
    helper.set_model_props(model, {"a": "b"})
    model.graph.value_info.append(onnx_models.value("h0"))


@pytest.mark.parametrize("change", [_weights, _rename, _texts])
def test_digest_stays(tmp_path: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx_models.chain(3)
    before = digest(model, tmp_path)
    change(model)
    assert digest(model, tmp_path) == before


def _opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 18


def _operator(model: onnx.ModelProto) -> None:
    model.graph.node[1].op_type = "Gemm"


def _attribute(model: onnx.ModelProto) -> None:
    model.graph.node[1].attribute.append(helper.make_attribute("alpha", 2.0))


def _topology(model: onnx.ModelProto) -> None:
    model.graph.node[2].input[0] = "h0"


def _input(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def _weight_shape(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].CopyFrom(onnx_models.matrix(0, "w0", 521))


def _small_attribute(model: onnx.ModelProto) -> None:
    axes = numpy_helper.from_array(np.int64([1]))
    model.graph.node.insert(0, helper.make_node("Constant", [], ["axes"], value=axes))


@pytest.mark.parametrize("change", [_opset, _operator, _attribute, _topology, _input, _weight_shape, _small_attribute])
def test_digest_moves(tmp_path: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    model = onnx_models.chain(3)
    before = digest(model, tmp_path)
    change(model)
    assert digest(model, tmp_path) != before


def test_small_attribute_tensors_count_by_value_however_they_are_held(tmp_path: Path) -> None:
    def build(value: int, raw: bool) -> onnx.ModelProto:
        axes = helper.make_tensor("a", TensorProto.INT64, [1], [value])
        if raw:
            axes = numpy_helper.from_array(np.int64([value]), "b")
        return onnx_models.model([helper.make_node("Constant", [], ["y"], value=axes)])

    assert digest(build(1, True), tmp_path) == digest(build(1, False), tmp_path)
    assert digest(build(1, True), tmp_path) != digest(build(2, True), tmp_path)


@pytest.mark.parametrize("build", [onnx_models.inner_constant, onnx_models.function, onnx_models.every_place])
def test_split_model_says_the_same_without_its_tensors(tmp_path: Path, build: Callable[[], onnx.ModelProto]) -> None:
    before = facts(build(), tmp_path)
    result = split(tmp_path / "m.onnx", tmp_path / "out")
    for file in tmp_path.glob("out/tensors/*"):
        file.unlink()
    assert describe(tmp_path / "out/model.onnx") == before == (result.format, result.signature, result.graph)
