"""``modelver restore``."""

from typing import Annotated

import typer

from modelver.cli.context import Progress, out, report


def restore(
    paths: Annotated[list[str] | None, typer.Argument(help="Files or folders; nothing: all that DVC tracks.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that you changed, too.")] = False,
) -> None:
    """Bring tracked files to what the pointers in the working tree say, from DVC's cache. Every byte is verified.

    Example:

      modelver restore models/digits/weights
    """
    from pathlib import Path

    from modelver.operations.project import Project
    from modelver.operations.restore import restore_paths

    project = Project.open(Path.cwd())
    here = Path.cwd()
    relative = [(here / path).resolve().relative_to(project.root.resolve()).as_posix() for path in paths or []]
    with Progress("restoring") as progress:
        result = restore_paths(project.git, relative, force=force, progress=progress)
    report(result.messages())
    out(f"{len(result.placed)} files placed, {len(result.removed)} removed")
    if result.hook_status:
        raise typer.Exit(result.hook_status)
