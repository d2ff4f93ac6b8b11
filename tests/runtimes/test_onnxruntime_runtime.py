import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from modelver.errors import InvalidInput, Refused
from modelver.runtimes import base


@pytest.fixture
def model(tmp_path):
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["sum"])],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"]) for name in "ab"],
        [helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["N"])],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_runs(model):
    runtime = base.find("onnxruntime")
    ones = np.ones(3, np.float32)
    assert runtime.run(model, {"a": ones, "b": ones})["sum"].tolist() == [2, 2, 2]
    assert (runtime.name, runtime.version()) == ("onnxruntime", onnxruntime.__version__)


@pytest.mark.parametrize(
    "inputs",
    [
        {"a": np.ones(3, np.float32)},
        {"a": np.ones(3), "b": np.ones(3)},
        {"a": np.ones((3, 1), np.float32), "b": np.ones(3, np.float32)},
        {"a": np.ones(3, np.float32), "b": np.ones(3, np.float32), "c": np.ones(3, np.float32)},
        {"a": np.ones(3, np.float32), "b": np.ones(2, np.float32)},
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs, model):
    with pytest.raises(InvalidInput, match=r"model\.onnx fails"):
        base.find("onnxruntime").run(model, inputs)


def test_what_does_not_load_is_refused(model):
    proto = onnx.load(model)
    proto.graph.node[0].op_type = "Nonsense"
    onnx.save(proto, model)
    with pytest.raises(InvalidInput, match=r"model\.onnx does not load in onnxruntime"):
        base.find("onnxruntime").load(model)
    model.write_bytes(b"garbage")
    with pytest.raises(InvalidInput, match="does not load"):
        base.find("onnxruntime").load(model)
    with pytest.raises(InvalidInput, match="does not load"):
        base.find("onnxruntime").load(model.with_name("gone.onnx"))


def test_an_unknown_runtime_is_told_which_there_are():
    with pytest.raises(Refused) as caught:
        base.find("tensorrt")
    assert "onnxruntime" in caught.value.hint
    assert "pip install" not in caught.value.hint
