"""What one request costs an ONNX model: floating-point operations and peak memory of activations, by shape inference.

Nothing is run; `onnx_flops` says what a node counts.
The peak is that of running the nodes in their stored order, freeing each value after its last use, in place of nothing:
an upper bound for a runtime that fuses or reuses buffers.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelver.errors import InvalidInput
from modelver.formats import dtypes, onnx_bombs, onnx_flops, onnx_tensor
from modelver.formats.onnx_flops import Shape
from modelver.formats.onnx_walk import SMALL_ATTRIBUTE, Model, Place
from modelver.formats.wire import Rope

_MAX_GRAPH = 1 << 29
_MAX_ELEMENTS = 1 << 60  # a shape beyond is nonsense, and no number for JSON


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one request.

    Attributes:
        flops: floating-point (or, in quantised operators, integer) operations; trees count one for each comparison on
            the longest path.
        activation_bytes: the peak of inputs, outputs and inner values that live at once, without weights; None where
            no shape is known.
        assumed: symbolic dimension → the size it was given; the batch is 1.
        not_counted: operators without a rule, or with a shape that is not known → how often.
        unknown_values: values whose shape is not known, which the peak leaves out.
        activation_dtypes: element types of the values, sorted.
    """

    flops: int
    activation_bytes: int | None
    assumed: Mapping[str, int]
    not_counted: Mapping[str, int]
    unknown_values: int
    activation_dtypes: tuple[str, ...]


def skeleton(path: Path) -> Any:
    """The model at ``path`` as a ``ModelProto`` with no data in tensors of `SMALL_ATTRIBUTE` bytes and more.

    Smaller ones stay: they may say what a Reshape does.

    Raises:
        InvalidInput: no ONNX model, malformed, or over 512 MiB without its weights.
    """
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    with Model(path) as model:

        def strip(tensor: onnx_tensor.WireTensor, place: Place, name: str) -> Rope | None:
            if tensor.dtype is None or (tensor.bytes < SMALL_ATTRIBUTE and not tensor.is_external):
                return None
            if tensor.bytes >= SMALL_ATTRIBUTE:
                return onnx_tensor.rebuilt(tensor)
            data = onnx_tensor.payload(tensor, model.folder, f"{path}, tensor {name!r}")
            assert data is not None
            return onnx_tensor.rebuilt(tensor, (onnx_tensor.RAW, data))

        rope = model.rebuild(strip)
        if rope.length > _MAX_GRAPH:
            raise InvalidInput(f"{path}: its graph takes {rope.length} bytes without weights")
        try:
            proto = ModelProto.FromString(b"".join(bytes(piece) for piece in rope.pieces()))
        except DecodeError as error:
            raise InvalidInput(f"{path} is not a well-formed ONNX model: {error}") from None
    onnx_bombs.refuse(proto, path)
    return proto


def estimate(proto: Any, sizes: Mapping[str, int] | None = None) -> tuple[Cost, Any]:
    """The cost of a batch of one, and the model with the types and shapes that were inferred for it.

    Args:
        proto: a ``ModelProto``, such as `skeleton` gives; it is not changed.
        sizes: symbolic dimensions (and ``INPUT[AXIS]`` for nameless ones) that are known; others count as 1.
    """
    import onnx

    fixed = onnx.ModelProto()
    fixed.CopyFrom(proto)
    assumed = _fix(fixed.graph, sizes or {})
    try:
        inferred = onnx.shape_inference.infer_shapes(fixed, data_prop=onnx_bombs.lists_stay_small(proto))
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError, ValueError):
        inferred = fixed
    walk = _Walk()
    peak = walk.graph(inferred.graph, {})
    cost = Cost(
        flops=walk.flops,
        activation_bytes=peak or None,
        assumed=dict(sorted(assumed.items())),
        not_counted=dict(sorted(walk.missing.items())),
        unknown_values=walk.unknown,
        activation_dtypes=tuple(sorted(walk.dtypes)),
    )
    return cost, inferred


def attribute_values(proto: Any) -> int:
    """How many numbers the nodes of ai.onnx.ml carry in their attributes: trees, coefficients, support vectors."""
    return sum(
        len(attribute.floats) + len(attribute.ints)
        for node in proto.graph.node
        if node.domain == "ai.onnx.ml"
        for attribute in node.attribute
    )


