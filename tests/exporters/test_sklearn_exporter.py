"""Real models, trained on data that scikit-learn ships, through export and validation."""

import json
import os
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import onnx
import pandas as pd
import pytest
from sklearn import datasets
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import RFE
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC

from modelver.errors import InvalidInput, ModelverError, NotFound, Refused
from modelver.exporters import base
from modelver.operations import stage_export, stage_validate

FOREST = {"n_estimators": 20, "random_state": 0}


def wine_named():
    data = datasets.load_wine()
    return data.data, data.target_names[data.target]


def two_targets():
    X, y = datasets.load_diabetes(return_X_y=True)
    return X, np.column_stack([y, np.sqrt(y)])


def diabetes_float32():
    X, y = datasets.load_diabetes(return_X_y=True)
    return X.astype(np.float32), y


def iris_yes_or_no():
    X, y = datasets.load_iris(return_X_y=True)
    return X, y > 0


def save(root: Path, model, X, y) -> dict:
    joblib.dump(model, root / "m.joblib")
    arrays = {"X": X} if y is None else {"X": X, "y": y}
    np.savez(root / "data.npz", **arrays)
    return {"source": "m.joblib", "framework": "sklearn", "data": "data.npz"}


def round_trip(root: Path, settings: dict) -> stage_validate.ValidationResult:
    stage_export.run(root, "m", settings)
    result = stage_validate.run(root, "m", settings)
    assert result.ok, [check for check in result.checks if not check.ok]
    return result


def source_of(root: Path) -> dict:
    return json.loads((root / "models/m/source.json").read_text())


CASES = {
    "digits": (make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)), datasets.load_digits),
    "binary": (make_pipeline(StandardScaler(), LogisticRegression()), datasets.load_breast_cancer),
    "text-labels": (make_pipeline(StandardScaler(), LogisticRegression()), wine_named),
    "forest": (make_pipeline(StandardScaler(), RandomForestClassifier(**FOREST)), datasets.load_breast_cancer),
    "forest-raw": (RandomForestClassifier(n_jobs=2, **FOREST), datasets.load_iris),
    "forest-regressor": (make_pipeline(StandardScaler(), RandomForestRegressor(**FOREST)), datasets.load_diabetes),
    "hist": (make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=20)), datasets.load_wine),
    "hist-regressor": (HistGradientBoostingRegressor(max_iter=20), datasets.load_diabetes),
    "boosting": (make_pipeline(StandardScaler(), GradientBoostingClassifier(n_estimators=9)), datasets.load_iris),
    "boosting-regressor": (make_pipeline(StandardScaler(), GradientBoostingRegressor()), datasets.load_diabetes),
    "svc": (make_pipeline(StandardScaler(), SVC(random_state=0)), datasets.load_wine),
    "svc-probability": (make_pipeline(StandardScaler(), SVC(probability=True, random_state=0)), datasets.load_wine),
    "linear-svc-binary": (make_pipeline(StandardScaler(), LinearSVC()), datasets.load_breast_cancer),
    "neighbours": (KNeighborsClassifier(), datasets.load_iris),
    "ridge": (make_pipeline(StandardScaler(), Ridge()), datasets.load_diabetes),
    "bagging": (make_pipeline(StandardScaler(), BaggingClassifier(n_estimators=5)), datasets.load_wine),
    "vote-soft": (
        make_pipeline(
            StandardScaler(),
            VotingClassifier([("a", LogisticRegression()), ("b", RandomForestClassifier(**FOREST))], voting="soft"),
        ),
        datasets.load_wine,
    ),
    "vote-hard": (
        make_pipeline(
            StandardScaler(),
            VotingClassifier([("a", LogisticRegression()), ("b", RandomForestClassifier(**FOREST))]),
        ),
        datasets.load_wine,
    ),
    "stacking": (
        make_pipeline(
            StandardScaler(),
            StackingClassifier([("a", LogisticRegression()), ("b", RandomForestClassifier(**FOREST))], cv=2),
        ),
        datasets.load_wine,
    ),
    "quantiles": (make_pipeline(QuantileTransformer(n_quantiles=50), Ridge()), datasets.load_diabetes),
    "two-targets": (RandomForestRegressor(**FOREST), two_targets),
    "float32-data": (make_pipeline(StandardScaler(), RandomForestRegressor(**FOREST)), diabetes_float32),
    "yes-or-no": (RandomForestClassifier(**FOREST), iris_yes_or_no),
    "search": (GridSearchCV(LogisticRegression(max_iter=500), {"C": [0.1, 1.0]}, cv=2), datasets.load_iris),
}


