"""Every runtime on the same real models: what it gives is what the specification says."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from modelver.errors import InvalidInput, Refused
from modelver.formats.onnx_split import split
from modelver.runtimes import base, node

ALL = ("onnxruntime", "reference", "openvino", "onnxruntime-node", "onnxruntime-web")
pytestmark = [pytest.mark.usefixtures("node_packages"), pytest.mark.xdist_group("node")]


def value(name: str, kind: int, *shape: object):
    return helper.make_tensor_value_info(name, kind, list(shape))


def save(path, nodes, inputs, outputs, tensors=(), domains=(("", 17),)):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(tensors))
    opsets = [helper.make_opsetid(*domain) for domain in domains]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.fixture
def affine(tmp_path):
    """y = x @ w + 1, and the row's largest index; w lies in a file of its own."""
    weight = np.random.default_rng(0).normal(size=(600, 500)).astype(np.float32)
    save(
        tmp_path / "whole.onnx",
        [
            helper.make_node("MatMul", ["x", "w"], ["z"]),
            helper.make_node("Add", ["z", "one"], ["y"]),
            helper.make_node("ArgMax", ["y"], ["best"], axis=1, keepdims=0),
        ],
        [value("x", TensorProto.FLOAT, "N", 600)],
        [value("y", TensorProto.FLOAT, "N", 500), value("best", TensorProto.INT64, "N")],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.float32(1), "one")],
    )
    split(tmp_path / "whole.onnx", tmp_path / "weights")
    assert any((tmp_path / "weights/tensors").iterdir())
    return tmp_path / "weights/model.onnx", weight


@pytest.mark.parametrize("name", ALL)
def test_numbers_and_external_data(name, affine):
    path, weight = affine
    x = np.random.default_rng(1).normal(size=(3, 600)).astype(np.float32)
    outputs = base.find(name).run(path, {"x": x})
    expected = x.astype(np.float64) @ weight + 1
    assert set(outputs) == {"y", "best"}
    assert outputs["y"].dtype == np.float32
    np.testing.assert_allclose(outputs["y"], expected, rtol=1e-3, atol=1e-4)
    assert outputs["best"].tolist() == expected.argmax(axis=1).tolist()
    assert outputs["best"].dtype == np.int64
    assert base.find(name).version()[0].isdigit()


@pytest.mark.parametrize("name", [name for name in ALL if name != "openvino"])
def test_text_in_and_out(name, tmp_path):
    node_ = helper.make_node(
        "LabelEncoder", ["word"], ["other"], domain="ai.onnx.ml", keys_strings=["a", "ö"],
        values_strings=["x", "ÿ"], default_string="?",
    )  # fmt: skip
    path = save(
        tmp_path / "m.onnx", [node_], [value("word", TensorProto.STRING, "N")],
        [value("other", TensorProto.STRING, "N")], domains=(("", 17), ("ai.onnx.ml", 2)),
    )  # fmt: skip
    words = np.array(["ö", "a", ""], dtype=object)
    assert base.find(name).run(path, {"word": words})["other"].tolist() == ["ÿ", "x", "?"]


@pytest.mark.parametrize("name", ALL)
def test_an_operator_that_nobody_has_is_refused(name, tmp_path):
    path = save(
        tmp_path / "m.onnx", [helper.make_node("Frobnicate", ["x"], ["y"], domain="acme")],
        [value("x", TensorProto.FLOAT, "N")], [value("y", TensorProto.FLOAT, "N")], domains=(("", 17), ("acme", 1)),
    )  # fmt: skip
    with pytest.raises(InvalidInput) as caught:
        base.find(name).run(path, {"x": np.ones(2, np.float32)})
    assert "m.onnx" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("name", ALL)
def test_inputs_of_the_wrong_shape_are_refused(name, affine):
    with pytest.raises(InvalidInput, match=r"model\.onnx fails"):
        base.find(name).run(affine[0], {"x": np.ones((2, 3), np.float32)})


def test_openvino_names_the_operator_that_it_lacks(tmp_path):
    path = save(
        tmp_path / "m.onnx",
        [helper.make_node("Scaler", ["x"], ["y"], domain="ai.onnx.ml", offset=[0.0], scale=[1.0])],
        [value("x", TensorProto.FLOAT, "N", 1)], [value("y", TensorProto.FLOAT, "N", 1)],
        domains=(("", 17), ("ai.onnx.ml", 2)),
    )  # fmt: skip
    with pytest.raises(InvalidInput, match=r"ai\.onnx\.ml\.Scaler"):
        base.find("openvino").load(path)


def test_a_package_that_is_not_there_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELVER_NODE_DIR", str(tmp_path))
    with pytest.raises(Refused) as caught:
        base.find("onnxruntime-node")
    assert caught.value.hint == "modelver stage runtimes --install onnxruntime-node"
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="Node, which is not installed"):
        base.find("onnxruntime-web")
    with pytest.raises(Refused, match="npm, which is not installed"):
        node.install("onnxruntime-web")
    with pytest.raises(Refused, match="no target that npm brings"):
        node.install("left-pad")
