"""``modelver stage export NAME``: a framework's own file becomes the weights of a version."""

import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from modelver.core.layout import Layout
from modelver.core.manifest import dump_files, dump_tensors
from modelver.core.model_settings import ModelSettings, parse_settings
from modelver.errors import ExternalFailure, InvalidInput, ModelverError, NotFound, Refused
from modelver.exporters import base
from modelver.exporters.apart import Apart
from modelver.formats import dataset, golden, onnx_split
from modelver.formats.digest import Digester, Progress
from modelver.formats.result import Ingested

SCHEMA = "modelver/source/1"

_BUILD = ".export"


@dataclass(frozen=True, slots=True)
class ExportResult:
    """What a run wrote.

    Attributes:
        model: the model's name.
        weights: the folder, relative to the repository's top.
        files, tensors: how many of each.
        bytes: of all files together.
        rows: real rows recorded as test data.
        source: the content of ``source.json``.
    """

    model: str
    weights: str
    files: int
    tensors: int
    bytes: int
    rows: int
    source: Mapping[str, Any]


def run(
    root: Path, model: str, settings: Mapping[str, Any], progress: Progress | None = None, *, own_process: bool = False
) -> ExportResult:
    """Export a model to ``models/NAME/weights/`` with its manifests and ``source.json``.

    The same source, data, settings and packages give the same bytes, on each run and in each folder. Everything is
    built in a folder beside and moved into place at the end, ``source.json`` last: a run that fails changes nothing,
    and one that is killed while moving leaves no ``source.json``, without which nothing counts as exported.

    Args:
        root: the repository's top.
        model: the model's name.
        settings: its entry under ``modelver.models`` in ``params.yaml``.
        progress: called with bytes done since the last call.
        own_process: export in a fork of this process, which must have no threads: a source that crashes its
            framework's library, or takes all memory, is then refused as others are.

    Raises:
        Refused: no source, no data, or the plug-in is missing.
        InvalidInput: settings, source or data are malformed or do not fit together.
        NotFound: source or data do not exist.
        ExternalFailure: the disk failed.
    """
    entry = parse_settings(model, settings)
    if entry.source is None:
        raise Refused(f"model {model} has no source to export", hint=f"declare one: modelver add {model} PATH")
    source = root / entry.source
    _check_kind(source, model, entry.source)
    if not source.is_file():
        raise NotFound(
            f"model {model}: its source {entry.source} does not exist",
            hint=f"run the stage that makes it (dvc repro), or: dvc pull {entry.source}",
        )
    if entry.data is None:
        raise Refused(
            f"model {model} has no data: an export records what the source model says on real rows",
            hint=f"add `data: PATH` (.npz, .npy, .csv or .parquet) under modelver.models.{model} in params.yaml",
        )
    home = root / Layout(model).folder
    build = home / _BUILD
    try:
        shutil.rmtree(build, ignore_errors=True)  # what a killed run left
        build.mkdir(parents=True)
        (build / ".gitignore").write_text("*\n")  # what a killed run leaves is none of Git's business
        try:
            result = _build(root, model, entry, source, build, progress, own_process)
            _publish(build, home)
        finally:
            shutil.rmtree(build, ignore_errors=True)
    except OSError as error:
        raise ExternalFailure(f"model {model}: cannot write {error.filename or home}: {error.strerror}") from error
    return result


def _check_kind(source: Path, model: str, name: str) -> None:
    """Refuse what no exporter opens, in words; what is not there at all is said elsewhere."""
    if source.is_dir():
        kind = "a folder"
    elif source.is_symlink() and not source.exists():
        kind = f"a link to {source.readlink()}, where nothing is"
    elif source.exists() and not source.is_file():
        kind = "a pipe or a device"
    else:
        return
    raise InvalidInput(
        f"model {model}: its source {name} is {kind}, no file",
        hint=f"run the stage that makes it (dvc repro), or correct modelver.models.{model}.source in params.yaml",
    )