@pytest.mark.filterwarnings("ignore::FutureWarning")  # SVC(probability=True), which many models in the world have
@pytest.mark.parametrize("case", sorted(CASES))
def test_supervised_models_pass_validation_with_the_score_of_the_source(case, tmp_path):
    model, load = CASES[case]
    X, y = load(return_X_y=True) if load.__module__.startswith("sklearn") else load()
    model.fit(X, y)
    result = round_trip(tmp_path, save(tmp_path, model, X, y))
    # scikit-learn's own score on the same rows: accuracy of classifiers, r2 of regressors
    name = "accuracy" if hasattr(model, "classes_") else "r2"
    assert result.metrics[name] == pytest.approx(model.score(X, y), abs=0.008 if case == "neighbours" else 2e-5)
    labels = source_of(tmp_path)["signature"]["labels"]
    assert labels == (model.classes_.tolist() if hasattr(model, "classes_") else None)
    if hasattr(model, "predict_proba"):
        assert "log_loss" in result.metrics


def test_double_inputs_can_be_had_for_a_bare_forest(tmp_path):
    X, y = datasets.load_diabetes(return_X_y=True)
    settings = save(tmp_path, RandomForestRegressor(**FOREST).fit(X, y), X, y)
    assert round_trip(tmp_path, {**settings, "export": {"dtype": "float64"}}).parity.rows_off == 0
    assert source_of(tmp_path)["signature"]["inputs"][0]["dtype"] == "float64"


def test_double_inputs_where_scaled_features_meet_trees(tmp_path):
    X, y = datasets.load_diabetes(return_X_y=True)
    for model, dtype in (
        (make_pipeline(StandardScaler(), RandomForestRegressor(**FOREST)), "float64"),
        (RandomForestRegressor(**FOREST), "float32"),
        (make_pipeline(StandardScaler(), Ridge()), "float32"),
    ):
        settings = save(tmp_path, model.fit(X, y), X, y)
        assert round_trip(tmp_path, settings).parity.rows_off == 0
        assert source_of(tmp_path)["signature"]["inputs"] == [{"name": "X", "dtype": dtype, "shape": ["N", 10]}]


def test_isolation_forest_is_measured_as_a_detector_of_outliers(tmp_path):
    X, _ = datasets.load_wine(return_X_y=True)
    model = make_pipeline(StandardScaler(), IsolationForest(n_estimators=30, random_state=0)).fit(X)
    result = round_trip(tmp_path, save(tmp_path, model, X, model.predict(X)))
    assert result.metrics["accuracy"] == 1.0
    assert "f1_macro" not in result.metrics


def test_clusters_have_parity_and_no_metrics(tmp_path):
    X, _ = datasets.load_iris(return_X_y=True)
    model = make_pipeline(StandardScaler(), KMeans(3, random_state=0, n_init=1)).fit(X)
    result = round_trip(tmp_path, save(tmp_path, model, X, None))
    assert result.metrics == {}
    assert result.parity.label_agreement == 1.0


def test_a_hard_vote_loses_the_probabilities_that_nobody_can_compare(tmp_path):
    X, y = datasets.load_iris(return_X_y=True)
    model = VotingClassifier([("a", LogisticRegression(max_iter=500)), ("b", KNeighborsClassifier())]).fit(X, y)
    round_trip(tmp_path, save(tmp_path, model, X, y))
    assert [value["name"] for value in source_of(tmp_path)["signature"]["outputs"]] == ["label"]


