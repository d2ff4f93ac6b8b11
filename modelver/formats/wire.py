"""Protobuf's wire format and byte ranges of files, read and rebuilt without holding a message in memory.

Source: https://protobuf.dev/programming-guides/encoding/
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG
from types import TracebackType
from typing import NamedTuple

from modelver.errors import InvalidInput, NotFound

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
PIECE = 1 << 20
"""Bytes read at once from a payload."""

_WINDOW = 32 << 10
_MAX_FIELDS = 20_000_000
_MAX_TAG = (1 << 32) - 1


class Malformed(InvalidInput):
    """The bytes do not follow the wire format (or the file is shorter than they say)."""


class Reader:
    """A regular file, read by position; never mapped, so that a file cut short meanwhile is an error, not a signal.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it is no regular file.
    """

    def __init__(self, path: Path, opener: Callable[[], int] | None = None) -> None:
        self.path = path
        self._opener = opener or self._open
        self._descriptor: int | None = self._opener()
        stat = os.fstat(self._descriptor)
        if not S_ISREG(stat.st_mode):
            self.park()
            raise InvalidInput(f"{path} is not a regular file")
        self.size = stat.st_size
        self._state = _identity(stat)
        self._data = b""
        self._base = 0
        self._buffer = bytearray()
        self._fields = 0

    def _open(self) -> int:
        try:
            # O_NONBLOCK: a FIFO would block the open for ever
            return os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound(f"{self.path} does not exist") from None
        except OSError as error:
            raise InvalidInput(f"{self.path} cannot be read: {error.strerror}") from None

    @property
    def fd(self) -> int:
        """The descriptor; a parked file is opened again, and must be the same one still."""
        if self._descriptor is None:
            self._descriptor = self._opener()
            self.check_unchanged()
        return self._descriptor

    def park(self) -> None:
        """Give the descriptor back until the file is read again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> "Reader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.park()

    def check_unchanged(self) -> None:
        """Raise InvalidInput if the file was written to, or replaced, since it was opened."""
        if _identity(os.fstat(self.fd)) != self._state:
            raise InvalidInput(f"{self.path} changed while it was read", "run the command again")

    def window(self, position: int, need: int) -> tuple[bytes, int]:
        """A buffer that holds ``need`` bytes from ``position`` on (fewer at the end), and where it starts."""
        if position < self._base or position + need > self._base + len(self._data):
            self._data = os.pread(self.fd, max(_WINDOW, need), position)
            self._base = position
        return self._data, self._base

    def read(self, start: int, end: int) -> bytes:
        """The bytes from ``start`` to ``end``; for small ranges."""
        data, base = self.window(start, end - start)
        found = data[start - base : end - base]
        if len(found) != end - start:
            raise Malformed(f"{self.path} ends at byte {start + len(found)}, before the {end} expected")
        return found

    def pieces(self, start: int, end: int) -> Iterator[memoryview]:
        """The bytes from ``start`` to ``end`` in pieces of `PIECE`; each is valid until the next is asked for."""
        if len(self._buffer) < min(PIECE, end - start):
            self._buffer = bytearray(min(PIECE, end - start))
        view = memoryview(self._buffer)
        while start < end:
            piece = view[: min(PIECE, end - start)]
            have = 0
            while have < len(piece):
                got = os.preadv(self.fd, [piece[have:]], start + have)
                if got == 0:
                    raise Malformed(f"{self.path} ends at byte {start + have}, before the {end} expected")
                have += got
            yield piece
            start += len(piece)

    def fields(self, start: int, end: int) -> Iterator["Field"]:
        """The fields of the message that lies from ``start`` to ``end``.

        Raises:
            Malformed: a tag, length or varint is broken, or runs past the message.
        """
        if end > self.size:
            raise Malformed(f"{self.path} is truncated: {end} bytes expected, {self.size} found")
        position = start
        data, base = b"", 0
        while position < end:
            tag_start = position
            # Most tags and lengths take one byte: a call for each is half of the time that a large graph takes.
            offset = position - base
            if not 0 <= offset < len(data):
                data, base = self.window(position, 1)
                offset = position - base
            tag = data[offset] if offset < len(data) else 0x80
            if tag < 0x80:
                position += 1
            else:
                tag, position = self.varint(position, end)
            number, kind = tag >> 3, tag & 7
            if number == 0 or tag > _MAX_TAG:
                raise Malformed(f"{self.path}: broken field tag at byte {tag_start}")
            value = 0
            if kind == BYTES:
                offset = position - base
                length = data[offset] if position < end and 0 <= offset < len(data) else 0x80
                if length < 0x80:
                    position += 1
                else:
                    length, position = self.varint(position, end)
                stop = position + length
            elif kind == VARINT:
                value, stop = self.varint(position, end)
            elif kind in (FIXED32, FIXED64):
                stop = position + (4 if kind == FIXED32 else 8)
            else:
                raise Malformed(f"{self.path}: unknown wire type {kind} at byte {tag_start}")
            if stop > end:
                raise Malformed(f"{self.path}: field {number} at byte {tag_start} is longer than what holds it")
            self._fields += 1
            if self._fields > _MAX_FIELDS:
                raise Malformed(f"{self.path} has more than {_MAX_FIELDS} fields")
            yield Field(self, number, kind, tag_start, position, stop, value)
            position = stop

    def varint(self, position: int, end: int) -> tuple[int, int]:
        """The varint at ``position``, below 2^64, and where the next thing starts."""
        data, base = self.window(position, 10)
        offset = position - base
        stop = min(len(data), end - base)
        value = shift = 0
        while offset < stop:
            byte = data[offset]
            offset += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >> 64:
                    break
                return value, base + offset
            shift += 7
            if shift > 63:
                break
        raise Malformed(f"{self.path}: broken number at byte {position}")


