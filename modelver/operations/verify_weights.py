"""The objects of versions: those in DVC's cache hashed, those on a DVC remote read back, tensors measured again."""

import hashlib
import os
import shlex
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from modelver import __version__
from modelver.adapters.dvc import DvcCache, DvcRemote
from modelver.core.verify import Problem, judge_tensors
from modelver.disk import Digest, HashCache, digest_file
from modelver.errors import CheckFailed, ExternalFailure, InvalidInput, ModelverError, NotFound, Refused
from modelver.operations.facts import ModelFacts
from modelver.operations.objects import Needed
from modelver.operations.project import Project
from modelver.operations.remembered import Remembered
from modelver.operations.transfer import Bars, Finding, check_remote

Tick = Callable[[int], None]

MEASURED = "measured"
"""File in the state folder: a line for each manifest that was once compared with its weights."""

_MAX_MEASURED = 16 << 20


class LocalObjects:
    """DVC's cache on this machine; each object is looked at once, however many versions have it.

    Args:
        project: the repository.
        full: hash every object anew; otherwise what was hashed before and is untouched since is trusted.
        tick: told of bytes that were hashed.
    """

    def __init__(self, project: Project, *, full: bool, tick: Tick) -> None:
        try:
            self.cache: DvcCache | None = DvcCache.find(project.root)
        except Refused:  # no DVC here: then nothing is
            self.cache = None
        self._hashes = HashCache(project.git.state_dir)
        self._full = full
        self._tick = tick
        self._known: dict[str, tuple[Digest, int] | None] = {}
        self._state_dir = project.git.state_dir

    def count(self, md5: str) -> int | None:
        """How many files a folder's listing names; None where it is not here whole."""
        try:
            return None if self.cache is None else len(self.cache.read_dir(md5))
        except (NotFound, CheckFailed, InvalidInput):
            return None

    def missing(self, item: Needed) -> bool:
        """Whether the object is not on this machine."""
        return self.cache is None or not self.cache.has(item.md5)

    def fault(self, item: Needed) -> str:
        """What is wrong with an object that is here, in words; empty where nothing is."""
        found = self._look(item.md5)
        if found is None:
            return "it can't be read, or is no regular file"
        digest, size = found
        if digest.md5 != item.md5.removesuffix(".dir"):
            return f"its bytes have MD5 {digest.md5}"
        if item.sha256 not in (None, digest.sha256):
            return f"its bytes have SHA-256 {digest.sha256}, and the manifest says {item.sha256}"
        if item.size not in (None, size):
            return f"it has {size} bytes, and the manifest says {item.size}"
        return ""

    def path(self, md5: str) -> Path:
        """Where an object's bytes lie."""
        assert self.cache is not None
        return Path(os.path.realpath(self.cache.path(md5)))  # an object of a shared cache may be a link

    def _look(self, md5: str) -> tuple[Digest, int] | None:
        if md5 not in self._known:
            path = self.path(md5)
            known = None if self._full else self._hashes.get(path)
            try:
                size = path.stat().st_size
                if known is None and self._full:
                    known = digest_file(path)
                    self._hashes.put(path, known.md5, known.sha256)
                    self._tick(size)
                elif known is None:
                    known = self._hashes.digest(path)
                    self._tick(size)
                self._known[md5] = (known, size)
            except (ExternalFailure, InvalidInput, NotFound, OSError):  # a disk that fails here may not elsewhere
                self._known[md5] = None
        return self._known[md5]

    def measured(self, facts: ModelFacts, raw: bytes) -> list[Problem] | None:
        """What is wrong with a tensor manifest; None where it can't be told, since not all weights are here.

        Args:
            facts: the model, with its files.
            raw: the manifest's bytes. What was compared once is trusted while its bytes, the weights and modelver are
                the same, unless all is to be looked at anew.
        """
        if facts.files is None or facts.tensors is None or facts.weights is None or not facts.weights.is_dir:
            return []
        if self.cache is None or not all(self.cache.has(entry.md5) for entry in facts.files):
            return None
        said = f"{__version__} {facts.weights.md5} {hashlib.sha256(raw).hexdigest()}"
        if not self._full and said in self._compared:
            return []
        from modelver.formats.remeasure import measure

        path = facts.layout.tensors
        try:
            found = measure({entry.path: self.path(entry.md5) for entry in facts.files}, self._tick)
        except ModelverError as error:
            return [Problem("manifest", path, f"it can't be compared with the weights: {error.message}")]
        problems = judge_tensors(path, facts.tensors, found)
        if not problems:
            self._note(said)
        return problems

    @cached_property
    def _compared(self) -> set[str]:
        try:
            with (self._state_dir / MEASURED).open("rb") as file:
                return set(file.read(_MAX_MEASURED).decode("ascii", "replace").splitlines())
        except OSError:
            return set()

    def _note(self, said: str) -> None:
        try:
            self._state_dir.mkdir(parents=True, exist_ok=True)
            with (self._state_dir / MEASURED).open("ab") as file:
                file.write(f"\n{said}\n".encode())
        except OSError:  # a cache that can't be written is one that does not help
            return


