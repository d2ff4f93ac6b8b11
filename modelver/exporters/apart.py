"""An exporter in a process of its own: what a broken file does to the libraries that read it ends there.

Measured with LightGBM 4.7, XGBoost 3.2, CatBoost 1.2.10: many a file cut short, or with a wrong number in it, ends the
process that opens it by a signal, after lines of the library's own. No exception can be caught there.
"""

import contextlib
import ctypes
import os
import pickle
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from modelver.errors import InvalidInput, ModelverError
from modelver.exporters.base import Exported

HEADROOM = 768 << 20
"""Bytes that opening a source may take beside what its own size explains."""

FACTOR = 16
"""How many times its size a source may take in memory while it is opened: compressed forests take about 10."""

_INTERRUPTED = 130
_HINT = "the file is broken, or of a version that the library here does not know: train and save the model again"


class Apart:
    """Work that has been started in a child of this process."""

    def __init__(self, work: Callable[[], Exported], folder: Path, what: str) -> None:
        """Start it.

        The child is a fork, so this process should have no threads yet; it dies with this process.

        Args:
            work: what to do.
            folder: an empty folder, for the answer and for what libraries say.
            what: the model and its source, with which messages begin.
        """
        self._answer = folder / "answer"
        self._words = folder / "words"
        self._what = what
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        self._child = os.fork()
        if self._child == 0:
            _do(work, self._answer, self._words, parent)

    def result(self) -> Exported:
        """Wait for the answer.

        Raises:
            InvalidInput: the process ended without one.
            ModelverError, OSError: what the work raised.
        """
        ended = False
        try:
            _, status = os.waitpid(self._child, 0)
            ended = True
        finally:
            if not ended:
                os.kill(self._child, signal.SIGKILL)
                os.waitpid(self._child, 0)
        if os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            raise InvalidInput(f"{self._what} crashes the library that reads it ({name}{self._last(': ')})", hint=_HINT)
        if os.WEXITSTATUS(status) == _INTERRUPTED:
            raise KeyboardInterrupt
        if os.WEXITSTATUS(status) or not self._answer.is_file():
            raise InvalidInput(f"{self._what} cannot be exported{self._last(': ')}", hint=_HINT)
        # what ran there ran the source's own code as well: this is as trusted as the source
        found: Exported | ModelverError | OSError = pickle.loads(self._answer.read_bytes())  # noqa: S301
        if isinstance(found, BaseException):
            raise found
        sys.stderr.buffer.write(self._words.read_bytes())
        sys.stderr.flush()
        return found

    def _last(self, before: str) -> str:
        """The last line that was said, behind ``before``; empty where there was none."""
        try:
            said = self._words.read_bytes()[-4096:].decode("utf-8", "replace").strip().splitlines()
        except FileNotFoundError:
            return ""
        return before + said[-1].strip()[:300] if said else ""


def _do(work: Callable[[], Exported], answer: Path, words: Path, parent: int) -> None:
    """The child; does not return."""
    status = 1
    try:
        _die_with(parent)
        # what frameworks leave in the folder for temporary files, or could not remove any more, goes with the rest
        os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(dir=answer.parent)
        with words.open("wb") as file:
            os.dup2(file.fileno(), 2)
        _limits.here = True
        found: Any
        try:
            found = work()
        except (ModelverError, OSError) as error:
            found = error
        answer.write_bytes(pickle.dumps(found))
        status = 0
    except KeyboardInterrupt:
        status = _INTERRUPTED
    finally:
        if status == 1:
            # not the frames: the last line becomes the message of an error
            os.write(2, "".join(traceback.format_exception_only(sys.exception())).encode("utf-8", "replace"))
        sys.stdout.flush()
        os._exit(status)


def _die_with(parent: int) -> None:
    """Be killed when the parent ends, so that no orphan writes on; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


class _Limits:
    """Whether this process was made for one export, and may be limited."""

    here = False


_limits = _Limits()


@contextlib.contextmanager
def bounded(source: Path) -> Iterator[None]:
    """Let a source take no more memory than its size explains, in a process of its own, on Linux.

    A bomb (a file of a few kilobytes that unpacks to gigabytes) then ends in a MemoryError, or the library's word for
    it, before it takes the machine's memory.
    """
    status = Path("/proc/self/status")
    if not _limits.here or not status.exists():
        yield
        return
    import resource

    taken = next(int(line.split()[1]) << 10 for line in status.read_text().splitlines() if line.startswith("VmData"))
    wanted = taken + HEADROOM + FACTOR * source.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft != resource.RLIM_INFINITY:
        wanted = min(soft, wanted)
    if hard != resource.RLIM_INFINITY:
        wanted = min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
