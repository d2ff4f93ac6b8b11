"""``modelver stage assess NAME``: what a model needs, where it runs, what it costs, and what its export risks."""

import json
import pickletools
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modelver.core import assess
from modelver.core.assess import SCHEMA, Operator, Risk, Target
from modelver.core.layout import Layout
from modelver.core.manifest import FileEntry, TensorEntry, load_files, load_tensors, tree_digest
from modelver.core.sidecar import plain_format
from modelver.errors import InvalidInput, NotFound
from modelver.formats import golden, onnx_cost
from modelver.formats.output import write_atomically

_MODEL = "model.onnx"
_MAX_PICKLE = 64 << 20


@dataclass(frozen=True)
class Assessment:
    """What a run found.

    Attributes:
        model: the model's name.
        targets: the verdict of each runtime; empty for what is no graph.
        risks: worst first.
        document: the content of ``assessment.json``.
    """

    model: str
    targets: tuple[Target, ...]
    risks: tuple[Risk, ...]
    document: Mapping[str, Any]


@dataclass(frozen=True)
class _Graph:
    """What only a graph can tell."""

    operators: Sequence[Operator]
    targets: Sequence[Target]
    cost: onnx_cost.Cost | None
    rows: int | None
    attribute_values: int | None


def run(root: Path, model: str, path: str | None = None) -> Assessment:
    """Assess a model and write ``models/NAME/assessment.json``.

    Nothing of the model is run: the graph is read, shapes are inferred, and onnxruntime builds a session without
    optimising. Pickles are not opened; the names that they import are read off their instructions. The file depends on
    the model and on the versions of onnx and onnxruntime alone, which it names.

    Args:
        root: the repository's top.
        model: the model's name.
        path: its weights, relative to ``root``; None is ``models/NAME/weights``.

    Raises:
        NotFound: there are no weights, or no manifests of them.
        InvalidInput: the model or one of its records is malformed.
    """
    layout = Layout(model)
    weights = root / (path or layout.weights)
    if not weights.exists():
        raise NotFound(f"model {model}: there is no {path or layout.weights}", hint=f"dvc repro, or: dvc pull {model}")
    source = _source(root / layout.source, layout.source)
    files = load_files(_read(root, layout.files, model), layout.files)
    tensors = load_tensors(_read(root, layout.tensors, model), layout.tensors) if source else []
    graph = _Graph((), (), None, None, None)
    if source and source["format"]["name"] == "onnx":
        try:
            graph = _graph(weights, source["signature"])
        except InvalidInput as error:
            raise InvalidInput(f"model {model}: {error.message}", error.hint) from None
    origin = source.get("source") if source else _plain(path or layout.weights, files)
    dtypes = {entry.dtype for entry in tensors} | set(graph.cost.activation_dtypes if graph.cost else ())
    kind = source.get("kind", "pipeline") if source else "plain"
    risks = assess.risks(
        source=origin or {},
        kind=kind,
        signature=source.get("signature") if source else None,
        operators=graph.operators,
        dtypes=dtypes,
        nonfinite=[entry.name for entry in tensors if entry.nonfinite],
        recorded_rows=graph.rows,
    )
    document = {
        "schema": SCHEMA,
        "model": model,
        "kind": kind,
        "weights": _weights(weights, files, tensors) | {"attribute_values": graph.attribute_values},
        "source": {
            **{key: (origin or {}).get(key) for key in ("path", "format", "framework", "framework_version")},
            **_needs(source, weights, files),
        },
        "format": source.get("format") if source else None,
        "data": _data(source.get("signature") if source else None),
        "operators": [
            {"operator": item.label, "count": item.count, "since": item.since, "custom": item.custom}
            for item in graph.operators
        ],
        "dtypes": _dtypes(tensors, graph.cost),
        "cost": None if graph.cost is None else _cost(graph.cost),
        "hardware": assess.hardware(
            graph.cost.activation_bytes if graph.cost else None,
            sum(file.bytes for file in files if not file.path.startswith(f"{golden.FOLDER}/")),
            dtypes,
            graph.cost.flops if graph.cost else None,
        ),
        "targets": {target.runtime: target.to_dict() for target in graph.targets},
        "risks": [asdict(risk) for risk in risks],
    }
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(root / layout.assessment, lambda: [memoryview(text.encode("utf-8"))])
    return Assessment(model, tuple(graph.targets), tuple(risks), document)


def _source(path: Path, name: str) -> dict[str, Any] | None:
    """``source.json``; None for a plain model, which has none."""
    document: Any
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{name} is no JSON: {error}", hint="export or add the model again") from None
    form = document.get("format") if isinstance(document, dict) else None
    if not isinstance(form, dict) or (form.get("name") == "onnx" and not isinstance(document.get("signature"), dict)):
        raise InvalidInput(f"{name} lacks the field 'format' or 'signature'", hint="export or add the model again")
    found: dict[str, Any] = document
    return found


def _read(root: Path, name: str, model: str) -> bytes:
    try:
        return (root / name).read_bytes()
    except FileNotFoundError:
        raise NotFound(f"model {model}: there is no {name}", hint=f"dvc repro, or: modelver add {model} PATH") from None


