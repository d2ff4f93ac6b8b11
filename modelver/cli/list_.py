"""``modelver list``."""

from typing import Annotated

import typer

from modelver.cli.context import (
    Format,
    FormatOption,
    complete_environment,
    complete_model,
    out,
    out_json,
    repository,
    say,
    table,
)


def list_(
    name: Annotated[str | None, typer.Argument(help="Only this model.", autocompletion=complete_model)] = None,
    environment: Annotated[
        str | None,
        typer.Option("--env", metavar="ENV", help="What runs there.", autocompletion=complete_environment),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option("--on", metavar="DATE", help="What ran then: 2026-03-01 (the end of that day, UTC), or a time."),
    ] = None,
    form: FormatOption = Format.table,
) -> None:
    """List versions and where they run, newest first; or what an environment runs, or ran on a date.

    Examples:

      modelver list

      modelver list digits --format json

      modelver list digits --env prod --on 2026-03-01
    """
    if environment is not None or on is not None:
        _running(name, environment, on, form)
        return
    versions = repository().list(name)
    if form is Format.json:
        out_json([version.to_dict() for version in versions])
        return
    if not versions:
        say("no versions yet; make one with: modelver tag" + (f" {name}" if name else ""))
        return
    rows = [
        (v.model, str(v.version) + (" (yanked)" if v.yanked else ""), v.record.created, v.record.commit[:10],
         ", ".join(v.environments))
        for v in versions
    ]  # fmt: skip
    out(table(rows, ("model", "version", "created", "commit", "environments"), form))


def _running(name: str | None, environment: str | None, on: str | None, form: Format) -> None:
    from modelver.core.printable import printable

    found = repository().running(name, environment=environment, on=on)
    if form is Format.json:
        out_json([one.to_dict() for one in found])
        return
    if not found:
        say(f"nothing {'runs' if on is None else 'ran'}" + (f" in {environment}" if environment else ""))
        return
    rows = [
        (one.environment, one.model, (one.version or "?") + (" (yanked)" if one.yanked else ""), one.since,
         printable(one.tagger.partition(" <")[0]), one.tag, printable(one.reason))
        for one in found
    ]  # fmt: skip
    out(table(rows, ("environment", "model", "version", "since", "by", "tag", "why"), form))
