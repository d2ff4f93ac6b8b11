"""The two kinds of storage behind a DVC remote: a folder, and whatever fsspec reaches (S3, SSH, …)."""

import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from modelver.adapters.dvc.explain import explain
from modelver.disk import copy_file, open_regular, remove_file
from modelver.errors import ExternalFailure, NotFound

Tick = Callable[[int], None]
Stat = tuple[int, str, float | None]
"""Size in bytes, stamp, time of the last write."""

_PIECE = 4 << 20


class Store(Protocol):
    """Files by path below one root."""

    def probe(self) -> None:
        """Fail if the storage can't be reached."""
        ...

    def stat(self, path: str) -> Stat | None:
        """What is there now; None where nothing is."""
        ...

    def read(self, path: str, offset: int) -> Iterator[bytes]:
        """Bytes from an offset on."""
        ...

    def write(self, path: str, source: Path, tick: Tick) -> None:
        """Put a whole file there."""
        ...

    def delete(self, path: str) -> None:
        """Remove it if it is there."""
        ...

    def list(self, path: str) -> Iterator[tuple[str, int, str, float | None]]:
        """Everything below a path: path, size, stamp, time."""
        ...


class FolderStore:
    """A folder of this machine, or one that it mounts."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def probe(self) -> None:
        """A folder that is missing is made by the first write, as DVC does; one that can't be made is told now."""
        place = self._root
        while not place.exists() and place != place.parent:
            place = place.parent
        if not place.is_dir():
            raise NotADirectoryError(20, "is no folder", str(place))
        if not os.access(place, os.R_OK | os.X_OK):
            raise PermissionError(13, "may not be read", str(place))

    def stat(self, path: str) -> Stat | None:
        """See `Store`."""
        try:
            found = (self._root / path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_size, f"{found.st_mtime_ns}-{found.st_ctime_ns}-{found.st_ino}", found.st_mtime

    def read(self, path: str, offset: int) -> Iterator[bytes]:
        """See `Store`."""
        with open_regular(self._root / path) as descriptor:
            while piece := os.pread(descriptor, _PIECE, offset):
                offset += len(piece)
                yield piece

    def write(self, path: str, source: Path, tick: Tick) -> None:
        """See `Store`."""
        place = self._root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        copy_file(source, place, mode=0o444)
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        tick(source.stat().st_size)

    def delete(self, path: str) -> None:
        """See `Store`."""
        remove_file(self._root / path)

    def list(self, path: str) -> Iterator[tuple[str, int, str, float | None]]:
        """See `Store`."""
        for place, _, names in os.walk(self._root / path):
            for name in names:
                relative = (Path(place) / name).relative_to(self._root).as_posix()
                found = self.stat(relative)
                if found is not None:
                    yield relative, *found


class CloudStore:
    """What DVC's file systems reach: S3, SSH, Azure, …

    Args:
        kind: the file system's class, of ``dvc_objects.fs``.
        settings: of the remote, as DVC's configuration holds them.
        root: path of the remote on that file system.
    """

    def __init__(self, kind: Any, settings: dict[str, Any], root: str) -> None:
        if kind.protocol == "s3":
            # botocore waits for a minute and tries five times; a wrong address should be told sooner
            settings.setdefault("connect_timeout", 10)
            settings.setdefault("read_timeout", 60)
        self._system = kind(**settings)
        self._root = root.rstrip("/")
        self._whole_writes = kind.protocol in ("s3", "gs", "azure", "abfs", "oss", "webhdfs")

    @property
    def _fs(self) -> Any:
        return self._system.fs

    def probe(self) -> None:
        """A missing folder within a bucket is nothing; a missing bucket fails."""
        self._fs.invalidate_cache()
        try:
            self._fs.ls(self._root, detail=False)
        except FileNotFoundError:
            top = self._root.strip("/").split("/")[0]
            if self._whole_writes and not self._fs.exists(top):
                raise

    def stat(self, path: str) -> Stat | None:
        """See `Store`."""
        self._fs.invalidate_cache()
        try:
            return _stat(self._fs.info(f"{self._root}/{path}"))
        except FileNotFoundError:
            return None

    def read(self, path: str, offset: int) -> Iterator[bytes]:
        """See `Store`."""
        with self._fs.open(f"{self._root}/{path}", "rb", block_size=_PIECE, cache_type="readahead") as file:
            if offset:
                file.seek(offset)
            while piece := file.read(_PIECE):
                yield piece

    def write(self, path: str, source: Path, tick: Tick) -> None:
        """See `Store`."""
        from fsspec.callbacks import Callback  # type: ignore[import-untyped]

        class Ticker(Callback):  # type: ignore[misc]
            def relative_update(self, inc: int = 1) -> None:
                tick(inc)

        place = f"{self._root}/{path}"
        self._system.makedirs(self._system.parent(place), exist_ok=True)
        if self._whole_writes:
            self._fs.put_file(str(source), place, callback=Ticker())
            return
        # a line that breaks would leave half a file under the object's name
        temporary = f"{place}.{secrets.token_hex(4)}.tmp"
        try:
            self._fs.put_file(str(source), temporary, callback=Ticker())
            self._system.mv(temporary, place)
        except BaseException:
            self.delete(temporary.removeprefix(f"{self._root}/"))
            raise

    def delete(self, path: str) -> None:
        """See `Store`."""
        try:
            self._fs.rm_file(f"{self._root}/{path}")
        except FileNotFoundError:
            return

    def list(self, path: str) -> Iterator[tuple[str, int, str, float | None]]:
        """See `Store`."""
        self._fs.invalidate_cache()
        try:
            found = self._fs.find(f"{self._root}/{path}", detail=True)
        except FileNotFoundError:
            return
        for name, entry in found.items():
            yield (name, *_stat(entry))


def _stat(entry: dict[str, Any]) -> Stat:
    mark = entry.get("ETag") or entry.get("etag") or entry.get("md5") or entry.get("mtime") or entry.get("LastModified")
    time: Any = entry.get("LastModified") or entry.get("last_modified") or entry.get("mtime")
    seconds = time.timestamp() if hasattr(time, "timestamp") else time if isinstance(time, int | float) else None
    return int(entry.get("size") or 0), str(mark or ""), seconds


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turn whatever a storage's libraries raise into ExternalFailure, with the cause in words and no secret in it."""
    try:
        yield
    except _known_errors() as error:
        message, hint = explain(error)
        raise ExternalFailure(f"{what}: {message}", hint=hint) from None
    except NotFound:
        raise ExternalFailure(f"{what}: it is not there") from None


def _known_errors() -> tuple[type[BaseException], ...]:
    """Errors of the libraries that are loaded: whichever storage is not in use has none."""
    names = {
        "botocore.exceptions": ("BotoCoreError", "ClientError"),
        "dvc.exceptions": ("DvcException",),
        "dvc_objects.fs.errors": ("AuthError", "ConfigError", "RemoteMissingDepsError"),
        "aiohttp.client_exceptions": ("ClientError",),
        "asyncssh.misc": ("Error",),
    }
    found: list[type[BaseException]] = [OSError]
    for module, classes in names.items():
        if module in sys.modules:
            found += [getattr(sys.modules[module], name) for name in classes]
    return tuple(found)
