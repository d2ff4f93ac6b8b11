"""Validation beyond parity on real exports: targets, slices, own metrics, edge rows, the canary, time."""

import json
import shutil
from pathlib import Path

import joblib
import ml_dtypes
import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn import datasets, metrics
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelver.core.manifest import dump_files
from modelver.core.parity import Limits
from modelver.core.validation_settings import LatencySettings
from modelver.errors import InvalidInput
from modelver.formats.digest import Digester
from modelver.formats.onnx_split import split
from modelver.operations import canary, speed, stage_export, stage_validate, timing
from modelver.runtimes import isolated

NUMBERS = {"source": "m.joblib", "framework": "sklearn", "data": "data.npz"}
TABLE = {"source": "m.joblib", "framework": "sklearn", "data": "people.csv", "target": "bought"}


@pytest.fixture(scope="module")
def wine(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("wine")
    X, y = datasets.load_wine(return_X_y=True)
    joblib.dump(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y), root / "m.joblib")
    np.savez(root / "data.npz", X=X, y=y)
    stage_export.run(root, "m", NUMBERS)
    return root


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    """300 people; whoever is rich, or young in town, buys."""
    root = tmp_path_factory.mktemp("people")
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": random.integers(18, 90, 300), "income": random.normal(3000, 900, 300).round(2),
            "place": random.choice(["town", "village", "farm"], 300),
        }
    )  # fmt: skip
    frame["bought"] = np.where((frame.income > 3500) | ((frame.age < 30) & (frame.place == "town")), "yes", "no")
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["place"]), (StandardScaler(), ["age", "income"])
    )
    model = make_pipeline(encode, LogisticRegression()).fit(frame.drop(columns="bought"), frame.bought)
    joblib.dump(model, root / "m.joblib")
    frame.to_csv(root / "people.csv", index=False)
    stage_export.run(root, "m", TABLE)
    return root


def copied(root: Path, to: Path) -> Path:
    return Path(shutil.copytree(root, to / "repo"))


def validate(root: Path, settings=NUMBERS, **changes):
    return stage_validate.run(root, "m", {**settings, **changes})


def found(result, name: str):
    return next(check for check in result.checks if check.name == name)


def rehash(root: Path) -> None:
    weights = root / "models/m/weights"
    with Digester() as digester:
        files = [digester.file(p, p.relative_to(weights).as_posix()) for p in weights.rglob("*") if p.is_file()]
    (root / "models/m/files.jsonl").write_bytes(dump_files(files))


def change_model(root: Path, change) -> None:
    path = root / "models/m/weights/model.onnx"
    proto = onnx.load(path)
    change(proto)
    onnx.save(proto, path)
    rehash(root)


# What is broken on purpose. Swapped labels, float32 before trees and truncated tensors: test_stage_validate.py.


def test_wrong_scaling_of_inputs_is_caught_by_parity(wine, tmp_path):
    root = copied(wine, tmp_path)

    def rescale(proto):
        divided = {name for node in proto.graph.node if node.op_type == "Div" for name in node.input}
        scale = next(tensor for tensor in proto.graph.initializer if tensor.name in divided)
        scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * 10, scale.name))

    change_model(root, rescale)
    result = validate(root)
    check = found(result, "parity")
    assert not check.ok
    assert "rows differ from the source framework's own outputs" in check.message
    assert "the scaling" in check.hint
    assert "run the export stage again" in check.hint


def test_a_changed_opset_is_caught_by_the_description(wine, tmp_path):
    root = copied(wine, tmp_path)

    def restamp(proto):
        next(opset for opset in proto.opset_import if opset.domain in ("", "ai.onnx")).version += 1

    change_model(root, restamp)
    check = found(validate(root), "description")
    assert not check.ok
    assert "format" in check.message
    assert check.hint == "export or add the model again"


# Targets


@pytest.mark.parametrize("target", ["reference", "openvino"])
def test_a_declared_target_is_run_with_parity(target, tmp_path):
    weight = numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")
    ingest(tmp_path, [helper.make_node("MatMul", ["x", "w"], ["y"])], [weight])
    np.savez(tmp_path / "data.npz", X=np.ones((5, 3), np.float32))
    result = validate(tmp_path, {"data": "data.npz"}, targets=[target])
    assert result.ok
    assert result.document["targets"][target]["ran"] is True
    assert result.document["portability"][target]["max_abs"] == 0.0
    assert "for none were recorded" in found(result, f"target:{target}").message


def test_a_target_that_is_not_installed_did_not_run_and_is_a_no(wine, tmp_path):
    result = validate(copied(wine, tmp_path), targets=["tensorrt"])
    assert not result.ok
    assert result.document["targets"]["tensorrt"] == {"ran": False, "ok": False, "version": None}
    check = found(result, "target:tensorrt")
    assert check.message.startswith("not run: ")
    assert check.hint


def test_a_target_that_lacks_an_operator_is_a_no_and_says_which(wine, tmp_path):
    result = validate(copied(wine, tmp_path), targets=["openvino"])
    assert not result.ok
    assert "ai.onnx.ml" in found(result, "target:openvino").message
    assert "portability" not in result.document


