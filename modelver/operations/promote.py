"""`modelver promote`: put a version into an environment, through its gates, by one signed tag."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from modelver.adapters.git.objects import committer, write_tag
from modelver.adapters.git.signed_by import signed_by
from modelver.core.environments import (
    Action,
    decision_message,
    in_force,
    next_counter,
    order_objections,
    refuse_move,
    stage_tag,
)
from modelver.core.gates import Check
from modelver.core.names import parse_tag, shown
from modelver.core.publish import refuse_overtaken
from modelver.core.registry import Assignment, ModelVersion
from modelver.errors import CheckFailed, ExternalFailure, Refused
from modelver.operations import known_tags
from modelver.operations.facts import read_sidecar
from modelver.operations.gating import environment_checks, refuse_for_environment
from modelver.operations.policy import Place, Policy, all_checks, place, policies, refuse_changed_policy
from modelver.operations.project import Project
from modelver.operations.record import refuse_incomplete_history
from modelver.operations.snapshot import CommitSnapshot
from modelver.operations.transaction import Once, Transaction, locked, main_or_linked, publish

Say = Callable[[str], None]


@dataclass(frozen=True)
class Manner:
    """How `promote`, `rollback` and `yank` go about it.

    Attributes:
        reason: the user's words, kept in the tag.
        sign: sign the tag though Git is not configured to.
        dry_run: only look whether it may be.
        say: told of what goes on, a sentence at a time.
    """

    reason: str = ""
    sign: bool = False
    dry_run: bool = False
    say: Say = lambda _: None


@dataclass(frozen=True)
class Decision:
    """What `promote`, `rollback` or `yank` did, or with ``dry_run`` would do.

    Attributes:
        action: ``promote``, ``rollback``, ``unassign`` or ``yank``.
        model, version: about what.
        environment: where; None for a yank.
        tag: the tag that says so.
        commit: the version's commit, which the tag points at.
        before: the version that ran there before; None where none did.
        reason: the user's words.
        emergency: whether gates and order were set aside.
        overridden: which of them had said no.
        gates: what each gate said.
        running: environments that run the version now (of interest for a yank).
        remote: the Git remote that the tag must be pushed to; None where there is none.
        published: whether that remote has the version; None where there is none, or it did not answer.
        dry_run: whether nothing was written.
    """

    action: Action
    model: str
    version: str
    environment: str | None
    tag: str
    commit: str
    before: str | None = None
    reason: str = ""
    emergency: bool = False
    overridden: tuple[str, ...] = ()
    gates: tuple[Check, ...] = ()
    running: tuple[str, ...] = ()
    remote: str | None = None
    published: bool | None = None
    dry_run: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The stable JSON form."""
        document = dict(vars(self))
        lists = ("overridden", "running")
        return document | {key: list(document[key]) for key in lists} | {"gates": [c.to_dict() for c in self.gates]}


def promote(
    project: Project,
    ref: str,
    environment: str,
    manner: Manner,
    *,
    model: str | None = None,
) -> Decision:
    """Put a version into an environment.

    Args:
        project: the repository.
        ref: the version.
        environment: where it shall run.
        manner: how.
        model: what a ref without a name means.

    Raises:
        NotFound, InvalidInput: the version or environment does not exist, or ``params.yaml`` can't be read.
        Refused: it may not be put there; the message says why and the hint what mends it.
        CheckFailed: a gate says no.
        ExternalFailure: Git failed, or could not sign; nothing has changed.
    """
    where = place(policies(project, say=manner.say), environment)
    with locked(project.git) as lock:
        version = published_version(project, ref, model)
        return move(project, version, where, "promote", manner, lock=lock)


