"""Bring DVC-tracked files to what the pointers in Git say, from DVC's cache, without losing anyone's work."""

import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG

from modelver.adapters import yaml
from modelver.adapters.dvc import DvcCache
from modelver.adapters.dvc.cache import corrupt
from modelver.adapters.git import GitRepository
from modelver.core.pointers import Out, outs_in
from modelver.core.printable import printable
from modelver.core.restore import FOREIGN, Files, Move, below, check_place, moves, plan
from modelver.disk import Digest, HashCache, exclusive
from modelver.errors import CheckFailed, InvalidInput, ModelverError, NotFound, Refused
from modelver.operations.refill import refill
from modelver.operations.swap import Swap

POINTERS = (":(top,glob)**/*.dvc", ":(top,glob)**/dvc.lock")
"""Pathspecs of DVC's pointer files."""

_LOCK_TIMEOUT = 60.0

Progress = Callable[[int], None]
"""Called with the number of bytes that were placed since the last call."""


@dataclass(frozen=True, slots=True)
class Missing:
    """An out that stays as it is since the cache lacks objects of it, and the working tree does not have them either.

    Attributes:
        path: of the out.
        absent: nothing is at ``path`` either, so that nothing there contradicts the commit.
    """

    path: str
    absent: bool


@dataclass(frozen=True, slots=True)
class Result:
    """What a restore did; paths are relative to the repository's root.

    Attributes:
        placed, removed: files.
        kept: files with changes of the user's that stayed as they were.
        missing: outs whose objects are not in the cache.
        failures: one error for each out that could not be restored; such an out is as it was.
        notes: what else the user should know.
    """

    placed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    missing: tuple[Missing, ...] = ()
    failures: tuple[ModelverError, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether the working tree now holds what the pointers say."""
        return not (self.kept or self.missing or self.failures)

    @property
    def hook_status(self) -> int:
        """Exit status for a Git hook, which ``git checkout`` hands on.

        1 where the working tree holds other weights than the commit says, so that ``git checkout v1 && deploy`` stops.
        0 where weights are merely absent, as for whoever works without them, and where the user's own changes stayed,
        as Git does with changed files.
        """
        return 1 if self.failures or any(not m.absent for m in self.missing) else 0

    def messages(self) -> list[tuple[str, str, str]]:
        """What to tell: ``error``, ``warning`` or ``note``, the message, the hint; safe to show in a terminal."""
        said = [("error", error.message, error.hint) for error in self.failures]
        if self.missing:
            paths = [m.path for m in self.missing]
            text = f"not in DVC's cache, so not restored: {_listed(paths)}"
            level = "warning" if all(m.absent for m in self.missing) else "error"
            said.append((level, text, "dvc pull " + " ".join(map(shlex.quote, paths))))
        if self.kept:
            paths = [shlex.quote(path) for path in self.kept]
            said.append(("warning", f"changed by you, so left alone: {_listed(self.kept)}", _force_hint(paths)))
        said += [("note", note, "") for note in self.notes]
        return [(level, printable(text), printable(hint)) for level, text, hint in said]


@dataclass(slots=True)
class _Tally:
    placed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    failures: list[ModelverError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def result(self) -> Result:
        return Result(
            tuple(self.placed),
            tuple(self.removed),
            tuple(self.kept),
            tuple(self.missing),
            tuple(self.failures),
            tuple(self.notes),
        )


def restore(
    git: GitRepository, old: str | None, new: str, *, force: bool = False, progress: Progress | None = None
) -> Result:
    """Restore the outs whose pointers differ between two commits; everything else is left as it lies.

    Args:
        git: the repository; its index is that of ``new``, as after ``git checkout``.
        old: the commit that was checked out before; None, or one that is not there, where there was none.
        new: the commit that is checked out now.
        force: replace and remove files that the user changed, too.
        progress: see `Progress`.

    Raises:
        ExternalFailure: Git failed, or another restore has been running for over a minute.
    """
    base = (git.rev_parse(old) if old else None) or _empty_tree(git)
    output = git.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", base, new, "--", *POINTERS)
    pointers = [os.fsdecode(path) for path in output.split(b"\0") if path]
    if not pointers:
        return Result()
    tally = _Tally()
    arriving = git.files_at(new, pointers)
    # a sparse checkout leaves out the pointer, so it leaves out the weights
    hidden = {path for path in arriving if not os.path.lexists(git.root / path)}
    leaving = git.files_at(base, [path for path in pointers if path not in hidden])
    before = _outs(leaving, None)
    after = _outs({path: data for path, data in arriving.items() if path not in hidden}, tally)
    return _Restorer(git, tally, force, progress).run(moves(before, after), [""])


def restore_paths(
    git: GitRepository, paths: Sequence[str] = (), *, force: bool = False, progress: Progress | None = None
) -> Result:
    """Restore what the pointers in the working tree say, whatever was there before.

    Files in a tracked folder that the pointer does not name are removed if the cache holds their bytes; others are kept
    and named, and removed by force only.

    Args:
        git: the repository.
        paths: outs, files in them, or folders around them, relative to the repository's root; none means everything.
        force: as `restore`.
        progress: as `restore`.

    Raises:
        NotFound: DVC tracks nothing at one of the paths.
        ExternalFailure: as `restore`.
    """
    output = git.run("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *POINTERS)
    found = {}
    for path in sorted({os.fsdecode(p) for p in output.split(b"\0") if p}):
        file = git.root / path
        if file.is_file() and not _through_link(git.root, path):
            found[path] = file.read_bytes()
    tally = _Tally()
    outs = _outs(found, tally)
    scopes = [os.path.normpath(p).removeprefix("./").rstrip("/") for p in paths] or [""]
    scopes = ["" if s == "." else s for s in scopes]
    for scope in scopes:
        if scope and not any(below(out.path, scope) or below(scope, out.path) for out in outs):
            raise NotFound(f"DVC tracks nothing at {scope}", hint="dvc list . --dvc-only -R")
    wanted = [out for out in outs if any(below(out.path, s) or below(s, out.path) for s in scopes)]
    return _Restorer(git, tally, force, progress).run(moves([], wanted), scopes)


class _Restorer:
    """Does the moves, one out after the other."""

    def __init__(self, git: GitRepository, tally: _Tally, force: bool, progress: Progress | None) -> None:
        self._git = git
        self._root = git.root
        self._tally = tally
        self._force = force
        self._progress = progress
        self._hashes = HashCache(git.state_dir)
        self._caches: dict[Path, DvcCache] = {}

    def run(self, todo: Sequence[Move], scopes: Sequence[str]) -> Result:
        if todo:
            with exclusive(self._git.git_dir / "modelver" / "restore.lock", _LOCK_TIMEOUT):
                tracked = self._in_git([move.path for move in todo])
                for move in todo:
                    try:
                        self._move(move, tracked, scopes)
                    except ModelverError as error:
                        self._tally.failures.append(error)
            self._hashes.close()
        return self._tally.result()

    def _move(self, move: Move, tracked: set[str], scopes: Sequence[str]) -> None:
        if move.path in tracked:  # `cache: false`, or Git's business at this commit
            return
        check_place(move.path)
        if _through_link(self._root, move.path):
            raise Refused(f"{move.path} lies behind a symbolic link; nothing is written through it")
        pointer = (move.new or move.old or _never()).pointer
        top = self._dvc_root(pointer)
        cache = self._cache(top)
        try:
            new = _files(cache, move.new)
        except (NotFound, CheckFailed) as error:
            if move.new is None or not refill(self._root, move.new, cache, self._hashes):
                if isinstance(error, CheckFailed):
                    raise
                self._miss(move.path)
                return
            new = _files(cache, move.new)
        if move.new is not None and move.new.is_dir and not new:
            (self._root / move.path).mkdir(parents=True, exist_ok=True)  # DVC misses a folder even if nothing is in it
        old = self._known_before(cache, move, new)
        old, new = ({p: m for p, m in f.items() if _in_scope(p, scopes, tracked)} for f in (old, new))
        self._apply(cache, move.path, top, old, new)

    def _cache(self, top: Path) -> DvcCache:
        if top not in self._caches:
            cache = self._caches[top] = DvcCache.find(top)
            shared = cache.share_main()
            if shared is not None:
                self._tally.notes.append(
                    f"DVC uses the main working tree's cache here: {shared} (in .dvc/config.local)"
                )
        return self._caches[top]

    def _apply(self, cache: DvcCache, out: str, top: Path, old: Files, new: Files) -> None:
        for path in old.keys() | new.keys():
            check_place(path)
        for folder in {path.rpartition("/")[0] for path in old.keys() | new.keys()}:
            if _through_link(self._root, f"{folder}/x") and below(folder, out):
                raise Refused(f"{folder} is a symbolic link; nothing is written through it")
        # also of what both versions agree on: a file that was edited in place is not what the version says
        current = {path: self._state(cache, path) for path in old.keys() | new.keys()}
        self._keep(cache, old, new, current)
        others = {now for path, now in current.items() if now not in (None, old.get(path), FOREIGN)}
        held = {now for now in others if cache.whole(now, self._hashes)}
        steps = plan(old, new, current, held, force=self._force)
        self._tally.kept += steps.keep
        if any(not cache.has(md5) for _, md5 in steps.place):
            self._miss(out)
            return
        with Swap(self._root, top / ".dvc" / "tmp" / "modelver-restore") as swap:
            digests = self._stage(cache, steps.place, swap)
            swap.publish(steps.remove, stop=top)
        for path, digest in digests.items():
            self._hashes.put(self._root / path, digest.md5, digest.sha256)
            self._hashes.put(cache.path(digest.md5), digest.md5, digest.sha256)  # read to the end, for the copy
        self._tally.placed += [path for path, _ in steps.place]
        self._tally.removed += steps.remove

    def _keep(self, cache: DvcCache, old: Files, new: Files, current: Mapping[str, str | None]) -> None:
        """See to it that the cache holds, whole, what goes from here and what stays: this may be the only copy of it.

        Caches are emptied to save space, `dvc add --no-commit` never fills them, and disks rot.
        """
        for path, now in current.items():
            if now is None or now not in (old.get(path), new.get(path)) or cache.whole(now, self._hashes):
                continue
            file = self._root / path
            if file.is_symlink():  # into the cache: its object is what is damaged
                raise corrupt(cache.path(now), now)
            cache.add(file, now, hashes=self._hashes)

    def _stage(self, cache: DvcCache, wanted: Sequence[tuple[str, str]], swap: Swap) -> dict[str, Digest]:
        """Copy and verify the files of one out, several at a time: hashing, not the disk, is what takes the time."""
        places = {path: swap.stage(path) for path, _ in wanted}
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            jobs = {path: pool.submit(cache.copy_out, md5, places[path]) for path, md5 in wanted}
            digests = {}
            try:
                for path, job in jobs.items():
                    digests[path] = job.result()
                    if self._progress is not None:
                        self._progress(swap.size(path))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return digests

    def _known_before(self, cache: DvcCache, move: Move, new: Files) -> Files:
        """What the out held: as the old pointer says, or else whatever lies there now."""
        if move.old is not None:
            try:
                return _files(cache, move.old)
            except InvalidInput:
                pass
            except (NotFound, CheckFailed):  # e.g. a clone that never had the old version
                if refill(self._root, move.old, cache, self._hashes):
                    return _files(cache, move.old)
        folder = self._root / move.path
        if folder.is_symlink() or not folder.is_dir():
            return {}
        found: dict[str, str] = {}
        for place, _, names in os.walk(folder):
            for name in names:
                path = (Path(place) / name).relative_to(self._root).as_posix()
                if path not in new and (now := self._state(cache, path)):
                    # What the cache lacks nobody else has: it is kept and named, and goes only by force.
                    found[path] = now if cache.has(now) else ""
        return found

    def _state(self, cache: DvcCache, path: str) -> str | None:
        """What lies at a path: an MD5, `FOREIGN`, or None where a file can be placed."""
        file = self._root / path
        try:
            mode = file.lstat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        if S_ISLNK(mode):
            return cache.holds(file) or FOREIGN
        if S_ISDIR(mode):  # placing a file there fails, and is undone, unless the folder goes away
            return None
        if not S_ISREG(mode):
            return FOREIGN
        return self._hashes.digest(file).md5

    def _miss(self, path: str) -> None:
        self._tally.missing.append(Missing(path, absent=not os.path.lexists(self._root / path)))

    def _dvc_root(self, pointer: str) -> Path:
        """The DVC repository that a pointer belongs to: there may be several (``dvc init --subdir``)."""
        folder = (self._root / pointer).parent
        while folder != self._root and not (folder / ".dvc").is_dir():
            folder = folder.parent
        if _through_link(self._root, (folder / ".dvc" / "tmp" / "x").relative_to(self._root).as_posix()):
            raise Refused(f"{folder / '.dvc'} or its tmp is a symbolic link; nothing is written through it")
        return folder

    def _in_git(self, outs: Sequence[str]) -> set[str]:
        """Files at or below the outs that Git itself tracks."""
        few = outs if len(outs) <= 500 else ()
        output = self._git.run("--literal-pathspecs", "ls-files", "-z", "--cached", "--", *few)
        return {os.fsdecode(path) for path in output.split(b"\0") if path}


def _outs(contents: Mapping[str, bytes], tally: _Tally | None) -> list[Out]:
    """The outs of pointer files; one that can't be read is a failure, or nothing where there is no tally."""
    found: list[Out] = []
    for path, data in contents.items():
        try:
            found += outs_in(path, yaml.load(data, path))
        except InvalidInput as error:
            if tally is not None:
                tally.failures.append(error)
    return found


def _files(cache: DvcCache, out: Out | None) -> Files:
    if out is None:
        return {}
    if not out.is_dir:
        return {out.path: out.md5}
    return {f"{out.path}/{path}": md5 for path, md5 in cache.read_dir(out.md5)}


def _in_scope(path: str, scopes: Iterable[str], tracked: set[str]) -> bool:
    return path not in tracked and any(below(path, scope) for scope in scopes)


def _through_link(root: Path, path: str) -> bool:
    """Whether a folder on the way from the root to the path is a symbolic link."""
    place = root
    for part in path.split("/")[:-1]:
        place = place / part
        if place.is_symlink():
            return True
    return False


def _empty_tree(git: GitRepository) -> str:
    return git.run("hash-object", "-t", "tree", "--stdin").decode().strip()


def _listed(paths: Sequence[str]) -> str:
    return ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")


def _force_hint(paths: Sequence[str]) -> str:
    return "to discard your changes: modelver restore --force " + (" ".join(paths) if len(paths) <= 5 else "")


def _never() -> Out:
    raise AssertionError("a move has an old or a new out")
