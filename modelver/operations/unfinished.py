"""What commands that can't be done twice had made when they were cut off.

`rollback --to-previous` once more goes back once more, `tag --force-new` makes one more version, and `tag` says that
nothing has changed: that is what they are for. Whoever runs one again since it was killed means something else by the
same words. So such a command leaves a note before its refs move, and removes it by its last act, once it has answered;
the same command takes up from there.
The note counts only as long as the ref still shows what it says: what was undone, or gone on from, is not found. And
what another process is at is not cut off: whoever runs such a command holds a lock of it, which ends with the process.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from modelver.adapters.git import GitRepository
from modelver.disk import open_regular, write_atomic
from modelver.errors import ExternalFailure, ModelverError

_MAX_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What a command makes.

    Attributes:
        command: which, with all that tells it from others but for the words in which it was given.
        target: the tag of the version that it settled on.
        ref: full name of the ref that it makes or moves; ``HEAD`` for a commit on the branch that is checked out.
        object_id: what that names then.
    """

    command: str
    target: str
    ref: str
    object_id: str


def note(git: GitRepository, made: Unfinished) -> None:
    """Note what is about to be made; raises ExternalFailure where the disk can't hold it."""
    write_atomic(_place(git, made.command), json.dumps(asdict(made)).encode())


def unfinished(git: GitRepository, command: str) -> Unfinished | None:
    """What an earlier run of a command made that has not ended; None where there is none, or it is not so any more."""
    try:
        with open_regular(_place(git, command)) as descriptor:
            made = Unfinished(**json.loads(os.read(descriptor, _MAX_BYTES)))
    except (OSError, ModelverError, ValueError, TypeError, RecursionError):
        return None
    if made.command != command or not all(isinstance(value, str) for value in asdict(made).values()):
        return None
    if made.ref == "HEAD":
        return made if git.head().commit == made.object_id else None
    stands = git.text("for-each-ref", "--format=%(objectname)", "--", made.ref).splitlines()
    return made if stands == [made.object_id] else None


_LOCK = "running.lock"
"""One file for all commands: each locks a byte of its own in it, so that none leaves a file of its own behind."""

_HELD: dict[Path, int] = {}
"""What this process has open of them."""


def hold(git: GitRepository, command: str) -> bool:
    """Take the lock of a command until `let_go`, or until this process ends; False where another process has it.

    Raises:
        ExternalFailure: the state folder can't be written.
    """
    path = git.state_dir / _LOCK
    try:
        if path not in _HELD:
            path.parent.mkdir(parents=True, exist_ok=True)
            _HELD[path] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise ExternalFailure(f"{path}: {error.strerror}") from None
    try:
        fcntl.lockf(_HELD[path], fcntl.LOCK_EX | fcntl.LOCK_NB, 1, int(_digest(command)[:14], 16))
    except OSError:
        return False
    return True


@contextmanager
def letting_go() -> Iterator[None]:
    """Around a command that may `hold` its lock: `let_go` at its end, however it ends."""
    try:
        yield
    finally:
        let_go()


def let_go() -> None:
    """Free all locks of this process."""
    while _HELD:
        os.close(_HELD.popitem()[1])


def ended(git: GitRepository, command: str) -> None:
    """Forget what a command made, now that it has answered.

    The folder is not flushed: after a power failure the note may be there again, and then the command says once too
    often that it is done; a process that is killed between the two would do it once too often.
    """
    _place(git, command).unlink(missing_ok=True)


def _place(git: GitRepository, command: str) -> Path:
    return git.state_dir / f"unfinished-{_digest(command)[:16]}.json"


def _digest(command: str) -> str:
    return hashlib.sha256(command.encode()).hexdigest()


__all__ = ["Unfinished", "ended", "hold", "let_go", "letting_go", "note", "unfinished"]
