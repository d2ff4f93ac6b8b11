"""ONNX's TensorProto on the wire: what it declares, and where its data lies.

Source: onnx.proto (IR version 14), message TensorProto.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from modelver.core.manifest import TensorEntry
from modelver.formats import dtypes
from modelver.formats.contained import Folder
from modelver.formats.digest import Digester, Hash, rechunk, sha256
from modelver.formats.stats import Stats
from modelver.formats.wire import BYTES, FIXED32, FIXED64, VARINT, Field, Malformed, Reader, Rope, varint

DIMS, DATA_TYPE, SEGMENT, NAME, RAW, EXTERNAL, LOCATION = 1, 2, 3, 8, 9, 13, 14
FLOATS, INT32S, STRINGS, INT64S, DOUBLES, UINT64S = 4, 5, 6, 7, 10, 11
TYPED = (FLOATS, INT32S, STRINGS, INT64S, DOUBLES, UINT64S)

_MAX_BYTES = 1 << 44
_MAX_PARTS = 2_000_000
_VARINTS = 1 << 20
_TYPED_FIELD = {
    "float32": FLOATS,
    "complex64": FLOATS,
    "float64": DOUBLES,
    "complex128": DOUBLES,
    "int64": INT64S,
    "uint32": UINT64S,
    "uint64": UINT64S,
    "string": STRINGS,
}


@dataclass(slots=True)
class WireTensor:
    """A TensorProto: where it lies, and what it says.

    Attributes:
        start, end: its range in the reader's file.
        name: as it stands in the model; may be empty in attributes.
        dtype: None for UNDEFINED.
        shape: dimensions.
        kept: fields that are copied whatever becomes of the data.
        data: fields that hold data, raw or typed.
        external: external data's keys and values; empty for inline data.
    """

    reader: Reader
    start: int
    end: int
    name: str = ""
    dtype: dtypes.DType | None = None
    shape: list[int] = field(default_factory=list)
    kept: list[Field] = field(default_factory=list)
    data: list[Field] = field(default_factory=list)
    external: dict[str, str] = field(default_factory=dict)
    is_external: bool = False

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size as raw data; for strings what their bytes take in the file."""
        assert self.dtype is not None
        if self.dtype.bits == 0:
            return sum(part.end - part.start for part in self.data)
        return self.dtype.size(self.count)


def parse(reader: Reader, start: int, end: int, where: str) -> WireTensor:
    """Read the TensorProto between ``start`` and ``end``; ``where`` names model and tensor in messages.

    Raises:
        InvalidInput: it is malformed, or size, type and data do not fit together.
    """
    tensor = WireTensor(reader, start, end)
    seen: set[int] = set()
    for item in reader.fields(start, end):
        if item.number in (DATA_TYPE, NAME, RAW, LOCATION) and item.number in seen:
            raise Malformed(f"{where}: field {item.number} is there twice")
        seen.add(item.number)
        _take(tensor, item, where)
    if SEGMENT in seen:
        raise Malformed(f"{where}: data in segments is not supported")
    _check(tensor, f"{where}, called {tensor.name!r}" if tensor.name else where)
    return tensor


def _take(tensor: WireTensor, item: Field, where: str) -> None:
    number = item.number
    if number == DIMS:
        tensor.shape.extend(_dims(item, where))
        tensor.kept.append(item)
    elif number == DATA_TYPE:
        tensor.kept.append(item)
        if item.kind != VARINT or item.value not in (0, *dtypes.ONNX):
            raise Malformed(f"{where}: unknown data type {item.value}")
        tensor.dtype = dtypes.ONNX.get(item.value)
    elif number == NAME:
        tensor.name = item.text()
        tensor.kept.append(item)
    elif number == RAW or number in TYPED:
        tensor.data.append(item)
        if len(tensor.data) > _MAX_PARTS:
            raise Malformed(f"{where}: more than {_MAX_PARTS} strings or unpacked numbers")
    elif number == EXTERNAL:
        key, value = _pair(item, where)
        if key in tensor.external:
            raise Malformed(f"{where}: external data's {key!r} is there twice")
        tensor.external[key] = value
    elif number == LOCATION:
        if item.kind != VARINT or item.value not in (0, 1):
            raise Malformed(f"{where}: data_location is neither DEFAULT nor EXTERNAL")
        tensor.is_external = item.value == 1
    else:
        tensor.kept.append(item)


def _dims(item: Field, where: str) -> list[int]:
    if item.kind == VARINT:
        values = [item.value]
    elif item.kind == BYTES:
        values, position = [], item.start
        while position < item.end:
            value, position = item.reader.varint(position, item.end)
            values.append(value)
            if len(values) > 1000:
                break
    else:
        raise Malformed(f"{where}: broken dims")
    if len(values) > 1000 or any(value > _MAX_BYTES for value in values):
        raise Malformed(f"{where}: dims are negative, or too large or too many")
    return values


def _pair(item: Field, where: str) -> tuple[str, str]:
    if item.kind != BYTES:
        raise Malformed(f"{where}: broken external_data")
    pair = {1: "", 2: ""}
    for part in item.reader.fields(item.start, item.end):
        if part.number in pair:
            pair[part.number] = part.text()
    return pair[1], pair[2]


