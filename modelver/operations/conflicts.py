"""Reading a model from the working tree, where a merge, a hand or a crash may have left files that nobody wrote."""

import re
import shlex
from collections.abc import Sequence

from modelver.core.layout import DVC_LOCK, Layout
from modelver.errors import InvalidInput, ModelverError, Refused
from modelver.operations.facts import ModelFacts, collect, model_settings, parsed, read_sidecar
from modelver.operations.project import Project

SOURCE_SCHEMA = re.compile(r"modelver/source/[0-9]+")

_MARKERS = re.compile(rb"^(<{7} |>{7} )", re.MULTILINE)

_THEIRS = {
    "MERGE_HEAD": "MERGE_HEAD",
    "CHERRY_PICK_HEAD": "CHERRY_PICK_HEAD",
    "REVERT_HEAD": "REVERT_HEAD~",
    "REBASE_HEAD": "REBASE_HEAD",
}
"""Files in the Git directory, and the revision that is the other side while they are there."""


def read_model(project: Project, name: str) -> ModelFacts:
    """`collect` from the working tree; what can't be read is refused with the command that mends it.

    Raises:
        NotFound: no such model.
        Refused: files of the model are in conflict.
        InvalidInput: a file of it can't be read; the message names the file.
    """
    refuse_conflicts(project, name)
    try:
        facts = collect(project.worktree, name)
        _check_source(facts)
    except InvalidInput as error:
        refuse_conflicts(project, name, marked=True)
        layout = Layout(name)
        path = next((path for path in layout.generated() if error.message.startswith(path)), None)
        if error.hint or path is None:
            raise
        raise InvalidInput(error.message, hint=mend_file(project, name, path)) from None
    return facts


def refuse_conflicts(project: Project, name: str, *, marked: bool = False) -> None:
    """Raise Refused if files that are made for this model are unmerged; ``marked``: or hold conflict markers.

    One side is taken whole, for hashes in several files must fit together: what Git has merged by lines is no state
    that anybody made.
    """
    unmerged = _unmerged(project)
    if not (unmerged or marked):
        return
    kind, paths = _made_for(project, name)
    bad = sorted(path for path in paths if path in unmerged or (marked and _has_markers(project, path)))
    if not bad:
        return
    card = Layout(name).card
    if card in unmerged:
        raise Refused(f"{card} is in conflict", hint=f"settle it in an editor, then: git add {shlex.quote(card)}")
    lock = [DVC_LOCK] if DVC_LOCK in bad else []
    folder = Layout(name).folder
    pointers = [path for path in paths if path.endswith(".dvc") and not path.startswith(f"{folder}/")]
    takes = [folder] if any(path != DVC_LOCK for path in bad) else []
    takes += lock + [path for path in pointers if takes]
    side, end = _side(project, bad, unmerged)
    rest = sorted(unmerged - {path for path in unmerged if any(path == t or path.startswith(f"{t}/") for t in takes)})
    spec = shlex.join(takes) + (f" ':(exclude){card}'" if folder in takes and _known(project, card) else "")
    steps = [f"git checkout --no-overlay {side} -- {spec}"]
    steps += ["dvc checkout", "dvc repro", "git add -u"] if kind == "pipeline" or lock else ["modelver restore"]
    remark = "takes what was committed" if side[:4] == "HEAD" else "takes the other side; HEAD in its place takes yours"
    if rest:
        remark = f"{remark}; settle {', '.join(rest[:3])} first"
    raise Refused(
        f"files of {name} are in conflict: {', '.join(bad[:4])}{f' and {len(bad) - 4} more' if len(bad) > 4 else ''}",
        hint=" && ".join(steps + ([end] if end else [])) + f"   ({remark})",
    )


def refuse_half_done(project: Project, name: str) -> None:
    """Raise Refused while a merge, rebase, … is under way; the hint is one that Git accepts now."""
    operation = project.git.operation_in_progress()
    if operation is None:
        return
    refuse_conflicts(project, name)
    unmerged = sorted(_unmerged(project))
    what, hint = operation
    if unmerged:
        hint = f"git add {shlex.join(unmerged)} && {hint.replace('(or', '(once the conflicts in them are settled; or')}"
    raise Refused(f"a {what} is under way", hint=hint)


