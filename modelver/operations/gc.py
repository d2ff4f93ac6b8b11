"""Remove what nothing needs any more from DVC's cache; `gc_remote` does it on a DVC remote.

Two looks: what goes is what nothing needed at the first, which is shown and confirmed, and nothing needs at the second,
which is taken just before, behind the locks of modelver and DVC.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelver.adapters.dvc import DvcCache
from modelver.adapters.dvc.locking import dvc_locked
from modelver.adapters.git import GitRepository
from modelver.adapters.git.remotes import refuse_plain_http
from modelver.core.retention import Policy, kept_commits
from modelver.disk import exclusive
from modelver.errors import ExternalFailure, Refused
from modelver.operations import roots
from modelver.operations.named import Named, together
from modelver.operations.plain_lines import plain_lines
from modelver.operations.project import Project
from modelver.operations.published import clear_scratch, fetched, published_places
from modelver.operations.reachable import Objects, Pointers, Remotes
from modelver.operations.transaction import locked

Say = Callable[[str], None]


@dataclass(frozen=True)
class GcRequest:
    """What was asked for.

    Attributes:
        policy: what may go.
        fetch: ask the Git remotes first what they need.
        lenient: go on where a pointer or a listing can't be read.
        shared_cache: the cache may lie outside of the repository, where others may use it.
        plain_http: the remotes may be spoken to without encryption.
    """

    policy: Policy = field(default_factory=Policy)
    fetch: bool = True
    lenient: bool = False
    shared_cache: bool = False
    plain_http: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """One object that goes.

    Attributes:
        md5: its name.
        bytes: its size.
        path: what it was once tracked as; empty where nothing tells.
    """

    md5: str
    bytes: int
    path: str = ""


@dataclass(frozen=True)
class GcResult:
    """What goes, or went.

    Attributes:
        place: the cache's folder, or the DVC remote's name.
        remote: whether it is a remote.
        dry_run: nothing was done.
        items: objects that nothing needs: removed from the cache, or set aside on the remote.
        purged: objects that were set aside long enough ago, and are gone for good now; without a grace period that is
            all that nothing needs.
        put_back: objects that were set aside and are needed again.
        halves, halves_bytes: of uploads to the remote that were killed: removed.
        needed, young: objects there that stay: as something needs them; as they are younger than the grace period.
        bytes_kept: of both.
        warnings: what the user should know.
    """

    place: str
    remote: bool
    dry_run: bool
    items: tuple[Item, ...]
    purged: tuple[Item, ...] = ()
    put_back: tuple[Item, ...] = ()
    halves: int = 0
    halves_bytes: int = 0
    needed: int = 0
    young: int = 0
    bytes_kept: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Size of what goes."""
        return sum(item.bytes for item in self.items)

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.items or self.purged or self.put_back or self.halves)

    def groups(self) -> list[tuple[str, int, int]]:
        """What goes by the folder or file that it was tracked as: path, objects, bytes; largest first."""
        found: dict[str, tuple[int, int]] = {}
        for item in (*self.items, *self.purged):
            name = _group(item.path)
            count, size = found.get(name, (0, 0))
            found[name] = count + 1, size + item.bytes
        return sorted(((name, *both) for name, both in found.items()), key=lambda row: (-row[2], row[0]))

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""

        def listed(items: Iterable[Item]) -> list[dict[str, Any]]:
            return [{"md5": item.md5, "bytes": item.bytes, "path": item.path} for item in items]

        return {
            "place": self.place,
            "remote": self.remote,
            "dry_run": self.dry_run,
            "bytes": self.bytes,
            "removed": [] if self.remote else listed(self.items),
            "set_aside": listed(self.items) if self.remote else [],
            "purged": listed(self.purged),
            "put_back": listed(self.put_back),
            "halves": {"count": self.halves, "bytes": self.halves_bytes},
            "kept": {"needed": self.needed, "young": self.young, "bytes": self.bytes_kept},
            "warnings": list(self.warnings),
        }


Confirm = Callable[[GcResult], bool]
"""Shown what would go; whether it may."""


