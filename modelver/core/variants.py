"""Variants of a model: what params.yaml may ask for, whether one holds its parent's metrics, a sidecar's part. Pure.

A variant is another form of the same model (quantised, pruned, …) beside the weights, never in their place.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from modelver.core.gates import Check, rounded
from modelver.core.manifest import FileEntry, check_relative_path, load_files
from modelver.core.metrics import direction
from modelver.errors import InvalidInput

SCHEMA = "modelver/variants/1"

AGREEMENT = "agreement"
"""The share of rows that get the parent's label, 0 to 1; the parent's own is 1. There without any target."""

_EXACT = frozenset({"graph", "pmml"})
"""The same arithmetic in other words: judged by parity where no drop is allowed."""

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,62}[A-Za-z0-9])?")
_EXAMPLE = "write for example `optimize: {int8: {method: dynamic-int8, max_drop: {accuracy: 0.01}}}`"
_TYPES = ("int8", "uint8")


@dataclass(frozen=True, slots=True)
class VariantSettings:
    """One variant that is asked for.

    Attributes:
        name: of its folder below ``models/NAME/variants/``.
        method: one of `METHODS`.
        max_drop: metric → by how much it may be worse than the parent's, in the metric's own unit.
        config: every option of the method, defaults filled in.
    """

    name: str
    method: str
    max_drop: Mapping[str, float]
    config: Mapping[str, Any]


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1


def _rows(value: object) -> bool:
    return type(value) is int and 1 <= value <= 100_000


def _texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) and item for item in value)


def _one_of(*options: str) -> Callable[[object], bool]:
    return lambda value: value in options


Option = tuple[Any, Callable[[object], bool], str]

METHODS: Mapping[str, Mapping[str, Option]] = {
    "graph": {},
    "pmml": {},
    "float16": {
        "keep_io": (True, _flag, "true or false"),
        "keep_operators": ((), _texts, "a list of operators"),
    },
    "dynamic-int8": {
        "weights": ("int8", _one_of(*_TYPES), "int8 or uint8"),
        "per_channel": (False, _flag, "true or false"),
        "reduce_range": (False, _flag, "true or false"),
        "operators": ((), _texts, "a list of operators; empty for all that the tool knows"),
    },
    "static-int8": {
        "weights": ("int8", _one_of(*_TYPES), "int8 or uint8"),
        "activations": ("int8", _one_of(*_TYPES), "int8 or uint8"),
        "per_channel": (True, _flag, "true or false"),
        "reduce_range": (False, _flag, "true or false"),
        "calibrate": ("minmax", _one_of("minmax", "entropy", "percentile"), "minmax, entropy or percentile"),
        "rows": (128, _rows, "a number of rows, 1 to 100000"),
        "operators": ((), _texts, "a list of operators; empty for all that the tool knows"),
    },
    "prune": {
        "sparsity": (0.5, _share, "a share between 0 and 1"),
        "operators": (("Conv", "ConvTranspose", "Gemm", "MatMul"), _texts, "a list of operators"),
    },
}
"""Method → option → default, what it may be, and that in words."""


def parse_variants(data: object, where: str) -> tuple[VariantSettings, ...]:
    """The variants under ``optimize:`` of a model, in the order of their names; None and an empty mapping are none.

    Raises:
        InvalidInput: something is malformed; the message starts with ``where`` and names the field.
    """
    if data is None:
        return ()
    if not isinstance(data, Mapping):
        raise InvalidInput(f"{where} must map a variant's name to its method", hint=_EXAMPLE)
    for name in data:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidInput(f"{where}: {name!r} is no name for a variant", hint="letters, digits, `-` and `_`")
    folded = {name.lower() for name in data}
    if len(folded) != len(data):
        raise InvalidInput(f"{where}: two variants differ in upper and lower case alone", hint="rename one of them")
    return tuple(_variant(name, data[name], f"{where}.{name}") for name in sorted(data))


def parse_calibration(data: Mapping[str, Any], where: str) -> str | None:
    """The path under ``calibration:`` of a model's entry; None where there is none.

    Raises:
        InvalidInput: it is no path below the repository's top.
    """
    value = data.get("calibration")
    if value is None:
        return None
    try:
        if not isinstance(value, str):
            raise ValueError(f"expected a path, found {value!r}")
        check_relative_path(value)
    except ValueError as error:
        raise InvalidInput(f"{where}.calibration: {error}", hint="write it relative to the repository's top") from None
    return value


def _variant(name: str, data: object, where: str) -> VariantSettings:
    if not isinstance(data, Mapping):
        raise InvalidInput(f"{where} must be a mapping", hint=_EXAMPLE)
    method = data.get("method")
    if not isinstance(method, str) or method not in METHODS:
        raise InvalidInput(f"{where}.method is {method!r}", hint=f"use one of {', '.join(METHODS)}")
    known = METHODS[method]
    for key in data:
        if key not in ("method", "max_drop", *known):
            options = ", ".join(("method", "max_drop", *known))
            raise InvalidInput(f"{where}: {key!r} is no option of {method}", hint=f"it takes {options}")
    config = {}
    for key, (default, accepts, words) in known.items():
        value = data.get(key, default)
        if not accepts(value):
            raise InvalidInput(f"{where}.{key} is {value!r}", hint=f"it takes {words}")
        config[key] = list(value) if isinstance(value, tuple | list) else value
    return VariantSettings(name, method, _max_drop(data.get("max_drop"), method, f"{where}.max_drop"), config)


def _max_drop(data: object, method: str, where: str) -> dict[str, float]:
    if data is None and method in _EXACT:
        return {}
    if not isinstance(data, Mapping) or not data:
        raise InvalidInput(
            f"{where}: say by how much which metric may be worse than the parent's",
            hint=f"{_EXAMPLE}; `{AGREEMENT}` (the share of rows with the parent's label) needs no targets",
        )
    drops: dict[str, float] = {}
    for metric in sorted(data, key=str):
        value = data[metric]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= sys.float_info.max:
            raise InvalidInput(f"{where}.{metric} must be a number of 0 or more, found {value!r}", hint=_EXAMPLE)
        if not isinstance(metric, str) or (metric != AGREEMENT and direction(metric) is None):
            raise InvalidInput(
                f"{where}: nobody knows whether more or less of {metric!r} is better",
                hint="use a metric that the validate stage computes, such as accuracy or rmse",
            )
        drops[metric] = float(value)
    return drops


def drop(metric: str, before: float, after: float) -> float:
    """By how much a metric is worse than before: positive is worse, in the metric's unit, at six significant digits."""
    less = before - after
    return rounded(less if metric == AGREEMENT or direction(metric) != "min" else -less) or 0.0


