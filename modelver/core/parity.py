"""Parity: does the exported model say what its source framework said on the same rows?

Smooth models are judged row by row against a tolerance. Models with discontinuities (trees, nearest neighbours)
are judged by the share of rows that are off: one rounding at a split sends a row to another leaf, which is a
whole leaf away however small the rounding was, so no tolerance on values fits.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from modelver.core.gates import Check, rounded
from modelver.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Tolerance:
    """A value is off where ``|actual - expected| > atol + rtol * |expected|``; ``source``: whose numbers they are."""

    rtol: float
    atol: float
    source: str


TOLERANCES: Mapping[str, Tolerance] = {
    "float64": Tolerance(1e-7, 1e-7, "torch.testing.assert_close, float64"),
    # Values near zero (probabilities of the losing classes) differ by float32 rounding of larger terms, which the
    # backend tests' atol of 1e-7 does not allow for.
    "float32": Tolerance(1e-3, 1e-5, "rtol: ONNX backend tests; atol: Polygraphy"),
    "float16": Tolerance(1e-3, 1e-3, "rtol: ONNX backend tests; atol: the spacing of float16 at 1"),
    "bfloat16": Tolerance(1.6e-2, 1e-2, "rtol: torch.testing.assert_close; atol: the spacing of bfloat16 at 1"),
}

DISCONTINUOUS = frozenset(
    {
        "ai.onnx.ml/TreeEnsemble",
        "ai.onnx.ml/TreeEnsembleClassifier",
        "ai.onnx.ml/TreeEnsembleRegressor",
        "ai.onnx/TopK",
    }
)
"""Operators whose output jumps: decision trees, and the choice of neighbours."""

SHARE_ROWS_OFF = 0.01
"""Rows that may be off where the model is discontinuous. Measured: a StandardScaler in float32 in front of
regression trees puts 5 to 12 % of rows off, one that computes in double 0 %."""

LABEL_AGREEMENT = 0.99
"""The least share of rows whose label must agree; a tie between two classes may fall either way."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a user set under ``parity:`` in place of the defaults; None keeps the default."""

    rtol: float | None = None
    atol: float | None = None
    share_rows_off: float | None = None
    label_agreement: float | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """How recorded and computed outputs differ over ``rows`` rows.

    Attributes:
        max_abs, mean_abs: of floating-point outputs, in their own unit; None where there is none.
        rows: number of rows compared.
        rows_off: rows with a floating-point value outside its tolerance.
        label_agreement: share of rows whose integer, text or boolean outputs are equal, 0 to 1; None where
            there is no such output.
        median_abs, p99_abs: as ``mean_abs``; the 99th percentile is interpolated linearly, as NumPy's default.
        max_rel, mean_rel, median_rel, p99_rel: of ``|actual - expected| / |expected|``, without unit, over the values
            whose expected one is finite and not 0, where there is no such ratio.
    """

    max_abs: float | None
    mean_abs: float | None
    rows: int
    rows_off: int
    label_agreement: float | None
    median_abs: float | None = None
    p99_abs: float | None = None
    max_rel: float | None = None
    mean_rel: float | None = None
    median_rel: float | None = None
    p99_rel: float | None = None

    @property
    def share_rows_off(self) -> float:
        """``rows_off / rows``, 0 to 1."""
        return self.rows_off / self.rows if self.rows else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The record in ``validation.json``."""
        data = asdict(self)
        return {
            **{name: rounded(data[name]) for name in _ERRORS},
            "rows": self.rows,
            "rows_off": self.rows_off,
            "share_rows_off": rounded(self.share_rows_off),
            "label_agreement": rounded(data["label_agreement"]),
        }


_ERRORS = ("max_abs", "mean_abs", "median_abs", "p99_abs", "max_rel", "mean_rel", "median_rel", "p99_rel")


def parse_limits(data: object, where: str) -> Limits:
    """Limits from a mapping of `Limits`' fields to numbers of 0 or more; None is no change.

    Raises:
        InvalidInput: an unknown field, or something else than a number of 0 or more.
    """
    if data is None:
        return Limits()
    known = list(Limits.__dataclass_fields__)
    if not isinstance(data, Mapping) or not set(data) <= set(known):
        raise InvalidInput(f"{where} may hold only {', '.join(known)}")
    for key, value in data.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= sys.float_info.max:
            raise InvalidInput(f"{where}.{key} must be a number of 0 or more, found {value!r}")
    return Limits(**{key: float(value) for key, value in data.items()})


def tolerance(dtype: str, limits: Limits = Limits()) -> Tolerance:
    """The tolerance for a floating-point ``dtype`` (NumPy's name), with the user's own numbers in place."""
    base = TOLERANCES.get(dtype, TOLERANCES["float32"])
    if limits.rtol is None and limits.atol is None:
        return base
    rtol = base.rtol if limits.rtol is None else limits.rtol
    atol = base.atol if limits.atol is None else limits.atol
    return Tolerance(rtol, atol, f"params.yaml over {base.source}")


def is_discontinuous(operators: Iterable[str]) -> bool:
    """Whether a graph with these operators (``domain/Name``) is judged by its share of rows off."""
    return not DISCONTINUOUS.isdisjoint(operators)


def judge_parity(difference: Difference, discontinuous: bool, limits: Limits = Limits()) -> tuple[Check, ...]:
    """The checks ``parity`` (values) and ``parity:labels``; the second only where there are labels."""
    allowed = SHARE_ROWS_OFF if discontinuous else 0.0
    if limits.share_rows_off is not None:
        allowed = limits.share_rows_off
    checks = []
    if difference.max_abs is not None or difference.rows_off:
        ok = difference.share_rows_off <= allowed
        checks.append(
            Check(
                "parity",
                ok,
                difference.share_rows_off,
                allowed,
                f"{difference.rows_off} of {difference.rows} rows differ from the source framework's own outputs",
                hint="" if ok else (_HINT if discontinuous else _HINT_SMOOTH),
            )
        )
    if difference.label_agreement is not None:
        least = LABEL_AGREEMENT if limits.label_agreement is None else limits.label_agreement
        ok = difference.label_agreement >= least
        checks.append(
            Check(
                "parity:labels",
                ok,
                difference.label_agreement,
                least,
                f"{difference.label_agreement:.2%} of {difference.rows} rows get the source framework's own label",
                hint="" if ok else "the labels, or their order, changed in the export: run the export stage again",
            )
        )
    return tuple(checks)


_HINT = (
    "export with `export: {dtype: float64}` in params.yaml where features are scaled before trees, "
    "or widen `parity:` there in a reviewed change"
)

_HINT_SMOOTH = (
    "the export computes something else than the source (weights, the scaling or the order of inputs): "
    "run the export stage again; or widen `parity:` in params.yaml in a reviewed change"
)
