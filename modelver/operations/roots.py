"""From where history may still be needed: refs, working trees, stashes, half-done operations, reflogs."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from modelver.adapters.git import WHOLE_CLONE, GitRepository, run_git
from modelver.core.retention import Commit
from modelver.errors import ExternalFailure, Refused
from modelver.operations.published import FETCHED

_ID = re.compile(rb"\b(?:[0-9a-f]{64}|[0-9a-f]{40})\b")
_ENTRY = re.compile(rb"([0-9a-f]{40,64}) ([0-9a-f]{40,64}) .*?> (-?\d+) [+-]\d{4}(?:\t|\Z)")
_TAG = re.compile(rf"refs/tags/|{FETCHED}/[0-9]+/tags/")
_OF_NOBODY_HERE = re.compile(rf"{FETCHED}/[0-9]+/(?!heads/|tags/)")
"""Refs of a Git remote beside its branches and tags: pull requests, DVC's experiments. Whoever may open a pull request
decides what is in it, so nothing there may be a reason to stop."""

_LEFT_BEHIND = frozenset({"ORIG_HEAD", "FETCH_HEAD", "COMMIT_EDITMSG"})
_LEFT_BY_MERGES = frozenset({"AUTO_MERGE", "REBASE_HEAD"})
_UNDER_WAY = ("rebase-merge", "rebase-apply", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD")
_MAX_STATE_FILE = 64 << 20


@dataclass(frozen=True)
class Worktree:
    """One working tree of a repository.

    Attributes:
        root: its top.
        git_dir: its own Git directory.
    """

    root: Path
    git_dir: Path


@dataclass(frozen=True)
class Roots:
    """What names commits, as of one look.

    Attributes:
        solid: object ids that refs and HEADs name; that one of them is missing means a broken repository.
        held: ids that stashes, detached HEADs and operations under way name.
        logged: ids that only reflogs name, or what has ended and left them behind, which Git may have thrown away; and
            those that only pull requests and their like on a Git remote name. What they need stays as far as it is
            known.
        tags: those of ``solid`` that only tags name.
        lapsed: ids that only reflog entries older than the grace period name; nothing is kept for them.
    """

    solid: frozenset[str]
    held: frozenset[str]
    logged: frozenset[str]
    tags: frozenset[str]
    lapsed: frozenset[str]


@dataclass(frozen=True)
class History:
    """Everything that can be reached from the roots.

    Attributes:
        commits: id → parents and time; the state is still None.
        trees: commit → its tree.
        tips: commits that are named by a root.
        firm: those of them that are not in `Roots.logged`.
        logged: commits that can be reached from `Roots.logged` alone.
        lines: those of them whose past counts as a branch: all but tags.
        bare_trees: trees that a tag names without a commit.
    """

    commits: dict[str, Commit]
    trees: dict[str, str]
    tips: frozenset[str]
    firm: frozenset[str]
    logged: frozenset[str]
    lines: frozenset[str]
    bare_trees: frozenset[str]


def refuse_cut_history(git: GitRepository) -> None:
    """Raise Refused where part of the history is not here, so that what it needs can't be known."""
    if git.is_shallow():
        raise Refused(
            "this clone is shallow, so older versions are not known here", hint="git fetch --unshallow --tags"
        )
    if (git.common_dir / "info" / "grafts").exists():
        raise Refused("history is cut by info/grafts", hint="git replace --convert-graft-file")
    if (git.config("extensions.refStorage") or "files") != "files":
        raise Refused("the reflogs of this repository are in a format that modelver can't read (reftable)")
    if git.lacks_objects():
        raise Refused(
            "this is a partial clone that lacks objects, so what they need can't be known",
            hint=f"work in a full clone, or: {WHOLE_CLONE}",
        )


def worktrees(git: GitRepository) -> list[Worktree]:
    """The main working tree and the linked ones.

    Raises:
        Refused: one is not where the repository has it, so that what lies in it can't be seen.
    """
    main = GitRepository.main_of(git)
    if main is not None and not main.root.is_dir():
        raise Refused(f"the main working tree {main.root} is not there, so what it needs can't be seen")
    found = [] if main is None else [Worktree(main.root, main.git_dir)]
    for git_dir in sorted(_linked_dirs(git.common_dir)):
        if git_dir.samefile(git.git_dir):
            found.append(Worktree(git.root, git.git_dir))
            continue
        root = _linked_root(git_dir)
        if not _is_tree_of(root, git_dir):
            raise _away(root, git_dir)
        found.append(Worktree(root, git_dir))
    return found


def _linked_root(git_dir: Path) -> Path:
    """Where a linked working tree was when Git last saw it; its Git directory where nothing says."""
    try:
        recorded = os.fsdecode((git_dir / "gitdir").read_bytes()).rstrip("\n")
    except FileNotFoundError:
        return git_dir
    return Path(os.path.normpath(git_dir / recorded)).parent


