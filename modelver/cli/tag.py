"""``modelver tag``."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelver.cli.context import (
    DryRunOption,
    DvcRemoteOption,
    Format,
    FormatOption,
    PlainHttpOption,
    Progress,
    SignOption,
    complete_model,
    out,
    out_json,
    repository,
    say,
)
from modelver.cli.push import JobsOption, answer
from modelver.errors import InvalidInput

if TYPE_CHECKING:
    from modelver.operations.push import PushResult
    from modelver.operations.tag import TagResult

VersionOption = Annotated[str | None, typer.Option("--version", metavar="vX.Y.Z", help="The version to make.")]
BumpOption = Annotated[
    str,
    typer.Option(
        "--bump", metavar="auto|patch|minor|major", help="How far to go; auto: as far as the change calls for."
    ),
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why a smaller bump than the change calls for is right.")]
ForceNewOption = Annotated[bool, typer.Option("--force-new", help="A new version although the weights did not change.")]


def brief(reasons: Sequence[str], most: int = 4) -> str:
    """The most important reasons of a bump in one line; the tag's message has them all."""
    rest = f"; and {len(reasons) - most} more" if len(reasons) > most else ""
    return "; ".join(reasons[:most]) + rest


def tag(
    name: Annotated[
        str | None, typer.Argument(help="The model; may be left out where there is one.", autocompletion=complete_model)
    ] = None,
    message: Annotated[str, typer.Option("--message", "-m", help="What this version is about.")] = "",
    version: VersionOption = None,
    bump: BumpOption = "auto",
    reason: ReasonOption = "",
    sign: SignOption = False,
    repro: Annotated[bool, typer.Option("--repro", help="Run stale stages first, in place of refusing.")] = False,
    force_new: ForceNewOption = False,
    recorded: Annotated[
        bool, typer.Option("--recorded", help="Tag what the committed sidecars propose and no tag has; no commit.")
    ] = False,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="With --recorded: bring the weights into DVC's cache first.")
    ] = False,
    push: Annotated[
        bool, typer.Option("--push", help="Publish it at once, as modelver push does: weights, commit and tag.")
    ] = False,
    dvc_remote: DvcRemoteOption = None,
    jobs: JobsOption = 8,
    plain_http: PlainHttpOption = False,
    dry_run: DryRunOption = False,
    form: FormatOption = Format.table,
) -> None:
    """Make a version of what is checked out: record it, commit the record, tag the commit. All or nothing.

    The commit holds the model's generated files alone; what you have staged or changed stays as it is. Git's commit
    hooks (pre-commit, commit-msg, …) do not run for it. With --push, a version that is made here already and not
    published yet is published.

    Examples:

      modelver tag digits -m "more trees"

      modelver tag digits --bump minor --dry-run

      modelver tag digits --push

      modelver tag --recorded --fetch
    """
    if (dvc_remote or plain_http) and not push:
        raise InvalidInput(
            "--dvc-remote and --plain-http are about publishing, so they go with --push", hint="modelver tag --push"
        )
    how = {"dvc_remote": dvc_remote, "jobs": jobs, "plain_http": plain_http} if push else None
    if recorded:
        if message or version or bump != "auto" or reason or repro or force_new:
            raise InvalidInput("--recorded takes the version from the sidecar", hint="modelver tag --recorded [NAME]")
        _recorded(name, fetch=fetch, sign=sign, how=how, dry_run=dry_run, form=form)
        return
    if fetch:
        raise InvalidInput("--fetch goes with --recorded", hint="modelver tag --recorded --fetch")

    def tell(result: "TagResult") -> None:
        pushed = _pushed([result], how) if how is not None and not dry_run else None
        _answer(result, pushed, push, dry_run, form)
        sys.stdout.flush()  # what nobody was told has not ended

    repository().tag(
        name,
        message=message,
        version=version,
        bump=bump,
        reason=reason,
        sign=sign,
        repro=repro,
        force_new=force_new,
        to_push=push,
        dry_run=dry_run,
        say=say,
        told=tell,
    )


def _answer(result: "TagResult", pushed: "PushResult | None", push: bool, dry_run: bool, form: Format) -> None:
    if form is Format.json:
        out_json(result.to_dict() | ({"push": pushed.to_dict()} if pushed else {}))
        return
    if dry_run:
        out(f"{'has made' if result.made_before else 'would make'} {result.tag}:")
        for number, step in enumerate(result.steps, start=1):
            out(f"  {number}. {step}")
        if push:
            out(f"  {len(result.steps) + 1}. push its weights, read them back, push commit and tag")
    else:
        out(f"{result.tag} ({(result.commit or '')[:10]})")
    if result.previous:
        out(f"{result.choice.level} since {result.previous}: {brief(result.choice.reasons)}")
    if result.choice.overridden:
        out(f"smaller bump accepted: {result.choice.overridden}")
    if pushed is not None:
        answer(pushed)
    elif not dry_run:
        say("next: modelver push")


def _pushed(results: "Sequence[TagResult]", how: dict[str, Any]) -> "PushResult":
    return repository().push_new(results, **how, say=say, bars=Progress)


def _recorded(
    name: str | None, *, fetch: bool, sign: bool, how: dict[str, Any] | None, dry_run: bool, form: Format
) -> None:
    """Answers with the names of the tags alone, one a line, so that a script can push them."""
    results = repository().tag_recorded(name, fetch=fetch, sign=sign, to_push=how is not None, dry_run=dry_run, say=say)
    if how is not None and results and not dry_run:
        _pushed(results, how)
    if form is Format.json:
        out_json([result.to_dict() for result in results])
        return
    for result in results:
        out(result.tag)
    if not results:
        say("every version that is recorded has its tag")
