"""``modelver list``."""

from typing import Annotated

import typer

from modelver.cli.context import Format, FormatOption, complete_model, out, out_json, repository, say, table


def list_(
    name: Annotated[str | None, typer.Argument(help="Only this model.", autocompletion=complete_model)] = None,
    form: FormatOption = Format.table,
) -> None:
    """List versions and where they run, newest first.

    Examples:

      modelver list

      modelver list digits --format json
    """
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
