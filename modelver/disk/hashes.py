"""Digests remembered by a file's size, times and inode, so that what was hashed once is not read again."""

import os
import stat
import time
from pathlib import Path

from modelver.disk.database import Database
from modelver.disk.files import Digest, as_written, digest_file
from modelver.errors import InvalidInput, NotFound

_TICK_NS = 20_000_000
"""Two writes within this time can leave the same modification time (Linux's clock ticks every 1 to 10 ms)."""

_COARSE_NS = 2_000_000_000
"""The same for file systems that store whole seconds (FAT: every second one)."""

_INT64 = (1 << 63) - 1

_MADE = (
    "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, size INT, mtime INT, ctime INT, inode INT,"
    " md5 TEXT, sha256 TEXT) WITHOUT ROWID"
)


class HashCache:
    """Digests of files, kept in ``state_dir/hashes.sqlite``; a cache: deleting it loses nothing.

    A file is trusted to be the one that was hashed while its size, modification time, change time and inode are what
    they were. As in Git's index, a file so fresh that another write could leave the same times is not remembered
    (https://git-scm.com/docs/racy-git). Several processes and threads may use it at once. A database that is damaged
    or locked for too long counts as an empty one.
    """

    def __init__(self, state_dir: Path) -> None:
        self._database = Database(state_dir / "hashes.sqlite", _MADE)

    def get(self, path: Path) -> Digest | None:
        """The digest of the file as it is now; None where it must be hashed, or is no regular file."""
        found = _stat(path)
        if found is None:
            return None
        rows = self._database.execute(
            "SELECT md5, sha256 FROM files WHERE path=? AND size=? AND mtime=? AND ctime=? AND inode=?",
            (_key(path), *_signature(found)),
        )
        return Digest(*rows[0]) if rows else None

    def put(self, path: Path, md5: str, sha256: str) -> None:
        """Remember what the file holds now; the caller knows that it does."""
        found = _stat(path)
        if found is not None:
            self._remember(path, found, Digest(md5, sha256))

    def digest(self, path: Path) -> Digest:
        """The digest of the file, hashed only where it is not known.

        Raises:
            NotFound: there is no such file.
            InvalidInput: it is no regular file.
            ExternalFailure: it can't be read.
        """
        known = self.get(path)
        if known is not None:
            return known
        before = _stat(path)
        if before is None:
            if os.path.lexists(path):
                raise InvalidInput(f"{path} is not a regular file")
            raise NotFound(f"{path} does not exist")
        found = digest_file(path)
        after = _stat(path)
        if after is not None and _signature(after) == _signature(before):
            self._remember(path, after, found)
        return found

    def close(self) -> None:
        """Close the database; it is opened again when needed."""
        self._database.close()

    def _remember(self, path: Path, found: os.stat_result, digest: Digest) -> None:
        coarse = found.st_mtime_ns % 1_000_000_000 == 0
        if time.time_ns() - found.st_mtime_ns < (_COARSE_NS if coarse else _TICK_NS):
            return
        self._database.execute(
            "INSERT OR REPLACE INTO files VALUES (?,?,?,?,?,?,?)",
            (_key(path), *_signature(found), digest.md5, digest.sha256),
        )


def _stat(path: Path) -> os.stat_result | None:
    try:
        found = path.lstat()
    except (OSError, ValueError):
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _signature(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino & _INT64


def _key(path: Path) -> bytes:
    return os.fsencode(as_written(path))
