"""How long a variant takes over its parent: a ratio of two times measured in turns in one process."""

import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.runtimes.base import Session

if TYPE_CHECKING:
    import numpy as np

SCHEMA = "modelver/variants-latency/1"

_SECONDS = 1.5
_MOST = 200
_LEAST = 5


def ratio(parent: Session, variant: Session, inputs: "Mapping[str, np.ndarray[Any, Any]] | None") -> dict[str, float]:
    """The variant's time for ``inputs`` over the parent's: medians, and 95th percentiles; empty without inputs.

    Both run in turns, so that whatever else the machine does meets both.
    """
    if not inputs:
        return {}
    times: tuple[list[float], list[float]] = ([], [])
    for session in (parent, variant):
        session.run(inputs)
    end = time.perf_counter() + _SECONDS
    while len(times[0]) < _LEAST or (len(times[0]) < _MOST and time.perf_counter() < end):
        for session, taken in zip((parent, variant), times, strict=True):
            start = time.perf_counter()
            session.run(inputs)
            taken.append(time.perf_counter() - start)
    before, after = (sorted(taken) for taken in times)
    return {
        "p50": round(statistics.median(after) / statistics.median(before), 3),
        "p95": round(_percentile(after, 0.95) / _percentile(before, 0.95), 3),
        "runs": len(after),
    }


def document(ratios: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """The content of ``variants-latency.json``: a measurement, marked as one that no second run repeats."""
    return {
        "schema": SCHEMA,
        "deterministic": False,
        "unit": "ratio to the model's own time for one row",
        "processor": _processor(),
        "processors": os.cpu_count(),
        "threads": 1,
        "variants": {name: dict(values) for name, values in sorted(ratios.items())},
    }


def _percentile(values: Sequence[float], share: float) -> float:
    return values[min(int(share * len(values)), len(values) - 1)]


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except (OSError, UnicodeDecodeError):
        pass  # another system, or a container that hides it
    return platform.processor() or platform.machine()
