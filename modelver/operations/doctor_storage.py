"""Disk, cache, weights: what is damaged, left over, or about to be full."""

import fcntl
import os
import shlex
import shutil
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from modelver.adapters.dvc import DvcRemote
from modelver.core.manifest import FileEntry
from modelver.disk import copy_file, digest_file, remove_file
from modelver.errors import CheckFailed, ModelverError, Refused
from modelver.operations.doctor import Problem, Scene
from modelver.operations.facts import ModelFacts, model_names, read_sidecar
from modelver.operations.plain_lines import plain_lines
from modelver.operations.processes import dvc_is_running, is_open

_SETTLED = 15 * 60.0
"""Seconds after which a temporary file in the repository that nobody here has open is a dead process's."""

_SHARED_SETTLED = 24 * 3600.0
"""The same in a cache that other repositories, and perhaps other machines, use."""

_HASHABLE = 1 << 40


def weight_files(scene: Scene, facts: ModelFacts) -> Iterator[tuple[Path, FileEntry]]:
    """Each file of a model's weights: where it would lie in the working tree, and its line of the manifest."""
    assert facts.files is not None
    assert facts.weights is not None
    place = scene.root / facts.path
    for entry in facts.files:
        yield (place / entry.path if facts.weights.is_dir else place), entry


def disk(scene: Scene) -> Iterator[Problem]:
    """Room for the largest model, in the working tree and in the cache."""
    sizes = {}
    for name in model_names(scene.project.worktree):
        try:
            sidecar = read_sidecar(scene.project.worktree, name) or {}
        except ModelverError:  # a check of its own says so
            continue
        sizes[name] = int((sidecar.get("weights") or {}).get("bytes") or 0)
    if not sizes:
        return
    largest = max(sizes, key=lambda name: sizes[name])
    places = {scene.root, _existing(scene.cache.folder)} if scene.has_dvc else {scene.root}
    tight = {os.stat(place).st_dev: place for place in places if shutil.disk_usage(place).free < sizes[largest]}  # noqa: PTH116
    for place in tight.values():
        free = shutil.disk_usage(place).free
        yield Problem(
            "disk",
            f"{place} has {free} bytes free, and the weights of {largest} have {sizes[largest]}",
            "the next checkout, pull or export of that model will fail",
            "modelver gc --dry-run",
            level="warning",
        )


def leftovers(scene: Scene) -> Iterator[Problem]:
    """What killed processes left: halves in the cache, scratch folders, halves beside the files they were meant for."""
    dead = [place for place in _temporaries(scene) if _is_dead(scene, place)]
    if dead:
        size = sum(_size(place) for place in dead)
        names = ", ".join(str(place) for place in dead[:2]) + (f" and {len(dead) - 2} more" if len(dead) > 2 else "")
        yield Problem(
            "leftover",
            f"{size} bytes were left by processes that are gone: {names}",
            "they take room, and nothing else removes them",
            "modelver doctor --fix",
            partial(_remove_all, scene, dead),
            level="warning",
        )


def cache_objects(scene: Scene) -> Iterator[Problem]:
    """Objects whose size is not the manifest's, or that may be written, and so may have been."""
    if not scene.has_dvc or not scene.may_touch_cache:
        return
    known = {entry.md5: entry.bytes for facts in scene.models for entry in facts.files or ()}
    writable = []
    for md5, size, _ in scene.cache.objects():
        place = scene.cache.path(md5)
        open_to_writers = bool(place.stat().st_mode & 0o222)
        wrong = known.get(md5, size) != size
        if not wrong and open_to_writers and size < _HASHABLE:
            wrong = scene.md5(place) != md5.removesuffix(".dir")
        if wrong:
            yield Problem(
                "cache-damaged",
                f"{place} does not have the bytes that its name says",
                "DVC takes it for whole: every checkout of a version with it gives wrong weights",
                f"rm -f {shlex.quote(str(place))} && modelver restore --force",
                partial(_heal, scene, md5),
            )
        elif open_to_writers:
            writable.append(place)
    if writable:
        more = f" and {len(writable) - 1} more" if len(writable) > 1 else ""
        yield Problem(
            "cache-writable",
            f"{writable[0]}{more} can be written to",
            "objects in DVC's cache are read-only, so that no program changes the weights of all versions by mistake",
            f"chmod a-w {shlex.quote(str(writable[0]))}",
            partial(_protect, writable),
            level="warning",
        )


