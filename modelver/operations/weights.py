"""The weights of a model on this machine: are they what the pointer says, and is the cache whole?"""

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from modelver.adapters.dvc import DvcCache
from modelver.adapters.dvc.ignored import not_left_out
from modelver.core.manifest import FileEntry
from modelver.core.pointers import Out
from modelver.disk import HashCache
from modelver.errors import CheckFailed, NotFound, Refused
from modelver.operations.facts import ModelFacts, mend_weights
from modelver.operations.project import Project
from modelver.operations.refill import refill_hint

Say = Callable[[str], None]


def check_weights(project: Project, facts: ModelFacts, say: Say = lambda _: None) -> None:
    """Make sure that DVC's cache holds each file of the weights with the digests of the manifest, and that what lies
    in the working tree is the same.

    What was hashed before and has not been touched since is not read again.

    Raises:
        Refused: the working tree holds other weights than the pointer names, the cache lacks an object, the pointer is
            of DVC 2, or ``dvc.lock`` names another source than the weights were made from.
        CheckFailed: an object in the cache is damaged.
    """
    if facts.weights is None or facts.files is None:
        raise Refused(f"model {facts.name!r} has no weights yet", hint=mend_weights(facts))
    if facts.weights.dos2unix:
        raise Refused(
            f"{facts.weights.pointer} is of DVC 2, and newer DVC looks for {facts.path} under another name",
            hint="dvc cache migrate --dvc-files   (then commit the pointers)",
        )
    cache = DvcCache.find(project.root)
    hashes = HashCache(project.git.state_dir)
    unknown = sum(f.bytes for f in facts.files if cache.has(f.md5) and hashes.get(cache.path(f.md5)) is None)
    if unknown > 256 << 20:
        say(f"hashing {unknown >> 20} MiB of weights that were not seen before")
    _check_cache(project, facts, cache, hashes)
    _check_worktree(project, facts, cache, hashes)
    _check_source(project, facts, cache, hashes)


def manifest_of_worktree(project: Project, weights: Out) -> list[FileEntry]:
    """The file manifest of weights that DVC tracks, from its cache.

    Raises:
        NotFound: an object is not in the cache.
        CheckFailed: an object is damaged.
    """
    cache = DvcCache.find(project.root)
    hashes = HashCache(project.git.state_dir)
    listing = cache.read_dir(weights.md5) if weights.is_dir else [(os.path.basename(weights.path), weights.md5)]  # noqa: PTH119
    entries = []
    for path, md5 in listing:
        if not cache.has(md5):
            raise NotFound(
                f"{weights.path}: {path} is not in DVC's cache",
                hint=refill_hint(project.root, weights, hashes) or f"dvc pull {shlex.quote(weights.path)}",
            )
        stored = cache.path(md5)
        digest = hashes.digest(stored)
        if digest.md5 != md5:
            raise _damaged(stored, weights.path, refill_hint(project.root, weights, hashes))
        entries.append(FileEntry(path, stored.stat().st_size, md5, digest.sha256))
    return entries


def listing(folder: Path) -> Iterator[str]:
    """Paths of all files below a folder, relative to it, ``/`` as separator."""
    for place, _, names in os.walk(folder):
        for name in names:
            yield (Path(place) / name).relative_to(folder).as_posix()


def _check_cache(project: Project, facts: ModelFacts, cache: DvcCache, hashes: HashCache) -> None:
    assert facts.files is not None
    weights = facts.weights
    assert weights is not None

    def missing(what: str) -> Refused:
        pull = f"dvc pull {shlex.quote(facts.path)}{_else(facts)}"
        return Refused(what, hint=refill_hint(project.root, weights, hashes) or pull)

    def damaged(stored: Path, what: str) -> CheckFailed:
        return _damaged(stored, what, refill_hint(project.root, weights, hashes), _else(facts))

    if weights.is_dir and not cache.has(weights.md5):
        raise missing(f"the weights of {facts.name} are not in DVC's cache")
    if weights.is_dir:
        listing = cache.path(weights.md5)
        if hashes.digest(listing).md5 + ".dir" != weights.md5:
            raise damaged(listing, facts.path)
    for entry in facts.files:
        if not cache.has(entry.md5):
            raise missing(f"the weights of {facts.name} are not whole in DVC's cache: {entry.path} is missing")
        stored = cache.path(entry.md5)
        digest = hashes.digest(stored)
        if (digest.md5, digest.sha256) != (entry.md5, entry.sha256):
            raise damaged(stored, f"{facts.path}/{entry.path}")


