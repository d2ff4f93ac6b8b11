"""The default branch of a Git remote: what its owners agreed upon last, as far as this clone knows."""

from dataclasses import dataclass

from modelver.adapters.git.patience import patience
from modelver.adapters.git.process import git_status, run_git
from modelver.adapters.git.remotes import GitRemote, fetch_urls, refuse_plain_http
from modelver.adapters.git.repository import GitRepository
from modelver.errors import ExternalFailure, Refused

_HEADS = "refs/heads/"


@dataclass(frozen=True, slots=True)
class DefaultBranch:
    """A remote's default branch.

    Attributes:
        remote: the remote.
        name: short, as it is called there.
        commit: the newest that is known here; None where none was fetched.
    """

    remote: GitRemote
    name: str
    commit: str | None

    @property
    def shown(self) -> str:
        """What people call it: ``origin/main``."""
        return f"{self.remote}/{self.name}"


def default_branch(git: GitRepository, remote: GitRemote, *, ask: bool) -> DefaultBranch | None:
    """The default branch of a remote; None where nobody says which that is, or the remote is empty.

    ``git clone`` notes it as ``refs/remotes/REMOTE/HEAD``. Where that is missing, the remote is asked; where it does
    not answer, it is the only branch of the remote that was ever fetched, or of several the one that is called main or
    master: what new repositories of Git, GitHub and GitLab call theirs.

    Args:
        git: the repository.
        remote: the remote.
        ask: whether to ask it.
    """
    tracking = f"refs/remotes/{remote.name}/"
    status, output, _ = git_status(git.root, ["symbolic-ref", "--quiet", f"{tracking}HEAD"])
    noted = output.decode("utf-8", "surrogateescape").strip()
    if status == 0 and noted.startswith(tracking) and (commit := git.rev_parse(noted)) is not None:
        return DefaultBranch(remote, noted.removeprefix(tracking), commit)
    if ask and (found := _asked(git, remote)) is not None:
        name, commit = found
        return DefaultBranch(remote, name, git.rev_parse(commit) or git.rev_parse(f"{tracking}{name}"))
    status, output, _ = git_status(git.root, ["for-each-ref", "--format=%(refname)", "--", tracking])
    names = output.decode("utf-8", "surrogateescape").splitlines() if status == 0 else []
    names = [name.removeprefix(tracking) for name in names if name != f"{tracking}HEAD"]
    likely = names if len(names) == 1 else [name for name in ("main", "master") if name in names]
    return DefaultBranch(remote, likely[0], git.rev_parse(f"{tracking}{likely[0]}")) if likely else None


def _asked(git: GitRepository, remote: GitRemote) -> tuple[str, str] | None:
    """What the remote itself says: the branch's short name and its commit; None where it does not answer."""
    if remote.name.startswith("-"):
        return None
    try:
        refuse_plain_http(remote, fetch_urls(git.root, remote))
        output = run_git(
            git.root, ["ls-remote", "--symref", "--", remote.name, "HEAD"], env=patience(git.root), timeout=30
        )
    except (ExternalFailure, Refused):
        return None
    branch = commit = None
    for line in output.decode("utf-8", "surrogateescape").splitlines():
        value, _, ref = line.partition("\t")
        if ref == "HEAD" and value.startswith(f"ref: {_HEADS}"):
            branch = value.removeprefix(f"ref: {_HEADS}")
        elif ref == "HEAD":
            commit = value
    return None if branch is None or commit is None else (branch, commit)


__all__ = ["DefaultBranch", "default_branch"]
