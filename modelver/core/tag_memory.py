"""What is remembered of tags, and whether they are still what they were. Pure.

Git lets anybody who may write refs move or delete a tag, and keeps no trace of it. So each clone remembers the ids of
tags that it made, pushed or verified; what a tag names now is compared with that, and with the Git remote.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from modelver.core.verify import Problem

How = Literal["made", "seen", "published", "accepted", "dropped"]


@dataclass(frozen=True, slots=True)
class Known:
    """One thing that is remembered of a tag.

    Attributes:
        tag: its short name.
        object_id: what the ref named; empty where its absence was accepted.
        commit: what that pointed at; empty where that is not known.
        how: ``made`` here; ``seen`` when it was verified here; ``published``: seen on a Git remote; ``accepted``: the
            user said that it is right as it is; ``dropped``: taken back before anybody else had it, or the remote had
            another in its place.
        remote: of ``published``, the Git remote.
    """

    tag: str
    object_id: str
    commit: str = ""
    how: How = "seen"
    remote: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The form in which it is kept."""
        return {"tag": self.tag, "id": self.object_id, "commit": self.commit, "how": self.how, "remote": self.remote}


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What the Git remote has under a tag's name.

    Attributes:
        remote: its name.
        object_id: None where it has no such tag.
    """

    remote: str
    object_id: str | None


def in_force(history: Sequence[Known]) -> list[Known]:
    """What still counts of all that was remembered of one tag, the oldest first."""
    kept: list[Known] = []
    for known in history:
        if known.how == "dropped":
            kept = [k for k in kept if k.how != "made" or k.object_id != known.object_id]
        elif known.how == "accepted":
            kept = [known] if known.object_id else []
        else:
            kept.append(known)
    return kept


def expected(history: Sequence[Known]) -> Known | None:
    """What a tag ought to name: the first that others could have seen, else the last that was made here."""
    kept = in_force(history)
    public = [known for known in kept if known.how != "made"]
    return public[0] if public else (kept[-1] if kept else None)


def was_dropped(history: Sequence[Known], object_id: str) -> bool:
    """Whether a tag still names what was dropped: it is about to be deleted, and nothing to remember."""
    return any(known.how == "dropped" and known.object_id == object_id for known in history)


def judge_ref(
    tag: str, here: str | None, history: Sequence[Known], elsewhere: Elsewhere | None, *, stored: bool
) -> list[Problem]:
    """Whether a tag was moved or deleted, here or on the remote.

    Args:
        tag: its short name.
        here: what the ref names; None where there is no such ref.
        history: what is remembered of it.
        elsewhere: what the remote has; None where it was not asked.
        stored: whether Git still has the object that the tag ought to name.
    """
    known = expected(history)
    ref = shlex.quote(f"refs/tags/{tag}")
    problems: list[Problem] = []
    there = elsewhere.object_id if elsewhere is not None else None
    agreed = elsewhere is not None and there is not None and there == here
    # One that was made here and never left is no loss where the remote has another: who pushed first has won.
    overruled = known is not None and known.how == "made" and agreed
    if known is not None and here != known.object_id and not overruled:
        remotes = [k.remote for k in history if k.remote] + ([elsewhere.remote] if elsewhere is not None else [])
        source = "" if stored else shlex.quote(remotes[0]) if remotes else "REMOTE"
        problems.append(_changed(tag, ref, here, known, source))
    if elsewhere is None:
        return problems
    where = shlex.quote(elsewhere.remote)
    if there is None:
        published = any(k.how == "published" and k.remote == elsewhere.remote for k in in_force(history))
        if published and known is not None:
            problems.append(
                Problem(
                    "deleted",
                    tag,
                    f"it was {known.object_id} on {elsewhere.remote}, and was deleted there",
                    f"git push {where} {ref}",
                )
            )
    elif here is not None and there != here and (known is None or known.object_id in (here, there)):
        theirs = f"git fetch --force {where} {ref}:{ref}"
        if known is not None and known.object_id == here and known.how != "made":
            mend = f"git push --force {where} {ref}   (puts it back there; if it was moved rightly: {theirs})"
        else:
            mend = f"{theirs}   (takes that of {elsewhere.remote}, once you know who moved it)"
        problems.append(Problem("moved", tag, f"it is {here} here and {there} on {elsewhere.remote}", mend))
    return problems


def _changed(tag: str, ref: str, here: str | None, known: Known, source: str) -> Problem:
    """A tag that is not what it was; ``source`` is the remote to fetch its object from, empty where Git has it here."""
    was = {"made": "was made here as", "accepted": "was accepted as"}.get(known.how, "was")
    accept = f"   (or, if that was meant: modelver verify {shlex.quote(tag)} --accept)"
    if here is None:
        mend = f"git fetch {source} {ref}:{ref}" if source else f"git update-ref {ref} {known.object_id}"
        return Problem("deleted", tag, f"it {was} {known.object_id}, and was deleted", mend + accept)
    mend = f"git fetch --force {source} {ref}:{ref}" if source else f"git update-ref {ref} {known.object_id} {here}"
    return Problem("moved", tag, f"it {was} {known.object_id}, and was moved to {here}", mend + accept)