def gc(
    project: Project,
    request: GcRequest,
    *,
    confirm: Confirm,
    dry_run: bool = False,
    say: Say = lambda _: None,
) -> GcResult:
    """Remove objects that nothing needs from DVC's cache.

    Args:
        project: the repository.
        request: what may go.
        confirm: asked once it is known what would go; where it says no, nothing is done.
        dry_run: only look.
        say: told of what goes on.

    Raises:
        Refused: it can't be known what is needed; the cache may be shared; or the line to a remote is not encrypted.
        ExternalFailure: a Git remote can't be asked, another gc or a DVC command runs, or the disk failed.
    """
    project.require_dvc()
    cache = DvcCache.find(project.root)
    with alone(project.git):
        looker = Looker(project.git, cache, request, say)
        warnings = refuse_foreign_cache(cache, looker.trees(), shared=request.shared_cache)
        if not request.fetch:
            warnings.append("--no-fetch: what only others' tags and branches need may go from this cache")
        needed, now = looker.look(), time.time()
        plan = _plan(cache, needed, looker, now)
        plan = replace(plan, dry_run=dry_run, warnings=(*warnings, *plan.warnings))
        if dry_run or plan.idle or not confirm(plan):
            return replace(plan, dry_run=True)
        return _remove(cache, plan, looker, say)


class Looker:
    """Looks at what is needed, as often as asked; what was read once is not read again."""

    def __init__(
        self, git: GitRepository, cache: DvcCache | None, request: GcRequest, say: Say,
        remotes: Remotes | None = None,
    ) -> None:  # fmt: skip
        self.git = git
        self._cache = cache
        self.request = request
        self._say = say
        self._remotes = remotes or Remotes(git.root, plain_http=plain_lines(git, request.plain_http))
        self._pointers = Pointers(git, lenient=request.lenient)
        self._told = False
        self._gone: tuple[set[str], frozenset[str]] = set(), frozenset()

    def trees(self) -> list[roots.Worktree]:
        """The working trees."""
        return roots.worktrees(self.git)

    @contextmanager
    def asked(self) -> Iterator[Path | None]:
        """Have what the Git remotes name here until the block ends."""
        if not self.request.fetch:
            yield None
            return
        roots.refuse_cut_history(self.git)  # Git would say so in other words
        places = published_places(self.git)
        if places and not self._told:
            self._say(f"asking {', '.join(place.shown for place in places)} for all refs")
            self._told = True
        for place in () if self.request.plain_http else places:
            refuse_plain_http(place.remote, place.urls(self.git))
        with fetched(self.git, places) as others:
            yield others

    def look(self) -> Objects:
        """What is needed now, asking the Git remotes; raises as `gc`."""
        with self.asked() as others:
            return self.look_here(others)

    def look_here(self, others: Path | None = None) -> Objects:
        """What is needed now, by what is in this repository, and in what `asked` gave."""
        roots.refuse_cut_history(self.git)
        now, policy = time.time(), self.request.policy
        trees = self.trees()
        found = roots.gather(self.git, trees, now - policy.grace, others)
        past = roots.history(self.git, found)
        commits = past.commits
        if not policy.keeps_history:
            commits = {
                name: commit if name in past.logged else replace(commit, state=self._pointers.state(past.trees[name]))
                for name, commit in commits.items()
            }
        kept = kept_commits(commits, past.tips, past.lines, policy, now)
        self._gone = {past.trees[name] for name in commits.keys() - kept}, found.lapsed
        firm = self._pointers.named_by({*(past.trees[name] for name in past.firm), *past.bare_trees})
        lasting = self._pointers.named_by({past.trees[name] for name in kept - past.logged})
        logged = self._as_far_as_there({past.trees[name] for name in kept & past.logged})
        skip = [tree.root / ".dvc" / "cache" for tree in trees]
        if self._cache is not None:
            skip.append(self._cache.folder)
        lying = self._pointers.lying_in(trees, skip, self._cache)
        # A listing that nobody has is lost, and the folder with it. In the past that is no reason to stop for ever: an
        # earlier gc may have let it go. What is named now must be known.
        must = firm.outs | lying.outs
        named = together([firm, lasting, logged, lying])
        return self._pointers.expand(named, self._cache, self._remotes, must)

    def _as_far_as_there(self, trees: set[str]) -> Named:
        """What trees name that Git may have thrown away in part, as only reflogs lead to them."""
        try:
            return self._pointers.named_by(trees, lenient=True)
        except ExternalFailure:
            found = []
            for tree in sorted(trees):
                try:
                    found.append(self._pointers.named_by([tree], lenient=True))
                except ExternalFailure:
                    continue
            return together(found)

    def paths(self, doomed: Iterable[str]) -> dict[str, str]:
        """What objects that nothing needs were once tracked as: by commits that were let go, and by their folders."""
        trees, lapsed = self._gone
        pointers = Pointers(self.git, lenient=True)
        known: list[Named] = [pointers.named_by(trees)]
        for commit in sorted(lapsed)[:1000]:
            tree = self.git.run("rev-parse", "--verify", "--quiet", f"{commit}^{{tree}}", ok=(0, 1, 128)).decode()
            if tree:
                try:
                    known.append(pointers.named_by([tree.strip()]))
                except ExternalFailure:  # Git has thrown part of it away
                    continue
        names = {*doomed}
        folders = frozenset(name for name in names if name.endswith(".dir"))
        named = together([*known, Named(folders, frozenset(), {})])
        paths = pointers.expand(named, self._cache).paths
        return {name: path for name, path in paths.items() if name in names}


