"""Validation on real exports, whole and broken on purpose."""

import json
import shutil
from pathlib import Path

import joblib
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn import datasets
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelver.core.manifest import dump_files
from modelver.errors import InvalidInput, NotFound
from modelver.formats.digest import Digester
from modelver.formats.onnx_split import split
from modelver.operations import stage_export, stage_validate

SETTINGS = {"source": "m.joblib", "framework": "sklearn", "data": "data.npz", "gates": {"accuracy": {"min": 0.9}}}


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("wine")
    X, y = datasets.load_wine(return_X_y=True)
    joblib.dump(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y), root / "m.joblib")
    np.savez(root / "data.npz", X=X, y=y)
    stage_export.run(root, "m", SETTINGS)
    return root


@pytest.fixture
def root(exported, tmp_path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "repo"))


def validate(root: Path, **changes):
    return stage_validate.run(root, "m", {**SETTINGS, **changes})


def verdicts(result) -> dict:
    return {check.name: check.ok for check in result.checks}


def rehash(root: Path) -> None:
    """Make the file manifest agree with what lies there, as an export of that model would."""
    weights = root / "models/m/weights"
    with Digester() as digester:
        files = [
            digester.file(path, path.relative_to(weights).as_posix()) for path in weights.rglob("*") if path.is_file()
        ]
    (root / "models/m/files.jsonl").write_bytes(dump_files(files))


def change_model(root: Path, change) -> None:
    path = root / "models/m/weights/model.onnx"
    proto = onnx.load(path)
    change(proto)
    onnx.save(proto, path)
    rehash(root)


def test_a_good_export_passes_and_the_record_says_so(root):
    result = validate(root)
    assert result.ok
    assert all(verdicts(result).values())
    assert set(verdicts(result)) == {
        "digests", "structure", "description", "onnxruntime", "parity", "parity:labels", "edge:batch", "edge:nan",
        "edge:extremes", "canary", "gate:accuracy",
    }  # fmt: skip
    record = json.loads((root / "models/m/validation.json").read_bytes())
    assert record == result.document
    assert list(record) == ["ok", "metrics", "parity", "checks", "targets", "judged", "schema"]
    assert set(record["metrics"]) == {"accuracy", "f1_macro", "log_loss", "roc_auc"}
    assert record["targets"]["onnxruntime"]["ran"] is True


def test_the_same_twice(root):
    validate(root)
    first = (root / "models/m/validation.json").read_bytes()
    validate(root)
    assert (root / "models/m/validation.json").read_bytes() == first


def test_swapped_labels_are_caught_by_agreement_and_by_accuracy(root):
    def swap(proto):
        for tensor in proto.graph.initializer:
            if tensor.name == "classes":
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[::-1].copy(), "classes"))

    change_model(root, swap)
    result = validate(root)
    assert not result.ok
    assert verdicts(result) == {
        "digests": True, "structure": True, "description": True, "onnxruntime": True,
        "parity": True, "parity:labels": False, "edge:batch": True, "edge:nan": True, "edge:extremes": True,
        "canary": False, "gate:accuracy": False,
    }  # fmt: skip
    assert json.loads((root / "models/m/validation.json").read_bytes())["ok"] is False


def test_changed_weights_are_caught_by_parity(root):
    def scale(proto):
        for tensor in proto.graph.initializer:
            if tensor.name == "coef":
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1.01), "coef"))

    change_model(root, scale)
    result = validate(root)
    assert verdicts(result)["parity"] is False
    assert verdicts(result)["gate:accuracy"] is True


