"""The user's own settings of DVC remotes beside somebody else's: which of them may be used together.

DVC joins the configuration files by a remote's name. A repository that calls its remote as the user's own one is called
would be given the password that is meant for that one, wherever its own URL leads.
"""

from collections.abc import Mapping
from typing import Any

from modelver.adapters.dvc.destination import Settings, place, reference
from modelver.core.names import shown
from modelver.errors import InvalidInput, Refused

Remotes = Mapping[str, Settings]
"""Remotes by name, as one or more configuration files have them."""


def joined(name: str, theirs: Remotes, own: Remotes) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    """What DVC may be given to open a remote of somebody else's configuration.

    The user's settings of a remote count where that configuration has none of this name, and where what they are joined
    to goes to the same place. One that only the user has is what the user made it, with all that it refers to.

    Args:
        name: of the remote, in lower case.
        theirs: remotes of that configuration.
        own: those of the user's global and the system's configuration.

    Returns:
        the remotes, and the names of those of which the user's own settings are left out.

    Raises:
        Refused: that configuration would have one of the user's own remotes speak to somebody else.
        InvalidInput: a URL can't be read.
    """
    try:
        chain, last = _chain(name, theirs)
        needed = _chain(last, own)[0] if last is not None else []
        twins = [one for one in chain if one in own]
        strict = {one: dict(theirs[one]) for one in chain} | {one: dict(own[one]) for one in needed}
        full = strict | {one: {**own[one], **theirs[one]} for one in twins}
        lent = needed[:1] if chain else []
        if lent and (set(needed) & set(chain) or not _fits(strict, name, own, lent)):
            raise Refused(
                f"DVC remote {shown(name)} of that repository uses your own remote {shown(lent[0])}, and would have "
                "what you set for it go somewhere else",
                hint="--dvc-remote NAME, one of your own",
            )
        if _fits(full, name, own, twins + lent if twins else []):
            return full, ()
    except ValueError as error:
        raise InvalidInput(f"DVC remote {shown(name)}: its URL can't be read: {error}") from None
    return strict, tuple(twins)


def _chain(name: str, remotes: Remotes) -> tuple[list[str], str | None]:
    """A remote and those that it is below, as far as they are among these; and the first one that is not."""
    found: list[str] = []
    at: str | None = name
    while at is not None and at in remotes and at not in found:
        found.append(at)
        at = reference(remotes[at])
    return found, None if at in found else at


def _fits(remotes: Remotes, name: str, own: Remotes, used: list[str]) -> bool:
    """Whether a remote goes where the user's own ones of these names go."""
    there = place(resolved(name, remotes))
    return not used or (there is not None and all(place(resolved(one, own)) == there for one in used))


def resolved(name: str, remotes: Remotes) -> dict[str, Any]:
    """Settings with those of what they are below, which they overrule, and its URL: ``dvc.fs._resolve_remote_refs``."""
    chain, missing = _chain(name, remotes)
    settings: dict[str, Any] = {}
    for one in reversed(chain):
        settings.update(remotes[one])
    if not chain or missing is not None or reference(remotes[chain[-1]]) is not None:
        return {}
    return {**settings, "url": remotes[chain[-1]].get("url", "")}
