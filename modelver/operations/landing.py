"""Putting a folder or a file in its place by one rename, after everything in it is whole."""

import ctypes
import errno
import os
import shutil
import stat
from contextlib import ExitStack
from pathlib import Path

from modelver.disk import as_written, umask
from modelver.disk.files import fsync_folder
from modelver.errors import ExternalFailure, Refused
from modelver.formats.output import make_folders
from modelver.operations.scratch import scratch

_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_ASIDE = ".get-old"


class Landing:
    """A temporary folder beside a destination, and the rename that makes it the destination.

    Use in ``with``; on leaving, what did not land is gone. What a killed one left is removed by the next for the same
    destination.

    Args:
        target: where it shall land; its name is the destination's own, so a link there is not followed.
        force: replace what is there.
        single: a file lands, not a folder.

    Raises:
        Refused: something is there, or nothing may be put there.
        ExternalFailure: the disk failed.
    """

    def __init__(self, target: Path, *, force: bool, single: bool) -> None:
        self.target = as_written(target)
        self._force = force
        self._single = single
        self._made: list[Path] = []
        self._folder: Path | None = None
        self._stack = ExitStack()
        refuse_place(self.target, force=force, single=single)

    @property
    def folder(self) -> Path:
        """The temporary folder; nobody else may look into it."""
        assert self._folder is not None
        return self._folder

    def __enter__(self) -> "Landing":
        parent, name = self.target.parent, self.target.name[:100]
        try:
            make_folders(parent, self._made)
            _finish_exchange(self.target)
            self._folder = self._stack.enter_context(scratch(parent, f".{name}.get-"))
        except OSError as error:
            self._leave()
            raise _failed(parent, error) from None
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    def land(self, content: Path) -> None:
        """Rename ``content``, which lies in the temporary folder, to the destination.

        Raises:
            Refused: something has come to lie there meanwhile.
            ExternalFailure: the disk failed; the destination is as it was.
        """
        refuse_place(self.target, force=self._force, single=self._single)
        try:
            if not self._single:
                content.chmod(0o777 & ~umask())
            if not self._single and self.target.is_dir() and any(self.target.iterdir()):
                _exchange(content, self.target)  # the old content is now in the temporary folder, and goes with it
            else:
                os.rename(content, self.target)  # noqa: PTH104  (an empty folder is replaced, a full one is not)
            fsync_folder(self.target.parent)
        except OSError as error:
            raise _failed(self.target, error) from None
        self._made.clear()

    def _leave(self) -> None:
        self._stack.close()
        for folder in reversed(self._made):
            try:
                folder.rmdir()
            except OSError:
                break


def refuse_place(target: Path, *, force: bool, single: bool) -> None:
    """Raise Refused where nothing may land: see `Landing`."""
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        mode = None
    except OSError as error:
        raise Refused(f"{target}: {error.strerror}", hint="choose another place with -o") from None
    if Path(os.path.realpath(Path.cwd())).is_relative_to(os.path.realpath(target)):
        raise Refused(f"{target} is the folder that this runs in, or one around it", hint="name a new folder: -o NAME")
    if mode is None:
        return
    if stat.S_ISLNK(mode):
        raise Refused(
            f"{target} is a symbolic link; nothing is written through it", hint="choose another place with -o"
        )
    if single:
        if stat.S_ISDIR(mode):
            raise Refused(f"{target} is a folder, and one file is to be written", hint=f"-o {target}/NAME")
        if not stat.S_ISREG(mode):
            raise Refused(f"{target} is no regular file", hint="choose another place with -o")
        if not force:
            raise Refused(f"{target} exists", hint="--force replaces it; or choose another place with -o")
        return
    if not stat.S_ISDIR(mode):
        raise Refused(f"{target} is a file, and a folder is to be written", hint="choose another place with -o")
    if not any(target.iterdir()):
        return
    if not force:
        raise Refused(f"{target} exists and is not empty", hint="--force replaces it whole; or choose another with -o")
    if target.is_mount() or any((target / name).exists() for name in (".git", ".dvc", ".hg", ".svn")):
        raise Refused(
            f"{target} is a repository or a mounted disk, and would be replaced whole", hint="-o another place"
        )


def _exchange(content: Path, target: Path) -> None:
    """Swap two folders in one step; where the file system can't, in two, the first of which is undone on failure."""
    libc = ctypes.CDLL(None, use_errno=True)
    swap = getattr(libc, "renameat2", None)
    if swap is not None:
        if swap(_AT_FDCWD, os.fsencode(content), _AT_FDCWD, os.fsencode(target), _RENAME_EXCHANGE) == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise OSError(code, os.strerror(code), str(target))
    aside = target.with_name(f".{target.name[:100]}{_ASIDE}")
    target.rename(aside)
    try:
        content.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _finish_exchange(target: Path) -> None:
    """Put back or remove what an exchange in two steps left when it was killed."""
    aside = target.with_name(f".{target.name[:100]}{_ASIDE}")
    if not aside.is_dir() or aside.is_symlink():
        return
    if os.path.lexists(target):
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.rename(target)


def _failed(place: Path, error: OSError) -> ExternalFailure:
    hint = "free some space, then run the command again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return ExternalFailure(f"{error.filename or place}: {error.strerror or error}", hint=hint)
