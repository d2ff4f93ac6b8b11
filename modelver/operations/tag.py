"""`modelver tag`: record, commit, and make the version's tag, all or nothing."""

import hashlib
import shlex
from collections.abc import Callable

from modelver.adapters import dvc_project
from modelver.adapters.git.objects import committer, write_blob, write_commit, write_tag
from modelver.core import starter, variants
from modelver.core.layout import DVC_LOCK
from modelver.core.manifest import tree_digest
from modelver.core.names import check_case, version_tag
from modelver.core.plan import Request, tag_message
from modelver.core.registry import ModelVersion
from modelver.errors import ExternalFailure, Refused
from modelver.operations.committed import refuse_uncommitted
from modelver.operations.conflicts import read_model, refuse_half_done
from modelver.operations.facts import ModelFacts
from modelver.operations.gating import refuse_behind, refuse_unjudged
from modelver.operations.project import Project
from modelver.operations.record import RecordPlan, plan_record, refuse_incomplete_history, with_manifest
from modelver.operations.tag_result import TagResult, cut_off, made_before
from modelver.operations.transaction import Change, Once, Transaction, blob_before, locked, main_or_linked, publish
from modelver.operations.unfinished import ended, hold, let_go
from modelver.operations.weights import check_weights

Say = Callable[[str], None]


def tag(
    project: Project,
    name: str,
    request: Request,
    *,
    message: str = "",
    sign: bool = False,
    repro: bool = False,
    to_push: bool = False,
    dry_run: bool = False,
    say: Say = lambda _: None,
    told: Callable[[TagResult], None] = lambda _: None,
) -> TagResult:
    """Publish the state that is checked out as a version, locally.

    Args:
        project: the repository.
        name: the model.
        request: version or bump asked for.
        message: the user's words for the tag.
        sign: sign the tag though Git is not configured to.
        repro: run the stages that are stale, in place of refusing.
        to_push: the version is pushed next: one that HEAD carries and the Git remote lacks is that version, and no
            other is made. So the rerun of a `tag --push` that was cut off before its push publishes what it had made.
        dry_run: only plan.
        say: told of what goes on, a sentence at a time.
        told: called with what was made; only then the call has ended. The same call once more after one that was cut
            off ends that: it answers what that would have, and makes no other version.

    Raises:
        Refused: a precondition does not hold; the message names the command that mends it.
        CheckFailed: the model's validation failed.
        ExternalFailure: Git or DVC failed; nothing has changed.
    """
    project.require_dvc()
    if (project.root / DVC_LOCK).exists():
        dvc_project.preload()  # for `refuse_stale`
    refuse_half_done(project, name)
    if repro and not dry_run:
        refuse_uncommitted(project, read_model(project, name))
        _bring_up_to_date(project, name, say)
    with locked(project.git) as lock:
        command = " ".join(
            ["tag", name, *(["--force-new"] if request.force_new else []), *(["--push"] if to_push else [])]
        )
        alone = dry_run or hold(project.git, command)
        try:
            made = _tag(
                project, name, request, command, message=message, sign=sign, to_push=to_push, dry_run=dry_run, say=say,
                lock=lock, alone=alone,
            )  # fmt: skip
        except BaseException:
            let_go()
            raise
    told(made)
    if not dry_run:
        ended(project.git, command)
    if not to_push:  # else it is under way until the push is through
        let_go()
    return made


