"""Magnitude pruning: the smallest weights of each tensor become zero.

Source: Han et al., Learning both Weights and Connections for Efficient Neural Networks (2015), without the retraining:
that is the training's work. Files stay as large as they were; what gains is compression and sparse hardware.
"""

from typing import Any

from modelver.errors import InvalidInput
from modelver.optimizers import proto
from modelver.optimizers.base import Optimized, Request


def optimize(request: Request) -> Optimized:
    """Write the model with the share ``sparsity`` of each weight tensor's elements set to zero, smallest first.

    Weights are floating-point initializers of two or more dimensions that one of the ``operators`` reads. Of equal
    magnitudes the first in row-major order goes first.

    Raises:
        InvalidInput: there is no such tensor.
    """
    import numpy as np
    from onnx import numpy_helper

    parent = proto.load(request.parent)
    pruned = proto.load(request.parent)
    read = {name for node in pruned.graph.node if node.op_type in request.config["operators"] for name in node.input}
    zeros = total = 0
    for tensor in pruned.graph.initializer:
        if tensor.name not in read or len(tensor.dims) < 2:
            continue
        array = numpy_helper.to_array(tensor)
        if array.dtype not in (np.float16, np.float32, np.float64):
            continue
        new = _pruned(array, request.config["sparsity"])
        zeros += int((new == 0).sum())
        total += new.size
        tensor.CopyFrom(numpy_helper.from_array(new, tensor.name))
    if not total:
        raise InvalidInput(
            "there is no weight tensor to prune",
            hint=f"it takes initializers that {', '.join(request.config['operators'])} read; choose another method",
        )
    proto.save(pruned, parent, request.output)
    return Optimized("numpy", str(np.__version__), zeros / total)


def _pruned(array: Any, share: float) -> Any:
    import numpy as np

    flat = array.ravel().copy()
    order = np.argsort(np.abs(flat), kind="stable")
    flat[order[: int(share * flat.size)]] = 0
    return flat.reshape(array.shape)
