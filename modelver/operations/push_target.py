"""Where a push goes: the Git remote, and which of its branches is HEAD's."""

import shlex
from dataclasses import dataclass, field

from modelver.adapters.git import GitRepository
from modelver.adapters.git.publish import current_branch, push_address
from modelver.adapters.git.remotes import GitRemote, push_urls, refuse_plain_http
from modelver.errors import Refused

HEADS = "refs/heads/"


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
        Refused: there is no Git remote, or the line to it is not encrypted.
        ExternalFailure: Git failed, or ``remote`` looks like an option.
    """
    chosen = GitRemote(remote) if remote else git.default_remote()
    if chosen is None:
        raise Refused("there is no Git remote to push to", hint="git remote add origin URL")
    address = push_address(git.root, chosen.name)
    if not plain_http:
        refuse_plain_http(chosen, push_urls(git.root, chosen))
    branch, left = _branch(git, chosen)
    return Target(chosen, address, branch, left)


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


__all__ = ["HEADS", "Target", "push_target"]
