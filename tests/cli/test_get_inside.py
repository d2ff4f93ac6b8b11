"""`get` inside a clone: the weights are found wherever some commit that is known there says that they are."""

import hashlib
import shutil
from pathlib import Path

import pytest
from sandbox import InProcess, Sandbox, environment

CONFIG = "[core]\n    remote = storage\n['remote \"storage\"']\n    url = {}\n"


@pytest.fixture(scope="session")
def moved_template(tagged_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub, and a clone of it with m@v1.0.0 and v1.0.1, between which the storage moved from `old` to `new`."""
    top = tmp_path_factory.mktemp("moved")
    shutil.copytree(tagged_template, top / "repo", symlinks=True)
    box = InProcess(top / "repo", environment(top / "home"))
    box.git("tag", "-d", "m@v1.0.0")
    box.run("git", "init", "-q", "--bare", "-b", "main", str(top / "hub.git"))
    box.git("remote", "add", "origin", "../hub.git")
    box.write(".dvc/config", CONFIG.format("../../old"))
    box.commit("storage")
    box.git("push", "-q", "-u", "origin", "main")
    box.mv("tag", "m", "--push")
    (top / "old").rename(top / "new")
    box.write(".dvc/config", CONFIG.format("../../new"))
    box.commit("storage moved")
    box.git("push", "-q")
    box.change("m", 2)
    box.commit("two")
    box.mv("tag", "m", "--push")
    box.run("git", "clone", "-q", str(top / "hub.git"), str(top / "clone"))
    shutil.rmtree(top / "repo")
    shutil.rmtree(top / "home")
    return top


@pytest.fixture
def moved(moved_template: Path, tmp_path: Path) -> InProcess:
    """The clone, with nothing in any cache."""
    for name in ("hub.git", "new", "clone"):
        shutil.copytree(moved_template / name, tmp_path / name, symlinks=True)
    box = InProcess(tmp_path / "clone", environment(tmp_path / "home"))
    box.git("remote", "set-url", "origin", "../hub.git")
    return box


def arrived(box: Sandbox, version: str, *options: str, **env: str) -> bool:
    """Get a version; whether its files have the digests that its manifest has."""
    target = box.root.parent / f"got-{version}"
    box.mv("get", f"m@{version}", "-o", str(target), *options, **env)
    manifest = box.git("show", f"m@{version}:models/m/files.jsonl")
    files = [path for path in target.rglob("*") if path.is_file()]
    assert files
    return all(hashlib.sha256(path.read_bytes()).hexdigest() in manifest for path in files)


def test_a_later_version_while_an_older_one_is_checked_out(moved):
    moved.git("checkout", "-q", "m@v1.0.0")
    assert arrived(moved, "v1.0.1")


def test_the_version_that_is_checked_out_whose_storage_moved(moved):
    moved.git("checkout", "-q", "m@v1.0.0")
    assert arrived(moved, "v1.0.0")


def test_an_older_version_that_only_its_own_commit_finds(moved):
    """The storage that it was published to was kept, and the weights were not moved."""
    (moved.root.parent / "old").mkdir()
    shutil.move(moved.root.parent / "new/files", moved.root.parent / "old/files")
    assert arrived(moved, "v1.0.0")


def test_a_branch_without_dvc(moved):
    moved.git("checkout", "-q", "--orphan", "pages")
    moved.git("rm", "-rqf", ".")
    shutil.rmtree(moved.root / ".dvc", ignore_errors=True)
    assert arrived(moved, "v1.0.0")
    assert arrived(moved, "v1.0.1")


def test_a_branch_without_dvc_in_a_repository_without_remotes(moved):
    moved.git("checkout", "-q", "--orphan", "pages")
    moved.git("rm", "-rqf", ".")
    moved.git("remote", "remove", "origin")
    assert arrived(moved, "v1.0.0")


def test_settings_of_this_clone_alone_go_with_each_commit(moved):
    top = moved.root.parent
    (top / "new").rename(top / "mine")
    moved.git("checkout", "-q", "m@v1.0.0")
    moved.write(".dvc/config.local", f"['remote \"storage\"']\n    url = {top}/mine\n")
    assert arrived(moved, "v1.0.1")
    (moved.root / ".dvc/config.local").unlink()
    missing = moved.mv("get", "m@v1.0.0", "-o", str(top / "none"), status=None, XDG_CACHE_HOME=str(top / "empty"))
    assert missing.status == 3
    moved.write(".dvc/config.local", f"['remote \"mine\"']\n    url = {top}/mine\n")
    assert arrived(moved, "v1.0.0", "--dvc-remote", "mine", XDG_CACHE_HOME=str(top / "empty"))


def test_a_default_of_this_clone_alone_that_lacks_it(moved):
    top = moved.root.parent
    moved.write(".dvc/config.local", f"[core]\n    remote = mine\n['remote \"mine\"']\n    url = {top}/mine\n")
    assert arrived(moved, "v1.0.1")


def test_where_nobody_names_a_remote(tagged_repo):
    tagged_repo.git("checkout", "-q", "--orphan", "pages")
    tagged_repo.git("rm", "-rqf", ".")
    shutil.rmtree(tagged_repo.root / ".dvc", ignore_errors=True)
    done = tagged_repo.mv("get", "m@v1.0.0", "-o", "../got", status=2)
    assert "no DVC remote is named here, in m@v1.0.0 or on a branch" in done.err
    assert "modelver init" not in done.err


def test_below_a_relative_folder_from_a_place_without_a_clone(moved):
    """`remote://base/sub` is as relative as what it is below."""
    top = moved.root.parent
    (top / "new").rename(top / "sub")
    moved.write(
        ".dvc/config",
        "[core]\n    remote = storage\n"
        "['remote \"base\"']\n    url = ../..\n['remote \"storage\"']\n    url = remote://base/sub\n",
    )
    moved.commit("below another")
    moved.git("push", "-q", "--no-verify", "origin", "HEAD:main")
    bare, clone = str(top / "hub.git"), str(moved.root)
    done = moved.mv("get", "m@v1.0.1", "--repo", bare, "-o", str(top / "none"), status=2)
    assert "DVC remote base of that repository is at ../.., which is relative to a clone" in done.err
    assert moved.hint(done).endswith("dvc remote add --global base URL")
    assert arrived(moved, "v1.0.1", "--repo", clone)
