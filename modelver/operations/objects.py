"""Which DVC objects a version needs: to be restored (its weights and variants), and to be made again (its lineage)."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from modelver.adapters.dvc import DvcCache, DvcRemote
from modelver.adapters.dvc.cache import parse_listing
from modelver.adapters.git import GitRepository
from modelver.core import lineage
from modelver.core.manifest import FileEntry, dvc_dir_hash, dvc_dir_listing
from modelver.core.pointers import Out, outs_in
from modelver.core.variants import recorded_files
from modelver.errors import CheckFailed, InvalidInput, NotFound
from modelver.operations.facts import ModelFacts, collect, yaml_or_none
from modelver.operations.snapshot import CommitSnapshot, Snapshot

MAX_LISTING = 64 << 20
"""Largest folder listing fetched from a remote, in bytes: half a million files."""


@dataclass(frozen=True, slots=True)
class Needed:
    """One object.

    Attributes:
        md5: its name; ``.dir`` at the end for a folder's listing.
        what: the path of the file or folder, for people.
        size: in bytes; None where Git does not say.
        sha256: of its bytes; None where Git does not say.
        content: of a listing that Git's own manifest spells out, so that it can be made where it is missing.
        lineage: it is not needed to restore the version, only to make it again.
    """

    md5: str
    what: str
    size: int | None = None
    sha256: str | None = None
    content: bytes | None = None
    lineage: bool = False


class Listings(Protocol):
    """Looks up folder listings by hash."""

    def __call__(self, md5: str) -> list[tuple[str, str]]:
        """Files of a folder: path, MD5; raises NotFound where nobody has the listing."""
        ...


@dataclass(frozen=True)
class VersionObjects:
    """What a version needs.

    Attributes:
        facts: what Git knows of the model at that commit.
        objects: by name, each once; what restores the version comes first.
        unlisted: folders of the lineage whose listing nobody has, so that what is in them is not known.
    """

    facts: ModelFacts
    objects: tuple[Needed, ...]
    unlisted: tuple[str, ...]

    def restoring(self) -> list[Needed]:
        """Those without which the version can't be restored."""
        return [item for item in self.objects if not item.lineage]


def version_objects(
    git: GitRepository, commit: str, model: str, listings: Listings, snapshot: Snapshot | None = None
) -> VersionObjects:
    """The objects of a model at a commit; ``snapshot`` is where the commit's files are read, if not from Git anew.

    Raises:
        NotFound: the model is not at that commit, or nobody has the listing of its weights.
        InvalidInput: a file there can't be read.
        Refused: it has no weights there.
    """
    snapshot = snapshot or CommitSnapshot(git, commit)
    facts = collect(snapshot, model)
    if facts.weights is None:
        raise NotFound(f"{model} has no weights at {commit[:12]}")
    found: dict[str, Needed] = {}
    unlisted: list[str] = []

    def keep(items: Iterable[Needed]) -> None:
        for item in items:
            found.setdefault(item.md5, item)

    keep(_weights(facts, facts.weights, listings))
    outs = [out for stage in facts.stages for out in stage.outs] + _inputs(snapshot, facts)
    # outs with `cache: false` are in Git itself
    in_git = set(git.list_files(commit, *sorted({out.path for out in outs}))) if outs else set()
    variants = f"{facts.layout.folder}/variants"
    for out in outs:
        if out.path in in_git or any(path.startswith(f"{out.path}/") for path in in_git):
            continue
        restoring = out.path == variants or out.path.startswith(f"{variants}/")
        try:
            keep(_variants(facts, out, listings) if restoring else _out(out, listings, lineage=True))
        except NotFound:
            if restoring:
                raise
            keep([Needed(out.md5, out.path, lineage=True)])
            unlisted.append(out.path)
    objects = sorted(found.values(), key=lambda item: item.lineage)
    return VersionObjects(facts, tuple(objects), tuple(unlisted))


def listings_of(cache: DvcCache | None, remote: Callable[[], DvcRemote | None] = lambda: None) -> Listings:
    """Look listings up in the cache, then on the remote, which is opened only if it must be.

    The hash is checked either way: a listing that is damaged in the cache is looked for on the remote.
    """

    def look_up(md5: str) -> list[tuple[str, str]]:
        if cache is not None:
            try:
                return cache.read_dir(md5)
            except (NotFound, CheckFailed):
                pass
        there = remote()
        if there is None:
            raise NotFound(f"{md5} is not in DVC's cache", hint="dvc fetch")
        return remote_listing(there, md5)

    return look_up


def remote_listing(remote: DvcRemote, md5: str) -> list[tuple[str, str]]:
    """A folder's listing as a remote holds it.

    Raises:
        NotFound: it is not there.
        CheckFailed: its bytes do not have that hash, or are more than a listing can be.
        InvalidInput: it is no listing.
        ExternalFailure: the remote failed.
    """

    stored = remote.stat(md5)
    if stored is None:
        raise NotFound(f"{md5} is not on DVC remote {remote.name}")
    if stored.bytes > MAX_LISTING:
        raise CheckFailed(f"DVC remote {remote.name}: {md5} has {stored.bytes} bytes, more than a listing can have")
    data = b"".join(remote.read(md5))
    if hashlib.md5(data, usedforsecurity=False).hexdigest() + ".dir" != md5:
        raise CheckFailed(f"DVC remote {remote.name}: {md5} is damaged: its bytes have another hash")
    return parse_listing(data, f"DVC remote {remote.name}, {md5}")


def _weights(facts: ModelFacts, weights: Out, listings: Listings) -> Iterable[Needed]:
    files: list[FileEntry] | None = facts.files
    if files is None:  # tagged without modelver: then the listing alone says what is in the folder
        yield from _out(weights, listings, lineage=False)
        return
    if weights.is_dir:
        data = dvc_dir_listing(files)
        yield Needed(weights.md5, facts.path, len(data), content=data)
    for entry in files:
        what = f"{facts.path}/{entry.path}" if weights.is_dir else facts.path
        yield Needed(entry.md5, what, entry.bytes, entry.sha256)


def _variants(facts: ModelFacts, out: Out, listings: Listings) -> Iterable[Needed]:
    """What lies in the folder of variants, of which Git has a record, as of the weights."""
    try:
        files = recorded_files(facts.variants)
    except InvalidInput:
        files = []  # whoever gets a variant is told; here its objects count
    if not out.is_dir or dvc_dir_hash(files) != out.md5:
        yield from _out(out, listings, lineage=False)
        return
    data = dvc_dir_listing(files)
    yield Needed(out.md5, out.path, len(data), content=data)
    for entry in files:
        yield Needed(entry.md5, f"{out.path}/{entry.path}", entry.bytes, entry.sha256)


def _out(out: Out, listings: Listings, *, lineage: bool) -> Iterable[Needed]:
    if not out.is_dir:
        yield Needed(out.md5, out.path, out.bytes, lineage=lineage)
        return
    files = listings(out.md5)
    yield Needed(out.md5, out.path, lineage=lineage)
    for path, md5 in files:
        yield Needed(md5, f"{out.path}/{path}", lineage=lineage)


def _inputs(snapshot: Snapshot, facts: ModelFacts) -> list[Out]:
    """What `dvc add` tracks among the things that the model's stages depend on."""
    found: list[Out] = []
    for pointer in sorted(snapshot.read_many(lineage.pointers_of_inputs(facts.stages))):
        try:
            found += outs_in(pointer, yaml_or_none(snapshot, pointer))
        except InvalidInput:
            continue  # a folder may well be called so; what is no pointer of DVC's points at nothing
    return found
