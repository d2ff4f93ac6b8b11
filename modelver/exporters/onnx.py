"""ONNX to ONNX: models that a stage of one's own writes, with another opset or IR version where asked."""

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.errors import InvalidInput, Refused
from modelver.exporters import rows
from modelver.exporters.base import Exported, ExportRequest
from modelver.formats import dataset, onnx_describe, onnx_join, onnx_split

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

EVALUATED = 64 << 20
"""Bytes up to which the reference evaluator computes the recorded outputs; it holds all of a model and is slow."""

_NEEDS_IR = {17: 9, 18: 9, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12, 25: 13, 26: 13, 27: 14, 28: 14}
"""IR version by the number of an element type that came with it; source: onnx.proto, ``Version``."""


class OnnxExporter:
    """Takes ONNX models as they are, streaming, or converts them with onnx's own converter."""

    suffixes: tuple[str, ...] = (".onnx",)

    def export(self, source: Path, request: ExportRequest) -> Exported:
        """Write the converted model, or name the source as it is, and record the source's own outputs on real rows.

        The outputs are those of onnx's reference evaluator; of onnxruntime where the model is larger than `EVALUATED`
        or the evaluator lacks an operator. ``packages`` names the one that it was.

        Raises:
            Refused: the model needs a newer IR version than asked for.
            InvalidInput: the model is malformed, cannot be converted, has inputs or outputs that are no tensors, or
                the data does not fit.
        """
        form, signature, graph = onnx_describe.describe(source)
        _check(signature, request)
        names = dataset.columns_noted(form["metadata"])
        wanted = rows.count(signature["inputs"], request, set(graph["operators"]))
        fed = rows.feeds(signature["inputs"], request, wanted, names)
        outputs, judge = _outputs(source, signature, fed, request)
        labels = request.options.labels or (None if signature["labels"] is None else tuple(signature["labels"]))
        return Exported(
            inputs=fed,
            outputs=outputs,
            labels=labels,
            format="onnx",
            framework="onnx",
            framework_version=version("onnx"),
            packages={"onnx": version("onnx"), judge: version(judge)},
            model=_converted(source, form, request),
        )


def _check(signature: dict[str, Any], request: ExportRequest) -> None:
    for side in ("inputs", "outputs"):
        for value in signature[side]:
            if value["shape"] is None or "(" in str(value["dtype"]):
                raise InvalidInput(
                    f"model {request.model}: {side[:-1]} {value['name']!r} is {value['dtype']} of shape "
                    f"{value['shape']}, for which no rows can be recorded",
                    hint="`modelver add NAME model.onnx` takes the model as it is, without a stage",
                )
    if request.options.outputs or request.options.inputs or request.options.builder:
        raise InvalidInput(
            f"model {request.model}: an ONNX model says its inputs and outputs itself",
            hint="remove inputs, outputs and builder from `export:` in params.yaml",
        )


def _outputs(
    source: Path, signature: dict[str, Any], fed: "dict[str, Array]", request: ExportRequest
) -> "tuple[dict[str, Array], str]":
    """The source's outputs, and the package that computed them."""
    from modelver.runtimes.onnxruntime import OnnxRuntime
    from modelver.runtimes.reference import ReferenceRuntime

    found: dict[str, Array] | None = None
    judge = "onnx"
    size = source.stat().st_size + sum(p.stat().st_size for p in source.parent.glob(f"{source.name}*") if p != source)
    if size <= EVALUATED:
        try:
            found = _fitting(ReferenceRuntime().run(source, fed), signature)
        except InvalidInput:
            found = None  # an operator that the evaluator lacks: onnxruntime is asked
    if found is None:
        judge = "onnxruntime"
        try:
            found = _fitting(OnnxRuntime().run(source, fed), signature)
        except InvalidInput as error:
            raise InvalidInput(f"model {request.model}: {error.message}", error.hint) from None
    if found is None:
        raise InvalidInput(f"model {request.model}: its outputs are not what {source.name} declares")
    return found, judge


