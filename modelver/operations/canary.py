"""The canary: do the exact bytes of ``weights/`` answer the recorded requests where nothing but the runtime is?"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.core.gates import Check
from modelver.core.parity import Limits, is_discontinuous, judge_parity
from modelver.errors import InvalidInput
from modelver.formats import compare
from modelver.runtimes.isolated import clean_process

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

NAME = "canary"


def sing(
    model: Path,
    recorded: "tuple[Mapping[str, Array], Mapping[str, Array]] | None",
    rows: int,
    operators: Mapping[str, int],
    limits: Limits,
) -> Check:
    """One check: a fresh process with onnxruntime and what it requires loads the model and answers.

    Args:
        model: the model file, where it lies in ``weights/``.
        recorded: inputs and outputs of the golden requests; None only loads the model.
        rows: rows of the requests.
        operators: of the graph, by ``domain/Name``.
        limits: the user's own tolerances.
    """
    inputs, expected = recorded if recorded is not None else ({}, {})
    strange = [a.dtype.name for a in inputs.values() if a.dtype.kind == "V" and a.dtype.name != "bfloat16"]
    if strange:  # float8 and the like, which NumPy's files lose
        inputs, expected = {}, {}
    try:
        with clean_process("answer", model, inputs) as process:
            answer = process.answer()
            outputs = process.outputs(answer) if inputs else {}
    except InvalidInput as error:
        return Check(NAME, False, message=error.message, hint=error.hint)
    if answer["packages"]:  # the folder of links leaked, which would make this check worthless
        foreign = ", ".join(answer["packages"][:5])
        return Check(NAME, False, message=f"the clean process had other packages: {foreign}", hint="report this fault")
    if not inputs:
        why = f"requests of {strange[0]} can't be handed over" if strange else "no requests were recorded"
        return Check(NAME, True, message=f"loads in a process with onnxruntime alone; {why}")
    found = compare.difference(expected, outputs, rows, limits)
    wrong = [check for check in judge_parity(found, is_discontinuous(operators), limits) if not check.ok]
    if wrong:
        message = f"in a process with onnxruntime alone, {wrong[0].message}"
        return Check(NAME, False, wrong[0].value, wrong[0].limit, message, wrong[0].hint)
    return Check(NAME, True, message=f"a process with onnxruntime alone answers {rows} recorded requests")