def _is_tree_of(root: Path, git_dir: Path) -> bool:
    """Whether the working tree of a Git directory is at ``root``, and not another one, or an empty folder."""
    try:
        recorded = os.fsdecode((root / ".git").read_bytes()).rstrip("\n").removeprefix("gitdir: ")
        return (root / recorded).samefile(git_dir)
    except OSError:
        return False


def _away(root: Path, git_dir: Path) -> Refused:
    if (git_dir / "locked").exists():
        return Refused(
            f"the working tree {root} is locked and not there, so what it needs can't be seen",
            hint=f"bring it back, or: git worktree unlock {quote(str(root))} && git worktree prune",
        )
    return Refused(
        f"the working tree {root} is not there, so what it needs can't be seen: it was moved, is mounted elsewhere, or "
        "is gone",
        hint="git worktree repair WHERE_IT_IS_NOW, or if it is gone for good: git worktree prune",
    )


def gather(git: GitRepository, trees: Iterable[Worktree], cutoff: float, others: Path | None = None) -> Roots:
    """All roots of a repository.

    Args:
        git: the repository.
        trees: its working trees.
        cutoff: seconds since the epoch; a reflog entry from then on is a root.
        others: what `fetched` gave.

    Raises:
        ExternalFailure: Git failed, or a reflog can't be read.
    """
    git_dirs = {git.common_dir, *(tree.git_dir for tree in trees), *_linked_dirs(git.common_dir)}
    tags: set[str] = set()
    branches: set[str] = set()
    logged: set[str] = set()
    for git_dir in [*sorted(git_dirs), *([others] if others else [])]:
        below = FETCHED if git_dir == others else "refs"
        env = {"GIT_DIR": str(git_dir), "GIT_OBJECT_DIRECTORY": str(git.common_dir / "objects")}
        listed = run_git(git.root, ["for-each-ref", "--format=%(objectname) %(refname)", below], env=env)
        for line in listed.decode("ascii", "replace").splitlines():
            name, _, ref = line.partition(" ")
            (tags if _TAG.match(ref) else logged if _OF_NOBODY_HERE.match(ref) else branches).add(name)
    held: set[str] = set()
    lapsed: set[str] = set()
    for git_dir in sorted(git_dirs):
        under_way, left = _half_done(git_dir)
        held |= under_way
        for file in left:
            (logged if file.stat().st_mtime >= cutoff else lapsed).update(_ids(file))
        for log in _files(git_dir / "logs"):
            if _is_stash(log.relative_to(git_dir / "logs").as_posix()):
                held |= _reflog(log, 0)[0]
            else:
                young, old = _reflog(log, cutoff)
                logged |= young
                lapsed |= old
    solid = tags | branches
    held -= solid
    logged -= solid | held
    lapsed -= solid | held | logged
    return Roots(*map(frozenset, (solid, held, logged, tags - branches, lapsed)))


def history(git: GitRepository, roots: Roots) -> History:
    """Everything that can be reached from the roots, with and without ``refs/replace``.

    Raises:
        ExternalFailure: an object that a ref needs is missing.
    """
    kinds = _peeled(git, sorted(roots.solid | roots.held | roots.logged))
    broken = [name for name in roots.solid if name not in kinds]
    if broken:
        raise ExternalFailure(f"Git object {broken[0]} is named by a ref, and missing", hint="git fsck")
    commits: dict[str, Commit] = {}
    trees: dict[str, str] = {}

    def commits_of(names: Iterable[str]) -> set[str]:
        return {kinds[name][0] for name in names if kinds.get(name, ("", ""))[1] == "commit"}

    bare = {name for name, kind in kinds.values() if kind == "tree"}
    modes: list[list[str]] = [[]]
    if git.text("for-each-ref", "--count=1", "refs/replace"):
        modes.append(["--no-replace-objects"])
    for mode in modes:
        commits.update(_walk(git, commits_of(roots.solid), trees, bare, mode))
        commits.update(_walk_loose(git, commits_of(roots.held) - commits.keys(), trees, bare, mode))
    lasting = frozenset(commits)
    for mode in modes:
        commits.update(_walk_loose(git, commits_of(roots.logged) - commits.keys(), trees, bare, mode))
    others = commits_of((roots.solid | roots.held) - roots.tags)
    # a stash is a merge of what HEAD, the index and the untracked files were: all of them are what it holds
    stashed = {parent for name in others & commits.keys() for parent in _stash_parents(commits[name])}
    firm = frozenset((commits_of(roots.tags) | others | stashed) & commits.keys())
    logged = frozenset(commits_of(roots.logged) & commits.keys())
    return History(
        commits, trees, firm | logged, firm, frozenset(commits) - lasting, frozenset(others & commits.keys()) | logged,
        frozenset(bare),
    )  # fmt: skip


