"""onnxruntime on the processor."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.errors import InvalidInput
from modelver.runtimes.base import Session, first_line, refusals
from modelver.runtimes.clock import Calls, Clock

if TYPE_CHECKING:
    import numpy as np

_FATAL = 4  # severities are 0 verbose to 4 fatal; an error is raised as well, and is told once

_HINTS = (
    # kernels are called by the opset that their definition came with
    (r"implementation for \w+\([1-6]\) ", "onnxruntime has kernels from opset 7 on: convert it, with `framework: onnx` "
     "and `export: {opset: 17}` in params.yaml"),
    (r"construct locale with name", "install the locale that it names; in Debian: apt-get install locales-all"),
)  # fmt: skip
_HINT = "a newer onnxruntime may know its operators; or lower `export: {opset: …}` in params.yaml"
"""What helps against what onnxruntime says: a pattern in it, and the advice; the last where none fits."""

_THREADS = 1  # sums over threads may round differently from run to run, and the records must not
_BFLOAT16 = 16  # onnx.TensorProto.BFLOAT16


class OnnxRuntime:
    """Runs ONNX models with onnxruntime's CPU provider, on one thread."""

    name = "onnxruntime"

    def version(self) -> str:
        """The version of the installed onnxruntime."""
        import onnxruntime

        return str(onnxruntime.__version__)

    def load(self, model: Path) -> Session:
        """A session over the file at ``model``; external data is read beside it.

        Raises:
            InvalidInput: onnxruntime refuses the model.
        """
        options = _options()
        options.use_deterministic_compute = True
        # Prepacking copies every weight: 575 MiB for a model of 512 MiB, where mapping its files takes 52 MiB.
        options.add_session_config_entry("session.disable_prepacking", "1")
        return _open(model, options)

    @contextmanager
    def clock(self, model: Path, inputs: "Mapping[str, np.ndarray[Any, Any]]") -> Iterator[Clock]:
        """See `modelver.runtimes.clock.TimedRuntime`; with prepacking, as services load a model."""
        session = _open(model, _options())
        yield Calls(session.prepared(inputs), _THREADS, refusals(), session.refused)

    def run(self, model: Path, inputs: "Mapping[str, np.ndarray[Any, Any]]") -> "dict[str, np.ndarray[Any, Any]]":
        """Load the file at ``model`` and run it once on ``inputs``, by name; outputs by name.

        Raises:
            InvalidInput: it does not load, or fails on these inputs.
        """
        return self.load(model).run(inputs)


def _options() -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = _THREADS
    options.inter_op_num_threads = 1
    return options


def _open(model: Path, options: Any) -> "_Session":
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except refusals() as error:
        raise InvalidInput(
            f"{model.name} does not load in onnxruntime {onnxruntime.__version__}: {first_line(error, model)}",
            hint=next((hint for pattern, hint in _HINTS if re.search(pattern, str(error))), _HINT),
        ) from None
    return _Session(session, model.name)


class _Session:
    def __init__(self, session: Any, name: str) -> None:
        self._session = session
        self._name = name

    def run(self, inputs: "Mapping[str, np.ndarray[Any, Any]]") -> "dict[str, np.ndarray[Any, Any]]":
        try:
            values = self.prepared(inputs)()
        except refusals() as error:
            raise self.refused(error) from None
        return dict(zip(self._outputs(), values, strict=True))

    def prepared(self, inputs: "Mapping[str, np.ndarray[Any, Any]]") -> "Callable[[], list[Any]]":
        """One run of onnxruntime's on ``inputs``, with nothing of modelver's around it; gives the outputs in order."""
        names, feeds, run = self._outputs(), dict(inputs), self._session.run
        if any("bfloat16" in str(value) for value in self._types(inputs)):
            return lambda: self._run_bfloat16(names, inputs)
        return lambda: run(names, feeds)

    def refused(self, error: Exception) -> InvalidInput:
        """What a failed run is told as."""
        return InvalidInput(
            f"{self._name} fails in onnxruntime on these inputs: {first_line(error)}",
            hint="compare the data with the signature in the model's source.json",
        )

    def _outputs(self) -> list[str]:
        return [output.name for output in self._session.get_outputs()]

    def _types(self, inputs: "Mapping[str, np.ndarray[Any, Any]]") -> list[object]:
        return [*(array.dtype for array in inputs.values()), *(output.type for output in self._session.get_outputs())]

    def _run_bfloat16(self, names: list[str], inputs: "Mapping[str, np.ndarray[Any, Any]]") -> "list[Any]":
        """As ``run``, which takes and gives NumPy's own types only."""
        from onnxruntime import OrtValue

        fed = {
            name: OrtValue.ortvalue_from_numpy_with_onnx_type(array, _BFLOAT16)
            if array.dtype.name == "bfloat16"
            else OrtValue.ortvalue_from_numpy(array)
            for name, array in inputs.items()
        }
        return [_array(value) for value in self._session.run_with_ort_values(names, fed)]


def _array(value: Any) -> Any:
    import ctypes
    import math

    import ml_dtypes
    import numpy as np

    if value.element_type() != _BFLOAT16:
        return value.numpy()
    shape = value.shape()
    raw = ctypes.string_at(value.data_ptr(), 2 * math.prod(shape))
    return np.frombuffer(raw, dtype=ml_dtypes.bfloat16).reshape(shape)
