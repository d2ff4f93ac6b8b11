"""Opening the files that a model names beside itself, without ever leaving the model's folder.

Stands against CVE-2022-25882, 2024-27318, 2024-5187, 2025-51480, 2026-27489 (symbolic links) and
2026-34446 (hard links) of ONNX's external data.
"""

import errno
import os
from pathlib import Path

from modelver.core.manifest import check_relative_path
from modelver.errors import InvalidInput
from modelver.formats.wire import Reader

_COPY_HINT = "copy the folder with its links resolved (cp -rL) and use the copy"


class Folder:
    """The folder of a model, and the readers of files in it that were opened so far; close it when done."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._readers: dict[str, Reader] = {}

    def open(self, name: str, what: str) -> Reader:
        """The reader of the file ``name``, relative to the folder; ``what`` begins the error messages.

        Raises:
            InvalidInput: the path is absolute, leaves the folder, goes through a symbolic link, or is no
                regular file with one name only.
        """
        if name not in self._readers:
            self._readers[name] = self._open(name, what)
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

    def _open(self, name: str, what: str) -> Reader:
        try:
            check_relative_path(name)
        except ValueError:
            raise InvalidInput(f"{what}: {name!r} is not a plain path inside the model's folder") from None
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
            reader = Reader(self.path / name, descriptor=found)
        except InvalidInput:
            raise InvalidInput(f"{what}: {name!r} is not a regular file") from None
        if reader.links > 1:
            reader.close()
            raise InvalidInput(f"{what}: {name!r} is a hard link, it may be a file from elsewhere", _COPY_HINT)
        return reader
