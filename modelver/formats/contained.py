"""Opening the files that a model names beside itself, without ever leaving the model's folder.

Stands against CVE-2022-25882, 2024-27318, 2024-5187, 2025-51480, 2026-27489 (symbolic links) and
2026-34446 (hard links) of ONNX's external data.
"""

import errno
import os
from pathlib import Path
from stat import S_ISREG

from modelver.core.manifest import check_relative_path
from modelver.errors import InvalidInput
from modelver.formats.wire import Reader

_MAX_OPEN = 64
_COPY_HINT = "copy the folder with its links resolved (cp -rL) and use the copy"


class Folder:
    """The folder of a model, and the readers of files in it that were opened so far; close it when done."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._readers: dict[str, Reader] = {}
        self._open_names: list[str] = []

    def open(self, name: str, what: str) -> Reader:
        """The reader of the file ``name``, relative to the folder; ``what`` begins the error messages.

        Raises:
            InvalidInput: the path is absolute, leaves the folder, goes through a symbolic link, or is no
                regular file with one name only.
        """
        if name not in self._readers:
            self._readers[name] = self._new(name, what)
        return self._readers[name]

    def opened(self) -> set[str]:
        """The names that were opened."""
        return set(self._readers)

    def check_unchanged(self) -> None:
        """Raise InvalidInput if a file was written to since it was opened."""
        for reader in self._readers.values():
            reader.check_unchanged()

    def close(self) -> None:
        """Close all files."""
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def _new(self, name: str, what: str) -> Reader:
        try:
            check_relative_path(name)
        except ValueError:
            raise InvalidInput(f"{what}: {name!r} is not a plain path inside the model's folder") from None
        return Reader(self.path / name, lambda: self._limited(name, what))

    def _limited(self, name: str, what: str) -> int:
        """Open the file, but keep at most `_MAX_OPEN` open: torch's old exporter wrote a file for each tensor."""
        while len(self._open_names) >= _MAX_OPEN:
            oldest = self._open_names.pop(0)
            if oldest in self._readers:
                self._readers[oldest].park()
        descriptor = self._descend(name, what)
        self._open_names.append(name)
        return descriptor

    def _descend(self, name: str, what: str) -> int:
        *folders, last = name.split("/")
        try:
            at = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                for part in folders:
                    below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
                    os.close(at)
                    at = below
                # O_NONBLOCK: a FIFO would block the open for ever
                found = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
            finally:
                os.close(at)
        except FileNotFoundError:
            raise InvalidInput(f"{what}: the file {name!r} is missing beside the model") from None
        except OSError as error:
            # what O_NOFOLLOW gives for a link, alone and together with O_DIRECTORY
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise InvalidInput(f"{what}: {name!r} is or goes through a symbolic link", _COPY_HINT) from None
            raise InvalidInput(f"{what}: {name[:80]!r} cannot be opened: {error.strerror}") from None
        try:
            _check_plain(os.fstat(found), name, what)
        except InvalidInput:
            os.close(found)
            raise
        return found


def _check_plain(facts: os.stat_result, name: str, what: str) -> None:
    if not S_ISREG(facts.st_mode):
        raise InvalidInput(f"{what}: {name!r} is not a regular file")
    if facts.st_nlink > 1:
        raise InvalidInput(f"{what}: {name!r} is a hard link, it may be a file from elsewhere", _COPY_HINT)
