"""What was read back from DVC remotes and found right before, so that it need not be read again."""

import re
import time
from pathlib import Path

from modelver.adapters.dvc import Stored
from modelver.disk import Database

_TICK = 0.02
"""Seconds within which two writes can leave the same modification time (Linux's clock ticks every 1 to 10 ms)."""

_COARSE = 2.0
"""The same for storage that keeps whole seconds (SFTP; FAT: every second one)."""

# S3's mark of an object: the MD5 of its bytes, or of its parts' MD5s and their number.
_OF_CONTENT = re.compile(r'"?[0-9a-f]{32}(-[0-9]+)?"?\Z')

_MADE = (
    "CREATE TABLE IF NOT EXISTS objects (remote TEXT, md5 TEXT, size INT, stamp TEXT, sha256 TEXT,"
    " PRIMARY KEY (remote, md5)) WITHOUT ROWID"
)


class Remembered:
    """Objects of remotes that were hashed, kept in ``state_dir/remote.sqlite``; a cache: deleting it loses nothing.

    An object is trusted to be the one that was hashed while the storage shows the same size and stamp for it. What is
    remembered is what the storage showed before the bytes were read, so that whatever came in between is read again;
    and only where it was `settled` then.
    """

    def __init__(self, state_dir: Path) -> None:
        self._database = Database(state_dir / "remote.sqlite", _MADE)

    def get(self, remote: str, stored: Stored) -> str | None:
        """The SHA-256 of an object whose bytes once had the MD5 that it is called by; None where it must be read.

        Args:
            remote: `DvcRemote.identity`.
            stored: the object as the storage shows it now.
        """
        rows = self._database.execute(
            "SELECT sha256 FROM objects WHERE remote=? AND md5=? AND size=? AND stamp=?",
            (remote, stored.md5, stored.bytes, stored.stamp),
        )
        return str(rows[0][0]) if rows else None

    def put(self, remote: str, stored: Stored, sha256: str) -> None:
        """Remember an object whose bytes have the MD5 that it is called by.

        ``stored`` is what the storage showed before the reading, and was settled then.
        """
        self._database.execute(
            "INSERT OR REPLACE INTO objects VALUES (?,?,?,?,?)",
            (remote, stored.md5, stored.bytes, stored.stamp, sha256),
        )

    def knows(self, remote: str) -> bool:
        """Whether any object was seen on a remote."""
        return bool(self._database.execute("SELECT 1 FROM objects WHERE remote=? LIMIT 1", (remote,)))

    def forget(self, remote: str, md5: str) -> None:
        """Forget an object that was found wrong or missing."""
        self._database.execute("DELETE FROM objects WHERE remote=? AND md5=?", (remote, md5))

    def close(self) -> None:
        """Close the database; it is opened again when needed."""
        self._database.close()


def settled(stored: Stored) -> bool:
    """Whether nobody can write the object from now on so that it shows the same stamp; waits for a moment to be so.

    To be asked before the bytes are read. As in Git's index (https://git-scm.com/docs/racy-git), a write within the
    same tick of the clock would go unseen.
    """
    if not stored.stamp:
        return False
    if stored.modified is None or _OF_CONTENT.match(stored.stamp):
        return True
    coarse = stored.modified == int(stored.modified)
    if not coarse and 0 <= time.time() - stored.modified < _TICK:
        time.sleep(_TICK)
    return time.time() - stored.modified >= (_COARSE if coarse else _TICK)
