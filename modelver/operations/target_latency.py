"""The declared targets' times for the same rows, as ratios to onnxruntime's in Python, taken in turns with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.core.gates import Check
from modelver.core.validation_settings import DEFAULT_TARGET
from modelver.errors import ExternalFailure, InvalidInput, ModelverError
from modelver.operations.timing import Ratio, in_turns
from modelver.runtimes import base
from modelver.runtimes.clock import clock

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Timed:
    """One target's time.

    Attributes:
        ratio: to onnxruntime's.
        threads: how many a run has; None where the runtime does not let one choose.
    """

    ratio: Ratio
    threads: int | None

    def to_dict(self) -> dict[str, Any]:
        """The record in ``validation.json``, under ``portability.TARGET.latency``."""
        found = self.ratio
        return {"p50_ratio": found.p50, "p95_ratio": found.p95, "runs": found.runs, "threads": self.threads}


@dataclass(frozen=True)
class Times:
    """What measuring all targets found.

    Attributes:
        timed: by target, onnxruntime among them with the ratios 1.
        failed: why others were not timed.
    """

    timed: Mapping[str, Timed]
    failed: Mapping[str, ModelverError]


def measure(names: Sequence[str], model: Path, inputs: "Mapping[str, Array]") -> Times:
    """Time those targets, each in turns with onnxruntime.

    Two are loaded at a time, so that what they take is no more than twice the model, however many targets there are.

    Args:
        names: targets that ran the model on ``inputs``; onnxruntime is timed anyway.
        model: the model file.
        inputs: the rows of each run, by name.

    Raises:
        InvalidInput: onnxruntime can't load or run the model.
        Refused: a target is not installed.
    """
    others = [name for name in names if name != DEFAULT_TARGET]
    timed: dict[str, Timed] = {}
    failed: dict[str, ModelverError] = {}
    with clock(base.find(DEFAULT_TARGET), model, inputs) as own:
        ratios = []
        for name in others:
            runtime = base.find(name)
            own.times(1)  # what it raises is no fault of the target's
            try:
                with clock(runtime, model, inputs) as other:
                    ratios.append(in_turns({DEFAULT_TARGET: own, name: other}, DEFAULT_TARGET))
                    timed[name] = Timed(ratios[-1][name], other.threads)
            except (InvalidInput, ExternalFailure) as error:
                failed[name] = error
        if not ratios:
            ratios.append(in_turns({DEFAULT_TARGET: own}, DEFAULT_TARGET))
        runs = sum(found[DEFAULT_TARGET].runs for found in ratios)
        return Times({DEFAULT_TARGET: Timed(Ratio(1.0, 1.0, runs), own.threads), **timed}, failed)


def judge(times: Times, limits: Mapping[str, float]) -> tuple[Check, ...]:
    """The verdicts ``latency:TARGET``: of each target that has a limit, and of each that could not be timed.

    Args:
        times: as measured.
        limits: the largest ``p50_ratio`` that passes, by target.
    """
    checks = []
    for name in sorted({*limits, *times.failed}):
        limit = limits.get(name)
        if name not in times.timed:
            error = times.failed.get(name)
            message = f"{name} was not timed" + (f": {error.message}" if error else "")
            hint = error.hint if error else "declare it under `targets:` in params.yaml"
            checks.append(Check(f"latency:{name}", False, None, limit, message, hint))
        elif limit is not None:
            ratio = times.timed[name].ratio.p50
            ok = ratio <= limit
            message = f"{name} takes {ratio:g} times as long as {DEFAULT_TARGET} (p50), allowed: {limit:g}"
            hint = "" if ok else "optimize the model, or change the limit in params.yaml in a reviewed change"
            checks.append(Check(f"latency:{name}", ok, ratio, limit, message, hint))
    return tuple(checks)
