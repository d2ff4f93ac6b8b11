"""The registry that a repository's tags spell out: versions, environments, yanks. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from modelver.core.names import TagName, parse_tag
from modelver.core.versions import Version


@dataclass(frozen=True, slots=True)
class TagRecord:
    """An annotated tag as Git holds it.

    Attributes:
        name: short name, without ``refs/tags/``.
        object_id: the tag object.
        commit: what it finally points at.
        time: the tagger's time in seconds since the epoch.
        tagger: ``Name <address>``.
    """

    name: str
    object_id: str
    commit: str
    time: int
    tagger: str = ""

    @property
    def created(self) -> str:
        """The tagger's time, ISO 8601 in UTC with a ``Z``."""
        return datetime.fromtimestamp(self.time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One published version.

    Attributes:
        model: the model's name.
        version: its version.
        record: the tag that makes it.
        environments: names of the environments that run it now.
        yanked: whether a yank tag withdraws it.
    """

    model: str
    version: Version
    record: TagRecord
    environments: tuple[str, ...] = ()
    yanked: bool = False

    @property
    def tag(self) -> str:
        """The tag's short name."""
        return self.record.name

    def to_dict(self) -> dict[str, object]:
        """The stable JSON form of ``modelver list``."""
        return {
            "model": self.model,
            "version": str(self.version),
            "tag": self.record.name,
            "commit": self.record.commit,
            "created": self.record.created,
            "environments": list(self.environments),
            "yanked": self.yanked,
        }


@dataclass(frozen=True, slots=True)
class Registry:
    """All models and versions; each model's versions are newest first."""

    models: Mapping[str, tuple[ModelVersion, ...]]
    events: tuple[tuple[TagName, TagRecord], ...] = field(default=(), repr=False)

    def versions(self, model: str | None = None) -> list[ModelVersion]:
        """Versions of one model, or of all in the order of model names; newest version first."""
        if model is not None:
            return list(self.models.get(model, ()))
        return [version for name in sorted(self.models) for version in self.models[name]]

    def find(self, model: str, version: Version) -> ModelVersion | None:
        """One version, or None."""
        return next((v for v in self.models.get(model, ()) if v.version == version), None)

    def latest(self, model: str) -> ModelVersion | None:
        """The newest release that is not yanked; prereleases are never latest."""
        usable = (v for v in self.models.get(model, ()) if not v.yanked and not v.version.prerelease)
        return next(usable, None)

    def environment(self, model: str, name: str) -> ModelVersion | None:
        """The version that an environment runs now."""
        return next((v for v in self.models.get(model, ()) if name in v.environments), None)


def build_registry(records: Iterable[TagRecord]) -> Registry:
    """Read a repository's annotated tags.

    A yank tag counts from its time on, a later registration of the same version would lift it; an environment runs
    what its newest assignment (by counter, then time) points at, unless a newer tag unassigns it.
    """
    events = []
    for record in records:
        parsed = parse_tag(record.name)
        if parsed is not None:
            events.append((parsed, record))
    yanked = {(name.model, name.version) for name, _ in events if name.action == "yank"}
    running = _running(events)
    models: dict[str, list[ModelVersion]] = {}
    for name, record in events:
        if name.action != "register" or name.version is None or name.counter is not None:
            continue
        environments = running.get((name.model, record.commit), ())
        withdrawn = (name.model, name.version) in yanked
        models.setdefault(name.model, []).append(
            ModelVersion(name.model, name.version, record, tuple(sorted(environments)), withdrawn)
        )
    for versions in models.values():
        versions.sort(key=lambda v: v.version.precedence, reverse=True)
    return Registry({name: tuple(versions) for name, versions in models.items()}, tuple(events))


def _running(events: Iterable[tuple[TagName, TagRecord]]) -> dict[tuple[str, str], list[str]]:
    """(model, commit) → environments that run it now."""
    newest: dict[tuple[str, str], tuple[tuple[int, int], TagName, TagRecord]] = {}
    for name, record in events:
        if name.environment is None:
            continue
        order = (name.counter or 0, record.time)
        key = (name.model, name.environment)
        if key not in newest or order >= newest[key][0]:
            newest[key] = (order, name, record)
    running: dict[tuple[str, str], list[str]] = {}
    for (model, environment), (_, name, record) in newest.items():
        if name.action == "assign":
            running.setdefault((model, record.commit), []).append(environment)
    return running
