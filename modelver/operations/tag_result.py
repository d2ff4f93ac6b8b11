"""What `tag` made: now, or in an earlier run that was cut off before all was done."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from modelver.core.environments import trailers_in
from modelver.core.plan import Choice, Request
from modelver.core.registry import ModelVersion
from modelver.core.versions import LEVELS, Level, Version
from modelver.errors import ExternalFailure, Refused
from modelver.operations.facts import ModelFacts
from modelver.operations.project import Project
from modelver.operations.record import base_of, compare_with
from modelver.operations.unfinished import unfinished

Say = Callable[[str], None]

_BUMP = re.compile(rf"({'|'.join(LEVELS)}) \((.*)\)")
"""The trailer ``Modelver-Bump``, as `tag_message` writes it."""


@dataclass(frozen=True)
class TagResult:
    """What `tag` did, or with ``dry_run`` would do.

    Attributes:
        model, version, tag: names.
        commit: the tagged commit; None in a dry run that would make one.
        previous: the version before.
        choice: the bump and its reasons.
        committed: whether a commit was made for sidecar and manifests.
        files: what that commit holds.
        steps: the ordered steps, in words.
        dry_run: whether nothing was written.
        tag_object: the tag object that was made; None in a dry run.
        made_before: HEAD carried the version already, and nothing was made.
    """

    model: str
    version: str
    tag: str
    commit: str | None
    previous: str | None
    choice: Choice
    committed: bool
    files: tuple[str, ...]
    steps: tuple[str, ...]
    dry_run: bool
    tag_object: str | None = None
    made_before: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "model": self.model,
            "version": self.version,
            "tag": self.tag,
            "commit": self.commit,
            "previous": self.previous,
            "bump": {"level": self.choice.level, "reasons": list(self.choice.reasons)},
            "committed": self.committed,
            "files": list(self.files),
            "steps": list(self.steps),
            "dry_run": self.dry_run,
        }


def made_before(
    project: Project, facts: ModelFacts, request: Request, *, dry_run: bool = False, say: Say = lambda _: None
) -> TagResult | None:
    """The version that HEAD carries, as `tag` answered when it made it, where the Git remote does not have it yet.

    None where something has changed since; and for who asks for another version of the same weights, or by another
    name, as that is not the one that is meant.
    """
    base = None if request.force_new else _at_head(project, facts, request)
    remote = project.git.default_remote() if base is not None else None
    if base is None or remote is None:
        return None
    try:
        there = project.git.remote_tags(remote, base.tag).get(base.tag)
    except (ExternalFailure, Refused):
        there = None  # the push will say what is wrong with it
    if there == base.record.object_id:
        return None
    say(f"{base.tag} is HEAD's version already, and {remote} does not have it yet")
    return _as_made(project, base, dry_run=dry_run)


def cut_off(
    project: Project, facts: ModelFacts, request: Request, command: str, *, dry_run: bool, say: Say
) -> TagResult | None:
    """The version that an earlier run of the command made that was cut off, where HEAD still carries it."""
    made = unfinished(project.git, command)
    base = None if made is None else _at_head(project, facts, request)
    if made is None or base is None or base.record.object_id != made.object_id:
        return None
    more = "; once more makes another version" if request.force_new else ""
    say(f"note: {base.tag} was made by a run that was cut off, and this one ends it{more}")
    return _as_made(project, base, dry_run=dry_run)


def _at_head(project: Project, facts: ModelFacts, request: Request) -> ModelVersion | None:
    """The version that HEAD carries, where nothing has changed since and no other is asked for by name."""
    head = project.git.head().commit
    if not any(version.record.commit == head for version in project.registry.versions(facts.name)):
        return None  # told without asking Git, since it is so for nearly everybody
    base = base_of(project, facts.name)
    if base is None or base.record.commit != head or base.yanked:
        return None
    if request.version not in (None, base.version) or project.git.changed_paths(facts.owned_paths()):
        return None
    return None if compare_with(project, base, facts)[1] else base


def _as_made(project: Project, version: ModelVersion, *, dry_run: bool) -> TagResult:
    ref = f"refs/tags/{version.tag}"
    said = trailers_in(project.git.text("for-each-ref", "--format=%(contents:body)", "--", ref))
    why = _BUMP.fullmatch(said.get("Modelver-Bump", ""))
    previous = said.get("Modelver-Previous")
    choice = Choice(
        version.version,
        Version.parse(previous) if previous else None,
        cast("Level", why[1]) if why else "none",
        tuple(why[2].split("; ")) if why else (),
        said.get("Modelver-Override", ""),
    )
    return TagResult(
        model=version.model,
        version=str(version.version),
        tag=version.tag,
        commit=version.record.commit,
        previous=previous,
        choice=choice,
        committed=False,
        files=(),
        steps=(f"take {version.tag}, which is there",),
        dry_run=dry_run,
        tag_object=version.record.object_id,
        made_before=True,
    )


__all__ = ["TagResult", "cut_off", "made_before"]
