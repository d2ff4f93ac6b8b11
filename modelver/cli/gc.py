"""``modelver gc``."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelver.cli.context import DryRunOption, Format, FormatOption, PlainHttpOption, out, out_json, say, size, table
from modelver.errors import InvalidInput, Refused

if TYPE_CHECKING:
    from modelver.operations.gc import GcResult, Item


def gc(
    remote: Annotated[bool, typer.Option("--remote", help="On the DVC remote, in place of the cache.")] = False,
    dvc_remote: Annotated[
        str | None, typer.Option("--dvc-remote", metavar="NAME", help="On this DVC remote; implies --remote.")
    ] = None,
    grace: Annotated[str, typer.Option("--grace", metavar="AGE", help="What is younger stays: 12h, 14d, 8w.")] = "14d",
    keep_untagged: Annotated[
        int | None,
        typer.Option("--keep-untagged", metavar="N", min=0, help="Of untagged states, keep a branch's newest N only."),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="AGE", help="Of untagged states, let go what is older than this."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: DryRunOption = False,
    fetch: Annotated[
        bool,
        typer.Option("--fetch/--no-fetch", help="Ask the Git remotes what they need. Off: at your own risk."),
    ] = True,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Go on where a pointer or a folder's listing can't be read.")
    ] = False,
    shared_cache: Annotated[
        bool, typer.Option("--shared-cache", help="The cache outside of the repository is nobody else's.")
    ] = False,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=1, max=64, help="Objects at the same time, with --remote.")
    ] = 8,
    plain_http: PlainHttpOption = False,
    form: FormatOption = Format.table,
) -> None:
    """Remove objects that no tag, branch, stash, working tree or recent reflog entry needs, and free their space.

    Examples:

      modelver gc --dry-run

      modelver gc --keep-untagged 5 --older-than 90d

      modelver gc --remote --yes
    """
    from modelver.core.retention import Policy, parse_age
    from modelver.operations.gc import GcRequest
    from modelver.operations.gc import gc as gc_cache
    from modelver.operations.gc_remote import gc_remote
    from modelver.operations.project import Project

    on_remote = remote or dvc_remote is not None
    if on_remote and not fetch:
        raise InvalidInput("--no-fetch is for the cache alone: on a remote, others' versions are at stake")
    policy = Policy(parse_age(grace), keep_untagged, None if older_than is None else parse_age(older_than))
    request = GcRequest(policy, fetch, skip_unreadable, shared_cache, plain_http)

    def confirm(plan: "GcResult") -> bool:
        if form is not Format.json or not yes:
            _show(plan, Format.table if form is Format.json else form, say if form is Format.json else out)
        if yes:
            return True
        if not sys.stdin.isatty():
            raise Refused("nothing was removed: there is no terminal to ask on", hint="add --yes, or --dry-run")
        return typer.confirm("Go on?", default=False, err=True)

    project = Project.open(Path.cwd())
    if on_remote:
        result = gc_remote(project, request, dvc_remote, confirm=confirm, jobs=jobs, dry_run=dry_run, say=say)
    else:
        result = gc_cache(project, request, confirm=confirm, dry_run=dry_run, say=say)
    if form is Format.json:
        out_json(result.to_dict())
    elif result.idle:
        _warn(result)
        out(f"nothing to remove: {_kept(result)}")
    elif dry_run:
        _show(result, form, out)
    else:
        out("nothing was removed" if result.dry_run else _done(result))


def _show(plan: "GcResult", form: Format, tell: Callable[[str], None]) -> None:
    from modelver.core.printable import printable

    _warn(plan)
    if plan.items or plan.purged:
        rows = [(printable(name) or "(no commit tells)", count, size(total)) for name, count, total in plan.groups()]
        tell(table(rows, ("once", "objects", "size"), form))
    said = [f"set aside {_count(plan.items)}"] if plan.remote else [f"remove {_count(plan.items)}"]
    if plan.purged:
        said = [*said[not plan.items :], f"remove for good {_count(plan.purged)}"]
    tell(f"would {' and '.join(said)} from {printable(plan.place)}; {_kept(plan)}")
    if plan.halves:
        tell(f"would remove what killed uploads have left: {plan.halves} files, {size(plan.halves_bytes)}")
    if plan.put_back:
        tell(f"would put back {_count(plan.put_back)} that an earlier gc set aside and something needs")


def _warn(plan: "GcResult") -> None:
    from modelver.core.printable import printable

    for warning in plan.warnings:
        say(f"warning: {printable(warning)}")


def _done(result: "GcResult") -> str:
    if not result.remote:
        return f"removed {_count(result.items)}"
    said = [f"set aside {_count(result.items)}"] if result.items else []
    if result.purged:
        said.append(f"removed for good {_count(result.purged)}")
    if result.put_back:
        said.append(f"put back {_count(result.put_back)}")
    if result.halves:
        said.append(f"removed what killed uploads have left: {result.halves} files, {size(result.halves_bytes)}")
    return "; ".join(said) or "nothing was removed"


def _count(items: "Sequence[Item]") -> str:
    return f"{len(items)} object{'' if len(items) == 1 else 's'}, {size(sum(item.bytes for item in items))}"


def _kept(plan: "GcResult") -> str:
    return f"{plan.needed} are needed and {plan.young} are younger than the grace period"
