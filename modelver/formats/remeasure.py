"""The tensor manifest of weights that were split, measured again from their files wherever these lie."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from modelver.core.manifest import TensorEntry
from modelver.errors import InvalidInput
from modelver.formats import onnx_tensor, safetensors_header
from modelver.formats.contained import Folder
from modelver.formats.digest import Digester, Progress, sha256
from modelver.formats.onnx_split import MODEL
from modelver.formats.onnx_walk import SMALL_ATTRIBUTE, Model, Place
from modelver.formats.result import OWNED
from modelver.formats.stats import Stats
from modelver.formats.wire import Reader

Measured = list[tuple[TensorEntry, bool]]
"""Each tensor, and whether a manifest must list it: small constants inside nodes count as part of the graph, unless
they were external in the source."""


def measure(paths: Mapping[str, Path], progress: Progress | None = None) -> Measured:
    """All tensors of an ONNX or safetensors model.

    Args:
        paths: the files of its weights folder: path relative to that folder → where the bytes lie.
        progress: called with bytes done since the last call.

    Raises:
        InvalidInput: the model is malformed, or names a file that is none of its own.
        NotFound: a file is gone.
    """
    with Digester(progress) as digester:
        if MODEL in paths:
            return _onnx(paths, digester)
        return list(_safetensors(paths, digester))


class _Scattered(Folder):
    """The files of a weights folder, each where it lies: DVC's cache has them under other names."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        super().__init__(Path())
        self._paths = paths

    def _descend(self, name: str, what: str) -> int:
        if name not in self._paths:
            raise InvalidInput(f"{what}: the file {name!r} is missing beside the model")
        try:
            return os.open(self._paths[name], os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise InvalidInput(f"{what}: {name[:80]!r} cannot be opened: {error.strerror}") from None


def _onnx(paths: Mapping[str, Path], digester: Digester) -> Measured:
    found: Measured = []
    with Model(paths[MODEL]) as model:
        model.folder.close()
        model.folder = _Scattered(paths)

        def visit(tensor: onnx_tensor.WireTensor, place: Place, name: str) -> None:
            must = place.initializer or tensor.bytes >= SMALL_ATTRIBUTE or tensor.is_external
            where = f"{MODEL}, tensor {name!r}"
            entry, _ = onnx_tensor.measure(tensor, name, model.folder, where, digester)
            found.append((entry, must))

        model.rebuild(visit)
        model.check_unchanged()
    return found


def _safetensors(paths: Mapping[str, Path], digester: Digester) -> Iterator[tuple[TensorEntry, bool]]:
    for name in sorted(paths):
        if not OWNED.fullmatch(name):  # a companion of the model, as an adapter is
            continue
        with Reader(paths[name]) as reader:
            tensors, _ = safetensors_header.read(reader)
            for tensor in tensors:
                own, stats = sha256(), Stats(tensor.dtype, tensor.count)
                digester.run(reader.pieces(tensor.start, tensor.end), [own], stats)
                yield (
                    TensorEntry(
                        tensor.name, tensor.dtype.name, tensor.shape, tensor.bytes, own.hexdigest(), **stats.result()
                    ),
                    True,
                )
            reader.check_unchanged()
