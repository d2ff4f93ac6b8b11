"""Two who decide at once, in clones of their own: one has won, the other is told, and nothing of it is left over."""

from pathlib import Path

import pytest
from published import Hub, with_hub
from sandbox import InProcess, Sandbox
from test_promote import runs


@pytest.fixture
def box(released: Sandbox) -> InProcess:
    return InProcess(released.root, released.env)


@pytest.fixture
def hub(box: InProcess) -> Hub:
    """``origin`` has all versions, and v1.0.0 in prod."""
    hub = with_hub(box)
    box.mv("promote", "v1.0.0", "prod")
    box.git("push", "-q", "--no-verify", "-u", "origin", "main", "--tags")
    return hub


def another(hub: Hub, place: Path) -> InProcess:
    clone = InProcess(hub.clone(place).root, hub.box.env)
    clone.mv("hook", "install")
    return clone


def decisions(hub: Hub) -> list[str]:
    return [tag for tag in hub.tags() if "#" in tag]


def test_decisions_whose_names_do_not_collide(box, hub, tmp_path):
    other, third = another(hub, tmp_path / "other"), another(hub, tmp_path / "third")
    box.mv("promote", "v1.0.1", "prod")
    other.mv("rollback", "m", "--to-nothing", "--env", "prod", "--reason", "it harms people")
    third.mv("promote", "v1.0.1", "staging")
    other.git("push", "-q", "origin", "m#prod!#2")  # the command that rollback advises
    refused = box.refused("push")
    assert "origin has m#prod!#2, and m#prod#2 was decided without knowing of it" in refused.err
    by_hand = box.run("git", "push", "-q", "origin", "main", "m#prod#2", status=1)
    assert box.hint(by_hand) == box.hint(refused)
    assert "origin has m#prod!#2, and m#staging#2 was decided" in third.refused("push", "m@v1.0.1").err
    assert decisions(hub) == ["m#prod!#2", "m#prod#1"]
    # both known here, and one of them obsolete: nothing is built upon that
    box.git("fetch", "-q", "--tags")
    assert box.hint(box.refused("promote", "v1.0.2", "prod")) == box.hint(refused)
    box.mend(refused)
    assert runs(box, "--env", "prod") == {}
    box.mv("verify", "m@v1.0.1")  # what was dropped is not missed
    box.mv("promote", "v1.0.1", "prod")
    box.git("push", "-q", "origin", "m#prod#3")
    assert decisions(hub) == ["m#prod!#2", "m#prod#1", "m#prod#3"]


@pytest.mark.parametrize("told", ["push", "promote", "git"])
def test_who_lost_is_left_with_no_alarm(box, hub, tmp_path, told):
    other = another(hub, tmp_path / "other")
    other.mv("promote", "v1.0.2", "prod")
    box.mv("promote", "v1.0.1", "prod")
    other.git("push", "-q", "origin", "m#prod#2")
    if told == "git":
        box.run("git", "push", "-q", "origin", "m#prod#2", status=1)
        box.git("tag", "-d", "m#prod#2")
        box.git("fetch", "-q", "origin", "tag", "m#prod#2")
    else:
        refused = box.refused("push") if told == "push" else box.refused("promote", "v1.0.2", "qa")
        box.mv("verify", "m#prod#2")  # to look at it meanwhile makes it no more than it is
        box.mend(refused)
    assert box.git("rev-parse", "m#prod#2") == other.git("rev-parse", "m#prod#2")
    box.mv("verify", "m#prod#2")
    # from now on it is known, as published
    box.git("tag", "-f", "-am", "Promote m v1.0.0 to prod", "m#prod#2", "m@v1.0.0^{}")
    assert "was moved to" in box.mv("verify", "m#prod#2", status=1).out


def test_a_version_that_was_yanked_meanwhile_is_promoted_by_nobody(box, hub, tmp_path):
    other = another(hub, tmp_path / "other")
    box.mv("promote", "v1.0.1", "prod")
    other.mv("yank", "m@v1.0.1", "--reason", "bad")
    other.git("push", "-q", "origin", "m@v1.0.1!")
    refused = box.refused("push")
    assert "m#prod#2 would run m@v1.0.1, which is yanked on origin" in refused.err
    assert box.hint(box.run("git", "push", "-q", "origin", "m#prod#2", status=1)) == box.hint(refused)
    assert decisions(hub) == ["m#prod#1"]
    box.mend(refused)
    assert runs(box, "--env", "prod") == {"prod": "v1.0.0"}


def test_a_decision_waits_for_its_version(box, hub, tmp_path):
    box.git("push", "-q", "--no-verify", "origin", ":refs/tags/m@v1.0.2")
    box.mv("promote", "v1.0.2", "prod")
    stopped = box.run("git", "push", "-q", "origin", "main", "m#prod#2", status=1)
    assert "m#prod#2 would run m@v1.0.2, which origin does not have" in stopped.err
    assert box.hint(stopped) == "modelver push m@v1.0.2"
    assert decisions(hub) == ["m#prod#1"]
    box.git("push", "-q", "--no-verify", "origin", "m#prod#2")  # as one without the hook does
    lost = another(hub, tmp_path / "other").refused("show", "m#prod")
    commit = box.git("rev-parse", "m@v1.0.2^{}")[:12]
    assert f"m#prod#2 has commit {commit} run in 'prod', and no version of m that is on that commit" in lost.err
    lost = box.refused("get", "m#prod", "--repo", str(hub.path), "-o", "got")
    assert f"m#prod#2 has commit {commit} run in 'prod'" in lost.err
    box.git("push", "-q", "--no-verify", "origin", "m@v1.0.2")
    assert "v1.0.2" in another(hub, tmp_path / "third").mv("show", "m#prod").out


def test_who_has_the_right_tag_is_not_told_to_drop_it(box, hub):
    box.mv("promote", "v1.0.1", "prod")
    box.mv("push")
    box.git("tag", "-am", "another", "other", "m@v1.0.2^{}")
    box.git("push", "-q", "--force", "--no-verify", "origin", "refs/tags/other:refs/tags/m#prod#2")
    refused = box.refused("promote", "v1.0.2", "staging")
    assert "m#prod#2 was moved on origin" in refused.err
    assert box.hint(refused) == "modelver verify 'm#prod#2' --remote"
