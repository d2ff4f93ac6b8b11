"""bfloat16 models that run where nobody computes in bfloat16.

onnxruntime's kernels for processors, and most others, have no bfloat16. The exported graph keeps it where it counts, in
weights, inputs and outputs, and computes in float32 between them, which rounds less than PyTorch does.
"""

from typing import Any

_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype")


def compute_in_float32(model: Any) -> None:
    """Change a model of ``onnx_ir`` in place; nothing where it has no bfloat16."""
    from onnx_ir import DataType, TensorType

    narrow, wide = DataType.BFLOAT16, DataType.FLOAT
    main, nodes = model.graph, list(model.graph.all_nodes())
    outputs = [number for number, value in enumerate(main.outputs) if value.dtype == narrow]
    for node in nodes:
        for attribute in list(node.attributes.values()):
            _widen(attribute, node)
        for value in node.outputs:
            if value.dtype == narrow:
                value.type = TensorType(wide)
    for graph in (main, *main.subgraphs()):
        for value in list({id(v): v for v in (*graph.initializers.values(), *graph.inputs)}.values()):
            if value.dtype != narrow:
                continue
            if graph is main or value.is_initializer():
                _cast_after(graph, value, TensorType(wide))
            else:
                value.type = TensorType(wide)  # what a loop carries is float32 then
    for number in outputs:
        if main.outputs[number].producer() is not None:
            main.outputs[number] = _cast_before(main, main.outputs[number], TensorType(narrow))


def _widen(attribute: Any, node: Any) -> None:
    import numpy as np
    import onnx_ir

    narrow, wide = onnx_ir.DataType.BFLOAT16, onnx_ir.DataType.FLOAT
    kind = onnx_ir.AttributeType
    if attribute.type == kind.INT and attribute.name in _TYPE_ATTRIBUTES and attribute.value == narrow.value:
        node.attributes[attribute.name] = onnx_ir.AttrInt64(attribute.name, wide.value)
    elif attribute.type == kind.TENSOR and attribute.value.dtype == narrow:
        values = attribute.value.numpy().astype(np.float32)
        node.attributes[attribute.name] = onnx_ir.AttrTensor(attribute.name, onnx_ir.tensor(values))


def _cast_after(graph: Any, value: Any, kind: Any) -> None:
    """Let all who use ``value`` use it cast."""
    import onnx_ir

    cast = onnx_ir.Value(name=f"{value.name}_float32", type=kind, shape=value.shape)
    value.replace_all_uses_with(cast)
    node = onnx_ir.Node("", "Cast", [value], [onnx_ir.AttrInt64("to", kind.dtype.value)], outputs=[cast])
    if len(graph):
        graph.insert_before(graph[0], node)
    else:
        graph.append(node)


def _cast_before(graph: Any, value: Any, kind: Any) -> Any:
    """A new output: ``value``, cast."""
    import onnx_ir

    cast = onnx_ir.Value(name=f"{value.name}_bfloat16", type=kind, shape=value.shape)
    graph.append(onnx_ir.Node("", "Cast", [value], [onnx_ir.AttrInt64("to", kind.dtype.value)], outputs=[cast]))
    return cast
