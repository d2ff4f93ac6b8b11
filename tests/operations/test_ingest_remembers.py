"""What `add` has just hashed is not hashed again by the next command."""

import hashlib
from pathlib import Path

from sandbox import Sandbox

from modelver.adapters.dvc import DvcCache
from modelver.core.manifest import load_files
from modelver.disk import HashCache


def files_of(repo: Sandbox) -> list[tuple[str, str, str]]:
    data = (repo.root / "models" / "m" / "files.jsonl").read_bytes()
    return [(entry.path, entry.md5, entry.sha256) for entry in load_files(data)]


def test_objects_in_the_cache_are_remembered_at_once(empty_repo: Sandbox) -> None:
    """A file as fresh as a copy of a moment ago is not trusted, so `tag` after `add` read all weights once more."""
    empty_repo.add_model("m", 1)
    cache = DvcCache.find(empty_repo.root)
    hashes = HashCache(empty_repo.root / ".git" / "modelver")
    listed = files_of(empty_repo)
    assert listed
    for path, md5, sha256 in listed:
        known = hashes.get(cache.path(md5))
        assert known is not None, path
        assert (known.md5, known.sha256) == (md5, sha256)


def test_object_changed_after_add_is_not_trusted(empty_repo: Sandbox) -> None:
    empty_repo.add_model("m", 1)
    cache = DvcCache.find(empty_repo.root)
    _, md5, _ = files_of(empty_repo)[0]
    stored = cache.path(md5)
    stored.chmod(0o644)
    data = bytearray(stored.read_bytes())
    data[-1] ^= 1
    stored.write_bytes(data)
    assert HashCache(empty_repo.root / ".git" / "modelver").get(stored) is None
    done = empty_repo.mv("tag", "m", status=None)
    assert done.status == 1
    assert "damaged" in done.err


def test_source_digest_is_that_of_the_file(tmp_path: Path) -> None:
    from modelver.operations.ingest import source_digest

    data = bytes(range(256)) * 9001
    (tmp_path / "x").write_bytes(data)
    assert source_digest(tmp_path / "x") == (len(data), hashlib.sha256(data).hexdigest())
