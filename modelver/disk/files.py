"""Atomic writes and copies: a file is there whole or not at all."""

import errno
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelver.errors import ExternalFailure, InvalidInput, NotFound

_FICLONE = 0x40049409
"""Linux's ioctl that lets two files share their blocks (``man 2 ioctl_ficlone``)."""

_PIECE = 4 << 20

SETTLED_NS = 25_000_000
"""How far a placed file's modification time lies in the past: more than the 10 ms tick of Linux's coarsest clock, so
that whatever writes to the file later gives it another time (see `HashCache`)."""


@dataclass(frozen=True, slots=True)
class Digest:
    """Digests of a file's bytes, hex.

    Attributes:
        md5: how DVC's cache addresses it.
        sha256: what modelver verifies.
    """

    md5: str
    sha256: str


def as_written(path: str | Path) -> Path:
    """The absolute path, without ``.`` and ``..``, by its text alone: links in it are not resolved, as DVC and Git name
    things. What a user calls by a link is then found, shown and replaced under the name that they gave."""
    return Path(os.path.abspath(path))  # noqa: PTH100  (Path.absolute keeps .., Path.resolve follows links)


def write_atomic(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace ``path`` by ``data`` in one step that survives a crash; missing folders are made.

    Written to a temporary file in the same folder, flushed to the disk, renamed, and the folder flushed.

    Raises:
        ExternalFailure: the disk is full, the folder is read-only, …; the old content is then still there.
    """
    with _disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        fsync_folder(path.parent)


def remove_file(path: Path) -> None:
    """Remove a file, if it is there, so that it stays removed after a crash."""
    with _disk_errors(path):
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return
        fsync_folder(path.parent)


def fsync_folder(path: Path) -> None:
    """Flush a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # file systems that can't flush a folder say so; there is nothing else to do
            raise
    finally:
        os.close(descriptor)


def copy_file(
    source: Path, target: Path, *, mode: int | None = None, digest: bool = False, settled: bool = False
) -> Digest | None:
    """Copy a regular file by temporary file and rename; blocks are shared where the file system can (reflink).

    Args:
        source: followed if it is a link, as the cache of many a user is one.
        target: replaced if it exists; a link is replaced, not followed. Its folder must exist.
        mode: permission bits; None means what the umask leaves of 0666.
        digest: hash what was written, in the same pass.
        settled: set the modification time a little into the past, so that `HashCache` can trust it at once.

    Returns:
        The digest of the bytes that ``target`` holds, None unless asked for.

    Raises:
        NotFound: no source.
        InvalidInput: the source is no regular file.
        ExternalFailure: the disk failed or is full; the target is as it was.
    """
    with open_regular(source) as reading, _disk_errors(target):
        writing, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".tmp", dir=target.parent)
        try:
            try:
                found = _fill(reading, writing, digest)
                os.fchmod(writing, 0o666 & ~umask() if mode is None else mode)
                if settled:
                    now = time.time_ns()
                    os.utime(writing, ns=(now, now - SETTLED_NS))
            finally:
                os.close(writing)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    return found


def umask() -> int:
    """The process's umask, read without changing it where the system shows it (other threads make files too)."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    except OSError:
        pass
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def digest_file(path: Path) -> Digest:
    """Hash a regular file, MD5 and SHA-256 in one pass on two threads; raises as `copy_file`."""
    with open_regular(path) as reading, _disk_errors(path):
        return _digest(_pieces(reading))


@contextmanager
def open_regular(path: Path) -> Iterator[int]:
    """A descriptor for reading a regular file, never one that blocks.

    Raises:
        NotFound: there is none.
        InvalidInput: a folder, a FIFO, a device, …
    """
    try:
        # O_NONBLOCK: opening a FIFO would wait for a writer for ever
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"{path} does not exist") from None
    except OSError as error:
        raise ExternalFailure(f"{path} cannot be read: {error.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InvalidInput(f"{path} is not a regular file")
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(path: Path, timeout: float) -> Iterator[int]:
    """Hold a lock that the kernel frees when the process ends, however it ends.

    Args:
        path: the lock's file; made, and left there.
        timeout: seconds to wait for another process.

    Returns:
        The lock's descriptor. A child process that inherits it holds the lock too, until it ends.

    Raises:
        ExternalFailure: another process still holds it, or the folder can't be written.
    """
    with _disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        end = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > end:
                    raise ExternalFailure(
                        f"another process has held {path} for over {timeout:g} s", hint="wait for it to end"
                    ) from None
                time.sleep(0.05)
        yield descriptor
    finally:
        os.close(descriptor)


def _fill(reading: int, writing: int, digest: bool) -> Digest | None:
    try:
        fcntl.ioctl(writing, _FICLONE, reading)
    except OSError:  # another file system, or one that can't share blocks
        if digest:
            return _digest(_pieces(reading, writing))
        _copy(reading, writing)
        return None
    return _digest(_pieces(writing)) if digest else None


def _copy(reading: int, writing: int) -> None:
    """Copy within the kernel where it can."""
    offset = 0
    while True:
        try:
            count = os.sendfile(writing, reading, offset, 1 << 30)
        except OSError as error:
            if offset or error.errno not in (errno.EINVAL, errno.ENOSYS):
                raise
            for _ in _pieces(reading, writing):
                pass
            return
        if count == 0:
            return
        offset += count


def _pieces(reading: int, writing: int | None = None) -> Iterator[memoryview]:
    """The file's bytes from its start, each piece valid until the next; written to ``writing`` as they come."""
    buffer = memoryview(bytearray(min(_PIECE, os.fstat(reading).st_size + 1)))
    offset = 0
    while count := os.preadv(reading, [buffer], offset):
        offset += count
        piece = buffer[:count]
        written = 0
        while writing is not None and written < count:
            written += os.write(writing, piece[written:])
        yield piece


def _digest(pieces: Iterator[memoryview]) -> Digest:
    from modelver.formats.digest import Digester, md5, sha256

    first, second = md5(), sha256()
    with Digester() as digester:
        digester.run(pieces, [first, second])
    return Digest(first.hexdigest(), second.hexdigest())


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "free some space, then run the command again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise ExternalFailure(f"{path}: {error.strerror or error}", hint=hint) from None
