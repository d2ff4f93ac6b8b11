"""Linked working trees (`git worktree add`): the DVC remote is the one of the repository, wherever the tree lies."""

import shutil
from pathlib import Path

import pytest
from sandbox import InProcess, environment

RELATIVE = "[core]\n    remote = storage\n['remote \"storage\"']\n    url = ../../storage\n"


@pytest.fixture(scope="session")
def linked_template(tagged_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """m@v1.0.0 on the hub and in `storage`, which is given relative to the main working tree."""
    top = tmp_path_factory.mktemp("linked")
    shutil.copytree(tagged_template, top / "repo", symlinks=True)
    box = InProcess(top / "repo", environment(top / "home"))
    box.git("tag", "-d", "m@v1.0.0")
    box.run("git", "init", "-q", "--bare", "-b", "main", str(top / "hub.git"))
    box.git("remote", "add", "origin", "../hub.git")
    box.write(".dvc/config", RELATIVE)
    box.commit("storage")
    box.git("push", "-q", "-u", "origin", "main")
    box.mv("tag", "m", "--push")
    return top


@pytest.fixture
def main(linked_template: Path, tmp_path: Path) -> InProcess:
    for name in ("hub.git", "storage", "repo"):
        shutil.copytree(linked_template / name, tmp_path / name, symlinks=True)
    box = InProcess(tmp_path / "repo", environment(tmp_path / "home"))
    box.git("remote", "set-url", "origin", str(tmp_path / "hub.git"))
    box.git("status")
    return box


@pytest.fixture
def linked(main: InProcess) -> InProcess:
    main.git("worktree", "add", "-q", "-b", "other", "../deep/er/wt")
    return InProcess(main.root.parent / "deep/er/wt", main.env)


def test_a_version_is_verified_got_and_published_from_there(linked):
    top = linked.root.parents[2]
    assert linked.mv("verify", "--remote", "--format", "json").json()["ok"] is True
    for number, (options, box) in enumerate([((), linked), (("--repo", str(linked.root)), linked)]):
        shutil.rmtree(Path(linked.env["XDG_CACHE_HOME"]), ignore_errors=True)
        shutil.rmtree(top / "repo/.dvc/cache", ignore_errors=True)  # which is read from here too
        box.mv("get", "m@v1.0.0", *options, "-o", str(top / f"got-{number}"))
        assert any((top / f"got-{number}").iterdir())
    linked.change("m", 2)
    linked.commit("two")
    linked.mv("tag", "m")
    linked.mv("push", "m@v1.0.1", "--remote", "origin")
    assert not (top / "deep/er/storage").exists()
    linked.run("git", "clone", "-q", str(top / "hub.git"), str(top / "clone"))
    shutil.rmtree(Path(linked.env["XDG_CACHE_HOME"]), ignore_errors=True)
    InProcess(top / "clone", linked.env).mv("get", "m@v1.0.1", "-o", str(top / "theirs"))
    assert any((top / "theirs").iterdir())


def test_a_storage_that_is_there_by_the_linked_tree_is_dvcs_own_choice(linked):
    """DVC uses it; that others look elsewhere is told."""
    top = linked.root.parents[2]
    shutil.move(top / "storage", top / "deep/er/storage")
    done = linked.mv("verify", "--remote", status=1)
    assert f"others look for the weights on DVC remote storage ({top}/storage)" in done.out + done.err


def test_doctor_does_not_rewrite_what_all_share(linked, main):
    top = main.root.parent
    found = linked.mv("doctor", "--fix", "--format", "json", status=None).json()["findings"]
    (relative,) = [finding for finding in found if finding["id"] == "relative-remote"]
    assert (relative["fixable"], relative["fixed"]) == (False, False)
    assert relative["hint"] == f"dvc remote modify storage url {top}/storage"
    assert (linked.root / ".dvc/config").read_text() == RELATIVE
    main.mv("doctor", "--fix", status=None)
    assert f"url = {top}/storage\n" in (main.root / ".dvc/config").read_text()


@pytest.mark.parametrize("own", [False, True])
def test_settings_of_the_main_tree_alone_count_there(linked, main, own):
    """As credentials do; an own file that only names a cache, as `doctor --fix` makes it, does not hide them."""
    top = main.root.parent
    shutil.move(top / "storage", top / "elsewhere")
    main.write(".dvc/config.local", "['remote \"storage\"']\n    url = ../../elsewhere\n")
    if own:
        linked.write(".dvc/config.local", f"[cache]\n    dir = {main.root}/.dvc/cache\n")
    assert linked.mv("verify", "--remote", "--dvc-remote", "storage", "--format", "json").json()["ok"] is True
    linked.write(".dvc/config.local", "['remote \"storage\"']\n    url = /nowhere\n")
    linked.mv("verify", "--remote", "--dvc-remote", "storage", status=1)


def test_credentials_of_the_main_tree_reach_the_storage(linked, main):
    """They stand where DVC does not look for them from a linked one; without them nothing is sent at all."""
    main.write(".dvc/config", RELATIVE.replace("../../storage", "s3://bucket/x\n    endpointurl = http://127.0.0.1:9"))
    linked.write(".dvc/config", (main.root / ".dvc/config").read_text())
    without = linked.mv("verify", "--remote", "--dvc-remote", "storage", status=3)
    assert "no credentials were found" in without.err
    keys = "access_key_id = a\n    secret_access_key = canary-secret\n"
    main.write(".dvc/config.local", f"['remote \"storage\"']\n    {keys}")
    found = linked.mv("verify", "--remote", "--dvc-remote", "storage", status=3, AWS_MAX_ATTEMPTS="1")
    assert "the storage can't be reached" in found.err
    assert "canary" not in found.err + found.out
