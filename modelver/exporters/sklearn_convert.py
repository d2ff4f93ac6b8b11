"""From a fitted scikit-learn model to ONNX by skl2onnx, with its traps stepped around."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelver.core.export_options import DEFAULT_OPSET, ExportOptions
from modelver.errors import InvalidInput
from modelver.exporters import sklearn_inspect as inspect
from modelver.formats import dataset

ML_OPSET = 3
"""Version of ai.onnx.ml: without it IsolationForest does not convert."""

_WORDS = {
    # skl2onnx's own pattern keeps words of one letter, which scikit-learn's default drops, and is ASCII only.
    r"(?u)\b\w\w+\b": r"[\pL\pN_]{2,}",
    r"(?u)\b\w+\b": r"[\pL\pN_]+",
}

_IN_ATTRIBUTES = frozenset({"LinearClassifier", "LinearRegressor", "Normalizer", "Scaler"})
"""Operators that keep weights in attributes: kept out, so that coefficients are tensors that a diff can follow."""

_ERRORS = (
    RuntimeError,
    NotImplementedError,
    NameError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    KeyError,
    AssertionError,
)
"""What skl2onnx raises for models that it cannot convert; it has no root of its own."""


@dataclass(frozen=True, slots=True)
class Input:
    """A graph input: ``kind`` is ``float``, ``int``, ``bool`` or ``string``; ``width`` its second dimension.

    ``encoded``: only encoders of categories read it. Other integers are cast to the floating-point type in the graph,
    because skl2onnx mixes no types in one matrix and computes scalers of integers in float32.
    """

    name: str
    kind: str
    width: int
    encoded: bool = False


def dtypes(model: Any, options: ExportOptions) -> tuple[str, ...]:
    """Element types for floating-point inputs, the likely one first; the exporter takes the first that agrees.

    Trees behind transformers need float64: scikit-learn scales in double and rounds to float32 only where a tree
    starts; float32 from the beginning puts rows on the other side of a split. Everything else takes float32 first,
    which is half the size; transformers with steps of their own (QuantileTransformer) then need float64 too. A model
    whose data is float32 needs float32: scikit-learn scales in the data's type.
    """
    if options.dtype is not None:
        return (options.dtype,)
    if hasattr(model, "steps") and len(model.steps) > 1 and inspect.has_trees(model.steps[-1][1]):
        return ("float64", "float32")
    return ("float32", "float64")


def convert(model: Any, name: str, inputs: Sequence[Input], dtype: str, options: ExportOptions) -> Any:
    """The ONNX ModelProto, its graph called ``name``; the same bytes on each run.

    Raises:
        InvalidInput: skl2onnx cannot convert the model.
    """
    from skl2onnx import convert_sklearn

    double = dtype == "float64"
    source = _with_cast(model) if double else model
    shapes, converters = _imputers(model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # attributes that skl2onnx reads and scikit-learn will drop
            proto = convert_sklearn(
                source,
                name=name,  # skl2onnx's default is a random UUID
                initial_types=[(item.name, _type(item, double)) for item in inputs],
                target_opset={"": options.opset or DEFAULT_OPSET, "ai.onnx.ml": ML_OPSET},
                options=_options(model),
                custom_shape_calculators=shapes,
                custom_conversion_functions=converters,
                black_op=_IN_ATTRIBUTES,
            )
    except _ERRORS as error:
        lines = str(error).strip().splitlines()
        raise InvalidInput(
            f"model {name}: skl2onnx cannot convert this {type(model).__name__} with {dtype} inputs: "
            f"{lines[0][:300] if lines else type(error).__name__}",
            hint="https://onnx.ai/sklearn-onnx/supported.html lists what converts; "
            "`modelver add --plain` versions the file as it is",
        ) from None
    # skl2onnx keeps the domains in a set, whose order differs from process to process
    imports = sorted(proto.opset_import, key=lambda item: str(item.domain))
    del proto.opset_import[:]
    proto.opset_import.extend(imports)
    # skl2onnx makes names of letters, digits and underscores, each of its own: inputs are known by their order.
    called = [value.name for value in proto.graph.input]
    columns = {name: item.name for name, item in zip(called, inputs, strict=True)}
    _drop_unused_inputs(proto)
    _restore_integers(proto, [replace(item, name=name) for name, item in zip(called, inputs, strict=True)], double)
    _note_columns(proto, columns)
    _name_batch(proto)
    proto.ir_version = options.ir_version
    return proto


def _type(item: Input, double: bool) -> Any:
    from skl2onnx.common import data_types as types

    number = types.DoubleTensorType if double else types.FloatTensorType
    if item.kind == "string":
        kind = types.StringTensorType
    elif item.kind == "int" and item.encoded:
        kind = types.Int64TensorType
    elif item.kind == "bool" and item.encoded:
        kind = types.BooleanTensorType
    else:
        kind = number
    return kind([None, item.width])


def _with_cast(model: Any) -> Any:
    """A pipeline whose last step gets float32, as scikit-learn's trees take it; the fitted steps are shared."""
    from skl2onnx.sklapi import CastTransformer
    from sklearn.pipeline import Pipeline

    if not inspect.has_trees(model):
        return model
    if not hasattr(model, "steps"):
        return Pipeline([("modelver_cast", CastTransformer()), ("model", model)])
    *before, (name, last) = model.steps
    if hasattr(last, "steps"):
        return Pipeline([*before, (name, _with_cast(last))])
    return Pipeline([*before, ("modelver_cast", CastTransformer()), (name, last)])


