"""What `params.yaml` says of an environment, in each of the places that bind whoever decides.

An old checkout, or an edit, must not let through what others agreed to stop. So a decision must be let through by the
working tree, by HEAD's commit, and by the default branch of the Git remote as it was last fetched: by each of them.
"""

from collections.abc import Callable
from dataclasses import dataclass

from modelver.adapters.git.default_branch import default_branch
from modelver.core.environments import Environment, parse_environments, pick_environment, strictest
from modelver.core.gates import Check
from modelver.core.layout import PARAMS
from modelver.core.names import check_environment_name, shown
from modelver.errors import InvalidInput, NotFound, Refused
from modelver.operations.facts import model_settings, modelver_params
from modelver.operations.project import Project
from modelver.operations.snapshot import CommitSnapshot, Snapshot


@dataclass(frozen=True)
class Policy:
    """What one `params.yaml` says of all environments.

    Attributes:
        where: whose it is: ``HEAD``, or the remote's branch, ``origin/main``; empty for the working tree.
        files: the files that it stands among.
        declared: the environments; none where every name will do.
    """

    where: str
    files: Snapshot
    declared: dict[str, Environment]


@dataclass(frozen=True)
class Place:
    """An environment as all policies have it together.

    Attributes:
        environment: the strictest of what they say, but for signers.
        signers: of each policy that names any: whose signature a decision must bear.
        policies: all of them.
    """

    environment: Environment
    signers: tuple[tuple[str, ...], ...]
    policies: tuple[Policy, ...]

    @property
    def name(self) -> str:
        """The environment's name."""
        return self.environment.name


def policies(project: Project, *, say: Callable[[str], None] | None = None) -> tuple[Policy, ...]:
    """The policies that bind here, that of the working tree first; those that say the same only once.

    Args:
        project: the repository.
        say: told where what the Git remote says can't be known; None asks no remote, and tells nothing.

    Raises:
        InvalidInput: one of them is malformed; the message says where.
        Refused: the remote's default branch was never fetched.
    """
    git = project.git
    places: list[tuple[str, Snapshot]] = [("", project.worktree)]
    head = git.head().commit
    if head is not None:
        places.append(("HEAD", CommitSnapshot(git, head)))
    remote = git.default_remote()
    branch = None if remote is None else default_branch(git, remote, ask=say is not None)
    if branch is not None and branch.commit is not None:
        places.append((branch.shown, CommitSnapshot(git, branch.commit)))
    elif branch is not None and say is not None:
        ref = f"refs/heads/{branch.name}:refs/remotes/{branch.remote}/{branch.name}"
        raise Refused(
            f"{branch.shown} was never fetched, and what it says of environments binds here too",
            hint=f"git fetch {branch.remote} {ref}",
        )
    elif remote is not None and say is not None and _was_fetched(project, remote.name):
        say(
            f"warning: which branch of {remote} is its default one is not known here, nor what that says of "
            f"environments: git remote set-head {remote} --auto"
        )
    found: list[Policy] = []
    texts: list[bytes | None] = []
    for where, files in places:
        text = files.read(PARAMS)
        if text not in texts:
            texts.append(text)
            found.append(Policy(where, files, declared_environments(files, where)))
    return tuple(found)


def declared_environments(snapshot: Snapshot, where: str = "") -> dict[str, Environment]:
    """The environments that ``params.yaml`` declares.

    Args:
        snapshot: the files.
        where: whose they are, for messages; empty for the working tree.

    Raises:
        InvalidInput: they are malformed.
    """
    try:
        return parse_environments(modelver_params(snapshot).get("environments"), f"{PARAMS}, modelver.environments")
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error.message}" if where else error.message, hint=error.hint) from None


def place(known: tuple[Policy, ...], name: str) -> Place:
    """An environment by name.

    Raises:
        InvalidInput: no environment can be called so.
        NotFound: a policy declares others, and not this one.
    """
    check_environment_name(name)
    environments = [_pick(policy, name) for policy in known]
    return Place(
        strictest(environments), tuple(dict.fromkeys(one.signers for one in environments if one.signers)), known
    )


def refuse_changed_policy(project: Project, model: str, where: Place) -> None:
    """Raise Refused for a protected environment where ``params.yaml`` says other things than HEAD's commit does."""
    if not where.environment.protected:
        return
    head = project.git.head().commit
    committed = CommitSnapshot(project.git, head) if head else None
    if committed is None or _sections(committed, model) != _sections(project.worktree, model):
        raise Refused(
            f"{where.name} is protected, and what {PARAMS} says of environments is not committed",
            hint=f"git add {PARAMS} && git commit -m 'Environments' -- {PARAMS}",
        )


def all_checks(where: Place, judge: Callable[[Policy], tuple[Check, ...]]) -> tuple[Check, ...]:
    """What the gates of each policy say; the same only once."""
    return tuple(dict.fromkeys(check for policy in where.policies for check in judge(policy)))


def _pick(policy: Policy, name: str) -> Environment:
    try:
        return pick_environment(policy.declared, name)
    except NotFound as error:
        if not policy.where:
            raise
        there = ", ".join(policy.declared)
        mend = f"git commit -m 'Environments' -- {PARAMS}" if policy.where == "HEAD" else "git push"
        raise NotFound(
            f"{policy.where} declares no environment {shown(name)}",
            hint=f"there are {there}   (a new one counts once {PARAMS} is there too: {mend})",
        ) from error


def _was_fetched(project: Project, remote: str) -> bool:
    return bool(project.git.text("for-each-ref", "--count=1", "--format=%(refname)", "--", f"refs/remotes/{remote}/"))


def _sections(snapshot: Snapshot, model: str) -> tuple[object, object]:
    return modelver_params(snapshot).get("environments"), model_settings(snapshot, model).get("environments")


__all__ = ["Place", "Policy", "all_checks", "declared_environments", "place", "policies", "refuse_changed_policy"]
