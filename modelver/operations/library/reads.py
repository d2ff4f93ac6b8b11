"""Asking what is there: models, versions, how they differ, who did what, what runs."""

import builtins
from typing import TYPE_CHECKING

from modelver.operations.library.base import Base

if TYPE_CHECKING:
    from modelver.core.diff import Diff
    from modelver.core.registry import ModelVersion
    from modelver.operations.listing import Event, Running, VersionDetails
    from modelver.operations.status import ModelStatus


class Reads(Base):
    """Asking what is there: models, versions, how they differ, who did what, what runs."""

    def models(self) -> list[str]:
        """Names of all models, in order."""
        return self._project().models()

    def list(self, model: str | None = None) -> "list[ModelVersion]":
        """Versions of one model, or of all by model; newest version first.

        Raises:
            InvalidInput: no model can be called so.
            NotFound: there is no such model.
        """
        from modelver.operations.listing import list_versions

        return list_versions(self._project(), model)

    def show(self, ref: str | None = None, *, model: str | None = None) -> "VersionDetails":
        """Sidecar, manifests and tag of one version; of the working tree without a ref.

        Raises:
            InvalidInput: the ref is malformed, or does not say which model it means.
            NotFound: nothing is called so.
        """
        from modelver.operations.listing import show

        return show(self._project(), ref, model)

    def diff(self, a: str, b: str | None = None, *, model: str | None = None) -> "Diff":
        """Compare two refs, or a ref and the working tree. No weights are read.

        Raises:
            InvalidInput, NotFound: as `show`.
        """
        from modelver.operations.diffing import diff

        return diff(self._project(), a, b, model)

    def log(self, model: str | None = None) -> "builtins.list[Event]":
        """Who did what when, newest first; raises as `list`."""
        from modelver.operations.listing import log

        return log(self._project(), model)

    def status(self, model: str | None = None) -> "builtins.list[ModelStatus]":
        """What changed since each model's last version, and what stands between it and a tag; raises as `list`."""
        from modelver.operations.status import status

        return status(self._project(), model)

    def running(
        self, model: str | None = None, *, environment: str | None = None, on: str | None = None
    ) -> "builtins.list[Running]":
        """What environments run, or ran on a date.

        Args:
            model: only this one.
            environment: only this one.
            on: a date (the end of that day) or a time, ISO 8601, UTC unless it names a zone; None for now.

        Raises:
            InvalidInput: no date.
            NotFound: there is no such model or environment.
        """
        from modelver.operations.listing import running

        return running(self._project(), model, environment, on)
