"""The sidecar ``models/NAME/metadata.yaml``: assemble, check, order.

A sidecar is handled as a plain dict of JSON's types. Turning it to and from YAML is an adapter's work. The JSON
Schema beside the package (``modelver/schemas/sidecar-1.schema.json``) is what other tools may rely on.
"""

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from modelver.core import variants as variant_rules
from modelver.core.card import CardFacts
from modelver.core.manifest import FileEntry, TensorEntry, tree_digest
from modelver.core.printable import printable, shorten
from modelver.errors import InvalidInput

SCHEMA = "modelver/sidecar/1"
MAX_DEPTH = 40
"""Levels of nesting accepted; modelver writes at most 6, and params rarely more than that."""

_UPGRADE = "upgrade modelver: pip install --upgrade modelver"
_REVALIDATE = "run the validate stage again: dvc repro"
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


def build(
    *,
    model: str,
    version: str,
    previous: str | None,
    kind: str,
    path: str,
    desc: str | None,
    card: CardFacts,
    md5: str,
    files: Sequence[FileEntry],
    tensors: Sequence[TensorEntry] | None,
    source: Mapping[str, Any] | None,
    validation: Mapping[str, Any] | None,
    lineage: Sequence[Mapping[str, Any]] = (),
    params: Mapping[str, Mapping[str, Any]] | None = None,
    variants: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The sidecar of one version: a pure function of its arguments.

    Args:
        model, version, previous: names and full versions (``v1.2.3``).
        kind: ``pipeline``, ``ingested`` or ``plain``.
        path: the weights, relative to the repository.
        desc: the description in ``artifacts:`` of ``dvc.yaml``; used where the card has none.
        card: the card's facts.
        md5: DVC's hash of the weights, with ``.dir`` for a folder.
        files: the files of the weights; paths relative to the folder, or the file's name.
        tensors: the tensor manifest; None for a plain model.
        source: the document ``source.json``; None for a plain model.
        validation: the document ``validation.json``; None where no validation ran.
        lineage: the stages, upstream first.
        params: parameter file → name → value.
        variants: the document ``variants.json``; None where no optimize stage ran.

    Raises:
        InvalidInput: a fact is missing or of the wrong type; a metric or a parameter is NaN or infinite.
    """
    origin: Mapping[str, Any] = source or {}
    checked: Mapping[str, Any] = validation or {}
    document = {
        "schema": SCHEMA,
        "model": model,
        "version": version,
        "previous": previous,
        "description": card.description or desc or None,
        "owner": card.owner,
        "license": card.license,
        "intended_use": card.intended_use,
        "limitations": card.limitations,
        "kind": kind,
        "weights": _weights(path, md5, files, tensors),
        "source": origin.get("source") or _plain_source(path, md5, files),
        "format": origin.get("format"),
        "signature": origin.get("signature"),
        "graph": origin.get("graph"),
        "params": dict(params or {}),
        "metrics": flatten(_mapping(checked, "metrics")),
        "validation": None if validation is None else _verdicts(checked),
        "targets": dict(_mapping(checked, "targets")),
        "lineage": list(lineage),
        "environment": origin.get("environment"),
        "variants": {} if variants is None else variant_rules.section(variants),
    }
    validate(document, f"models/{model}/metadata.yaml, as it would be written")
    return ordered(document)


def validate(document: object, where: str) -> None:
    """Check a sidecar against the schema.

    Args:
        document: what the YAML adapter read.
        where: the file's name, for the message.

    Raises:
        InvalidInput: it is no sidecar; the message names the file and the field (``weights.bytes``).
    """
    if not isinstance(document, Mapping):
        raise InvalidInput(f"{where}: not a sidecar, expected a mapping at the top", "record it again")
    _check_schema_id(document, where)
    for field in ("version", "previous"):
        value = document.get(field)
        if value is not None and not isinstance(value, str):
            raise InvalidInput(
                f"{where}: {field}: {_show(value)} is read as {_type(value)}, not as text",
                f'put the whole version in quotes, as in {field}: "v1.10.0"',
            )
    _check_plain(document, where, "", 0)
    errors = _validator().iter_errors(document)
    problems = [(list(e.instance_path), _reason(e)) for e in errors]
    if problems:
        place, reason = min(problems, key=lambda p: (len(p[0]), [str(part) for part in p[0]]))
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        name = _dotted(place)
        raise InvalidInput(
            f"{where}: {name + ': ' if name else ''}{reason}{more}", "record it again, or mend the field"
        )


def is_newer(document: Mapping[str, Any]) -> bool:
    """Whether a sidecar carries the id of a schema that this modelver does not know."""
    schema = document.get("schema")
    return isinstance(schema, str) and schema.startswith("modelver/sidecar/") and schema != SCHEMA


def ordered(document: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with known keys in the fixed order, then unknown ones as found; data keys are sorted."""
    result: dict[str, Any] = _ordered(document, _ORDER)
    return result


def merge_unknown(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """``new`` with the keys of ``old`` that this modelver does not know, as a newer one wrote them.

    Looked for at the top and in the sections that have fixed keys, where ``new`` has that section too.
    """
    merged: dict[str, Any] = _merge(old, new, _ORDER)
    return _ordered(merged, _ORDER)  # type: ignore[no-any-return]


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, names joined with ``.``; anything but numbers is left out.

    A boolean is a verdict and no measurement, so it is left out too.

    Raises:
        InvalidInput: nested more than `MAX_DEPTH` levels deep.
    """
    if prefix.count(".") > MAX_DEPTH:
        raise InvalidInput(f"metrics: nested more than {MAX_DEPTH} levels deep", _REVALIDATE)
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            flat[f"{prefix}{key}"] = value
    return flat


def _weights(path: str, md5: str, files: Sequence[FileEntry], tensors: Sequence[TensorEntry] | None) -> dict[str, Any]:
    return {
        "path": path,
        "md5": md5,
        "sha256": _digest(md5, files),
        "bytes": sum(f.bytes for f in files),
        "files": len(files),
        "tensors": None if tensors is None else len(tensors),
        "parameters": None if tensors is None else sum(math.prod(t.shape) for t in tensors),
    }


def _digest(md5: str, files: Sequence[FileEntry]) -> str:
    if md5.endswith(".dir"):
        return tree_digest(files)
    if len(files) != 1:
        raise InvalidInput(f"weights with hash {md5} are one file, but the manifest lists {len(files)}")
    return files[0].sha256


def _plain_source(path: str, md5: str, files: Sequence[FileEntry]) -> dict[str, Any]:
    return {
        "path": path,
        "format": plain_format(files),
        "framework": None,
        "framework_version": None,
        "bytes": sum(f.bytes for f in files),
        "sha256": _digest(md5, files),
    }


_SUFFIXES = {
    "gguf": "gguf",
    "ggml": "ggml",
    "onnx": "onnx",
    "safetensors": "safetensors",
    "pt": "pytorch",
    "pt2": "pytorch",
    "pth": "pytorch",
    "ckpt": "checkpoint",
    "pkl": "pickle",
    "pickle": "pickle",
    "joblib": "joblib",
    "h5": "hdf5",
    "keras": "keras",
    "tflite": "tflite",
    "pb": "protobuf",
    "pmml": "pmml",
    "ubj": "xgboost",
    "cbm": "catboost",
    "mlmodel": "coreml",
    "engine": "tensorrt",
    "npz": "numpy",
    "npy": "numpy",
}


def plain_format(files: Sequence[FileEntry]) -> str:
    """The format of a plain model by its files' names: the one that is known, else ``files``."""
    suffixes = {f.path.lower().rpartition("/")[2].rpartition(".")[2] for f in files if "." in f.path}
    known = {_SUFFIXES[suffix] for suffix in suffixes if suffix in _SUFFIXES}
    return known.pop() if len(known) == 1 else "files"


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key) or {}
    if not isinstance(value, Mapping):
        raise InvalidInput(f"validation.json: {key}: expected an object, found {_type(value)}", _REVALIDATE)
    return value


def _verdicts(validation: Mapping[str, Any]) -> dict[str, Any]:
    checks = []
    listed = validation.get("checks") or []
    if not isinstance(listed, list | tuple) or not all(isinstance(check, Mapping) for check in listed):
        raise InvalidInput("validation.json: checks: expected a list of objects", _REVALIDATE)
    for check in listed:
        kept = {key: check.get(key) for key in ("name", "ok", "value", "limit", "message")}
        for key in ("value", "limit"):  # a NaN parity is a failed check, and its message says so
            if isinstance(kept[key], float) and not math.isfinite(kept[key]):
                kept[key] = None
        checks.append(kept)
    return {"ok": validation.get("ok"), "checks": checks}


def _check_schema_id(document: Mapping[str, Any], where: str) -> None:
    schema = document.get("schema")
    if is_newer(document):
        raise InvalidInput(f"{where}: schema: {_show(schema)} is newer than this modelver reads ({SCHEMA})", _UPGRADE)
    if schema != SCHEMA:
        found = "is missing" if schema is None else f"is {_show(schema)}"
        raise InvalidInput(f"{where}: schema: {found}, expected {SCHEMA}", "record it again")


def _check_plain(value: object, where: str, place: str, depth: int) -> None:
    """Only what JSON can say: the schema library would raise a ValueError without a place on anything else."""
    if depth > MAX_DEPTH:
        raise InvalidInput(f"{where}: {place}: nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                hint = "put the name in quotes"
                raise InvalidInput(f"{where}: {_join(place, _show(key))}: the name is {_type(key)}, not text", hint)
            _check_text(key, where, place)
            _check_plain(item, where, _join(place, printable(key)), depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_plain(item, where, f"{place}[{index}]", depth + 1)
    elif isinstance(value, str):
        _check_text(value, where, place)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidInput(f"{where}: {place}: {value} is not a finite number")
    elif value is not None and not isinstance(value, int | bool):
        raise InvalidInput(f"{where}: {place}: {_type(value)} where text or a number belongs", "put it in quotes")


def _check_text(text: str, where: str, place: str) -> None:
    """JSON and YAML can spell half a surrogate pair (``\\ud800``), which UTF-8 can't."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidInput(f"{where}: {place}: {ascii(text)[:80]} is no text that UTF-8 can hold") from None


@cache
def _validator() -> Any:
    import jsonschema_rs

    name = SCHEMA.replace("modelver/", "").replace("/", "-") + ".schema.json"
    text = resources.files("modelver.schemas").joinpath(name).read_text(encoding="utf-8")
    return jsonschema_rs.validator_for(json.loads(text))


def _reason(error: Any) -> str:
    """The library's error in our words; its own message repeats the whole instance."""
    kind = error.kind
    if kind.name == "required":
        return f"field {kind.property} is missing"
    if kind.name == "type":
        return f"expected {' or '.join(kind.types)}, found {_type(error.instance)}"
    shown = _show(error.instance)
    if kind.name == "pattern":
        return f"{shown} does not have the expected form"
    if kind.name == "enum":
        return f"{shown} is none of {', '.join(str(option) for option in kind.options)}"
    if kind.name == "minimum":
        return f"{shown} is less than {kind.limit}"
    return f"{shown} breaks the rule {kind.name}"


_TYPES = {"dict": "object", "list": "array", "str": "string", "bool": "boolean", "int": "integer", "float": "number"}


def _type(value: object) -> str:
    return "null" if value is None else _TYPES.get(type(value).__name__, type(value).__name__)


def _show(value: object) -> str:
    if isinstance(value, Mapping | list | tuple):
        return _type(value)
    if isinstance(value, int) and value.bit_length() > 256:  # Python refuses to spell out 4,300 digits and more
        return f"a number of {value.bit_length():,} bits"
    return shorten(printable(repr(value)), 60)


def _join(place: str, key: str) -> str:
    return f"{place}.{shorten(key, 60)}" if place else shorten(key, 60)


def _dotted(place: Sequence[str | int]) -> str:
    text = ""
    for part in place:
        text = f"{text}[{part}]" if isinstance(part, int) else _join(text, printable(part))
    return text


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
