"""The sections of a diff: what two sidecars and their manifests hold, flattened to names and compared by name."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from modelver.core import metrics
from modelver.core.manifest import FileEntry, TensorEntry

Facts = dict[str, Any]
Sidecar = Mapping[str, Any]
T = TypeVar("T")

_METADATA = ("description", "owner", "license", "intended_use", "limitations", "kind")
_IDENTITY = ("schema", "model", "version", "previous")
"""What tells two versions apart by definition: facts about the sides, never a difference of theirs."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that only one side has: its name and value (plain JSON)."""

    name: str
    value: Any

    def to_dict(self) -> Facts:
        """``{"name", "value"}``."""
        return {"name": self.name, "value": self.value}


@dataclass(frozen=True, slots=True)
class Change:
    """Something that both sides have, with different values.

    Attributes:
        name: what it is.
        a, b: the values (plain JSON).
        detail: what more there is to say: a metric's ``delta``, ``direction`` and ``better``, a tensor's ``moved``.
    """

    name: str
    a: Any
    b: Any
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> Facts:
        """``{"name", "a", "b"}`` and the details beside them."""
        return {"name": self.name, "a": self.a, "b": self.b, **self.detail}


@dataclass(frozen=True, slots=True)
class Section:
    """One section of a diff, each part in the order of names (the signature's: in that of the model).

    Attributes:
        added, removed: what only the newer, or only the older side has.
        changed: what both have and differs.
        renamed: for files and tensors: same content under another name, ``a`` the older and ``b`` the newer one;
            None in sections that do not look for it.
        same: for tensors, how many are the same on both sides; None elsewhere.
    """

    added: tuple[Entry, ...] = ()
    removed: tuple[Entry, ...] = ()
    changed: tuple[Change, ...] = ()
    renamed: tuple[Change, ...] | None = None
    same: int | None = None

    @property
    def empty(self) -> bool:
        """Whether the two sides agree."""
        return not (self.added or self.removed or self.changed or self.renamed)

    def to_dict(self) -> Facts:
        """Lists of objects under ``changed``, ``added``, ``removed``; where looked for, ``renamed`` and ``same``."""
        result: Facts = {} if self.same is None else {"same": self.same}
        result["changed"] = [c.to_dict() for c in self.changed]
        result["added"] = [e.to_dict() for e in self.added]
        result["removed"] = [e.to_dict() for e in self.removed]
        if self.renamed is not None:
            result["renamed"] = [c.to_dict() for c in self.renamed]
        return result


def sections(
    a: Sidecar | None,
    b: Sidecar | None,
    tensors_a: Iterable[TensorEntry] | None = None,
    tensors_b: Iterable[TensorEntry] | None = None,
    files_a: Iterable[FileEntry] | None = None,
    files_b: Iterable[FileEntry] | None = None,
    directions: Mapping[str, str] | None = None,
) -> dict[str, Section]:
    """Every section, by name and in the order of the JSON form; no weights are needed.

    Raises:
        InvalidInput: an override of a metric's direction is neither ``max`` nor ``min``.
    """
    old, new = a or {}, b or {}
    found = {name: compare(flat(old), flat(new)) for name, flat in _FLATTEN.items()}
    found["signature"] = _with_order(found["signature"], old, new)
    found["metrics"] = _with_direction(found["metrics"], old, new, directions)
    found["files"] = compare_files(files_a or (), files_b or ())
    found["tensors"] = compare_tensors(tensors_a or (), tensors_b or ())
    return found


def compare(a: Facts, b: Facts) -> Section:
    """Two flat mappings; keys keep the order they have."""
    return Section(
        added=tuple(Entry(name, value) for name, value in b.items() if name not in a),
        removed=tuple(Entry(name, value) for name, value in a.items() if name not in b),
        changed=tuple(
            Change(name, value, b[name]) for name, value in a.items() if name in b and not same(value, b[name])
        ),
    )


