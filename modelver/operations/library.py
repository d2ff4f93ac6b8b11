"""The library: what `modelver.open` gives. The command line calls the same verbs."""

import builtins
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelver.operations.project import Project

if TYPE_CHECKING:
    from modelver.core.diff import Diff
    from modelver.core.plan import Request
    from modelver.core.registry import ModelVersion
    from modelver.operations.add import AddRequest, AddResult
    from modelver.operations.backup import BackupResult
    from modelver.operations.check import CheckReport
    from modelver.operations.doctor import Diagnosis
    from modelver.operations.gc import GcRequest, GcResult
    from modelver.operations.get import GetResult
    from modelver.operations.listing import Event, Running, VersionDetails
    from modelver.operations.load import LoadedModel
    from modelver.operations.promote import Decision
    from modelver.operations.push import PushResult
    from modelver.operations.record import RecordPlan
    from modelver.operations.rollback_commit import RollbackCommit
    from modelver.operations.status import ModelStatus
    from modelver.operations.tag import TagResult
    from modelver.operations.transfer import Bars
    from modelver.operations.verify import VerifyReport, VerifyRequest
    from modelver.operations.weights_signature import SignResult

# Each verb is imported when it is called: `modelver list` must not pay for what `tag` needs.


def open(path: str | Path = ".") -> "Repository":
    """Open the modelver repository around ``path``.

    Raises:
        Refused: there is no Git repository with a working tree.
    """
    return Repository(Project.open(path))


