"""Runs one model in a process that holds Python, NumPy and onnxruntime, and nothing else.

Started by `modelver.runtimes.isolated` as a script, under ``python -I -S``: it may import nothing of modelver's.

    worker.py PACKAGES answer REQUEST.json    one run; outputs go to the request's ``outputs`` file
    worker.py PACKAGES serve REQUEST.json     loads, then runs as often as each line of standard input says

Answers are lines of JSON on standard output. NumPy has no bfloat16 of its own, so such arrays travel as uint16; the
request and the answer name them.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

_BFLOAT16 = 16  # onnx.TensorProto.BFLOAT16


def main(packages: str, mode: str, request_file: str) -> None:
    """Do what ``mode`` says; see the module's docstring."""
    sys.path.append(packages)
    with open(request_file, encoding="utf-8") as file:  # noqa: PTH123
        request = json.load(file)
    import numpy as np
    import onnxruntime

    with np.load(request["arrays"], allow_pickle=False) as arrays:
        given = [arrays[f"a{number}"] for number in range(len(request["inputs"]))]
    feeds: dict[str, Any] = {
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
    names = [output.name for output in session.get_outputs()]
    if request["bfloat16"] or any("bfloat16" in output.type for output in session.get_outputs()):
        run = _run_bfloat16(session, names, feeds, request["bfloat16"])
    else:
        run = partial(session.run, names, feeds)
    if mode == "serve":
        run()  # the first run allocates, and is slow in every runtime
        _say({"load": load, "packages": _packages(packages)})
        for line in sys.stdin:
            _say({"times": [_timed(run) for _ in range(int(line))], "memory": _peak() - before})
        return
    bfloat16 = []
    if request["outputs"]:
        found = run()
        bfloat16 = [name for name, value in zip(names, found, strict=True) if _is_bfloat16(value)]
        values = [_array(value) for value in found]
        texts = [value.astype(str) if value.dtype.kind == "O" else value for value in values]
        np.savez(request["outputs"], **{f"a{number}": value for number, value in enumerate(texts)})
    _say({"outputs": names, "bfloat16": bfloat16, "packages": _packages(packages)})


def _timed(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _run_bfloat16(session: Any, names: list[str], feeds: dict[str, Any], bfloat16: list[str]) -> Callable[[], Any]:
    """As ``session.run``, which takes and gives NumPy's own types only."""
    from onnxruntime import OrtValue

    values = {
        name: OrtValue.ortvalue_from_numpy_with_onnx_type(array, _BFLOAT16)
        if name in bfloat16
        else OrtValue.ortvalue_from_numpy(array)
        for name, array in feeds.items()
    }
    return partial(session.run_with_ort_values, names, values)


def _is_bfloat16(value: Any) -> bool:
    return hasattr(value, "element_type") and value.element_type() == _BFLOAT16


def _array(value: Any) -> Any:
    import ctypes
    import math

    import numpy as np

    if _is_bfloat16(value):
        shape = value.shape()
        raw = ctypes.string_at(value.data_ptr(), 2 * math.prod(shape))
        return np.frombuffer(raw, dtype=np.uint16).reshape(shape)
    return value.numpy() if hasattr(value, "element_type") else np.asarray(value)


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