def _build(
    root: Path,
    model: str,
    entry: ModelSettings,
    source: Path,
    build: Path,
    progress: Progress | None,
    own_process: bool,
) -> ExportResult:
    assert entry.source is not None
    assert entry.data is not None
    place = build / f"work-{os.getpid()}"
    place.mkdir()
    whole = place / "whole.onnx"
    work = partial(_export, root, model, entry, source, whole)
    # before there are threads, of which a fork has none
    apart = Apart(work, place, f"model {model}: {entry.source}") if own_process else None
    # the framework loads the source on one core, and the other hashes it meanwhile
    with Digester() as digester, ThreadPoolExecutor(1) as hasher:
        hashed = hasher.submit(_sha256, source)
        exported = apart.result() if apart else work()
        weights = build / "weights"
        split = onnx_split.split(exported.model or whole, weights, progress)
        whole.unlink(missing_ok=True)
        signature = {**(split.signature or {}), "labels": None if exported.labels is None else list(exported.labels)}
        written = golden.write(weights, exported.inputs, exported.outputs, signature)
        files = [*split.files, *(digester.file(weights / path, path) for path in written)]
    document = _document((entry.source, source.stat().st_size, hashed.result()), exported, split, signature)
    (build / "tensors.jsonl").write_bytes(dump_tensors(split.tensors))
    (build / "files.jsonl").write_bytes(dump_files(files))
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    (build / "source.json").write_bytes(text.encode("utf-8"))
    return ExportResult(
        model=model,
        weights=Layout(model).weights,
        files=len(files),
        tensors=len(split.tensors),
        bytes=sum(file.bytes for file in files),
        rows=len(next(iter(exported.inputs.values()))),
        source=document,
    )


def _export(root: Path, model: str, entry: ModelSettings, source: Path, whole: Path) -> base.Exported:
    """What the framework makes of the source; errors name it."""
    assert entry.data is not None
    rows = dataset.read(root, entry.data, entry.target)
    exporter = base.find(entry.framework, source)
    try:
        return exporter.export(source, base.ExportRequest(model, whole, rows, entry.export, root.resolve()))
    except ModelverError as error:
        if not isinstance(error, InvalidInput) and f"model {model}" not in error.message:
            raise  # a package is missing: no fault of the source's
        if source.name not in error.message and Path(entry.data).name not in error.message:
            error.message = f"{error.message} ({entry.source})"
        if f"model {model}" not in error.message:
            error.message = f"model {model}: {error.message}"
        error.hint = error.hint or f"make {entry.source} again, with the script or the stage that writes it"
        raise


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _document(
    source: tuple[str, int, str], exported: base.Exported, split: Ingested, signature: Mapping[str, Any]
) -> dict[str, Any]:
    """What ``source.json`` holds; ``source`` is the path, size in bytes and SHA-256 of the framework's file."""
    path, size, sha256 = source
    return {
        "schema": SCHEMA,
        "kind": "pipeline",
        "source": {
            "path": path,
            "format": exported.format,
            "framework": exported.framework,
            "framework_version": exported.framework_version,
            "bytes": size,
            "sha256": sha256,
        },
        "format": split.format,
        "signature": signature,
        "graph": split.graph,
        "environment": {
            "python": platform.python_version(),
            "platform": f"{sys.platform}-{platform.machine()}",
            "packages": dict(sorted(exported.packages.items())),
        },
    }


def _publish(build: Path, home: Path) -> None:
    """Move the new state into place. ``source.json`` goes first and comes last, so that no half looks whole."""
    (home / "source.json").unlink(missing_ok=True)
    for name in ("weights", "tensors.jsonl", "files.jsonl"):
        _remove(home / name)
        (build / name).rename(home / name)
    _sync(home)
    (build / "source.json").rename(home / "source.json")
    _sync(home)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
