"""`modelver status`: what changed since each model's last version, and what stands between it and a tag."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from modelver.adapters import yaml
from modelver.adapters.dvc import DvcCache
from modelver.core.manifest import dvc_dir_hash
from modelver.core.plan import Request
from modelver.core.registry import ModelVersion
from modelver.errors import ModelverError
from modelver.operations import facts as facts_
from modelver.operations.committed import refuse_uncommitted
from modelver.operations.conflicts import read_model, sidecar_fault
from modelver.operations.facts import ModelFacts, model_names
from modelver.operations.gating import refuse_behind
from modelver.operations.project import Project
from modelver.operations.record import base_and_newer, compare_with, foreign_note, plan_record, with_manifest
from modelver.operations.snapshot import CommitSnapshot
from modelver.operations.tag import refuse_failed, refuse_stale
from modelver.operations.weights import check_weights


@dataclass(frozen=True)
class Obstacle:
    """Something that stands between a model and its next version.

    Attributes:
        what: a sentence.
        mend: the command that removes it; may be empty.
    """

    what: str
    mend: str


@dataclass(frozen=True)
class ModelStatus:
    """Where one model stands.

    Attributes:
        model, kind: what it is.
        last: the version before; None where there is none.
        next: the version that a tag would make now; None where it can't.
        level: the bump that the change calls for.
        changes: what changed since ``last``, in words.
        obstacles: what stands between it and a tag, in the order to mend it.
        environments: environment → version that runs there.
        notes: what is to be known beside.
    """

    model: str
    kind: str
    last: str | None
    next: str | None
    level: str
    changes: tuple[str, ...]
    obstacles: tuple[Obstacle, ...]
    environments: dict[str, str]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        obstacles = [vars(o) for o in self.obstacles]
        return {**vars(self), "changes": list(self.changes), "obstacles": obstacles, "notes": list(self.notes)}


def status(project: Project, name: str | None = None) -> list[ModelStatus]:
    """The state of one model, or of all.

    Raises:
        NotFound, InvalidInput: there is no such model, or a file that all models share can't be read.
    """
    names = [project.pick_model(name)] if name is not None else model_names(project.worktree)
    return [_status(project, model) for model in names]


def _status(project: Project, name: str) -> ModelStatus:
    base, newer = base_and_newer(project, name)
    found = _compared(project, name, base)
    foreign = foreign_note(base, newer)
    return replace(found, notes=(foreign, *found.notes)) if foreign else found


def _compared(project: Project, name: str, base: ModelVersion | None) -> ModelStatus:
    running = {env: str(v.version) for v in project.registry.versions(name) for env in v.environments}
    last = str(base.version) if base else None
    try:
        facts = with_manifest(project, read_model(project, name))
    except ModelverError as error:
        return ModelStatus(name, "?", last, None, "none", (), (_obstacle(error),), running)
    fault = sidecar_fault(project, facts)
    notes = (f"{fault.message}; mend it: {fault.hint}" if fault else "", *_absent(project, facts))
    found = ModelStatus(name, facts.kind, last, None, "none", (), (), running, tuple(note for note in notes if note))
    try:
        facts_.build_sidecar(facts, "v0.0.0", None)
        bump, _ = compare_with(project, base, facts)
    except ModelverError as error:
        return replace(found, obstacles=(_obstacle(error),))
    obstacles = _obstacles(project, facts, base.tag if base else None)
    found = replace(found, level=bump.level, changes=tuple(bump.reasons), obstacles=tuple(obstacles))
    if base is not None and (earlier := earlier_version(project, facts, base)) is not None:
        found = replace(found, notes=(*found.notes, f"these are the files of {earlier.tag}"))
    if base is not None and bump.level == "none":
        return found
    try:
        return replace(found, next=str(plan_record(project, name, Request(), facts=facts).choice.version))
    except ModelverError as error:
        return replace(found, obstacles=(*found.obstacles, _obstacle(error)))


def earlier_version(project: Project, facts: ModelFacts, base: ModelVersion) -> ModelVersion | None:
    """The version before ``base`` whose very record this state has, as after ``rollback --commit``; None without."""
    recorded = facts.recorded
    named = [v for v in project.registry.versions(facts.name) if recorded and str(v.version) == recorded["version"]]
    if recorded is None or not named or named[0].version >= base.version:
        return None
    if yaml.dump(facts_.build_sidecar(facts, recorded["version"], recorded["previous"])) != facts.recorded_bytes:
        return None
    published = CommitSnapshot(project.git, named[0].record.commit).read(facts.layout.sidecar)
    return named[0] if published == facts.recorded_bytes else None


def _absent(project: Project, facts: ModelFacts) -> list[str]:
    """What is said of folders that the working tree lacks and DVC's cache has: `tag` can do without them."""
    outs = [facts.weights, *(out for stage in facts.stages for out in stage.outs if out.path == facts.layout.variants)]
    try:
        cache = DvcCache.find(project.root)
    except ModelverError:  # which is an obstacle already
        return []
    gone = [
        out.path
        for out in outs
        if out is not None and out.md5 != dvc_dir_hash(()) and not (project.root / out.path).exists()
        if cache.has(out.md5)
    ]
    return [f"not in the working tree: {path}; mend it: modelver restore {shlex.quote(path)}" for path in gone]


def _obstacles(project: Project, facts: ModelFacts, previous: str | None) -> list[Obstacle]:
    checks: list[Callable[[], None]] = [
        lambda: refuse_stale(project, facts),
        lambda: refuse_failed(project, facts),
        lambda: _refuse_behind(project, facts, previous),
        lambda: check_weights(project, facts),
        lambda: refuse_uncommitted(project, facts),
    ]
    found = []
    for check in checks:
        try:
            check()
        except ModelverError as error:
            found.append(_obstacle(error))
    return found


def _refuse_behind(project: Project, facts: ModelFacts, previous: str | None) -> None:
    if facts.validation is not None or facts.kind != "pipeline":  # without a validation, that is the obstacle
        refuse_behind(project, facts, previous)


def _obstacle(error: ModelverError) -> Obstacle:
    return Obstacle(error.message, error.hint)
