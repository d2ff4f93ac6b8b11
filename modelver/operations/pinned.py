"""What one published version must be, read from Git alone: tag, sidecar and manifest held against each other."""

import hashlib
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modelver.adapters import yaml
from modelver.adapters.git import GitRepository
from modelver.core import sidecar as sidecars
from modelver.core.environments import trailers_in
from modelver.core.layout import Layout
from modelver.core.manifest import FileEntry, check_relative_path, tree_digest
from modelver.core.names import shown
from modelver.core.registry import ModelVersion
from modelver.core.restore import check_place
from modelver.core.variants import files_of
from modelver.errors import CheckFailed, InvalidInput, NotFound
from modelver.operations.facts import ModelFacts, collect
from modelver.operations.objects import Listings
from modelver.operations.snapshot import CommitSnapshot

_SIGNATURES = ("PGP SIGNATURE", "SSH SIGNATURE", "SIGNED MESSAGE")
_SPEAK = "ask whoever published it; nothing was written"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file of a version.

    Attributes:
        path: relative to the folder that it goes to.
        md5: its name in DVC's caches and remotes.
        bytes, sha256: of its content; None where Git does not say.
    """

    path: str
    md5: str
    bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Pinned:
    """A version, as its tag pins it.

    Attributes:
        version: what was asked for.
        facts: what Git knows of the model at the version's commit.
        sidecar: as recorded; None for a tag that was made without modelver.
    """

    version: ModelVersion
    facts: ModelFacts
    sidecar: Mapping[str, Any] | None

    @property
    def vouched(self) -> bool:
        """Whether the tag itself names the SHA-256 of the weights."""
        return self.sidecar is not None

    def files(self, listings: Listings, variant: str | None = None) -> tuple[Wanted, ...]:
        """The files of the weights, or of a variant; where the weights are one file, that file by its name.

        Args:
            listings: asked only where Git has no manifest.
            variant: its name.

        Raises:
            NotFound: there is no such variant, or nobody has the listing of the folder.
            InvalidInput: two files have one path.
            CheckFailed: two files of one MD5 differ.
            Refused: a path that nothing may be written to.
        """
        found = tuple(self._variant(variant) if variant is not None else self._weights(listings))
        _check_paths(found)
        return found

    def _weights(self, listings: Listings) -> Iterable[Wanted]:
        weights, files = self.facts.weights, self.facts.files
        assert weights is not None
        if not weights.is_dir:
            name = posixpath.basename(self.facts.path)
            if files is None:
                yield Wanted(name, weights.md5, weights.bytes)
            else:
                yield Wanted(name, files[0].md5, files[0].bytes, files[0].sha256)
        elif files is None:
            for path, md5 in listings(weights.md5):
                yield Wanted(path, md5)
        else:
            yield from _wanted(files)

    def _variant(self, name: str) -> Iterable[Wanted]:
        tag = self.version.tag
        recorded = (self.facts.variants or {}).get("variants")
        known = recorded if isinstance(recorded, Mapping) else {}
        if name not in known:
            hint = f"it has {', '.join(map(shown, sorted(known)))}" if known else "it has none; leave --variant out"
            raise NotFound(f"{tag} has no variant {shown(name)}", hint=hint)
        where = f"{self.facts.layout.variants_record}, variants.{name}.manifest"
        files = files_of(known[name], f"{tag}: {where}")
        if self.sidecar is not None:
            named = (self.sidecar.get("variants") or {}).get(name)
            digest = named.get("sha256") if isinstance(named, Mapping) else None
            if tree_digest(files) != digest:
                raise CheckFailed(f"{tag}: {where} does not list the files that its sidecar speaks of", hint=_SPEAK)
        yield from _wanted(files)


def pin(git: GitRepository, version: ModelVersion) -> Pinned:
    """Read a version and check what its tag says of it: sidecar, manifest and pointer.

    Raises:
        CheckFailed: they disagree, or the tag's name and its content do: something was changed after tagging.
        NotFound: the model has no weights at that commit.
        InvalidInput: a file there can't be read.
    """
    said = _tag_says(git, version)
    snapshot = CommitSnapshot(git, version.record.commit)
    facts = collect(snapshot, version.model)
    if facts.weights is None:
        raise NotFound(f"{version.tag} points at no weights that DVC tracks")
    sidecar = None
    if "Modelver-Sidecar" in said:
        sidecar = _checked_sidecar(snapshot, version, facts, said)
    return Pinned(version, facts, sidecar)


def _tag_says(git: GitRepository, version: ModelVersion) -> dict[str, str]:
    """The trailers of a version's tag; the tag object must be the one of this name and commit."""
    record = version.record
    raw = git.read_objects([record.object_id]).get(record.object_id, b"").decode("utf-8", "replace")
    header, _, message = raw.partition("\n\n")
    fields = dict(line.split(" ", 1) for line in header.splitlines() if " " in line)
    if (fields.get("object"), fields.get("type")) != (record.commit, "commit"):
        raise CheckFailed(f"{version.tag} is no tag of a commit", hint=_SPEAK)
    if fields.get("tag") != record.name:
        raise CheckFailed(
            f"{version.tag} leads to the tag object of {shown(fields.get('tag', ''))}: somebody moved it", hint=_SPEAK
        )
    said = trailers_in(_unsigned(message))
    for key, value in (("Modelver-Model", version.model), ("Modelver-Version", str(version.version))):
        if key in said and said[key] != value:
            raise CheckFailed(f"{version.tag}: its message speaks of {key} {shown(said[key])}", hint=_SPEAK)
    return said