def move(
    project: Project,
    version: ModelVersion,
    where: Place,
    action: Action,
    manner: Manner,
    *,
    lock: int,
    emergency: bool = False,
    once: Once | None = None,
) -> Decision:
    """Make the tag that puts a version into an environment, if it may; `promote` and `rollback` meet here.

    Args:
        project: the repository.
        version: what shall run.
        where: where.
        action: ``promote`` or ``rollback``.
        manner: how.
        lock: what `locked` gave.
        emergency: set gates and order aside, and say so in the tag.
        once: as `publish`.

    Raises:
        NotFound, InvalidInput, Refused, CheckFailed, ExternalFailure: as `promote`.
    """
    model, environment = version.model, where.environment
    refuse_incomplete_history(project, model)
    running = next(iter(project.registry.running(model, environment.name)), None)
    refuse_move(version, environment, running, manner.reason, again=_wants_signature(project, model, where))
    refuse_changed_policy(project, model, where)
    missing = order_objections(project.registry, version, environment)
    if missing and not emergency:
        raise Refused(
            f"{version.tag} has not run in {missing[0]}, which {environment.name} requires",
            hint=f"modelver promote {version.tag} {missing[0]}",
        )
    checks = _gates(project, version, where, action, emergency)
    overridden = [f"{version.tag} has not run in {name}" for name in missing]
    overridden += [check.message for check in checks if not check.ok]
    before = before_of(running)
    published = refuse_remote(project, version, manner.say, must_have=environment.protected)
    decision = Decision(
        action=action,
        model=model,
        version=str(version.version),
        environment=environment.name,
        tag=stage_tag(model, environment.name, counter_of(project, model)),
        commit=version.record.commit,
        before=before,
        reason=manner.reason,
        emergency=emergency,
        overridden=tuple(overridden),
        gates=checks,
        remote=project.git.shown_remote(),
        published=published,
        dry_run=manner.dry_run,
    )
    message = decision_message(
        action,
        version,
        environment=environment.name,
        before=before,
        reason=manner.reason,
        overridden=overridden if emergency else None,
        gates=[check.message for check in checks],
    )
    make_tag(project, decision.tag, version, message, manner, signers=where.signers, lock=lock, once=once)
    return decision


def published_version(project: Project, ref: str, model: str | None) -> ModelVersion:
    """The version that a ref names.

    Args:
        project: the repository.
        ref: as the user wrote it.
        model: what a ref without a name means.

    Raises:
        Refused: it names a commit that is no version, or a commit of one: what runs must have a name.
        InvalidInput, NotFound: as `Project.resolve`.
    """
    found = project.resolve(ref, model)
    if found.version is not None:
        return found.version
    here = [v for v in project.registry.versions(found.model) if v.record.commit == found.commit]
    if here:
        raise Refused(f"{shown(ref)} is a commit; name the version that it is", hint=f"use {here[0].tag}")
    raise Refused(f"{shown(ref)} is no version of {found.model}", hint=f"modelver tag {found.model}")


def counter_of(project: Project, model: str) -> int:
    """The number of the model's next stage tag. Lightweight tags count too: their names are taken."""
    names = project.git.text("for-each-ref", "--format=%(refname:strip=2)", "--", "refs/tags").splitlines()
    parsed = [name for name in map(parse_tag, names) if name is not None]
    return next_counter(model, [(name.model, name.counter) for name in parsed])


def refuse_remote(project: Project, version: ModelVersion, say: Say, *, must_have: bool = False) -> bool | None:
    """Raise Refused if the Git remote knows decisions that are not known here, or has others in the place of these.

    Who decides without them decides on what is no longer so, and the push would fail: counters are shared.

    Args:
        project: the repository.
        version: what the decision is about.
        say: told where the remote can't be asked, or does not have the version.
        must_have: refuse where the remote does not have the version.

    Returns:
        Whether the remote has the version; None where there is no remote, or it did not answer.
    """
    remote = project.git.default_remote()
    if remote is None:
        return None
    try:
        there = project.git.remote_tags(remote, f"{version.model}[@#]*")
    except (ExternalFailure, Refused) as error:
        say(f"warning: remote {remote} could not be asked what was decided there ({error.message})")
        return None
    known_tags.overtaken(project.git, project.registry, there)
    here = {record.name: record.object_id for _, record in project.registry.events}
    where = shlex.quote(remote.shown)
    for name, object_id in sorted(there.items()):
        parsed = parse_tag(name)
        if parsed is None or parsed.model != version.model or (parsed.action == "register" and name != version.tag):
            continue
        if name not in here:
            raise Refused(f"{remote} has {name}, which is not known here", hint=f"git fetch {where} --tags")
        if here[name] != object_id:
            history = known_tags.recall(project.git).get(name, [])
            if any(k.how == "published" and k.object_id == here[name] and k.remote == remote.shown for k in history):
                raise Refused(
                    f"{name} was moved on {remote}: it was {here[name][:12]}, as it is here, and is {object_id[:12]}",
                    hint=f"modelver verify {shlex.quote(name)} --remote   (says what puts it back)",
                )
            # Of two who decided at once the one who pushed first has won.
            raise Refused(
                f"{name} is {object_id[:12]} on {remote} and {here[name][:12]} here",
                hint=f"git tag -d {shlex.quote(name)} && git fetch {where} --tags",
            )
    mine = [record for name, record in project.registry.events if name.model == version.model]
    refuse_overtaken(project.registry, there, remote.shown, [record for record in mine if record.name not in there])
    if version.tag in there:
        return True
    if must_have:
        raise Refused(
            f"{version.tag} is not on {remote}, and only what is published may run there",
            hint=f"modelver push {shlex.quote(version.tag)}",
        )
    say(f"note: {version.tag} is not on {remote} yet")
    return False


