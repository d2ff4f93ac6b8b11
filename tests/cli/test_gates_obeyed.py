"""Gates against baselines, obeyed by tag, status and check, and what the tag's message says of them."""

import json

import pytest
from sandbox import Sandbox

from modelver.errors import CheckFailed
from modelver.operations.gating import environment_checks, refuse_for_environment
from modelver.operations.project import Project

GATES = """\
modelver:
  scheme: semver
  environments:
    prod:
      gates:
        accuracy: {min: 0.95, max_drop: 0, baseline: "#prod"}
  models:
    m:
      gates:
        accuracy: {max_drop: 0.01}
        rmse: {min_gain: 0.1, baseline: previous}
      environments:
        staging: {gates: {accuracy: {min: 0.5}}}
"""


def measured(box: Sandbox, accuracy: float, rmse: float) -> None:
    metrics = {"accuracy": accuracy, "rmse": rmse}
    box.write("models/m/validation.json", json.dumps({"ok": True, "metrics": metrics, "checks": [], "targets": {}}))


@pytest.fixture
def gated(model_repo: Sandbox) -> Sandbox:
    """m@v1.0.0 with accuracy 0.9 and rmse 2, and the weights of the next version, all committed."""
    model_repo.write("params.yaml", GATES)
    measured(model_repo, 0.9, 2.0)
    model_repo.commit("gates")
    model_repo.mv("tag", "m")
    model_repo.change("m", 2)
    return model_repo


def test_the_first_version_has_nothing_to_fall_behind_and_says_so(gated):
    message = gated.git("tag", "-l", "--format=%(contents)", "m@v1.0.0")
    assert "Modelver-Gate: accuracy 0.9: no latest version yet" in message


def test_tag_and_status_obey_a_gate_against_the_baseline(gated):
    measured(gated, 0.88, 1.0)
    gated.commit("worse")
    refused = gated.refused("tag", "m", status=1)
    assert "accuracy 0.88 against 0.9 of m@v1.0.0 (latest): worse by 0.02, allowed: 0.01" in refused.err
    assert "better model" in refused.err
    obstacles = gated.mv("status", "m", "--format", "json").json()
    assert "accuracy 0.88 against 0.9" in json.dumps(obstacles)


def test_the_tag_says_what_was_compared_with_what(gated):
    measured(gated, 0.895, 1.5)
    gated.commit("about as good")
    gated.mv("tag", "m")
    trailers = gated.git("tag", "-l", "--format=%(contents:trailers:key=Modelver-Gate,valueonly)", "m@*").split("\n")
    assert "accuracy 0.895 against 0.9 of m@v1.0.0 (latest): worse by 0.005, allowed: 0.01" in trailers
    assert "rmse 1.5 against 2 of m@v1.0.0 (previous): better by 0.5, wanted: at least 0.1 better" in trailers


def test_a_recorded_sidecar_stays_right_when_the_baseline_moves(gated):
    measured(gated, 0.95, 1.0)
    gated.commit("better")
    gated.mv("tag", "m")
    before = gated.git("rev-parse", "m@v1.0.1:models/m/metadata.yaml")
    gated.mv("record", "m", "--force-new", "--dry-run")
    assert "0.95 against" not in gated.git("show", "m@v1.0.1:models/m/metadata.yaml")
    assert gated.git("rev-parse", "HEAD:models/m/metadata.yaml") == before


def test_a_metric_that_vanished_stops_the_tag(gated):
    gated.write("models/m/validation.json", json.dumps({"ok": True, "metrics": {"rmse": 1.0}, "checks": []}))
    gated.commit("no accuracy")
    assert "accuracy was not computed, so its gate fails" in gated.refused("tag", "m", status=1).err


def test_a_baseline_that_does_not_exist_is_named(gated):
    gated.write("params.yaml", GATES.replace("baseline: previous", "baseline: v9.9.9"))
    measured(gated, 0.9, 1.0)
    gated.commit("compare with the future")
    assert "v9.9.9" in gated.refused("tag", "m").err


def test_gates_of_an_environment(gated):
    project = Project.open(gated.root)
    sidecar = {"version": "v1.0.0", "previous": None, "metrics": {"accuracy": 0.9, "rmse": 2.0}}
    with pytest.raises(CheckFailed, match=r"m v1\.0\.0 does not pass the gates of prod: gate:accuracy"):
        refuse_for_environment(project, "m", "prod", sidecar)
    assert [check.ok for check in environment_checks(project, "m", "staging", sidecar)] == [True]
    assert environment_checks(project, "m", "elsewhere", sidecar) == ()
    gated.git("tag", "-am", "runs", "m#prod#1", "m@v1.0.0^{}")
    project = Project.open(gated.root)
    checks = environment_checks(project, "m", "prod", {**sidecar, "metrics": {"accuracy": 0.96}})
    assert [(check.name, check.ok) for check in checks] == [("gate:accuracy", True), ("gate:accuracy:max_drop", True)]
    assert "0.96 against 0.9 of m@v1.0.0 (#prod)" in checks[1].message
