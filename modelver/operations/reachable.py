"""Which DVC objects are still needed: everything that a pointer in a commit that stays, or in a working tree, names."""

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from modelver.adapters.dvc import DvcCache, DvcRemote, Listing
from modelver.adapters.dvc.cache import parse_listing
from modelver.adapters.dvc.retired import RetiredObjects
from modelver.adapters.git import GitRepository, run_git
from modelver.core.manifest import dvc_dir_listing, load_files
from modelver.core.pointers import is_pointer
from modelver.errors import CheckFailed, ExternalFailure, InvalidInput, NotFound, Refused
from modelver.operations.named import Named, named_in, together
from modelver.operations.objects import MAX_LISTING, remote_listing
from modelver.operations.roots import Worktree

MANIFEST = "files.jsonl"
MAX_POINTER = 32 << 20
_TOGETHER = 2000


@dataclass(frozen=True)
class Objects:
    """DVC objects that are needed.

    Attributes:
        hashes: all of them, the files of folders too.
        paths: hash → path, for people; not of all.
        unlisted: folders whose listing nobody has, so that their files are not among the hashes: path by hash.
    """

    hashes: frozenset[str]
    paths: Mapping[str, str]
    unlisted: Mapping[str, str] = field(default_factory=dict)


class Remotes:
    """DVC remotes that folders' listings can be looked up on, opened when they are first needed.

    Args:
        root: the DVC repository.
        more: a remote that is open already.
        plain_http: as `DvcRemote.open`, for the default one.

    Attributes:
        why_not: why the default one can't be used; empty where it can.
    """

    def __init__(
        self, root: Path, more: DvcRemote | None = None, *, plain_http: bool | Collection[str] = False
    ) -> None:
        self._root = root
        self._more = [more] if more else []
        self._plain_http = plain_http
        self.why_not = ""

    @cached_property
    def all(self) -> list[DvcRemote]:
        """The default one, if it can be used, and the other."""
        try:
            default = [DvcRemote.open(self._root, plain_http=self._plain_http)]
        except Refused as refusal:
            default, self.why_not = [], refusal.message
        return default + [remote for remote in self._more if not default or remote.identity != default[0].identity]


