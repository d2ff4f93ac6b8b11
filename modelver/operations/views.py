"""A model at a ref, as far as Git knows it: sidecar and manifests, no weights."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelver.core.manifest import FileEntry, TensorEntry
from modelver.errors import NotFound
from modelver.operations.conflicts import read_model, sidecar_fault
from modelver.operations.facts import ModelFacts, build_sidecar, read_manifests, read_sidecar
from modelver.operations.project import Project, Resolved
from modelver.operations.snapshot import CommitSnapshot


@dataclass(frozen=True)
class View:
    """A model at a ref.

    Attributes:
        resolved: what the ref became.
        sidecar: as recorded there; for the working tree, as recording would write it.
        tensors, files: the manifests; None where there are none.
    """

    resolved: Resolved
    sidecar: Mapping[str, Any]
    tensors: list[TensorEntry] | None
    files: list[FileEntry] | None

    def ref_facts(self) -> dict[str, Any]:
        """What a diff says of this side."""
        version = self.resolved.version
        return {
            "ref": self.resolved.label,
            "tag": version.tag if version else None,
            "commit": self.resolved.commit,
            "created": version.record.created if version else None,
        }


def view(project: Project, resolved: Resolved) -> View:
    """Read a model at a ref.

    Raises:
        NotFound: the model was not recorded there.
        InvalidInput: what lies there can't be read.
    """
    if resolved.commit is None:
        facts = read_model(project, resolved.model)
        if fault := sidecar_fault(project, facts):
            raise fault
        return view_of(facts, resolved)
    snapshot = CommitSnapshot(project.git, resolved.commit)
    sidecar = read_sidecar(snapshot, resolved.model, label=f"{resolved.label}:")
    if sidecar is None:
        raise _unrecorded(resolved)
    tensors, files = read_manifests(snapshot, resolved.model)
    return View(resolved, sidecar, tensors, files)


def _unrecorded(resolved: Resolved) -> NotFound:
    what = f"{resolved.label} holds no sidecar of model {resolved.model!r}"
    if resolved.version is None:
        return NotFound(what, hint=f"modelver list {resolved.model}   (its versions)")
    tag, by = shlex.quote(resolved.version.tag), resolved.version.record
    return NotFound(
        f"{what}: that tag was made without modelver ({by.created} by {by.tagger}, on commit {by.commit[:10]})",
        hint=f"git tag -d {tag}   (if nobody else has it yet; else: modelver yank {tag} --reason '…')",
    )


def view_of(facts: ModelFacts, resolved: Resolved) -> View:
    """The working tree's state as recording would write it, under the version that it carries now."""
    recorded = facts.recorded or {}
    sidecar = build_sidecar(facts, str(recorded.get("version") or "v0.0.0"), recorded.get("previous"))
    return View(resolved, sidecar, facts.tensors, facts.files)
