"""What goes into a backup: the objects that versions can't be restored without, and what else is tracked."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from modelver.adapters.dvc import DvcCache, DvcRemote
from modelver.disk import Digest
from modelver.errors import CheckFailed, NotFound
from modelver.operations import roots
from modelver.operations.facts import collect, model_names
from modelver.operations.objects import Needed, listings_of, version_objects
from modelver.operations.project import Project
from modelver.operations.reachable import Pointers, Remotes
from modelver.operations.snapshot import CommitSnapshot

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object to back up, and the versions that can't be restored without it."""

    md5: str
    path: str
    sha256: str | None = None
    content: bytes | None = None
    versions: list[str] = field(default_factory=list)

    def accepts(self, digest: Digest) -> bool:
        """Whether bytes of this digest are it."""
        return digest.md5 == self.md5.removesuffix(".dir") and self.sha256 in (None, digest.sha256)


@dataclass(frozen=True, slots=True)
class Needs:
    """What goes into a backup.

    Attributes:
        objects: by name.
        unlisted: folders whose listing nobody has.
        untold: versions of which nothing says what they need: tags of GTO's for a path that no pointer names.
    """

    objects: dict[str, Wanted]
    unlisted: list[str]
    untold: list[str]


def wanted_by_all(project: Project, remote: DvcRemote | None, say: Say) -> Needs:
    """All objects: what versions need to be restored, and what every tag and branch tracks besides."""
    cache = DvcCache.find(project.root)
    git = project.git
    listings = listings_of(cache, lambda: remote)
    found: dict[str, Wanted] = {}
    untold = []
    versions = project.registry.versions()
    say(f"looking up what {len(versions)} versions need")
    for version in versions:
        commit = version.record.commit
        try:
            needed = version_objects(git, commit, version.model, listings).restoring()
        except NotFound as error:
            snapshot = CommitSnapshot(git, commit)
            facts = collect(snapshot, version.model) if version.model in model_names(snapshot) else None
            if facts is None or (facts.weights is None and git.list_files(commit, facts.path)):
                continue  # a tag of GTO's for nothing, or for what lies in Git itself
            if facts.weights is None:
                untold.append(version.tag)
                continue
            raise CheckFailed(f"no backup was made: {version.tag}: {error.message}", hint=error.hint) from None
        for item in needed:
            found[item.md5] = _merged(found.get(item.md5), item, version.tag)
    past = roots.history(git, roots.gather(git, (), time.time()))
    pointers = Pointers(git, lenient=True)
    named = pointers.named_by({*(past.trees[tip] for tip in past.tips), *past.bare_trees})
    objects = pointers.expand(named.tracked(), cache, Remotes(project.root, remote))
    for md5 in sorted(objects.hashes - found.keys()):
        path = objects.paths.get(md5, md5)
        if cache.has(md5) or not pointers.in_git(md5, path):  # a metrics file, `cache: false`, is in Git
            found[md5] = Wanted(md5, path)
    unlisted = sorted(objects.unlisted.values())
    return Needs(found, unlisted, untold)


def _merged(known: Wanted | None, item: Needed, tag: str) -> Wanted:
    if known is None:
        return Wanted(item.md5, item.what, item.sha256, item.content, [tag])
    known.versions.append(tag)
    if (known.sha256 or not item.sha256) and (known.content is not None or item.content is None):
        return known
    return replace(known, sha256=known.sha256 or item.sha256, content=known.content or item.content)