def same(a: object, b: object) -> bool:
    """Equal as JSON: True is not 1, but 1 is 1.0; the order of keys does not count."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, Mapping | list | tuple) or isinstance(b, Mapping | list | tuple):
        return json.dumps(a, sort_keys=True, default=str) == json.dumps(b, sort_keys=True, default=str)
    return a == b


def compare_files(a: Iterable[FileEntry], b: Iterable[FileEntry]) -> Section:
    """Two file manifests, by path; a file of the same SHA-256 under another path is renamed."""
    old, new = _by_name(a, lambda f: f.path), _by_name(b, lambda f: f.path)
    renamed = _renames(old, new, lambda f: f.sha256)
    return _section(old, new, renamed, _file_facts, lambda f: f.sha256)


def compare_tensors(a: Iterable[TensorEntry], b: Iterable[TensorEntry]) -> Section:
    """Two tensor manifests, by name; same content, type and shape under another name is renamed.

    The detail ``moved`` of a changed tensor is `moved_at_least`.
    """
    old, new = _by_name(a, lambda t: t.name), _by_name(b, lambda t: t.name)
    found = _section(old, new, _renames(old, new, _content), _tensor_facts, _content)
    changed = tuple(
        Change(c.name, c.a, c.b, {"moved": moved_at_least(old[c.name], new[c.name])}) for c in found.changed
    )
    same_count = len(old.keys() & new.keys()) - len(changed)
    return Section(found.added, found.removed, changed, found.renamed, same_count)


def moved_at_least(a: TensorEntry, b: TensorEntry) -> float | None:
    """A lower bound of ``‖b - a‖ / ‖a‖`` (L2), from the statistics in the manifests alone.

    Split each tensor into its mean and the rest: the means' parts and the rests are orthogonal, so
    ``‖b - a‖² ≥ n·(mean_b - mean_a)² + (‖rest_b‖ - ‖rest_a‖)²`` by the triangle inequality. And no element can have
    moved less than the extremes did: ``‖b - a‖ ≥ max(|max_b - max_a|, |min_b - min_a|)``.

    Returns:
        The larger bound, to 4 significant digits; 0 where the statistics agree though the bytes do not. None where
        shapes differ, ``a`` is all zeros, a statistic is absent, or there are NaN or infinite elements.
    """
    if a.shape != b.shape or a.nonfinite or b.nonfinite or not a.l2:
        return None
    if a.mean is None or b.mean is None or b.l2 is None:
        return None
    count = math.prod(a.shape)
    means = math.sqrt(count) * (b.mean - a.mean)
    bound = math.hypot(means, _rest(b.l2, b.mean, count) - _rest(a.l2, a.mean, count))
    for old, new in ((a.max, b.max), (a.min, b.min)):
        if old is not None and new is not None:
            bound = max(bound, abs(new - old))
    ratio = bound / a.l2
    return float(f"{ratio:.4g}") if math.isfinite(ratio) else None


def _rest(l2: float, mean: float, count: int) -> float:
    """L2 norm of a tensor less its mean; rounding may take the difference below zero."""
    flat = math.sqrt(count) * abs(mean)
    return math.sqrt(max((l2 - flat) * (l2 + flat), 0.0))


def flatten(value: Mapping[str, Any], prefix: str = "", keep_null: bool = False) -> Facts:
    """Nested mappings as one, names joined with ``.``; lists are values, nulls are absent unless asked for."""
    flat: Facts = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            flat.update(flatten(item, f"{prefix}{key}.", keep_null))
        elif item is not None or keep_null:
            flat[f"{prefix}{key}"] = item
    return flat


def _metadata(doc: Sidecar) -> Facts:
    known = {key: doc[key] for key in _METADATA if doc.get(key) is not None}
    handled = {*_FLATTEN, *_METADATA, *_IDENTITY}
    # Keys of a newer modelver are shown rather than dropped: a reviewer must see every difference.
    return known | flatten({key: value for key, value in doc.items() if key not in handled})


def _block(key: str) -> Callable[[Sidecar], Facts]:
    return lambda doc: flatten(doc.get(key) or {})


def _signature(doc: Sidecar) -> Facts:
    signature = doc.get("signature") or {}
    flat = {
        f"{side}.{value['name']}": {key: item for key, item in value.items() if key != "name"}
        for side in ("inputs", "outputs")
        for value in signature.get(side) or ()
    }
    rest = {key: item for key, item in signature.items() if key not in ("inputs", "outputs")}
    return flat | flatten(rest)


def _params(doc: Sidecar) -> Facts:
    """Names as ``dvc params diff`` shows them to people: ``params.yaml:train.max_iter``."""
    flat: Facts = {}
    for path, values in (doc.get("params") or {}).items():
        flat.update(flatten(values, f"{path}:", keep_null=True))
    return flat


def _validation(doc: Sidecar) -> Facts:
    validation = doc.get("validation") or {}
    flat = {
        f"checks.{check['name']}": {key: item for key, item in check.items() if key != "name"}
        for check in validation.get("checks") or ()
    }
    return flatten({key: item for key, item in validation.items() if key != "checks"}) | flat


def _whole(key: str) -> Callable[[Sidecar], Facts]:
    return lambda doc: dict(doc.get(key) or {})


def _lineage(doc: Sidecar) -> Facts:
    flat: Facts = {}
    for step in doc.get("lineage") or ():
        stage = step["stage"]
        if step.get("cmd") is not None:
            flat[f"{stage}.cmd"] = step["cmd"]
        for side in ("deps", "outs"):
            for pointer in step.get(side) or ():
                flat[f"{stage}.{side}.{pointer['path']}"] = {k: v for k, v in pointer.items() if k != "path"}
    return flat


_FLATTEN: dict[str, Callable[[Sidecar], Facts]] = {
    "metadata": _metadata,
    "weights": _block("weights"),
    "source": _block("source"),
    "format": _block("format"),
    "signature": _signature,
    "graph": _block("graph"),
    "metrics": _block("metrics"),
    "params": _params,
    "validation": _validation,
    "targets": _whole("targets"),
    "lineage": _lineage,
    "environment": _block("environment"),
    "variants": _whole("variants"),
}


def _with_order(section: Section, a: Sidecar, b: Sidecar) -> Section:
    """Callers may go by position, so another order of the same names is a change, named ``inputs`` or ``outputs``."""
    changes = []
    for side in ("inputs", "outputs"):
        old, new = ([v["name"] for v in (doc.get("signature") or {}).get(side) or ()] for doc in (a, b))
        if [n for n in old if n in new] != [n for n in new if n in old]:
            changes.append(Change(side, old, new))
    return Section(section.added, section.removed, (*changes, *section.changed))


def _with_direction(section: Section, a: Sidecar, b: Sidecar, directions: Mapping[str, str] | None) -> Section:
    compared = metrics.compare(a.get("metrics") or {}, b.get("metrics") or {}, directions)
    changed = tuple(
        Change(m.name, m.a, m.b, {"delta": m.delta, "direction": m.direction, "better": m.better}) for m in compared
    )
    return Section(section.added, section.removed, changed)


def _by_name(entries: Iterable[T], name: Callable[[T], str]) -> dict[str, T]:
    return {name(entry): entry for entry in sorted(entries, key=name)}


def _section(
    old: dict[str, T],
    new: dict[str, T],
    renamed: Sequence[Change],
    facts: Callable[[T], Facts],
    key: Callable[[T], object],
) -> Section:
    gone, come = {c.a for c in renamed}, {c.b for c in renamed}
    return Section(
        added=tuple(Entry(n, facts(e)) for n, e in new.items() if n not in old and n not in come),
        removed=tuple(Entry(n, facts(e)) for n, e in old.items() if n not in new and n not in gone),
        changed=tuple(Change(n, facts(e), facts(new[n])) for n, e in old.items() if n in new and key(e) != key(new[n])),
        renamed=tuple(renamed),
    )


def _renames(old: dict[str, T], new: dict[str, T], key: Callable[[T], object]) -> list[Change]:
    """Pair what went with what came by content; among equal contents (zero biases) in the order of names."""
    arrived: defaultdict[object, list[str]] = defaultdict(list)
    for name, entry in new.items():
        if name not in old:
            arrived[key(entry)].append(name)
    pairs: list[Change] = []
    taken: defaultdict[object, int] = defaultdict(int)
    for name, entry in old.items():
        content = key(entry)
        if name not in new and taken[content] < len(arrived.get(content, ())):
            target = arrived[content][taken[content]]
            taken[content] += 1
            pairs.append(Change(target, name, target))
    return pairs


def _content(entry: TensorEntry) -> object:
    return (entry.sha256, entry.dtype, entry.shape)


def _file_facts(entry: FileEntry) -> Facts:
    return {"bytes": entry.bytes, "sha256": entry.sha256}


def _tensor_facts(entry: TensorEntry) -> Facts:
    # Spelled out, for dataclasses.asdict copies deeply and takes ten times as long on 100,000 tensors.
    return {
        "dtype": entry.dtype,
        "shape": list(entry.shape),
        "bytes": entry.bytes,
        "sha256": entry.sha256,
        "l2": entry.l2,
        "min": entry.min,
        "max": entry.max,
        "mean": entry.mean,
        "zeros": entry.zeros,
        "nonfinite": entry.nonfinite,
    }
