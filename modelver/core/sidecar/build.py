"""Assembling a sidecar from what the files in Git say."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from modelver.core import variants as variant_rules
from modelver.core.card import CardFacts
from modelver.core.manifest import FileEntry, TensorEntry, tree_digest
from modelver.core.sidecar.check import MAX_DEPTH, SCHEMA, json_type, validate
from modelver.core.sidecar.order import ordered
from modelver.errors import InvalidInput

_REVALIDATE = "run the validate stage again: dvc repro"


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
        raise InvalidInput(f"validation.json: {key}: expected an object, found {json_type(value)}", _REVALIDATE)
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