def _check_worktree(project: Project, facts: ModelFacts, cache: DvcCache, hashes: HashCache) -> None:
    assert facts.files is not None
    assert facts.weights is not None
    place = project.root / facts.path
    if not place.exists():  # a clone without weights; the cache has them
        return
    files = {f.path: f for f in facts.files}
    if place.is_dir():
        present = {path: place / path for path in listing(place)}
        strange = [present[path] for path in present if path not in files]
        for left_out in {*strange} - {*not_left_out(project.root, strange)} if strange else ():
            del present[left_out.relative_to(place).as_posix()]
    else:
        present = {place.name: place}
    now = {path: hashes.digest(file.resolve()).md5 for path, file in present.items()}
    expected = {path: entry.md5 for path, entry in files.items()}
    differing = sorted(path for path in {*expected, *now} if expected.get(path) != now.get(path))
    if differing:
        safe = all(path not in now or cache.has(now[path]) for path in differing)
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise Refused(
            f"{facts.path} is not what {facts.weights.pointer} says: {', '.join(differing[:3])}{more}",
            hint=_take_or_drop(facts, safe=safe),
        )


def _check_source(project: Project, facts: ModelFacts, cache: DvcCache, hashes: HashCache) -> None:
    """What ``dvc.lock`` says that the weights were exported from, and what the exporter says that it read.

    `dvc commit --force` writes into ``dvc.lock`` whatever a stage's inputs have become.
    """
    source = (facts.source or {}).get("source")
    path = source.get("path") if isinstance(source, Mapping) else None
    named = next((dep for stage in facts.stages for dep in stage.deps if dep.path == path), None)
    if named is None or named.is_dir or not isinstance(source, Mapping):
        return
    for place in (project.root / named.path, cache.path(named.md5)):
        digest = hashes.digest(place) if place.is_file() else None
        if digest is not None and digest.md5 == named.md5 and digest.sha256 != source.get("sha256"):
            raise Refused(
                f"{named.pointer} says that the weights of {facts.name} were made from the {named.path} of MD5 "
                f"{named.md5}, and they were made from another one ({facts.layout.source})",
                hint=f"git checkout HEAD -- {named.pointer}   (or export again: dvc repro --force export@{facts.name})",
            )


def _take_or_drop(facts: ModelFacts, *, safe: bool) -> str:
    """How to mend weights that were edited in place. Those of an ingested model are made from its source alone.

    ``safe``: what lies there is in the cache, as after a checkout that was killed, so that nothing is dropped.
    """
    if safe:
        return f"modelver restore {shlex.quote(facts.path)}   (drops nothing: DVC's cache holds what lies there now)"
    drop = f"modelver restore --force {shlex.quote(facts.path)}"
    take = mend_weights(facts)
    if facts.kind == "ingested":
        return f"{drop}   (drops the change; {take} brings other weights)"
    if facts.kind == "pipeline":
        return f"{drop}   (drops the change; so does dvc repro, where the stage runs)"
    return f"{take}   (takes the change; {drop} drops it)"


def _else(facts: ModelFacts) -> str:
    """What helps where no remote has the object either."""
    again = f"dvc repro --force export@{facts.name}" if facts.kind == "pipeline" else mend_weights(facts)
    return f"   (from a remote that has it; else: {again})"


def _damaged(stored: Path, what: str, again: str | None, otherwise: str = "") -> CheckFailed:
    return CheckFailed(
        f"{what}: the object in DVC's cache is damaged: {stored}",
        hint=f"rm -f {shlex.quote(str(stored))} && {again or 'dvc pull' + otherwise}",
    )
