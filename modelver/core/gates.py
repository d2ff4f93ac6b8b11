"""Checks and gates: what a number must reach before a version may be tagged.

A gate is ``{metric: {min: x}}``, ``{max: x}`` or both, from ``params.yaml``. A metric that was not computed
fails its gate: a gate that nobody could measure must not let a version through.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from modelver.errors import InvalidInput

DIGITS = 6
"""Significant digits that records keep: float32 arithmetic, which the numbers come from, holds 6 to 9."""


@dataclass(frozen=True, slots=True)
class Check:
    """One verdict.

    Attributes:
        name: what was looked at (``structure``, ``gate:accuracy``).
        ok: whether it passed.
        value: the number judged, None where there is none.
        limit: the threshold, None where there is none.
        message: one sentence, for people.
        hint: what mends a failure; empty where it passed.
    """

    name: str
    ok: bool
    value: float | None = None
    limit: float | None = None
    message: str = ""
    hint: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The record in ``validation.json``, numbers rounded to `DIGITS` significant digits."""
        return asdict(self) | {"value": rounded(self.value), "limit": rounded(self.limit)}


@dataclass(frozen=True, slots=True)
class Gate:
    """The least and the greatest value that a metric may have, both inclusive; None is no bound."""

    metric: str
    min: float | None = None
    max: float | None = None


def parse_gates(data: object, where: str) -> tuple[Gate, ...]:
    """Gates from ``{metric: {min: number, max: number}}``, in the order of metric names; None is no gate.

    Raises:
        InvalidInput: not of that shape; the message starts with ``where`` and names the metric.
    """
    if data is None:
        return ()
    if not isinstance(data, Mapping):
        raise InvalidInput(f"{where} must map a metric to its bounds", hint=_EXAMPLE)
    for metric in data:
        if not isinstance(metric, str):
            raise InvalidInput(f"{where}: {metric!r} is no metric name", hint=_EXAMPLE)
    return tuple(_gate(metric, data[metric], f"{where}.{metric}") for metric in sorted(data))


def judge_gates(gates: Sequence[Gate], metrics: Mapping[str, float]) -> tuple[Check, ...]:
    """One check for each bound, named ``gate:METRIC`` (``gate:METRIC:max`` for the upper one of two)."""
    checks: list[Check] = []
    for gate in gates:
        bounds = [(kind, bound) for kind, bound in (("min", gate.min), ("max", gate.max)) if bound is not None]
        for number, (kind, bound) in enumerate(bounds):
            name = f"gate:{gate.metric}" + (f":{kind}" if number else "")
            checks.append(_judge(name, gate.metric, kind, bound, metrics))
    return tuple(checks)


def rounded(value: float | None, digits: int = DIGITS) -> float | None:
    """``value`` at so many significant digits; None for None, NaN and the infinities, which JSON cannot hold."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


_EXAMPLE = "write for example `gates: {accuracy: {min: 0.9}}`"


def _gate(metric: str, bounds: object, where: str) -> Gate:
    if not isinstance(bounds, Mapping) or not bounds or not set(bounds) <= {"min", "max"}:
        raise InvalidInput(f"{where} must hold `min`, `max` or both", hint=_EXAMPLE)
    for key, value in bounds.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InvalidInput(f"{where}.{key} must be a finite number, found {value!r}", hint=_EXAMPLE)
    low, high = bounds.get("min"), bounds.get("max")
    if low is not None and high is not None and low > high:
        raise InvalidInput(f"{where}: min {low} is above max {high}, which no value can meet")
    return Gate(metric, None if low is None else float(low), None if high is None else float(high))


def _judge(name: str, metric: str, kind: str, bound: float, metrics: Mapping[str, float]) -> Check:
    value = metrics.get(metric)
    if value is None or math.isnan(value):
        known = ", ".join(sorted(metrics)) or "none"
        return Check(
            name,
            False,
            None,
            bound,
            f"{metric} was not computed, so its gate fails",
            hint=f"declare `data` with a target, or gate on a metric that there is: {known}",
        )
    ok = value >= bound if kind == "min" else value <= bound
    relation = ("at least" if ok else "below") if kind == "min" else ("at most" if ok else "above")
    return Check(
        name,
        ok,
        value,
        bound,
        f"{metric} {value:.{DIGITS}g} is {relation} {bound:.{DIGITS}g}",
        hint="" if ok else "train a better model, or change the gate in params.yaml in a reviewed change",
    )
