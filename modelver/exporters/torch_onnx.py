"""From a program of ``torch.export`` to an ONNX file that says nothing about where and how it was made."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from modelver.core.export_options import ExportOptions, InputSpec
from modelver.errors import InvalidInput
from modelver.exporters import torch_bfloat16
from modelver.exporters.base import first_line
from modelver.exporters.torch_source import ERRORS

OPSET = 18
"""The main opset that torch.onnx writes; others are converted from it."""

ROWS = "N"
"""Name of the first dimension where it is dynamic and nobody named it."""

_SYMBOL = re.compile(r"\b[su]\d+\b")


def convert(program: Any, name: str, options: ExportOptions) -> Any:
    """The program as a model of ``onnx_ir``, without stack traces, paths, source lines and other metadata.

    Raises:
        InvalidInput: torch.onnx cannot convert it, or not to this opset.
    """
    import torch

    opset = options.opset or OPSET
    try:
        model = torch.onnx.export(program, dynamo=True, opset_version=opset, verbose=False).model
    except ERRORS as error:
        raise InvalidInput(
            f"model {name}: torch.onnx cannot convert it: {reason(error)}",
            hint="https://docs.pytorch.org/docs/stable/onnx_export.html; another `export: {opset: …}` may have it",
        ) from None
    stamped = model.opset_imports.get("", opset)
    if options.opset is not None and stamped != options.opset:
        raise InvalidInput(
            f"model {name}: torch.onnx cannot write it at opset {options.opset}, only at {stamped}",
            hint=f"leave `export: {{opset: …}}` out of params.yaml, or say {OPSET} or more",
        )
    torch_bfloat16.compute_in_float32(model)
    _clean(model, name)
    model.ir_version = options.ir_version
    return model


def reason(error: BaseException) -> str:
    """The text of the innermost error: torch.onnx and torch.export wrap what went wrong in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    details = [line.strip()[2:] for line in str(error).splitlines() if line.strip().startswith("- ")]
    return f"{type(error).__name__}: {details[0][:300] if details else first_line(error)}"


def _clean(model: Any, name: str) -> None:
    model.producer_version = model.producer_version.partition("+")[0]  # "+cpu" or "+cu130": the build's, not ours
    model.graph.name = name
    for item in _everything(model):
        item.doc_string = None
        item.metadata_props.clear()


def _everything(model: Any) -> Iterator[Any]:
    """Whatever carries metadata: model, functions, graphs, nodes and values."""
    yield model
    for graph in (model.graph, *model.functions.values(), *_subgraphs(model)):
        yield graph
        yield from graph.inputs
        yield from graph.outputs
    yield from model.functions.values()
    for graph in (model.graph, *_subgraphs(model)):
        yield from graph.initializers.values()
    for node in _nodes(model):
        yield node
        yield from node.outputs


def _subgraphs(model: Any) -> Iterator[Any]:
    for graph in (model.graph, *model.functions.values()):
        yield from graph.subgraphs()


def _nodes(model: Any) -> Iterator[Any]:
    for graph in (model.graph, *model.functions.values()):
        yield from graph.all_nodes()


def rename(model: Any, inputs: Sequence[InputSpec], outputs: Sequence[str]) -> None:
    """Name inputs, outputs and dynamic dimensions; inner values that have such a name already get another."""
    values = list({id(value): value for value in _values(model)}.values())
    wanted = {id(value): spec.name for value, spec in zip(model.graph.inputs, inputs, strict=True)}
    for value, text in zip(model.graph.outputs, outputs, strict=True):
        wanted.setdefault(id(value), text)
    taken = {value.name for value in values} | set(wanted.values())
    for value in values:
        if id(value) not in wanted and value.name in wanted.values():
            number = next(n for n in range(len(taken) + 1) if f"{value.name}_{n}" not in taken)
            taken.add(f"{value.name}_{number}")
            value.name = f"{value.name}_{number}"
    for value in values:
        if id(value) in wanted:
            value.name = wanted[id(value)]
    _rename_dims(model, inputs, values)


def _values(model: Any) -> Iterator[Any]:
    for graph in (model.graph, *_subgraphs(model)):
        yield from graph.inputs
        yield from graph.initializers.values()
    for node in model.graph.all_nodes():
        yield from node.outputs


def _rename_dims(model: Any, inputs: Sequence[InputSpec], values: Sequence[Any]) -> None:
    import onnx_ir

    names: dict[str, str] = {}
    for value, spec in zip(model.graph.inputs, inputs, strict=True):
        for size, text in zip(value.shape, spec.shape, strict=True):
            if not isinstance(size, int) and isinstance(text, str):
                names.setdefault(str(size), text)
    for value in values:
        if value.shape is None or all(isinstance(size, int) for size in value.shape):
            continue
        dims = [
            size if isinstance(size, int) else _SYMBOL.sub(lambda found: names.get(found[0], found[0]), str(size))
            for size in value.shape
        ]
        value.shape = onnx_ir.Shape(dims)


def save(model: Any, path: Path) -> None:
    """Write the model to ``path``, large tensors to a file beside it: ONNX holds no more than 2 GiB in one."""
    import onnx_ir

    onnx_ir.save(model, path, external_data=f"{path.name}.data", size_threshold_bytes=1 << 20)
