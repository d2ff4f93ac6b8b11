"""Time and memory, always beside an earlier version in the same run: figures of one machine say little alone.

Both versions are loaded, each in a process of its own with onnxruntime and nothing else, and take turns, so that
whatever else the machine does meets both. What is recorded are ratios; the processor and the thread count with them.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.core.gates import LATEST, Check, rounded
from modelver.core.validation_settings import LatencySettings
from modelver.errors import NotFound
from modelver.operations.cached_weights import check_out
from modelver.operations.facts import collect
from modelver.operations.project import Project
from modelver.operations.snapshot import CommitSnapshot
from modelver.operations.targets import row_count
from modelver.operations.timing import percentile, processor
from modelver.runtimes.isolated import Clean, clean_process

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

THREADS = 1
"""Threads within an operator: more would measure the machine's other work too."""

_MODEL = "model.onnx"
_DIGITS = 3


@dataclass(frozen=True)
class Latency:
    """Two versions measured side by side.

    Attributes:
        baseline: the version compared with; empty where there is none yet.
        ratios: by name of `core.validation_settings.LATENCY_RATIOS`, new over baseline, without unit.
        processor, threads: what was measured on.
        rows: rows of one run.
        checks: of the declared limits.
    """

    baseline: str
    ratios: Mapping[str, float]
    processor: str
    threads: int
    rows: int
    checks: tuple[Check, ...]

    def to_dict(self) -> dict[str, Any]:
        """The record in ``validation.json``."""
        ratios = {f"{name}_ratio": rounded(value, _DIGITS) for name, value in self.ratios.items()}
        facts = {"baseline": self.baseline, "processor": self.processor, "threads": self.threads, "rows": self.rows}
        return ratios | facts


def compare(root: Path, model: str, asked: LatencySettings, inputs: "Mapping[str, Array]") -> Latency:
    """Measure ``models/NAME/weights/`` beside the baseline's weights, which come from DVC's cache.

    Args:
        root: the repository's top.
        model: the model's name.
        asked: baseline, counts and limits.
        inputs: the rows of each run, by name.

    Raises:
        Refused: the baseline's weights are not in the cache.
        NotFound: there is no such version.
        InvalidInput: the baseline is no ONNX model, or takes other inputs.
    """
    project = Project.open(root)
    machine = {"processor": processor(), "threads": THREADS, "rows": row_count(inputs)}
    if asked.baseline == LATEST and project.registry.latest(model) is None:
        message = "no latest version yet to compare with"
        return Latency("", {}, **machine, checks=(Check("latency", True, message=message),))  # type: ignore[arg-type]
    version = project.resolve(asked.baseline, model).version
    if version is None:
        raise NotFound(f"the latency's baseline {asked.baseline} is no version", hint=f"modelver list {model}")
    with tempfile.TemporaryDirectory(prefix="modelver-baseline-") as scratch:
        facts = collect(CommitSnapshot(project.git, version.record.commit), version.model)
        what, instead = "latency can't be compared with it", "take `latency:` out of params.yaml"
        check_out(project, facts, version.tag, Path(scratch), what=what, instead=instead)
        ratios = measure(Path(scratch) / _MODEL, root / "models" / model / "weights" / _MODEL, inputs, asked)
    checks = tuple(_judge(name, limit, ratios[name], version.tag) for name, limit in sorted(asked.max_ratio.items()))
    said = Check("latency", True, message=f"measured beside {version.tag} on {machine['processor']}, {THREADS} thread")
    return Latency(version.tag, ratios, **machine, checks=(said, *checks))  # type: ignore[arg-type]


def measure(old: Path, new: Path, inputs: "Mapping[str, Array]", asked: LatencySettings) -> dict[str, float]:
    """Ratios new over old: p50, p95 and p99 of a run, load time, peak memory beyond Python and the runtime.

    Load times are the best of three loads each, taken in turns.
    """
    loads: dict[str, list[float]] = {"old": [], "new": []}
    for _ in range(2):
        for name, path in (("old", old), ("new", new)):
            with clean_process("serve", path, inputs, threads=THREADS) as process:
                loads[name].append(process.answer()["load"])
    times: dict[str, list[float]] = {"old": [], "new": []}
    memory: dict[str, float] = {}
    with (
        clean_process("serve", old, inputs, threads=THREADS) as first,
        clean_process("serve", new, inputs, threads=THREADS) as second,
    ):
        both = {"old": first, "new": second}
        for name, process in both.items():
            loads[name].append(process.answer()["load"])
        for round_ in range(asked.rounds):
            for name in ("old", "new") if round_ % 2 == 0 else ("new", "old"):
                memory[name] = _turn(both[name], asked.runs, times[name])
    ratios = {f"p{q}": percentile(times["new"], q / 100) / percentile(times["old"], q / 100) for q in (50, 95, 99)}
    return ratios | {
        "load": min(loads["new"]) / min(loads["old"]),
        "memory": max(memory["new"], 1.0) / max(memory["old"], 1.0),
    }


def _turn(process: Clean, runs: int, times: list[float]) -> float:
    answer = process.ask(str(runs))
    times += answer["times"]
    return float(answer["memory"])


def _judge(name: str, limit: float, ratio: float, tag: str) -> Check:
    value = rounded(ratio, _DIGITS)
    ok = value is not None and value <= limit
    message = f"{name} is {value:g} times that of {tag}, allowed: {limit:g}" if value is not None else "not measured"
    hint = "" if ok else "optimize the model, or change the limit in params.yaml in a reviewed change"
    return Check(f"latency:{name}", ok, value, limit, message, hint)
