"""Variants of real models: what they are, what they are worth, and that the weights stay as they were."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import conv_model
import joblib
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from sklearn import datasets
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelver.core.manifest import load_files, tree_digest
from modelver.errors import InvalidInput, NotFound
from modelver.formats import onnx_describe
from modelver.operations import stage_export, stage_optimize

EASY = {"accuracy": 0.05}
ALL = {
    "graph": {"method": "graph"},
    "int8": {"method": "dynamic-int8", "max_drop": EASY},
    "static": {"method": "static-int8", "max_drop": {"accuracy": 0.05, "agreement": 0.1}},
    "half": {"method": "float16", "max_drop": {"accuracy": 0.01}},
    "pruned": {"method": "prune", "sparsity": 0.25, "max_drop": EASY},
}
DATA = {"data": "data.npz", "calibration": "calibration.npz"}


@pytest.fixture
def conv(tmp_path) -> Path:
    conv_model.make(tmp_path / "c.onnx")
    conv_model.place(tmp_path, tmp_path / "c.onnx")
    rows(tmp_path)
    return tmp_path


def rows(root: Path) -> None:
    X, y = conv_model.digits()
    np.savez(root / "data.npz", image=X[1:400:2], y=y[1:400:2])  # the linear layer was trained on even rows
    np.savez(root / "calibration.npz", image=X[::10], y=y[::10])


@pytest.fixture(scope="module")
def digits_template(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("digits")
    X, y = datasets.load_digits(return_X_y=True)
    model = MLPClassifier([32], max_iter=40, random_state=0)
    joblib.dump(make_pipeline(StandardScaler(), model).fit(X[::2], y[::2]), root / "m.joblib")
    np.savez(root / "data.npz", X=X[1::2], y=y[1::2])
    np.savez(root / "calibration.npz", X=X[::10], y=y[::10])
    stage_export.run(root, "m", {"source": "m.joblib", "framework": "sklearn", **DATA})
    return root


@pytest.fixture
def digits(digits_template, tmp_path) -> Path:
    return Path(shutil.copytree(digits_template, tmp_path / "digits"))


def optimize(root: Path, variants: dict, **settings):
    return stage_optimize.run(root, "m", {**DATA, "optimize": variants, **settings})


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def answers(folder: Path, feeds: dict) -> list:
    return onnxruntime.InferenceSession(folder / "model.onnx").run(None, feeds)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["digits", "conv"])
def test_every_method_on_real_models(name, request):
    root = request.getfixturevalue(name)
    before = contents(root / "models/m/weights")
    result = optimize(root, ALL)
    document = json.loads((root / "models/m/variants.json").read_bytes())
    assert document == result.document
    assert contents(root / "models/m/weights") == before
    assert result.ok, [check for record in document["variants"].values() for check in record["checks"]]
    parent = load_files((root / "models/m/files.jsonl").read_bytes())
    assert document["parent"]["sha256"] == tree_digest(parent)
    assert sorted(document["variants"]) == sorted(ALL)
    _, signature, _ = onnx_describe.describe(root / "models/m/weights/model.onnx")
    for variant, record in document["variants"].items():
        folder = root / record["path"]
        onnx.checker.check_model(folder / "model.onnx", full_check=True)
        form, theirs, graph = onnx_describe.describe(folder / "model.onnx")
        assert {side: theirs[side] for side in ("inputs", "outputs")} == {
            side: signature[side] for side in ("inputs", "outputs")
        }
        assert set(form["opsets"]) <= {"ai.onnx", "ai.onnx.ml"}, variant
        assert all(operator.startswith("ai.onnx") for operator in graph["operators"]), variant
        files = contents(folder)
        assert [(f["path"], f["sha256"]) for f in record["manifest"]] == [
            (path, hashlib.sha256(data).hexdigest()) for path, data in sorted(files.items())
        ]
        assert record["bytes"] == sum(len(data) for data in files.values())
        assert record["tool"]["version"]
    assert set(result.ratios) == set(ALL)
    latency = json.loads((root / "models/m/variants-latency.json").read_bytes())
    assert latency["deterministic"] is False
    assert all(values["p50"] > 0 for values in latency["variants"].values())


def test_metrics_before_and_after_are_those_of_a_calculation_in_numpy(conv):
    document = optimize(conv, {"int8": ALL["int8"]}).document
    data = np.load(conv / "data.npz")
    metrics = document["variants"]["int8"]["metrics"]
    for when, folder in (("before", "weights"), ("after", "variants/int8")):
        (logits,) = answers(conv / "models/m" / folder, {"image": data["image"]})
        assert metrics["accuracy"][when] == pytest.approx((logits.argmax(1) == data["y"]).mean(), abs=1e-6)
    assert metrics["accuracy"]["drop"] == pytest.approx(
        metrics["accuracy"]["before"] - metrics["accuracy"]["after"], abs=1e-6
    )
    assert metrics["agreement"]["before"] == 1
    assert metrics["accuracy"]["before"] > 0.9  # a model that is worth nothing could lose nothing


def test_pruned_tensors_have_lost_their_smallest_quarter(conv):
    record = optimize(conv, {"pruned": ALL["pruned"]}).document["variants"]["pruned"]
    pruned = onnx.load(conv / "models/m/variants/pruned/model.onnx")
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in pruned.graph.initializer}
    for name, old in conv_model.trained().items():
        new = arrays[name]
        if name == "bias":  # one dimension: no weight matrix
            assert np.array_equal(new, old)
            continue
        kept = new != 0
        assert (~kept).sum() == old.size // 4
        assert np.array_equal(new[kept], old[kept])
        assert np.abs(old[~kept]).max() <= np.abs(old[kept]).min()
    assert record["sparsity"] == 0.25


def test_static_quantisation_records_its_rows_by_dvcs_hash(conv):
    record = optimize(conv, {"static": ALL["static"]}).document["variants"]["static"]
    md5 = hashlib.md5((conv / "calibration.npz").read_bytes()).hexdigest()
    assert record["calibration"] == {"path": "calibration.npz", "md5": md5, "rows": 128}
    assert record["operators"]["ai.onnx/QuantizeLinear"] >= 1


@pytest.mark.parametrize("batch", [1, 16])
def test_a_model_of_a_fixed_batch_is_quantised_too(batch, tmp_path):
    conv_model.make(tmp_path / "c.onnx", batch=batch)
    conv_model.place(tmp_path, tmp_path / "c.onnx")
    rows(tmp_path)
    record = optimize(tmp_path, {"static": ALL["static"]}).document["variants"]["static"]
    assert record["ok"]
    assert record["calibration"]["rows"] == 128


def test_an_old_model_whose_weights_are_inputs_too(tmp_path):
    conv_model.make(tmp_path / "c.onnx", opset=11)
    proto = onnx.load(tmp_path / "c.onnx")
    proto.ir_version = 3
    for tensor in proto.graph.initializer:
        proto.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    onnx.save(proto, tmp_path / "c.onnx")
    conv_model.place(tmp_path, tmp_path / "c.onnx")
    rows(tmp_path)
    variants = optimize(tmp_path, {name: ALL[name] for name in ("graph", "int8", "pruned")}).document["variants"]
    assert {name: record["ok"] for name, record in variants.items()} == {"graph": True, "int8": True, "pruned": True}
    assert variants["pruned"]["format"]["ir_version"] == 3
    assert variants["int8"]["format"]["ir_version"] == 4  # scales are no inputs


def test_a_variant_outside_its_limit_is_written_and_its_verdict_is_no(conv):
    result = optimize(conv, {"harsh": {"method": "prune", "sparsity": 0.95, "max_drop": {"accuracy": 0.01}}, **ALL})
    assert not result.ok
    assert result.document["ok"] is False
    record = result.document["variants"]["harsh"]
    assert record["ok"] is False
    (failed,) = (check for check in record["checks"] if not check["ok"])
    assert failed["name"] == "drop:accuracy"
    assert failed["value"] > failed["limit"] == 0.01
    assert failed["hint"]
    assert (conv / "models/m/variants/harsh/model.onnx").exists()
    assert result.document["variants"]["graph"]["ok"] is True


def test_float16_inputs_are_another_signature_and_a_no(conv):
    wanted = {"half": {"method": "float16", "keep_io": False, "max_drop": {"accuracy": 1.0}}}
    record = optimize(conv, wanted).document["variants"]["half"]
    assert record["ok"] is False
    assert {check["name"]: check["ok"] for check in record["checks"]} == {"structure": True, "signature": False}
    assert record["metrics"]["accuracy"]["after"] is None


def test_a_limit_on_a_metric_that_nobody_computes_fails(conv):
    record = optimize(conv, {"v": {"method": "graph", "max_drop": {"rmse": 1.0}}}).document["variants"]["v"]
    assert record["ok"] is False


def test_without_data_recorded_rows_are_run_and_agreement_is_the_measure(digits):
    settings = {"optimize": {"int8": {"method": "dynamic-int8", "max_drop": {"agreement": 0.1}}}}
    record = stage_optimize.run(digits, "m", settings).document["variants"]["int8"]
    assert record["ok"]
    assert set(record["metrics"]) == {"agreement"}
    assert record["parity"]["rows"] == 32  # what the export records of a smooth model


def test_without_any_rows_nobody_knows_and_the_verdict_is_no(conv):
    record = stage_optimize.run(conv, "m", {"optimize": {"graph": {"method": "graph"}}}).document["variants"]["graph"]
    assert record["ok"] is False
    assert "no rows" in record["checks"][-1]["message"]


def test_slices_count_too(conv):
    slices = {"loud": "label >= 5"}
    data = np.load(conv / "data.npz")
    np.savez(conv / "data.npz", image=data["image"], y=data["y"], label=data["y"])
    wanted = {"v": {"method": "prune", "sparsity": 0.1, "max_drop": {"slices.loud.accuracy": 0.5}}}
    metrics = optimize(conv, wanted, target="y", validate={"slices": slices}).document["variants"]["v"]["metrics"]
    assert metrics["slices.loud.accuracy"]["before"] > 0.5


def test_asked_for_nothing_an_empty_folder_and_an_empty_record_are_written(conv):
    optimize(conv, ALL)
    result = optimize(conv, {})
    assert result.ok
    assert list((conv / "models/m/variants").iterdir()) == []
    assert json.loads((conv / "models/m/variants.json").read_bytes())["variants"] == {}
    assert not (conv / "models/m/variants-latency.json").exists()


def test_a_variant_that_is_asked_for_no_more_is_gone(conv):
    optimize(conv, {"graph": ALL["graph"], "half": ALL["half"]})
    optimize(conv, {"graph": ALL["graph"]})
    assert [path.name for path in (conv / "models/m/variants").iterdir()] == ["graph"]


SCRIPT = """
import sys
from pathlib import Path
from modelver.operations import stage_optimize
from test_stage_optimize import ALL, DATA
stage_optimize.run(Path(sys.argv[1]), "m", {**DATA, "optimize": ALL})
"""


def test_two_processes_in_two_folders_write_the_same_bytes(digits, tmp_path):
    other = Path(shutil.copytree(digits, tmp_path / "a folder elsewhere/repo"))
    for number, root in enumerate((digits, other)):
        path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
        env = {**os.environ, "PYTHONHASHSEED": str(number + 1), "PYTHONPATH": path}
        subprocess.run([sys.executable, "-c", SCRIPT, str(root)], env=env, check=True, capture_output=True)
    made = [contents(root / "models/m") for root in (digits, other)]
    for files in made:
        del files["variants-latency.json"]
    assert made[0] == made[1]
    assert str(digits).encode() not in b"".join(made[0].values())


def test_trees_have_nothing_to_quantise_and_the_message_says_so(tmp_path):
    X, y = datasets.load_wine(return_X_y=True)
    joblib.dump(RandomForestClassifier(3, random_state=0).fit(X, y), tmp_path / "m.joblib")
    np.savez(tmp_path / "data.npz", X=X, y=y)
    stage_export.run(tmp_path, "m", {"source": "m.joblib", "framework": "sklearn", "data": "data.npz"})
    settings = {"data": "data.npz", "optimize": {"int8": ALL["int8"]}}
    with pytest.raises(InvalidInput, match="model m, variant int8: there is nothing") as error:
        stage_optimize.run(tmp_path, "m", settings)
    assert "another method" in error.value.hint
    assert not (tmp_path / "models/m/variants.json").exists()
    with pytest.raises(InvalidInput, match="no weight tensor"):
        stage_optimize.run(tmp_path, "m", {"data": "data.npz", "optimize": {"pruned": ALL["pruned"]}})


@pytest.mark.parametrize("damage", ["weights", "source", "nothing", "no data", "no calibration", "safetensors"])
def test_what_does_not_fit_is_refused_and_no_old_record_outlives_it(damage, conv):
    optimize(conv, {"graph": ALL["graph"]})
    home = conv / "models/m"
    kind, words = InvalidInput, "m"
    if damage == "weights":
        path = home / "weights/model.onnx"
        path.write_bytes(path.read_bytes()[:-1])
        words = r"model\.onnx has"
    elif damage == "source":
        (home / "source.json").write_text("{")
        words = r"source\.json is no JSON"
    elif damage == "nothing":
        (home / "files.jsonl").unlink()
        kind, words = NotFound, r"files\.jsonl"
    elif damage == "safetensors":
        (home / "source.json").write_text('{"format": {"name": "safetensors"}, "signature": null}')
        words = "not in ONNX"
    else:
        (conv / ("data.npz" if damage == "no data" else "calibration.npz")).unlink()
        kind, words = NotFound, "no data file"
    with pytest.raises(kind, match=words):
        optimize(conv, {"static": ALL["static"]})
    assert not (home / "variants.json").exists()
    assert not (home / ".optimize").exists()


def test_wrong_settings_name_the_field(conv):
    with pytest.raises(InvalidInput, match=r"params\.yaml, modelver\.models\.m\.optimize\.v\.method"):
        optimize(conv, {"v": {"method": "magic"}})
