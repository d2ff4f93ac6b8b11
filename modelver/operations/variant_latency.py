"""How long a variant takes over its parent: a ratio of two times measured in turns in one process."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelver.operations.timing import in_turns, processor
from modelver.runtimes.base import Session
from modelver.runtimes.clock import Calls

if TYPE_CHECKING:
    import numpy as np

SCHEMA = "modelver/variants-latency/1"


def ratio(parent: Session, variant: Session, inputs: "Mapping[str, np.ndarray[Any, Any]] | None") -> dict[str, float]:
    """The variant's time for ``inputs`` over the parent's: medians, and 95th percentiles; empty without inputs.

    Both run in turns, so that whatever else the machine does meets both.
    """
    if not inputs:
        return {}
    clocks = {"parent": Calls(lambda: parent.run(inputs)), "variant": Calls(lambda: variant.run(inputs))}
    found = in_turns(clocks, "parent")["variant"]
    return {"p50": found.p50, "p95": found.p95, "runs": found.runs}


def document(ratios: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """The content of ``variants-latency.json``: a measurement, marked as one that no second run repeats."""
    return {
        "schema": SCHEMA,
        "deterministic": False,
        "unit": "ratio to the model's own time for one row",
        "processor": processor(),
        "processors": os.cpu_count(),
        "threads": 1,
        "variants": {name: dict(values) for name, values in sorted(ratios.items())},
    }
