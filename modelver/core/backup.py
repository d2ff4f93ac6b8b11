"""The manifest of a backup: what is in it, with digests. Pure."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from modelver.errors import CheckFailed, InvalidInput

MANIFEST = "modelver-backup.json"
SCHEMA = "modelver-backup/1"

_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_BUNDLE = re.compile(r"git/[0-9a-f]{64}\.bundle\Z")
_REF = re.compile(r"(HEAD|refs/[^\x00-\x20\x7f ~^:?*\[\\]+)\Z")
_ID = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")


@dataclass(frozen=True, slots=True)
class BackupVersion:
    """A version: its tag, the tag object, the commit, the model."""

    tag: str
    object: str
    commit: str
    model: str


@dataclass(frozen=True, slots=True)
class BackupObject:
    """A DVC object: its name, digest and size in bytes."""

    md5: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class BackupManifest:
    """What a backup holds.

    Attributes:
        made: when, ISO 8601, UTC.
        bundle: path of the Git bundle, relative to the backup.
        bundle_bytes, bundle_sha256: of that file.
        head: the branch that was checked out, or the commit.
        refs: full name → object id.
        remotes: Git remotes and their addresses, without credentials.
        versions: by tag.
        objects: by MD5.
        absent: objects that no version needs to be restored, and nobody had: MD5 and path.
    """

    made: str
    bundle: str
    bundle_bytes: int
    bundle_sha256: str
    head: str
    refs: Mapping[str, str]
    remotes: Mapping[str, str]
    versions: tuple[BackupVersion, ...]
    objects: tuple[BackupObject, ...]
    absent: tuple[Mapping[str, str], ...] = ()

    def dump(self) -> bytes:
        """The JSON form, with its own digest."""
        document = {"schema": SCHEMA, **asdict(self)}
        document["sha256"] = _digest(document)
        return json.dumps(document, indent=1, ensure_ascii=True).encode() + b"\n"


def load_manifest(data: bytes, where: str) -> BackupManifest:
    """Parse `BackupManifest.dump`.

    Raises:
        InvalidInput: no manifest that this modelver can read.
        CheckFailed: it was changed since it was written.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise InvalidInput(f"{where} is no manifest of a backup") from None
    if not isinstance(document, dict) or not isinstance(document.get("schema"), str):
        raise InvalidInput(f"{where} is no manifest of a backup")
    if document["schema"] != SCHEMA:
        raise InvalidInput(f"{where} has the form {document['schema']!r}", hint="a newer modelver may read it")
    claimed = document.pop("sha256", None)
    if claimed != _digest(document):
        raise CheckFailed(f"{where} is damaged: its own SHA-256 does not match", hint="take another copy of the backup")
    del document["schema"]
    try:
        versions = tuple(BackupVersion(**item) for item in document.pop("versions"))
        objects = tuple(BackupObject(**item) for item in document.pop("objects"))
        manifest = BackupManifest(**document, versions=versions, objects=objects)
    except (TypeError, KeyError):
        raise InvalidInput(f"{where} is no manifest of a backup") from None
    if not _is_sound(manifest):
        raise InvalidInput(f"{where} names something that no backup holds")
    return manifest


def _is_sound(manifest: BackupManifest) -> bool:
    """Whether every name in it is one that modelver writes: a manifest may come from anywhere."""

    def fits(pattern: re.Pattern[str], value: Any) -> bool:
        return isinstance(value, str) and pattern.match(value) is not None

    return (
        fits(_BUNDLE, manifest.bundle)
        and fits(_SHA256, manifest.bundle_sha256)
        and (fits(_REF, manifest.head) or fits(_ID, manifest.head))
        and isinstance(manifest.refs, dict)
        and all(fits(_REF, ref) and ".." not in ref and fits(_ID, name) for ref, name in manifest.refs.items())
        and isinstance(manifest.remotes, dict)
        and all(isinstance(url, str) for url in manifest.remotes.values())
        and all(fits(_MD5, item.md5) and fits(_SHA256, item.sha256) for item in manifest.objects)
        and all(type(item.bytes) is int and item.bytes >= 0 for item in manifest.objects)
        and all(isinstance(v.tag, str) and fits(_ID, v.object) and fits(_ID, v.commit) for v in manifest.versions)
    )


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
