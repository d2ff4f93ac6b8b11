"""``modelver stage optimize NAME``: variants of the model beside it, each judged by its metrics against the model's."""

import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.core.gates import Check, rounded
from modelver.core.layout import Layout
from modelver.core.manifest import FileEntry, load_files, tree_digest
from modelver.core.model_settings import MODELS, ModelSettings, parse_settings
from modelver.core.validation_settings import ValidationSettings, parse_validation
from modelver.core.variants import SCHEMA, VariantSettings, parse_calibration, parse_variants
from modelver.errors import ExternalFailure, InvalidInput, NotFound
from modelver.formats import dataset, onnx_join, onnx_split
from modelver.formats.digest import Digester, Progress
from modelver.operations import pmml_variant, variant_latency
from modelver.operations.measure import feature_names, fixed_batch
from modelver.operations.structure import digests, structure
from modelver.operations.variant_run import (
    Answers,
    answers,
    changes,
    copy_rows,
    difference,
    judge,
    model_bytes,
    same_signature,
    size,
)
from modelver.optimizers import base as optimizers
from modelver.optimizers import pmml
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
class _Request:
    """What a run is asked for."""

    root: Path
    model: str
    entry: ModelSettings
    asked: ValidationSettings
    wanted: tuple[VariantSettings, ...]
    calibration: str | None

    @property
    def weights(self) -> Path:
        return self.root / Layout(self.model).weights


@dataclass(frozen=True)
class _Parent:
    """The model that the variants are made of.

    Attributes:
        source: its ``source.json``.
        whole: its file of one piece.
        session: it, loaded.
        before: what it answered.
    """

    source: Mapping[str, Any]
    whole: Path
    session: runtimes.Session
    before: Answers


def run(
    root: Path, model: str, settings: Mapping[str, Any], progress: Progress | None = None, section: str = MODELS
) -> OptimizeResult:
    """Make the variants that params.yaml asks for, in ``models/NAME/variants/VARIANT/``, and ``variants.json``.

    A variant outside of its limits is written and recorded as such, and does not raise: ``modelver tag`` refuses it.
    The weights stay as they are. Where no variant is asked for, an empty folder and an empty record are written, since
    DVC wants every output to exist.

    All but ``variants-latency.json`` depends on the weights, the data, the settings and the packages alone.

    Args:
        root: the repository's top.
        model: the model's name.
        settings: its entry in ``params.yaml``.
        progress: called with bytes done since the last call.
        section: where the entry stands.

    Raises:
        Refused: what makes a PMML variant is not installed.
        NotFound: the model was not exported, or a data file does not exist.
        InvalidInput: settings, records or data are malformed, or a method does not fit the model.
        ExternalFailure: the disk failed.
    """
    entry = parse_settings(model, settings, section)
    where = f"params.yaml, {section}.{model}"
    request = _Request(
        root=root,
        model=model,
        entry=entry,
        asked=parse_validation(model, settings, section),
        wanted=parse_variants(settings.get("optimize"), f"{where}.optimize"),
        calibration=parse_calibration(settings, where) or entry.data,
    )
    layout = Layout(model)
    build = root / layout.folder / _BUILD
    # before anything is changed, and never where nobody asks for it
    tools = pmml.require() if any(variant.method == pmml.METHOD for variant in request.wanted) else None
    try:
        (root / layout.variants_record).unlink(missing_ok=True)  # an old verdict must not outlive an error
        files = _files(root, model)  # before a folder is made for a model that there is not
        shutil.rmtree(build, ignore_errors=True)  # what a killed run left
        (build / "variants").mkdir(parents=True)
        (build / ".gitignore").write_text("*\n")  # what a killed run leaves is none of Git's business
        try:
            records, ratios = _make_all(request, files, build, tools, progress) if request.wanted else ({}, {})
            document = {
                "schema": SCHEMA,
                "ok": all(record["ok"] for record in records.values()),
                "parent": {"sha256": tree_digest(files), "bytes": size(files)},
                "data": _hashed(root, entry.data) if records else None,
                "variants": records,
            }
            _publish(build, root, layout, document, ratios)
        finally:
            shutil.rmtree(build, ignore_errors=True)
    except OSError as error:
        raise ExternalFailure(f"model {model}: cannot write {error.filename or build}: {error.strerror}") from error
    return OptimizeResult(model, bool(document["ok"]), document, ratios)


def _make_all(
    request: _Request, files: Sequence[FileEntry], build: Path, tools: pmml.Tools | None, progress: Progress | None
) -> tuple[dict[str, Any], dict[str, Mapping[str, float]]]:
    records: dict[str, Any] = {}
    ratios: dict[str, Mapping[str, float]] = {}
    whole = digests(request.weights, files, None)
    if not whole.ok:
        raise InvalidInput(f"model {request.model}: {whole.message}", whole.hint)
    try:
        parent = _parent(request, build)
    except InvalidInput as error:
        raise InvalidInput(f"model {request.model}: {error.message}", error.hint) from None
    for variant in request.wanted:
        try:
            if variant.method == pmml.METHOD and tools is not None:
                records[variant.name] = _make_pmml(request, parent, variant, build, tools)
                continue
            records[variant.name], ratio = _make(request, parent, variant, build, progress)
        except InvalidInput as error:
            raise InvalidInput(f"model {request.model}, variant {variant.name}: {error.message}", error.hint) from None
        if ratio:
            ratios[variant.name] = ratio
    return records, ratios


