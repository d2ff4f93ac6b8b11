"""Write everything, then publish once: files, commit and tag appear together, or not at all.

The journal lies in Git's common directory. It names the state before and the state after; whoever finds one whose
writer is dead finishes it if a ref has moved, and undoes it if none has.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from modelver.adapters.git import GitRepository
from modelver.adapters.git.objects import RefChange, set_index_entries, update_refs, write_blob
from modelver.core.restore import check_place
from modelver.disk import exclusive, remove_file, write_atomic
from modelver.errors import ExternalFailure, Refused
from modelver.operations import known_tags
from modelver.operations.processes import git_is_running
from modelver.operations.unfinished import Unfinished, note

JOURNAL = "journal.json"
LOCK_TIMEOUT = 60.0
"""Seconds that a command waits for another modelver in the same repository."""

# What `write_atomic`, `write_commit` and `write_tag` make in the state folder, and leave there when they are killed.
_SCRATCH = re.compile(r"\.(journal|unfinished-[0-9a-f]+)\.json\..*\.tmp|index-.*|sign-.*")


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
        worktree: top of the working tree that it works in; empty for the main one, which is where the Git directory
            is, so that a repository that was moved in between is found.
        git_dir: that working tree's Git directory; empty for the main one.
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


@dataclass(frozen=True, slots=True)
class Once:
    """A command that does another step when it is given again, and the tag of the version that it settled on."""

    command: str
    target: str


@contextmanager
def locked(git: GitRepository) -> Iterator[int]:
    """Hold the repository's modelver lock, and give its descriptor.

    The kernel lets go of it when this process has died and so has each Git that inherited it: a Git that outlived its
    parent may still be moving refs. A transaction that a dead process left is then finished or undone first.

    Raises:
        ExternalFailure: another modelver holds the lock for longer than `LOCK_TIMEOUT` seconds.
    """
    with exclusive(git.state_dir / "lock", LOCK_TIMEOUT) as lock:
        _clear_scratch(git)
        _recover(git, lock)
        yield lock


def recover_if_needed(git: GitRepository) -> None:
    """What every command does first: finish or undo what a dead process left. Costs one stat where there is nothing."""
    if (git.state_dir / JOURNAL).exists():
        with locked(git):
            pass


def blob_before(git: GitRepository, path: str) -> str | None:
    """Store a file's present content, so that it can be put back, and return its blob; None where it is absent."""
    target = git.root / path
    refuse_link(git.root, path)
    if target.exists() and not target.is_file():
        raise Refused(f"{path} is no regular file", hint=f"git rm -r {shlex.quote(path)}")
    return write_blob(git, target.read_bytes()) if target.exists() else None


def refuse_link(root: Path, path: str) -> None:
    """Raise Refused where a symbolic link stands on the way: what is written there would land somewhere else."""
    place = root
    for part in path.split("/"):
        place = place / part
        if place.is_symlink():
            link = place.relative_to(root)
            raise Refused(
                f"{link} is a symbolic link, and {path} must lie here", hint=f"git rm {shlex.quote(str(link))}"
            )


def _behind_link(root: Path, path: str) -> bool:
    try:
        refuse_link(root, path)
    except Refused:
        return True
    return False


def main_or_linked(git: GitRepository) -> tuple[str, str]:
    """``worktree`` and ``git_dir`` of a `Transaction`."""
    return ("", "") if git.git_dir == git.common_dir else (str(git.root), str(git.git_dir))


def publish_files(git: GitRepository, operation: str, contents: Mapping[str, bytes], *, lock: int) -> None:
    """Write files, all or none; no commit is made. Raises as `publish`."""
    worktree, git_dir = main_or_linked(git)
    head = git.head().commit or ""
    files = {path: Change(blob_before(git, path), write_blob(git, data)) for path, data in contents.items()}
    publish(
        git,
        Transaction(
            operation=operation,
            worktree=worktree,
            git_dir=git_dir,
            branch=None,
            old_commit=head,
            new_commit=head,
            tag=None,
            tag_object=None,
            files=files,
        ),
        contents,
        lock=lock,
    )


def publish(
    git: GitRepository,
    transaction: Transaction,
    contents: Mapping[str, bytes],
    *,
    lock: int,
    once: Once | None = None,
) -> None:
    """Carry a transaction out. Blobs, commit and tag object must exist.

    Args:
        git: the repository.
        transaction: what to do.
        contents: path → bytes of the files to write; the others of the transaction lie in the working tree as they are.
        lock: what `locked` gave.
        once: which command that must not be done twice this is; whoever calls says so when it has `ended`.

    A Git that died after the refs had moved does no harm: what it left to do is done.

    Raises:
        ExternalFailure: a ref was moved by somebody else, or the disk is full; then nothing has changed.
    """
    journal = git.state_dir / JOURNAL
    write_atomic(journal, json.dumps(asdict(transaction), indent=1).encode())
    if once is not None:
        ref, made = transaction.tag or "HEAD", transaction.tag_object or transaction.new_commit
        note(git, Unfinished(once.command, once.target, ref, made))
    try:
        for path, change in transaction.files.items():
            if change.before != change.after and (path in contents or change.after is None):
                _put(git.root / path, contents.get(path))
        changes = _ref_changes(transaction)
        if changes:
            update_refs(git, changes, f"modelver {transaction.operation}", lock=lock)
        _update_index(git, transaction, lock)
    except (ExternalFailure, OSError):
        if not _recover(git, lock):
            raise
    except KeyboardInterrupt:
        _recover(git, lock)
        raise
    _remember(git, transaction)
    remove_file(journal)


