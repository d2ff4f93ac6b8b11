"""`modelver doctor`: find what users meet in a repository, say why it matters, and mend it where that is safe."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from modelver.adapters.dvc import DvcCache
from modelver.adapters.dvc.config import cache_settings
from modelver.adapters.dvc.settings import DvcSettings
from modelver.adapters.git import GitRepository
from modelver.core.registry import Registry
from modelver.disk import HashCache
from modelver.errors import ModelverError
from modelver.operations.facts import ModelFacts, collect, model_names
from modelver.operations.project import Project
from modelver.operations.transaction import locked

Progress = Callable[[int], object]
Check = Callable[["Scene"], Iterator["Problem"]]


@dataclass(frozen=True)
class Problem:
    """What a check has found.

    Attributes:
        id: of the kind of problem; stable, for programs.
        message: what is wrong, naming the thing.
        why: why it matters.
        hint: the command that mends it.
        mend: mends it and never takes anything that a live process may hold; None where only the user can.
        level: ``error`` where something does not work or is lost, ``warning`` where it will be.
    """

    id: str
    message: str
    why: str
    hint: str
    mend: Callable[[], object] | None = None
    level: str = "error"


@dataclass(frozen=True)
class Finding:
    """A problem, and whether it is mended by now.

    Attributes:
        id, level, message, why, hint: as in `Problem`.
        fixable: whether ``--fix`` mends it.
        fixed: whether it has.
    """

    id: str
    level: str
    message: str
    why: str
    hint: str
    fixable: bool
    fixed: bool

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return dict(vars(self))


@dataclass(frozen=True)
class Diagnosis:
    """All findings, in the order in which to mend them."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is left to mend."""
        return all(finding.fixed for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {"ok": self.ok, "findings": [finding.to_dict() for finding in self.findings]}


class Scene:
    """The repository that is looked at; everything is read once, when a check asks for it.

    Attributes:
        project, git, root: the repository.
        offline: ask no remote.
        plain_http: let the DVC remote be reached without encryption.
        progress: told of bytes that were hashed.
    """

    def __init__(self, project: Project, *, offline: bool, plain_http: bool, progress: Progress) -> None:
        self.project = project
        self.git: GitRepository = project.git
        self.root: Path = project.root
        self.offline = offline
        self.plain_http = plain_http
        self.progress = progress

    @property
    def has_dvc(self) -> bool:
        """Whether DVC is set up here."""
        return (self.root / ".dvc").is_dir()

    def is_own(self, place: Path) -> bool:
        """Whether a path lies in the repository with no link on the way: what a clone links to is not to be touched."""
        if not place.is_relative_to(self.root):
            return False
        real = Path(os.path.realpath(place.parent))
        return real == Path(os.path.realpath(self.root)) / place.parent.relative_to(self.root)

    @property
    def may_touch_cache(self) -> bool:
        """Whether the cache is the repository's own, or its user has said where it is."""
        folder = self.cache.folder
        return self.is_own(folder / "files" / "md5" / "ab" / "c") or not cache_settings(self.root).from_repository

    @property
    def registry(self) -> Registry:
        """Versions and environments."""
        return self.project.registry

    @cached_property
    def settings(self) -> DvcSettings:
        """DVC's configuration files."""
        return DvcSettings(self.root)

    @cached_property
    def cache(self) -> DvcCache:
        """DVC's cache."""
        return DvcCache.find(self.root)

    def md5(self, place: Path) -> str:
        """A file's MD5; what was hashed before and not touched since is not read again."""
        digest = self._hashes.digest(place)
        self.progress(place.stat().st_size)
        return digest.md5

    @cached_property
    def _hashes(self) -> HashCache:
        return HashCache(self.git.state_dir)

    @cached_property
    def models(self) -> list[ModelFacts]:
        """The models of the working tree that have weights; one that can't be read is told by a check of its own."""
        found = []
        for name in model_names(self.project.worktree):
            try:
                facts = collect(self.project.worktree, name)
            except ModelverError:
                continue
            if facts.weights is not None and facts.files is not None:
                found.append(facts)
        return found


def doctor(
    project: Project,
    *,
    fix: bool = False,
    offline: bool = False,
    plain_http: bool = False,
    progress: Progress = lambda _: None,
) -> Diagnosis:
    """Look for everything that is known to go wrong.

    Args:
        project: the repository.
        fix: mend what can be mended without asking.
        offline: ask neither the DVC remote nor the Git remote.
        plain_http: let the DVC remote be reached without encryption.
        progress: told of bytes that were hashed.

    Raises:
        ExternalFailure: with ``fix``, another modelver works in the repository.
    """
    scene = Scene(project, offline=offline, plain_http=plain_http, progress=progress)
    if not fix:
        return _examine(scene, fix=False)
    with locked(project.git):
        return _examine(scene, fix=True)


def _examine(scene: Scene, *, fix: bool) -> Diagnosis:
    findings: list[Finding] = []
    told: set[str] = set()
    for check in _checks():
        for problem in _problems(check, scene):
            if problem.message not in told:  # a file that can't be read stops more than one check
                told.add(problem.message)
                findings.append(_mended(problem) if fix and problem.mend else _as_it_is(problem))
    return Diagnosis(tuple(findings))


def _checks() -> tuple[Check, ...]:
    from modelver.operations import (
        doctor_files,
        doctor_locks,
        doctor_remotes,
        doctor_setup,
        doctor_storage,
        doctor_versions,
    )

    return (
        *doctor_locks.CHECKS,  # first: what mends the others runs Git and DVC
        *doctor_files.CHECKS,
        *doctor_setup.CHECKS,
        *doctor_storage.CHECKS,
        *doctor_remotes.CHECKS,
        *doctor_versions.CHECKS,
    )


def _problems(check: Check, scene: Scene) -> list[Problem]:
    try:
        return list(check(scene))
    except ModelverError as error:
        why = "what is said of it by modelver, DVC or Git can't be relied on until it is readable"
        return [Problem("unreadable", error.message, why, error.hint)]


def _mended(problem: Problem) -> Finding:
    assert problem.mend is not None
    try:
        problem.mend()
    except ModelverError as error:
        return _as_it_is(problem, f"{problem.message}; not mended: {error.message}", error.hint)
    except OSError as error:
        return _as_it_is(problem, f"{problem.message}; not mended: {error.strerror or error}")
    return _as_it_is(problem, fixed=True)


def _as_it_is(problem: Problem, message: str = "", hint: str = "", *, fixed: bool = False) -> Finding:
    return Finding(
        id=problem.id,
        level=problem.level,
        message=message or problem.message,
        why=problem.why,
        hint=hint or problem.hint,
        fixable=problem.mend is not None,
        fixed=fixed,
    )
