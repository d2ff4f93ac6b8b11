"""``scores.json``: the metrics of a validation as rows that DVC draws."""

import json

import joblib
import numpy as np
import pandas as pd
import pytest
from sandbox import Sandbox
from sklearn.linear_model import LinearRegression
from sklearn.metrics import root_mean_squared_error

from modelver.operations import stage_export, stage_validate


@pytest.fixture
def root(tmp_path):
    """A regression on two columns, and a table whose third column is the place."""
    rng = np.random.default_rng(4)
    table = pd.DataFrame({"a": rng.standard_normal(60), "b": rng.standard_normal(60)})
    table["y"] = 3 * table["a"] - table["b"] + rng.standard_normal(60)
    model = LinearRegression().fit(table[["a", "b"]].to_numpy(), table["y"])
    joblib.dump(model, tmp_path / "m.joblib")
    np.savez(tmp_path / "data.npz", X=table[["a", "b"]], y=table["y"], place=np.where(table["a"] > 0.5, "town", "land"))
    return tmp_path


def settings(**more):
    return {"source": "m.joblib", "framework": "sklearn", "data": "data.npz", **more}


def rows(root):
    return {row["metric"]: row["value"] for row in json.loads((root / "models/m/scores.json").read_bytes())}


def test_overall_and_by_slice(root):
    entry = settings(validate={"slices": {"by-place": {"by": "place"}}})
    stage_export.run(root, "m", entry)
    stage_validate.run(root, "m", entry)
    found = rows(root)
    data = np.load(root / "data.npz")
    answers = joblib.load(root / "m.joblib").predict(data["X"])
    assert found["checks passed"] == 1.0
    assert found["rmse"] == pytest.approx(root_mean_squared_error(data["y"], answers), rel=1e-4)
    for place in ("town", "land"):
        own = data["place"] == place
        wanted = root_mean_squared_error(data["y"][own], answers[own])
        assert found[f"rmse, by-place={place}"] == pytest.approx(wanted, rel=1e-4)
    assert not any("rows" in name for name in found)


def test_a_check_that_said_no_is_seen(root):
    entry = settings(gates={"rmse": {"max": 0}})
    stage_export.run(root, "m", entry)
    result = stage_validate.run(root, "m", entry)
    assert rows(root)["checks passed"] == pytest.approx(1 - 1 / len(result.checks), abs=1e-6)


def test_an_error_leaves_the_rows_of_the_verdict_that_stands(root):
    stage_export.run(root, "m", settings())
    stage_validate.run(root, "m", settings())
    before = rows(root)
    (root / "models/m/source.json").unlink()
    with pytest.raises(stage_validate.NotFound):
        stage_validate.run(root, "m", settings())
    assert rows(root) == before


def test_without_metrics_dvc_still_has_something_to_draw(model_repo: Sandbox):
    model_repo.mv("stage", "validate", "m")
    assert json.loads((model_repo.root / "models/m/scores.json").read_bytes()) == [
        {"metric": "checks passed", "value": 1.0}
    ]
    model_repo.write("dvc.yaml", (model_repo.root / "dvc.yaml").read_text() + "plots: [models/m/scores.json]\n")
    plots = json.loads(model_repo.dvc("plots", "show", "--json").out)
    assert list(plots["data"]) == ["models/m/scores.json"]
    assert not plots.get("errors")
