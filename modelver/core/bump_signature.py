"""What a change of an ONNX model's signature asks of its callers.

A caller feeds inputs and reads outputs, by name or by position. An input may accept more than before, an output may
promise more than before; the other way round, a caller breaks.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from modelver.core.printable import printable, shorten

Level = Literal["none", "patch", "minor", "major"]
Finding = tuple[Level, str]
"""A level and a short sentence."""

_Value = Mapping[str, Any]
_Position = tuple[str, int]


def judge_signature(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Finding]:
    """The findings for two signatures ``{"inputs", "outputs", "labels"}``; none where they agree."""
    inputs_a, inputs_b = _named(a, "inputs"), _named(b, "inputs")
    outputs_a, outputs_b = _named(a, "outputs"), _named(b, "outputs")
    findings = [*_names("input", inputs_a, inputs_b), *_names("output", outputs_a, outputs_b)]
    for name in inputs_a.keys() & inputs_b.keys():
        findings += _types(f"input {quoted(name)}", inputs_a[name], inputs_b[name])
        findings += _input_shape(name, inputs_a[name].get("shape"), inputs_b[name].get("shape"))
    findings += _equal_dimensions(inputs_a, inputs_b)
    ties_a, ties_b = _ties(inputs_a), _ties(inputs_b)
    # An input that went or was fixed has a finding of its own; its outputs need not repeat it.
    still_open = {place for places in ties_b.values() for place in places} | _unnamed(inputs_b)
    ties_a = {symbol: places & still_open for symbol, places in ties_a.items()}
    for name in outputs_a.keys() & outputs_b.keys():
        findings += _types(f"output {quoted(name)}", outputs_a[name], outputs_b[name])
        findings += _output_shape(name, outputs_a[name].get("shape"), outputs_b[name].get("shape"), ties_a, ties_b)
    return sorted(set(findings + _labels(a.get("labels"), b.get("labels"))))


def quoted(name: str) -> str:
    """A model's name for something, safe to show and short enough for a sentence."""
    return f"'{shorten(printable(name), 40)}'"


def _named(signature: Mapping[str, Any], side: str) -> dict[str, _Value]:
    return {value["name"]: value for value in signature.get(side) or ()}


def _names(what: str, a: dict[str, _Value], b: dict[str, _Value]) -> list[Finding]:
    """Added, removed, renamed, moved."""
    findings: list[Finding] = []
    removed, added = [n for n in a if n not in b], [n for n in b if n not in a]
    order_a, order_b = list(a), list(b)
    for old in list(removed):
        index = order_a.index(old)
        new = order_b[index] if index < len(order_b) else None
        if new in added and all(a[old].get(key) == b[new].get(key) for key in ("dtype", "shape")):
            findings.append(("major", f"{what} {quoted(old)} renamed to {quoted(new)}"))
            removed.remove(old)
            added.remove(new)
    findings += [("major", f"{what} {quoted(name)} removed") for name in removed]
    findings += [_added(what, name, b[name]) for name in added]
    common = [name for name in a if name in b]
    if common != [name for name in b if name in a]:
        findings.append(("major", f"order of {what}s changed"))
    elif added and not removed and any(order_a.index(name) != order_b.index(name) for name in common):
        findings.append(("major", f"{what} {quoted(added[0])} stands before older ones, which changes their positions"))
    return findings


def _added(what: str, name: str, value: _Value) -> Finding:
    if what == "input" and value.get("optional") is not True:
        # Every graph input without an initializer has to be fed; a caller of the older version does not feed it.
        return "major", f"input {quoted(name)} added, which callers do not supply"
    return "minor", f"{what} {quoted(name)} added"


def _types(what: str, a: _Value, b: _Value) -> list[Finding]:
    old, new = a.get("dtype"), b.get("dtype")
    return [] if old == new else [("major", f"{what} retyped from {_type(old)} to {_type(new)}")]


def _type(dtype: object) -> str:
    return shorten(printable(str(dtype or "?")), 20)


