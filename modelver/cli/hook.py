"""``modelver hook``: what the Git hooks call, and how to put them in or take them out."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from modelver.cli.context import Progress, out, report, say

if TYPE_CHECKING:
    from modelver.adapters.git import GitRepository
    from modelver.operations.hooks import Action

app = typer.Typer(
    help="The Git hooks that restore weights, and stop tags whose weights are not stored.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _git() -> "GitRepository":
    from pathlib import Path

    from modelver.adapters.git import GitRepository

    return GitRepository.find(Path.cwd())


@app.command("install")
def install() -> None:
    """Install the hooks beside those that are there; `modelver init` does it too."""
    from modelver.operations import hooks

    _tell(hooks.install(_git()))


@app.command("uninstall")
def uninstall() -> None:
    """Take the hooks out; what was there before has its old bytes again."""
    from modelver.operations import hooks

    _tell(hooks.uninstall(_git()))


@app.command("status")
def status() -> None:
    """Say which hooks are installed."""
    from modelver.operations import hooks

    _tell(hooks.status(_git()))


def _run(name: str, args: list[str]) -> None:
    from modelver.operations import hooks

    git = _git()
    with Progress("reading back" if name == "pre-push" else "restoring") as progress:
        result = hooks.run_hook(git, name, args, stdin=sys.stdin.buffer.read, progress=progress)
    report(result.messages())
    raise typer.Exit(result.hook_status)


_Arguments = Annotated[list[str] | None, typer.Argument()]


@app.command("post-checkout", hidden=True)
def post_checkout(args: _Arguments = None) -> None:
    """What the hook after a checkout calls."""
    _run("post-checkout", args or [])


@app.command("post-merge", hidden=True)
def post_merge(args: _Arguments = None) -> None:
    """What the hook after a merge calls."""
    _run("post-merge", args or [])


@app.command("post-rewrite", hidden=True)
def post_rewrite(args: _Arguments = None) -> None:
    """What the hook after a rebase calls."""
    _run("post-rewrite", args or [])


@app.command("post-commit", hidden=True)
def post_commit(args: _Arguments = None) -> None:
    """What the hook after a commit calls, where it ended a merge, a pick or a revert."""
    _run("post-commit", args or [])


@app.command("post-index-change", hidden=True)
def post_index_change(args: _Arguments = None) -> None:
    """What the hook after a change of the index calls, where a rebase was aborted or has an autostash."""
    _run("post-index-change", args or [])


@app.command("pre-push", hidden=True)
def pre_push(args: _Arguments = None) -> None:
    """What the hook before a push calls."""
    _run("pre-push", args or [])


def _tell(actions: "list[Action]") -> None:
    for action in actions:
        out(f"{action.hook}: {action.state}")
        if action.note:
            say(action.note)
