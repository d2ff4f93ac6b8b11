"""``modelver restore``."""

import os
from pathlib import Path
from typing import Annotated

import typer

from modelver.cli.context import Progress, out, report
from modelver.errors import InvalidInput


def restore(
    paths: Annotated[list[str] | None, typer.Argument(help="Files or folders; nothing: all that DVC tracks.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that you changed, too.")] = False,
) -> None:
    """Bring tracked files to what the pointers in the working tree say, from DVC's cache. Every byte is verified.

    Example:

      modelver restore models/digits/weights
    """
    from modelver.operations.project import Project
    from modelver.operations.restore import restore_paths

    project = Project.open(Path.cwd())
    relative = [_relative(project.root, path) for path in paths or []]
    with Progress("restoring") as progress:
        result = restore_paths(project.git, relative, force=force, progress=progress)
    report(result.messages())
    out(f"{len(result.placed)} files placed, {len(result.removed)} removed")
    if not result.complete:
        raise typer.Exit(1)


def _relative(root: Path, path: str) -> str:
    """A path as the user wrote it, relative to the repository's top; links in it are not followed."""
    full, top = Path(os.path.abspath(path)), Path(os.path.realpath(root))  # noqa: PTH100
    for base in (top, Path(os.path.abspath(root))):  # noqa: PTH100
        if full.is_relative_to(base):
            return full.relative_to(base).as_posix()
    raise InvalidInput(f"{path} lies outside the repository")
