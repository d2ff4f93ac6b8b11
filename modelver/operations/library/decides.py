"""Deciding what runs where, and what may run no more."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from modelver.operations.library.base import Base

if TYPE_CHECKING:
    from modelver.operations.promote import Decision
    from modelver.operations.rollback_commit import RollbackCommit


class Decides(Base):
    """Deciding what runs where, and what may run no more."""

    def promote(
        self,
        ref: str,
        environment: str,
        *,
        model: str | None = None,
        reason: str = "",
        sign: bool = False,
        dry_run: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> "Decision":
        """Put a version into an environment, through its gates.

        Args:
            ref: the version.
            environment: where it shall run.
            model: what a ref without a name means.
            reason: why; kept in the tag.
            sign, dry_run, say: as `tag`.

        Raises:
            Refused: it may not run there; ``hint`` says what mends it.
            CheckFailed: a gate says no.
            ExternalFailure: Git failed, or could not sign; nothing has changed.
        """
        from modelver.operations.promote import Manner, promote

        return promote(self._project(), ref, environment, Manner(reason, sign, dry_run, say), model=model)

    def rollback(
        self,
        model: str,
        ref: str | None = None,
        *,
        environment: str | None = None,
        reason: str = "",
        emergency: bool = False,
        sign: bool = False,
        dry_run: bool = False,
        say: Callable[[str], None] = lambda _: None,
        told: Callable[["Decision"], None] = lambda _: None,
    ) -> "Decision":
        """Put an earlier version back into an environment, through the same gates.

        Args:
            model: its name.
            ref: the version; None for what ran there before.
            environment: where; may be left out where the model runs in one.
            reason: why; kept in the tag.
            emergency: set gates and order aside; the tag says so.
            sign, dry_run, say: as `tag`.
            told: called with what was decided. Killed before that has returned, the same call once more ends this one,
                and does not go back once more.

        Raises:
            NotFound, Refused, CheckFailed, ExternalFailure: as `promote`; or there is no way back.
        """
        from modelver.operations.promote import Manner
        from modelver.operations.rollback import rollback

        manner = Manner(reason, sign, dry_run, say)
        return rollback(self._project(), model, ref, manner, environment=environment, emergency=emergency, told=told)

    def unassign(
        self,
        model: str,
        *,
        environment: str | None = None,
        reason: str = "",
        sign: bool = False,
        dry_run: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> "list[Decision]":
        """Take a model out of an environment, so that nothing of it runs there; arguments and errors as `rollback`."""
        from modelver.operations.promote import Manner
        from modelver.operations.rollback import unassign

        return unassign(self._project(), model, Manner(reason, sign, dry_run, say), environment=environment)

    def rollback_commit(
        self,
        model: str,
        ref: str | None = None,
        *,
        reason: str = "",
        dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
        told: Callable[["RollbackCommit"], None] = lambda _: None,
        say: Callable[[str], None] = lambda _: None,
    ) -> "RollbackCommit":
        """Commit a version's files of one model on top of HEAD, and restore its weights.

        Args:
            model: its name.
            ref: the version; None for the one before the version that HEAD records.
            reason: why; kept in the commit's message.
            dry_run: only plan.
            progress: told of bytes of weights that were placed.
            told, say: as `rollback`.

        Raises:
            Refused: uncommitted changes are in the way.
            ExternalFailure: Git failed; nothing has changed.
        """
        from modelver.operations.rollback_commit import rollback_commit

        return rollback_commit(
            self._project(), model, ref, reason=reason, dry_run=dry_run, progress=progress, told=told, say=say
        )

    def yank(
        self,
        ref: str,
        *,
        model: str | None = None,
        reason: str = "",
        sign: bool = False,
        dry_run: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> "Decision":
        """Withdraw a version: `latest` and its like pass it over; what runs it goes on. Arguments as `promote`.

        Raises:
            Refused: it is yanked already, or is no version.
            ExternalFailure: Git failed, or could not sign; nothing has changed.
        """
        from modelver.operations.promote import Manner
        from modelver.operations.yank import yank

        return yank(self._project(), ref, Manner(reason, sign, dry_run, say), model=model)
