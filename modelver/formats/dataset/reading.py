"""Reading a data file. Nothing here unpickles: NumPy files with Python objects are refused."""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.errors import InvalidInput, NotFound, Refused
from modelver.formats.dataset.rows import MATRIX, NPZ_HINT, Dataset

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

SUFFIXES = (".npz", ".npy", ".csv", ".parquet")


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
            raise InvalidInput(f"{path}: the arrays' first dimensions differ: {shapes or 'none'}", hint=NPZ_HINT)
    else:
        dataset = Dataset(path, {}, _table(file, path), target)
    if dataset.rows == 0:
        raise InvalidInput(f"{path} has no rows")
    return dataset


def _numpy(file: Path, path: str) -> "dict[str, Array]":
    import numpy as np

    try:
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {MATRIX: loaded}
        with loaded:
            return {key: loaded[key] for key in sorted(loaded.files)}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, KeyError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}", hint=NPZ_HINT) from None


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
