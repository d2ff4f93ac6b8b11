"""What DVC's other file systems reach: SSH, Azure, Google, …"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelver.adapters.dvc.stores import PIECE, Stat, Tick, ended_early, telling, temporary_name
from modelver.disk import open_regular

_CONNECT_TIMEOUT = 14
_KEEPALIVE = 15
_WHOLE_WRITES = ("gs", "azure", "abfs", "oss")
"""Storages that show an object only once all of it has come."""


class CloudStore:
    """Files below one path of a DVC file system.

    Args:
        kind: the file system's class, of ``dvc_objects.fs``.
        settings: of the remote, as DVC's configuration holds them.
        root: path of the remote on that file system.
    """

    def __init__(self, kind: Any, settings: dict[str, Any], root: str) -> None:
        if kind.protocol == "ssh":
            # DVC waits for half an hour
            settings = {"timeout": _CONNECT_TIMEOUT, **settings}
        self._system = kind(**settings)
        if kind.protocol == "ssh":
            # sshfs would take any host's key: whoever sits on the line could give and take what they like
            self._system.fs_args.setdefault("known_hosts", ())
            # a line that died without a word is noticed after three of these
            self._system.fs_args.setdefault("keepalive_interval", _KEEPALIVE)
        self._root = root.rstrip("/")
        self._whole_writes = kind.protocol in _WHOLE_WRITES

    @property
    def _fs(self) -> Any:
        return self._system.fs

    @property
    def arguments(self) -> dict[str, Any]:
        """What the storage's library is given, also of what variables and other configuration files say."""
        return dict(self._system.fs_args)

    @property
    def url(self) -> str:
        """See `Store`."""
        return str(self._system.unstrip_protocol(self._root))

    def probe(self) -> None:
        """A missing folder within a bucket is nothing; a missing bucket fails."""
        self._fs.invalidate_cache()
        try:
            self._fs.ls(self._root or "/", detail=False)
        except FileNotFoundError:
            top = self._root.strip("/").split("/")[0]
            if self._whole_writes and not self._fs.exists(top):
                raise

    def stat(self, path: str) -> Stat | None:
        """See `Store`."""
        self._fs.invalidate_cache()
        try:
            found = self._fs.info(f"{self._root}/{path}")
        except FileNotFoundError:
            return None
        return None if found.get("type") == "directory" else _stat(found)

    def read(self, path: str, offset: int) -> Iterator[bytes]:
        """See `Store`."""
        place = f"{self._root}/{path}"
        size = int(self._fs.info(place)["size"])
        if offset > size:
            raise ended_early(offset, size)
        with self._fs.open(place, "rb", block_size=PIECE) as file:
            if offset:
                file.seek(offset)
            while piece := file.read(PIECE):
                offset += len(piece)
                yield piece
        if offset != size:
            raise ended_early(offset, size)

    def write(self, path: str, source: Path, tick: Tick) -> None:
        """A line that breaks leaves half a file, so it comes under a name that is no object's and is renamed.

        dvc-ssh does so by itself, other file systems don't.
        """
        with open_regular(source):
            pass
        place = f"{self._root}/{path}"
        folder = self._system.parent(place)
        self._system.makedirs(folder, exist_ok=True)
        if self._whole_writes:
            self._put(source, place, tick)
            return
        temporary = f"{folder}/{temporary_name(place.rpartition('/')[2])}"
        try:
            self._put(source, temporary, tick)
            have, size = int(self._fs.info(temporary)["size"]), source.stat().st_size
            if have != size:
                raise ended_early(have, size)
            self._system.mv(temporary, place)
        except BaseException:
            self._remove_quietly(temporary)
            raise

    def delete(self, path: str) -> None:
        """See `Store`."""
        try:
            self._fs.rm_file(f"{self._root}/{path}")
        except FileNotFoundError:
            return

    def move(self, source: str, target: str) -> None:
        """See `Store`."""
        place = f"{self._root}/{target}"
        self._system.makedirs(self._system.parent(place), exist_ok=True)
        self._system.mv(f"{self._root}/{source}", place)

    def list(self, path: str) -> Iterator[tuple[str, int, str, float | None]]:
        """See `Store`."""
        self._fs.invalidate_cache()
        top = f"{self._root}/{path}"
        if not self._fs.exists(top):
            return
        for name, entry in self._fs.find(top, detail=True).items():
            yield (name, *_stat(entry))

    def _put(self, source: Path, place: str, tick: Tick) -> None:
        """Of a link asyncssh makes a link; one is ``/dev/fd/N``, by which a folder's listing comes. That is small."""
        if source.is_symlink():
            data = source.read_bytes()
            self._fs.pipe_file(place, data)
            tick(len(data))
        else:
            self._fs.put_file(str(source), place, callback=telling(tick))

    def _remove_quietly(self, place: str) -> None:
        """Where the line is gone nothing can be removed, and why it went is what is to be told."""
        from modelver.adapters.dvc.explain import known_errors

        try:
            self._fs.rm_file(place)
        except known_errors():
            return


def _stat(entry: dict[str, Any]) -> Stat:
    time: Any = entry.get("LastModified") or entry.get("last_modified") or entry.get("mtime")
    mark = entry.get("ETag") or entry.get("etag") or entry.get("md5") or time
    seconds = time.timestamp() if hasattr(time, "timestamp") else time if isinstance(time, int | float) else None
    return int(entry.get("size") or 0), str(mark or ""), seconds
