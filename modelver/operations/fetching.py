"""A consumer's own cache of DVC objects, and bringing what it lacks: resumed, verified, several at once."""

import errno
import fcntl
import hashlib
import os
import shlex
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Lock
from typing import TypeVar

from modelver.adapters.dvc import DvcCache, DvcRemote
from modelver.core.printable import printable
from modelver.disk import open_regular, remove_file
from modelver.errors import CheckFailed, ExternalFailure, InvalidInput, ModelverError, NotFound
from modelver.operations.pinned import Wanted

JOBS = 8
"""Objects brought at once: what waits is the line, not the processor."""

_ATTEMPTS = 5
"""Times that a broken line is taken up again, each after some bytes more."""

_PIECE = 1 << 20

Tick = Callable[[int], None]
Consume = Callable[[Path], bool]
"""Reads the file of an object, verifying what it reads; False where those are not the object's bytes."""

Item = TypeVar("Item")


def holds(path: Path, wanted: Wanted) -> bool:
    """Whether a file has exactly the bytes of a version: by SHA-256, or by MD5 where nobody says the SHA-256.

    Raises:
        NotFound, InvalidInput: there is no file, or no regular one.
        ExternalFailure: it can't be read.
    """
    digest = hashlib.md5(usedforsecurity=False) if wanted.sha256 is None else hashlib.sha256()
    size, buffer = 0, memoryview(bytearray(_PIECE))
    with open_regular(path) as descriptor, _disk_errors(path):
        if wanted.bytes not in (None, os.fstat(descriptor).st_size):
            return False
        while count := os.preadv(descriptor, [buffer], size):
            digest.update(buffer[:count])
            size += count
    return wanted.bytes in (None, size) and digest.hexdigest() == (wanted.sha256 or wanted.md5)


class ObjectStore:
    """Where objects come from, in this order: a repository's DVC cache, the consumer's cache, the DVC remote.

    Bytes are trusted from nowhere: whoever takes an object checks it as it reads, and one that is damaged in a cache is
    brought anew.

    Attributes:
        downloaded: bytes that came over the line.
        damaged: objects of the repository's DVC cache that were passed over.
        mend: who can do what where an object is not on the remote as it should be.
    """

    def __init__(self, folder: Path, local: DvcCache | None, remote: Callable[[], DvcRemote], tag: str) -> None:
        self._folder = folder
        self._local = local
        self._open = remote
        self._remote: DvcRemote | None = None
        self._lock = Lock()
        self._stop = Event()
        self.downloaded = 0
        self.damaged: list[Path] = []
        # a plain push takes a version that Git's remote has for stored
        self.mend = f"ask whoever published it to run: modelver push {shlex.quote(tag)} --full"

    def has(self, wanted: Wanted) -> bool:
        """Whether a cache holds an object of that name and size; its bytes may still be wrong."""
        return any(wanted.bytes in (None, path.stat().st_size) for path in self._held(wanted))

    def remote(self) -> DvcRemote:
        """The DVC remote, opened when it is first needed."""
        with self._lock:
            if self._remote is None:
                self._remote = self._open()
            return self._remote

    def take(self, wanted: Wanted, consume: Consume, tick: Tick = lambda _: None) -> None:
        """Hand the file of an object to ``consume``, which verifies it.

        Args:
            wanted: the object.
            consume: is called until it is content: with what the caches hold, then with what was downloaded.
            tick: told of bytes that came over the line.

        Raises:
            CheckFailed: the object is damaged wherever it is.
            ExternalFailure: the remote or the disk failed, or the remote does not have it.
        """
        place = self._place(wanted)
        for path in self._held(wanted):
            try:
                if consume(path):
                    return
            except (NotFound, InvalidInput):  # gone meanwhile, or no regular file
                pass
            if path == place:
                remove_file(place)
            else:
                self.damaged.append(path)
        try:
            self._download(wanted, place, tick)
        except CheckFailed:
            raise
        except ModelverError as error:
            hint = error.hint or self.mend
            raise type(error)(f"{printable(wanted.path)}: {error.message}", hint) from None
        if not consume(place):
            raise CheckFailed(f"{place} is damaged right after it was written", hint="look at the disk: doctor, fsck")

    def each(self, items: Iterable[Item], work: Callable[[Item], None], jobs: int) -> None:
        """Do ``work`` for each item, several at once; the first error stops all."""
        with ThreadPoolExecutor(max(1, jobs)) as pool:
            running = [pool.submit(work, item) for item in items]
            try:
                for job in as_completed(running):
                    job.result()
            except BaseException:
                self._stop.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _held(self, wanted: Wanted) -> Iterator[Path]:
        if self._local is not None and self._local.has(wanted.md5):
            yield self._local.path(wanted.md5)
        if self._place(wanted).is_file():
            yield self._place(wanted)

    def _place(self, wanted: Wanted) -> Path:
        return self._folder / "md5" / wanted.md5[:2] / wanted.md5[2:]

    def _download(self, wanted: Wanted, place: Path, tick: Tick) -> None:
        partial = self._folder / "partial" / wanted.md5
        with _disk_errors(partial):
            partial.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _held_open(partial) as descriptor:
            if place.is_file():  # another process was faster, and took away the name that was waited for
                partial.unlink(missing_ok=True)
                return
            try:
                _Download(self, wanted, descriptor, tick).run()
            except CheckFailed:
                partial.unlink(missing_ok=True)
                raise
            except BaseException:
                if os.fstat(descriptor).st_size == 0:
                    partial.unlink(missing_ok=True)
                raise
            with _disk_errors(place):
                os.fchmod(descriptor, 0o444)
                # not flushed: what a crash tears is found when it is used, and brought anew
                partial.rename(place)

    def count(self, size: int) -> None:
        """Note bytes that came; raises ExternalFailure where another download has failed."""
        with self._lock:
            self.downloaded += size
        if self._stop.is_set():
            raise ExternalFailure("stopped, since another download failed")


