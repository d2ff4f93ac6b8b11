"""How far a model's outputs are from the recorded ones: the numbers that `core.parity` judges."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelver.core.parity import Difference, Limits, tolerance
from modelver.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


def difference(
    expected: "Mapping[str, Array]", actual: "Mapping[str, Array]", rows: int, limits: Limits = Limits()
) -> Difference:
    """Compare all outputs, by name.

    An output whose shape changed, or that is missing, has all its rows off. Values are equal where both are NaN, or
    the same infinity. Labels also agree where the recorded scores tie.

    Args:
        expected: recorded outputs; first dimension ``rows``, else the output counts for every row at once.
        actual: computed outputs.
        rows: number of rows.
        limits: a user's own tolerances.

    Raises:
        InvalidInput: an output is no tensor (a sequence or map).
    """
    import numpy as np

    off = np.zeros(rows, dtype=bool)
    differs = np.zeros(rows, dtype=bool)
    has_labels = False
    distances: list[Array] = []
    wanted: list[Array] = []
    for name, want in expected.items():
        got = actual.get(name)
        if got is not None and not isinstance(got, np.ndarray):
            raise InvalidInput(
                f"output {name!r} is a {type(got).__name__}, no tensor, and cannot be compared",
                hint="convert without ZipMap (skl2onnx: options={'zipmap': False})",
            )
        number = want.dtype.kind not in "iubOUS"
        has_labels |= not number
        if got is None or got.shape != want.shape or (got.dtype != want.dtype and number):
            (off if number else differs)[:] = True
            continue
        if number:
            distance, wrong = _distance(want, got, limits)
            distances.append(distance.ravel())
            wanted.append(np.abs(want.astype(np.float64)).ravel())
            off |= _by_row(wrong, rows)
        else:
            differs |= _by_row(np.asarray(np.not_equal(want, got), dtype=bool), rows)
    differs &= ~_ties(expected, rows, limits)
    agreement = 1.0 - float(differs.mean()) if has_labels and rows else None
    return Difference(
        rows=rows,
        rows_off=int(off.sum()),
        label_agreement=agreement,
        **_errors(distances, wanted),
    )


def _ties(expected: "Mapping[str, Array]", rows: int, limits: Limits) -> "Array":
    """Rows whose two best scores are equal within tolerance, so that the label may fall either way.

    A forest of 20 trees gives such rows: 10 votes against 10, and the order of summing decides.
    """
    import numpy as np

    for value in expected.values():
        if value.dtype.kind == "f" and value.ndim == 2 and len(value) == rows and value.shape[1] > 1:
            limit = tolerance(value.dtype.name, limits)
            second, best = np.sort(value.astype(np.float64), axis=1)[:, -2:].T
            return np.asarray(best - second <= limit.atol + limit.rtol * np.abs(best))
    return np.zeros(rows, dtype=bool)


def _distance(want: "Array", got: "Array", limits: Limits) -> "tuple[Array, Array]":
    import numpy as np

    limit = tolerance(want.dtype.name, limits)
    a, b = got.astype(np.float64), want.astype(np.float64)
    same: Array = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        distance = np.where(same, 0.0, np.abs(a - b))
        wrong = ~same & ~(distance <= limit.atol + limit.rtol * np.abs(np.where(np.isfinite(b), b, 0.0)))
    return distance, wrong


def _by_row(wrong: "Array", rows: int) -> "Array":
    import numpy as np

    if wrong.ndim and wrong.shape[0] == rows:
        return np.asarray(wrong.reshape(rows, -1).any(axis=1))
    return np.full(rows, bool(wrong.any()))


def _errors(distances: "list[Array]", wanted: "list[Array]") -> dict[str, float | None]:
    """Maximum, mean, median and 99th percentile of absolute and relative errors, over all values of all outputs."""
    import numpy as np

    absolute = np.concatenate(distances) if distances else np.zeros(0)
    expected = np.concatenate(wanted) if wanted else np.zeros(0)
    known = np.isfinite(absolute)
    divisible = known & np.isfinite(expected) & (expected > 0)
    found: dict[str, float | None] = {}
    with np.errstate(over="ignore"):
        relative = absolute[divisible] / expected[divisible]
    for suffix, values in (("abs", absolute[known]), ("rel", relative[np.isfinite(relative)])):
        found |= {
            f"max_{suffix}": float(values.max()) if values.size else None,
            f"mean_{suffix}": float(values.mean()) if values.size else None,
            f"median_{suffix}": float(np.median(values)) if values.size else None,
            f"p99_{suffix}": float(np.percentile(values, 99)) if values.size else None,
        }
    return found
