"""`modelver rollback --commit`: a commit that brings one model's files back to those of a version, and no others."""

import os
import shlex
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelver.adapters import yaml
from modelver.adapters.git.objects import committer, write_blob, write_commit
from modelver.core.environments import decision_message
from modelver.core.layout import DVC_LOCK, DVC_YAML, Layout
from modelver.core.lineage import stages_of
from modelver.core.pointers import locked_stages
from modelver.core.registry import ModelVersion
from modelver.core.versions import Version
from modelver.errors import NotFound, Refused
from modelver.operations.facts import collect, model_names, parsed, read_sidecar, yaml_or_none
from modelver.operations.listing import list_versions
from modelver.operations.project import Project
from modelver.operations.restore import Result, restore
from modelver.operations.rollback import version_of
from modelver.operations.snapshot import CommitSnapshot
from modelver.operations.transaction import Change, Transaction, blob_before, locked, main_or_linked, publish


@dataclass(frozen=True)
class RollbackCommit:
    """What `rollback --commit` did, or with ``dry_run`` would do.

    Attributes:
        model, version, tag: whose files came back.
        commit: the new commit; None in a dry run.
        files: what it changes.
        shared: stages of the model's lineage that other models depend on too, and that stay as they are.
        weights: how the weights came back; None in a dry run.
    """

    model: str
    version: str
    tag: str
    commit: str | None
    files: tuple[str, ...]
    shared: tuple[str, ...]
    weights: Result | None

    def to_dict(self) -> dict[str, Any]:
        """The stable JSON form."""
        return {
            "action": "rollback-commit",
            "model": self.model,
            "version": self.version,
            "tag": self.tag,
            "commit": self.commit,
            "files": list(self.files),
            "shared": list(self.shared),
            "weights": None if self.weights is None else {"complete": self.weights.complete},
            "dry_run": self.commit is None,
        }


def rollback_commit(
    project: Project,
    name: str,
    ref: str | None,
    *,
    reason: str = "",
    dry_run: bool = False,
    progress: Callable[[int], None] | None = None,
) -> RollbackCommit:
    """Commit a version's files of one model on top of HEAD, then restore its weights.

    What comes back: all below ``models/NAME``, the weights' pointer, the model's stages in ``dvc.lock`` and its entry
    under ``artifacts:``. Code, params and what models share stay as they are.

    Args:
        project: the repository.
        name: the model.
        ref: the version; None for the one before the version that HEAD records.
        reason: the user's words, for the commit's message.
        dry_run: only plan.
        progress: told of bytes of weights that were placed.

    Raises:
        NotFound, InvalidInput: there is no such version.
        Refused: a file that would be changed has uncommitted changes, or nothing would change.
        ExternalFailure: Git failed; nothing has changed.
    """
    project.require_dvc()
    git = project.git
    under_way = git.operation_in_progress()
    if under_way:
        raise Refused(f"a {under_way[0]} is under way", hint=under_way[1])
    with locked(git) as lock:
        list_versions(project, name)
        head = git.head()
        if head.commit is None:
            raise Refused("there is no commit yet to build on", hint="git switch BRANCH")
        old = CommitSnapshot(git, head.commit)
        version = version_of(project, name, ref) if ref is not None else _before(project, old, name)
        if version.yanked:
            raise Refused(f"{version.tag} is yanked", hint=f"modelver list {name}   (shows the versions that are not)")
        plan = _Plan(project, name, old, CommitSnapshot(git, version.record.commit))
        changes = plan.changes()
        if not changes:
            raise Refused(f"HEAD has the files of {version.tag} already", hint=f"modelver restore models/{name}")
        _refuse_unsaved(project, old, changes)
        done = RollbackCommit(
            name, str(version.version), version.tag, None, tuple(sorted(changes)), tuple(plan.shared), None
        )
        if dry_run:
            return done
        committer(git)
        blobs = {path: write_blob(git, data) for path, data in changes.items() if data is not None}
        message = decision_message("rollback", version, reason=reason)
        commit = write_commit(git, head.commit, {path: blobs.get(path) for path in changes}, message)
        worktree, git_dir = main_or_linked(git)
        transaction = Transaction(
            operation=f"rollback {version.tag}",
            worktree=worktree,
            git_dir=git_dir,
            branch=head.branch,
            old_commit=head.commit,
            new_commit=commit,
            tag=None,
            tag_object=None,
            files={path: Change(blob_before(git, path), blobs.get(path)) for path in changes},
        )
        publish(git, transaction, {path: data for path, data in changes.items() if data is not None}, lock=lock)
    result = restore(git, head.commit, commit, progress=progress)
    return RollbackCommit(done.model, done.version, done.tag, commit, done.files, done.shared, result)