def _checked_sidecar(
    snapshot: CommitSnapshot, version: ModelVersion, facts: ModelFacts, said: Mapping[str, str]
) -> Mapping[str, Any]:
    path = Layout(version.model).sidecar
    where = f"{version.tag}:{path}"
    data = snapshot.read(path)
    if data is None or f"sha256:{hashlib.sha256(data).hexdigest()}" != said["Modelver-Sidecar"]:
        raise CheckFailed(
            f"{where} is not the sidecar that the tag names ({said['Modelver-Sidecar'][:23]}…): the tag was moved, or "
            "the file was changed",
            hint=_SPEAK,
        )
    document = yaml.load_mapping(data, where)
    sidecars.validate(document, where)
    weights = document["weights"]
    if f"sha256:{weights['sha256']}" != said.get("Modelver-Weights"):
        raise CheckFailed(f"{where} and the tag name different weights", hint=_SPEAK)
    assert facts.weights is not None
    if weights["md5"] != facts.weights.md5:
        raise CheckFailed(f"{where} and {facts.weights.pointer} name different weights", hint=_SPEAK)
    files = facts.files
    if files is None:
        raise CheckFailed(f"{version.tag}:{facts.layout.files} does not list the files of the weights", hint=_SPEAK)
    digest = tree_digest(files) if facts.weights.is_dir else files[0].sha256
    if digest != weights["sha256"]:
        raise CheckFailed(f"{version.tag}:{facts.layout.files} and the sidecar name different weights", hint=_SPEAK)
    return document


def _unsigned(message: str) -> str:
    for kind in _SIGNATURES:
        place = message.rfind(f"\n-----BEGIN {kind}-----")  # the last one counts, as for Git
        if place >= 0:
            return message[: place + 1]
    return message


def _wanted(files: Iterable[FileEntry]) -> Iterable[Wanted]:
    return (Wanted(file.path, file.md5, file.bytes, file.sha256) for file in files)


def _check_paths(files: Iterable[Wanted]) -> None:
    """Refuse what would leave the folder, land in a ``.git``, need two things at one place, or one object to be two."""
    paths: set[str] = set()
    contents: dict[str, Wanted] = {}
    for file in files:
        other = contents.setdefault(file.md5, file)
        if (other.bytes, other.sha256) != (file.bytes, file.sha256):
            raise CheckFailed(f"{shown(file.path)} and {shown(other.path)} have one MD5 and are not alike", hint=_SPEAK)
        try:
            check_relative_path(file.path)
        except ValueError as error:
            raise InvalidInput(str(error)) from None
        check_place(file.path)
        if file.path in paths:
            raise InvalidInput(f"{shown(file.path)} is listed twice")
        paths.add(file.path)
    for path in paths:
        parent = posixpath.dirname(path)
        while parent:
            if parent in paths:
                raise InvalidInput(f"{shown(parent)} is listed as a file and as a folder")
            parent = posixpath.dirname(parent)
