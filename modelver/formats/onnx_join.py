"""Join a split ONNX model into one file, streaming."""

from pathlib import Path

from modelver.errors import ExternalFailure
from modelver.formats import onnx_tensor
from modelver.formats.onnx_split import find_model
from modelver.formats.onnx_walk import Model, Place
from modelver.formats.output import write_atomically
from modelver.formats.wire import Rope

PROTOBUF_LIMIT = (1 << 31) - 1
"""Bytes; a larger file is correct on the wire, but many readers of ONNX (protobuf's limit) refuse it."""


def join(weights: Path, target: Path) -> None:
    """Write one self-contained file with all tensors inline; it replaces ``target`` whole or not at all.

    A model of any size is joined; see `PROTOBUF_LIMIT` for who can read one above 2 GiB.

    Args:
        weights: a folder with one ``.onnx`` file, or that file.
        target: the file to write; its folder must exist.

    Raises:
        InvalidInput: the model is malformed, or its external data is missing or outside of the folder.
        ExternalFailure: the disk failed.
    """
    with Model(find_model(weights)) as model:

        def inline(tensor: onnx_tensor.WireTensor, place: Place, name: str) -> Rope | None:
            if not tensor.is_external:
                return None
            data = onnx_tensor.payload(tensor, model.folder, f"{model.path}, tensor {name!r}")
            assert data is not None
            return onnx_tensor.rebuilt(tensor, (onnx_tensor.RAW, data))

        whole = model.rebuild(inline)
        try:
            write_atomically(target, whole)
        except OSError as error:
            raise ExternalFailure(f"cannot write {target}: {error.strerror}") from error
