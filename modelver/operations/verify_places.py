"""Whether others could restore a version: its objects looked for where others look, not only where this clone does."""

import shlex
from collections.abc import Sequence

from modelver.adapters.dvc import DvcCache, DvcRemote
from modelver.core.printable import printable
from modelver.core.registry import ModelVersion
from modelver.core.verify import Problem
from modelver.errors import ExternalFailure, ModelverError, NotFound
from modelver.operations.objects import Listings, Needed, listings_of
from modelver.operations.plain_lines import plain_lines
from modelver.operations.project import Project
from modelver.operations.transfer import Bars
from modelver.operations.verify_weights import LocalObjects, RemoteObjects, judge_stored
from modelver.operations.whereabouts import Spot, Whereabouts


class Storages:
    """The DVC remotes that versions are looked for on: that of this clone, and those that others go by.

    Args:
        project: the repository.
        name: of the one remote to ask; None for the default ones.
        full: read everything anew.
        plain_http: as `DvcRemote.open`.
        bars: progress.

    Raises:
        Refused, ExternalFailure, InvalidInput: ``name`` can't be asked. Where none is named that is told once a version
            is found nowhere else.
    """

    def __init__(self, project: Project, name: str | None, *, full: bool, plain_http: bool, bars: Bars) -> None:
        self._project = project
        self._named = name is not None
        self._full = full
        self._bars = bars
        self._places = Whereabouts(project.git, plain_http)
        self._objects: dict[str, RemoteObjects] = {}
        self._silent: dict[str, ExternalFailure] = {}
        self._why_not: ModelverError | None = None
        self._used: RemoteObjects | None = None
        self._found_by_others = False
        try:
            remote = DvcRemote.open(project.root, name, plain_http=plain_lines(project.git, plain_http))
            try:
                remote.probe()
            except ExternalFailure as failure:
                self._silent[remote.identity] = failure
                raise
            self._used = self._of(remote)
        except ModelverError as error:
            if self._named:
                raise
            self._why_not = error

    def refuse_unasked(self) -> None:
        """Raise what stands against this clone's remote, unless versions were found where others look for them."""
        if self._why_not is not None and not self._found_by_others:
            raise self._why_not

    def listings(self, version: ModelVersion, cache: DvcCache | None) -> Listings:
        """Looks folders' listings up in the cache, then on each of the remotes."""

        def look_up(md5: str) -> list[tuple[str, str]]:
            first: ModelverError | None = self._why_not
            for remote in self._remotes(version) or [None]:
                try:
                    return _listings(cache, remote)(md5)
                except (NotFound, ExternalFailure) as error:
                    first = first or error
            assert first is not None
            raise first

        return look_up

    def judge(
        self, version: ModelVersion, needed: Sequence[Needed], local: LocalObjects, notes: list[str]
    ) -> list[Problem]:
        """What is wrong with a version's objects where they are stored.

        Args:
            version: which.
            needed: its objects.
            local: those of this machine, which tell who can mend it.
            notes: told where others find them, if not where this clone does.

        Raises:
            Refused, ExternalFailure, InvalidInput: this clone's remote can't be asked, and others find it nowhere.
        """
        tag, used = version.tag, self._used
        if used is not None and self._named:
            return judge_stored(tag, needed, local, used)
        spots = self._places.for_others(version)
        own: list[Problem] | None = None
        if used is not None and any(spot.leads_to(used.remote) for spot in spots):
            own = judge_stored(tag, needed, local, used)
            if not own:
                return []
        unasked: list[Problem] = []
        theirs: list[Problem] = []
        for spot in spots:
            if used is not None and spot.leads_to(used.remote):
                continue
            try:
                found = judge_stored(tag, needed, local, self._asked(spot))
            except ModelverError as error:
                unasked.append(_unasked(tag, spot, error))
                continue
            if not found:
                self._found_by_others = True
                notes.append(f"the weights are where others find them: on DVC remote {_shown(spot)}")
                return []
            theirs = theirs or found
        if used is None:
            assert self._why_not is not None
            raise self._why_not
        if own is not None:
            return own + unasked
        own = judge_stored(tag, needed, local, used)
        if own:
            return (theirs or own) + unasked
        pushed = self._places.once_pushed()
        if pushed is not None and pushed.leads_to(used.remote):
            notes.append("others find the weights once this branch is pushed: it says where they are")
            return []
        damaged = [problem for problem in theirs if problem.kind == "weights"]
        return damaged or unasked or [self._elsewhere(tag, spots, used.remote)]

    def _remotes(self, version: ModelVersion) -> list[DvcRemote | None]:
        found: list[DvcRemote | None] = [] if self._used is None else [self._used.remote]
        if not self._named:
            found += [spot.remote for spot in self._places.for_others(version) if spot.remote is not None]
        return found

    def _of(self, remote: DvcRemote) -> RemoteObjects:
        if remote.identity not in self._objects:
            self._objects[remote.identity] = RemoteObjects(remote, self._project, full=self._full, bars=self._bars)
        return self._objects[remote.identity]

    def _asked(self, spot: Spot) -> RemoteObjects:
        """Raises ModelverError where it can't be asked, as was found once."""
        if spot.remote is None:
            assert spot.error is not None
            raise spot.error
        known = spot.remote.identity
        if known in self._silent:
            raise self._silent[known]
        if known not in self._objects:
            try:
                spot.remote.probe()
            except ExternalFailure as failure:
                self._silent[known] = failure
                raise
        return self._of(spot.remote)

    def _elsewhere(self, tag: str, spots: Sequence[Spot], used: DvcRemote) -> Problem:
        only = f"they are on {used.name} ({used.url}), which only this clone is set to"
        commit = "git add .dvc/config && git commit -m 'Where the weights are' && git push"
        if not spots:
            why = "the .dvc/config that Git has names no default DVC remote, so nobody else would find the weights"
            return Problem("missing", tag, f"{why}: {only}", commit)
        spot, quoted = spots[0], shlex.quote(tag)
        if spot.name != used.name:
            hint = f"modelver push {quoted} --dvc-remote {shlex.quote(spot.name)}   (or commit and push .dvc/config)"
        elif self._places.readdressed(used.name):
            hint = f"dvc remote modify --local --unset {shlex.quote(used.name)} url && modelver push {quoted}"
        else:
            hint = commit
        return Problem("missing", tag, f"others look for the weights on DVC remote {_shown(spot)}: {only}", hint)


def _listings(cache: DvcCache | None, remote: DvcRemote | None) -> Listings:
    return listings_of(cache, lambda: remote)


def _shown(spot: Spot) -> str:
    where = "" if spot.remote is None else f" ({printable(spot.remote.url)})"
    return f"{printable(spot.name) or '?'}{where}, as {spot.said_by} has it"


def _unasked(tag: str, spot: Spot, error: ModelverError) -> Problem:
    message = f"not checked: others look for the weights on DVC remote {_shown(spot)}: {error.message}"
    return Problem("unchecked", tag, message, error.hint)


__all__ = ["Storages"]
