"""`verify --remote` says whether others could restore a version, wherever this clone itself would get it from."""

import shutil
from pathlib import Path

import pytest
from sandbox import InProcess, Sandbox, environment

CONFIG = "[core]\n    remote = {0}\n['remote \"{0}\"']\n    url = {1}\n"


@pytest.fixture(scope="session")
def published_template(tagged_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """m@v1.0.0, made after `storage` was configured, on the hub and in the storage."""
    top = tmp_path_factory.mktemp("published")
    shutil.copytree(tagged_template, top / "repo", symlinks=True)
    box = InProcess(top / "repo", environment(top / "home"))
    box.git("tag", "-d", "m@v1.0.0")
    box.run("git", "init", "-q", "--bare", "-b", "main", str(top / "hub.git"))
    box.git("remote", "add", "origin", "../hub.git")
    box.write(".dvc/config", CONFIG.format("storage", "../../storage"))
    box.commit("storage")
    box.git("push", "-q", "-u", "origin", "main")
    box.git("remote", "set-head", "origin", "main")
    box.mv("tag", "m", "--push")
    return top


@pytest.fixture
def published(published_template: Path, tmp_path: Path) -> InProcess:
    for name in ("hub.git", "storage", "repo"):
        shutil.copytree(published_template / name, tmp_path / name, symlinks=True)
    box = InProcess(tmp_path / "repo", environment(tmp_path / "home"))
    box.git("status")
    return box


def verdict(box: Sandbox, status: int, *options: str) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Problems (kind, message, hint) and notes of m@v1.0.0."""
    said = box.mv("verify", "m@v1.0.0", "--remote", "--full", *options, "--format", "json", status=status).json()
    (found,) = said["versions"]
    return [(p["kind"], p["message"], p["hint"]) for p in found["problems"]], found["notes"]


def others_get(box: Sandbox, status: int) -> None:
    """What the verdict is held against: somebody with a clone of their own gets the version, or does not."""
    top = box.root.parent
    box.run("git", "clone", "-q", str(top / "hub.git"), str(top / "theirs"))
    theirs = InProcess(top / "theirs", environment(top / "their-home"))
    theirs.mv("get", "m@v1.0.0", "-o", str(top / "got"), status=status)
    shutil.rmtree(top / "theirs")
    shutil.rmtree(top / "their-home")


def test_where_all_is_as_published(published):
    assert verdict(published, 0) == ([], [])
    others_get(published, 0)


def test_an_address_that_only_this_clone_has(published):
    top = published.root.parent
    (top / "storage").rename(top / "mine")
    published.write(".dvc/config.local", f"['remote \"storage\"']\n    url = {top}/mine\n")
    others_get(published, 3)
    ((kind, message, hint),), _ = verdict(published, 1)
    assert kind == "missing"
    assert f"others look for the weights on DVC remote storage ({top}/storage), as m@v1.0.0 has it" in message
    (top / "storage").mkdir()
    assert message.endswith(f"they are on storage ({top}/mine), which only this clone is set to")
    published.run("sh", "-c", f"{hint.split(' && ')[0]}")
    published.mv(*hint.split(" && ")[1].split()[1:])
    assert verdict(published, 0) == ([], [])
    others_get(published, 0)


def test_a_default_that_only_this_clone_has(published):
    top = published.root.parent
    (top / "storage").rename(top / "mine")
    (top / "storage").mkdir()
    published.write(".dvc/config.local", CONFIG.format("mine", f"{top}/mine"))
    others_get(published, 3)
    ((kind, message, hint),), _ = verdict(published, 1)
    assert kind == "missing"
    assert f"others look for the weights on DVC remote storage ({top}/storage)" in message
    assert hint.startswith("modelver push m@v1.0.0 --dvc-remote storage")
    assert verdict(published, 0, "--dvc-remote", "mine") == ([], [])  # asked of this one, by name
    published.mv("push", "m@v1.0.0", "--dvc-remote", "storage")
    others_get(published, 0)
    problems, notes = verdict(published, 0)
    assert problems == []
    assert notes == [
        f"the weights are where others find them: on DVC remote storage ({top}/storage), as m@v1.0.0 has it"
    ]


def test_a_configuration_that_was_never_committed(tagged_repo):
    top = tagged_repo.root.parent
    tagged_repo.run("git", "init", "-q", "--bare", "-b", "main", str(top / "hub.git"))
    tagged_repo.git("remote", "add", "origin", str(top / "hub.git"))
    tagged_repo.git("push", "-q", "-u", "--no-verify", "origin", "main", "m@v1.0.0")
    tagged_repo.write(".dvc/config", CONFIG.format("storage", top / "storage"))
    tagged_repo.dvc("push", "-q")
    others_get(tagged_repo, 2)
    ((kind, message, hint),), _ = verdict(tagged_repo, 1)
    assert kind == "missing"
    assert "names no default DVC remote" in message
    tagged_repo.run("sh", "-c", hint.rpartition(" && ")[0])
    assert verdict(tagged_repo, 0) == (
        [],
        ["others find the weights once this branch is pushed: it says where they are"],
    )
    tagged_repo.git("push", "-q")
    assert verdict(tagged_repo, 0) == ([], [])
    others_get(tagged_repo, 0)


@pytest.mark.parametrize("checked_out", ["m@v1.0.0", "main"])
def test_a_storage_that_moved_in_a_later_commit(published, checked_out):
    top = published.root.parent
    (top / "storage").rename(top / "moved")
    published.write(".dvc/config", CONFIG.format("storage", "../../moved"))
    published.commit("storage moved")
    published.git("push", "-q")
    others_get(published, 0)
    published.git("checkout", "-q", checked_out)
    problems, notes = verdict(published, 0)
    assert problems == []
    by_others = f"where others find them: on DVC remote storage ({top}/moved)"
    assert [by_others in note for note in notes] == ([True] if checked_out == "m@v1.0.0" else [])
    (top / "storage").mkdir()  # there again, and empty
    assert verdict(published, 0)[0] == []


def test_a_version_that_stayed_where_it_was_when_the_storage_moved(published):
    top = published.root.parent
    published.write(".dvc/config", CONFIG.format("storage", "../../moved"))
    published.commit("storage moved")
    published.git("push", "-q")
    (top / "moved").mkdir()
    others_get(published, 0)
    assert verdict(published, 0)[0] == []


def test_what_is_damaged_where_others_look_is_told_as_damaged(published):
    top = published.root.parent
    shutil.copytree(top / "storage", top / "mine")
    published.write(".dvc/config.local", CONFIG.format("mine", f"{top}/mine"))
    listed = sorted(path for path in (top / "storage/files/md5").rglob("*") if path.is_file())
    victim = next(path for path in listed if path.suffix != ".dir")
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes()[:-1] + b"\xff\xfe")
    problems, _ = verdict(published, 1)
    assert [kind for kind, _, _ in problems] == ["weights"]
    assert f"object {victim.parent.name}{victim.name} on DVC remote storage is damaged" in problems[0][1]


def test_where_others_look_can_not_be_asked(published):
    """It may be right there: that is no reason to say so."""
    published.write(".dvc/config", CONFIG.format("storage", "gs://nowhere/x"))
    published.commit("storage moved")
    published.git("push", "-q")
    shutil.move(published.root.parent / "storage", published.root.parent / "mine")
    published.write(".dvc/config.local", CONFIG.format("mine", published.root.parent / "mine"))
    problems, _ = verdict(published, 1)
    assert [(kind, "gs://nowhere/x" in message or "dvc-gs" in message) for kind, message, _ in problems] == [
        ("unchecked", True)
    ]


def test_gone_everywhere(published):
    shutil.rmtree(published.root.parent / "storage/files")
    problems, _ = verdict(published, 1)
    assert {kind for kind, _, _ in problems} == {"missing"}
    others_get(published, 3)
