"""Real rows for a model whose inputs are declared: as many as it takes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelver.core.parity import is_discontinuous
from modelver.errors import InvalidInput
from modelver.exporters.base import ExportRequest
from modelver.formats import dataset

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

SMOOTH = 32
"""Rows recorded for smooth models."""

DISCONTINUOUS = 256
"""Rows recorded for trees and neighbours, which are judged by a share of rows: of 32 rows, one is 3 %."""


def count(inputs: Sequence[Mapping[str, Any]], request: ExportRequest, operators: set[str]) -> int:
    """How many rows to record: what the model fixes, else what params.yaml says, else by kind of model.

    Args:
        inputs: a signature's inputs.
        request: its options.
        operators: ``domain/Name`` of all nodes.
    """
    fixed = {value["shape"][0] for value in inputs if value["shape"]}
    size = fixed.pop() if len(fixed) == 1 else None
    if isinstance(size, int):
        return size
    return request.options.rows or (DISCONTINUOUS if is_discontinuous(operators) else SMOOTH)


def feeds(
    inputs: Sequence[Mapping[str, Any]], request: ExportRequest, wanted: int, names: dataset.Columns = None
) -> "dict[str, Array]":
    """``wanted`` rows for each input, spread over the data; where their number is not fixed, fewer do too.

    Raises:
        InvalidInput: the data does not fit; the message names the model.
    """
    import ml_dtypes  # noqa: F401  # NumPy then knows bfloat16

    try:
        arrays = dataset.feeds(request.data.spread(wanted), inputs, names)
    except InvalidInput as error:
        raise InvalidInput(f"model {request.model}: {error.message}", error.hint) from None
    for value in inputs:
        size = value["shape"][0] if value["shape"] else None
        if isinstance(size, int) and len(arrays[value["name"]]) != size:
            raise InvalidInput(
                f"model {request.model} takes exactly {size} rows of {value['name']!r} at once, "
                f"{request.data.path} has {request.data.rows}"
            )
    return arrays
