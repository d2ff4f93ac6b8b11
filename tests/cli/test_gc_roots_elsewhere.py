"""gc where the working tree, or what is needed, is not where it mostly is."""

import os
import shutil
from pathlib import Path

import pytest
from tracked import Tracked, make_template, md5_of, tracked

from modelver.adapters.dvc.locking import dvc_locked
from modelver.errors import ExternalFailure, Refused

KEPT, GONE = b"kept", b"gone"


@pytest.fixture(scope="session")
def elsewhere_template(tmp_path_factory) -> Path:
    return make_template(tmp_path_factory.mktemp("gce") / "template")


@pytest.fixture
def box(elsewhere_template, tmp_path, monkeypatch) -> Tracked:
    made = tracked(elsewhere_template, tmp_path / "w")
    for name in [name for name in os.environ if name.startswith(("GIT_", "DVC_"))]:
        monkeypatch.delenv(name)
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    return made


def submodule(box: Tracked) -> Tracked:
    above = Tracked(box.root.parent / "above", box.env)
    above.root.mkdir()
    above.git("init", "-q")
    above.git("submodule", "--quiet", "add", str(box.root.parent / "git"), "models")
    return Tracked(above.root / "models", box.env)


def separate_git_dir(box: Tracked) -> Tracked:
    place = box.root.parent / "apart"
    box.git("clone", "-q", f"--separate-git-dir={place}.git", "../git", str(place))
    return Tracked(place, box.env)


@pytest.mark.parametrize("layout", [submodule, separate_git_dir])
def test_the_git_directory_is_not_in_the_working_tree(box, layout):
    here = layout(box)
    here.put("d", KEPT, commit=False)
    here.put("gone", GONE, commit=False)
    (here.root / "gone.dvc").unlink()
    with dvc_locked(here.root), pytest.raises(ExternalFailure, match="a DVC command is running"):
        here.collect()
    assert here.held() == {md5_of(KEPT), md5_of(GONE)}
    here.collect()
    assert here.held() == {md5_of(KEPT)}
    (here.root / "d.dvc").unlink()
    here.collect()
    assert here.held() == set()


def test_what_lies_in_a_submodule_stays_on_the_remote(box):
    here = submodule(box)
    here.put("d", KEPT, commit=False)
    here.put("gone", GONE, commit=False)
    (here.root / "gone.dvc").unlink()
    here.upload()
    assert {item.md5 for item in here.collect_remote().purged} == {md5_of(GONE)}
    assert here.held(here.store) == {md5_of(KEPT)}


def test_a_linked_tree_of_a_submodule_sees_what_the_main_one_needs(box):
    here = submodule(box)
    here.put("d", KEPT, commit=False)
    here.put("gone", GONE, commit=False)
    (here.root / "gone.dvc").unlink()
    here.git("worktree", "add", "-q", "--detach", str(box.root.parent / "linked"))
    linked = Tracked(box.root.parent / "linked", box.env)
    linked.write(".dvc/config.local", f"[cache]\n    dir = {here.root / '.dvc' / 'cache'}\n")
    linked.collect()
    assert here.held() == {md5_of(KEPT)}


def test_a_linked_tree_that_does_not_know_the_main_one_refuses(box):
    here = separate_git_dir(box)
    here.put("d", KEPT, commit=False)
    here.git("worktree", "add", "-q", "--detach", "../linked")
    linked = Tracked(box.root.parent / "linked", box.env)
    linked.write(".dvc/config.local", f"[cache]\n    dir = {here.root / '.dvc' / 'cache'}\n")
    with pytest.raises(Refused, match="does not say where the main working tree is"):
        linked.collect()
    assert here.held() == {md5_of(KEPT)}
    here.collect()
    assert here.held() == {md5_of(KEPT)}


