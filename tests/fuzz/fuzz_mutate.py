"""Mutations of valid inputs: of bytes, and of the tree that a YAML or JSON document is.

The same mutations serve atheris (as its custom mutator, which adds guidance by coverage) and the plain loop.
"""

import copy
import json
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

import yaml

Mutate = Callable[[bytes, random.Random], bytes]

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**30, 0.0, -0.0, 1e308, float("inf"), float("nan"),
    "", " ", "x", "NO", "1.10", "null", "..", "../x", "/etc/passwd", "a/../b", ".git/config", ".git/hooks/pre-push",
    "\x00", "\x1b[31m", "\u202e", "\ud7ff", "\U0001f600", "a\nb", "-x", "--help", "%s%n", "{0.__class__}", "${x}",
    "x" * 300, "v1.0.0", "v1", "v99999999999999999999.0.0", "md5", "0" * 32, "0" * 32 + ".dir", "f" * 64, "2026-01-01",
    [], {}, [[]], [{}], [None], {"": None}, {"path": "x"}, {"name": "x"}, ["x"] * 50, {str(n): n for n in range(50)},
)  # fmt: skip
"""What is put in the place of a value: each type in the place of each other, and the edges of each."""

TOKENS = (
    b"\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff" * 9 + b"\x01", b"\xc0\x80", b"\xed\xa0\x80",
    b"\xef\xbb\xbf", b"\r\n",
    b"\n\n", b"---\n", b"<<<<<<< HEAD\n", b"&a [*a]", b"<<: ", b"!!python/name:os.system ", b"? ", b"{", b"[",
    b'"', b"'", b": ", b"- ", b"NaN", b"Infinity", b"1e999", b"-0", b"0x", b"..", b"/", b"@", b"#", b"!", b"\t", b"%",
    b"Modelver-Version: v1.0.0\n", b"-----BEGIN SSH SIGNATURE-----\n",
)  # fmt: skip


