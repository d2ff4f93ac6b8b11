"""What `push` is to publish: which tags a Git remote lacks, and whose objects must be stored first. Pure."""

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from modelver.core.names import TagName
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
) -> PushPlan:
    """Decide what to publish.

    Args:
        registry: what is known here.
        there: short name → object id of the tags on the Git remote.
        remote: the Git remote's name, for messages.
        only: these versions and what was decided about them; None for everything that the remote lacks.
        every: without ``only``: look after the objects of all versions, of those that are published as well.

    Raises:
        Refused: the remote has another object under the name of a tag.
    """
    tags = []
    for name, record in registry.events:
        if only is not None and not any(_is_about(version, name, record) for version in only):
            continue
        if record.name in there and there[record.name] != record.object_id:
            raise Refused(
                f"{record.name} is {there[record.name][:12]} on {remote} and {record.object_id[:12]} here",
                hint=f"git tag -d {shlex.quote(record.name)} && git fetch {shlex.quote(remote)} tag"
                f" {shlex.quote(record.name)}   (takes what is published)",
            )
        if record.name not in there:
            tags.append((name.action != "register", record))
    if only is not None:
        versions = list(dict.fromkeys(only))
    else:
        versions = [version for version in registry.versions() if every or version.tag not in there]
    return PushPlan(tuple(versions), tuple(record for _, record in sorted(tags, key=lambda pair: pair[0])))


def _is_about(version: ModelVersion, name: TagName, record: TagRecord) -> bool:
    if name.model != version.model:
        return False
    return record.commit == version.record.commit if name.version is None else name.version == version.version
