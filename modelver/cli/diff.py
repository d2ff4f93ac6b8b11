"""``modelver diff``."""

from shutil import get_terminal_size
from typing import Annotated

import typer

from modelver.cli.context import Format, FormatOption, ModelOption, complete_ref, out, out_json, repository


def diff(
    a: Annotated[str, typer.Argument(help="The older side, a ref.", autocompletion=complete_ref)],
    b: Annotated[
        str | None,
        typer.Argument(help="The newer side, a ref; nothing: the working tree.", autocompletion=complete_ref),
    ] = None,
    model: ModelOption = None,
    form: FormatOption = Format.table,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="End with 1 if there are differences.")] = False,
) -> None:
    """Compare two versions: signature, metrics, parameters, lineage, tensors, and the bump they call for.

    Only metadata in Git is read: no weights need to be on this machine.

    Examples:

      modelver diff v1 v2

      modelver diff digits@latest --exit-code
    """
    from modelver.cli import render_diff

    found = repository().diff(a, b, model=model)
    if form is Format.json:
        out_json(found.to_dict())
    elif form is Format.markdown:
        out(render_diff.markdown(found))
    else:  # 80 where nothing says another width: no terminal, no COLUMNS
        out(render_diff.table(found, max(get_terminal_size().columns, 40)))
    if exit_code and not found.empty:
        raise typer.Exit(1)