def _parent(request: _Request, build: Path) -> _Parent:
    source = _source(request.root, request.model)
    sound = structure(request.weights / _MODEL)  # the tools that follow crash or hang on what is no model
    if not sound.ok:
        raise InvalidInput(sound.message, sound.hint)
    onnx_join.join(request.weights, build / "parent.onnx")
    session = runtimes.find(_RUNTIME).load(request.weights / _MODEL)
    before = answers(request.root, request.entry, request.asked, source, session, request.weights)
    return _Parent(source, build / "parent.onnx", session, before)


def _make_pmml(
    request: _Request, parent: _Parent, variant: VariantSettings, build: Path, tools: pmml.Tools
) -> dict[str, Any]:
    of = pmml_variant.Parent(
        request.root, request.model, request.entry, request.asked,
        parent.source, request.weights, parent.before, parent.whole.stat().st_size,
    )  # fmt: skip
    return pmml_variant.make(of, variant, build / "variants" / variant.name, build / "scratch", tools)


def _make(
    request: _Request, parent: _Parent, variant: VariantSettings, build: Path, progress: Progress | None
) -> tuple[dict[str, Any], Mapping[str, float]]:
    """Make one variant in ``build/variants/``; returns its record, and its latency over the parent's."""
    output = build / "variant.onnx"
    feeds, calibration = _calibration(request, parent, variant)
    done = optimizers.find(variant.method)(optimizers.Request(parent.whole, output, variant.config, feeds))
    place = build / "variants" / variant.name
    split = onnx_split.split(output, place, progress)
    output.unlink()
    recorded = copy_rows(request.weights, place)
    with Digester() as digester:
        files = [*split.files, *(digester.file(place / path, path) for path in recorded)]
    checks = [structure(place / _MODEL), same_signature(split.signature or {}, parent.source["signature"])]
    after: Answers | None = None
    ratio: Mapping[str, float] = {}
    if all(check.ok for check in checks):
        after, ratio, failure = _run(request, parent, place / _MODEL)
        checks += [failure] if failure else judge(variant, parent.source, parent.before, after)
    distance = None if after is None else difference(parent.before, after)
    return {
        "ok": all(check.ok for check in checks),
        "method": variant.method,
        "config": dict(variant.config),
        "max_drop": dict(variant.max_drop),
        "calibration": calibration,
        "tool": {"name": done.tool, "version": done.version},
        "path": f"{Layout(request.model).variants}/{variant.name}",
        "sha256": tree_digest(files),
        "bytes": size(files),
        "files": len(files),
        "tensors": len(split.tensors),
        "parameters": sum(math.prod(entry.shape) for entry in split.tensors),
        "size_ratio": rounded(model_bytes(files) / parent.whole.stat().st_size, 4),
        "sparsity": rounded(done.sparsity),
        "format": split.format,
        "operators": (split.graph or {}).get("operators"),
        "metrics": changes(parent.before, after),
        "parity": None if distance is None else distance.to_dict(),
        "checks": [check.to_dict() for check in checks],
        "manifest": [asdict(file) for file in sorted(files, key=lambda entry: entry.path)],
    }, ratio


def _run(request: _Request, parent: _Parent, model: Path) -> tuple[Answers | None, Mapping[str, float], Check | None]:
    """The variant's answers and its latency over the parent's, or a check that says why there are none."""
    try:
        session = runtimes.find(_RUNTIME).load(model)
        after = answers(request.root, request.entry, request.asked, parent.source, session, request.weights)
    except InvalidInput as error:
        return None, {}, Check(_RUNTIME, False, message=error.message, hint=error.hint)
    return after, variant_latency.ratio(parent.session, session, parent.before.sample), None


def _calibration(
    request: _Request, parent: _Parent, variant: VariantSettings
) -> tuple[Callable[[], Iterator["Feeds"]] | None, dict[str, Any] | None]:
    """Batches of rows for a method that calibrates, and what the record says of them."""
    if variant.method != "static-int8" or request.calibration is None:
        return None, None
    rows = dataset.read(request.root, request.calibration, request.entry.target).spread(variant.config["rows"])
    signature = parent.source["signature"]
    inputs = dataset.feeds(rows, signature["inputs"], feature_names(parent.source))
    fixed = fixed_batch(signature)
    size = fixed or _CALIBRATION_BATCH
    stop = rows.rows - rows.rows % size if fixed else rows.rows
    if not stop:
        raise InvalidInput(f"{request.calibration} has {rows.rows} rows, the model takes {size} at once")

    def batches() -> Iterator["Feeds"]:
        for start in range(0, stop, size):
            yield {name: array[start : start + size] for name, array in inputs.items()}

    return batches, {**(_hashed(request.root, request.calibration) or {}), "rows": stop}


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
    build: Path, root: Path, layout: Layout, document: Mapping[str, Any], ratios: Mapping[str, Mapping[str, float]]
) -> None:
    """Move the new state into place, the record last: without it nothing counts as made."""
    _write(build / "record", document)
    variants, measured = root / layout.variants, root / layout.variants_latency
    if variants.is_symlink() or variants.is_file():
        variants.unlink()
    elif variants.exists():
        shutil.rmtree(variants)
    (build / "variants").rename(variants)
    if ratios:
        _write(build / "latency", variant_latency.document(ratios))
        (build / "latency").replace(measured)
    else:
        measured.unlink(missing_ok=True)
    (build / "record").replace(root / layout.variants_record)


def _write(path: Path, document: Mapping[str, Any]) -> None:
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    path.write_bytes(text.encode("utf-8"))