@contextmanager
def alone(git: GitRepository) -> Iterator[None]:
    """Be the only gc of this repository."""
    try:
        with exclusive(git.state_dir / "gc.lock", 0.2):
            clear_scratch(git)
            yield
    except ExternalFailure as failure:
        if "gc.lock" in failure.message:
            raise ExternalFailure("another modelver gc is running here", hint="wait for it to end") from None
        raise


def refuse_foreign_cache(cache: DvcCache, trees: Sequence[roots.Worktree], *, shared: bool) -> list[str]:
    """Raise Refused where the cache is not this repository's own; warnings where it may be used all the same."""
    place = Path(os.path.realpath(cache.folder / "files" / "md5"))
    if any(place.is_relative_to(os.path.realpath(tree.root)) for tree in trees):
        return []
    if not shared:
        raise Refused(
            f"DVC's cache is outside of this repository, at {cache.folder}: other repositories may keep objects there "
            "that this one knows nothing of",
            hint="if it is this repository's alone: --shared-cache",
        )
    return [f"{cache.folder} may be shared: what only other repositories need goes too"]


def removal_order(items: Iterable[Item]) -> list[Item]:
    """Folders' listings first: DVC takes a listing as evidence that the files in it are there."""
    return sorted(items, key=lambda item: (not item.md5.endswith(".dir"), item.md5))


def _plan(cache: DvcCache, needed: Objects, looker: Looker, now: float) -> GcResult:
    items: list[Item] = []
    kept = young = size_kept = 0
    for md5, size, time_ in cache.objects():
        if md5 in needed.hashes:
            kept += 1
        elif now - time_ < looker.request.policy.grace:
            young += 1
        else:
            items.append(Item(md5, size))
            continue
        size_kept += size
    paths = looker.paths(item.md5 for item in items) if items else {}
    items = [replace(item, path=paths.get(item.md5, "")) for item in items]
    return GcResult(
        str(cache.folder), False, True, tuple(removal_order(items)), needed=kept, young=young, bytes_kept=size_kept,
        warnings=unlisted_warnings(needed),
    )  # fmt: skip


def unlisted_warnings(needed: Objects) -> tuple[str, ...]:
    """What can't be known, and was no reason to stop."""
    paths = sorted({*needed.unlisted.values()})
    if not paths:
        return ()
    more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
    return (
        f"nobody has the listing of {len(needed.unlisted)} folders of past commits, so their files are not known to be "
        f"needed: {', '.join(paths[:5])}{more}",
    )


def _remove(cache: DvcCache, plan: GcResult, looker: Looker, say: Say) -> GcResult:
    with ExitStack() as held:
        others = held.enter_context(looker.asked())
        held.enter_context(locked(looker.git))
        for tree in looker.trees():
            held.enter_context(dvc_locked(tree.root))
        needed, now = looker.look_here(others).hashes, time.time()
        times = {md5: time_ for md5, _, time_ in cache.objects()}
        grace = looker.request.policy.grace
        items = [
            item
            for item in plan.items
            if item.md5 not in needed and item.md5 in times and now - times[item.md5] >= grace
        ]
        for item in items:
            cache.remove(item.md5)
    if len(items) < len(plan.items):
        say(f"{len(plan.items) - len(items)} objects were needed again meanwhile, and stay")
    return replace(plan, dry_run=False, items=tuple(items))


def _group(path: str) -> str:
    """The folder of a path that people know it by: a model's, or the top one."""
    parts = path.split("/")
    if parts[0] == "models" and "weights" in parts:
        return "/".join(parts[: parts.index("weights") + 1])
    return "/".join(parts[:2]) if len(parts) > 2 else path
