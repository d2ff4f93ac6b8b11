"""What `promote`, `rollback` and `yank` share: the reason, and how a decision is told."""

from typing import TYPE_CHECKING, Annotated

import typer

from modelver.cli.context import Format, out, out_json, say

if TYPE_CHECKING:
    from modelver.operations.promote import Decision

ReasonOption = Annotated[str, typer.Option("--reason", "-m", help="Why; kept in the tag.")]


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
        say(f"next: {_publishing(decision, decision.remote)}")


def _publishing(decision: "Decision", remote: str) -> str:
    """The command that tells others.

    What nobody has yet is published whole: weights, version and decision. Of a version that others have the tag alone
    is news, and Git takes it there though the DVC remote should be down, or the version yanked for its lost weights.
    """
    if decision.published is False:
        return f"modelver push {decision.model}@{decision.version}"
    return f"git push {remote} '{decision.tag}'"
