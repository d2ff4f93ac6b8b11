"""``modelver client``."""

import enum
from pathlib import Path
from typing import Annotated

import typer

from modelver.cli.context import Format, FormatOption, ModelOption, complete_ref, out, out_json, say


class Lang(enum.StrEnum):
    """What to write."""

    python = "python"
    typescript = "typescript"


def client(
    ref: Annotated[
        str | None, typer.Argument(help="The version, a ref; nothing: the working tree.", autocompletion=complete_ref)
    ] = None,
    model: ModelOption = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Write the module into DIR; else it is printed."),
    ] = None,
    lang: Annotated[Lang, typer.Option("--lang", help="What to write.")] = Lang.python,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that modelver did not write, or you changed.")
    ] = False,
    form: FormatOption = Format.table,
) -> None:
    """Write the module that calls a version through onnxruntime: typed inputs and outputs, labels, conversion.

    It is made from the signature in Git, so no weights need to be on this machine, and callers of the model change
    in one place; `modelver diff` says when they must.

    Examples:

      modelver client digits@latest -o src/

      modelver client digits#prod --lang typescript -o web/
    """
    from modelver.operations.client import client as write
    from modelver.operations.project import Project

    found = write(Project.open(Path.cwd()), ref, model, language=lang.value, folder=output, force=force)
    if form is Format.json:
        out_json(found.to_dict())
    elif found.path is None:
        out(found.text)
    else:
        say(f"wrote {found.path} for {found.model} {found.version}")
