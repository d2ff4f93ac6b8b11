import hashlib
import json
import os
import subprocess

import pytest

from modelver.adapters.dvc import DvcCache
from modelver.errors import CheckFailed, InvalidInput, NotFound, Refused


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_GLOBAL_CONFIG_DIR", str(tmp_path / "global"))
    monkeypatch.setenv("DVC_SYSTEM_CONFIG_DIR", str(tmp_path / "system"))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc/config").write_text("")
    return root


def _md5(data):
    return hashlib.md5(data).hexdigest()


def _listing(cache, items):
    data = items if isinstance(items, bytes) else json.dumps(items).encode()
    md5 = _md5(data) + ".dir"
    cache.add_bytes(data, md5)
    return md5


def test_objects_are_where_dvc_looks_for_them(project, tmp_path):
    """What modelver adds, DVC checks out; what DVC adds, modelver reads."""
    subprocess.run(["git", "init", "-q", project], check=True)
    folder = tmp_path / "w"
    (folder / "sub").mkdir(parents=True)
    files = {"b": b"two", "sub/ä": b"three", "a": b""}
    cache = DvcCache.find(project)
    for name, data in files.items():
        (folder / name).write_bytes(data)
        cache.add(folder / name, _md5(data))
    md5 = cache.add_dir((name, _md5(data)) for name, data in files.items())
    (project / "w.dvc").write_text(f"outs:\n- md5: {md5}\n  hash: md5\n  path: w\n")
    subprocess.run(["dvc", "checkout", "-q", "w.dvc"], cwd=project, check=True)
    assert {
        p.relative_to(project / "w").as_posix(): p.read_bytes() for p in (project / "w").rglob("*") if p.is_file()
    } == files
    (project / "w/b").write_bytes(b"changed")
    subprocess.run(["dvc", "add", "-q", "w"], cwd=project, check=True)
    new = (project / "w.dvc").read_text().split("md5: ")[1].split()[0]
    assert cache.read_dir(new) == [("a", _md5(b"")), ("b", _md5(b"changed")), ("sub/ä", _md5(b"three"))]
    assert cache.path(_md5(b"changed")).read_bytes() == b"changed"


def test_added_objects_are_read_only_and_not_rewritten(project, tmp_path):
    cache = DvcCache.find(project)
    file = tmp_path / "f"
    file.write_bytes(b"data")
    place = cache.add(file, _md5(b"data"))
    before = place.stat()
    assert before.st_mode & 0o777 == 0o444
    cache.add(file, _md5(b"data"))
    after = place.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert file.exists()
    assert [p.name for p in place.parent.iterdir()] == [place.name]


def test_moving_in(project):
    cache = DvcCache.find(project)
    file = project / "f"
    file.write_bytes(b"data")
    inode = file.stat().st_ino
    place = cache.add(file, _md5(b"data"), move=True)
    assert not file.exists()
    assert (place.stat().st_ino, place.stat().st_mode & 0o777) == (inode, 0o444)
    file.write_bytes(b"data")
    cache.add(file, _md5(b"data"), move=True)
    assert not file.exists()


def test_an_object_cut_short_is_replaced(project, tmp_path):
    cache = DvcCache.find(project)
    file = tmp_path / "f"
    file.write_bytes(b"data")
    place = cache.add(file, _md5(b"data"))
    place.chmod(0o644)
    place.write_bytes(b"da")
    cache.add(file, _md5(b"data"))
    assert place.read_bytes() == b"data"


def test_copying_out_checks_the_bytes(project, tmp_path):
    cache = DvcCache.find(project)
    file, target = tmp_path / "f", tmp_path / "t"
    file.write_bytes(b"data")
    place = cache.add(file, _md5(b"data"))
    digest = cache.copy_out(_md5(b"data"), target)
    assert (digest.md5, digest.sha256) == (_md5(b"data"), hashlib.sha256(b"data").hexdigest())
    assert target.read_bytes() == b"data"
    assert os.access(target, os.W_OK)
    target.unlink()
    place.chmod(0o644)
    place.write_bytes(b"dat4")
    with pytest.raises(CheckFailed) as caught:
        cache.copy_out(_md5(b"data"), target)
    assert str(place) in caught.value.message
    assert str(place) in caught.value.hint
    assert not target.exists()
    with pytest.raises(NotFound):
        cache.copy_out("0" * 32, target)


@pytest.mark.parametrize(
    "items",
    [
        b"not json",
        b"{}",
        b"[" * 100_000,
        [{"md5": "0" * 32, "relpath": "../x"}],
        [{"md5": "0" * 32, "relpath": "/x"}],
        [{"md5": "0" * 32, "relpath": "a/../../x"}],
        [{"md5": "0" * 32, "relpath": ""}],
        [{"md5": "0" * 32, "relpath": "a\0b"}],
        [{"md5": "0" * 32, "relpath": "a"}, {"md5": "1" * 32, "relpath": "a"}],
        [{"md5": "0" * 32, "relpath": "a"}, {"md5": "1" * 32, "relpath": "a/b"}],
        [{"md5": "../../../../etc/passwd", "relpath": "a"}],
        [{"relpath": "a"}],
        [["a", "b"]],
    ],
)
def test_hostile_listings_are_refused(project, items):
    cache = DvcCache.find(project)
    with pytest.raises(InvalidInput):
        cache.read_dir(_listing(cache, items))


