"""Between here and elsewhere: publishing versions, and getting published ones."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.operations.library.base import Base

if TYPE_CHECKING:
    from modelver.operations.get import GetResult
    from modelver.operations.load import LoadedModel
    from modelver.operations.push import PushResult
    from modelver.operations.tag import TagResult
    from modelver.operations.transfer import Bars


class Publishes(Base):
    """Between here and elsewhere: publishing versions, and getting published ones."""

    def push(
        self,
        refs: Sequence[str] = (),
        *,
        model: str | None = None,
        remote: str | None = None,
        dvc_remote: str | None = None,
        jobs: int = 8,
        full: bool = False,
        plain_http: bool = False,
        weights_only: bool = False,
        dry_run: bool = False,
        say: Callable[[str], None] = lambda _: None,
        bars: "Bars | None" = None,
    ) -> "PushResult":
        """Publish versions: weights to the DVC remote, read back there and hashed; only then commit and tags to Git's.

        Args:
            refs: the versions; none for all that the Git remote does not have yet.
            model: what a ref without a name means.
            remote: the Git remote; None for the one that HEAD's branch is pushed to.
            dvc_remote: name of the DVC remote; None for the default one.
            jobs: objects on the way at the same time.
            full: read everything back again, also what was read back before.
            plain_http: let bytes and credentials go over the line unencrypted.
            weights_only: pass over what is needed only to make the versions again.
            dry_run, say: as `tag`.
            bars: makes a progress bar of a label and a number of bytes.

        Raises:
            NotFound, InvalidInput: a ref names no version, or there is no such remote.
            Refused: the Git remote has another object under a tag's name, or weights are nowhere to be found.
            CheckFailed: weights are damaged and nobody has better ones.
            ExternalFailure: Git or a remote failed; no tag is on the Git remote that was not there.
        """
        from modelver.operations.push import push
        from modelver.operations.transfer import no_bars

        return push(
            self._project(), refs, model=model, remote=remote, dvc_remote=dvc_remote, jobs=jobs, full=full,
            plain_http=plain_http, weights_only=weights_only, dry_run=dry_run, say=say, bars=bars or no_bars,
        )  # fmt: skip

    def push_new(
        self,
        made: "Sequence[TagResult]",
        *,
        dvc_remote: str | None = None,
        jobs: int = 8,
        plain_http: bool = False,
        say: Callable[[str], None] = lambda _: None,
        bars: "Bars | None" = None,
    ) -> "PushResult":
        """Publish versions that were tagged a moment ago; where somebody else was faster, those tags are taken back.

        Args:
            made: what `tag` gave.
            say, bars: as `push`.

        Raises:
            Refused: somebody else has published another version under that name.
            NotFound, InvalidInput, CheckFailed, ExternalFailure: as `push`; the tags stay here.
        """
        from modelver.operations.push import push_new
        from modelver.operations.transfer import no_bars

        return push_new(
            self._project(), made, dvc_remote=dvc_remote, jobs=jobs, plain_http=plain_http, say=say,
            bars=bars or no_bars,
        )  # fmt: skip

    def get(
        self,
        ref: str,
        output: str | Path | None = None,
        *,
        model: str | None = None,
        single_file: bool = False,
        variant: str | None = None,
        dvc_remote: str | None = None,
        plain_http: bool = False,
        allow_yanked: bool = False,
        force: bool = False,
        jobs: int = 8,
        dry_run: bool = False,
        say: Callable[[str], None] = lambda _: None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> "GetResult":
        """Bring one version to a folder, verified; see `modelver.get`, which takes any repository."""
        from modelver.operations.get import get

        return get(
            ref, output, path=self._root, model=model, single_file=single_file, variant=variant, dvc_remote=dvc_remote,
            plain_http=plain_http, allow_yanked=allow_yanked, force=force, jobs=jobs, dry_run=dry_run, say=say,
            progress=progress,
        )  # fmt: skip

    def load(self, ref: str, *, variant: str | None = None, providers: Sequence[Any] | None = None) -> "LoadedModel":
        """A version as a session of onnxruntime; see `modelver.load`, which has more arguments."""
        from modelver.operations.load import load

        return load(ref, path=self._root, variant=variant, providers=providers)
