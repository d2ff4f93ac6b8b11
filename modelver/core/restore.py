"""What to place, remove and keep when a working tree moves from one version's weights to another's. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from modelver.core.pointers import Out
from modelver.errors import Refused

Files = Mapping[str, str]
"""Path from the repository's root → MD5."""

FOREIGN = "foreign"
"""State of a path that holds neither a regular file nor a link that DVC made."""


@dataclass(frozen=True, slots=True)
class Move:
    """One path that DVC tracked before, tracks now, or both.

    Attributes:
        path: of the out, relative to the repository's root.
        old: None where it appeared.
        new: None where it vanished.
    """

    path: str
    old: Out | None
    new: Out | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps for one out; paths are relative to the repository's root, sorted.

    Attributes:
        place: path and MD5 of what must be copied from the cache.
        remove: files that the new version does not have.
        keep: files that would have been replaced or removed, but hold work that nothing else holds.
    """

    place: tuple[tuple[str, str], ...]
    remove: tuple[str, ...]
    keep: tuple[str, ...]


def moves(old: Iterable[Out], new: Iterable[Out]) -> list[Move]:
    """The outs that differ: those that vanish first, as what appears may lie where they lay; then by path."""
    before = {out.path: out for out in old}
    after = {out.path: out for out in new}
    changed = [
        Move(path, before.get(path), after.get(path))
        for path in before.keys() | after.keys()
        if path not in before or path not in after or before[path].md5 != after[path].md5
    ]
    return sorted(changed, key=lambda move: (move.new is not None, move.path))


def plan(
    old: Files, new: Files, current: Mapping[str, str | None], held: Collection[str] = (), *, force: bool = False
) -> Plan:
    """Decide for one out.

    Nothing is lost: a file is replaced or removed only if it is what the old version says, or if the cache holds its
    bytes. A file that is gone is placed again.

    Args:
        old: what the version that was checked out says.
        new: what the version says that is checked out now.
        current: MD5 of each path's file now, None where there is none, `FOREIGN`.
        held: MD5s of current files that the cache holds.
        force: replace and remove whatever is there.
    """
    place: list[tuple[str, str]] = []
    remove: list[str] = []
    keep: list[str] = []
    for path in sorted(old.keys() | new.keys()):
        before, after, now = old.get(path), new.get(path), current.get(path)
        if now == after:
            continue
        if now is not None and now != before and now not in held and not force:
            keep.append(path)
        elif after is not None:
            place.append((path, after))
        else:
            remove.append(path)
    return Plan(tuple(place), tuple(remove), tuple(keep))


def check_place(path: str) -> None:
    """Refuse a path that lies in Git's or DVC's own folders, at any depth.

    A nested ``.git`` counts too: what lies there is configuration that Git runs commands from.

    Raises:
        Refused: with the path.
    """
    parts = path.split("/")
    # Git, too, refuses `.git` in any case and with what some file systems drop
    if any(part.rstrip(" .").lower() in (".git", "git~1") for part in parts) or ".dvc" in parts:
        raise Refused(f"{path}: DVC's pointer names a path in Git's or DVC's own folder; nothing is written there")
    if path.startswith("/") or ".." in parts:
        raise Refused(f"{path}: DVC's pointer names a path outside of the repository; nothing is written there")


def below(path: str, folder: str) -> bool:
    """Whether ``path`` is ``folder`` or lies in it; the empty folder is the repository's root."""
    return not folder or path == folder or path.startswith(f"{folder}/")
