"""Whether whoever has no clone finds a version's objects: by what is committed, not by what this clone is set to.

`modelver get --repo` and DVC in somebody else's clone know the ``.dvc/config`` that Git has; a default that only
``.dvc/config.local`` names, a configuration that was never committed, or that of another branch is not known to them.
"""

import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from modelver.adapters.dvc import DvcRemote
from modelver.adapters.dvc.foreign import foreign_config
from modelver.adapters.git import GitRepository
from modelver.core.printable import printable
from modelver.errors import InvalidInput, ModelverError, Refused
from modelver.operations.objects import Needed
from modelver.operations.storing import Tagged, Wanted

CONFIG = ".dvc/config"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a version's objects are looked for by others.

    Attributes:
        name: of the DVC remote.
        remote: it; None where it can't be opened here.
        why: then what stands against it.
    """

    name: str
    remote: DvcRemote | None
    why: str = ""

    def leads_to(self, used: DvcRemote) -> bool:
        """Whether it is that storage; a folder, also by another path."""
        if self.remote is None:
            return False
        one, other = self.remote.identity, used.identity
        return one == other or ("://" not in one + other and os.path.realpath(one) == os.path.realpath(other))


def refuse_unfindable(
    git: GitRepository,
    versions: Iterable[Tagged],
    wanted: Wanted,
    used: DvcRemote,
    remote: str | None,
    *,
    plain_http: bool | tuple[str, ...] = False,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Raise Refused if others would look for the versions' objects where they are not.

    Args:
        git: the repository.
        versions: about to be published.
        wanted: their objects; those of the lineage alone don't count.
        used: where the objects are, or are put in a moment.
        remote: the Git remote, by its name: others also go by the branch that they see there first.
        plain_http: as `DvcRemote.open`.
        say: told of versions that others will find after the next push of the branch.
    """
    places: dict[bytes | None, Place | None] = {}

    def place_at(commit: str) -> Place | None:
        data = git.files_at(commit, [CONFIG]).get(CONFIG)
        if data not in places:
            places[data] = _place(git, data, f"{commit[:10]}:{CONFIG}", plain_http)
        return places[data]

    first, head = _branches(git, remote)
    for version in versions:
        found = [place for commit in (version.commit, first) if commit and (place := place_at(commit))]
        if any(place.leads_to(used) for place in found):
            continue
        if head is not None and (place := place_at(head)) is not None and place.leads_to(used):
            say(f"note: others find the weights of {version.tag} once this branch is pushed: it says where they are")
            continue
        objects = [item for item in wanted.needed if not item.lineage and wanted.owner[item.md5] == version.tag]
        if objects and not any(place.remote is not None and _holds(place.remote, objects) for place in found):
            raise _elsewhere(version.tag, found, used)


def _elsewhere(tag: str, places: Sequence[Place], used: DvcRemote) -> Refused:
    if not places:
        return Refused(
            f"the {CONFIG} that Git has names no default DVC remote, so nobody else would find the weights of {tag}",
            hint=f"git add {CONFIG} && git commit -m 'Where the weights are' && git push   (then: modelver push {tag})",
        )
    place = places[0]
    where = place.remote.url if place.remote is not None else place.why
    return Refused(
        f"by the {CONFIG} that Git has, others look for the weights of {tag} on DVC remote {printable(place.name)} "
        f"({printable(where)}), and they are not there; this clone is set to {used.name} ({used.url})",
        hint=f"modelver push {tag} --dvc-remote {shlex.quote(place.name)}   (or commit and push {CONFIG})",
    )


def _branches(git: GitRepository, remote: str | None) -> tuple[str | None, str | None]:
    """The commit of the branch that others see first, as far as it is known here, and of the one that is checked out.

    A commit that is checked out without a branch will be seen by nobody.
    """
    head = git.head()
    names = ["HEAD", *([head.branch.removeprefix("refs/heads/")] if head.branch else [])] if remote else []
    found = [commit for name in names if (commit := git.rev_parse(f"refs/remotes/{remote}/{name}"))]
    return found[0] if found else None, head.commit if head.branch else None


def _place(git: GitRepository, data: bytes | None, where: str, plain_http: bool | tuple[str, ...]) -> Place | None:
    main = GitRepository.main_of(git)
    try:
        config = foreign_config(data, (git if main is None else main).root / ".dvc", where)
    except InvalidInput as error:
        return Place("", None, error.message)
    if config.default is None:
        return None
    try:
        return Place(config.default, config.open(git.state_dir / "committed-dvc", plain_http=plain_http))
    except ModelverError as error:
        return Place(config.default, None, error.message)


def _holds(remote: DvcRemote, objects: Sequence[Needed]) -> bool:
    try:
        for item in objects:
            stored = remote.stat(item.md5)
            if stored is None or item.size not in (None, stored.bytes):
                return False
    except ModelverError:
        return False
    return True
