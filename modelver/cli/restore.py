"""``modelver restore``."""

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from modelver.cli.context import Format, FormatOption, Progress, out, out_json, report, say, size
from modelver.disk.files import as_written
from modelver.errors import InvalidInput


def restore(
    paths: Annotated[
        list[str] | None, typer.Argument(help="Files or folders; nothing: all that DVC tracks. Or a backup.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that you changed, too.")] = False,
    into: Annotated[
        Path | None, typer.Option("--into", metavar="DIR", help="Make a repository of a backup here, in a new folder.")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Of a damaged backup, restore what is whole.")] = False,
    form: FormatOption = Format.table,
) -> None:
    """Bring tracked files to what the pointers in the working tree say, from DVC's cache. Every byte is verified.

    With --into, make a working repository of a folder that `modelver backup` made.

    Examples:

      modelver restore models/digits/weights

      modelver restore /mnt/disk/models --into models
    """
    from modelver.operations.backup_restore import is_backup

    if into is not None:
        if not paths or len(paths) != 1:
            raise InvalidInput("--into takes one backup", hint="modelver restore BACKUP --into DIR")
        if force:
            raise InvalidInput("--force is for files of this repository; a backup is restored into a new folder only")
        _from_backup(Path(paths[0]), into, partial, form)
        return
    if partial:
        raise InvalidInput("--partial is for a backup", hint="modelver restore BACKUP --into DIR --partial")
    backup = next((path for path in paths or [] if is_backup(Path(path))), None)
    if backup is not None:
        raise InvalidInput(f"{backup} is a backup", hint=f"modelver restore {backup} --into NEW_FOLDER")
    _in_place(paths or [], force, form)


def _in_place(paths: list[str], force: bool, form: Format) -> None:
    from modelver.operations.project import Project
    from modelver.operations.restore import restore_paths

    project = Project.open(Path.cwd())
    relative = [_relative(project.root, path) for path in paths]
    with Progress("restoring") as progress:
        result = restore_paths(project.git, relative, force=force, progress=progress)
    report(result.messages())
    if form is Format.json:
        missing = [m.path for m in result.missing]
        out_json(
            {
                "placed": list(result.placed), "removed": list(result.removed), "kept": list(result.kept),
                "missing": missing, "complete": result.complete,
            }
        )  # fmt: skip
    else:
        out(f"{len(result.placed)} files placed, {len(result.removed)} removed")
    if not result.complete:
        raise typer.Exit(1)


def _from_backup(folder: Path, into: Path, partial: bool, form: Format) -> None:
    from modelver.core.printable import printable
    from modelver.operations.backup_restore import restore_backup

    there = printable(shlex.quote(str(into)))
    with Progress("restoring") as progress:
        result = restore_backup(folder, into, partial=partial, say=say, progress=progress)
    if form is Format.json:
        out_json(result.to_dict())
    else:
        out(
            f"{printable(result.folder)}: {len(result.versions)} versions, {result.objects} objects "
            f"({size(result.bytes)}), {result.files} files placed"
        )
        say(f"next: modelver -C {there} init   (hooks)")
    if result.damaged:
        lost = ", ".join(result.lost) or "no version"
        say(f"error: {len(result.damaged)} objects of the backup are missing or damaged; lost: {printable(lost)}")
    if result.unlisted:
        names = ", ".join(result.unlisted[:5]) + (
            f" and {len(result.unlisted) - 5} more" if result.unlisted[5:] else ""
        )
        say(f"error: the backup does not list {printable(names)}, and may not have their weights")
        say(f"hint: modelver -C {there} verify   (says which are whole)")
    for message in result.unplaced:
        say(f"error: {message}")
    if result.unplaced:
        say(f"hint: modelver -C {there} restore   (once that is mended: the weights are in its cache)")
    if result.damaged or result.unlisted or result.unplaced:
        raise typer.Exit(1)


def _relative(root: Path, path: str) -> str:
    """A path as the user wrote it, relative to the repository's top; links in it are not followed."""
    full, top = as_written(path), Path(os.path.realpath(root))
    for base in (top, as_written(root)):
        if full.is_relative_to(base):
            return full.relative_to(base).as_posix()
    raise InvalidInput(f"{path} lies outside the repository")
