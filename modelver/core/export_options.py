"""What ``export:`` of a model in ``params.yaml`` may say, checked and typed."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelver.errors import InvalidInput

DEFAULT_OPSET = 17
"""The main opset that exports aim at: every onnxruntime since 1.12 takes it."""

DEFAULT_IR = 10
"""ONNX's IR version: the newest that the oldest supported onnxruntime (1.20, which takes opset 21) reads."""

INPUT_DTYPES = ("float16", "bfloat16", "float32", "float64", "int8", "uint8", "int32", "int64", "bool")

_BUILDER = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
_NAME = re.compile(r"[^\s\x00-\x1f\x7f]+")


@dataclass(frozen=True, slots=True)
class InputSpec:
    """An input of the exported model.

    Attributes:
        name: its name in the ONNX graph, and the key or column of its rows in the data.
        shape: dimensions: a number is fixed, a name is dynamic, and the same name is the same number everywhere.
        dtype: element type, one of `INPUT_DTYPES`.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What a user may choose about an export.

    Attributes:
        opset: main opset to aim at, a converter may stamp a lower one; None lets the exporter choose.
        ir_version: IR version to write.
        rows: real rows recorded as test data; None lets the exporter choose by kind of model.
        dtype: element type of floating-point inputs, ``float32`` or ``float64``; None lets the exporter choose.
        builder: ``module:function`` that returns the model whose weights the source file holds.
        inputs: the model's inputs in the order in which it takes them; empty lets the exporter find out.
        outputs: names for the outputs, in order; empty keeps the exporter's.
        labels: the classes in the order of the scores' columns; None where the source says, or there are none.
    """

    opset: int | None = None
    ir_version: int = DEFAULT_IR
    rows: int | None = None
    dtype: str | None = None
    builder: str | None = None
    inputs: tuple[InputSpec, ...] = ()
    outputs: tuple[str, ...] = ()
    labels: tuple[str | int | float | bool, ...] | None = None


def parse_export(data: object, where: str) -> ExportOptions:
    """Check ``export:``; None is no options.

    Raises:
        InvalidInput: an unknown key or a malformed value; the message names the field.
    """
    if data is None:
        return ExportOptions()
    known = list(ExportOptions.__dataclass_fields__)
    if not isinstance(data, Mapping) or not set(data) <= set(known):
        raise InvalidInput(f"{where} may hold only {', '.join(known)}")
    dtype = _text(data.get("dtype"), f"{where}.dtype")
    if dtype not in (None, "float32", "float64"):
        raise InvalidInput(f"{where}.dtype is {dtype!r}", hint="use float32 or float64, or leave it out")
    return ExportOptions(
        opset=_whole(data, "opset", where, 9, 99),
        ir_version=_whole(data, "ir_version", where, 4, 99) or DEFAULT_IR,
        rows=_whole(data, "rows", where, 1, 100_000),
        dtype=dtype,
        builder=_builder(data.get("builder"), f"{where}.builder"),
        inputs=_inputs(data.get("inputs"), f"{where}.inputs"),
        outputs=_names(data.get("outputs"), f"{where}.outputs"),
        labels=_labels(data.get("labels"), f"{where}.labels"),
    )


def _text(value: object, where: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"{where} must be text, found {value!r}", hint="put it in quotes")
    return value


def _whole(data: Mapping[str, Any], key: str, where: str, low: int, high: int) -> int | None:
    value = data.get(key)
    if value is None:
        return None
    if type(value) is not int or not low <= value <= high:
        raise InvalidInput(f"{where}.{key} must be a whole number from {low} to {high}, found {value!r}")
    return value


def _builder(value: object, where: str) -> str | None:
    text = _text(value, where)
    if text is not None and not _BUILDER.fullmatch(text):
        raise InvalidInput(f"{where} must be module:function, found {text!r}", hint="for example: src.train:build")
    return text


def _inputs(value: object, where: str) -> tuple[InputSpec, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not value:
        raise InvalidInput(f"{where} must be a list of inputs", hint=_INPUT)
    found = tuple(_input(item, f"{where}[{number}]") for number, item in enumerate(value))
    if len({item.name for item in found}) != len(found):
        raise InvalidInput(f"{where} names an input twice")
    return found


def _input(value: object, where: str) -> InputSpec:
    if not isinstance(value, Mapping) or not {"name", "shape"} <= set(value) <= {"name", "shape", "dtype"}:
        raise InvalidInput(f"{where} must have name, shape, and may have dtype", hint=_INPUT)
    dtype = value.get("dtype") or "float32"
    if dtype not in INPUT_DTYPES:
        raise InvalidInput(f"{where}.dtype is {dtype!r}", hint=f"use one of {', '.join(INPUT_DTYPES)}")
    shape = value["shape"]
    if not isinstance(shape, list) or not shape:
        raise InvalidInput(f"{where}.shape must be a list of dimensions, the rows first", hint=_INPUT)
    for size in shape:
        number = type(size) is int and 1 <= size < 1 << 31
        if not number and not (isinstance(size, str) and size.isidentifier()):
            raise InvalidInput(f"{where}.shape holds {size!r}, neither a whole number above 0 nor a name", hint=_INPUT)
    return InputSpec(_name(value["name"], f"{where}.name"), tuple(shape), dtype)


def _names(value: object, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise InvalidInput(f"{where} must be a list of names, found {value!r}")
    found = tuple(_name(item, f"{where}[{number}]") for number, item in enumerate(value))
    if len(set(found)) != len(found):
        raise InvalidInput(f"{where} holds a name twice")
    return found


def _name(value: object, where: str) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InvalidInput(f"{where} must be a name without blanks, found {value!r}")
    return value


def _labels(value: object, where: str) -> tuple[str | int | float | bool, ...] | None:
    if value is None:
        return None
    items = value if isinstance(value, list) else []
    kinds = {type(item) for item in items}
    finite = all(not isinstance(item, float) or math.isfinite(item) for item in items)
    if len(kinds) != 1 or not kinds <= {str, int, float, bool} or not finite or len(set(items)) != len(items):
        raise InvalidInput(
            f"{where} must be a list of different labels of one type, found {value!r}",
            hint="quote words that YAML takes for something else: 'no', '1.0'",
        )
    return tuple(items)


_INPUT = "for example: inputs: [{name: image, dtype: float32, shape: [N, 1, 8, 8]}]"
