"""Who signed an object, as Git's own verification tells."""

import re

from modelver.adapters.git.process import git_status
from modelver.adapters.git.repository import GitRepository

_SSH = re.compile(r'^Good "git" signature (?:for (?P<who>.+) )?with \S+ key (?P<key>SHA256:\S+)$', re.MULTILINE)
_GPG_NAME = re.compile(r"^\[GNUPG:\] GOODSIG (?P<key>\S+) (?P<who>.*)$", re.MULTILINE)
_GPG_KEY = re.compile(r"^\[GNUPG:\] VALIDSIG (?P<keys>.+)$", re.MULTILINE)
_ADDRESS = re.compile(r"<([^<>\s]+)>\s*$")


def signed_by(git: GitRepository, tag: str) -> set[str]:
    """The names of whoever signed a tag, if its signature is good; empty for none, or a bad one.

    SSH: the principal that ``gpg.ssh.allowedSignersFile`` gives the key, and the key's fingerprint (``SHA256:…``).
    GPG: the address of the key's user, and the key's fingerprints.

    Args:
        git: the repository.
        tag: a tag object's id.
    """
    config = [] if git.config("gpg.ssh.allowedSignersFile") else ["-c", "gpg.ssh.allowedSignersFile=/dev/null"]
    _, output, errors = git_status(git.root, [*config, "verify-tag", "--raw", "--", tag])
    return names_in((output + errors).decode("utf-8", "replace"))


def names_in(said: str) -> set[str]:
    """The names in what ``git verify-tag --raw`` says of a good signature; empty for a bad one."""
    names: set[str] = set()
    for match in _SSH.finditer(said):
        names |= {name for name in (match["who"], match["key"]) if name}
    for match in _GPG_NAME.finditer(said):
        address = _ADDRESS.search(match["who"])
        names |= {match["key"], *([address[1]] if address else [])}
    if names:
        names |= {key for match in _GPG_KEY.finditer(said) for key in match["keys"].split() if len(key) >= 40}
    return names