def edited_weights(scene: Scene) -> Iterator[Problem]:
    """Weights in the working tree that are not those of the record."""
    if not scene.has_dvc:
        return
    for facts in scene.models:
        edited = [
            (place, entry)
            for place, entry in weight_files(scene, facts)
            if place.is_file() and (place.stat().st_size != entry.bytes or scene.md5(place.resolve()) != entry.md5)
        ]
        if not edited:
            continue
        path, named = shlex.quote(facts.path), ", ".join(entry.path for _, entry in edited[:3])
        fetch = "" if all(scene.cache.has(entry.md5) for _, entry in edited) else f"dvc fetch {path} && "
        # as after `git pull` of another version, whose weights have not been pulled
        other = all(scene.cache.has(scene.md5(place.resolve())) for place, _ in edited)
        yield Problem(
            "weights-edited",
            f"{facts.path} holds another version's weights: {named}"
            if other
            else f"{facts.path} was changed since it was recorded: {named}",
            "what runs here is not what is checked out"
            if other
            else "what runs here is no version, and the next checkout stops at it",
            f"{fetch}modelver restore {path}"
            if other
            else f"{fetch}modelver restore --force {path}   (drops the change)",
            level="warning",
        )


CHECKS = (disk, leftovers, cache_objects, edited_weights)


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _temporaries(scene: Scene) -> Iterator[Path]:
    if scene.has_dvc and scene.may_touch_cache:
        objects = scene.cache.folder / "files" / "md5"
        # DVC's own end in .tmp, with nothing or a name before; so do modelver's
        yield from sorted(objects.glob("*.tmp"))
        yield from sorted(objects.glob("??/*.tmp"))
    scratch = [folder for folder in (scene.root / ".dvc" / "tmp").glob("modelver-*") if folder.is_dir()]
    mine = [*(folder for folder in scratch if not folder.is_symlink() and any(folder.iterdir()))]
    mine += (scene.root / "models").rglob(".*.????????.tmp")
    mine += scene.root.glob(".*.????????.tmp")
    yield from sorted(place for place in mine if scene.is_own(place))
    yield from sorted(scene.git.state_dir.glob(".*.????????.tmp"))


def _is_dead(scene: Scene, place: Path) -> bool:
    if place.is_symlink():
        return False
    inside = Path(os.path.realpath(place)).is_relative_to(os.path.realpath(scene.root))
    patience = _SETTLED if inside else _SHARED_SETTLED
    if time.time() - _newest(place) < patience:
        return False
    if place.is_dir():
        used = dvc_is_running(scene.root, [place]) or _is_locked(place) or any(map(is_open, _files(place)))
        return not used
    return not is_open(place)


def _is_locked(folder: Path) -> bool:
    """Whether the folder's maker still holds the lock that `scratch` takes."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _files(folder: Path) -> list[Path]:
    return [Path(top) / name for top, _, names in os.walk(folder) for name in names]


def _newest(place: Path) -> float:
    return max(max(found.st_mtime, found.st_ctime) for found in (p.lstat() for p in (place, *_files(place))))


def _size(place: Path) -> int:
    return sum(p.lstat().st_size for p in (_files(place) if place.is_dir() else [place]))


def _remove_all(scene: Scene, places: list[Path]) -> None:
    for place in places:
        if not _is_dead(scene, place):
            raise Refused(f"{place} is in use again", hint="modelver doctor --fix, later")
        if place.is_dir():
            shutil.rmtree(place)
        else:
            remove_file(place)


def _protect(places: list[Path]) -> None:
    for place in places:
        place.chmod(place.stat().st_mode & ~0o222)


def _heal(scene: Scene, md5: str) -> None:
    """Replace a damaged object by the right bytes, from the working tree or from the DVC remote."""
    place = scene.cache.path(md5)
    for facts in scene.models:
        for file, entry in weight_files(scene, facts):
            if entry.md5 == md5 and file.is_file() and not file.is_symlink() and digest_file(file).md5 == md5:
                copy_file(file, place, mode=0o444)
                return
    if not scene.offline:
        remote = DvcRemote.open(scene.root, plain_http=plain_lines(scene.git, scene.plain_http))
        temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("xb") as file_:
                for piece in remote.read(md5):
                    file_.write(piece)
                file_.flush()
                os.fsync(file_.fileno())
            if digest_file(temporary).md5 == md5.removesuffix(".dir"):
                temporary.chmod(0o444)
                temporary.replace(place)
                return
        finally:
            temporary.unlink(missing_ok=True)
    raise CheckFailed(f"no good copy of {md5} was found", hint="modelver get, or a backup: modelver backup --help")
