"""Objects of a DVC remote that gc has set aside: out of DVC's sight, and not gone yet.

They lie beside DVC's own folder, below ``files/modelver/retired/<seconds since the epoch>/ab/cdef…``. A move within
the storage is the only kind of removal that can be taken back once it shows that somebody needed the object after all.
"""

import hashlib
import re
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelver.adapters.dvc.remote import DvcRemote
from modelver.disk.files import digest_file

PLACE = "files/modelver/retired"
_RETIRED = re.compile(rf"{PLACE}/([0-9]{{1,12}})/([0-9a-f]{{2}})/([0-9a-f]{{30}}(?:\.dir)?)\Z")


@dataclass(frozen=True, slots=True)
class Retired:
    """One object that was set aside.

    Attributes:
        md5: its name.
        bytes: its size.
        since: seconds since the epoch, when it was set aside.
    """

    md5: str
    bytes: int
    since: int

    @property
    def path(self) -> str:
        """Where it lies below the remote's root."""
        return f"{PLACE}/{self.since}/{self.md5[:2]}/{self.md5[2:]}"


class RetiredObjects:
    """What gc has set aside on one remote. Every method raises ExternalFailure where the storage fails."""

    def __init__(self, remote: DvcRemote) -> None:
        self._remote = remote
        self._store = remote._store

    def all(self) -> Iterator[Retired]:
        """Everything that was set aside, in no order."""
        with self._errors("(list of what was set aside)"):
            for path, size, _, _ in self._store.list(PLACE):
                match = _RETIRED.search(path)
                if match:
                    yield Retired(match[2] + match[3], size, int(match[1]))

    def read(self, retired: Retired, limit: int) -> bytes:
        """The bytes of an object, unverified; no more than one over ``limit``."""
        data = b""
        with self._errors(retired.md5):
            for piece in self._store.read(retired.path, 0):
                data += piece
                if len(data) > limit:
                    break
        return data[: limit + 1]

    def retire(self, md5: str, size: int, now: int) -> Retired:
        """Set an object aside."""
        retired = Retired(md5, size, now)
        with self._errors(md5):
            self._store.move(_home(md5), retired.path)
        return retired

    def put_back(self, retired: Retired) -> None:
        """Take an object back into DVC's sight.

        Where one is there by now, both are read: if that one is right, what was set aside goes; if it is wrong and what
        was set aside is right, that takes its place; if both are wrong, both stay.
        """
        with self._errors(retired.md5):
            there = self._remote.stat(retired.md5)
            if there is not None and self._is_right(retired.md5, _home(retired.md5), there.bytes):
                self._store.delete(retired.path)
            elif there is None or self._is_right(retired.md5, retired.path, retired.bytes):
                self._store.move(retired.path, _home(retired.md5))

    def _is_right(self, md5: str, path: str, limit: int) -> bool:
        """Whether the bytes at a path have the MD5 that an object's name says; no more than ``limit`` are there."""
        digest, size = hashlib.md5(usedforsecurity=False), 0
        for piece in self._store.read(path, 0):
            digest.update(piece)
            size += len(piece)
            if size > limit:
                return False
        return digest.hexdigest() == md5.removesuffix(".dir")

    def now(self) -> float | None:
        """The storage's own clock: the time that it gives what is written now; None where it gives none."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"modelver gc asks for the time: " + secrets.token_hex(16).encode())
            file.flush()
            path = Path(file.name)
            md5 = digest_file(path).md5
            self._remote.write(md5, path)
        try:
            stored = self._remote.stat(md5)
        finally:
            self._remote.delete(md5)
        return None if stored is None else stored.modified

    def purge(self, retired: Retired) -> None:
        """Remove an object for good."""
        with self._errors(retired.md5):
            self._store.delete(retired.path)

    def _errors(self, what: str) -> Any:
        return self._remote._errors(what)


def _home(md5: str) -> str:
    return f"files/md5/{md5[:2]}/{md5[2:]}"
