"""DVC's local cache: objects by MD5 below ``files/md5/``, folders as JSON listings whose hash ends in ``.dir``."""

import hashlib
import json
import os
import shlex
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from modelver.adapters.dvc.config import CacheSettings, cache_settings
from modelver.core.manifest import check_relative_path
from modelver.disk import Digest, HashCache, as_written, copy_file, digest_file, open_regular, write_atomic
from modelver.errors import CheckFailed, ExternalFailure, InvalidInput, NotFound, Refused

MAX_LISTING_BYTES = 256 << 20
"""Largest folder listing read: some two million files."""

Listing = list[tuple[str, str]]
"""Files of a folder: path relative to it, MD5."""


class DvcCache:
    """The cache of one DVC repository.

    A repository may name any folder as its cache (``cache.dir`` in ``.dvc/config``; a shared cache is common). Reading
    there is harmless, since objects are used only if their bytes have the hash asked for. Writing is not: into a folder
    outside the repository that the repository itself names, modelver writes only if it is a DVC cache already.
    """

    def __init__(self, root: Path, settings: CacheSettings) -> None:
        self._root = root
        self._settings = settings

    @classmethod
    def find(cls, root: Path) -> "DvcCache":
        """The cache of the DVC repository at ``root``, the folder that holds ``.dvc``.

        Raises:
            Refused: no ``.dvc`` there.
            InvalidInput: a configuration file of DVC's is broken.
        """
        root = as_written(root)
        return cls(root, cache_settings(root))

    @property
    def folder(self) -> Path:
        """Where the cache is; it need not exist."""
        return self._settings.folder

    @property
    def sharable(self) -> Path | None:
        """The main working tree's cache, where DVC itself would not find it from this linked one."""
        return self._settings.sharable

    def share_main(self) -> Path | None:
        """Let DVC use the main working tree's cache in this linked one, by ``.dvc/config.local``, which Git ignores.

        Without it DVC misses every object there (https://github.com/iterative/dvc/issues/5456).

        Returns:
            That cache; None where nothing was to be done: no linked working tree, or one that has its own settings or
            cache.
        """
        cache, ignored = self._settings.sharable, self._root / ".dvc" / ".gitignore"
        if cache is None or not ignored.is_file() or b"/config.local" not in ignored.read_bytes().splitlines():
            return None
        from configobj import ConfigObj  # quotes as DVC reads it

        lines = ConfigObj({"cache": {"dir": str(cache)}}, interpolation=False).write()
        write_atomic(self._root / ".dvc" / "config.local", "".join(f"{line}\n" for line in lines).encode())
        return cache

    def path(self, md5: str) -> Path:
        """Where the object is; where it would be written if there is none."""
        return self._existing(md5) or self._place(self.folder, md5)

    def has(self, md5: str) -> bool:
        """Whether there is an object of that name. Its bytes may still be wrong; `read_dir` and `verified` look."""
        return self._existing(md5) is not None

    def holds(self, path: Path) -> str | None:
        """The MD5 of the object that ``path`` is a symbolic link to (``cache.type = symlink``), None otherwise."""
        try:
            target = as_written(path.parent / path.readlink())
        except OSError:
            return None
        md5 = target.parent.name + target.name
        known = {self._place(folder, md5) for folder in self._folders()} if len(md5) == 32 else set()
        return md5 if target in known else None

    def read_dir(self, md5: str) -> Listing:
        """The files of the folder object ``md5`` (ending in ``.dir``), sorted by path.

        Raises:
            NotFound: the object is not in the cache.
            CheckFailed: its bytes do not have that hash.
            InvalidInput: no listing as DVC writes it, too large, a path that leaves the folder, stands there twice, or
                is a file and a folder at once.
        """
        path = self._existing(md5)
        if path is None:
            raise NotFound(f"{md5} is not in DVC's cache")
        with open_regular(path) as descriptor, os.fdopen(os.dup(descriptor), "rb") as file:
            data = file.read(MAX_LISTING_BYTES + 1)
        if len(data) > MAX_LISTING_BYTES:
            raise InvalidInput(f"{path}: a listing of more than {MAX_LISTING_BYTES} bytes")
        if hashlib.md5(data, usedforsecurity=False).hexdigest() + ".dir" != md5:
            raise corrupt(path, md5)
        return parse_listing(data, f"{path}")

    def copy_out(self, md5: str, target: Path) -> Digest:
        """Copy an object to ``target``, hashing what is written.

        Raises:
            NotFound: the object is not in the cache.
            CheckFailed: its bytes do not have that hash; nothing is at ``target`` then.
            ExternalFailure: the disk failed.
        """
        path = self._existing(md5)
        if path is None:
            raise NotFound(f"{md5} is not in DVC's cache")
        digest = copy_file(path, target, digest=True, settled=True)
        if digest is None or digest.md5 != md5:
            target.unlink()
            raise corrupt(path, md5)
        return digest

    def whole(self, md5: str, hashes: HashCache | None = None) -> bool:
        """Whether an object of that name is there, and its bytes have that hash: read, unless ``hashes`` knows it."""
        path = self._existing(md5)
        return path is not None and _is_whole(path, md5, hashes)

    def add(self, file: Path, md5: str, *, move: bool = False, hashes: HashCache | None = None) -> Path:
        """Put a file into the cache, unless an object with those bytes is there; a damaged one is replaced.

        Args:
            file: its bytes have the hash ``md5``, as the caller found.
            md5: its name in the cache.
            move: rename it where that is possible (same file system), else copy; either way the file is gone.
            hashes: what is known of the objects that are there, so that they need not be read.

        Raises:
            Refused: the repository names a folder outside of it that is no cache yet.
            ExternalFailure: the disk failed; no torn object is left.
        """
        place = self._place(self.folder, md5)
        if not (_has_size(place, file.stat().st_size) and _is_whole(place, md5, hashes)):
            self._make_folder(place.parent)
            if not (move and _moved(file, place)):
                copy_file(file, place, mode=0o444, settled=True)
        if move:
            file.unlink(missing_ok=True)
        return place

    def add_bytes(self, data: bytes, md5: str) -> Path:
        """Put bytes whose name in the cache is ``md5`` into it; raises as `add`."""
        place = self._place(self.folder, md5)
        if not (_has_size(place, len(data)) and _is_whole(place, md5, None)):
            self._make_folder(place.parent)
            descriptor, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=place.parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    os.fchmod(file.fileno(), 0o444)
                Path(name).replace(place)
            except OSError as error:
                Path(name).unlink(missing_ok=True)
                raise ExternalFailure(f"{place}: {error.strerror or error}") from None
        return place

    def add_dir(self, listing: Iterable[tuple[str, str]]) -> str:
        """Put a folder's listing into the cache and return its hash, ``<md5>.dir``; raises as `add`.

        Source of the format: ``dvc_data.hashfile.tree.Tree.as_bytes``.
        """
        items = [{"md5": md5, "relpath": path} for path, md5 in sorted(listing)]
        data = json.dumps(items, sort_keys=True).encode("utf-8")
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest() + ".dir"
        self.add_bytes(data, md5)
        return md5

    def objects(self) -> Iterator[tuple[str, int, float]]:
        """Every object in `folder`: MD5, size in bytes, seconds since the epoch when it came or was last touched.

        That is the later of modification and change time: DVC moves users' files in with the modification times that
        they had. What DVC 2 left one level up, and DVC's memory of past runs (``runs``), is not listed.
        """
        top = self.folder / "files" / "md5"
        for place in sorted(top.iterdir()) if top.is_dir() else ():
            if len(place.name) != 2 or place.is_symlink() or not place.is_dir():
                continue
            for file in sorted(place.iterdir()):
                md5 = place.name + file.name
                if not _is_md5(md5.removesuffix(".dir")):
                    continue
                try:
                    found = file.stat()
                except OSError:
                    continue
                if stat.S_ISREG(found.st_mode):
                    yield md5, found.st_size, max(found.st_mtime, found.st_ctime)

    def remove(self, md5: str) -> None:
        """Remove an object from `folder`; it is no fault if it is gone.

        Raises:
            ExternalFailure: the disk failed, or the folder may not be written.
        """
        place = self._place(self.folder, md5)
        try:
            place.unlink(missing_ok=True)
        except OSError as error:
            raise ExternalFailure(f"{place}: {error.strerror or error}") from None

    def _folders(self) -> tuple[Path, ...]:
        return (self.folder, *self._settings.others)

    def _existing(self, md5: str) -> Path | None:
        for folder in self._folders():
            # DVC 2 had its objects one level up; what DVC 3 never rewrote is still read from there
            for place in (self._place(folder, md5), folder / md5[:2] / md5[2:]):
                if place.is_file():
                    return place
        return None

    @staticmethod
    def _place(folder: Path, md5: str) -> Path:
        return folder / "files" / "md5" / md5[:2] / md5[2:]

    def check_place(self) -> None:
        """Refuse a folder that modelver does not begin a cache in.

        Raises:
            Refused: the repository names a folder outside of it that is no cache yet.
        """
        if self._settings.from_repository and not (self.folder / "files" / "md5").is_dir():
            inside = Path(os.path.realpath(self.folder)).is_relative_to(os.path.realpath(self._root))
            if not inside:
                raise Refused(
                    f".dvc/config puts the cache outside of the repository, at {self.folder}, where there is none yet",
                    hint=f"if you trust that: mkdir -p {self.folder / 'files' / 'md5'}",
                )

    def _make_folder(self, path: Path) -> None:
        self.check_place()
        if path.is_dir():
            return
        try:
            path.mkdir(parents=True, exist_ok=True)
            if self._settings.shared:
                path.chmod(0o2775)
        except OSError as error:
            raise ExternalFailure(f"{path}: {error.strerror or error}") from None


