"""Objects that DVC's cache lost, while the working tree still holds their bytes."""

import os
import shlex
from pathlib import Path

from modelver.adapters import yaml
from modelver.core.layout import DVC_LOCK
from modelver.core.manifest import FileEntry, dvc_dir_hash
from modelver.core.pointers import Out, locked_stages, outs_in
from modelver.disk import HashCache
from modelver.errors import InvalidInput


def refill(root: Path, out: Out, hashes: HashCache) -> str | None:
    """The command that puts an out's objects into DVC's cache again, from the working tree.

    Returns:
        None where the working tree does not hold, byte for byte, what the pointer says: DVC would then commit that
        other state.
    """
    if not _whole(root, out, hashes):
        return None
    if Path(out.pointer).name != DVC_LOCK:
        return f"dvc commit --force {shlex.quote(out.pointer)}"
    stage = _stage(root, out)
    return None if stage is None else f"dvc commit --force {shlex.quote(stage)}"


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


def _whole(root: Path, out: Out, hashes: HashCache) -> bool:
    place = root / out.path
    if place.is_symlink():
        return False
    if not out.is_dir:
        return place.is_file() and hashes.digest(place).md5 == out.md5
    files = []
    for folder, _, names in os.walk(place):
        for name in names:
            file = Path(folder) / name
            if not file.is_file() or file.is_symlink():
                return False
            path = file.relative_to(place).as_posix()
            files.append(FileEntry(path, file.stat().st_size, (found := hashes.digest(file)).md5, found.sha256))
    return bool(files) and dvc_dir_hash(files) == out.md5


def _stage(root: Path, out: Out) -> str | None:
    lock = root / out.pointer
    try:
        stages = locked_stages(out.pointer, yaml.load(lock.read_bytes(), out.pointer))
    except (InvalidInput, OSError):
        return None
    names = [stage.name for stage in stages if any(one.path == out.path for one in stage.outs)]
    return names[0] if names and out.pointer == DVC_LOCK else None
