"""What every kind of DVC remote does alike: a folder, a bucket, a folder behind SSH."""

import hashlib
import os
import random
import re
import socket
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from storages import Place, SshServer, in_bucket, in_folder, repository, ssh_server
from swift import Swift

from modelver.adapters.dvc import DvcRemote
from modelver.errors import ExternalFailure, Refused

MISSING = "0" * 32


@pytest.fixture(scope="module")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with ssh_server(tmp_path_factory.mktemp("ssh")) as server:
        yield server


@pytest.fixture
def ssh_home(ssh: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(ssh.folder / "home"))


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.s3), "ssh"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    if request.param == "folder":
        return in_folder(tmp_path / "repo", tmp_path / "store")
    if request.param == "s3":
        swift: Swift = request.getfixturevalue("swift")
        for name, value in swift.env().items():
            monkeypatch.setenv(name, value)
        return in_bucket(tmp_path / "repo", swift, swift.bucket(), "an odd + prefix/ü&'%41")
    request.getfixturevalue("ssh_home")
    server: SshServer = request.getfixturevalue("ssh")
    return server.place(tmp_path / "repo")


def named(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def path_of(md5: str) -> str:
    return f"files/md5/{md5[:2]}/{md5[2:]}"


@pytest.mark.parametrize("size", [0, 1, 70_000, (4 << 20) + 1])
def test_what_was_written_is_read(place: Place, tmp_path: Path, size: int) -> None:
    data = random.Random(size).randbytes(size)
    md5 = named(data)
    (tmp_path / "f").write_bytes(data)
    told: list[int] = []
    before = time.time()
    place.remote.probe()
    assert place.remote.stat(md5) is None
    place.remote.write(md5, tmp_path / "f", told.append)

    assert sum(told) == size
    assert place.raw(path_of(md5)) == data
    found = place.remote.stat(md5)
    assert found is not None
    assert (found.md5, found.bytes) == (md5, size)
    assert found.modified is not None
    assert before - 2 <= found.modified <= time.time() + 2
    assert b"".join(place.remote.read(md5)) == data
    digest = place.remote.digest(md5)
    assert digest is not None
    assert digest[0].md5 == md5
    assert digest[0].sha256 == hashlib.sha256(data).hexdigest()
    assert digest[1] == size
    assert [found] == [stored for stored in place.remote.objects() if stored.md5 == md5]
    assert list(place.names()).count(path_of(md5)) == 1


def test_reading_from_an_offset(place: Place) -> None:
    data = random.Random(1).randbytes(5_000_000)
    md5 = named(data)
    place.put(path_of(md5), data)
    for offset in (0, 1, 4_999_999, 5_000_000):
        assert b"".join(place.remote.read(md5, offset)) == data[offset:]
    with pytest.raises(ExternalFailure, match="5000001 bytes, and it has 5000000"):
        list(place.remote.read(md5, 5_000_001))


def test_a_limit_ends_a_digest(place: Place) -> None:
    place.put(path_of(MISSING), bytes(20_000_000))
    found = place.remote.digest(MISSING, limit=10)
    assert found is not None
    assert 10 < found[1] < 20_000_000


def test_what_is_not_there(place: Place) -> None:
    assert place.remote.stat(MISSING) is None
    assert place.remote.digest(MISSING) is None
    assert list(place.remote.objects()) == []
    place.remote.delete(MISSING)
    with pytest.raises(ExternalFailure, match=f"object {MISSING}: it is not there"):
        list(place.remote.read(MISSING))


def test_only_objects_are_listed(place: Place) -> None:
    for path in (
        "files/md5/ab/short",
        "files/md5/README",
        f"files/md5/ab/.{'c' * 30}.1a2b.tmp",
        "other/ab/" + "c" * 30,
    ):
        place.put(path, b"x")
    place.put(f"files/md5/ab/{'c' * 30}", b"x")
    place.put(f"files/md5/ab/{'d' * 30}.dir", b"[]")
    assert sorted(stored.md5 for stored in place.remote.objects()) == ["ab" + "c" * 30, "ab" + "d" * 30 + ".dir"]


def test_a_new_write_replaces_and_changes_the_stamp(place: Place, tmp_path: Path) -> None:
    place.put(path_of(MISSING), b"old bytes")
    old = place.remote.stat(MISSING)
    (tmp_path / "f").write_bytes(b"new bytes")
    time.sleep(1.1 if place.remote.url.startswith("ssh") else 0)  # SFTP tells times in seconds
    place.remote.write(MISSING, tmp_path / "f")
    new = place.remote.stat(MISSING)
    assert old is not None
    assert new is not None
    assert old.stamp != new.stamp
    assert place.raw(path_of(MISSING)) == b"new bytes"


def test_delete(place: Place) -> None:
    place.put(path_of(MISSING), b"x")
    place.remote.delete(MISSING)
    assert place.raw(path_of(MISSING)) is None
    assert place.remote.stat(MISSING) is None


def test_move_within_the_storage(place: Place) -> None:
    place.put("a/b/c", b"bytes")
    place.put("d/e/f", b"in the way")
    place.remote._store.move("a/b/c", "d/e/f")
    assert (place.raw("a/b/c"), place.raw("d/e/f")) == (None, b"bytes")
    with pytest.raises(FileNotFoundError):
        place.remote._store.move("a/b/c", "d/e/f")
    assert place.raw("d/e/f") == b"bytes"


def test_a_missing_source_writes_nothing(place: Place, tmp_path: Path) -> None:
    with pytest.raises(ExternalFailure):
        place.remote.write(MISSING, tmp_path / "nothing")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ExternalFailure, match="not a regular file"):
        place.remote.write(MISSING, tmp_path / "folder")
    assert place.names() == []


