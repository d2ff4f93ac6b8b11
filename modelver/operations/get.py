"""Get one version: its files, verified before any of them lands, from caches and the DVC remote, without a clone."""

import os
import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelver.adapters.git import GitRepository
from modelver.core.names import version_tag
from modelver.core.refs import parse_ref
from modelver.core.registry import ModelVersion
from modelver.disk import as_written, copy_file, umask
from modelver.errors import ExternalFailure, Refused
from modelver.operations.consumer import Source, consumer_cache, open_source
from modelver.operations.fetching import JOBS, ObjectStore, Tick, holds
from modelver.operations.landing import Landing, refuse_place
from modelver.operations.objects import listings_of
from modelver.operations.pinned import Pinned, Wanted, pin

_MANY = 200
"""Files from which on the whole disk is flushed once, in place of each file by itself."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class GetRequest:
    """What is asked for.

    Attributes:
        ref: of the version.
        repo: URL or path of the repository; None for the one around ``path``.
        path: a folder.
        model: what a ref without a name means.
        output: the folder, or with ``single_file`` the file, to write; None for one named like the version.
        single_file: join the weights into one file.
        variant: this variant in place of the weights.
        dvc_remote: name of the DVC remote; None means the default one.
        plain_http: let http go over the line unencrypted, beyond this machine.
        allow_yanked: take a version that was withdrawn, too; what an environment runs comes without it.
        force: replace what is at the destination.
        jobs: objects brought at once.
    """

    ref: str
    repo: str | None = None
    path: str | Path = "."
    model: str | None = None
    output: str | Path | None = None
    single_file: bool = False
    variant: str | None = None
    dvc_remote: str | None = None
    plain_http: bool = False
    allow_yanked: bool = False
    force: bool = False
    jobs: int = JOBS


@dataclass(frozen=True, slots=True)
class GetResult:
    """What was brought, or would be.

    Attributes:
        model, version, tag, tag_object, commit: which version, and what pins it.
        repo: where it is from; None for the repository around.
        variant: the variant; None for the weights themselves.
        path: the folder or file that was written.
        files: what it is made of; before they are joined, for a single file.
        bytes: of all these files.
        downloaded: bytes that came over the line; in a dry run, that would.
        checked: ``sha256``, or ``md5`` where Git names no SHA-256 of the files.
        vouched: whether the tag itself vouches for sidecar and weights; False for a tag made without modelver.
        notes: what the user should know.
        dry_run: nothing was written.
    """

    model: str
    version: str
    tag: str
    tag_object: str
    commit: str
    repo: str | None
    variant: str | None
    path: Path
    files: tuple[Wanted, ...]
    bytes: int
    downloaded: int
    checked: str
    vouched: bool
    notes: tuple[str, ...]
    dry_run: bool

    def to_dict(self) -> dict[str, Any]:
        """The stable JSON form."""
        own = {name: getattr(self, name) for name in self.__slots__ if name not in ("path", "files", "notes")}
        files = [{"path": f.path, "bytes": f.bytes, "md5": f.md5, "sha256": f.sha256} for f in self.files]
        return {**own, "path": str(self.path), "files": files, "notes": list(self.notes)}


@dataclass(frozen=True)
class GetPlan:
    """A request that was looked up: all is known but the weights' bytes.

    Attributes:
        request: what was asked.
        source: where it is.
        pinned: the version.
        files: to bring.
        target: where they go.
        bytes: of all files; of those whose size nobody says, none.
    """

    request: GetRequest
    source: Source
    pinned: Pinned
    files: tuple[Wanted, ...]
    target: Path
    bytes: int
    store: ObjectStore = field(repr=False)


def plan_get(request: GetRequest, say: Say = lambda _: None) -> GetPlan:
    """Look a version up, and check all that Git says of it.

    Raises:
        NotFound, InvalidInput: the ref, the repository, or what lies in it.
        Refused: it was yanked and is not what the environment runs that was asked for, or may not be written where it
            shall.
        CheckFailed: the tag, the sidecar and the manifests disagree.
        ExternalFailure: Git or a remote failed.
    """
    source, version, git = look_up(request, say)
    pinned = pin(git, version)
    store = store_of(source, version)
    files = pinned.files(listings_of(source.cache, store.remote), request.variant)
    name = version_tag(version.model, version.version).replace("/", "-").replace("@", "-")
    name = f"{name}-{request.variant}" if request.variant else name
    if request.single_file:
        name += _suffix(pinned, files, request.variant)
    target = as_written(request.output or name)
    refuse_place(target, force=request.force, single=request.single_file)
    return GetPlan(request, source, pinned, files, target, sum(f.bytes or 0 for f in unique(files)), store)


def look_up(
    request: GetRequest, say: Say, *, unyanked: str = "modelver get {}@latest   (or --allow-yanked)"
) -> tuple[Source, ModelVersion, GitRepository]:
    """The source, the version that the ref names there, and a Git repository with its files; raises as `plan_get`.

    A yanked version comes where an environment is asked for that runs it, and the source's notes say so.

    Args:
        request: what is asked for.
        say: told what the ref became.
        unyanked: the hint where the version was yanked, with ``{}`` for the model.
    """
    source = open_source(
        request.repo,
        request.path,
        folder=consumer_cache(),
        dvc_remote=request.dvc_remote,
        plain_http=request.plain_http,
    )
    version = source.find(request.ref, request.model)
    if version.tag != request.ref:
        say(f"{request.ref} is {version.tag}")
    if version.yanked and not request.allow_yanked:
        asked = parse_ref(request.ref)
        if asked.kind != "environment" or asked.value not in version.environments:
            raise Refused(
                f"{version.tag} was yanked: whoever published it withdrew it",
                hint=unyanked.format(version.model),
            )
        source.notes.append(f"{version.tag} was yanked, and {asked.value} still runs it")
    return source, version, source.git(version)


def store_of(source: Source, version: ModelVersion) -> ObjectStore:
    """Where a version's objects come from."""
    return ObjectStore(consumer_cache() / "objects", source.cache, lambda: source.remote(version), version.tag)