def test_a_truncated_tensor_file_is_caught_by_its_digest_and_not_opened(tmp_path):
    X, y = datasets.load_digits(return_X_y=True)
    model = MLPClassifier((4200,), max_iter=1, random_state=0).fit(X[:200], y[:200])  # 64 x 4200 floats: over 1 MiB
    joblib.dump(model, tmp_path / "m.joblib")
    np.savez(tmp_path / "data.npz", X=X, y=y)
    stage_export.run(tmp_path, "m", SETTINGS)
    assert validate(tmp_path, gates={}).ok
    (tensor,) = (tmp_path / "models/m/weights/tensors").iterdir()
    with tensor.open("r+b") as file:
        file.truncate(1 << 20)
    result = validate(tmp_path)
    assert verdicts(result) == {"digests": False, "gate:accuracy": False}
    assert tensor.name in result.checks[0].message
    assert result.document["targets"]["onnxruntime"]["ran"] is False


@pytest.mark.parametrize("damage", ["flip", "delete", "add"])
def test_any_change_of_the_files_is_caught(damage, root):
    weights = root / "models/m/weights"
    if damage == "flip":
        data = bytearray((weights / "model.onnx").read_bytes())
        data[len(data) // 2] ^= 1
        (weights / "model.onnx").write_bytes(data)
    elif damage == "delete":
        (weights / "test_data_set_0/output_1.pb").unlink()
    else:
        (weights / "extra.bin").write_bytes(b"x")
    assert verdicts(validate(root)) == {"digests": False, "gate:accuracy": False}


def test_float32_where_scaled_features_meet_trees_is_caught_by_the_rows_off(tmp_path):
    X, y = datasets.load_diabetes(return_X_y=True)
    model = make_pipeline(StandardScaler(), RandomForestRegressor(n_estimators=20, random_state=0)).fit(X, y)
    joblib.dump(model, tmp_path / "m.joblib")
    np.savez(tmp_path / "data.npz", X=X, y=y)
    settings = {**SETTINGS, "gates": {}}
    stage_export.run(tmp_path, "m", {**settings, "export": {"dtype": "float32"}})
    result = stage_validate.run(tmp_path, "m", settings)
    assert verdicts(result)["parity"] is False
    assert result.parity.share_rows_off > 0.02
    assert "float64" in next(check.hint for check in result.checks if check.name == "parity")
    stage_export.run(tmp_path, "m", settings)
    result = stage_validate.run(tmp_path, "m", settings)
    assert result.ok
    assert result.parity.rows_off == 0


def test_a_graph_that_the_checker_refuses_is_not_run(root):
    change_model(root, lambda proto: proto.graph.node[0].input.__setitem__(0, "nobody_makes_this"))
    result = validate(root)
    assert verdicts(result) == {"digests": True, "structure": False, "gate:accuracy": False}


@pytest.mark.parametrize("field", ["format", "signature", "graph"])
def test_a_source_json_that_was_edited_by_hand_is_caught(field, root):
    path = root / "models/m/source.json"
    source = json.loads(path.read_text())
    if field == "format":
        source["format"]["producer"] = "somebody else"
    elif field == "signature":
        source["signature"]["inputs"][0]["shape"] = ["N", 12]
    else:
        source["graph"]["nodes"] += 1
    path.write_text(json.dumps(source))
    result = validate(root)
    assert verdicts(result)["description"] is False
    assert field in next(check.message for check in result.checks if check.name == "description")
    assert result.metrics == {}


@pytest.mark.parametrize("location", ["../../../secret", "/etc/hostname", "link"])
def test_external_data_outside_the_folder_is_never_read(location, root):
    (root / "secret").write_bytes(bytes(1 << 16))
    (root / "models/m/weights/link").symlink_to(root / "secret")

    def point_outside(proto):
        tensor = next(tensor for tensor in proto.graph.initializer if tensor.name == "coef")
        tensor.ClearField("raw_data")
        tensor.ClearField("float_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)

    path = root / "models/m/weights/model.onnx"
    proto = onnx.load(path)
    point_outside(proto)
    path.write_bytes(proto.SerializeToString())
    rehash(root)
    result = validate(root)
    assert verdicts(result) == {"digests": True, "structure": False, "gate:accuracy": False}
    assert result.document["targets"]["onnxruntime"]["ran"] is False


def test_a_gate_on_a_metric_that_was_not_computed_fails(root):
    result = validate(root, gates={"rmse": {"max": 1.0}})
    assert verdicts(result)["gate:rmse"] is False
    assert not result.ok


def test_limits_of_the_user_replace_the_defaults(root):
    assert verdicts(validate(root, parity={"rtol": 0, "atol": 0}))["parity"] is False
    assert verdicts(validate(root, parity={"rtol": 0, "atol": 0, "share_rows_off": 1}))["parity"] is True


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": "gone.npz"}, "gone.npz"),
        ({"target": "z"}, "no target 'z'"),
        ({"task": "regression"}, "numbers"),
        ({"gates": {"accuracy": 0.9}}, "gates.accuracy"),
        ({"task": "guess"}, "task"),
        ({"data": "../data.npz"}, "data"),
    ],
)
def test_mistakes_are_refused_and_leave_what_may_be_committed(changes, words, root):
    validate(root)
    before = (root / "models/m/validation.json").read_bytes()
    np.savez(root / "text.npz", X=np.zeros((3, 13)), y=np.array(["a", "b", "c"]))
    if changes.get("task") == "regression":
        changes = {**changes, "data": "text.npz"}
    with pytest.raises((InvalidInput, NotFound), match=words):
        validate(root, **changes)
    assert (root / "models/m/validation.json").read_bytes() == before


