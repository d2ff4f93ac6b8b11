"""`modelver yank`: withdraw a version. It stays, and `latest`, `v1` and their like pass it over."""

import shlex

from modelver.core.environments import decision_message
from modelver.core.names import shown
from modelver.core.refs import parse_ref
from modelver.errors import Refused
from modelver.operations.project import Project
from modelver.operations.promote import Decision, Manner, make_tag, published_version, refuse_remote
from modelver.operations.record import refuse_incomplete_history
from modelver.operations.transaction import locked


def yank(project: Project, ref: str, manner: Manner, *, model: str | None = None) -> Decision:
    """Withdraw a version, by the tag ``NAME@vX.Y.Z!``. What runs it goes on running it.

    Args:
        project: the repository.
        ref: the version, by a name that still means it afterwards: neither ``latest`` nor ``v1``.
        manner: how.
        model: what a ref without a name means.

    Raises:
        NotFound, InvalidInput: there is no such version.
        Refused: it is yanked already, here or on the Git remote; ``ref`` is no version, or is one that moves on.
        ExternalFailure: Git failed, or could not sign; nothing has changed.
    """
    with locked(project.git) as lock:
        version = published_version(project, ref, model)
        refuse_incomplete_history(project, version.model)
        if not parse_ref(ref).keeps(version):
            # Given again, by a script or after a kill, it would withdraw the next one.
            raise Refused(
                f"{shown(ref)} means another version once {version.tag} is yanked",
                hint=f"modelver yank {shlex.quote(version.tag)}",
            )
        if version.yanked:
            raise Refused(f"{version.tag} is yanked already", hint=f"modelver log {version.model}")
        published = refuse_remote(project, version, manner.say)
        decision = Decision(
            action="yank",
            model=version.model,
            version=str(version.version),
            environment=None,
            tag=f"{version.tag}!",
            commit=version.record.commit,
            reason=manner.reason,
            running=version.environments,
            remote=project.git.shown_remote(),
            published=published,
            dry_run=manner.dry_run,
        )
        message = decision_message("yank", version, reason=manner.reason)
        make_tag(project, decision.tag, version, message, manner, lock=lock)
        return decision
