"""Whose policy binds a decision: that of the working tree, of HEAD and of the remote's default branch, each."""

import pytest
from published import Hub, with_hub
from sandbox import InProcess, Sandbox
from test_promote import policy, runs

OPEN = "modelver: {environments: {staging: {}, prod: {}}}\n"
STRICT = """\
modelver:
  environments:
    staging: {}
    prod: {protected: true, requires: staging, gates: {accuracy: {min: 0.92}}}
"""


@pytest.fixture
def box(released: Sandbox) -> InProcess:
    return InProcess(released.root, released.env)


@pytest.fixture
def hub(box: InProcess) -> Hub:
    """``origin`` has all, and its default branch the strict policy, which versions before it know nothing of."""
    policy(box, OPEN)
    hub = with_hub(box)
    box.git("push", "-q", "--no-verify", "origin", "main", "--tags")
    policy(box, STRICT)
    box.git("push", "-q", "--no-verify", "origin", "main")
    return hub


@pytest.mark.parametrize("how", ["old tag", "old branch", "cloned", "offline", "single branch"])
def test_an_old_checkout_is_bound_by_the_default_branch(box, hub, how, tmp_path):
    if how == "cloned":
        box = InProcess(hub.clone(tmp_path / "clone").root, box.env)
        assert box.git("symbolic-ref", "refs/remotes/origin/HEAD") == "refs/remotes/origin/main"
    elif how == "single branch":
        hub.git("branch", "old", "m@v1.0.2^{}")
        box.run("git", "clone", "-q", "-b", "old", "--single-branch", f"file://{hub.path}", str(tmp_path / "clone"))
        box = InProcess(tmp_path / "clone", box.env)
        box.git("fetch", "-q", "--tags")
        refused = box.refused("promote", "m@v1.0.0", "prod", "--reason", "x")
        assert "origin/main was never fetched" in refused.err
        box.mend(refused)
    if how == "old branch":
        box.git("checkout", "-q", "-b", "old", "m@v1.0.2")
    else:
        box.git("checkout", "-q", "m@v1.0.2")
    if how == "offline":
        box.git("push", "-q", "--no-verify", "origin", "HEAD:refs/heads/old")
        hub.path.rename(tmp_path / "away.git")
    assert "is protected" in box.refused("promote", "m@v1.0.0", "prod").err
    refused = box.refused("promote", "m@v1.0.0", "prod", "--reason", "x")
    assert "m@v1.0.0 has not run in staging, which prod requires" in refused.err
    box.mv("promote", "m@v1.0.0", "staging")
    refused = box.refused("promote", "m@v1.0.0", "prod", "--reason", "x", status=1)
    assert "does not pass the gates of prod, as origin/main has them" in refused.err
    assert "accuracy 0.9 is below 0.92" in refused.err
    assert "origin/main declares no environment 'pord'" in box.refused("promote", "m@v1.0.0", "pord").err
    if how != "offline":
        box.mv("promote", "m@v1.0.1", "staging")
        box.mv("promote", "m@v1.0.1", "prod", "--reason", "x")
        assert runs(box, "--env", "prod") == {"prod": "v1.0.1"}


def test_a_way_back_and_out_goes_through_the_same_policies(box, hub):
    box.mv("promote", "m@v1.0.1", "staging")
    box.mv("promote", "m@v1.0.1", "prod", "--reason", "x")
    box.mv("promote", "m@v1.0.0", "staging")
    box.git("checkout", "-q", "m@v1.0.2")
    refused = box.refused("rollback", "m", "v1.0.0", "--env", "prod", "--reason", "x", status=1)
    assert "as origin/main has them" in refused.err
    assert "must say why" in box.refused("rollback", "m", "--to-nothing", "--env", "prod").err


def test_a_loosened_policy_counts_once_the_default_branch_has_it(box, hub):
    policy(box, STRICT.replace("0.92", "0.8") + "    qa: {}\n")
    box.mv("promote", "m@v1.0.2", "staging")
    assert "as origin/main has them" in box.refused("promote", "m@v1.0.2", "prod", "--reason", "x", status=1).err
    refused = box.refused("promote", "m@v1.0.2", "qa")
    assert "origin/main declares no environment 'qa'" in refused.err
    box.git("push", "-q", "--no-verify", "origin", "main")
    box.mv("promote", "m@v1.0.2", "prod", "--reason", "x")
    box.mv("promote", "m@v1.0.2", "qa")


def test_an_edit_that_nobody_committed_opens_nothing(box):
    policy(box, STRICT)
    box.mv("promote", "m@v1.0.1", "staging")
    for edited in (OPEN, "", STRICT.replace("protected: true, ", ""), STRICT.replace("0.92", "0.5")):
        box.write("params.yaml", edited)
        refused = box.refused("promote", "m@v1.0.1", "prod", "--reason", "x")
        assert "what params.yaml says of environments is not committed" in refused.err
    box.git("checkout", "-q", "--", "params.yaml")
    box.mv("promote", "m@v1.0.1", "prod", "--reason", "x")
    box.write("params.yaml", OPEN)
    assert "is not committed" in box.refused("rollback", "m", "--to-nothing", "--env", "prod", "--reason", "x").err


def test_without_a_remote_the_checkout_and_its_commit_bind(box):
    policy(box, STRICT.replace("protected: true, ", ""))
    box.mv("promote", "m@v1.0.0", "staging")
    box.write("params.yaml", OPEN)
    refused = box.refused("promote", "m@v1.0.0", "prod", status=1)
    assert "does not pass the gates of prod, as HEAD has them" in refused.err
    box.commit("open", "params.yaml")
    box.write("params.yaml", STRICT.replace("protected: true, ", "").replace("0.92", "0.95"))
    assert "prod: gate:accuracy" in box.refused("promote", "m@v1.0.0", "prod", status=1).err
    box.git("checkout", "-q", "--", "params.yaml")
    box.mv("promote", "m@v1.0.0", "prod")


def test_a_policy_of_the_default_branch_that_nobody_can_read_is_named(box, hub):
    policy(box, "modelver: {environments: {prod: {require: staging}}}\n")
    box.git("push", "-q", "--no-verify", "origin", "main")
    box.git("checkout", "-q", "m@v1.0.2")
    assert "origin/main: params.yaml, modelver.environments.prod" in box.refused("promote", "m@v1.0.0", "prod").err
