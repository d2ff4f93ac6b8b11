"""onnxruntime in JavaScript, under Node: the native package and the WebAssembly one that browsers use.

The packages come from npm into a cache folder of modelver's, when asked to (`install`), never by themselves. Their
install scripts are not run: that of onnxruntime-node would download CUDA libraries from elsewhere, and its CPU
library is in the package already.
"""

import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from modelver.errors import ExternalFailure, InvalidInput, Refused
from modelver.runtimes.base import Session, first_line
from modelver.runtimes.clock import Clock

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

TIMEOUT = 600
"""Seconds that loading and one run may take, or loading and all runs that are timed."""

PACKAGES = {"onnxruntime-node": "^1.20", "onnxruntime-web": "^1.20"}
"""npm packages by target, and the versions asked for."""

_ENTRY = {"onnxruntime-node": "dist/index.js", "onnxruntime-web": "dist/ort.node.min.mjs"}
_DTYPES = frozenset(
    {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)} | {"float32", "float64", "bool"}
)


def folder() -> Path:
    """Where the packages are: ``MODELVER_NODE_DIR``, else ``modelver/node`` in the user's cache folder."""
    chosen = os.environ.get("MODELVER_NODE_DIR")
    if chosen:
        return Path(chosen)
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "modelver" / "node"


def install(name: str) -> str:
    """Bring a package from npm into `folder`; returns its version.

    Raises:
        Refused: there is no npm, or no such target.
        ExternalFailure: npm failed.
    """
    if name not in PACKAGES:
        raise Refused(f"{name} is no target that npm brings", hint="one of " + ", ".join(PACKAGES))
    npm = shutil.which("npm")
    if npm is None:
        raise Refused(f"{name} comes from npm, which is not installed", hint="install Node 20 or later")
    place = folder()
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [npm, "install", "--prefix", str(place), "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error",
         f"{name}@{PACKAGES[name]}"],
        capture_output=True, text=True, check=False, cwd=place,
    )  # fmt: skip
    if done.returncode:
        raise ExternalFailure(f"npm could not install {name}: {(done.stderr.strip().splitlines() or ['?'])[-1][:300]}")
    return _package_version(name)


def _package_version(name: str) -> str:
    try:
        return str(json.loads((folder() / "node_modules" / name / "package.json").read_bytes())["version"])
    except (OSError, ValueError, KeyError, TypeError):
        raise Refused(f"{name} is not installed", hint=f"modelver stage runtimes --install {name}") from None


