"""Runs one model in a process that holds Python, NumPy and onnxruntime, and nothing else.

Started by `modelver.runtimes.isolated` as a script, under ``python -I -S``: it may import nothing of modelver's.

    worker.py PACKAGES answer REQUEST.json    one run; outputs go to the request's ``outputs`` file
    worker.py PACKAGES serve REQUEST.json     loads, then runs as often as each line of standard input says

Answers are lines of JSON on standard output.
"""

import json
import resource
import sys
import time
from typing import Any


def main(packages: str, mode: str, request_file: str) -> None:
    """Do what ``mode`` says; see the module's docstring."""
    sys.path.append(packages)
    with open(request_file, encoding="utf-8") as file:  # noqa: PTH123
        request = json.load(file)
    import numpy as np
    import onnxruntime

    with np.load(request["arrays"], allow_pickle=False) as arrays:
        given = [arrays[f"a{number}"] for number in range(len(request["inputs"]))]
    feeds = {
        name: array.astype(object) if array.dtype.kind == "U" else array
        for name, array in zip(request["inputs"], given, strict=True)
    }
    before = _peak()
    start = time.perf_counter()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = request["threads"]
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(request["model"], options, providers=["CPUExecutionProvider"])
    load = time.perf_counter() - start
    if mode == "serve":
        session.run(None, feeds)  # the first run allocates, and is slow in every runtime
        _say({"load": load, "packages": _packages(packages)})
        for line in sys.stdin:
            _say({"times": [_timed(session, feeds) for _ in range(int(line))], "memory": _peak() - before})
        return
    names = [output.name for output in session.get_outputs()]
    if request["outputs"]:
        values = [np.asarray(value) for value in session.run(names, feeds)]
        texts = [value.astype(str) if value.dtype.kind == "O" else value for value in values]
        np.savez(request["outputs"], **{f"a{number}": value for number, value in enumerate(texts)})  # type: ignore[arg-type]
    _say({"outputs": names, "packages": _packages(packages)})


def _timed(session: Any, feeds: dict[str, Any]) -> float:
    start = time.perf_counter()
    session.run(None, feeds)
    return time.perf_counter() - start


def _peak() -> int:
    """Peak resident memory in bytes; Linux counts in KiB, macOS in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _packages(folder: str) -> list[str]:
    """Top-level modules that were loaded from outside of Python's own library and that folder; there should be none."""
    own = {*sys.stdlib_module_names, "__main__"}
    foreign = []
    for name, module in sorted(sys.modules.items()):
        place = getattr(module, "__file__", None)
        if place and "." not in name and name not in own and not place.startswith(folder):
            foreign.append(name)
    return foreign


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:4])
