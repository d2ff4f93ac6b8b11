"""``modelver stage validate NAME``: is the exported model whole, does it run, and does it say what its source said?"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.core.gates import Check, judge_gates, rounded
from modelver.core.judged import judged
from modelver.core.layout import Layout
from modelver.core.manifest import FileEntry, load_files
from modelver.core.model_settings import MODELS, ModelSettings, parse_settings
from modelver.core.parity import Difference, is_discontinuous, judge_parity
from modelver.core.sidecar import flatten
from modelver.core.validation_settings import DEFAULT_TARGET, ValidationSettings, parse_validation
from modelver.errors import InvalidInput, NotFound
from modelver.formats import compare, golden
from modelver.formats.digest import Progress
from modelver.formats.output import write_atomically
from modelver.operations import canary, speed, structure, target_latency
from modelver.operations.edges import judge_edges
from modelver.operations.judged_data import data_md5
from modelver.operations.measure import measure
from modelver.operations.targets import Requests, requests_from_data, row_count, run_targets
from modelver.runtimes import base

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

SCHEMA = "modelver/validation/1"

_MODEL = "model.onnx"


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """What a run found.

    Attributes:
        model: the model's name.
        ok: whether every check passed.
        metrics: by flat name, rounded as recorded.
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


@dataclass(frozen=True)
class _Ran:
    """What running the model found; of a model that was not run, nothing."""

    checks: tuple[Check, ...] = ()
    metrics: Mapping[str, Any] = field(default_factory=dict)
    parity: Difference | None = None
    targets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    portability: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    inputs: "Mapping[str, Array]" = field(default_factory=dict)


def run(
    root: Path, model: str, settings: Mapping[str, Any], progress: Progress | None = None, section: str = MODELS
) -> ValidationResult:
    """Validate ``models/NAME/weights/``; write ``validation.json`` and ``scores.json`` into ``models/NAME/``.

    A verdict that says no is written and returned, and does not raise: the DVC stage must end with status 0, or
    ``dvc repro`` would not record what was found. ``modelver tag`` and ``modelver check`` refuse on it. Weights whose
    digests are wrong are not opened at all.

    An error leaves an old verdict where it is: it names the weights, settings and data that it is about, and what a
    stage made DVC knows. (DVC itself removes it before it runs the stage.)

    The file depends on the weights, the data, the settings and the runtimes alone; only where ``latency:`` is asked
    for does it hold times, as ratios.

    Args:
        root: the repository's top.
        model: the model's name.
        settings: its entry in ``params.yaml``.
        progress: called with bytes done since the last call.
        section: where the entry stands.

    Raises:
        NotFound: the model was not exported, or its data file does not exist.
        InvalidInput: settings, records or data are malformed, the data does not fit the model, or it does not load.
        Refused: a plug-in is missing.
    """
    entry = parse_settings(model, settings, section)
    asked = parse_validation(model, settings, section)
    home = root / Layout(model).folder
    source = _source(root, model)
    files = _files(root, model)
    checks = [structure.digests(home / "weights", files, progress)]
    is_onnx = source["format"]["name"] == "onnx"
    ran = _Ran(targets=dict.fromkeys(asked.targets, _NOT_RUN) if is_onnx else {})
    if checks[0].ok and is_onnx:
        checks.append(structure.structure(home / "weights" / _MODEL))
        if checks[-1].ok:
            checks.append(structure.description(home / "weights" / _MODEL, source))
        if checks[-1].ok:
            ran = _run(root, model, entry, asked, source)
    metrics = _rounded(ran.metrics)
    checks += [*ran.checks, *judge_gates(entry.gates, flatten(metrics))]
    measured = None
    portability = ran.portability
    if asked.latency is not None and ran.inputs and all(check.ok for check in checks):
        measured = speed.compare(root, model, asked.latency, ran.inputs)
        times = target_latency.measure(asked.targets, home / "weights" / _MODEL, ran.inputs)
        checks += [*measured.checks, *target_latency.judge(times, asked.latency.max_target_ratio)]
        portability = {
            name: {**portability.get(name, {}), "latency": timed.to_dict()} for name, timed in times.timed.items()
        }
    ok = all(check.ok for check in checks)
    document = {
        "ok": ok,
        "metrics": metrics,
        "parity": None if ran.parity is None else ran.parity.to_dict(),
        "checks": [check.to_dict() for check in checks],
        "targets": ran.targets,
        **({"portability": portability} if portability else {}),
        **({"latency": measured.to_dict()} if measured else {}),
        "judged": judged(files, settings, data_md5(root, entry.data)),
        "schema": [SCHEMA],
    }
    for record in (Layout(model).validation, Layout(model).scores):
        (root / record).unlink(missing_ok=True)  # neither is left beside the other's next
    _write(root / Layout(model).scores, _score_rows(metrics, checks))
    _write(root / Layout(model).validation, document)
    return ValidationResult(model, ok, flatten(metrics), ran.parity, tuple(checks), document)


