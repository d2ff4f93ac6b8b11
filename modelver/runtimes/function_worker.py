"""Calls a repository's own metric, in a process of its own: function_worker.py ROOT MODULE:FUNCTION REQUEST.json

The function is called as ``function(targets, outputs, rows)``, once for all rows and once for each slice. It may
print, change its process and crash as it likes; only the numbers that it returns come back.
"""

import importlib
import json
import sys
from typing import Any


def main(root: str, function: str, request_file: str) -> None:
    """Write the numbers to the request's ``answer`` file, in the order of its masks."""
    sys.path[0] = root
    with open(request_file, encoding="utf-8") as file:  # noqa: PTH123
        request = json.load(file)
    import numpy as np

    with np.load(request["arrays"], allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in stored.files}
    texts = {key: array.astype(object) if array.dtype.kind == "U" else array for key, array in arrays.items()}
    module, _, name = function.partition(":")
    call = getattr(importlib.import_module(module), name)
    answers = []
    for mask in texts["masks"]:
        targets = texts["targets"][mask] if "targets" in texts else None
        outputs, rows = (
            {given: texts[f"{kind}{number}"][mask] for number, given in enumerate(request[kind])}
            for kind in ("outputs", "rows")
        )
        answers.append(_number(call(targets, outputs, rows)))
    with open(request["answer"], "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(answers, file)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"the metric returned {value!r:.100}, which is no number")
    return float(value)


if __name__ == "__main__":
    main(*sys.argv[1:4])
