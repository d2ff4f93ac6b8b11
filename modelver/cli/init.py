"""``modelver init``."""

from pathlib import Path
from typing import Annotated

import typer

from modelver.cli.context import DryRunOption, out, say

_NEXT = "git add -A && git commit, then modelver add NAME PATH"


def init(
    remote: Annotated[
        str | None, typer.Option("--remote", metavar="URL", help="DVC's default remote: a folder, s3://…, ssh://….")
    ] = None,
    ci: Annotated[
        str | None,
        typer.Option("--ci", metavar="github|gitlab", help="Write the workflow that checks pull requests and tags."),
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Make this folder a Git + DVC repository that is ready for models. What is there stays; safe to run again.

    Examples:

      modelver init

      modelver init --remote s3://bucket/models

      modelver init --ci github
    """
    from modelver.operations.init import init as init_

    done = init_(Path.cwd(), remote=remote, ci=ci, dry_run=dry_run)
    if dry_run and done:
        out("would do:")
    for line in done:
        out(("  " if dry_run else "") + line)
    if not done:
        out("everything is in place")
    elif not dry_run:
        hooks_only = all(line.startswith("hook ") and "commit it" not in line for line in done)
        say(f"next: {'modelver restore, or dvc pull for weights that are not here yet' if hooks_only else _NEXT}")
