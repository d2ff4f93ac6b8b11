"""Settings of models that `add` brought in as they are, and verdicts on them: of these weights, by these settings."""

import json
import shutil

import numpy as np
import pytest
from sandbox import Sandbox

import models

ENTRY = """\
modelver:
  scheme: semver
  models: {}
  added:
    m:
      data: rows.npz
      task: regression
      gates: {rmse: {max: 0.5}}
      environments: {prod: {gates: {r2: {min: 0.9}}}}
"""


def rows(box: Sandbox, seed: int = 1) -> None:
    """Data on which the model of ``seed`` is right."""
    import onnxruntime

    path = models.onnx(box.root.parent / "incoming" / "right.onnx", seed, outputs=1)
    session = onnxruntime.InferenceSession(path)
    X = np.random.default_rng(0).standard_normal((64, 3), dtype=np.float32)
    np.savez(box.root / "rows.npz", X=X, y=session.run(None, {session.get_inputs()[0].name: X})[0])


def weights(box: Sandbox, seed: int) -> str:
    return str(models.onnx(box.root.parent / "incoming" / "m.onnx", seed, outputs=1))


@pytest.fixture
def added(empty_repo: Sandbox) -> Sandbox:
    """An ingested ONNX model with gates; committed, not validated."""
    rows(empty_repo)
    empty_repo.mv("add", "m", weights(empty_repo, 1))
    empty_repo.write("params.yaml", ENTRY)
    empty_repo.commit("a model with gates")
    return empty_repo


def test_gates_that_nobody_measured_let_nothing_through(added):
    refused = added.refused("tag", "m")
    assert "m has gates, and has not been validated" in refused.err
    assert "m has gates" in json.dumps(added.mv("status", "m", "--format", "json").json())
    added.mend(refused)
    added.commit("validated")
    added.mv("tag", "m")
    metrics = added.mv("show", "m", "--format", "json").json()["metrics"]
    assert metrics["rmse"] < 1e-6
    added.mv("promote", "m@latest", "prod")


def test_a_verdict_on_other_weights_is_none(added):
    added.mv("stage", "validate", "m")
    added.commit("validated")
    added.mv("tag", "m")
    added.mv("add", "m", weights(added, 2))
    added.commit("other weights")
    for command in ("tag", "record"):
        assert "validation.json is about other weights of m" in added.refused(command, "m").err
    added.mend(added.refused("tag", "m"))
    added.commit("validated")
    assert "rmse" in added.refused("tag", "m").err  # and these are bad


def test_a_verdict_by_other_settings_is_none(added):
    added.mv("stage", "validate", "m")
    text = (added.root / "params.yaml").read_text()
    added.write("params.yaml", text.replace("max: 0.5", "max: 0"))
    added.commit("stricter")
    refused = added.refused("tag", "m")
    assert "params.yaml asks of m has changed since it was validated" in refused.err
    added.write("params.yaml", text.replace("rmse: {max: 0.5}", "rmse:   {max: 0.5}") + "      targets: []\n")
    added.commit("said in other words")
    added.mv("tag", "m")


def test_a_verdict_by_hand_is_its_writers_word(added):
    added.write("models/m/validation.json", json.dumps({"ok": True, "metrics": {"rmse": 0.25}, "checks": []}))
    added.commit("measured elsewhere")
    added.mv("tag", "m")
    assert added.mv("show", "m", "--format", "json").json()["metrics"] == {"rmse": 0.25}


def test_an_entry_that_is_not_committed_is_in_the_way(added):
    added.mv("stage", "validate", "m")
    added.commit("validated")
    text = (added.root / "params.yaml").read_text()
    added.write("params.yaml", text.replace("min: 0.9", "min: 0.8"))
    assert "params.yaml" in added.refused("tag", "m").err
    added.write("params.yaml", text + "other: {m: {gates: {}}}\n")
    added.mv("tag", "m")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("  added: {m: {source: m.joblib}}\n", "modelver.added.m.source speaks of an export"),
        ("  added: {m: {gate: {}}}\n", "modelver.added.m.'gate' is no setting"),
        ("  added: {m: {gates: 3}}\n", "modelver.added.m.gates"),
        ("  added: [m]\n", "modelver.added: expected a mapping"),
        ("  added: {m: {}}\n  models: {m: {}}\n", "modelver.models and modelver.added both have an entry 'm'"),
    ],
)
def test_a_wrong_entry_is_named(added, entry, said):
    added.write("params.yaml", "modelver:\n" + entry)
    assert said in added.refused("stage", "validate", "m").err


def test_beside_a_model_that_a_stage_exports(added):
    """DVC reads `modelver.models` for the stages that export, and would look for a source there."""
    import joblib
    from sklearn.linear_model import LinearRegression

    X = np.random.default_rng(0).standard_normal((64, 3), dtype=np.float32)
    joblib.dump(LinearRegression().fit(X, X.sum(axis=1)), added.root / "sk.joblib")
    np.savez(added.root / "data.npz", X=X, y=X.sum(axis=1))
    added.mv("add", "sk", "sk.joblib", "--data", "data.npz")
    stages = added.dvc("stage", "list", "--name-only").out.split()
    assert "validate@sk" in stages
    assert not [name for name in stages if name.endswith("@m")]
    added.dvc("repro", "-q")
    added.mv("stage", "validate", "m")
    added.commit("both")
    for name in ("sk", "m"):
        added.mv("tag", name)
    assert {tag.partition("@")[0] for tag in added.git("tag").split()} == {"sk", "m"}


