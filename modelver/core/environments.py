"""Environments: where versions run, what stands before each, and what a promotion's tag says. Pure.

``modelver.environments`` in ``params.yaml`` declares them: ``{staging: {}, prod: {requires: staging, protected: true,
signers: [maria@example.com], gates: {accuracy: {min: 0.9}}}}``. Gates are read by `modelver.core.gates`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Literal

from modelver.core.names import check_environment_name, shown
from modelver.core.printable import printable
from modelver.core.registry import Assignment, ModelVersion, Registry
from modelver.errors import InvalidInput, NotFound, Refused

Action = Literal["promote", "rollback", "unassign", "yank"]

_KEYS = ("requires", "gates", "signers", "protected")
_EXAMPLE = "write for example `environments: {staging: {}, prod: {requires: staging, protected: true}}`"
_TRAILER = re.compile(r"(Modelver-[A-Za-z-]+): (.*)\Z")


@dataclass(frozen=True, slots=True)
class Environment:
    """What `params.yaml` says of an environment, but for its gates.

    Attributes:
        name: its name.
        requires: environments in which a version must run, or have run, first.
        signers: who may decide: addresses, or fingerprints of keys; none means everybody.
        protected: releases only, with a reason, published, under a policy that is committed.
    """

    name: str
    requires: tuple[str, ...] = ()
    signers: tuple[str, ...] = ()
    protected: bool = False


def parse_environments(data: object, where: str) -> dict[str, Environment]:
    """The declared environments, in their order; a list declares names alone, None nothing.

    Raises:
        InvalidInput: not of that shape, an environment that requires an undeclared one, or a circle; the message
            starts with ``where`` and names the field.
    """
    if data is None:
        return {}
    if isinstance(data, list):
        data = dict.fromkeys(data) if all(isinstance(name, str) for name in data) else None
    if not isinstance(data, Mapping):
        raise InvalidInput(f"{where} must map an environment to its settings", hint=_EXAMPLE)
    declared = {str(name): _environment(str(name), entry, f"{where}.{name}") for name, entry in data.items()}
    for environment in declared.values():
        for required in environment.requires:
            if required not in declared:
                raise InvalidInput(
                    f"{where}.{environment.name}.requires names {shown(required)}, which is not declared",
                    hint=f"declare it under {where}: there are {', '.join(declared)}",
                )
    _refuse_circle(declared, where)
    return declared


def pick_environment(declared: Mapping[str, Environment], name: str) -> Environment:
    """An environment by name; where none are declared, any name will do.

    Raises:
        InvalidInput: no environment can be called so.
        NotFound: others are declared, and this is not.
    """
    check_environment_name(name)
    if not declared:
        return Environment(name)
    if name not in declared:
        raise NotFound(
            f"there is no environment {shown(name)}",
            hint=f"there are {', '.join(declared)}   (declare others under modelver.environments in params.yaml)",
        )
    return declared[name]


def strictest(environments: Sequence[Environment]) -> Environment:
    """What several policies say of one environment, all together, but for the signers: each must be obeyed."""
    return Environment(
        environments[0].name,
        requires=tuple(dict.fromkeys(name for one in environments for name in one.requires)),
        protected=any(one.protected for one in environments),
    )


def in_force(registry: Registry, model: str, environment: str) -> list[Assignment]:
    """The decisions that an environment is as it is by: the one that put there what runs, and all that came after.

    All decisions where nothing runs.
    """
    running = next(iter(registry.running(model, environment)), None)
    decisions = registry.assignments(model, environment)
    return decisions if running is None else decisions[decisions.index(running) :]


def refuse_move(
    version: ModelVersion,
    environment: Environment,
    running: Assignment | None,
    reason: str,
    *,
    again: bool = False,
) -> None:
    """Raise Refused if a version may in no case be put into an environment.

    Args:
        version: what shall run.
        environment: where.
        running: what runs there now.
        reason: the user's.
        again: what runs there may be decided once more.
    """
    if version.yanked:
        raise Refused(
            f"{version.tag} is yanked, so it may not run anywhere",
            hint=f"modelver list {version.model}   (shows the versions that may)",
        )
    if running is not None and running.record.commit == version.record.commit and not again:
        raise Refused(
            f"{version.tag} already runs in {environment.name} since {running.record.created} ({running.record.name})",
            hint=f"modelver list {version.model} --env {environment.name}",
        )
    if environment.protected and version.version.prerelease:
        raise Refused(
            f"{version.tag} is a prerelease, and {environment.name} is protected: only releases run there",
            hint=f"modelver tag {version.model} --version {version.version.bumped('patch')}",
        )
    if environment.protected and not reason.strip():
        raise Refused(f"{environment.name} is protected, so the tag must say why", hint="say it with --reason '…'")


def order_objections(registry: Registry, version: ModelVersion, environment: Environment) -> list[str]:
    """The environments that a version must have run in first and has not."""
    ran = {one.environment for one in registry.assignments(version.model) if _puts(one, version)}
    return [name for name in environment.requires if name not in ran]


def refuse_no_rollback(registry: Registry, version: ModelVersion, environment: str, running: Assignment | None) -> None:
    """Raise Refused if to run ``version`` is no way back: it is newer than what runs, and never ran there."""
    if any(_puts(one, version) for one in registry.assignments(version.model, environment)):
        return
    if running is not None and running.version is not None and version.version < running.version.version:
        return
    now = running.version.tag if running is not None and running.version is not None else "nothing"
    raise Refused(
        f"{version.tag} never ran in {environment}, and is no step back from {now}",
        hint=f"modelver promote {version.tag} {environment}",
    )


def ran_before(registry: Registry, model: str, environment: str) -> ModelVersion | None:
    """What ran in an environment before what runs there now, and is not yanked; None where there is no such version.

    A way back takes what it left off the list: after v1, v2, v3 and back to v2, v1 came before, and not v3.
    """
    stack: list[ModelVersion] = []
    for one in registry.assignments(model, environment):
        version = one.version
        if version is None or not one.assigned:
            continue
        if version in stack and version.version <= stack[-1].version:
            del stack[stack.index(version) :]
        stack.append(version)
    running = next(iter(registry.running(model, environment)), None)
    present = running.record.commit if running is not None else None
    return next((v for v in reversed(stack) if v.record.commit != present and not v.yanked), None)


def next_counter(model: str, tags: Iterable[tuple[str, int | None]]) -> int:
    """The number of a model's next stage tag: one more than the highest, over all of the model's tags, as GTO counts.

    Args:
        model: the model's name.
        tags: model and counter of all tags that GTO's grammar covers, the lightweight ones too.
    """
    return max((counter or 0 for name, counter in tags if name == model), default=0) + 1


def stage_tag(model: str, environment: str, counter: int, *, assign: bool = True) -> str:
    """The tag of an assignment, ``NAME#ENV#N``, or of its end, ``NAME#ENV!#N``."""
    return f"{model}#{environment}{'' if assign else '!'}#{counter}"


