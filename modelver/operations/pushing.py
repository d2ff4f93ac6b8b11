"""What a `git push` that was killed leaves behind: lock files of the refs that follow the remote's branches.

With such a file in place the user's own `git fetch` fails from then on.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from modelver.adapters.git import GitRepository
from modelver.disk import exclusive, remove_file, write_atomic
from modelver.errors import ExternalFailure
from modelver.operations.transaction import clear_stale_locks

_MARK, _LOCK = "pushing.json", "push-lock"

_TIMEOUT = 600.0
"""Seconds that a push waits for another one out of the same repository."""


@contextmanager
def pushing(git: GitRepository, refs: Sequence[str]) -> Iterator[None]:
    """Run `git push` in here.

    Args:
        git: the repository.
        refs: full names of the refs in it that the push will move.

    Raises:
        ExternalFailure: another push has been under way for `_TIMEOUT` seconds.
    """
    with exclusive(git.state_dir / _LOCK, _TIMEOUT):
        _clear(git)
        write_atomic(git.state_dir / _MARK, json.dumps(list(refs)).encode())
        try:
            yield
        finally:
            _clear(git)


def recover_push(git: GitRepository) -> None:
    """Remove what a push whose process is dead has left behind. Costs one stat where there is nothing."""
    if not (git.state_dir / _MARK).exists():
        return
    try:
        with exclusive(git.state_dir / _LOCK, 0):
            _clear(git)
    except ExternalFailure:
        return  # it is still under way


def _clear(git: GitRepository) -> None:
    mark = git.state_dir / _MARK
    try:
        refs = json.loads(mark.read_bytes())
    except FileNotFoundError:
        return
    except (ValueError, RecursionError):  # never made by `write_atomic`
        refs = []
    if isinstance(refs, list):
        wanted = [ref for ref in refs if isinstance(ref, str) and ref.startswith("refs/remotes/") and ".." not in ref]
        clear_stale_locks(git, [git.common_dir / f"{ref}.lock" for ref in wanted])
    remove_file(mark)