def test_the_linked_trees_of_a_bare_repository(box):
    box.git("clone", "-q", "--bare", "../git", "../bare")
    for name in ("one", "two"):
        box.git("-C", "../bare", "worktree", "add", "-q", "--detach", f"../{name}")
    one, two = (Tracked(box.root.parent / name, box.env) for name in ("one", "two"))
    two.write(".dvc/config.local", f"[cache]\n    dir = {one.root / '.dvc' / 'cache'}\n")
    one.put("d", KEPT, commit=False)
    one.put("gone", GONE, commit=False)
    (one.root / "gone.dvc").unlink()
    two.collect()
    assert one.held() == {md5_of(KEPT)}


@pytest.mark.parametrize("instead", ["nothing", "folder", "other repository"])
def test_a_linked_tree_that_was_moved(box, instead):
    """Also one that is mounted elsewhere here, as in a container."""
    place = box.root.parent / "linked"
    box.git("worktree", "add", "-q", "--detach", str(place))
    box.put("d", KEPT, commit=False)
    shutil.move(box.root / "d.dvc", place / "d.dvc")
    place.rename(box.root.parent / "moved")
    if instead == "folder":
        place.mkdir()
    elif instead == "other repository":
        box.git("clone", "-q", "../git", str(place))
    refused = box.refused("gc", "--yes", "--grace", "0")
    assert str(place) in refused.err
    assert box.held() == {md5_of(KEPT)}
    assert "git worktree repair" in box.hint(refused)
    shutil.rmtree(place, ignore_errors=True)
    box.git("worktree", "repair", "../moved")
    box.collect()
    assert box.held() == {md5_of(KEPT)}
    shutil.rmtree(box.root.parent / "moved")
    assert "git worktree prune" in box.hint(box.refused("gc", "--yes", "--grace", "0"))
    box.git("worktree", "prune")
    box.collect()
    assert box.held() == set()


def test_from_within_a_linked_tree_that_was_moved(box):
    place = box.root.parent / "linked"
    box.git("worktree", "add", "-q", "--detach", str(place))
    box.put("d", KEPT, commit=False)
    box.put("gone", GONE, commit=False)
    (box.root / "gone.dvc").unlink()
    place.rename(box.root.parent / "moved")
    moved = Tracked(box.root.parent / "moved", box.env)
    shutil.move(box.root / "d.dvc", moved.root / "d.dvc")
    moved.write(".dvc/config.local", f"[cache]\n    dir = {box.root / '.dvc' / 'cache'}\n")
    moved.collect()
    assert box.held() == {md5_of(KEPT)}


def others_commit(box: Tracked, content: bytes | dict[str, bytes] = KEPT) -> str:
    """Data on the DVC remote that nothing in this repository names any more; the commit that does."""
    box.put("d", content)
    box.upload()
    commit = box.git("rev-parse", "HEAD")
    box.git("reset", "-q", "--hard", "HEAD~1")
    box.git("reflog", "expire", "--expire=now", "--all")
    box.git("update-ref", "-d", "ORIG_HEAD")
    return commit


def theirs(box: Tracked, place: str, commit: str, ref: str) -> None:
    """Have a ref in another repository, and nothing of it here."""
    box.git("push", "-q", place, f"{commit}:{ref}")
    box.git("prune", "--expire=now")
    assert box.git("cat-file", "-t", commit, status=None) == ""


REFS = ["refs/exps/ab/cdef/brave", "refs/pull/7/head", "refs/merge-requests/7/head", "refs/changes/07/7/1", "refs/x/y"]


def test_every_ref_of_the_git_remote_counts(box):
    for ref in REFS:
        theirs(box, "../git", others_commit(box, ref.encode()), ref)
    every = {md5_of(ref.encode()) for ref in REFS}
    assert box.collect().idle
    assert box.collect_remote().idle
    assert box.held() == box.held(box.store) == every
    assert box.git("for-each-ref", "--format=%(refname)") == "refs/heads/main\nrefs/remotes/origin/main"
    for ref in REFS:
        box.git("push", "-q", "../git", f":{ref}")
    box.collect()
    box.collect_remote()
    assert box.held() == box.held(box.store) == box.aside() == set()


