"""What an exporter is, what it is asked and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from modelver.core.export_options import ExportOptions
from modelver.errors import Refused
from modelver.exporters import plugins
from modelver.formats.dataset import Dataset

if TYPE_CHECKING:
    import numpy as np

GROUP = "modelver.exporters"

_ALIASES = {"scikit-learn": "sklearn", "pytorch": "torch"}


@dataclass(frozen=True)
class ExportRequest:
    """What an exporter is asked for.

    Attributes:
        model: the model's name: the ONNX graph is named so, and messages say it.
        output: where to write the ONNX model; the folder exists.
        data: real rows.
        options: what the user chose.
        root: the repository's top, where a user's own modules lie.
    """

    model: str
    output: Path
    data: Dataset
    options: ExportOptions = field(default_factory=ExportOptions)
    root: Path = field(default_factory=Path.cwd)


@dataclass(frozen=True)
class Exported:
    """What an exporter did besides writing the ONNX model.

    Attributes:
        inputs: real rows for each graph input, by name, with the graph's dtypes.
        outputs: the *source framework's* outputs on these rows, by the graph's output names, with its dtypes.
        labels: the classes in the order of the probabilities' columns; None where the model has none.
        format: the source file's format (``joblib``).
        framework, framework_version: what ran the source model.
        packages: versions of the packages that the exported bytes depend on.
        model: the ONNX file to take in place of ``request.output``; it is only read.
    """

    inputs: Mapping[str, "np.ndarray[Any, Any]"]
    outputs: Mapping[str, "np.ndarray[Any, Any]"]
    labels: tuple[str | int | float | bool, ...] | None
    format: str
    framework: str
    framework_version: str
    packages: Mapping[str, str]
    model: Path | None = None


class Exporter(Protocol):
    """Turns one framework's files into ONNX. Register a class in the entry point group ``modelver.exporters``."""

    suffixes: tuple[str, ...]
    """Files that it takes when params.yaml names no framework, with the dot (``.joblib``)."""

    def export(self, source: Path, request: ExportRequest) -> Exported:
        """Write ``request.output``, the same bytes on each run and in each folder.

        Raises:
            Refused: the framework is missing, or the model is of a kind that cannot be exported.
            InvalidInput: the file cannot be read, or the data does not fit the model.
        """


def find(framework: str | None, source: Path) -> Exporter:
    """The exporter of ``framework``, or without one the first (by name) that takes the suffix of ``source``.

    Raises:
        Refused: there is none; the hint says what to install.
    """
    if framework is not None:
        exporter: Exporter = plugins.load(GROUP, _ALIASES.get(framework, framework), "exporter for framework")
        return exporter
    for name in plugins.names(GROUP):
        candidate: Exporter = plugins.load(GROUP, name, "exporter for framework")
        if source.suffix in candidate.suffixes:
            return candidate
    known = plugins.names(GROUP)
    raise Refused(
        f"no exporter takes {source.suffix or source.name} files by itself; there is: {', '.join(known) or 'none'}",
        hint="name one in params.yaml (`framework: torch`), or version the file as it is: modelver add --plain",
    )


def first_line(error: BaseException) -> str:
    """An error's text, short, on one line; its type where it says nothing."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[0].strip()[:300] if lines else type(error).__name__
