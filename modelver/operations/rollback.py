"""`modelver rollback`: an environment goes back to an earlier version, through the same gates as forward."""

from collections.abc import Callable

from modelver.core.environments import (
    decision_message,
    ran_before,
    refuse_no_rollback,
    stage_tag,
    trailers_in,
)
from modelver.core.refs import parse_ref
from modelver.core.registry import Assignment, ModelVersion
from modelver.errors import InvalidInput, NotFound, Refused
from modelver.operations.listing import list_versions
from modelver.operations.policy import Place, place, policies, refuse_changed_policy
from modelver.operations.project import Project
from modelver.operations.promote import (
    Decision,
    Manner,
    before_of,
    counter_of,
    make_tag,
    move,
    published_version,
    refuse_remote,
)
from modelver.operations.transaction import Once, locked
from modelver.operations.unfinished import ended, hold, letting_go, unfinished


@letting_go()
def rollback(
    project: Project,
    name: str,
    ref: str | None,
    manner: Manner,
    *,
    environment: str | None = None,
    emergency: bool = False,
    told: Callable[[Decision], None] = lambda _: None,
) -> Decision:
    """Put an earlier version back into an environment.

    Without ``ref`` every call goes one step further back, but for one after a call that was cut off, which ends that.

    Args:
        project: the repository.
        name: the model.
        ref: the version; None for what ran there before what runs there now.
        manner: how.
        environment: where; None where the model runs in one only.
        emergency: set gates and order aside; the tag says so for ever. Needs a reason.
        told: called with what was decided; only then the call has ended.

    Raises:
        NotFound, InvalidInput, Refused, CheckFailed, ExternalFailure: as `promote`; or there is no way back.
    """
    if emergency and not manner.reason.strip():
        raise InvalidInput("an emergency needs a reason: it stays in the tag", hint="say it with --reason '…'")
    with locked(project.git) as lock:
        list_versions(project, name)
        where = pick_running(project, name, environment, manner)
        running = next(iter(project.registry.running(name, where.name)), None)
        command = f"rollback {name} --to-previous --env {where.name}"
        # what another process is at is not cut off
        alone = ref is None and (manner.dry_run or hold(project.git, command))
        once = None
        decision = _cut_off(project, command, running, manner) if alone else None
        if decision is None:
            if ref is None:
                version = _previous(project, name, where.name, running)
                once = Once(command, version.tag)
            else:
                version = version_of(project, name, ref)
                refuse_no_rollback(project.registry, version, where.name, running)
            decision = move(project, version, where, "rollback", manner, lock=lock, emergency=emergency, once=once)
    told(decision)
    if ref is None and not manner.dry_run:
        ended(project.git, command)
    return decision


def unassign(project: Project, name: str, manner: Manner, *, environment: str | None = None) -> list[Decision]:
    """Take a model out of an environment, so that it runs nothing.

    GTO, and with it `Registry.running`, falls back on what was put there before and never taken out; so each version
    that ran there is taken out, the one that runs last. Killed in between, that one still runs, and the next call goes
    on.

    Args:
        project, name, manner, environment: as `rollback`.

    Returns:
        What was decided of each version.

    Raises:
        NotFound, InvalidInput, Refused, ExternalFailure: as `rollback`.
    """
    with locked(project.git) as lock:
        list_versions(project, name)
        where = pick_running(project, name, environment, manner)
        if where.environment.protected and not manner.reason.strip():
            raise Refused(f"{where.name} is protected, so the tag must say why", hint="say it with --reason '…'")
        refuse_changed_policy(project, name, where)
        held = _held(project, name, where.name)
        if not held:
            raise Refused(f"{name} does not run in {where.name}", hint=f"modelver list {name}")
        published = refuse_remote(project, held[-1], manner.say)
        first = counter_of(project, name)
        decisions = []
        for number, version in enumerate(held):
            tag = stage_tag(name, where.name, first + number, assign=False)
            message = decision_message("unassign", version, environment=where.name, reason=manner.reason)
            make_tag(project, tag, version, message, manner, signers=where.signers, lock=lock)
            project = Project(project.git)  # with the tag that was just made
            decisions.append(
                Decision(
                    action="unassign",
                    model=name,
                    version=str(version.version),
                    environment=where.name,
                    tag=tag,
                    commit=version.record.commit,
                    before=str(held[-1].version),
                    reason=manner.reason,
                    remote=project.git.shown_remote(),
                    published=published if version is held[-1] else None,
                    dry_run=manner.dry_run,
                )
            )
        return decisions


def pick_running(project: Project, name: str, environment: str | None, manner: Manner) -> Place:
    """The environment that a command means: the named one, or the only one in which the model runs.

    Raises:
        InvalidInput: it is left out where there are several.
        NotFound: there is no such environment, or the model runs in none.
    """
    known = policies(project, say=manner.say)
    if environment is not None:
        return place(known, environment)
    running = [one.environment for one in project.registry.running(name)]
    if not running:
        raise NotFound(f"{name} runs nowhere", hint=f"modelver promote {name}@latest ENV")
    if len(running) > 1:
        raise InvalidInput(
            f"{name} runs in {', '.join(running)}: which one shall go back?", hint=f"say it with --env {running[0]}"
        )
    return place(known, running[0])


def version_of(project: Project, name: str, ref: str) -> ModelVersion:
    """The version of ``name`` that ``ref`` names; raises InvalidInput where it is another model's, as `resolve`."""
    named = parse_ref(ref).model
    version = published_version(project, ref, name)
    if version.model != name:
        raise InvalidInput(f"{ref} is no version of {name}", hint=f"modelver rollback {named or version.model} {ref}")
    return version


def _cut_off(project: Project, command: str, running: Assignment | None, manner: Manner) -> Decision | None:
    """What an earlier run of the command decided that was cut off, and still is so."""
    made = unfinished(project.git, command)
    if made is None or running is None or running.version is None or running.record.object_id != made.object_id:
        return None
    tag, version = running.record.name, running.version
    said = trailers_in(project.git.text("for-each-ref", "--format=%(contents:body)", "--", made.ref))
    emergency = said.get("Modelver-Emergency")
    manner.say(f"note: {tag} was made by a run that was cut off, and this one ends it; once more goes further back")
    return Decision(
        action="rollback",
        model=version.model,
        version=str(version.version),
        environment=running.environment,
        tag=tag,
        commit=version.record.commit,
        before=said.get("Modelver-From"),
        reason=said.get("Modelver-Reason", ""),
        emergency=emergency is not None,
        overridden=() if emergency is None else tuple(emergency.split("; ")),
        remote=project.git.shown_remote(),
        published=refuse_remote(project, version, manner.say),
        dry_run=manner.dry_run,
    )


def _previous(project: Project, name: str, environment: str, running: Assignment | None) -> ModelVersion:
    version = ran_before(project.registry, name, environment)
    if version is None:
        now = before_of(running) or "nothing"
        raise NotFound(f"nothing that is not yanked ran in {environment} before {now}", hint=f"modelver log {name}")
    return version


def _held(project: Project, name: str, environment: str) -> list[ModelVersion]:
    """The versions that were put there and not taken out, the oldest first."""
    held: dict[str, ModelVersion] = {}
    for one in project.registry.assignments(name, environment):
        held.pop(one.record.commit, None)
        if one.assigned and one.version is not None:
            held[one.record.commit] = one.version
    return list(held.values())


__all__ = ["pick_running", "rollback", "unassign", "version_of"]
