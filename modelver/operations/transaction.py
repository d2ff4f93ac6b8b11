"""Write everything, then publish once: files, commit and tag appear together, or not at all.

The journal lies in Git's common directory. It names the state before and the state after; whoever finds one whose
writer is dead finishes it if a ref has moved, and undoes it if none has.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from modelver.adapters.files import remove_file, write_atomic
from modelver.adapters.git import GitRepository
from modelver.adapters.git.objects import RefChange, set_index_entries, update_refs, write_blob
from modelver.errors import ExternalFailure, Refused

JOURNAL = "journal.json"
LOCK_TIMEOUT = 60.0
"""Seconds that a command waits for another modelver in the same repository."""


@dataclass(frozen=True)
class Change:
    """One file: blob ids before and after; None where it does not exist."""

    before: str | None
    after: str | None


@dataclass(frozen=True)
class Transaction:
    """What is to be published.

    Attributes:
        operation: the verb, for messages and the reflog.
        worktree: top of the working tree that it works in.
        git_dir: that working tree's Git directory.
        branch: full name of the branch; None when HEAD is detached, or no commit is made.
        old_commit, new_commit: HEAD before and after; the same where no commit is made.
        tag: full name of the tag's ref; None where no tag is made.
        tag_object: the tag object.
        files: path → blob before and after.
    """

    operation: str
    worktree: str
    git_dir: str
    branch: str | None
    old_commit: str
    new_commit: str
    tag: str | None
    tag_object: str | None
    files: Mapping[str, Change]


@contextmanager
def locked(git: GitRepository) -> Iterator[None]:
    """Hold the repository's modelver lock; the kernel lets go of it when the process dies.

    A transaction that a dead process left is finished or undone first.

    Raises:
        Refused: another modelver holds the lock for longer than `LOCK_TIMEOUT` seconds.
    """
    from filelock import FileLock, Timeout

    git.state_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(git.state_dir / "lock")
    try:
        lock.acquire(timeout=LOCK_TIMEOUT)
    except Timeout:
        raise Refused(
            "another modelver command is at work in this repository", hint="wait for it, then try again"
        ) from None
    try:
        _recover(git)
        yield
    finally:
        lock.release()


def recover_if_needed(git: GitRepository) -> None:
    """What every command does first: finish or undo what a dead process left. Costs one stat where there is nothing."""
    if (git.state_dir / JOURNAL).exists():
        with locked(git):
            pass


def blob_before(git: GitRepository, path: str) -> str | None:
    """Store a file's present content, so that it can be put back, and return its blob; None where it is absent."""
    target = git.root / path
    if target.is_symlink() or (target.exists() and not target.is_file()):
        raise Refused(f"{path} is no regular file", hint=f"git rm {path}")
    return write_blob(git, target.read_bytes()) if target.exists() else None


def publish(git: GitRepository, transaction: Transaction, contents: Mapping[str, bytes]) -> None:
    """Carry a transaction out. The lock must be held; blobs, commit and tag object must exist.

    Raises:
        ExternalFailure: a ref was moved by somebody else, or the disk is full; then nothing has changed.
    """
    journal = git.state_dir / JOURNAL
    write_atomic(journal, json.dumps(asdict(transaction), indent=1).encode())
    try:
        for path, change in transaction.files.items():
            if change.before != change.after:
                _put(git.root / path, contents.get(path) if change.after else None)
        changes = _ref_changes(transaction)
        if changes:
            update_refs(git, changes, f"modelver {transaction.operation}")
        _update_index(git, transaction)
    except (ExternalFailure, OSError):
        _recover(git)
        raise
    remove_file(journal)


def _ref_changes(transaction: Transaction) -> list[RefChange]:
    changes = []
    if transaction.new_commit != transaction.old_commit:
        changes.append(RefChange("HEAD", transaction.new_commit, transaction.old_commit))
    if transaction.tag and transaction.tag_object:
        changes.append(RefChange(transaction.tag, transaction.tag_object, None))
    return changes


def _update_index(git: GitRepository, transaction: Transaction) -> None:
    if transaction.new_commit != transaction.old_commit:
        set_index_entries(git, {path: change.after for path, change in transaction.files.items()})


