"""Pushing refs so that all move or none, each only from where it is known to be."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelver.adapters.git.objects import RefChange
from modelver.adapters.git.patience import TALK_TIMEOUT, patience
from modelver.adapters.git.process import git_status, run_git, told
from modelver.adapters.git.remotes import as_it_is
from modelver.core.addresses import without_credentials
from modelver.errors import ExternalFailure

PUSHING = "MODELVER_PUSHING"
"""Set for the `git push` of modelver's own, whose weights its pre-push hook need not look for again."""

MOST_REFS = 1000
"""Refs of one `git push`: each stands twice on its command line, which has 2 MiB."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """How a push ended.

    Attributes:
        done: whether every ref moved; else none did.
        said: what Git, its hooks and the remote said, line by line, without credentials.
        rejected: ref → why, in Git's words, of those that were refused.
    """

    done: bool
    said: tuple[str, ...]
    rejected: dict[str, str]


def push_address(root: Path, remote: str) -> str:
    """What to ask about refs that are to be pushed: the remote's name, or its push URL where that is another one.

    Raises:
        ExternalFailure: it looks like an option.
    """
    if remote.startswith("-"):
        raise ExternalFailure(f"{remote!r} is no remote")
    status, output, _ = git_status(root, ["remote", "get-url", "--push", "--", remote])
    if status != 0:  # a URL or a path
        return remote
    push_url = output.decode("utf-8", "surrogateescape").rstrip("\n")
    fetch_url = run_git(root, ["remote", "get-url", "--", remote]).decode("utf-8", "surrogateescape").rstrip("\n")
    return remote if push_url == fetch_url else push_url


def remote_refs(
    root: Path, address: str, patterns: Sequence[str], *, timeout: float = 60, literally: bool = False
) -> dict[str, str]:
    """Refs of a remote that match Git's globs: full name → object id.

    Args:
        root: of the working tree.
        address: its name, URL or path.
        patterns: globs; none for all refs.
        timeout: seconds.
        literally: ``url.*.insteadOf`` was applied to the URL.

    Raises:
        ExternalFailure: the remote can't be reached within ``timeout`` seconds.
    """
    asked = ["ls-remote", "--refs", "--", address, *patterns]
    output = run_git(root, asked, env=patience(root, as_it_is(address) if literally else {}), timeout=timeout)
    lines = output.decode("utf-8", "replace").splitlines()
    return {ref: object_id for object_id, _, ref in (line.partition("\t") for line in lines)}


def remote_head(root: Path, address: str, *, timeout: float = 60) -> tuple[str | None, str | None]:
    """The branch that a remote shows first, its HEAD: full name and commit; None for what there is not.

    Args:
        root: of the working tree.
        address: its name, URL or path.
        timeout: seconds.

    Raises:
        ExternalFailure: the remote can't be reached within ``timeout`` seconds.
    """
    output = run_git(root, ["ls-remote", "--symref", "--", address, "HEAD"], env=patience(root), timeout=timeout)
    pairs = [line.partition("\t") for line in output.decode("utf-8", "replace").splitlines()]
    branch = next((what[5:] for what, _, ref in pairs if ref == "HEAD" and what.startswith("ref: refs/heads/")), None)
    return branch, next((what for what, _, ref in pairs if ref == "HEAD" and not what.startswith("ref: ")), None)


def current_branch(root: Path) -> str | None:
    """Full name of the branch that is checked out, None where HEAD is detached; raises as `is_true`."""
    output = run_git(root, ["symbolic-ref", "--quiet", "HEAD"], ok=(0, 1))
    return output.decode("utf-8", "surrogateescape").strip() or None


def is_true(root: Path, *args: str) -> bool:
    """Git's answer to a question that it answers by its exit status, 0 for yes and 1 for no.

    Raises:
        ExternalFailure: it gave no answer: a Git that failed, or was killed, has not said no.
    """
    status, _, errors = git_status(root, list(args))
    if status not in (0, 1):
        said = told(errors, args).strip() or f"exit status {status}"
        raise ExternalFailure(f"git {args[0]} failed: {said}")
    return status == 0


def push_refs(root: Path, remote: str, changes: Sequence[RefChange]) -> Pushed:
    """Move or create refs of a remote, all or none, each only if it is what is expected.

    The user's own hooks run; nothing else is pushed along (``push.followTags``).

    Args:
        root: of the working tree.
        remote: its name, URL or path.
        changes: at most `MOST_REFS`; what shall move.

    Raises:
        ExternalFailure: the remote looks like an option.
    """
    if remote.startswith("-"):
        raise ExternalFailure(f"{remote!r} is no remote")
    expected = [f"--force-with-lease={change.ref}:{change.old or ''}" for change in changes]
    wanted = [f"{change.new}:{change.ref}" for change in changes]
    try:
        status, output, errors = git_status(
            root, ["push", "--porcelain", "--atomic", "--no-follow-tags", *expected, "--", remote, *wanted],
            env=patience(root, {PUSHING: "1"}), timeout=TALK_TIMEOUT,
        )  # fmt: skip
    except ExternalFailure as failure:  # what has become of it, the remote's refs tell
        return Pushed(False, (failure.message,), {})
    rejected = {}
    for line in output.decode("utf-8", "replace").splitlines():
        flag, _, rest = line.partition("\t")
        if flag == "!":
            refs, _, why = rest.partition("\t")
            rejected[refs.partition(":")[2]] = without_credentials(why, remote)
    said = told(errors, [remote]).splitlines()
    return Pushed(status == 0, tuple(line.rstrip() for line in said if line.strip()), rejected)
