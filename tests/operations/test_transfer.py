"""Looking at a DVC remote and uploading to it: what is told as progress, and what a failure does to the rest."""

import hashlib
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelver.adapters.dvc import DvcRemote
from modelver.adapters.dvc.stores import FolderStore
from modelver.disk import HashCache
from modelver.errors import CheckFailed, ExternalFailure
from modelver.operations.objects import Needed
from modelver.operations.remembered import Remembered
from modelver.operations.transfer import Local, check_remote, distinct, local_objects, upload


class Bars:
    """Remembers every bar: what, how much in all, how much was told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int]] = []

    @contextmanager
    def __call__(self, what: str, total: int):
        ticks: list[int] = []
        yield ticks.append
        self.seen.append((what, total, sum(ticks)))


def object_of(data: bytes, what: str = "f") -> Needed:
    return Needed(hashlib.md5(data).hexdigest(), what, len(data), hashlib.sha256(data).hexdigest())


@pytest.fixture
def remote(tmp_path: Path) -> DvcRemote:
    return DvcRemote("storage", FolderStore(tmp_path / "storage"))


@pytest.fixture
def files(tmp_path: Path) -> list[Local]:
    found = []
    for number in range(12):
        data = bytes([number]) * (1000 + number)
        path = tmp_path / f"f{number}"
        path.write_bytes(data)
        found.append(Local(object_of(data, path.name), path, size=len(data)))
    return found


@pytest.mark.parametrize("jobs", [1, 8])
def test_progress_counts_every_byte_once(remote, files, tmp_path, jobs):
    bars, total = Bars(), sum(1000 + n for n in range(12))
    items = [local.needed for local in files]
    assert upload(remote, files, jobs=jobs, bars=bars) == total
    memory = Remembered(tmp_path / "state")
    found = check_remote(remote, items, memory, jobs=jobs, bars=bars)
    assert [(f.needed, f.state, f.read) for f in found] == [(i, "right", i.size) for i in items]
    assert bars.seen == [("uploading", total, total), ("reading back", total, total)]
    again = check_remote(remote, items, memory, jobs=jobs, bars=bars)
    assert [(f.state, f.read) for f in again] == [("right", None)] * 12
    assert len(bars.seen) == 2, "nothing to read, no bar"


def test_findings_keep_their_order_and_say_what_is_wrong(remote, files, tmp_path):
    upload(remote, files)
    store = tmp_path / "storage/files/md5"
    places = [store / local.needed.md5[:2] / local.needed.md5[2:] for local in files]
    for place in places:
        place.chmod(0o644)
    places[1].unlink()
    places[3].write_bytes(b"short")
    places[5].write_bytes(places[5].read_bytes()[:-1] + b"?")
    items = [local.needed for local in files]
    lying = Needed(items[7].md5, "f7", items[7].size, "0" * 64)
    memory = Remembered(tmp_path / "state")
    found = check_remote(remote, [*items[:7], lying, *items[8:]], memory)
    states = {f.needed.what: (f.state, f.why) for f in found}
    assert [f.needed.what for f in found] == [local.needed.what for local in files]
    assert states["f1"] == ("missing", "it is not there")
    assert states["f3"] == ("wrong", f"it has 5 bytes in place of {items[3].size}")
    assert states["f5"] == ("wrong", "its bytes have another MD5 than its name says")
    assert states["f7"] == ("wrong", "its bytes have another SHA-256 than the manifest says")
    assert sum(state == "right" for state, _ in states.values()) == 8
    looked = check_remote(remote, items, Remembered(tmp_path / "other"), read=False)
    assert [f.state for f in looked].count("unread") == 10, "by size alone two are told"
    assert not (tmp_path / "other").exists() or Remembered(tmp_path / "other").get("x", None or _stored()) is None


def _stored():
    from modelver.adapters.dvc import Stored

    return Stored("0" * 32, 0, "x")


def test_a_failure_ends_the_rest(files, tmp_path):
    """The first failure is told; what has not begun does not begin."""
    begun = []

    class Failing(FolderStore):
        def write(self, path: str, source: Path, tick) -> None:
            begun.append(path)
            if len(begun) == 3:
                raise OSError(28, "No space left on device")
            gate.wait(5)
            super().write(path, source, tick)

    gate = threading.Event()
    threading.Timer(0.5, gate.set).start()
    remote = DvcRemote("storage", Failing(tmp_path / "storage"))
    with pytest.raises(ExternalFailure, match="No space left"):
        upload(remote, files, jobs=3)
    assert len(begun) <= 5


def test_local_objects(files, tmp_path):
    class Cache:
        def has(self, md5: str) -> bool:
            return any(local.needed.md5 == md5 for local in files)

        def path(self, md5: str) -> Path:
            return next(local.data for local in files if local.needed.md5 == md5)

    files[2].data.write_bytes(b"damaged")
    made = Needed("f" * 32 + ".dir", "folder", 2, content=b"[]")
    gone = object_of(b"nowhere", "gone")
    bars = Bars()
    items = [local.needed for local in files] + [made, gone]
    found = local_objects(Cache(), HashCache(tmp_path / "state"), items, bars=bars)
    assert [local.needed for local in found] == items
    assert [local.needed.what for local in found if not local.usable] == ["f2", "gone"]
    assert found[2].why == f"it has 7 bytes in place of {files[2].needed.size}"
    assert found[-2].data == b"[]"
    sizes = sum(local.data.stat().st_size for local in files)
    assert bars.seen == [("hashing", sizes, sizes)]


def test_one_object_of_several_versions():
    plain = Needed("a" * 32, "old/w.bin")
    known = Needed("a" * 32, "w.bin", 5, "b" * 64)
    lineage = Needed("a" * 32, "data.csv", 5, lineage=True)
    assert distinct([lineage, plain, known]) == [Needed("a" * 32, "old/w.bin", 5, "b" * 64)]
    assert distinct([lineage]) == [lineage]
    with pytest.raises(CheckFailed, match="not the same size"):
        distinct([known, Needed("a" * 32, "x", 6)])
    with pytest.raises(CheckFailed, match="not the same SHA-256"):
        distinct([known, Needed("a" * 32, "x", 5, "c" * 64)])
