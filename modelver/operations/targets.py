"""The declared targets: each runtime really runs the model on the recorded rows, or is said not to have run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.core.gates import Check
from modelver.core.model_settings import ModelSettings
from modelver.core.parity import Difference, Limits, is_discontinuous, judge_parity
from modelver.core.validation_settings import DEFAULT_TARGET
from modelver.errors import ExternalFailure, InvalidInput, Refused
from modelver.formats import compare, dataset
from modelver.operations.measure import feature_names, fixed_batch
from modelver.runtimes import base

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Requests:
    """What every target is asked.

    Attributes:
        inputs: by name, first dimension rows.
        expected: by name; the source framework's outputs where they were recorded, else onnxruntime's.
        rows: number of rows.
        recorded: whether ``expected`` are the source framework's.
    """

    inputs: "Mapping[str, Array]"
    expected: "Mapping[str, Array]"
    rows: int
    recorded: bool


@dataclass(frozen=True)
class Ran:
    """What became of one target.

    Attributes:
        name: the runtime.
        facts: its record under ``targets`` in ``validation.json``.
        checks: its verdicts.
        parity: None where it did not run.
    """

    name: str
    facts: Mapping[str, Any]
    checks: tuple[Check, ...]
    parity: Difference | None


REQUEST_ROWS = 32
"""Rows of the declared data that targets are asked where no answers were recorded."""


def requests_from_data(
    root: Path, entry: ModelSettings, source: Mapping[str, Any], session: base.Session
) -> Requests | None:
    """Some rows of the declared data, and onnxruntime's own answers to them; for models without recorded ones.

    Args:
        root: the repository's top.
        entry: the model's settings; without ``data`` the result is None.
        source: ``source.json``.
        session: onnxruntime's.

    Raises:
        NotFound, InvalidInput: the data can't be read, or do not fit the model.
    """
    if entry.data is None:
        return None
    signature = source["signature"]
    data = dataset.read(root, entry.data, entry.target)
    count = fixed_batch(signature) or REQUEST_ROWS
    if data.rows < count and fixed_batch(signature):
        return None
    inputs = dataset.feeds(data.spread(count), signature["inputs"], feature_names(source))
    return Requests(inputs, session.run(inputs), row_count(inputs), recorded=False)


def row_count(inputs: "Mapping[str, Array]") -> int:
    """Rows of a run: the longest first dimension."""
    return max((len(array) for array in inputs.values() if array.ndim), default=1)


def run_targets(
    names: Sequence[str], model: Path, requests: Requests | None, operators: Mapping[str, int], limits: Limits
) -> list[Ran]:
    """Run the model on every target but onnxruntime, which runs anyway.

    Args:
        names: declared targets.
        model: the model file.
        requests: None where there are no rows to run; then no target can pass.
        operators: of the graph, by ``domain/Name``.
        limits: the user's own tolerances.
    """
    others = [name for name in names if name != DEFAULT_TARGET]
    return [_run(name, model, requests, is_discontinuous(operators), limits) for name in others]


def _run(name: str, model: Path, requests: Requests | None, discontinuous: bool, limits: Limits) -> Ran:
    check = f"target:{name}"
    try:
        runtime = base.find(name)
    except Refused as error:  # not installed: reported, and never taken for a pass
        message = f"not run: {error.message}"
        return Ran(name, _facts(False, False, None), (Check(check, False, message=message, hint=error.hint),), None)
    version = runtime.version()
    if requests is None:
        message = f"{name} {version} was not run, for there are no rows"
        hint = "declare `data:` in params.yaml, or add the model with test_data_set_0 beside it"
        return Ran(name, _facts(False, False, version), (Check(check, False, message=message, hint=hint),), None)
    try:
        outputs = runtime.run(model, requests.inputs)
        parity = compare.difference(requests.expected, outputs, requests.rows, limits)
    except (InvalidInput, ExternalFailure) as error:  # the latter: the runtime's own process crashed
        failed = Check(check, False, message=error.message, hint=error.hint)
        return Ran(name, _facts(False, False, version), (failed,), None)
    verdicts = [
        Check(f"{check}:{verdict.name}", verdict.ok, verdict.value, verdict.limit, verdict.message, verdict.hint)
        for verdict in judge_parity(parity, discontinuous, limits)
    ]
    whose = "the recorded answers" if requests.recorded else "onnxruntime's answers, for none were recorded"
    ok = all(verdict.ok for verdict in verdicts)
    word = "agrees with" if ok else "disagrees with"
    summary = Check(
        check, ok, message=f"{name} {version} ran {requests.rows} rows and {word} {whose}", hint=_hint(ok, name)
    )
    return Ran(name, _facts(True, ok, version), (summary, *verdicts), parity)


def _facts(ran: bool, ok: bool, version: str | None) -> dict[str, Any]:
    return {"ran": ran, "ok": ok, "version": version}


def _hint(ok: bool, name: str) -> str:
    return "" if ok else f"replace the operator that {name} computes otherwise, or take {name} out of `targets:`"
