"""Running a model on its declared data, and measuring its answers: over all rows, and slice by slice."""

import hashlib
import json
import math
import operator
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.core.gates import Check
from modelver.core.model_settings import ModelSettings
from modelver.core.printable import printable, shorten
from modelver.core.slices import Condition, Slice
from modelver.core.validation_settings import ValidationSettings
from modelver.errors import InvalidInput
from modelver.formats import dataset
from modelver.operations import scores
from modelver.runtimes import base, function_worker

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

BATCH = 1024
"""Rows that run at once where the model leaves the choice."""

MAX_SLICES = 100
"""Slices that one column may make; more is an identifier and no group."""

TIMEOUT = 600
"""Seconds that a metric function may take."""


@dataclass(frozen=True)
class Measured:
    """What a model's answers on its data are worth.

    Attributes:
        metrics: name → number; under ``slices`` the same again for each slice, with the number of its ``rows``.
        checks: of slices without rows, and of the repository's own functions.
        rows: rows that were run; 0 without data.
    """

    metrics: Mapping[str, Any]
    checks: tuple[Check, ...]
    rows: int


def measure(
    root: Path, entry: ModelSettings, asked: ValidationSettings, source: Mapping[str, Any], session: base.Session
) -> Measured:
    """Run the model on its declared data and measure what it says.

    Args:
        root: the repository's top.
        entry, asked: the model's settings.
        source: the document ``source.json``.
        session: the model, loaded.

    Raises:
        NotFound: there is no such data file.
        InvalidInput: data, model, task and slices do not fit together, or a function fails.
    """
    if entry.data is None:
        return Measured({}, (), 0)
    data = dataset.read(root, entry.data, entry.target)
    signature = source["signature"]
    names = feature_names(source)
    target = data.target(dataset.used_names(data, signature["inputs"], names))
    inputs = dataset.feeds(data, signature["inputs"], names)
    outputs = in_batches(session, inputs, data.rows, fixed_batch(signature))
    masks = _masks(data, asked.slices)
    metrics: dict[str, Any] = {}
    sliced: dict[str, dict[str, Any]] = {name: {"rows": int(mask.sum())} for name, mask in masks.items()}
    if target is not None:
        given = scores.answers(outputs, signature.get("labels"), data.rows)
        task = entry.task or scores.default_task(given, target)
        metrics |= scores.compute(task, given, target, f"{entry.data}, target")
        for name, mask in masks.items():
            if mask.any():
                where = f"{entry.data}, slice {name}"
                sliced[name] |= scores.compute(task, _taken(given, mask), target[mask], where)
    checks = [_empty(name, entry.data) for name, mask in masks.items() if not mask.any()]
    for metric, function in asked.functions.items():
        own = {name: mask for name, mask in masks.items() if mask.any()}
        numbers = _call(root, function, target, outputs, data, own)
        metrics[metric] = numbers[0]
        for name, number in zip(own, numbers[1:], strict=True):
            sliced[name][metric] = number
        checks.append(_judge_function(root, metric, function, numbers))
    return Measured(metrics | ({"slices": sliced} if sliced else {}), tuple(checks), data.rows)


def _taken(given: scores.Answers, mask: "Array") -> scores.Answers:
    labels = None if given.labels is None else given.labels[mask]
    return scores.Answers(labels, None if given.scores is None else given.scores[mask], given.classes)


def _empty(name: str, path: str) -> Check:
    return Check(
        f"slice:{name}", False, 0.0, 1.0, f"no row of {path} is in slice {name}",
        hint="correct `validate: {slices: …}` in params.yaml, or add such rows to the data",
    )  # fmt: skip


def _masks(data: dataset.Dataset, slices: Sequence[Slice]) -> "dict[str, Array]":
    """Slice → boolean array over the rows, in the order of names."""
    import numpy as np

    masks: dict[str, Array] = {}
    for part in slices:
        if part.by is not None:
            masks |= _by_value(part, data)
            continue
        mask = np.ones(data.rows, dtype=bool)
        for condition in part.conditions:
            mask &= _meets(data, condition, part.name)
        masks[part.name] = mask
    return masks


