"""Handing rows to a model's inputs, by the columns that the model notes."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelver.errors import InvalidInput
from modelver.formats.dataset.rows import MATRIX, ROWS_HINT, Dataset, some

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

FEATURE_NAMES = "modelver.feature_names"
"""Key in an ONNX model's metadata: the JSON list of the columns that make up its one matrix."""

COLUMNS = "modelver.columns"
"""Key in an ONNX model's metadata: the JSON object input → column, where an input is not called like its column."""

Columns = Sequence[str] | Mapping[str, str] | None
"""The columns of the one matrix, in order; or the column of each input; None where they are called alike."""


def columns_noted(metadata: Mapping[str, Any] | None) -> Columns:
    """What a model's metadata notes of the columns that it reads; None where that is nothing, or nothing sound."""
    for key in (COLUMNS, FEATURE_NAMES):
        text = (metadata or {}).get(key)
        try:
            noted = None if text is None else json.loads(text)
        except (TypeError, ValueError, RecursionError):
            continue
        if key == COLUMNS and isinstance(noted, dict) and all(isinstance(name, str) for name in noted.values()):
            return noted
        if key == FEATURE_NAMES and isinstance(noted, list) and all(isinstance(name, str) for name in noted):
            return noted
    return None


def feeds(data: Dataset, inputs: Sequence[Mapping[str, Any]], names: Columns = None) -> "dict[str, Array]":
    """The rows as a model's inputs.

    Args:
        data: rows.
        inputs: a signature's inputs (``name``, ``dtype``, ``shape``).
        names: the columns that the model reads, where it knows them.

    Returns:
        For each input an array of its dtype; first dimension: rows.

    Raises:
        InvalidInput: the data lacks an input, or its type or shape does not fit.
    """
    if _is_matrix(data, inputs, names):
        width = None if inputs[0]["dtype"] == "string" else _width(inputs[0])
        array = data.matrix(_matrix_names(names), width)
        return {inputs[0]["name"]: _cast(array, inputs[0], data.path)}
    result = {}
    for value in inputs:
        column = _column_of(data, value["name"], names)
        if column not in data.names:
            raise InvalidInput(
                f"{data.path} lacks {column!r}, an input of the model; it has {some(data.names)}",
                hint=ROWS_HINT,
            )
        result[value["name"]] = _cast(data.values(column), value, data.path)
    return result


def used_names(data: Dataset, inputs: Sequence[Mapping[str, Any]], names: Columns = None) -> set[str]:
    """The columns and keys of ``data`` that a model with this signature reads; arguments as for `feeds`."""
    used = {_column_of(data, value["name"], names) for value in inputs} & set(data.names)
    if used:
        return used
    if data.frame is None:
        return {MATRIX} & set(data.names)
    return set(data.features(_matrix_names(names), _width(inputs[0]) if len(inputs) == 1 else None))


def _is_matrix(data: Dataset, inputs: Sequence[Mapping[str, Any]], names: Columns) -> bool:
    return len(inputs) == 1 and not isinstance(names, Mapping) and inputs[0]["name"] not in data.names


def _matrix_names(names: Columns) -> Sequence[str] | None:
    return None if isinstance(names, Mapping) else names


def _width(value: Mapping[str, Any]) -> int | None:
    """The number of columns that an input takes, where it says so."""
    shape = value["shape"]
    return shape[1] if shape is not None and len(shape) == 2 and isinstance(shape[1], int) else None


def _column_of(data: Dataset, name: str, names: Columns) -> str:
    """The column of an input; data whose keys are the inputs' own names is taken as it is.

    Not where that key is a column of the model's too: of 'a b' and 'a_b', the first's input is called like the second.
    """
    if not isinstance(names, Mapping):
        return name
    column = names.get(name, name)
    return name if column not in data.names and name not in names.values() and name in data.names else column


def _cast(array: "Array", value: Mapping[str, Any], path: str) -> "Array":
    import numpy as np

    name, dtype, shape = value["name"], value["dtype"], value["shape"]
    if dtype == "string":
        cast = _strings(array, name, path)
    else:
        try:
            wanted = np.dtype(dtype)
        except TypeError:
            raise InvalidInput(f"input {name!r} is of type {dtype}, which no data file holds") from None
        try:
            if wanted.kind in "iu" and array.dtype.kind == "f" and not np.array_equal(array, np.trunc(array)):
                raise ValueError("it has fractions or missing values")
            cast = array.astype(wanted)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"{path}: input {name!r} takes {dtype}: {error}") from None
    if shape is not None and len(shape) == cast.ndim + 1 and shape[-1] == 1:
        cast = cast.reshape(*cast.shape, 1)
    if shape is not None and not _fits(cast.shape, shape):
        raise InvalidInput(
            f"{path}: input {name!r} takes shape {list(shape)}, the data has {list(cast.shape)}", hint=ROWS_HINT
        )
    return np.ascontiguousarray(cast)


def _fits(actual: Sequence[int], shape: Sequence[Any]) -> bool:
    # The first dimension is the batch: how many rows go in at once is the caller's choice.
    return len(actual) == len(shape) and all(
        not isinstance(b, int) or a == b for a, b in zip(actual[1:], shape[1:], strict=True)
    )


def _strings(array: "Array", name: str, path: str) -> "Array":
    import numpy as np

    flat = array.ravel().tolist()
    if any(not isinstance(item, str) for item in flat):
        raise InvalidInput(
            f"{path}: input {name!r} takes text, and some rows hold none",
            hint="fill missing values in the data file",
        )
    result = np.empty(len(flat), dtype=object)
    result[:] = flat
    return result.reshape(array.shape)
