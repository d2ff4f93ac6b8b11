"""What is published is found by those who have no clone: they know the DVC configuration that Git has, and no other."""

from pathlib import Path

import pytest
from sandbox import Sandbox


@pytest.fixture
def hub(tagged_repo) -> Sandbox:
    """m@v1.0.0, not published; `storage` is configured and committed before it."""
    box = tagged_repo
    box.git("tag", "-d", "m@v1.0.0")
    box.git("init", "-q", "--bare", "../hub.git")
    box.git("remote", "add", "origin", str(box.root.parent / "hub.git"))
    box.dvc("remote", "add", "-q", "-d", "storage", str(box.root.parent / "storage"))
    box.commit("storage")
    box.git("push", "-q", "-u", "origin", "main")
    return box


def got(box: Sandbox, to: str = "got", status: int = 0) -> Path:
    target = box.root.parent / to
    box.mv("get", "m@v1.0.0", "--repo", str(box.root.parent / "hub.git"), "-o", str(target), status=status)
    return target


def published(box: Sandbox) -> list[str]:
    return box.git("ls-remote", "--tags", "origin").splitlines()


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_default_that_only_this_clone_has(hub, by_hand):
    """The weights would lie on a remote that nobody else knows."""
    hub.dvc("remote", "add", "-q", "--local", "mine", str(hub.root.parent / "mine"))
    hub.dvc("remote", "default", "-q", "--local", "mine")
    hub.mv("tag", "m")
    if by_hand:
        hub.dvc("push", "-q", "-r", "mine")
        done = hub.run("git", "push", "-q", "origin", "m@v1.0.0", status=1)
    else:
        done = hub.refused("push")
    assert "others look for the weights of m@v1.0.0 on DVC remote storage" in done.err
    assert published(hub) == []
    hub.mend(done)
    assert len(published(hub)) == 2
    assert any(got(hub).iterdir())


def test_a_mirror_may_be_the_default_once_the_others_have_it(hub):
    hub.mv("tag", "m")
    hub.dvc("push", "-q")
    hub.dvc("remote", "add", "-q", "--local", "mine", str(hub.root.parent / "mine"))
    hub.dvc("remote", "default", "-q", "--local", "mine")
    hub.mv("push")
    assert any(got(hub).iterdir())


def test_a_configuration_that_was_never_committed(hub):
    hub.dvc("remote", "remove", "-q", "storage")
    hub.commit("no storage")
    hub.git("push", "-q")
    hub.dvc("remote", "add", "-q", "-d", "storage", str(hub.root.parent / "storage"))
    hub.mv("tag", "m")
    refused = hub.refused("push")
    assert "names no default DVC remote" in refused.err
    assert published(hub) == []
    hub.mend(refused)
    hub.mv("push", "m@v1.0.0")
    assert any(got(hub).iterdir())


def test_a_storage_that_moved(hub):
    """Old versions are found by what the newest commit says."""
    hub.mv("tag", "m")
    hub.mv("push")
    (hub.root.parent / "storage").rename(hub.root.parent / "moved")
    hub.dvc("remote", "modify", "-q", "storage", "url", str(hub.root.parent / "moved"))
    hub.commit("storage moved")
    got(hub, "too-early", status=3)
    hub.git("push", "-q")
    assert any(got(hub).iterdir())
    hub.mv("push", "m@v1.0.0", "--full")


def test_an_old_commit_checked_out_publishes_to_no_storage_of_old(hub):
    hub.dvc("remote", "add", "-q", "-d", "newer", str(hub.root.parent / "newer"))
    hub.commit("storage moved")
    hub.git("push", "-q")
    hub.mv("tag", "m")
    hub.git("checkout", "-q", "HEAD~1")
    assert "on DVC remote newer" in hub.refused("push").err
    assert published(hub) == []


def test_a_relative_storage_from_a_linked_working_tree(hub):
    """It is relative to the main one, wherever the linked one lies."""
    hub.dvc("remote", "modify", "-q", "storage", "url", "../../storage")
    hub.commit("relative")
    hub.git("push", "-q")
    hub.git("worktree", "add", "-q", "-b", "other", "trees/x")
    linked = Sandbox(hub.root / "trees/x", hub.env)
    linked.mv("tag", "m")
    refused = linked.refused("push", "--remote", "origin")
    assert "others look for the weights" in refused.err
    assert not (hub.root / "trees/storage/files").exists()
    hub.mv("push", "m@v1.0.0", "--remote", "origin")
    assert len(published(hub)) == 2


def test_a_storage_that_is_not_mounted_is_not_made_anew(hub):
    hub.mv("tag", "m")
    hub.mv("push")
    hub.change("m", 2)
    hub.commit("two")
    hub.mv("tag", "m")
    storage = hub.root.parent / "storage"
    storage.rename(hub.root.parent / "away")
    for _ in range(2):
        refused = hub.refused("push")
        assert f"is {storage} on a disk that is not mounted?" in refused.err
    assert not storage.exists()
    assert len(published(hub)) == 2
    (hub.root.parent / "away").rename(storage)
    hub.mv("push")
    assert len(published(hub)) == 4
