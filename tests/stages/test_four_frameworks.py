"""One repository with a scikit-learn, a PyTorch, a boosted and an ingested ONNX model: from training to tag."""

import json

import combined
import pytest
import yaml
from combined import GROUPS, PIPELINES
from sandbox import Sandbox

pytestmark = pytest.mark.xdist_group("four-frameworks")  # the repository is built once for a process

ALL = {
    "data",
    *(f"train_{model}" for model in PIPELINES),
    *(f"{group}@{model}" for group in GROUPS for model in PIPELINES),
}


def sidecar(box: Sandbox, tag: str) -> dict:
    return yaml.safe_load(box.git("show", f"{tag}:models/{tag.partition('@')[0]}/metadata.yaml"))


def test_from_training_to_tag(ran, repo):
    _, stages = ran
    assert stages == ALL
    assert repo.git("status", "--porcelain") == ""
    for model in (*PIPELINES, "plain"):
        repo.mv("tag", model)
    assert repo.tags() == sorted(f"{model}@v1.0.0" for model in (*PIPELINES, "plain"))
    assert repo.git("status", "--porcelain") == ""
    assert combined.repro(repo) == set()  # a tag is no reason to run anything
    for model in PIPELINES:
        document = sidecar(repo, f"{model}@v1.0.0")
        assert document["metrics"]["accuracy"] > 0.8
        assert document["validation"]["ok"] is True
        assert document["params"]["params.yaml"]["train." + model] == {
            "linear": {"C": 1.0}, "net": {"steps": 150}, "trees": {"rounds": 20}
        }[model]  # fmt: skip
        assert [stage["stage"] for stage in document["lineage"]][:3] == ["data", f"train_{model}", f"export@{model}"]
        assert not any(other in str(document["lineage"]) for other in PIPELINES if other != model)
    assert sidecar(repo, "plain@v1.0.0")["kind"] == "ingested"
    shown = repo.mv("list", "--format", "json").json()
    assert {version["model"] for version in shown} == {*PIPELINES, "plain"}


def test_a_second_run_runs_nothing_and_a_changed_gate_judges_that_model_again(repo):
    assert combined.repro(repo) == set()
    combined.edit(repo, "linear", gates={"accuracy": {"min": 1.5}})
    assert combined.repro(repo) == {"validate@linear"}
    repo.commit("too much asked")
    assert "accuracy" in repo.refused("tag", "linear").err
    repo.mv("tag", "trees")
    assert repo.tags() == ["trees@v1.0.0"]


def test_one_changed_source_exports_that_model_only_and_dvc_compares_the_two(repo):
    for model in PIPELINES:
        repo.mv("tag", model)
    combined.train(repo, "trees", rounds=1)
    assert combined.repro(repo) == {"train_trees", *(f"{group}@trees" for group in GROUPS)}
    repo.commit("one round")
    repo.mv("tag", "trees")
    assert repo.tags() == ["linear@v1.0.0", "net@v1.0.0", "trees@v1.0.0", "trees@v1.0.1"]
    tags = ("trees@v1.0.0", "trees@v1.0.1")
    before, after = (sidecar(repo, tag)["metrics"] for tag in tags)

    metrics = json.loads(repo.dvc("metrics", "diff", *tags, "--json").out)
    assert list(metrics) == ["models/trees/validation.json"]
    accuracy = metrics["models/trees/validation.json"]["metrics.accuracy"]
    assert (accuracy["old"], accuracy["new"]) == (before["accuracy"], after["accuracy"])

    params = json.loads(repo.dvc("params", "diff", *tags, "--json").out)
    assert params == {"params.yaml": {"train.trees.rounds": {"old": 20, "new": 1, "diff": -19}}}

    [plot] = json.loads(repo.dvc("plots", "diff", *tags, "--json").out)["data"]["models/trees/scores.json"]
    for tag, recorded in zip(tags, (before, after), strict=True):
        rows = {row["metric"]: row["value"] for row in plot["content"]["data"]["values"] if row["rev"] == tag}
        assert rows == {"checks passed": 1.0, **recorded}


def test_the_graph_of_stages_and_the_plots_of_what_is_checked_out(repo):
    dag = repo.dvc("dag", "--dot").out
    for model in PIPELINES:
        assert f'"train_{model}" -> "export@{model}"' in dag
        for group in GROUPS[1:]:
            assert f'"export@{model}" -> "{group}@{model}"' in dag
    assert '"train_net" -> "export@trees"' not in dag
    assert "export@net" in repo.dvc("dag", "--md").out
    shown = json.loads(repo.dvc("plots", "show", "--json").out)["data"]
    assert sorted(shown) == sorted(f"models/{model}/scores.json" for model in PIPELINES)
