"""The whole way through DVC: assess, export, optimize and validate as stages, and a tag that obeys them."""

import joblib
import numpy as np
import pytest
import yaml
from sandbox import Sandbox
from sklearn import datasets
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

GROUPS = ("assess", "export", "optimize", "validate")


@pytest.fixture
def repo(empty_repo: Sandbox) -> Sandbox:
    """A repository with the pipeline model ``m``, added and committed, not run."""
    X, y = datasets.load_wine(return_X_y=True)
    joblib.dump(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y), empty_repo.root / "m.joblib")
    np.savez(empty_repo.root / "data.npz", X=X, y=y)
    empty_repo.mv("add", "m", "m.joblib", "--data", "data.npz")
    empty_repo.commit("add")
    return empty_repo


def want(box: Sandbox, **variants) -> None:
    path = box.root / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["modelver"]["models"]["m"]["optimize"] = variants
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def ran(box: Sandbox) -> set[str]:
    done = box.dvc("repro")
    lines = (done.out + done.err).splitlines()
    return {line.split("'")[1].removesuffix("@m") for line in lines if line.startswith("Running stage")}


def test_from_export_to_tag(repo):
    want(repo, half={"method": "float16", "max_drop": {"accuracy": 0.05}})
    assert ran(repo) == set(GROUPS)
    assert ran(repo) == set()
    assert repo.git("check-ignore", "models/m/variants/half/model.onnx")  # DVC has it, Git has not
    repo.commit("run")
    repo.mv("tag", "m")
    sidecar = yaml.safe_load(repo.git("show", "m@v1.0.0:models/m/metadata.yaml"))
    half = sidecar["variants"]["half"]
    assert half["parent"] == sidecar["weights"]["sha256"]
    assert half["ok"] is True
    assert half["metrics"]["accuracy"]["before"] == sidecar["metrics"]["accuracy"]
    assert {stage["stage"] for stage in sidecar["lineage"]} == {f"{group}@m" for group in GROUPS}

    want(repo, half={"method": "prune", "sparsity": 0.9, "max_drop": {"accuracy": 0}})
    assert ran(repo) == {"optimize"}
    repo.commit("a variant that is worth nothing")
    refused = repo.refused("tag", "m")
    assert "variant half fails: drop:accuracy" in refused.err

    (repo.root / "models/m/variants.json").unlink()  # no record is no way around the verdict
    repo.commit("hide it")
    assert "has not been made" in repo.refused("tag", "m").err


def test_a_repository_of_two_stage_groups_keeps_working_and_init_adds_the_others(repo):
    path = repo.root / "dvc.yaml"
    document = yaml.safe_load(path.read_text())
    for group in ("assess", "optimize"):
        del document["stages"][group]
    document["stages"]["validate"]["do"]["params"] = ["modelver.models.${key}.gates"]
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    params = yaml.safe_load((repo.root / "params.yaml").read_text())
    entry = params["modelver"]["models"]["m"]
    for key in ("task", "calibration", "optimize", "targets", "validate"):
        del entry[key]
    (repo.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    assert ran(repo) == {"export", "validate"}
    repo.commit("old style")
    repo.mv("tag", "m")

    repo.mv("init")
    params = yaml.safe_load((repo.root / "params.yaml").read_text())
    assert params["modelver"]["models"]["m"] == {
        **entry, "task": None, "calibration": "data.npz", "optimize": {}, "targets": [], "validate": {}
    }  # fmt: skip
    assert ran(repo) == {"assess", "optimize"}
    assert ran(repo) == set()


def test_a_stage_of_the_users_own_called_optimize_stays(repo):
    path = repo.root / "dvc.yaml"
    document = yaml.safe_load(path.read_text())
    document["stages"]["optimize"] = {"cmd": "echo mine"}
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    repo.mv("init")
    assert yaml.safe_load(path.read_text())["stages"]["optimize"] == {"cmd": "echo mine"}


def test_ingested_and_plain_models_are_assessed_by_hand(model_repo):
    done = model_repo.mv("stage", "assess", "m")
    assert "parameters" in done.out
    assert (model_repo.root / "models/m/assessment.json").exists()
    model_repo.commit("assess")
    model_repo.mv("tag", "m")
    assert "models/m/assessment.json" in model_repo.git("ls-tree", "-r", "--name-only", "m@v1.0.0")


@pytest.mark.parametrize("name", ["nobody", "../m", ""])
def test_a_model_that_there_is_not_is_refused(name, model_repo):
    for stage in ("assess", "optimize"):
        done = model_repo.refused("stage", stage, name)
        assert "model" in done.err.splitlines()[0]
        assert not (model_repo.root / "models/nobody").exists()
