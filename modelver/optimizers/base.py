"""What an optimiser is asked and what it answers, and which one does what."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Feeds = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Request:
    """What an optimiser is asked for.

    Attributes:
        parent: the model file of one piece, all tensors inline.
        output: where to write the variant, in one piece; the folder exists.
        config: every option of the method, as `core.variants` checked them.
        feeds: batches of calibration rows by input name, from the start on each call; None where there is no data.
    """

    parent: Path
    output: Path
    config: Mapping[str, Any]
    feeds: "Callable[[], Iterator[Feeds]] | None" = None


@dataclass(frozen=True, slots=True)
class Optimized:
    """What an optimiser says of its work.

    Attributes:
        tool: the package that did it.
        version: its version.
        sparsity: share of zeros in the tensors that were pruned, 0 to 1; None where nothing was.
    """

    tool: str
    version: str
    sparsity: float | None = None


Optimizer = Callable[[Request], Optimized]
"""Writes ``request.output``, the same bytes on each run and in each folder.

Raises:
    InvalidInput: the model cannot be changed that way; the hint says what to do.
"""

_PLACES = {
    "graph": "modelver.optimizers.graph:optimize",
    "float16": "modelver.optimizers.half:optimize",
    "dynamic-int8": "modelver.optimizers.quantize:dynamic",
    "static-int8": "modelver.optimizers.quantize:static",
    "prune": "modelver.optimizers.prune:optimize",
}


def find(method: str) -> Optimizer:
    """The optimiser for one of `core.variants.METHODS`."""
    module, _, name = _PLACES[method].partition(":")
    optimizer: Optimizer = getattr(import_module(module), name)
    return optimizer
