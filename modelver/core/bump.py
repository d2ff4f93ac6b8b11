"""The version bump that a change calls for, and why.

The order is that of what a caller of the model would notice:

- **major**: the signature breaks, labels change, the licence tightens, the format changes, a variant goes. For
  safetensors a tensor removed, renamed, retyped or reshaped, for plain models a file removed or renamed, because
  callers load these by name.
- **minor**: outputs, opset, architecture, targets or variants grow; more is accepted or promised than before.
- **patch**: weights, metrics, params, texts, anything else. A metric that got worse says so in the reasons.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from modelver.core.bump_signature import Finding, Level, judge_signature, quoted, shape_text
from modelver.core.diff_sections import Section, Sidecar, same
from modelver.core.licences import tightens
from modelver.core.printable import printable, shorten

LEVELS: tuple[Level, ...] = ("none", "patch", "minor", "major")
"""From the smallest to the greatest, so that ``LEVELS.index`` compares."""

MAX_REASONS = 20
"""Reasons kept; a renamed network would else give one for each of thousands of tensors."""

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Bump:
    """What a change calls for.

    Attributes:
        level: the smallest bump that is honest to callers.
        reasons: short sentences, those of the highest level first; one line each, printable.
    """

    level: Level
    reasons: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """``{"level", "reasons"}``."""
        return {"level": self.level, "reasons": list(self.reasons)}


def judge(a: Sidecar | None, b: Sidecar | None, found: Mapping[str, Section]) -> Bump:
    """The bump from sidecar ``a`` to ``b`` with these differences; a first version (``a`` is None) calls for none."""
    if a is None:
        return Bump("none", ("first version",) if b is not None else ())
    if b is None:
        return Bump("major", ("model removed",))
    findings = [finding for rule in _RULES for finding in rule(a, b, found)]
    if not findings:
        if all(section.empty for section in found.values()):
            return Bump("none")
        findings.append(("patch", "contents changed"))  # no difference goes without a version
    findings.sort(key=lambda finding: -LEVELS.index(finding[0]))  # stable: the rules stand in order of importance
    reasons = tuple(text for _, text in findings)
    if len(reasons) > MAX_REASONS:
        reasons = (*reasons[: MAX_REASONS - 1], f"and {len(reasons) - MAX_REASONS + 1} more")
    return Bump(findings[0][0], reasons)


def caller_findings(a: Sidecar | None, b: Sidecar | None, found: Mapping[str, Section]) -> tuple[str, ...]:
    """Why whoever calls ``a`` can't call ``b`` as it is; empty where nothing needs to change.

    These are the breaking findings about what a caller names, feeds and reads: signature and labels, the format, and
    for models without a signature the tensors or files. A licence or a variant breaks no code.
    """
    if a is None:
        return ()
    if b is None:
        return ("model removed",)
    findings = [finding for rule in (_format, _signature, _by_name) for finding in rule(a, b, found)]
    return tuple(text for level, text in findings if level == "major")[:MAX_REASONS]


def _layout(doc: Sidecar) -> str:
    """What a caller loads it with: the format's name, or ``files`` for a plain model."""
    return str((doc.get("format") or {}).get("name") or "files")


def _format(a: Sidecar, b: Sidecar, found: Mapping[str, Section]) -> list[Finding]:
    old, new = _layout(a), _layout(b)
    if old != new:
        return [("major", f"format changed from {_name(old)} to {_name(new)}")]
    findings: list[Finding] = []
    for entry in found["format"].added:
        if _runs_on(entry.name):
            findings.append(("minor", f"{_opset(entry.name)} {entry.value} added"))
    for entry in found["format"].removed:
        if _runs_on(entry.name):
            findings.append(("minor", f"{_opset(entry.name)} {entry.value} removed"))
    for change in found["format"].changed:
        if _runs_on(change.name):
            findings.append(("minor", f"{_opset(change.name)} {change.a} -> {change.b}"))
    return findings


def _runs_on(name: str) -> bool:
    """Whether a format's fact decides which runtimes can run the model."""
    return name.startswith("opsets.") or name in ("ir_version", "functions")


def _opset(name: str) -> str:
    return f"opset {_name(name.removeprefix('opsets.'))}" if name.startswith("opsets.") else name.replace("_", " ")


