"""Where a version runs: the declared targets as its validation found them, one row a target."""

import json
from dataclasses import dataclass
from typing import Any

from modelver.core.layout import Layout
from modelver.core.validation_settings import DEFAULT_TARGET
from modelver.errors import InvalidInput, NotFound
from modelver.operations.project import Project
from modelver.operations.snapshot import CommitSnapshot


@dataclass(frozen=True)
class Target:
    """One runtime.

    Attributes:
        name, version: the runtime; version None where it is not installed.
        ran, ok: whether it ran the model, and whether its answers agree.
        operators: how many kinds of operators it ran of how many the graph has (``3/3``); empty where unknown.
        max_abs, max_rel, label_agreement: parity with the recorded answers; None where there is no such figure.
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
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {field: getattr(self, field) for field in self.__dataclass_fields__}


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
        checks = {check["name"]: check for check in validation["checks"]}
        parities = validation.get("portability") or {}
        return [
            _target(
                name, facts, checks, validation["parity"] if name == DEFAULT_TARGET else parities.get(name), operators
            )
            for name, facts in validation["targets"].items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInput(f"{layout.validation} is malformed: {error!r}", hint="dvc repro") from None


def _target(
    name: str, facts: dict[str, Any], checks: dict[str, Any], parity: dict[str, Any] | None, operators: int
) -> Target:
    parity = parity or {}
    check = checks.get(name if name == DEFAULT_TARGET else f"target:{name}", {})
    return Target(
        name=name,
        version=facts.get("version"),
        ran=facts["ran"] is True,
        ok=facts["ok"] is True and facts["ran"] is True,
        # A runtime that loads a graph has every operator of it; one that does not names what it lacks.
        operators=f"{operators}/{operators}" if facts["ran"] is True and operators else "",
        max_abs=parity.get("max_abs"),
        max_rel=parity.get("max_rel"),
        label_agreement=parity.get("label_agreement"),
        reason="" if facts["ok"] is True and facts["ran"] is True else str(check.get("message") or "not run"),
    )
