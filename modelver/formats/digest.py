"""Digests of byte strings in one pass: several hashes and statistics at once, on several threads.

``hashlib`` releases the interpreter's lock while it works on a piece, so MD5 (what DVC's cache addresses
by) and SHA-256 (what modelver verifies) cost little more than the slower of the two.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from modelver.core.manifest import FileEntry
from modelver.formats.stats import Stats
from modelver.formats.wire import PIECE, Reader

_THREADED = 256 << 10

Progress = Callable[[int], None]
"""Called with the number of bytes that were done since the last call."""


class Hash(Protocol):
    """What hashlib's objects offer."""

    def update(self, data: memoryview, /) -> None:
        """Add bytes."""

    def hexdigest(self) -> str:
        """The digest of what was added."""


def md5() -> Hash:
    """MD5 as an address, not as a safeguard."""
    return hashlib.md5(usedforsecurity=False)


def sha256() -> Hash:
    """SHA-256."""
    return hashlib.sha256()


class Digester:
    """Two threads that hash pieces; close it, or use it in ``with``."""

    def __init__(self, progress: Progress | None = None) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._progress = progress

    def __enter__(self) -> "Digester":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def run(self, pieces: Iterable[memoryview], hashes: list[Hash], stats: Stats | None = None) -> None:
        """Feed every piece to each hash and to the statistics; a piece may be reused once the next is asked for."""
        for piece in pieces:
            if len(piece) < _THREADED:
                for each in hashes:
                    each.update(piece)
                if stats is not None:
                    stats.update(piece)
            else:
                self._pool = self._pool or ThreadPoolExecutor(2)
                jobs: list[Any] = [self._pool.submit(each.update, piece) for each in hashes]
                if stats is not None:
                    stats.update(piece)
                for job in jobs:
                    job.result()
            if self._progress is not None:
                self._progress(len(piece))

    def file(self, path: Path, name: str) -> FileEntry:
        """The entry of the file at ``path``, to be listed as ``name``."""
        first, second = md5(), sha256()
        with Reader(path) as reader:
            self.run(reader.pieces(0, reader.size), [first, second])
            return FileEntry(name, reader.size, first.hexdigest(), second.hexdigest())


def rechunk(pieces: Iterable[memoryview], size: int = PIECE) -> Iterator[memoryview]:
    """The same bytes in pieces of exactly ``size`` (the last: fewer)."""
    buffer = bytearray()
    for piece in pieces:
        if not buffer and len(piece) == size:
            yield piece
            continue
        while piece:
            room = size - len(buffer)
            buffer += piece[:room]
            piece = piece[room:]
            if len(buffer) == size:
                yield memoryview(buffer)
                buffer = bytearray()
    if buffer:
        yield memoryview(buffer)
