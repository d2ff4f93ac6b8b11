"""The disk: atomic writes, verified copies, and remembered digests."""

from modelver.disk.database import Database
from modelver.disk.files import (
    Digest,
    as_written,
    copy_file,
    digest_file,
    exclusive,
    open_regular,
    remove_file,
    umask,
    write_atomic,
)
from modelver.disk.hashes import HashCache

__all__ = [
    "Database",
    "Digest",
    "HashCache",
    "as_written",
    "copy_file",
    "digest_file",
    "exclusive",
    "open_regular",
    "remove_file",
    "umask",
    "write_atomic",
]