def _tag(
    project: Project,
    name: str,
    request: Request,
    command: str,
    *,
    message: str,
    sign: bool,
    to_push: bool,
    dry_run: bool,
    say: Say,
    lock: int,
    alone: bool,
) -> TagResult:
    git = project.git
    check_case(name, project.models())
    refuse_incomplete_history(project, name)
    head = git.head()
    if head.commit is None:
        raise Refused("there is no commit yet to tag", hint='git add -A && git commit -m "Start"')
    facts = with_manifest(project, read_model(project, name))
    # First of all, whether what lies here is what the pointers say: nothing else can be said before that.
    refuse_stale(project, facts)
    refuse_failed(project, facts)
    refuse_uncommitted(project, facts)
    check_weights(project, facts, say)
    tell = say if alone else lambda _: None
    made = cut_off(project, facts, request, command, dry_run=dry_run, say=tell)
    if made is not None and alone:
        return made
    made = made or made_before(project, facts, request, say=tell, dry_run=dry_run)
    if made is not None and not alone:
        raise Refused(f"another process is just making {made.tag} and publishing it", hint="wait for it to end")
    if made is not None:
        if not to_push:
            raise Refused(
                f"the weights of {name} have not changed since {made.version}, which is not published yet",
                hint=f"modelver push {shlex.quote(made.tag)}   (--force-new makes another version all the same)",
            )
        return made
    plan = plan_record(project, name, request, facts=facts)
    if plan.note:
        say(f"note: {plan.note}")
    gates = refuse_behind(project, facts, plan.base.tag if plan.base else None)
    choice = plan.choice
    tag_name = version_tag(name, choice.version)
    _refuse_on_remote(project, name, tag_name, say)
    changes = _changes(project, plan, head.commit)
    if not changes:
        _refuse_second(project, name, head.commit)
    steps = _steps(plan, tag_name, sorted(changes))
    if dry_run:
        return _result(plan, tag_name, None if changes else head.commit, sorted(changes), steps, dry_run=True)
    committer(git)
    blobs = {
        path: write_blob(git, data, filtered_as=None if path in plan.contents else path)
        for path, data in changes.items()
        if data is not None
    }
    commit = head.commit
    if changes:
        commit = write_commit(
            git, head.commit, {path: blobs.get(path) for path in changes}, f"Record {name} {choice.version}\n"
        )
    text = tag_message(
        model=name,
        choice=choice,
        note=message,
        sidecar_sha256=hashlib.sha256(plan.sidecar_bytes).hexdigest(),
        weights_sha256=plan.sidecar["weights"]["sha256"],
        forced_new=request.force_new,
        gates=[check.message for check in gates],
    )
    tag_object = write_tag(git, tag_name, commit, text, sign=sign or git.flag("tag.gpgSign"))
    worktree, git_dir = main_or_linked(git)
    transaction = Transaction(
        operation=f"tag {tag_name}",
        worktree=worktree,
        git_dir=git_dir,
        branch=head.branch,
        old_commit=head.commit,
        new_commit=commit,
        tag=f"refs/tags/{tag_name}",
        tag_object=tag_object,
        files={path: Change(blob_before(git, path), blobs.get(path)) for path in changes},
    )
    publish(git, transaction, plan.contents, lock=lock, once=Once(command, tag_name))
    return _result(plan, tag_name, commit, sorted(changes), steps, dry_run=False, tag_object=tag_object)


def refuse_stale(project: Project, facts: ModelFacts) -> None:
    """Raise Refused if `dvc repro` would run a stage that this model depends on."""
    if not facts.stages:
        if facts.kind == "pipeline":
            raise Refused(f"{facts.name} has not been exported yet", hint="dvc repro")
        return
    targets = [stage.name for stage in facts.stages]
    stale = dvc_project.stale_stages(project.root, targets, allow_missing=True)
    if stale:
        first = stale[0]
        more = f" (and {len(stale) - 1} more)" if len(stale) > 1 else ""
        raise Refused(
            f"the pipeline is stale: stage {first.name}: {'; '.join(first.reasons[:3])}{more}",
            hint=f"{_repro(project, facts.name)}   (or modelver tag {facts.name} --repro)",
        )


def refuse_failed(project: Project, facts: ModelFacts) -> None:
    """Raise Refused if the model's validation failed, was left out or is of something else, or a variant's failed."""
    refuse_unjudged(project, facts)
    if facts.validation is None:
        if facts.kind == "pipeline":
            raise Refused(f"{facts.name} has not been validated", hint=_repro(project, facts.name))
    elif facts.validation.get("ok") is not True:
        failed = [c for c in facts.validation.get("checks") or [] if isinstance(c, dict) and c.get("ok") is not True]
        names = "; ".join(f"{c.get('name')}: {c.get('message')}" for c in failed[:3]) or "no check passed"
        hint = next((str(c["hint"]) for c in failed if c.get("hint")), "")
        raise Refused(
            f"validation of {facts.name} failed: {names}",
            hint=hint or f"mend the model or its gates in params.yaml, then: dvc repro validate@{facts.name}",
        )
    _refuse_failed_variants(facts)


