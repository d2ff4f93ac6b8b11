"""The header of a safetensors file: read with every check, written as the format's own library writes it.

Source: https://github.com/huggingface/safetensors#format. Eight bytes little-endian length, JSON, data.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modelver.errors import InvalidInput
from modelver.formats.dtypes import SAFETENSORS, DType
from modelver.formats.wire import Reader

MAX_HEADER = 100_000_000
"""Bytes; the format's own limit."""

METADATA = "__metadata__"
_MAX_SIZE = 1 << 48
_ORDER = {code: place for place, code in enumerate(SAFETENSORS)}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a safetensors file.

    Attributes:
        name: its key in the header.
        code: the element type as the format names it.
        shape: dimensions; empty for a scalar.
        reader: the file that holds the data.
        start, end: where in that file.
    """

    name: str
    code: str
    shape: tuple[int, ...]
    reader: Reader
    start: int
    end: int

    @property
    def bytes(self) -> int:
        """Size of the data."""
        return self.end - self.start

    @property
    def dtype(self) -> DType:
        """The element type."""
        return SAFETENSORS[self.code]

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


def header_length(reader: Reader) -> int:
    """The length that the file's first eight bytes give.

    Raises:
        InvalidInput: the file is too short, or the length is beyond the file or `MAX_HEADER`.
    """
    if reader.size < 8:
        raise InvalidInput(f"{reader.path} is no safetensors file: it has only {reader.size} bytes")
    length = int.from_bytes(reader.read(0, 8), "little")
    if length > MAX_HEADER:
        raise InvalidInput(f"{reader.path}: its header says that it has {length} bytes, the limit is {MAX_HEADER}")
    if 8 + length > reader.size:
        raise InvalidInput(f"{reader.path} is truncated: a header of {length} bytes, a file of {reader.size}")
    return length


def read(reader: Reader) -> tuple[list[Tensor], dict[str, str]]:
    """Tensors, in the order of their data, and ``__metadata__``.

    Raises:
        InvalidInput: the header is not JSON, repeats a key, or its offsets overlap, leave holes, leave the file
            or do not fit types and shapes.
    """
    length = header_length(reader)
    where = str(reader.path)
    header = load_json(reader.read(8, 8 + length), f"{where}: the header")
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise InvalidInput(f"{where}: {METADATA} is not a mapping of texts")
    start = 8 + length
    tensors = [_tensor(reader, start, name, facts) for name, facts in header.items()]
    tensors.sort(key=lambda tensor: (tensor.start, tensor.end, tensor.name))
    position = start
    for tensor in tensors:
        if tensor.start != position:
            what = "overlaps the one before" if tensor.start < position else "leaves a hole before it"
            raise InvalidInput(f"{where}: the data of tensor {tensor.name!r} {what}")
        position = tensor.end
    if position != reader.size:
        raise InvalidInput(f"{where}: its tensors end at byte {position}, the file at {reader.size}")
    return tensors, metadata


def load_json(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object with no key twice at any level.

    Raises:
        InvalidInput: it is not that; ``what`` begins the message.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key is there twice")
        return found

    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=unique)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # escapes may hide half a surrogate pair
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{what} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidInput(f"{what} is not a JSON object")
    return value


def _tensor(reader: Reader, base: int, name: str, facts: Any) -> Tensor:
    where = f"{reader.path}, tensor {name!r}"
    if not isinstance(facts, dict):
        raise InvalidInput(f"{where}: not a JSON object")
    code: Any = facts.get("dtype")
    shape: Any = facts.get("shape")
    offsets: Any = facts.get("data_offsets")
    if not isinstance(code, str) or code not in SAFETENSORS:
        raise InvalidInput(f"{where}: unknown dtype {str(code)[:40]!r}")
    if not _sizes(shape) or len(shape) > 1000 or math.prod(shape) > _MAX_SIZE:
        raise InvalidInput(f"{where}: its shape is not a list of sizes")
    if not _sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1] or base + offsets[1] > reader.size:
        raise InvalidInput(f"{where}: its data_offsets {str(offsets)[:60]} do not lie in the file")
    tensor = Tensor(name, code, tuple(shape), reader, base + offsets[0], base + offsets[1])
    if tensor.dtype.size(tensor.count) != tensor.bytes:
        raise InvalidInput(f"{where}: {tensor.bytes} bytes, its dtype and shape need {tensor.dtype.size(tensor.count)}")
    return tensor


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n <= _MAX_SIZE for n in value)


def order(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Tensors as the format's library lays them out: widest types first (so that data is aligned), then by name."""
    return sorted(tensors, key=lambda tensor: (-_ORDER[tensor.code], tensor.name.encode("utf-8")))


def write(tensors: Iterable[Tensor], metadata: Mapping[str, str]) -> bytes:
    """Length and header of a file that holds the tensors' data in this order, padded with spaces to 8 bytes."""
    header: dict[str, Any] = {METADATA: dict(sorted(metadata.items()))} if metadata else {}
    position = 0
    for tensor in tensors:
        span = [position, position + tensor.bytes]
        header[tensor.name] = {"dtype": tensor.code, "shape": list(tensor.shape), "data_offsets": span}
        position += tensor.bytes
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