def test_eight_threads(place: Place, tmp_path: Path) -> None:
    def one(number: int) -> tuple[str, bool]:
        data = random.Random(number).randbytes(number * 997)
        md5, source = named(data), tmp_path / str(number)
        source.write_bytes(data)
        place.remote.write(md5, source)
        stored, read = place.remote.stat(md5), place.remote.digest(md5)
        assert stored is not None
        assert read is not None
        return md5, stored.bytes == len(data) == read[1] and read[0].md5 == md5

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(one, range(120)))
    assert all(right for _, right in done)
    assert {stored.md5 for stored in place.remote.objects()} == {md5 for md5, _ in done}


def test_a_broken_line_leaves_no_half_object(ssh: SshServer, ssh_home: None, tmp_path: Path) -> None:
    data = random.Random(3).randbytes(6 << 20)
    md5 = named(data)
    (tmp_path / "f").write_bytes(data)
    torn = ssh.place(tmp_path / "torn", "torn")
    with pytest.raises(ExternalFailure, match=md5):
        torn.remote.write(md5, tmp_path / "f")
    assert path_of(md5) not in torn.names()
    config = tmp_path / "torn" / ".dvc" / "config"
    config.write_text(config.read_text().replace("torn@", "tester@"))
    whole = DvcRemote.open(tmp_path / "torn")
    assert whole.stat(md5) is None
    assert list(whole.objects()) == []
    whole.write(md5, tmp_path / "f")
    assert torn.raw(path_of(md5)) == data


def test_short_bytes_over_ssh_are_an_error(ssh: SshServer, ssh_home: None, tmp_path: Path) -> None:
    short = ssh.place(tmp_path / "short", "short")
    short.put(path_of(MISSING), bytes(3_000_000))
    with pytest.raises(ExternalFailure, match="it gave 1500000 bytes, and it has 3000000"):
        short.remote.digest(MISSING)


def test_an_unknown_host_key_is_refused(ssh: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ExternalFailure, match="host key is not known") as caught:
        ssh.place(tmp_path / "repo").remote.probe()
    assert caught.value.hint.endswith("ssh HOST")


