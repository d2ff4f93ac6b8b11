"""Objects of a DVC remote that gc has set aside: out of DVC's sight, and not gone yet.

They lie beside DVC's own folder, below ``files/modelver/retired/<seconds since the epoch>/ab/cdef…``. A move within
the storage is the only kind of removal that can be taken back once it shows that somebody needed the object after all.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelver.adapters.dvc.remote import DvcRemote

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

    def retire(self, md5: str, size: int, now: int) -> Retired:
        """Set an object aside."""
        retired = Retired(md5, size, now)
        with self._errors(md5):
            _move(self._store, _home(md5), retired.path)
        return retired

    def put_back(self, retired: Retired) -> None:
        """Take an object back into DVC's sight; where another copy is there by now, that one stays."""
        with self._errors(retired.md5):
            if self._remote.stat(retired.md5) is None:
                _move(self._store, retired.path, _home(retired.md5))
            else:
                self._store.delete(retired.path)

    def purge(self, retired: Retired) -> None:
        """Remove an object for good."""
        with self._errors(retired.md5):
            self._store.delete(retired.path)

    def _errors(self, what: str) -> Any:
        return self._remote._errors(what)


def _home(md5: str) -> str:
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def _move(store: Any, source: str, target: str) -> None:
    """Within a folder a rename. Elsewhere a copy on the server and then a removal: killed between, both are there."""
    root = getattr(store, "_root", None)
    if isinstance(root, Path):
        place = root / target
        place.parent.mkdir(parents=True, exist_ok=True)
        (root / source).replace(place)
        return
    key = getattr(store, "_key", None)
    here, there = (f"{store._bucket}/{key(path)}" if key else f"{root}/{path}" for path in (source, target))
    if key or store._whole_writes:
        store._fs.cp_file(here, there)
        store._fs.rm_file(here)
    else:
        store._system.makedirs(store._system.parent(there), exist_ok=True)
        store._system.mv(here, there)
