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
class Assignment:
    """One decision about an environment: a version put into it, or taken out of it.

    Attributes:
        model, environment: names.
        version: what the tag points at; None where that commit is no version (GTO allows it).
        assigned: False where the version was taken out.
        record: the tag that says so.
    """

    model: str
    environment: str
    version: ModelVersion | None
    assigned: bool
    record: TagRecord


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

    def assignments(self, model: str | None = None, environment: str | None = None) -> list[Assignment]:
        """Decisions about environments, of all models and environments unless named; the oldest first."""
        versions = {(v.model, v.record.commit): v for v in self.versions(model)}
        found = [
            ((name.counter or 0, record.time), Assignment(name.model, name.environment, version, assigned, record))
            for name, record in self.events
            if name.environment is not None and model in (None, name.model) and environment in (None, name.environment)
            for version, assigned in [(versions.get((name.model, record.commit)), name.action == "assign")]
        ]
        found.sort(key=lambda pair: pair[0])
        return [assignment for _, assignment in found]

    def running(self, model: str | None = None, environment: str | None = None) -> list[Assignment]:
        """What each environment runs: the assignments in force, by model and environment.

        As in GTO, to take one version out of an environment says nothing of the others: what was put there before it,
        and not taken out, runs again.
        """
        states: dict[tuple[str, str], dict[str, Assignment]] = {}
        for one in self.assignments(model, environment):
            state = states.setdefault((one.model, one.environment), {})
            state.pop(one.record.commit, None)
            if one.assigned:
                state[one.record.commit] = one  # a dictionary keeps the order: the newest is the last
        return [list(states[key].values())[-1] for key in sorted(states) if states[key]]

    def at(self, moment: int) -> "Registry":
        """The registry as it was at a time, in seconds since the epoch, inclusive."""
        return _build([(name, record) for name, record in self.events if record.time <= moment])


def build_registry(records: Iterable[TagRecord]) -> Registry:
    """Read a repository's annotated tags.

    A yank tag withdraws its version for good. What an environment runs: see `Registry.running`.
    """
    return _build([(parsed, record) for record in records if (parsed := parse_tag(record.name)) is not None])


def _build(events: list[tuple[TagName, TagRecord]]) -> Registry:
    yanked = {(name.model, name.version) for name, _ in events if name.action == "yank"}
    running: dict[tuple[str, str], list[str]] = {}
    for one in Registry({}, tuple(events)).running():
        running.setdefault((one.model, one.record.commit), []).append(one.environment)
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
