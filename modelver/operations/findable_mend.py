"""What is said where others would not find a version's objects, and which command mends it."""

import shlex

from modelver.adapters.dvc import DvcRemote
from modelver.adapters.dvc.settings import DvcSettings
from modelver.adapters.git import GitRepository
from modelver.adapters.git.publish import is_true
from modelver.core.printable import printable
from modelver.errors import ModelverError, Refused
from modelver.operations.findable_places import CONFIG, Place, Places, Seen

_ADDRESS = ("url", "endpointurl", "port", "oss_endpoint", "account_name")
"""Settings of a DVC remote that say where it is."""

_LEVELS = ("local", "global", "system")
"""DVC's names of the configuration files that others do not have."""


def refusal(git: GitRepository, tag: str, place: Place | None, used: DvcRemote, seen: Seen, places: Places) -> Refused:
    """The error for a version that others would not find.

    Args:
        git: the repository.
        tag: of the version.
        place: where they look; None where nothing says it.
        used: where the objects are, or are put in a moment.
        seen: the branch that they go by.
        places: what configurations name.
    """
    if place is None:
        why = f"the {CONFIG} that Git has names no default DVC remote, so nobody else would find the weights of {tag}"
    else:
        where = place.remote.url if place.remote is not None else place.why
        why = (
            f"by the {CONFIG} that Git has, others look for the weights of {tag} on DVC remote "
            f"{printable(place.name) or '?'} ({printable(where)}), and they are not there; this clone is set to "
            f"{used.name} ({used.url})"
        )
    committed = _says(places.default(git.head().commit), used)
    if committed:
        why += f"; the commit that is checked out names {used.url}, and the branch that others go by does not"
    elif place is not None and place.name != used.name:
        here = _opened(git, place.name, places)
        if here is not None and place.leads_to(here):
            instead = f"modelver push {tag} --dvc-remote {shlex.quote(place.name)}"
            return Refused(why, hint=f"{instead}   (or commit and push {CONFIG})")
    return Refused(why, hint=f"{_mend(git, tag, place, used, seen, places)}   (then: modelver push {tag})")


def _mend(git: GitRepository, tag: str, place: Place | None, used: DvcRemote, seen: Seen, places: Places) -> str:
    """The command after which a push goes on, or is told the next one."""
    head = git.head()
    if seen.lacking:
        return f"git fetch {shlex.quote(seen.remote.shown)}{f' {shlex.quote(seen.branch)}' if seen.branch else ''}"
    theirs = f"git checkout {seen.commit or tag} -- {CONFIG}"
    default = places.default(None)
    if _says(default, used) or _says(places.named(None, used.name), used):  # and not yet what is published
        if not head.branch:
            return theirs
        if _says(default, used) and places.same(None, head.commit):
            return _publish(git, head.branch, head.commit, seen)
        chosen = "" if _says(default, used) else f"dvc remote default {shlex.quote(used.name)} && "
        keep = f"git add {CONFIG} && git commit -m 'Where the weights are' -- {CONFIG}"
        return f"{chosen}{keep} && {_push(head.branch, seen)}"
    if place is None:
        return f"dvc remote add --default {shlex.quote(used.name)} URL && git add {CONFIG} && git commit && git push"
    unset = _unset(git, place.name)
    if unset:
        return unset
    main = GitRepository.main_of(git)
    if main is not None and main.root != git.root:  # a relative URL starts in each working tree at another place
        return f"cd {shlex.quote(str(main.root))}"
    if place.remote is None or places.same(None, seen.commit or tag):
        return f"mend {CONFIG}, commit and push it"
    return theirs


def _says(place: Place | None, used: DvcRemote) -> bool:
    return place is not None and place.leads_to(used)


def _publish(git: GitRepository, branch: str, commit: str | None, seen: Seen) -> str:
    """How others come to see what HEAD's commit says."""
    short = branch.removeprefix("refs/heads/")
    remote = seen.remote.shown
    if seen.commit is None and commit and git.rev_parse(f"refs/remotes/{remote}/{short}") == commit:
        return f"git symbolic-ref HEAD {shlex.quote(branch)}   (there: its HEAD names no branch that it has)"
    if seen.commit is None or not commit or is_true(git.root, "merge-base", "--is-ancestor", seen.commit, commit):
        return _push(branch, seen)
    return f"git pull --no-rebase {shlex.quote(remote)} {shlex.quote(seen.branch or 'HEAD')}"


def _push(branch: str, seen: Seen) -> str:
    short = branch.removeprefix("refs/heads/")
    refs = short if seen.branch in (None, short) else f"{short}:{seen.branch}"
    # tags that go along, the hook would stop
    return f"git push --no-follow-tags {shlex.quote(seen.remote.shown)} {shlex.quote(refs)}"


def _unset(git: GitRepository, name: str) -> str:
    """What takes a remote's address out of a configuration file that others do not have; empty where none says it."""
    settings = DvcSettings(git.root)
    for level in _LEVELS:
        keys = [key for key in _ADDRESS if key in settings.of_remote(level, name)]
        if keys:
            return " && ".join(f"dvc remote modify --{level} --unset {shlex.quote(name)} {key}" for key in keys)
    return ""


def _opened(git: GitRepository, name: str, places: Places) -> DvcRemote | None:
    """The remote that this clone knows by a name."""
    try:
        return DvcRemote.open(git.root, name, plain_http=places.plain_http) if name else None
    except ModelverError:
        return None
