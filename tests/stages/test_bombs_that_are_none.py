"""What looks like a bomb to a careless count, and is a model that people have."""

import onnx
from malformed import doubling, functions
from onnx import TensorProto, helper, numpy_helper

from modelver.formats import onnx_bombs, onnx_cost


def test_functions_count_as_often_as_they_are_called():
    for count in (1, 5, 12):
        proto = onnx.load_from_string(functions(count))
        # a call, and below it two of the next: 1 + 2 + 4 + ... + 2^count
        assert onnx_bombs.expanded_nodes(proto) == 2 ** (count + 1) - 1
    assert onnx_bombs.expanded_nodes(onnx.load_from_string(functions(1, circle=True))) > onnx_bombs.MAX_NODES


def test_lists_are_followed_as_long_as_they_are_short():
    assert onnx_bombs.lists_stay_small(onnx.load_from_string(doubling(10)))
    assert not onnx_bombs.lists_stay_small(onnx.load_from_string(doubling(20)))


def test_tensors_that_are_put_together_are_no_lists():
    """As in a DenseNet: each layer takes all that came before."""
    nodes = [helper.make_node("Identity", ["x"], ["c0"])]
    for n in range(60):
        nodes += [helper.make_node("Relu", [f"c{n}"], [f"r{n}"]),
                  helper.make_node("Concat", [f"c{n}", f"r{n}"], [f"c{n + 1}"], axis=1)]  # fmt: skip
    graph = helper.make_graph(
        nodes, "dense", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1])],
        [helper.make_tensor_value_info("c60", TensorProto.FLOAT, None)],
    )  # fmt: skip
    assert onnx_bombs.lists_stay_small(helper.make_model(graph))


def test_a_shape_that_is_put_together_is_still_understood():
    import numpy as np

    nodes = [
        helper.make_node("Shape", ["x"], ["all"]),
        helper.make_node("Gather", ["all", "zero"], ["rows"]),
        helper.make_node("Concat", ["rows", "rest"], ["wanted"], axis=0),
        helper.make_node("Reshape", ["x", "wanted"], ["y"]),
    ]
    weights = [numpy_helper.from_array(np.array([0]), "zero"), numpy_helper.from_array(np.array([2, 3]), "rest")]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], weights,
    )  # fmt: skip
    proto = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    _, inferred = onnx_cost.estimate(proto)
    shape = inferred.graph.output[0].type.tensor_type.shape
    assert [dim.dim_value for dim in shape.dim] == [1, 2, 3]
