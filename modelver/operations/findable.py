"""Whether whoever has no clone finds a version's objects: by what is published, not by what this clone is set to.

`modelver get --repo` and DVC in somebody else's clone know the ``.dvc/config`` that Git has; a default that only
``.dvc/config.local`` names, a configuration that was never committed, or that of another branch is not known to them.
"""

from collections.abc import Callable, Iterable, Sequence

from modelver.adapters.dvc import DvcRemote
from modelver.adapters.git import GitRepository
from modelver.errors import ModelverError
from modelver.operations.findable_mend import refusal
from modelver.operations.findable_places import Place, Places, seen_first
from modelver.operations.objects import Needed
from modelver.operations.storing import Tagged, Wanted


def refuse_unfindable(
    git: GitRepository,
    versions: Iterable[Tagged],
    wanted: Wanted,
    used: DvcRemote,
    remote: str,
    *,
    chosen: bool = False,
    plain_http: bool | tuple[str, ...] = False,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Raise Refused if others would look for the versions' objects where they are not.

    They look where the version's own commit says, and then where the branch says that the Git remote shows first, as it
    is there now: what this push would move comes too late where the remote takes the tag and not the branch.

    Args:
        git: the repository.
        versions: about to be published.
        wanted: their objects; those of the lineage alone don't count.
        used: where the objects are, or are put in a moment.
        remote: the Git remote: its name, or URL.
        chosen: ``used`` was named for this push: then it is only told that others must name it too, unless they know
            another place by that name.
        plain_http: as `DvcRemote.open`.
        say: told of what others must do.

    Raises:
        Refused: as above.
        ExternalFailure: the Git remote can't be asked, which is done where the version's own commit leads elsewhere.
    """
    places = Places(git, plain_http)
    seen = None
    for version in versions:
        own = places.default(version.commit)
        if own is not None and own.leads_to(used):
            continue
        objects = [item for item in wanted.needed if not item.lineage and wanted.owner[item.md5] == version.tag]
        if not objects:
            continue
        seen = seen or seen_first(git, remote)
        commits = [commit for commit in (version.commit, seen.commit) if commit is not None]
        found = [place for commit in commits if (place := places.default(commit)) is not None]
        if any(place.leads_to(used) or _holds(place, objects) for place in found):
            continue
        called = [place for commit in commits if (place := places.named(commit, used.name)) is not None]
        misled = chosen and called and not any(place.leads_to(used) or _holds(place, objects) for place in called)
        last = called if misled else found
        stop = refusal(git, version.tag, last[-1] if last else None, used, seen, places)
        if misled or not chosen:
            raise stop
        say(f"warning: {stop.message}; they will need --dvc-remote {used.name}")


def _holds(place: Place, objects: Sequence[Needed]) -> bool:
    remote = place.remote
    if remote is None:
        return False
    try:
        for item in objects:
            stored = remote.stat(item.md5)
            if stored is None or item.size not in (None, stored.bytes):
                return False
    except ModelverError:
        return False
    return True
