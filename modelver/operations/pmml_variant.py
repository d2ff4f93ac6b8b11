"""A variant in PMML: made of the scikit-learn source, and judged by what it answers, as every other variant is."""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.core.gates import Check
from modelver.core.layout import Layout
from modelver.core.manifest import tree_digest
from modelver.core.model_settings import ModelSettings
from modelver.core.parity import Difference, is_discontinuous, judge_parity
from modelver.core.validation_settings import ValidationSettings
from modelver.core.variants import VariantSettings
from modelver.errors import InvalidInput, NotFound, Refused
from modelver.formats import compare, dataset, golden
from modelver.formats.digest import Digester
from modelver.operations import measure, variant_run
from modelver.operations.variant_run import Answers
from modelver.optimizers import pmml, pmml_session

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_EVALUATOR = "pmml4s"


@dataclass(frozen=True)
class Parent:
    """The model that PMML is made of.

    Attributes:
        root: the repository's top.
        model: its name.
        entry, asked: its settings.
        source: its ``source.json``.
        weights: the folder of its weights.
        before: what the weights answer.
        bytes: size of its ONNX form in one piece.
    """

    root: Path
    model: str
    entry: ModelSettings
    asked: ValidationSettings
    source: Mapping[str, Any]
    weights: Path
    before: Answers
    bytes: int


@dataclass(frozen=True)
class _Scored:
    """What became of scoring the file.

    Attributes:
        checks: the verdicts.
        about: what PMML4S says of the file; None where it does not load.
        answered: the model's outputs that were compared.
        before, after: the answers on the declared data, of these outputs; None where the file does not run.
        recorded: difference to the source framework's own recorded answers; None where there are none.
    """

    checks: tuple[Check, ...]
    about: Mapping[str, Any] | None = None
    answered: tuple[str, ...] = ()
    before: Answers | None = None
    after: Answers | None = None
    recorded: Difference | None = None


def make(parent: Parent, variant: VariantSettings, place: Path, scratch: Path, tools: pmml.Tools) -> dict[str, Any]:
    """Make the variant in the folder ``place``; returns its record in ``variants.json``.

    Args:
        parent: the model.
        variant: what is asked for.
        place: the variant's folder, which does not exist yet.
        scratch: a folder for temporary files, which does not exist yet; it is removed.
        tools: from `pmml.require`.

    Raises:
        Refused: the model is not scikit-learn's, or the converter is too old.
        NotFound: its source is not there.
        InvalidInput: the source is not the one that was exported, or cannot be converted.
    """
    path, sha256 = _source(parent)
    scratch.mkdir()
    place.mkdir()
    try:
        file = place / pmml.FILE
        told = pmml.convert(tools, parent.root / path, file, scratch, parent.entry.target or "y")
        scored = _score(parent, variant, file, scratch, tools)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    copied = variant_run.copy_rows(parent.weights, place)
    with Digester() as digester:
        files = [digester.file(place / name, name) for name in (pmml.FILE, *copied)]
    distance = None
    if scored.before is not None and scored.after is not None:
        distance = variant_run.difference(scored.before, scored.after)
    about = scored.about or {}
    return {
        "ok": all(check.ok for check in scored.checks),
        "method": variant.method,
        "config": dict(variant.config),
        "max_drop": dict(variant.max_drop),
        "calibration": None,
        "source": {"path": path, "sha256": sha256},
        "tool": {
            "name": "sklearn2pmml",
            "version": tools.sklearn2pmml,
            "license": pmml.LICENCE,
            "jars": dict(tools.jars),
            "java": tools.java.version,
            "scikit-learn": tools.sklearn,
            "told_scikit_learn": told,
        },
        "evaluator": {"name": "pypmml", "version": tools.pypmml, "license": pmml.EVALUATOR_LICENCE},
        "path": f"{Layout(parent.model).variants}/{variant.name}",
        "sha256": tree_digest(files),
        "bytes": variant_run.size(files),
        "files": len(files),
        "size_ratio": round(variant_run.model_bytes(files) / parent.bytes, 4),
        "format": {"name": "pmml", "version": about.get("version"), "element": about.get("element")},
        "compared": list(scored.answered),
        "metrics": variant_run.changes(scored.before, scored.after),
        "parity": None if distance is None else distance.to_dict(),
        "recorded": None if scored.recorded is None else scored.recorded.to_dict(),
        "checks": [check.to_dict() for check in scored.checks],
        "manifest": [asdict(entry) for entry in sorted(files, key=lambda entry: entry.path)],
    }


