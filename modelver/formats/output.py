"""Files that a split writes: each whole or absent, and none left behind when the split fails."""

import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

from modelver.core.manifest import FileEntry
from modelver.errors import ExternalFailure
from modelver.formats.digest import Digester, md5, sha256
from modelver.formats.result import TEMPORARY
from modelver.formats.wire import Reader, Rope, Span

_COPY = 64 << 20

Pieces = Callable[[], Iterable[memoryview]]
"""Gives content in pieces, from its start at each call; a piece is valid until the next is asked for."""


class Output:
    """A folder that files are added to; if the ``with`` block fails, what it added is removed again.

    A file is written under a temporary name beside its place and renamed. A file that is there already
    with the same content is left as it is: its inode, times and links stay.

    Attributes:
        folder: where paths are relative to.
        files: what was added or found in place, by path.
    """

    def __init__(self, folder: Path, *, fsync: bool = False) -> None:
        self.folder = folder
        self.files: dict[str, FileEntry] = {}
        self._fsync = fsync
        self._made: list[Path] = []
        self._folders: list[Path] = []

    def __enter__(self) -> "Output":
        make_folders(self.folder, self._folders)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            return
        for path in self._made:
            path.unlink(missing_ok=True)
        for folder in reversed(self._folders):
            try:
                folder.rmdir()
            except OSError:  # somebody else's file is in it
                continue
        if isinstance(error, OSError):
            raise ExternalFailure(f"cannot write {error.filename or self.folder}: {error.strerror}") from error

    def add(self, entry: FileEntry, content: Rope) -> None:
        """Put ``content`` at ``entry.path``; ``entry`` holds its size and digests, taken beforehand."""
        self.add_pieces(entry, content.pieces, content)

    def add_pieces(self, entry: FileEntry, pieces: Pieces, content: Rope | None = None) -> None:
        """As `add`, for content that is computed: ``pieces`` gives it from its start each time."""
        if entry.path in self.files:
            return
        path = self.folder / entry.path
        if not _same(path, entry.bytes, pieces):
            make_folders(path.parent, self._folders)
            existed = path.exists()
            write_atomically(path, pieces if content is None else content, fsync=self._fsync)
            if not existed:
                self._made.append(path)
        self.files[entry.path] = entry

    def add_hashed(self, name: str, content: Rope, digester: Digester) -> None:
        """Put ``content`` at ``name``, hashing it first."""
        first, second = md5(), sha256()
        digester.run(content.pieces(), [first, second])
        self.add(FileEntry(name, content.length, first.hexdigest(), second.hexdigest()), content)

    def listing(self) -> tuple[FileEntry, ...]:
        """What was added, in the order of paths."""
        return tuple(sorted(self.files.values(), key=lambda entry: entry.path))


def make_folders(folder: Path, made: list[Path]) -> None:
    """Make a folder and those above it; what was not there is added to ``made``, for who must remove it on failure."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        made.append(each)


def write_atomically(path: Path, content: "Rope | Pieces", *, fsync: bool = False) -> None:
    """Write ``content`` to a temporary file beside ``path`` and rename it there; no trace is left on failure."""
    temporary = path.with_name(TEMPORARY.format(secrets.token_hex(8)))
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        try:
            parts = content.parts if isinstance(content, Rope) else content()
            for part in parts:
                if isinstance(part, Span):
                    _copy(part, descriptor)
                else:
                    _write_all(descriptor, memoryview(part))
            if fsync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _copy(span: Span, descriptor: int) -> None:
    """Copy inside the kernel where the file systems can, otherwise through memory."""
    position = span.start
    if span.end - span.start > 1 << 16:
        try:
            while position < span.end:
                done = os.copy_file_range(
                    span.reader.fd, descriptor, min(_COPY, span.end - position), offset_src=position
                )
                if done == 0:
                    break
                position += done
        except OSError:  # not across these file systems, or no space: writing will tell
            pass
    for piece in span.reader.pieces(position, span.end):
        _write_all(descriptor, piece)


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _same(path: Path, size: int, pieces: Pieces) -> bool:
    """Whether a regular file of exactly this content is there: compared by bytes, since a cache may have rotted."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size != size:
        return False
    with Reader(path) as present:
        position = 0
        for piece in pieces():
            start = position
            position += len(piece)
            for other in present.pieces(start, position):
                # a bytearray compares by memcmp, a memoryview element by element
                if bytearray(other) != piece:
                    return False
    return True
