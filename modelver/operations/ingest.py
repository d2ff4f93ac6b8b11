"""Splitting a model file into a weights folder, and what Git keeps of where it came from."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.adapters import yaml
from modelver.adapters.dvc import DvcCache
from modelver.adapters.dvc.ignored import not_left_out
from modelver.disk import HashCache
from modelver.errors import ExternalFailure, InvalidInput, Refused
from modelver.operations.weights import listing

if TYPE_CHECKING:
    from modelver.formats.result import Ingested


def split(source: Path, weights: Path, staging: Path, hashes: HashCache, progress: Callable[[int], None]) -> "Ingested":
    """Split a model into the folder ``staging``, which afterwards holds exactly its files; `swap` then moves it.

    Tensor files of the present ``weights`` whose bytes are known to be what their name says are linked over, so an
    unchanged tensor is not written again.

    Raises:
        InvalidInput: the source is malformed.
        ExternalFailure: the disk failed.
    """
    from modelver.formats import onnx_split, safetensors
    from modelver.formats.detect import detect

    try:
        staging.mkdir(parents=True)
        _link_known(weights, staging, hashes)
        found: Ingested
        if detect(source) == "safetensors":
            found = safetensors.split(source, staging, progress)
        else:
            found = onnx_split.split(source, staging, progress)
        wanted = {entry.path for entry in found.files}
        for path in list(listing(staging)):
            if path not in wanted:
                (staging / path).unlink()
    except OSError as error:
        raise ExternalFailure(f"{staging} could not be written: {error.strerror or error}") from None
    return found


def store(source: Path, staging: Path, found: "Ingested", cache: DvcCache, hashes: HashCache) -> tuple[str, int, str]:
    """Put what `split` made into DVC's cache, and take the source's own digest meanwhile.

    An object that was there before is read, unless ``hashes`` knows it, and replaced where it is damaged: what is noted
    in ``hashes`` was read or written, and nothing else.

    Returns:
        The folder's hash in the cache (``<md5>.dir``), and the source's size and SHA-256 as `source_digest` gives them.

    Raises:
        Refused, ExternalFailure: as `DvcCache.add`.
    """
    with ThreadPoolExecutor(1) as pool:
        # One core copies, another hashes; `split` can't hash the source on its way, since tensors may overlap or lie
        # in other files than the model.
        digest = pool.submit(source_digest, Path(os.path.realpath(source)))
        stored = [cache.add(staging / entry.path, entry.md5, hashes=hashes) for entry in found.files]
        size, sha256 = digest.result()
    for entry, place in zip(found.files, stored, strict=True):
        if hashes.get(place) is None:  # else it was read, which counts for more
            hashes.put(place, entry.md5, entry.sha256)
    return cache.add_dir([(entry.path, entry.md5) for entry in found.files]), size, sha256


def heal(root: Path, place: Path, cache: DvcCache, hashes: HashCache) -> None:
    """Make the cache fit for what `dvc add` is about to take in: begun in no other's place, without damaged objects.

    DVC begins a cache wherever the repository says. And it (seen in 3.67) trusts an object that is there, and lays it
    out in the place of the very file that it was asked to add: the good bytes would be gone.

    Args:
        root: of the repository.
        place: a file or folder of the user's; links in it are left alone, and what DVC leaves out.
        cache, hashes: of the repository.

    Raises:
        Refused: a file was changed meanwhile, or the cache would lie outside of the repository.
        ExternalFailure: the disk failed.
    """
    cache.check_place()
    files = [place]
    if place.is_dir():
        files = not_left_out(root, [place / path for path in listing(place)])
    found = []
    for file in files:
        if file.is_symlink() or not file.is_file():
            continue
        md5 = hashes.digest(file).md5
        found.append((file.relative_to(place).as_posix(), md5))
        if not cache.has(md5) or cache.whole(md5, hashes):
            continue
        cache.add(file, md5, hashes=hashes)
        if not cache.whole(md5, hashes):
            cache.remove(md5)
            raise Refused(f"{file} was changed while it was being added", hint="run the command again")
    if place.is_dir() and len(found) == len(files):
        cache.add_dir(found)  # small, and where it is damaged DVC would take away files that it does not name


def source_document(root: Path, source: Path, found: "Ingested", size: int, digest: str) -> bytes:
    """``source.json`` of an ingested model. A source outside the repository is named by its file name alone."""
    full = Path(os.path.realpath(source))
    top = Path(os.path.realpath(root))
    path = full.relative_to(top).as_posix() if full.is_relative_to(top) else full.name
    document = {
        "schema": "modelver/source/1",
        "kind": "ingested",
        "source": {
            "path": path,
            "format": found.format["name"],
            "framework": None,
            "framework_version": None,
            "bytes": size,
            "sha256": digest,
        },
        "format": found.format,
        "signature": found.signature,
        "graph": found.graph,
        "environment": None,
    }
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def source_digest(source: Path) -> tuple[int, str]:
    """Size and SHA-256 of a file, or of a folder (tree digest).

    Of a folder without what is hidden, as it is split: a clone's ``.git`` changes where its model does not.
    """
    from modelver.core.manifest import tree_digest
    from modelver.formats.companions import listing
    from modelver.formats.digest import Digester
    from modelver.formats.digest import sha256 as new_sha256
    from modelver.formats.wire import Reader

    with Digester() as digester:
        if source.is_file():
            whole = new_sha256()
            with Reader(source) as reader:
                digester.run(reader.pieces(0, reader.size), [whole])
                return reader.size, whole.hexdigest()
        entries = [digester.file(source / path, path) for path in sorted(listing(source))]
    return sum(entry.bytes for entry in entries), tree_digest(entries)


def pointer(md5: str, size: int, count: int, present: bytes | None = None) -> bytes:
    """``weights.dvc``, byte for byte as DVC writes it for a folder.

    What people wrote into the ``present`` one stays (``desc``, ``meta``, ``remote``, comments). One that can't be read
    is written anew.
    """
    out = {"md5": md5, "size": size, "nfiles": count, "hash": "md5", "path": "weights"}

    def change(document: Any) -> None:
        outs = document.get("outs")
        if not (isinstance(outs, list) and len(outs) == 1 and isinstance(outs[0], dict)):
            raise InvalidInput("no pointer of one folder")
        outs[0].update(out)

    if present is not None:
        with contextlib.suppress(InvalidInput):
            return yaml.edit_bytes(present, "weights.dvc", change)
    return yaml.dump({"outs": [out]})


def _link_known(weights: Path, staging: Path, hashes: HashCache) -> None:
    """Hard-link known tensor files into the staging folder; where that fails they are written again."""
    from modelver.formats.result import OWNED

    if not weights.is_dir() or weights.is_symlink():
        return
    for path in listing(weights):
        old = weights / path
        known = hashes.get(old) if OWNED.fullmatch(path) and not old.is_symlink() else None
        if known is None or known.sha256 not in path:
            continue
        new = staging / path
        new.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(old, new)
        except OSError:
            continue


def swap(staging: Path, weights: Path, found: "Ingested", hashes: HashCache) -> None:
    """Put the staged folder in the place of ``weights``.

    Killed in between, the pointer in Git's files already names the new weights and the cache holds them, so that
    `modelver restore` brings them.

    Raises:
        ExternalFailure: the disk failed.
    """
    old = staging.with_name("old")
    try:
        weights.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(weights):
            shutil.move(weights, old)
        staging.chmod(0o755)
        shutil.move(staging, weights)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise ExternalFailure(
            f"{weights} could not be replaced: {error.strerror or error}", hint="modelver restore"
        ) from None
    for entry in found.files:
        hashes.put(weights / entry.path, entry.md5, entry.sha256)