def _fitting(values: "dict[str, Array]", signature: dict[str, Any]) -> "dict[str, Array] | None":
    """The outputs, if they are what the model declares; the evaluator is not always."""
    import numpy as np

    for value in signature["outputs"]:
        array = values.get(value["name"])
        if not isinstance(array, np.ndarray) or array.ndim != len(value["shape"]):
            return None
        if value["dtype"] != "string" and array.dtype.name != value["dtype"]:
            return None
    return {value["name"]: np.ascontiguousarray(values[value["name"]]) for value in signature["outputs"]}


def _converted(source: Path, form: dict[str, Any], request: ExportRequest) -> Path:
    """The model to take: the source itself where nothing is to change."""
    opset = request.options.opset
    found = form["opsets"].get("ai.onnx")
    if opset is not None and found is not None and found != opset:
        return _convert(source, opset, request)
    if form["ir_version"] <= request.options.ir_version:
        return source
    folder = request.output.parent / "onnx"
    onnx_split.split(source, folder)
    target = folder / onnx_split.MODEL
    target.write_bytes(_lowered(target, request))
    return target


def _lowered(path: Path, request: ExportRequest) -> bytes:
    """The graph with the IR version asked for; its large tensors are in files beside it and are not read."""
    import onnx

    proto = onnx.load(str(path), load_external_data=False)
    _lower(proto, request)
    return bytes(proto.SerializeToString(deterministic=True))


def _lower(proto: Any, request: ExportRequest) -> None:
    wanted = request.options.ir_version
    needed = max((_NEEDS_IR.get(number, 3) for number in _types(proto.graph)), default=3)
    if needed > wanted:
        raise Refused(
            f"model {request.model} has tensors of a type that came with IR version {needed}, asked for is {wanted}",
            hint=f"export: {{ir_version: {needed}}} in params.yaml",
        )
    proto.ir_version = min(proto.ir_version, wanted)


def _types(graph: Any) -> set[int]:
    """Numbers of the element types that a graph names anywhere."""
    values = (*graph.input, *graph.output, *graph.value_info)
    found = {value.type.tensor_type.elem_type for value in values} | {item.data_type for item in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype", "output_dtype"):
                found.add(attribute.i)
            found |= {item.data_type for item in (attribute.t, *attribute.tensors)}
            for inner in (attribute.g, *attribute.graphs):
                found |= _types(inner)
    return found


def _convert(source: Path, opset: int, request: ExportRequest) -> Path:
    """The model at another main opset; the converter holds it in memory, whole.

    Raises:
        InvalidInput: onnx cannot convert it, or it is above 2 GiB.
    """
    import onnx
    from onnx import version_converter

    name = request.model
    onnx_join.join(source, request.output)
    if request.output.stat().st_size > onnx_join.PROTOBUF_LIMIT:
        raise InvalidInput(
            f"model {name} is above 2 GiB, which onnx's converter does not take",
            hint="leave `export: {opset: …}` out of params.yaml",
        )
    proto = onnx.load(str(request.output))
    found = next(item.version for item in proto.opset_import if item.domain in ("", "ai.onnx"))
    try:
        # Its types are read by the converter of some operators, and few writers store them.
        typed = onnx.shape_inference.infer_shapes(proto)
        converted = version_converter.convert_version(typed, opset)
        onnx.checker.check_model(converted, full_check=True)
    except (RuntimeError, ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise InvalidInput(
            f"model {name}: onnx cannot convert it from opset {found} to {opset}: "
            f"{lines[0][:300] if lines else type(error).__name__}",
            hint="another `export: {opset: …}` in params.yaml, or export it from its framework at that opset",
        ) from None
    del converted.metadata_props[:]
    converted.metadata_props.extend(proto.metadata_props)  # the converter drops them
    _lower(converted, request)
    request.output.write_bytes(converted.SerializeToString(deterministic=True))
    return request.output