def _by_value(part: Slice, data: dataset.Dataset) -> "dict[str, Array]":
    import numpy as np

    assert part.by is not None
    column = data.column(part.by, f"slice {part.name}")
    values = sorted({value for value in column.tolist() if value == value and value is not None}, key=str)
    if len(values) > MAX_SLICES:
        raise InvalidInput(
            f"slice {part.name}: column {part.by!r} of {data.path} has {len(values)} values, more than {MAX_SLICES}",
            hint='slice by a column of few values, or by ranges: `"age < 30"`',
        )
    found = {f"{part.name}={_value_name(value)}": np.asarray(column == value, dtype=bool) for value in values}
    if len(found) != len(values):
        raise InvalidInput(f"slice {part.name}: values of column {part.by!r} can't be told apart by name")
    return found


def _value_name(value: object) -> str:
    """A value as part of a metric's name, whose parts are joined with dots."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return shorten(printable(text), 40).replace(".", "_")


def _meets(data: dataset.Dataset, condition: Condition, name: str) -> "Array":
    import numpy as np

    column = data.column(condition.column, f"slice {name}")
    text = column.dtype.kind in "OUS"
    if text != isinstance(condition.value, str):
        kinds = ("text", "a number") if text else ("numbers", "text")
        raise InvalidInput(
            f"slice {name}: column {condition.column!r} holds {kinds[0]} and is compared with {kinds[1]}"
        )
    with np.errstate(invalid="ignore"):
        return np.asarray(_COMPARE[condition.operator](column, condition.value), dtype=bool)


_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def _call(
    root: Path,
    function: str,
    target: "Array | None",
    outputs: "Mapping[str, Array]",
    data: dataset.Dataset,
    masks: "Mapping[str, Array]",
) -> list[float]:
    """The function's numbers: over all rows, then for each mask."""
    import numpy as np

    arrays = {"masks": np.stack([np.ones(data.rows, dtype=bool), *masks.values()])}
    if target is not None:
        arrays["targets"] = target
    columns = {name: data.column(name, "metrics") for name in data.names}
    for kind, values in (("outputs", outputs), ("rows", columns)):
        arrays |= {f"{kind}{number}": value for number, value in enumerate(values.values())}
    stored = {key: array.astype(str) if array.dtype.kind in "OS" else array for key, array in arrays.items()}
    with tempfile.TemporaryDirectory(prefix="modelver-metric-") as scratch:
        place = Path(scratch)
        np.savez(place / "arrays.npz", **stored)  # type: ignore[arg-type]  # numpy's stub takes names for options
        request = {"arrays": str(place / "arrays.npz"), "answer": str(place / "answer.json")}
        (place / "request.json").write_text(json.dumps(request | {"outputs": list(outputs), "rows": list(columns)}))
        worker = str(Path(function_worker.__file__))
        command = [sys.executable, "-B", worker, str(root), function, str(place / "request.json")]
        try:
            done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            raise InvalidInput(f"metric function {function} took longer than {TIMEOUT} s") from None
        if done.returncode or not (place / "answer.json").is_file():
            last = (done.stderr.strip().splitlines() or ["no word why"])[-1]
            raise InvalidInput(
                f"metric function {function} failed: {last[:300]}",
                hint="it is called as function(targets, outputs, rows) and returns a number",
            )
        numbers: list[float] = json.loads((place / "answer.json").read_bytes())
    return numbers


def _judge_function(root: Path, metric: str, function: str, numbers: Sequence[float]) -> Check:
    """Finite everywhere; the message says which code it was, for no stage of ``dvc.yaml`` need depend on it."""
    module = function.partition(":")[0].replace(".", "/")
    files = [path for path in (f"{module}.py", f"{module}/__init__.py") if (root / path).is_file()]
    digest = hashlib.sha256((root / files[0]).read_bytes()).hexdigest() if files else ""
    code = f"{function}, {files[0]} sha256:{digest[:16]}" if files else f"{function}, not of this repository"
    ok = all(math.isfinite(number) for number in numbers)
    return Check(
        f"metric:{metric}", ok, numbers[0], None, code if ok else f"{code}: it gave NaN or an infinity",
        hint="" if ok else f"correct {function}, or take it out of `validate: {{metrics: …}}`",
    )  # fmt: skip


def feature_names(source: Mapping[str, Any]) -> dataset.Columns:
    """The columns that the model reads, where its metadata says."""
    return dataset.columns_noted(source["format"].get("metadata"))


def fixed_batch(signature: Mapping[str, Any]) -> int | None:
    """The batch size that the model fixes; None where it leaves the choice."""
    sizes = {value["shape"][0] for value in signature["inputs"] if value["shape"]}
    size = sizes.pop() if len(sizes) == 1 else None
    return size if isinstance(size, int) and size > 0 else None


def in_batches(
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
