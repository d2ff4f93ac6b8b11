"""``modelver get``."""

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
    say,
    size,
)

if TYPE_CHECKING:
    from modelver.operations.get import GetResult

RepoOption = Annotated[
    str | None,
    typer.Option("--repo", metavar="URL", help="Somebody's repository, as Git takes it; nothing: the one around."),
]


def get(
    ref: Annotated[
        str, typer.Argument(help="NAME@v1.2, NAME@latest, NAME#ENV, NAME, v1, latest.", autocompletion=complete_ref)
    ],
    repo: RepoOption = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="DIR", help="Where to; nothing: NAME-vX.Y.Z.")
    ] = None,
    single_file: Annotated[
        bool, typer.Option("--single-file", help="Join ONNX or safetensors into one file; -o names it.")
    ] = False,
    variant: Annotated[str | None, typer.Option("--variant", metavar="V", help="A variant of the model.")] = None,
    model: ModelOption = None,
    dvc_remote: DvcRemoteOption = None,
    plain_http: PlainHttpOption = False,
    allow_yanked: Annotated[bool, typer.Option("--allow-yanked", help="Take a version that was withdrawn.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is at the destination, whole.")] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=64, help="Objects brought at once.")] = 8,
    dry_run: DryRunOption = False,
    form: FormatOption = Format.table,
) -> None:
    """Bring one version to a folder, without a clone. Every byte is verified before anything lands.

    What was brought before is in the user's cache and is not downloaded again; what was broken off goes on where it
    stopped.

    Examples:

      modelver get digits#prod -o /srv/model

      modelver get digits@v1 --repo https://git.example.com/team/models.git

      modelver get digits --single-file -o digits.onnx
    """
    from modelver.operations.get import GetRequest, carry_out, plan_get, would

    request = GetRequest(
        ref=ref,
        repo=repo,
        model=model,
        output=output,
        single_file=single_file,
        variant=variant,
        dvc_remote=dvc_remote,
        plain_http=plain_http,
        allow_yanked=allow_yanked,
        force=force,
        jobs=jobs,
    )
    plan = plan_get(request, say)
    if dry_run:
        _answer(would(plan), form)
        return
    with Progress("getting", plan.bytes or None) as progress:
        result = carry_out(plan, progress)
    _answer(result, form)


def _answer(result: "GetResult", form: Format) -> None:
    from modelver.core.printable import printable

    for note in result.notes:
        say(f"warning: {printable(note)}")
    if form is Format.json:
        out_json(result.to_dict())
        return
    count = len(result.files)
    files = f"{count} file{'' if count == 1 else 's'}, {size(result.bytes)}, {size(result.downloaded)} downloaded"
    what = f"{result.tag}, variant {result.variant}" if result.variant else result.tag
    if result.dry_run:
        out(f"would bring {what} to {printable(str(result.path))} ({files})")
    else:
        out(f"{what} is in {printable(str(result.path))} ({files}; checked by {result.checked})")