def decision_message(
    action: Action,
    version: ModelVersion,
    *,
    environment: str | None = None,
    before: str | None = None,
    reason: str = "",
    overridden: Sequence[str] | None = None,
    gates: Sequence[str] = (),
) -> str:
    """The message of a decision's tag: subject, the reason, and Git trailers.

    Args:
        action: what was decided.
        version: about which version.
        environment: where; None for a yank, and for a commit that brings a version's files back.
        before: the version that ran there before; None where none did.
        reason: the user's words; may be empty.
        overridden: what an emergency went over; None where it was none.
        gates: what each gate said.
    """
    what = f"{version.model} {version.version}"
    subjects: dict[Action, str] = {
        "promote": f"Promote {what} to {environment}",
        "rollback": f"Roll {environment} back to {what}" if environment else f"Bring back {what}",
        "unassign": f"Take {what} out of {environment}",
        "yank": f"Yank {what}",
    }
    paragraphs = [subjects[action]]
    if reason.strip():
        paragraphs.append("\n".join(printable(line.rstrip()) for line in reason.strip().splitlines()))
    trailers = [
        ("Model", version.model),
        ("Version", str(version.version)),
        ("Environment", environment),
        ("Action", action),
        ("Reason", reason),
        ("From", before),
        *(("Gate", gate) for gate in gates),
    ]
    if overridden is not None:
        trailers.append(("Emergency", "; ".join(overridden) or "nothing stood in the way"))
    lines = [
        f"Modelver-{key}: {printable(' '.join(value.split()))}" for key, value in trailers if value and value.strip()
    ]
    return "\n\n".join([*paragraphs, "\n".join(lines)]) + "\n"


