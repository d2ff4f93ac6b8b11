"""`modelver status`: what changed since each model's last version, and what stands between it and a tag."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

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
    found, fault = _compared(project, name, base)
    notes = [foreign_note(base, newer), f"{fault.message}; mend it: {fault.hint}" if fault else ""]
    return replace(found, notes=tuple(note for note in notes if note))


def _compared(project: Project, name: str, base: ModelVersion | None) -> tuple[ModelStatus, ModelverError | None]:
    running = {env: str(v.version) for v in project.registry.versions(name) for env in v.environments}
    last = str(base.version) if base else None
    try:
        facts = with_manifest(project, read_model(project, name))
    except ModelverError as error:
        return ModelStatus(name, "?", last, None, "none", (), (_obstacle(error),), running), None
    fault = sidecar_fault(project, facts)
    obstacles = []
    level: str = "none"
    changes: tuple[str, ...] = ()
    upcoming = None
    try:
        facts_.build_sidecar(facts, "v0.0.0", None)
        bump, _ = compare_with(project, base, facts)
        level, changes = bump.level, bump.reasons
    except ModelverError as error:
        obstacles.append(_obstacle(error))
    else:
        obstacles += _obstacles(project, facts, base.tag if base else None)
        if base is not None and level == "none":
            return ModelStatus(name, facts.kind, last, None, level, changes, tuple(obstacles), running), fault
        try:
            upcoming = str(plan_record(project, name, Request(), facts=facts).choice.version)
        except ModelverError as error:
            obstacles.append(_obstacle(error))
    return ModelStatus(name, facts.kind, last, upcoming, level, tuple(changes), tuple(obstacles), running), fault


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