def _fix(graph: Any, sizes: Mapping[str, int]) -> dict[str, int]:
    """Give every open dimension of the inputs a size; the first one of each input is the batch."""
    weights = {item.name for item in graph.initializer}
    inputs = [item for item in graph.input if item.name not in weights and item.type.HasField("tensor_type")]
    batch = {dim.dim_param for item in inputs for dim in list(item.type.tensor_type.shape.dim)[:1] if dim.dim_param}
    assumed: dict[str, int] = {}
    for item in inputs:
        for axis, dim in enumerate(item.type.tensor_type.shape.dim):
            if dim.HasField("dim_value") and dim.dim_value > 0:
                continue
            key = dim.dim_param or f"{item.name}[{axis}]"
            is_batch = axis == 0 or dim.dim_param in batch
            assumed[key] = dim.dim_value = 1 if is_batch else max(sizes.get(key, 1), 1)
    for item in [*graph.output, *graph.value_info]:
        # Shapes that the exporter wrote down for an open batch would win over those inferred for a batch of one.
        for dim in item.type.tensor_type.shape.dim if item.type.HasField("tensor_type") else ():
            if dim.dim_param in assumed:
                dim.dim_value = assumed[dim.dim_param]
    return assumed


@dataclass(slots=True)
class _Value:
    shape: Shape | None
    bits: int

    @property
    def bytes(self) -> int:
        return 0 if self.shape is None else (math.prod(self.shape) * self.bits + 7) // 8


@dataclass(slots=True)
class _Walk:
    flops: int = 0
    unknown: int = 0
    missing: Counter[str] = field(default_factory=Counter)
    dtypes: set[str] = field(default_factory=set)

    def graph(self, graph: Any, outer: Mapping[str, _Value]) -> int:
        """Count all nodes; returns the peak of bytes that this graph's own values take at once."""
        weights = {item.name: _Value(tuple(item.dims), _bits(item.data_type)) for item in graph.initializer}
        own: dict[str, _Value] = {}
        for item in [*graph.value_info, *graph.output, *graph.input]:
            if item.name not in weights:
                own[item.name] = self._value(item.type)
        seen = {**outer, **own, **weights}
        last: dict[str, int] = {}
        for number, node in enumerate(graph.node):
            last.update(dict.fromkeys(node.input, number))
            last.update((name, max(last.get(name, 0), number)) for name in node.output)
        last.update((item.name, len(graph.node)) for item in graph.output)
        alive = {item.name for item in graph.input if item.name in own}
        live = peak = sum(own[name].bytes for name in alive)
        for number, node in enumerate(graph.node):
            inner = self._node(node, seen)
            for name in node.output:
                if name and name not in alive:
                    if name not in own or own[name].shape is None:
                        self.unknown += 1
                    alive.add(name)
                    live += own[name].bytes if name in own else 0
            peak = max(peak, live + inner)
            for name in {*node.input, *node.output} & alive:
                if last.get(name, -1) <= number:
                    alive.discard(name)
                    live -= own[name].bytes if name in own else 0
        return peak

    def _value(self, proto: Any) -> _Value:
        if not proto.HasField("tensor_type"):
            return _Value(None, 0)
        tensor = proto.tensor_type
        found = dtypes.ONNX.get(tensor.elem_type)
        if found:
            self.dtypes.add(found.name)
        dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
        known = tensor.HasField("shape") and all(dim is not None and dim >= 0 for dim in dims)
        known = known and math.prod(dim or 0 for dim in dims) <= _MAX_ELEMENTS
        return _Value(tuple(dim or 0 for dim in dims) if known else None, _bits(tensor.elem_type))

    def _node(self, node: Any, seen: Mapping[str, _Value]) -> int:
        """Add one node's operations; returns the peak inside of its subgraphs."""
        inner = 0
        before = self.flops
        branches = []
        for attribute in node.attribute:
            for graph in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                self.flops = 0
                inner = max(inner, self.graph(graph, seen))
                branches.append(self.flops)
        self.flops = before + max(branches, default=0)
        name = f"{node.domain or 'ai.onnx'}/{node.op_type}"
        if node.op_type in ("Loop", "Scan"):
            self.missing[f"{name} (its body is counted once)"] += 1
        count = onnx_flops.operations(node, _shapes(node.input, seen), _shapes(node.output, seen))
        if count is None:
            self.missing[name] += 1
        else:
            self.flops += count
        return inner


def _bits(elem_type: int) -> int:
    found = dtypes.ONNX.get(elem_type)
    return 0 if found is None else found.bits


def _shapes(names: Sequence[str], seen: Mapping[str, _Value]) -> list[Shape | None]:
    return [seen[name].shape if name in seen else None for name in names]
