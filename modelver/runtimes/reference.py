"""ONNX's reference evaluator: what the specification says, in NumPy, slowly."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.errors import InvalidInput
from modelver.runtimes.base import first_line
from modelver.runtimes.clock import Calls, Clock

if TYPE_CHECKING:
    import numpy as np

# The evaluator is plain Python over NumPy: an operator that does not fit its input fails as Python code does.
_FAILURES = (
    ArithmeticError, AssertionError, AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError,
    ValueError, ImportError,
)  # fmt: skip


class ReferenceRuntime:
    """Runs ONNX models with ``onnx.reference``."""

    name = "reference"

    def version(self) -> str:
        """The version of the installed onnx."""
        import onnx

        return str(onnx.__version__)

    def load(self, model: Path) -> "_Session":
        """An evaluator over the file at ``model``; external data is read beside it.

        Raises:
            InvalidInput: it has an operator that the evaluator lacks, or is no model.
        """
        import onnx
        from google.protobuf.message import DecodeError
        from onnx.reference import ReferenceEvaluator

        try:
            return _Session(ReferenceEvaluator(onnx.load(str(model))), model.name)
        except (*_FAILURES, DecodeError, OSError, onnx.checker.ValidationError) as error:
            raise InvalidInput(
                f"{model.name} does not load in the reference evaluator of onnx {onnx.__version__}: "
                f"{first_line(error)}",
                hint="it knows the operators of ONNX's own domains only; take `reference` out of `targets:`",
            ) from None

    @contextmanager
    def clock(self, model: Path, inputs: "Mapping[str, np.ndarray[Any, Any]]") -> Iterator[Clock]:
        """See `modelver.runtimes.clock.TimedRuntime`."""
        session = self.load(model)
        with _one_thread() as threads:
            yield Calls(session.prepared(inputs), threads, _FAILURES, session.refused)

    def run(self, model: Path, inputs: "Mapping[str, np.ndarray[Any, Any]]") -> "dict[str, np.ndarray[Any, Any]]":
        """`load`, then run once.

        Raises:
            InvalidInput: it does not load, or fails on these inputs.
        """
        return self.load(model).run(inputs)


@contextmanager
def _one_thread() -> Iterator[int | None]:
    """NumPy's linear algebra on one thread, where threadpoolctl (scikit-learn brings it) is here and knows it."""
    try:
        import threadpoolctl
    except ImportError:
        yield None
        return
    with threadpoolctl.threadpool_limits(1, user_api="blas") as limits:
        yield 1 if limits.get_original_num_threads().get("blas") is not None else None


class _Session:
    def __init__(self, evaluator: Any, name: str) -> None:
        self._evaluator = evaluator
        self._name = name

    def run(self, inputs: "Mapping[str, np.ndarray[Any, Any]]") -> "dict[str, np.ndarray[Any, Any]]":
        import numpy as np

        try:
            values = self.prepared(inputs)()
        except _FAILURES as error:
            raise self.refused(error) from None
        names = [output.name for output in self._evaluator.proto_.graph.output]
        return {
            name: np.asarray(value) if np.isscalar(value) else value for name, value in zip(names, values, strict=True)
        }

    def prepared(self, inputs: "Mapping[str, np.ndarray[Any, Any]]") -> Callable[[], Any]:
        """One run of the evaluator on ``inputs``; gives the outputs in order."""
        import numpy as np

        def run() -> Any:
            with np.errstate(all="ignore"):
                return self._evaluator.run(None, dict(inputs))

        return run

    def refused(self, error: Exception) -> InvalidInput:
        """What a failed run is told as."""
        return InvalidInput(
            f"{self._name} fails in the reference evaluator on these inputs: {first_line(error)}",
            hint="the evaluator may lack an operator's variant; if so, take `reference` out of `targets:`",
        )