class _Node:
    name = ""
    _wasm = False

    def __init__(self) -> None:
        node = shutil.which("node")
        if node is None:
            raise Refused(f"{self.name} runs under Node, which is not installed", hint="install Node 20 or later")
        self._node = node
        self._version = _package_version(self.name)

    def version(self) -> str:
        """The version of the npm package."""
        return self._version

    def load(self, model: Path) -> Session:
        """A handle on the model at ``model``; the model is loaded on each run, in a process of its own."""
        return _Session(self, model)

    def run(self, model: Path, inputs: "Mapping[str, Array]") -> "dict[str, Array]":
        """Load the file at ``model`` and run it once on ``inputs``, by name; outputs by name.

        Raises:
            InvalidInput: it does not load, or fails on these inputs.
            ExternalFailure: Node itself failed.
        """
        with tempfile.TemporaryDirectory(prefix="modelver-node-") as scratch:
            request = self._request(model, inputs, Path(scratch))
            file = Path(scratch) / "request.json"
            file.write_text(json.dumps(request), "utf-8")
            answer = self.checked(self._call(file), model)
            return {output["name"]: _array(output) for output in answer["outputs"]}

    @contextmanager
    def clock(self, model: Path, inputs: "Mapping[str, Array]") -> Iterator[Clock]:
        """See `modelver.runtimes.clock.TimedRuntime`; the times are taken inside the JavaScript process."""
        with tempfile.TemporaryDirectory(prefix="modelver-node-") as scratch:
            request = Path(scratch) / "request.json"
            request.write_text(json.dumps(self._request(model, inputs, Path(scratch))), "utf-8")
            words = Path(scratch) / "stderr"
            with words.open("wb") as stderr:
                process = subprocess.Popen(
                    [*self._command(request), "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
                    text=True, encoding="utf-8",
                )  # fmt: skip
            watch = threading.Timer(TIMEOUT, process.kill)
            watch.start()
            try:
                served = _Served(self, model, process, words)
                served.answer()  # it is loaded
                yield served
            finally:
                watch.cancel()
                process.kill()
                process.communicate()

    def checked(self, answer: dict[str, Any], model: Path) -> dict[str, Any]:
        """``answer`` itself; raises InvalidInput where it says that the model failed."""
        if "failed" in answer:
            what = "does not load" if answer["failed"] == "load" else "fails on these inputs"
            raise InvalidInput(
                f"{model.name} {what} in {self.name} {self._version}: {answer['message'][:300]}",
                hint=f"replace the operator it lacks, or take `{self.name}` out of `targets:`",
            )
        return answer

    def _request(self, model: Path, inputs: "Mapping[str, Array]", scratch: Path) -> dict[str, Any]:
        tensors = model.parent / "tensors"
        external = sorted(f"tensors/{path.name}" for path in tensors.iterdir()) if tensors.is_dir() else []
        given = [_written(name, array, scratch / f"input_{k}.bin") for k, (name, array) in enumerate(inputs.items())]
        return {
            "model": str(model.resolve()), "folder": str(model.parent.resolve()), "external": external,
            "wasm": self._wasm, "scratch": str(scratch), "inputs": given,
        }  # fmt: skip

    def _call(self, request: Path) -> dict[str, Any]:
        try:
            done = subprocess.run(self._command(request), capture_output=True, text=True, timeout=TIMEOUT, check=False)
            answer = json.loads(done.stdout)
        except subprocess.TimeoutExpired:
            raise InvalidInput(f"{self.name} took longer than {TIMEOUT} s") from None
        except ValueError:
            raise _crashed(done.returncode, done.stderr) from None
        assert isinstance(answer, dict)
        return answer

    def _command(self, request: Path) -> list[str]:
        script = Path(__file__).with_name("node_run.mjs")
        package = folder() / "node_modules" / self.name / _ENTRY[self.name]
        return [self._node, str(script), str(package), str(request)]


def _crashed(status: int | None, words: str) -> ExternalFailure:
    return ExternalFailure(f"Node failed with status {status}: {' '.join(words.strip().splitlines()[:3])[:300]}")


class OnnxRuntimeNode(_Node):
    """Runs ONNX models with npm's onnxruntime-node, on the processor."""

    name = "onnxruntime-node"


class OnnxRuntimeWeb(_Node):
    """Runs ONNX models with npm's onnxruntime-web: the WebAssembly that browsers run, under Node."""

    name = "onnxruntime-web"
    _wasm = True


class _Session:
    def __init__(self, runtime: _Node, model: Path) -> None:
        self._runtime = runtime
        self._model = model

    def run(self, inputs: "Mapping[str, Array]") -> "dict[str, Array]":
        return self._runtime.run(self._model, inputs)


class _Served:
    """A process of Node that has loaded the model, and times its runs."""

    threads: int | None = 1  # as node_run.mjs asks for

    def __init__(self, runtime: _Node, model: Path, process: "subprocess.Popen[str]", words: Path) -> None:
        self._runtime = runtime
        self._model = model
        self._process = process
        self._words = words

    def times(self, runs: int) -> list[float]:
        """See `modelver.runtimes.clock.Clock`."""
        stdin: IO[str] | None = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(f"{runs}\n")
            stdin.flush()
        except BrokenPipeError:
            pass  # the answer that does not come says why
        return [float(time) for time in self.answer()["times"]]

    def answer(self) -> dict[str, Any]:
        """The next line of the process.

        Raises:
            InvalidInput: the model failed.
            ExternalFailure: the process ended without an answer.
        """
        stdout: IO[str] | None = self._process.stdout
        assert stdout is not None
        line = stdout.readline()
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:  # nothing, for it crashed; or half a line
            self._process.kill()
            raise _crashed(self._process.wait(TIMEOUT), self._words.read_text("utf-8", "replace")) from None
        return self._runtime.checked(answer, self._model)


def _written(name: str, array: "Array", file: Path) -> dict[str, Any]:
    import numpy as np

    value: dict[str, Any] = {"name": name, "shape": list(array.shape)}
    if array.dtype.kind in "OUS":
        return {**value, "dtype": "string", "strings": [str(item) for item in array.ravel().tolist()]}
    if array.dtype.name not in _DTYPES:
        raise InvalidInput(f"input {name!r} is of type {array.dtype}, which is not tried in JavaScript")
    file.write_bytes(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes())
    return {**value, "dtype": array.dtype.name, "file": str(file)}


def _array(output: Mapping[str, Any]) -> "Array":
    import numpy as np

    if "strings" in output:
        result = np.empty(len(output["strings"]), dtype=object)
        result[:] = output["strings"]
        return result.reshape(output["shape"])
    data = Path(output["file"]).read_bytes()
    try:
        return np.frombuffer(data, np.dtype(output["dtype"]).newbyteorder("<")).reshape(output["shape"]).copy()
    except ValueError as error:
        raise InvalidInput(f"output {output['name']!r} is malformed: {first_line(error)}") from None
