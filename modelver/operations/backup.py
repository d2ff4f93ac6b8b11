"""A backup: one folder with all versions in it, as a Git bundle and the DVC objects, that needs nothing else.

    modelver-backup.json       what is in it, with the digest of every file and its own
    git/<sha256>.bundle        all commits, tags, branches, notes and the newest stash
    objects/files/md5/ab/…     the objects, laid out as a DVC remote

The manifest is written last and replaced in one step, and what it names is never written over: until then the folder
is the backup that it was before.
"""

import hashlib
import os
import shlex
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from modelver.adapters.dvc import DvcCache, DvcRemote
from modelver.adapters.git import GitRepository
from modelver.adapters.git.bundle import bundle_refs, fetched_refs, make_bundle
from modelver.core.addresses import is_cut, url_without_credentials
from modelver.core.backup import MANIFEST, BackupManifest, BackupObject, BackupVersion, load_manifest
from modelver.disk import Digest, HashCache, as_written, copy_file, exclusive, write_atomic
from modelver.disk.files import digest_file, fsync_folder
from modelver.errors import CheckFailed, ExternalFailure, Refused
from modelver.operations import roots
from modelver.operations.backup_needs import Needs, Wanted, wanted_by_all
from modelver.operations.gc import alone
from modelver.operations.plain_lines import plain_lines
from modelver.operations.project import Project

OBJECTS = "objects"
_ROUNDS = 5
JOBS = 4
"""Objects at the same time: hashing them is what takes the time."""

Say = Callable[[str], None]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class BackupResult:
    """What a backup did.

    Attributes:
        folder: where it is.
        versions: tags.
        objects, bytes: all that it holds of DVC's.
        copied, copied_bytes: those of them that were not there before.
        absent: paths that commits name whose objects nobody has, and no version needs to be restored.
        dry_run: nothing was written.
    """

    folder: str
    versions: tuple[str, ...]
    objects: int
    bytes: int
    copied: int
    copied_bytes: int
    absent: tuple[str, ...]
    dry_run: bool

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {**vars(self), "versions": list(self.versions), "absent": list(self.absent)}


def backup(
    project: Project,
    folder: Path,
    *,
    dvc_remote: str | None = None,
    plain_http: bool = False,
    full: bool = False,
    jobs: int = JOBS,
    dry_run: bool = False,
    say: Say = lambda _: None,
    progress: Progress = lambda _: None,
) -> BackupResult:
    """Copy all versions into a folder, or bring the backup there up to date.

    Args:
        project: the repository.
        folder: a new or empty folder, or an earlier backup of the same repository.
        dvc_remote: where to take objects from that are not in the cache; None means the default one.
        plain_http: speak to it without encryption.
        full: read again what an earlier backup put there.
        jobs: objects at the same time; a single one is copied in this very thread.
        dry_run: only look.
        say: told of what goes on.
        progress: told of bytes copied.

    Raises:
        Refused: the folder is something else; history is cut off here; the backup there has versions that are not here.
        CheckFailed: objects that versions need are nowhere to be found whole; nothing is claimed then.
        ExternalFailure: Git, the DVC remote or the disk failed.
    """
    project.require_dvc()
    roots.refuse_cut_history(project.git)
    folder = as_written(folder)
    old = _existing(project, folder)
    remote = _remote(project, dvc_remote, plain_http, say)
    with alone(project.git):
        work = _Backup(project.git, folder, old, remote, full, progress)
        if dry_run:
            return work.preview(project, wanted_by_all(project, remote, say))
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder / ".lock", 1.0):
            for _ in range(_ROUNDS):
                done = work.run(say, jobs)
                if done is not None:
                    return done
                say("tags or branches have changed meanwhile: looking once more")
    raise ExternalFailure(
        "no backup was made: tags or branches changed whenever it was nearly done",
        hint="try again while nobody works here",
    )