def _signature(a: Sidecar, b: Sidecar, found: Mapping[str, Section]) -> list[Finding]:
    old, new = a.get("signature"), b.get("signature")
    if (old is None and new is None) or found["signature"].empty:
        return []
    if old is None:
        return [("minor", "signature added")]
    if new is None:
        return [("major", "signature removed")]
    # What only another tool or a newer modelver understands is a change too.
    return judge_signature(old, new) or [("patch", "signature changed in details")]


def _licence(a: Sidecar, b: Sidecar, found: Mapping[str, Section]) -> list[Finding]:
    old, new = a.get("license"), b.get("license")
    if old == new:
        return []
    change = f"from {_said(old)} to {_said(new)}"
    return [("major", f"licence tightened {change}") if tightens(old, new) else ("patch", f"licence changed {change}")]


def _said(licence: str | None) -> str:
    return shorten(printable(licence), 40) if licence else "none"


def _by_name(a: Sidecar, b: Sidecar, found: Mapping[str, Section]) -> list[Finding]:
    """Tensors of safetensors and files of plain models, which callers load by name."""
    if _layout(a) != _layout(b):
        return []
    if _layout(a) == "files":
        return _parts("file", found["files"])
    if _layout(a) != "safetensors":
        return []
    return _parts("tensor", found["tensors"]) + _reshaped(found["tensors"])


def _parts(what: str, section: Section) -> list[Finding]:
    findings: list[Finding] = []
    findings += [("major", f"{what} {quoted(e.name)} removed") for e in section.removed]
    findings += [("major", f"{what} {quoted(c.a)} renamed to {quoted(c.b)}") for c in section.renamed or ()]
    if section.added:
        findings.append(("minor", f"{_list(what, [e.name for e in section.added])} added"))
    return findings


def _reshaped(section: Section) -> list[Finding]:
    findings: list[Finding] = []
    for change in section.changed:
        if change.a["dtype"] != change.b["dtype"]:
            text = f"retyped from {_name(change.a['dtype'])} to {_name(change.b['dtype'])}"
            findings.append(("major", f"tensor {quoted(change.name)} {text}"))
        if change.a["shape"] != change.b["shape"]:
            text = f"reshaped from {shape_text(change.a['shape'])} to {shape_text(change.b['shape'])}"
            findings.append(("major", f"tensor {quoted(change.name)} {text}"))
    return findings


def _architecture(a: Sidecar, b: Sidecar, found: Mapping[str, Section]) -> list[Finding]:
    """Operators, nodes, tensors and parameters of a graph: callers do not name them."""
    graph, tensors = found["graph"], found["tensors"]
    findings: list[Finding] = []
    come = [e.name.removeprefix("operators.") for e in graph.added if e.name.startswith("operators.")]
    gone = [e.name.removeprefix("operators.") for e in graph.removed if e.name.startswith("operators.")]
    if come:
        findings.append(("minor", f"{_list('operator', come)} added"))
    if gone:
        findings.append(("minor", f"{_list('operator', gone)} removed"))
    counts = {c.name: c for section in (graph, found["weights"]) for c in section.changed}
    for name, words in (("nodes", "nodes"), ("parameters", "parameters")):
        if name in counts:
            findings.append(("minor", f"{words} {counts[name].a:,} -> {counts[name].b:,}"))
    if _layout(a) == _layout(b) == "onnx":
        reshaped = sum(c.a["dtype"] != c.b["dtype"] or c.a["shape"] != c.b["shape"] for c in tensors.changed)
        numbers = {"added": len(tensors.added), "removed": len(tensors.removed), "of another type or shape": reshaped}
        numbers["renamed"] = len(tensors.renamed or ())
        said = ", ".join(f"{count} {word}" for word, count in numbers.items() if count)
        if said:
            findings.append(("minor", f"tensors: {said}"))
    if not findings and not graph.empty:
        findings.append(("minor", "graph changed"))
    return findings


def _offers(a: Sidecar, b: Sidecar, found: Mapping[str, Section]) -> list[Finding]:
    """Variants and targets: what can be had, and where it runs."""
    variants, targets = found["variants"], found["targets"]
    findings: list[Finding] = [("major", f"variant {quoted(e.name)} removed") for e in variants.removed]
    findings += [("minor", f"variant {quoted(e.name)} added") for e in variants.added]
    findings += [("minor", f"target {quoted(e.name)} added") for e in targets.added]
    findings += [("patch", f"no longer tried on target {quoted(e.name)}") for e in targets.removed]
    for change in targets.changed:
        if change.a.get("ok") and not change.b.get("ok"):
            findings.append(("patch", f"no longer passes on target {quoted(change.name)}"))
    return findings


