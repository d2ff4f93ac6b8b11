"""From a backup back to a working repository."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelver.adapters import yaml
from modelver.adapters.dvc import DvcCache
from modelver.adapters.git import GitRepository, run_git
from modelver.adapters.git.bundle import init_for
from modelver.core.backup import MANIFEST, BackupManifest, BackupObject, load_manifest
from modelver.core.pointers import outs_in
from modelver.core.restore import check_place
from modelver.disk import as_written, copy_file
from modelver.disk.files import digest_file
from modelver.errors import CheckFailed, ExternalFailure, InvalidInput, NotFound, Refused
from modelver.operations.backup import object_path
from modelver.operations.objects import listings_of, version_objects
from modelver.operations.project import Project
from modelver.operations.restore import POINTERS, Result, restore_paths
from modelver.operations.transaction import refuse_link

_JOBS = 4
_EMPTY = hashlib.md5(b"[]", usedforsecurity=False).hexdigest() + ".dir"
"""The hash of a folder without files: DVC's listing is JSON."""

_MAX_MANIFEST = 1 << 30

Say = Callable[[str], None]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Restored:
    """A repository that was made from a backup.

    Attributes:
        folder: where it is.
        made: when the backup was made, ISO 8601, UTC.
        versions: tags.
        objects, bytes: what its cache was filled with.
        files: weights that were placed in the working tree.
        damaged: objects of the backup that are missing or not what the manifest says; empty unless asked to go on.
        lost: versions that need one of those.
        unlisted: version tags that the manifest does not list, so that nothing says that the backup has their weights.
        unplaced: why weights of the checked-out commit do not lie in the working tree; they are in the cache.
    """

    folder: str
    made: str
    versions: tuple[str, ...]
    objects: int
    bytes: int
    files: int
    damaged: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    unplaced: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {name: [*value] if isinstance(value, tuple) else value for name, value in vars(self).items()}


def is_backup(folder: Path) -> bool:
    """Whether a folder is a backup."""
    return (folder / MANIFEST).is_file()


def restore_backup(
    folder: Path,
    into: Path,
    *,
    partial: bool = False,
    say: Say = lambda _: None,
    progress: Progress = lambda _: None,
) -> Restored:
    """Make a repository from a backup: all tags, branches and notes, the cache full, the weights in their places.

    It is made beside ``into`` and renamed once it is whole, so that ``into`` is never there by half.

    Args:
        folder: the backup.
        into: where; must not exist, or be an empty folder.
        partial: go on where objects are damaged, without them.
        say: told of what goes on.
        progress: told of bytes copied.

    Raises:
        NotFound: there is no backup.
        InvalidInput: its manifest is of another form.
        Refused: something is at ``into``.
        CheckFailed: the backup is damaged; nothing is at ``into`` then.
        ExternalFailure: Git or the disk failed.
    """
    folder, into = as_written(folder), as_written(into)
    manifest = read_manifest(folder)
    if os.path.lexists(into) and (into.is_symlink() or not into.is_dir() or any(into.iterdir())):
        raise Refused(f"{into} exists already; a restored repository needs a new folder")
    into.parent.mkdir(parents=True, exist_ok=True)
    scratch = into.parent / f".{into.name}.{secrets.token_hex(4)}.tmp"
    try:
        scratch.mkdir()
        say(f"restoring {len(manifest.versions)} versions of {manifest.made}")
        git = _git_part(folder, manifest, scratch)
        damaged = _fill_cache(folder, manifest, scratch, partial, progress)
        lost = _lost(git, manifest, damaged)
        unlisted = _unlisted(git, manifest)
        weights = restore_paths(git, []) if (scratch / ".dvc").is_dir() else Result()
        _make_empty_folders(git)
        scratch.replace(into)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    names = {item.md5 for item in damaged}
    whole = [item for item in manifest.objects if item.md5 not in names]
    tags = tuple(version.tag for version in manifest.versions)
    size = sum(item.bytes for item in whole)
    unplaced = tuple(message for level, message, _ in weights.messages() if level != "note")
    return Restored(
        str(into), manifest.made, tags, len(whole), size, len(weights.placed), tuple(sorted(names)), lost, unlisted,
        unplaced,
    )  # fmt: skip


def read_manifest(folder: Path) -> BackupManifest:
    """The manifest of the backup in a folder; raises as `restore_backup`."""
    place = folder / MANIFEST
    try:
        if place.stat().st_size > _MAX_MANIFEST:
            raise InvalidInput(f"{place} is larger than a manifest can be")
        data = place.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"{folder} is no backup: there is no {MANIFEST} in it", hint="modelver backup DIR") from None
    except OSError as error:
        raise ExternalFailure(f"{place}: {error.strerror or error}") from None
    return load_manifest(data, str(place))


