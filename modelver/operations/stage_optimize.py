"""``modelver stage optimize NAME``: variants of the model beside it, each judged by its metrics against the model's."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.core.gates import Check, rounded
from modelver.core.layout import Layout
from modelver.core.manifest import FileEntry, load_files, tree_digest
from modelver.core.model_settings import ModelSettings, parse_settings
from modelver.core.parity import Difference, is_discontinuous, judge_parity
from modelver.core.variants import (
    AGREEMENT,
    SCHEMA,
    VariantSettings,
    drop,
    judge_drops,
    parse_calibration,
    parse_variants,
)
from modelver.errors import ExternalFailure, InvalidInput, NotFound
from modelver.formats import compare, dataset, golden, onnx_join, onnx_split
from modelver.formats.digest import Digester, Progress
from modelver.operations import variant_latency
from modelver.operations.variant_run import Measured, feature_names, fixed_batch, measure
from modelver.optimizers import base as optimizers
from modelver.runtimes import base as runtimes

if TYPE_CHECKING:
    import numpy as np

    Feeds = Mapping[str, np.ndarray[Any, Any]]

_BUILD = ".optimize"
_MODEL = "model.onnx"
_RUNTIME = "onnxruntime"
_CALIBRATION_BATCH = 16


@dataclass(frozen=True)
class OptimizeResult:
    """What a run made.

    Attributes:
        model: the model's name.
        ok: whether every variant holds its limits.
        document: the content of ``variants.json``.
        ratios: variant → its latency over the parent's, both measured in this run; differs from run to run.
    """

    model: str
    ok: bool
    document: Mapping[str, Any]
    ratios: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class _Job:
    """One run: what all variants share."""

    root: Path
    model: str
    entry: ModelSettings
    calibration: str | None
    source: Mapping[str, Any]
    weights: Path
    build: Path
    parent: Path
    before: Measured
    session: runtimes.Session


def run(root: Path, model: str, settings: Mapping[str, Any], progress: Progress | None = None) -> OptimizeResult:
    """Make the variants that params.yaml asks for, in ``models/NAME/variants/VARIANT/``, and ``variants.json``.

    A variant outside of its limits is written and recorded as such, and does not raise: ``modelver tag`` refuses it.
    The weights stay as they are. Where no variant is asked for, an empty folder and an empty record are written, since
    DVC wants every output to exist.

    All but ``variants-latency.json`` depends on the weights, the data, the settings and the packages alone.

    Args:
        root: the repository's top.
        model: the model's name.
        settings: its entry under ``modelver.models`` in ``params.yaml``.
        progress: called with bytes done since the last call.

    Raises:
        NotFound: the model was not exported, or a data file does not exist.
        InvalidInput: settings, records or data are malformed, or a method does not fit the model.
        ExternalFailure: the disk failed.
    """
    entry = parse_settings(model, settings)
    where = f"params.yaml, modelver.models.{model}"
    wanted = parse_variants(settings.get("optimize"), f"{where}.optimize")
    calibration = parse_calibration(settings, where) or entry.data
    layout = Layout(model)
    home = root / layout.folder
    build = home / _BUILD
    try:
        (root / layout.variants_record).unlink(missing_ok=True)  # an old verdict must not outlive an error
        shutil.rmtree(build, ignore_errors=True)  # what a killed run left
        (build / "variants").mkdir(parents=True)
        try:
            files = _files(root, model)
            source = _source(root, model) if wanted else {}
            records, ratios = (
                _make_all(root, model, entry, calibration, source, build, wanted, progress) if wanted else ({}, {})
            )
            document = {
                "schema": SCHEMA,
                "ok": all(record["ok"] for record in records.values()),
                "parent": {"sha256": tree_digest(files), "bytes": _size(files)},
                "data": _hashed(root, entry.data) if wanted else None,
                "variants": records,
            }
            _publish(build, home, layout, document, ratios)
        finally:
            shutil.rmtree(build, ignore_errors=True)
    except OSError as error:
        raise ExternalFailure(f"model {model}: cannot write {error.filename or home}: {error.strerror}") from error
    return OptimizeResult(model, bool(document["ok"]), document, ratios)


def _make_all(
    root: Path,
    model: str,
    entry: ModelSettings,
    calibration: str | None,
    source: Mapping[str, Any],
    build: Path,
    wanted: Sequence[VariantSettings],
    progress: Progress | None,
) -> tuple[dict[str, Any], dict[str, Mapping[str, float]]]:
    weights = root / Layout(model).weights
    whole = build / "parent.onnx"
    records: dict[str, Any] = {}
    ratios: dict[str, Mapping[str, float]] = {}
    try:
        onnx_join.join(weights, whole)
        session = runtimes.find(_RUNTIME).load(weights / _MODEL)
        before = measure(root, entry, source, session, weights)
    except InvalidInput as error:
        raise InvalidInput(f"model {model}: {error.message}", error.hint) from None
    job = _Job(root, model, entry, calibration, source, weights, build, whole, before, session)
    for variant in wanted:
        try:
            records[variant.name], ratio = _make(job, variant, progress)
        except InvalidInput as error:
            raise InvalidInput(f"model {model}, variant {variant.name}: {error.message}", error.hint) from None
        if ratio:
            ratios[variant.name] = ratio
    return records, ratios


def _make(job: _Job, variant: VariantSettings, progress: Progress | None) -> tuple[dict[str, Any], Mapping[str, float]]:
    output = job.build / "variant.onnx"
    feeds, calibration = _calibration(job, variant)
    done = optimizers.find(variant.method)(optimizers.Request(job.parent, output, variant.config, feeds))
    place = job.build / "variants" / variant.name
    split = onnx_split.split(output, place, progress)
    output.unlink()
    recorded = _copy_rows(job.weights, place)
    with Digester() as digester:
        files = [*split.files, *(digester.file(place / path, path) for path in recorded)]
    checks = [_structure(place / _MODEL), _signature(split.signature or {}, job.source["signature"])]
    after, difference, ratio = None, None, {}
    if all(check.ok for check in checks):
        session = runtimes.find(_RUNTIME).load(place / _MODEL)
        after = measure(job.root, job.entry, job.source, session, job.weights)
        difference = _difference(job.before, after)
        ratio = variant_latency.ratio(job.session, session, job.before.sample)
    before_metrics, after_metrics = _metrics(job.before, job.before), _metrics(job.before, after)
    if after is not None:
        checks += judge_drops(variant.max_drop, before_metrics, after_metrics)
    if difference is not None and not variant.max_drop:
        checks += _parity(difference, job.source)
    elif after is not None and not variant.max_drop:
        checks.append(_nothing_to_judge())
    record = {
        "ok": all(check.ok for check in checks),
        "method": variant.method,
        "config": dict(variant.config),
        "max_drop": dict(variant.max_drop),
        "calibration": calibration,
        "tool": {"name": done.tool, "version": done.version},
        "path": f"{Layout(job.model).variants}/{variant.name}",
        "sha256": tree_digest(files),
        "bytes": _size(files),
        "files": len(files),
        "tensors": len(split.tensors),
        "parameters": sum(_count(entry.shape) for entry in split.tensors),
        "size_ratio": rounded(_model_bytes(files) / job.parent.stat().st_size, 4),
        "sparsity": rounded(done.sparsity),
        "format": split.format,
        "operators": (split.graph or {}).get("operators"),
        "metrics": {
            name: {
                "before": value,
                "after": after_metrics.get(name),
                "drop": drop(name, value, after_metrics[name]) if name in after_metrics else None,
            }
            for name, value in before_metrics.items()
        },
        "parity": None if difference is None else difference.to_dict(),
        "checks": [check.to_dict() for check in checks],
        "manifest": [
            {"path": f.path, "bytes": f.bytes, "md5": f.md5, "sha256": f.sha256}
            for f in sorted(files, key=lambda entry: entry.path)
        ],
    }
    return record, ratio


def _count(shape: Sequence[int]) -> int:
    count = 1
    for dim in shape:
        count *= dim
    return count


def _size(files: Sequence[FileEntry]) -> int:
    return sum(file.bytes for file in files)


def _model_bytes(files: Sequence[FileEntry]) -> int:
    return sum(file.bytes for file in files if not file.path.startswith(f"{golden.FOLDER}/"))


def _calibration(
    job: _Job, variant: VariantSettings
) -> tuple[Callable[[], Iterator["Feeds"]] | None, dict[str, Any] | None]:
    """Batches of rows for a method that calibrates, and what the record says of them."""
    if variant.method != "static-int8" or job.calibration is None:
        return None, None
    rows = dataset.read(job.root, job.calibration, job.entry.target).spread(variant.config["rows"])
    signature = job.source["signature"]
    inputs = dataset.feeds(rows, signature["inputs"], feature_names(job.source))
    fixed = fixed_batch(signature)
    size = fixed or _CALIBRATION_BATCH
    stop = rows.rows - rows.rows % size if fixed else rows.rows

    def batches() -> Iterator["Feeds"]:
        for start in range(0, stop, size):
            yield {name: array[start : start + size] for name, array in inputs.items()}

    return batches, {**(_hashed(job.root, job.calibration) or {}), "rows": stop}


def _copy_rows(weights: Path, place: Path) -> list[str]:
    """The parent's recorded rows and answers, so that a variant's folder is laid out as the weights are."""
    if not (weights / golden.FOLDER).is_dir():
        return []
    shutil.copytree(weights / golden.FOLDER, place / golden.FOLDER)
    return sorted(path.relative_to(place).as_posix() for path in (place / golden.FOLDER).rglob("*") if path.is_file())


def _structure(path: Path) -> Check:
    import onnx

    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        message = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        return Check(
            "structure", False, message=f"the ONNX checker refuses it: {message}", hint="choose another method"
        )
    return Check("structure", True, message="the ONNX checker accepts graph, types and shapes")


def _signature(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Check:
    """A variant is exchanged for its parent without a change in the caller."""
    differing = [side for side in ("inputs", "outputs") if ours.get(side) != theirs[side]]
    if differing:
        message = f"its {' and '.join(differing)} are not the parent's"
        return Check("signature", False, message=message, hint="keep them: `keep_io: true` for float16")
    return Check("signature", True, message="inputs and outputs are the parent's")


def _difference(before: Measured, after: Measured) -> Difference | None:
    if not before.outputs:
        return None
    return compare.difference(before.outputs, after.outputs, before.rows)


def _metrics(before: Measured, after: Measured | None) -> dict[str, float]:
    """Rounded metrics with the share of rows that agree; empty where nothing was run."""
    if after is None:
        return {}
    agreement = _agreement(before, after)
    found = {**after.metrics, **({} if agreement is None else {AGREEMENT: agreement})}
    return {name: value for name, raw in sorted(found.items()) if (value := rounded(raw)) is not None}


def _agreement(before: Measured, after: Measured) -> float | None:
    """Share of rows with the same label: of the first output of labels, or the column of the highest score."""
    import numpy as np

    for name, want in before.outputs.items():
        got = after.outputs.get(name)
        if got is None or got.shape != want.shape or not want.ndim or len(want) != before.rows:
            continue
        if want.dtype.kind in "iubOUS" and want.size == before.rows:
            return float(np.mean(np.asarray(want == got, dtype=bool)))
        if want.dtype.kind == "f" and want.ndim == 2 and want.shape[1] > 1:
            return float((want.argmax(axis=1) == got.argmax(axis=1)).mean())
    return None


def _parity(difference: Difference, source: Mapping[str, Any]) -> tuple[Check, ...]:
    operators = (source.get("graph") or {}).get("operators", {})
    return judge_parity(difference, is_discontinuous(operators))


def _nothing_to_judge() -> Check:
    return Check(
        "parity", False, message="there are no rows to run, so nobody knows what the variant does",
        hint="declare `data: PATH` for the model in params.yaml",
    )  # fmt: skip


def _source(root: Path, model: str) -> dict[str, Any]:
    path = Layout(model).source
    document: Any
    try:
        document = json.loads((root / path).read_bytes())
    except FileNotFoundError:
        raise NotFound(f"model {model}: there is no {path}", hint=f"modelver stage export {model}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is no JSON: {error}", hint=f"modelver stage export {model}") from None
    form = document.get("format") if isinstance(document, dict) else None
    if not isinstance(form, dict) or form.get("name") != "onnx" or not isinstance(document.get("signature"), dict):
        raise InvalidInput(
            f"model {model} is not in ONNX, and variants are made of ONNX models alone",
            hint="remove `optimize:` from params.yaml, or export the model to ONNX",
        )
    found: dict[str, Any] = document
    return found


def _files(root: Path, model: str) -> list[FileEntry]:
    path = Layout(model).files
    try:
        return load_files((root / path).read_bytes(), path)
    except FileNotFoundError:
        raise NotFound(f"model {model}: there is no {path}", hint=f"modelver stage export {model}") from None


def _hashed(root: Path, path: str | None) -> dict[str, Any] | None:
    """A data file by the hash that DVC knows it by."""
    if path is None:
        return None
    if not (root / path).is_file():
        raise NotFound(f"there is no data file {path}", hint=f"run the stage that makes it, or: dvc pull {path}")
    with Digester() as digester:
        return {"path": path, "md5": digester.file(root / path, path).md5}


def _publish(
    build: Path, home: Path, layout: Layout, document: Mapping[str, Any], ratios: Mapping[str, Mapping[str, float]]
) -> None:
    """Move the new state into place, the record last: without it nothing counts as made."""
    _write(build / "record", document)
    variants = home / "variants"
    if variants.is_symlink() or variants.is_file():
        variants.unlink()
    shutil.rmtree(variants, ignore_errors=True)
    (build / "variants").rename(variants)
    measured = home / layout.variants_latency.rpartition("/")[2]
    if ratios:
        _write(build / "latency", variant_latency.document(ratios))
        (build / "latency").replace(measured)
    else:
        measured.unlink(missing_ok=True)
    (build / "record").replace(home / layout.variants_record.rpartition("/")[2])


def _write(path: Path, document: Mapping[str, Any]) -> None:
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    path.write_bytes(text.encode("utf-8"))
