"""Rows that no data file has: one row alone, missing values, the type's largest numbers, empty and unseen text.

What the source framework would say of them is recorded only where the golden data hold such rows, and then parity
judges them. Here stands what must hold of any model that takes rows one by one: it does not crash, it answers with the
same outputs, types and number of rows, and what it says of one row does not depend on the row beside it. That it
refuses a row with an error is reported and passes, for source frameworks refuse some of these too; so do answers that
are not finite. Who needs an answer says so: ``validate: {edges: {nan: answer}}``.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from modelver.core.gates import Check
from modelver.core.parity import SHARE_ROWS_OFF, Limits
from modelver.core.validation_settings import EdgeRule
from modelver.errors import InvalidInput
from modelver.formats import compare
from modelver.runtimes.base import Session

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

UNSEEN = "\u2603 modelver: seen by no model"
"""Text that no training data holds, with a character beyond Latin."""

_ROWS = 8
"""Recorded rows that are tried: enough to see one row's answer change another's."""

_Arrays = Mapping[str, "Array"]


def judge_edges(
    session: Session,
    inputs: "Mapping[str, Array]",
    signature: Mapping[str, Any],
    rules: Mapping[str, EdgeRule],
    limits: Limits,
    discontinuous: bool,
) -> tuple[Check, ...]:
    """One check for each kind of edge row that the inputs allow, named ``edge:batch``, ``edge:nan`` and so on.

    Args:
        session: the model, loaded.
        inputs: real rows; first dimension rows.
        signature: the model's.
        rules: what is asked of each edge.
        limits: the user's own tolerances.
        discontinuous: whether one row in a hundred may differ, as for parity.

    Returns:
        None of them where the model takes a batch of one fixed size, or inputs without rows: then rows can't be told
        apart.
    """
    if not _by_rows(inputs, signature):
        return ()
    few = {name: array[:_ROWS] for name, array in inputs.items()}
    try:
        normal = session.run(few)
    except InvalidInput as error:
        return (Check("edge:batch", False, message=f"a batch of other size fails: {error.message}", hint=error.hint),)
    rows = len(next(iter(few.values())))
    if not all(value.ndim and len(value) == rows for value in normal.values() if hasattr(value, "ndim")):
        return ()  # an output that is not by rows: nothing can be said row by row
    judge = _Judge(session, few, normal, rows, limits, SHARE_ROWS_OFF if discontinuous else 0.0)
    checks = []
    if rules["batch"] != "off":
        checks.append(judge.batch())
    for name, change in _CHANGES.items():
        changed = {key: changed for key, array in few.items() if (changed := change(array)) is not None}
        if changed and rules[name] != "off":
            checks.append(judge.edge(name, changed, rules[name] == "answer"))
    return tuple(checks)


class _Judge:
    def __init__(
        self, session: Session, inputs: _Arrays, normal: _Arrays, rows: int, limits: Limits, share: float
    ) -> None:
        self._session = session
        self._inputs = inputs
        self._normal = normal
        self._rows = rows
        self._limits = limits
        self._share = share

    def batch(self) -> Check:
        """Each row alone gives what it gives beside others."""
        off = 0
        for row in range(self._rows):
            try:
                alone = self._session.run({name: array[row : row + 1] for name, array in self._inputs.items()})
            except InvalidInput as error:
                return Check("edge:batch", False, message=f"a batch of one row fails: {error.message}", hint=error.hint)
            found = compare.difference({n: v[row : row + 1] for n, v in self._normal.items()}, alone, 1, self._limits)
            off += bool(found.rows_off or (found.label_agreement or 1.0) < 1.0)
        ok = off <= self._share * self._rows
        message = f"{self._rows - off} of {self._rows} rows get alone the answer that they get in a batch"
        return Check("edge:batch", ok, float(off), self._share * self._rows, message, hint="" if ok else _MIXED)

    def edge(self, name: str, changed: _Arrays, must_answer: bool) -> Check:
        """The first row made an edge row; the others must get the answers that they had."""
        check = f"edge:{name}"
        feeds = dict(self._inputs)
        for key, array in changed.items():
            feeds[key] = array
        try:
            answers = self._session.run(feeds)
        except InvalidInput as error:
            hint = "fill such values before the model, or set this edge to report" if must_answer else ""
            return Check(check, not must_answer, message=f"refuses {_WORDS[name]}: {error.message}", hint=hint)
        wrong = [
            key
            for key, value in self._normal.items()
            if getattr(answers.get(key), "shape", None) != value.shape or answers[key].dtype != value.dtype
        ]
        if wrong:
            return Check(check, False, message=f"{_WORDS[name]}: output {wrong[0]!r} has another shape", hint=_MIXED)
        made = 2 if name == "text" else 1  # rows that were made edge rows
        rest = [{key: value[made:] for key, value in side.items()} for side in (self._normal, answers)]
        others = self._rows - made
        found = compare.difference(rest[0], rest[1], others, self._limits) if others > 0 else None
        if found and (found.rows_off or (found.label_agreement is not None and found.label_agreement < 1.0)):
            message = f"{_WORDS[name]} in one row changes the answers of {max(found.rows_off, 1)} others"
            return Check(check, False, float(found.rows_off), 0.0, message, hint=_MIXED)
        if not must_answer:
            # Whether a sum of the largest numbers overflows depends on the order in which a processor adds them, and
            # the record may not: so it is looked at only where it is asked for.
            return Check(check, True, message=f"{_WORDS[name]}: answers, and the other rows keep theirs")
        finite = _finite(answers)
        message = f"{_WORDS[name]}: answers, {'finite' if finite else 'with NaN or infinities'}"
        hint = "" if finite else "fill such values before the model, or set this edge to report"
        return Check(check, finite, message=message, hint=hint)


def _by_rows(inputs: _Arrays, signature: Mapping[str, Any]) -> bool:
    shapes = [value["shape"] for value in signature["inputs"]]
    if not inputs or not all(shape and not isinstance(shape[0], int) for shape in shapes):
        return False
    return all(array.ndim for array in inputs.values()) and len({len(array) for array in inputs.values()}) == 1


def _finite(answers: _Arrays) -> bool:
    import numpy as np

    return all(bool(np.isfinite(value[:1]).all()) for value in answers.values() if value.dtype.kind == "f")


def _first(array: "Array", value: object) -> "Array":
    changed = array.copy()
    changed[0] = value
    return changed


def _nan(array: "Array") -> "Array | None":
    return _first(array, float("nan")) if array.dtype.kind == "f" else None


def _extremes(array: "Array") -> "Array | None":
    import numpy as np

    if array.dtype.kind == "f":
        values = np.finfo(array.dtype).max * np.where(np.arange(array[0].size) % 2, -1, 1)
    elif array.dtype.kind in "iu":
        limits = np.iinfo(array.dtype)
        values = np.where(np.arange(array[0].size) % 2, limits.min, limits.max).astype(array.dtype)
    else:
        return None
    return _first(array, values.reshape(array[0].shape))


def _text(array: "Array") -> "Array | None":
    if array.dtype.kind not in "OUS":
        return None
    import numpy as np

    changed = array.astype(object)
    values = np.empty(changed[0].size if changed.ndim > 1 else 1, dtype=object)
    values[:] = [UNSEEN if number % 2 else "" for number in range(len(values))]
    changed[0] = values.reshape(changed[0].shape) if changed.ndim > 1 else values[0]
    if len(changed) > 1:  # the second row too, with the other text in each place
        values[:] = ["" if number % 2 else UNSEEN for number in range(len(values))]
        changed[1] = values.reshape(changed[1].shape) if changed.ndim > 1 else values[0]
    return changed


_CHANGES: Mapping[str, Callable[["Array"], "Array | None"]] = {"nan": _nan, "extremes": _extremes, "text": _text}

_WORDS = {
    "nan": "missing values (NaN)",
    "extremes": "the type's largest and smallest numbers",
    "text": "empty text and text never seen",
}

_MIXED = "the graph mixes rows (a reshape or a reduction over the first axis): export it with a symbolic batch"
