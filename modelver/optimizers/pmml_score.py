"""Runs a PMML file by PMML4S, in a process of its own: pmml_score.py REQUEST.json

Started by `modelver.optimizers.pmml` as a script; it imports nothing of modelver's, and Java runs inside of it, so that
both end together. It answers each line of standard input with one on standard output, the first of them unasked.
"""

import json
import os
import sys
from typing import Any


def main(request_file: str) -> None:
    """Say what the model is, then answer tables: ``{"columns": [...], "data": [[...], ...]}`` in, and out."""
    answers = os.dup(1)
    os.dup2(2, 1)
    with open(request_file, encoding="utf-8") as file:  # noqa: PTH123
        request = json.load(file)
    from pypmml import Model
    from pypmml.base import PMMLContext

    PMMLContext.getOrCreate(gateway="jpype", java_opts=request["java_options"])
    model = Model.fromFile(request["model"])
    model.setSupplementOutput(True)  # predictions and labels too, which a file need not declare
    about = {
        "version": str(model.version),
        "element": str(model.modelElement),
        "function": str(model.functionName),
        "inputs": {str(field.name): str(field.dataType) for field in model.inputFields},
        "outputs": [_output(field) for field in model.outputFields],
    }
    _say(answers, json.dumps(about))
    for line in sys.stdin:
        _say(answers, str(model.predict(line)))


def _output(field: Any) -> dict[str, Any]:
    value = field.value
    plain = value if value is None or isinstance(value, bool | int | float) else str(value)
    return {"name": str(field.name), "feature": str(field.feature), "value": plain}


def _say(descriptor: int, text: str) -> None:
    data = (text.replace("\n", " ") + "\n").encode()
    while data:
        data = data[os.write(descriptor, data) :]


if __name__ == "__main__":
    main(sys.argv[1])