def _input_shape(name: str, a: Sequence[Any] | None, b: Sequence[Any] | None) -> list[Finding]:
    what = f"input {quoted(name)}"
    if a is None or b is None:
        if a is None and b is not None:
            return [("major", f"shape of {what} narrowed from any to {shape_text(b)}")]
        return [] if a is b else [("minor", f"{what} accepts any shape")]
    change = f"from {shape_text(a)} to {shape_text(b)}"
    if len(a) != len(b) or any(_fixed(new) and old != new for old, new in zip(a, b, strict=True)):
        verb = "narrowed" if len(a) == len(b) and not any(_both_fixed(p) for p in _moved(a, b)) else "changed"
        return [("major", f"shape of {what} {verb} {change}")]
    if any(_fixed(old) and not _fixed(new) for old, new in zip(a, b, strict=True)):
        return [("minor", f"shape of {what} widened {change}")]
    return [] if list(a) == list(b) else [("patch", f"dimensions of {what} have other names")]


def _output_shape(
    name: str,
    a: Sequence[Any] | None,
    b: Sequence[Any] | None,
    ties_a: Mapping[str, set[_Position]],
    ties_b: Mapping[str, set[_Position]],
) -> list[Finding]:
    what = f"output {quoted(name)}"
    if a is None or b is None:
        if a is not None:
            return [("major", f"{what} no longer promises the shape {shape_text(a)}")]
        return [] if b is None else [("minor", f"{what} promises the shape {shape_text(b)}")]
    change = f"from {shape_text(a)} to {shape_text(b)}"
    if len(a) != len(b) or any(_fixed(old) and old != new for old, new in zip(a, b, strict=True)):
        return [("major", f"shape of {what} changed {change}")]
    for old, new in zip(a, b, strict=True):
        follows = ties_a.get(old, set()) if isinstance(old, str) else set()
        kept = ties_b.get(new, set()) if isinstance(new, str) else set()
        if not follows <= kept:
            source = quoted(min(follows - kept)[0])
            return [("major", f"shape of {what} no longer follows input {source} ({change})")]
    if any(_fixed(new) and not _fixed(old) for old, new in zip(a, b, strict=True)):
        return [("minor", f"shape of {what} promises more {change}")]
    return [] if list(a) == list(b) else [("patch", f"dimensions of {what} have other names")]


def _equal_dimensions(a: dict[str, _Value], b: dict[str, _Value]) -> list[Finding]:
    """Inputs whose named dimensions were free of each other and now must be equal: narrower, with no fixed size."""
    old = {(name, i): dim for name, value in a.items() for i, dim in enumerate(value.get("shape") or ())}
    for symbol, places in _ties(b).items():
        named = {old[place] for place in places if isinstance(old.get(place), str)}
        if len(named) > 1:
            dims = ", ".join(quoted(dim) for dim in sorted(named))
            return [("major", f"input dimensions {dims} must now be equal ({quoted(symbol)})")]
    return []


def _ties(inputs: dict[str, _Value]) -> dict[str, set[_Position]]:
    """Symbolic dimension → the places of the inputs that have it."""
    places: dict[str, set[_Position]] = {}
    for name, value in inputs.items():
        for index, dim in enumerate(value.get("shape") or ()):
            if isinstance(dim, str):
                places.setdefault(dim, set()).add((name, index))
    return places


def _unnamed(inputs: dict[str, _Value]) -> set[_Position]:
    """The places of the inputs whose size is open and has no name."""
    return {(n, i) for n, value in inputs.items() for i, dim in enumerate(value.get("shape") or ()) if dim is None}


def _labels(a: Sequence[Any] | None, b: Sequence[Any] | None) -> list[Finding]:
    if a == b:
        return []
    if a is None:
        return [("minor", "labels added")]
    if b is None:
        return [("major", "labels removed")]
    if sorted(map(repr, a)) == sorted(map(repr, b)):
        return [("major", "labels reordered")]
    return [("major", f"labels changed ({len(a)} before, {len(b)} now)")]


def shape_text(shape: Sequence[Any] | None) -> str:
    """``[N, 64, ?]``, names of dimensions made printable; ``any`` where the rank is not known."""
    if shape is None:
        return "any"
    dims = ("?" if dim is None else shorten(printable(str(dim)), 20) for dim in shape[:12])
    return f"[{', '.join(dims)}{', …' if len(shape) > 12 else ''}]"


def _fixed(dim: object) -> bool:
    return isinstance(dim, int)


def _moved(a: Sequence[Any], b: Sequence[Any]) -> list[tuple[Any, Any]]:
    return [(old, new) for old, new in zip(a, b, strict=True) if old != new]


def _both_fixed(pair: tuple[Any, Any]) -> bool:
    return _fixed(pair[0]) and _fixed(pair[1])
