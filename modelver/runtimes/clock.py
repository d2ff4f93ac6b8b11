"""Times of a runtime's own runs: loading, copies of modelver's and pipes to other processes left out."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from modelver.errors import ModelverError
from modelver.runtimes.base import Runtime

if TYPE_CHECKING:
    import numpy as np


class Clock(Protocol):
    """A loaded model that runs the same inputs again and again.

    Attributes:
        threads: how many threads a run has; None where nobody chose.
    """

    threads: int | None

    def times(self, runs: int) -> list[float]:
        """Seconds of each of so many runs, one after the other.

        Raises:
            InvalidInput: the model fails on the inputs.
        """


class TimedRuntime(Protocol):
    """What a runtime may offer beside `modelver.runtimes.base.Runtime`; one that does not is timed from outside."""

    def clock(self, model: Path, inputs: "Mapping[str, np.ndarray[Any, Any]]") -> AbstractContextManager[Clock]:
        """The model at ``model``, loaded as its users load it; ended when the block is left.

        Raises:
            InvalidInput: this runtime cannot load it.
        """


class Calls:
    """The clock of a runtime that is called in this process."""

    def __init__(
        self,
        call: Callable[[], object],
        threads: int | None = None,
        failures: tuple[type[Exception], ...] = (),
        refused: Callable[[Exception], ModelverError] | None = None,
    ) -> None:
        """``call`` is one run; what it raises of ``failures`` becomes what ``refused`` makes of it."""
        self.threads = threads
        self._call = call
        self._failures = failures
        self._refused = refused

    def times(self, runs: int) -> list[float]:
        """See `Clock`."""
        call, now, taken = self._call, time.perf_counter, []
        try:
            for _ in range(runs):
                start = now()
                call()
                taken.append(now() - start)
        except self._failures as error:
            assert self._refused is not None
            raise self._refused(error) from None
        return taken


@contextmanager
def clock(runtime: Runtime, model: Path, inputs: "Mapping[str, np.ndarray[Any, Any]]") -> Iterator[Clock]:
    """The clock of any runtime: its own, or else calls of its session.

    Raises:
        InvalidInput: this runtime cannot load the model.
    """
    if hasattr(runtime, "clock"):
        with cast(TimedRuntime, runtime).clock(model, inputs) as own:
            yield own
    else:
        session = runtime.load(model)
        yield Calls(lambda: session.run(inputs))
