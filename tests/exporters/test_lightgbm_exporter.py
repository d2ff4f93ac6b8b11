"""Real LightGBM models, trained on data that scikit-learn ships, through export and validation."""

import joblib
import numpy as np
import onnxruntime
import pandas as pd
import pytest
from boosted import content, load, round_trip, settings, source_of
from sklearn import datasets
from sklearn.metrics import accuracy_score, r2_score

lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed: pip install 'modelver[lightgbm]'")

from modelver.errors import Refused  # noqa: E402
from modelver.operations import stage_export  # noqa: E402

SMALL = {"n_estimators": 15, "num_leaves": 15, "n_jobs": 1, "random_state": 0, "verbose": -1, "min_child_samples": 5}
FOREST = {"boosting_type": "rf", "subsample": 0.6, "subsample_freq": 1}

CLASSIFIERS = {
    "binary": ("breast_cancer", {}),
    "several": ("wine", {}),
    "gaps": ("wine-gaps", {}),
    "forest": ("wine", FOREST),
    "dart": ("wine", {"boosting_type": "dart"}),
    "one-versus-all": ("wine", {"objective": "multiclassova"}),
    "sigmoid": ("breast_cancer", {"sigmoid": 0.7}),
    "digits": ("digits", {}),
}
REGRESSORS = {
    "squared": ("diabetes", {}),
    "gaps": ("diabetes-gaps", {}),
    "poisson": ("diabetes", {"objective": "poisson"}),
    "tweedie": ("diabetes", {"objective": "tweedie"}),
    "absolute": ("diabetes", {"objective": "l1"}),
    "forest": ("diabetes", FOREST),
}


@pytest.mark.parametrize("suffix", ["txt", "joblib"])
@pytest.mark.parametrize("case", sorted(CLASSIFIERS))
def test_classifiers(tmp_path, case, suffix):
    name, options = CLASSIFIERS[case]
    X, y = load(name)
    model = lightgbm.LGBMClassifier(**SMALL, **options).fit(X, y)
    save(model, tmp_path / f"m.{suffix}")
    np.savez(tmp_path / "data.npz", X=X, y=y)
    result = round_trip(tmp_path, settings("lightgbm", f"m.{suffix}"))
    assert result.parity.share_rows_off == 0
    assert result.metrics["accuracy"] == pytest.approx(accuracy_score(y, model.predict(X)), abs=1e-5)
    assert source_of(tmp_path)["signature"]["labels"] == sorted(set(y.tolist()))


@pytest.mark.parametrize("case", sorted(REGRESSORS))
def test_regressors(tmp_path, case):
    name, options = REGRESSORS[case]
    X, y = load(name)
    model = lightgbm.LGBMRegressor(**SMALL, **options).fit(X, y)
    save(model, tmp_path / "m.txt")
    np.savez(tmp_path / "data.npz", X=X, y=y)
    result = round_trip(tmp_path, settings("lightgbm", "m.txt"))
    assert result.parity.share_rows_off == 0
    assert result.metrics["r2"] == pytest.approx(r2_score(y, model.predict(X)), abs=1e-4)


def save(model, path):
    joblib.dump(model, path) if path.suffix == ".joblib" else model.booster_.save_model(path)


def test_text_labels_of_the_wrapper_stay(tmp_path):
    data = datasets.load_iris()
    y = data.target_names[data.target]
    model = lightgbm.LGBMClassifier(**SMALL).fit(data.data, y)
    save(model, tmp_path / "m.joblib")
    np.savez(tmp_path / "data.npz", X=data.data, y=y)
    result = round_trip(tmp_path, settings("lightgbm", "m.joblib"))
    assert source_of(tmp_path)["signature"]["labels"] == ["setosa", "versicolor", "virginica"]
    assert result.metrics["accuracy"] == pytest.approx(accuracy_score(y, model.predict(data.data)), abs=1e-5)


def test_values_that_were_missing_in_no_training_row_count_as_zero(tmp_path):
    X, y = datasets.load_diabetes(return_X_y=True)  # features centred at 0: both sides of splits are taken
    model = lightgbm.LGBMRegressor(**SMALL).fit(X, y)
    save(model, tmp_path / "m.txt")
    gaps = X.copy()
    gaps.ravel()[::5] = np.nan
    np.savez(tmp_path / "data.npz", X=gaps, y=y)
    round_trip(tmp_path, settings("lightgbm", "m.txt"))
    session = onnxruntime.InferenceSession(tmp_path / "models/m/weights/model.onnx")
    np.testing.assert_allclose(session.run(None, {"X": gaps})[0][:, 0], model.predict(gaps), rtol=1e-5)


