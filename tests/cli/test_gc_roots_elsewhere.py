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