class _Backup:
    def __init__(
        self, git: GitRepository, folder: Path, old: BackupManifest | None, remote: DvcRemote | None, full: bool,
        progress: Progress,
    ) -> None:  # fmt: skip
        self._git = git
        self._folder = folder
        self._old = old
        self._remote = remote
        self._full = full
        self._progress = progress
        self._cache = DvcCache.find(git.root)
        self._hashes = HashCache(git.state_dir)
        self._found: dict[str, _Placed | None] = {}

    @cached_property
    def _known(self) -> Mapping[str, BackupObject]:
        return {} if self._old is None else {item.md5: item for item in self._old.objects}

    def preview(self, project: Project, needs: Needs) -> BackupResult:
        """What would be done, by names alone."""
        wanted = needs.objects
        new = [name for name in wanted if not object_path(self._folder, name).is_file()]
        size = sum(self._cache.path(name).stat().st_size for name in new if self._cache.has(name))
        tags = tuple(version.tag for version in project.registry.versions())
        return BackupResult(str(self._folder), tags, len(wanted), size, len(new), size, tuple(needs.unlisted), True)

    def run(self, say: Say, jobs: int) -> BackupResult | None:
        """Write everything, the manifest last; None where a ref has changed since its objects were looked up."""
        for left in (self._folder / OBJECTS).glob("files/md5/??/*.part*"):  # and what is copied to be one
            left.unlink()
        planned = bundle_refs(self._git)
        project = Project(self._git)  # which knows the tags as they are now
        needs = wanted_by_all(project, self._remote, say)
        wanted = needs.objects
        if jobs == 1:
            found = {name: self._place(one) for name, one in wanted.items()}
        else:
            with ThreadPoolExecutor(jobs) as pool:
                found = dict(zip(wanted, pool.map(self._place, wanted.values()), strict=True))
        self._found |= found
        absent = {name for name, placed in found.items() if placed is None}
        lost = sorted({tag for name in absent for tag in wanted[name].versions})
        if lost or (absent and needs.untold):
            raise self._incomplete(lost or needs.untold, wanted, absent)
        for place in sorted({object_path(self._folder, name).parent for name in found if name not in absent}):
            fsync_folder(place)
        say("bundling Git's history")
        manifest = self._manifest(
            project, {name: placed for name, placed in found.items() if placed is not None}, wanted, absent
        )
        if manifest.refs != planned or not all(
            planned.get(f"refs/tags/{v.tag}") == v.object for v in manifest.versions
        ):
            return None
        write_atomic(self._folder / MANIFEST, manifest.dump())
        write_atomic(self._folder / "README.txt", _README)
        self._sweep(manifest)
        new = [placed for placed in found.values() if placed is not None and placed.copied]
        return BackupResult(
            str(self._folder), tuple(version.tag for version in manifest.versions), len(manifest.objects),
            sum(item.bytes for item in manifest.objects), len(new), sum(placed.bytes for placed in new),
            (*needs.unlisted, *sorted(item["path"] for item in manifest.absent)), False,
        )  # fmt: skip

    def _place(self, wanted: "Wanted") -> "_Placed | None":
        """Have one object in the backup, whole; None where nobody has it."""
        before = self._found.get(wanted.md5)
        if before is not None and wanted.accepts(before.digest):
            return before
        place = object_path(self._folder, wanted.md5)
        kept = self._kept(wanted, place)
        if kept is not None:
            return kept
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f"{place.name}.part")
        for source in (self._from_cache, self._from_manifest, self._from_remote):
            digest = source(wanted, part)
            if digest is not None and wanted.accepts(digest):
                if digest_file(part) != digest:
                    raise ExternalFailure(f"{part}: what was written there reads back differently")
                size = part.stat().st_size
                part.replace(place)
                self._progress(size)
                return _Placed(digest, size, copied=True)
            part.unlink(missing_ok=True)
        return None

    def _kept(self, wanted: "Wanted", place: Path) -> "_Placed | None":
        known = self._known.get(wanted.md5)
        if known is None or not place.is_file():
            return None
        digest = digest_file(place) if self._full else self._hashes.digest(place)
        if digest.sha256 != known.sha256 or not wanted.accepts(digest):
            return None
        return _Placed(digest, known.bytes, copied=False)

    def _from_cache(self, wanted: "Wanted", part: Path) -> Digest | None:
        if not self._cache.has(wanted.md5):
            return None
        digest = copy_file(self._cache.path(wanted.md5), part, mode=0o444, digest=True, settled=True)
        _flush(part)
        return digest

    def _from_manifest(self, wanted: "Wanted", part: Path) -> Digest | None:
        return None if wanted.content is None else _write(part, [wanted.content])

    def _from_remote(self, wanted: "Wanted", part: Path) -> Digest | None:
        if self._remote is None or self._remote.stat(wanted.md5) is None:
            return None
        return _write(part, self._remote.read(wanted.md5))

    def _manifest(
        self, project: Project, found: "Mapping[str, _Placed]", wanted: "Mapping[str, Wanted]", absent: set[str]
    ) -> BackupManifest:
        git = self._git
        head = git.head()
        bundle, refs = self._bundle()
        return BackupManifest(
            made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            bundle=f"git/{bundle.name}",
            bundle_bytes=bundle.stat().st_size,
            bundle_sha256=bundle.stem,
            head=head.branch or head.commit or "",
            refs=refs,
            remotes=remote_urls(git),
            versions=tuple(
                BackupVersion(v.tag, v.record.object_id, v.record.commit, v.model)
                for v in sorted(project.registry.versions(), key=lambda v: v.tag)
            ),
            objects=tuple(BackupObject(n, p.digest.sha256, p.bytes) for n, p in sorted(found.items())),
            absent=tuple({"md5": name, "path": wanted[name].path} for name in sorted(absent)),
        )

    def _bundle(self) -> tuple[Path, dict[str, str]]:
        """The bundle of all refs as they are now, read back and compared; an earlier one that holds the same stays."""
        git, place = self._git, self._folder / "git"
        place.mkdir(exist_ok=True)
        for left in place.glob("*.part*"):  # Git writes a bundle to NAME.lock first
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        if self._old is not None and self._old.refs == bundle_refs(git):
            bundle = self._folder / self._old.bundle
            if bundle.is_file() and digest_file(bundle).sha256 == self._old.bundle_sha256:
                return bundle, dict(self._old.refs)
        part = place / "new.bundle.part"
        try:
            refs = make_bundle(git, part)
            _flush(part)
            have = fetched_refs(part, place / "check.part")
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        finally:
            shutil.rmtree(place / "check.part", ignore_errors=True)
        lacking = sorted(name for name, value in refs.items() if name != "HEAD" and have.get(name) != value)
        if lacking:
            raise ExternalFailure(f"Git's bundle does not hold {lacking[0]}", hint="git fsck")
        bundle = place / f"{digest_file(part).sha256}.bundle"
        part.replace(bundle)
        fsync_folder(place)
        return bundle, refs

    def _sweep(self, manifest: BackupManifest) -> None:
        """Remove bundles that the manifest does not name any more."""
        for bundle in (self._folder / "git").glob("*.bundle"):
            if f"git/{bundle.name}" != manifest.bundle:
                bundle.unlink()

    def _incomplete(self, lost: list[str], wanted: "Mapping[str, Wanted]", absent: set[str]) -> CheckFailed:
        where = "the cache" if self._remote is None else f"the cache or DVC remote {self._remote.name}"
        first = min((wanted[name] for name in absent), key=lambda one: (not one.versions, one.md5))
        more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
        return CheckFailed(
            f"no backup was made: {where} does not have all that {', '.join(lost[:5])}{more} need whole, for example "
            f"{first.path} ({first.md5})",
            hint="modelver verify --all --remote   (says what is missing where)",
        )


