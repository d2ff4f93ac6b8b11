"""ONNX to ONNX: real models trained on data that scikit-learn ships, written by a training script of one's own."""

import numpy as np
import onnx
import pytest
from boosted import content, round_trip, settings, source_of
from onnx import TensorProto, helper, numpy_helper
from sklearn import datasets
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from modelver.errors import InvalidInput, Refused
from modelver.operations import stage_export


@pytest.fixture(scope="module")
def trained():
    X, y = datasets.load_digits(return_X_y=True)
    return MLPClassifier((64,), max_iter=400, tol=1e-2, random_state=0).fit(X / 16, y)


@pytest.fixture
def root(tmp_path):
    X, y = datasets.load_digits(return_X_y=True)
    np.savez(tmp_path / "digits.npz", X=X, y=y)
    return tmp_path


def network(trained, opset=13, ir=8, batch="N", hidden_rows=0):
    """The trained network, written by hand; Dropout and Softmax changed with opsets 12 and 13."""
    weights = [w.astype(np.float32) for w in (*trained.coefs_, *trained.intercepts_)]
    names = ["w0", "w1", "b0", "b1"]
    tensors = [numpy_helper.from_array(w, n) for w, n in zip(weights, names, strict=True)]
    tensors.append(numpy_helper.from_array(np.array(16, np.float32), "sixteen"))
    nodes = [
        helper.make_node("Div", ["X", "sixteen"], ["scaled"]),
        helper.make_node("Gemm", ["scaled", "w0", "b0"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "w1", "b1"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["p"], axis=1),
    ]
    if hidden_rows:  # a large table that costs nothing to run: one row of it is added, and it is zero
        table = np.zeros((hidden_rows, 64), np.float32)
        table[1:] = np.arange(64, dtype=np.float32)
        tensors += [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array(0), "first")]
        nodes.insert(2, helper.make_node("Gather", ["table", "first"], ["row"], axis=0))
        nodes.insert(3, helper.make_node("Add", ["hidden", "row"], ["hidden_row"]))
        nodes[4].input[0] = "hidden_row"
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [batch, 64])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, [batch, 10])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    helper.set_model_props(model, {"author": "a training script"})
    return model


def test_a_model_is_taken_as_it_is(root, trained):
    onnx.save(network(trained), root / "m.onnx")
    before = (root / "m.onnx").read_bytes()
    result = round_trip(root, settings("onnx", "m.onnx", "digits.npz", labels=list(range(10))))
    X, y = datasets.load_digits(return_X_y=True)
    assert result.metrics["accuracy"] == pytest.approx(trained.score(X / 16, y), abs=1e-3)
    found = source_of(root)
    assert found["kind"] == "pipeline"
    assert found["format"]["opsets"] == {"ai.onnx": 13}
    assert found["format"]["ir_version"] == 8
    assert found["format"]["metadata"] == {"author": "a training script"}
    assert found["signature"]["inputs"] == [{"name": "X", "dtype": "float32", "shape": ["N", 64]}]
    assert found["signature"]["labels"] == list(range(10))
    assert list(found["environment"]["packages"]) == ["onnx"]  # the reference evaluator was the judge
    assert (root / "m.onnx").read_bytes() == before


@pytest.mark.parametrize("opset", [14, 15, 18, 21])
def test_the_opset_is_converted_and_the_answers_stay(root, trained, opset):
    onnx.save(network(trained), root / "m.onnx")
    entry = settings("onnx", "m.onnx", "digits.npz", opset=opset, labels=list(range(10)))
    result = round_trip(root, entry)
    assert result.parity.rows_off == 0
    found = source_of(root)
    assert found["format"]["opsets"] == {"ai.onnx": opset}
    assert found["format"]["metadata"] == {"author": "a training script"}


def test_the_ir_version_is_lowered_without_reading_the_weights(root, trained):
    onnx.save(network(trained, opset=21, ir=13, hidden_rows=8192), root / "m.onnx", save_as_external_data=True)
    assert sorted(p.name for p in root.iterdir() if p.name != "digits.npz") != ["m.onnx"]
    round_trip(root, settings("onnx", "m.onnx", "digits.npz", labels=list(range(10))))
    found = source_of(root)
    assert (found["format"]["ir_version"], found["format"]["opsets"]) == (10, {"ai.onnx": 21})
    tensors = list((root / "models/m/weights/tensors").iterdir())
    assert [path.stat().st_size for path in tensors] == [8192 * 64 * 4]
    first = found
    # The same model with its data inline gives the same weights.
    whole = onnx.load(root / "m.onnx")
    for path in root.iterdir():
        if path.is_file() and path.name != "digits.npz":
            path.unlink()
    onnx.save(whole, root / "m.onnx")
    round_trip(root, settings("onnx", "m.onnx", "digits.npz", labels=list(range(10))))
    assert [path.stat().st_size for path in (root / "models/m/weights/tensors").iterdir()] == [8192 * 64 * 4]
    assert {key: source_of(root)[key] for key in ("format", "signature", "graph")} == {
        key: first[key] for key in ("format", "signature", "graph")
    }


