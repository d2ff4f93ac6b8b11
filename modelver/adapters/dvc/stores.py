"""The storage behind a DVC remote: what all kinds have in common, and a folder."""

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from modelver.disk import open_regular, remove_file
from modelver.disk.files import fsync_folder

Tick = Callable[[int], None]
Stat = tuple[int, str, float | None]
"""Size in bytes, stamp, time of the last write."""

PIECE = 4 << 20
"""Bytes that are read or copied at once."""


class Store(Protocol):
    """Files by path below one root."""

    @property
    def url(self) -> str:
        """Where it is, without credentials."""
        ...

    def probe(self) -> None:
        """Fail if the storage can't be reached."""
        ...

    def stat(self, path: str) -> Stat | None:
        """What is there now; None where nothing is."""
        ...

    def read(self, path: str, offset: int) -> Iterator[bytes]:
        """All bytes from an offset on, or an error: never fewer."""
        ...

    def write(self, path: str, source: Path, tick: Tick) -> None:
        """Put a whole file there."""
        ...

    def delete(self, path: str) -> None:
        """Remove it if it is there."""
        ...

    def move(self, source: str, target: str) -> None:
        """Rename within the storage, in place of what is there; killed midway, the source is still whole."""
        ...

    def list(self, path: str) -> Iterator[tuple[str, int, str, float | None]]:
        """Everything below a path: path, size, stamp, time."""
        ...


def ended_early(have: int, size: int) -> OSError:
    """The error for an object that gave fewer bytes than it has, or more."""
    return OSError(errno.EIO, f"it gave {have} bytes, and it has {size}")


def telling(tick: Tick) -> Any:
    """An fsspec callback that passes on how many bytes went over the line."""
    from fsspec.callbacks import Callback

    class Ticker(Callback):  # type: ignore[misc]
        """Some file systems tell how many bytes came since they last told, others how many in all."""

        told = 0

        def relative_update(self, inc: int = 1) -> None:
            self.absolute_update(self.told + inc)

        def absolute_update(self, value: int) -> None:
            step, self.told = value - self.told, value
            tick(step)

    return Ticker()


class FolderStore:
    """A folder of this machine, or one that it mounts."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def url(self) -> str:
        """See `Store`."""
        return str(self._root)

    def probe(self) -> None:
        """A folder that is missing is made by the first write, as DVC does; one that can't be made is told now."""
        place = self._root
        while not place.exists() and place != place.parent:
            place = place.parent
        if not place.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{place} is no folder")
        if not os.access(place, os.R_OK | os.X_OK):
            raise PermissionError(errno.EACCES, f"{place} may not be read")
        if place != self._root and not os.access(place, os.W_OK):
            raise FileNotFoundError(errno.ENOENT, f"{self._root} does not exist, and can't be made")

    def stat(self, path: str) -> Stat | None:
        """See `Store`."""
        try:
            found = (self._root / path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(found.st_mode):
            return None
        stamp = f"{found.st_mtime_ns}-{found.st_ctime_ns}-{found.st_ino}"
        # a file that was copied in with its old times has been there since its inode changed
        return found.st_size, stamp, max(found.st_mtime, found.st_ctime)

    def read(self, path: str, offset: int) -> Iterator[bytes]:
        """See `Store`."""
        with open_regular(self._root / path) as descriptor:
            size = os.fstat(descriptor).st_size
            if offset > size:
                raise ended_early(offset, size)
            while piece := os.pread(descriptor, PIECE, offset):
                offset += len(piece)
                yield piece
            if offset != size:
                raise ended_early(offset, size)

    def write(self, path: str, source: Path, tick: Tick) -> None:
        """Written under a name that is no object's, flushed to the disk, then renamed."""
        place = self._root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.parent / temporary_name(place.name)
        try:
            with open_regular(source) as reading:
                writing = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
                try:
                    _copy(reading, writing, tick)
                    os.fchmod(writing, 0o444)
                    os.fsync(writing)
                finally:
                    os.close(writing)
            temporary.replace(place)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        fsync_folder(place.parent)

    def delete(self, path: str) -> None:
        """See `Store`."""
        remove_file(self._root / path)

    def move(self, source: str, target: str) -> None:
        """See `Store`."""
        place = self._root / target
        place.parent.mkdir(parents=True, exist_ok=True)
        (self._root / source).replace(place)
        fsync_folder(place.parent)
        fsync_folder((self._root / source).parent)

    def list(self, path: str) -> Iterator[tuple[str, int, str, float | None]]:
        """See `Store`."""

        def fail(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise error

        # without onerror a folder that may not be read would look like an empty one
        for place, _, names in os.walk(self._root / path, onerror=fail):
            for name in names:
                relative = (Path(place) / name).relative_to(self._root).as_posix()
                found = self.stat(relative)
                if found is not None:
                    yield relative, *found


def temporary_name(name: str) -> str:
    """A name beside an object's that is no object's; DVC itself ends such names in ``.tmp``."""
    return f".{name}.{secrets.token_hex(6)}.tmp"


def _copy(reading: int, writing: int, tick: Tick) -> None:
    """Copy within the kernel, or the file system, where they can."""
    offset = 0
    try:
        while count := os.copy_file_range(reading, writing, PIECE * 8, offset):
            offset += count
            tick(count)
    except OSError as error:
        if offset or error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    # also where a file system says that there is nothing to copy, as some of the kernel's own do
    while piece := memoryview(os.pread(reading, PIECE, offset)):
        offset += len(piece)
        tick(len(piece))
        while piece:
            piece = piece[os.write(writing, piece) :]
