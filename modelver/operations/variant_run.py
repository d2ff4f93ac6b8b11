"""Running a model and its variants on the same rows, so that their answers and metrics can be compared."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.core.gates import Check, rounded
from modelver.core.manifest import FileEntry
from modelver.core.model_settings import ModelSettings
from modelver.core.parity import Difference, is_discontinuous, judge_parity
from modelver.core.sidecar import flatten
from modelver.core.validation_settings import ValidationSettings
from modelver.core.variants import AGREEMENT, VariantSettings, drop, judge_drops
from modelver.formats import compare, dataset, golden
from modelver.operations import measure
from modelver.runtimes import base

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Answers:
    """What a model answered.

    Attributes:
        outputs: by name, first dimension rows; empty where there were no rows.
        metrics: by flat name, those of the validate stage, slices and own functions included.
        rows: how many rows were run.
        sample: one row as the model's inputs (a batch where the model fixes its size); None where there are no rows.
    """

    outputs: "Mapping[str, Array]"
    metrics: Mapping[str, float]
    rows: int
    sample: "Mapping[str, Array] | None"


def answers(
    root: Path,
    entry: ModelSettings,
    asked: ValidationSettings,
    source: Mapping[str, Any],
    session: base.Session,
    weights: Path,
) -> Answers:
    """Run the declared data, or without any the rows recorded beside the weights.

    Args:
        root: the repository's top.
        entry, asked: the model's settings.
        source: ``source.json``, whose signature and labels the model has.
        session: the model, loaded.
        weights: the parent's folder, with its recorded rows.

    Raises:
        InvalidInput, NotFound, Refused: the data cannot be read or does not fit the model.
    """
    signature = source["signature"]
    if entry.data is None:
        recorded = golden.read(weights, signature)
        if recorded is None:
            return Answers({}, {}, 0, None)
        rows = max((len(array) for array in recorded[0].values() if array.ndim), default=1)
        return Answers(session.run(recorded[0]), {}, rows, recorded[0])
    data = dataset.read(root, entry.data, entry.target)
    inputs = dataset.feeds(data, signature["inputs"], measure.feature_names(source))
    size = measure.fixed_batch(signature)
    outputs = measure.in_batches(session, inputs, data.rows, size)
    found = flatten(measure.measure(root, entry, asked, source, session).metrics)
    metrics = {name: value for name, value in found.items() if not name.endswith(".rows")}
    return Answers(outputs, metrics, data.rows, {name: _one(array, size) for name, array in inputs.items()})


def _one(array: "Array", size: int | None) -> "Array":
    """The first row, or a first batch of a fixed size, filled up with its last row."""
    import numpy as np

    batch = array[: size or 1]
    missing = (size or 1) - len(batch)
    return batch if not missing else np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])


def metrics_of(before: Answers, after: Answers | None) -> dict[str, float]:
    """Rounded metrics with the share of rows that agree with ``before``; empty where nothing was run."""
    if after is None:
        return {}
    agreement = _agreement(before, after)
    found = {**after.metrics, **({} if agreement is None else {AGREEMENT: agreement})}
    return {name: value for name, raw in sorted(found.items()) if (value := rounded(raw)) is not None}


def _agreement(before: Answers, after: Answers) -> float | None:
    """Share of rows with the same label: of the first output of labels, or the column of the highest score."""
    import numpy as np

    scores = None
    for name, want in before.outputs.items():
        got = after.outputs.get(name)
        if got is None or got.shape != want.shape or not want.ndim or len(want) != before.rows:
            continue
        if want.dtype.kind in "iubOUS" and want.size == before.rows:
            return float(np.mean(np.asarray(want == got, dtype=bool)))
        if want.dtype.kind == "f" and want.ndim == 2 and want.shape[1] > 1 and scores is None:
            scores = float((want.argmax(axis=1) == got.argmax(axis=1)).mean())
    return scores


def changes(before: Answers | None, after: Answers | None) -> dict[str, dict[str, float | None]]:
    """Metric → before, after and by how much it is worse; empty where nothing was run before."""
    if before is None:
        return {}
    found = metrics_of(before, after)
    return {name: _change(name, value, found.get(name)) for name, value in metrics_of(before, before).items()}


def _change(metric: str, before: float, after: float | None) -> dict[str, float | None]:
    return {"before": before, "after": after, "drop": None if after is None else drop(metric, before, after)}


def size(files: Sequence[FileEntry]) -> int:
    """Bytes of all files."""
    return sum(file.bytes for file in files)


def model_bytes(files: Sequence[FileEntry]) -> int:
    """Bytes of all files but the recorded rows and answers."""
    return sum(file.bytes for file in files if not file.path.startswith(f"{golden.FOLDER}/"))


def copy_rows(weights: Path, place: Path) -> list[str]:
    """Copy the parent's recorded rows and answers, so that a variant's folder is laid out as the weights are."""
    if not (weights / golden.FOLDER).is_dir():
        return []
    shutil.copytree(weights / golden.FOLDER, place / golden.FOLDER)
    return sorted(path.relative_to(place).as_posix() for path in (place / golden.FOLDER).rglob("*") if path.is_file())


def difference(before: Answers, after: Answers) -> Difference | None:
    """How far the answers are apart; None where there were no rows."""
    return compare.difference(before.outputs, after.outputs, before.rows) if before.outputs else None


def judge(
    variant: VariantSettings, source: Mapping[str, Any], before: Answers, after: Answers | None
) -> tuple[Check, ...]:
    """A variant's verdicts: by the declared drops, and without any by parity with its parent."""
    if variant.max_drop:
        return judge_drops(variant.max_drop, metrics_of(before, before), metrics_of(before, after))
    distance = None if after is None else difference(before, after)
    if distance is None:
        return (
            Check(
                "parity", False, message="there are no rows to run, so nobody knows what the variant does",
                hint="declare `data: PATH` for the model in params.yaml",
            ),
        )  # fmt: skip
    checks = judge_parity(distance, is_discontinuous((source.get("graph") or {}).get("operators", {})))
    return tuple(
        replace(check, message=check.message.replace("the source framework's own", "the model's own"), hint=_HINT)
        if not check.ok
        else replace(check, message=check.message.replace("the source framework's own", "the model's own"))
        for check in checks
    )


_HINT = "say what may change: `max_drop:` for this variant in params.yaml, or drop the variant"


def same_signature(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Check:
    """A variant takes its parent's place without a change in the caller."""
    differing = [side for side in ("inputs", "outputs") if ours.get(side) != theirs[side]]
    if differing:
        message = f"its {' and '.join(differing)} are not the model's"
        return Check("signature", False, message=message, hint="keep them: `keep_io: true` for float16")
    return Check("signature", True, message="inputs and outputs are the model's")
