"""``modelver check``."""

from typing import Annotated

import typer

from modelver.cli.context import Format, FormatOption, out, out_json, repository
from modelver.errors import CheckFailed


def check(
    base: Annotated[
        str | None,
        typer.Argument(help="A Git revision; nothing: the branch that CI names, or the remote's default branch."),
    ] = None,
    form: FormatOption = Format.table,
) -> None:
    """Judge every model that changed since BASE, as CI does on a pull request. Ends with 1 if the answer is no.

    Looks at HEAD's commit only, and needs no weights: is the sidecar what recording again gives, is the pipeline
    current, did validation and gates pass, is the version free and the bump large enough?

    Examples:

      modelver check origin/main

      modelver check --format markdown > comment.md
    """
    from modelver.cli import render_check

    report = repository().check(base)
    if form is Format.json:
        out_json(report.to_dict())
    else:
        out(render_check.markdown(report) if form is Format.markdown else render_check.table(report))
    failed = [model for model in report.models if not model.ok]
    if failed:
        raise CheckFailed(f"not ready to merge: {', '.join(model.model for model in failed)}", failed[0].hint)
