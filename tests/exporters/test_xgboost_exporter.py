"""Real XGBoost models, trained on data that scikit-learn ships, through export and validation."""

import joblib
import numpy as np
import onnxruntime
import pandas as pd
import pytest
from boosted import content, load, round_trip, settings, source_of
from sklearn import datasets
from sklearn.metrics import accuracy_score, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

xgboost = pytest.importorskip("xgboost", reason="XGBoost is not installed: pip install 'modelver[xgboost]'")

from modelver.errors import InvalidInput, Refused  # noqa: E402
from modelver.operations import stage_export  # noqa: E402

SMALL = {"n_estimators": 15, "max_depth": 4, "n_jobs": 1, "random_state": 0}

CLASSIFIERS = {
    "binary": ("breast_cancer", {}),
    "several": ("wine", {}),
    "gaps": ("wine-gaps", {}),
    "dart": ("wine", {"booster": "dart", "rate_drop": 0.4}),
    "forests": ("wine", {"num_parallel_tree": 3, "subsample": 0.6}),
    "softmax": ("wine", {"objective": "multi:softmax"}),
    "base": ("breast_cancer", {"base_score": 0.2}),
    "digits": ("digits", {}),
}
REGRESSORS = {
    "squared": ("diabetes", {}),
    "gaps": ("diabetes-gaps", {}),
    "poisson": ("diabetes", {"objective": "count:poisson"}),
    "gamma": ("diabetes", {"objective": "reg:gamma"}),
    "tweedie": ("diabetes", {"objective": "reg:tweedie"}),
    "absolute": ("diabetes", {"objective": "reg:absoluteerror"}),
    "two": ("two-targets", {}),
    "dart": ("diabetes", {"booster": "dart", "rate_drop": 0.4}),
}


@pytest.mark.parametrize("suffix", ["json", "ubj", "joblib"])
@pytest.mark.parametrize("case", sorted(CLASSIFIERS))
def test_classifiers(tmp_path, case, suffix):
    name, options = CLASSIFIERS[case]
    X, y = load(name)
    model = xgboost.XGBClassifier(**SMALL, **options).fit(X, y)
    save(model, tmp_path / f"m.{suffix}")
    np.savez(tmp_path / "data.npz", X=X, y=y)
    result = round_trip(tmp_path, settings("xgboost", f"m.{suffix}"))
    assert result.parity.share_rows_off == 0
    assert result.metrics["accuracy"] == pytest.approx(accuracy_score(y, model.predict(X)), abs=1e-5)
    assert source_of(tmp_path)["signature"]["labels"] == sorted(set(y.tolist()))
    assert source_of(tmp_path)["source"]["format"] == suffix


@pytest.mark.parametrize("case", sorted(REGRESSORS))
def test_regressors(tmp_path, case):
    name, options = REGRESSORS[case]
    X, y = load(name)
    model = xgboost.XGBRegressor(**SMALL, **options).fit(X, y)
    save(model, tmp_path / "m.ubj")
    np.savez(tmp_path / "data.npz", X=X, y=y)
    result = round_trip(tmp_path, settings("xgboost", "m.ubj"))
    assert result.parity.share_rows_off == 0
    assert result.metrics["r2"] == pytest.approx(r2_score(y, model.predict(X)), abs=1e-4)
    assert source_of(tmp_path)["signature"]["labels"] is None


def save(model, path):
    joblib.dump(model, path) if path.suffix == ".joblib" else model.save_model(path)


def test_float32_thresholds_are_exact_also_where_values_lie_on_them(tmp_path):
    # Each training value is also a candidate for a threshold: a rounding would show.
    X, y = datasets.load_digits(return_X_y=True)
    X = (X / 3).astype(np.float32)
    model = xgboost.XGBClassifier(**SMALL, tree_method="exact").fit(X, y)
    model.save_model(tmp_path / "m.ubj")
    np.savez(tmp_path / "data.npz", X=X, y=y)
    round_trip(tmp_path, settings("xgboost", "m.ubj", rows=1797))
    session = onnxruntime.InferenceSession(tmp_path / "models/m/weights/model.onnx")
    np.testing.assert_allclose(session.run(["probabilities"], {"X": X})[0], model.predict_proba(X), atol=1e-6)


def test_a_native_booster_without_wrapper_and_with_labels_from_params(tmp_path):
    X, y = datasets.load_iris(return_X_y=True)
    names = datasets.load_iris().target_names
    booster = xgboost.train({"objective": "multi:softprob", "num_class": 3}, xgboost.DMatrix(X, label=y), 9)
    booster.save_model(tmp_path / "m.json")
    np.savez(tmp_path / "data.npz", X=X, y=names[y])
    result = round_trip(tmp_path, settings("xgboost", "m.json", labels=names.tolist()))
    expected = booster.predict(xgboost.DMatrix(X)).argmax(axis=1)
    assert result.metrics["accuracy"] == pytest.approx(accuracy_score(y, expected), abs=1e-5)
    assert source_of(tmp_path)["signature"]["outputs"][0]["dtype"] == "string"
    with pytest.raises(InvalidInput, match=r"params\.yaml has 2 labels, the model 3 classes"):
        stage_export.run(tmp_path, "m", settings("xgboost", "m.json", labels=["a", "b"]))


