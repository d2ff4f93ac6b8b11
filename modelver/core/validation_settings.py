"""What a model's entry in ``params.yaml`` asks of its validation: ``targets:`` and ``validate:``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from modelver.core.gates import LATEST
from modelver.core.model_settings import MODELS
from modelver.core.refs import parse_ref
from modelver.core.slices import Slice, parse_slices
from modelver.errors import InvalidInput

DEFAULT_TARGET = "onnxruntime"

EDGES = ("batch", "nan", "extremes", "text")
"""Rows that no data file has: one row alone, missing values, the type's largest numbers, empty and unseen text."""

EdgeRule = Literal["report", "answer", "off"]

LATENCY_RATIOS = ("p50", "p95", "p99", "load", "memory")

_FUNCTION = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<name>[A-Za-z_]\w*)\Z", re.ASCII)
_METRIC = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,59}\Z")
_TARGET = re.compile(r"[a-z0-9][a-z0-9-]{0,39}\Z")


@dataclass(frozen=True, slots=True)
class LatencySettings:
    """How the time that a model takes is compared with that of an earlier version.

    Attributes:
        baseline: the version compared with.
        rounds: how often the two take turns.
        runs: how often each runs in one turn.
        max_ratio: by name of `LATENCY_RATIOS`, the largest ratio to the baseline that passes.
        max_target_ratio: by target, the largest ratio of its median to onnxruntime's that passes.
    """

    baseline: str = LATEST
    rounds: int = 5
    runs: int = 20
    max_ratio: Mapping[str, float] = field(default_factory=dict)
    max_target_ratio: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ValidationSettings:
    """What is validated beside structure, parity, metrics and gates.

    Attributes:
        targets: runtimes that must run the model; ``onnxruntime`` always does.
        slices: rows that are measured apart.
        functions: metric → ``module:function`` of the repository.
        edges: what is asked of each of `EDGES`.
        canary: whether a clean process must answer the recorded requests.
        latency: None where it is not measured.
    """

    targets: tuple[str, ...]
    slices: tuple[Slice, ...]
    functions: Mapping[str, str]
    edges: Mapping[str, EdgeRule]
    canary: bool
    latency: LatencySettings | None


def parse_validation(model: str, data: Mapping[str, Any], section: str = MODELS) -> ValidationSettings:
    """Check ``targets:`` and ``validate:`` of a model's entry, which stands in ``section``.

    Raises:
        InvalidInput: a field is malformed; the message names it.
    """
    where = f"params.yaml, {section}.{model}"
    validate = _section(data.get("validate"), f"{where}.validate", ("slices", "metrics", "edges", "canary", "latency"))
    canary = validate.get("canary")
    if canary not in (None, True, False):
        raise InvalidInput(f"{where}.validate.canary must be true or false, found {canary!r}")
    targets = _targets(data.get("targets"), f"{where}.targets")
    return ValidationSettings(
        targets=targets,
        slices=parse_slices(validate.get("slices"), f"{where}.validate.slices"),
        functions=_functions(validate.get("metrics"), f"{where}.validate.metrics"),
        edges=_edges(validate.get("edges"), f"{where}.validate.edges"),
        canary=canary is not False,
        latency=_latency(validate.get("latency"), f"{where}.validate.latency", targets[1:]),
    )


def _section(data: object, where: str, known: tuple[str, ...]) -> Mapping[str, Any]:
    if data is None:
        return {}
    if not isinstance(data, Mapping) or not set(data) <= set(known):
        raise InvalidInput(f"{where} may hold only {', '.join(known)}")
    return data


def _targets(data: object, where: str) -> tuple[str, ...]:
    if data is None:
        return (DEFAULT_TARGET,)
    if not isinstance(data, list) or not all(isinstance(name, str) and _TARGET.match(name) for name in data):
        raise InvalidInput(
            f"{where} must be a list of runtimes", hint="write for example `targets: [onnxruntime, openvino]`"
        )
    return (DEFAULT_TARGET, *sorted(set(data) - {DEFAULT_TARGET}))


def _functions(data: object, where: str) -> Mapping[str, str]:
    example = "write for example `metrics: {profit: scoring:profit}` for the function profit of scoring.py"
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise InvalidInput(f"{where} must map a metric to module:function", hint=example)
    for name, value in data.items():
        if not isinstance(name, str) or not _METRIC.match(name) or name == "slices":
            raise InvalidInput(f"{where}: {name!r} is no name of a metric", hint=example)
        if not isinstance(value, str) or not _FUNCTION.match(value):
            raise InvalidInput(f"{where}.{name} must be module:function, found {value!r}", hint=example)
    return {name: data[name] for name in sorted(data)}


def _edges(data: object, where: str) -> Mapping[str, EdgeRule]:
    given = _section(data, where, EDGES)
    for name, rule in given.items():
        # YAML 1.1 reads a bare off as false.
        if rule is not False and rule not in get_args(EdgeRule):
            raise InvalidInput(f"{where}.{name} must be report, answer or off, found {rule!r}")
    return {name: cast(EdgeRule, "off" if given.get(name) is False else given.get(name, "report")) for name in EDGES}


def _latency(data: object, where: str, targets: tuple[str, ...]) -> LatencySettings | None:
    if data is None:
        return None
    given = _section(data, where, ("baseline", "rounds", "runs", "max_ratio", "max_target_ratio"))
    baseline = given.get("baseline", LATEST)
    if not isinstance(baseline, str):
        raise InvalidInput(f"{where}.baseline must be text, found {baseline!r}", hint="write latest, or v1.2.0")
    if parse_ref(baseline).kind not in ("latest", "version", "environment"):
        raise InvalidInput(f"{where}.baseline is {baseline!r}, which names no version", hint="write latest, or v1.2.0")
    ratios = _numbers(_section(given.get("max_ratio"), f"{where}.max_ratio", LATENCY_RATIOS), f"{where}.max_ratio")
    counts = {}
    for name, low, high, default in (("rounds", 3, 100, 5), ("runs", 5, 10_000, 20)):
        value = given.get(name, default)
        if type(value) is not int or not low <= value <= high:
            raise InvalidInput(f"{where}.{name} must be a whole number from {low} to {high}, found {value!r}")
        counts[name] = value
    of_targets = _target_ratios(given.get("max_target_ratio"), f"{where}.max_target_ratio", targets)
    return LatencySettings(baseline, counts["rounds"], counts["runs"], ratios, of_targets)


def _target_ratios(data: object, where: str, targets: tuple[str, ...]) -> Mapping[str, float]:
    hint = "write for example `targets: [openvino]` and `max_target_ratio: {openvino: 1.5}`"
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise InvalidInput(f"{where} must map a target to a number, found {data!r}", hint=hint)
    for name in data:
        if name not in targets:
            raise InvalidInput(f"{where}: {name!r} is no declared target beside {DEFAULT_TARGET}", hint=hint)
    return _numbers(data, where)


def _numbers(given: Mapping[str, Any], where: str) -> Mapping[str, float]:
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
            raise InvalidInput(f"{where}.{name} must be a number above 0, found {value!r}")
    return {name: float(value) for name, value in given.items()}
