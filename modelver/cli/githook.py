"""What the Git hooks run: ``python -P -m modelver.cli.githook NAME ARGS…``, the short way to ``modelver hook NAME``.

A checkout waits for it, and Typer alone would cost 0.1 s: so it is not imported here.
"""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelver.core.printable import printable
from modelver.errors import ModelverError


class _Bar:
    """A bar of bytes on a terminal's standard error, imported only where the work takes longer than half a second."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._done = 0
        self._bar: Any = None

    def __call__(self, done: int) -> None:
        self._done += done
        if self._bar is None and sys.stderr.isatty() and time.monotonic() - self._start > 0.5:
            from tqdm import tqdm

            plain = bool(os.environ.get("NO_COLOR"))
            self._bar = tqdm(desc="restoring", unit="B", unit_scale=True, unit_divisor=1024, leave=False, ascii=plain)
        if self._bar is not None:
            self._bar.update(self._done)
            self._done = 0

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def run(arguments: Sequence[str]) -> int:
    """Do the work of the hook ``arguments[0]``, tell what there is to tell, and return the hook's exit status."""
    from modelver.adapters.git import GitRepository
    from modelver.operations.hooks import run_hook

    bar = _Bar()
    try:
        result = run_hook(
            GitRepository.find(Path.cwd()), arguments[0] if arguments else "", arguments[1:], progress=bar
        )
    except ModelverError as error:
        bar.close()
        _tell("error", error.message, error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        bar.close()
        _tell("error", "interrupted", "modelver restore")
        return 130
    bar.close()
    for level, message, hint in result.messages():
        _tell(level, message, hint)
    return result.hook_status


def _tell(level: str, message: str, hint: str) -> None:
    sys.stderr.write(f"{level}: {printable(message)}\n" + (f"hint: {printable(hint)}\n" if hint else ""))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
