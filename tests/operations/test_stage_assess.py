"""Assessing real models: exported, ingested, safetensors, pickles, and files that are none."""

import json
import pickle
import shutil
import time
from pathlib import Path

import conv_model
import joblib
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn import datasets
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import models
from modelver.core.manifest import dump_files, dump_tensors
from modelver.errors import InvalidInput, NotFound
from modelver.formats import safetensors
from modelver.formats.digest import Digester
from modelver.operations import stage_assess, stage_export


@pytest.fixture(scope="module")
def forest(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("forest")
    X, y = datasets.load_wine(return_X_y=True)
    model = make_pipeline(StandardScaler(), RandomForestClassifier(5, max_depth=4, random_state=0)).fit(X, y)
    joblib.dump(model, root / "m.joblib")
    np.savez(root / "data.npz", X=X, y=y)
    settings = {"source": "m.joblib", "framework": "sklearn", "data": "data.npz", "export": {"dtype": "float32"}}
    stage_export.run(root, "m", settings)
    return root


@pytest.fixture
def conv(tmp_path) -> Path:
    conv_model.make(tmp_path / "c.onnx")
    conv_model.place(tmp_path, tmp_path / "c.onnx")
    return tmp_path


def names(result) -> set[str]:
    return {risk.name for risk in result.risks}


def operators(result, target) -> dict[str, str]:
    return {item["operator"]: item["verdict"] for item in result.document["targets"][target]["operators"]}


def test_an_exported_forest_tells_where_it_comes_from_what_it_needs_and_what_it_risks(forest):
    result = stage_assess.run(forest, "m")
    document = json.loads((forest / "models/m/assessment.json").read_bytes())
    assert document == result.document
    assert document["source"]["framework"] == "scikit-learn"
    assert document["source"]["packages"]["scikit-learn"]
    assert {item["operator"] for item in document["operators"]} >= {"ai.onnx.ml/TreeEnsembleClassifier"}
    assert document["targets"]["onnxruntime"]["ok"] is True
    assert document["targets"]["onnxruntime"]["loads"] is True
    assert document["targets"]["openvino"]["ok"] is False  # no trees there
    assert operators(result, "openvino")["ai.onnx.ml/TreeEnsembleClassifier"] == "no"
    assert {"float32-trees", "pickled-code"} <= names(result)
    assert "no-recorded-answers" not in names(result)
    assert document["weights"]["attribute_values"] > 100
    assert document["cost"]["flops"] >= 5  # a comparison in each of five trees at least
    assert result.risks[0].level == "high"


def test_the_same_twice_to_the_byte(forest):
    path = forest / "models/m/assessment.json"
    stage_assess.run(forest, "m")
    first = path.read_bytes()
    stage_assess.run(forest, "m")
    assert path.read_bytes() == first
    assert str(forest).encode() not in first


def test_an_ingested_network_costs_what_a_calculation_says(conv):
    result = stage_assess.run(conv, "m")
    document = result.document
    # 8 filters of 9 over 6 x 6 places; their Relu; 288 x 10 and 10 biases
    assert document["cost"]["flops"] == 288 * 18 + 288 + 10 * (2 * 288 + 1)
    assert document["cost"]["activation_bytes"] == 4 * (288 + 288)
    assert document["cost"]["not_counted"] == {}
    assert document["weights"]["parameters"] == 72 + 2880 + 10
    assert document["weights"]["tensor_bytes"] == 4 * (72 + 2880 + 10)
    assert document["data"]["dynamic"] == {"image": ["N"], "logits": ["N"]}
    assert document["dtypes"] == {"weights": {"float32": {"tensors": 3, "bytes": 11848}}, "values": ["float32"]}
    assert document["format"]["opsets"] == {"ai.onnx": 17}
    assert {name: target["ok"] for name, target in document["targets"].items()} == {
        "onnxruntime": True, "onnxruntime-node": True, "openvino": None, "reference": True
    }  # fmt: skip
    assert names(result) == {"no-recorded-answers"}


def save(root: Path, nodes, inputs, outputs, opsets, functions=(), ir_version=8) -> None:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs],
        [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in outputs],
    )
    imports = [helper.make_opsetid(*item) for item in opsets.items()]
    proto = helper.make_model(graph, opset_imports=imports, ir_version=ir_version, functions=list(functions))
    onnx.save(proto, root / "x.onnx")
    conv_model.place(root, root / "x.onnx")


