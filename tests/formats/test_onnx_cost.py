"""Operations and memory, against figures worked out by hand."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from modelver.errors import InvalidInput
from modelver.formats import onnx_cost


def model(nodes, inputs, outputs, weights=None, opset=17, domains=()):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs],
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in outputs],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(*domain) for domain in domains)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def cost(proto, **sizes):
    return onnx_cost.estimate(proto, sizes)[0]


F = TensorProto.FLOAT


def zeros(*shape, dtype="float32"):
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("op", "attributes", "shape", "weights", "out", "flops"),
    [
        ("MatMul", {}, ["N", 64], {"w": zeros(64, 16)}, ["N", 16], 2 * 64 * 16),
        ("MatMul", {}, ["N", 5, 64], {"w": zeros(64, 16)}, ["N", 5, 16], 5 * 2 * 64 * 16),
        ("Gemm", {}, ["N", 64], {"w": zeros(64, 16), "b": zeros(16)}, ["N", 16], 16 * (2 * 64 + 1)),
        ("Gemm", {"transB": 1}, ["N", 64], {"w": zeros(16, 64)}, ["N", 16], 16 * 2 * 64),
        # a 3x3 kernel over 3 channels, 8 filters, 8x8 pixels without padding: 6x6 places
        ("Conv", {}, ["N", 3, 8, 8], {"w": zeros(8, 3, 3, 3), "b": zeros(8)}, ["N", 8, 6, 6], 8 * 36 * (2 * 27 + 1)),
        # depthwise: each of 4 channels has one kernel of 9
        ("Conv", {"group": 4}, ["N", 4, 8, 8], {"w": zeros(4, 1, 3, 3)}, ["N", 4, 6, 6], 4 * 36 * 2 * 9),
        ("ConvTranspose", {}, ["N", 2, 4, 4], {"w": zeros(2, 3, 3, 3)}, ["N", 3, 6, 6], 2 * (2 * 16) * (3 * 9)),
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}, ["N", 3, 8, 8], {}, ["N", 3, 4, 4], 48 * 4),
        ("Einsum", {"equation": "nij,jk->nik"}, ["N", 3, 4], {"w": zeros(4, 5)}, ["N", 3, 5], 2 * 3 * 4 * 5),
        ("Relu", {}, ["N", 7], {}, ["N", 7], 7),
        ("Flatten", {}, ["N", 7], {}, ["N", 7], 0),
    ],
)
def test_operations_of_one_node(op, attributes, shape, weights, out, flops):
    node = helper.make_node(op, ["x", *weights], ["y"], **attributes)
    found = cost(model([node], [("x", F, shape)], [("y", F, out)], weights))
    assert found.flops == flops
    assert found.not_counted == {}
    assert found.assumed == {"N": 1}


def test_an_lstm_counts_its_four_gates_in_each_step():
    weights = {"w": zeros(1, 4 * 8, 16), "r": zeros(1, 4 * 8, 8)}
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=8)
    found = cost(model([node], [("x", F, [5, 1, 16])], [("y", F, None)], weights))
    products = 5 * 4 * 8 * 2 * (16 + 8)
    assert products < found.flops < 1.3 * products  # beside the products: biases and the gates' functions


def test_trees_count_their_longest_paths():
    # a root with a leaf and a split with two leaves: two comparisons at most; and a tree of one leaf: none
    node = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1,
        nodes_treeids=[0, 0, 0, 0, 0, 1], nodes_nodeids=[0, 1, 2, 3, 4, 0], nodes_featureids=[0] * 6,
        nodes_values=[0.5] * 6, nodes_modes=["BRANCH_LEQ", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 3, 0, 0, 0], nodes_falsenodeids=[2, 0, 4, 0, 0, 0],
        target_treeids=[0], target_nodeids=[1], target_ids=[0], target_weights=[1.0],
    )  # fmt: skip
    proto = model([node], [("x", F, ["N", 1])], [("y", F, ["N", 1])], domains=[("ai.onnx.ml", 3)])
    assert cost(proto).flops == 2
    assert onnx_cost.attribute_values(proto) == 6 * 6 + 4  # six lists with a number a node; n_targets is one number


def test_trees_with_a_circle_end():
    node = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1,
        nodes_treeids=[0, 0], nodes_nodeids=[0, 1], nodes_modes=["BRANCH_LEQ", "BRANCH_LEQ"],
        nodes_truenodeids=[1, 0], nodes_falsenodeids=[1, 0],
    )  # fmt: skip
    assert cost(model([node], [("x", F, [1, 1])], [("y", F, [1, 1])], domains=[("ai.onnx.ml", 3)])).flops == 2


def test_the_peak_is_what_lives_at_once():
    # a: 100 floats, b: 400, c: 400, d: 1. While c is computed b and c live; a is needed no more
    nodes = [
        helper.make_node("MatMul", ["a", "w"], ["b"]),
        helper.make_node("Relu", ["b"], ["c"]),
        helper.make_node("MatMul", ["c", "v"], ["d"]),
    ]
    proto = model(nodes, [("a", F, ["N", 100])], [("d", F, ["N", 1])], {"w": zeros(100, 400), "v": zeros(400, 1)})
    assert cost(proto).activation_bytes == 4 * 800
    kept = model([*nodes, helper.make_node("Add", ["d", "a"], ["e"])], [("a", F, ["N", 100])], [("e", F, ["N", 100])],
                 {"w": zeros(100, 400), "v": zeros(400, 1)})  # fmt: skip
    assert cost(kept).activation_bytes == 4 * 900  # now a is needed to the end


def test_open_dimensions_take_the_size_that_is_known_and_say_so():
    proto = model(
        [helper.make_node("Relu", ["x"], ["y"])], [("x", F, ["batch", "length", 3])], [("y", F, ["batch", "length", 3])]
    )
    assert cost(proto).flops == 3
    found = cost(proto, batch=32, length=10)
    assert found.flops == 30  # the batch stays one
    assert found.assumed == {"batch": 1, "length": 10}


def test_what_has_no_rule_is_named():
    node = helper.make_node("Mystery", ["x"], ["y"], domain="my.domain")
    proto = model([node], [("x", F, [1, 3])], [("y", F, None)], domains=[("my.domain", 1)])
    assert cost(proto).not_counted == {"my.domain/Mystery": 1}


def test_of_the_branches_the_dearest_counts():
    def branch(name, nodes):
        out = helper.make_tensor_value_info(name, F, [1, 4])
        return helper.make_graph(nodes, name, [], [out])

    dear = branch("t", [helper.make_node("Relu", ["x"], ["u"]), helper.make_node("Relu", ["u"], ["t"])])
    cheap = branch("e", [helper.make_node("Relu", ["x"], ["e"])])
    node = helper.make_node("If", ["c"], ["y"], then_branch=dear, else_branch=cheap)
    proto = model([node], [("x", F, [1, 4]), ("c", TensorProto.BOOL, [])], [("y", F, [1, 4])])
    assert cost(proto).flops == 8


def test_the_skeleton_has_the_shape_but_not_the_weights(tmp_path):
    big = np.ones((300, 300), np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Reshape", ["m", "shape"], ["y"])]
    proto = model(nodes, [("x", F, ["N", 300])], [("y", F, ["N", 10, 30])], {"w": big, "shape": np.array([-1, 10, 30])})
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=1024)
    skeleton = onnx_cost.skeleton(tmp_path / "m.onnx")
    assert skeleton.ByteSize() < 1000
    found, inferred = onnx_cost.estimate(skeleton)
    assert found.flops == 2 * 300 * 300
    assert inferred.graph.output[0].type.tensor_type.shape.dim[1].dim_value == 10


def test_no_model_is_refused(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"\x08")
    with pytest.raises(InvalidInput, match=r"m\.onnx"):
        onnx_cost.skeleton(tmp_path / "m.onnx")