def make_tag(
    project: Project,
    name: str,
    version: ModelVersion,
    message: str,
    manner: Manner,
    *,
    lock: int,
    signers: Sequence[tuple[str, ...]] = (),
    once: Once | None = None,
) -> None:
    """Create a decision's tag on a version's commit, whole or not at all; with ``dry_run`` not at all.

    Args:
        project: the repository.
        name: of the tag.
        version: what it points at.
        message: of the tag.
        manner: how; told where the clock of another machine was ahead.
        lock: what `locked` gave.
        signers: whose signature it must bear, one of each; none means that it needs none.
        once: as `publish`.

    Raises:
        Refused: the signature is nobody's of ``signers``.
        ExternalFailure: Git could not sign, or somebody else has made the tag meanwhile.
    """
    if manner.dry_run:
        return
    git = project.git
    now = int(committer(git).rsplit(" ", 2)[1])
    # GTO orders by the tagger's time alone, to the second, and what falls on one second has no order.
    after = max(r.time for n, r in project.registry.events if n.model == version.model) + 1
    if after > now + 300:
        manner.say(f"warning: an earlier tag is dated {after - now} s in the future; {name} is dated after it")
    wanted = manner.sign or bool(signers) or git.flag("tag.gpgSign")
    tag_object = write_tag(git, name, version.record.commit, message, sign=wanted, not_before=after)
    for allowed in signers:
        _refuse_signer(project, tag_object, allowed)
    head = git.head().commit or ""
    worktree, git_dir = main_or_linked(git)
    # A single ref appears whole or not at all without a journal. It is written so that the next command knows which
    # lock file a Git that was killed in the midst has left behind: with it in place nobody could make this tag again.
    publish(
        git,
        Transaction(
            operation=f"tag {name}", worktree=worktree, git_dir=git_dir, branch=None, old_commit=head, new_commit=head,
            tag=f"refs/tags/{name}", tag_object=tag_object, files={},
        ),
        {},
        lock=lock,
        once=once,
    )  # fmt: skip


def before_of(running: Assignment | None) -> str | None:
    """The version of what runs, in words; None where nothing does."""
    return str(running.version.version) if running is not None and running.version is not None else None


def _gates(project: Project, version: ModelVersion, where: Place, action: Action, emergency: bool) -> tuple[Check, ...]:
    """What the gates of an environment say of a version's committed sidecar."""
    snapshot = CommitSnapshot(project.git, version.record.commit)
    sidecar = read_sidecar(snapshot, version.model, label=f"{version.tag}:")
    document = sidecar if sidecar is not None else {"version": str(version.version), "metrics": {}}

    def judge(policy: Policy) -> tuple[Check, ...]:
        if emergency:
            return environment_checks(project, version.model, where.name, document, policy.files)
        return refuse_for_environment(project, version.model, where.name, document, policy.files, policy.where)

    try:
        return all_checks(where, judge)
    except CheckFailed as error:
        if action != "rollback":
            raise
        # Who goes back has alarms, and no time to train a better model.
        words = f"rollback {version.model} {version.version} --env {where.name} --emergency --reason '…'"
        raise CheckFailed(error.message, hint=f"modelver {words}") from None


def _wants_signature(project: Project, model: str, where: Place) -> bool:
    """Whether an environment is as it is by a decision that none of those has signed whose signature it needs now."""
    if not where.signers:
        return False
    names = [signed_by(project.git, one.record.object_id) for one in in_force(project.registry, model, where.name)]
    return any(found.isdisjoint(allowed) for found in names for allowed in where.signers)


def _refuse_signer(project: Project, tag_object: str, signers: tuple[str, ...]) -> None:
    found = signed_by(project.git, tag_object)
    if found.isdisjoint(signers):
        who = ", ".join(sorted(found)) or "a key that Git can't vouch for"
        raise Refused(
            f"the signature is that of {who}, and only {', '.join(signers)} may decide here",
            hint="let one of them do it, or change `signers` in params.yaml in a reviewed change",
        )


__all__ = [
    "Decision",
    "Manner",
    "before_of",
    "counter_of",
    "make_tag",
    "move",
    "promote",
    "published_version",
    "refuse_remote",
]
