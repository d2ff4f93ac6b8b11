"""Where a push goes: the Git remote, and which of its branches is HEAD's."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from modelver.adapters.git import GitRepository
from modelver.adapters.git.objects import RefChange
from modelver.adapters.git.publish import current_branch, push_address, remote_refs
from modelver.adapters.git.remotes import GitRemote, push_urls, refuse_plain_http, used_push_urls
from modelver.core.addresses import url_without_credentials
from modelver.core.printable import printable
from modelver.errors import ExternalFailure, Refused

HEADS = "refs/heads/"
VERSION_TAGS = ("refs/tags/*@v*", "refs/tags/*#*")
"""Globs of the tags that `push` publishes."""


@dataclass(frozen=True, slots=True)
class Target:
    """The Git remote, and what of it may move.

    Attributes:
        remote: what to push to.
        address: what to ask; may hold a password.
        branch: full name, there, of the branch that HEAD's is published as; None where HEAD is detached.
        left: why that branch is not to be moved; empty where it is.
    """

    remote: GitRemote
    address: str = field(repr=False)
    branch: str | None
    left: str

    @property
    def short_branch(self) -> str:
        """The branch's short name; empty where there is none."""
        return (self.branch or "").removeprefix(HEADS)

    def tracking(self, ref: str) -> list[str]:
        """The refs here that follow a branch of the remote; none for a remote that is a URL."""
        return [] if "://" in self.remote.name else [f"refs/remotes/{self.remote.name}/{ref.removeprefix(HEADS)}"]


def push_target(git: GitRepository, remote: str | None, *, plain_http: bool = False) -> Target:
    """The Git remote to push to.

    Args:
        git: the repository.
        remote: its name, URL or path; None for the one that HEAD's branch is pushed to.
        plain_http: let it go over the line unencrypted, beyond this machine.

    Raises:
        Refused: there is no Git remote, none of several is the one to push to, or the line to it is not encrypted.
        ExternalFailure: Git failed, or ``remote`` looks like an option.
    """
    chosen = GitRemote(remote) if remote else git.default_remote()
    if chosen is None:
        raise _no_remote(git.text("remote").splitlines())
    address = push_address(git.root, chosen.name)
    if not plain_http:
        refuse_plain_http(chosen, push_urls(git.root, chosen))
    branch, left = _branch(git, chosen)
    return Target(chosen, address, branch, left)


def _no_remote(names: Sequence[str]) -> Refused:
    if not names:
        return Refused("there is no Git remote to push to", hint="git remote add origin URL")
    first = shlex.quote(names[0])
    return Refused(
        f"there are {len(names)} Git remotes ({', '.join(map(printable, names))}), and nothing says which to push to",
        hint=f"modelver push --remote {first}   (or, for good: git config remote.pushDefault {first})",
    )


def _branch(git: GitRepository, remote: GitRemote) -> tuple[str | None, str]:
    """The remote's branch that a `git push` of HEAD's moves, and why it is to be left as it is.

    As Git's ``push.default`` has it: https://git-scm.com/docs/git-config#Documentation/git-config.txt-pushdefault
    """
    head = current_branch(git.root)
    if head is None:
        return None, ""
    short, way = head.removeprefix(HEADS), git.config("push.default") or "simple"
    if way == "nothing":
        return head, "push.default is nothing"
    upstream = git.config(f"branch.{short}.merge")
    if not upstream or git.config(f"branch.{short}.remote") != remote.name or way in ("current", "matching"):
        return head, ""
    if way in ("upstream", "tracking"):
        return upstream, "" if upstream.startswith(HEADS) else f"{upstream} is no branch"
    if upstream == head:
        return head, ""
    there = upstream.removeprefix(HEADS)
    push = f"git push {shlex.quote(remote.shown)} {shlex.quote(f'{short}:{there}')}"
    return (
        upstream,
        f"{short} here follows a branch of another name (to move it: {push}, or git config push.default upstream)",
    )


class PartlyPushed(ExternalFailure):
    """What was pushed is at one of a remote's places, and not at all of them."""


def refuse_partly_pushed(git: GitRepository, target: Target, changes: Sequence[RefChange]) -> None:
    """Raise PartlyPushed if a remote has several URLs to push to, and not all of them have what was pushed.

    Git pushes to one after the other. What one of them refused is not taken back from those before it.
    """
    urls = list(dict.fromkeys(used_push_urls(git.root, target.remote)))
    if len(urls) < 2 or not changes:
        return
    tags = [change for change in changes if change.ref.startswith("refs/tags/")]
    lacking = []
    for url in urls:
        there = remote_refs(git.root, url, VERSION_TAGS, literally=True)
        if any(there.get(change.ref) != change.new for change in tags):
            lacking.append(printable(url_without_credentials(url)))
    if lacking:
        names = [change.ref.removeprefix("refs/tags/") for change in tags]
        command = ["git", "push", target.remote.shown]
        branches = [f"{change.new}:{change.ref}" for change in changes if change.ref.startswith(HEADS)]
        raise PartlyPushed(
            f"{target.remote} is pushed to {len(urls)} places, and not all took {', '.join(names[:3])}"
            f"{f' and {len(names) - 3} more' if names[3:] else ''}: {', '.join(lacking)} did not",
            hint=shlex.join([*command, *branches, *names]) + "   (once that place takes them)",
        )


__all__ = ["HEADS", "VERSION_TAGS", "PartlyPushed", "Target", "push_target", "refuse_partly_pushed"]