class RemoteObjects:
    """A DVC remote; each object is looked at once, however many versions have it.

    Args:
        remote: which.
        project: the repository, which remembers what was read back.
        full: read everything anew.
        bars: progress.
    """

    def __init__(self, remote: DvcRemote, project: Project, *, full: bool, bars: Bars) -> None:
        self.remote = remote
        self._memory = Remembered(project.git.state_dir)
        self._full = full
        self._bars = bars
        self._known: dict[tuple[str, int | None, str | None], Finding] = {}

    def look(self, needed: Sequence[Needed]) -> list[Finding]:
        """What is the case with each object; raises ExternalFailure where the remote can't be asked."""
        new = {_key(item): item for item in needed if _key(item) not in self._known}
        items = list(new.values())
        findings = check_remote(self.remote, items, self._memory, full=self._full, bars=self._bars)
        self._known.update(zip(new, findings, strict=True))
        return [self._known[_key(item)] for item in needed]


def judge_local(tag: str, needed: Sequence[Needed], local: LocalObjects, *, all_here: bool) -> list[Problem]:
    """Whether each object that is on this machine is right; with ``all_here`` also whether none is missing."""
    problems: list[Problem] = []
    absent: list[Needed] = []
    for item in needed:
        if local.missing(item):
            absent += [item] if item.content is None else []  # such a one is made from Git's manifest
            continue
        fault = local.fault(item)
        if fault:
            problems.append(_damaged(item, fault, local.path(item.md5)))
    if all_here:
        problems += _not_here(tag, absent, sum(item.content is None for item in needed))
    return problems


def judge_stored(tag: str, needed: Sequence[Needed], local: LocalObjects, remote: RemoteObjects) -> list[Problem]:
    """Whether each object that restores a version is on a remote, and right, whatever is on this machine."""
    problems: list[Problem] = []
    where = remote.remote.name
    for finding in remote.look(needed):
        item = finding.needed
        if finding.state == "missing":
            problems.append(
                Problem(
                    "missing", item.what, f"object {item.md5} is not on DVC remote {where}", _push(tag, item, local)
                )
            )
        elif finding.state == "wrong":
            problems.append(
                Problem(
                    "weights",
                    item.what,
                    f"object {item.md5} on DVC remote {where} is damaged: {finding.why}",
                    _push(tag, item, local),
                )
            )
    return problems


def _damaged(item: Needed, fault: str, path: Path) -> Problem:
    return Problem(
        "weights",
        item.what,
        f"object {item.md5} in DVC's cache is damaged: {fault}",
        f"rm -f {shlex.quote(str(path))} && dvc fetch --all-tags",
    )


def _not_here(tag: str, absent: Sequence[Needed], count: int) -> list[Problem]:
    if not absent:
        return []
    names = ", ".join(item.what for item in absent[:3]) + (f" and {len(absent) - 3} more" if len(absent) > 3 else "")
    what = "the weights are" if len(absent) == count else f"{len(absent)} of {count} files are"
    return [
        Problem(
            "unchecked",
            absent[0].what if len(absent) == 1 else tag,
            f"not checked: {what} not on this machine ({names})",
            f"modelver verify {shlex.quote(tag)} --remote   (or bring them here: dvc fetch --all-tags)",
        )
    ]


def _push(tag: str, item: Needed, local: LocalObjects) -> str:
    if item.content is not None or (not local.missing(item) and not local.fault(item)):
        return f"modelver push {shlex.quote(tag)}"
    return f"run modelver push {shlex.quote(tag)} in a clone that has it, or take it from a backup"


def _key(item: Needed) -> tuple[str, int | None, str | None]:
    return item.md5, item.size, item.sha256
