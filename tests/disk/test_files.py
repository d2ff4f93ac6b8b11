import hashlib
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from modelver.disk import HashCache, copy_file, digest_file, exclusive, remove_file, write_atomic
from modelver.disk import hashes as hashes_module
from modelver.errors import ExternalFailure, InvalidInput, NotFound


def _digests(data):
    return hashlib.md5(data).hexdigest(), hashlib.sha256(data).hexdigest()


def _age(path, seconds=10.5):
    """Give a file a modification time that lies in the past."""
    then = time.time_ns() - int(seconds * 1e9)
    os.utime(path, ns=(then, then))


def test_write_atomic_replaces_and_makes_folders(tmp_path):
    path = tmp_path / "a/b/c"
    write_atomic(path, b"one")
    write_atomic(path, b"two", 0o755)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o755
    assert [p.name for p in path.parent.iterdir()] == ["c"]


def test_write_atomic_replaces_a_link_and_not_what_it_points_to(tmp_path):
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "link").symlink_to(tmp_path / "other")
    write_atomic(tmp_path / "link", b"mine")
    assert (tmp_path / "other").read_bytes() == b"other"
    assert (tmp_path / "link").read_bytes() == b"mine"


def test_a_failed_write_leaves_no_temporary_file(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/x").touch()
    with pytest.raises(ExternalFailure):
        write_atomic(tmp_path / "folder", b"data")
    with pytest.raises(ExternalFailure):
        write_atomic(tmp_path / "folder/x/y", b"data")
    assert [p.name for p in tmp_path.rglob("*")] == ["folder", "x"]


def test_a_full_disk_leaves_the_old_content(tmp_path):
    """A file size limit fails the write as a full disk does."""
    (tmp_path / "f").write_bytes(b"old")
    code = (
        "import resource, signal; from pathlib import Path; from modelver.disk import write_atomic\n"
        "from modelver.errors import ExternalFailure\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_atomic(Path('f'), bytes(100_000))\n"
        "except ExternalFailure: print('failed')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "failed\n"
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("f", b"old")]


def test_remove_file_is_idempotent(tmp_path):
    (tmp_path / "f").touch()
    remove_file(tmp_path / "f")
    remove_file(tmp_path / "f")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, 300_000, (4 << 20) - 1, 4 << 20, (4 << 20) + 1, 9_000_001])
@pytest.mark.parametrize("digest", [True, False])
def test_copies_are_whole_and_hashed(tmp_path, size, digest):
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)
    found = copy_file(tmp_path / "a", tmp_path / "b", digest=digest)
    assert (tmp_path / "b").read_bytes() == data
    assert (found is not None) == digest
    if found:
        assert (found.md5, found.sha256) == _digests(data)
    whole = digest_file(tmp_path / "a")
    assert (whole.md5, whole.sha256) == _digests(data)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_copying_between_file_systems(tmp_path):
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("one file system only")
    source = memory / f"modelver-test-{os.getpid()}"
    try:
        source.write_bytes(b"x" * 100_000)
        copy_file(source, tmp_path / "b")
        assert (tmp_path / "b").read_bytes() == b"x" * 100_000
    finally:
        source.unlink()


def test_copying_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for name, error in (("fifo", InvalidInput), (".", InvalidInput), ("none", NotFound)):
        with pytest.raises(error):
            copy_file(tmp_path / name, tmp_path / "b")
        with pytest.raises(error):
            digest_file(tmp_path / name)
    assert not (tmp_path / "b").exists()


def test_one_holder_at_a_time(tmp_path):
    with exclusive(tmp_path / "lock", 0.1), pytest.raises(ExternalFailure), exclusive(tmp_path / "lock", 0.1):
        pass
    with exclusive(tmp_path / "lock", 0.1):
        pass


@pytest.fixture
def reads(monkeypatch):
    """Paths that were really hashed."""
    found = []
    real = hashes_module.digest_file
    monkeypatch.setattr(hashes_module, "digest_file", lambda path: found.append(path.name) or real(path))
    return found


def test_hashed_once(tmp_path, reads):
    file = tmp_path / "f"
    file.write_bytes(b"data")
    _age(file)
    for _ in range(3):
        digest = HashCache(tmp_path / "state").digest(file)
        assert (digest.md5, digest.sha256) == _digests(b"data")
    assert reads == ["f"]


