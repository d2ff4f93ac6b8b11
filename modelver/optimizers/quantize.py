"""8-bit integers in place of floating point, by onnxruntime's quantiser.

Source: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html. Both ways write operators of the
ONNX standard alone: MatMulInteger, ConvInteger and DynamicQuantizeLinear, or QuantizeLinear and DequantizeLinear.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from modelver.errors import InvalidInput
from modelver.optimizers import proto
from modelver.optimizers.base import Optimized, Request

_OPERATORS = ["Conv", "Gemm", "MatMul"]
"""What dynamic quantisation takes: the quantiser turns others (LSTM, Attention) into onnxruntime's own operators."""


def dynamic(request: Request) -> Optimized:
    """Weights in 8 bits; the scale of what flows is computed anew in each request. Needs no data.

    Raises:
        InvalidInput: the quantiser fails, or there is nothing that it quantises.
    """
    from onnxruntime import quantization

    config = request.config
    operators = config["operators"] or _OPERATORS
    _refuse_without(operators, request)
    with _failures():
        quantization.quantize_dynamic(
            request.parent,
            request.output,
            op_types_to_quantize=operators,
            per_channel=config["per_channel"],
            reduce_range=config["reduce_range"],
            weight_type=_type(config["weights"]),
        )
    return _finish(request, "DynamicQuantizeLinear")


def static(request: Request) -> Optimized:
    """Weights and values in 8 bits; scales are fixed from calibration rows.

    Raises:
        InvalidInput: there are no rows, the quantiser fails, or there is nothing that it quantises.
    """
    from onnxruntime import quantization

    config = request.config
    if request.feeds is None:
        raise InvalidInput(
            "static quantisation needs rows to calibrate on",
            hint="declare `calibration: PATH` (or `data:`) for the model in params.yaml",
        )
    _refuse_without(config["operators"] or [*_OPERATORS, "ConvTranspose"], request)
    method = {
        "minmax": quantization.CalibrationMethod.MinMax,
        "entropy": quantization.CalibrationMethod.Entropy,
        "percentile": quantization.CalibrationMethod.Percentile,
    }[config["calibrate"]]
    with _failures():
        quantization.quantize_static(
            request.parent,
            request.output,
            _reader(request),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=config["operators"] or None,
            per_channel=config["per_channel"],
            reduce_range=config["reduce_range"],
            activation_type=_type(config["activations"]),
            weight_type=_type(config["weights"]),
            calibrate_method=method,
        )
    return _finish(request, "DequantizeLinear")


def _reader(request: Request) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    assert request.feeds is not None
    batches = request.feeds()

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Any:
            found = next(batches, None)
            return None if found is None else dict(found)

    return Reader()


def _type(name: str) -> Any:
    from onnxruntime.quantization import QuantType

    return {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}[name]


def _finish(request: Request, mark: str) -> Optimized:
    import onnxruntime

    quantised = proto.load(request.output)
    if not any(node.op_type == mark for node in quantised.graph.node):
        raise _nothing()
    proto.save(quantised, proto.load(request.parent), request.output)
    return Optimized("onnxruntime", str(onnxruntime.__version__))


def _refuse_without(operators: Sequence[str], request: Request) -> None:
    """Raise InvalidInput where no node is of these kinds: on a forest alone the quantiser fails in its own words."""
    if not any(node.op_type in operators for node in proto.load(request.parent).graph.node):
        raise _nothing()


def _nothing() -> InvalidInput:
    return InvalidInput(
        "there is nothing in the model that the quantiser turns into 8 bits",
        hint="it takes matrix products and convolutions with constant weights; choose another method",
    )


@contextmanager
def _failures() -> Iterator[None]:
    """The quantiser's errors in our words, and its advice to prepare the model (written to the root logger) unsaid."""
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    except (ValueError, RuntimeError, KeyError, IndexError, AttributeError, TypeError, NotImplementedError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise InvalidInput(
            f"onnxruntime's quantiser fails on the model: {first}",
            hint="limit it to some operators: `operators: [MatMul]` in params.yaml, or make a `graph` variant first",
        ) from None
    finally:
        logger.setLevel(before)
