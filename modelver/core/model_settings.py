"""One model's entry under ``modelver.models`` in ``params.yaml``, checked and typed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelver.core.gates import Gate, parse_gates
from modelver.core.manifest import check_relative_path
from modelver.core.names import check_model_name
from modelver.core.parity import Limits, parse_limits
from modelver.errors import InvalidInput

DEFAULT_OPSET = 17
"""The main opset that exports aim at: every onnxruntime since 1.12 takes it."""

DEFAULT_IR = 10
"""ONNX's IR version: the newest that the oldest supported onnxruntime (1.20, which takes opset 21) reads."""

TASKS = ("classification", "regression", "outlier", "none")


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What a user may choose about an export.

    Attributes:
        opset: main opset to aim at; a converter may stamp a lower one.
        ir_version: IR version to write.
        rows: real rows recorded as test data; None lets the exporter choose by kind of model.
        dtype: element type of floating-point inputs, ``float32`` or ``float64``; None lets the exporter choose.
    """

    opset: int = DEFAULT_OPSET
    ir_version: int = DEFAULT_IR
    rows: int | None = None
    dtype: str | None = None


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """A model's entry; paths are relative to the repository's top, ``/`` as separator.

    Attributes:
        source: the framework's own file; None for models that nobody exports.
        framework: exporter to use; None lets the file's suffix decide.
        data: rows to record and to measure on; None where there are none.
        target: column (CSV, Parquet) or key (npz) of the target; None is ``y``, or the last column.
        task: one of `TASKS`; None lets the model decide.
        gates: bounds on metrics.
        parity: limits in place of the defaults.
        export: options of the export.
    """

    source: str | None
    framework: str | None
    data: str | None
    target: str | None
    task: str | None
    gates: tuple[Gate, ...]
    parity: Limits
    export: ExportOptions


def parse_settings(model: str, data: Mapping[str, Any]) -> ModelSettings:
    """Check the entry of ``model``; unknown keys belong to other commands and are left alone.

    Raises:
        InvalidInput: the model's name or a field is malformed; the message names the field.
    """
    check_model_name(model)
    where = f"params.yaml, modelver.models.{model}"
    if not isinstance(data, Mapping):
        raise InvalidInput(f"{where} must be a mapping", hint="write `source:`, `framework:` and `data:` there")
    task = _text(data, "task", where)
    if task is not None and task not in TASKS:
        raise InvalidInput(f"{where}.task is {task!r}", hint=f"use one of {', '.join(TASKS)}, or leave it out")
    return ModelSettings(
        source=_path(data, "source", where),
        framework=_text(data, "framework", where),
        data=_path(data, "data", where),
        target=_text(data, "target", where),
        task=task,
        gates=parse_gates(data.get("gates"), f"{where}.gates"),
        parity=parse_limits(data.get("parity"), f"{where}.parity"),
        export=_export(data.get("export"), f"{where}.export"),
    )


def check_path(path: str, what: str) -> str:
    """``path`` itself, if it stays below the folder that it is relative to.

    Raises:
        InvalidInput: it is absolute, climbs out, or is not written plainly.
    """
    try:
        check_relative_path(path)
    except ValueError as error:
        raise InvalidInput(
            f"{what}: {error}", hint="write it relative to the repository's top, without `.` and `..`"
        ) from None
    return path


def _path(data: Mapping[str, Any], key: str, where: str) -> str | None:
    text = _text(data, key, where)
    return None if text is None else check_path(text, f"{where}.{key}")


def _text(data: Mapping[str, Any], key: str, where: str) -> str | None:
    value = data.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"{where}.{key} must be text, found {value!r}", hint="put it in quotes")
    return value


def _export(data: object, where: str) -> ExportOptions:
    if data is None:
        return ExportOptions()
    known = list(ExportOptions.__dataclass_fields__)
    if not isinstance(data, Mapping) or not set(data) <= set(known):
        raise InvalidInput(f"{where} may hold only {', '.join(known)}")
    dtype = _text(data, "dtype", where)
    if dtype not in (None, "float32", "float64"):
        raise InvalidInput(f"{where}.dtype is {dtype!r}", hint="use float32 or float64, or leave it out")
    return ExportOptions(
        opset=_whole(data, "opset", where, 9, 99) or DEFAULT_OPSET,
        ir_version=_whole(data, "ir_version", where, 4, 99) or DEFAULT_IR,
        rows=_whole(data, "rows", where, 1, 100_000),
        dtype=dtype,
    )


def _whole(data: Mapping[str, Any], key: str, where: str, low: int, high: int) -> int | None:
    value = data.get(key)
    if value is None:
        return None
    if type(value) is not int or not low <= value <= high:
        raise InvalidInput(f"{where}.{key} must be a whole number from {low} to {high}, found {value!r}")
    return value