def test_every_change_is_seen(tmp_path):
    cache = HashCache(tmp_path / "state")
    file, other = tmp_path / "f", tmp_path / "g"
    file.write_bytes(b"data1")
    _age(file)
    cache.digest(file)
    stat = file.stat()
    file.write_bytes(b"data2")
    assert cache.digest(file).md5 == _digests(b"data2")[0]
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert cache.digest(file).md5 == _digests(b"data2")[0], "same size, same time: the change time tells"
    other.write_bytes(b"data3")
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(file)
    assert cache.digest(file).md5 == _digests(b"data3")[0]


def test_fresh_files_are_not_trusted(tmp_path):
    """Two writes within one tick of the clock, same size, in place: the racy case of Git's index."""
    cache = HashCache(tmp_path / "state")
    file = tmp_path / "f"
    for number in range(200):
        data = b"%06d" % number
        with file.open("r+b" if number else "wb") as opened:
            opened.write(data)
        assert cache.digest(file).md5 == _digests(data)[0]


def test_times_in_whole_seconds_or_in_the_future_are_not_trusted(tmp_path):
    cache = HashCache(tmp_path / "state")
    file = tmp_path / "f"
    file.write_bytes(b"data")
    now = time.time_ns()
    for then in (now // 10**9 * 10**9, now + 10**10):
        os.utime(file, ns=(then, then))
        cache.put(file, *_digests(b"data"))
        assert cache.get(file) is None


def test_placed_files_are_trusted_at_once(tmp_path):
    cache = HashCache(tmp_path / "state")
    (tmp_path / "a").write_bytes(b"data")
    digest = copy_file(tmp_path / "a", tmp_path / "b", digest=True, settled=True)
    cache.put(tmp_path / "b", digest.md5, digest.sha256)
    assert cache.get(tmp_path / "b") == digest
    with (tmp_path / "b").open("r+b") as file:
        file.write(b"DATA")
    assert cache.get(tmp_path / "b") is None


@pytest.mark.parametrize("damage", [b"", b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_database_is_an_empty_one(tmp_path, damage):
    file = tmp_path / "f"
    file.write_bytes(b"data")
    _age(file)
    (tmp_path / "state").mkdir()
    (tmp_path / "state/hashes.sqlite").write_bytes(damage)
    cache = HashCache(tmp_path / "state")
    assert cache.get(file) is None
    assert cache.digest(file).md5 == _digests(b"data")[0]
    cache.close()
    assert HashCache(tmp_path / "state").get(file) is not None, "and it works again"


def test_a_foreign_table_or_a_folder_in_its_place_do_no_harm(tmp_path):
    file = tmp_path / "f"
    file.write_bytes(b"data")
    _age(file)
    (tmp_path / "one").mkdir()
    with sqlite3.connect(tmp_path / "one/hashes.sqlite") as connection:
        connection.execute("CREATE TABLE files (x)")
    (tmp_path / "two/hashes.sqlite").mkdir(parents=True)
    (tmp_path / "three").touch()
    for name in ("one", "two", "three"):
        assert HashCache(tmp_path / name).digest(file).md5 == _digests(b"data")[0]


def test_many_processes_and_threads(tmp_path):
    paths = []
    for number in range(20):
        path = tmp_path / f"f{number}"
        path.write_bytes(b"%d" % number)
        _age(path)
        paths.append(path)
    code = (
        "import sys; from pathlib import Path; from modelver.disk import HashCache\n"
        "cache = HashCache(Path('state'))\n"
        "for n in range(20): print(cache.digest(Path(f'f{n}')).md5)"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    cache = HashCache(tmp_path / "state")
    threads = [threading.Thread(target=lambda: [cache.digest(p) for p in paths]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = "".join(_digests(b"%d" % n)[0] + "\n" for n in range(20))
    assert [process.communicate()[0] for process in running] == [expected] * 4
    assert all(cache.get(p) is not None for p in paths)


def test_what_is_no_file_has_no_digest(tmp_path):
    cache = HashCache(tmp_path / "state")
    (tmp_path / "f").touch()
    (tmp_path / "link").symlink_to(tmp_path / "f")
    with pytest.raises(InvalidInput):
        cache.digest(tmp_path / "link")
    with pytest.raises(NotFound):
        cache.digest(tmp_path / "none")
    assert cache.get(tmp_path / "none") is None


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only where the system shows the umask")
def test_a_copy_never_touches_the_umask(tmp_path, monkeypatch):
    """It belongs to the whole process: of two threads that set it and set it back, one may leave the other's."""
    (tmp_path / "a").write_bytes(b"a")
    old = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", lambda _: pytest.fail("the umask was set"))
            copy_file(tmp_path / "a", tmp_path / "b")
    finally:
        os.umask(old)
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o640
