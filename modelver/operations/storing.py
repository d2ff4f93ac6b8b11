"""Making sure that the objects of versions are on a DVC remote, and right."""

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelver.adapters.dvc import DvcCache, DvcRemote
from modelver.adapters.git import GitRepository
from modelver.core.printable import printable
from modelver.disk import HashCache, digest_file
from modelver.errors import CheckFailed, ExternalFailure, ModelverError, NotFound, Refused
from modelver.operations.facts import collect, model_names
from modelver.operations.objects import Listings, Needed, version_objects
from modelver.operations.refill import out_around, refill_hint
from modelver.operations.remembered import Remembered
from modelver.operations.snapshot import CommitSnapshot
from modelver.operations.transfer import (
    JOBS,
    Bars,
    Finding,
    Local,
    check_remote,
    distinct,
    local_objects,
    no_bars,
    upload,
)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Tagged:
    """A version, by what is needed of it here.

    Attributes:
        tag: its name.
        model: the model's.
        commit: what the tag points at.
    """

    tag: str
    model: str
    commit: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """The objects of some versions.

    Attributes:
        needed: each once.
        owner: MD5 → tag of the first version that needs it.
        unlisted: (tag, path) of folders of the lineage whose listing nobody has.
        passed: tags of the versions that were passed over.
    """

    needed: tuple[Needed, ...]
    owner: dict[str, str]
    unlisted: tuple[tuple[str, str], ...]
    passed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Storing:
    """What was done, or with ``dry_run`` is to be done.

    Attributes:
        remote: the DVC remote's name.
        objects: how many the versions need.
        uploaded, uploaded_bytes: of those that were missing or wrong.
        replaced: how many of the uploaded were there, and wrong.
        read, read_bytes: of those that were read back and hashed.
        trusted: how many were read back before, and have not been touched since.
        missing: paths of lineage objects that neither the cache nor the remote has.
    """

    remote: str
    objects: int = 0
    uploaded: int = 0
    uploaded_bytes: int = 0
    replaced: int = 0
    read: int = 0
    read_bytes: int = 0
    trusted: int = 0
    missing: tuple[str, ...] = field(default=())


def wanted_by(
    git: GitRepository,
    versions: Iterable[Tagged],
    listings: Listings,
    *,
    lineage: bool = True,
    pass_over: bool = False,
    say: Say = lambda _: None,
) -> Wanted:
    """The objects that versions need.

    Args:
        git: the repository.
        versions: which.
        listings: as `version_objects`.
        lineage: also what is needed only to make them again.
        pass_over: versions of which no pointer says what their weights are.
        say: told of these, and of tags that have nothing to do with DVC.

    Raises:
        NotFound: the weights of a version, or their listing, are nowhere; the message names the version.
        InvalidInput: a file of a version can't be read.
        CheckFailed: two manifests contradict each other.
    """
    found: list[Needed] = []
    owner: dict[str, str] = {}
    unlisted: list[tuple[str, str]] = []
    passed: list[str] = []
    for version in versions:
        try:
            objects = version_objects(git, version.commit, version.model, listings)
        except NotFound as error:
            why = _untracked(git, version)
            if why is not None:
                say(f"note: {version.tag}: {why}")
                continue
            unknown = _unknown(git, version)
            if unknown is None:
                raise NotFound(f"{version.tag}: {error.message}", hint=_elsewhere(version.tag)) from None
            if not pass_over:
                raise unknown from None
            say(f"warning: {unknown.message}, so it is passed over")
            passed.append(version.tag)
            continue
        except ModelverError as error:
            raise type(error)(f"{version.tag}: {error.message}", hint=error.hint) from None
        kept = objects.objects if lineage else objects.restoring()
        found += kept
        for item in kept:
            owner.setdefault(item.md5, version.tag)
        unlisted += [(version.tag, path) for path in objects.unlisted if lineage]
    return Wanted(tuple(distinct(found)), owner, tuple(unlisted), tuple(passed))


def store(
    remote: DvcRemote,
    wanted: Wanted,
    cache: DvcCache,
    hashes: HashCache,
    memory: Remembered,
    *,
    full: bool = False,
    jobs: int = JOBS,
    dry_run: bool = False,
    root: Path | None = None,
    say: Say = lambda _: None,
    bars: Bars = no_bars,
) -> Storing:
    """See to it that every object is on the remote and was read back from there; what is missing or wrong is uploaded.

    Args:
        remote: where.
        wanted: what.
        cache: where from.
        hashes, memory: what was hashed before, here and there.
        full: trust nothing that was read back before.
        jobs: objects on the way at the same time.
        dry_run: look only; nothing is read back, uploaded or remembered.
        root: top of the working tree, for better advice.
        say: told of what the user should know.
        bars: progress.

    Raises:
        Refused: neither the cache nor the remote has what a version can't be restored without, or a folder that was
            the remote is gone.
        CheckFailed: what the cache has of it is damaged.
        ExternalFailure: the remote failed, or does not give back what it was sent.
    """
    if remote.absent and memory.knows(remote.identity):
        raise Refused(
            f"DVC remote {remote.name} is not there, and objects were seen on it: is {remote.url} on a disk that is not"
            " mounted?",
            hint=f"mount it   (or, where it is to be made anew: mkdir -p {shlex.quote(remote.url)})",
        )
    findings = check_remote(remote, wanted.needed, memory, full=full, read=not dry_run, jobs=jobs, bars=bars)
    lacking = [finding for finding in findings if finding.state in ("missing", "wrong")]
    here = local_objects(cache, hashes, [finding.needed for finding in lacking], jobs=jobs, bars=bars)
    pairs = list(zip(lacking, here, strict=True))
    _refuse_unavailable(remote, wanted, [pair for pair in pairs if not pair[1].usable], root, hashes)
    missing = [found.needed.what for found, local in pairs if not local.usable]
    missing += [path for _, path in wanted.unlisted if path not in missing]
    if missing:
        say(
            f"warning: {len(missing)} files of the lineage are neither in DVC's cache nor on DVC remote {remote.name}, "
            f"so these versions can be restored, but not made again from there: {_few(missing)}"
        )
    sources = [local for _, local in pairs if local.usable]
    again = [] if dry_run else _send(remote, sources, memory, jobs, bars)
    read = [finding for finding in (*findings, *again) if finding.read is not None or finding.state == "unread"]
    return Storing(
        remote=remote.name,
        objects=len(wanted.needed),
        uploaded=len(sources),
        uploaded_bytes=sum(local.size for local in sources),
        replaced=sum(found.state == "wrong" and local.usable for found, local in pairs),
        read=len(read),
        read_bytes=sum(finding.read or 0 for finding in read),
        trusted=sum(finding.state == "right" and finding.read is None for finding in findings),
        missing=tuple(missing),
    )