def test_external_data_is_kept_through_a_conversion(root, trained):
    onnx.save(network(trained, hidden_rows=8192), root / "m.onnx", save_as_external_data=True)
    result = round_trip(root, settings("onnx", "m.onnx", "digits.npz", opset=17, labels=list(range(10))))
    assert result.parity.rows_off == 0
    assert len(list((root / "models/m/weights/tensors").iterdir())) == 1


def test_a_fixed_batch_and_too_few_rows_for_it(root, trained):
    onnx.save(network(trained, batch=5), root / "m.onnx")
    round_trip(root, settings("onnx", "m.onnx", "digits.npz", labels=list(range(10))))
    onnx.save(network(trained, batch=2000), root / "m.onnx")
    with pytest.raises(InvalidInput, match=r"model m takes exactly 2000 rows of 'X' at once, digits\.npz has 1797"):
        stage_export.run(root, "m", settings("onnx", "m.onnx", "digits.npz"))


def test_trees_of_the_ml_domain_keep_their_labels(root):
    skl2onnx = pytest.importorskip("skl2onnx")
    data = datasets.load_wine()
    for name, step in (("tree", DecisionTreeClassifier(max_depth=4)), ("linear", LogisticRegression())):
        model = make_pipeline(StandardScaler(), step).fit(data.data, data.target_names[data.target])
        options = {id(model): {"zipmap": False}}
        proto = skl2onnx.to_onnx(model, data.data[:1].astype(np.float32), options=options, target_opset=15)
        onnx.save(proto, root / f"{name}.onnx")
    np.savez(root / "wine.npz", X=data.data, y=data.target_names[data.target])
    for name in ("tree", "linear"):
        round_trip(root, settings("onnx", f"{name}.onnx", "wine.npz"))
        assert source_of(root)["signature"]["labels"] == ["class_0", "class_1", "class_2"]


def test_the_same_bytes_in_two_folders(tmp_path, trained):
    X, y = datasets.load_digits(return_X_y=True)
    found = []
    for name in ("a", "somewhere/else"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        np.savez(folder / "digits.npz", X=X, y=y)
        onnx.save(network(trained), folder / "m.onnx")
        round_trip(folder, settings("onnx", "m.onnx", "digits.npz", opset=18, labels=list(range(10))))
        found.append(content(folder))
    assert found[0] == found[1]


def test_what_cannot_be_is_refused_by_name(root, trained):
    good = network(trained)
    onnx.save(good, root / "good.onnx")
    float4 = network(trained, opset=23, ir=12)
    values = helper.make_tensor("small", TensorProto.FLOAT4E2M1, [2], [1.0, 2.0])
    float4.graph.initializer.append(values)
    onnx.save(float4, root / "float4.onnx")
    sequence = network(trained)
    sequence.graph.node.append(helper.make_node("SplitToSequence", ["p"], ["s"], axis=0))
    sequence.graph.output.append(helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None))
    onnx.save(sequence, root / "sequence.onnx")
    odd = network(trained)
    odd.graph.node[0].domain = "nobody"
    odd.opset_import.append(helper.make_opsetid("nobody", 1))
    onnx.save(odd, root / "odd.onnx")
    (root / "text.onnx").write_text("hello")
    (root / "escape.onnx").write_bytes(_escaping(trained))
    for source, export, message in (
        ("float4.onnx", {}, r"^model m .* came with IR version 11, asked for is 10"),
        ("sequence.onnx", {}, r"^model m: output 's' is sequence\(float32\)"),
        ("odd.onnx", {}, r"^model m: odd.onnx does not load in onnxruntime"),
        ("good.onnx", {"opset": 11}, r"from opset 13 to 11: .*No Adapter To Version \$12 for Div"),
        ("good.onnx", {"opset": 99}, r"^model m: onnx cannot convert it from opset 13 to 99"),
        ("good.onnx", {"outputs": ["a"]}, r"^model m: an ONNX model says its inputs and outputs itself"),
        ("text.onnx", {}, r"text\.onnx"),
        ("escape.onnx", {}, r"escape\.onnx"),
    ):
        with pytest.raises(Refused, match=message):
            stage_export.run(root, "m", settings("onnx", source, "digits.npz", **export))
        assert not (root / "models/m/weights").exists()


def _escaping(trained):
    proto = network(trained)
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    return proto.SerializeToString()