def _metrics(a: Sidecar, b: Sidecar, found: Mapping[str, Section]) -> list[Finding]:
    section = found["metrics"]
    findings: list[Finding] = [
        ("patch", f"{_name(c.name)} got worse: {number(c.a)} -> {number(c.b)}")
        for c in section.changed
        if c.detail["better"] is False
    ]
    findings += [("patch", f"{_name(e.name)} is no longer measured") for e in section.removed]
    for change in found["validation"].changed:
        if change.name == "ok" and change.b is False:
            findings.append(("patch", "validation fails"))
    return findings


def _weights(a: Sidecar, b: Sidecar, found: Mapping[str, Section]) -> list[Finding]:
    old, new = a.get("weights") or {}, b.get("weights") or {}
    if same(old.get("sha256"), new.get("sha256")) and same(old.get("md5"), new.get("md5")):
        return []
    tensors, files = found["tensors"], found["files"]
    if tensors.changed:
        total = len(tensors.changed) + (tensors.same or 0) + len(tensors.renamed or ()) + len(tensors.added)
        return [("patch", f"weights changed in {len(tensors.changed)} of {total} tensors")]
    if _layout(b) == "files" and files.changed:
        return [("patch", f"{_list('file', [c.name for c in files.changed])} changed")]
    return [("patch", "weights changed")]


def _others(a: Sidecar, b: Sidecar, found: Mapping[str, Section]) -> list[Finding]:
    """What differs beside all that has a sentence of its own."""
    findings: list[Finding] = []
    improved = [c for c in found["metrics"].changed if c.detail["better"]]
    findings += [("patch", f"{_name(c.name)} got better: {number(c.a)} -> {number(c.b)}") for c in improved[:_NAMED]]
    for title, section in found.items():
        if title in _TITLES:
            names = [name for name in _differing(title, section) if not _told(title, name)]
            if title == "lineage":  # each dependency and out of a stage differs; the stage is what tells
                names = list(dict.fromkeys(_stage(name) for name in names))
            if names:
                findings.append(("patch", f"{_TITLES[title]} changed: {_some(names)}"))
    return findings


def _differing(title: str, section: Section) -> list[str]:
    changed = [c.name for c in section.changed if title != "metrics" or c.detail["better"] is None]
    if title in ("targets", "variants"):  # coming and going are told apart
        return changed
    removed = [] if title == "metrics" else [e.name for e in section.removed]
    return changed + [e.name for e in section.added] + removed


def _stage(name: str) -> str:
    """The stage in a name of the section ``lineage``, as in ``export@digits.deps.build/digits.joblib``."""
    return re.split(r"\.(?:cmd|deps|outs)(?:\.|$)", name, maxsplit=1)[0]


def _told(title: str, name: str) -> bool:
    """Whether another rule has said it."""
    return (title, name) == ("metadata", "license") or (title == "format" and (_runs_on(name) or name == "name"))


_TITLES = {
    "metadata": "card",
    "source": "source",
    "format": "format's details",
    "metrics": "metrics",
    "params": "params",
    "validation": "validation",
    "targets": "targets",
    "lineage": "lineage",
    "environment": "environment",
    "variants": "variants",
}
"""Sections that are told by the names of what differs in them, and what they are called in a sentence."""

_RULES: tuple[Callable[[Sidecar, Sidecar, Mapping[str, Section]], list[Finding]], ...] = (
    _format,
    _signature,
    _licence,
    _by_name,
    _offers,
    _architecture,
    _metrics,
    _weights,
    _others,
)


def number(value: object) -> str:
    """A number as people write it: at most 6 significant digits."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _name(name: str) -> str:
    return shorten(printable(name), 40)


def _list(what: str, names: list[str]) -> str:
    return f"{what} {quoted(names[0])}" if len(names) == 1 else f"{len(names):,} {what}s ({_some(names)})"


def _some(names: list[str]) -> str:
    shown = ", ".join(_name(name) for name in names[:_NAMED])
    return shown if len(names) <= _NAMED else f"{shown} and {len(names) - _NAMED:,} more"
