"""Split a safetensors model into shards that versions share, and join it again.

The split model is the standard sharded layout that the Hugging Face libraries read: an index, and shards
named in it. A shard holds one large tensor and is named by the digest of its bytes; small tensors share one.
Shards lie beside the index, not in a folder: vLLM and others look for ``*.safetensors`` there.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelver.core.manifest import FileEntry, TensorEntry
from modelver.errors import ExternalFailure, InvalidInput, NotFound
from modelver.formats import companions, safetensors_header
from modelver.formats.contained import Folder
from modelver.formats.digest import Digester, Progress, md5, sha256
from modelver.formats.output import Output, write_atomically
from modelver.formats.result import BIG_TENSOR, Ingested
from modelver.formats.safetensors_header import Tensor, load_json
from modelver.formats.stats import Stats
from modelver.formats.wire import Reader, Rope

INDEX = "model.safetensors.index.json"
SOURCE_METADATA = "source_metadata"
"""Key in the index's metadata that keeps the source's ``__metadata__``."""

_MAX_INDEX = 256 << 20


@dataclass(slots=True)
class Checkpoint:
    """A safetensors model that is open for reading, in one file or several.

    Attributes:
        folder: its folder.
        tensors: by name.
        metadata: ``__metadata__`` of its files; of texts that differ between files, the first file's.
        extra: what else the index's metadata holds.
        shards: names of the files.
    """

    folder: Folder
    tensors: dict[str, Tensor] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    shards: list[str] = field(default_factory=list)
    single: Reader | None = None

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(self, *_: object) -> None:
        self.folder.close()
        if self.single is not None:
            self.single.close()

    def check_unchanged(self) -> None:
        """Raise InvalidInput if one of the files was written to since it was opened."""
        self.folder.check_unchanged()
        if self.single is not None:
            self.single.check_unchanged()


def open_checkpoint(source: Path) -> Checkpoint:
    """Open a ``.safetensors`` file, or a folder with an index and its shards or with one such file.

    Raises:
        NotFound: nothing is there.
        InvalidInput: a header or the index is malformed, or they disagree.
    """
    if not source.exists():
        raise NotFound(f"{source} does not exist")
    if source.is_dir():
        checkpoint = Checkpoint(Folder(source))
        try:
            _open_folder(source, checkpoint)
        except BaseException:
            checkpoint.folder.close()
            raise
        return checkpoint
    checkpoint = Checkpoint(Folder(source.parent), shards=[source.name])
    checkpoint.single = Reader(source)
    try:
        _take(checkpoint, checkpoint.single)
    except BaseException:
        checkpoint.single.close()
        raise
    return checkpoint


def _open_folder(source: Path, checkpoint: Checkpoint) -> None:
    if not (source / INDEX).exists():
        found = sorted(path.name for path in source.glob("*.safetensors"))
        if len(found) != 1:
            raise InvalidInput(f"{source} has no {INDEX}, and {len(found)} .safetensors files", "name one file")
        checkpoint.shards = found
        _take(checkpoint, checkpoint.folder.open(found[0], str(source)))
        return
    reader = checkpoint.folder.open(INDEX, str(source))
    if reader.size > _MAX_INDEX:
        raise InvalidInput(f"{reader.path} has {reader.size} bytes, which is no index")
    index = load_json(reader.read(0, reader.size), str(reader.path))
    where, placed, extra = index.get("weight_map"), {}, index.get("metadata", {})
    if not isinstance(where, dict) or not all(isinstance(name, str) for name in where.values()):
        raise InvalidInput(f"{reader.path}: weight_map is not a mapping of tensors to files")
    if not isinstance(extra, dict):
        raise InvalidInput(f"{reader.path}: metadata is not a mapping")
    checkpoint.shards = sorted(set(where.values()))
    for shard in checkpoint.shards:
        for name in _take(checkpoint, checkpoint.folder.open(shard, str(reader.path))):
            placed[name] = shard
    if placed != where:
        wrong = sorted(name for name in where.keys() | placed.keys() if where.get(name) != placed.get(name))
        raise InvalidInput(f"{reader.path}: weight_map and the shards disagree about tensor {wrong[0]!r}")
    kept = extra.pop(SOURCE_METADATA, None)
    if isinstance(kept, dict) and all(isinstance(value, str) for value in kept.values()):
        checkpoint.metadata = kept
    checkpoint.extra = {key: value for key, value in extra.items() if key != "total_size"}


def _take(checkpoint: Checkpoint, reader: Reader) -> list[str]:
    tensors, metadata = safetensors_header.read(reader)
    for tensor in tensors:
        if tensor.name in checkpoint.tensors:
            raise InvalidInput(f"{reader.path}: tensor {tensor.name!r} is in another shard too")
        checkpoint.tensors[tensor.name] = tensor
    checkpoint.metadata = metadata | checkpoint.metadata
    return [tensor.name for tensor in tensors]


def split(source: Path, dest: Path, progress: Progress | None = None, *, fsync: bool = False) -> Ingested:
    """Write the sharded layout of ``source`` to ``dest``; the same tensor gives the same shard in every version.

    A shard's ``__metadata__`` holds only ``format`` (``pt``, …), which loaders ask for; the source's whole
    ``__metadata__`` is kept in the index. Files beside the weights of a folder (configuration, tokenizer) are
    copied as they are. Memory use does not grow with the model.

    Args:
        source: a ``.safetensors`` file or a folder (see `open_checkpoint`).
        dest: the folder to write to; made if missing.
        progress: called with bytes done since the last call; in all about the size of the model.
        fsync: flush each file to the disk before it gets its name.

    Raises:
        InvalidInput: the source is malformed; nothing is left in ``dest``.
        ExternalFailure: the disk failed.
    """
    with (
        open_checkpoint(source) as checkpoint,
        Digester(progress) as digester,
        Output(dest, fsync=fsync) as output,
    ):
        job = _Split(checkpoint, digester, output)
        tensors = safetensors_header.order(checkpoint.tensors.values())
        for tensor in tensors:
            if tensor.bytes >= BIG_TENSOR:
                job.shard([tensor], "model-")
        job.shard([tensor for tensor in tensors if tensor.bytes < BIG_TENSOR], "model-small-")
        if source.is_dir():
            skip = {INDEX, *checkpoint.shards}
            companions.copy(checkpoint.folder, source, skip, output, digester)
        checkpoint.check_unchanged()
        shards = len(set(job.where.values()))
        output.add_hashed(INDEX, _index(job.where, checkpoint), digester)
        entries = tuple(sorted(job.entries, key=lambda entry: entry.name))
        facts = {"name": "safetensors", "metadata": dict(sorted(checkpoint.metadata.items())), "shards": shards}
        return Ingested(entries, output.listing(), facts, None, None)


@dataclass(slots=True)
class _Split:
    checkpoint: Checkpoint
    digester: Digester
    output: Output
    entries: list[TensorEntry] = field(default_factory=list)
    where: dict[str, str] = field(default_factory=dict)

    def shard(self, tensors: list[Tensor], prefix: str) -> None:
        """Write one shard with these tensors, named by its content; none where there are no tensors."""
        if not tensors:
            return
        kept = {key: value for key, value in self.checkpoint.metadata.items() if key == "format"}
        content = Rope()
        content.add(safetensors_header.write(tensors, kept))
        address, whole = md5(), sha256()
        self.digester.run(content.pieces(), [address, whole])
        for tensor in tensors:
            content.add_span(tensor.reader, tensor.start, tensor.end)
            own, stats = sha256(), Stats(tensor.dtype, tensor.count)
            pieces = tensor.reader.pieces(tensor.start, tensor.end)
            self.digester.run(pieces, [address, whole, own], stats)
            self.entries.append(
                TensorEntry(
                    tensor.name, tensor.dtype.name, tensor.shape, tensor.bytes, own.hexdigest(), **stats.result()
                )
            )
        name = f"{prefix}{whole.hexdigest()}.safetensors"
        self.output.add(FileEntry(name, content.length, address.hexdigest(), whole.hexdigest()), content)
        self.where.update((tensor.name, name) for tensor in tensors)


def _index(where: Mapping[str, str], checkpoint: Checkpoint) -> Rope:
    total = sum(tensor.bytes for tensor in checkpoint.tensors.values())
    metadata: dict[str, Any] = {"total_size": total, **dict(sorted(checkpoint.extra.items()))}
    if checkpoint.metadata:
        metadata[SOURCE_METADATA] = dict(sorted(checkpoint.metadata.items()))
    index = {"metadata": metadata, "weight_map": dict(sorted(where.items()))}
    rope = Rope()
    rope.add(json.dumps(index, ensure_ascii=False, indent=2).encode("utf-8") + b"\n")
    return rope


def join(weights: Path, target: Path) -> None:
    """Write one ``.safetensors`` file of all tensors; it replaces ``target`` whole or not at all.

    The bytes are what safetensors' own writer gives for these tensors and metadata, so a file that came from
    it comes back byte for byte (with at most one text in ``__metadata__``, whose order that writer leaves to chance).

    Args:
        weights: a folder (see `open_checkpoint`), or a file.
        target: the file to write; its folder must exist.

    Raises:
        InvalidInput: the weights are malformed.
        ExternalFailure: the disk failed.
    """
    with open_checkpoint(weights) as checkpoint:
        try:
            write_atomically(target, _joined(checkpoint.tensors.values(), checkpoint.metadata))
        except OSError as error:
            raise ExternalFailure(f"cannot write {target}: {error.strerror}") from error


def _joined(tensors: Iterable[Tensor], metadata: Mapping[str, str]) -> Rope:
    content, ordered = Rope(), safetensors_header.order(tensors)
    content.add(safetensors_header.write(ordered, metadata))
    for tensor in ordered:
        content.add_span(tensor.reader, tensor.start, tensor.end)
    return content
