"""``modelver backup``."""

from pathlib import Path
from typing import Annotated

import typer

from modelver.cli.context import (
    DryRunOption,
    Format,
    FormatOption,
    PlainHttpOption,
    Progress,
    out,
    out_json,
    say,
    size,
    table,
)


def backup(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="A new or empty folder, or an earlier backup.", file_okay=False)
    ],
    dvc_remote: Annotated[
        str | None, typer.Option("--dvc-remote", metavar="NAME", help="Where to take from what the cache lacks.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Read again what an earlier backup put there.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=64, help="Objects copied at the same time.")] = 4,
    dry_run: DryRunOption = False,
    plain_http: PlainHttpOption = False,
    form: FormatOption = Format.table,
) -> None:
    """Copy all versions into one folder that needs nothing else: Git's history, and every DVC object, verified.

    Run again, it adds what is new. `modelver restore DIR --into NEW` makes a repository of it.

    Example:

      modelver backup /mnt/disk/models
    """
    from modelver.core.printable import printable
    from modelver.operations.backup import backup as make
    from modelver.operations.project import Project

    project = Project.open(Path.cwd())
    with Progress("copying") as progress:
        result = make(
            project, folder, dvc_remote=dvc_remote, plain_http=plain_http, full=full, jobs=jobs, dry_run=dry_run,
            say=say, progress=progress,
        )  # fmt: skip
    if form is Format.json:
        out_json(result.to_dict())
        return
    for path in result.absent[:10]:
        say(f"warning: nobody has {printable(path)}, which no version needs to be restored")
    if len(result.absent) > 10:
        say(f"warning: and {len(result.absent) - 10} more")
    rows = [
        ("versions", len(result.versions), ""),
        ("objects", result.objects, size(result.bytes)),
        ("would be copied" if dry_run else "copied now", result.copied, size(result.copied_bytes)),
    ]
    out(table(rows, (printable(result.folder), "count", "size"), form))
