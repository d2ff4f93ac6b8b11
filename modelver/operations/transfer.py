"""Objects on a DVC remote: looked at, read back and hashed, uploaded. What `push`, `verify` and `backup` share.

DVC's own word that a remote is "in sync" is no evidence (https://github.com/iterative/dvc/issues/10977): an object is
right when its bytes have been read and have the digests that its name and Git's manifest say.
"""

import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, CancelledError, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from modelver.adapters.dvc import DvcCache, DvcRemote, Stored
from modelver.disk import Digest, HashCache
from modelver.errors import CheckFailed
from modelver.operations.objects import Needed
from modelver.operations.remembered import Remembered, settled

JOBS = 8
"""Objects on the way at the same time; botocore keeps ten connections."""

Tick = Callable[[int], None]
"""Called with the number of bytes done since the last call."""

Bars = Callable[[str, int], AbstractContextManager[Tick]]
"""Makes a progress bar: what goes on, and how many bytes that is in all."""

State = Literal["right", "missing", "wrong", "unread"]

_T = TypeVar("_T")
_R = TypeVar("_R")


def no_bars(what: str, total: int) -> AbstractContextManager[Tick]:
    """Progress that nobody sees."""
    return nullcontext(lambda _: None)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is the case with one object on a remote.

    Attributes:
        needed: the object.
        state: ``right``, ``missing``, ``wrong``, or ``unread`` where it is there in the right size and was not read.
        why: what is wrong, in words; empty where nothing is.
        read: bytes that were read back; None where none were: its digests are remembered, or it is not there.
    """

    needed: Needed
    state: State
    why: str = ""
    read: int | None = None


@dataclass(frozen=True, slots=True)
class Local:
    """An object on this machine.

    Attributes:
        needed: the object.
        data: its file in DVC's cache, or its bytes where Git's manifest spells them out; None where it is not here.
        why: what is wrong with the file, in words; empty where nothing is, or there is none.
        size: in bytes.
        contradicted: the file has the MD5 that it is called by, and Git's manifest says something else of it.
    """

    needed: Needed
    data: Path | bytes | None
    why: str = ""
    size: int = 0
    contradicted: bool = False

    @property
    def usable(self) -> bool:
        """Whether it may be uploaded."""
        return self.data is not None and not self.why


def distinct(needed: Iterable[Needed]) -> list[Needed]:
    """Each object once, with all that is said of it; what one version needs to be restored is no mere lineage.

    Raises:
        CheckFailed: two manifests say different things of the same object: one of them lies.
    """
    found: dict[str, Needed] = {}
    for item in needed:
        known = found.get(item.md5)
        if known is None:
            found[item.md5] = item
            continue
        for mine, other, name in ((known.size, item.size, "size"), (known.sha256, item.sha256, "SHA-256")):
            if mine is not None and other is not None and mine != other:
                raise CheckFailed(
                    f"{known.what} and {item.what} have the same MD5, {item.md5}, and not the same {name}"
                )
        found[item.md5] = replace(
            item if known.lineage else known,
            size=item.size if known.size is None else known.size,
            sha256=known.sha256 or item.sha256,
            content=item.content if known.content is None else known.content,
        )
    return list(found.values())


def check_remote(
    remote: DvcRemote,
    needed: Sequence[Needed],
    memory: Remembered,
    *,
    full: bool = False,
    read: bool = True,
    jobs: int = JOBS,
    bars: Bars = no_bars,
) -> list[Finding]:
    """Look whether objects are on a remote, and right.

    Each is asked for; one that was hashed before and shows the same size and stamp is trusted, any other is read back
    and hashed: MD5, SHA-256 and size, each where it is known what they must be.

    Args:
        remote: where.
        needed: the objects, each name once.
        memory: what was hashed before; what is hashed now is added.
        full: trust nothing, read everything.
        read: False to look only; what would have to be read is then ``unread``, and nothing is remembered.
        jobs: objects on the way at the same time.
        bars: progress.

    Returns:
        A finding for each object, in their order.

    Raises:
        ExternalFailure: the remote failed.
    """

    def look(item: Needed, _: Tick) -> tuple[Finding, Stored | None]:
        return _look(remote, item, memory, full)

    with _pool(jobs) as each:
        looked = each(look, needed, lambda _: None)
        unread = [(finding.needed, stored) for finding, stored in looked if finding.state == "unread" and stored]
        if not read or not unread:
            return [finding for finding, _ in looked]

        def read_back(pair: tuple[Needed, Stored], tick: Tick) -> Finding:
            return _read_back(remote, *pair, memory, tick)

        with bars("reading back", sum(stored.bytes for _, stored in unread)) as bar:
            done = {finding.needed.md5: finding for finding in each(read_back, unread, bar)}
    return [done.get(finding.needed.md5, finding) for finding, _ in looked]


def local_objects(
    cache: DvcCache | None, hashes: HashCache, needed: Sequence[Needed], *, jobs: int = JOBS, bars: Bars = no_bars
) -> list[Local]:
    """Find objects on this machine and hash them; what was hashed before and is untouched since is not read again.

    Args:
        cache: DVC's cache; None where there is none.
        hashes: remembered digests of files.
        needed: the objects.
        jobs: files at the same time; at most two are hashed, each on two threads.
        bars: progress.

    Raises:
        ExternalFailure: a file can't be read.
    """

    def find(item: Needed, tick: Tick) -> Local:
        if item.content is not None:
            return Local(item, item.content, size=len(item.content))
        if cache is None or not cache.has(item.md5):
            return Local(item, None)
        path = _object(cache, item)
        size = path.stat().st_size
        digest = hashes.get(path)
        if digest is None:
            digest = hashes.digest(path)
            tick(size)
        why = _fault(item, digest, size)
        return Local(item, path, why, size, bool(why) and digest.md5 == item.md5.removesuffix(".dir"))

    here = [_object(cache, item) for item in needed if cache is not None and cache.has(item.md5)]
    unknown = sum(path.stat().st_size for path in here if hashes.get(path) is None)
    with _pool(min(jobs, 2)) as each, bars("hashing", unknown) as bar:
        return each(find, needed, bar)


def upload(remote: DvcRemote, sources: Sequence[Local], *, jobs: int = JOBS, bars: Bars = no_bars) -> int:
    """Store objects on a remote, in place of what is there under their names; the bytes sent.

    The caller reads them back: that they were sent is no evidence.

    Raises:
        ExternalFailure: the remote failed or is full; what was stored before stays, and nothing is there by half.
    """

    def send(source: Local, tick: Tick) -> None:
        assert source.data is not None
        with _as_file(source.data) as path:
            remote.write(source.needed.md5, path, tick)

    total = sum(source.size for source in sources)
    with _pool(jobs) as each, bars("uploading", total) as bar:
        each(send, sources, bar)
    return total


def _object(cache: DvcCache, item: Needed) -> Path:
    return Path(os.path.realpath(cache.path(item.md5)))  # an object of the cache may be a link


def _look(remote: DvcRemote, item: Needed, memory: Remembered, full: bool) -> tuple[Finding, Stored | None]:
    stored = remote.stat(item.md5)
    if stored is None:
        memory.forget(remote.identity, item.md5)
        return Finding(item, "missing", "it is not there"), None
    if item.size is not None and stored.bytes != item.size:
        return Finding(item, "wrong", f"it has {stored.bytes} bytes in place of {item.size}"), stored
    known = None if full else memory.get(remote.identity, stored)
    if known is None:
        return Finding(item, "unread"), stored
    if item.sha256 not in (None, known):
        return Finding(item, "wrong", "its bytes have another SHA-256 than the manifest says"), stored
    return Finding(item, "right"), stored


def _read_back(remote: DvcRemote, item: Needed, stored: Stored, memory: Remembered, tick: Tick) -> Finding:
    lasting = settled(stored)
    found = remote.digest(item.md5, stored.bytes, tick)
    if found is None:
        memory.forget(remote.identity, item.md5)
        return Finding(item, "missing", "it is not there any more")
    digest, size = found
    why = _fault(item, digest, size)
    if not why and size != stored.bytes:  # cut off on the way, though its hash can't be right then; or being written
        why = f"{size} bytes came in place of {stored.bytes}"
    if why:
        memory.forget(remote.identity, item.md5)
        return Finding(item, "wrong", why, size)
    if lasting:
        memory.put(remote.identity, stored, digest.sha256)
    return Finding(item, "right", read=size)


def _fault(item: Needed, digest: Digest, size: int) -> str:
    """What is wrong with bytes of this digest and size; empty where nothing is."""
    if item.size is not None and size != item.size:
        return f"it has {size} bytes in place of {item.size}"
    if digest.md5 != item.md5.removesuffix(".dir"):
        return "its bytes have another MD5 than its name says"
    if item.sha256 not in (None, digest.sha256):
        return "its bytes have another SHA-256 than the manifest says"
    return ""


@contextmanager
def _as_file(data: Path | bytes) -> Iterator[Path]:
    """A path to read the bytes from; of bytes in memory one that no killed process leaves behind."""
    if isinstance(data, Path):
        yield data
        return
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        file.seek(0)
        yield Path(f"/dev/fd/{file.fileno()}")


class _Each:
    """Does the same with many things at once, or one after the other; the first failure ends it."""

    def __init__(self, executor: ThreadPoolExecutor | None, stop: threading.Event) -> None:
        self._executor = executor
        self._stop = stop
        self._lock = threading.Lock()

    def __call__(self, work: Callable[[_T, Tick], _R], items: Sequence[_T], bar: Tick) -> list[_R]:
        def tick(done: int) -> None:
            if self._stop.is_set():  # something has failed: what is on the way is of no use any more
                raise CancelledError
            with self._lock:
                bar(done)

        if self._executor is None:
            return [work(item, tick) for item in items]
        futures = [self._executor.submit(work, item, tick) for item in items]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in futures:
            if future in done and (error := future.exception()) is not None:
                raise error
        return [future.result() for future in futures]


@contextmanager
def _pool(jobs: int) -> Iterator[_Each]:
    stop = threading.Event()
    executor = ThreadPoolExecutor(jobs) if jobs > 1 else None
    try:
        yield _Each(executor, stop)
    except BaseException:
        stop.set()
        raise
    finally:
        if executor is not None:
            executor.shutdown(cancel_futures=True)
