"""Git remotes: what Git is told of one and what people are, where it is, and whether the line to it is encrypted."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from modelver.adapters.git.process import git_status, settings
from modelver.core.addresses import is_plain, url_without_credentials
from modelver.errors import Refused


@dataclass(frozen=True, slots=True)
class GitRemote:
    """A Git remote. As text, in a message or a file, it has no credentials.

    Attributes:
        name: what Git is told: a name, a URL or a path. A URL may hold a password.
    """

    name: str = field(repr=False)

    @property
    def shown(self) -> str:
        """What people are told, and what is kept."""
        return url_without_credentials(self.name)

    def __str__(self) -> str:
        return self.shown


def fetch_urls(root: Path, remote: GitRemote) -> list[str]:
    """Where Git fetches from, ``url.*.insteadOf`` applied; a name that means nothing is its own URL."""
    return _urls(root, "ls-remote", "--get-url", "--", remote.name) or [remote.name]


def push_urls(root: Path, remote: GitRemote) -> list[str]:
    """Where Git pushes to, ``pushurl``, ``url.*.insteadOf`` and ``pushInsteadOf`` applied."""
    known = _urls(root, "remote", "get-url", "--push", "--all", "--", remote.name)
    if known:
        return known
    # Git tells this of remotes with a name only
    found = _output(root, "config", "-z", "--get-regexp", r"^url\..*\.pushinsteadof$").split("\0")[:-1]
    rules = [
        (start, key[len("url.") : -len(".pushinsteadof")]) for key, _, start in (rule.partition("\n") for rule in found)
    ]
    fitting = [(start, base) for start, base in rules if remote.name.startswith(start)]
    if not fitting:
        return fetch_urls(root, remote)
    start, base = max(fitting, key=lambda rule: len(rule[0]))
    return [base + remote.name.removeprefix(start)]


def places(root: Path, remote: GitRemote) -> list[str]:
    """All that must be asked to know what a remote has: it by its name, and the other URLs that it is pushed to.

    To fetch from a mirror and push to another place is common: ``remote.NAME.pushurl``, several ``remote.NAME.url``.
    """
    known = fetch_urls(root, remote)
    by_name = [] if remote.name in known and _is_no_place(root, remote.name) else [remote.name]
    return [*by_name, *(url for url in dict.fromkeys(used_push_urls(root, remote)) if url not in known)]


def published_at(root: Path, remote: GitRemote) -> str:
    """What must be asked about what was pushed to a remote: its name, or the URL that it is pushed to if another."""
    urls = used_push_urls(root, remote)
    return remote.name if not urls or urls[0] in fetch_urls(root, remote) else urls[0]


def as_it_is(url: str) -> dict[str, str]:
    """Environment in which Git takes a URL as it is: ``url.*.insteadOf`` was applied when it was found out."""
    return settings((f"url.{url}.insteadOf", url))  # of all rules that fit the longest wins


def used_push_urls(root: Path, remote: GitRemote) -> list[str]:
    """The push URLs without those that only keep people from pushing: ``no_push``, ``DISABLED``, ``/dev/null``."""
    return [url for url in push_urls(root, remote) if not _is_no_place(root, url)]


def _is_no_place(root: Path, url: str) -> bool:
    if ":" in url:
        return False
    place = root / url
    return not place.is_dir() if place.exists() else "/" not in url


def refuse_plain_http(remote: GitRemote, urls: Sequence[str]) -> None:
    """Raise Refused if what goes to one of a remote's URLs can be read and changed on the way."""
    for url in urls:
        if is_plain(url):
            shown = url_without_credentials(url)
            where = shown if shown == remote.shown else f"{remote} is at {shown}, which"
            raise Refused(
                f"{where} is not encrypted: passwords, tags and commits could be read and changed on the way",
                hint="use https or ssh, or --plain-http if that line is safe",
            )


def _urls(root: Path, *args: str) -> list[str]:
    return _output(root, *args).splitlines()


def _output(root: Path, *args: str) -> str:
    """What Git says; nothing where it fails."""
    status, output, _ = git_status(root, args)
    return output.decode("utf-8", "surrogateescape") if status == 0 else ""
