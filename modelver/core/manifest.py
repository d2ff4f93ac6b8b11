"""The two manifests of a model: its tensors and its files, one JSON object a line.

``tensors.jsonl`` lets a diff tell which layers moved with no weights on the machine. ``files.jsonl`` ties
DVC's MD5 world to SHA-256: the DVC directory hash can be computed from its lines (`dvc_dir_hash`), so a
manifest that agrees with the pointer in Git says which SHA-256 each weight file must have.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TypeVar

from modelver.errors import InvalidInput

MAX_LINES = 2_000_000
"""Lines accepted in one manifest; a larger one is not something that modelver wrote."""


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor.

    Attributes:
        name: the tensor's name in the model.
        dtype: lower-case element type, as NumPy or ml_dtypes name it (``float32``, ``bfloat16``, ``int4``).
        shape: dimensions; empty for a scalar.
        bytes: size of the raw little-endian data, in bytes.
        sha256: digest of that data, hex.
        l2, min, max, mean: over the finite elements; None where there is none, or for strings.
        zeros: share of elements that are zero, 0 to 1; None as above.
        nonfinite: count of NaN and infinite elements.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    sha256: str
    l2: float | None = None
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    zeros: float | None = None
    nonfinite: int = 0


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of the weights.

    Attributes:
        path: relative to the weights folder, ``/`` as separator; for weights that are one file, its name.
        bytes: size in bytes.
        md5: hex, as DVC's cache addresses it.
        sha256: hex, what modelver verifies.
    """

    path: str
    bytes: int
    md5: str
    sha256: str


def dump_tensors(entries: Iterable[TensorEntry]) -> bytes:
    """Manifest lines in the order of tensor names; UTF-8, LF, keys in the order of the dataclass."""
    return _dump(sorted(entries, key=lambda e: e.name), TensorEntry)


def dump_files(entries: Iterable[FileEntry]) -> bytes:
    """Manifest lines in the order of paths; UTF-8, LF, keys in the order of the dataclass."""
    return _dump(sorted(entries, key=lambda e: e.path), FileEntry)


def load_tensors(data: bytes, where: str = "tensors.jsonl") -> list[TensorEntry]:
    """Parse `dump_tensors`' output.

    Raises:
        InvalidInput: a line is no object of the expected fields; the message names file and line.
    """
    entries = []
    for number, item in _lines(data, where):
        try:
            entries.append(
                TensorEntry(
                    name=_text(item["name"]),
                    dtype=_text(item["dtype"]),
                    shape=_shape(item["shape"]),
                    bytes=_size(item["bytes"]),
                    sha256=_hex(item["sha256"], 64),
                    l2=_number(item.get("l2")),
                    min=_number(item.get("min")),
                    max=_number(item.get("max")),
                    mean=_number(item.get("mean")),
                    zeros=_number(item.get("zeros")),
                    nonfinite=_size(item.get("nonfinite", 0)),
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"{where}, line {number}: {_why(error)}") from None
    return entries


def load_files(data: bytes, where: str = "files.jsonl") -> list[FileEntry]:
    """Parse `dump_files`' output.

    Raises:
        InvalidInput: a line is no object of the expected fields, or a path leaves the weights folder.
    """
    entries = []
    for number, item in _lines(data, where):
        try:
            path = _text(item["path"])
            check_relative_path(path)
            entries.append(FileEntry(path, _size(item["bytes"]), _hex(item["md5"], 32), _hex(item["sha256"], 64)))
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidInput(f"{where}, line {number}: {_why(error)}") from None
    return entries


def dvc_dir_hash(files: Iterable[FileEntry]) -> str:
    """The hash that DVC gives a folder of these files, ``<md5>.dir``.

    Source: ``dvc_data.hashfile.tree.Tree``: the MD5 of the JSON list of ``{"md5", "relpath"}``, sorted by path.
    """
    return hashlib.md5(dvc_dir_listing(files), usedforsecurity=False).hexdigest() + ".dir"


def dvc_dir_listing(files: Iterable[FileEntry]) -> bytes:
    """The JSON object that DVC's cache holds for a folder of these files."""
    listing = sorted(({"md5": f.md5, "relpath": f.path} for f in files), key=lambda entry: entry["relpath"])
    return json.dumps(listing, sort_keys=True).encode("utf-8")


def tree_digest(files: Iterable[FileEntry]) -> str:
    """SHA-256 over a folder: of the lines ``<sha256>  <path>`` in byte order of the paths.

    The same as ``(find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs sha256sum) | sha256sum`` in it.
    """
    lines = sorted(files, key=lambda f: f.path.encode("utf-8"))
    text = "".join(f"{f.sha256}  {f.path}\n" for f in lines)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def check_relative_path(path: str) -> None:
    """Raise ValueError unless ``path`` stays below the folder that it is relative to."""
    parts = path.split("/")
    if not path or path.startswith("/") or "\\" in path or "\0" in path or ".." in parts or "" in parts or "." in parts:
        raise ValueError(f"path {path!r} is not a plain relative path")


_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(", ", ": "))
"""Made once: `json.dumps` makes one for each line, and there may be a hundred thousand."""


_Entry = TypeVar("_Entry", TensorEntry, FileEntry)


def _dump(entries: Iterable[_Entry], kind: type[_Entry]) -> bytes:
    # not `dataclasses.asdict`, which copies values that JSON takes as they are, and takes five times as long
    names = [field.name for field in fields(kind)]
    return b"".join(
        _JSON.encode({name: getattr(entry, name) for name in names}).encode("utf-8") + b"\n" for entry in entries
    )


def _lines(data: bytes, where: str) -> Iterable[tuple[int, dict[str, object]]]:
    lines = data.split(b"\n")
    if len(lines) > MAX_LINES:
        raise InvalidInput(f"{where}: more than {MAX_LINES} lines")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except (ValueError, RecursionError):
            raise InvalidInput(f"{where}, line {number}: not a JSON object") from None
        if not isinstance(item, dict):
            raise InvalidInput(f"{where}, line {number}: not a JSON object")
        yield number, item


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {type(value).__name__}")
    if not value.isascii():
        value.encode("utf-8")  # JSON can spell half a surrogate pair, which no file can hold: a ValueError
    return value


def _size(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError("expected a size, a whole number of 0 or more")
    return value


def _shape(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise TypeError("expected a shape, a list of sizes")
    return tuple(_size(n) for n in value)


def _hex(value: object, length: int) -> str:
    text = _text(value)
    if len(text) != length or any(c not in "0123456789abcdef" for c in text):
        raise ValueError(f"expected {length} hexadecimal digits")
    return text


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("expected a number or null")
    return value


def _why(error: Exception) -> str:
    return f"field {error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
