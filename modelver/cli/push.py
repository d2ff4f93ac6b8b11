"""``modelver push``."""

from typing import TYPE_CHECKING, Annotated

import typer

from modelver.cli.context import (
    DryRunOption,
    DvcRemoteOption,
    Format,
    FormatOption,
    ModelOption,
    PlainHttpOption,
    Progress,
    complete_ref,
    out,
    out_json,
    repository,
    say,
    size,
)

if TYPE_CHECKING:
    from modelver.operations.push import PushResult
    from modelver.operations.storing import Storing

RemoteOption = Annotated[
    str | None, typer.Option("--remote", metavar="GITREMOTE", help="The Git remote; else where HEAD's branch goes to.")
]
JobsOption = Annotated[int, typer.Option("--jobs", "-j", help="Objects on the way at the same time.")]


def push(
    refs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[REF]...",
            help="Versions: v1, NAME@v1.2, NAME#ENV; nothing: all that the remote lacks.",
            autocompletion=complete_ref,
        ),
    ] = None,
    remote: RemoteOption = None,
    dvc_remote: DvcRemoteOption = None,
    jobs: JobsOption = 8,
    full: Annotated[
        bool, typer.Option("--full", help="Read everything back again, also what was read back before.")
    ] = False,
    weights_only: Annotated[
        bool, typer.Option("--weights-only", help="Leave out what is needed only to make the versions again.")
    ] = False,
    plain_http: PlainHttpOption = False,
    model: ModelOption = None,
    dry_run: DryRunOption = False,
    form: FormatOption = Format.table,
) -> None:
    """Publish versions: weights to the DVC remote, read back there and hashed; only then commit and tags to Git's.

    The remote's branch moves forwards to the version's commit, never further. Decisions (promote, rollback, yank) about
    the versions go along.

    Examples:

      modelver push

      modelver push digits@v1.2.0

      modelver push --full --dry-run
    """
    result = repository().push(
        refs or [],
        model=model,
        remote=remote,
        dvc_remote=dvc_remote,
        jobs=jobs,
        full=full,
        plain_http=plain_http,
        weights_only=weights_only,
        dry_run=dry_run,
        say=say,
        bars=Progress,
    )
    if form is Format.json:
        out_json(result.to_dict())
    else:
        answer(result)


def answer(result: "PushResult") -> None:
    """Print what was published."""
    done, git = result.storing, result.remote
    if done is not None:
        out(f"{done.remote}: {done.objects} objects: {', '.join(_storing(done, result.dry_run))}")
    if result.tags:
        out(f"{git}: {'would push' if result.dry_run else 'pushed'} {', '.join(result.tags)}")
    else:
        there = ", ".join(result.versions)
        out(f"{git}: has {there} already" if there else f"{git}: has every version and decision already")
    if result.branch is not None:
        moved = f"{result.branch.old[:10]} -> {result.branch.new[:10]}" if result.branch.old else result.branch.new[:10]
        out(f"{git}: {'would move' if result.dry_run else 'moved'} {result.branch.name} to {moved}")


def _storing(done: "Storing", dry_run: bool) -> list[str]:
    """What was done with the objects, in words."""
    said = []
    if done.uploaded:
        said.append(f"{done.uploaded} {'to upload' if dry_run else 'uploaded'} ({size(done.uploaded_bytes)})")
    if done.replaced:
        said.append(f"{done.replaced} of them in place of wrong ones")
    if done.read:
        what = "to read back besides" if dry_run else f"read back and right ({size(done.read_bytes)})"
        said.append(f"{done.read} {what}")
    if done.trusted:
        said.append(f"{done.trusted} read back before and untouched since")
    return said or ["none to store"]
