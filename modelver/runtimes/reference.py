"""ONNX's reference evaluator: what the specification says, in NumPy, slowly."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.errors import InvalidInput
from modelver.runtimes.base import Session, first_line

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

    def load(self, model: Path) -> Session:
        """An evaluator over the file at ``model``; external data is read beside it.

        Raises:
            InvalidInput: it has an operator that the evaluator lacks, or is no model.
        """
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
        from onnx.reference import ReferenceEvaluator

        try:
            return _Session(ReferenceEvaluator(onnx.load(str(model))), model.name)
        except (*_FAILURES, DecodeError, OSError, onnx.checker.ValidationError) as error:
            raise InvalidInput(
                f"{model.name} does not load in the reference evaluator of onnx {onnx.__version__}: "
                f"{first_line(error)}",
                hint="it knows the operators of ONNX's own domains only; take `reference` out of `targets:`",
            ) from None

    def run(self, model: Path, inputs: "Mapping[str, np.ndarray[Any, Any]]") -> "dict[str, np.ndarray[Any, Any]]":
        """`load`, then run once.

        Raises:
            InvalidInput: it does not load, or fails on these inputs.
        """
        return self.load(model).run(inputs)


class _Session:
    def __init__(self, evaluator: Any, name: str) -> None:
        self._evaluator = evaluator
        self._name = name

    def run(self, inputs: "Mapping[str, np.ndarray[Any, Any]]") -> "dict[str, np.ndarray[Any, Any]]":
        import numpy as np

        try:
            with np.errstate(all="ignore"):
                values = self._evaluator.run(None, dict(inputs))
        except _FAILURES as error:
            raise InvalidInput(
                f"{self._name} fails in the reference evaluator on these inputs: {first_line(error)}",
                hint="the evaluator may lack an operator's variant; if so, take `reference` out of `targets:`",
            ) from None
        names = [output.name for output in self._evaluator.proto_.graph.output]
        return {
            name: np.asarray(value) if np.isscalar(value) else value for name, value in zip(names, values, strict=True)
        }
