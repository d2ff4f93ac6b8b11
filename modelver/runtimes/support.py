"""Which of a model's operators each runtime has, from what is installed here or from a published table."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from modelver.core.assess import RUN_IT, Operator, Range, Support, Target, judge_kernels, judge_listed
from modelver.runtimes.base import first_line, refusals

_ONNX = "ai.onnx"


def operators(proto: Any) -> list[Operator]:
    """The operators of a ``ModelProto``, functions and subgraphs included, in the order of their labels."""
    from onnx import defs

    opsets = _opsets(proto)
    local = {(item.domain, item.name) for item in proto.functions}
    found = []
    for (domain, name), count in sorted(_count(proto).items()):
        since, body = None, (domain, name) in local
        try:
            schema = defs.get_schema(name, opsets.get(domain, 1), domain)
            since, body = schema.since_version, body or _has_body(schema)
        except defs.SchemaError:
            pass
        found.append(Operator(domain or _ONNX, name, count, since, body))
    return found


def _count(proto: Any) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = defaultdict(int)
    stack = [proto.graph, *proto.functions]
    while stack:
        for node in stack.pop().node:
            counts["" if node.domain == _ONNX else node.domain, node.op_type] += 1
            for attribute in node.attribute:
                stack += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
    return dict(counts)


def _opsets(proto: Any) -> dict[str, int]:
    return {"" if item.domain == _ONNX else item.domain: item.version for item in proto.opset_import}


def _has_body(schema: Any) -> bool:
    return bool(schema.has_function or schema.has_context_dependent_function)


def targets(path: Path, proto: Any, used: Sequence[Operator]) -> list[Target]:
    """The verdicts of every runtime that modelver knows, in the order of their names.

    Args:
        path: the model file; onnxruntime builds a session from it, and runs nothing.
        proto: the model with inferred types.
        used: its operators.
    """
    return sorted(
        [_onnxruntime(path, proto, used), _node(proto, used), _openvino(used), _reference(proto, used)],
        key=lambda target: target.runtime,
    )


def _onnxruntime(path: Path, proto: Any, used: Sequence[Operator]) -> Target:
    import onnxruntime

    version = str(onnxruntime.__version__)
    error = _load_error(path)
    if not error:
        verdicts = {operator.label: Support("yes") for operator in used}
    else:
        verdicts = {operator.label: _by_kernels(operator, proto, "onnxruntime") for operator in used}
    source = f"onnxruntime {version}, its CPU kernels, and a session built from the model without running it"
    return Target("onnxruntime", version, source, not error, error, verdicts)


def _load_error(path: Path) -> str:
    """What onnxruntime says against the model; empty where it builds a session. No node is run: no optimisation
    (which would fold constants), no kernel call."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except refusals() as error:
        return first_line(error, path)
    return ""


def _node(proto: Any, used: Sequence[Operator]) -> Target:
    import onnxruntime

    version = str(onnxruntime.__version__)
    source = f"the CPU kernels of onnxruntime {version}, from whose native library onnxruntime-node {version} is built"
    verdicts = {operator.label: _by_kernels(operator, proto, "onnxruntime-node") for operator in used}
    return Target("onnxruntime-node", version, source, None, "", verdicts)