def _stash_parents(commit: Commit) -> tuple[str, ...]:
    return commit.parents if len(commit.parents) > 1 else ()


def _peeled(git: GitRepository, names: list[str]) -> dict[str, tuple[str, str]]:
    """What each id is once tags are taken off it: (id, type); one that is missing is left out."""
    request = "".join(f"{name}^{{}}\n" for name in names).encode()
    output = (
        git.run("cat-file", "--batch-check", stdin=request).decode("ascii", "replace").splitlines() if names else []
    )
    found = {}
    for name, line in zip(names, output, strict=True):
        words = line.split(" ")
        if words[-1] not in ("missing", "ambiguous"):
            found[name] = (words[0], words[1])
    return found


def _walk(
    git: GitRepository, roots: set[str], trees: dict[str, str], bare: set[str], mode: list[str]
) -> dict[str, Commit]:
    if not roots:
        return {}
    # with replacements in play, a tree may be what replaces another: both are looked at
    output = git.run(
        *mode, "rev-list", "--stdin", "--format=%H %T %ct %P", stdin="".join(f"{r}\n" for r in sorted(roots)).encode()
    )
    found = {}
    for line in output.decode("ascii", "replace").splitlines():
        if line.startswith("commit "):
            continue
        name, tree, time, *parents = line.split()
        if trees.setdefault(name, tree) != tree:
            bare.add(tree)
        found[name] = Commit(tuple(parents), float(time))
    return found


def _walk_loose(
    git: GitRepository, roots: set[str], trees: dict[str, str], bare: set[str], mode: list[str]
) -> dict[str, Commit]:
    """As `_walk`, for commits part of whose past Git may have thrown away: each is then taken by itself."""
    try:
        return _walk(git, roots, trees, bare, mode)
    except ExternalFailure:
        pass
    found: dict[str, Commit] = {}
    for root in sorted(roots):
        try:
            found.update(_walk(git, {root}, trees, bare, mode))
        except ExternalFailure:
            output = git.run(*mode, "rev-list", "--no-walk", "--format=%H %T %ct %P", root).decode().splitlines()
            name, tree, time, *parents = output[-1].split()
            trees.setdefault(name, tree)
            found[name] = Commit(tuple(parents), float(time))
    return found


def _linked_dirs(common: Path) -> list[Path]:
    """Git directories of linked working trees, those whose folder is gone too."""
    place = common / "worktrees"
    return [entry for entry in place.iterdir() if (entry / "HEAD").is_file()] if place.is_dir() else []


def _half_done(git_dir: Path) -> tuple[set[str], list[Path]]:
    """Ids in HEAD, MERGE_HEAD, … and in the state of a rebase, cherry-pick or bisect; and files that were left behind.

    Those (ORIG_HEAD, FETCH_HEAD, …) speak of what has ended, and count for as long as a reflog does.
    """
    files = [entry for entry in git_dir.iterdir() if entry.is_file() and re.fullmatch(r"[A-Z_]+", entry.name)]
    names = _LEFT_BEHIND
    if not any((git_dir / name).exists() for name in _UNDER_WAY):
        names |= _LEFT_BY_MERGES
    left = [file for file in files if file.name in names]
    files = [file for file in files if file.name not in names]
    for folder in ("rebase-merge", "rebase-apply", "sequencer"):
        files += _files(git_dir / folder)
    return set().union(*map(_ids, files)), left


def _ids(file: Path) -> set[str]:
    with file.open("rb") as reading:
        data = reading.read(_MAX_STATE_FILE + 1)
    if len(data) > _MAX_STATE_FILE:
        raise Refused(f"{file} is larger than such a file can be")
    return {name.decode() for name in _ID.findall(data)}


def _reflog(log: Path, cutoff: float) -> tuple[set[str], set[str]]:
    """Ids that a reflog's entries name: those to keep for, and those too old."""
    young: set[str] = set()
    old: set[str] = set()
    lines = log.read_bytes().splitlines()
    # The time in an entry is whatever GIT_COMMITTER_DATE said. What follows a young entry was written later, and the
    # last one when the file was.
    since = False
    fresh = log.stat().st_mtime >= cutoff
    for number, line in enumerate(lines, start=1):
        match = _ENTRY.match(line)
        if match is None:
            raise ExternalFailure(f"{log}, line {number}: no entry of a reflog", hint="git reflog expire --expire=now")
        since = since or int(match[3]) >= cutoff or (fresh and number == len(lines))
        names = {match[1].decode(), match[2].decode()}
        (young if since else old).update(name for name in names if name.strip("0"))
    return young, old


def _is_stash(name: str) -> bool:
    """Whether the entries of a ref's log are its content, not its past (DVC's experiments have a stash as well)."""
    return name == "refs/stash" or name.startswith("refs/exps/")


def _files(folder: Path) -> list[Path]:
    return sorted(Path(place) / name for place, _, names in os.walk(folder) for name in names)