def _source(parent: Parent) -> tuple[str, str]:
    """Path and SHA-256 of the source, which must be the one that the weights were made of."""
    recorded = parent.source.get("source")
    exported: Mapping[str, Any] = recorded if isinstance(recorded, Mapping) else {}
    framework, path = exported.get("framework"), parent.entry.source
    if framework != "scikit-learn" or path is None:
        raise Refused(
            f"model {parent.model}: PMML is made of scikit-learn models alone, this one is by {framework or 'nobody'}",
            hint=_REMOVE,
        )
    if not (parent.root / path).is_file():
        raise NotFound(f"model {parent.model}: its source {path} does not exist", hint=f"dvc pull {path}")
    with (parent.root / path).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != exported.get("sha256"):
        raise InvalidInput(
            f"its source {path} is not the one that the weights were made of",
            hint=f"modelver stage export {parent.model}",
        )
    return path, sha256


def _score(parent: Parent, variant: VariantSettings, file: Path, scratch: Path, tools: pmml.Tools) -> _Scored:
    about = None
    try:
        with pmml_session.opened(tools, file, parent.source, scratch) as session:
            about = session.about
            checks = [_outputs(session, parent.source)]
            if not session.answered:
                return _Scored(tuple(checks), about)
            before = replace(parent.before, outputs={name: parent.before.outputs[name] for name in session.answered})
            wide = _wide(parent.source)
            recorded = _recorded(parent, session, wide)
            after = variant_run.answers(parent.root, parent.entry, parent.asked, wide, session, parent.weights)
    except InvalidInput as error:
        return _Scored((Check(_EVALUATOR, False, message=error.message, hint=error.hint),), about)
    checks += variant_run.judge(variant, parent.source, before, after)
    if recorded is not None and not variant.max_drop:
        checks += _judge_recorded(recorded, parent.source)
    return _Scored(tuple(checks), about, tuple(session.answered), before, after, recorded)


def _outputs(session: pmml_session.PmmlSession, source: Mapping[str, Any]) -> Check:
    names = [value["name"] for value in source["signature"]["outputs"]]
    missing = [name for name in names if name not in session.answered]
    if not session.answered:
        return Check("outputs", False, message="PMML answers none of the model's outputs", hint=_REMOVE)
    message = f"PMML answers {', '.join(session.answered)}"
    return Check("outputs", True, message=message + (f", and has no {', '.join(missing)}" if missing else ""))


def _wide(source: Mapping[str, Any]) -> dict[str, Any]:
    """``source.json`` with inputs in double precision: PMML gets the data as it is, not rounded to ONNX's types."""
    signature = source["signature"]
    inputs = [
        {**value, "dtype": "float64"} if value["dtype"] in ("float16", "float32") else value
        for value in signature["inputs"]
    ]
    return {**source, "signature": {**signature, "inputs": inputs}}


def _recorded(parent: Parent, session: pmml_session.PmmlSession, wide: Mapping[str, Any]) -> Difference | None:
    """How far PMML is from what scikit-learn itself answered on the rows that the export recorded."""
    found = golden.read(parent.weights, parent.source["signature"])
    if found is None:
        return None
    inputs, outputs = found
    rows = len(next(iter(inputs.values())))
    given = _unrounded(parent, inputs, rows, wide)
    return compare.difference({name: outputs[name] for name in session.answered}, session.run(given), rows)


def _unrounded(
    parent: Parent, inputs: "Mapping[str, Array]", rows: int, wide: Mapping[str, Any]
) -> "Mapping[str, Array]":
    """The recorded rows as the data has them, and scikit-learn got them; as recorded where the data is another now."""
    import numpy as np

    if parent.entry.data is None:
        return inputs
    data = dataset.read(parent.root, parent.entry.data, parent.entry.target).spread(rows)
    exact = dataset.feeds(data, wide["signature"]["inputs"], measure.feature_names(parent.source))
    for name, array in inputs.items():
        other = exact[name].astype(array.dtype)
        if other.shape != array.shape or not np.array_equal(other, array, equal_nan=array.dtype.kind == "f"):
            return inputs
    return exact


def _judge_recorded(recorded: Difference, source: Mapping[str, Any]) -> list[Check]:
    jumps = is_discontinuous((source.get("graph") or {}).get("operators", {}))
    return [
        replace(check, name=f"recorded:{check.name}", hint="" if check.ok else _HINT)
        for check in judge_parity(recorded, jumps)
    ]


_REMOVE = "remove the variant from params.yaml"
_HINT = "say what may change: `max_drop:` for this variant in params.yaml, or drop the variant"
