"""Which other processes work in a repository, by Linux's /proc."""

import os
import time
from collections.abc import Iterator
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


def git_is_running(git: GitRepository) -> bool:
    """Whether a Git process works in this repository (elsewhere than on Linux, whether a lock is young)."""
    if not can_be_seen():
        index = git.git_dir / "index.lock"
        return index.exists() and time.time() - index.stat().st_mtime < 5
    homes = (git.root, git.common_dir)
    return any(name == "git" and not _only_reads(words) for _, name, words in _working_in(homes))


def dvc_is_running(root: Path) -> bool:
    """Whether DVC, or another modelver, works below ``root``; where processes can't be seen, that it does."""
    if not can_be_seen():
        return True
    wrappers = _ancestors()  # such as `uv run modelver`, which is named in its own command line
    for pid, _, words in _working_in((root,)):
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


def _working_in(homes: tuple[Path, ...]) -> Iterator[tuple[int, str, list[str]]]:
    """Id, name and command line of each other process whose folder lies in one of those."""
    tops = [os.path.realpath(home) for home in homes]
    for entry in _others():
        try:
            name = (entry / "comm").read_text("utf-8", "replace").strip()
            words = os.fsdecode((entry / "cmdline").read_bytes()).split("\0")
            cwd = os.path.realpath((entry / "cwd").readlink())
        except OSError:  # ended meanwhile, or another user's
            continue
        if any(cwd == top or cwd.startswith(top + os.sep) for top in tops):
            yield int(entry.name), name, words


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


def _only_reads(words: list[str]) -> bool:
    return next((word in _READERS for word in words[1:] if not word.startswith("-")), False)
