"""Which commits keep their weights: rules over a history that somebody else has gathered. Pure."""

import heapq
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from modelver.errors import InvalidInput

DAY = 86_400.0
DEFAULT_GRACE = 14 * DAY
"""Seconds; the two weeks that `git gc` gives loose objects (``gc.pruneExpire``)."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY, "w": 7 * DAY, "y": 365 * DAY}
_AGE = re.compile(r"(\d{1,9})([smhdwy]?)\Z")


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as far as retention looks at it.

    Attributes:
        parents: ids.
        time: of the committer, seconds since the epoch.
        state: equal for two commits exactly where they name the same DVC objects.
    """

    parents: tuple[str, ...]
    time: float
    state: object = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What may go.

    Attributes:
        grace: seconds; whatever is younger stays, whoever needs it.
        keep_untagged: how many states of the weights stay on each branch beside those that a tag names, newest first;
            None: all of them.
        older_than: seconds; of the untagged ones only those older than this may go; None: age saves none.
    """

    grace: float = DEFAULT_GRACE
    keep_untagged: int | None = None
    older_than: float | None = None

    @property
    def keeps_history(self) -> bool:
        """Whether every commit that can be reached stays: nothing else was asked for."""
        return self.keep_untagged is None and self.older_than is None


def parse_age(text: str) -> float:
    """Seconds of an age: a number with ``s``, ``m``, ``h``, ``d`` (also where nothing follows), ``w`` or ``y``.

    Raises:
        InvalidInput: it is none.
    """
    match = _AGE.match(text.strip())
    if match is None:
        raise InvalidInput(f"{text!r} is no age", hint="a number and a unit, as 36h, 14d, 8w, 1y")
    return int(match[1]) * _UNITS[match[2] or "d"]


def kept_commits(
    history: Mapping[str, Commit], tips: Iterable[str], lines: Iterable[str], policy: Policy, now: float
) -> set[str]:
    """The commits whose objects stay.

    - Without a policy: all of ``history``.
    - Always: the tips, and every commit younger than the grace period.
    - With ``older_than``: every commit younger than that.
    - With ``keep_untagged``: the newest states of each line, counted from its tip, which is the first. Commits in
      succession that share a state count once, and so do states that a tip names count not at all.

    Where both are given, a commit goes only if both let it go.

    Args:
        history: every commit that can be reached; parents that are missing in it are where it ends.
        tips: commits that something names: tags, branches, stashes, …; those not in ``history`` are passed over.
        lines: tips whose past counts as a branch.
        policy: what may go.
        now: seconds since the epoch.
    """
    if policy.keeps_history:
        return set(history)
    tips = [tip for tip in tips if tip in history]
    young = max(policy.grace, policy.older_than or 0.0)
    kept = {*tips, *(name for name, commit in history.items() if now - commit.time < young)}
    if policy.keep_untagged:
        named = {history[tip].state for tip in tips}
        for line in {*lines} & history.keys():
            kept |= _newest(history, line, named, policy.keep_untagged)
    return kept


def _newest(history: Mapping[str, Commit], tip: str, named: set[object], count: int) -> set[str]:
    """The commits of the newest ``count`` states on a line that no tip names; newest first by time, as Git's log."""
    kept: set[str] = set()
    states: set[object] = set()
    queue, seen = [(-history[tip].time, tip)], {tip}
    while queue:
        _, name = heapq.heappop(queue)
        commit = history[name]
        if commit.state not in named and commit.state not in states:
            if len(states) == count:
                return kept
            states.add(commit.state)
        kept.add(name)
        for parent in commit.parents:
            if parent in history and parent not in seen:
                seen.add(parent)
                heapq.heappush(queue, (-history[parent].time, parent))
    return kept
