"""One model's entry in ``params.yaml``, checked and typed.

Models that a stage exports stand under ``modelver.models``, over which the stage groups of ``dvc.yaml`` run; what
`modelver add` brought in as it is may have an entry under ``modelver.added``, where DVC does not look for a source.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelver.core.export_options import ExportOptions, parse_export
from modelver.core.gates import Gate, parse_gates
from modelver.core.manifest import check_relative_path
from modelver.core.names import check_model_name, shown
from modelver.core.parity import Limits, parse_limits
from modelver.core.refs import near
from modelver.errors import InvalidInput

KEYS = (
    "source", "framework", "data", "target", "task", "gates", "parity", "export",
    "targets", "validate", "optimize", "calibration", "environments",
)  # fmt: skip
"""What an entry may hold; the last five are read by `validation_settings`, `variants` and `environments`."""

MODELS, ADDED = "modelver.models", "modelver.added"
"""Where an entry stands."""

EXPORTED_ONLY = ("source", "framework", "export")
"""What speaks of an export, and so stands under `MODELS` alone."""

MAX_PATH, MAX_PART = 4000, 255
"""Characters of a path, and bytes of one name in it: Linux's limits, less some for the folders above."""

TASKS = ("classification", "regression", "outlier", "none")


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


def parse_settings(model: str, data: Mapping[str, Any], section: str = MODELS) -> ModelSettings:
    """Check the entry of ``model``. A key that nobody knows is refused: ``gate:`` would gate nothing, without a word.

    Args:
        model: the model's name.
        data: the entry.
        section: where it stands, `MODELS` or `ADDED`.

    Raises:
        InvalidInput: the model's name or a field is malformed, or unknown; the message names the field.
    """
    check_model_name(model)
    where = f"params.yaml, {section}.{model}"
    if not isinstance(data, Mapping):
        raise InvalidInput(f"{where} must be a mapping", hint="write `source:`, `framework:` and `data:` there")
    for key in data:
        if key not in KEYS:
            raise InvalidInput(
                f"{where}.{shown(str(key))} is no setting that modelver knows",
                hint=near(str(key), list(KEYS)) + "; parameters of your own go elsewhere in params.yaml",
            )
        if section == ADDED and key in EXPORTED_ONLY:
            raise InvalidInput(
                f"{where}.{key} speaks of an export, and entries under {ADDED} are of models that nobody exports",
                hint=f"take it out, or move the entry to {MODELS}.{model}",
            )
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
        export=parse_export(data.get("export"), f"{where}.export"),
    )


def check_path(path: str, what: str) -> str:
    """``path`` itself, if it stays below the folder that it is relative to.

    Raises:
        InvalidInput: it is absolute, climbs out, or is not written plainly.
    """
    if len(path) > MAX_PATH or any(len(part.encode("utf-8", "replace")) > MAX_PART for part in path.split("/")):
        raise InvalidInput(f"{what}: {shown(path)} is longer than a file system takes")
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
