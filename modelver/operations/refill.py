"""Objects that DVC's cache lost, while the working tree still holds their bytes."""

import os
import shlex
from pathlib import Path

from modelver.adapters import yaml
from modelver.adapters.dvc import DvcCache
from modelver.core.layout import DVC_LOCK
from modelver.core.manifest import FileEntry, dvc_dir_hash
from modelver.core.pointers import Out, outs_in
from modelver.disk import HashCache
from modelver.errors import InvalidInput

_EMPTY = dvc_dir_hash(())
"""An empty folder's listing: what it says is known wherever it got lost."""


def refill(root: Path, out: Out, cache: DvcCache, hashes: HashCache) -> bool:
    """Put an out's objects into DVC's cache again, from the working tree.

    `dvc commit` would do it too, but it also takes what the stage's dependencies have become for what they were.

    Returns:
        False where the working tree does not hold, byte for byte, what the pointer says; nothing has changed then.

    Raises:
        Refused, ExternalFailure: as `DvcCache.add`.
    """
    files = _files(root, out, hashes)
    if files is None:
        return False
    for entry in files:
        place = root / out.path / entry.path if out.is_dir else root / out.path
        cache.add(place, entry.md5, hashes=hashes)
    if out.is_dir:
        cache.add_dir((entry.path, entry.md5) for entry in files)
    return True


def refill_hint(root: Path, out: Out, hashes: HashCache) -> str | None:
    """The command that does what `refill` does; None where that would not help."""
    return None if _files(root, out, hashes) is None else f"modelver restore {shlex.quote(out.path)}"


def out_around(root: Path, path: str) -> Out | None:
    """What DVC tracks in the working tree that is ``path`` or a folder around it; None where nothing is."""
    places = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
    for pointer in (*(f"{place}.dvc" for place in places), DVC_LOCK):
        try:
            outs = outs_in(pointer, yaml.load((root / pointer).read_bytes(), pointer))
        except (InvalidInput, OSError):
            continue
        found = next((out for out in outs if out.path in places), None)
        if found is not None:
            return found
    return None


def _files(root: Path, out: Out, hashes: HashCache) -> list[FileEntry] | None:
    """The files of an out as the working tree has them; None where they are not what the pointer says."""
    if out.md5 == _EMPTY:
        return []
    place = root / out.path
    if place.is_symlink():
        return None
    if not out.is_dir:
        entry = _entry(place, place.parent, hashes) if place.is_file() else None
        return [entry] if entry is not None and entry.md5 == out.md5 else None
    files = []
    for folder, _, names in os.walk(place):
        for name in names:
            file = Path(folder) / name
            if not file.is_file() or file.is_symlink():
                return None
            files.append(_entry(file, place, hashes))
    return files if dvc_dir_hash(files) == out.md5 else None


def _entry(file: Path, top: Path, hashes: HashCache) -> FileEntry:
    digest = hashes.digest(file)
    return FileEntry(file.relative_to(top).as_posix(), file.stat().st_size, digest.md5, digest.sha256)
