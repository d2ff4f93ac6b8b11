"""``modelver log``."""

from typing import Annotated

import typer

from modelver.cli.context import Format, FormatOption, complete_model, out, out_json, repository, say, table


def log(
    name: Annotated[str | None, typer.Argument(help="Only this model.", autocompletion=complete_model)] = None,
    form: FormatOption = Format.table,
    limit: Annotated[int | None, typer.Option("--max-count", "-m", min=1, help="No more entries than this.")] = None,
) -> None:
    """Who did what when: versions, promotions, rollbacks, yanks; newest first.

    Example:

      modelver log digits -m 5
    """
    from modelver.core.printable import printable

    events = repository().log(name)[:limit]
    if form is Format.json:
        out_json([event.to_dict() for event in events])
        return
    if not events:
        say("nothing has happened yet")
        return
    rows = [
        (
            e.time,
            e.action + (" (emergency)" if e.emergency is not None else ""),
            e.model,
            e.version or "?",
            e.environment or "",
            printable(e.tagger.partition(" <")[0]),
            printable(e.reason or e.note.partition("\n")[0]),
        )
        for e in events
    ]
    out(table(rows, ("time", "action", "model", "version", "environment", "by", "why"), form))
