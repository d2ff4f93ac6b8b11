"""OpenVINO on the processor."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.errors import InvalidInput
from modelver.runtimes.base import first_line
from modelver.runtimes.clock import Calls, Clock

if TYPE_CHECKING:
    import numpy as np


_THREADS = 1
_FAILURES = (RuntimeError, ValueError, TypeError)


class OpenVino:
    """Runs ONNX models with OpenVINO's CPU device, in the precision of the model, on one thread.

    Raises:
        ImportError: the package is not installed.
    """

    name = "openvino"

    def __init__(self) -> None:
        import openvino

        self._openvino = openvino

    def version(self) -> str:
        """The release (``2026.4.1``) of the installed openvino."""
        return str(self._openvino.__version__).partition("-")[0]

    def load(self, model: Path) -> "_Session":
        """The model at ``model``, compiled; external data is read beside it.

        Raises:
            InvalidInput: OpenVINO can't read it, or has no kernel for one of its operators.
        """
        try:
            core = self._openvino.Core()
            read = core.read_model(str(model))
            names = [sorted(output.get_names()) for output in read.outputs]
            # Without the hint a CPU with AMX or AVX-512 would compute in bfloat16, which no float32 tolerance allows.
            options = {
                "INFERENCE_PRECISION_HINT": "f32",
                "INFERENCE_NUM_THREADS": _THREADS,
                "EXECUTION_MODE_HINT": "ACCURACY",
            }
            return _Session(core.compile_model(read, "CPU", options), names, model)
        except _FAILURES as error:
            raise InvalidInput(
                f"{model.name} does not load in OpenVINO {self.version()}: {_reason(error)}",
                hint="replace the operator it lacks, or take `openvino` out of `targets:`",
            ) from None

    @contextmanager
    def clock(self, model: Path, inputs: "Mapping[str, np.ndarray[Any, Any]]") -> Iterator[Clock]:
        """See `modelver.runtimes.clock.TimedRuntime`."""
        session = self.load(model)
        yield Calls(session.prepared(inputs), _THREADS, _FAILURES, session.refused)

    def run(self, model: Path, inputs: "Mapping[str, np.ndarray[Any, Any]]") -> "dict[str, np.ndarray[Any, Any]]":
        """`load`, then run once.

        Raises:
            InvalidInput: it does not load, or fails on these inputs.
        """
        return self.load(model).run(inputs)


class _Session:
    def __init__(self, compiled: Any, names: list[list[str]], model: Path) -> None:
        self._compiled = compiled
        self._names = names
        self._model = model

    def run(self, inputs: "Mapping[str, np.ndarray[Any, Any]]") -> "dict[str, np.ndarray[Any, Any]]":
        import numpy as np

        try:
            result = self.prepared(inputs)()
        except _FAILURES as error:
            raise self.refused(error) from None
        # A tensor that reaches two outputs has both names.
        return {name: np.array(result[n]) for n, names in enumerate(self._names) for name in names}

    def prepared(self, inputs: "Mapping[str, np.ndarray[Any, Any]]") -> Callable[[], Any]:
        """One run of OpenVINO's on ``inputs``, with nothing of modelver's around it."""
        compiled, feeds = self._compiled, dict(inputs)
        return lambda: compiled(feeds)

    def refused(self, error: Exception) -> InvalidInput:
        """What a failed run is told as."""
        return InvalidInput(
            f"{self._model.name} fails in OpenVINO on these inputs: {_reason(error)}",
            hint="replace the operator it lacks, or take `openvino` out of `targets:`",
        )


_NOISE = ("Exception from", "Check '", "FrontEnd API failed", "Model wasn't fully", "Summary:")


def _reason(error: Exception) -> str:
    """OpenVINO's messages begin with places in its C++ source; what went wrong is what remains."""
    lines = [line.strip().removeprefix("-- ") for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(_NOISE) and ".cpp:" not in line]
    return "; ".join(said)[:300] if said else first_line(error)
