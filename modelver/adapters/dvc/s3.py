"""S3 and what speaks its protocol, through DVC's own file system: same keys, profile and encryption as `dvc push`."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelver.adapters.dvc.stores import PIECE, Stat, Tick, ended_early, telling
from modelver.disk import open_regular

ATTEMPTS = 4
"""Times that a request is sent, with up to 1, 2 and 4 s between them (botocore's standard mode)."""

PROBE_TIMEOUT = 14
"""Seconds after which a storage that says nothing is called unreachable."""

PAGE = 1000
"""Objects that a list's answer holds, S3's own limit."""

_CONNECT_TIMEOUT = 5
_READ_TIMEOUT = 60
_RESUMES = 20
_FRUITLESS = 4
_CONNECTIONS = 32
_PART = 8 << 20
_PARTS_AT_ONCE = 2  # of each file, in memory: with eight uploads at once that is 128 MiB, and as much again in botocore
_MAX_PARTS = 10_000
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""


class S3Store:
    """Objects below one prefix of one bucket.

    Args:
        kind: DVC's file system class for S3.
        settings: of the remote, as DVC's configuration holds them.
        root: bucket and prefix.

    Attributes:
        endpoint: the address that is really spoken to, whether DVC's configuration, AWS's or a variable named it.
    """

    def __init__(self, kind: Any, settings: dict[str, Any], root: str) -> None:
        system = kind(**{"connect_timeout": _CONNECT_TIMEOUT, "read_timeout": _READ_TIMEOUT, **settings})
        config = system.fs_args.setdefault("config_kwargs", {})
        config["max_pool_connections"] = _CONNECTIONS
        if "AWS_MAX_ATTEMPTS" not in os.environ:
            config["retries"] = {"mode": "standard", "total_max_attempts": ATTEMPTS}
        self._fs = system.fs
        # s3fs would try each of botocore's series of attempts five times over
        self._fs.retries = 1
        self._bucket, _, self._prefix = root.strip("/").partition("/")
        self._bucket_seen = False
        self.endpoint = str(self._fs.s3.meta.endpoint_url)

    @property
    def url(self) -> str:
        """See `Store`."""
        where = "" if self.endpoint.endswith(".amazonaws.com") else f" at {self.endpoint}"
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/") + where

    def probe(self) -> None:
        """A prefix without objects is nothing; a missing bucket fails."""
        self._fs.call_s3("list_objects_v2", Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1, timeout=PROBE_TIMEOUT)
        self._bucket_seen = True

    def stat(self, path: str) -> Stat | None:
        """See `Store`."""
        try:
            found = self._fs.call_s3("head_object", Bucket=self._bucket, Key=self._key(path))
        except FileNotFoundError:
            if not self._bucket_seen:  # S3 says 404 for a missing bucket as for a missing object
                self.probe()
            return None
        return _stat(found["ContentLength"], found)

    def read(self, path: str, offset: int) -> Iterator[bytes]:
        """Goes on where a connection broke off, of the same object only."""
        broken = _broken_lines()
        resumes = fruitless = 0
        download = _Download(self._fs, self._bucket, self._key(path), offset)
        # a request that fails was sent several times by then; only an answer that breaks off is gone on with
        while download.ask():
            before = download.offset
            try:
                yield from download.pieces()
                return
            except broken:
                resumes += 1
                fruitless = 0 if download.offset > before else fruitless + 1
                if resumes > _RESUMES or fruitless >= _FRUITLESS:
                    raise
            time.sleep(0.1 * 2**fruitless)

    def write(self, path: str, source: Path, tick: Tick) -> None:
        """S3 shows an object once all of it has come, and checks its CRC; a large one goes in parts."""
        with open_regular(source) as descriptor:
            size = os.fstat(descriptor).st_size
        self._fs.put_file(
            str(source),
            f"{self._bucket}/{self._key(path)}",
            callback=telling(tick),
            chunksize=max(_PART, -(-size // _MAX_PARTS)),
            max_concurrency=_PARTS_AT_ONCE,
            ContentType="application/octet-stream",
        )

    def delete(self, path: str) -> None:
        """See `Store`."""
        try:
            self._fs.call_s3("delete_object", Bucket=self._bucket, Key=self._key(path))
        except FileNotFoundError:
            if not self._bucket_seen:
                self.probe()

    def move(self, source: str, target: str) -> None:
        """S3 has no rename: copied there by the storage itself, then deleted here."""
        here, there = f"{self._bucket}/{self._key(source)}", f"{self._bucket}/{self._key(target)}"
        self._fs.cp_file(here, there)
        copied, original = self.stat(target), self.stat(source)
        if original is None or copied is None or copied[0] != original[0]:
            raise ended_early(copied[0] if copied else 0, original[0] if original else 0)
        self.delete(source)

    def list(self, path: str) -> Iterator[tuple[str, int, str, float | None]]:
        """See `Store`."""
        more: dict[str, str] = {}
        while True:
            page = self._fs.call_s3(
                "list_objects_v2", Bucket=self._bucket, Prefix=f"{self._key(path)}/", MaxKeys=PAGE, **more
            )
            for entry in page.get("Contents", ()):
                yield (entry["Key"], *_stat(entry["Size"], entry))
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _key(self, path: str) -> str:
        return f"{self._prefix}/{path}" if self._prefix else path


class _Download:
    """One object on its way, over as many requests as it takes.

    Attributes:
        offset: of the next byte.
    """

    def __init__(self, fs: Any, bucket: str, key: str, offset: int) -> None:
        self.offset = offset
        self._fs = fs
        self._where = {"Bucket": bucket, "Key": key}
        self._etag: str | None = None
        self._body: Any = None
        self._size = 0

    def pieces(self) -> Iterator[bytes]:
        """The rest of the bytes of the answer, all of them or an error."""
        try:
            while piece := self._fill(self._body):
                yield piece
        finally:
            self._fs.loop.call_soon_threadsafe(self._body.close)
        if self.offset != self._size:
            raise ConnectionResetError(*ended_early(self.offset, self._size).args)

    def ask(self) -> bool:
        """Ask for what is still to come; False where nothing is."""
        options = {"Range": f"bytes={self.offset}-"} if self.offset else {}
        if self._etag:
            options["IfMatch"] = self._etag
        try:
            answer = self._fs.call_s3("get_object", **self._where, **options)
        except OSError as error:
            if _code(error) not in ("InvalidRange", "416"):
                raise
            size = self._fs.call_s3("head_object", **self._where)["ContentLength"]
            if size != self.offset:
                raise ended_early(self.offset, size) from None
            return False
        self._etag = answer.get("ETag")
        extent = str(answer.get("ContentRange") or "")
        if self.offset and not extent.startswith(f"bytes {self.offset}-"):
            raise OSError(95, "the storage does not give parts of an object")
        self._body = answer["Body"]
        self._size = int(extent.rpartition("/")[2]) if extent else int(answer["ContentLength"])
        return True

    def _fill(self, body: Any) -> bytes:
        """The next piece, gathered on the loop's own thread: each crossing between threads costs more than a read."""
        from fsspec.asyn import sync

        parts: list[bytes] = []

        async def gather() -> None:
            have = 0
            while have < PIECE and (part := await body.read(PIECE - have)):
                parts.append(part)
                have += len(part)

        try:
            sync(self._fs.loop, gather)
        except _broken_lines():
            if not parts:
                raise
            # what came is good; the next call meets the error again
        piece = b"".join(parts)
        self.offset += len(piece)
        return piece


def _broken_lines() -> tuple[type[BaseException], ...]:
    """What a connection that broke off within an object raises."""
    from aiohttp.client_exceptions import ClientError
    from botocore.exceptions import HTTPClientError, IncompleteReadError

    return HTTPClientError, IncompleteReadError, ClientError, ConnectionError, TimeoutError


def _stat(size: int, entry: dict[str, Any]) -> Stat:
    modified = entry.get("LastModified")
    return int(size), str(entry.get("ETag") or ""), modified.timestamp() if modified is not None else None


def _code(error: BaseException) -> str:
    """S3's own code behind an error that s3fs translated."""
    response = getattr(error.__cause__, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
