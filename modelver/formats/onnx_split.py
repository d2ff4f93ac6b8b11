"""Split an ONNX model into a graph and one file for each large tensor, streaming."""

from collections import Counter
from pathlib import Path

from modelver.core.manifest import FileEntry, TensorEntry
from modelver.errors import InvalidInput, NotFound
from modelver.formats import companions, onnx_describe, onnx_tensor
from modelver.formats.digest import Digester, Progress, md5
from modelver.formats.onnx_walk import SMALL_ATTRIBUTE, Model, Place
from modelver.formats.output import Output
from modelver.formats.result import BIG_TENSOR, Ingested
from modelver.formats.wire import Rope

MODEL = "model.onnx"
_MAX_GRAPH = (1 << 31) - 1
_LEAST = 1 << 12


def find_model(source: Path) -> Path:
    """The model file that ``source`` names: itself, or the one ``.onnx`` file in the folder.

    Raises:
        NotFound: nothing is there.
        InvalidInput: the folder holds none or several.
    """
    if not source.is_dir():
        if not source.exists():
            raise NotFound(f"{source} does not exist")
        return source
    models = sorted(path for path in source.iterdir() if path.suffix.lower() == ".onnx")
    if len(models) != 1:
        found = ", ".join(path.name for path in models[:5]) or "none"
        raise InvalidInput(f"{source} must hold exactly one .onnx file, found: {found}", "name the file itself")
    return models[0]


def split(source: Path, dest: Path, progress: Progress | None = None, *, fsync: bool = False) -> Ingested:
    """Write ``dest/model.onnx`` and ``dest/tensors/<sha256>`` for each tensor of `BIG_TENSOR` bytes or more.

    Where over 1 GiB would stay inline, smaller tensors get files too. Tensors of strings, sparse tensors and
    attributes of other operators than Constant stay inline: the checker or onnxruntime would not find them.

    The same source gives the same bytes. Memory use does not grow with the model: data is copied from file to
    file. A tensor file that is there already with this content is left alone; files of tensors that the
    model no longer has stay (`result.stale_files` names them). Other files of a source folder are copied too.

    Args:
        source: an ONNX file, data inline or external, or a folder with one.
        dest: the folder to write to; made if missing. May be where ``source`` is.
        progress: called with bytes done since the last call; in all about the size of the model.
        fsync: flush each file to the disk before it gets its name.

    Raises:
        InvalidInput: the model is malformed or names files that it must not; nothing is left in ``dest``.
        ExternalFailure: the disk failed.
    """
    with (
        Model(find_model(source)) as model,
        Digester(progress) as digester,
        Output(dest, fsync=fsync) as output,
    ):
        survey = _Survey(model)
        facts = onnx_describe.describe_open(model, survey.visit)
        job = _Split(model, output, digester, survey.smallest_big())
        graph = model.rebuild(job.visit)
        if graph.length > _MAX_GRAPH:
            raise InvalidInput(
                f"{model.path}: {graph.length} bytes cannot be moved out of the graph; "
                f"ONNX cannot hold over {_MAX_GRAPH}"
            )
        if source.is_dir():
            skip = {model.path.name, *model.folder.opened()}
            companions.copy(model.folder, source, skip, output, digester)
        model.check_unchanged()
        output.add_hashed(MODEL, graph, digester)
        tensors = tuple(sorted(job.tensors, key=lambda entry: entry.name))
        return Ingested(tensors, output.listing(), *facts)


class _Survey:
    """The first walk: find what is wrong before anything is written, and what counts as a big tensor."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.sizes: Counter[int] = Counter()

    def visit(self, tensor: onnx_tensor.WireTensor, place: Place, name: str) -> None:
        if tensor.dtype is not None and tensor.dtype.bits:
            onnx_tensor.payload(tensor, self.model.folder, _where(self.model, name))
            if place.movable:
                self.sizes[tensor.bytes] += 1

    def smallest_big(self) -> int:
        """`BIG_TENSOR`, or less if so many tensors are just below it that ONNX could not hold them inline."""
        limit = BIG_TENSOR
        while limit > _LEAST and sum(size * n for size, n in self.sizes.items() if size < limit) > _MAX_GRAPH // 2:
            limit //= 2
        return limit


def _where(model: Model, name: str) -> str:
    return f"{model.path}, tensor {name!r}"


class _Split:
    def __init__(self, model: Model, output: Output, digester: Digester, big: int) -> None:
        self.big = big
        self.model = model
        self.output = output
        self.digester = digester
        self.tensors: list[TensorEntry] = []

    def visit(self, tensor: onnx_tensor.WireTensor, place: Place, name: str) -> Rope | None:
        big = place.movable and tensor.bytes >= self.big and bool(tensor.dtype and tensor.dtype.bits)
        if not place.initializer and tensor.bytes < SMALL_ATTRIBUTE and not tensor.is_external:
            return None
        where = _where(self.model, name)
        address = md5()
        more = [address] if big else []
        entry, data = onnx_tensor.measure(tensor, name, self.model.folder, where, self.digester, *more)
        self.tensors.append(entry)
        if big:
            location = f"tensors/{entry.sha256}"
            listed = FileEntry(location, entry.bytes, address.hexdigest(), entry.sha256)
            self._store(listed, data, tensor, where)
            return onnx_tensor.external(tensor, location, entry.bytes)
        if tensor.is_external:
            assert data is not None
            return onnx_tensor.rebuilt(tensor, (onnx_tensor.RAW, data))
        return None

    def _store(self, listed: FileEntry, data: Rope | None, tensor: onnx_tensor.WireTensor, where: str) -> None:
        if data is not None:
            self.output.add(listed, data)
        else:
            self.output.add_pieces(listed, lambda: onnx_tensor.decoded(tensor, where))
