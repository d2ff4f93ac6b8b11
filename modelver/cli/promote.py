"""``modelver promote``."""

from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    from modelver.operations.promote import Decision

ReasonOption = Annotated[str, typer.Option("--reason", "-m", help="Why; kept in the tag.")]
SignOption = Annotated[bool, typer.Option("--sign", "-s", help="Sign the tag, as git tag -s does.")]


def complete_environment(incomplete: str) -> list[str]:
    """Names of environments that begin so: declared ones, and those that have run something."""
    from modelver.errors import ModelverError
    from modelver.operations.listing import environment_names
    from modelver.operations.project import Project

    try:
        return [name for name in environment_names(Project.open()) if name.startswith(incomplete)]
    except (ModelverError, OSError):
        return []


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


def answer(decision: "Decision", form: Format) -> None:
    """Print what was decided, and the command that tells others."""
    from modelver.core.printable import printable

    if form is Format.json:
        out_json(decision.to_dict())
        return
    would = "would make " if decision.dry_run else ""
    where = f" in {decision.environment}" if decision.environment else ""
    after = f" (before: {decision.before})" if decision.before else ""
    if decision.action == "unassign":
        after = " (it ran there)"
        if decision.before != decision.version:
            after = f" (put there earlier: it would run again once {decision.before} is taken out)"
    out(f"{would}{decision.tag}: {decision.action} {decision.model} {decision.version}{where}{after}")
    for check in decision.gates:
        out(f"  {'passed' if check.ok else 'failed'}: {printable(check.message)}")
    if decision.emergency:
        for objection in decision.overridden:
            say(f"warning: overridden: {printable(objection)}")
    if not decision.dry_run and decision.remote:
        say(f"next: git push {decision.remote} '{decision.tag}'")