def corrupt(path: Path, md5: str) -> CheckFailed:
    """The error for an object whose bytes are not those that its name says."""
    return CheckFailed(
        f"{path} is damaged: its bytes do not have the hash {md5}", hint=f"rm -f {shlex.quote(str(path))} && dvc pull"
    )


def _moved(file: Path, place: Path) -> bool:
    try:
        file.chmod(0o444)
        file.replace(place)
    except OSError:
        return False
    return True


def _has_size(place: Path, size: int) -> bool:
    """Whether an object is there; one cut short (by a full disk, a crash) need not be read to be found wrong."""
    try:
        return place.stat().st_size == size
    except OSError:
        return False


def _is_whole(place: Path, md5: str, hashes: HashCache | None) -> bool:
    """Whether an object's bytes have the hash that its name says; one that can't be read does not count."""
    # An object of a shared cache may be a link. Others go by the name that all who remember hashes have for them.
    real = Path(os.path.realpath(place)) if place.is_symlink() else place
    try:
        found = digest_file(real) if hashes is None else hashes.digest(real)
    except (ExternalFailure, InvalidInput, NotFound):
        return False
    return found.md5 == md5.removesuffix(".dir")


def parse_listing(data: bytes, where: str) -> Listing:
    """The files of a folder's listing, as DVC writes it; ``where`` names it in errors.

    Raises:
        InvalidInput: as `DvcCache.read_dir`.
    """
    try:
        items = json.loads(data)
    except (ValueError, RecursionError):
        raise InvalidInput(f"{where}: not a listing of a folder") from None
    if not isinstance(items, list):
        raise InvalidInput(f"{where}: not a listing of a folder")
    found: dict[str, str] = {}
    for item in items:
        path, md5 = (item.get("relpath"), item.get("md5")) if isinstance(item, dict) else (None, None)
        if not isinstance(path, str) or not isinstance(md5, str) or not _is_md5(md5):
            raise InvalidInput(f"{where}: an entry without a path or a hash")
        try:
            check_relative_path(path)
        except ValueError as error:
            raise InvalidInput(f"{where}: {error}") from None
        if path in found:
            raise InvalidInput(f"{where}: {path!r} stands there twice")
        found[path] = md5
    for path in found:
        parent = path.rpartition("/")[0]
        while parent:
            if parent in found:
                raise InvalidInput(f"{where}: {parent!r} is a file and a folder")
            parent = parent.rpartition("/")[0]
    return sorted(found.items())


def _is_md5(text: str) -> bool:
    return len(text) == 32 and all(c in "0123456789abcdef" for c in text)
