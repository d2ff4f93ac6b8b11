"""``modelver tag``."""

from typing import Annotated

import typer

from modelver.cli.context import DryRunOption, Format, FormatOption, complete_model, out, out_json, repository, say

VersionOption = Annotated[str | None, typer.Option("--version", metavar="vX.Y.Z", help="The version to make.")]
BumpOption = Annotated[
    str,
    typer.Option(
        "--bump", metavar="auto|patch|minor|major", help="How far to go; auto: as far as the change calls for."
    ),
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why a smaller bump than the change calls for is right.")]
ForceNewOption = Annotated[bool, typer.Option("--force-new", help="A new version although the weights did not change.")]


def tag(
    name: Annotated[
        str | None, typer.Argument(help="The model; may be left out where there is one.", autocompletion=complete_model)
    ] = None,
    message: Annotated[str, typer.Option("--message", "-m", help="What this version is about.")] = "",
    version: VersionOption = None,
    bump: BumpOption = "auto",
    reason: ReasonOption = "",
    sign: Annotated[bool, typer.Option("--sign", "-s", help="Sign the tag, as git tag -s does.")] = False,
    repro: Annotated[bool, typer.Option("--repro", help="Run stale stages first, in place of refusing.")] = False,
    force_new: ForceNewOption = False,
    dry_run: DryRunOption = False,
    form: FormatOption = Format.table,
) -> None:
    """Make a version of what is checked out: record it, commit the record, tag the commit. All or nothing.

    Examples:

      modelver tag digits -m "more trees"

      modelver tag digits --bump minor --dry-run
    """
    result = repository().tag(
        name,
        message=message,
        version=version,
        bump=bump,
        reason=reason,
        sign=sign,
        repro=repro,
        force_new=force_new,
        dry_run=dry_run,
        say=say,
    )
    if form is Format.json:
        out_json(result.to_dict())
        return
    if dry_run:
        out(f"would make {result.tag}:")
        for number, step in enumerate(result.steps, start=1):
            out(f"  {number}. {step}")
    else:
        out(f"{result.tag} ({(result.commit or '')[:10]})")
    if result.previous:
        out(f"{result.choice.level} since {result.previous}: {'; '.join(result.choice.reasons)}")
    if result.choice.overridden:
        out(f"smaller bump accepted: {result.choice.overridden}")
    if not dry_run:
        say("next: dvc push && git push --follow-tags")