class Field(NamedTuple):  # there are millions of them, and a frozen dataclass takes four times as long to make
    """One field: its number, wire type, and where tag, payload and end lie; ``value`` for varints."""

    reader: Reader
    number: int
    kind: int
    tag: int
    start: int
    end: int
    value: int

    def text(self) -> str:
        """The payload as text.

        Raises:
            Malformed: it is no length-delimited field, is over 1 MiB, or is not UTF-8.
        """
        if self.kind != BYTES or self.end - self.start > 1 << 20:
            raise Malformed(f"{self.reader.path}: field {self.number} at byte {self.tag} is not a short text")
        try:
            return self.reader.read(self.start, self.end).decode("utf-8")
        except UnicodeDecodeError:
            raise Malformed(f"{self.reader.path}: text at byte {self.start} is not UTF-8") from None


@dataclass(frozen=True, slots=True)
class Span:
    """A byte range of an open file."""

    reader: Reader
    start: int
    end: int


@dataclass(slots=True)
class Rope:
    """A long byte string made of short ones and of ranges of files."""

    parts: list[bytes | Span] = field(default_factory=list)
    length: int = 0

    def add(self, data: bytes) -> None:
        """Append bytes."""
        if data:
            self.parts.append(data)
            self.length += len(data)

    def add_span(self, reader: Reader, start: int, end: int) -> None:
        """Append a range; one that follows the last is merged with it."""
        if start == end:
            return
        self.length += end - start
        last = self.parts[-1] if self.parts else None
        if isinstance(last, Span) and last.reader is reader and last.end == start:
            self.parts[-1] = Span(reader, last.start, end)
        else:
            self.parts.append(Span(reader, start, end))

    def add_rope(self, other: "Rope") -> None:
        """Append another rope."""
        for part in other.parts:
            if isinstance(part, Span):
                self.add_span(part.reader, part.start, part.end)
            else:
                self.add(part)

    def add_field(self, number: int, payload: "Rope | bytes") -> None:
        """Append a length-delimited protobuf field."""
        if isinstance(payload, bytes):
            self.add(varint(number << 3 | BYTES) + varint(len(payload)) + payload)
        else:
            self.add(varint(number << 3 | BYTES) + varint(payload.length))
            self.add_rope(payload)

    def is_span(self, start: int, end: int) -> bool:
        """Whether the rope is just the range from ``start`` to ``end`` of the one file it was made from."""
        if start == end:
            return not self.parts
        only = self.parts[0] if len(self.parts) == 1 else None
        return isinstance(only, Span) and (only.start, only.end) == (start, end)

    def pieces(self) -> Iterator[memoryview]:
        """The bytes, in pieces of at most `PIECE`; each is valid until the next is asked for."""
        for part in self.parts:
            if isinstance(part, bytes):
                yield memoryview(part)
            else:
                yield from part.reader.pieces(part.start, part.end)


def varint(value: int) -> bytes:
    """A varint's bytes; ``value`` from 0 to 2^64 - 1."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _identity(stat: os.stat_result) -> tuple[int, ...]:
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