def judge_drops(
    max_drop: Mapping[str, float], before: Mapping[str, float], after: Mapping[str, float]
) -> tuple[Check, ...]:
    """One check ``drop:METRIC`` for each declared limit; a metric that was not computed fails."""
    return tuple(_judge(metric, limit, before.get(metric), after.get(metric)) for metric, limit in max_drop.items())


def _judge(metric: str, limit: float, before: float | None, after: float | None) -> Check:
    name = f"drop:{metric}"
    if before is None or after is None:
        return Check(
            name, False, None, limit, f"{metric} was not computed, so its limit fails",
            hint=f"declare `data` with a target; or limit {AGREEMENT}, which needs none",
        )  # fmt: skip
    worse = drop(metric, before, after)
    ok = worse <= limit
    change = f"{metric} is {after:.6g}, the parent's is {before:.6g}"
    return Check(
        name,
        ok,
        worse,
        limit,
        f"{change}: {f'worse by {worse:.6g}' if worse > 0 else 'no worse'}, allowed is {limit:.6g}",
        hint="" if ok else "choose a gentler method or option, or drop the variant from params.yaml",
    )


_CHECK = ("name", "ok", "value", "limit", "message")


def section(document: Mapping[str, Any]) -> dict[str, Any]:
    """A sidecar's ``variants``, from the document ``variants.json``: without the list of files.

    Raises:
        InvalidInput: the document is malformed.
    """
    variants, parent = document.get("variants"), document.get("parent")
    if not isinstance(variants, Mapping) or not isinstance(parent, Mapping):
        raise InvalidInput("variants.json lacks the field 'variants' or 'parent'", hint="dvc repro")
    result = {}
    for name, record in sorted(variants.items()):
        if not isinstance(record, Mapping):
            raise InvalidInput(f"variants.json: variants.{name}: expected an object", hint="dvc repro")
        kept = {key: value for key, value in record.items() if key not in ("manifest", "checks")}
        checks = record.get("checks") or []
        if not isinstance(checks, list) or not all(isinstance(check, Mapping) for check in checks):
            raise InvalidInput(f"variants.json: variants.{name}.checks: expected a list", hint="dvc repro")
        kept["checks"] = [
            {key: check.get(key) for key in ("name", "ok", "value", "limit", "message")} for check in checks
        ]
        result[name] = {"parent": parent.get("sha256"), **kept}
    return result


def recorded_files(document: Mapping[str, Any] | None) -> list[FileEntry]:
    """The files of all variants by the document ``variants.json``; paths relative to the folder ``variants``.

    Raises:
        InvalidInput: the document is malformed.
    """
    variants = (document or {}).get("variants")
    files: list[FileEntry] = []
    for name, record in variants.items() if isinstance(variants, Mapping) else ():
        files += [replace(entry, path=f"{name}/{entry.path}") for entry in files_of(record, f"variants.{name}")]
    return files


def files_of(record: object, where: str) -> list[FileEntry]:
    """The files of one variant, by its record; paths relative to its folder.

    Args:
        record: the entry in ``variants.json``.
        where: its name, for the message.

    Raises:
        InvalidInput: it lists none, or malformed ones.
    """
    items = record.get("manifest") if isinstance(record, Mapping) else None
    if not isinstance(items, list) or not items:
        raise InvalidInput(f"{where}: expected a list of files")
    return load_files(b"\n".join(json.dumps(item).encode() for item in items), where)


def refusal(document: Mapping[str, Any] | None, wanted: object, weights_sha256: str | None) -> tuple[str, str] | None:
    """Why these variants keep a version from being tagged, and what mends it; None where they do not.

    Args:
        document: ``variants.json``; None where there is none.
        wanted: what stands under ``optimize:`` of the model's entry.
        weights_sha256: tree digest of the weights that are to be tagged; None where it is not known.
    """
    recorded = (document or {}).get("variants") or {}
    missing = sorted(str(name) for name in wanted if name not in recorded) if isinstance(wanted, Mapping) else []
    if missing:
        return f"its variant {missing[0]} has not been made", "dvc repro"
    parent = ((document or {}).get("parent") or {}).get("sha256")
    if recorded and weights_sha256 is not None and parent != weights_sha256:
        return "its variants were made of other weights", "dvc repro"
    for name, record in sorted(recorded.items()):
        if record.get("ok") is not True:
            failed = [check for check in record.get("checks") or () if check.get("ok") is not True]
            why = "; ".join(f"{check.get('name')}: {check.get('message')}" for check in failed[:3]) or "no verdict"
            hint = next((str(check["hint"]) for check in failed if check.get("hint")), "")
            return f"its variant {name} fails: {why}", hint or "mend `optimize:` in params.yaml, then: dvc repro"
    return None