TEXTS = [
    "The quick brown fox's tail, jumps over 2 logs",
    "lazy DOG sleeps all day!",
    "A fox and a dog; play 2 games",
    "naïve CAFÉ words über alles",
    "quick quick fox-trot",
    "dogs sleep. Day night i",
]


def passengers(rows: int = 300) -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "id": np.arange(rows),
            "age": random.integers(18, 80, rows),
            "fare": random.gamma(2.0, 20.0, rows),
            "deck": random.integers(1, 4, rows),
            "alone": random.random(rows) > 0.5,
            "sex": random.choice(["m", "f"], rows),
        }
    )
    frame["survived"] = np.where((frame.sex == "f") | (frame.fare > 60), "yes", "no")
    frame.loc[::7, "fare"] = np.nan
    frame["note"] = [TEXTS[number % len(TEXTS)] for number in range(rows)]
    return frame


@pytest.mark.parametrize("last", [LogisticRegression(), RandomForestClassifier(**FOREST)])
def test_a_table_becomes_one_input_for_each_column_with_its_own_dtype(last, tmp_path):
    frame = passengers()
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "fare"]),
            ("flag", "passthrough", ["alone"]),
            ("classes", OneHotEncoder(handle_unknown="ignore"), ["deck"]),
            ("text", make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), ["sex"]),
        ]
    )
    model = make_pipeline(columns, last).fit(frame.drop(columns="survived"), frame["survived"])
    joblib.dump(model, tmp_path / "m.joblib")
    frame.to_csv(tmp_path / "data.csv", index=False)
    settings = {"source": "m.joblib", "data": "data.csv", "target": "survived"}
    result = round_trip(tmp_path, settings)
    assert result.parity.rows_off == 0
    assert result.metrics["accuracy"] == pytest.approx(model.score(frame, frame["survived"]), abs=1e-6)
    inputs = {value["name"]: (value["dtype"], value["shape"]) for value in source_of(tmp_path)["signature"]["inputs"]}
    number = "float64" if isinstance(last, RandomForestClassifier) else "float32"
    assert inputs == {
        "age": ("int64", ["N", 1]),
        "fare": (number, ["N", 1]),
        "deck": ("int64", ["N", 1]),
        "alone": ("bool", ["N", 1]),
        "sex": ("string", ["N", 1]),
    }


def test_text_beside_numbers_in_front_of_trees_whose_votes_tie(tmp_path):
    frame = passengers()
    columns = ColumnTransformer([("words", TfidfVectorizer(), "note"), ("numbers", StandardScaler(), ["age"])])
    model = make_pipeline(columns, RandomForestClassifier(**FOREST)).fit(frame, frame["survived"])
    votes = model.predict_proba(frame)[:, 0]
    assert np.isclose(votes, 0.5).any()  # else this test shows nothing
    joblib.dump(model, tmp_path / "m.joblib")
    frame.to_csv(tmp_path / "data.csv", index=False)
    result = round_trip(tmp_path, {"source": "m.joblib", "data": "data.csv", "target": "survived"})
    assert result.parity.label_agreement == 1.0


def test_a_table_of_numbers_becomes_one_matrix_whose_columns_are_noted(tmp_path):
    frame = datasets.load_iris(as_frame=True).frame
    features = [name for name in frame if name != "target"]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame[features], frame["target"])
    joblib.dump(model, tmp_path / "m.joblib")
    frame.assign(note=1)[["note", *reversed(features), "target"]].to_csv(tmp_path / "data.csv", index=False)
    result = round_trip(tmp_path, {"source": "m.joblib", "data": "data.csv"})
    assert result.metrics["accuracy"] == pytest.approx(model.score(frame[features], frame["target"]), abs=1e-6)
    source = source_of(tmp_path)
    assert json.loads(source["format"]["metadata"]["modelver.feature_names"]) == features
    assert source["signature"]["inputs"] == [{"name": "X", "dtype": "float32", "shape": ["N", 4]}]