def _refuse_failed_variants(facts: ModelFacts) -> None:
    digest = None if facts.files is None else tree_digest(facts.files)
    found = variants.refusal(facts.variants, facts.settings.get("optimize"), digest)
    if found is not None:
        raise Refused(f"{facts.name}: {found[0]}", hint=found[1])


def _bring_up_to_date(project: Project, name: str, say: Say) -> None:
    say("running the stale stages")
    known = {stage.name for stage in dvc_project.stages(project.root)}
    targets = _own(name, known) or sorted(known)
    if targets:
        dvc_project.repro(project.root, targets)


def _repro(project: Project, name: str) -> str:
    """The command that does what `_bring_up_to_date` does."""
    return shlex.join(["dvc", "repro", *_own(name, {stage.name for stage in dvc_project.stages(project.root)})])


def _own(name: str, known: set[str]) -> list[str]:
    """The model's own stages: none of them stands behind all others, so one alone would leave the rest stale."""
    return [stage for group in starter.STAGES if (stage := f"{group}@{name}") in known]


def _refuse_second(project: Project, name: str, commit: str) -> None:
    """GTO can't read a repository with two versions of a model on one commit."""
    here: list[ModelVersion] = [v for v in project.registry.versions(name) if v.record.commit == commit]
    if here:
        raise Refused(
            f"this commit is already {here[0].tag}", hint="commit the change that makes it another version, then tag"
        )


def _refuse_on_remote(project: Project, name: str, tag_name: str, say: Say) -> None:
    remote = project.git.default_remote()
    if remote is None:
        return
    try:
        taken = project.git.remote_tags(remote, f"{name}@*")
    except (ExternalFailure, Refused) as error:
        say(f"warning: remote {remote} could not be asked whether {tag_name} exists there ({error.message})")
        return
    if tag_name in taken:
        raise Refused(f"{tag_name} exists on {remote} already", hint=f"git fetch {remote} --tags")


def _changes(project: Project, plan: RecordPlan, head: str) -> dict[str, bytes | None]:
    """The model's own files that differ from HEAD: path → content, None for one that is gone."""
    committed = project.git.files_at(head, owned := plan.facts.owned_paths())
    dirty = project.git.changed_paths(owned)
    # A file that Git finds unchanged may still have other bytes than its blob: core.autocrlf makes CRLF of LF.
    wanted: dict[str, bytes | None] = {
        path: project.worktree.read(path) for path in owned if path in dirty or path not in committed
    }
    wanted.update(plan.contents)
    return {path: data for path, data in wanted.items() if data != committed.get(path)}


def _steps(plan: RecordPlan, tag_name: str, changed: list[str]) -> tuple[str, ...]:
    steps = [f"check pipeline, validation and weights of {plan.facts.name}"]
    if changed:
        steps += [f"write {', '.join(sorted(plan.contents))}", f"commit {', '.join(changed)}"]
    return (*steps, f"create the tag {tag_name}")


def _result(
    plan: RecordPlan,
    tag_name: str,
    commit: str | None,
    files: list[str],
    steps: tuple[str, ...],
    *,
    dry_run: bool,
    tag_object: str | None = None,
) -> TagResult:
    choice = plan.choice
    return TagResult(
        model=plan.facts.name,
        version=str(choice.version),
        tag=tag_name,
        commit=commit,
        previous=str(choice.previous) if choice.previous else None,
        choice=choice,
        committed=bool(files),
        files=tuple(files),
        steps=steps,
        dry_run=dry_run,
        tag_object=tag_object,
    )


__all__ = ["TagResult", "refuse_failed", "refuse_stale", "tag"]
