"""``modelver sign``."""

import os
from pathlib import Path
from typing import Annotated

import typer

from modelver.cli.context import (
    DryRunOption,
    Format,
    FormatOption,
    ModelOption,
    complete_ref,
    out,
    out_json,
    repository,
    say,
)


def sign(
    ref: Annotated[str, typer.Argument(help="The version: v1.2.0, NAME@v1.2.0.", autocompletion=complete_ref)],
    private_key: Annotated[
        Path, typer.Option("--private-key", "-k", metavar="FILE", help="Elliptic curve key, PEM (P-256, P-384, P-521).")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="The signature; NAME-vX.Y.Z.sig if left out.")
    ] = None,
    model: ModelOption = None,
    dry_run: DryRunOption = False,
    form: FormatOption = Format.table,
) -> None:
    """Sign a version's weights as OpenSSF model signing does, with a key and offline. (Tags are signed by tag --sign.)

    A key with a password takes it from the environment, MODELVER_KEY_PASSWORD.

    Examples:

      modelver sign digits@v1.2.0 --private-key key.pem

      modelver verify digits@v1.2.0 --weights-signature digits-v1.2.0.sig --public-key key.pub
    """
    result = repository().sign(
        ref,
        private_key.absolute(),
        output=output.absolute() if output is not None else None,
        model=model,
        password=os.environ.get("MODELVER_KEY_PASSWORD"),
        dry_run=dry_run,
    )
    if form is Format.json:
        out_json(result.to_dict())
    else:
        would = "would sign" if dry_run else "signed"
        out(f"{would} {result.files} files of {result.tag} (sha256 {result.weights[:16]}…): {result.path}")
    flag = " --no-ignore-git-paths" if result.git_paths else ""
    say(f"note: model_signing verify key FOLDER --signature {result.path.name} --public_key KEY{flag}")
