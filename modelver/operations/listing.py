"""`list`, `show` and `log`: what the registry says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modelver.core.environments import parse_environments, parse_moment, trailers_in, words_in
from modelver.core.layout import PARAMS
from modelver.core.names import TagName, check_environment_name, check_model_name
from modelver.core.refs import near
from modelver.core.registry import Assignment, ModelVersion, TagRecord
from modelver.errors import NotFound
from modelver.operations.project import Project

if TYPE_CHECKING:
    from modelver.operations.views import View


@dataclass(frozen=True)
class VersionDetails:
    """One version, or the working tree, in full.

    Attributes:
        view: sidecar and manifests.
        tag: tag facts: name, object, commit, created, tagger, message, note, trailers, signature; None without a tag.
    """

    view: "View"
    tag: Mapping[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """The stable JSON form: the sidecar whole, plus ``tag``."""
        return {**self.view.sidecar, "tag": None if self.tag is None else dict(self.tag)}


@dataclass(frozen=True)
class Event:
    """One entry of a model's log.

    Attributes:
        time: ISO 8601, UTC.
        action: ``version``, ``promote``, ``rollback``, ``unassign`` or ``yank``; ``assign`` where another tool than
            modelver put a version into an environment.
        model, version, environment: what it is about; None where it does not apply.
        tag, commit, tagger: from the tag.
        message: the tag's words.
        reason: why, as the tag's trailer has it; empty where nothing was said.
        before: the version that ran there before; None where none did or the tag does not say.
        emergency: what an emergency went over; None where it was none.
        note: what was said of a version when it was tagged (``tag -m``), as it was typed; empty where nothing was.
    """

    time: str
    action: str
    model: str
    version: str | None
    environment: str | None
    tag: str
    commit: str
    tagger: str
    message: str
    reason: str = ""
    before: str | None = None
    emergency: str | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The stable JSON form."""
        return dict(vars(self))


@dataclass(frozen=True)
class Running:
    """What an environment runs, or ran.

    Attributes:
        model, environment: names.
        version, version_tag: what runs; None where a commit was put there that is no version.
        commit: the version's commit.
        since: since when, ISO 8601, UTC.
        tag, tagger, reason: of the decision.
        yanked: whether the version was withdrawn, then.
    """

    model: str
    environment: str
    version: str | None
    version_tag: str | None
    commit: str
    since: str
    tag: str
    tagger: str
    reason: str
    yanked: bool

    def to_dict(self) -> dict[str, Any]:
        """The stable JSON form."""
        return dict(vars(self))


def list_versions(project: Project, name: str | None = None) -> list[ModelVersion]:
    """Versions of one model, or of all; newest first.

    Raises:
        InvalidInput: no model can be called so.
        NotFound: there is no such model.
    """
    if name is not None:
        check_model_name(name)
        if name not in project.registry.models and name not in project.models():
            raise NotFound(f"there is no model {name!r}", hint=near(name, project.models()) or "modelver add NAME PATH")
    return project.registry.versions(name)


def show(project: Project, ref: str | None = None, model: str | None = None) -> VersionDetails:
    """One version's sidecar and tag.

    Raises:
        InvalidInput, NotFound: as `Project.resolve` and `view`.
    """
    from modelver.operations.views import view

    found = view(project, project.resolve(ref, model))
    version = found.resolved.version
    return VersionDetails(found, _tag_facts(project, version) if version else None)


def log(project: Project, name: str | None = None) -> list[Event]:
    """Who did what when, newest first: versions, promotions, rollbacks, yanks.

    Raises:
        InvalidInput, NotFound: as `list_versions`.
    """
    list_versions(project, name)
    events = [(n, r) for n, r in project.registry.events if name is None or n.model == name]
    events.sort(key=lambda pair: (pair[1].time, pair[0].counter or 0, pair[1].name), reverse=True)
    messages = _messages(project, [record for _, record in events])
    versions = {(v.model, v.record.commit): str(v.version) for v in project.registry.versions()}
    return [_event(n, r, versions, messages.get(r.object_id, "")) for n, r in events]


