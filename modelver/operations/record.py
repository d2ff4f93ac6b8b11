"""`modelver record`: write the sidecar of the state that is checked out, under the version that it is to become."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from modelver.adapters import yaml
from modelver.core.bump import Bump
from modelver.core.diff import diff
from modelver.core.layout import Layout
from modelver.core.manifest import dump_files
from modelver.core.names import parse_tag, shown
from modelver.core.plan import Choice, Request, base_versions, choose_version
from modelver.core.registry import ModelVersion
from modelver.core.tag_memory import in_force
from modelver.core.versions import Version
from modelver.errors import InvalidInput, Refused
from modelver.operations import known_tags
from modelver.operations.committed import uncommitted
from modelver.operations.conflicts import read_model, sidecar_fault
from modelver.operations.facts import ModelFacts, build_sidecar
from modelver.operations.gating import refuse_unjudged
from modelver.operations.held import refuse_unheld_text
from modelver.operations.project import Project
from modelver.operations.snapshot import CommitSnapshot
from modelver.operations.transaction import locked, publish_files
from modelver.operations.views import View, view
from modelver.operations.weights import manifest_of_worktree


@dataclass(frozen=True)
class RecordPlan:
    """What recording would write.

    Attributes:
        facts: the model's state.
        choice: the version and why.
        sidecar: the document.
        contents: path → bytes of the files that modelver writes.
        base: the version compared with.
        to_commit: what the model consists of and depends on that differs from HEAD, once this is written.
        note: about a newer version that can't be compared with, or a sidecar that can't be read; may be empty.
    """

    facts: ModelFacts
    choice: Choice
    sidecar: dict[str, Any]
    contents: dict[str, bytes]
    base: ModelVersion | None
    to_commit: tuple[str, ...] = ()
    note: str = ""

    @property
    def sidecar_bytes(self) -> bytes:
        """The sidecar as it is written."""
        return self.contents[self.facts.layout.sidecar]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form of `record` and of ``--dry-run``."""
        return {
            "model": self.facts.name,
            "version": str(self.choice.version),
            "previous": str(self.choice.previous) if self.choice.previous else None,
            "bump": {"level": self.choice.level, "reasons": list(self.choice.reasons)},
            "files": sorted(self.contents),
        }


def plan_record(
    project: Project,
    name: str,
    request: Request,
    *,
    facts: ModelFacts | None = None,
    now: datetime | None = None,
    force: bool = False,
) -> RecordPlan:
    """Decide the version and compose the files; nothing is written.

    Args:
        project: the repository.
        name: the model.
        request: what the user asked for.
        facts: the model's state, where the caller has read it already.
        now: the current time, for tests.
        force: plan to replace a file that was edited by hand, too.

    Raises:
        Refused: no version can be made of this state, or a file that would be generated anew was edited by hand; the
            message says why.
        InvalidInput, NotFound: the model's files can't be read, or there is no such model.
    """
    refuse_incomplete_history(project, name)
    facts = with_manifest(project, facts or read_model(project, name))
    base, above = base_and_newer(project, name)
    bump, changed = compare_with(project, base, facts)
    choice = choose_version(
        model=name,
        scheme=facts.scheme,
        base=base,
        taken=_taken(project, name),
        level=bump.level,
        reasons=bump.reasons,
        weights_changed=changed,
        proposed=_proposed(facts),
        request=request,
        now=now or datetime.now(UTC),
        above=above.version if above else None,
    )
    document = build_sidecar(facts, str(choice.version), str(choice.previous) if choice.previous else None)
    contents = {facts.layout.sidecar: yaml.dump(document)}
    if facts.files is not None:
        contents[facts.layout.files] = dump_files(facts.files)
    if not force:
        differing = [path for path, data in contents.items() if project.worktree.read(path) != data]
        refuse_unheld_text(project.git, differing, drop=f"modelver record {name} --force")
    fault = sidecar_fault(project, facts)
    notes = [foreign_note(base, above), f"{fault.message}; it is written anew" if fault else ""]
    return RecordPlan(facts, choice, document, contents, base, note="; ".join(filter(None, notes)))


def record(project: Project, name: str, request: Request, *, force: bool = False, dry_run: bool = False) -> RecordPlan:
    """Write sidecar and file manifest into the working tree; no commit is made.

    Raises:
        Refused: as `plan_record`; or the model's validation is of other weights, whose metrics would be recorded.
        InvalidInput, NotFound: as `plan_record`.
    """
    project.require_dvc()
    with locked(project.git) as lock:
        plan = plan_record(project, name, request, force=force)
        refuse_unjudged(project, plan.facts)
        if dry_run:
            return plan
        publish_files(project.git, f"record {name}", plan.contents, lock=lock)
    own = project.git.changed_paths(plan.facts.owned_paths())
    return replace(plan, to_commit=tuple(sorted({*own, *uncommitted(project, plan.facts)})))


