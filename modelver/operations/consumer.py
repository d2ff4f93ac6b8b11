"""Where a consumer finds versions: in the repository around them, or in somebody else's by its URL."""

import os
from pathlib import Path
from threading import Lock
from typing import Protocol

from modelver.adapters.dvc import DvcCache, DvcRemote
from modelver.adapters.dvc.config import main_twin
from modelver.adapters.git import GitRepository
from modelver.adapters.git.foreign import ForeignRepository
from modelver.core.names import shown
from modelver.core.refs import near, parse_ref, resolve_version
from modelver.core.registry import ModelVersion, Registry, build_registry
from modelver.errors import ExternalFailure, ModelverError, NotFound, Refused
from modelver.operations.facts import collect
from modelver.operations.project import Project
from modelver.operations.snapshot import CommitSnapshot
from modelver.operations.whereabouts import HERE, Whereabouts, same_storage

_CONFIG = ".dvc/config"


class Source(Protocol):
    """A repository that versions are taken from.

    Attributes:
        shown: where it is, for people; None for the repository around the working folder.
        cache: a DVC cache that may hold objects; None where there is none.
        notes: what the user should know.
    """

    shown: str | None
    cache: DvcCache | None
    notes: list[str]

    def find(self, ref: str, model: str | None) -> ModelVersion:
        """The version that a ref names; raises as `Project.resolve`, or Refused for what is no version."""
        ...

    def git(self, version: ModelVersion) -> GitRepository:
        """A Git repository that holds the version's tag and files."""
        ...

    def remote(self, version: ModelVersion) -> DvcRemote:
        """Where the version's objects are stored."""
        ...


class LocalSource:
    """The repository around a folder: its tags, its DVC cache, its DVC remote."""

    shown: str | None = None

    def __init__(self, project: Project, dvc_remote: str | None, plain_http: bool) -> None:
        self._project = project
        self._remote = dvc_remote
        self._plain_http = plain_http
        self.cache = DvcCache.find(project.root) if (project.root / ".dvc").is_dir() else None
        self.notes: list[str] = []

    def find(self, ref: str, model: str | None) -> ModelVersion:
        """See `Source`."""
        found = self._project.resolve(ref, model)
        if found.version is None:
            raise Refused(
                f"{shown(ref)} is a Git revision, and no version",
                hint=near(ref, [v.tag for v in self._project.registry.versions(found.model)])
                or f"git checkout {ref} && modelver restore",
            )
        return found.version

    def git(self, version: ModelVersion) -> GitRepository:
        """See `Source`."""
        return self._project.git

    def remote(self, version: ModelVersion) -> DvcRemote:
        """The one that this clone is set to; where the weights are not there, those that other commits name.

        It is set by what is checked out, which may be of another time than the version. What the user has set for this
        clone alone, and ``--dvc-remote``, counts for each.
        """
        root, seen = self._project.root, list[DvcRemote]()
        refusal: ModelverError | None = None
        for spot in Whereabouts(self._project.git, self._plain_http).for_user(version, self._remote):
            error = spot.error
            if spot.remote is not None and not any(same_storage(spot.remote, other) for other in seen):
                seen.append(spot.remote)
                try:
                    if _holds(self._project.git, spot.remote, version):
                        if spot.said_by != HERE:
                            self.notes.append(f"taken from DVC remote {spot.name}, as {spot.said_by} has it")
                        return spot.remote
                except ExternalFailure as failure:
                    error = failure
            if spot.said_by in (HERE, version.tag):  # what a branch says of another time is no reason to fail
                refusal = refusal or error
        if refusal is not None:
            raise refusal
        if seen:
            return seen[0]
        if not (root / ".dvc").is_dir():
            raise Refused(
                f"no DVC remote is named here, in {version.tag} or on a branch, so nobody can get the weights",
                hint="--repo URL, if the versions are published elsewhere",
            )
        return DvcRemote.open(root, self._remote)  # says what is missing


