"""Set aside what nothing needs on a DVC remote, and remove what was set aside long enough ago.

Others push there at the same time, and no lock reaches them. What is set aside can be put back, and that settles every
order in which things may happen. Let gc set an object aside at a time S and look at the Git remotes once more at a time
L > S; let a push find the object there, publish its tag at a time P, and look at the object once more at a time C > P.
Either P < L: then gc's last look sees the tag, and puts the object back. Or P > L > S: then the push's own last look
finds it missing, and uploads it again. Where either dies on the way, or the push was a plain `dvc push` that never
looks again, the object still lies set aside: each gc first puts back what is needed, and removes for good only what was
set aside for the whole grace period and is still not needed.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from modelver.adapters.dvc import DvcCache, DvcRemote, HalfStored, Stored
from modelver.adapters.dvc.retired import Retired, RetiredObjects
from modelver.errors import Refused
from modelver.operations.gc import (
    Confirm,
    GcRequest,
    GcResult,
    Item,
    Looker,
    Say,
    alone,
    removal_order,
    unlisted_warnings,
)
from modelver.operations.plain_lines import plain_lines
from modelver.operations.project import Project
from modelver.operations.reachable import Objects, Remotes

JOBS = 8
"""Objects at the same time; botocore keeps ten connections."""

_UPLOADING = 24 * 3600.0
"""Seconds without a write after which no upload is at work on an object any more, whatever the grace period is."""

_T = TypeVar("_T")
_R = TypeVar("_R")


def gc_remote(
    project: Project,
    request: GcRequest,
    name: str | None = None,
    *,
    confirm: Confirm,
    jobs: int = JOBS,
    dry_run: bool = False,
    say: Say = lambda _: None,
) -> GcResult:
    """Set aside, put back and remove objects of a DVC remote.

    Args:
        project: the repository.
        request: what may go.
        name: of the DVC remote; None means the default one.
        confirm: asked once it is known what would go; where it says no, nothing is done.
        jobs: objects at the same time.
        dry_run: only look.
        say: told of what goes on.

    Raises:
        Refused: it can't be known what is needed, or there is no such remote.
        ExternalFailure: a Git remote or the DVC remote failed, or another gc runs.
    """
    project.require_dvc()
    remote = DvcRemote.open(project.root, name, plain_http=plain_lines(project.git, request.plain_http))
    if not request.fetch:
        raise Refused("on a remote others' versions are at stake, so their tags and branches must be asked for")
    with alone(project.git):
        run = _Run(project, request, remote, say, jobs)
        plan = run.plan()
        if dry_run or plan.idle or not confirm(plan):
            return replace(plan, dry_run=True)
        return run.carry_out(plan)


class _Run:
    def __init__(self, project: Project, request: GcRequest, remote: DvcRemote, say: Say, jobs: int) -> None:
        self._git = project.git
        self._grace = request.policy.grace
        self._remote = remote
        self._retired = RetiredObjects(remote)
        self._say = say
        self._jobs = jobs
        cache = DvcCache.find(project.root)
        # a listing that this remote lacks may be on the default one
        remotes = Remotes(project.root, remote, plain_http=plain_lines(project.git, request.plain_http))
        self._looker = Looker(self._git, cache, request, say, remotes)
        self._ahead = 0.0
        """Seconds that this machine's clock is ahead of the storage's, by which it says when objects were written."""
        self._stored: dict[str, Stored] = {}
        self._aside: list[Retired] = []
        self._doomed: tuple[Item, ...] = ()
        self._halves: list[HalfStored] = []

    def plan(self) -> GcResult:
        """What is to be done."""
        self._remote.probe()
        needed = self._looker.look()
        self._say(f"listing {self._remote.name}")
        self._aside = list(self._retired.all())
        found = list(self._remote.everything())
        self._stored = {stored.md5: stored for stored in found if isinstance(stored, Stored)}
        now = self._now()
        self._halves = [half for half in found if isinstance(half, HalfStored) and self._is_dead(half, now)]
        doomed = [s for s in self._stored.values() if s.md5 not in needed.hashes]
        old = [stored for stored in doomed if self._is_old(stored, now)]
        lapsed = [retired for retired in self._aside if self._is_lapsed(retired, needed, now)]
        going = [*(stored.md5 for stored in old), *(retired.md5 for retired in lapsed)]
        paths = self._looker.paths(going) if going else {}
        warnings = [*unlisted_warnings(needed), *self._warnings(doomed)]
        kept = sum(s.bytes for s in self._stored.values()) - sum(s.bytes for s in old)
        self._doomed = tuple(removal_order(Item(s.md5, s.bytes, paths.get(s.md5, "")) for s in old))
        aside, at_once = (self._doomed, ()) if self._grace else ((), self._doomed)
        return GcResult(
            self._remote.name, True, True, aside,
            (*at_once, *(Item(r.md5, r.bytes, paths.get(r.md5, "")) for r in lapsed)),
            tuple(Item(r.md5, r.bytes, needed.paths.get(r.md5, "")) for r in self._aside if r.md5 in needed.hashes),
            len(self._halves), sum(half.bytes for half in self._halves),
            needed=len(self._stored) - len(doomed), young=len(doomed) - len(old), bytes_kept=kept,
            warnings=tuple(warnings),
        )  # fmt: skip

    def carry_out(self, plan: GcResult) -> GcResult:
        """Do what was planned, as far as it still holds."""
        clock = self._retired.now()
        self._ahead = max(0.0, time.time() - clock) if clock is not None else 0.0
        needed = self._looker.look()
        start = int(self._now())
        each(self._retire_if_old, [item for item in self._doomed if item.md5 not in needed.hashes], self._jobs)
        # the last look: from here on whoever publishes finds missing what is missing
        needed = self._looker.look()
        aside, now = list(self._retired.all()), self._now()
        back = [retired for retired in aside if retired.md5 in needed.hashes]
        # a folder's listing last: whoever sees it takes its files to be there
        each(self._retired.put_back, [retired for retired in back if not retired.md5.endswith(".dir")], self._jobs)
        each(self._retired.put_back, [retired for retired in back if retired.md5.endswith(".dir")], self._jobs)
        lapsed = [retired for retired in aside if self._is_lapsed(retired, needed, now)]
        each(self._retired.purge, lapsed, self._jobs)
        halves = [half for half in self._halves if self._is_dead(half, now)]
        each(self._remote.delete_half, halves, self._jobs)
        paths = {item.md5: item.path for item in (*plan.items, *plan.purged)} | dict(needed.paths)

        def items(some: Iterable[Retired]) -> tuple[Item, ...]:
            return tuple(Item(r.md5, r.bytes, paths.get(r.md5, "")) for r in sorted(some, key=lambda r: r.md5))

        left = {*aside} - {*back} - {*lapsed}
        return replace(
            plan,
            dry_run=False,
            items=items(retired for retired in left if retired.since >= start),
            purged=items(lapsed),
            put_back=items(retired for retired in back if retired.since < start),
            halves=len(halves),
            halves_bytes=sum(half.bytes for half in halves),
        )

    def _retire_if_old(self, item: Item) -> None:
        """Set an object aside, unless somebody has written it anew since it was listed."""
        stored, now = self._remote.stat(item.md5), self._now()
        if stored is not None and stored.stamp == self._stored[item.md5].stamp and self._is_old(stored, now):
            self._retired.retire(item.md5, stored.bytes, int(now))

    def _now(self) -> float:
        return time.time() - self._ahead

    def _is_old(self, stored: Stored, now: float) -> bool:
        """Whether the storage itself says that an object is older than the grace period."""
        return self._grace == 0 or (stored.modified is not None and now - stored.modified >= self._grace)

    def _is_dead(self, half: HalfStored, now: float) -> bool:
        """Whether nobody is writing it any more."""
        return half.modified is not None and now - half.modified >= max(self._grace, _UPLOADING)

    def _is_lapsed(self, retired: Retired, needed: Objects, now: float) -> bool:
        return retired.md5 not in needed.hashes and now - retired.since >= self._grace

    def _warnings(self, doomed: list[Stored]) -> list[str]:
        found = [f"{self._remote.name} may be shared: what only other repositories need is not known here"]
        if not self._git.text("remote"):
            found.append("there is no Git remote to ask: only this repository's tags and branches are known")
        if self._grace and any(stored.modified is None for stored in doomed):
            found.append("the storage does not say how old some objects are: those stay")
        return found


def each(do: Callable[[_T], _R], items: list[_T], jobs: int) -> list[_R]:
    """Do something with each of many items, several at a time; the first error is raised once all have ended.

    A single job is done in this very thread, and in the order of the items.
    """
    if jobs == 1:
        return [do(item) for item in items]
    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(do, items))