def trailers_in(message: str) -> dict[str, str]:
    """modelver's own trailers: the last paragraph of a message. Of those that repeat, the last."""
    paragraph = message.rstrip().rpartition("\n\n")[2]
    matches = (_TRAILER.match(line) for line in paragraph.splitlines())
    return {match[1]: match[2] for match in matches if match}


def words_in(message: str) -> str:
    """What was said in the message of a version's tag, beside the subject and the trailers that modelver writes.

    The whole message where modelver did not write it.
    """
    if "Modelver-Model" not in trailers_in(message):
        return message.strip()
    return message.strip().partition("\n\n")[2].rpartition("\n\n")[0].strip()


def parse_moment(text: str) -> int:
    """A date or time as a user writes it, in seconds since the epoch; a bare date is the end of that day, UTC.

    ISO 8601: ``2026-03-01``, ``2026-03-01T12:30``, ``2026-03-01T12:30:00+02:00``; without a zone it is UTC.

    Raises:
        InvalidInput: no date.
    """
    try:
        day = date.fromisoformat(text)
        return int(datetime.combine(day, time(23, 59, 59), UTC).timestamp())
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"{shown(text)} is no date", hint="write 2026-03-01 (the end of that day, UTC) or 2026-03-01T12:30:00Z"
        ) from None


def _puts(one: Assignment, version: ModelVersion) -> bool:
    return one.assigned and one.record.commit == version.record.commit


def _environment(name: str, entry: object, where: str) -> Environment:
    check_environment_name(name)
    if entry is None:
        return Environment(name)
    if not isinstance(entry, Mapping):
        raise InvalidInput(f"{where} must be a mapping", hint=_EXAMPLE)
    unknown = sorted(str(key) for key in entry if key not in _KEYS)
    if unknown:
        # A misspelt `requires` or `gates` would let versions through that nobody wanted there.
        raise InvalidInput(f"{where} holds {shown(unknown[0])}", hint=f"it may hold {', '.join(_KEYS)}")
    protected = entry.get("protected", False)
    if not isinstance(protected, bool):
        raise InvalidInput(f"{where}.protected must be true or false, found {protected!r}")
    return Environment(
        name,
        requires=_texts(entry.get("requires"), f"{where}.requires"),
        signers=_texts(entry.get("signers"), f"{where}.signers"),
        protected=protected,
    )


def _texts(value: object, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, str) and item.strip() for item in items):
        # An empty list of signers could mean nobody or everybody.
        raise InvalidInput(f"{where} must be a text or a list of texts", hint="to lift it, leave the key out")
    return tuple(str(item).strip() for item in items)


def _refuse_circle(declared: Mapping[str, Environment], where: str) -> None:
    done: set[str] = set()
    while len(done) < len(declared):
        ready = [name for name, one in declared.items() if name not in done and done.issuperset(one.requires)]
        if not ready:
            stuck = ", ".join(name for name in declared if name not in done)
            raise InvalidInput(f"{where}: {stuck} require each other in a circle", hint=_EXAMPLE)
        done.update(ready)


__all__ = [
    "Action",
    "Environment",
    "decision_message",
    "in_force",
    "next_counter",
    "order_objections",
    "parse_environments",
    "parse_moment",
    "pick_environment",
    "ran_before",
    "refuse_move",
    "refuse_no_rollback",
    "stage_tag",
    "strictest",
    "trailers_in",
]
