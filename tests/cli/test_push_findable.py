"""What is published is found by those who have no clone: they know the DVC configuration that Git has, and no other."""

from pathlib import Path

import pytest
from sandbox import Sandbox
from storages import ssh_server


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


def test_the_remote_that_git_has_at_another_address(hub):
    """By that name others look where the weights are not, so that to name it again is no way out."""
    hub.dvc("remote", "modify", "-q", "--local", "storage", "url", str(hub.root.parent / "mine"))
    hub.mv("tag", "m")
    done = hub.refused("push")
    assert f"others look for the weights of m@v1.0.0 on DVC remote storage ({hub.root.parent / 'storage'})" in done.err
    assert hub.hint(done) == "dvc remote modify --local --unset storage url"
    assert hub.hint(hub.refused("push", "--dvc-remote", "storage")) == hub.hint(done)
    assert hub.hint(hub.run("git", "push", "-q", "origin", "m@v1.0.0", status=1)) == hub.hint(done)
    assert published(hub) == []
    hub.mend(done)
    hub.mv("push", "m@v1.0.0")
    assert any(got(hub).iterdir())


@pytest.mark.parametrize("staged", [False, True])
def test_an_address_that_was_never_committed(hub, staged):
    hub.mv("tag", "m")
    hub.dvc("remote", "modify", "-q", "storage", "url", str(hub.root.parent / "mine"))
    if staged:
        hub.git("add", ".dvc/config")
    done = hub.refused("push")
    assert hub.refused("push", "--dvc-remote", "storage").err == done.err
    assert published(hub) == []
    hub.mend(done)
    hub.mv("push", "m@v1.0.0")
    assert any(got(hub).iterdir())


def test_a_port_that_only_this_clone_has(hub, tmp_path):
    """The server runs at the port that this clone has; at the other nobody answers."""
    with ssh_server(tmp_path) as server:
        hub.env["HOME"] = str(tmp_path / "home")
        hub.dvc("remote", "modify", "-q", "storage", "url", "ssh://tester@127.0.0.1/store/x")
        hub.dvc("remote", "modify", "-q", "storage", "port", "1")
        hub.commit("over ssh")
        hub.git("push", "-q")
        hub.dvc("remote", "modify", "-q", "--local", "storage", "port", str(server.port))
        hub.dvc("remote", "modify", "-q", "--local", "storage", "keyfile", str(tmp_path / "key"))
        hub.mv("tag", "m")
        done = hub.refused("push")
        assert hub.hint(done) == "dvc remote modify --local --unset storage port"
        assert hub.refused("push", "--dvc-remote", "storage").err == done.err
        hub.mend(done)
        assert "127.0.0.1:1" in hub.mv("push", status=3).err, "this clone looks where the others do"
    assert published(hub) == []


def test_another_remote_that_git_has(hub):
    """They find it by its name: who names it means it."""
    hub.dvc("remote", "add", "-q", "other", str(hub.root.parent / "other"))
    hub.commit("another one")
    hub.mv("tag", "m")
    done = hub.mv("push", "--dvc-remote", "other")
    assert (
        "warning: by the .dvc/config that Git has, others look for the weights of m@v1.0.0 on DVC remote sto"
        in done.err
    )
    assert "they will need --dvc-remote other" in done.err
    url = str(hub.root.parent / "hub.git")
    hub.mv("get", "m@v1.0.0", "--repo", url, "-o", "../got", "--dvc-remote", "other")

    hub.dvc("remote", "modify", "-q", "--local", "other", "url", str(hub.root.parent / "mine"))
    hub.change("m", 2)
    hub.commit("two")
    hub.mv("tag", "m")
    refused = hub.refused("push", "--dvc-remote", "other")
    assert f"on DVC remote other ({hub.root.parent / 'other'})" in refused.err
    hub.mend(refused)
    hub.mv("push", "--dvc-remote", "other")
    hub.mv("get", "m@v1.0.1", "--repo", url, "-o", "../got2", "--dvc-remote", "other")


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_storage_that_moved_after_the_tag(hub, by_hand):
    """`push` moves the branch to the tag's commit alone, which names the old one."""
    hub.mv("tag", "m")
    hub.dvc("remote", "modify", "-q", "storage", "url", str(hub.root.parent / "moved"))
    hub.commit("storage moved")
    if by_hand:
        hub.dvc("push", "-q")
        done = hub.run("git", "push", "-q", "--follow-tags", status=1)
    else:
        done = hub.refused("push", "m@v1.0.0")
    moved = hub.root.parent / "moved"
    assert f"the commit that is checked out names {moved}, and the branch that others go by does not" in done.err
    assert hub.hint(done) == "git push --no-follow-tags origin main"
    assert published(hub) == []
    hub.mend(done)
    hub.mv("push", "m@v1.0.0")
    assert any(got(hub).iterdir())


def test_a_storage_that_moved_on_a_branch_that_others_do_not_go_by(hub):
    """What they go by is at first not even known here."""
    hub.mv("tag", "m")
    hub.git("switch", "-q", "-c", "work")
    hub.dvc("remote", "modify", "-q", "storage", "url", str(hub.root.parent / "moved"))
    hub.commit("storage moved")
    other = Sandbox(hub.root.parent / "other", hub.env)
    hub.run("git", "clone", "-q", str(hub.root.parent / "hub.git"), str(other.root))
    other.write("more.txt", "more\n")
    other.commit("more")
    other.git("push", "-q")
    for hint in (
        "git fetch origin main",
        "git pull --no-rebase origin main",
        "git push --no-follow-tags origin work:main",
    ):
        done = hub.refused("push", "--remote", "origin")
        assert hub.hint(done) == hint
        hub.mend(done)
    hub.mv("push", "--remote", "origin")
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
    done = hub.refused("push")
    assert "on DVC remote newer" in done.err
    assert published(hub) == []
    hub.mend(done)
    hub.mv("push", "m@v1.0.0")
    assert any(got(hub).iterdir())


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
    assert linked.hint(refused) == f"cd {hub.root}"
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


def test_a_git_remote_whose_head_names_no_branch(hub):
    """Whoever has no clone goes by nothing there but the version's own commit."""
    server = Sandbox(hub.root.parent / "hub.git", hub.env)
    server.git("symbolic-ref", "HEAD", "refs/heads/master")
    hub.mv("tag", "m")
    hub.dvc("remote", "modify", "-q", "storage", "url", str(hub.root.parent / "moved"))
    hub.commit("storage moved")
    hub.mend(hub.refused("push"))
    done = hub.refused("push")
    assert hub.hint(done) == "git symbolic-ref HEAD refs/heads/main"
    server.mend(done)
    hub.mv("push")
    assert any(got(hub).iterdir())


def test_a_remote_that_git_has_and_does_not_name_as_the_default(hub):
    hub.dvc("config", "-q", "--unset", "core.remote")
    hub.commit("no default")
    hub.git("push", "-q")
    hub.dvc("remote", "default", "-q", "--local", "storage")
    hub.mv("tag", "m")
    done = hub.refused("push")
    assert "names no default DVC remote" in done.err
    assert hub.hint(done).startswith("dvc remote default storage && git add .dvc/config && git commit ")
    hub.mend(done)
    hub.mv("push")
    assert any(got(hub).iterdir())
