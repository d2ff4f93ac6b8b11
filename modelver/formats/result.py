"""What reading a model file gives: tensors, files, and the facts a sidecar shows."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelver.core.manifest import FileEntry, TensorEntry

BIG_TENSOR = 1 << 20
"""Bytes from which a tensor gets a file of its own."""

OWNED = re.compile(r"tensors/[0-9a-f]{64}|model-(small-)?[0-9a-f]{64}\.safetensors")
"""Paths that only a split gives."""

TEMPORARY = ".modelver-{}.tmp"
"""Name under which a file is written before it gets its own."""


@dataclass(frozen=True, slots=True)
class Ingested:
    """A model that was split into a weights folder.

    Attributes:
        tensors: every tensor, in the order of names.
        files: every file that the model consists of, in the order of paths relative to the folder.
        format: a sidecar's ``format``.
        signature: a sidecar's ``signature``; None for formats that have none.
        graph: a sidecar's ``graph``; None for formats that have none.
    """

    tensors: tuple[TensorEntry, ...]
    files: tuple[FileEntry, ...]
    format: dict[str, Any]
    signature: dict[str, Any] | None
    graph: dict[str, Any] | None


def stale_files(folder: Path, files: Iterable[FileEntry]) -> list[Path]:
    """Files in ``folder`` that an earlier split left there and that ``files`` does not need, sorted.

    They are tensor files (by their names) and temporary files of a split that was killed. Nothing is removed.
    """
    needed = {entry.path for entry in files}
    found = [*folder.glob("tensors/*"), *folder.glob("model-*.safetensors")]
    names = {name for path in found if OWNED.fullmatch(name := path.relative_to(folder).as_posix())}
    names |= {path.relative_to(folder).as_posix() for path in folder.rglob(TEMPORARY.format("[0-9a-f]" * 16))}
    return [folder / name for name in sorted(names - needed)]