def test_an_unsupervised_model_does_not_take_its_last_column_for_a_target(tmp_path):
    frame = datasets.load_iris(as_frame=True).data
    model = IsolationForest(n_estimators=10, random_state=0).fit(frame)
    joblib.dump(model, tmp_path / "m.joblib")
    frame.to_csv(tmp_path / "data.csv", index=False)
    assert round_trip(tmp_path, {"source": "m.joblib", "data": "data.csv"}).metrics == {}


@pytest.mark.parametrize("options", [{}, {"ngram_range": (1, 2)}, {"lowercase": False}], ids=str)
def test_text_pipelines_agree_on_short_words_umlauts_and_punctuation(options, tmp_path):
    frame = pd.DataFrame({"text": TEXTS * 10, "animal": ["fox", "dog", "fox", "none", "fox", "dog"] * 10})
    model = make_pipeline(TfidfVectorizer(**options), LogisticRegression()).fit(frame["text"], frame["animal"])
    joblib.dump(model, tmp_path / "m.joblib")
    frame.to_csv(tmp_path / "data.csv", index=False)
    result = round_trip(tmp_path, {"source": "m.joblib", "data": "data.csv"})
    assert result.parity.rows_off == 0
    assert source_of(tmp_path)["signature"]["inputs"] == [{"name": "text", "dtype": "string", "shape": ["N", 1]}]
    np.savez(tmp_path / "data.npz", X=np.array(frame["text"].tolist()), y=np.array(frame["animal"].tolist()))
    assert round_trip(tmp_path, {"source": "m.joblib", "data": "data.npz"}).metrics == result.metrics


def test_bytes_do_not_depend_on_run_folder_or_hash_seed(tmp_path):
    X, y = datasets.load_wine(return_X_y=True)
    model = CASES["vote-soft"][0].fit(X, y)
    found = []
    for number, seed in enumerate(("1", "2")):
        root = tmp_path / ("deep/" * number) / f"repo{number}"
        root.mkdir(parents=True)
        settings = save(root, model, X, y)
        code = (
            "import sys; from pathlib import Path; from modelver.operations import stage_export, stage_validate\n"
            f"for stage in (stage_export, stage_validate): stage.run(Path(sys.argv[1]), 'm', {settings!r})"
        )
        subprocess.run(
            [sys.executable, "-c", code, str(root)], check=True, env={**os.environ, "PYTHONHASHSEED": seed}, cwd="."
        )
        files = sorted(path for path in (root / "models").rglob("*") if path.is_file())
        found.append({path.relative_to(root).as_posix(): path.read_bytes() for path in files})
    assert found[0] == found[1]
    assert not any(os.fsencode(tmp_path) in content for content in found[0].values())


def test_opset_and_ir_are_what_the_settings_ask_for_at_most(tmp_path):
    X, y = datasets.load_iris(return_X_y=True)
    settings = save(tmp_path, LogisticRegression(max_iter=500).fit(X, y), X, y)
    round_trip(tmp_path, {**settings, "export": {"opset": 15, "ir_version": 8, "rows": 7}})
    proto = onnx.load(tmp_path / "models/m/weights/model.onnx")
    stamped = {item.domain or "ai.onnx": item.version for item in proto.opset_import}
    assert stamped["ai.onnx"] <= 15
    assert proto.ir_version == 8
    assert source_of(tmp_path)["format"]["opsets"] == stamped
    recorded = onnx.load_tensor(tmp_path / "models/m/weights/test_data_set_0/input_0.pb")
    assert list(recorded.dims) == [7, 4]


