"""What `rollback --commit` changes: which files differ between HEAD and a version, of those that belong to a model."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from modelver.adapters import yaml
from modelver.adapters.git import GitRepository
from modelver.core.layout import DVC_LOCK, DVC_YAML, Layout
from modelver.core.lineage import covering, inputs_of, pointers_of_inputs, stages_of
from modelver.core.pointers import LockedStage, Out, is_pointer, locked_stages, outs_in
from modelver.errors import InvalidInput
from modelver.operations.facts import collect, model_names, parsed, yaml_or_none
from modelver.operations.snapshot import CommitSnapshot


@dataclass(frozen=True, order=True)
class Input:
    """What a stage depends on.

    Attributes:
        file: path relative to the repository's root.
        key: the parameter in it; empty for the file as a whole.
    """

    file: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {self.key}" if self.key else self.file


class Plan:
    """Which files differ between HEAD and the version, of those that belong to the model.

    Attributes:
        shared: stages that are left as they are since other models depend on them too.
        shared_pointers: likewise of inputs that DVC tracks.
    """

    def __init__(self, git: GitRepository, name: str, old: CommitSnapshot, new: CommitSnapshot) -> None:
        self._git = git
        self._name = name
        self._old = old
        self._new = new
        self._others = sorted({*model_names(old), *model_names(new)} - {name})
        self._before, self._after = _lineage(old, name), _lineage(new, name)
        self._theirs = [stage for other in self._others for stage in _lineage(old, other).values()]
        self.shared: list[str] = []
        self.shared_pointers: list[str] = []

    def changes(self) -> dict[str, bytes | None]:
        """Path → content as it shall be; None for a file that goes."""
        before, after = self._own_files(self._old), self._own_files(self._new)
        found = {path: after.get(path) for path in before.keys() | after.keys() if after.get(path) != before.get(path)}
        for path, edit in ((DVC_LOCK, self._lock_edit()), (DVC_YAML, self._artifact_edit())):
            if edit is not None:
                found[path] = _edited(self._old.read(path) or b"", path, edit)
        if found:
            back, self.shared_pointers = self._pointers
            found |= back
        return found

    def changed(self) -> list[Input]:
        """Inputs of the model's own stages that have changed since, and stay as they are: code and params."""
        pointers = [*self._pointers[0], *self._pointers[1]]  # the latter are told of as what is shared
        tracked = {out.path for path in pointers for out in outs_in(path, yaml_or_none(self._new, path))}
        inputs = set(inputs_of([*self._after.values()]))
        found = set()
        for then in self._own_stages:
            now = self._before.get(then.name)
            if now is None:
                continue
            md5s = {dep.path: dep.md5 for dep in now.deps}
            for dep in then.deps:
                if dep.path in inputs and covering(dep.path, tracked) is None and md5s.get(dep.path) != dep.md5:
                    found.add(Input(dep.path))
            for file, values in then.params.items():
                present = now.params.get(file, {})
                found |= {Input(file, key) for key in values if present.get(key) != values[key]}
        return sorted(found)

    def outs(self) -> list[Out]:
        """What DVC tracks of the model at the version: weights, what its own stages make, and their inputs.

        What it shares with others is none of it.
        """
        theirs = {*pointers_of_inputs(self._theirs)}
        inputs = [path for path in pointers_of_inputs(self._own_stages) if path not in theirs]
        pointers = [path for path in self._own_files(self._new) if is_pointer(path) and path != DVC_LOCK]
        found = [replace(out, pointer=DVC_LOCK) for stage in self._own_stages for out in stage.outs]
        for path in sorted({*inputs, *pointers}):
            if _is_pointer(self._new, path):
                found += outs_in(path, yaml_or_none(self._new, path))
        return found

    def _own_files(self, snapshot: CommitSnapshot) -> dict[str, bytes]:
        folder = Layout(self._name).folder
        # A model called `a/b` lies in the folder of a model called `a`.
        foreign = tuple(Layout(other).folder + "/" for other in self._others if other.startswith(f"{self._name}/"))
        listed = self._git.list_files(snapshot.commit, folder)
        paths = {path for path in listed if path.startswith(folder + "/") and not path.startswith(foreign)}
        if self._name in model_names(snapshot):
            facts = collect(snapshot, self._name)
            # a lock file speaks of other models' stages, too
            if facts.weights is not None and facts.weights.pointer.endswith(".dvc"):
                paths.add(facts.weights.pointer)
        return snapshot.read_many(sorted(paths))

    def _lock_edit(self) -> Callable[[Any], None] | None:
        before, after = _locked(self._old), _locked(self._new)
        mine, theirs = self._before.keys() | self._after.keys(), self._stages_of_others
        differing = sorted(stage for stage in mine if before.get(stage) != after.get(stage))
        self.shared = [stage for stage in differing if stage in theirs]
        own = [stage for stage in differing if stage not in theirs]
        if not own:
            return None

        def change(document: Any) -> None:
            document.setdefault("schema", "2.0")
            stages = document.setdefault("stages", {})
            for stage in own:
                if stage in after:
                    stages[stage] = after[stage]
                else:
                    stages.pop(stage, None)

        return change

    @cached_property
    def _pointers(self) -> tuple[dict[str, bytes | None], list[str]]:
        """Pointers of what DVC tracks among the inputs of the model's own stages, where they differ.

        Returns:
            Those of this model alone, with their content at the version, and those that others depend on too.
        """
        wanted = self._new.read_many(pointers_of_inputs(self._own_stages))
        present = self._old.read_many(sorted(wanted))
        theirs = {*pointers_of_inputs(self._theirs)}
        differing = [path for path in present if present[path] != wanted[path] and _is_pointer(self._new, path)]
        return {p: wanted[p] for p in differing if p not in theirs}, [p for p in differing if p in theirs]

    @property
    def _own_stages(self) -> list[LockedStage]:
        others = self._stages_of_others
        return [stage for name, stage in self._after.items() if name not in others]

    @property
    def _stages_of_others(self) -> set[str]:
        return {stage.name for stage in self._theirs}

    def _artifact_edit(self) -> Callable[[Any], None] | None:
        before, after = ((parsed(s, DVC_YAML).get("artifacts") or {}).get(self._name) for s in (self._old, self._new))
        if before == after or not isinstance(after, dict):
            return None

        def change(document: Any) -> None:
            entry = document.setdefault("artifacts", {}).setdefault(self._name, {})
            for key in {*entry} - {*after}:
                del entry[key]
            # Key by key, so that comments stay, and the way in which people wrote it.
            for key, value in after.items():
                if key not in entry or entry[key] != value:
                    entry[key] = value

        return change


def _locked(snapshot: CommitSnapshot) -> Mapping[str, Any]:
    """The entries of ``dvc.lock`` as they stand there."""
    document = yaml_or_none(snapshot, DVC_LOCK)
    locked_stages(DVC_LOCK, document)  # refuses what is not of DVC's shape
    stages = document.get("stages") if isinstance(document, dict) else None
    return stages if isinstance(stages, dict) else {}


def _lineage(snapshot: CommitSnapshot, name: str) -> dict[str, LockedStage]:
    """The stages that made a model, by name."""
    if name not in model_names(snapshot):
        return {}
    path = collect(snapshot, name).path
    stages = locked_stages(DVC_LOCK, yaml_or_none(snapshot, DVC_LOCK))
    return {stage.name: stage for stage in stages_of(Layout(name).folder, path, stages)}


def _is_pointer(snapshot: CommitSnapshot, path: str) -> bool:
    """Whether DVC reads it so: a folder may well be called so."""
    try:
        return bool(outs_in(path, yaml_or_none(snapshot, path)))
    except InvalidInput:
        return False


def _edited(data: bytes, name: str, change: Callable[[Any], None]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / name
        copy.write_bytes(data)
        return yaml.edit(copy, change)
