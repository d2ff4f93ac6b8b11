"""The order of a sidecar's keys, and what becomes of keys that this modelver does not know."""

from collections.abc import Mapping
from typing import Any

_FREE: dict[str, Any] = {"*": None}  # a mapping whose keys are data: sorted, none of them is unknown
_VALUE: dict[str, Any] = {"name": None, "dtype": None, "shape": None}
_POINTER: dict[str, Any] = {"path": None, "md5": None, "bytes": None}
_ORDER: dict[str, Any] = {
    "schema": None,
    "model": None,
    "version": None,
    "previous": None,
    "description": None,
    "owner": None,
    "license": None,
    "intended_use": None,
    "limitations": None,
    "kind": None,
    "weights": dict.fromkeys(("path", "md5", "sha256", "bytes", "files", "tensors", "parameters")),
    "source": dict.fromkeys(("path", "format", "framework", "framework_version", "bytes", "sha256")),
    "format": {
        "name": None,
        "ir_version": None,
        "opsets": _FREE,
        "producer": None,
        "functions": None,
        "shards": None,
        "metadata": _FREE,
    },
    "signature": {"inputs": [_VALUE], "outputs": [_VALUE], "labels": None},
    "graph": {"operators": _FREE, "nodes": None, "digest": None},
    "params": {"*": _FREE},
    "metrics": _FREE,
    "validation": {"ok": None, "checks": [dict.fromkeys(("name", "ok", "value", "limit", "message"))]},
    "targets": {"*": dict.fromkeys(("ran", "ok", "version"))},
    "lineage": [{"stage": None, "cmd": None, "deps": [_POINTER], "outs": [_POINTER]}],
    "environment": {"python": None, "platform": None, "packages": _FREE},
    "variants": _FREE,
}
"""Known keys in the order they are written; a list holds the order of each of its items."""


def ordered(document: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with known keys in the fixed order, then unknown ones as found; data keys are sorted."""
    result: dict[str, Any] = _ordered(document, _ORDER)
    return result


def merge_unknown(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """``new`` with the keys of ``old`` that this modelver does not know, as a newer one wrote them.

    Looked for at the top and in the sections that have fixed keys, where ``new`` has that section too.
    """
    return ordered(_merge(old, new, _ORDER))


def _ordered(value: Any, order: Any) -> Any:
    if isinstance(value, Mapping) and isinstance(order, dict):
        if "*" in order:
            return {key: _ordered(value[key], order["*"]) for key in sorted(value)}
        known = [key for key in order if key in value]
        unknown = [key for key in value if key not in order]
        return {key: _ordered(value[key], order.get(key)) for key in (*known, *unknown)}
    if isinstance(value, list | tuple):
        each = order[0] if isinstance(order, list) else None
        return [_ordered(item, each) for item in value]
    if isinstance(value, Mapping):
        return {key: _ordered(item, None) for key, item in value.items()}
    return value


def _merge(old: Any, new: Any, order: Any) -> Any:
    if not (isinstance(old, Mapping) and isinstance(new, Mapping) and isinstance(order, dict)) or "*" in order:
        return new
    merged = {key: _merge(old.get(key), value, order.get(key)) for key, value in new.items()}
    merged.update({key: value for key, value in old.items() if key not in order and key not in new})
    return merged
