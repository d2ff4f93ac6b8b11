"""The test data beside a model, in the layout of ONNX's backend tests: ``test_data_set_0/input_K.pb, output_K.pb``.

Source: https://github.com/onnx/onnx/blob/main/docs/OnnxBackendTest.md. Each file is one serialised TensorProto;
K is the position of the input or output in the graph.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np

FOLDER = "test_data_set_0"


def write(
    weights: Path,
    inputs: "Mapping[str, np.ndarray[Any, Any]]",
    outputs: "Mapping[str, np.ndarray[Any, Any]]",
    signature: Mapping[str, Any],
) -> list[str]:
    """Write the tensors in the order of the signature; returns the files' paths relative to ``weights``.

    The same arrays give the same bytes.

    Raises:
        InvalidInput: an input or output of the signature has no array.
    """
    from onnx import numpy_helper

    (weights / FOLDER).mkdir()
    written = []
    for kind, arrays in (("input", inputs), ("output", outputs)):
        for number, name in enumerate(_names(signature, kind)):
            if name not in arrays:
                raise InvalidInput(f"the exporter recorded nothing for the model's {kind} {name!r}")
            path = f"{FOLDER}/{kind}_{number}.pb"
            tensor = numpy_helper.from_array(arrays[name], name)
            (weights / path).write_bytes(tensor.SerializeToString(deterministic=True))
            written.append(path)
    return written


def read(
    weights: Path, signature: Mapping[str, Any]
) -> "tuple[dict[str, np.ndarray[Any, Any]], dict[str, np.ndarray[Any, Any]]] | None":
    """Recorded inputs and outputs by name; None where the model has no test data.

    Raises:
        InvalidInput: a file is missing or is no tensor.
    """
    if not (weights / FOLDER).is_dir():
        return None
    return _read(weights, "input", signature), _read(weights, "output", signature)


def _read(weights: Path, kind: str, signature: Mapping[str, Any]) -> "dict[str, np.ndarray[Any, Any]]":
    from google.protobuf.message import DecodeError
    from onnx import TensorProto, numpy_helper

    arrays = {}
    for number, name in enumerate(_names(signature, kind)):
        path = f"{FOLDER}/{kind}_{number}.pb"
        tensor = TensorProto()
        try:
            tensor.ParseFromString((weights / path).read_bytes())
            arrays[name] = text(numpy_helper.to_array(tensor))
        except FileNotFoundError:
            raise InvalidInput(f"{path} is missing, the test data of {kind} {name!r}", hint=_HINT) from None
        except KeyError as error:
            raise InvalidInput(f"{path} holds elements of type {error}, which ONNX does not have", hint=_HINT) from None
        except (DecodeError, ValueError, TypeError) as error:
            raise InvalidInput(f"{path} is no ONNX tensor: {error}", hint=_HINT) from None
    return arrays


def text(array: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """``array`` itself, but bytes in an object array become str, as onnxruntime takes and gives them."""
    if array.dtype.kind != "O":
        return array
    import numpy as np

    flat = [item.decode("utf-8") if isinstance(item, bytes) else item for item in array.ravel()]
    result = np.empty(len(flat), dtype=object)
    result[:] = flat
    return result.reshape(array.shape)


def _names(signature: Mapping[str, Any], kind: str) -> Sequence[str]:
    return [value["name"] for value in signature[f"{kind}s"]]


_HINT = "run the export stage again"