F, D = TensorProto.FLOAT, TensorProto.DOUBLE


def test_a_custom_operator_is_supported_nowhere_and_the_advice_is_to_replace_it(tmp_path):
    node = helper.make_node("Mystery", ["x"], ["y"], domain="my.domain")
    save(tmp_path, [node], [("x", F, ["N", 3])], [("y", F, ["N", 3])], {"": 17, "my.domain": 1})
    result = stage_assess.run(tmp_path, "m")
    assert result.document["operators"] == [
        {"operator": "my.domain/Mystery", "count": 1, "since": None, "custom": True}
    ]
    for target in ("onnxruntime", "onnxruntime-node", "reference"):
        assert result.document["targets"][target]["ok"] is False
        assert operators(result, target) == {"my.domain/Mystery": "no"}
    assert result.document["targets"]["openvino"]["ok"] is None
    assert "Mystery" in result.document["targets"]["onnxruntime"]["error"]
    assert names(result) >= {"custom-operators"}


def test_a_function_that_the_model_brings_along_is_no_custom_operator_for_onnxruntime(tmp_path):
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    double = helper.make_function("my.domain", "Double", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    node = helper.make_node("Double", ["x"], ["y"], domain="my.domain")
    save(tmp_path, [node], [("x", F, ["N", 3])], [("y", F, ["N", 3])], {"": 17, "my.domain": 1}, [double])
    result = stage_assess.run(tmp_path, "m")
    assert result.document["targets"]["onnxruntime"]["ok"] is True
    assert "custom-operators" not in names(result)


def test_a_type_that_no_kernel_takes_is_told_with_the_type(tmp_path):
    # onnxruntime's CPU kernels of Celu take float32 alone
    save(tmp_path, [helper.make_node("Acosh", ["x"], ["y"])], [("x", D, ["N", 3])], [("y", D, ["N", 3])], {"": 17})
    target = stage_assess.run(tmp_path, "m").document["targets"]["onnxruntime"]
    assert target["loads"] is False
    assert target["operators"][0]["verdict"] == "no"
    assert "tensor(double)" in target["operators"][0]["why"]
    assert "float32" in target["operators"][0]["advice"]


def test_an_ir_version_that_onnxruntime_does_not_take_is_what_it_says(tmp_path):
    save(tmp_path, [helper.make_node("Relu", ["x"], ["y"])], [("x", F, [3])], [("y", F, [3])], {"": 17}, ir_version=99)
    target = stage_assess.run(tmp_path, "m").document["targets"]["onnxruntime"]
    assert target["ok"] is False
    assert "IR version" in target["error"]


def test_kernels_agree_with_what_onnxruntime_loads(conv, forest):
    """The table of kernels, which stands for onnxruntime in Node, against the real thing."""
    for root in (conv, forest):
        targets = stage_assess.run(root, "m").document["targets"]
        assert targets["onnxruntime"]["loads"] is True
        assert targets["onnxruntime-node"]["ok"] is True


def test_nothing_is_run(conv, monkeypatch):
    import onnxruntime

    def forbidden(*args, **kwargs):
        raise AssertionError("the model was run")

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", forbidden)
    assert stage_assess.run(conv, "m").document["targets"]["onnxruntime"]["ok"] is True


def test_safetensors_have_weights_and_no_graph(tmp_path):
    source = models.safetensors(tmp_path / "w.safetensors")
    found = safetensors.split(source, tmp_path / "models/m/weights")
    home = tmp_path / "models/m"
    (home / "files.jsonl").write_bytes(dump_files(found.files))
    (home / "tensors.jsonl").write_bytes(dump_tensors(found.tensors))
    (home / "source.json").write_text(json.dumps({"kind": "ingested", "format": found.format, "signature": None}))
    document = stage_assess.run(tmp_path, "m").document
    assert document["weights"]["parameters"] == 2 * 12  # two tensors of 4 x 3
    assert (document["cost"], document["targets"], document["operators"]) == (None, {}, [])
    assert document["hardware"]["memory_bytes"] >= 96


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("boom"),))