def test_what_nobody_here_has_written_is_no_reason_to_stop(box):
    """Anybody may open a pull request: with a broken pointer, with a folder whose data only he has."""
    folder = box.put("theirs", {"a": b"1", "b": b"2"})
    box.put("d", KEPT)
    box.write("d.dvc", (box.root / "d.dvc").read_text() + "\t- : [\n")
    box.commit("broken")
    commit = box.git("rev-parse", "HEAD")
    box.git("reset", "-q", "--hard", "HEAD~3")
    box.git("reflog", "expire", "--expire=now", "--all")
    box.git("update-ref", "-d", "ORIG_HEAD")
    theirs(box, "../git", commit, "refs/pull/7/head")
    for name in (folder, md5_of(b"1"), md5_of(b"2")):
        (box.cache / name[:2] / name[2:]).unlink()
    others_commit(box, GONE)
    done = box.mv("gc", "--yes", "--grace", "0")
    assert box.held() == {md5_of(KEPT)}
    assert "theirs" in done.err
    box.mv("gc", "--remote", "--yes", "--grace", "0")
    assert box.held(box.store) == {md5_of(KEPT)}


def by_push_url(box, hub):
    box.git("remote", "set-url", "--push", "origin", hub)


def by_second_url(box, hub):
    box.git("remote", "set-url", "--add", "origin", hub)


def by_rewritten_push_url(box, hub):
    """What it becomes has a rule of its own, which is for URLs that people write."""
    box.git("config", f"url.{hub}.pushInsteadOf", "../git")
    box.git("config", "url.../nowhere/.insteadOf", hub[:-1])


def by_push_default(box, hub):
    box.git("config", "remote.pushDefault", hub)


def by_push_remote_of_a_branch(box, hub):
    box.git("config", "branch.main.pushRemote", hub)


def by_upstream_of_a_branch(box, hub):
    box.git("config", "branch.other.remote", hub)


PUBLISHERS = [value for name, value in list(globals().items()) if name.startswith("by_")]


@pytest.mark.parametrize("publish", PUBLISHERS, ids=lambda publish: publish.__name__)
def test_what_was_pushed_elsewhere_than_is_fetched_from_stays(box, publish):
    box.git("clone", "-q", "--bare", "../git", "../hub")
    theirs(box, "../hub", others_commit(box), "refs/tags/v1")
    publish(box, "../hub")
    assert box.collect_remote().idle
    assert box.held(box.store) == {md5_of(KEPT)}
    box.git("-C", "../hub", "tag", "-d", "v1")
    box.collect_remote()
    assert box.held(box.store) == box.aside() == set()


def test_a_push_url_that_keeps_people_from_pushing_is_not_asked(box):
    for url in ("no_push", "DISABLED", "/dev/null"):
        box.git("config", "--add", "remote.origin.pushurl", url)
    box.git("config", "branch.old.remote", "gone")
    others_commit(box)
    box.collect_remote()
    assert box.held(box.store) == box.aside() == set()


def test_a_push_url_that_can_not_be_asked(box):
    others_commit(box)
    box.git("remote", "set-url", "--push", "origin", "../away/hub")
    done = box.mv("gc", "--remote", "--yes", status=3)
    assert "origin (pushed to ../away/hub) can't be asked" in done.err
    box.git("remote", "set-url", "--push", "origin", "http://me:canary@example.com/x.git")
    done = box.refused("gc", "--remote", "--yes")
    assert "http://example.com/x.git" in done.err
    assert "canary" not in done.err
    assert box.held(box.store) == {md5_of(KEPT)}


def test_a_shallow_clone_is_told_so(box):
    box.put("d", KEPT)
    box.git("tag", "v1")
    box.put("d", GONE)
    box.git("push", "-q", "origin", "main", "v1")
    place = box.root.parent / "shallow"
    box.git("clone", "-q", "--depth", "1", f"file://{box.root.parent / 'git'}", str(place))
    shallow = Tracked(place, box.env)
    for options in ((), ("--remote",)):
        done = shallow.refused("gc", "--yes", *options)
        assert "shallow" in done.err
    shallow.mend(done)
    assert shallow.tags() == ["v1"]
    shallow.mv("gc", "--yes")
