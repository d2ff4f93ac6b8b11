"""Running a model and its variants on the same rows, so that their answers and metrics can be compared."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.core.model_settings import ModelSettings
from modelver.formats import dataset, golden
from modelver.operations import scores
from modelver.runtimes import base

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_BATCH = 1024


@dataclass(frozen=True)
class Measured:
    """What a model answered.

    Attributes:
        outputs: by name, first dimension rows; empty where there were no rows.
        metrics: by name, on data with targets.
        rows: how many rows were run.
        sample: one row as the model's inputs (a batch where the model fixes its size); None where there are no rows.
    """

    outputs: "Mapping[str, Array]"
    metrics: Mapping[str, float]
    rows: int
    sample: "Mapping[str, Array] | None"


def measure(
    root: Path, entry: ModelSettings, source: Mapping[str, Any], session: base.Session, weights: Path
) -> Measured:
    """Run the declared data, or without any the rows recorded beside the weights.

    Args:
        root: the repository's top.
        entry: the model's settings.
        source: ``source.json``, whose signature and labels the model has.
        session: the model, loaded.
        weights: the parent's folder, with its recorded rows.

    Raises:
        InvalidInput, NotFound, Refused: the data cannot be read or does not fit the model.
    """
    signature = source["signature"]
    data = None if entry.data is None else dataset.read(root, entry.data, entry.target)
    if data is None:
        recorded = golden.read(weights, signature)
        if recorded is None:
            return Measured({}, {}, 0, None)
        inputs, rows = recorded[0], max((len(a) for a in recorded[0].values() if a.ndim), default=1)
        return Measured(session.run(inputs), {}, rows, inputs)
    names = feature_names(source)
    inputs = dataset.feeds(data, signature["inputs"], names)
    size = fixed_batch(signature)
    outputs = _in_batches(session, inputs, data.rows, size)
    target = data.target(dataset.used_names(data, signature["inputs"], names))
    metrics = {}
    if target is not None:
        given = scores.answers(outputs, signature.get("labels"), data.rows)
        task = entry.task or scores.default_task(given, target)
        metrics = scores.compute(task, given, target, f"{entry.data}, target")
    sample = {name: _filled(array[: size or 1], size) for name, array in inputs.items()}
    return Measured(outputs, metrics, data.rows, sample)


def feature_names(source: Mapping[str, Any]) -> list[str] | None:
    """The columns of the model's one matrix, where its metadata tells."""
    text = (source["format"].get("metadata") or {}).get(dataset.FEATURE_NAMES)
    try:
        names = None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return None
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def fixed_batch(signature: Mapping[str, Any]) -> int | None:
    """The batch size that the model fixes; None where it leaves the choice."""
    sizes = {value["shape"][0] for value in signature["inputs"] if value["shape"]}
    size = sizes.pop() if len(sizes) == 1 else None
    return size if isinstance(size, int) and size > 0 else None


def _in_batches(
    session: base.Session, inputs: "Mapping[str, Array]", rows: int, fixed: int | None
) -> "dict[str, Array]":
    import numpy as np

    size = fixed or _BATCH
    parts: dict[str, list[Array]] = {}
    for start in range(0, rows, size):
        count = min(size, rows - start)
        batch = {name: _filled(array[start : start + size], fixed) for name, array in inputs.items()}
        for name, value in session.run(batch).items():
            if isinstance(value, np.ndarray) and value.ndim:
                parts.setdefault(name, []).append(value[:count])
    return {name: np.concatenate(values) for name, values in parts.items()}


def _filled(batch: "Array", size: int | None) -> "Array":
    """A batch filled up to a fixed size with its last row."""
    import numpy as np

    missing = 0 if size is None else size - len(batch)
    return batch if missing <= 0 else np.concatenate([batch, np.repeat(batch[-1:], missing, axis=0)])
