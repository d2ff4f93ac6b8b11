"""Reading a repository's files from the working tree or from a commit, through one interface."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from modelver.adapters.git import GitRepository
from modelver.errors import ExternalFailure, InvalidInput

MAX_FILE = 256 << 20
"""Largest file read whole, in bytes: a manifest of a million tensors."""


class Snapshot(Protocol):
    """A state of the repository's files."""

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        """Contents of those paths that are regular files."""
        ...

    def read(self, path: str) -> bytes | None:
        """Content of one path; None where it is no regular file."""
        ...


class CommitSnapshot:
    """The files of a commit."""

    def __init__(self, git: GitRepository, commit: str) -> None:
        self.git = git
        self.commit = commit

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        """See `Snapshot`."""
        return self.git.files_at(self.commit, paths)

    def read(self, path: str) -> bytes | None:
        """See `Snapshot`."""
        return self.read_many([path]).get(path)


class OverlaySnapshot:
    """Another snapshot with some files in place of its own, as they are about to be written."""

    def __init__(self, below: Snapshot, contents: Mapping[str, bytes]) -> None:
        self.below = below
        self.contents = contents

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        """See `Snapshot`."""
        own = {path: self.contents[path] for path in paths if path in self.contents}
        return {**self.below.read_many([path for path in paths if path not in own]), **own}

    def read(self, path: str) -> bytes | None:
        """See `Snapshot`."""
        return self.contents[path] if path in self.contents else self.below.read(path)


class WorktreeSnapshot:
    """The files of the working tree; nothing is read through a symbolic link."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        """See `Snapshot`."""
        return {path: data for path in paths if (data := self.read(path)) is not None}

    def read(self, path: str) -> bytes | None:
        """See `Snapshot`."""
        target = self.root / path
        try:
            if Path(os.path.realpath(target)) != Path(os.path.realpath(self.root)) / path:
                return None
            if not target.is_file():
                return None
            if target.stat().st_size > MAX_FILE:
                raise InvalidInput(f"{path}: {target.stat().st_size} bytes, more than the {MAX_FILE} that are read")
            return target.read_bytes()
        except ValueError:  # a NUL in the path
            return None
        except OSError as error:
            raise ExternalFailure(f"{path} can't be read: {error.strerror}") from None
