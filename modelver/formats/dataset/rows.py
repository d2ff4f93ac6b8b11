"""The rows of one file: what is target, what is feature, what a column holds."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from modelver.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

MATRIX = "X"
"""The key of a NumPy file whose array holds all features."""

ROWS_HINT = "point `data:` in params.yaml at rows like those the model was trained on"
NPZ_HINT = "save rows with numpy.savez(path, X=rows, y=targets); text as an array of dtype str, not object"
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
        keys = self.names
        if name is not None:
            if name not in keys:
                raise InvalidInput(
                    f"{self.path} has no target {name!r}; it has {some(keys)}",
                    hint="correct `target:` in params.yaml",
                )
            if name in used:
                raise InvalidInput(f"{self.path}: the target {name!r} is also an input of the model")
        else:
            name = self._default_target(keys, used)
        return None if name is None else self.values(name)

    def _default_target(self, keys: Sequence[str], used: Collection[str]) -> str | None:
        if _TARGET in keys and _TARGET not in used:
            return _TARGET
        last = keys[-1]
        return last if self.frame is not None and last not in used else None

    @property
    def names(self) -> list[str]:
        """Columns of a table, keys of a NumPy file."""
        return [str(key) for key in (self.frame.columns if self.frame is not None else self.arrays)]

    def column(self, name: str, what: str) -> "Array":
        """One column or key, first dimension rows; missing text is empty.

        Args:
            name: the column.
            what: what asks for it, for the message.

        Raises:
            InvalidInput: there is no such column.
        """
        if name not in self.names:
            raise InvalidInput(f"{what}: {self.path} has no column {name!r}; it has {some(self.names)}")
        column = self.values(name)
        if column.dtype.kind != "O":
            return column
        column = column.copy()
        column[[not isinstance(item, str) for item in column.ravel()]] = ""
        return column

    def values(self, name: str) -> "Array":
        """One column or key as the data has it, first dimension rows; text as Python's strings."""
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
        columns = self.names
        if names is not None:
            missing = [name for name in names if name not in columns]
            if missing:
                raise InvalidInput(
                    f"{self.path} lacks column {missing[0]!r}, which the model reads; it has {some(columns)}",
                    hint=ROWS_HINT,
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
                return self.values(bad[0])
            array: Array = self.frame[columns].to_numpy()
            return array
        if MATRIX in self.arrays:
            array = self.arrays[MATRIX]
        else:
            rest = [key for key in self.arrays if key not in (self.target_name, _TARGET)]
            if len(rest) != 1:
                raise InvalidInput(f"{self.path} has no array 'X'; it has {some(list(self.arrays))}", hint=NPZ_HINT)
            array = self.arrays[rest[0]]
        if width is not None and (array.ndim < 2 or array.shape[1] != width):
            raise InvalidInput(
                f"{self.path}: 'X' has shape {list(array.shape)}, the model takes [N, {width}]", hint=ROWS_HINT
            )
        return array


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


def some(names: Sequence[str], limit: int = 12) -> str:
    """The first names, for a message."""
    return ", ".join(repr(name) for name in names[:limit]) + (" …" if len(names) > limit else "")
