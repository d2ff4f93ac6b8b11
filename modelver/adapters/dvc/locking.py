"""DVC's own lock, so that no `dvc add` or `dvc repro` runs while something is taken from its cache."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelver.errors import ExternalFailure, InvalidInput, Refused


@contextmanager
def dvc_locked(root: Path) -> Iterator[None]:
    """Hold the lock of the DVC repository at ``root``, as DVC's own commands do; nothing where there is none.

    Raises:
        ExternalFailure: a DVC command is running there.
        InvalidInput: DVC's configuration is broken.
        Refused: its folder is a link, so that the lock's file would be written somewhere else.
    """
    if not (root / ".dvc").is_dir():
        yield
        return
    scratch = root / ".dvc" / "tmp"
    for place in (root / ".dvc", scratch, scratch / "lock"):
        if place.is_symlink():
            raise Refused(f"{place} is a symbolic link; nothing is written through it", hint=f"rm {place}")
    from dvc.config import Config, ConfigError
    from dvc.lock import LockError, make_lock

    try:
        hardlink = Config(dvc_dir=str(root / ".dvc"), validate=False)["core"].get("hardlink_lock", False)
    except ConfigError as error:
        raise InvalidInput(f"DVC's configuration can't be read: {error}") from None
    scratch.mkdir(exist_ok=True)
    lock = make_lock(str(scratch / "lock"), tmp_dir=str(scratch), hardlink_lock=bool(hardlink))
    try:
        lock.lock()
    except LockError:
        raise ExternalFailure(f"a DVC command is running in {root}", hint="wait for it to end") from None
    try:
        yield
    finally:
        lock.unlock()