def base_of(project: Project, name: str) -> ModelVersion | None:
    """The version that a new one of this model would follow: the newest that was recorded."""
    return base_and_newer(project, name)[0]


def base_and_newer(project: Project, name: str) -> tuple[ModelVersion | None, ModelVersion | None]:
    """`base_of`; and the newest version, where that is another one: a tag on a commit that has no sidecar of the model.

    Git, or GTO, makes such a tag; no state can be compared with it, but its number is taken.
    """
    versions = project.registry.versions(name)
    if not versions:
        return None, None
    head = project.git.head().commit
    reachable = {tag.name for tag in project.git.tags([f"{name}@*"], merged=head)} if head else set()
    candidates = base_versions(versions, reachable)
    sidecar = Layout(name).sidecar
    for version in candidates:
        if CommitSnapshot(project.git, version.record.commit).read(sidecar) is not None:
            return version, None if version is candidates[0] else candidates[0]
    return None, candidates[0]


def foreign_note(base: ModelVersion | None, newer: ModelVersion | None) -> str:
    """The sentence about a version that was tagged without a record; empty where there is none."""
    if newer is None:
        return ""
    against = f"; compared with {base.version}" if base else ""
    return f"{newer.tag} was tagged without modelver and holds no sidecar{against}"


def base_view(project: Project, base: ModelVersion) -> View:
    """What was recorded in the version compared with."""
    return view(project, project.resolve(base.tag))


def compare_with(project: Project, base: ModelVersion | None, facts: ModelFacts) -> tuple[Bump, bool]:
    """The bump that the change since ``base`` calls for, and whether the weights changed."""
    if base is None:
        return Bump("none", ("first version",)), True
    old = base_view(project, base)
    new = build_sidecar(facts, str(base.version), old.sidecar.get("previous"))
    found = diff(
        old.sidecar, new, tensors_a=old.tensors, tensors_b=facts.tensors, files_a=old.files, files_b=facts.files
    )
    return found.bump, old.sidecar["weights"]["sha256"] != new["weights"]["sha256"]


def with_manifest(project: Project, facts: ModelFacts) -> ModelFacts:
    """The facts with a file manifest that speaks of the weights.

    `add` and `stage export` write it; where plain weights came by `dvc add` or `dvc repro` alone, it is made here.
    """
    if facts.files is not None or facts.kind != "plain" or facts.weights is None:
        return facts
    files = manifest_of_worktree(project, facts.weights)
    return ModelFacts(**{**facts.__dict__, "files": files})


def refuse_incomplete_history(project: Project, name: str) -> None:
    """Raise Refused in a shallow clone that has no tags: a version that exists would be made again."""
    if project.git.is_shallow() and not project.registry.versions(name):
        raise Refused(
            f"this clone is shallow and has no tags, so which versions of {name} exist can't be known",
            hint="git fetch --unshallow --tags",
        )


def recorded_at_head(project: Project, facts: ModelFacts) -> bytes | None:
    """The sidecar in HEAD's commit."""
    head = project.git.head().commit
    return CommitSnapshot(project.git, head).read(facts.layout.sidecar) if head else None


def _taken(project: Project, name: str) -> dict[Version, str]:
    """Each version that exists or was published, with what is to be said of where it is.

    A name that others have seen never means something else, even if somebody deleted its tag.
    """
    head, found = project.git.head().commit, {}
    for tag, history in known_tags.recall(project.git).items():
        parsed = parse_tag(tag)
        if parsed is not None and parsed.action == "register" and parsed.model == name and parsed.version is not None:
            remotes = [known.remote for known in in_force(history) if known.how == "published"]
            if remotes:
                found[parsed.version] = f"published on {remotes[-1]}; its tag is gone: modelver verify {shown(tag)}"
    for version in project.registry.versions(name):
        commit = version.record.commit
        found[version.version] = "" if commit == head else f"on another commit ({commit[:10]})"
    return found


def _proposed(facts: ModelFacts) -> Version | None:
    """The version that the recorded sidecar proposes, where it speaks of the weights that are checked out."""
    recorded = facts.recorded
    if recorded is None or facts.weights is None or recorded["weights"]["md5"] != facts.weights.md5:
        return None
    try:
        return Version.parse(recorded["version"])
    except InvalidInput:
        return None