def _options(model: Any) -> dict[int, dict[str, Any]]:
    from skl2onnx._supported_operators import get_model_alias
    from skl2onnx.common._registration import get_converter

    result: dict[int, dict[str, Any]] = {}
    last = inspect.final(model)
    for part in inspect.parts(model):
        if hasattr(part, "build_analyzer") and hasattr(part, "vocabulary_"):
            # The default locale, en_US, is missing on small images, and then nothing loads.
            result[id(part)] = {"locale": "C.UTF-8"}
            if part.analyzer == "word" and part.token_pattern in _WORDS:
                result[id(part)]["tokenexp"] = _WORDS[part.token_pattern]
        elif part is last:
            try:
                allowed = get_converter(get_model_alias(type(part))).get_allowed_options() or {}
            except (RuntimeError, ValueError, KeyError):
                continue  # no converter: convert_sklearn says so, with the supported ones
            if "zipmap" in allowed:
                result.setdefault(id(part), {})["zipmap"] = False  # a matrix, not a list of dicts
            if "raw_scores" in allowed and hasattr(part, "classes_") and not hasattr(part, "predict_proba"):
                result.setdefault(id(part), {})["raw_scores"] = True
    return result


def _imputers(model: Any) -> tuple[dict[type, Any], dict[type, Any]]:
    """Converters for SimpleImputer, in core operators.

    onnxruntime has no double kernel for ai.onnx.ml's Imputer, and skl2onnx takes text imputers only where the mark of
    a missing value is text. Imputers with other options are left to skl2onnx.
    """
    import math

    from sklearn.impute import SimpleImputer

    imputers = [part for part in inspect.parts(model) if isinstance(part, SimpleImputer)]
    found = [part for part in imputers if hasattr(part, "statistics_")]  # a pipeline also holds what it was cloned from
    for part in found:
        nan = isinstance(part.missing_values, float) and math.isnan(part.missing_values)
        if not nan or part.add_indicator or any(isinstance(x, float) and math.isnan(x) for x in part.statistics_):
            return {}, {}
    return ({SimpleImputer: _imputer_shape}, {SimpleImputer: _imputer_nodes}) if found else ({}, {})


def _imputer_shape(operator: Any) -> None:
    values = operator.inputs[0]
    operator.outputs[0].type = type(values.type)([values.get_first_dimension(), len(operator.raw_operator.statistics_)])


def _imputer_nodes(scope: Any, operator: Any, container: Any) -> None:
    from onnx import TensorProto
    from skl2onnx.common.data_types import DoubleTensorType, StringTensorType

    statistics = operator.raw_operator.statistics_
    kind = operator.inputs[0].type
    values = operator.inputs[0].full_name
    if len(operator.inputs) > 1:
        values = scope.get_unique_variable_name("imputer_columns")
        container.add_node("Concat", [i.full_name for i in operator.inputs], values, axis=1, op_version=13)
    if isinstance(kind, StringTensorType):  # ONNX text is never missing
        container.add_node("Identity", [values], operator.outputs[0].full_name, op_version=13)
        return
    fill = scope.get_unique_variable_name("imputer_statistics")
    number = TensorProto.DOUBLE if isinstance(kind, DoubleTensorType) else TensorProto.FLOAT
    container.add_initializer(fill, number, [1, len(statistics)], [float(x) for x in statistics])
    missing = scope.get_unique_variable_name("imputer_missing")
    container.add_node("IsNaN", [values], missing, op_version=13)
    container.add_node("Where", [missing, fill, values], operator.outputs[0].full_name, op_version=9)


def _restore_integers(proto: Any, inputs: Sequence[Input], double: bool) -> None:
    """Give integer and boolean columns their own type again, cast to the graph's first thing."""
    from onnx import TensorProto, helper

    number = TensorProto.DOUBLE if double else TensorProto.FLOAT
    own = {"int": TensorProto.INT64, "bool": TensorProto.BOOL}
    for item in reversed(inputs):
        value = next((value for value in proto.graph.input if value.name == item.name), None)
        if value is None or item.kind not in own or item.encoded:
            continue
        value.type.tensor_type.elem_type = own[item.kind]
        cast = f"{item.name}/number"
        for node in proto.graph.node:
            for position, used in enumerate(node.input):
                if used == item.name:
                    node.input[position] = cast
        node = helper.make_node("Cast", [item.name], [cast], name=f"{item.name}/Cast", to=number)
        proto.graph.node.insert(0, node)


def _note_columns(proto: Any, columns: Mapping[str, str]) -> None:
    noted = {value.name: columns[value.name] for value in proto.graph.input}
    if any(name != column for name, column in noted.items()):
        entry = proto.metadata_props.add()
        entry.key, entry.value = dataset.COLUMNS, json.dumps(noted, ensure_ascii=False)


def _drop_unused_inputs(proto: Any) -> None:
    used = {name for node in proto.graph.node for name in node.input}
    for value in [value for value in proto.graph.input if value.name not in used]:
        proto.graph.input.remove(value)


def correct_widths(proto: Any, outputs: Mapping[str, Any]) -> None:
    """Set the declared widths of outputs to those of computed ``outputs``, by name.

    skl2onnx declares one column for the scores of a binary LinearSVC and for regression forests of several targets,
    whose graphs give more: the checker's full check refuses that.
    """
    for value in proto.graph.output:
        dims = value.type.tensor_type.shape.dim
        found: Sequence[int] = getattr(outputs.get(value.name), "shape", ())
        if len(dims) == len(found) == 2:
            dims[1].Clear()
            dims[1].dim_value = found[1]


def _name_batch(proto: Any) -> None:
    for value in (*proto.graph.input, *proto.graph.output):
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value"):
            dims[0].dim_param = "N"
