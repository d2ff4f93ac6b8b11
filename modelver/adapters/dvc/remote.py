"""A DVC remote: where the objects of a repository are stored for others.

DVC's own word that something "is in sync" is no evidence (https://github.com/iterative/dvc/issues/10977), so this
speaks to the storage itself: what is there, its bytes, its size and the storage's own mark of it. The layout is DVC's,
``files/md5/ab/cdef…``, so that DVC reads what modelver writes and the reverse.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from modelver.adapters.dvc.stores import CloudStore, FolderStore, Store, storage_errors
from modelver.disk import Digest
from modelver.errors import InvalidInput, Refused

_OBJECT = re.compile(r"([0-9a-f]{2})/([0-9a-f]{30}(?:\.dir)?)\Z")

Tick = Callable[[int], None]
"""Called with the number of bytes that went over the line since the last call."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as the storage shows it.

    Attributes:
        md5: its name; ``.dir`` at the end for a folder's listing.
        bytes: its size.
        stamp: what changes when the object is written anew: an etag, or a file's times and inode.
        modified: seconds since the epoch, of the last write; None where the storage does not say.
    """

    md5: str
    bytes: int
    stamp: str
    modified: float | None = None


class DvcRemote:
    """One DVC remote.

    Attributes:
        name: as in DVC's configuration.
        url: where it is, without credentials.
    """

    def __init__(self, name: str, url: str, store: Store) -> None:
        self.name = name
        self.url = url
        self._store = store

    @classmethod
    def open(cls, root: Path, name: str | None = None, *, plain_http: bool = False) -> "DvcRemote":
        """The remote of the DVC repository at ``root``, the folder that holds ``.dvc``.

        Args:
            root: the DVC repository.
            name: of the remote; None means the default one.
            plain_http: let bytes and credentials go over the line unencrypted, beyond this machine.

        Raises:
            Refused: there is no such remote, or its line is not encrypted.
            InvalidInput: DVC's configuration is broken.
            ExternalFailure: what DVC needs for this kind of storage is not installed.
        """
        from dvc.config import Config, ConfigError, RemoteNotFoundError
        from dvc.fs import get_cloud_fs

        try:
            config = Config(dvc_dir=str(root / ".dvc"))
        except ConfigError as error:
            raise InvalidInput(f"DVC's configuration can't be read: {error}") from None
        chosen = name or config["core"].get("remote")
        if not chosen:
            known = sorted(config["remote"])
            hint = f"dvc remote default {known[0]}" if known else "dvc remote add --default storage URL"
            raise Refused("no DVC remote is configured, so nobody else can get the weights", hint=hint)
        try:
            kind, settings, path = get_cloud_fs(config, name=chosen)
        except RemoteNotFoundError:
            hint = "one of " + ", ".join(sorted(config["remote"])) if config["remote"] else "dvc remote add"
            raise Refused(f"there is no DVC remote {chosen!r}", hint=hint) from None
        except ConfigError as error:
            raise InvalidInput(f"DVC remote {chosen}: {error}") from None
        if settings.get("worktree") or settings.get("version_aware"):
            raise Refused(
                f"DVC remote {chosen} keeps files by path, and versions need one that keeps them by content",
                hint=f"dvc remote modify {chosen} worktree false && dvc remote modify {chosen} version_aware false",
            )
        if kind.protocol == "local":
            return cls(chosen, str(path), FolderStore(Path(path)))
        endpoint = settings.get("endpointurl")
        _refuse_plain_http(chosen, endpoint or settings.get("url") or "", plain_http)
        with storage_errors(f"DVC remote {chosen}"):
            store = CloudStore(kind, dict(settings), path)
        url = f"{kind.protocol}://{path}" + (f" at {_without_credentials(endpoint)}" if endpoint else "")
        return cls(chosen, url, store)

    @property
    def identity(self) -> str:
        """What tells this storage from others, for remembering what was seen there; holds no secret."""
        return self.url

    def probe(self) -> None:
        """Ask the storage for something, to learn at once whether it can be reached.

        Raises:
            ExternalFailure: it can't: no network, wrong endpoint, wrong bucket, wrong secret; the message says which.
        """
        with storage_errors(f"DVC remote {self.name} ({self.url})"):
            self._store.probe()

    def stat(self, md5: str) -> Stored | None:
        """What is stored under a name, asked of the storage now; None where nothing is."""
        with self._errors(md5):
            found = self._store.stat(_path(md5))
        return None if found is None else Stored(md5, *found)

    def read(self, md5: str, offset: int = 0) -> Iterator[bytes]:
        """The bytes of an object from ``offset`` on, in pieces, unverified.

        Raises:
            ExternalFailure: the storage failed, or there is no such object.
        """
        with self._errors(md5):
            yield from self._store.read(_path(md5), offset)

    def digest(self, md5: str, limit: int | None = None, tick: Tick = lambda _: None) -> tuple[Digest, int] | None:
        """Read an object back and hash it; its digest and size, None where there is none.

        Args:
            md5: the object.
            limit: stop once more than so many bytes came: it is not what was asked for, however long it goes on.
            tick: told of the bytes read.
        """
        if self.stat(md5) is None:
            return None
        first, second, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
        for piece in self.read(md5):
            first.update(piece)
            second.update(piece)
            size += len(piece)
            tick(len(piece))
            if limit is not None and size > limit:
                break
        return Digest(first.hexdigest(), second.hexdigest()), size

    def write(self, md5: str, source: Path, tick: Tick = lambda _: None) -> None:
        """Store a file under a name, in place of what is there; never half of it under that name.

        Raises:
            ExternalFailure: the storage failed or is full.
        """
        with self._errors(md5):
            self._store.write(_path(md5), source, tick)

    def delete(self, md5: str) -> None:
        """Remove an object; it is no fault if it is gone."""
        with self._errors(md5):
            self._store.delete(_path(md5))

    def objects(self) -> Iterator[Stored]:
        """Everything that is stored in DVC's layout, in no order."""
        with storage_errors(f"DVC remote {self.name} ({self.url})"):
            for path, size, stamp, modified in self._store.list("files/md5"):
                match = _OBJECT.search(path)
                if match:
                    yield Stored(match.group(1) + match.group(2), size, stamp, modified)

    def _errors(self, md5: str) -> Any:
        return storage_errors(f"DVC remote {self.name} ({self.url}), object {md5}")


def _path(md5: str) -> str:
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def _refuse_plain_http(name: str, url: str, allowed: bool) -> None:
    parts = urlsplit(url)
    if allowed or parts.scheme != "http" or _is_loopback(parts.hostname or ""):
        return
    raise Refused(
        f"DVC remote {name} is at {_without_credentials(url)}, and http is not encrypted: weights and credentials "
        "could be read and changed on the way",
        hint="use https, or --plain-http if that line is safe",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _without_credentials(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url).split("?")[0]