@dataclass(frozen=True, slots=True)
class _Placed:
    digest: Digest
    bytes: int
    copied: bool


def _remote(project: Project, name: str | None, plain_http: bool, say: Say) -> DvcRemote | None:
    """Where to take from what the cache lacks; None where none is configured, as the cache may have everything."""
    try:
        return DvcRemote.open(project.root, name, plain_http=plain_lines(project.git, plain_http))
    except Refused as refusal:
        if name is not None:
            raise
        say(f"from the cache alone: {refusal.message}")
        return None


def _existing(project: Project, folder: Path) -> BackupManifest | None:
    """The backup that is in the folder; None where it is new or empty."""
    for top in (project.root, project.git.common_dir):
        if Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(top)):
            raise Refused(
                f"{folder} lies in the repository itself", hint="take a folder outside of it, on another disk"
            )
    if folder.exists() and not folder.is_dir():
        raise Refused(f"{folder} is no folder")
    if not (folder / MANIFEST).is_file():
        if folder.is_dir() and any(name not in (".lock", "git", OBJECTS) for name in os.listdir(folder)):  # noqa: PTH208
            raise Refused(f"{folder} holds something else than a backup", hint="take a new or empty folder")
        return None
    old = load_manifest((folder / MANIFEST).read_bytes(), str(folder / MANIFEST))
    here = {version.record.object_id for version in project.registry.versions()}
    gone = [version.tag for version in old.versions if version.object not in here]
    if gone:
        bundle = shlex.quote(str(folder / old.bundle))
        raise Refused(
            f"the backup in {folder} holds versions that this repository does not have: {', '.join(gone[:5])}",
            hint=f"git fetch {bundle} 'refs/tags/*:refs/tags/*'   (or take another folder)",
        )
    return old


def object_path(folder: Path, md5: str) -> Path:
    """Where a backup has an object."""
    return folder / OBJECTS / "files" / "md5" / md5[:2] / md5[2:]


def remote_urls(git: GitRepository) -> dict[str, str]:
    """Names and addresses of the Git remotes, without credentials."""
    found = {}
    for name in git.text("remote").splitlines():
        url = url_without_credentials(git.config(f"remote.{name}.url") or "")
        if url and not is_cut(url):  # by half it would name another server
            found[name] = url
    return found


def _write(part: Path, pieces: Iterable[bytes]) -> Digest:
    first, second = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with part.open("wb") as file:
        for piece in pieces:
            first.update(piece)
            second.update(piece)
            file.write(piece)
        os.fchmod(file.fileno(), 0o444)
    _flush(part)
    return Digest(first.hexdigest(), second.hexdigest())


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_README = b"""\
This folder is a backup that `modelver backup` made. With modelver:

    modelver restore THIS_FOLDER --into NEW_FOLDER

Without it (Git and DVC alone):

    git clone git/*.bundle NEW_FOLDER
    cd NEW_FOLDER
    dvc remote add --default --local backup THIS_FOLDER/objects
    dvc pull

modelver-backup.json lists every file with its SHA-256.
"""
