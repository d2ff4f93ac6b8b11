"""``modelver stage validate NAME``: is the exported model whole, does it run, and does it say what its source said?"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.core.gates import Check, judge_gates, rounded
from modelver.core.layout import Layout
from modelver.core.manifest import FileEntry, load_files
from modelver.core.model_settings import ModelSettings, parse_settings
from modelver.core.parity import Difference, is_discontinuous, judge_parity
from modelver.errors import InvalidInput, NotFound
from modelver.formats import compare, dataset, golden, onnx_describe
from modelver.formats.digest import Digester, Progress
from modelver.formats.output import write_atomically
from modelver.operations import scores
from modelver.runtimes import base

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

SCHEMA = "modelver/validation/1"

BATCH = 1024
"""Rows that run at once where the model leaves the choice."""

_MODEL = "model.onnx"
_RUNTIME = "onnxruntime"


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """What a run found.

    Attributes:
        model: the model's name.
        ok: whether every check passed.
        metrics: by name, rounded as recorded.
        parity: None where no test data was recorded.
        checks: every verdict, in the order in which they were reached.
        document: the content of ``validation.json``.
    """

    model: str
    ok: bool
    metrics: Mapping[str, float]
    parity: Difference | None
    checks: tuple[Check, ...]
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Ran:
    checks: tuple[Check, ...]
    metrics: Mapping[str, float]
    parity: Difference | None
    target: Mapping[str, Any]


def run(root: Path, model: str, settings: Mapping[str, Any], progress: Progress | None = None) -> ValidationResult:
    """Validate ``models/NAME/weights/`` and write ``models/NAME/validation.json``.

    A verdict that says no is written and returned, and does not raise: the DVC stage must end with status 0, or
    ``dvc repro`` would not record what was found. ``modelver tag`` and ``modelver check`` refuse on it. Weights whose
    digests are wrong are not opened at all.

    The file depends on the weights, the data, the settings and the runtime alone: no times, no latencies.

    Args:
        root: the repository's top.
        model: the model's name.
        settings: its entry under ``modelver.models`` in ``params.yaml``.
        progress: called with bytes done since the last call.

    Raises:
        NotFound: the model was not exported, or its data file does not exist.
        InvalidInput: settings, records or data are malformed, the data does not fit the model, or it does not load.
        Refused: a plug-in is missing.
    """
    entry = parse_settings(model, settings)
    home = root / Layout(model).folder
    (root / Layout(model).validation).unlink(missing_ok=True)  # an old verdict must not outlive an error
    source = _source(root, model)
    files = _files(root, model)
    checks = [_digests(home / "weights", files, progress)]
    runtime = base.find(_RUNTIME)
    ran = _Ran((), {}, None, {"ran": False, "ok": False, "version": runtime.version()})
    if checks[0].ok and source["format"]["name"] == "onnx":
        checks.append(_structure(home / "weights" / _MODEL))
        if checks[-1].ok:
            checks.append(_description(home / "weights" / _MODEL, source))
        if checks[-1].ok:
            ran = _run(root, model, entry, source, runtime)
    metrics = {name: value for name, raw in sorted(ran.metrics.items()) if (value := rounded(raw)) is not None}
    checks += [*ran.checks, *judge_gates(entry.gates, metrics)]
    ok = all(check.ok for check in checks)
    document = {
        "ok": ok,
        "metrics": metrics,
        "parity": None if ran.parity is None else ran.parity.to_dict(),
        "checks": [check.to_dict() for check in checks],
        "targets": {_RUNTIME: ran.target} if source["format"]["name"] == "onnx" else {},
        "schema": [SCHEMA],
    }
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(root / Layout(model).validation, lambda: [memoryview(text.encode("utf-8"))])
    return ValidationResult(model, ok, metrics, ran.parity, tuple(checks), document)


def _source(root: Path, model: str) -> dict[str, Any]:
    path = Layout(model).source
    try:
        document = json.loads((root / path).read_bytes())
    except FileNotFoundError:
        raise NotFound(
            f"model {model} was not exported: there is no {path}", hint=f"dvc repro, or: modelver stage export {model}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is no JSON: {error}", hint=f"modelver stage export {model}") from None
    if not isinstance(document, dict) or not isinstance(document.get("format"), dict):
        raise InvalidInput(f"{path} lacks the field 'format'", hint=f"modelver stage export {model}")
    if document["format"].get("name") == "onnx" and not _well_formed(document.get("signature")):
        raise InvalidInput(f"{path} lacks a well-formed field 'signature'", hint=f"modelver stage export {model}")
    return document


def _well_formed(signature: object) -> bool:
    return isinstance(signature, dict) and all(
        isinstance(signature.get(side), list)
        and all(isinstance(value, dict) and {"name", "dtype", "shape"} <= set(value) for value in signature[side])
        for side in ("inputs", "outputs")
    )


def _files(root: Path, model: str) -> list[FileEntry]:
    path = Layout(model).files
    try:
        return load_files((root / path).read_bytes(), path)
    except FileNotFoundError:
        raise NotFound(f"model {model}: there is no {path}", hint=f"modelver stage export {model}") from None


def _digests(weights: Path, files: Sequence[FileEntry], progress: Progress | None) -> Check:
    """Exactly the recorded files are there, each with its recorded content."""
    wrong: list[str] = []
    present = {path.relative_to(weights).as_posix() for path in weights.rglob("*") if not path.is_dir()}
    with Digester(progress) as digester:
        for file in files:
            if file.path not in present:
                wrong.append(f"{file.path} is missing")
            elif (size := (weights / file.path).stat().st_size) != file.bytes:
                wrong.append(f"{file.path} has {size} bytes, not {file.bytes}")
            elif digester.file(weights / file.path, file.path) != file:
                wrong.append(f"{file.path} has other content than recorded")
    wrong += [f"{path} is not in the manifest" for path in sorted(present - {file.path for file in files})]
    if not wrong:
        return Check("digests", True, message=f"{len(files)} files are what the manifest says")
    more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
    return Check(
        "digests", False, message="; ".join(wrong[:3]) + more, hint=f"dvc checkout {weights.name}, or dvc repro"
    )


def _structure(path: Path) -> Check:
    """ONNX's checker, on the path: models over 2 GiB and external data are checked as they lie."""
    import onnx

    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        lines = str(error).strip().splitlines()
        message = lines[0][:300] if lines else type(error).__name__
        return Check(
            "structure", False, message=f"the ONNX checker refuses it: {message}", hint="export the model again"
        )
    return Check("structure", True, message="the ONNX checker accepts graph, types and shapes")