def _ref_changes(transaction: Transaction) -> list[RefChange]:
    changes = []
    if transaction.new_commit != transaction.old_commit:
        changes.append(RefChange("HEAD", transaction.new_commit, transaction.old_commit))
    if transaction.tag and transaction.tag_object:
        changes.append(RefChange(transaction.tag, transaction.tag_object, None))
    return changes


def _update_index(git: GitRepository, transaction: Transaction, lock: int) -> None:
    if transaction.new_commit != transaction.old_commit:
        set_index_entries(git, {path: change.after for path, change in transaction.files.items()}, lock=lock)


def _recover(git: GitRepository, lock: int) -> bool:
    """Finish or undo what the journal names; whether the new state stands."""
    journal = git.state_dir / JOURNAL
    transaction = _read(journal)
    moved = False
    place = _place(git, transaction) if transaction else None
    if transaction and place:
        clear_stale_locks(place, _locks_of(place, transaction))
        moved = _has_moved(place, transaction)
        if moved:
            _finish(place, transaction, lock)
            _remember(git, transaction)
        else:
            _undo(place, transaction)
        _clear_temporaries(place, transaction)
    remove_file(journal)
    return moved


def _place(git: GitRepository, transaction: Transaction) -> GitRepository | None:
    """The working tree of a transaction; None where it is gone, or none of this repository's."""
    if transaction.worktree:
        root, git_dir = Path(transaction.worktree), Path(transaction.git_dir)
        return GitRepository(root, git_dir, git.common_dir) if _is_linked(git, root, git_dir) else None
    return git if git.git_dir == git.common_dir else GitRepository.main_of(git)


def _is_linked(git: GitRepository, root: Path, git_dir: Path) -> bool:
    """Whether a working tree and this repository name each other, as Git has it."""
    try:
        text = (root / ".git").read_text("utf-8", "surrogateescape").rstrip("\n")
    except OSError:
        return False
    named = os.path.realpath(root / text.removeprefix("gitdir: "))
    worktrees = os.path.realpath(git.common_dir / "worktrees")
    return named == os.path.realpath(git_dir) and os.path.dirname(named) == worktrees  # noqa: PTH120


def _has_moved(git: GitRepository, transaction: Transaction) -> bool:
    """Whether any ref shows the new state. Without refs: whether every file does."""
    if transaction.tag and _ref(git, transaction.tag) == transaction.tag_object:
        return True
    if transaction.new_commit != transaction.old_commit:
        return git.is_ancestor(transaction.new_commit, "HEAD")  # somebody may have gone on from there
    if transaction.tag:
        return False
    return all(_blob(git, path) == change.after for path, change in transaction.files.items())


def _finish(git: GitRepository, transaction: Transaction, lock: int) -> None:
    head = git.head()
    missing = []
    if transaction.new_commit != transaction.old_commit and head.commit == transaction.old_commit:
        missing.append(RefChange("HEAD", transaction.new_commit, transaction.old_commit))
    if transaction.tag and transaction.tag_object and _ref(git, transaction.tag) is None:
        missing.append(RefChange(transaction.tag, transaction.tag_object, None))
    if missing:
        update_refs(git, missing, f"modelver {transaction.operation}", lock=lock)
    if git.head().commit == transaction.new_commit:  # else somebody has moved on, and the files are theirs
        _update_index(git, transaction, lock)


def _remember(git: GitRepository, transaction: Transaction) -> None:
    """Note the tag, now that it stands: a later look tells whether somebody moved it."""
    if transaction.tag and transaction.tag_object:
        with contextlib.suppress(ExternalFailure):  # the tag is made: it is no failure that it can't be noted
            stands = git.text("for-each-ref", "--format=%(objectname) %(*objectname)", "--", transaction.tag).split(" ")
            if stands[0] == transaction.tag_object:
                known_tags.made(git, transaction.tag, *stands)


def _undo(git: GitRepository, transaction: Transaction) -> None:
    """Put back each file that shows what the transaction wrote; what differs was written by somebody else since."""
    for path, change in transaction.files.items():
        if change.before != change.after and _blob(git, path) == change.after and not _behind_link(git.root, path):
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
    except (ValueError, RecursionError):  # never made by `write_atomic`; whatever it was, it can't be followed
        return None
    try:
        files = {path: Change(**change) for path, change in data.pop("files").items()}
        for path in files:
            check_place(path)
        return Transaction(**data, files=files)
    except (AttributeError, KeyError, TypeError, Refused):  # nor what another modelver wrote in a form of its own
        return None


def _clear_scratch(git: GitRepository) -> None:
    """Remove what a killed command left in the state folder; whoever holds the lock has nothing there yet."""
    for entry in os.scandir(git.state_dir):
        if _SCRATCH.fullmatch(entry.name):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                remove_file(Path(entry.path))


def _clear_temporaries(git: GitRepository, transaction: Transaction) -> None:
    """Remove the halves of files that `write_atomic` left when it was killed."""
    for path in transaction.files:
        target = git.root / path
        if _behind_link(git.root, path):
            continue
        for temporary in target.parent.glob(f".{target.name}.????????.tmp"):
            remove_file(temporary)


def _locks_of(git: GitRepository, transaction: Transaction) -> list[Path]:
    """The lock files that the transaction's own commands take."""
    refs = [ref for ref in (transaction.branch, transaction.tag) if ref]
    return [git.git_dir / "HEAD.lock", git.git_dir / "index.lock", *(git.common_dir / f"{ref}.lock" for ref in refs)]


def clear_stale_locks(git: GitRepository, locks: Sequence[Path]) -> None:
    """Remove the lock files that a Git which was killed left behind.

    Only when no Git that may hold them lives in this repository: such a one is waited for.
    """
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        present = [lock for lock in locks if lock.exists()]
        if not present:
            return
        if not git_is_running(git, present):
            for lock in present:
                remove_file(lock)
            return
        time.sleep(0.05)