def test_gates_of_an_environment_in_a_models_own_entry(added):
    """As docs/gates.md shows them, of a model that is validated."""
    added.write("params.yaml", ENTRY.replace("  models: {}\n  added:", "  models:"))
    added.mv("stage", "validate", "m")
    added.commit("under models")
    added.mv("tag", "m")
    added.mv("promote", "m@latest", "prod")
    assert added.git("tag", "--list", "m#prod#*")


def test_a_verdict_on_other_data_is_none(added):
    added.mv("stage", "validate", "m")
    added.commit("validated")
    rows(added, 2)
    added.commit("other rows")
    refused = added.refused("tag", "m")
    assert "rows.npz has changed since m was validated on it" in refused.err
    added.mend(refused)
    added.commit("validated")
    assert "rmse" in added.refused("tag", "m").err


def test_data_that_is_not_here_is_known_by_its_pointer(added):
    added.git("rm", "-q", "--cached", "rows.npz")
    added.dvc("add", "-q", "rows.npz")
    added.mv("stage", "validate", "m")
    added.commit("data by DVC")
    (added.root / "rows.npz").unlink()
    added.mv("tag", "m")
    assert added.git("tag", "--list", "m@v*")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  added:", "  addded:", "modelver.'addded' is no setting"),
        ("    m:\n", "    mm:\n", "modelver.added.'mm': there is no such model in dvc.yaml"),
        ("gates: {rmse", "gate: {rmse", "modelver.added.m.'gate' is no setting"),
        ("      task:", "      targets: onnxruntime\n      task:", "modelver.added.m.targets must be a list"),
    ],
)
def test_what_is_misspelt_does_not_take_gates_away(added, old, new, said):
    added.mv("stage", "validate", "m")
    added.commit("validated")
    text = (added.root / "params.yaml").read_text()
    added.write("params.yaml", text.replace(old, new))
    added.commit("misspelt")
    assert said in added.refused("tag", "m").err
    assert said in added.mv("status", "m").out


def test_what_is_next_after_other_weights_is_to_judge_them(added):
    added.mv("stage", "validate", "m")
    added.commit("validated")
    done = added.mv("add", "m", weights(added, 1))
    assert "next: modelver stage validate m, then git add" in done.err


class TestDataThatAClonedRepositoryLacks:
    """A verdict on data that is nowhere but here: published, nobody else could tell what it is about."""

    @pytest.fixture
    def alone(self, added):
        added.git("rm", "-q", "--cached", "rows.npz")
        added.write(".gitignore", "rows.npz\n")
        added.mv("stage", "validate", "m")
        added.commit("validated on what stays here")
        return added

    def test_no_version_is_made_of_it(self, alone):
        said = "rows.npz, on which m was validated, is tracked by neither Git nor DVC"
        assert said in alone.mv("status", "m").out
        for command in ("tag", "record"):
            assert said in alone.refused(command, "m").err
        assert said in alone.mv("check", "HEAD~1", status=1).out
        alone.write(".gitignore", "")
        alone.mend(alone.refused("tag", "m"))
        alone.commit("tracked")
        assert (alone.root / "rows.npz.dvc").exists()
        alone.mv("tag", "m")

    def test_nor_where_it_is_only_not_added_yet(self, added):
        added.git("rm", "-q", "--cached", "rows.npz")
        added.mv("stage", "validate", "m")
        added.commit("validated", "models")
        added.git("commit", "-qm", "gone", "--allow-empty")
        assert "tracked by neither" in added.refused("tag", "m").err
        added.git("add", "rows.npz")
        assert "depends on what is not committed: rows.npz" in added.refused("tag", "m").err
        added.git("commit", "-qm", "data")
        added.mv("tag", "m")

    def test_a_stage_that_fails_deletes_nothing(self, alone, tmp_path):
        clone = alone.clone(tmp_path / "clone")
        clone.run("cp", "-r", str(alone.root / ".dvc/cache"), ".dvc/cache")
        clone.mv("restore")
        assert "is tracked by neither" in clone.mv("status", "m").out
        assert "rows.npz" in clone.refused("stage", "validate", "m").err
        assert clone.git("status", "--porcelain") == ""

    def test_what_dvc_tracks_within_a_folder_is_missing_and_not_changed(self, added, tmp_path):
        added.git("rm", "-q", "--cached", "rows.npz")
        added.run("mkdir", "data")
        added.run("mv", "rows.npz", "data/rows.npz")
        added.dvc("add", "-q", "data")
        added.run("mv", "data.dvc", "held.dvc")
        added.write("params.yaml", ENTRY.replace("rows.npz", "data/rows.npz"))
        added.mv("stage", "validate", "m")
        added.commit("data in a folder, by a pointer of another name")
        added.mv("tag", "m")
        shutil.rmtree(added.root / "data")
        (obstacle,) = added.mv("status", "m", "--format", "json").json()[0]["obstacles"]
        assert obstacle["what"].startswith("data/rows.npz is not here")
        assert obstacle["mend"] == "dvc pull data"
        added.dvc("checkout", "-q", "held.dvc")
        assert added.mv("status", "m", "--format", "json").json()[0]["obstacles"] == []