def _description(path: Path, source: Mapping[str, Any]) -> Check:
    """``source.json``, which reviewers read, says what the model file itself says."""
    form, signature, graph = onnx_describe.describe(path)
    recorded = {side: source["signature"][side] for side in ("inputs", "outputs")}
    wrong = [
        name
        for name, found, said in (
            ("format", form, source["format"]),
            ("signature", {side: signature[side] for side in recorded}, recorded),
            ("graph", graph, source.get("graph")),
        )
        if json.loads(json.dumps(found)) != said
    ]
    if wrong:
        message = f"source.json and {_MODEL} disagree about: {', '.join(wrong)}"
        return Check("description", False, message=message, hint="export or add the model again")
    return Check("description", True, message="source.json says what the model file says")


def _run(root: Path, model: str, entry: ModelSettings, source: Mapping[str, Any], runtime: base.Runtime) -> _Ran:
    weights = root / Layout(model).weights
    signature = source["signature"]
    try:
        session = runtime.load(weights / _MODEL)
        recorded = golden.read(weights, signature)
        checks: tuple[Check, ...] = ()
        parity = None
        if recorded is not None:
            inputs, expected = recorded
            rows = _rows(inputs)
            parity = compare.difference(expected, session.run(inputs), rows, entry.parity)
            operators = (source.get("graph") or {}).get("operators", {})
            checks = judge_parity(parity, is_discontinuous(operators), entry.parity)
        metrics = _metrics(root, entry, source, session)
    except InvalidInput as error:
        raise InvalidInput(f"model {model}: {error.message}", error.hint) from None
    ran = recorded is not None or entry.data is not None
    message = "loads and runs" if ran else "loads; not run, for there are no rows"
    checks = (Check(_RUNTIME, True, message=f"{runtime.name} {runtime.version()} {message}"), *checks)
    return _Ran(checks, metrics, parity, {"ran": ran, "ok": True, "version": runtime.version()})


def _rows(inputs: "Mapping[str, Array]") -> int:
    return max((len(array) for array in inputs.values() if array.ndim), default=1)


def _metrics(root: Path, entry: ModelSettings, source: Mapping[str, Any], session: base.Session) -> dict[str, float]:
    if entry.data is None:
        return {}
    data = dataset.read(root, entry.data, entry.target)
    signature = source["signature"]
    names = _feature_names(source)
    target = data.target(dataset.used_names(data, signature["inputs"], names))
    inputs = dataset.feeds(data, signature["inputs"], names)
    outputs = _in_batches(session, inputs, data.rows, _batch(signature))
    if target is None:
        return {}
    given = scores.answers(outputs, signature.get("labels"), data.rows)
    task = entry.task or scores.default_task(given, target)
    return scores.compute(task, given, target, f"{entry.data}, target")


def _feature_names(source: Mapping[str, Any]) -> list[str] | None:
    text = (source["format"].get("metadata") or {}).get(dataset.FEATURE_NAMES)
    try:
        names = None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return None
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def _batch(signature: Mapping[str, Any]) -> int | None:
    """The batch size that the model fixes; None where it leaves the choice."""
    sizes = {value["shape"][0] for value in signature["inputs"] if value["shape"]}
    size = sizes.pop() if len(sizes) == 1 else None
    return size if isinstance(size, int) and size > 0 else None


def _in_batches(
    session: base.Session, inputs: "Mapping[str, Array]", rows: int, fixed: int | None
) -> "dict[str, Array]":
    """Run all rows; where the batch size is fixed, the last batch is filled up with its last row."""
    import numpy as np

    size = fixed or BATCH
    parts: dict[str, list[Array]] = {}
    for start in range(0, rows, size):
        batch = {name: array[start : start + size] for name, array in inputs.items()}
        count = min(size, rows - start)
        if fixed and count < fixed:
            batch = {name: np.concatenate([a, np.repeat(a[-1:], fixed - count, axis=0)]) for name, a in batch.items()}
        for name, value in session.run(batch).items():
            if isinstance(value, np.ndarray) and value.ndim:
                parts.setdefault(name, []).append(value[:count])
    return {name: np.concatenate(values) for name, values in parts.items()}
