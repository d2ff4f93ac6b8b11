"""A Python process that has onnxruntime, what onnxruntime requires, and no other package.

A folder of links to exactly these packages takes the place of ``site-packages`` (``python -I -S`` reads no other), so
it is made in milliseconds, without an index and without a network, and still nothing else can be imported.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from modelver.errors import InvalidInput, Refused
from modelver.runtimes.base import first_line

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

TIMEOUT = 600
"""Seconds after which such a process is ended."""

_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def closure(name: str) -> list[str]:
    """The distributions that ``name`` requires, itself included, extras left out; sorted.

    Raises:
        Refused: one of them is not installed.
    """
    found: set[str] = set()
    todo = [name]
    while todo:
        current = todo.pop().lower().replace("_", "-")
        if current in found:
            continue
        found.add(current)
        try:
            required = metadata.requires(current) or []
        except metadata.PackageNotFoundError:
            raise Refused(
                f"{current} is not installed, and {name} requires it", hint=f"pip install {current}"
            ) from None
        for line in required:
            requirement, _, marker = line.partition(";")
            match = _REQUIREMENT.match(requirement.strip())
            if match and not marker.strip():
                todo.append(match[0])
    return sorted(found)


@contextmanager
def clean_process(mode: str, model: Path, inputs: "Mapping[str, Array]", *, threads: int = 1) -> "Iterator[Clean]":
    """A process that has loaded the model; ended when the block is left.

    Args:
        mode: ``answer`` or ``serve``, as in `modelver.runtimes.worker`.
        model: the model file.
        inputs: by name; types that NumPy itself has, and bfloat16.
        threads: threads within an operator.

    Raises:
        Refused: onnxruntime is not whole.
    """
    with tempfile.TemporaryDirectory(prefix="modelver-clean-") as scratch:
        place = Path(scratch)
        packages = _packages(place / "packages")
        request = _request(place, model, inputs, threads)
        environment = {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": scratch, "ORT_DISABLE_TELEMETRY": "1"}
        worker = str(Path(__file__).with_name("worker.py"))
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", worker, str(packages), mode, request],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=scratch, env=environment, text=True,
        )  # fmt: skip
        watch = threading.Timer(TIMEOUT, process.kill)
        watch.start()
        try:
            yield Clean(process, place, model)
        finally:
            watch.cancel()
            if process.poll() is None:
                process.kill()
            process.communicate()


class Clean:
    """A running clean process."""

    def __init__(self, process: "subprocess.Popen[str]", place: Path, model: Path) -> None:
        self._process = process
        self._place = place
        self._model = model

    def answer(self) -> dict[str, Any]:
        """The next answer.

        Raises:
            InvalidInput: the process ended without one; its last words are in the message.
        """
        stdout: IO[str] | None = self._process.stdout
        assert stdout is not None
        line = stdout.readline()
        if not line:
            _, words = self._process.communicate(timeout=TIMEOUT)
            said = [text for text in words.strip().splitlines() if text.strip()]
            status = self._process.returncode
            raise InvalidInput(
                f"{self._model.name} fails in a process with onnxruntime alone (status {status}): "
                f"{said[-1][:300] if said else 'no word why'}",
                hint="the model needs a library that is missing there, or crashes the runtime: export it again",
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, text: str) -> dict[str, Any]:
        """Send a line, and wait for the answer; raises as `answer`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(text + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the answer that does not come says why
        return self.answer()

    def outputs(self, answer: Mapping[str, Any]) -> "dict[str, Array]":
        """What an ``answer`` process wrote, by name.

        Args:
            answer: what it said.

        Raises:
            InvalidInput: NumPy can't hold it.
        """
        import numpy as np

        names: Sequence[str] = answer["outputs"]
        try:
            with np.load(self._place / "outputs.npz", allow_pickle=False) as arrays:
                found = [arrays[f"a{number}"] for number in range(len(names))]
        except (OSError, ValueError, KeyError) as error:
            raise InvalidInput(f"{self._model.name} gives what NumPy can't hold: {first_line(error)}") from None
        texts = [value.astype(object) if value.dtype.kind == "U" else value for value in found]
        return {
            name: _as_bfloat16(value) if name in answer["bfloat16"] else value
            for name, value in zip(names, texts, strict=True)
        }


def _as_bfloat16(value: "Array") -> "Array":
    import ml_dtypes

    return value.view(ml_dtypes.bfloat16)


def _packages(folder: Path) -> Path:
    folder.mkdir()
    for name in closure("onnxruntime"):
        distribution = metadata.distribution(name)
        tops = {file.parts[0] for file in distribution.files or () if len(file.parts) > 1 or file.suffix == ".py"}
        for top in sorted(tops - {"..", "__pycache__"}):
            target = Path(str(distribution.locate_file(top))).resolve()
            if not (folder / top).exists():
                (folder / top).symlink_to(target)
    return folder


def _request(place: Path, model: Path, inputs: "Mapping[str, Array]", threads: int) -> str:
    import numpy as np

    bfloat16 = [name for name, array in inputs.items() if array.dtype.name == "bfloat16"]
    arrays = {
        f"a{number}": array.astype(str)
        if array.dtype.kind in "OS"
        else (array.view(np.uint16) if name in bfloat16 else array)
        for number, (name, array) in enumerate(inputs.items())
    }
    np.savez(place / "inputs.npz", **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for options
    request = {
        "model": str(model.resolve()),
        "inputs": list(inputs),
        "bfloat16": bfloat16,
        "arrays": str(place / "inputs.npz"),
        "outputs": str(place / "outputs.npz") if inputs else "",
        "threads": threads,
    }
    (place / "request.json").write_text(json.dumps(request), "utf-8")
    return str(place / "request.json")
