"""A typed Python module that calls one version of a model through onnxruntime."""

import json

from modelver.core.client import NUMBERS, Interface, Value, shape_words
from modelver.core.client_names import literal, remark

_RUNTIME_TYPES = {"float32": "float", "float64": "double"}


def python_client(face: Interface) -> str:
    """The module's text: the same interface gives the same text, which passes ``mypy --strict``."""
    parts = [_head(face), _constants(face), _dataclass("Inputs", "What the model is given", face.inputs)]
    parts += [_dataclass("Outputs", "What it answers", face.outputs), _convert(face), _model(face), _HELPERS]
    return "\n\n\n".join(part.strip("\n") for part in parts) + "\n"


def _head(face: Interface) -> str:
    lines = [f'"""Calls {remark(face.model)} {remark(face.version)} through onnxruntime.', ""]
    if face.description:
        lines += [remark(face.description, 400), ""]
    lines += [remark(note, 400) for note in face.notes]
    lines += [
        "",
        f"Written by: modelver client {remark(face.model)}@{remark(face.version)}",
        "Write it again for another version; do not edit it. Needs numpy and onnxruntime.",
        '"""',
    ]
    imports = """\
from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt"""
    return "\n".join(lines) + "\n\n" + imports


def _constants(face: Interface) -> str:
    labels = ", ".join(json.dumps(label) for label in face.labels)
    kind = " | ".join(t.__name__ for t in (str, int, float) if any(type(label) is t for label in face.labels))
    lines = [f"MODEL = {literal(face.model)}", f"VERSION = {literal(face.version)}",
             f"WEIGHTS_SHA256 = {literal(face.sha256)}"]  # fmt: skip
    if face.labels:
        comma = "," if len(face.labels) == 1 else ""
        lines += [f"LABELS: tuple[{kind}, ...] = ({labels}{comma})",
                  '"""The classes, in the order of the columns of scores."""']  # fmt: skip
    for side, values in (("INPUTS", face.inputs), ("OUTPUTS", face.outputs)):
        items = "".join(f"\n    ({literal(v.name)}, {literal(_runtime_type(v))})," for v in values)
        lines.append(f"_{side}: list[tuple[str, str]] = [{items}\n]")
    return "\n".join(lines)


def _dataclass(name: str, words: str, values: tuple[Value, ...]) -> str:
    lines = [
        "@dataclass(frozen=True)",
        f"class {name}:",
        f'    """{words}; the model\'s own names stand beside the fields."""',
        "",
    ]
    for value in values:
        lines += [
            f"    {value.field}: {_annotation(value)}",
            f'    """{remark(value.name)}: {remark(shape_words(value))}"""',
        ]
    return "\n".join(lines if values else [*lines, "    pass"])


def _convert(face: Interface) -> str:
    arguments = ", ".join(f"{v.field}: {'npt.ArrayLike' if v.is_tensor else 'Any'}" for v in face.inputs)
    star = "*, " if arguments else ""
    lines = [f"def convert({star}{arguments}) -> Inputs:",
             '    """Inputs from lists or arrays of other types, checked.', "",
             "    Raises:", "        ValueError: a shape or a type does not fit, or whole numbers would be cut.",
             '    """', "    return Inputs("]  # fmt: skip
    for value in face.inputs:
        lines.append(f"        {value.field}={_conversion(value)},")
    return "\n".join([*lines, "    )"])


def _conversion(value: Value) -> str:
    if not value.is_tensor:
        return value.field
    shape = "None" if value.shape is None else _shape(value)
    return f"_array({value.field}, {literal(value.name)}, {literal(_numpy(value))}, {shape})"


def _shape(value: Value) -> str:
    assert value.shape is not None
    dims = [str(int(d)) if isinstance(d, int) else "None" for d in value.shape]
    return f"({', '.join(dims)}{',' if len(dims) == 1 else ''})"


def _model(face: Interface) -> str:
    feeds = "".join(f"\n            {literal(v.name)}: inputs.{v.field}," for v in face.inputs)
    answers = "".join(f"\n            {v.field}=values[{number}]," for number, v in enumerate(face.outputs))
    return f'''class Model:
    """The model, loaded."""

    def __init__(self, path: str | Path, providers: tuple[str, ...] = ("CPUExecutionProvider",)) -> None:
        """Load the model file, or the one in a folder of weights.

        Raises:
            ValueError: the file is another version's, with other inputs or outputs than this module is for.
        """
        # Imported by name, for onnxruntime has type hints in some releases only.
        onnxruntime: Any = importlib.import_module("onnxruntime")
        place = Path(path)
        file = place / "model.onnx" if place.is_dir() else place
        self._session: Any = onnxruntime.InferenceSession(str(file), providers=list(providers))
        for what, values, expected in (
            ("inputs", self._session.get_inputs(), _INPUTS),
            ("outputs", self._session.get_outputs(), _OUTPUTS),
        ):
            found = [(value.name, value.type) for value in values]
            if any(name != own or (kind and kind != known) for (own, known), (name, kind) in zip(found, expected)) or (
                len(found) != len(expected)
            ):
                raise ValueError(f"{{file}} has the {{what}} {{found}}, {{MODEL}} {{VERSION}} has {{expected}}")

    def __call__(self, inputs: Inputs) -> Outputs:
        """Answer one batch."""
        feeds: dict[str, Any] = {{{feeds}
        }}
        values: list[Any] = self._session.run([name for name, _ in _OUTPUTS], feeds)
        return Outputs({answers}
        )


def load(path: str | Path) -> Model:
    """The model in a file or a folder of weights, as `modelver get` brings it."""
    return Model(path)'''


_HELPERS = """
def _array(value: npt.ArrayLike, name: str, dtype: str, shape: tuple[int | None, ...] | None) -> Any:
    given = np.asarray(value)
    if shape is not None and (
        given.ndim != len(shape) or any(b is not None and a != b for a, b in zip(given.shape, shape))
    ):
        raise ValueError(f"{name}: shape {list(given.shape)} does not fit {list(shape)}")
    if dtype == "object":
        if not all(isinstance(item, str) for item in given.ravel().tolist()):
            raise ValueError(f"{name}: takes text")
        return given.astype(object)
    wanted = np.dtype(dtype)
    if given.dtype.kind not in "biuf":
        raise ValueError(f"{name}: takes numbers, not {given.dtype}")
    if wanted.kind in "iu" and given.size:
        if given.dtype.kind == "f" and not bool((np.isfinite(given) & (given == np.trunc(given))).all()):
            raise ValueError(f"{name}: takes whole numbers")
        limits = np.iinfo(wanted)
        if math.floor(given.min()) < limits.min or math.ceil(given.max()) > limits.max:
            raise ValueError(f"{name}: numbers do not fit {dtype}")
    return np.ascontiguousarray(given.astype(wanted)).reshape(given.shape)
"""


def _numpy(value: Value) -> str:
    return "object" if value.dtype == "string" else str(value.dtype)


def _annotation(value: Value) -> str:
    if not value.is_tensor:
        return "Any"
    scalar = {"string": "object_", "bool": "bool_"}.get(str(value.dtype), str(value.dtype))
    return f"npt.NDArray[np.{scalar}]"


def _runtime_type(value: Value) -> str:
    """As onnxruntime names it; empty, which is not compared, where this module does not know."""
    if value.dtype in NUMBERS or value.dtype in ("bool", "string"):
        return f"tensor({_RUNTIME_TYPES.get(str(value.dtype), value.dtype)})"
    return ""
