"""What one request costs an ONNX model: floating-point operations and peak memory of activations, by shape inference.

Nothing is run. A multiplication and an addition count as two operations. What moves or views data counts as none.
The peak is that of running the nodes in their stored order, freeing each value after its last use, in place of nothing:
an upper bound for a runtime that fuses or reuses buffers.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelver.errors import InvalidInput
from modelver.formats import dtypes, onnx_tensor
from modelver.formats.onnx_walk import SMALL_ATTRIBUTE, Model, Place
from modelver.formats.wire import Rope

Shape = tuple[int, ...]

_MAX_GRAPH = 1 << 29
_TREES = ("TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor")
_VIEWS = """
    Cast CastLike Compress Concat Constant ConstantOfShape DepthToSpace Dropout Expand EyeLike Flatten Gather
    GatherElements GatherND Identity If Loop NonZero OneHot Optional Pad Range Reshape Scan ScatterElements ScatterND
    SequenceAt SequenceConstruct Shape Size Slice SpaceToDepth Split SplitToSequence Squeeze Tile Transpose Trilu
    Unsqueeze ZipMap ArrayFeatureExtractor FeatureVectorizer LabelEncoder CategoryMapper DictVectorizer OneHotEncoder
    StringNormalizer TfIdfVectorizer Tokenizer StringSplit StringConcat CastMap Scatter Unique ReverseSequence