def test_a_target_without_rows_to_run_is_a_no(tmp_path):
    ingest(tmp_path, [helper.make_node("Abs", ["x"], ["y"])])
    result = validate(tmp_path, {}, targets=["reference"])
    assert not result.ok
    assert "there are no rows" in found(result, "target:reference").message


# Slices and functions


def test_slices_are_measured_apart(people, tmp_path):
    root = copied(people, tmp_path)
    slices = {"young": "age < 30 and place == 'town'", "by-place": {"by": "place"}}
    gates = {"slices.*.accuracy": {"min": 0.99}}
    result = validate(root, TABLE, validate={"slices": slices}, gates=gates)
    frame = pd.read_csv(root / "people.csv")
    predicted = joblib.load(root / "m.joblib").predict(frame.drop(columns="bought"))
    parts = {"young": (frame.age < 30) & (frame.place == "town")}
    parts |= {f"by-place={place}": frame.place == place for place in ("farm", "town", "village")}
    recorded = result.document["metrics"]["slices"]
    assert set(recorded) == set(parts)
    for name, rows in parts.items():
        assert recorded[name]["rows"] == int(rows.sum())
        expected = metrics.accuracy_score(frame.bought[rows], predicted[rows])
        assert recorded[name]["accuracy"] == pytest.approx(expected, rel=1e-5)
        assert result.metrics[f"slices.{name}.accuracy"] == recorded[name]["accuracy"]
        assert found(result, f"gate:slices.{name}.accuracy").ok is (recorded[name]["accuracy"] >= 0.99)


def test_a_slice_without_rows_is_a_no_and_a_wrong_column_is_named(people, tmp_path):
    root = copied(people, tmp_path)
    result = validate(root, TABLE, validate={"slices": {"old": "age > 150"}})
    assert not found(result, "slice:old").ok
    for text, words in (("height < 3", "no column 'height'"), ("place < 3", "holds text"), ("age == 'x'", "numbers")):
        with pytest.raises(InvalidInput, match=words):
            validate(root, TABLE, validate={"slices": {"s": text}})


def test_the_repositorys_own_metric(people, tmp_path):
    root = copied(people, tmp_path)
    (root / "scoring.py").write_text("""\
print("talk on standard output does no harm")

def missed(targets, outputs, rows):
    label = next(v for v in outputs.values() if v.dtype.kind == "O")
    return ((label == "no") & (targets == "yes") & (rows["income"] > 3500)).sum()
""")
    settings = {"validate": {"metrics": {"missed": "scoring:missed"}, "slices": {"rich": "income > 3500"}}}
    result = validate(root, TABLE, gates={"missed": {"max": 0}}, **settings)
    frame = pd.read_csv(root / "people.csv")
    predicted = joblib.load(root / "m.joblib").predict(frame.drop(columns="bought"))
    expected = ((predicted == "no") & (frame.bought == "yes") & (frame.income > 3500)).sum()
    assert expected > 0
    assert result.metrics["missed"] == result.metrics["slices.rich.missed"] == expected
    assert not found(result, "gate:missed").ok
    assert "scoring.py sha256:" in found(result, "metric:missed").message


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def f(t, o, r): raise KeyError('gone')", "gone"),
        ("def f(t, o, r): return 'x'", "no number"),
        ("def g(t, o, r): return 1", "'f'"),
        ("import os; os._exit(3)", "no word why"),
        ("def f(", "SyntaxError"),
    ],
)
def test_an_own_metric_that_fails_is_an_error_that_names_it(code, words, wine, tmp_path):
    root = copied(wine, tmp_path)
    (root / "scoring.py").write_text(code)
    with pytest.raises(InvalidInput, match="scoring:f failed") as caught:
        validate(root, validate={"metrics": {"m": "scoring:f"}})
    assert words in caught.value.message


def test_an_own_metric_that_is_nan_is_a_no(wine, tmp_path):
    root = copied(wine, tmp_path)
    (root / "scoring.py").write_text("def f(t, o, r): return float('nan')")
    result = validate(root, validate={"metrics": {"m": "scoring:f"}})
    assert not found(result, "metric:m").ok
    assert "m" not in result.metrics


# Edge rows


def ingest(root: Path, nodes, tensors=(), inputs=None, outputs=None) -> None:
    """A model of hand-made nodes, from x to y, both [N, 3] unless told."""
    inputs = inputs or [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])]
    outputs = outputs or [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(tensors))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), root / "theirs.onnx")
    got = split(root / "theirs.onnx", root / "models/m/weights")
    (root / "models/m/files.jsonl").write_bytes(dump_files(got.files))
    document = {"kind": "ingested", "format": got.format, "signature": got.signature, "graph": got.graph}
    (root / "models/m/source.json").write_text(json.dumps(document))
    np.savez(root / "data.npz", X=np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32))


def test_a_graph_that_mixes_rows_is_caught(tmp_path):
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0]),  # over the batch, as a batch norm left in training
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    ingest(tmp_path, nodes)
    result = validate(tmp_path, {"data": "data.npz"})
    assert not found(result, "edge:batch").ok
    assert not found(result, "edge:nan").ok
    assert "7 others" in found(result, "edge:nan").message
    assert "mixes rows" in found(result, "edge:batch").hint