def _score_rows(metrics: Mapping[str, Any], checks: Sequence[Check]) -> list[dict[str, Any]]:
    """The rows of ``scores.json``: the share of checks that passed, then each metric, overall and by slice.

    DVC draws lists of objects with the same keys alone, and none that is empty; so there is one row at least.
    """
    rows = [{"metric": "checks passed", "value": rounded(sum(check.ok for check in checks) / len(checks))}]
    slices = metrics.get("slices") or {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            continue
        rows.append({"metric": name, "value": value})
        rows += [{"metric": f"{name}, {part}", "value": own[name]} for part, own in slices.items() if name in own]
    return rows


def _write(path: Path, document: object) -> None:
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, lambda: [memoryview(text.encode("utf-8"))])


_NOT_RUN: Mapping[str, Any] = {"ran": False, "ok": False, "version": None}


def _rounded(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers as recorded, nested mappings kept, what is not finite left out; in the order of names, slices last."""
    found: dict[str, Any] = {}
    for name in sorted(metrics, key=lambda name: (isinstance(metrics[name], Mapping), name)):
        value = metrics[name]
        if isinstance(value, Mapping):
            found[name] = _rounded(value)
        elif (number := rounded(value)) is not None:
            found[name] = value if isinstance(value, int) else number
    return found


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
    if document["format"].get("name") == "onnx" and not structure.is_signature(document.get("signature")):
        raise InvalidInput(f"{path} lacks a well-formed field 'signature'", hint=f"modelver stage export {model}")
    return document


def _files(root: Path, model: str) -> list[FileEntry]:
    path = Layout(model).files
    try:
        return load_files((root / path).read_bytes(), path)
    except FileNotFoundError:
        raise NotFound(f"model {model}: there is no {path}", hint=f"modelver stage export {model}") from None


def _run(root: Path, model: str, entry: ModelSettings, asked: ValidationSettings, source: Mapping[str, Any]) -> _Ran:
    path = root / Layout(model).weights / _MODEL
    signature = source["signature"]
    runtime = base.find(DEFAULT_TARGET)
    operators = (source.get("graph") or {}).get("operators", {})
    discontinuous = is_discontinuous(operators)
    try:
        session = runtime.load(path)
        recorded = golden.read(path.parent, signature)
        requests = None
        checks: list[Check] = []
        parity = None
        if recorded is not None:
            inputs, expected = recorded
            requests = Requests(inputs, expected, row_count(inputs), recorded=True)
            parity = compare.difference(expected, session.run(inputs), requests.rows, entry.parity)
            checks += judge_parity(parity, discontinuous, entry.parity)
        measured = measure(root, entry, asked, source, session)
        if requests is None:
            requests = requests_from_data(root, entry, source, session)
    except InvalidInput as error:
        raise InvalidInput(f"model {model}: {error.message}", error.hint) from None
    ran = requests is not None
    message = "loads and runs" if ran else "loads; not run, for there are no rows"
    checks.insert(0, Check(DEFAULT_TARGET, True, message=f"{runtime.name} {runtime.version()} {message}"))
    if requests is not None:
        checks += judge_edges(session, requests.inputs, signature, asked.edges, entry.parity, discontinuous)
    found = run_targets(asked.targets, path, requests, operators, entry.parity)
    if asked.canary:
        checks.append(canary.sing(path, recorded, requests.rows if requests else 0, operators, entry.parity))
    checks += [*measured.checks, *(check for one in found for check in one.checks)]
    targets = {DEFAULT_TARGET: {"ran": ran, "ok": True, "version": runtime.version()}}
    return _Ran(
        tuple(checks),
        measured.metrics,
        parity,
        targets | {one.name: one.facts for one in found},
        {one.name: one.parity.to_dict() for one in found if one.parity is not None},
        requests.inputs if requests else {},
    )