"""
_FREE = frozenset(_VIEWS.split())
_PER_ELEMENT = {
    # Elementary functions count as one each, whatever a processor makes of them; the others by their formula.
    1: """Abs Acos Acosh Add And Asin Asinh Atan Atanh Binarizer BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor
       Ceil Clip Cos Cosh Div Equal Erf Exp Floor Greater GreaterOrEqual Imputer IsInf IsNaN Less LessOrEqual Log Max
       Mean Min Mod Mul Neg Not Or Pow PRelu Reciprocal Relu Round Shrink Sign Sin Sinh Sqrt Sub Sum Tan Tanh
       ThresholdedRelu Where Xor LeakyRelu""",
    2: "BatchNormalization DequantizeLinear Elu HardSigmoid Normalizer QuantizeLinear Scaler Selu Celu Softsign CumSum",
    3: "Hardmax HardSwish LogSoftmax Sigmoid Softmax Softplus Swish Mish LpNormalization",
    5: "DynamicQuantizeLinear Gelu LRN",
    8: """GroupNormalization InstanceNormalization LayerNormalization MeanVarianceNormalization RMSNormalization
       SkipLayerNormalization SimplifiedLayerNormalization RotaryEmbedding""",
}
_WEIGHT = {name: weight for weight, names in _PER_ELEMENT.items() for name in names.split()}


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
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
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
            return ModelProto.FromString(b"".join(bytes(piece) for piece in rope.pieces()))
        except DecodeError as error:
            raise InvalidInput(f"{path} is not a well-formed ONNX model: {error}") from None


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
        inferred = onnx.shape_inference.infer_shapes(fixed, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
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
        if node.op_type in _FREE:
            return inner
        count = _flops(node, [seen.get(item) for item in node.input], [seen.get(item) for item in node.output])
        if count is None:
            self.missing[name] += 1
        else:
            self.flops += count
        return inner


def _bits(elem_type: int) -> int:
    found = dtypes.ONNX.get(elem_type)
    return 0 if found is None else found.bits


def _flops(node: Any, inputs: Sequence[_Value | None], outputs: Sequence[_Value | None]) -> int | None:
    """Operations of one node; None where there is no rule, or the shapes that it needs are not known."""
    ins = [None if value is None else value.shape for value in inputs]
    outs = [None if value is None else value.shape for value in outputs]
    attributes = {item.name: item for item in node.attribute}
    rule = _RULES.get(node.op_type)
    try:
        if rule is not None:
            return rule(ins, outs, attributes)
        if node.op_type in _TREES:
            return _rows(ins) * _longest_paths(attributes)
        if node.op_type in _WEIGHT:
            known = outs[0] if outs and outs[0] is not None else ins[0]
            return None if known is None else _WEIGHT[node.op_type] * math.prod(known)
        if node.op_type.startswith(("Reduce", "Arg", "TopK", "Global")):
            return None if ins[0] is None else math.prod(ins[0])
    except (IndexError, TypeError, ZeroDivisionError, KeyError):
        return None
    return None


Rule = Callable[[Sequence[Any], Sequence[Any], Mapping[str, Any]], int | None]


def _count(shape: Sequence[int]) -> int:
    return math.prod(shape)


def _matmul(ins: Sequence[Any], outs: Sequence[Any], _: Mapping[str, Any]) -> int:
    return 2 * _count(outs[0] if outs[0] is not None else _product(ins[0], ins[1])) * int(ins[0][-1])


def _product(a: Shape, b: Shape) -> Shape:
    return (*a[:-1], *b[-1:])


def _qlinear_matmul(ins: Sequence[Any], outs: Sequence[Any], attributes: Mapping[str, Any]) -> int:
    return _matmul([ins[0], ins[3]], outs, attributes)


def _gemm(ins: Sequence[Any], outs: Sequence[Any], attributes: Mapping[str, Any]) -> int:
    inner = ins[0][0] if "transA" in attributes and attributes["transA"].i else ins[0][-1]
    return _count(outs[0]) * (2 * int(inner) + (1 if len(ins) > 2 and ins[2] is not None else 0))


def _conv(ins: Sequence[Any], outs: Sequence[Any], _: Mapping[str, Any]) -> int:
    bias = 1 if len(ins) > 2 and ins[2] is not None else 0
    return _count(outs[0]) * (2 * _count(ins[1][1:]) + bias)


def _conv_integer(ins: Sequence[Any], outs: Sequence[Any], _: Mapping[str, Any]) -> int:
    return _count(outs[0]) * 2 * _count(ins[1][1:])


def _qlinear_conv(ins: Sequence[Any], outs: Sequence[Any], attributes: Mapping[str, Any]) -> int:
    return _conv([ins[0], ins[3], *ins[8:9]], outs, attributes)


def _conv_transpose(ins: Sequence[Any], outs: Sequence[Any], _: Mapping[str, Any]) -> int:
    bias = _count(outs[0]) if len(ins) > 2 and ins[2] is not None else 0
    return 2 * _count(ins[0]) * _count(ins[1][1:]) + bias


def _pool(_: Sequence[Any], outs: Sequence[Any], attributes: Mapping[str, Any]) -> int:
    return _count(outs[0]) * _count(attributes["kernel_shape"].ints)


def _resize(_: Sequence[Any], outs: Sequence[Any], attributes: Mapping[str, Any]) -> int:
    mode = attributes["mode"].s if "mode" in attributes else b"nearest"
    taps = {b"nearest": 0, b"linear": 4, b"cubic": 16}.get(mode, 4)
    return 2 * taps * _count(outs[0])


def _recurrent(gates: int) -> Rule:
    def rule(ins: Sequence[Any], _: Sequence[Any], attributes: Mapping[str, Any]) -> int:
        # X [steps, batch, features] (layout 0), W [directions, gates * hidden, features], R [.., .., hidden]
        steps = ins[0][0] * ins[0][1]
        directions, features, hidden = ins[1][0], ins[1][2], ins[2][2]
        each = gates * hidden * (2 * features + 2 * hidden + 1) + 4 * gates * hidden
        return int(steps * directions * each)

    return rule


def _einsum(ins: Sequence[Any], _: Sequence[Any], attributes: Mapping[str, Any]) -> int | None:
    equation = attributes["equation"].s.decode()
    if "." in equation:
        return None
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    sizes = {
        letter: size for term, shape in zip(terms, ins, strict=True) for letter, size in zip(term, shape, strict=True)
    }
    return len(terms) * _count(list(sizes.values()))


def _attention(ins: Sequence[Any], outs: Sequence[Any], _: Mapping[str, Any]) -> int | None:
    if len(ins[0]) != 4:
        return None  # three dimensions hide the number of heads in an attribute, and past keys add to the length
    batch, heads, rows, width = ins[0]
    return int(batch * heads * rows * ins[1][2] * (2 * width + 3 + 2 * ins[2][3]))


def _linear(name: str) -> Rule:
    def rule(ins: Sequence[Any], _: Sequence[Any], attributes: Mapping[str, Any]) -> int:
        return _rows(ins) * 2 * len(attributes[name].floats)

    return rule


def _svm(ins: Sequence[Any], _: Sequence[Any], attributes: Mapping[str, Any]) -> int:
    # a kernel value for each support vector (a product or a distance and an exponential), then their weighted sum
    vectors = len(attributes["support_vectors"].floats)
    return _rows(ins) * (3 * vectors + 2 * len(attributes["coefficients"].floats))


def _rows(ins: Sequence[Any]) -> int:
    return int(ins[0][0]) if len(ins[0]) > 1 else 1


_RULES: dict[str, Rule] = {
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _qlinear_matmul,
    "Gemm": _gemm,
    "Conv": _conv,
    "ConvInteger": _conv_integer,
    "QLinearConv": _qlinear_conv,
    "ConvTranspose": _conv_transpose,
    "AveragePool": _pool,
    "MaxPool": _pool,
    "LpPool": _pool,
    "Resize": _resize,
    "Upsample": _resize,
    "RNN": _recurrent(1),
    "GRU": _recurrent(3),
    "LSTM": _recurrent(4),
    "Einsum": _einsum,
    "Attention": _attention,
    "LinearClassifier": _linear("coefficients"),
    "LinearRegressor": _linear("coefficients"),
    "SVMClassifier": _svm,
    "SVMRegressor": _svm,
}


def _longest_paths(attributes: Mapping[str, Any]) -> int:
    """Comparisons on the longest path of each tree, added up; of the layout with ``nodes_treeids``."""
    if "nodes_treeids" not in attributes:
        raise KeyError("nodes_treeids")
    trees, nodes = attributes["nodes_treeids"].ints, attributes["nodes_nodeids"].ints
    modes = attributes["nodes_modes"].strings
    sides = [attributes[f"nodes_{side}nodeids"].ints for side in ("true", "false")]
    row = {(tree, node): number for number, (tree, node) in enumerate(zip(trees, nodes, strict=False))}
    total = 0
    level = [row[tree, 0] for tree in sorted(set(trees)) if (tree, 0) in row]
    seen: set[int] = set()  # a malformed file may hold a circle
    while level := [number for number in level if modes[number] != b"LEAF" and number not in seen]:
        seen.update(level)
        total += len({trees[number] for number in level})
        level = sorted({row[trees[number], side[number]] for number in level for side in sides})
    return total