def _check(tensor: WireTensor, where: str) -> None:
    if tensor.dtype is None:
        if tensor.data or tensor.is_external:
            raise Malformed(f"{where}: it has data but no data type")
        return
    if len(tensor.shape) > 1000 or tensor.count * max(tensor.dtype.bits, 8) > _MAX_BYTES * 8:
        raise Malformed(f"{where}: {'x'.join(map(str, tensor.shape[:20]))} elements are too many")
    numbers = {item.number for item in tensor.data}
    if tensor.is_external:
        if tensor.data or tensor.dtype.bits == 0:
            raise Malformed(f"{where}: external data besides inline data, or of strings")
        return
    expected = {_TYPED_FIELD.get(tensor.dtype.name, INT32S), *([RAW] if tensor.dtype.bits else [])}
    if len(numbers) > 1 or not numbers <= expected:
        raise Malformed(f"{where}: its data stands in a field that does not fit its type {tensor.dtype.name}")
    if numbers == {RAW} or not numbers:
        found = tensor.data[0].end - tensor.data[0].start if numbers else 0
        if tensor.dtype.bits and found != tensor.bytes:
            raise Malformed(f"{where}: raw_data has {found} bytes, type and dims need {tensor.bytes}")
        if numbers and tensor.data[0].kind != BYTES:
            raise Malformed(f"{where}: broken raw_data")


def payload(tensor: WireTensor, folder: Folder, where: str) -> Rope | None:
    """The raw little-endian data as ranges of files, or None where it has to be decoded (`decoded`).

    Raises:
        InvalidInput: external data is not where the model says; the message names the tensor and the field.
    """
    assert tensor.dtype is not None
    rope = Rope()
    if tensor.is_external:
        reader, offset = _locate(tensor, folder, where)
        rope.add_span(reader, offset, offset + tensor.bytes)
        return rope
    if tensor.data and tensor.data[0].number not in (RAW, FLOATS, DOUBLES):
        return None
    for part in tensor.data:
        if part.kind not in (BYTES, FIXED32 if part.number == FLOATS else FIXED64):
            raise Malformed(f"{where}: broken data")
        rope.add_span(part.reader, part.start, part.end)
    if rope.length != tensor.bytes:
        raise Malformed(f"{where}: {rope.length} bytes of data, type and dims need {tensor.bytes}")
    return rope


def _locate(tensor: WireTensor, folder: Folder, where: str) -> tuple[Reader, int]:
    reader = folder.open(tensor.external.get("location", ""), f"{where}, external_data.location")
    offset = _number(tensor.external.get("offset", "0"), f"{where}, external_data.offset")
    length = _number(tensor.external.get("length", str(tensor.bytes)), f"{where}, external_data.length")
    if length != tensor.bytes:
        raise Malformed(f"{where}, external_data.length: {length} bytes, type and dims need {tensor.bytes}")
    if offset + length > reader.size:
        raise Malformed(
            f"{where}, external_data.offset: {offset} + {length} bytes reach past the end of "
            f"{tensor.external['location']!r}, which has {reader.size}"
        )
    return reader, offset


