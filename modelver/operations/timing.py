"""Times as ratios: models or runtimes take turns in one run, so that whatever else the machine does meets them all."""

import math
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelver.core.gates import rounded
from modelver.runtimes.clock import Clock

ROUNDS = 10
"""Turns that each takes at most."""

TURN = 0.1
"""Seconds of a turn, unless one run takes longer; with `ROUNDS`, what each takes in all."""

MOST = 100
"""Runs in a turn at most."""

WARM_RUNS = 20
"""Runs before the first turn, at most and unless they take longer than a turn: runtimes allocate, and compile, in
their first ones."""

_DIGITS = 3


@dataclass(frozen=True, slots=True)
class Ratio:
    """One's time over the baseline's.

    Attributes:
        p50, p95: of medians, and of 95th percentiles; without unit, at three significant digits.
        runs: how often it ran, warm-up left out.
    """

    p50: float
    p95: float
    runs: int


def in_turns(clocks: Mapping[str, Clock], baseline: str) -> dict[str, Ratio]:
    """Each one's times over those of ``baseline`` in the same rounds; the baseline's own ratio is 1.

    Takes about `ROUNDS` × `TURN` seconds for each; a run that takes longer than that is made twice, once to warm up.

    Raises:
        InvalidInput, ExternalFailure: a model fails on its inputs, or its runtime does.
    """
    for clock in clocks.values():
        _run(clock, WARM_RUNS)
    taken: dict[str, list[list[float]]] = {name: [] for name in clocks}
    left = dict.fromkeys(clocks, ROUNDS * TURN)
    for number in range(ROUNDS):
        if left[baseline] <= 0:  # a time without the baseline's beside it says nothing
            break
        for name in clocks if number % 2 == 0 else reversed(list(clocks)):
            if left[name] > 0:
                times = _run(clocks[name], MOST)
                left[name] -= sum(times)
                # Others have had the processor's caches since the last turn.
                taken[name].append(times[1:] or times)
    return {name: _ratio(times, taken[baseline][: len(times)]) for name, times in taken.items()}


def _run(clock: Clock, most: int) -> list[float]:
    """One turn: times until they make a turn, in growing portions, for a runtime may stall at any moment."""
    times = clock.times(1)
    while (rest := TURN - sum(times)) > 0 and len(times) < most:
        fit = int(rest / max(statistics.fmean(times), 1e-9))
        if not fit:
            break
        times += clock.times(min(fit, len(times), most - len(times)))
    return times


def _ratio(times: Sequence[Sequence[float]], baseline: Sequence[Sequence[float]]) -> Ratio:
    own, other = ([time for turn in turns for time in turn] for turns in (times, baseline))
    p50, p95 = (percentile(own, share) / max(percentile(other, share), 1e-9) for share in (0.5, 0.95))
    return Ratio(_rounded(p50), _rounded(p95), len(own))


def _rounded(value: float) -> float:
    number = rounded(value, _DIGITS)
    assert number is not None
    return number


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of ``values`` (one at least) lies, between neighbours in proportion.

    Source: definition 7 of Hyndman and Fan, "Sample Quantiles in Statistical Packages" (1996); NumPy's default.
    """
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except (OSError, UnicodeDecodeError):
        pass  # another system, or a container that hides it
    return platform.processor() or platform.machine()