def test_float32_is_a_choice_and_exact_for_float32_data(tmp_path):
    X, y = datasets.load_diabetes(return_X_y=True)
    X = X.astype(np.float32)
    model = lightgbm.LGBMRegressor(**SMALL).fit(X, y)
    save(model, tmp_path / "m.txt")
    np.savez(tmp_path / "data.npz", X=X, y=y)
    result = round_trip(tmp_path, settings("lightgbm", "m.txt", dtype="float32", rows=442))
    assert result.parity.rows_off == 0
    assert source_of(tmp_path)["signature"]["inputs"][0]["dtype"] == "float32"
    round_trip(tmp_path, settings("lightgbm", "m.txt", rows=442))
    assert source_of(tmp_path)["signature"]["inputs"][0]["dtype"] == "float64"


def test_a_wrapper_stops_at_its_best_round(tmp_path):
    X, y = datasets.load_breast_cancer(return_X_y=True)
    model = lightgbm.LGBMClassifier(n_estimators=200, learning_rate=0.5, verbose=-1, n_jobs=1)
    model.fit(X[:400], y[:400], eval_X=X[400:], eval_y=y[400:], callbacks=[lightgbm.early_stopping(3, verbose=False)])
    assert model.best_iteration_ < 200
    save(model, tmp_path / "m.joblib")
    np.savez(tmp_path / "data.npz", X=X, y=y)
    round_trip(tmp_path, settings("lightgbm", "m.joblib"))
    session = onnxruntime.InferenceSession(tmp_path / "models/m/weights/model.onnx")
    np.testing.assert_allclose(session.run(["probabilities"], {"X": X})[0], model.predict_proba(X), atol=1e-5)


def test_a_table_and_two_folders_give_the_same_bytes(tmp_path):
    frame = datasets.load_wine(as_frame=True).frame
    model = lightgbm.LGBMClassifier(**SMALL).fit(frame.drop(columns="target"), frame["target"])
    found = []
    for name in ("a", "somewhere/else"):
        root = tmp_path / name
        root.mkdir(parents=True)
        save(model, root / "m.txt")
        frame[sorted(frame.columns)].to_csv(root / "data.csv", index=False)
        entry = {**settings("lightgbm", "m.txt", "data.csv"), "target": "target"}
        expected = model.score(frame.drop(columns="target"), frame["target"])
        assert round_trip(root, entry).metrics["accuracy"] == pytest.approx(expected, abs=1e-5)
        found.append(content(root))
    assert found[0] == found[1]


def test_what_is_not_exported_is_refused_by_name(tmp_path):
    X, y = datasets.load_diabetes(return_X_y=True)
    np.savez(tmp_path / "data.npz", X=X, y=y)
    train = {"num_leaves": 7, "verbose": -1}
    rows = lightgbm.Dataset(X, label=y, free_raw_data=False)
    lightgbm.train({**train, "zero_as_missing": True}, rows, 3).save_model(tmp_path / "zero.txt")
    lightgbm.train({**train, "objective": "regression", "reg_sqrt": True}, lightgbm.Dataset(X, label=y), 3).save_model(
        tmp_path / "sqrt.txt"
    )
    lightgbm.train({**train, "linear_tree": True}, lightgbm.Dataset(X, label=y), 3).save_model(tmp_path / "linear.txt")
    table = pd.DataFrame({"a": pd.Categorical((y // 40).astype(int)), "b": X[:, 0]})
    categories = lightgbm.LGBMRegressor(**SMALL).fit(table, y)
    save(categories, tmp_path / "categories.txt")
    (tmp_path / "text.txt").write_text("hello")
    joblib.dump(datasets.load_iris(), tmp_path / "data.joblib")
    for source, message in (
        ("zero.txt", "takes 0 for a missing value"),
        ("sqrt.txt", "objective 'regression sqrt'"),
        ("linear.txt", "linear models in its leaves"),
        ("categories.txt", "splits by categories"),
        ("text.txt", "text.txt is no LightGBM model"),
        ("data.joblib", "holds a Bunch"),
    ):
        with pytest.raises(Refused, match=f"^model m.*{message}"):
            stage_export.run(tmp_path, "m", settings("lightgbm", source))