def _graph(weights: Path, signature: Mapping[str, Any]) -> _Graph:
    from modelver.runtimes import support

    path = weights / _MODEL
    proto = onnx_cost.skeleton(path)
    used = support.operators(proto)
    recorded = golden.read(weights, signature)
    sizes: dict[str, int] = {}
    rows = None
    for value in signature["inputs"] if recorded else ():
        shape = recorded[0][value["name"]].shape if recorded else ()
        rows = max(rows or 0, shape[0] if shape else 1)
        for axis, (dim, size) in enumerate(zip(value["shape"] or (), shape, strict=False)):
            if not isinstance(dim, int):
                sizes[dim or f"{value['name']}[{axis}]"] = size
    cost, inferred = onnx_cost.estimate(proto, sizes)
    values = onnx_cost.attribute_values(proto)
    return _Graph(used, support.targets(path, inferred, used), cost, rows, values)


def _weights(place: Path, files: Sequence[FileEntry], tensors: Sequence[TensorEntry]) -> dict[str, Any]:
    parameters = 0
    for entry in tensors:
        count = 1
        for dim in entry.shape:
            count *= dim
        parameters += count
    return {
        "sha256": tree_digest(files) if place.is_dir() else files[0].sha256 if files else None,
        "disk_bytes": sum(file.bytes for file in files),
        "test_data_bytes": sum(file.bytes for file in files if file.path.startswith(f"{golden.FOLDER}/")),
        "tensor_bytes": sum(entry.bytes for entry in tensors) if tensors else None,
        "files": len(files),
        "tensors": len(tensors) if tensors else None,
        "parameters": parameters if tensors else None,
    }


def _plain(path: str, files: Sequence[FileEntry]) -> dict[str, Any]:
    return {"path": path, "format": plain_format(files), "framework": None, "framework_version": None}


def _needs(source: Mapping[str, Any] | None, weights: Path, files: Sequence[FileEntry]) -> dict[str, Any]:
    """Python and the packages of the export; for plain models the packages that their pickles import."""
    environment = (source or {}).get("environment") or {}
    imports: set[str] = set()
    complete = True
    if source is None:
        for file in files:
            found, whole = imported(weights / file.path if weights.is_dir() else weights)
            imports |= found
            complete &= whole
    return {
        "python": environment.get("python"),
        "packages": environment.get("packages"),
        "imports": sorted(imports),
        "imports_complete": complete,
    }


def imported(path: Path) -> tuple[set[str], bool]:
    """The top-level modules that a pickle (or a zip with pickles, as PyTorch writes) imports when it is opened.

    Read off its instructions, without running them; no statement about whether they are safe.

    Returns:
        The names, and whether all instructions could be read: joblib puts arrays between them, which end the reading.
    """
    if not path.is_file():
        return set(), True
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                members = [item for item in archive.infolist() if item.filename.endswith((".pkl", "/data.pkl"))]
                read = [_modules(archive.open(item).read(_MAX_PICKLE)) for item in members[:16]]
            names: set[str] = set().union(*(found for found, _ in read))
            return names, all(whole for _, whole in read)
        with path.open("rb") as file:
            head = file.read(2)
            if head[:1] != b"\x80" or head[1:] > b"\x05":
                return set(), True
            return _modules(head + file.read(_MAX_PICKLE))
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return set(), False


def _modules(data: bytes) -> tuple[set[str], bool]:
    names: set[str] = set()
    texts: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in ("GLOBAL", "INST"):
                names.add(str(argument).split(" ")[0].split(".")[0])
            elif opcode.name == "STACK_GLOBAL" and len(texts) > 1:
                names.add(texts[-2].split(".")[0])
            elif isinstance(argument, str) and opcode.name != "GLOBAL":
                texts = [*texts[-1:], argument]
    except (ValueError, IndexError, UnicodeDecodeError, OverflowError):
        return _plausible(names), False
    return _plausible(names), True


def _plausible(names: Iterable[str]) -> set[str]:
    return {name for name in names if name.isidentifier()}


def _data(signature: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if signature is None:
        return None
    return {
        "inputs": signature["inputs"],
        "outputs": signature["outputs"],
        "labels": len(signature["labels"]) if signature.get("labels") else None,
        "dynamic": {
            value["name"]: [dim if dim is not None else "?" for dim in value["shape"] if not isinstance(dim, int)]
            for side in ("inputs", "outputs")
            for value in signature[side]
            if value["shape"] and any(not isinstance(dim, int) for dim in value["shape"])
        },
    }


def _dtypes(tensors: Sequence[TensorEntry], cost: onnx_cost.Cost | None) -> dict[str, Any]:
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for entry in tensors:
        sizes[entry.dtype] += entry.bytes
        counts[entry.dtype] += 1
    return {
        "weights": {name: {"tensors": counts[name], "bytes": sizes[name]} for name in sorted(sizes)},
        "values": list(cost.activation_dtypes) if cost else [],
    }


def _cost(cost: onnx_cost.Cost) -> dict[str, Any]:
    return {
        "flops": cost.flops,
        "activation_bytes": cost.activation_bytes,
        "assumed": dict(cost.assumed),
        "not_counted": dict(cost.not_counted),
        "unknown_values": cost.unknown_values,
    }