class _Download:
    """One object on its way into one file, which may hold its beginning."""

    def __init__(self, store: ObjectStore, wanted: Wanted, descriptor: int, tick: Tick) -> None:
        self._store = store
        self._wanted = wanted
        self._descriptor = descriptor
        self._tick = tick
        self._ticked = 0
        self._start()

    def run(self) -> None:
        """Bring what is missing, and check the whole."""
        remote = self._store.remote()
        where = f"DVC remote {remote.name} ({remote.url})"
        resumed = self._resume()
        while True:
            self._bring(remote)
            problem = self._problem()
            if not problem:
                return
            if not resumed:
                raise CheckFailed(
                    f"{printable(self._wanted.path)}: object {self._wanted.md5} on {where} is damaged: {problem}",
                    hint=f"{self._store.mend}   (nothing was written)",
                )
            # what was there from an earlier run may be at fault: once more, from the start
            resumed = False
            self._start()
            os.ftruncate(self._descriptor, 0)

    def _start(self) -> None:
        self._md5, self._sha256, self._size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0

    def _resume(self) -> bool:
        limit = self._wanted.bytes
        if limit is not None and os.fstat(self._descriptor).st_size > limit:
            os.ftruncate(self._descriptor, 0)
        while piece := os.pread(self._descriptor, _PIECE, self._size):
            self._take(piece)
        return self._size > 0

    def _take(self, piece: bytes) -> None:
        self._md5.update(piece)
        self._sha256.update(piece)
        self._size += len(piece)
        if self._size > self._ticked:  # what comes a second time is no progress
            self._tick(self._size - self._ticked)
            self._ticked = self._size

    def _bring(self, remote: DvcRemote) -> None:
        """Read on until the end, taking a broken line up again as long as each time some bytes come."""
        limit = self._wanted.bytes
        for attempt in range(_ATTEMPTS):
            before = self._size
            if limit is not None and before >= limit:
                return
            try:
                for piece in remote.read(self._wanted.md5, before):
                    self._store.count(len(piece))
                    self._write(piece)
                    if limit is not None and self._size > limit:
                        return  # it is not what was asked for, however long it goes on
            except ExternalFailure:
                if self._size == before or attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(0.2 * 2**attempt)
                continue
            if self._size == before or limit is None:
                return

    def _write(self, piece: bytes) -> None:
        view, at = memoryview(piece), self._size
        with _disk_errors(Path("the cache")):
            while view:
                done = os.pwrite(self._descriptor, view, at)
                view, at = view[done:], at + done
        self._take(piece)

    def _problem(self) -> str:
        wanted = self._wanted
        if wanted.bytes is not None and self._size < wanted.bytes:
            return f"it has {self._size} bytes, not {wanted.bytes}"
        if wanted.bytes is not None and self._size > wanted.bytes:
            return f"it has more than {wanted.bytes} bytes"
        if self._md5.hexdigest() != wanted.md5:
            return f"its MD5 is {self._md5.hexdigest()}"
        if wanted.sha256 is not None and self._sha256.hexdigest() != wanted.sha256:
            return f"its SHA-256 is {self._sha256.hexdigest()}, the version's is {wanted.sha256}"
        return ""


@contextmanager
def _held_open(path: Path) -> Iterator[int]:
    """A file to write to that no other process writes to; the kernel frees it when this one dies."""
    while True:
        with _disk_errors(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            mine = os.fstat(descriptor)
            try:
                there = path.lstat()
            except FileNotFoundError:
                there = None
            # while waiting, the file may have become a finished object
            if there is not None and (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino):
                yield descriptor
                return
        finally:
            os.close(descriptor)


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            hint = "free some space, then run the command again: it goes on where it stopped"
        elif error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            hint = "name a folder for caches that can be written: export XDG_CACHE_HOME=DIR"
        raise ExternalFailure(f"{error.filename or path}: {error.strerror or error}", hint=hint) from None
