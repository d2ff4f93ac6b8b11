"""What one node of an ONNX model computes: floating-point operations by operator and shapes.

A multiplication and an addition count as two operations. What moves or views data counts as none.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Shape = tuple[int, ...]

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


def operations(node: Any, ins: Sequence[Shape | None], outs: Sequence[Shape | None]) -> int | None:
    """Operations of one node; None where there is no rule, or the shapes that it needs are not known.

    Args:
        node: a ``NodeProto``.
        ins, outs: the shapes of its inputs and outputs, in their order; None where one is not known.
    """
    attributes = {item.name: item for item in node.attribute}
    rule = _RULES.get(node.op_type)
    try:
        if node.op_type in _FREE:
            return 0
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
