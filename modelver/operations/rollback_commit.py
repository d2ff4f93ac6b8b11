"""`modelver rollback --commit`: a commit that brings one model's files back to those of a version, and no others."""

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelver.adapters.git import GitRepository
from modelver.adapters.git.objects import committer, write_blob, write_commit
from modelver.adapters.git.repository import Head
from modelver.core.environments import decision_message
from modelver.core.pointers import is_pointer
from modelver.core.registry import ModelVersion
from modelver.core.versions import Version
from modelver.errors import NotFound, Refused
from modelver.operations.facts import read_sidecar
from modelver.operations.listing import list_versions
from modelver.operations.project import Project
from modelver.operations.restore import Result, restore, restore_paths
from modelver.operations.rollback import version_of
from modelver.operations.rollback_plan import Input, Plan
from modelver.operations.snapshot import CommitSnapshot
from modelver.operations.transaction import Change, Once, Transaction, blob_before, locked, main_or_linked, publish
from modelver.operations.unfinished import ended, hold, letting_go, unfinished


@dataclass(frozen=True)
class RollbackCommit:
    """What `rollback --commit` did, or with ``dry_run`` would do.

    Attributes:
        model, version, tag: whose files came back.
        commit: the one that has the files; None in a dry run.
        files: what it changes; none where HEAD had the files already, and the weights alone were brought back.
        shared: stages of the model's lineage that other models depend on too, and that stay as they are; likewise
            pointers (``data.csv.dvc``).
        changed: inputs of the model's stages that have changed since the version and stay as they are, such as
            ``src/train.py`` and ``params.yaml: train.epochs``: `dvc repro` would make other weights of them.
        weights: how the weights came back; None in a dry run.
    """

    model: str
    version: str
    tag: str
    commit: str | None
    files: tuple[str, ...]
    shared: tuple[str, ...]
    changed: tuple[Input, ...]
    weights: Result | None

    def messages(self) -> list[tuple[str, str, str]]:
        """What to tell, as `Result.messages`."""
        said = []
        for shared in self.shared:
            what = shared if is_pointer(shared) else f"stage {shared}"
            said.append(("note", f"{what} is left as it is: other models depend on it too", ""))
        if self.changed:
            files = " ".join(shlex.quote(changed.file) for changed in self.changed if not changed.key)
            said.append(
                (
                    "note",
                    f"left as it is, though {self.tag} was made of another, so dvc repro would make other weights: "
                    + ", ".join(map(str, self.changed)),
                    f"git restore --source={shlex.quote(self.tag)} -- {files}" if files else "",
                )
            )
        return said + (self.weights.messages() if self.weights is not None else [])

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
            "changed": [str(changed) for changed in self.changed],
            "weights": None if self.weights is None else {"complete": self.weights.complete},
            "dry_run": self.commit is None,
        }


@letting_go()
def rollback_commit(
    project: Project,
    name: str,
    ref: str | None,
    *,
    reason: str = "",
    dry_run: bool = False,
    progress: Callable[[int], None] | None = None,
    told: Callable[[RollbackCommit], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> RollbackCommit:
    """Commit a version's files of one model on top of HEAD, then restore its weights.

    Where HEAD has the files already, no commit is made and the weights are restored: this is what is left to do after a
    call that was cut off. Without ``ref`` every call goes one step further back, but for one that ends such a call.

    What comes back: all below ``models/NAME``, the weights' pointer, the model's stages in ``dvc.lock``, the pointers
    of what DVC tracks among their inputs (a source, data), and the model's entry under ``artifacts:``. Code, params and
    what models share stay as they are; those that differ are named.

    Args:
        project: the repository.
        name: the model.
        ref: the version; None for the one before the version that HEAD records.
        reason: the user's words, for the commit's message.
        dry_run: only plan.
        progress: told of bytes of weights that were placed.
        told: called with what was done; only then the call has ended.
        say: told of what goes on, a sentence at a time.

    Raises:
        NotFound, InvalidInput: there is no such version.
        Refused: a file that would be changed has uncommitted changes.
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
        command = f"rollback {name} --to-previous --commit"
        if ref is None and not dry_run and not hold(git, command):
            raise Refused(f"another process is just rolling {name} back", hint="wait for it to end")
        cut_off = unfinished(git, command) if ref is None else None
        if cut_off is not None:
            ref = cut_off.target
            say(f"note: a run that was cut off went back to {ref}, and this one ends it; once more goes further back")
        version = version_of(project, name, ref) if ref is not None else _before(project, old, name)
        if version.yanked:
            raise Refused(f"{version.tag} is yanked", hint=f"modelver list {name}   (shows the versions that are not)")
        plan = Plan(git, name, old, CommitSnapshot(git, version.record.commit))
        changes = {} if cut_off is not None else plan.changes()
        outs = plan.outs()
        _refuse_unsaved(project, old, sorted(changes) if changes else sorted({out.pointer for out in outs}))
        done = RollbackCommit(
            name,
            str(version.version),
            version.tag,
            None,
            tuple(sorted(changes)),
            (*plan.shared, *plan.shared_pointers),
            tuple(plan.changed()),
            None,
        )
        if dry_run:
            told(done)
            return done
        commit = head.commit
        if changes:
            once = Once(command, version.tag) if ref is None else None
            commit = _publish(git, head, version, changes, reason, once=once, lock=lock)
    if changes:
        result = restore(git, head.commit, commit, progress=progress)
    else:
        paths = [out.path for out in outs if os.path.lexists(git.root / out.pointer)]  # a sparse checkout hides some
        result = restore_paths(git, paths, progress=progress) if paths else Result()
    done = replace(done, commit=commit, weights=result)
    told(done)
    if result.complete:
        ended(git, command)
    return done


def _publish(
    git: GitRepository,
    head: Head,
    version: ModelVersion,
    changes: Mapping[str, bytes | None],
    reason: str,
    *,
    once: Once | None,
    lock: int,
) -> str:
    """Commit the changes on top of HEAD, into the working tree and the index too; the commit."""
    old = head.commit or ""
    committer(git)
    blobs = {path: write_blob(git, data) for path, data in changes.items() if data is not None}
    message = decision_message("rollback", version, reason=reason)
    commit = write_commit(git, old, {path: blobs.get(path) for path in changes}, message)
    worktree, git_dir = main_or_linked(git)
    transaction = Transaction(
        operation=f"rollback {version.tag}",
        worktree=worktree,
        git_dir=git_dir,
        branch=head.branch,
        old_commit=old,
        new_commit=commit,
        tag=None,
        tag_object=None,
        files={path: Change(blob_before(git, path), blobs.get(path)) for path in changes},
    )
    contents = {path: data for path, data in changes.items() if data is not None}
    publish(git, transaction, contents, lock=lock, once=once)
    return commit


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


def _refuse_unsaved(project: Project, head: CommitSnapshot, paths: Sequence[str]) -> None:
    """Raise Refused if a file that would be changed, or that says what comes back, holds what no commit has."""
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
