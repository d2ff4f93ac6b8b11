"""Where a version runs: the declared targets as its validation found them, one row a target."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from modelver.core.layout import Layout
from modelver.core.validation_settings import DEFAULT_TARGET
from modelver.errors import InvalidInput, NotFound
from modelver.operations.project import Project
from modelver.operations.snapshot import CommitSnapshot


@dataclass(frozen=True, slots=True)
class Latency:
    """A target's time for the same rows, over that of onnxruntime in Python in the same run.

    Attributes:
        p50_ratio, p95_ratio: of medians and of 95th percentiles, without unit; onnxruntime's own are 1.
        runs: how often it ran, warm-up left out.
        threads: how many a run had; None where the runtime does not let one choose.
        rows: rows of one run.
        processor: what it was measured on.
    """

    p50_ratio: float
    p95_ratio: float
    runs: int
    threads: int | None
    rows: int
    processor: str


@dataclass(frozen=True)
class Target:
    """One runtime.

    Attributes:
        name, version: the runtime; version None where it is not installed.
        ran, ok: whether it ran the model, and whether its answers agree with the recorded ones (where none were
            recorded, onnxruntime's own have nothing to agree with, and the others' must agree with onnxruntime's).
        operators: how many kinds of operators it ran of how many the graph has (``3/3``); empty where unknown.
        max_abs, max_rel, label_agreement: parity with the recorded answers; None where there is no such figure.
        latency: None where it was not measured.
        reason: why it did not run or does not agree; empty where it does.
    """

    name: str
    version: str | None
    ran: bool
    ok: bool
    operators: str
    max_abs: float | None
    max_rel: float | None
    label_agreement: float | None
    latency: Latency | None
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def portability(project: Project, ref: str | None, model: str | None = None) -> list[Target]:
    """The targets of a version, from its committed ``validation.json``; onnxruntime first.

    Raises:
        NotFound: nothing is called so, or it was not validated.
        InvalidInput: the ref or a record is malformed.
    """
    resolved = project.resolve(ref, model)
    snapshot = project.worktree if resolved.commit is None else CommitSnapshot(project.git, resolved.commit)
    layout = Layout(resolved.model)
    found = snapshot.read_many([layout.validation, layout.source])
    if layout.validation not in found:
        raise NotFound(
            f"{resolved.label} of {resolved.model} was not validated", hint=f"modelver stage validate {resolved.model}"
        )
    try:
        validation, source = (json.loads(found.get(path, b"{}")) for path in (layout.validation, layout.source))
        operators = len((source.get("graph") or {}).get("operators") or {})
        return [_target(name, facts, validation, operators) for name, facts in validation["targets"].items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise InvalidInput(f"{layout.validation} is malformed: {error!r}", hint="dvc repro") from None


def operators_ran(ran: bool, count: int) -> str:
    """How many kinds of operators ran of how many: a runtime that loads a graph has every operator of it, and one that
    does not names what it lacks."""
    return f"{count}/{count}" if ran and count else ""


def _target(name: str, facts: dict[str, Any], validation: dict[str, Any], operators: int) -> Target:
    checks = {check["name"]: check for check in validation["checks"]}
    entry = (validation.get("portability") or {}).get(name) or {}
    parity = (validation["parity"] if name == DEFAULT_TARGET else entry) or {}
    own = [name, "parity", "parity:labels"] if name == DEFAULT_TARGET else [f"target:{name}"]
    wrong = [checks[check] for check in own if check in checks and checks[check]["ok"] is not True]
    ran = facts["ran"] is True
    ok = ran and facts["ok"] is True and not wrong
    said = (wrong or [checks.get(own[0], {})])[0].get("message")
    version = facts.get("version")
    return Target(
        name=name,
        version=None if version is None else str(version),
        ran=ran,
        ok=ok,
        operators=operators_ran(ran, operators),
        max_abs=_number(parity.get("max_abs")),
        max_rel=_number(parity.get("max_rel")),
        label_agreement=_number(parity.get("label_agreement")),
        latency=_latency(entry.get("latency"), validation.get("latency") or {}),
        reason="" if ok else str(said or "not run"),
    )


def _latency(found: dict[str, Any] | None, machine: dict[str, Any]) -> Latency | None:
    if found is None:
        return None
    threads, p50, p95 = found.get("threads"), _number(found["p50_ratio"]), _number(found["p95_ratio"])
    if p50 is None or p95 is None:
        raise ValueError("a latency without a figure")
    return Latency(
        p50_ratio=p50,
        p95_ratio=p95,
        runs=_count(found["runs"]),
        threads=None if threads is None else _count(threads),
        rows=_count(machine["rows"]),
        processor=str(machine["processor"]),
    )


def _number(value: object) -> float | None:
    """A figure of the record, which others may have written; None is none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{str(value)[:40]!r} is no figure")
    return value


def _count(value: object) -> int:
    if type(value) is not int or not 0 < value < 10**12:
        raise ValueError(f"{str(value)[:40]!r} is no count")
    return value
