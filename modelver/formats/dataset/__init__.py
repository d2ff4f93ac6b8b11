"""Rows and targets: reading ``.npz``, ``.npy``, ``.csv``, ``.parquet``, and handing rows to a model's inputs."""

from modelver.formats.dataset.feeding import COLUMNS, FEATURE_NAMES, Columns, columns_noted, feeds, used_names
from modelver.formats.dataset.reading import read
from modelver.formats.dataset.rows import Dataset, kind

__all__ = [
    "COLUMNS",
    "FEATURE_NAMES",
    "Columns",
    "Dataset",
    "columns_noted",
    "feeds",
    "kind",
    "read",
    "used_names",
]
