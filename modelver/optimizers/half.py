"""Weights and arithmetic in float16, by the converter that onnxruntime ships."""

import warnings

from modelver.errors import InvalidInput
from modelver.optimizers import proto
from modelver.optimizers.base import Optimized, Request


def optimize(request: Request) -> Optimized:
    """Write the model with float32 turned into float16; numbers out of range become the nearest float16.

    Raises:
        InvalidInput: the converter fails on the model.
    """
    import onnxruntime
    from onnxruntime.transformers import float16

    parent = proto.load(request.parent)
    blocked = [*float16.DEFAULT_OP_BLOCK_LIST, *request.config["keep_operators"]]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one for each number that is truncated; the metrics judge
            half = float16.convert_float_to_float16(
                proto.load(request.parent), keep_io_types=request.config["keep_io"], op_block_list=sorted(set(blocked))
            )
    except (ValueError, RuntimeError, KeyError, IndexError, AttributeError) as error:
        raise InvalidInput(
            f"onnxruntime's float16 converter fails: {error}", hint="list the operator under `keep_operators:`"
        ) from None
    proto.save(half, parent, request.output)
    return Optimized("onnxruntime", str(onnxruntime.__version__))
