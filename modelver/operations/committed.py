"""What a model's stages depend on must be committed before a tag, or the tag's lineage would lie."""

import posixpath
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from modelver.adapters import yaml
from modelver.core.layout import DVC_LOCK, DVC_YAML, PARAMS
from modelver.core.lineage import inputs_of
from modelver.core.model_settings import ADDED, MODELS
from modelver.core.pointers import locked_stages
from modelver.errors import Refused
from modelver.operations.facts import ModelFacts
from modelver.operations.project import Project
from modelver.operations.snapshot import CommitSnapshot, Snapshot

_ABSENT = object()


def refuse_uncommitted(project: Project, facts: ModelFacts) -> None:
    """Raise Refused if code, params, data pointers, stages or the card of this model differ from HEAD.

    In files that models share (``dvc.yaml``, ``params.yaml``, ``dvc.lock``) only this model's entries count, so that
    work on another model does not stand in the way.
    """
    blocking = uncommitted(project, facts)
    if blocking:
        shown = ", ".join(blocking[:6]) + (f" and {len(blocking) - 6} more" if len(blocking) > 6 else "")
        raise Refused(
            f"{facts.name} depends on what is not committed: {shown}",
            hint=f"git add {shlex.join(blocking)} && git commit",
        )


def uncommitted(project: Project, facts: ModelFacts) -> list[str]:
    """What this model depends on and that differs from HEAD, but for what `tag` commits by itself."""
    own = {*facts.owned_paths()} - {DVC_LOCK}
    dirty = project.git.changed_paths(_depends_on(project, facts))
    head = project.git.head().commit
    old = CommitSnapshot(project.git, head) if head else None
    return sorted(path for path in dirty if path not in own and _matters(path, facts, old, project.worktree))


def inputs_changed(facts: ModelFacts, paths: Iterable[str], old: Snapshot, new: Snapshot) -> list[str]:
    """Of the paths that differ between two snapshots: those that this model's stages or settings depend on."""
    inputs = _inputs(facts)
    near = (p for p in paths if p in (DVC_YAML, PARAMS) or any(_is_input(p, path) for path in inputs))
    return [path for path in near if _matters(path, facts, old, new)]


def _inputs(facts: ModelFacts) -> list[str]:
    """What the stages read; and without stages, the data that the model was validated on."""
    data = facts.settings.get("data")
    if facts.kind == "pipeline" or facts.validation is None or not isinstance(data, str):
        return inputs_of(facts.stages)
    return [*inputs_of(facts.stages), data]


def _is_input(path: str, wanted: str) -> bool:
    return path in (wanted, f"{wanted}.dvc") or path.startswith(f"{wanted}/")


def _depends_on(project: Project, facts: ModelFacts) -> list[str]:
    paths = {DVC_YAML, DVC_LOCK, PARAMS, facts.layout.card}
    for path in _inputs(facts):
        if "://" in path or path.startswith(("/", "../")):
            continue
        pointer = f"{path}.dvc"
        paths.add(pointer if (project.root / pointer).is_file() else path)
    return sorted(path for path in paths if path)


def _matters(path: str, facts: ModelFacts, old: Snapshot | None, new: Snapshot) -> bool:
    """Whether the change of a file that models share touches this model."""
    if old is None:
        return True
    if path == DVC_YAML:
        return _stage_part(_document(old, path), facts) != _stage_part(_document(new, path), facts)
    if path == DVC_LOCK:
        return _foreign_stages_changed(facts, old, new)
    keys = [key for stage in facts.stages for key in stage.params.get(path, ())]
    if path == PARAMS:
        keys = [*keys, "modelver.scheme", f"{MODELS}.{facts.name}", f"{ADDED}.{facts.name}"]
    elif not keys or any(dep.path == path for stage in facts.stages for dep in stage.deps):
        return True
    before, after = _document(old, path), _document(new, path)
    return any(_lookup(before, key) != _lookup(after, key) for key in keys)


def _foreign_stages_changed(facts: ModelFacts, old: Snapshot, new: Snapshot) -> bool:
    """Whether ``dvc.lock`` also holds another model's news, which the tag's commit would take along."""
    own = {stage.name for stage in facts.stages}
    before, after = ({s.name: s for s in locked_stages(DVC_LOCK, _document(x, DVC_LOCK))} for x in (old, new))
    return any(before.get(name) != after.get(name) for name in {*before, *after} - own)


def _stage_part(document: Mapping[str, Any], facts: ModelFacts) -> list[Any]:
    """What ``dvc.yaml`` says of a model: its artifact, its stages (the group before ``@``), the variables."""
    stages = document.get("stages") or {}
    names = {posixpath.basename(stage.name.partition("@")[0]) for stage in facts.stages}
    artifacts = document.get("artifacts") or {}
    return [artifacts.get(facts.name), {n: stages.get(n) for n in sorted(names)}, document.get("vars")]


def _document(snapshot: Snapshot, path: str) -> dict[str, Any]:
    data = snapshot.read(path)
    if data is None or not path.endswith((".yaml", ".yml", ".lock")):
        return {} if data is None else {"": data}
    return yaml.load_mapping(data, path)


def _lookup(document: Any, dotted: str) -> Any:
    for part in dotted.split("."):
        if not isinstance(document, Mapping) or part not in document:
            return _ABSENT
        document = document[part]
    return document