def _number(text: str, where: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise Malformed(f"{where}: {text[:40]!r} is not a size")
    return int(text)


def decoded(tensor: WireTensor, where: str) -> Iterator[memoryview]:
    """Typed integer data as raw little-endian pieces, or a digestible form of strings (length, then bytes).

    Raises:
        InvalidInput: a number is broken, or there are more or fewer than type and dims need.
    """
    assert tensor.dtype is not None
    pieces = _strings(tensor, where) if tensor.dtype.bits == 0 else rechunk(_integers(tensor, where))
    total = 0
    for piece in pieces:
        total += len(piece)
        if tensor.dtype.bits and total > tensor.bytes:
            break
        yield piece
    if tensor.dtype.bits and total != tensor.bytes:
        raise Malformed(f"{where}: its data does not have the {tensor.count} elements that dims call for")


def _strings(tensor: WireTensor, where: str) -> Iterator[memoryview]:
    if len(tensor.data) != tensor.count:
        raise Malformed(f"{where}: {len(tensor.data)} strings, dims need {tensor.count}")
    for part in tensor.data:
        if part.kind != BYTES:
            raise Malformed(f"{where}: broken string_data")
        yield memoryview((part.end - part.start).to_bytes(8, "little"))
        yield from part.reader.pieces(part.start, part.end)


def _integers(tensor: WireTensor, where: str) -> Iterator[memoryview]:
    import numpy as np

    assert tensor.dtype is not None
    bits = tensor.dtype.bits
    target = np.dtype(f"<u{max(bits // 8, 1)}")
    rest = b""
    for values in _varints(tensor, where):
        raw = values.astype(target)
        if bits == 6:
            data = rest + raw.tobytes()
            cut = len(data) - len(data) % 4
            rest = data[cut:]
            raw = _pack_six(np.frombuffer(data[:cut], dtype=np.uint8))
        yield memoryview(raw.view(np.uint8)) if raw.size else memoryview(b"")
    if rest:
        last = np.frombuffer(rest.ljust(4, b"\0"), dtype=np.uint8)
        yield memoryview(_pack_six(last)[: (len(rest) * 6 + 7) // 8])


def _pack_six(codes: Any) -> Any:
    import numpy as np

    groups = codes.reshape(-1, 4).astype(np.uint32)
    word = groups[:, 0] | groups[:, 1] << 6 | groups[:, 2] << 12 | groups[:, 3] << 18
    return np.stack([word >> shift & 255 for shift in (0, 8, 16)], axis=1).astype(np.uint8).ravel()


def _varints(tensor: WireTensor, where: str) -> Iterator[Any]:
    """The numbers as uint64 (negative ones in two's complement), in blocks."""
    import numpy as np

    for part in tensor.data:
        if part.kind == VARINT:
            yield np.array([part.value], dtype=np.uint64)
            continue
        if part.kind != BYTES:
            raise Malformed(f"{where}: broken data")
        carry = b""
        for piece in part.reader.pieces(part.start, part.end):
            for start in range(0, len(piece), _VARINTS):
                block = np.frombuffer(carry + bytes(piece[start : start + _VARINTS]), dtype=np.uint8)
                ends = np.flatnonzero(block < 0x80)
                used = int(ends[-1]) + 1 if ends.size else 0
                carry = block[used:].tobytes()
                if len(carry) > 10:
                    raise Malformed(f"{where}: broken number in its data")
                if used:
                    yield _decode(block[:used], ends, where)
        if carry:
            raise Malformed(f"{where}: its data ends inside a number")


def _decode(block: Any, ends: Any, where: str) -> Any:
    import numpy as np

    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    longest = int(lengths.max())
    if longest > 10:
        raise Malformed(f"{where}: broken number in its data")
    if longest == 1:
        return block.astype(np.uint64)
    values = np.zeros(starts.size, dtype=np.uint64)
    if longest == int(lengths.min()):
        for place, digits in enumerate(block.reshape(-1, longest).T):
            values |= (digits & 0x7F).astype(np.uint64) << np.uint64(7 * place)
        return values
    for place in range(longest):
        at = lengths > place
        digits = (block[starts[at] + place] & 0x7F).astype(np.uint64)
        values[at] |= digits << np.uint64(7 * place)
    return values


def digest(tensor: WireTensor, folder: Folder, where: str, digester: Digester) -> str:
    """SHA-256 of a tensor's raw data, hex."""
    assert tensor.dtype is not None
    rope = payload(tensor, folder, where) if tensor.dtype.bits else None
    whole = sha256()
    digester.run(decoded(tensor, where) if rope is None else rope.pieces(), [whole])
    return whole.hexdigest()


def measure(
    tensor: WireTensor, name: str, folder: Folder, where: str, digester: Digester, *more: Hash
) -> tuple[TensorEntry, Rope | None]:
    """A tensor's manifest entry and its raw data as ranges of files (None where it must be decoded).

    Args:
        tensor: the tensor.
        name: what the manifest calls it.
        folder: where external data is looked for.
        where: model and tensor, for messages.
        digester: does the work.
        more: further hashes to feed with the raw data.
    """
    assert tensor.dtype is not None
    rope = payload(tensor, folder, where) if tensor.dtype.bits else None
    pieces = decoded(tensor, where) if rope is None else _even(rope)
    stats = Stats(tensor.dtype, tensor.count) if tensor.dtype.bits else None
    whole = sha256()
    digester.run(pieces, [whole, *more], stats)
    facts = stats.result() if stats is not None else {}
    entry = TensorEntry(name, tensor.dtype.name, tuple(tensor.shape), tensor.bytes, whole.hexdigest(), **facts)
    return entry, rope


def _even(rope: Rope) -> Iterator[memoryview]:
    return rope.pieces() if len(rope.parts) < 2 else rechunk(rope.pieces())


def rebuilt(tensor: WireTensor, *added: tuple[int, Rope | bytes]) -> Rope:
    """The tensor without its data, and with ``added`` fields, in the order of field numbers as protobuf writes them."""
    fields: list[tuple[int, Field | Rope | bytes]] = [(item.number, item) for item in tensor.kept]
    fields += added
    rope = Rope()
    for number, item in sorted(fields, key=lambda pair: pair[0]):
        if isinstance(item, Field):
            rope.add_span(item.reader, item.tag, item.end)
        else:
            rope.add_field(number, item)
    return rope


def external(tensor: WireTensor, location: str, length: int) -> Rope:
    """The tensor with its data in the file ``location``, from offset 0."""
    pairs = {"location": location, "offset": "0", "length": str(length)}
    rope = rebuilt(tensor, *((EXTERNAL, _entry(key, value)) for key, value in pairs.items()))
    flag = varint(LOCATION << 3 | VARINT) + varint(1)
    rope.add(flag)
    return rope


def _entry(key: str, value: str) -> bytes:
    rope = Rope()
    rope.add_field(1, key.encode())
    rope.add_field(2, value.encode())
    return b"".join(bytes(piece) for piece in rope.pieces())
