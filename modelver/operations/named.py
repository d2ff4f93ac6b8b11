"""What one of DVC's pointer files names: every hash in it, so that nothing is missed. Too many only keep too much."""

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modelver.adapters import yaml
from modelver.errors import InvalidInput

_MD5 = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])(?:\.dir\b)?")
_EXACT = re.compile(r"[0-9a-f]{32}(\.dir)?\Z")


@dataclass(frozen=True)
class Named:
    """What pointers name.

    Attributes:
        objects: hashes, ``.dir`` at the end for folders.
        outs: those among them that are outs; of folders it must be known which files they hold.
        paths: hash → the path that it was tracked as, for people; not of all.
    """

    objects: frozenset[str]
    outs: frozenset[str]
    paths: Mapping[str, str]

    def tracked(self) -> "Named":
        """The outs alone: what stages merely depend on may be files of Git's."""
        return Named(self.outs, self.outs, self.paths)


def named_in(data: bytes, path: str, *, lenient: bool = False) -> Named:
    """What one pointer file names: every hash that stands in it, wherever; one too many only keeps too much.

    Args:
        data: its content.
        path: where it lies, for messages and for the paths of its outs.
        lenient: take what the text holds where it is no YAML.

    Raises:
        InvalidInput: it can't be read.
    """
    objects = set(_MD5.findall(data.decode("utf-8", "replace")))
    outs: set[str] = set()
    paths: dict[str, str] = {}
    try:
        document = yaml.load(data, path)
        if document is not None and not isinstance(document, dict):
            raise InvalidInput(f"{path}: no pointer file of DVC's")
    except InvalidInput:
        if not lenient:
            raise
        document = None
        outs |= objects
    # a lock file's entries are relative to its folder, a pointer's to its ``wdir`` there
    working = document.get("wdir") if isinstance(document, dict) else None
    base = posixpath.join(posixpath.dirname(path), working if isinstance(working, str) else "")
    todo: list[tuple[Any, bool]] = [(document, True)]
    while todo:
        value, is_out = todo.pop()
        if isinstance(value, dict):
            if isinstance(name := value.get("md5"), str) and isinstance(place := value.get("path"), str):
                paths.setdefault(name, posixpath.normpath(posixpath.join(base, place)))
            todo += [(inner, is_out and key != "deps") for key, inner in value.items()]
            todo += [(key, False) for key in value]
        elif isinstance(value, list):
            todo += [(inner, is_out) for inner in value]
        elif isinstance(value, str) and _EXACT.match(value):
            objects.add(value)
            if is_out:
                outs.add(value)
    return Named(frozenset(objects), frozenset(outs), paths)


def together(parts: Iterable[Named]) -> Named:
    """All that any of them names."""
    objects: set[str] = set()
    outs: set[str] = set()
    paths: dict[str, str] = {}
    for part in parts:
        objects |= part.objects
        outs |= part.outs
        for name, path in part.paths.items():
            paths.setdefault(name, path)
    return Named(frozenset(objects), frozenset(outs), paths)
