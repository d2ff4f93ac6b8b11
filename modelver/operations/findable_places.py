"""Where others look for a version's objects: the DVC remotes that committed configurations name."""

import os
from dataclasses import dataclass

from modelver.adapters.dvc import DvcRemote
from modelver.adapters.dvc.foreign import ForeignConfig, foreign_config
from modelver.adapters.git import GitRepository
from modelver.adapters.git.publish import push_address, remote_head
from modelver.adapters.git.remotes import GitRemote
from modelver.errors import InvalidInput, ModelverError

CONFIG = ".dvc/config"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a version's objects are looked for by others.

    Attributes:
        name: of the DVC remote; empty where the configuration can't be read.
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


@dataclass(frozen=True, slots=True)
class Seen:
    """The branch that a Git remote shows first.

    Attributes:
        remote: the Git remote.
        branch: its short name; None where there is none.
        commit: where it is; None where there is none, or that commit is not here.
        lacking: that commit is not here.
    """

    remote: GitRemote
    branch: str | None
    commit: str | None
    lacking: bool = False


def seen_first(git: GitRepository, remote: str) -> Seen:
    """Ask a Git remote, by its name or URL, which branch it shows first; raises ExternalFailure where it can't be."""
    branch, commit = remote_head(git.root, push_address(git.root, remote))
    short = None if branch is None else branch.removeprefix("refs/heads/")
    here = None if commit is None else git.rev_parse(commit)
    return Seen(GitRemote(remote), short, here, lacking=commit is not None and here is None)


class Places:
    """The DVC remotes that configurations name, each opened once; relative ones start at the main working tree.

    Attributes:
        plain_http: as `DvcRemote.open`.
    """

    def __init__(self, git: GitRepository, plain_http: bool | tuple[str, ...]) -> None:
        self._git = git
        self.plain_http = plain_http
        self._known: dict[tuple[bytes | None, str | None], Place | None] = {}

    def default(self, commit: str | None) -> Place | None:
        """The default remote by a commit's configuration, or by the working tree's for None; None where it has none."""
        return self._at(self._read(commit), None)

    def named(self, commit: str | None, name: str) -> Place | None:
        """The remote of that name; None where that configuration has none."""
        return self._at(self._read(commit), name)

    def same(self, one: str | None, other: str | None) -> bool:
        """Whether two commits have the same configuration; None means the working tree."""
        return self._read(one) == self._read(other)

    def _read(self, commit: str | None) -> bytes | None:
        if commit is not None:
            return self._git.files_at(commit, [CONFIG]).get(CONFIG)
        file = self._git.root / CONFIG
        return file.read_bytes() if file.is_file() else None

    def _at(self, data: bytes | None, name: str | None) -> Place | None:
        if (data, name) not in self._known:
            self._known[data, name] = self._open(data, name)
        return self._known[data, name]

    def _open(self, data: bytes | None, name: str | None) -> Place | None:
        main = GitRepository.main_of(self._git)
        try:
            config = foreign_config(data, (self._git if main is None else main).root / ".dvc", CONFIG)
        except InvalidInput as error:
            return Place("", None, error.message)
        chosen = config.default if name is None else name if _has(config, name) else None
        if chosen is None:
            return None
        try:
            folder = self._git.state_dir / "committed-dvc"
            return Place(chosen, config.open(folder, chosen, plain_http=self.plain_http))
        except ModelverError as error:
            return Place(chosen, None, error.message)


def _has(config: ForeignConfig, name: str) -> bool:
    return name in config.relative or f'remote "{name}"' in config.text