@cache
def _kernels() -> dict[str, list[tuple[Range, Mapping[str, Sequence[str]]]]]:
    """onnxruntime's CPU kernels by ``domain/Name``: versions, and the types that each of its parameters takes."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    found: dict[str, list[tuple[Range, Mapping[str, Sequence[str]]]]] = defaultdict(list)
    # Not in every build of onnxruntime: then nothing is known, and nothing is claimed.
    for kernel in getattr(state, "get_all_opkernel_def", list)():
        if kernel.provider == "CPUExecutionProvider":
            label = f"{kernel.domain or _ONNX}/{kernel.op_name}"
            found[label].append((tuple(kernel.version_range), dict(kernel.type_constraints)))
    return dict(found)


def _by_kernels(operator: Operator, proto: Any, runtime: str) -> Support:
    kernels = _kernels()
    if operator.label == f"{_ONNX}/Constant":
        return Support("yes")  # there is no kernel: onnxruntime makes a weight of it when it loads the model
    if not kernels:
        return Support("unknown", "this build of onnxruntime does not list its kernels")
    of_name = kernels.get(operator.label, [])
    support = judge_kernels(operator, [versions for versions, _ in of_name], runtime)
    if support.verdict != "yes" or operator.custom:
        return support
    fitting = [types for versions, types in of_name if judge_kernels(operator, [versions], runtime).verdict == "yes"]
    refused, unknown = _types(operator, proto, fitting)
    if refused:
        return Support(
            "no",
            f"{runtime} has no kernel for {refused}",
            "cast to float32 around it, or export with `export: {dtype: float32}` in params.yaml",
        )
    return Support("unknown", "the types of its inputs are not known", RUN_IT) if unknown else support


def _types(operator: Operator, proto: Any, kernels: Sequence[Mapping[str, Sequence[str]]]) -> tuple[str, bool]:
    """A combination of input types that no kernel takes (or nothing), and whether some types are not known."""
    from onnx import defs

    domain = "" if operator.domain == _ONNX else operator.domain
    schema = defs.get_schema(operator.name, operator.since or 1, domain)
    unknown = False
    for node, types in _nodes(proto, domain, operator.name):
        bound: dict[str, str | None] = {}
        for number, name in enumerate(node.input):
            formal = schema.inputs[min(number, len(schema.inputs) - 1)] if schema.inputs else None
            if formal is not None and name:
                bound.setdefault(formal.type_str, types.get(name))
        unknown |= None in bound.values()
        known = {key: value for key, value in bound.items() if value is not None}
        if not any(all(value in types.get(key, (value,)) for key, value in known.items()) for types in kernels):
            return ", ".join(f"{key} = {value}" for key, value in sorted(known.items())), unknown
    return "", unknown


def _nodes(proto: Any, domain: str, name: str) -> Iterable[tuple[Any, Mapping[str, str]]]:
    stack: list[tuple[Any, dict[str, str]]] = [(proto.graph, {})]
    while stack:
        graph, outer = stack.pop()
        types = outer | _value_types(graph)
        for node in graph.node:
            if (node.domain, node.op_type) == (domain, name):
                yield node, types
            for attribute in node.attribute:
                inner = [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
                stack += [(each, types) for each in inner]


def _value_types(graph: Any) -> dict[str, str]:
    import onnx

    types = {}
    for item in [*graph.value_info, *graph.input, *graph.output]:
        if item.type.HasField("tensor_type"):
            types[item.name] = _type_text(item.type.tensor_type.elem_type, onnx)
    types.update({item.name: _type_text(item.data_type, onnx) for item in graph.initializer})
    return {name: text for name, text in types.items() if text}


def _type_text(elem_type: int, onnx: Any) -> str:
    if elem_type not in onnx.TensorProto.DataType.values() or not elem_type:
        return ""
    # as type constraints spell it: tensor(float), tensor(float8e4m3fn)
    return f"tensor({onnx.TensorProto.DataType.Name(elem_type).lower()})"


def _reference(proto: Any, used: Sequence[Operator]) -> Target:
    import onnx

    version = str(onnx.__version__)
    opsets = _opsets(proto)
    verdicts = {operator.label: _has_reference(operator, opsets, version) for operator in used}
    return Target("reference", version, f"the operators of onnx {version}'s reference evaluator", None, "", verdicts)


def _has_reference(operator: Operator, opsets: Mapping[str, int], version: str) -> Support:
    from onnx.reference import op_run, ops
    from onnx.reference.ops import aionnxml

    loaders = {_ONNX: ops.load_op, "ai.onnx.ml": aionnxml.load_op}
    if operator.domain not in loaders:
        if operator.body:
            return Support("unknown", "the model defines it as a function", RUN_IT)
        return Support("no", "the reference evaluator knows the standard's domains only", "replace it in the model")
    domain = "" if operator.domain == _ONNX else operator.domain
    try:
        loaders[operator.domain](domain, operator.name, opsets.get(domain, 1))
    except op_run.RuntimeContextError:
        return Support("yes")  # expanded by its definition once the types of its inputs are known
    except (op_run.RuntimeImplementationError, NotImplementedError, RuntimeError, ValueError, KeyError) as error:
        return Support("no", str(error).splitlines()[0][:200], "judge parity on another runtime")
    return Support("yes")


def _openvino(used: Sequence[Operator]) -> Target:
    table = _table("openvino")
    verdicts = {}
    for operator in used:
        versions, limitation = table["operators"].get(operator.label, (None, ""))
        if operator.domain in table["domains"]:
            verdicts[operator.label] = judge_listed(operator, versions, limitation, "openvino")
        else:
            verdicts[operator.label] = Support(
                "unknown", "modelver keeps the table of the standard's domains only", RUN_IT
            )
    return Target("openvino", None, table["source"], None, "", verdicts)


@cache
def _table(name: str) -> dict[str, Any]:
    text = resources.files("modelver.runtimes").joinpath(f"{name}-operators.json").read_text("utf-8")
    table: dict[str, Any] = json.loads(text)
    return table
