"""What a runtime is."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from modelver.exporters import plugins

if TYPE_CHECKING:
    import numpy as np

GROUP = "modelver.runtimes"


class Session(Protocol):
    """A model that is loaded and can be run."""

    def run(self, inputs: "Mapping[str, np.ndarray[Any, Any]]") -> "dict[str, np.ndarray[Any, Any]]":
        """All outputs by name, for inputs by name.

        Raises:
            InvalidInput: the inputs do not fit the model, or the model fails on them.
        """


class Runtime(Protocol):
    """Runs models. Register a class in the entry point group ``modelver.runtimes``."""

    name: str

    def version(self) -> str:
        """The runtime's version."""

    def load(self, model: Path) -> Session:
        """Load the model file at ``model``, with external data where it lies.

        Raises:
            InvalidInput: this runtime cannot load it.
        """

    def run(self, model: Path, inputs: "Mapping[str, np.ndarray[Any, Any]]") -> "dict[str, np.ndarray[Any, Any]]":
        """`load`, then `Session.run`, once."""


def find(name: str) -> Runtime:
    """The runtime that is registered as ``name``.

    Raises:
        Refused: there is none; the hint says what to install.
    """
    runtime: Runtime = plugins.load(GROUP, name, "runtime")
    return runtime


_REFUSALS = (
    "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NotImplemented",
    "RuntimeException",  # out of memory, among others
)  # fmt: skip


def refusals() -> tuple[type[Exception], ...]:
    """What onnxruntime raises where it can't load or run a model."""
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    return (*(getattr(errors, name) for name in _REFUSALS), RuntimeError, ValueError, MemoryError)


_PLACE = re.compile(r"/onnxruntime_src/\S+:\d+ .*(?:\)|<lambda\(\)>) ")
"""Where in its own source onnxruntime stood: hundreds of characters before what it says."""


def first_line(error: Exception, model: Path | None = None) -> str:
    """What an error of a runtime says, in one line of at most 300 characters; ``model`` is called by its file name."""
    text = str(error) if model is None else str(error).replace(str(model), model.name)
    lines = _PLACE.sub("", text).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
