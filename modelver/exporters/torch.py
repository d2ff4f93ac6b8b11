"""PyTorch models: programs of ``torch.export``, or a state dict and the function that builds its model."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.core.export_options import InputSpec
from modelver.errors import InvalidInput, Refused
from modelver.exporters import rows, torch_onnx, torch_source
from modelver.exporters.base import Exported, ExportRequest, first_line
from modelver.exporters.plugins import install_hint
from modelver.exporters.torch_source import ERRORS, place

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_PACKAGES = ("numpy", "onnx", "onnx-ir", "onnxscript", "torch")


class TorchExporter:
    """Exports ``.pt2`` programs, and state dicts (``.pt``, ``.pth``, ``.safetensors``) with a builder."""

    suffixes: tuple[str, ...] = (".pt2",)  # a state dict needs its builder declared, and its framework with it

    def export(self, source: Path, request: ExportRequest) -> Exported:
        """Write the ONNX model and record PyTorch's own answers, of the module itself, on real rows.

        Raises:
            Refused: PyTorch or onnxscript is missing, or the model is in training mode.
            InvalidInput: source, settings and data do not fit together, or torch.onnx cannot convert.
        """
        require("torch")
        with torch_source.calm(), torch_source.importing(request.root):
            job = _from_program(source, request) if source.suffix == ".pt2" else _from_builder(source, request)
            return finish(job, source, request, "torch", _PACKAGES)


@dataclass(frozen=True)
class Job:
    """What to convert (``program``), what to ask for answers (``module``), and the inputs of both, in order."""

    program: Any
    module: Any
    inputs: tuple[InputSpec, ...]


def require(extra: str, *more: str) -> None:
    """Refuse, naming the extra to install, where PyTorch, onnxscript or one of ``more`` is missing."""
    for package in (*more, "torch", "onnxscript"):
        if find_spec(package) is None:
            raise Refused(f"exporting {extra} models needs the package {package}", hint=install_hint(extra))


def finish(job: Job, source: Path, request: ExportRequest, framework: str, packages: Sequence[str]) -> Exported:
    """Convert the program, write it, and record the module's own answers on real rows."""
    model = torch_onnx.convert(job.program, request.model, request.options)
    _check_inputs(model, job, request.model)
    signature = _signature(job.inputs)
    fed = rows.feeds(signature, request, rows.count(signature, request, _operators(model)))
    answers = _run(job.module, [fed[spec.name] for spec in job.inputs], request)
    names = _output_names(job.program, answers, request)
    if len(names) != len(model.graph.outputs):
        raise InvalidInput(
            f"model {request.model} returns {len(names)} tensors, its ONNX graph {len(model.graph.outputs)}",
            hint="return each tensor once, and nothing but tensors",
        )
    torch_onnx.rename(model, job.inputs, names)
    torch_onnx.save(model, request.output)
    return Exported(
        inputs=fed,
        outputs=dict(zip(names, answers, strict=True)),
        labels=request.options.labels,
        format=source.suffix.removeprefix("."),
        framework=framework,
        framework_version=version(framework),
        packages={package: version(package) for package in packages},
    )


def _from_program(source: Path, request: ExportRequest) -> Job:
    import torch
    from torch.utils import _pytree

    if request.options.builder is not None:
        raise InvalidInput(
            f"model {request.model}: {source.name} is a whole program, which no builder builds",
            hint="remove `builder:` from `export:` in params.yaml",
        )
    program = torch_source.program(source, request.model)
    found = _declared(program, request.model)
    inputs = _named(found, request)
    given = [value if isinstance(value, str) else None for value in program.graph_signature.user_inputs]

    def module(*tensors: Any) -> Any:
        rest = iter(tensors)
        leaves = [
            next(rest) if given[number] is not None else program.graph_signature.user_inputs[number]
            for number in range(len(given))
        ]
        args, kwargs = _pytree.tree_unflatten(leaves, program.call_spec.in_spec)
        return runnable(*args, **kwargs)

    runnable = program.module()
    assert isinstance(runnable, torch.nn.Module)
    return Job(program, module, inputs)