def broken(root: Path, case: str) -> dict:
    X, y = datasets.load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(X, y)
    settings = save(root, model, X, y)
    if case == "no data":
        settings["data"] = None
    elif case == "no such data":
        settings["data"] = "gone.npz"
    elif case == "no such source":
        settings["source"] = "gone.joblib"
    elif case == "no pickle":
        (root / "m.joblib").write_bytes(b"garbage")
    elif case == "no estimator":
        joblib.dump({"model": model}, root / "m.joblib")
    elif case == "unfitted":
        joblib.dump(LogisticRegression(), root / "m.joblib")
    elif case == "wrong width":
        np.savez(root / "data.npz", X=X[:, :3], y=y)
    elif case == "framework":
        settings["framework"] = "keras"
    elif case == "path":
        settings["source"] = "../m.joblib"
    return settings


@pytest.mark.parametrize(
    ("case", "error", "words"),
    [
        ("no data", Refused, "has no data"),
        ("no such data", NotFound, "gone.npz"),
        ("no such source", NotFound, "gone.joblib"),
        ("no pickle", InvalidInput, "m.joblib cannot be opened"),
        ("no estimator", InvalidInput, "holds a dict"),
        ("unfitted", ModelverError, "not fitted"),
        ("wrong width", InvalidInput, "takes"),
        ("framework", Refused, "keras"),
        ("path", InvalidInput, "source"),
    ],
)
def test_what_cannot_be_exported_is_refused_by_name_and_leaves_nothing(case, error, words, tmp_path):
    settings = broken(tmp_path, case)
    with pytest.raises(error, match=words) as caught:
        stage_export.run(tmp_path, "m", settings)
    assert caught.value.hint
    left = [path.name for path in (tmp_path / "models").rglob("*")] if (tmp_path / "models").exists() else []
    assert left in ([], ["m"])


def test_an_unknown_plug_in_is_told_which_there_are():
    """No package of that name need exist, so none is advised."""
    with pytest.raises(Refused) as caught:
        base.find("mxnet", Path("m.params"))
    assert "sklearn" in caught.value.hint
    assert "pip install" not in caught.value.hint


def test_the_suffix_finds_the_exporter():
    assert type(base.find(None, Path("m.joblib"))) is type(base.find("scikit-learn", Path("m")))


def test_a_model_of_another_scikit_learn_is_refused(tmp_path, monkeypatch):
    X, y = datasets.load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=500).fit(X, y)
    with monkeypatch.context() as patch:
        patch.setattr("sklearn.base.__version__", "1.2.2")  # what estimators write into their pickles
        settings = save(tmp_path, model, X, y)
    with pytest.raises(Refused, match=r"saved by scikit-learn 1\.2\.2") as caught:
        stage_export.run(tmp_path, "m", settings)
    assert "scikit-learn==1.2.2" in caught.value.hint


BLOCKED = """
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from modelver.errors import Refused
from modelver.operations import stage_export, stage_validate

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("sklearn", "skl2onnx", "joblib", "pandas"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
result = stage_validate.run(Path(sys.argv[1]), "m", SETTINGS)
assert result.ok and result.metrics["accuracy"] > 0.9
try:
    stage_export.run(Path(sys.argv[1]), "m", SETTINGS)
except Refused as error:
    print(error.message, "|", error.hint)
"""


def test_without_the_framework_validation_runs_and_export_says_what_to_install(tmp_path):
    X, y = datasets.load_iris(return_X_y=True)
    settings = save(tmp_path, LogisticRegression(max_iter=500).fit(X, y), X, y)
    stage_export.run(tmp_path, "m", settings)
    code = BLOCKED.replace("SETTINGS", repr(settings))
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "exporting scikit-learn models needs the package joblib | pip install 'modelver[sklearn]'\n"


def test_selectors_and_vectorisers_alone(tmp_path):
    X, y = datasets.load_iris(return_X_y=True)
    model = RFE(LogisticRegression(max_iter=300)).fit(X, y)
    round_trip(tmp_path, {**save(tmp_path, model, X, y), "task": "none"})
    assert source_of(tmp_path)["signature"]["outputs"][0]["shape"] == ["N", 2]
    texts = np.array(["one two three", "two three four", "three"])
    model = CountVectorizer().fit(texts)  # the last step itself: its locale must be one that is everywhere
    round_trip(tmp_path, {**save(tmp_path, model, texts, None), "task": "none"})
    assert source_of(tmp_path)["signature"]["outputs"][0]["shape"] == ["N", 4]


