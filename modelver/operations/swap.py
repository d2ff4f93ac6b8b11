"""Put staged files in their places all at once, or put everything back."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from modelver.disk import copy_file
from modelver.errors import ExternalFailure


class Swap:
    """Files that are staged beside the working tree and then published together.

    Use in ``with``: on leaving, what was staged and not published is gone. Only one swap may use the staging folder at
    a time; what a killed one left there is removed.
    """

    def __init__(self, root: Path, staging: Path) -> None:
        self._root = root
        self._staging = staging
        self._folder = staging
        self._staged: dict[str, Path] = {}
        self._undo: list[tuple[Path | None, Path]] = []

    def __enter__(self) -> "Swap":
        shutil.rmtree(self._staging, ignore_errors=True)
        try:
            self._staging.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(dir=self._staging))
        except OSError as error:
            raise ExternalFailure(f"{self._staging}: {error.strerror}") from None
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._staging, ignore_errors=True)

    def stage(self, path: str) -> Path:
        """Where to write the file that is to become ``path``."""
        self._staged[path] = self._folder / str(len(self._staged))
        return self._staged[path]

    def size(self, path: str) -> int:
        """Bytes of a staged file."""
        return self._staged[path].stat().st_size

    def publish(self, remove: Iterable[str], *, stop: Path) -> None:
        """Remove files and put the staged ones in their places; folders that become empty go, up to ``stop``.

        Raises:
            ExternalFailure: something was in the way; everything is back as it was.
        """
        place = self._root
        try:
            for path in remove:
                place = self._root / path
                self._set_aside(place, keep=False)
                _prune(place.parent, stop)
            for path, staged in self._staged.items():
                place = self._root / path
                place.parent.mkdir(parents=True, exist_ok=True)
                if os.path.lexists(place) and (place.is_symlink() or not place.is_dir()):
                    self._set_aside(place, keep=True)
                else:
                    self._undo.append((None, place))
                _rename(staged, place)
        except OSError as error:
            self._put_back()
            why = error.strerror or str(error)
            if error.errno in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST):
                why = "a file of yours is where a folder must be, or the other way round"
            raise ExternalFailure(
                f"{place} can't be restored: {why}", hint="move it away, then: modelver restore"
            ) from None

    def _set_aside(self, place: Path, *, keep: bool) -> None:
        """Keep a file's bytes under another name; with ``keep`` it also stays in its place until it is replaced."""
        aside = self._folder / f"old-{len(self._undo)}"
        try:
            if not keep:
                raise OSError
            os.link(place, aside, follow_symlinks=False)
        except OSError:  # no hard links here
            _rename(place, aside)
        self._undo.append((aside, place))

    def _put_back(self) -> None:
        for aside, place in reversed(self._undo):
            try:
                if aside is not None:
                    place.parent.mkdir(parents=True, exist_ok=True)
                    _rename(aside, place)
                elif place.is_symlink() or not place.is_dir():
                    place.unlink(missing_ok=True)
            except OSError:
                continue


def _rename(source: Path, target: Path) -> None:
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy_file(source, target, settled=True)  # the working tree spans file systems
        source.unlink()


def _prune(folder: Path, stop: Path) -> None:
    while folder != stop and folder.is_relative_to(stop):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