class Pointers:
    """The pointer files of a repository's trees, each read once however many commits share it.

    Args:
        git: the repository.
        lenient: as `named_in`; and folders whose listing nobody has are passed over.
    """

    def __init__(self, git: GitRepository, *, lenient: bool = False) -> None:
        self._git = git
        self._lenient = lenient
        self._children: dict[str, list[str]] = {}
        self._blobs: dict[str, list[str]] = {}
        self._from: dict[str, tuple[str, str]] = {}
        """Tree or blob → a tree that holds it, and its name there."""
        self._named: dict[str, Named] = {}
        self._broken: dict[str, InvalidInput] = {}
        self._below: dict[str, frozenset[str]] = {}
        self._links: set[str] = set()
        self._manifests: set[str] = set()
        self._listings: dict[str, Listing] = {}

    def state(self, tree: str) -> frozenset[str]:
        """The pointer blobs anywhere below a tree."""
        self._load([tree])
        order, stack = [], [tree]
        seen = set(self._below)
        while stack:
            name = stack.pop()
            if name not in seen:
                seen.add(name)
                order.append(name)
                stack += self._children[name]
        # deepest first; a tree that several hold may come before one below it, so it is then done again
        pending = list(reversed(order))
        while pending:
            again = []
            for name in pending:
                if all(child in self._below for child in self._children[name]):
                    below = [self._below[child] for child in self._children[name]]
                    self._below[name] = frozenset(self._blobs[name]).union(*below)
                else:
                    again.append(name)
            pending = again
        return self._below[tree]

    def named_by(self, trees: Iterable[str], blobs: Mapping[str, str] | None = None, *, lenient: bool = False) -> Named:
        """What the pointers of these trees name, and those of these blobs (id → path); ``lenient`` as `named_in`.

        Raises:
            Refused: a pointer file can't be read.
            ExternalFailure: an object of Git's is missing.
        """
        wanted = self._load(trees)
        paths = {blob: self._path(blob) for blob in wanted} | dict(blobs or {})
        unread = [blob for blob in paths if blob not in self._named]
        for blob, content in self._objects(unread, lambda blob: f"{paths[blob]}: Git object {blob}"):
            is_link = blob in self._links and is_pointer(os.fsdecode(content))
            data = b"" if is_link else content  # to another pointer, which is looked at where it lies
            try:
                self._named[blob] = named_in(data, paths[blob])
            except InvalidInput as error:
                self._named[blob] = named_in(data, paths[blob], lenient=True)
                self._broken[blob] = error
        for blob in () if lenient or self._lenient else self._broken.keys() & paths.keys():
            raise _unreadable(self._broken[blob], f"git show {blob}")
        return together(self._named[blob] for blob in paths)

    def lying_in(self, trees: Iterable[Worktree], skip: Iterable[Path], cache: DvcCache | None) -> Named:
        """What the pointers in the working trees name, changed, untracked and ignored ones too, and those staged.

        Also what lies there as a symbolic link into the cache (``cache.type = symlink``).

        Args:
            trees: the working trees.
            skip: folders that are not looked into: caches.
            cache: where links may lead.
        """
        found: list[Named] = []
        passed = {os.path.realpath(path) for path in skip}
        staged: dict[str, str] = {}
        for tree in trees:
            found += self._lying(tree.root, passed, cache)
            staged.update(self._staged(tree))
        return together([*found, self.named_by((), staged)])

    def expand(
        self,
        named: Named,
        cache: DvcCache | None,
        remotes: Remotes | None = None,
        must: frozenset[str] = frozenset(),
    ) -> Objects:
        """Add the files of folders: from the cache, from the manifests in Git, or else from a remote.

        Args:
            named: what is needed.
            cache, remotes: where listings may be.
            must: folders whose files must be known.

        Raises:
            Refused: nobody has a listing, so that it can't be known which files the folder needs.
            ExternalFailure: the remote failed.
        """
        hashes, paths = set(named.objects), dict(named.paths)
        folders = sorted(name for name in named.objects if name.endswith(".dir"))
        lacking = [name for name in folders if not self._list_here(name, cache)]
        if lacking:
            self._read_manifests()
        lacking = [name for name in lacking if name not in self._listings]
        for remote in remotes.all if lacking and remotes else ():
            self._list_there([name for name in lacking if name not in self._listings], remote)
        lacking = [name for name in lacking if name not in self._listings]
        for remote in remotes.all if lacking and remotes else ():
            self._list_aside({*lacking}, remote)
        unlisted = {name: paths.get(name, name) for name in lacking if name not in self._listings}
        unlisted = {n: path for n, path in unlisted.items() if n in named.outs and not self.in_git(n, path)}
        needed = {name: path for name, path in unlisted.items() if name in must}
        if needed and not self._lenient:
            name, path = sorted(needed.items(), key=lambda item: item[1])[0]
            more = f", nor that of {len(needed) - 1} more folders" if len(needed) > 1 else ""
            why = f" ({remotes.why_not})" if remotes and remotes.why_not else ""
            raise Refused(
                f"neither DVC's cache nor a remote has the listing of {path} ({name}){more}, so it can't be known "
                f"which files are needed{why}",
                hint="dvc fetch --all-commits   (or --skip-unreadable, if it is lost for good)",
            )
        for name in folders:
            for path, md5 in self._listings.get(name, ()):
                hashes.add(md5)
                paths.setdefault(md5, f"{paths.get(name, name)}/{path}")
        return Objects(frozenset(hashes), paths, unlisted)

    def in_git(self, md5: str, path: str) -> bool:
        """Whether Git itself has an out's path, in a tree that names it: an out with ``cache: false``."""
        for blob in [blob for blob, named in self._named.items() if md5 in named.outs]:
            tree = self._root_of(blob)
            if tree and self._git.run("ls-tree", "-z", "--full-tree", tree, "--", path):
                return True
        return False

    def _list_here(self, name: str, cache: DvcCache | None) -> bool:
        if name not in self._listings and cache is not None:
            try:
                self._listings[name] = cache.read_dir(name)
            except (NotFound, CheckFailed):
                return False
            except InvalidInput as error:
                if not self._lenient:
                    raise Refused(error.message, hint="--skip-unreadable, to go on without it") from None
                self._listings[name] = []
        return name in self._listings

    def _list_there(self, names: list[str], remote: DvcRemote) -> None:
        def look_up(name: str) -> Listing | None:
            try:
                return remote_listing(remote, name)
            except (NotFound, CheckFailed):
                return None
            except InvalidInput as error:
                if not self._lenient:
                    raise Refused(error.message, hint="--skip-unreadable, to go on without it") from None
                return []

        with ThreadPoolExecutor(8) as pool:
            for name, listing in zip(names, pool.map(look_up, names), strict=True):
                if listing is not None:
                    self._listings[name] = listing

    def _list_aside(self, names: set[str], remote: DvcRemote) -> None:
        """Listings among what gc has set aside: what is needed again is put back, once it is known what that is."""
        aside = RetiredObjects(remote)
        for retired in aside.all():
            if retired.md5 not in names or retired.md5 in self._listings:
                continue
            data = aside.read(retired, MAX_LISTING)
            if hashlib.md5(data, usedforsecurity=False).hexdigest() + ".dir" == retired.md5:
                self._listings[retired.md5] = parse_listing(data, f"DVC remote {remote.name}, {retired.path}")

    def _read_manifests(self) -> None:
        """Listings as modelver's manifests spell them out; their hash says whether they are that folder's."""
        blobs, self._manifests = sorted(self._manifests), set()
        for start in range(0, len(blobs), _TOGETHER):
            for data in self._git.read_objects(blobs[start : start + _TOGETHER]).values():
                try:
                    files = load_files(data)
                except (InvalidInput, UnicodeDecodeError):
                    continue  # only a help; what it does not tell is looked for elsewhere
                md5 = hashlib.md5(dvc_dir_listing(files), usedforsecurity=False).hexdigest()
                self._listings.setdefault(f"{md5}.dir", [(entry.path, entry.md5) for entry in files])

    def _load(self, trees: Iterable[str]) -> set[str]:
        """Read trees and all below, each once; the pointer blobs in them."""
        seen: set[str] = set()
        level = set(trees)
        blobs: set[str] = set()
        while level:
            seen |= level
            self._read_trees(sorted(name for name in level if name not in self._children))
            for name in level:
                blobs.update(self._blobs[name])
            level = {child for name in level for child in self._children[name]} - seen
        return blobs

    def _read_trees(self, names: list[str]) -> None:
        for name, data in self._objects(names, lambda name: f"Git's tree {name}"):
            self._keep_tree(name, data)

    def _objects(self, names: list[str], what: Callable[[str], str]) -> Iterator[tuple[str, bytes]]:
        """Git's objects, some at a time; ``what`` says in a message what one is."""
        for start in range(0, len(names), _TOGETHER):
            group = names[start : start + _TOGETHER]
            contents = self._git.read_objects(group)
            for name in group:
                if name not in contents:
                    raise ExternalFailure(f"{what(name)} is missing", hint="git fsck")
                yield name, contents[name]

    def _keep_tree(self, tree: str, data: bytes) -> None:
        size = len(tree) // 2
        self._children[tree], self._blobs[tree] = [], []
        position = 0
        while position < len(data):
            end = data.index(b"\0", position)
            mode, _, raw = data[position:end].partition(b" ")
            name, item = os.fsdecode(raw), data[end + 1 : end + 1 + size].hex()
            position = end + 1 + size
            if mode in (b"40000", b"040000"):
                self._children[tree].append(item)
            elif is_pointer(name) and mode != b"160000":
                self._blobs[tree].append(item)
                self._links |= {item} if mode == b"120000" else set()
            elif name == MANIFEST and mode.startswith(b"100"):
                self._manifests.add(item)
                continue
            else:
                continue
            self._from.setdefault(item, (tree, name))

    def _path(self, item: str) -> str:
        parts: list[str] = []
        while item in self._from and len(parts) < 1000:
            item, name = self._from[item]
            parts.append(name)
        return "/".join(reversed(parts))

    def _root_of(self, item: str) -> str | None:
        place = None
        for _ in range(1000):
            if item not in self._from:
                return place
            item = place = self._from[item][0]
        return None

    def _lying(self, root: Path, skip: set[str], cache: DvcCache | None) -> list[Named]:
        found: list[Named] = []
        linked: set[str] = set()

        def fail(error: OSError) -> None:
            raise ExternalFailure(f"{error.filename} can't be read: {error.strerror}")

        for place, folders, names in os.walk(root, onerror=fail):
            folders[:] = [f for f in folders if f != ".git" and os.path.realpath(f"{place}/{f}") not in skip]
            for name in names:
                file = Path(place, name)
                if cache is not None and file.is_symlink() and (md5 := cache.holds(file)):
                    linked.add(md5)
                if is_pointer(name) and file.is_file():
                    data = _read(file)
                    try:
                        found.append(named_in(data, file.relative_to(root).as_posix(), lenient=self._lenient))
                    except InvalidInput as error:
                        raise _unreadable(error, f"mend {file}") from None
        return [*found, Named(frozenset(linked), frozenset(), {})]

    def _staged(self, tree: Worktree) -> dict[str, str]:
        output = run_git(tree.root, [f"--git-dir={tree.git_dir}", "ls-files", "-s", "-z", "--full-name"])
        found = {}
        for entry in output.split(b"\0"):
            meta, _, path = entry.partition(b"\t")
            name = os.fsdecode(path)
            if path and is_pointer(name) and not meta.startswith(b"160000"):
                found[meta.split(b" ")[1].decode()] = name
        return found


def _unreadable(error: InvalidInput, hint: str) -> Refused:
    return Refused(
        f"a pointer file that something needs can't be read: {error.message}",
        hint=f"{hint}   (or --skip-unreadable, which keeps what its text names)",
    )


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as reading:
            return reading.read(MAX_POINTER + 1)
    except OSError as error:
        raise ExternalFailure(f"{file} can't be read: {error.strerror}") from None
