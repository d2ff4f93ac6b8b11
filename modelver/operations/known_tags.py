"""The memory of tags: an append-only file in modelver's state folder. Deleting it loses the memory and nothing else."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Mapping

from modelver.adapters.git import GitRepository
from modelver.core import publish
from modelver.core.addresses import url_without_credentials
from modelver.core.registry import Registry
from modelver.core.tag_memory import How, Known
from modelver.errors import InvalidInput, ModelverError

FILE = "known-tags.jsonl"
MAX_BYTES = 256 << 20
"""Largest file read: more than a million tags."""

_HOW = frozenset({"made", "seen", "published", "accepted", "dropped"})


def remember(git: GitRepository, tags: Iterable[Known]) -> None:
    """Note what tags name; what is noted already is not noted again.

    Never fails: a state folder that can't be written is no reason not to make or verify a tag.
    """
    with contextlib.suppress(OSError, ModelverError):
        git.state_dir.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(git.state_dir / FILE, flags, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            present = _read(descriptor)
            last = _last(present)
            new = b"".join(line for known in tags if (line := _line(known)) != last.get(_key(line)))
            if new:
                # what a full disk cut short ends without a line break, and is passed over when read
                torn = present != b"" and not present.endswith(b"\n")
                os.write(descriptor, b"\n" + new if torn else new)
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def made(git: GitRepository, tag: str, object_id: str, commit: str) -> None:
    """Note a tag that was just made here; ``tag`` may be a full ref."""
    remember(git, [Known(tag.removeprefix("refs/tags/"), object_id, commit, "made")])


def published(git: GitRepository, tags: Iterable[tuple[str, str, str]], remote: str) -> None:
    """Note tags that a Git remote has: short name, object id, commit; ``remote`` without credentials."""
    remember(git, [Known(tag, object_id, commit, "published", remote) for tag, object_id, commit in tags])


def dropped(git: GitRepository, tag: str, object_id: str) -> None:
    """Note that a tag that was made here was taken back before anybody else had it."""
    remember(git, [Known(tag, object_id, "", "dropped")])


def overtaken(git: GitRepository, registry: Registry, there: Mapping[str, str]) -> None:
    """Note of the tags here whose place another one has on the Git remote that they are nothing to be kept.

    Args:
        git: the repository.
        registry: what is known here.
        there: short name → object id of the tags on the remote.
    """
    lost = [Known(record.name, record.object_id, "", "dropped") for record, _ in publish.overtaken(registry, there)]
    if lost:  # only to look, which a dry run does, makes no file
        remember(git, lost)


def recall(git: GitRepository) -> dict[str, list[Known]]:
    """What is remembered, by tag, the oldest first; nothing where the file is missing. Broken lines are passed over.

    Raises:
        InvalidInput: it is larger than any such file.
    """
    try:
        descriptor = os.open(git.state_dir / FILE, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return {}
    try:
        data = _read(descriptor)
    except OSError:
        return {}
    finally:
        os.close(descriptor)
    found: dict[str, list[Known]] = {}
    for line in data.split(b"\n"):
        known = _parse(line)
        if known is not None:
            found.setdefault(known.tag, []).append(known)
    return found


def _read(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    if size > MAX_BYTES:
        raise InvalidInput(
            f"{FILE}: {size} bytes, more than the {MAX_BYTES} that are read", hint=f"rm .git/modelver/{FILE}"
        )
    data = b""
    while piece := os.pread(descriptor, 1 << 24, len(data)):
        data += piece
    return data


def _line(known: Known) -> bytes:
    return json.dumps(known.to_dict()).encode() + b"\n"


def _last(data: bytes) -> dict[bytes, bytes]:
    """The last line, with its line break, that speaks of each tag."""
    return {_key(line): line for line in data.splitlines(keepends=True)}


def _key(line: bytes) -> bytes:
    return line.partition(b'", "id": ')[0]


def _parse(line: bytes) -> Known | None:
    try:
        item = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(item, dict):
        return None
    tag, object_id, commit, how, remote = (item.get(key, "") for key in ("tag", "id", "commit", "how", "remote"))
    texts = (tag, object_id, commit, how, remote)
    if not all(isinstance(text, str) for text in texts) or how not in _HOW or not tag:
        return None
    kind: How = how
    # a modelver before this one kept the password of a URL
    return Known(tag, object_id, commit, kind, url_without_credentials(remote))
