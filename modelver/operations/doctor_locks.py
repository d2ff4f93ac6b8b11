"""Locks that a dead process left."""

import json
import os
import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from modelver.disk import remove_file
from modelver.errors import Refused
from modelver.operations.doctor import Problem, Scene
from modelver.operations.processes import can_be_seen, dvc_is_running, git_is_running, is_open

_GIT_DIR_LOCKS = ("index.lock", "HEAD.lock")
_COMMON_LOCKS = ("packed-refs.lock", "config.lock", "shallow.lock")


def git_locks(scene: Scene) -> Iterator[Problem]:
    """Lock files of Git's that nobody holds. Listed before the processes are looked at: one that starts in between
    finds the lock there, and can't be its owner."""
    git = scene.git
    places = [git.git_dir / name for name in _GIT_DIR_LOCKS] + [git.common_dir / name for name in _COMMON_LOCKS]
    places += sorted((git.common_dir / "refs").rglob("*.lock"))
    present = [(place, _identity(place)) for place in places if place.is_file()]
    if not present or _held(scene, [place for place, _ in present]):
        return
    for place, identity in present:
        yield Problem(
            "git-lock",
            f"{place} was left by a Git that is gone",
            "Git refuses to work on what it locks: no commit, tag or checkout until it is removed",
            f"rm -f {shlex.quote(str(place))}",
            partial(_remove_git_lock, scene, place, identity) if can_be_seen() else None,
        )


def dvc_locks(scene: Scene) -> Iterator[Problem]:
    """DVC's list of who reads and writes what, and the lock that it makes where ``core.hardlink_lock`` is set.

    An ordinary ``.dvc/tmp/lock`` is let go of by the kernel, and entries of dead processes are dropped by DVC itself.
    """
    if not scene.has_dvc:
        return
    scratch = scene.root / ".dvc" / "tmp"
    if not scene.is_own(scratch / "lock"):
        return
    if _is_broken(scratch / "rwlock") and not dvc_is_running(scene.root, [scratch / "rwlock"]):
        yield Problem(
            "dvc-rwlock",
            ".dvc/tmp/rwlock is broken: a DVC that was killed has written half of it",
            "every DVC command fails on it",
            "rm -f .dvc/tmp/rwlock",
            partial(_remove_rwlock, scene, scratch / "rwlock"),
        )
    lock = scratch / "lock"
    if scene.settings.hardlink_lock and lock.exists() and not dvc_is_running(scene.root, [lock]):
        yield Problem(
            "dvc-lock",
            ".dvc/tmp/lock is there, and no DVC runs here; with core.hardlink_lock it stays for a year",
            "every DVC command waits for it and fails; but one on another machine may hold it, unseen from here",
            "rm -f .dvc/tmp/lock   (if no DVC works in this folder on another machine)",
        )


CHECKS = (git_locks, dvc_locks)


def _held(scene: Scene, locks: list[Path]) -> bool:
    """DVC writes Git's files by itself, without a process named git."""
    return git_is_running(scene.git, locks) or (
        can_be_seen() and (dvc_is_running(scene.root, locks) or any(is_open(lock) for lock in locks))
    )


def _remove_git_lock(scene: Scene, place: Path, identity: tuple[int, ...]) -> None:
    if _held(scene, [place]) or _identity(place) != identity:
        raise Refused(f"{place} is in use again", hint="wait for Git to end, then run this again")
    remove_file(place)


def _remove_rwlock(scene: Scene, place: Path) -> None:
    if dvc_is_running(scene.root, [place]):
        raise Refused("a DVC command is running", hint="wait for it to end, then run this again")
    remove_file(place)


def _identity(place: Path) -> tuple[int, ...]:
    try:
        found = os.lstat(place)
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def _is_broken(place: Path) -> bool:
    """Whether DVC would fail to read it (``dvc.rwlock.SCHEMA``)."""
    try:
        document = json.loads(place.read_bytes())
    except FileNotFoundError:
        return False
    except (ValueError, RecursionError, OSError):
        return True
    if not isinstance(document, dict) or not {"read", "write"} >= document.keys():
        return True
    read, write = document.get("read", {}), document.get("write", {})
    if not isinstance(read, dict) or not isinstance(write, dict):
        return True
    holders = [*write.values()]
    for entry in read.values():
        if not isinstance(entry, list):
            return True
        holders += entry
    return not all(isinstance(h, dict) and isinstance(h.get("pid"), int) and "cmd" in h for h in holders)
