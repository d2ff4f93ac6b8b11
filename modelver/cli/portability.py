"""``modelver portability`` and ``modelver stage runtimes``."""

from pathlib import Path
from typing import Annotated

import typer

from modelver.cli.context import Format, FormatOption, ModelOption, complete_ref, out, out_json, table
from modelver.core.printable import printable, shorten


def portability(
    ref: Annotated[
        str | None, typer.Argument(help="The version, a ref; nothing: the working tree.", autocompletion=complete_ref)
    ] = None,
    model: ModelOption = None,
    form: FormatOption = Format.table,
) -> None:
    """Show where a version runs: each declared target, its operators, and how its answers agree.

    Only what validation recorded in Git is read. Which targets are tried, `targets:` in params.yaml says.

    Examples:

      modelver portability digits@latest --format markdown
    """
    from modelver.operations.portability import portability as find
    from modelver.operations.project import Project

    found = find(Project.open(Path.cwd()), ref, model)
    if form is Format.json:
        out_json([target.to_dict() for target in found])
        return
    headers = ("target", "version", "runs", "operators", "max abs", "max rel", "labels", "")
    rows = [
        (
            target.name, target.version or "-", "yes" if target.ok else ("differs" if target.ran else "no"),
            target.operators or "-", _figure(target.max_abs), _figure(target.max_rel),
            "-" if target.label_agreement is None else f"{target.label_agreement:.2%}",
            shorten(printable(target.reason).replace("|", "/"), 100),
        )
        for target in found
    ]  # fmt: skip
    out(table(rows, headers, form))


def runtimes(
    install: Annotated[
        str | None, typer.Option("--install", metavar="NAME", help="Bring this one from npm first.")
    ] = None,
) -> None:
    """Show the runtimes that a model can be tried on, and which of them are here.

    Those of JavaScript come from npm into modelver's cache folder (MODELVER_NODE_DIR, or ~/.cache/modelver/node);
    others are Python packages.
    """
    from modelver.errors import Refused
    from modelver.exporters import plugins
    from modelver.runtimes import base, node

    if install is not None:
        node.install(install)
    rows = []
    for name in plugins.names(base.GROUP):
        try:
            rows.append((name, base.find(name).version(), ""))
        except Refused as error:
            rows.append((name, "not installed", error.hint))
    out(table(rows, ("runtime", "version", "")))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"
