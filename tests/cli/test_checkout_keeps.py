"""What `git checkout` takes out of the working tree may be the only copy: the cache holds it, whole, before it goes."""

import os
import shutil
from pathlib import Path

import pytest
from sandbox import Sandbox


@pytest.fixture
def two(empty_repo) -> Sandbox:
    """A plain model of two files, a version on `main` and the one before."""
    for content in ("one", "two"):
        empty_repo.write("w/changes", content * 500)
        empty_repo.write("w/stays", "the same")
        empty_repo.mv("add", "m", "w", "--plain")
        empty_repo.commit(content)
    return empty_repo


def weights(box: Sandbox) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (box.root / "w").iterdir()}


def there_and_back(box: Sandbox) -> None:
    box.git("checkout", "-q", "HEAD~1")
    box.git("checkout", "-q", "main")


def objects(box: Sandbox) -> list[Path]:
    return sorted(path for path in (box.root / ".dvc/cache/files/md5").glob("*/*") if path.is_file())


def test_a_cache_that_was_emptied(two):
    before = weights(two)
    shutil.rmtree(two.root / ".dvc/cache")
    two.git("checkout", "-q", "-b", "empty", "HEAD~2")
    assert not (two.root / "w").exists()
    two.git("checkout", "-q", "main")
    assert weights(two) == before


def test_an_object_that_the_cache_lacks(two):
    before = weights(two)
    for path in objects(two):
        if path.read_bytes() == before["changes"]:
            path.unlink()
    there_and_back(two)
    assert weights(two) == before


def test_an_object_that_rotted(two):
    before = weights(two)
    for path in objects(two):
        if path.read_bytes() == before["changes"]:
            path.chmod(0o644)
            path.write_bytes(b"X" + before["changes"][1:])
    there_and_back(two)
    assert weights(two) == before


def test_weights_that_never_were_in_the_cache(two):
    two.write("w/changes", "three" * 500)
    two.dvc("add", "-q", "--no-commit", "w")
    two.commit("three")
    before = weights(two)
    there_and_back(two)
    assert weights(two) == before


def test_no_room_for_what_would_go(two):
    """Then it stays, and the status says so."""
    before = weights(two)
    shutil.rmtree(two.root / ".dvc/cache/files")
    two.write(".dvc/cache/files", "in the way")
    done = two.run("git", "checkout", "-q", "HEAD~1", status=None)
    assert done.status == 1
    assert weights(two) == before


def test_a_link_to_an_object_that_rotted_is_no_restored_file(two):
    two.dvc("config", "cache.type", "symlink")
    shutil.rmtree(two.root / "w")
    two.dvc("checkout", "-q")
    assert (two.root / "w/changes").is_symlink()
    rotten = Path(os.path.realpath(two.root / "w/changes"))
    rotten.chmod(0o644)
    rotten.write_bytes(b"X" + rotten.read_bytes()[1:])
    assert f"{rotten} is damaged" in two.mv("restore", status=1).err
