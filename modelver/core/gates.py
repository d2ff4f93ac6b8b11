"""Checks and gates: what a number must reach before a version may be tagged or promoted.

A gate bounds one metric in ``params.yaml``: ``{metric: {min: x, max: x}}`` as such, ``{metric: {max_drop: x}}`` and
``{min_gain: x}`` against a baseline version. A metric that was not computed fails its gate: a gate that nobody could
measure must not let a version through.

Bounds on the metric itself are judged by the validate stage and recorded. Those against a baseline are judged where
the baseline is known, by ``tag``, ``check`` and ``promote``: a baseline moves when a tag is made, and a record that
depended on it would be wrong the moment after.
"""

import fnmatch
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from modelver.core.metrics import Direction, direction
from modelver.core.printable import printable, shorten
from modelver.core.refs import parse_ref
from modelver.errors import InvalidInput

DIGITS = 6
"""Significant digits that records keep: float32 arithmetic, which the numbers come from, holds 6 to 9."""

LATEST = "latest"
PREVIOUS = "previous"
"""Baselines by role: the model's newest release; the version that the one being made follows."""


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
    """What one metric, or each metric whose name matches (``slices.*.accuracy``), must reach.

    Attributes:
        metric: its flat name, or a pattern with ``*``.
        min, max: the least and the greatest value, both inclusive; None is no bound.
        max_drop: by how much it may be worse than the baseline's, in the metric's own unit; 0 or more.
        min_gain: by how much it must be better; 0 or more.
        direction: ``max`` where higher is better; None leaves it to the metric's name.
        baseline: ``latest``, ``previous``, a version or ``NAME#ENV``.
    """

    metric: str
    min: float | None = None
    max: float | None = None
    max_drop: float | None = None
    min_gain: float | None = None
    direction: Direction | None = None
    baseline: str = LATEST

    @property
    def is_relative(self) -> bool:
        """Whether a part of it is judged against a baseline."""
        return self.max_drop is not None or self.min_gain is not None


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a gate is judged against: the version's tag, and the metrics in its committed sidecar."""

    tag: str
    metrics: Mapping[str, float]


def parse_gates(data: object, where: str) -> tuple[Gate, ...]:
    """Gates from ``{metric: {min, max, max_drop, min_gain, direction, baseline}}``, in the order of metric names.

    None is no gate.

    Raises:
        InvalidInput: not of that shape; the message starts with ``where`` and names the metric.
    """
    bounds = _by_metric(data, where)
    return tuple(_gate(metric, bounds[metric], f"{where}.{metric}") for metric in sorted(bounds))


def parse_own_gates(data: object, where: str) -> tuple[tuple[Gate, ...], tuple[str, ...]]:
    """A model's own gates for an environment, and the metrics whose gates do not apply to it: ``{metric: null}``.

    Raises:
        InvalidInput: as `parse_gates`.
    """
    bounds = _by_metric(data, where)
    lifted = tuple(sorted(metric for metric in bounds if bounds[metric] is None))
    return parse_gates({metric: bounds[metric] for metric in bounds if metric not in lifted}, where), lifted


def merge_gates(general: Sequence[Gate], own: Sequence[Gate], lifted: Collection[str] = ()) -> tuple[Gate, ...]:
    """The gates of an environment for one model: its own gate on a metric takes the place of the general one.

    Args:
        general: those for every model.
        own: the model's.
        lifted: metrics, or patterns to the letter, whose general gate does not apply to the model.
    """
    merged = {g.metric: g for g in general if g.metric not in lifted} | {g.metric: g for g in own}
    return tuple(sorted(merged.values(), key=lambda g: g.metric))


def judge_gates(gates: Sequence[Gate], metrics: Mapping[str, float]) -> tuple[Check, ...]:
    """The bounds on metrics as such: ``gate:METRIC``, and ``gate:METRIC:max`` for the upper one of two."""
    checks: list[Check] = []
    for gate, metric, check in _expanded(gates, metrics):
        bounds = [(kind, bound) for kind, bound in (("min", gate.min), ("max", gate.max)) if bound is not None]
        for number, (kind, bound) in enumerate(bounds):
            name = check + (f":{kind}" if number else "")
            checks.append(_judge(name, metric, kind, bound, metrics))
    return tuple(checks)


