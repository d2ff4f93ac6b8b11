"""``modelver add``."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from modelver.cli.context import (
    DryRunOption,
    Format,
    FormatOption,
    Progress,
    complete_model,
    from_here,
    out,
    out_json,
    repository,
    say,
    size,
)


def add(
    name: Annotated[str, typer.Argument(help="The model's name.", autocompletion=complete_model)],
    path: Annotated[Path, typer.Argument(help="The model: a file or a folder.")],
    framework: Annotated[
        str | None, typer.Option("--framework", help="Exporter for a framework's own file, such as sklearn.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="FILE", help="Rows to export and validate with: .csv, .npz, .npy, .parquet."),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="Column or key of the true answers in the data.")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Track it as it lies, whatever it is.")] = False,
    desc: Annotated[str | None, typer.Option("--desc", help="One line about the model.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace weights and generated files that you changed, too.")
    ] = False,
    dry_run: DryRunOption = False,
    form: FormatOption = Format.table,
) -> None:
    """Declare a model, or bring the next content of one that is declared.

    A framework's own file gets DVC stages that export and validate it. ONNX and safetensors are split into one file a
    tensor, so that versions share what they share. Anything else is tracked as it lies.

    Examples:

      modelver add digits build/digits.joblib --data data/test.csv

      modelver add encoder ~/Downloads/model.safetensors

      modelver add llm weights/llm
    """
    from modelver.core.layout import Layout
    from modelver.core.printable import printable
    from modelver.operations.add import AddRequest

    request = AddRequest(name, path, framework=framework, data=data, target=target, plain=plain, desc=desc, force=force)
    total = path.stat().st_size if path.is_file() else None
    with Progress(f"adding {name}", total) as progress:
        opened = repository()
        result = opened.add(request, dry_run=dry_run, progress=progress)
    if form is Format.json:
        out_json({**result.to_dict(), "dry_run": dry_run})
        return
    known = f", {size(result.bytes)}" if result.bytes is not None else ""
    tensors = f", {result.tensors} tensors" if result.tensors else ""
    verb = "would add" if dry_run else ("added" if result.new else "updated")
    out(f"{verb} {name} ({result.kind}): {printable(result.weights)}{tensors}{known}")
    if dry_run:
        return
    for file in result.files:
        out(f"  {printable(file)}")
    if result.kind == "pipeline":
        say(f"next: dvc repro, then git add -A && git commit, then modelver tag {name}")
    elif result.new:
        files = shlex.join(from_here(opened.root, result.files))
        say(f'next: git add {files} && git commit -m "Add {name}", then modelver tag {name}')
    elif (opened.root / Layout(name).validation).is_file():
        say(f"next: modelver stage validate {name}, then git add -A && git commit, then modelver tag {name}")
    else:
        say(f"next: modelver tag {name}")