def test_a_batch_size_that_was_baked_in_is_caught(tmp_path):
    shape = numpy_helper.from_array(np.array([10, 3], np.int64), "shape")
    ingest(tmp_path, [helper.make_node("Reshape", ["x", "shape"], ["y"])], [shape])
    result = validate(tmp_path, {"data": "data.npz"})
    assert not found(result, "edge:batch").ok
    assert "batch" in found(result, "edge:batch").message


def test_unseen_categories_and_empty_text_are_answered_or_refused(people, tmp_path):
    root = copied(people, tmp_path)
    result = validate(root, TABLE)
    said = "empty text and text never seen: answers"
    assert found(result, "edge:text").message == f"{said}, and the other rows keep theirs"
    asked = validate(root, TABLE, validate={"edges": {"text": "answer"}})
    assert found(asked, "edge:text").message == f"{said}, finite"
    assert result.ok


def test_who_needs_an_answer_to_missing_values_says_so(wine, tmp_path):
    root = copied(wine, tmp_path)
    assert found(validate(root), "edge:nan").ok
    check = found(validate(root, validate={"edges": {"nan": "answer"}}), "edge:nan")
    assert not check.ok
    assert "fill such values" in check.hint
    assert "edge:nan" not in {check.name for check in validate(root, validate={"edges": {"nan": False}}).checks}


# Canary


def test_the_clean_process_has_onnxruntime_and_what_it_requires_only(wine, tmp_path):
    assert {"numpy", "onnxruntime"} <= set(isolated.closure("onnxruntime"))
    root = copied(wine, tmp_path)
    result = validate(root)
    assert found(result, "canary").ok
    assert "recorded requests" in found(result, "canary").message
    assert "canary" not in {check.name for check in validate(root, validate={"canary": False}).checks}
    folder = isolated._packages(tmp_path / "packages")
    import subprocess
    import sys

    for module, there in (("numpy", True), ("onnxruntime", True), ("onnx", False), ("sklearn", False), ("pip", False)):
        code = f"import sys; sys.path.append({str(folder)!r}); import {module}"
        done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, check=False)
        assert (done.returncode == 0) is there, module


def test_a_model_that_crashes_the_runtime_is_caught_by_the_canary(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"\x08\x08no model")
    with isolated.clean_process("answer", tmp_path / "m.onnx", {}) as process, pytest.raises(InvalidInput) as caught:
        process.answer()
    assert "onnxruntime alone (status 1)" in caught.value.message


@pytest.mark.parametrize(
    ("taken", "given"), [("float32", "bfloat16"), ("bfloat16", "float32"), ("bfloat16", "bfloat16")]
)
def test_bfloat16_passes_through_the_clean_process(taken, given, tmp_path):
    types = {"float32": (TensorProto.FLOAT, np.float32), "bfloat16": (TensorProto.BFLOAT16, ml_dtypes.bfloat16)}
    inputs = [helper.make_tensor_value_info("x", types[taken][0], ["N", 3])]
    outputs = [helper.make_tensor_value_info("y", types[given][0], ["N", 3])]
    graph = helper.make_graph([helper.make_node("Cast", ["x"], ["y"], to=types[given][0])], "g", inputs, outputs)
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    x = (np.arange(12).reshape(4, 3) / 8).astype(types[taken][1])  # all of them exact in bfloat16
    y = x.astype(types[given][1])
    check = canary.sing(path, ({"x": x}, {"y": y}), 4, {}, Limits())
    assert check.ok
    assert "answers 4 recorded requests" in check.message
    assert not canary.sing(path, ({"x": x}, {"y": y + y.dtype.type(1)}), 4, {}, Limits()).ok
    assert speed.measure(path, path, {"x": x}, LatencySettings(rounds=3, runs=5))["p50"] > 0


# Time


def test_a_slower_model_has_a_larger_ratio(tmp_path):
    def chain(name: str, count: int) -> Path:
        nodes = [helper.make_node("MatMul", [f"v{n}", "w"], [f"v{n + 1}"]) for n in range(count)]
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            nodes, "g", [value("v0", TensorProto.FLOAT, ["N", 256])],
            [value(f"v{count}", TensorProto.FLOAT, ["N", 256])],
            [numpy_helper.from_array(np.eye(256, dtype=np.float32) * 0.5, "w")],
        )  # fmt: skip
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(proto, tmp_path / name)
        return tmp_path / name

    inputs = {"v0": np.ones((64, 256), np.float32)}
    few, many = chain("few.onnx", 2), chain("many.onnx", 40)
    ratios = speed.measure(few, many, inputs, LatencySettings(rounds=3, runs=10))
    assert set(ratios) == {"p50", "p95", "p99", "load", "memory"}
    assert ratios["p50"] > 4  # 20 times the work
    assert speed.measure(few, few, inputs, LatencySettings(rounds=3, runs=10))["p50"] < 3
    assert timing.processor()
