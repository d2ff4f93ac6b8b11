"""`modelver check`: the gate on a pull request. It judges HEAD's commit, with no weights on the machine."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from modelver.adapters.git import GitRepository
from modelver.core.diff import Diff
from modelver.core.layout import DVC_LOCK, DVC_YAML, PARAMS, Layout
from modelver.core.lineage import inputs_of
from modelver.core.names import shown
from modelver.core.refs import parse_ref
from modelver.errors import ModelverError, NotFound, Refused
from modelver.operations.check_model import Finding, Gate, Judgement, PipelineCopy
from modelver.operations.committed import inputs_changed
from modelver.operations.diffing import diff_views
from modelver.operations.facts import ModelFacts, collect, model_names
from modelver.operations.project import Project, Resolved
from modelver.operations.record import base_view
from modelver.operations.snapshot import CommitSnapshot, Snapshot
from modelver.operations.views import View

_TARGET_VARIABLES = ("GITHUB_BASE_REF", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME")
"""Where GitHub Actions and GitLab CI say which branch a pull request is to be merged into."""


@dataclass(frozen=True)
class ModelCheck:
    """The verdict on one model.

    Attributes:
        model: its name.
        change: ``added``, ``changed`` or ``deleted`` since the base.
        version: the version that the committed sidecar proposes; None where it proposes none.
        previous: the version that it would follow; None where there is none.
        level, reasons: the bump that the change since ``previous`` calls for.
        findings: each check with its verdict.
        notes: what a reviewer should know though it stops nothing.
        diff: what changed since ``previous``; None where that can't be told.
    """

    model: str
    change: str
    version: str | None = None
    previous: str | None = None
    level: str = "none"
    reasons: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    diff: Diff | None = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """Whether every check said yes."""
        return all(finding.ok for finding in self.findings)

    @property
    def hint(self) -> str:
        """What to do first: what the sidecar is made from comes before the sidecar, whose mend would not last."""
        hints = {finding.name: finding.hint for finding in self.findings if not finding.ok and finding.hint}
        return next((hints.pop(name) for name in ("pipeline", "validation", "manifests") if name in hints), "") or next(
            iter(hints.values()), ""
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "model": self.model,
            "change": self.change,
            "ok": self.ok,
            "version": self.version,
            "previous": self.previous,
            "bump": {"level": self.level, "reasons": list(self.reasons)},
            "checks": [finding.to_dict() for finding in self.findings],
            "notes": list(self.notes),
            "diff": self.diff.to_dict() if self.diff else None,
        }


@dataclass(frozen=True)
class CheckReport:
    """The verdict on all models that changed between two commits.

    Attributes:
        base: the revision compared with, as it was named.
        base_commit: the commit at which HEAD left it (the merge base).
        commit: HEAD's.
        models: one verdict for each model that changed, in order of their names.
        notes: what concerns no single model.
    """

    base: str
    base_commit: str
    commit: str
    models: tuple[ModelCheck, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every model passed."""
        return all(model.ok for model in self.models)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "ok": self.ok,
            "base": {"ref": self.base, "commit": self.base_commit},
            "head": {"commit": self.commit},
            "models": [model.to_dict() for model in self.models],
            "notes": list(self.notes),
        }


def check(project: Project, base: str | None = None) -> CheckReport:
    """Judge every model that changed between a base and HEAD; nothing is written, no weights are read.

    Args:
        project: the repository.
        base: a Git revision; None for the branch that CI says the pull request goes to, else the remote's default
            branch. Models are compared between HEAD and the commit at which it left that branch.

    Raises:
        NotFound: there is no such revision, or nothing says which one is meant.
        Refused: there is no commit, or the two have no history in common.
        InvalidInput: HEAD's ``dvc.yaml`` or ``params.yaml`` can't be read.
        ExternalFailure: Git or DVC failed.
    """
    project.require_dvc()
    head = project.git.head().commit
    if head is None:
        raise Refused("there is no commit yet to check", hint='git add -A && git commit -m "Start"')
    name, commit = _find_base(project.git, base)
    fork = _merge_base(project.git, name, commit, head)
    old, new = _Preloaded(CommitSnapshot(project.git, fork)), _Preloaded(CommitSnapshot(project.git, head))
    before, after = _names(old), model_names(new)
    old.preload(before)
    new.preload(after)
    paths = _changed_paths(project.git, fork, head)
    models = []
    with PipelineCopy(project.git, head) as copy:
        gate = Gate(project, new, head, copy, name)
        for model in sorted({*before, *after}) if paths else ():
            verdict = _check_model(gate, model, paths, old, before, after)
            if verdict is not None:
                models.append(verdict)
        notes = (*_uncommitted(project, new, after), *gate.notes)
    return CheckReport(name, fork, head, tuple(models), notes)