def columns_of(root: Path) -> dict[str, str]:
    return json.loads(source_of(root)["format"]["metadata"]["modelver.columns"])


def test_columns_with_spaces_and_brackets_keep_their_values(tmp_path):
    frame = datasets.load_iris(as_frame=True).frame
    features = [name for name in frame if name != "target"]
    assert features[0] == "sepal length (cm)"
    model = make_pipeline(ColumnTransformer([("n", StandardScaler(), features)]), LogisticRegression())
    model.fit(frame[features], frame["target"])
    joblib.dump(model, tmp_path / "m.joblib")
    frame[[*reversed(features), "target"]].to_csv(tmp_path / "data.csv", index=False)
    settings = {
        "source": "m.joblib",
        "data": "data.csv",
        "target": "target",
        "validate": {"slices": {"long": "`sepal length (cm)` >= 6"}, "edges": {"batch": "answer"}},
    }
    result = round_trip(tmp_path, settings)
    assert result.metrics["accuracy"] == pytest.approx(model.score(frame[features], frame["target"]), abs=1e-6)
    assert result.document["metrics"]["slices"]["long"]["rows"] == (frame["sepal length (cm)"] >= 6).sum()
    names = [value["name"] for value in source_of(tmp_path)["signature"]["inputs"]]
    assert [columns_of(tmp_path)[name] for name in names] == features
    assert all(name.isidentifier() for name in names)


def test_columns_whose_names_become_one_identifier_are_told_apart(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(200, 3)), columns=["a b", "a_b", "a(b"])
    frame["review text"] = [TEXTS[number % len(TEXTS)] for number in range(200)]
    frame["n (count)"] = rng.integers(0, 9, 200)
    frame["unused %"] = 1.0
    target = np.where(3 * frame["a b"] - 2 * frame["a_b"] + frame["a(b"] > 0, "yes", "no")
    parts = [("n", StandardScaler(), ["a b", "a_b", "a(b", "n (count)"]), ("t", TfidfVectorizer(), "review text")]
    model = make_pipeline(ColumnTransformer(parts), LogisticRegression()).fit(frame, target)
    joblib.dump(model, tmp_path / "m.joblib")
    frame.assign(y=target).to_csv(tmp_path / "data.csv", index=False)
    result = round_trip(tmp_path, {"source": "m.joblib", "data": "data.csv"})
    assert result.metrics["accuracy"] == pytest.approx(model.score(frame, target), abs=1e-6)
    assert sorted(columns_of(tmp_path).values()) == ["a b", "a(b", "a_b", "n (count)", "review text"]
    kinds = {value["name"]: value["dtype"] for value in source_of(tmp_path)["signature"]["inputs"]}
    by_column = {column: kinds[name] for name, column in columns_of(tmp_path).items()}
    assert (by_column["n (count)"], by_column["review text"]) == ("int64", "string")

    frame.drop(columns="a b").assign(y=target).to_csv(tmp_path / "data.csv", index=False)
    with pytest.raises(InvalidInput, match="lacks 'a b', an input"):  # not column 'a_b' in its place
        stage_validate.run(tmp_path, "m", {"source": "m.joblib", "data": "data.csv"})


def test_one_column_of_text_with_a_space_in_its_name(tmp_path):
    frame = pd.DataFrame({"the text": TEXTS * 10, "animal": ["fox", "dog", "fox", "none", "fox", "dog"] * 10})
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(frame["the text"], frame["animal"])
    joblib.dump(model, tmp_path / "m.joblib")
    frame.to_csv(tmp_path / "data.csv", index=False)
    result = round_trip(tmp_path, {"source": "m.joblib", "data": "data.csv"})
    assert result.metrics["accuracy"] == pytest.approx(model.score(frame["the text"], frame["animal"]), abs=1e-6)
