"""Reading rows and targets: ``.npz``, ``.npy``, ``.csv``, ``.parquet``; and handing them to a model's inputs.

Nothing here unpickles: NumPy files with Python objects are refused.
"""

import json
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.errors import InvalidInput, NotFound, Refused

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

SUFFIXES = (".npz", ".npy", ".csv", ".parquet")
FEATURE_NAMES = "modelver.feature_names"
"""Key in an ONNX model's metadata: the JSON list of the columns that make up its one matrix."""

COLUMNS = "modelver.columns"
"""Key in an ONNX model's metadata: the JSON object input → column, where an input is not called like its column."""

Columns = Sequence[str] | Mapping[str, str] | None
"""The columns of the one matrix, in order; or the column of each input; None where they are called alike."""

_MATRIX = "X"
_TARGET = "y"


@dataclass(frozen=True)
class Dataset:
    """Rows, from one file.

    Attributes:
        path: the file as the user named it, for messages.
        arrays: by key for NumPy files (``.npy``: the one key ``X``); first dimension: rows. Empty for tables.
        frame: the pandas DataFrame of a table; None for NumPy files.
        target_name: the target that the user named; None is ``y``, or the last column if the model does not use it.
    """

    path: str
    arrays: "Mapping[str, Array]"
    frame: Any
    target_name: str | None = None

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.frame) if self.frame is not None else len(next(iter(self.arrays.values())))

    def take(self, rows: "Sequence[int] | slice") -> "Dataset":
        """The same, with only these rows, in this order."""
        if self.frame is not None:
            return replace(self, frame=self.frame.iloc[rows])
        return replace(self, arrays={key: array[rows] for key, array in self.arrays.items()})

    def spread(self, count: int) -> "Dataset":
        """At most ``count`` rows, evenly spread, so that data sorted by class still shows every class."""
        total = self.rows
        return self if total <= count else self.take([number * total // count for number in range(count)])

    def target(self, used: Collection[str]) -> "Array | None":
        """The target, first dimension rows; None where there is none.

        Args:
            used: columns or keys that the model reads, which an unnamed target is never taken from.

        Raises:
            InvalidInput: the user named a target that the data lacks, or that the model reads.
        """
        name = self.target_name
        keys = self._keys()
        if name is not None:
            if name not in keys:
                raise InvalidInput(
                    f"{self.path} has no target {name!r}; it has {_some(keys)}",
                    hint="correct `target:` in params.yaml",
                )
            if name in used:
                raise InvalidInput(f"{self.path}: the target {name!r} is also an input of the model")
        else:
            name = self._default_target(keys, used)
        return None if name is None else self._column(name)

    def _default_target(self, keys: Sequence[str], used: Collection[str]) -> str | None:
        if _TARGET in keys and _TARGET not in used:
            return _TARGET
        last = keys[-1]
        return last if self.frame is not None and last not in used else None

    @property
    def names(self) -> list[str]:
        """Columns of a table, keys of a NumPy file."""
        return self._keys()

    def column(self, name: str, what: str) -> "Array":
        """One column or key, first dimension rows; missing text is empty.

        Args:
            name: the column.
            what: what asks for it, for the message.

        Raises:
            InvalidInput: there is no such column.
        """
        if name not in self._keys():
            raise InvalidInput(f"{what}: {self.path} has no column {name!r}; it has {_some(self._keys())}")
        column = self._column(name)
        if column.dtype.kind != "O":
            return column
        column = column.copy()
        column[[not isinstance(item, str) for item in column.ravel()]] = ""
        return column

    def _keys(self) -> list[str]:
        return [str(key) for key in (self.frame.columns if self.frame is not None else self.arrays)]

    def _column(self, name: str) -> "Array":
        import numpy as np

        if self.frame is None:
            return self.arrays[name]
        series = self.frame[name]
        if kind(series) == "string":
            return np.asarray(series.astype(object).tolist(), dtype=object)
        array: Array = series.to_numpy()
        return array

    def features(self, names: Sequence[str] | None, width: int | None) -> list[str]:
        """The columns of a table that make up the model's one matrix, in order.

        Args:
            names: what the model was fitted on, where it knows.
            width: number of columns it takes, where it knows.

        Raises:
            InvalidInput: a column is missing, or their number does not fit.
        """
        columns = self._keys()
        if names is not None:
            missing = [name for name in names if name not in columns]
            if missing:
                raise InvalidInput(
                    f"{self.path} lacks column {missing[0]!r}, which the model reads; it has {_some(columns)}",
                    hint=_ROWS,
                )
            return list(names)
        rest = [name for name in columns if name != self.target_name]
        if width is not None and self.target_name is None and len(rest) == width + 1:
            rest.remove(_TARGET if _TARGET in rest else rest[-1])
        if width is not None and len(rest) != width:
            raise InvalidInput(
                f"{self.path} has {len(rest)} columns besides the target, the model takes {width}",
                hint="name the target's column: `target:` in params.yaml",
            )
        return rest

    def matrix(self, names: Sequence[str] | None = None, width: int | None = None) -> "Array":
        """The rows as one array, for models that take one.

        Raises:
            InvalidInput: no array ``X``, or a column that is no number, or the wrong number of columns.
        """
        if self.frame is not None:
            columns = self.features(names, width)
            bad = [name for name in columns if kind(self.frame[name]) == "string"]
            if bad and len(columns) > 1:
                raise InvalidInput(
                    f"{self.path}: column {bad[0]!r} holds text, where the model takes numbers",
                    hint="fit the model on the table with a ColumnTransformer, which becomes one input a column",
                )
            if bad:
                return self._column(bad[0])
            array: Array = self.frame[columns].to_numpy()
            return array
        if _MATRIX in self.arrays:
            array = self.arrays[_MATRIX]
        else:
            rest = [key for key in self.arrays if key not in (self.target_name, _TARGET)]
            if len(rest) != 1:
                raise InvalidInput(f"{self.path} has no array 'X'; it has {_some(list(self.arrays))}", hint=_NPZ)
            array = self.arrays[rest[0]]
        if width is not None and (array.ndim < 2 or array.shape[1] != width):
            raise InvalidInput(
                f"{self.path}: 'X' has shape {list(array.shape)}, the model takes [N, {width}]", hint=_ROWS
            )
        return array


def read(root: Path, path: str, target: str | None = None) -> Dataset:
    """Read the data file ``path``, relative to ``root``.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it cannot be read, has no rows, or its arrays' rows differ in number.
        Refused: a package that reads this format is missing.
    """
    file = root / path
    if not file.is_file():
        raise NotFound(f"there is no data file {path}", hint=f"run the stage that makes it, or: dvc pull {path}")
    if file.suffix not in SUFFIXES:
        raise InvalidInput(f"{path} is of no known format", hint=f"data may be {', '.join(SUFFIXES)}")
    if file.suffix in (".npz", ".npy"):
        dataset = Dataset(path, _numpy(file, path), None, target)
        lengths = {len(array) if array.ndim else None for array in dataset.arrays.values()}
        if len(lengths) != 1 or None in lengths:
            shapes = ", ".join(f"{key} {list(array.shape)}" for key, array in sorted(dataset.arrays.items()))
            raise InvalidInput(f"{path}: the arrays' first dimensions differ: {shapes or 'none'}", hint=_NPZ)
    else:
        dataset = Dataset(path, {}, _table(file, path), target)
    if dataset.rows == 0:
        raise InvalidInput(f"{path} has no rows")
    return dataset


def kind(series: Any) -> str:
    """What a table's column holds: ``bool``, ``int``, ``float`` or ``string``.

    Raises:
        InvalidInput: something else, such as dates.
    """
    import pandas

    types = pandas.api.types
    if types.is_bool_dtype(series):
        return "bool"
    if types.is_integer_dtype(series):
        return "int"
    if types.is_float_dtype(series):
        return "float"
    if (
        types.is_string_dtype(series)
        or types.is_object_dtype(series)
        or isinstance(series.dtype, pandas.CategoricalDtype)
    ):
        return "string"
    raise InvalidInput(f"column {series.name!r} is of type {series.dtype}, which no ONNX input can hold")


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
        shape = inputs[0]["shape"]
        width = shape[1] if shape and len(shape) == 2 and isinstance(shape[1], int) else None
        array = data.matrix(_matrix_names(names), None if inputs[0]["dtype"] == "string" else width)
        return {inputs[0]["name"]: _cast(array, inputs[0], data.path)}
    result = {}
    for value in inputs:
        column = _column_of(data, value["name"], names)
        if column not in data.names:
            raise InvalidInput(
                f"{data.path} lacks {column!r}, an input of the model; it has {_some(data.names)}",
                hint=_ROWS,
            )
        result[value["name"]] = _cast(data._column(column), value, data.path)
    return result


def used_names(data: Dataset, inputs: Sequence[Mapping[str, Any]], names: Columns = None) -> set[str]:
    """The columns and keys of ``data`` that a model with this signature reads; arguments as for `feeds`."""
    used = {_column_of(data, value["name"], names) for value in inputs} & set(data.names)
    if used:
        return used
    if data.frame is None:
        return {_MATRIX} & set(data.names)
    shape = inputs[0]["shape"] if len(inputs) == 1 else None
    width = shape[1] if shape is not None and len(shape) == 2 and isinstance(shape[1], int) else None
    return set(data.features(_matrix_names(names), width))


def _is_matrix(data: Dataset, inputs: Sequence[Mapping[str, Any]], names: Columns) -> bool:
    return len(inputs) == 1 and not isinstance(names, Mapping) and inputs[0]["name"] not in data.names


def _matrix_names(names: Columns) -> Sequence[str] | None:
    return None if isinstance(names, Mapping) else names


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
            f"{path}: input {name!r} takes shape {list(shape)}, the data has {list(cast.shape)}", hint=_ROWS
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


def _numpy(file: Path, path: str) -> "dict[str, Array]":
    import numpy as np

    try:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {_MATRIX: loaded}
        with loaded:
            return {key: loaded[key] for key in sorted(loaded.files)}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, KeyError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}", hint=_NPZ) from None


def _table(file: Path, path: str) -> Any:
    try:
        import pandas
    except ModuleNotFoundError:
        raise Refused(
            f"{path} needs pandas", hint="pip install 'modelver[sklearn]', or save the rows as .npz"
        ) from None
    try:
        if file.suffix == ".parquet":
            frame = pandas.read_parquet(file)
        else:
            frame = pandas.read_csv(file)
    except ImportError as error:
        raise Refused(f"{path} needs a Parquet reader: {error}", hint="pip install pyarrow, or use .csv") from None
    except (ValueError, OSError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from None
    frame.columns = [str(column) for column in frame.columns]
    if not len(frame.columns) or frame.columns.has_duplicates:
        raise InvalidInput(f"{path}: columns need names, each of its own")
    return frame


def _some(names: Sequence[str], limit: int = 12) -> str:
    return ", ".join(repr(name) for name in names[:limit]) + (" …" if len(names) > limit else "")


_ROWS = "point `data:` in params.yaml at rows like those the model was trained on"
_NPZ = "save rows with numpy.savez(path, X=rows, y=targets); text as an array of dtype str, not object"
