"""``modelver record``."""

import shlex
from typing import Annotated

import typer

from modelver.cli.context import (
    DryRunOption,
    Format,
    FormatOption,
    complete_model,
    from_here,
    out,
    out_json,
    repository,
    say,
)
from modelver.cli.tag import BumpOption, ForceNewOption, ReasonOption, VersionOption, brief


def record(
    name: Annotated[
        str | None, typer.Argument(help="The model; may be left out where there is one.", autocompletion=complete_model)
    ] = None,
    version: VersionOption = None,
    bump: BumpOption = "auto",
    reason: ReasonOption = "",
    force_new: ForceNewOption = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a sidecar or manifest that you edited, too.")] = False,
    dry_run: DryRunOption = False,
    form: FormatOption = Format.table,
) -> None:
    """Write the metadata sidecar of what is checked out, for review in a pull request. No commit, no tag.

    It is generated, all but keys that modelver does not know: words belong into the model's README.md. One that was
    edited by hand is replaced if it was committed or staged, or with --force.

    Example:

      modelver record digits && git commit -am "digits: more trees"
    """
    opened = repository()
    plan = opened.record(
        name, version=version, bump=bump, reason=reason, force_new=force_new, force=force, dry_run=dry_run
    )
    if form is Format.json:
        out_json({**plan.to_dict(), "dry_run": dry_run})
        return
    if plan.note:
        say(f"note: {plan.note}")
    verb = "would record" if dry_run else "recorded"
    out(f"{verb} {plan.facts.name} {plan.choice.version} ({plan.choice.level}: {brief(plan.choice.reasons)})")
    for path in sorted(plan.contents):
        out(f"  {path}")
    if plan.to_commit:
        say(f"next: git add {shlex.join(from_here(opened.root, plan.to_commit))} && git commit")
