"""DVC's pointers: what ``*.dvc`` files and ``dvc.lock`` say lies where. Pure."""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelver.errors import InvalidInput

_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?\Z")


@dataclass(frozen=True, slots=True)
class Out:
    """A file or folder that DVC tracks.

    Attributes:
        path: relative to the repository's root, ``/`` as separator, normalised.
        md5: hash by which the cache holds it; ``.dir`` at the end for a folder.
        bytes: size, where the pointer says it.
        pointer: the file in Git that says so.
        dos2unix: of DVC 2, whose MD5 of a text file is that of its lines, and which newer DVC keeps elsewhere.
    """

    path: str
    md5: str
    bytes: int | None
    pointer: str
    dos2unix: bool = False

    @property
    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self.md5.endswith(".dir")


@dataclass(frozen=True, slots=True)
class LockedStage:
    """A stage as ``dvc.lock`` recorded its last run.

    Attributes:
        name: as DVC shows it (``export@digits``).
        folder: of the ``dvc.yaml``, relative to the repository's root; empty for the root.
        cmd: the command or commands.
        deps, outs: with their hashes; paths relative to the repository's root.
        params: file → key → value.
    """

    name: str
    folder: str
    cmd: str
    deps: tuple[Out, ...]
    outs: tuple[Out, ...]
    params: Mapping[str, Mapping[str, Any]]


def is_pointer(path: str) -> bool:
    """Whether a path in Git is one of DVC's pointer files."""
    name = posixpath.basename(path)
    return name == "dvc.lock" or (name.endswith(".dvc") and name != ".dvc")


def outs_in(path: str, document: object) -> list[Out]:
    """The outs that a pointer file names.

    Args:
        path: of the pointer file, relative to the repository's root.
        document: its parsed YAML; None for an empty file.

    Raises:
        InvalidInput: not the structure that DVC writes, or an out that leaves the repository.
    """
    if posixpath.basename(path) == "dvc.lock":
        return [out for stage in locked_stages(path, document) for out in stage.outs]
    if document is None:
        return []
    doc = _mapping(document, path)
    folder = posixpath.dirname(path)
    working = doc.get("wdir", ".")
    if not isinstance(working, str):
        raise InvalidInput(f"{path}: wdir is no text")
    return list(_outs(doc.get("outs"), posixpath.join(folder, working), path))


def locked_stages(path: str, document: object) -> list[LockedStage]:
    """The stages of a ``dvc.lock`` (schema 2.0); raises InvalidInput as `outs_in`."""
    if document is None:
        return []
    folder = posixpath.dirname(path)
    stages = []
    for name, stage in _mapping(_mapping(document, path).get("stages") or {}, path).items():
        where = f"{path}: stage {name}"
        entry = _mapping(stage, where)
        cmd = entry.get("cmd")
        params = {
            str(file): {str(key): value for key, value in _mapping(values, where).items()}
            for file, values in _mapping(entry.get("params") or {}, where).items()
        }
        stages.append(
            LockedStage(
                name=str(name),
                folder=folder,
                cmd="\n".join(map(str, cmd)) if isinstance(cmd, list) else str(cmd or ""),
                deps=tuple(_outs(entry.get("deps"), folder, where, outside=True)),
                outs=tuple(_outs(entry.get("outs"), folder, where)),
                params=params,
            )
        )
    return stages


def _outs(items: object, folder: str, where: str, *, outside: bool = False) -> Iterator[Out]:
    if items is None:
        return
    if not isinstance(items, list):
        raise InvalidInput(f"{where}: expected a list of outs or deps")
    for item in items:
        entry = _mapping(item, where)
        path, digest, size = entry.get("path"), entry.get("md5"), entry.get("size")
        if not isinstance(path, str) or not path:
            raise InvalidInput(f"{where}: an entry has no path")
        if digest is None:  # never run, or tracked by an etag of its remote
            continue
        if not isinstance(digest, str) or not _MD5.match(digest):
            raise InvalidInput(f"{where}: {path}: md5 is no hash")
        full = posixpath.normpath(posixpath.join(folder, path)) if "://" not in path else path
        if not outside and (full.startswith(("/", "../")) or full in ("..", ".") or "://" in full or "\0" in full):
            raise InvalidInput(f"{where}: {path!r} lies outside the repository")
        known = size if type(size) is int and size >= 0 else None
        yield Out(full, digest, known, where.split(":")[0], dos2unix="hash" not in entry)


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInput(f"{where}: expected a mapping, found {type(value).__name__}")
    return value