def running(
    project: Project, name: str | None = None, environment: str | None = None, on: str | None = None
) -> list[Running]:
    """What environments run, or ran at a time: by model and environment.

    Args:
        project: the repository.
        name: only this model.
        environment: only this one.
        on: as `parse_moment`; None for now.

    Raises:
        InvalidInput: ``on`` is no date, or no model or environment can be called so.
        NotFound: there is no such model or environment.
    """
    moment = parse_moment(on) if on is not None else None
    list_versions(project, name)
    if environment is not None and environment not in (known := environment_names(project)):
        check_environment_name(environment)
        raise NotFound(
            f"there is no environment {environment!r}",
            hint="there are " + ", ".join(known) if known else "modelver promote REF ENV",
        )
    registry = project.registry if moment is None else project.registry.at(moment)
    found = registry.running(name, environment)
    messages = _messages(project, [one.record for one in found])
    return [_running(one, messages.get(one.record.object_id, "")) for one in found]


def _running(one: Assignment, message: str) -> Running:
    return Running(
        model=one.model,
        environment=one.environment,
        version=str(one.version.version) if one.version else None,
        version_tag=one.version.tag if one.version else None,
        commit=one.record.commit,
        since=one.record.created,
        tag=one.record.name,
        tagger=one.record.tagger,
        reason=trailers_in(message).get("Modelver-Reason", ""),
        yanked=one.version is not None and one.version.yanked,
    )


def environment_names(project: Project) -> list[str]:
    """Environments that ``params.yaml`` declares, in its order, then others that have run something."""
    from modelver.operations.facts import modelver_params

    declared = parse_environments(
        modelver_params(project.worktree).get("environments"), f"{PARAMS}, modelver.environments"
    )
    used = sorted({one.environment for one in project.registry.assignments()} - {*declared})
    return [*declared, *used]


def _event(name: TagName, record: TagRecord, versions: Mapping[tuple[str, str], str], message: str) -> Event:
    said = trailers_in(message)
    action: str = "version" if name.action == "register" else name.action
    if action == "assign" and said.get("Modelver-Action") in ("promote", "rollback"):
        action = said["Modelver-Action"]
    return Event(
        time=record.created,
        action=action,
        model=name.model,
        version=str(name.version) if name.version else versions.get((name.model, record.commit)),
        environment=name.environment,
        tag=record.name,
        commit=record.commit,
        tagger=record.tagger,
        message=message,
        reason=said.get("Modelver-Reason", ""),
        before=said.get("Modelver-From"),
        emergency=said.get("Modelver-Emergency"),
        note=words_in(message) if name.action == "register" else "",
    )


def _tag_facts(project: Project, version: ModelVersion) -> dict[str, Any]:
    raw = project.git.read_object(version.record.object_id).decode("utf-8", "replace")
    message, signature = _split_signature(raw.partition("\n\n")[2])
    return {
        "name": version.tag,
        "object": version.record.object_id,
        "commit": version.record.commit,
        "created": version.record.created,
        "tagger": version.record.tagger,
        "message": message.strip(),
        "note": words_in(message),
        "trailers": project.git.trailers(message),
        "signature": _signature_state(project, version, signature),
        "environments": list(version.environments),
        "yanked": version.yanked,
    }


def _split_signature(message: str) -> tuple[str, str]:
    for marker in ("-----BEGIN PGP SIGNATURE-----", "-----BEGIN SSH SIGNATURE-----", "-----BEGIN SIGNED MESSAGE-----"):
        place = message.rfind("\n" + marker)  # the last one counts, as for Git
        if place >= 0:
            return message[: place + 1], message[place + 1 :]
    return message, ""


def _signature_state(project: Project, version: ModelVersion, signature: str) -> str:
    """``none``, ``good``, or ``unverified``: there is one, and this machine's Git can't vouch for it."""
    if not signature:
        return "none"
    return "good" if project.git.verifies(version.tag) else "unverified"


def _messages(project: Project, records: list[TagRecord]) -> dict[str, str]:
    contents = project.git.read_objects([record.object_id for record in records])
    messages = {}
    for object_id, raw in contents.items():
        message, _ = _split_signature(raw.decode("utf-8", "replace").partition("\n\n")[2])
        messages[object_id] = message.strip()
    return messages
