"""Which other processes work in a repository, by Linux's /proc."""

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from modelver.adapters.git import GitRepository

# Gits that run for long and hold no lock: a pager in another window, an editor's helper.
_READERS = frozenset(
    {"blame", "cat-file", "credential-cache--daemon", "daemon", "diff", "fsmonitor--daemon", "grep", "help", "log"}
    | {"ls-files", "ls-remote", "ls-tree", "reflog", "rev-list", "shortlog", "show", "upload-pack", "whatchanged"}
)
_PROC = Path("/proc")


def can_be_seen() -> bool:
    """Whether this system tells of its processes; where it does not, `git_is_running` guesses by a lock's age."""
    return (_PROC / "self" / "comm").exists()


def git_is_running(git: GitRepository, locks: Iterable[Path] = ()) -> bool:
    """Whether a Git process works in this repository (elsewhere than on Linux, whether a lock is young).

    Args:
        git: the repository.
        locks: files that a Git may hold. Where another user's process works can't be seen; a Git of the user whom one
            of them belongs to counts as one that works here.
    """
    if not can_be_seen():
        index = git.git_dir / "index.lock"
        return index.exists() and time.time() - index.stat().st_mtime < 5
    owners = _owners(locks)
    if _are_hidden(owners):
        return True
    homes = (git.root, git.common_dir)
    return any(_is_git(name) and not _only_reads(name, words) for _, name, words in _working_in(homes, owners))


def dvc_is_running(root: Path, locks: Iterable[Path] = ()) -> bool:
    """Whether DVC, or another modelver, works below ``root``; where processes can't be seen, that it does.

    ``locks`` are files that it may hold, as for `git_is_running`.
    """
    if not can_be_seen():
        return True
    owners = _owners(locks)
    if _are_hidden(owners):
        return True
    wrappers = _ancestors()  # such as `uv run modelver`, which is named in its own command line
    for pid, _, words in _working_in((root,), owners):
        programs = {Path(word).name for word in words[:4]}
        if "dvc" in programs or ("modelver" in programs and pid not in wrappers):
            return True
    return False


def is_open(path: Path) -> bool:
    """Whether a process of this user has the file open; where processes can't be seen, that one has."""
    if not can_be_seen():
        return True
    real = os.path.realpath(path)
    return any(link == real for pid in _others() for link in _open_files(pid))


def _working_in(homes: tuple[Path, ...], owners: frozenset[int]) -> Iterator[tuple[int, str, list[str]]]:
    """Id, name and command line of each other process whose folder lies in one of those.

    Also of those whose folder can't be seen and whose user is among ``owners``.
    """
    tops = [os.path.realpath(home) for home in homes]
    for entry in _others():
        try:
            name = (entry / "comm").read_text("utf-8", "replace").strip()
            words = os.fsdecode((entry / "cmdline").read_bytes()).split("\0")
            try:
                cwd = os.path.realpath((entry / "cwd").readlink())
            except PermissionError:
                here = not owners.isdisjoint(_users(entry))
            else:
                here = any(cwd == top or cwd.startswith(top + os.sep) for top in tops)
        except OSError:  # ended meanwhile
            continue
        if here:
            yield int(entry.name), name, words


def _owners(files: Iterable[Path]) -> frozenset[int]:
    found = set()
    for file in files:
        try:
            found.add(file.lstat().st_uid)
        except OSError:  # gone meanwhile
            continue
    return frozenset(found)


def _users(entry: Path) -> set[int]:
    """Real, effective, saved and file system user of a process that lives; its folder may be said to be root's."""
    lines = (entry / "status").read_text("utf-8", "replace").splitlines()
    fields = {key: value.split() for key, _, value in (line.partition(":") for line in lines)}
    if fields.get("State", ["Z"])[0] in ("Z", "X"):  # dead, and its parent has not asked yet
        return set()
    return {int(word) for word in fields.get("Uid", ())}


def _are_hidden(owners: frozenset[int]) -> bool:
    """Whether one of those is another user, and /proc is mounted so that it shows one's own processes only.

    ``hidepid``: https://docs.kernel.org/filesystems/proc.html#mount-options
    """
    if owners <= {os.geteuid()}:
        return False
    try:
        (_PROC / "1" / "comm").read_bytes()
    except OSError:
        return True
    return False


def _others() -> Iterator[Path]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            yield entry


def _ancestors() -> set[int]:
    """This process and those that started it."""
    found, pid = {os.getpid()}, os.getppid()
    while pid > 1 and pid not in found:
        found.add(pid)
        try:
            # after the name in parentheses, which may hold anything: state, parent
            pid = int((_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            break
    return found


def _open_files(pid: Path) -> list[str]:
    try:
        return [os.readlink(link) for link in (pid / "fd").iterdir()]  # noqa: PTH115  (many; no objects for each)
    except OSError:
        return []


def _is_git(name: str) -> bool:
    return name == "git" or name.startswith("git-")


def _only_reads(name: str, words: list[str]) -> bool:
    asked = [name.removeprefix("git-")] if name != "git" else words[1:]
    return next((word in _READERS for word in asked if not word.startswith("-")), False)
