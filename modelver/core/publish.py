"""What `push` is to publish: which tags a Git remote lacks, and whose objects must be stored first. Pure."""

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from modelver.core.names import TagName, parse_tag
from modelver.core.registry import ModelVersion, Registry, TagRecord
from modelver.errors import Refused


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What is to be published.

    Attributes:
        versions: those whose objects must be right on the DVC remote before any tag goes out.
        tags: what the Git remote lacks; versions first, then the decisions about them.
    """

    versions: tuple[ModelVersion, ...]
    tags: tuple[TagRecord, ...]


def plan_push(
    registry: Registry,
    there: Mapping[str, str],
    remote: str,
    *,
    only: Collection[ModelVersion] | None = None,
    every: bool = False,
    seen: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> PushPlan:
    """Decide what to publish.

    Args:
        registry: what is known here.
        there: short name → object id of the tags on the Git remote.
        remote: the Git remote's name, for messages.
        only: these versions and what was decided about them; None for everything that the remote lacks.
        seen: what the remote is remembered to have had under a tag's name, by name.
        every: without ``only``: look after the objects of all versions, of those that are published as well.

    Raises:
        Refused: the remote has another object under the name of a tag; or as `refuse_overtaken`.
    """
    tags = []
    for name, record in registry.events:
        if only is not None and not any(_is_about(version, name, record) for version in only):
            continue
        if record.name in there and there[record.name] != record.object_id:
            tag = shlex.quote(record.name)
            if record.object_id in seen.get(record.name, ()):
                raise Refused(
                    f"{record.name} was moved on {remote}: it was {record.object_id[:12]}, as it is here, and is "
                    f"{there[record.name][:12]}",
                    hint=f"git push --force {shlex.quote(remote)} refs/tags/{tag}   (puts it back; for more: "
                    f"modelver verify {tag} --remote)",
                )
            raise Refused(
                f"{record.name} is {there[record.name][:12]} on {remote} and {record.object_id[:12]} here",
                hint=f"git tag -d {tag} && git fetch {shlex.quote(remote)} tag {tag}   (takes what is published)",
            )
        if record.name not in there:
            tags.append((name.action != "register", record))
    refuse_overtaken(registry, there, remote, [record for _, record in tags])
    if only is not None:
        versions = list(dict.fromkeys(only))
    else:
        versions = [version for version in registry.versions() if every or version.tag not in there]
    return PushPlan(tuple(versions), tuple(record for _, record in sorted(tags, key=lambda pair: pair[0])))


def without(plan: PushPlan, passed: Collection[ModelVersion]) -> PushPlan:
    """A plan without versions that can't be published, and without what was decided about them.

    Args:
        plan: as `plan_push` made it.
        passed: those versions.
    """
    named = [(parse_tag(record.name), record) for record in plan.tags]
    tags = [
        record
        for name, record in named
        if name is None or not any(_is_about(version, name, record) for version in passed)
    ]
    return PushPlan(tuple(version for version in plan.versions if version not in passed), tuple(tags))


def overtaken(registry: Registry, there: Mapping[str, str]) -> list[tuple[TagRecord, str]]:
    """The tags here whose place another one has on a Git remote, with the name of that.

    A version's place is its name; that of a decision its number too, which counts over all of a model's decisions: of
    two that were made at once, ``m#prod#2`` and ``m#prod!#2``, each was made without knowing of the other.

    Args:
        registry: what is known here.
        there: as `plan_push`.
    """
    taken = {
        (name.model, name.counter): tag
        for tag in there
        if (name := parse_tag(tag)) is not None and name.counter is not None
    }
    lost = []
    for name, record in registry.events:
        other = record.name if record.name in there else None
        if other is None and name.counter is not None:
            other = taken.get((name.model, name.counter))
        if other is not None and there[other] != record.object_id:
            lost.append((record, other))
    return lost


def refuse_overtaken(registry: Registry, there: Mapping[str, str], remote: str, tags: Collection[TagRecord]) -> None:
    """Raise Refused if a decision is to be published that others have overtaken.

    Args:
        registry: what is known here.
        there: as `plan_push`.
        remote: as `plan_push`.
        tags: what is to be published, and is not there.

    Raises:
        Refused: the remote has another decision of that number, or the version that is to run was yanked there.
    """
    lost = {record.name: other for record, other in overtaken(registry, there)}
    decided = {one.record.name: one for one in registry.assignments()}
    for record in tags:
        one = decided.get(record.name)
        if one is None:
            continue
        if record.name in lost:
            # those that came after it here were made without knowing of the other, too
            after = [d for d in registry.assignments(one.model) if d.record.name not in there]
            names = [d.record.name for d in after[after.index(one) :]]
            why = f"{remote} has {lost[record.name]}, and {record.name} was decided without knowing of it"
        elif one.assigned and one.version is not None and f"{one.version.tag}!" in there:
            names, why = [record.name], f"{record.name} would run {one.version.tag}, which is yanked on {remote}"
        else:
            continue
        drop = " ".join(map(shlex.quote, names))
        raise Refused(why, hint=f"git tag -d {drop} && git fetch {shlex.quote(remote)} --tags   (then decide again)")


def refuse_dangling(
    registry: Registry, there: Mapping[str, str], remote: str, tags: Collection[TagRecord], more: Collection[str]
) -> None:
    """Raise Refused if a decision is to be published whose version others do not have.

    Args:
        registry: what is known here.
        there: as `plan_push`.
        remote: as `plan_push`.
        tags: what is to be published.
        more: names of the tags that go there with them.

    Raises:
        Refused: the version that is to run is not on the remote, or what is to run is no version.
    """
    decided = {one.record.name: one for one in registry.assignments() if one.assigned}
    for one in (decided[record.name] for record in tags if record.name in decided):
        tag = one.record.name
        if one.version is None:
            raise Refused(
                f"{tag} would run commit {one.record.commit[:12]}, which is no version of {one.model}",
                hint=f"tag that commit first, or take the decision back: git tag -d {shlex.quote(tag)}",
            )
        if one.version.tag not in there and one.version.tag not in more:
            raise Refused(
                f"{tag} would run {one.version.tag}, which {remote} does not have",
                hint=f"modelver push {shlex.quote(one.version.tag)}",
            )


def _is_about(version: ModelVersion, name: TagName, record: TagRecord) -> bool:
    if name.model != version.model:
        return False
    return record.commit == version.record.commit if name.version is None else name.version == version.version