def test_targets_of_another_kind_than_the_labels_are_refused(root):
    np.savez(root / "text.npz", X=np.zeros((3, 13)), y=np.array(["a", "b", "c"]))
    with pytest.raises(InvalidInput, match="targets are text, the model's labels are numbers"):
        validate(root, data="text.npz")


def test_rows_of_the_wrong_width_are_refused(root):
    np.savez(root / "narrow.npz", X=np.zeros((3, 12)), y=np.zeros(3))
    with pytest.raises(InvalidInput, match=r"model m: narrow.npz.*'N', 13.*\[3, 12\]"):
        validate(root, data="narrow.npz")


def test_a_model_that_was_never_exported_is_not_found(tmp_path):
    with pytest.raises(NotFound, match="not exported"):
        validate(tmp_path)


def ingest(root: Path, batch) -> None:
    """A classifier that gives logits only, of a fixed or free batch size, as others' ONNX files do."""
    weight = numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["pixels", "w"], ["logits"])],
        "g",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [batch, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, 3])],
        [weight],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(proto, root / "theirs.onnx")
    found = split(root / "theirs.onnx", root / "models/m/weights")
    (root / "models/m/files.jsonl").write_bytes(dump_files(found.files))
    document = {"kind": "ingested", "format": found.format, "signature": found.signature, "graph": found.graph}
    (root / "models/m/source.json").write_text(json.dumps(document))


@pytest.mark.parametrize("batch", ["N", 1, 2])
def test_an_ingested_classifier_is_measured_by_its_logits(batch, tmp_path):
    ingest(tmp_path, batch)
    # the largest of the three is the class; the last target is wrong on purpose: 4 of 5 right
    rows = np.array([[9, 0, 0], [0, 9, 0], [0, 0, 9], [5, 1, 1], [0, 7, 1]], dtype=np.float32)
    np.savez(tmp_path / "data.npz", X=rows, y=np.array([0, 1, 2, 0, 2]))
    result = stage_validate.run(tmp_path, "m", {"data": "data.npz", "gates": {"accuracy": {"min": 0.8}}})
    assert result.ok
    assert result.metrics["accuracy"] == 0.8
    assert result.parity is None


def test_an_ingested_model_without_data_is_loaded_and_said_not_to_have_run(tmp_path):
    ingest(tmp_path, "N")
    result = stage_validate.run(tmp_path, "m", {})
    assert result.ok
    assert result.document["targets"]["onnxruntime"]["ran"] is False
    assert result.document["parity"] is None
