"""Boosted trees as ONNX: what the exporters of XGBoost and LightGBM share.

Source of the operator: https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleRegressor.html, version 3. The sum of
the trees is the operator's; what follows (sigmoid, softmax, the choice of a label) are core operators, so that labels
of any type and every objective take the same way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from modelver.core.export_options import DEFAULT_OPSET, ExportOptions
from modelver.errors import InvalidInput
from modelver.exporters.base import ExportRequest
from modelver.formats import dataset

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

Link = Literal["identity", "exp", "sigmoid", "step", "logistic", "softmax", "each"]
"""What makes the answer out of the trees' sums: ``sigmoid`` and ``step`` (1 above 0) give one number, ``logistic`` the
probabilities of two classes, ``softmax`` of several, ``each`` a sigmoid for each of several classes."""

CLASSIFIERS = ("logistic", "softmax", "each")

ML_OPSET = 3
ROWS = 256
"""Rows recorded: trees are judged by a share of rows, and of 32 rows one is 3 %."""

MATRIX = "X"


@dataclass(frozen=True)
class Tree:
    """One tree; all arrays have an element for each node, the root first.

    Attributes:
        left, right: the children's positions; ``left`` is -1 for leaves.
        feature: column to compare.
        threshold: what to compare with.
        default_left: whether a missing value goes left.
        value: a leaf's value; 0 for inner nodes.
        group: which of the sums the leaves add to.
    """

    left: "Array"
    right: "Array"
    feature: "Array"
    threshold: "Array"
    default_left: "Array"
    value: "Array"
    group: int


@dataclass(frozen=True)
class Ensemble:
    """Trees and what becomes of their sums.

    Attributes:
        trees: in the order in which the framework adds them.
        width: number of features.
        base: what each sum starts from, a number for each group.
        link: how the answer comes of the sums.
        below: ``<`` or ``<=``: a value goes left where ``value below threshold``.
        dtype: ``float32`` or ``float64``: how the framework compares.
        labels: the classes; None for what is no classifier.
        scale: factor on the sums before the link (LightGBM's ``sigmoid``).
    """

    trees: Sequence[Tree]
    width: int
    base: Sequence[float]
    link: Link
    below: Literal["<", "<="]
    dtype: str
    labels: tuple[str | int | float | bool, ...] | None
    scale: float = 1.0


def build(ensemble: Ensemble, name: str, options: ExportOptions, names: Sequence[str] | None, producer: str) -> Any:
    """The ModelProto, its graph called ``name``; the same bytes on each run.

    Args:
        ensemble: what to build.
        name: the model's name.
        options: opset, IR version, dtype of the input and names of the outputs.
        names: the features' names, noted in the metadata; None where there are none.
        producer: the framework.

    Raises:
        InvalidInput: the number of output names is wrong.
    """
    import json

    from onnx import TensorProto, helper

    kinds = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}
    given = options.dtype or ensemble.dtype
    outputs = _output_names(ensemble, name, options)
    nodes = []
    source = MATRIX
    if given != ensemble.dtype and given == "float64":
        source = f"{MATRIX}/{ensemble.dtype}"
        nodes.append(helper.make_node("Cast", [MATRIX], [source], to=kinds[ensemble.dtype]))
    compare = "float32" if given == "float32" else ensemble.dtype
    nodes.append(_trees(ensemble, source, compare))
    more, weights = _link(ensemble, outputs)
    groups = len(ensemble.base)
    columns = 2 if ensemble.link == "logistic" else groups
    values = [helper.make_tensor_value_info(outputs[-1], TensorProto.FLOAT, ["N", columns])]
    if ensemble.link in CLASSIFIERS:
        values.insert(0, helper.make_tensor_value_info(outputs[0], weights[-1].data_type, ["N"]))
    graph = helper.make_graph(
        [*nodes, *more],
        name,
        [helper.make_tensor_value_info(MATRIX, kinds[given], ["N", ensemble.width])],
        values,
        weights,
    )
    imports = [helper.make_opsetid("", options.opset or DEFAULT_OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=options.ir_version, producer_name=producer)
    if names is not None:
        helper.set_model_props(model, {dataset.FEATURE_NAMES: json.dumps(list(names), ensure_ascii=False)})
    return model


def _output_names(ensemble: Ensemble, name: str, options: ExportOptions) -> list[str]:
    default = ["label", "probabilities"] if ensemble.link in CLASSIFIERS else ["variable"]
    if options.outputs and len(options.outputs) != len(default):
        raise InvalidInput(
            f"model {name}: params.yaml names {len(options.outputs)} outputs, there are {len(default)}: "
            f"{', '.join(default)}",
            hint="correct `export: {outputs: …}`",
        )
    return list(options.outputs) or default


def _trees(ensemble: Ensemble, source: str, compare: str) -> Any:
    import numpy as np
    from onnx import helper, numpy_helper

    counts = [len(tree.left) for tree in ensemble.trees]
    trees = np.repeat(np.arange(len(counts)), counts)
    nodes = np.concatenate([np.arange(count) for count in counts])
    left, right, feature, missing = (
        np.concatenate([getattr(tree, field) for tree in ensemble.trees]).astype(np.int64)
        for field in ("left", "right", "feature", "default_left")
    )
    leaf = left < 0
    mode = {"<": "BRANCH_LT", "<=": "BRANCH_LEQ"}[ensemble.below]
    thresholds = _rounded(np.concatenate([tree.threshold for tree in ensemble.trees]), ensemble, compare)
    values = np.concatenate([tree.value for tree in ensemble.trees])[leaf]
    groups = np.repeat([tree.group for tree in ensemble.trees], counts)[leaf]
    numbers = {"nodes_values": np.where(leaf, 0, thresholds), "target_weights": values, "base_values": ensemble.base}
    wide = compare == "float64"
    return helper.make_node(
        "TreeEnsembleRegressor",
        [source],
        ["sums"],
        name="trees",
        domain="ai.onnx.ml",
        aggregate_function="SUM",
        post_transform="NONE",
        n_targets=len(ensemble.base),
        nodes_treeids=trees.tolist(),
        nodes_nodeids=nodes.tolist(),
        nodes_featureids=np.where(leaf, 0, feature).tolist(),
        nodes_modes=["LEAF" if is_leaf else mode for is_leaf in leaf],
        nodes_truenodeids=np.where(leaf, 0, left).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, right).tolist(),
        nodes_missing_value_tracks_true=np.where(leaf, 0, missing).tolist(),
        target_treeids=trees[leaf].tolist(),
        target_nodeids=nodes[leaf].tolist(),
        target_ids=groups.tolist(),
        **{
            (f"{key}_as_tensor" if wide else key): (
                numpy_helper.from_array(np.asarray(value, np.float64), key)
                if wide
                else np.asarray(value, np.float32).tolist()
            )
            for key, value in numbers.items()
        },
    )


def _rounded(thresholds: "Array", ensemble: Ensemble, compare: str) -> "Array":
    """Thresholds for float32 inputs: for ``<=`` rounded down, so that no float32 value changes sides."""
    import numpy as np

    if compare == "float64" or ensemble.dtype == "float32":
        return thresholds
    near = thresholds.astype(np.float32)
    if ensemble.below == "<=":
        return np.where(near > thresholds, np.nextafter(near, np.float32(-np.inf)), near)
    return np.where(near < thresholds, np.nextafter(near, np.float32(np.inf)), near)


def _link(ensemble: Ensemble, outputs: Sequence[str]) -> tuple[list[Any], list[Any]]:
    """Nodes from ``sums`` to the outputs, and their constants, the labels last."""
    import numpy as np
    from onnx import helper, numpy_helper

    nodes, weights, sums = [], [], "sums"
    if ensemble.scale != 1.0:
        weights.append(numpy_helper.from_array(np.array([ensemble.scale], np.float32), "scale"))
        nodes.append(helper.make_node("Mul", [sums, "scale"], ["scaled"]))
        sums = "scaled"
    answer = outputs[-1]
    if ensemble.link == "logistic":
        nodes += [
            helper.make_node("Neg", [sums], ["negative"]),
            helper.make_node("Concat", ["negative", sums], ["both"], axis=1),
            helper.make_node("Sigmoid", ["both"], [answer]),
        ]
    elif ensemble.link == "softmax":
        nodes.append(helper.make_node("Softmax", [sums], [answer], axis=1))
    elif ensemble.link == "step":
        weights.append(numpy_helper.from_array(np.array(0, np.float32), "zero"))
        nodes += [
            helper.make_node("Greater", [sums, "zero"], ["above"]),
            helper.make_node("Cast", ["above"], [answer], to=1),
        ]
    else:
        operator = {"identity": "Identity", "exp": "Exp"}.get(ensemble.link, "Sigmoid")
        nodes.append(helper.make_node(operator, [sums], [answer]))
    if ensemble.link in CLASSIFIERS:
        weights.append(numpy_helper.from_array(label_array(ensemble.labels or ()), "labels"))
        nodes += [
            helper.make_node("ArgMax", [answer], ["best"], axis=1, keepdims=0),
            helper.make_node("Gather", ["labels", "best"], [outputs[0]], axis=0),
        ]
    return nodes, weights


def label_array(labels: Sequence[str | int | float | bool]) -> "Array":
    """Labels as an array of the type that ONNX gives them: text, int64, bool or float32."""
    import numpy as np

    if labels and isinstance(labels[0], str):
        return np.asarray(labels, dtype=object)
    array = np.asarray(labels)
    return array.astype({"i": np.int64, "f": np.float32}.get(array.dtype.kind, array.dtype))


def choose_labels(
    count: int, own: Sequence[Any] | None, request: ExportRequest
) -> tuple[str | int | float | bool, ...]:
    """The classes: params.yaml's, else the model's own, else 0, 1, ….

    Raises:
        InvalidInput: params.yaml names another number of them.
    """
    chosen = request.options.labels
    if chosen is not None and len(chosen) != count:
        raise InvalidInput(
            f"model {request.model}: params.yaml has {len(chosen)} labels, the model {count} classes",
            hint="correct `export: {labels: …}`",
        )
    if chosen is None and own is not None:
        return tuple(item if isinstance(item, str) else item.item() for item in own)
    return chosen or tuple(range(count))


def rows(request: ExportRequest, names: Sequence[str] | None, width: int) -> "tuple[Array, list[str] | None]":
    """Real rows as one matrix, and the columns' names where the data has any.

    Raises:
        InvalidInput: the data does not fit the model.
    """
    import numpy as np

    data = request.data.spread(request.options.rows or ROWS)
    try:
        if data.frame is not None and names is not None and not set(names) <= set(map(str, data.frame.columns)):
            names = None  # a model trained on an array: XGBoost and LightGBM make up names
        columns = data.features(names, width) if data.frame is not None else None
        matrix = data.matrix(columns, width)
        if matrix.ndim != 2 or matrix.dtype.kind not in "fiub":
            raise InvalidInput(f"{data.path} holds no rows of numbers, which the model takes")
    except InvalidInput as error:
        raise InvalidInput(f"model {request.model}: {error.message}", error.hint) from None
    return np.ascontiguousarray(matrix), columns


def write(model: Any, output: Path) -> None:
    """Write the file."""
    output.write_bytes(model.SerializeToString(deterministic=True))


def recorded(model: Any, scores: "Array", ensemble: Ensemble) -> "Mapping[str, Array]":
    """The framework's answers by the graph's output names; labels are those of the best score.

    Args:
        model: the ModelProto.
        scores: the framework's own: ``[rows]`` or ``[rows, k]``; for two classes the second's probability.
        ensemble: what was built.
    """
    import numpy as np

    names = [value.name for value in model.graph.output]
    table = scores.reshape(len(scores), -1)
    if ensemble.link == "logistic":
        table = np.column_stack([1.0 - table.astype(np.float64), table])
    found = {names[-1]: np.ascontiguousarray(table.astype(np.float32))}
    if ensemble.link in CLASSIFIERS:
        found[names[0]] = label_array(ensemble.labels or ())[table.argmax(axis=1)]
    return found