def _check_model(
    gate: Gate, model: str, paths: Sequence[str], old: Snapshot, before: Sequence[str], after: Sequence[str]
) -> ModelCheck | None:
    """The verdict on one model; None where it did not change."""
    if model not in after:
        kept = gate.project.registry.versions(model)
        note = f"its {len(kept)} versions stay" if kept else "it had no version"
        return ModelCheck(model, "deleted", findings=(Finding("deleted", True, note),))
    was = _collect(old, model) if model in before else None
    now = _collect(gate.snapshot, model)
    change = "changed" if model in before else "added"
    if isinstance(now, ModelverError):
        if isinstance(was, ModelverError) and was.message == now.message:
            return None
        return ModelCheck(model, change, findings=(Finding("readable", False, now.message, now.hint),))
    if now == was and not inputs_changed(now, paths, old, gate.snapshot):
        return None
    judgement = gate.judge(now)
    return ModelCheck(
        model=model,
        change=change,
        version=judgement.version,
        previous=str(judgement.base.version) if judgement.base else None,
        level=judgement.bump.level if judgement.bump else "none",
        reasons=judgement.bump.reasons if judgement.bump else (),
        findings=tuple(judgement.findings),
        notes=tuple(judgement.notes),
        diff=_diff(gate, now, judgement),
    )


def _collect(snapshot: Snapshot, model: str) -> ModelFacts | ModelverError:
    try:
        return collect(snapshot, model)
    except ModelverError as error:
        return error


def _diff(gate: Gate, facts: ModelFacts, judgement: Judgement) -> Diff | None:
    """What changed since the version before, as `modelver diff` has it."""
    if judgement.document is None:
        return None
    resolved = Resolved(parse_ref("HEAD"), facts.name, gate.commit, None)
    new = View(resolved, judgement.document, facts.tensors, facts.files)
    try:
        old = base_view(gate.project, judgement.base) if judgement.base else None
        return diff_views(gate.project, old, new)
    except ModelverError:  # what stands in the way is one of the findings
        return None


def _find_base(git: GitRepository, base: str | None) -> tuple[str, str]:
    """The revision to compare with, as it is called, and its commit."""
    if base is not None:
        commit = git.rev_parse(base) if base and base.isprintable() else None
        if commit is None:
            raise NotFound(f"{shown(base)} is no Git revision", hint="git fetch, then modelver check origin/main")
        return base, commit
    remote = git.default_remote() or "origin"
    for variable in _TARGET_VARIABLES:
        branch = os.environ.get(variable)
        if branch:
            name = f"{remote}/{branch}"
            commit = git.rev_parse(f"refs/remotes/{name}")
            if commit is None:
                raise NotFound(
                    f"{variable} names {shown(branch)}, and this clone has no {shown(name)}",
                    hint="fetch the whole history (fetch-depth: 0 on GitHub, GIT_DEPTH: 0 on GitLab)",
                )
            return name, commit
    for name in (f"{remote}/HEAD", f"{remote}/main", f"{remote}/master"):
        commit = git.rev_parse(f"refs/remotes/{name}")
        if commit is not None:
            return name, commit
    raise NotFound("nothing says which branch to compare with", hint="modelver check BASE   (a branch or commit)")


def _merge_base(git: GitRepository, name: str, base: str, head: str) -> str:
    found = git.text("merge-base", base, head, ok=(0, 1))
    if not found:
        raise Refused(
            f"{shown(name)} and HEAD have no history in common",
            hint="git fetch --unshallow --tags" if git.is_shallow() else "name the branch that this one left",
        )
    return found.splitlines()[0]


def _changed_paths(git: GitRepository, old: str, new: str) -> list[str]:
    output = git.run("diff", "--name-only", "--no-renames", "--no-ext-diff", "-z", old, new, "--")
    return [os.fsdecode(path) for path in output.split(b"\0") if path]


def _names(snapshot: Snapshot) -> list[str]:
    """The base's models; none where its ``dvc.yaml`` can't be read, so that a pull request can mend it."""
    try:
        return model_names(snapshot)
    except ModelverError:
        return []


def _uncommitted(project: Project, snapshot: Snapshot, names: Sequence[str]) -> list[str]:
    """A note on what lies changed in the working tree of the models' files: it was not judged."""
    paths = {DVC_YAML, DVC_LOCK, PARAMS}
    for name in names:
        facts = _collect(snapshot, name)
        paths.add(Layout(name).folder)
        if not isinstance(facts, ModelverError):
            paths.update([f"{facts.path}.dvc", *facts.owned_paths()])
            paths.update(p for p in inputs_of(facts.stages) if "://" not in p and not p.startswith(("/", "../")))
    dirty = sorted(project.git.changed_paths(sorted(paths)))
    if not dirty:
        return []
    more = f" and {len(dirty) - 6} more" if len(dirty) > 6 else ""
    return [f"not committed, so not judged: {', '.join(dirty[:6])}{more}"]


class _Preloaded:
    """A snapshot that reads the files of all models in one call of Git, and each file once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._known: dict[str, bytes | None] = {}

    def preload(self, names: Sequence[str]) -> None:
        """Read what every model has at its place."""
        paths = [DVC_YAML, DVC_LOCK, PARAMS]
        for name in names:
            layout = Layout(name)
            paths += [*layout.generated(), layout.card]
        found = self._snapshot.read_many(paths)
        self._known.update({path: found.get(path) for path in paths})

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        """See `Snapshot`."""
        missing = [path for path in paths if path not in self._known]
        if missing:
            found = self._snapshot.read_many(missing)
            self._known.update({path: found.get(path) for path in missing})
        return {path: data for path in paths if (data := self._known[path]) is not None}

    def read(self, path: str) -> bytes | None:
        """See `Snapshot`."""
        return self.read_many([path]).get(path)


__all__ = ["CheckReport", "Finding", "ModelCheck", "check"]
