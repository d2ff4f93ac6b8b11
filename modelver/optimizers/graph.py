"""Graph optimisation by onnxruntime's basic level: folds constants, drops and fuses nodes, for every provider alike.

Source: https://onnxruntime.ai/docs/performance/model-optimizations/graph-optimizations.html. The higher levels use
onnxruntime's own operators and the layout of this machine's processor: they are left to the runtime that loads a model.
"""

from modelver.errors import InvalidInput
from modelver.optimizers import proto
from modelver.optimizers.base import Optimized, Request
from modelver.runtimes.base import first_line, refusals

_ERROR = 3


def optimize(request: Request) -> Optimized:
    """Write the optimised graph.

    Raises:
        InvalidInput: onnxruntime does not load the model.
    """
    import onnx
    import onnxruntime

    parent = proto.load(request.parent)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERROR
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(request.output)
    try:
        onnxruntime.InferenceSession(str(request.parent), options, providers=["CPUExecutionProvider"])
    except refusals() as error:
        raise InvalidInput(
            f"onnxruntime does not load the model: {first_line(error, request.parent)}",
            hint="modelver stage assess tells why",
        ) from None
    proto.save(onnx.load(request.output), parent, request.output)
    return Optimized("onnxruntime", str(onnxruntime.__version__))
