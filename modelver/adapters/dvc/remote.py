"""A DVC remote: where the objects of a repository are stored for others.

DVC's own word that something "is in sync" is no evidence (https://github.com/iterative/dvc/issues/10977), so this
speaks to the storage itself: what is there, its bytes, its size and the storage's own mark of it. The layout is DVC's,
``files/md5/ab/cdef…``, so that DVC reads what modelver writes and the reverse.
"""

import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelver.adapters.dvc.clone import clone_config
from modelver.adapters.dvc.cloud import CloudStore
from modelver.adapters.dvc.destination import addresses, refuse_unencrypted
from modelver.adapters.dvc.explain import storage_errors
from modelver.adapters.dvc.local_url import refuse_misread
from modelver.adapters.dvc.s3 import S3Store
from modelver.adapters.dvc.secrets import secret_values, storage_identity, without_secrets
from modelver.adapters.dvc.stores import FolderStore, Store
from modelver.core.addresses import url_without_credentials
from modelver.disk import Digest
from modelver.errors import ExternalFailure, InvalidInput, Refused

_OBJECT = re.compile(r"([0-9a-f]{2})/([0-9a-f]{30}(?:\.dir)?)\Z")
_HALF = re.compile(r"files/md5/[0-9a-f]{2}/\.[0-9a-f]{30}(?:\.dir)?\.[0-9a-f]{12}\.tmp\Z")
"""As `temporary_name` names it."""

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


@dataclass(frozen=True, slots=True)
class HalfStored:
    """What an upload of modelver's that was killed has left, or what one is writing now.

    Attributes:
        path: below the remote's root.
        bytes: its size.
        modified: seconds since the epoch, of the last write; None where the storage does not say.
    """

    path: str
    bytes: int
    modified: float | None = None


class DvcRemote:
    """One DVC remote.

    Attributes:
        name: as in DVC's configuration.
        url: where it is, without credentials.
    """

    def __init__(self, name: str, store: Store, secrets: frozenset[str] = frozenset(), remark: str = "") -> None:
        self.name = name
        self._store = store
        self._secrets = secrets
        self.url = without_secrets(_without_credentials(store.url), secrets)
        self._identity = storage_identity(store.url, secrets)
        self._shown = f"DVC remote {name} ({self.url}{'; ' if remark else ''}{remark})"

    @classmethod
    def open(cls, root: Path, name: str | None = None, *, plain_http: bool | Collection[str] = False) -> "DvcRemote":
        """The remote of the DVC repository at ``root``, the folder that holds ``.dvc``.

        Args:
            root: the DVC repository.
            name: of the remote; None means the default one.
            plain_http: let bytes and credentials go over the line unencrypted, beyond this machine: True to anywhere,
                else to these hosts (``HOST``, ``HOST:PORT``) or URLs.

        Raises:
            Refused: there is no such remote, its line is not encrypted, or it is a folder by a URL that DVC takes for
                another folder.
            InvalidInput: DVC's configuration is broken.
            ExternalFailure: what DVC needs for this kind of storage is not installed.
        """
        config = clone_config(root)

        def option(remote: str) -> str:
            levels = ("local", "repo", "global", "system")
            level = next((one for one in levels if config.load_one(one)["remote"].get(remote, {}).get("url")), "repo")
            return "" if level == "repo" else f"--{level}"

        return cls.configured(config, name, plain_http=plain_http, option=option)

    @classmethod
    def configured(
        cls,
        config: dict[str, Any],
        name: str | None = None,
        *,
        plain_http: bool | Collection[str] = False,
        remark: str = "",
        option: Callable[[str], str] = lambda _: "",
    ) -> "DvcRemote":
        """As `open`, of a configuration that was read and validated.

        Args:
            config: it.
            name, plain_http: as `open`.
            remark: is told with what goes wrong.
            option: what `dvc remote modify` must be told to change the file in which a remote's URL stands.
        """
        chosen, kind, settings, path = _settings(config, name)
        secrets = frozenset(secret_values(settings))
        if settings.get("worktree") or settings.get("version_aware"):
            raise Refused(
                f"DVC remote {chosen} keeps files by path, and versions need one that keeps them by content",
                hint=f"dvc remote modify {chosen} worktree false && dvc remote modify {chosen} version_aware false",
            )
        if kind.protocol == "local":
            refuse_misread(chosen.lower(), config["remote"], path, option)
            return cls(chosen, FolderStore(Path(path)))
        refuse_unencrypted(chosen, addresses(kind.protocol, settings, path, os.environ), plain_http)
        store: Store
        with storage_errors(f"DVC remote {chosen}", secrets):
            try:
                if kind.protocol == "s3":
                    store = S3Store(kind, settings, path)
                    # the address may come from a variable or AWS's own configuration
                    refuse_unencrypted(chosen, [store.endpoint], plain_http)
                else:
                    store = CloudStore(kind, settings, path)
                    used = {**settings, **store.arguments}
                    refuse_unencrypted(chosen, addresses(kind.protocol, used, path, os.environ), plain_http)
            except ValueError as error:
                hint = f"dvc remote modify {chosen} endpointurl URL"
                raise InvalidInput(without_secrets(str(error), secrets), hint=hint) from None
        return cls(chosen, store, secrets, remark)

    @property
    def identity(self) -> str:
        """What tells this storage from others, for remembering what was seen there; holds no secret."""
        return self._identity

    @property
    def absent(self) -> bool:
        """Whether it is a folder that does not exist: not made yet, or on a disk that is not mounted."""
        return isinstance(self._store, FolderStore) and not Path(self._store.url).is_dir()

    def probe(self) -> None:
        """Ask the storage for something, to learn at once whether it can be reached.

        Raises:
            ExternalFailure: it can't: no network, wrong endpoint, wrong bucket, wrong secret; the message says which.
        """
        with storage_errors(self._shown, self._secrets):
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
        return (found for found in self.everything() if isinstance(found, Stored))

    def everything(self) -> Iterator[Stored | HalfStored]:
        """What `objects` gives, and the halves of objects beside them."""
        with storage_errors(self._shown, self._secrets):
            for path, size, stamp, modified in self._store.list("files/md5"):
                if match := _OBJECT.search(path):
                    yield Stored(match.group(1) + match.group(2), size, stamp, modified)
                elif match := _HALF.search(path):
                    yield HalfStored(match.group(), size, modified)

    def delete_half(self, half: HalfStored) -> None:
        """Remove the half of an object; it is no fault if it is gone."""
        with storage_errors(self._shown, self._secrets):
            self._store.delete(half.path)

    def _errors(self, md5: str) -> Any:
        return storage_errors(f"{self._shown}, object {md5}", self._secrets)


def _path(md5: str) -> str:
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def _settings(config: dict[str, Any], name: str | None) -> tuple[str, Any, dict[str, Any], str]:
    """Name, file system class, settings and path of a remote, as DVC's configuration has them."""
    from dvc.config import ConfigError, RemoteNotFoundError
    from dvc.fs import get_cloud_fs

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
        raise InvalidInput(f"DVC remote {chosen}: {without_secrets(str(error))}") from None
    except ImportError as error:
        package = re.search(r"dvc-\w+", str(error))
        hint = f"pip install {package.group()}" if package else ""
        raise ExternalFailure(f"DVC remote {chosen}: {error}", hint=hint) from None
    return chosen, kind, dict(settings), str(path)


def _without_credentials(url: str) -> str:
    return url_without_credentials(url).split("?")[0]
