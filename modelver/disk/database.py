"""A small SQLite file that remembers what can be found out again: damaged, locked or gone, it counts as empty."""

import contextlib
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Database:
    """One file with one table. Several processes and threads may use it at once.

    Args:
        path: the file; its folder is made when something is remembered.
        made: the statement that makes the table if it is not there.
    """

    def __init__(self, path: Path, made: str) -> None:
        self._path = path
        self._made = made
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        self._broken = False

    def execute(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """The rows of one statement; none where the database can't be used."""
        with self._lock:
            for attempt in range(2):
                if self._broken:
                    break
                try:
                    return self._open().execute(statement, values).fetchall()
                except sqlite3.OperationalError:  # locked, read-only, no such folder: do without it
                    self._broken = True
                except sqlite3.DatabaseError:  # damaged, or no database at all
                    self._discard()
                    self._broken = attempt == 1
            return []

    def close(self) -> None:
        """Close the file; it is opened again when needed."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise sqlite3.OperationalError(str(error)) from None
            if self._path.is_symlink():
                self._discard()  # SQLite would follow it
            # autocommit: each statement is a transaction; `check_same_thread` is replaced by the lock
            self._connection = sqlite3.connect(self._path, timeout=10, isolation_level=None, check_same_thread=False)
            # without a flush for each statement: what a crash of the machine loses is found out again
            self._connection.execute("PRAGMA synchronous=OFF")
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(self._made)
        return self._connection

    def _discard(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        for suffix in ("", "-wal", "-shm", "-journal"):
            with contextlib.suppress(OSError):
                Path(f"{self._path}{suffix}").unlink()
