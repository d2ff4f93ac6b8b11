"""``modelver rollback``."""

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from modelver.cli.context import (
    DryRunOption,
    Format,
    FormatOption,
    Progress,
    SignOption,
    complete_environment,
    complete_model,
    complete_ref,
    out,
    out_json,
    report,
    repository,
    say,
)
from modelver.cli.decisions import ReasonOption, answer
from modelver.errors import InvalidInput

if TYPE_CHECKING:
    from modelver.operations.promote import Decision
    from modelver.operations.rollback_commit import RollbackCommit


def rollback(
    name: Annotated[str, typer.Argument(help="The model.", autocompletion=complete_model)],
    ref: Annotated[
        str | None, typer.Argument(help="The version to go back to: v1, v1.2.0, NAME@v1.", autocompletion=complete_ref)
    ] = None,
    to_previous: Annotated[
        bool, typer.Option("--to-previous", help="Go back to what ran before what runs now.")
    ] = False,
    to_nothing: Annotated[bool, typer.Option("--to-nothing", help="Take the model out of the environment.")] = False,
    environment: Annotated[
        str | None,
        typer.Option(
            "--env", metavar="ENV", help="Where; not needed where it runs in one.", autocompletion=complete_environment
        ),
    ] = None,
    commit: Annotated[
        bool, typer.Option("--commit", help="Bring the model's files back, by a new commit on the current branch.")
    ] = False,
    emergency: Annotated[
        bool, typer.Option("--emergency", help="Set gates and order aside. Needs a reason; the tag says so for ever.")
    ] = False,
    reason: ReasonOption = "",
    sign: SignOption = False,
    dry_run: DryRunOption = False,
    form: FormatOption = Format.table,
) -> None:
    """Go back to an earlier version: in an environment, through the same gates, or in the files of this branch.

    Examples:

      modelver rollback digits --to-previous --env prod --reason "alarms since noon"

      modelver rollback digits v1.2 --env prod --emergency --reason "v1.3 refuses orders"

      modelver rollback digits v1.2 --commit
    """
    if (ref is not None) + to_previous + to_nothing != 1:
        raise InvalidInput(
            "say what to go back to: a version, --to-previous or --to-nothing", hint=f"modelver list {name}"
        )
    if commit:
        if to_nothing or environment or emergency or sign:
            raise InvalidInput(
                "--commit changes files and no environment: --env, --emergency, --sign and --to-nothing mean nothing",
                hint=f"modelver rollback {name} {ref or '--to-previous'} --commit",
            )
        _commit(name, ref, reason, dry_run, form)
        return
    if to_nothing:
        if emergency:
            raise InvalidInput("nothing stands before --to-nothing that an emergency could set aside")
        decisions = repository().unassign(
            name, environment=environment, reason=reason, sign=sign, dry_run=dry_run, say=say
        )
        if form is Format.json:
            out_json([decision.to_dict() for decision in decisions])
            return
        for decision in decisions:
            answer(decision, form)
        return

    def tell(decision: "Decision") -> None:
        answer(decision, form)
        sys.stdout.flush()  # what nobody was told has not ended

    repository().rollback(
        name, ref, environment=environment, reason=reason, emergency=emergency, sign=sign, dry_run=dry_run, say=say,
        told=tell,
    )  # fmt: skip


def _commit(name: str, ref: str | None, reason: str, dry_run: bool, form: Format) -> None:
    with ExitStack() as bars:

        def tell(result: "RollbackCommit") -> None:
            bars.close()
            _answer(result, dry_run, form)
            sys.stdout.flush()  # as above

        progress = bars.enter_context(Progress("restoring"))
        result = repository().rollback_commit(
            name, ref, reason=reason, dry_run=dry_run, progress=progress, say=say, told=tell
        )
    if result.weights is not None and not result.weights.complete:
        raise typer.Exit(1)


def _answer(result: "RollbackCommit", dry_run: bool, form: Format) -> None:
    report(result.messages())
    if form is Format.json:
        out_json(result.to_dict())
    elif result.files:
        out(f"would bring back {result.tag}:" if dry_run else f"{result.tag} is back ({(result.commit or '')[:10]}):")
        for path in result.files:
            out(f"  {path}")
    else:
        weights = "would bring its weights back" if dry_run else "its weights are those of that version"
        if result.weights is not None and not result.weights.complete:
            weights = "its weights are not, yet"
        out(f"HEAD has the files of {result.tag} already; {weights}")
