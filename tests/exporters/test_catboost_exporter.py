"""Real CatBoost models, trained on data that scikit-learn ships, through CatBoost's own export and validation."""

import numpy as np
import pytest
from boosted import content, load, round_trip, settings, source_of
from sklearn import datasets
from sklearn.metrics import accuracy_score, r2_score

catboost = pytest.importorskip("catboost", reason="CatBoost is not installed: pip install 'modelver[catboost]'")

from modelver.errors import InvalidInput, Refused  # noqa: E402
from modelver.operations import stage_export  # noqa: E402

SMALL = {"iterations": 15, "depth": 4, "random_seed": 0, "thread_count": 1}
QUIET = {"verbose": False, "allow_writing_files": False}

CLASSIFIERS = {
    "binary": ("breast_cancer", {}),
    "several": ("wine", {}),
    "gaps": ("wine-gaps", {}),
    "gaps-high": ("wine-gaps", {"nan_mode": "Max"}),
    "digits": ("digits", {}),
}
REGRESSORS = {
    "squared": ("diabetes", {}),
    "gaps": ("diabetes-gaps", {}),
    "absolute": ("diabetes", {"loss_function": "MAE"}),
    "poisson": ("diabetes", {"loss_function": "Poisson"}),
    "tweedie": ("diabetes", {"loss_function": "Tweedie:variance_power=1.5"}),
}


@pytest.mark.parametrize("case", sorted(CLASSIFIERS))
def test_classifiers(tmp_path, case):
    name, options = CLASSIFIERS[case]
    X, y = load(name)
    model = catboost.CatBoostClassifier(**SMALL, **QUIET, **options).fit(X, y)
    model.save_model(tmp_path / "m.cbm")
    np.savez(tmp_path / "data.npz", X=X, y=y)
    result = round_trip(tmp_path, settings(None, "m.cbm"))
    assert result.parity.share_rows_off == 0
    assert result.metrics["accuracy"] == pytest.approx(accuracy_score(y, model.predict(X).ravel()), abs=1e-5)
    assert source_of(tmp_path)["signature"]["labels"] == sorted(set(y.tolist()))
    assert source_of(tmp_path)["format"]["opsets"] == {"ai.onnx": 17, "ai.onnx.ml": 3}


@pytest.mark.parametrize("case", sorted(REGRESSORS))
def test_regressors_answer_what_their_wrapper_answers(tmp_path, case):
    name, options = REGRESSORS[case]
    X, y = load(name)
    model = catboost.CatBoostRegressor(**SMALL, **QUIET, **options).fit(X, y)
    model.save_model(tmp_path / "m.cbm")
    np.savez(tmp_path / "data.npz", X=X, y=y)
    result = round_trip(tmp_path, settings("catboost", "m.cbm"))
    assert result.parity.share_rows_off == 0
    # CatBoostRegressor.predict takes the exponent where the loss asks for it
    assert result.metrics["r2"] == pytest.approx(r2_score(y, model.predict(X)), abs=1e-4)


def test_text_labels_and_names_in_a_table_and_the_same_bytes_in_two_folders(tmp_path):
    data = datasets.load_wine(as_frame=True)
    frame = data.data.assign(target=data.target_names[data.target])
    model = catboost.CatBoostClassifier(**SMALL, **QUIET).fit(data.data, frame["target"])
    model.save_model(tmp_path / "m.cbm")
    found = []
    for name in ("a", "somewhere/else"):
        root = tmp_path / name
        root.mkdir(parents=True)
        (root / "m.cbm").write_bytes((tmp_path / "m.cbm").read_bytes())
        frame[sorted(frame.columns)].to_csv(root / "data.csv", index=False)
        entry = {**settings("catboost", "m.cbm", "data.csv"), "target": "target"}
        expected = accuracy_score(frame["target"], model.predict(data.data).ravel())
        assert round_trip(root, entry).metrics["accuracy"] == pytest.approx(expected, abs=1e-5)
        assert source_of(root)["signature"]["labels"] == ["class_0", "class_1", "class_2"]
        assert set(source_of(root)["format"]["metadata"]) == {"modelver.feature_names"}
        found.append(content(root))
    assert found[0] == found[1]


def test_the_json_format(tmp_path):
    X, y = load("wine")
    model = catboost.CatBoostClassifier(**SMALL, **QUIET).fit(X, y)
    model.save_model(tmp_path / "m.json", format="json")
    np.savez(tmp_path / "data.npz", X=X, y=y)
    round_trip(tmp_path, settings("catboost", "m.json", outputs=["klass", "scores"]))
    assert [value["name"] for value in source_of(tmp_path)["signature"]["outputs"]] == ["klass", "scores"]


def test_what_is_not_exported_is_refused_by_name(tmp_path):
    X, y = load("wine")
    np.savez(tmp_path / "data.npz", X=X, y=y)
    for source, options, target in (
        ("all.cbm", {"loss_function": "MultiClassOneVsAll"}, y),
        ("deep.cbm", {"grow_policy": "Lossguide"}, y),
        ("bool.cbm", {}, y > 0),
    ):
        catboost.CatBoostClassifier(**SMALL, **QUIET, **options).fit(X, target).save_model(tmp_path / source)
    two = catboost.CatBoostRegressor(loss_function="MultiRMSE", **SMALL, **QUIET).fit(X, np.column_stack([y, y]))
    two.save_model(tmp_path / "two.cbm")
    whole = X.astype(int).astype(object)
    catboost.CatBoostClassifier(cat_features=[0], **SMALL, **QUIET).fit(whole, y).save_model(tmp_path / "cats.cbm")
    (tmp_path / "text.cbm").write_text("hello")
    (tmp_path / "other.txt").write_text("hello")
    for source, message in (
        ("all.cbm", "loss function 'MultiClassOneVsAll' is not exported"),
        ("two.cbm", "loss function 'MultiRMSE' is not exported"),
        ("deep.cbm", "CatBoost does not export it"),
        ("bool.cbm", "CatBoost does not export it"),
        ("cats.cbm", "CatBoost does not export it"),
        ("text.cbm", "text.cbm is no CatBoost model"),
        ("other.txt", "no native CatBoost file"),
    ):
        with pytest.raises(Refused, match=f"^model m.*{message}"):
            stage_export.run(tmp_path, "m", settings("catboost", source))
        assert not (tmp_path / "models/m/weights").exists()


def test_labels_come_from_the_file(tmp_path):
    X, y = load("wine")
    catboost.CatBoostClassifier(**SMALL, **QUIET).fit(X, y).save_model(tmp_path / "m.cbm")
    np.savez(tmp_path / "data.npz", X=X, y=y)
    with pytest.raises(InvalidInput, match="hold their labels"):
        stage_export.run(tmp_path, "m", settings("catboost", "m.cbm", labels=["a", "b", "c"]))