@pytest.mark.parametrize("suffix", ["ubj", "joblib"])
def test_a_wrapper_stops_at_its_best_round(tmp_path, suffix):
    X, y = datasets.load_breast_cancer(return_X_y=True)
    model = xgboost.XGBClassifier(n_estimators=80, learning_rate=0.8, early_stopping_rounds=3)
    model.fit(X[:400], y[:400], eval_set=[(X[400:], y[400:])], verbose=False)
    assert model.best_iteration < model.get_booster().num_boosted_rounds() - 1
    save(model, tmp_path / f"m.{suffix}")
    np.savez(tmp_path / "data.npz", X=X, y=y)
    round_trip(tmp_path, settings("xgboost", f"m.{suffix}"))
    session = onnxruntime.InferenceSession(tmp_path / "models/m/weights/model.onnx")
    rows = X.astype(np.float32)
    np.testing.assert_allclose(session.run(["probabilities"], {"X": rows})[0], model.predict_proba(X), atol=1e-5)


def test_a_table_with_names_in_another_order(tmp_path):
    frame = datasets.load_wine(as_frame=True).frame
    X, y = frame.drop(columns="target"), frame["target"]
    model = xgboost.XGBClassifier(**SMALL).fit(X, y)
    model.save_model(tmp_path / "m.ubj")
    frame[sorted(frame.columns)].to_csv(tmp_path / "data.csv", index=False)
    entry = {**settings("xgboost", "m.ubj", "data.csv"), "target": "target"}
    assert round_trip(tmp_path, entry).metrics["accuracy"] == pytest.approx(model.score(X, y), abs=1e-5)


def test_outputs_and_dtype_can_be_chosen(tmp_path):
    X, y = datasets.load_wine(return_X_y=True)
    xgboost.XGBClassifier(**SMALL).fit(X, y).save_model(tmp_path / "m.ubj")
    np.savez(tmp_path / "data.npz", X=X, y=y)
    round_trip(tmp_path, settings("xgboost", "m.ubj", dtype="float64", outputs=["klass", "scores"], opset=15))
    found = source_of(tmp_path)
    assert found["signature"]["inputs"] == [{"name": "X", "dtype": "float64", "shape": ["N", 13]}]
    assert [value["name"] for value in found["signature"]["outputs"]] == ["klass", "scores"]
    assert found["format"]["opsets"] == {"ai.onnx": 15, "ai.onnx.ml": 3}


def test_two_runs_and_two_folders_give_the_same_bytes(tmp_path):
    X, y = datasets.load_wine(return_X_y=True)
    model = xgboost.XGBClassifier(**SMALL).fit(X, y)
    found = []
    for name in ("a", "somewhere/else"):
        root = tmp_path / name
        root.mkdir(parents=True)
        model.save_model(root / "m.ubj")
        np.savez(root / "data.npz", X=X, y=y)
        round_trip(root, settings("xgboost", "m.ubj"))
        found.append(content(root))
    assert found[0] == found[1]


def test_what_is_not_exported_is_refused_by_name(tmp_path):
    X, y = datasets.load_wine(return_X_y=True)
    np.savez(tmp_path / "data.npz", X=X, y=y)
    xgboost.XGBRegressor(booster="gblinear", n_estimators=3).fit(X, y).save_model(tmp_path / "linear.ubj")
    two = np.column_stack([y, y])
    options = {"multi_strategy": "multi_output_tree", "tree_method": "hist", "n_estimators": 2}
    xgboost.XGBRegressor(**options).fit(X, two).save_model(tmp_path / "vector.ubj")
    table = pd.DataFrame({"a": pd.Categorical(y), "b": X[:, 0]})
    model = xgboost.XGBClassifier(enable_categorical=True, n_estimators=3).fit(table, y)
    model.save_model(tmp_path / "categories.ubj")
    joblib.dump(xgboost.XGBClassifier(missing=0.0, n_estimators=2).fit(X, y), tmp_path / "zero.joblib")
    joblib.dump(make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=2)).fit(X, y), tmp_path / "p.joblib")
    (tmp_path / "text.ubj").write_text("hello")
    (tmp_path / "empty.json").write_text("")
    for source, message in (
        ("linear.ubj", "booster 'gblinear'"),
        ("vector.ubj", "leaves of several values"),
        ("categories.ubj", "splits by categories"),
        ("zero.joblib", "takes 0.0 for a missing value"),
        ("p.joblib", "holds a Pipeline, no XGBoost model"),
        ("text.ubj", "text.ubj is no XGBoost model"),
        ("empty.json", "empty.json is no XGBoost model"),
    ):
        with pytest.raises(Refused, match=f"^model m.*{message}"):
            stage_export.run(tmp_path, "m", settings("xgboost", source))
    joblib.dump(xgboost.XGBClassifier(n_estimators=2).fit(X, y), tmp_path / "x.joblib")
    with pytest.raises(Refused, match="XGBClassifier of xgboost") as raised:
        stage_export.run(tmp_path, "m", settings(None, "x.joblib"))
    assert raised.value.hint == "framework: xgboost in params.yaml"
    xgboost.XGBClassifier(n_estimators=2).fit(*datasets.load_iris(return_X_y=True)).save_model(tmp_path / "iris.ubj")
    with pytest.raises(InvalidInput, match=r"model m: data\.npz: 'X' has shape"):
        stage_export.run(tmp_path, "m", settings("xgboost", "iris.ubj"))