class _Plan:
    """Which files differ between HEAD and the version, of those that belong to the model."""

    def __init__(self, project: Project, name: str, old: CommitSnapshot, new: CommitSnapshot) -> None:
        self._git = project.git
        self._name = name
        self._old = old
        self._new = new
        self._others = sorted({*model_names(old), *model_names(new)} - {name})
        self.shared: list[str] = []

    def changes(self) -> dict[str, bytes | None]:
        """Path → content as it shall be; None for a file that goes."""
        wanted: dict[str, bytes | None] = {}
        before, after = self._own_files(self._old), self._own_files(self._new)
        for path in before.keys() | after.keys():
            wanted[path] = after.get(path)
        found = {path: data for path, data in wanted.items() if data != before.get(path)}
        for path, edit in ((DVC_LOCK, self._lock_edit()), (DVC_YAML, self._artifact_edit())):
            if edit is not None:
                found[path] = _edited(self._old.read(path) or b"", path, edit)
        return found

    def _own_files(self, snapshot: CommitSnapshot) -> dict[str, bytes]:
        folder = Layout(self._name).folder
        # A model called `a/b` lies in the folder of a model called `a`.
        foreign = tuple(Layout(other).folder + "/" for other in self._others if other.startswith(f"{self._name}/"))
        listed = self._git.list_files(snapshot.commit, folder)
        paths = {path for path in listed if path.startswith(folder + "/") and not path.startswith(foreign)}
        if self._name in model_names(snapshot):
            facts = collect(snapshot, self._name)
            if facts.weights is not None and facts.weights.pointer != DVC_LOCK:
                paths.add(facts.weights.pointer)
        return snapshot.read_many(sorted(paths))

    def _lock_edit(self) -> Callable[[Any], None] | None:
        before, after = _locked(self._old), _locked(self._new)
        mine = _lineage(self._old, self._name) | _lineage(self._new, self._name)
        theirs: set[str] = set()
        for other in model_names(self._old):
            if other != self._name:
                theirs |= _lineage(self._old, other)
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


def _lineage(snapshot: CommitSnapshot, name: str) -> set[str]:
    if name not in model_names(snapshot):
        return set()
    path = collect(snapshot, name).path
    stages = locked_stages(DVC_LOCK, yaml_or_none(snapshot, DVC_LOCK))
    return {stage.name for stage in stages_of(Layout(name).folder, path, stages)}


def _edited(data: bytes, name: str, change: Callable[[Any], None]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / name
        copy.write_bytes(data)
        return yaml.edit(copy, change)


def _before(project: Project, head: CommitSnapshot, name: str) -> ModelVersion:
    """The newest release before the version that HEAD records."""
    recorded = read_sidecar(head, name, label="HEAD:")
    if recorded is None:
        raise NotFound(f"HEAD records no version of {name}", hint=f"modelver rollback {name} v1 --commit")
    present = Version.parse(recorded["version"])
    usable = (v for v in project.registry.versions(name) if not v.yanked and not v.version.prerelease)
    version = next((v for v in usable if v.version < present), None)
    if version is None:
        raise NotFound(f"{name} has no version before {present} that is not yanked", hint=f"modelver list {name}")
    return version


def _refuse_unsaved(project: Project, head: CommitSnapshot, changes: Mapping[str, bytes | None]) -> None:
    """Raise Refused if a file that would be changed holds what no commit has."""
    paths = sorted(changes)
    committed = head.read_many(paths)
    # What Git ignores it does not report, so a file that is in the way is looked for on the disk.
    in_the_way = {p for p in paths if p not in committed and os.path.lexists(project.root / p)}
    unsaved = sorted({*project.git.changed_paths(paths)} | in_the_way)
    if unsaved:
        shown = ", ".join(unsaved[:6]) + (f" and {len(unsaved) - 6} more" if len(unsaved) > 6 else "")
        raise Refused(
            f"uncommitted changes would be overwritten: {shown}",
            hint="git stash push --include-untracked -- " + " ".join(map(shlex.quote, unsaved)),
        )


__all__ = ["RollbackCommit", "rollback_commit"]