def in_bytes(data: bytes, rng: random.Random) -> bytes:
    """Flip, cut, put in, double, move, overwrite a length: one to four times."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(9)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(out):
            out[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif kind == 2:
            del out[at:]
        elif kind == 3:
            out[at:at] = rng.choice(TOKENS)
        elif kind == 4:
            del out[at : at + rng.randrange(1, 40)]
        elif kind == 5:
            out[at:at] = out[at : at + rng.randrange(1, 200)] * rng.choice((1, 1, 2, 50))
        elif kind == 6:
            start = rng.randrange(len(out) + 1)
            piece = bytes(out[start : start + rng.randrange(1, 100)])
            out[at : at + len(piece)] = piece
        elif kind == 7:
            form = rng.choice(("<Q", ">Q", "<I", ">I", "<H"))
            value = rng.choice((0, 1, 2**15, 2**16 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1, len(out)))
            out[at : at + struct.calcsize(form)] = struct.pack(form, value % 2 ** (8 * struct.calcsize(form)))
        else:
            out[at:at] = rng.randbytes(rng.randrange(1, 12))
    return bytes(out)


def in_yaml(data: bytes, rng: random.Random) -> bytes:
    """Another tree, written as YAML; a document that is none is changed as bytes."""
    if rng.random() < 0.25:
        return in_bytes(data, rng)
    try:
        document = yaml.load(data, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError, TypeError):
        return in_bytes(data, rng)
    try:
        return yaml.safe_dump(_changed(document, rng), allow_unicode=True, sort_keys=False).encode("utf-8", "replace")
    except (yaml.YAMLError, RecursionError, TypeError):
        return in_bytes(data, rng)


def in_json(data: bytes, rng: random.Random) -> bytes:
    """Another tree, written as JSON (with Python's NaN and Infinity)."""
    if rng.random() < 0.25:
        return in_bytes(data, rng)
    try:
        return json.dumps(_changed(json.loads(data), rng)).encode()
    except (ValueError, RecursionError):
        return in_bytes(data, rng)


def in_json_lines(data: bytes, rng: random.Random) -> bytes:
    """One of the lines as `in_json`, or lines swapped, doubled, left out."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    kind = rng.randrange(6)
    if kind == 0:
        lines.insert(at, lines[rng.randrange(len(lines))])
    elif kind == 1:
        del lines[at]
    else:
        lines[at] = in_json(lines[at], rng)
    return b"\n".join(lines)


def in_card(data: bytes, rng: random.Random) -> bytes:
    """The front matter as `in_yaml`, or the whole as bytes."""
    parts = data.split(b"---\n", 2)
    if len(parts) < 3 or rng.random() < 0.3:
        return in_bytes(data, rng)
    return b"---\n".join([parts[0], in_yaml(parts[1], rng), parts[2]])


def in_safetensors(data: bytes, rng: random.Random) -> bytes:
    """The header as `in_json` under a length that fits it, or the whole as bytes."""
    length = int.from_bytes(data[:8], "little")
    if rng.random() < 0.4 or len(data) < 8 + length:
        return in_bytes(data, rng)
    header = in_json(data[8 : 8 + length], rng)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def in_protobuf(data: bytes, rng: random.Random) -> bytes:
    """A field deep inside changed, with the lengths around it made to fit; or the whole as bytes."""
    if rng.random() < 0.4:
        return in_bytes(data, rng)
    return _protobuf(data, rng, 0)


def _protobuf(data: bytes, rng: random.Random, depth: int) -> bytes:
    fields = _fields(data)
    if not fields:
        return in_bytes(data, rng)
    at = rng.randrange(len(fields))
    tag, value = fields[at]
    kind = rng.randrange(12)
    if kind == 0:
        fields.insert(at, fields[rng.randrange(len(fields))])
    elif kind == 1:
        del fields[at]
    elif kind == 2:
        fields[at] = (rng.randrange(1, 40) << 3 | tag & 7, value)
    elif tag & 7 == 2 and isinstance(value, bytes):
        deeper = depth < 8 and len(value) > 1 and kind < 10
        fields[at] = (tag, _protobuf(value, rng, depth + 1) if deeper else in_bytes(value, rng))
    elif tag & 7 == 0:
        fields[at] = (tag, rng.choice((0, 1, 2, 13, 2**31 - 1, 2**31, 2**63, 2**64 - 1, rng.randrange(64))))
    elif isinstance(value, bytes):
        fields[at] = (tag, rng.randbytes(len(value)))
    return b"".join(map(_written, fields))


def _fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """Tag and value of each field; empty where the bytes are no message."""
    found: list[tuple[int, int | bytes]] = []
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        width = {1: 8, 5: 4}.get(tag & 7)
        if tag & 7 == 0:
            number, position = _varint(data, position)
            found.append((tag, number))
            continue
        if tag & 7 == 2:
            width, position = _varint(data, position)
        if width is None or not tag >> 3 or position + width > len(data):
            return []
        found.append((tag, data[position : position + width]))
        position += width
    return found if position == len(data) else []


def _varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while position < len(data) and shift < 70:
        byte = data[position]
        number |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return number, position
    return 7, len(data) + 1


def _written(field: tuple[int, int | bytes]) -> bytes:
    tag, value = field
    if isinstance(value, int):
        return _as_varint(tag) + _as_varint(value)
    return _as_varint(tag) + (_as_varint(len(value)) if tag & 7 == 2 else b"") + value


def _as_varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _changed(document: Any, rng: random.Random) -> Any:
    """A copy of a tree with one to three of its places changed."""
    tree = [copy.deepcopy(document)]
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = _places(tree)
        holder, key = rng.choice(places)
        kind = rng.randrange(8)
        if kind == 0 and holder is not tree:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[rng.choice(("", "x", "path", "md5", "name", "<<", "*", "a.b", "NO", "\n", "1", "é" * 40))] = (
                holder.get(key)
            )
        elif kind == 2:
            other, at = rng.choice(places)
            holder[key] = copy.deepcopy(other[at])
        elif kind == 3:
            for _ in range(rng.choice((1, 3, 60))):
                holder[key] = [holder[key]] if rng.random() < 0.5 else {"a": holder[key]}
        elif kind == 4 and isinstance(holder[key], str) and holder[key]:
            holder[key] = in_bytes(holder[key].encode(), rng).decode("utf-8", "replace")
        else:
            holder[key] = copy.deepcopy(rng.choice(VALUES))
    return tree[0]


def _places(tree: list[Any]) -> Sequence[tuple[Any, Any]]:
    """Each value by what holds it; at most some thousand."""
    found: list[tuple[Any, Any]] = [(tree, 0)]
    queue: list[Any] = [tree[0]]
    while queue and len(found) < 4000:
        node = queue.pop()
        keys: Sequence[Any] = (
            list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        )
        for key in keys:
            found.append((node, key))
            queue.append(node[key])
    return found