def plain(root: Path, name: str) -> dict:
    (root / "models/m").mkdir(parents=True)
    with Digester() as digester:
        (root / "models/m/files.jsonl").write_bytes(dump_files([digester.file(root / name, name)]))
    return stage_assess.run(root, "m", name)


def test_a_pickle_is_not_opened_and_its_imports_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.pkl").write_bytes(pickle.dumps([Bomb(), np.float32(1)]))
    result = plain(tmp_path, "m.pkl")
    assert not (tmp_path / "boom").exists()
    assert result.document["source"]["imports_complete"] is True
    assert {"numpy", "pathlib"} <= set(result.document["source"]["imports"])
    assert result.risks[0].name == "pickled-code"
    assert result.risks[0].level == "high"


def test_a_joblib_file_says_that_its_imports_could_not_all_be_read(tmp_path):
    X, y = datasets.load_wine(return_X_y=True)
    joblib.dump(RandomForestClassifier(2, random_state=0).fit(X, y), tmp_path / "m.joblib")
    source = plain(tmp_path, "m.joblib").document["source"]
    assert "sklearn" in source["imports"]
    assert source["imports_complete"] is False


@pytest.mark.parametrize("damage", ["truncate", "zip", "empty", "text"])
def test_a_model_that_is_none_is_refused_by_name_and_leaves_nothing(damage, conv):
    path = conv / "models/m/weights/model.onnx"
    data = path.read_bytes()
    path.write_bytes(
        {"truncate": data[: len(data) // 2], "zip": b"PK\x03\x04" + data, "empty": b"", "text": b"hello"}[damage]
    )
    before = sorted(conv.rglob("*"))
    with pytest.raises(InvalidInput, match=r"model m: .*model\.onnx"):
        stage_assess.run(conv, "m")
    assert sorted(conv.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("source.json", "{"),
        ("source.json", "[]"),
        ("source.json", '{"format": {"name": "onnx"}}'),
        ("files.jsonl", "{"),
    ],
)
def test_records_that_are_broken_are_refused_by_name(name, content, conv):
    (conv / "models/m" / name).write_text(content)
    with pytest.raises(InvalidInput, match=name.replace(".", r"\.")):
        stage_assess.run(conv, "m")


@pytest.mark.parametrize("name", ["weights", "files.jsonl", "tensors.jsonl"])
def test_what_is_missing_is_named(name, conv):
    place = conv / "models/m" / name
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    with pytest.raises(NotFound, match=name.replace(".", r"\.")):
        stage_assess.run(conv, "m")


def test_a_deep_model_and_a_wide_one_are_read_in_seconds(tmp_path):
    weights = [numpy_helper.from_array(np.ones(4, np.float32), f"w{n}") for n in range(5000)]
    nodes = [helper.make_node("Add", [f"v{n}" if n else "x", f"w{n}"], [f"v{n + 1}"]) for n in range(5000)]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", F, ["N", 4])],
        [helper.make_tensor_value_info("v5000", F, ["N", 4])],
        weights,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "x.onnx")
    conv_model.place(tmp_path, tmp_path / "x.onnx")
    start = time.monotonic()
    document = stage_assess.run(tmp_path, "m").document
    assert time.monotonic() - start < 10
    assert document["cost"]["flops"] == 5000 * 4
    assert document["cost"]["activation_bytes"] == 2 * 16
