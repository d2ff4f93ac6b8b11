"""`modelver yank`: withdraw a version. It stays, and `latest`, `v1` and their like pass it over."""

from collections.abc import Callable

from modelver.core.environments import decision_message
from modelver.errors import Refused
from modelver.operations.project import Project
from modelver.operations.promote import Decision, make_tag, published_version, refuse_remote
from modelver.operations.record import refuse_incomplete_history
from modelver.operations.transaction import locked

Say = Callable[[str], None]


def yank(
    project: Project,
    ref: str,
    *,
    model: str | None = None,
    reason: str = "",
    sign: bool = False,
    dry_run: bool = False,
    say: Say = lambda _: None,
) -> Decision:
    """Withdraw a version, by the tag ``NAME@vX.Y.Z!``. What runs it goes on running it.

    Args:
        project: the repository.
        ref: the version.
        model: what a ref without a name means.
        reason: the user's words, kept in the tag.
        sign: sign the tag though Git is not configured to.
        dry_run: only look whether it may be.
        say: told of what goes on, and of the environments that run the version.

    Raises:
        NotFound, InvalidInput: there is no such version.
        Refused: it is yanked already, here or on the Git remote, or ``ref`` is no version.
        ExternalFailure: Git failed, or could not sign; nothing has changed.
    """
    with locked(project.git) as lock:
        version = published_version(project, ref, model)
        refuse_incomplete_history(project, version.model)
        if version.yanked:
            raise Refused(f"{version.tag} is yanked already", hint=f"modelver log {version.model}")
        published = refuse_remote(project, version, say)
        decision = Decision(
            action="yank",
            model=version.model,
            version=str(version.version),
            environment=None,
            tag=f"{version.tag}!",
            commit=version.record.commit,
            reason=reason,
            running=version.environments,
            remote=project.git.default_remote(),
            published=published,
            dry_run=dry_run,
        )
        if not dry_run:
            message = decision_message("yank", version, reason=reason)
            make_tag(project, decision.tag, version, message, sign=sign, lock=lock, say=say)
        return decision
