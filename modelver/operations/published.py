"""What the Git remotes have: all their refs, brought here for as long as they are looked at."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelver.adapters.git import GitRepository, run_git
from modelver.adapters.git.patience import TALK_TIMEOUT, patience
from modelver.adapters.git.remotes import GitRemote, as_it_is, fetch_urls, places
from modelver.core.addresses import url_without_credentials
from modelver.errors import ExternalFailure

FETCHED = "refs/modelver/fetched"
"""Where the refs of Git remotes are in the Git directory that they are fetched to, below the number of each place."""

_SCRATCH = "gc-"


@dataclass(frozen=True, slots=True)
class Place:
    """Somewhere that refs are asked for.

    Attributes:
        remote: the Git remote.
        address: its name, or a URL.
    """

    remote: GitRemote
    address: str

    @property
    def by_name(self) -> bool:
        """Whether Git applies the remote's own configuration."""
        return self.address == self.remote.name

    @property
    def shown(self) -> str:
        """What people are told."""
        return (
            self.remote.shown if self.by_name else f"{self.remote} (pushed to {url_without_credentials(self.address)})"
        )

    def urls(self, git: GitRepository) -> list[str]:
        """Where Git connects to."""
        return fetch_urls(git.root, self.remote) if self.by_name else [self.address]


def published_places(git: GitRepository) -> list[Place]:
    """All places that versions may have been pushed to: of every remote, and what a branch is pushed to by its URL."""
    names = git.text("remote").splitlines()
    keys = r"^(remote\.pushdefault|branch\..*\.(remote|pushremote))$"
    pairs = git.run("config", "-z", "--get-regexp", keys, ok=(0, 1)).split(b"\0")[:-1]
    others = {os.fsdecode(pair.partition(b"\n")[2]) for pair in pairs} - {*names, ".", ""}
    remotes = map(GitRemote, [*names, *sorted(name for name in others if not name.startswith("-"))])
    return [Place(remote, address) for remote in remotes for address in places(git.root, remote)]


@contextmanager
def fetched(git: GitRepository, asked: Sequence[Place]) -> Iterator[Path | None]:
    """Fetch all refs of these places, until the block ends, into a Git directory of their own.

    It shares the repository's objects and knows its refs, so that little has to come. The user's refs are not touched,
    nor does a Git that is killed leave a lock among them. Gives None where there is no place to ask.

    Raises:
        ExternalFailure: one of them can't be reached.
    """
    if not asked:
        yield None
        return
    scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=git.state_dir))
    try:
        _share(git, scratch)
        env = {"GIT_DIR": str(scratch), "GIT_OBJECT_DIRECTORY": str(git.common_dir / "objects")}
        for number, place in enumerate(asked):
            command = [
                "-c", "maintenance.auto=false", "-c", "gc.auto=0", "fetch", "--quiet", "--no-tags", "--no-prune",
                "--no-prune-tags", "--refmap=", "--no-write-fetch-head", "--no-recurse-submodules", "--", place.address,
                f"+refs/*:{FETCHED}/{number}/*",
            ]  # fmt: skip
            try:
                own = env if place.by_name else env | as_it_is(place.address)
                run_git(git.root, command, env=patience(git.root, own), timeout=TALK_TIMEOUT)
            except ExternalFailure as failure:
                raise ExternalFailure(
                    f"Git remote {place.shown} can't be asked what it still needs: {failure.message}",
                    hint="nothing was removed; try again when it can be reached",
                ) from None
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def clear_scratch(git: GitRepository) -> None:
    """Remove what a killed gc left of `fetched`; whoever calls it holds gc's lock."""
    for entry in git.state_dir.glob(f"{_SCRATCH}*"):
        shutil.rmtree(entry, ignore_errors=True)


def _share(git: GitRepository, scratch: Path) -> None:
    """Make ``scratch`` a Git directory with the repository's configuration and refs."""
    (scratch / "refs").mkdir()
    (scratch / "HEAD").write_text("ref: refs/heads/none\n")
    kind = git.config("extensions.objectFormat")
    version = f"[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectFormat = {kind}\n" if kind else ""
    config = str(git.common_dir / "config").replace("\\", "\\\\").replace('"', '\\"')
    (scratch / "config").write_text(f'{version}[include]\n\tpath = "{config}"\n')
    refs = git.run("for-each-ref", "--format=%(objectname) %(refname)")
    (scratch / "packed-refs").write_bytes(refs)