def _declared(program: Any, name: str) -> tuple[InputSpec, ...]:
    """The inputs that a program itself declares; ``N`` for the first dimension, ``NAME_AXIS`` for others."""
    import torch

    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    names: dict[str, str] = {}
    specs = []
    for key in program.graph_signature.user_inputs:
        if not isinstance(key, str):
            continue
        value = values.get(key)
        if not isinstance(value, torch.Tensor):
            raise InvalidInput(
                f"model {name}: its input {key!r} is a {type(value).__name__}, no tensor",
                hint="export the program with this argument fixed",
            )
        shape: list[int | str] = []
        for axis, size in enumerate(value.shape):
            if isinstance(size, int):
                shape.append(size)
            else:
                shape.append(names.setdefault(str(size), torch_onnx.ROWS if axis == 0 else f"{key}_{axis}"))
        specs.append(InputSpec(key, tuple(shape), str(value.dtype).removeprefix("torch.")))
    return tuple(specs)


def _named(found: Sequence[InputSpec], request: ExportRequest) -> tuple[InputSpec, ...]:
    """The declared inputs, with the names that params.yaml gives them and their dimensions."""
    chosen = request.options.inputs
    if not chosen:
        return tuple(found)
    if len(chosen) != len(found):
        raise InvalidInput(
            f"model {request.model}: params.yaml declares {len(chosen)} inputs, the program has "
            f"{len(found)}: {', '.join(spec.name for spec in found)}",
            hint="correct `export: {inputs: …}`, or leave it out",
        )
    for want, have in zip(chosen, found, strict=True):
        dims = zip(want.shape, have.shape, strict=len(want.shape) == len(have.shape))
        same = len(want.shape) == len(have.shape) and all(
            a == b if isinstance(a, int) or isinstance(b, int) else True for a, b in dims
        )
        if want.dtype != have.dtype or not same:
            raise InvalidInput(
                f"model {request.model}: params.yaml declares input {want.name!r} as {_text(want)}, the program has "
                f"{_text(have)}",
                hint="dimensions are dynamic where torch.export.export was told so: dynamic_shapes=…",
            )
    return tuple(chosen)


def _text(spec: InputSpec) -> str:
    return f"{spec.dtype} [{', '.join(map(str, spec.shape))}]"


def _from_builder(source: Path, request: ExportRequest) -> Job:
    builder = request.options.builder
    if builder is None:
        raise Refused(
            f"model {request.model}: {source.name} holds weights alone, and nobody says what model they belong to",
            hint="add `export: {builder: module:function}` in params.yaml, or save a program with torch.export.save",
        )
    module = torch_source.built(builder, request.root, source, request.model)
    return trace(module, request.options.inputs or _guessed(module, request), request)


def trace(module: Any, inputs: Sequence[InputSpec], request: ExportRequest) -> Job:
    """The program of a module that takes ``inputs`` in order, named dimensions dynamic.

    Raises:
        Refused: it is in training mode.
        InvalidInput: the data does not fit, or torch.export cannot trace it.
    """
    import torch

    count = 2 if isinstance(inputs[0].shape[0], str) else int(inputs[0].shape[0])
    example = _tensors(rows.feeds(_signature(inputs), request, count), inputs)
    dims = tuple(
        {axis: torch.export.Dim.DYNAMIC for axis, size in enumerate(spec.shape) if isinstance(size, str)}
        for spec in inputs
    )
    try:
        shapes = _by_parameter(module, dims)
        program = torch.export.export(module, tuple(example), dynamic_shapes=shapes)
    except ERRORS as error:
        raise InvalidInput(
            f"model {request.model}: torch.export cannot trace it{place(error, request.root)}: "
            f"{torch_onnx.reason(error)}",
            hint="dimensions that must stay fixed are numbers in `export: {inputs: …}` in params.yaml",
        ) from None
    torch_source.refuse_training(program, request.model)
    return Job(program, module, tuple(inputs))


def _by_parameter(module: Any, dims: Sequence[Mapping[int, Any]]) -> Any:
    """``dynamic_shapes`` in the form that fits ``forward``: ``*args`` takes them as one tuple."""
    kinds = [parameter.kind for parameter in inspect.signature(module.forward).parameters.values()]
    star = next((number for number, kind in enumerate(kinds) if kind is inspect.Parameter.VAR_POSITIONAL), None)
    return tuple(dims) if star is None else (*dims[:star], tuple(dims[star:]))


