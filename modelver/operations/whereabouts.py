"""Where the weights of a version may be, seen from a clone: by its own settings, and by what commits say.

The ``.dvc/config`` that is checked out may be of another time than the version: a storage that moved, or was configured
later, is known to other commits only.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from modelver.adapters.dvc import DvcRemote
from modelver.adapters.dvc.clone import LocalSettings, clone_config, local_settings
from modelver.adapters.dvc.foreign import foreign_config
from modelver.adapters.git import GitRepository
from modelver.core.registry import ModelVersion
from modelver.errors import ModelverError, Refused
from modelver.operations.plain_lines import plain_lines

_CONFIG = ".dvc/config"

HERE = "what is checked out"

_MOST_BRANCHES = 20


@dataclass(frozen=True, slots=True)
class Spot:
    """A DVC remote that a version's weights may be on.

    Attributes:
        said_by: whose configuration names it, in words.
        name: of the remote; empty where none can be told.
        remote: it; None where it can't be opened.
        error: why not.
    """

    said_by: str
    name: str
    remote: DvcRemote | None
    error: ModelverError | None = None

    def leads_to(self, other: DvcRemote) -> bool:
        """Whether it is that storage; a folder, also by another path."""
        return self.remote is not None and same_storage(self.remote, other)


def same_storage(one: DvcRemote, other: DvcRemote) -> bool:
    """Whether two remotes are one place; folders, also by two paths."""
    a, b = one.identity, other.identity
    return a == b or ("://" not in a + b and os.path.realpath(a) == os.path.realpath(b))


class Whereabouts:
    """The DVC remotes that are known in a clone; each is opened once.

    Args:
        git: the clone.
        plain_http: let bytes and credentials go over the line unencrypted, to anywhere.
    """

    def __init__(self, git: GitRepository, plain_http: bool) -> None:
        self._git = git
        self._plain_http = plain_lines(git, plain_http)
        self._opened: dict[tuple[bytes | None, str | None, bool], Spot | None] = {}
        self._own: LocalSettings | None = None

    def here(self, name: str | None) -> Spot | None:
        """What this clone is set to, with what is checked out; None where it is set to nothing.

        Args:
            name: of the remote; None for the default one.
        """
        root = self._git.root
        if not (root / ".dvc").is_dir():
            return None
        try:
            if name is None and not clone_config(root)["core"].get("remote"):
                return None
            remote = DvcRemote.open(root, name, plain_http=self._plain_http)
        except ModelverError as error:
            return Spot(HERE, name or "", None, error)
        return Spot(HERE, remote.name, remote)

    def for_user(self, version: ModelVersion, name: str | None) -> Iterator[Spot]:
        """Where this clone's user may find a version, the likeliest place first.

        What the user has set in ``.dvc/config.local`` counts for each.

        Args:
            version: which.
            name: of the remote; None for the default ones.
        """
        spot = self.here(name)
        if spot is not None:
            yield spot
        for words, commit in self._told(version):
            data = self._config(commit)
            for chosen in [name] if name else dict.fromkeys([self._local.default, None]):
                if (found := self._at(data, chosen, words, own=True)) is not None:
                    yield found

    def for_others(self, version: ModelVersion) -> list[Spot]:
        """Where whoever has a clone of their own looks for a version: as pushed, by default remotes.

        Credentials of this clone's user are lent where they are meant for the same address.
        """
        found = []
        first, _ = self._first
        for words, commit in ((version.tag, version.record.commit), ("the branch that others see first", first)):
            if commit is not None and (spot := self._at(self._config(commit), None, words, own=False)) is not None:
                found.append(spot)
        return found

    def once_pushed(self) -> Spot | None:
        """Where others will look once the branch that is checked out is pushed."""
        head = self._git.head()
        if not head.branch or head.commit is None:
            return None
        return self._at(self._config(head.commit), None, "this branch", own=False)

    def readdressed(self, name: str) -> bool:
        """Whether ``.dvc/config.local`` gives the remote of that name another URL."""
        return bool(self._local.remotes.get(name, {}).get("url"))

    @property
    def _local(self) -> LocalSettings:
        if self._own is None:
            self._own = local_settings(self._git.root)
        return self._own

    def _told(self, version: ModelVersion) -> Iterator[tuple[str, str]]:
        """Commits that may know, and how to call them."""
        yield version.tag, version.record.commit
        first, name = self._first
        if first is not None:
            yield name, first
        listed = self._git.text(
            "for-each-ref", "--sort=-committerdate", f"--count={_MOST_BRANCHES}",
            "--format=%(objectname) %(refname:short)", "refs/heads",
        )  # fmt: skip
        for line in listed.splitlines():
            commit, _, name = line.partition(" ")
            yield f"branch {name}", commit

    @cached_property
    def _meant(self) -> list[dict[str, dict[str, Any]]]:
        """Remotes that the user's own settings may be meant for: as checked out, and of the newest commit."""
        file = self._git.root / _CONFIG
        found = [file.read_bytes() if file.is_file() and not file.is_symlink() else None]
        first, _ = self._first
        found += [self._config(first)] if first else []
        return [foreign_config(data, _main(self._git) / ".dvc", _CONFIG).remotes for data in found]

    @cached_property
    def _first(self) -> tuple[str | None, str]:
        """The branch that others see first, as far as it is known here: its commit, and its name."""
        remote = self._git.default_remote()
        if remote is not None:
            branch = self._git.head().branch
            names = ["HEAD", "main", "master", *([branch.removeprefix("refs/heads/")] if branch else [])]
            for name in names:
                ref = f"refs/remotes/{remote.name}/{name}"
                if commit := self._git.rev_parse(ref):
                    return commit, f"{remote.shown}'s branch" if name == "HEAD" else f"{remote.shown}/{name}"
        return None, ""

    def _config(self, commit: str) -> bytes | None:
        return self._git.files_at(commit, [_CONFIG]).get(_CONFIG)

    def _at(self, data: bytes | None, name: str | None, words: str, *, own: bool) -> Spot | None:
        key = data, name, own
        if key not in self._opened:
            self._opened[key] = self._open(data, name, words, own=own)
        return self._opened[key]

    def _open(self, data: bytes | None, name: str | None, words: str, *, own: bool) -> Spot | None:
        if data is None:
            return None
        try:
            config = foreign_config(data, _main(self._git) / ".dvc", f"{words}:{_CONFIG}")
            name = name or config.default
            if name is None:
                return None
            local = self._local
            join = partial(local.over if own else local.lent, known=self._meant)
            folder = self._git.state_dir / "committed-dvc"
            remote = config.open(folder, name, plain_http=self._plain_http, local=join)
        except ModelverError as error:
            return Spot(words, name or "", None, error)
        return Spot(words, remote.name, remote)


def _main(git: GitRepository) -> Path:
    """Where relative folders start: others have no linked working tree."""
    try:
        main = GitRepository.main_of(git)
    except Refused:
        return git.root
    return (git if main is None else main).root


__all__ = ["HERE", "Spot", "Whereabouts", "same_storage"]
