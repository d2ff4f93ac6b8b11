"""Keeping the promise: check, verify, doctor, sign, gc, backup."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from modelver.operations.library.base import Base

if TYPE_CHECKING:
    from modelver.operations.backup import BackupResult
    from modelver.operations.check import CheckReport
    from modelver.operations.doctor import Diagnosis
    from modelver.operations.gc import GcRequest, GcResult
    from modelver.operations.transfer import Bars
    from modelver.operations.verify import VerifyReport, VerifyRequest
    from modelver.operations.weights_signature import SignResult


class Keeps(Base):
    """Keeping the promise: check, verify, doctor, sign, gc, backup."""

    def check(self, base: str | None = None) -> "CheckReport":
        """Judge every model that changed between a Git revision and HEAD, as CI does on a pull request.

        Args:
            base: a Git revision; None for the branch that CI names, or the remote's default branch.

        Raises:
            NotFound, Refused: there is nothing to compare with.
            ExternalFailure: Git or DVC failed.
        """
        from modelver.operations.check import check

        return check(self._project(), base)

    def verify(
        self,
        request: "VerifyRequest | None" = None,
        *,
        bars: "Bars | None" = None,
    ) -> "VerifyReport":
        """Judge whether versions are what was published, and could be restored; all of them without a request.

        Raises:
            NotFound, InvalidInput: there is no such version.
            ExternalFailure: a remote can't be reached, or Git failed.
        """
        from modelver.operations.transfer import no_bars
        from modelver.operations.verify import VerifyRequest, verify

        return verify(self._project(), request or VerifyRequest(), bars=bars or no_bars)

    def doctor(
        self,
        *,
        fix: bool = False,
        offline: bool = False,
        plain_http: bool = False,
        progress: Callable[[int], object] = lambda _: None,
    ) -> "Diagnosis":
        """Find what is wrong with the repository and its remotes; with ``fix`` mend what can be mended safely.

        Raises:
            ExternalFailure: with ``fix``, another modelver works in the repository.
        """
        from modelver.operations.doctor import doctor

        return doctor(self._project(), fix=fix, offline=offline, plain_http=plain_http, progress=progress)

    def sign(
        self,
        ref: str,
        private_key: Path,
        *,
        output: Path | None = None,
        model: str | None = None,
        password: str | None = None,
        dry_run: bool = False,
    ) -> "SignResult":
        """Sign a version's weights as OpenSSF model signing does, with an elliptic curve key.

        Args:
            ref: the version.
            private_key: PEM.
            output: the signature's file; None for ``NAME-vX.Y.Z.sig`` in the current folder.
            model: what a ref without a name means.
            password: of the key, where it has one.
            dry_run: only look whether it can be done.

        Raises:
            NotFound, InvalidInput, Refused, CheckFailed: it can't be signed; ``hint`` says what mends it.
        """
        from modelver.operations.weights_signature import sign

        return sign(self._project(), ref, private_key, output=output, model=model, password=password, dry_run=dry_run)

    def gc(
        self,
        request: "GcRequest | None" = None,
        *,
        on_remote: bool = False,
        dvc_remote: str | None = None,
        jobs: int = 8,
        dry_run: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> "GcResult":
        """Remove objects that nothing needs from DVC's cache, or set them aside on a DVC remote. It does not ask.

        Args:
            request: what may go; None for what is older than two weeks and named by no ref, stash, working tree or
                young reflog entry.
            on_remote: on the DVC remote, in place of the cache.
            dvc_remote: name of the DVC remote; None for the default one.
            jobs: objects of the DVC remote at the same time.
            dry_run, say: as `tag`.

        Raises:
            Refused: it can't be known what is needed, or the cache may be shared with other repositories.
            ExternalFailure: a remote can't be asked, or another gc runs.
        """
        from modelver.operations.gc import GcRequest, gc
        from modelver.operations.gc_remote import gc_remote

        wanted = request or GcRequest()
        if on_remote:
            return gc_remote(
                self._project(), wanted, dvc_remote, confirm=lambda _: True, jobs=jobs, dry_run=dry_run, say=say
            )
        return gc(self._project(), wanted, confirm=lambda _: True, dry_run=dry_run, say=say)

    def backup(
        self,
        folder: Path,
        *,
        dvc_remote: str | None = None,
        full: bool = False,
        jobs: int = 4,
        dry_run: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> "BackupResult":
        """Copy all versions into a folder that needs nothing else, or bring the backup there up to date.

        Args:
            folder: new, empty, or an earlier backup.
            dvc_remote: where to look for what the cache lacks; None for the default one.
            full: read every object in the backup again, too.
            jobs: objects copied at the same time.
            dry_run, say: as `tag`.

        Raises:
            Refused, CheckFailed: a version's objects are nowhere to be found, or damaged.
            ExternalFailure: Git, a remote or the disk failed; an earlier backup is still whole.
        """
        from modelver.operations.backup import backup

        return backup(self._project(), folder, dvc_remote=dvc_remote, full=full, jobs=jobs, dry_run=dry_run, say=say)

    def accept_tag(self, tag: str) -> str | None:
        """Remember that what a tag names now (returned), or that it is gone (None), is right.

        Raises:
            NotFound: no such tag is there, and none is remembered.
        """
        from modelver.operations.verify import accept

        return accept(self._project(), tag)
