"""``modelver yank``."""

from typing import Annotated

import typer

from modelver.cli.context import (
    DryRunOption,
    Format,
    FormatOption,
    ModelOption,
    SignOption,
    complete_ref,
    repository,
    say,
)
from modelver.cli.decisions import ReasonOption, answer


def yank(
    ref: Annotated[str, typer.Argument(help="The version: v1.2.0, NAME@v1.2.0.", autocompletion=complete_ref)],
    reason: ReasonOption = "",
    model: ModelOption = None,
    sign: SignOption = False,
    dry_run: DryRunOption = False,
    form: FormatOption = Format.table,
) -> None:
    """Withdraw a version: it stays, but `latest` and `v1` pass it over, and it may not be promoted any more.

    Example:

      modelver yank digits@v1.2.0 --reason "trained on the test set"
    """
    decision = repository().yank(ref, model=model, reason=reason, sign=sign, dry_run=dry_run, say=say)
    answer(decision, form)
    for environment in decision.running:
        say(f"warning: {environment} still runs {decision.model}@{decision.version}")
        say(f"hint: modelver rollback {decision.model} --to-previous --env {environment}")
