"""A PMML file as a session: a model's inputs go in, and the answers come out under the names of the model's outputs."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.errors import InvalidInput
from modelver.formats import dataset
from modelver.optimizers import pmml
from modelver.optimizers import pmml_process as process

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class _Output:
    """An output of the model, and where PMML has it.

    Attributes:
        name, dtype, shape: as in the signature.
        fields: of PMML; one, or one for each column.
    """

    name: str
    dtype: str
    shape: Sequence[Any]
    fields: Sequence[str]


class PmmlSession:
    """Runs a PMML file by PMML4S, as a `modelver.runtimes.base.Session`.

    Attributes:
        about: what PMML4S says of the file: ``version``, ``element``, ``function`` and its fields.
        answered: the model's outputs that PMML answers; the others are left out of the answers.
    """

    def __init__(
        self, worker: process.Worker, about: Mapping[str, Any], source: Mapping[str, Any], columns: dataset.Columns
    ) -> None:
        self._worker = worker
        self._signature = source["signature"]
        self._columns = columns
        self._outputs = list(_outputs(about, self._signature))
        self.about = about
        self.answered = [output.name for output in self._outputs]

    def run(self, inputs: "Mapping[str, Array]") -> "dict[str, Array]":
        """The answered outputs by name, with the signature's dtypes.

        Raises:
            InvalidInput: the PMML reads a field that is no column of the model's, or fails on the rows.
        """
        table = self._table(inputs)
        reply = self._worker.ask(json.dumps(table))
        if reply is None:
            raise InvalidInput(f"PMML4S fails: {_last(self._worker.said())}", hint=_HINT)
        found = {name: [row[number] for row in reply["data"]] for number, name in enumerate(reply["columns"])}
        return {output.name: _array(output, found, len(table["data"])) for output in self._outputs}

    def _table(self, inputs: "Mapping[str, Array]") -> dict[str, Any]:
        columns = dict(self._named(inputs))
        types = self.about["inputs"]
        wanted = list(types)
        if len(wanted) == 1 == len(columns):
            columns = {wanted[0]: next(iter(columns.values()))}  # text has no columns, so PMML makes up a name
        missing = [name for name in wanted if name not in columns]
        if missing:
            raise InvalidInput(f"the PMML reads a field {missing[0]!r}, which the model does not", hint=_HINT)
        rows = zip(*(_plain(columns[name], types[name]) for name in wanted), strict=True)
        return {"columns": wanted, "data": [list(row) for row in rows]}

    def _named(self, inputs: "Mapping[str, Array]") -> "Iterator[tuple[str, Array]]":
        for value in self._signature["inputs"]:
            array = inputs[value["name"]]
            array = array.reshape(len(array), -1)
            if array.shape[1] == 1 and not isinstance(self._columns, Sequence):
                named = (self._columns or {}).get(value["name"], value["name"])
                yield named, array[:, 0]
                continue
            names = self._columns if isinstance(self._columns, Sequence) else _numbered(array.shape[1])
            yield from zip(names, array.T, strict=True)


@contextmanager
def opened(tools: pmml.Tools, model: Path, source: Mapping[str, Any], scratch: Path) -> Iterator[PmmlSession]:
    """The file, loaded; the process ends with the block.

    Args:
        tools: from `pmml.require`.
        model: the PMML file.
        source: ``source.json``, whose signature the model has.
        scratch: a folder for temporary files; exists.

    Raises:
        InvalidInput: PMML4S does not load it.
    """
    request = {"model": str(model.resolve()), "java_options": process.options(scratch.resolve())}
    with process.worker(pmml.SCORE, request, scratch, tools.java) as worker:
        about = worker.answer()
        if about is None:
            raise InvalidInput(f"PMML4S does not load it: {_last(worker.said())}", hint=_HINT)
        yield PmmlSession(worker, about, source, dataset.columns_noted(source["format"].get("metadata")))


def _numbered(count: int) -> list[str]:
    """What sklearn2pmml calls the columns of a model that was fitted on an array."""
    return [f"x{number + 1}" for number in range(count)]


def _outputs(about: Mapping[str, Any], signature: Mapping[str, Any]) -> Iterator[_Output]:
    # `probability(LABEL)` is what JPMML declares; `probability_LABEL` PMML4S makes up, of votes where need be.
    scores = {_key(f["value"]): f["name"] for f in about["outputs"] if f["name"].startswith("probability(")}
    labels = [_key(label) for label in signature.get("labels") or ()]
    predicted = [field["name"] for field in about["outputs"] if field["feature"] == "predictedValue"][:1]
    for value in signature["outputs"]:
        shape: Sequence[Any] = value["shape"] or ()
        wide = len(shape) == 2 and shape[1] != 1
        if wide and labels and shape[1] == len(labels) and all(label in scores for label in labels):
            yield _Output(value["name"], value["dtype"], shape, [scores[label] for label in labels])
        elif not wide and predicted and (not labels or not value["dtype"].startswith(("float", "bfloat", "double"))):
            yield _Output(value["name"], value["dtype"], shape, predicted)


def _key(label: object) -> str:
    """A label as text: Java writes a float's class as ``1.0`` where Python may have 1."""
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(int(label)) if isinstance(label, bool) else str(label)


def _plain(column: "Array", kind: str) -> list[Any]:
    """Values for JSON, in the field's type; what is missing is null.

    PMML4S reads all numbers, also a tree's thresholds, in double precision. A field of type float is handed over by the
    shortest decimal that stands for it, as the file writes thresholds: so 4.9 is still at most 4.9.
    """
    import numpy as np

    if column.dtype.kind == "f" and (kind == "float" or column.dtype.itemsize < 8):
        with np.errstate(over="ignore"):
            column = np.array([float(str(item)) for item in column.astype(np.float32)])
    return [None if isinstance(item, float) and math.isnan(item) else item for item in column.tolist()]


def _array(output: _Output, found: Mapping[str, Sequence[Any]], rows: int) -> "Array":
    import numpy as np

    columns = [found.get(field) or [None] * rows for field in output.fields]
    if output.dtype == "string":
        array = np.empty((len(columns), rows), dtype=object)
        for number, column in enumerate(columns):
            array[number] = ["" if item is None else str(item) for item in column]
    else:
        dtype = np.dtype(output.dtype)
        # No answer is NaN, or a number that is no label.
        nothing = np.iinfo(dtype).min if dtype.kind in "iu" else math.nan
        try:
            array = np.array([[nothing if item is None else item for item in c] for c in columns], dtype=dtype)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidInput(f"PMML4S answers {output.name!r} with what is no {output.dtype}: {error}") from None
    return array.T.reshape(rows, *([len(columns)] if len(output.shape) == 2 else []))


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it ended without a word"


_HINT = "remove the variant from params.yaml, or report it to pypmml: https://github.com/autodeployai/pypmml"
