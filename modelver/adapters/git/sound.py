"""Files of a commit, each object on the way hashed: Git trusts its store and its replacements when it reads."""

import hashlib
from collections.abc import Iterable, Sequence

from modelver.adapters.git.process import run_git
from modelver.adapters.git.repository import GitRepository
from modelver.errors import CheckFailed, ExternalFailure

_HINT = "git fsck --full   (then fetch the objects again from a clone that is whole)"

_Tree = dict[str, tuple[bytes, str]]
"""Name → mode and object id."""


class SoundCommit:
    """A commit's files, as `modelver.operations.snapshot.Snapshot` has them; only what hashes to its id is given.

    Objects are read with replacements (``git replace``) turned off.

    Every method raises CheckFailed where an object is missing, can't be read, or is not the one that its id names.
    """

    def __init__(self, git: GitRepository, commit: str) -> None:
        self._git = git
        self.commit = commit
        self._trees: dict[str, _Tree | None] = {}
        self._files: dict[str, bytes | None] = {}
        self._top: list[tuple[bytes, bytes] | None] = []

    def tag_object(self, object_id: str) -> bytes:
        """A tag object's raw bytes."""
        tag, *self._top = self._batch([object_id, *self._top_names()])
        return _whole(object_id, b"tag", tag)

    def read_many(self, paths: Sequence[str]) -> dict[str, bytes]:
        """See `Snapshot`: contents of those paths that are regular files."""
        wanted = sorted({path for path in paths if path not in self._files})
        if wanted:
            self._load([path for path in wanted if "\n" not in path])
            self._files.update({path: None for path in wanted if path not in self._files})
        return {path: data for path in paths if (data := self._files[path]) is not None}

    def read(self, path: str) -> bytes | None:
        """See `Snapshot`."""
        return self.read_many([path]).get(path)

    def _load(self, paths: Sequence[str]) -> None:
        if "" not in self._trees:
            commit, top = self._top or self._batch(self._top_names())
            first = _whole(self.commit, b"commit", commit).split(b"\n", 1)[0]
            tree = first.removeprefix(b"tree ").decode("ascii", "replace")
            self._trees[""] = _parse(_whole(tree, b"tree", top), len(tree) // 2)
        folders = sorted({folder for path in paths for folder in _above(path)} - {*self._trees})
        found = self._batch([f"{self.commit}:{path}" for path in (*folders, *paths)])
        for folder, data in zip(folders, found, strict=False):  # sorted: a folder comes before what is in it
            entry = self._entry(folder)
            self._trees[folder] = None
            if entry is not None and entry[0] == b"40000":
                self._trees[folder] = _parse(_whole(entry[1], b"tree", data), len(entry[1]) // 2)
        for path, data in zip(paths, found[len(folders) :], strict=True):
            entry = self._entry(path)
            if entry is not None and entry[0].startswith(b"100"):
                self._files[path] = _whole(entry[1], b"blob", data)

    def _top_names(self) -> list[str]:
        return [self.commit, f"{self.commit}^{{tree}}"]

    def _entry(self, path: str) -> tuple[bytes, str] | None:
        folder, _, name = path.rpartition("/")
        tree = self._trees.get(folder)
        return None if tree is None else tree.get(name)

    def _batch(self, names: Sequence[str]) -> list[tuple[bytes, bytes] | None]:
        """Type and content of each object; None for one that Git does not find."""
        request = "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")
        try:
            output = run_git(
                self._git.root, ["cat-file", "--batch"], stdin=request, env={"GIT_NO_REPLACE_OBJECTS": "1"}
            )
        except ExternalFailure as error:
            said = f"Git can't read what {self.commit[:12]} holds: {error.message}"
            raise CheckFailed(said, hint=error.hint or _HINT) from None
        found: list[tuple[bytes, bytes] | None] = []
        position = 0
        for _ in names:
            end = output.index(b"\n", position)
            header = output[position:end].split(b" ")
            position = end + 1
            if header[-1] in (b"missing", b"ambiguous", b"submodule"):
                found.append(None)
                continue
            size = int(header[-1])
            found.append((header[-2], output[position : position + size]))
            position += size + 1
        return found


def _whole(object_id: str, kind: bytes, found: tuple[bytes, bytes] | None) -> bytes:
    """The content of an object that hashes to its id; raises CheckFailed otherwise."""
    if found is None:
        raise CheckFailed(f"Git's object {object_id} is missing or can't be read", hint=_HINT)
    hashed = hashlib.sha256() if len(object_id) == 64 else hashlib.sha1(usedforsecurity=False)
    hashed.update(b"%s %d\0" % (found[0], len(found[1])))
    hashed.update(found[1])
    if hashed.hexdigest() != object_id or found[0] != kind:
        raise CheckFailed(f"Git's object {object_id} is damaged: its bytes have another hash", hint=_HINT)
    return found[1]


def _parse(data: bytes, width: int) -> _Tree:
    """A tree's entries; ``width`` is an id's length in bytes. Source: ``git help gitformat-pack``, ``tree.h``."""
    entries: _Tree = {}
    position = 0
    while position < len(data):
        space, end = data.find(b" ", position), data.find(b"\0", position)
        if not position < space < end:
            raise CheckFailed("Git has a folder that is none", hint=_HINT)
        name = data[space + 1 : end].decode("utf-8", "surrogateescape")
        entries[name] = (data[position:space], data[end + 1 : end + 1 + width].hex())
        position = end + 1 + width
    return entries


def _above(path: str) -> Iterable[str]:
    while path:
        path = path.rpartition("/")[0]
        yield path
