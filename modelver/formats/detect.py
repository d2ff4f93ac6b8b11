"""Tell ONNX and safetensors from everything else, by what the first bytes say."""

from pathlib import Path
from typing import Literal

from modelver.errors import InvalidInput, NotFound
from modelver.formats.companions import FRAMEWORK_SUFFIXES, listing
from modelver.formats.safetensors import INDEX
from modelver.formats.safetensors_header import MAX_HEADER, header_length
from modelver.formats.wire import BYTES, VARINT, Malformed, Reader

Kind = Literal["onnx", "safetensors", "other"]

_MAX_TOP_FIELDS = 100_000
_MODEL_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}
_BESIDE_ONNX = {".bin", ".pb", ".npz", ".npy"}
"""Suffixes that external data and test data of an ONNX model have as well."""

_KNOWN = (
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (b"GGUF", "a GGUF file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"%PDF", "a PDF"),
    (b"\x80\x04\x95", "a Python pickle"),
)


def detect(path: Path) -> Kind:
    """What is at ``path``: a file, or a folder with one model.

    A folder is ``safetensors`` with an index or one ``.safetensors`` file, ``onnx`` with one ``.onnx`` file;
    with another framework's weights in it, or several models, it is ``other``. Reads the first bytes only (of
    an ONNX file: the tags of its outermost fields).

    Raises:
        NotFound: nothing is there.
        InvalidInput: it is no regular file or folder, or is named ``.onnx`` or ``.safetensors`` and is not that;
            the message says what it is.
    """
    if path.is_dir():
        return _detect_folder(path)
    suffix = path.suffix.lower()
    if not path.exists():
        raise NotFound(f"{path} does not exist")
    with Reader(path) as reader:
        if suffix == ".onnx":
            return _named_onnx(reader)
        if suffix == ".safetensors":
            return _named_safetensors(reader)
        if suffix in FRAMEWORK_SUFFIXES or _known(reader):
            return "other"
        if _looks_like_safetensors(reader):
            return "safetensors"
        return "onnx" if _why_not_onnx(reader) is None else "other"


def _detect_folder(path: Path) -> Kind:
    names = list(listing(path))
    suffixes = {Path(name).suffix.lower() for name in names}
    models = [name for name in names if name.lower().endswith(".onnx")]
    shards = [name for name in names if name.lower().endswith(".safetensors")]
    if models:
        foreign = shards or suffixes & (FRAMEWORK_SUFFIXES - _BESIDE_ONNX)
        return "onnx" if len(models) == 1 and "/" not in models[0] and not foreign else "other"
    if suffixes & FRAMEWORK_SUFFIXES:
        return "other"
    if INDEX in names:
        return "safetensors"
    return "safetensors" if len(shards) == 1 and "/" not in shards[0] else "other"


def _named_onnx(reader: Reader) -> Kind:
    known = _known(reader)
    if known:
        raise InvalidInput(f"{reader.path} is not an ONNX model: it is {known}", _advice(known))
    why = _why_not_onnx(reader)
    if why:
        raise InvalidInput(f"{reader.path} is not an ONNX model: {why}")
    return "onnx"


def _named_safetensors(reader: Reader) -> Kind:
    known = _known(reader)
    if known:
        raise InvalidInput(f"{reader.path} is not a safetensors file: it is {known}", _advice(known))
    if not _looks_like_safetensors(reader):
        header_length(reader)  # says what is wrong with the length
        raise InvalidInput(f"{reader.path} is not a safetensors file: no JSON object follows the header's length")
    return "safetensors"


def _advice(known: str) -> str:
    if "LFS" in known:
        return "git lfs pull"
    return "unpack it first" if "archive" in known else ""


def _known(reader: Reader) -> str:
    """What the first bytes give away, or nothing."""
    head = reader.read(0, min(reader.size, 512))
    if not head:
        return "empty"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "an HTML or XML page, such as a download's error page"
    return next((what for start, what in _KNOWN if head.startswith(start)), "")


def _looks_like_safetensors(reader: Reader) -> bool:
    if reader.size < 10:
        return False
    head = reader.read(0, 9)
    length = int.from_bytes(head[:8], "little")
    return head[8:] == b"{" and 2 <= length <= min(MAX_HEADER, reader.size - 8)


def _why_not_onnx(reader: Reader) -> str | None:
    """Why the outermost fields are not those of a ModelProto; None if they are."""
    kinds: dict[int, int] = {}
    try:
        for count, item in enumerate(reader.fields(0, reader.size)):
            if item.number not in _MODEL_FIELDS or count > _MAX_TOP_FIELDS:
                return f"field {item.number} at byte {item.tag} is none of a model's"
            kinds[item.number] = item.kind
    except Malformed as error:
        return error.message.removeprefix(f"{reader.path}: ")
    if kinds.get(1) != VARINT or kinds.get(7) != BYTES:
        return "it has no IR version or no graph"
    return None