class Repository:
    """A Git + DVC repository with models.

    Every method reads the repository anew, so it may be kept open while others work in it. All errors are
    `modelver.errors.ModelverError` with ``message``, ``hint`` and ``exit_code``.
    """

    def __init__(self, project: Project) -> None:
        self._root = project.root

    @property
    def root(self) -> Path:
        """Top of the working tree."""
        return self._root

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
        dry_run: bool = False,
    ) -> "RecordPlan":
        """Write the sidecar of what is checked out; arguments and errors as `tag`."""
        project = self._project()
        request = _request(project, version, bump, reason, force_new)
        from modelver.operations.record import record

        return record(project, project.pick_model(model), request, dry_run=dry_run)

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
        dry_run: bool = False,
        say: Callable[[str], None] = lambda _: None,
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
            dry_run: only plan.
            say: told of what goes on.

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
            dry_run=dry_run,
            say=say,
        )

    def tag_recorded(
        self,
        model: str | None = None,
        *,
        fetch: bool = False,
        sign: bool = False,
        dry_run: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> "builtins.list[TagResult]":
        """Tag every model whose committed sidecar proposes a version that has no tag yet; no commit is made.

        Args:
            model: only this one.
            fetch: bring the weights into DVC's cache first.
            sign, dry_run, say: as `tag`.

        Raises:
            Refused, CheckFailed, ExternalFailure: as `tag`; or a sidecar is not what recording gives.
        """
        from modelver.operations.ci import tag_recorded

        return tag_recorded(self._project(), model, fetch=fetch, sign=sign, dry_run=dry_run, say=say)

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
        self, made: "Sequence[TagResult]", *, say: Callable[[str], None] = lambda _: None, bars: "Bars | None" = None
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

        return push_new(self._project(), made, say=say, bars=bars or no_bars)

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
        from modelver.operations.promote import promote

        return promote(
            self._project(), ref, environment, model=model, reason=reason, sign=sign, dry_run=dry_run, say=say
        )

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
    ) -> "Decision":
        """Put an earlier version back into an environment, through the same gates.

        Args:
            model: its name.
            ref: the version; None for what ran there before.
            environment: where; may be left out where the model runs in one.
            reason: why; kept in the tag.
            emergency: set gates and order aside; the tag says so.
            sign, dry_run, say: as `tag`.

        Raises:
            NotFound, Refused, CheckFailed, ExternalFailure: as `promote`; or there is no way back.
        """
        from modelver.operations.rollback import rollback

        return rollback(
            self._project(), model, ref, environment=environment, reason=reason, emergency=emergency, sign=sign,
            dry_run=dry_run, say=say,
        )  # fmt: skip

    def unassign(
        self,
        model: str,
        *,
        environment: str | None = None,
        reason: str = "",
        sign: bool = False,
        dry_run: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> "builtins.list[Decision]":
        """Take a model out of an environment, so that nothing of it runs there; arguments and errors as `rollback`."""
        from modelver.operations.rollback import unassign

        return unassign(
            self._project(), model, environment=environment, reason=reason, sign=sign, dry_run=dry_run, say=say
        )

    def rollback_commit(
        self,
        model: str,
        ref: str | None = None,
        *,
        reason: str = "",
        dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> "RollbackCommit":
        """Commit a version's files of one model on top of HEAD, and restore its weights.

        Args:
            model: its name.
            ref: the version; None for the one before the version that HEAD records.
            reason: why; kept in the commit's message.
            dry_run: only plan.
            progress: told of bytes of weights that were placed.

        Raises:
            Refused: uncommitted changes are in the way, or nothing would change.
            ExternalFailure: Git failed; nothing has changed.
        """
        from modelver.operations.rollback_commit import rollback_commit

        return rollback_commit(self._project(), model, ref, reason=reason, dry_run=dry_run, progress=progress)

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
        from modelver.operations.yank import yank

        return yank(self._project(), ref, model=model, reason=reason, sign=sign, dry_run=dry_run, say=say)

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
        dry_run: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> "GcResult":
        """Remove objects that nothing needs from DVC's cache, or set them aside on a DVC remote. It does not ask.

        Args:
            request: what may go; None for what is older than two weeks and named by no ref, stash, working tree or
                young reflog entry.
            on_remote: on the DVC remote, in place of the cache.
            dvc_remote: name of the DVC remote; None for the default one.
            dry_run, say: as `tag`.

        Raises:
            Refused: it can't be known what is needed, or the cache may be shared with other repositories.
            ExternalFailure: a remote can't be asked, or another gc runs.
        """
        from modelver.operations.gc import GcRequest, gc
        from modelver.operations.gc_remote import gc_remote

        wanted = request or GcRequest()
        if on_remote:
            return gc_remote(self._project(), wanted, dvc_remote, confirm=lambda _: True, dry_run=dry_run, say=say)
        return gc(self._project(), wanted, confirm=lambda _: True, dry_run=dry_run, say=say)

    def backup(
        self,
        folder: Path,
        *,
        dvc_remote: str | None = None,
        full: bool = False,
        dry_run: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> "BackupResult":
        """Copy all versions into a folder that needs nothing else, or bring the backup there up to date.

        Args:
            folder: new, empty, or an earlier backup.
            dvc_remote: where to look for what the cache lacks; None for the default one.
            full: read every object in the backup again, too.
            dry_run, say: as `tag`.

        Raises:
            Refused, CheckFailed: a version's objects are nowhere to be found, or damaged.
            ExternalFailure: Git, a remote or the disk failed; an earlier backup is still whole.
        """
        from modelver.operations.backup import backup

        return backup(self._project(), folder, dvc_remote=dvc_remote, full=full, dry_run=dry_run, say=say)

    def accept_tag(self, tag: str) -> str | None:
        """Remember that what a tag names now (returned), or that it is gone (None), is right.

        Raises:
            NotFound: no such tag is there, and none is remembered.
        """
        from modelver.operations.verify import accept

        return accept(self._project(), tag)

    def _project(self) -> Project:
        return Project.open(self._root)


def _request(project: Project, version: str | None, bump: str, reason: str, force_new: bool) -> "Request":
    from modelver.core.plan import Request
    from modelver.core.versions import parse_bump, parse_requested
    from modelver.operations.facts import version_scheme

    wanted = parse_requested(version, version_scheme(project.worktree)) if version is not None else None
    return Request(version=wanted, bump=parse_bump(bump), reason=reason, force_new=force_new)
