"""``modelver demo``."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from modelver.cli.context import colours


def demo(
    folder: Annotated[Path | None, typer.Argument(help="A new folder for it; a temporary one if left out.")] = None,
) -> None:
    """The whole tour on real data, in a fresh repository: train, export, validate, tag, diff, roll back, prove it.

    Example:

      modelver demo /tmp/tour
    """
    from modelver.operations.demo import demo as demo_

    bold, off = ("\x1b[1m", "\x1b[0m") if colours(sys.stdout) else ("", "")

    def say(text: str) -> None:
        # Flushed, for what the commands themselves print comes from other processes.
        sys.stdout.write(f"{bold}{text}{off}\n" if text.startswith("$ ") else text + "\n")
        sys.stdout.flush()

    demo_(folder if folder is not None else Path(tempfile.mkdtemp(prefix="modelver-demo-")), say)