def _send(remote: DvcRemote, sources: Sequence[Local], memory: Remembered, jobs: int, bars: Bars) -> list[Finding]:
    """Upload, read back, and raise unless every object is right then."""
    if not sources:
        return []
    upload(remote, sources, jobs=jobs, bars=bars)
    again = check_remote(remote, [local.needed for local in sources], memory, full=True, jobs=jobs, bars=bars)
    for finding, local in zip(again, sources, strict=True):
        if finding.state != "right":
            raise _not_given_back(remote, finding, local)
    return again


def _not_given_back(remote: DvcRemote, finding: Finding, local: Local) -> ModelverError:
    """The error for an object that was uploaded and is not right there: was it right here?"""
    item = finding.needed
    if isinstance(local.data, Path):
        # The remembered digest may be of better days: a disk that rots changes no time of the file.
        here = digest_file(local.data)
        if here.md5 != item.md5.removesuffix(".dir"):
            there = remote.digest(item.md5)
            if there is not None and there[0] == here:  # what this very run has put there
                remote.delete(item.md5)
            return CheckFailed(
                f"{printable(item.what)}: the object in DVC's cache is damaged: {local.data}",
                hint=f"rm -f {shlex.quote(str(local.data))} && dvc fetch",
            )
    return ExternalFailure(
        f"DVC remote {remote.name} does not give back what it was sent: {printable(item.what)} ({item.md5}): "
        f"{finding.why}",
        hint="run the command again; if it fails again, that storage can't be trusted",
    )


def _refuse_unavailable(
    remote: DvcRemote,
    wanted: Wanted,
    pairs: Sequence[tuple[Finding, Local]],
    root: Path | None,
    hashes: HashCache,
) -> None:
    pairs = [(found, local) for found, local in pairs if not found.needed.lineage]
    if not pairs:
        return
    found, local = next((pair for pair in pairs if pair[1].why), pairs[0])
    item = found.needed
    tag = wanted.owner[item.md5]
    there = "is not" if found.state == "missing" else "is damaged"
    more = f" (and {len(pairs) - 1} more)" if len(pairs) > 1 else ""
    what = f"{tag}: {printable(item.what)} ({item.md5})"
    if local.contradicted:  # the cache is not to blame, and its object is not to be removed
        raise CheckFailed(
            f"{what}: {local.why}, and its MD5 is right, so it is the manifest of {tag} that is wrong",
            hint=f"modelver verify {tag}",
        )
    if local.why:
        raise CheckFailed(
            f"{what} is damaged in DVC's cache ({local.why}) and {there} on DVC remote {remote.name}{more}",
            hint=f"rm -f {shlex.quote(str(local.data))} && {_bring_back(item, tag, root, hashes)}",
        )
    raise Refused(
        f"{what} is not in DVC's cache, and {there} on DVC remote {remote.name}{more}",
        hint=_bring_back(item, tag, root, hashes),
    )


def _bring_back(item: Needed, tag: str, root: Path | None, hashes: HashCache) -> str:
    """The command that brings an object into the cache."""
    place = None if root is None else root / item.what
    if root is None or place is None or not place.is_file() or place.is_symlink():
        return _elsewhere(tag)
    out = out_around(root, item.what) if hashes.digest(place).md5 == item.md5 else None
    mend = None if out is None else refill_hint(root, out, hashes)
    return _elsewhere(tag) if mend is None else f"{mend} && modelver push {tag}"


def _elsewhere(tag: str) -> str:
    return f"modelver push {tag}   (in the clone where it was made, or after dvc fetch -r from a remote that has it)"


def _untracked(git: GitRepository, version: Tagged) -> str | None:
    """Why DVC has nothing to do with a version, in words; None where it ought to have."""
    snapshot = CommitSnapshot(git, version.commit)
    if version.model not in model_names(snapshot):
        return f"{version.model} is no model there, so there are no weights to look for"
    facts = collect(snapshot, version.model)
    if facts.weights is None and git.list_files(version.commit, facts.path):
        return f"{facts.path} is in Git itself"
    return None


def _unknown(git: GitRepository, version: Tagged) -> NotFound | None:
    """The error for a version of which no pointer says what its weights are; None where one does."""
    facts = collect(CommitSnapshot(git, version.commit), version.model)
    if facts.weights is not None:
        return None
    path, model = printable(facts.path), shlex.quote(version.model)
    return NotFound(
        f"{version.tag}: no pointer of DVC's at {version.commit[:12]} says what {path} is (neither {path}.dvc nor a "
        "dvc.lock in a folder around it; one of a whole folder is none)",
        hint=f"modelver add {model} PATH   (outside of tracked folders; then commit, and modelver tag {model})",
    )


def _few(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(printable(path) for path in paths[:3]) + more
