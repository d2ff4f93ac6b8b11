"""Making versions: declare a model, record it, tag it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from modelver.operations.library.base import Base
from modelver.operations.project import Project

if TYPE_CHECKING:
    from modelver.core.plan import Request
    from modelver.operations.add import AddRequest, AddResult
    from modelver.operations.record import RecordPlan
    from modelver.operations.tag import TagResult


class Makes(Base):
    """Making versions: declare a model, record it, tag it."""

    def add(
        self, request: "AddRequest", *, dry_run: bool = False, progress: Callable[[int], None] = lambda _: None
    ) -> "AddResult":
        """Declare a model, or bring its next content; ``progress`` is told of bytes done.

        Raises:
            InvalidInput, NotFound, Refused: the request can't be met; ``hint`` says what mends it.
            ExternalFailure: DVC or the disk failed.
        """
        from modelver.operations.add import add

        return add(self._project(), request, dry_run=dry_run, progress=progress)

    def record(
        self,
        model: str | None = None,
        *,
        version: str | None = None,
        bump: str = "auto",
        reason: str = "",
        force_new: bool = False,
        force: bool = False,
        dry_run: bool = False,
    ) -> "RecordPlan":
        """Write the sidecar of what is checked out, with ``force`` over one that was edited by hand; else as `tag`."""
        project = self._project()
        request = _request(project, version, bump, reason, force_new)
        from modelver.operations.record import record

        return record(project, project.pick_model(model), request, force=force, dry_run=dry_run)

    def tag(
        self,
        model: str | None = None,
        *,
        message: str = "",
        version: str | None = None,
        bump: str = "auto",
        reason: str = "",
        sign: bool = False,
        repro: bool = False,
        force_new: bool = False,
        to_push: bool = False,
        dry_run: bool = False,
        say: Callable[[str], None] = lambda _: None,
        told: Callable[["TagResult"], None] = lambda _: None,
    ) -> "TagResult":
        """Make a version of what is checked out: recorded, committed and tagged, or nothing of it.

        Args:
            model: its name; may be left out where there is one.
            message: what this version is about.
            version: the version to make; None leaves it to ``bump``.
            bump: ``auto``, ``patch``, ``minor`` or ``major``.
            reason: why a smaller bump than the change calls for is right.
            sign: sign the tag.
            repro: run stale stages in place of refusing.
            force_new: a new version although the weights did not change.
            to_push: it is pushed next (`push_new`): a version that HEAD carries and the Git remote lacks is the one.
            dry_run: only plan.
            say: told of what goes on.
            told: called with what was made. Killed before that has returned, the same call once more ends this one, and
                makes no other version.

        Raises:
            Refused: a precondition does not hold; ``hint`` is the command that mends it.
            CheckFailed: weights in DVC's cache are damaged.
            ExternalFailure: Git or DVC failed; nothing has changed.
        """
        project = self._project()
        request = _request(project, version, bump, reason, force_new)
        from modelver.operations.tag import tag

        return tag(
            project,
            project.pick_model(model),
            request,
            message=message,
            sign=sign,
            repro=repro,
            to_push=to_push,
            dry_run=dry_run,
            say=say,
            told=told,
        )

    def tag_recorded(
        self,
        model: str | None = None,
        *,
        fetch: bool = False,
        sign: bool = False,
        to_push: bool = False,
        dry_run: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> "list[TagResult]":
        """Tag every model whose committed sidecar proposes a version that has no tag yet; no commit is made.

        Args:
            model: only this one.
            fetch: bring the weights into DVC's cache first.
            sign, to_push, dry_run, say: as `tag`.

        Raises:
            Refused, CheckFailed, ExternalFailure: as `tag`; or a sidecar is not what recording gives.
        """
        from modelver.operations.ci import tag_recorded

        return tag_recorded(self._project(), model, fetch=fetch, sign=sign, to_push=to_push, dry_run=dry_run, say=say)


def _request(project: Project, version: str | None, bump: str, reason: str, force_new: bool) -> "Request":
    from modelver.core.plan import Request
    from modelver.core.versions import parse_bump, parse_requested
    from modelver.operations.facts import version_scheme

    wanted = parse_requested(version, version_scheme(project.worktree)) if version is not None else None
    return Request(version=wanted, bump=parse_bump(bump), reason=reason, force_new=force_new)
