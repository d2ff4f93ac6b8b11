"""The difference of two versions, from their sidecars and manifests alone: no weights are read.

The JSON form (`Diff.to_dict`, described for users in ``docs/json.md``) has one shape in every section, lists of
objects that carry a ``name``::

    {
      "a": {"model", "version", "kind", …what the caller knows of the ref} or null,
      "b": the same,
      "bump": {"level": "none" | "patch" | "minor" | "major", "reasons": [text]},
      "caller": {"must_change": bool, "why": [text]},
      SECTION: {
        "changed": [{"name", "a", "b", …}],
        "added":   [{"name", "value"}],
        "removed": [{"name", "value"}],
      },
    }

for the sections metadata, weights, source, format, signature, graph, metrics, params, validation, targets, lineage,
environment, variants, files and tensors. Changed metrics carry ``delta``, ``direction`` and ``better``; files and
tensors have ``renamed`` (``a`` the older name, ``b`` the newer); tensors have ``same`` (how many), and a changed
tensor ``moved`` (see `modelver.core.diff_sections.moved_at_least`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modelver.core.bump import Bump, caller_findings, judge
from modelver.core.diff_sections import Change, Entry, Section, Sidecar, sections
from modelver.core.manifest import FileEntry, TensorEntry

__all__ = ["Change", "Diff", "Entry", "Section", "diff"]


@dataclass(frozen=True, slots=True)
class Diff:
    """What tells version ``b`` from version ``a``.

    Attributes:
        a, b: facts about the two sides (model, version, kind, and what the caller gave); None for no version.
        bump: the bump that going from ``a`` to ``b`` calls for.
        caller: why code that calls ``a`` must change to call ``b``; empty where it need not.
        sections: name → section, in the order of the JSON form.
    """

    a: Mapping[str, Any] | None
    b: Mapping[str, Any] | None
    bump: Bump
    sections: Mapping[str, Section]
    caller: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is no difference; a version number of its own is none."""
        return all(section.empty for section in self.sections.values())

    def to_dict(self) -> dict[str, Any]:
        """The JSON form, see the module's docstring."""
        return {
            "a": None if self.a is None else dict(self.a),
            "b": None if self.b is None else dict(self.b),
            "bump": self.bump.to_dict(),
            "caller": {"must_change": bool(self.caller), "why": list(self.caller)},
            **{name: section.to_dict() for name, section in self.sections.items()},
        }


def diff(
    a: Sidecar | None,
    b: Sidecar | None,
    *,
    tensors_a: Iterable[TensorEntry] | None = None,
    tensors_b: Iterable[TensorEntry] | None = None,
    files_a: Iterable[FileEntry] | None = None,
    files_b: Iterable[FileEntry] | None = None,
    ref_a: Mapping[str, Any] | None = None,
    ref_b: Mapping[str, Any] | None = None,
    directions: Mapping[str, str] | None = None,
) -> Diff:
    """Compare two valid sidecars and their manifests.

    Args:
        a, b: the older and the newer sidecar; None for a model that is not there, then all is added or removed.
        tensors_a, tensors_b: tensor manifests; None where there is none (plain models).
        files_a, files_b: file manifests.
        ref_a, ref_b: what is known of the refs beyond the sidecars (``ref``, ``commit``, …); they come first in
            the facts of each side.
        directions: metric → ``max`` or ``min``, where its name does not tell or tells wrong.

    Raises:
        InvalidInput: a direction is neither ``max`` nor ``min``.
    """
    found = sections(a, b, tensors_a, tensors_b, files_a, files_b, directions)
    return Diff(_facts(a, ref_a), _facts(b, ref_b), judge(a, b, found), found, caller_findings(a, b, found))


def _facts(doc: Sidecar | None, ref: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if doc is None:
        return None if ref is None else dict(ref)
    return dict(ref or {}) | {key: doc.get(key) for key in ("model", "version", "kind")}