class ForeignSource:
    """A repository at a URL: its tags, one commit of it, and the DVC remote that this commit configures."""

    cache: DvcCache | None = None

    def __init__(self, url: str, folder: Path, dvc_remote: str | None, plain_http: bool) -> None:
        self._repository = ForeignRepository.open(url, folder / "git", plain_http=plain_http)
        self.shown: str | None = self._repository.shown
        self._folder = folder
        self._remote = dvc_remote
        self._plain_http = plain_http
        self._lock = Lock()
        self._fetched: dict[str, GitRepository] = {}
        self.notes: list[str] = []

    def find(self, ref: str, model: str | None) -> ModelVersion:
        """See `Source`."""
        registry = build_registry(self._repository.tags())
        if not registry.models:
            raise NotFound(f"{self.shown} has no versions", hint="modelver tag there, then: git push --follow-tags")
        return resolve_among(registry, ref, model)

    def git(self, version: ModelVersion) -> GitRepository:
        """See `Source`."""
        with self._lock:
            if version.tag not in self._fetched:
                self._fetched[version.tag] = self._repository.fetch(version.record)
            return self._fetched[version.tag]

    def remote(self, version: ModelVersion) -> DvcRemote:
        """The one that the version's own commit configures; where its weights are not there, the newest one.

        A storage that moved, or that was configured after the version was made, is known to later commits only.
        """
        data = self.git(version).files_at(version.record.commit, [_CONFIG]).get(_CONFIG)
        refusal: ModelverError | None = None
        try:
            remote = self._open(data, f"{version.tag}:{_CONFIG}")
            if _holds(self.git(version), remote, version):
                return remote
        except (ExternalFailure, Refused) as error:
            refusal = error
        try:
            newer = self._repository.newest([_CONFIG]).get(_CONFIG)
        except ExternalFailure:  # it has no such branch
            newer = data
        if newer != data:
            other = self._open(newer, f"{self.shown}:{_CONFIG}")
            if _holds(self.git(version), other, version):
                self.notes.append(f"taken from DVC remote {other.name}, which later commits than {version.tag} name")
                return other
        if refusal is not None:
            raise refusal
        return remote

    def _open(self, data: bytes | None, where: str) -> DvcRemote:
        from modelver.adapters.dvc.foreign import foreign_config

        top = self._repository.folder
        main = None if top is None else main_twin(top) or top  # relative folders start there for all
        base = main / ".dvc" if main is not None and (main / ".dvc").is_dir() else None
        config = foreign_config(data, base, where)
        if config.dropped:
            self.notes.append(f"settings of that repository's DVC remotes left out: {', '.join(config.dropped)}")
        return config.open(self._folder / "dvc", self._remote, plain_http=self._plain_http)


def _holds(git: GitRepository, remote: DvcRemote, version: ModelVersion) -> bool:
    """Whether the weights are there, as far as one object tells: a folder's listing is stored last."""
    weights = collect(CommitSnapshot(git, version.record.commit), version.model).weights
    return weights is None or remote.stat(weights.md5) is not None


def open_source(
    repo: str | None, path: str | Path, *, folder: Path, dvc_remote: str | None, plain_http: bool
) -> Source:
    """The source that a request means.

    Args:
        repo: a URL or path as Git takes it; None for the repository around ``path``.
        path: a folder.
        folder: the consumer's cache, see `consumer_cache`.
        dvc_remote: name of the DVC remote; None means the default one.
        plain_http: let http go over the line unencrypted, beyond this machine.

    Raises:
        Refused: there is no repository around ``path``.
        InvalidInput, NotFound, Refused: as `ForeignRepository.open`.
    """
    if repo is not None:
        return ForeignSource(repo, folder, dvc_remote, plain_http)
    try:
        return LocalSource(Project.open(path), dvc_remote, plain_http)
    except Refused as error:
        if "is not in a Git repository" in error.message:
            raise Refused(error.message, hint="say where the versions are: --repo URL") from None
        raise


def resolve_among(registry: Registry, text: str, model: str | None) -> ModelVersion:
    """The version that a ref names in a registry; a model's bare name is its latest version.

    Raises:
        InvalidInput: the ref is malformed, or does not say which model it means.
        NotFound: nothing is called so; the hint lists the near ones.
        Refused: it names no version.
    """
    ref = parse_ref(text)
    tags = {v.tag: v for v in registry.versions()}
    whole = tags.get(text.removeprefix("refs/").removeprefix("tags/"))
    if whole is not None:
        return whole
    default = model or (next(iter(registry.models)) if len(registry.models) == 1 else None)
    version = resolve_version(ref, registry, default)
    if version is not None:
        return version
    if text in registry.models:
        return resolve_among(registry, f"{text}@latest", None)
    if ref.kind == "version":
        raise NotFound(f"no version matches {shown(text)}", hint=near(text, list(tags)))
    raise NotFound(f"{shown(text)} is no version and no model there", hint=near(text, [*registry.models, *tags]))


def consumer_cache() -> Path:
    """The user's cache folder for versions of all repositories: ``$XDG_CACHE_HOME/modelver``, or below ``~/.cache``.

    It is made if missing, for the user alone. Source:
    https://specifications.freedesktop.org/basedir-spec/latest/ (a relative value counts as none).

    Raises:
        ExternalFailure: it can't be made.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    try:
        base = Path(named) if Path(named).is_absolute() else Path.home() / ".cache"
        (base / "modelver").mkdir(parents=True, exist_ok=True, mode=0o700)
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ExternalFailure(
            f"there is no place for a cache: {getattr(error, 'filename', None) or named}: {why}",
            hint="name a folder for caches that can be written: export XDG_CACHE_HOME=DIR",
        ) from None
    return base / "modelver"


__all__ = ["ForeignSource", "LocalSource", "Source", "consumer_cache", "open_source", "resolve_among"]