def _recover(git: GitRepository) -> None:
    journal = git.state_dir / JOURNAL
    transaction = _read(journal)
    if transaction is None:
        remove_file(journal)
        return
    worktree = Path(transaction.worktree)
    if worktree.is_dir():
        git = GitRepository(worktree, Path(transaction.git_dir), git.common_dir)
        _clear_stale_locks(git, transaction)
        _finish(git, transaction) if _has_moved(git, transaction) else _undo(git, transaction)
    remove_file(journal)


def _has_moved(git: GitRepository, transaction: Transaction) -> bool:
    """Whether any ref shows the new state. Without refs: whether every file does."""
    if transaction.tag and _ref(git, transaction.tag) == transaction.tag_object:
        return True
    if transaction.new_commit != transaction.old_commit:
        return git.head().commit == transaction.new_commit
    if transaction.tag:
        return False
    return all(_blob(git, path) == change.after for path, change in transaction.files.items())


def _finish(git: GitRepository, transaction: Transaction) -> None:
    head = git.head()
    missing = []
    if transaction.new_commit != transaction.old_commit and head.commit == transaction.old_commit:
        missing.append(RefChange("HEAD", transaction.new_commit, transaction.old_commit))
    if transaction.tag and transaction.tag_object and _ref(git, transaction.tag) is None:
        missing.append(RefChange(transaction.tag, transaction.tag_object, None))
    if missing:
        update_refs(git, missing, f"modelver {transaction.operation}")
    if git.head().commit == transaction.new_commit:  # else somebody has moved on, and the files are theirs
        _update_index(git, transaction)


def _undo(git: GitRepository, transaction: Transaction) -> None:
    """Put back each file that shows what the transaction wrote; what differs was written by somebody else since."""
    for path, change in transaction.files.items():
        if change.before != change.after and _blob(git, path) == change.after:
            _put(git.root / path, git.read_object(change.before) if change.before else None)


def _put(target: Path, data: bytes | None) -> None:
    if data is None:
        remove_file(target)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, data)


def _blob(git: GitRepository, path: str) -> str | None:
    target = git.root / path
    if not target.is_file():
        return None
    return git.run("hash-object", "--stdin", "--no-filters", stdin=target.read_bytes()).decode().strip()


def _ref(git: GitRepository, name: str) -> str | None:
    found = git.text("for-each-ref", "--format=%(objectname)", "--", name).splitlines()
    return found[0] if found else None


def _read(journal: Path) -> Transaction | None:
    try:
        data = json.loads(journal.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:  # never made by `write_atomic`; whatever it was, it can't be followed
        return None
    files = {path: Change(**change) for path, change in data.pop("files").items()}
    return Transaction(**data, files=files)


def _clear_stale_locks(git: GitRepository, transaction: Transaction) -> None:
    """Remove the lock files that a Git killed in the midst of this transaction left behind.

    Only those that the transaction's own commands take, and only when no Git lives in this repository: a Git that
    outlived its parent is waited for.
    """
    locks = [git.git_dir / "HEAD.lock", git.git_dir / "index.lock"]
    refs = [ref for ref in (transaction.branch, transaction.tag) if ref]
    locks += [git.common_dir / f"{ref}.lock" for ref in refs]
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        present = [lock for lock in locks if lock.exists()]
        if not present:
            return
        if not _git_is_running(git):
            for lock in present:
                remove_file(lock)
            return
        time.sleep(0.05)


def _git_is_running(git: GitRepository) -> bool:
    """Whether a Git process works in this repository (by Linux's /proc; elsewhere, whether a lock is young)."""
    processes = Path("/proc")
    if not (processes / "self" / "comm").exists():
        index = git.git_dir / "index.lock"
        return index.exists() and time.time() - index.stat().st_mtime < 5
    homes = [os.path.realpath(git.root), os.path.realpath(git.common_dir)]
    for entry in processes.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "comm").read_text().strip() != "git":
                continue
            cwd = os.path.realpath((entry / "cwd").readlink())
        except OSError:  # ended meanwhile, or another user's
            continue
        if any(cwd == home or cwd.startswith(home + os.sep) for home in homes):
            return True
    return False