def sidecar_fault(project: Project, facts: ModelFacts) -> InvalidInput | None:
    """Why the sidecar in the working tree can't be read, and what mends it; None where it can, or there is none."""
    if facts.recorded is not None or facts.recorded_bytes is None:
        return None
    path = facts.layout.sidecar
    try:
        read_sidecar(project.worktree, facts.name)
    except InvalidInput as error:
        return InvalidInput(f"the sidecar can't be read: {error.message}", hint=mend_file(project, facts.name, path))
    return None


def mend_file(project: Project, name: str, path: str) -> str:
    """The command that brings back a generated file which can't be read."""
    kind, _ = _made_for(project, name)
    again = "dvc repro" if kind == "pipeline" else f"modelver add {name} PATH"
    if path == Layout(name).sidecar:
        again = f"modelver record {name}"
    head = project.git.head().commit
    committed = project.git.files_at(head, [path]).get(path) if head else None
    if committed is not None and committed == project.worktree.read(path):
        return again
    by_force = f"{again} --force" if again.startswith("modelver ") else again
    if committed is None:
        return by_force
    return f"git checkout HEAD -- {shlex.quote(path)}   (or, to make it anew: {by_force})"


def _check_source(facts: ModelFacts) -> None:
    source, path = facts.source, facts.layout.source
    if source is None:
        return
    schema, kind = source.get("schema"), source.get("kind")
    if not isinstance(schema, str) or not SOURCE_SCHEMA.fullmatch(schema):
        raise InvalidInput(f"{path}: schema: expected modelver/source/1, found {ascii(schema)[:60]}")
    if kind not in ("pipeline", "ingested"):
        raise InvalidInput(f"{path}: kind: expected pipeline or ingested, found {ascii(kind)[:60]}")


def _made_for(project: Project, name: str) -> tuple[str, list[str]]:
    """The model's kind, and the files that modelver and DVC write for it (and the lock file, which it may share)."""
    layout = Layout(name)
    entry = (parsed(project.worktree, "dvc.yaml").get("artifacts") or {}).get(name)
    path = entry.get("path") if isinstance(entry, dict) else None
    kind, pointers = "plain", [f"{path}.dvc"] if isinstance(path, str) else []
    if isinstance(path, str) and path.rstrip("/").removeprefix("./") == layout.weights:
        settings = model_settings(project.worktree, name)
        source = settings.get("source")
        kind = "pipeline" if source else "ingested"
        pointers = [f"{source}.dvc"] if isinstance(source, str) else []
    pointers = [path for path in pointers if _known(project, path)]
    return kind, [*layout.generated(), *pointers, DVC_LOCK]


def _side(project: Project, bad: Sequence[str], unmerged: set[str]) -> tuple[str, str]:
    """The revision to take files from, and the command that ends what is under way."""
    operation = project.git.operation_in_progress()
    end = operation[1].split("   (")[0] if operation else ""
    for file, revision in _THEIRS.items():
        if operation and (project.git.git_dir / file).exists():
            return revision, end
    head = project.git.head().commit
    committed = project.git.files_at(head, list(bad)) if head else {}
    whole = all(not _MARKERS.search(committed.get(path, b"")) for path in bad)
    return ("HEAD" if whole else "HEAD~1"), end


def _unmerged(project: Project) -> set[str]:
    output = project.git.run("ls-files", "--unmerged", "-z", "--full-name", ":/")
    return {line.partition(b"\t")[2].decode("utf-8", "surrogateescape") for line in output.split(b"\0") if line}


def _known(project: Project, path: str) -> bool:
    return bool(project.git.run("--literal-pathspecs", "ls-files", "-z", "--cached", "--", path))


def _has_markers(project: Project, path: str) -> bool:
    if path.endswith("metadata.yaml"):  # written anew by `record`; alone it is no conflict
        return False
    try:
        data = project.worktree.read(path)
    except ModelverError:
        return False
    return data is not None and _MARKERS.search(data) is not None


__all__ = ["mend_file", "read_model", "refuse_conflicts", "refuse_half_done", "sidecar_fault"]