def carry_out(plan: GetPlan, progress: Tick = lambda _: None) -> GetResult:
    """Bring the files to their place: all of them, verified, or nothing.

    Args:
        plan: from `plan_get`.
        progress: told of bytes of the version that are there.

    Raises:
        CheckFailed: an object is damaged wherever it is.
        ExternalFailure: the remote or the disk failed.
        Refused: something has come to lie at the destination.
    """
    single = plan.request.single_file
    with Landing(plan.target, force=plan.request.force, single=single) as landing:
        content = landing.folder / "content"
        content.mkdir(mode=0o700)
        _fill(content, plan, progress)
        if single:
            content = _join(plan, content, landing.folder)
        landing.land(content)
    return result_of(plan, plan.store.downloaded, dry_run=False)


def result_of(plan: GetPlan, downloaded: int, *, dry_run: bool) -> GetResult:
    """What is told of a plan."""
    version, pinned = plan.pinned.version, plan.pinned
    checked = "sha256" if all(f.sha256 for f in plan.files) else "md5"
    notes = [*plan.source.notes, *(f"{path} is damaged, and was passed over" for path in plan.store.damaged)]
    if not pinned.vouched:
        how = "" if checked == "sha256" else ", and Git names no SHA-256: files are checked by MD5 only"
        notes.append(f"{version.tag} was made without modelver: the tag says nothing of its content{how}")
    return GetResult(
        model=version.model,
        version=str(version.version),
        tag=version.tag,
        tag_object=version.record.object_id,
        commit=version.record.commit,
        repo=plan.source.shown,
        variant=plan.request.variant,
        path=plan.target,
        files=plan.files,
        bytes=plan.bytes,
        downloaded=downloaded,
        checked=checked,
        vouched=pinned.vouched,
        notes=tuple(notes),
        dry_run=dry_run,
    )


def get(
    ref: str,
    output: str | Path | None = None,
    *,
    repo: str | None = None,
    path: str | Path = ".",
    model: str | None = None,
    single_file: bool = False,
    variant: str | None = None,
    dvc_remote: str | None = None,
    plain_http: bool = False,
    allow_yanked: bool = False,
    force: bool = False,
    jobs: int = JOBS,
    dry_run: bool = False,
    say: Say = lambda _: None,
    progress: Tick = lambda _: None,
) -> GetResult:
    """Bring one version to a folder, without a clone; every byte is verified before anything lands.

    Args:
        ref: ``NAME@v1.2``, ``NAME@latest``, ``NAME#ENV``, ``NAME``, ``v1``, ``latest``.
        output: the folder, or with ``single_file`` the file, to write; None for one named like the version, in the
            current folder.
        repo: URL or path of the repository, as Git takes it; None for the one around ``path``.
        path: a folder.
        model: what a ref without a name means.
        single_file: join ONNX or safetensors into one file.
        variant: this variant in place of the weights.
        dvc_remote: name of the DVC remote; None means the default one.
        plain_http: let http go over the line unencrypted, beyond this machine.
        allow_yanked: take a version that was withdrawn, too; what an environment runs comes without it.
        force: replace what is at the destination, whole.
        jobs: objects brought at once.
        dry_run: only say what would be done.
        say: told what the ref became.
        progress: told of bytes of the version that are there.

    Raises:
        NotFound, InvalidInput: the ref, the repository, or what lies in it.
        Refused: the version was yanked, or may not be written where it shall.
        CheckFailed: tag, sidecar, manifest and bytes disagree; nothing has changed at the destination.
        ExternalFailure: Git, the remote or the disk failed; nothing has changed at the destination.
    """
    request = GetRequest(
        ref, repo, path, model, output, single_file, variant, dvc_remote, plain_http, allow_yanked, force, jobs
    )
    plan = plan_get(request, say)
    return would(plan) if dry_run else carry_out(plan, progress)