def _guessed(module: Any, request: ExportRequest) -> tuple[InputSpec, ...]:
    """Inputs for each parameter of ``forward`` without a default, as the data has them, rows dynamic."""
    parameters = [
        parameter.name
        for parameter in inspect.signature(module.forward).parameters.values()
        if parameter.default is inspect.Parameter.empty and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    if len(parameters) == 1:
        arrays = {parameters[0]: request.data.matrix()}
    else:
        missing = [name for name in parameters if name not in request.data.arrays]
        if missing or not parameters:
            raise InvalidInput(
                f"model {request.model}: {request.data.path} has no array {next(iter(missing), '')!r}, which forward "
                "takes",
                hint="name the arrays as forward's parameters, or declare `export: {inputs: …}` in params.yaml",
            )
        arrays = {name: request.data.arrays[name] for name in parameters}
    floating = request.options.dtype or "float32"
    return tuple(
        InputSpec(name, (torch_onnx.ROWS, *array.shape[1:]), floating if array.dtype.kind == "f" else array.dtype.name)
        for name, array in arrays.items()
    )


def _check_inputs(model: Any, job: Job, name: str) -> None:
    """torch.onnx must have kept the number of inputs, and dimensions that were declared dynamic."""
    if len(model.graph.inputs) != len(job.inputs):
        raise InvalidInput(f"model {name} has {len(job.inputs)} inputs, its ONNX graph {len(model.graph.inputs)}")
    for value, spec in zip(model.graph.inputs, job.inputs, strict=True):
        for size, wanted in zip(value.shape, spec.shape, strict=True):
            if isinstance(size, int) and isinstance(wanted, str):
                raise InvalidInput(
                    f"model {name}: dimension {wanted} of input {spec.name!r} turned out to be fixed: {size}",
                    hint=f"write {size} in its place in `export: {{inputs: …}}` in params.yaml",
                )


def _operators(model: Any) -> set[str]:
    return {f"{node.domain or 'ai.onnx'}/{node.op_type}" for node in model.graph.all_nodes()}


def _signature(inputs: Sequence[InputSpec]) -> list[dict[str, Any]]:
    return [{"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)} for spec in inputs]


def _tensors(arrays: "Mapping[str, Array]", inputs: Sequence[InputSpec]) -> list[Any]:
    return [_tensor(arrays[spec.name]) for spec in inputs]


def _tensor(array: "Array") -> Any:
    import numpy as np
    import torch

    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())


def _array(tensor: Any) -> "Array":
    import numpy as np
    import torch

    plain = tensor.detach().cpu().contiguous()
    if plain.dtype is torch.bfloat16:
        return np.asarray(plain.view(torch.int16).numpy()).view(np.dtype("bfloat16"))
    return np.asarray(plain.numpy())


def _run(module: Any, arrays: "Sequence[Array]", request: ExportRequest) -> "list[Array]":
    import torch
    from torch.utils import _pytree

    try:
        with torch.no_grad():
            answer = module(*[_tensor(array) for array in arrays])
    except ERRORS as error:
        raise InvalidInput(
            f"model {request.model} fails in PyTorch on the data{place(error, request.root)}: {first_line(error)}",
            hint="point `data:` in params.yaml at rows like those the model was trained on",
        ) from None
    return [_array(leaf) for leaf in _pytree.tree_leaves(answer) if isinstance(leaf, torch.Tensor)]


def _output_names(program: Any, answers: "Sequence[Array]", request: ExportRequest) -> list[str]:
    """Names from params.yaml; else the keys of a dict or named tuple; else ``output``, or ``output_0``, …"""
    from torch.utils import _pytree

    chosen = request.options.outputs
    if chosen:
        if len(chosen) != len(answers):
            raise InvalidInput(
                f"model {request.model}: params.yaml names {len(chosen)} outputs, the model returns {len(answers)}",
                hint="correct `export: {outputs: …}`",
            )
        return list(chosen)
    spec = program.call_spec.out_spec
    paths, _ = _pytree.tree_flatten_with_path(_pytree.tree_unflatten(list(range(spec.num_leaves)), spec))
    keys = [".".join(_key(part) for part in path) for path, _ in paths]
    if len(keys) == len(answers) and all(not key.replace(".", "").isdigit() for key in keys if key) and all(keys):
        return keys
    return ["output"] if len(answers) == 1 else [f"output_{number}" for number in range(len(answers))]


def _key(part: Any) -> str:
    for attribute in ("key", "name", "idx"):
        if hasattr(part, attribute):
            return str(getattr(part, attribute))
    return str(part)