def _git_part(folder: Path, manifest: BackupManifest, scratch: Path) -> GitRepository:
    """The repository of the bundle, with its files checked out."""
    bundle = folder / manifest.bundle
    if not bundle.is_file() or digest_file(bundle).sha256 != manifest.bundle_sha256:
        raise CheckFailed(f"{bundle} is missing or damaged", hint="take another copy of the backup")
    run_git(scratch, init_for(manifest.refs.values()))
    fetch = ["fetch", "--quiet", "--no-write-fetch-head", "--update-head-ok", "--no-auto-maintenance"]
    # the bundle of a detached HEAD holds a commit that no ref names
    extra = ["+HEAD:refs/modelver/head"] if "HEAD" in manifest.refs else []
    run_git(scratch, [*fetch, "--", str(bundle), "+refs/*:refs/*", *extra])
    git = GitRepository(scratch, scratch / ".git", scratch / ".git")
    if extra:
        git.run("update-ref", "-d", "refs/modelver/head") if manifest.head.startswith("refs/") else None
    have = {}
    for line in git.text("for-each-ref", "--format=%(objectname) %(refname)").splitlines():
        name, _, ref = line.partition(" ")
        have[ref] = name
    wrong = sorted(ref for ref, name in manifest.refs.items() if ref != "HEAD" and have.get(ref) != name)
    if wrong:
        raise CheckFailed(f"{bundle} does not hold {wrong[0]} as the manifest says")
    if manifest.head.startswith("refs/"):
        git.run("symbolic-ref", "HEAD", manifest.head)
    else:
        git.run("update-ref", "--no-deref", "HEAD", manifest.head)
        git.run("update-ref", "-d", "refs/modelver/head")
    if git.head().commit:
        git.run("read-tree", "-m", "-u", "HEAD")
    stash = manifest.refs.get("refs/stash")
    if stash:  # `git stash list` shows what the ref's log holds
        git.run("update-ref", "-d", "refs/stash")
        git.run("stash", "store", "--message", "from the backup", stash)
    for name, url in manifest.remotes.items():
        if not name.startswith("-") and not url.startswith("-") and "::" not in url:
            git.run("config", f"remote.{name}.url", url)
            git.run("config", f"remote.{name}.fetch", f"+refs/heads/*:refs/remotes/{name}/*")
    return git


def _fill_cache(
    folder: Path, manifest: BackupManifest, scratch: Path, partial: bool, progress: Progress
) -> list[BackupObject]:
    """Copy all objects into the cache, each verified before it is there; those that are not right."""
    if not manifest.objects:
        return []
    dvc = scratch / ".dvc"
    if dvc.is_symlink() or (dvc.exists() and not dvc.is_dir()):
        raise Refused(f"in the backup's repository {dvc.name} is no folder, and nothing is written through a link")
    dvc.mkdir(exist_ok=True)  # gone from HEAD, and still the place where DVC looks for older versions
    cache = DvcCache.find(scratch)
    staging = scratch / ".git" / "modelver" / "backup"  # nothing of the repository's own can be in the way there
    staging.mkdir(parents=True)

    def fetch(item: BackupObject) -> bool:
        source, staged = object_path(folder, item.md5), staging / item.md5
        if source.is_symlink() or not source.is_file() or source.stat().st_size != item.bytes:
            return False
        digest = copy_file(source, staged, digest=True, settled=True)
        if digest is None or (digest.md5, digest.sha256) != (item.md5.removesuffix(".dir"), item.sha256):
            staged.unlink()
            return False
        cache.add(staged, item.md5, move=True)
        progress(item.bytes)
        return True

    with ThreadPoolExecutor(_JOBS) as pool:
        right = list(pool.map(fetch, manifest.objects))
    shutil.rmtree(staging)
    damaged = [item for item, ok in zip(manifest.objects, right, strict=True) if not ok]
    if damaged and not partial:
        first = object_path(folder, damaged[0].md5)
        more = f", and so are {len(damaged) - 1} more objects" if len(damaged) > 1 else ""
        raise CheckFailed(
            f"the backup is damaged: {first} is missing or not what the manifest says{more}",
            hint="take another copy of the backup, or --partial to restore all else",
        )
    return damaged


def _make_empty_folders(git: GitRepository) -> None:
    """Make the folders that DVC tracks without a file in them: DVC takes one that is not there for deleted."""
    listed = git.run("ls-files", "-z", "--cached", "--", *POINTERS)
    for pointer in filter(None, map(os.fsdecode, listed.split(b"\0"))):
        try:
            refuse_link(git.root, pointer)
            outs = outs_in(pointer, yaml.load((git.root / pointer).read_bytes(), pointer))
            for path in (out.path for out in outs if out.md5 == _EMPTY):
                check_place(path)
                refuse_link(git.root, path)
                if not os.path.lexists(git.root / path):
                    (git.root / path).mkdir(parents=True)
        except (InvalidInput, Refused, FileExistsError, NotADirectoryError):  # nothing of it was restored either
            continue


def _unlisted(git: GitRepository, manifest: BackupManifest) -> tuple[str, ...]:
    """Version tags that came while an older modelver made the backup, after it had looked up what versions need."""
    listed = {(version.tag, version.object) for version in manifest.versions}
    versions = Project(git).registry.versions()
    return tuple(sorted(v.tag for v in versions if (v.tag, v.record.object_id) not in listed))


def _lost(git: GitRepository, manifest: BackupManifest, damaged: Sequence[BackupObject]) -> tuple[str, ...]:
    """The versions that need a damaged object."""
    if not damaged:
        return ()
    names = {item.md5 for item in damaged}
    project = Project(git)
    listings = listings_of(DvcCache.find(git.root))
    lost = []
    for version in manifest.versions:
        try:
            needed = version_objects(project.git, version.commit, version.model, listings).restoring()
        except NotFound:
            lost.append(version.tag)
            continue
        if any(item.md5 in names for item in needed):
            lost.append(version.tag)
    return tuple(lost)