def test_a_listing_larger_than_the_limit_is_refused(project, monkeypatch):
    cache = DvcCache.find(project)
    md5 = _listing(cache, [{"md5": "0" * 32, "relpath": "a" * 100}])
    monkeypatch.setattr("modelver.adapters.dvc.cache.MAX_LISTING_BYTES", 64)
    with pytest.raises(InvalidInput, match="more than 64 bytes"):
        cache.read_dir(md5)


def test_a_fifo_in_the_cache_does_not_block(project, tmp_path):
    cache = DvcCache.find(project)
    place = cache.path(_md5(b"x"))
    place.parent.mkdir(parents=True)
    os.mkfifo(place)
    assert not cache.has(_md5(b"x"))
    with pytest.raises(NotFound):
        cache.copy_out(_md5(b"x"), tmp_path / "t")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "project/.dvc/cache"),
        ({"project/.dvc/config": "[cache]\n    dir = ../../pool\n"}, "pool"),
        ({"project/.dvc/config": "[Cache]\nDIR = '../my cache#1'  # note\n"}, "project/my cache#1"),
        (
            {"project/.dvc/config.local": "[cache]\ndir = /abs/x\n", "project/.dvc/config": "[cache]\ndir = no\n"},
            "/abs/x",
        ),
        ({"global/config": "[cache]\n    dir = /abs/g\n"}, "/abs/g"),
        ({"system/config": "[cache]\n    dir = /abs/s\n", "global/config": "[cache]\n dir = /abs/g\n"}, "/abs/g"),
        (
            {"global/config": "[cache]\n    dir = /abs/g\n", "project/.dvc/config": "[cache]\ndir = c\n"},
            "project/.dvc/c",
        ),
    ],
)
def test_where_the_cache_is_agrees_with_dvc(project, tmp_path, files, expected):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert DvcCache.find(project).folder == tmp_path / expected
    subprocess.run(["git", "init", "-q", project], check=True)
    code = "from dvc.repo import Repo; print(Repo().config['cache'].get('dir') or Repo().cache.default_local_cache_dir)"
    said = subprocess.run(["python", "-c", code], cwd=project, capture_output=True, text=True, check=True).stdout
    assert said.strip() == str(tmp_path / expected)


def test_broken_configuration_is_named(project):
    (project / ".dvc/config").write_text("[cache\n")
    with pytest.raises(InvalidInput, match="config"):
        DvcCache.find(project)
    (project / ".dvc/config").write_text("[cache]\ndir = s3://bucket/x\n")
    with pytest.raises(InvalidInput, match="no local folder"):
        DvcCache.find(project)


def test_no_dvc_repository(tmp_path):
    with pytest.raises(Refused, match="not a DVC repository"):
        DvcCache.find(tmp_path)


def test_a_folder_outside_that_the_repository_names_is_written_only_if_it_is_a_cache(project, tmp_path):
    (project / ".dvc/config").write_text("[cache]\n    dir = ../../victim\n")
    victim = tmp_path / "victim"
    victim.mkdir()
    cache = DvcCache.find(project)
    with pytest.raises(Refused, match="outside of the repository") as caught:
        cache.add_bytes(b"x", _md5(b"x"))
    assert list(victim.iterdir()) == []
    assert f"mkdir -p {victim}/files/md5" in caught.value.hint
    (victim / "files/md5").mkdir(parents=True)
    cache.add_bytes(b"x", _md5(b"x"))
    assert cache.has(_md5(b"x"))


def test_a_cache_that_is_a_link_out_of_the_repository_is_treated_alike(project, tmp_path):
    (tmp_path / "victim").mkdir()
    (project / ".dvc/cache").symlink_to(tmp_path / "victim")
    with pytest.raises(Refused):
        DvcCache.find(project).add_bytes(b"x", _md5(b"x"))


def test_the_users_own_settings_are_trusted(project, tmp_path):
    (project / ".dvc/config.local").write_text("[cache]\n    dir = ../../mine\n    shared = group\n")
    cache = DvcCache.find(project)
    place = cache.add_bytes(b"x", _md5(b"x"))
    assert place.is_relative_to(tmp_path / "mine/files/md5")
    assert place.parent.stat().st_mode & 0o7777 == 0o2775


def test_objects_of_dvc_2_are_read(project, tmp_path):
    place = project / ".dvc/cache" / _md5(b"old")[:2] / _md5(b"old")[2:]
    place.parent.mkdir(parents=True)
    place.write_bytes(b"old")
    assert DvcCache.find(project).copy_out(_md5(b"old"), tmp_path / "t").md5 == _md5(b"old")


def test_links_into_the_cache_are_known(project, tmp_path):
    cache = DvcCache.find(project)
    place = cache.add_bytes(b"x", _md5(b"x"))
    link, other = tmp_path / "link", tmp_path / "other"
    link.symlink_to(place)
    other.symlink_to("/etc/passwd")
    assert cache.holds(link) == _md5(b"x")
    assert cache.holds(other) is None
    assert cache.holds(place) is None