def judge_against(
    gates: Sequence[Gate], metrics: Mapping[str, float], baselines: Mapping[str, Baseline | None]
) -> tuple[Check, ...]:
    """The bounds against baselines: ``gate:METRIC:max_drop`` and ``gate:METRIC:min_gain``.

    Args:
        gates: those without such a bound are passed over.
        metrics: of the version that is judged.
        baselines: by the gates' ``baseline``; None where there is no such version yet, which passes: the first
            version has nothing to fall behind.

    Returns:
        The checks; a message names the baseline's version and both figures.
    """
    checks: list[Check] = []
    for gate, metric, check in _expanded(gates, metrics):
        for kind, amount in (("max_drop", gate.max_drop), ("min_gain", gate.min_gain)):
            if amount is not None:
                checks.append(_compare(f"{check}:{kind}", gate, metric, kind, amount, metrics, baselines))
    return tuple(checks)


def lifted_gate(metric: str, model: str) -> Check:
    """What is said, and kept in the tag, where a model's own entry lifts an environment's gate."""
    return Check(f"gate:{metric}", True, message=f"the gate on {_shown(metric)} does not apply to {model}")


def rounded(value: float | None, digits: int = DIGITS) -> float | None:
    """``value`` at so many significant digits; None for None, NaN and the infinities, which JSON cannot hold."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


_EXAMPLE = "write for example `gates: {accuracy: {min: 0.9, max_drop: 0.01}}`"
_NUMBERS = ("min", "max", "max_drop", "min_gain")
_MEND = "train a better model, or change the gate in params.yaml in a reviewed change"


def _by_metric(data: object, where: str) -> Mapping[str, object]:
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise InvalidInput(f"{where} must map a metric to its bounds", hint=_EXAMPLE)
    for metric in data:
        if not isinstance(metric, str) or not metric:
            raise InvalidInput(f"{where}: {metric!r} is no metric name", hint=_EXAMPLE)
    return data


def _gate(metric: str, bounds: object, where: str) -> Gate:
    if not isinstance(bounds, Mapping) or not set(bounds) <= {*_NUMBERS, "direction", "baseline"}:
        raise InvalidInput(f"{where} may hold {', '.join(_NUMBERS)}, direction and baseline", hint=_EXAMPLE)
    numbers = {key: _number(bounds[key], f"{where}.{key}") for key in _NUMBERS if bounds.get(key) is not None}
    if not numbers:
        raise InvalidInput(f"{where} must hold at least one of {', '.join(_NUMBERS)}", hint=_EXAMPLE)
    low, high = numbers.get("min"), numbers.get("max")
    if low is not None and high is not None and low > high:
        raise InvalidInput(f"{where}: min {low} is above max {high}, which no value can meet")
    way = bounds.get("direction")
    if way not in (None, "max", "min"):
        raise InvalidInput(f"{where}.direction is {way!r}", hint="write max where higher is better, min where lower is")
    gate = Gate(metric, direction=way, baseline=_baseline(bounds.get("baseline"), f"{where}.baseline"), **numbers)
    if gate.is_relative and way is None and direction(metric) is None:
        raise InvalidInput(
            f"{where}: whether more or less of {metric} is better does not follow from its name",
            hint="add `direction: max` where higher is better, or `direction: min`",
        )
    return gate


def _number(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        raise InvalidInput(f"{where} must be a finite number, found {value!r}", hint=_EXAMPLE)
    if value < 0 and where.endswith((".max_drop", ".min_gain")):
        raise InvalidInput(f"{where} must be 0 or more, found {value!r}", hint=_EXAMPLE)
    return float(value)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float holds
        return False


def _baseline(value: object, where: str) -> str:
    if value is None:
        return LATEST
    hint = "write latest, previous, a version such as v1.2.0, or #prod"
    if not isinstance(value, str):
        raise InvalidInput(f"{where} must be text, found {value!r}", hint=hint)
    if value == PREVIOUS:
        return value
    try:
        kind = parse_ref(f"m{value}" if value.startswith("#") else value).kind
    except InvalidInput:
        kind = "revision"
    if kind == "revision":  # a branch moves with every commit, and a commit need not be a version
        raise InvalidInput(f"{where} is {value!r}, which names no version", hint=hint)
    return value


def _expanded(gates: Sequence[Gate], metrics: Mapping[str, float]) -> list[tuple[Gate, str, str]]:
    """Gates with the metrics they speak of and the name of the check, each name its own.

    A gate on a metric itself takes the place of patterns that match it; a pattern that matches none stands for
    itself, and fails. Where two patterns match, both are judged.
    """
    exact = {gate.metric for gate in gates if "*" not in gate.metric}
    found: list[tuple[Gate, str, str]] = []
    seen = set(exact)
    for gate in gates:
        if "*" not in gate.metric:
            found.append((gate, gate.metric, f"gate:{gate.metric}"))
            continue
        matching = [m for m in sorted(metrics) if fnmatch.fnmatchcase(m, _pattern(gate.metric))]
        for metric in matching or [gate.metric]:
            if metric not in exact:
                found.append((gate, metric, f"gate:{metric}" + (f" ({gate.metric})" if metric in seen else "")))
                seen.add(metric)
    return found


def _pattern(text: str) -> str:
    return text.replace("[", "[[]").replace("?", "[?]")


def _shown(metric: str) -> str:
    return shorten(printable(metric), 80)


def _missing(name: str, metric: str, bound: float, metrics: Mapping[str, float]) -> Check:
    known = ", ".join(_shown(m) for m in sorted(metrics)[:12]) or "none"
    return Check(
        name,
        False,
        None,
        bound,
        f"{_shown(metric)} was not computed, so its gate fails",
        hint=f"declare `data` with a target, or gate on a metric that there is: {known}",
    )


def _judge(name: str, metric: str, kind: str, bound: float, metrics: Mapping[str, float]) -> Check:
    value = metrics.get(metric)
    if value is None or math.isnan(value):
        return _missing(name, metric, bound, metrics)
    ok = value >= bound if kind == "min" else value <= bound
    relation = ("at least" if ok else "below") if kind == "min" else ("at most" if ok else "above")
    message = f"{_shown(metric)} {value:.{DIGITS}g} is {relation} {bound:.{DIGITS}g}"
    return Check(name, ok, value, bound, message, hint="" if ok else _MEND)


def _compare(
    name: str,
    gate: Gate,
    metric: str,
    kind: str,
    amount: float,
    metrics: Mapping[str, float],
    baselines: Mapping[str, Baseline | None],
) -> Check:
    baseline = baselines.get(gate.baseline)
    value = metrics.get(metric)
    if value is None or not math.isfinite(value):
        return _missing(name, metric, amount, metrics)
    if baseline is None:
        return Check(name, True, None, amount, f"{_shown(metric)} {value:.{DIGITS}g}: no {gate.baseline} version yet")
    old = baseline.metrics.get(metric)
    if old is None or not math.isfinite(old):
        return Check(
            name,
            False,
            None,
            amount,
            f"{baseline.tag} has no {_shown(metric)} to compare with, so the gate fails",
            hint="compare with a version that has it (`baseline:` of the gate), or leave the gate out this once",
        )
    way = gate.direction or direction(metric)
    # In decimals, so that 0.97 after 0.98 is a drop of 0.01 and not of 0.010000000000000009.
    gain = (Decimal(repr(value)) - Decimal(repr(old))) * (1 if way == "max" else -1)
    change = -gain if kind == "max_drop" else gain
    limit = Decimal(repr(amount))
    ok = change <= limit if kind == "max_drop" else change >= limit
    against = (
        f"{baseline.tag} ({gate.baseline})"
        if gate.baseline in (LATEST, PREVIOUS) or "#" in gate.baseline
        else (baseline.tag)
    )
    word = f"worse by {float(-gain):.{DIGITS}g}" if gain < 0 else f"better by {float(gain):.{DIGITS}g}"
    wanted = f"allowed: {amount:.{DIGITS}g}" if kind == "max_drop" else f"wanted: at least {amount:.{DIGITS}g} better"
    figures = f"{value:.{DIGITS}g} against {old:.{DIGITS}g} of {against}"
    said = "the same" if gain == 0 else word
    message = f"{_shown(metric)} {figures}: {said}, {wanted}"
    return Check(name, ok, float(change), amount, message, hint="" if ok else _MEND)


__all__ = [
    "DIGITS",
    "LATEST",
    "PREVIOUS",
    "Baseline",
    "Check",
    "Gate",
    "judge_against",
    "judge_gates",
    "lifted_gate",
    "merge_gates",
    "parse_gates",
    "parse_own_gates",
    "rounded",
]