def test_an_unknown_user_key_is_refused(ssh: SshServer, ssh_home: None, tmp_path: Path) -> None:
    import asyncssh

    asyncssh.generate_private_key("ssh-ed25519").write_private_key(tmp_path / "other")
    settings = {"url": f"ssh://u:canary-in-url@127.0.0.1:{ssh.port}/store", "keyfile": str(tmp_path / "other")}
    remote = DvcRemote.open(repository(tmp_path / "repo", settings))
    with pytest.raises(ExternalFailure, match="does not let this user in") as caught:
        remote.probe()
    assert "canary-in-url" not in f"{caught.value} {caught.value.hint} {remote.url} {remote.identity}"


def test_a_silent_ssh_server_is_given_up(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        settings = {"url": f"ssh://u@127.0.0.1:{silent.getsockname()[1]}/store", "timeout": "1"}
        remote = DvcRemote.open(repository(tmp_path, settings))
        start = time.monotonic()
        with pytest.raises(ExternalFailure, match="does not answer"):
            remote.probe()
        assert time.monotonic() - start < 10


def test_two_ssh_servers_are_two_identities(ssh: SshServer, tmp_path: Path) -> None:
    one = DvcRemote.open(repository(tmp_path / "1", {"url": "ssh://one.example/data"}))
    two = DvcRemote.open(repository(tmp_path / "2", {"url": "ssh://two.example/data"}))
    assert one.identity != two.identity


def test_a_truncated_file_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system that gives fewer bytes than it said."""
    place = in_folder(tmp_path / "repo", tmp_path / "store")
    place.put(path_of(MISSING), bytes(10_000))
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, count, offset: real(fd, max(0, min(count, 4_000 - offset)), offset))
    with pytest.raises(ExternalFailure, match="it gave 4000 bytes, and it has 10000"):
        list(place.remote.read(MISSING))


def test_a_full_folder_keeps_no_half(tmp_path: Path) -> None:
    import resource
    import signal

    place = in_folder(tmp_path / "repo", tmp_path / "store")
    (tmp_path / "f").write_bytes(bytes(100_000))
    old, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, old[1]))
    try:
        with pytest.raises(ExternalFailure, match="File too large"):
            place.remote.write(MISSING, tmp_path / "f")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert place.names() == []


def test_objects_of_a_folder_are_read_only(tmp_path: Path) -> None:
    place = in_folder(tmp_path / "repo", tmp_path / "store")
    (tmp_path / "f").write_bytes(b"x")
    place.remote.write(MISSING, tmp_path / "f")
    assert stat.S_IMODE((tmp_path / "store" / path_of(MISSING)).stat().st_mode) == 0o444


def test_a_remote_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(ExternalFailure, match="is no folder"):
        in_folder(tmp_path / "repo", tmp_path / "store").remote.probe()


@pytest.mark.parametrize("md5_path", ["fifo", "folder"])
def test_no_object_but_a_file(tmp_path: Path, md5_path: str) -> None:
    place = in_folder(tmp_path / "repo", tmp_path / "store")
    spot = tmp_path / "store" / path_of(MISSING)
    spot.parent.mkdir(parents=True)
    os.mkfifo(spot) if md5_path == "fifo" else spot.mkdir()
    assert place.remote.stat(MISSING) is None
    assert list(place.remote.objects()) == []
    with pytest.raises(ExternalFailure, match="not a regular file"):
        list(place.remote.read(MISSING))


def test_kinds_that_are_not_installed_say_so(tmp_path: Path) -> None:
    with pytest.raises(ExternalFailure, match="dvc-webdav") as caught:
        DvcRemote.open(repository(tmp_path, {"url": "webdavs://example.com/x"}))
    assert caught.value.hint == "pip install dvc-webdav"


@pytest.mark.parametrize("setting", ["worktree", "version_aware"])
def test_remotes_by_path_are_refused(tmp_path: Path, setting: str) -> None:
    with pytest.raises(Refused, match="by path") as caught:
        DvcRemote.open(repository(tmp_path, {"url": "s3://b/p", setting: "true"}))
    assert re.search(rf"dvc remote modify r {setting} false", caught.value.hint)