def would(plan: GetPlan) -> GetResult:
    """What `carry_out` would do."""
    missing = [f for f in unique(plan.files) if not plan.store.has(f)]
    return result_of(plan, sum(f.bytes or 0 for f in missing), dry_run=True)


def unique(files: Sequence[Wanted]) -> list[Wanted]:
    """One file of each content."""
    return list({file.md5: file for file in files}.values())


def _fill(folder: Path, plan: GetPlan, progress: Tick) -> None:
    places: dict[str, list[Path]] = {}
    for file in plan.files:
        place = folder / file.path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ExternalFailure(f"{plan.target}: {error.strerror}") from None
        places.setdefault(file.md5, []).append(place)
    mode = 0o666 & ~umask()

    def bring(wanted: Wanted) -> None:
        ticked = 0

        def tick(size: int) -> None:
            nonlocal ticked
            ticked += size
            progress(size)

        def copy(source: Path) -> bool:
            for place in places[wanted.md5]:
                copy_file(source, place, mode=mode)
                if not holds(place, wanted):  # what was written, not what was read
                    return False
            if len(plan.files) <= _MANY:
                for place in places[wanted.md5]:
                    _flush(place)
            return True

        plan.store.take(wanted, copy, tick)
        progress(max((wanted.bytes or 0) - ticked, 0))

    plan.store.each(unique(plan.files), bring, plan.request.jobs)
    if len(plan.files) > _MANY:
        os.sync()


def _flush(path: Path) -> None:
    """To the disk: what has landed is whole after a crash, too."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _suffix(pinned: Pinned, files: Sequence[Wanted], variant: str | None) -> str:
    """The ending of a single file; raises Refused where the version can't be one."""
    whole = _whole(files) if variant is not None else None
    if whole is not None:
        return posixpath.splitext(whole)[1]
    form = _format(pinned)
    if form in ("onnx", "safetensors"):
        return f".{form}"
    assert pinned.facts.weights is not None
    if not pinned.facts.weights.is_dir:
        return posixpath.splitext(files[0].path)[1]
    raise Refused(
        f"{pinned.version.tag} is a folder of {len(files)} files that can't be joined into one",
        hint="leave --single-file out",
    )


def _whole(files: Sequence[Wanted]) -> str | None:
    """The file that a variant is of one piece in (PMML), beside its recorded rows; None for ONNX."""
    models = [file.path for file in files if "/" not in file.path]
    return models[0] if len(models) == 1 and not models[0].endswith(".onnx") else None


def _format(pinned: Pinned) -> str:
    """``onnx`` or ``safetensors`` for weights that modelver split; empty for what is kept as it came."""
    source = pinned.facts.source or {}
    form = source.get("format")
    name = form.get("name") if isinstance(form, dict) else None
    return name if isinstance(name, str) else ""


def _join(plan: GetPlan, content: Path, scratch: Path) -> Path:
    whole = _whole(plan.files) if plan.request.variant is not None else None
    if whole is not None:
        return content / whole
    form = _format(plan.pinned)
    target = scratch / "single"
    if form == "onnx":
        from modelver.formats import onnx_join

        onnx_join.join(content, target)
    elif form == "safetensors":
        from modelver.formats import safetensors

        safetensors.join(content, target)
    else:
        return content / plan.files[0].path
    target.chmod(0o666 & ~umask())
    _flush(target)
    return target


__all__ = ["GetPlan", "GetRequest", "GetResult", "carry_out", "get", "plan_get", "would"]
