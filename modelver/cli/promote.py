"""``modelver promote``."""

from typing import Annotated

import typer

from modelver.cli.context import (
    DryRunOption,
    Format,
    FormatOption,
    ModelOption,
    SignOption,
    complete_environment,
    complete_ref,
    repository,
    say,
)
from modelver.cli.decisions import ReasonOption, answer


def promote(
    ref: Annotated[
        str,
        typer.Argument(help="The version: v1, NAME@v1.2, NAME@latest, NAME#ENV.", autocompletion=complete_ref),
    ],
    environment: Annotated[
        str, typer.Argument(metavar="ENV", help="Where it shall run.", autocompletion=complete_environment)
    ],
    reason: ReasonOption = "",
    model: ModelOption = None,
    sign: SignOption = False,
    dry_run: DryRunOption = False,
    form: FormatOption = Format.table,
) -> None:
    """Put a version into an environment, through the gates that params.yaml sets before it. One tag says so.

    Examples:

      modelver promote digits@v1.2.0 staging

      modelver promote digits#staging prod --reason "a week in staging without alarms"
    """
    decision = repository().promote(ref, environment, model=model, reason=reason, sign=sign, dry_run=dry_run, say=say)
    answer(decision, form)
