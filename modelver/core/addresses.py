"""Addresses of Git and DVC remotes: what in them is secret, and whether the line to them is encrypted. Pure."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

_WORD = re.compile(r"\S+")
# A path of this machine has nobody who logs in, and may hold an @.
_SCHEME = re.compile(r"(?<![a-z0-9+.-])(?!file:///)[a-z0-9+.-]+://", re.IGNORECASE)
_PLAIN = re.compile(r"(?:[a-z0-9+.-]+::)?((?:http|git|ftp)://.*)", re.IGNORECASE | re.DOTALL)
_CUT = "***@"
_ENDS = re.compile(r"[\s/@:?#]")
_SHORTEST = 4
"""A shorter piece of a password would blot out words."""


def without_credentials(text: str, *given: str) -> str:
    """A text without the user names and passwords of the URLs in it.

    Whatever stands before the last ``@`` of a word with a URL is left out: a password may hold an ``@``, and one that
    was not percent-encoded a ``/``. Where that could have been a part of the path, ``***@`` says that something is
    missing.

    Args:
        text: what a program said.
        given: what it was given, URLs among it. Where one holds a password that is not percent-encoded, the program may
            have taken a piece of that for a host or a path, and tell of the piece alone.
    """
    for word in given:
        user, colon, password = _parts(word)[1].partition(":")
        secret = password if colon and not _ENDS.search(user) else user + colon + password
        if _ENDS.search(secret):
            for piece in _ENDS.split(secret):
                text = text.replace(piece, "***") if len(piece) >= _SHORTEST else text
    return _WORD.sub(lambda word: url_without_credentials(word[0]), text)


def url_without_credentials(url: str) -> str:
    """As `without_credentials`, of one URL, name or path: blanks end nothing in it."""
    scheme, hidden, rest = _parts(url)
    return scheme + (_CUT if "/" in hidden else "") + rest


def is_cut(url: str) -> bool:
    """Whether a URL of `url_without_credentials` may lack a part of its host or path."""
    return f"://{_CUT}" in url


def is_plain(url: str) -> bool:
    """Whether what goes to a Git URL can be read on the way: ``http``, ``git`` or ``ftp``, and not to this machine."""
    found = _PLAIN.match(url)
    if found is None:
        return False
    try:
        return not is_loopback(urlsplit(found[1]).hostname)
    except ValueError:  # no host that anybody could read
        return True


def is_loopback(host: str | None) -> bool:
    """Whether a host name or IP address is this machine."""
    try:
        return host == "localhost" or ip_address(host or "").is_loopback
    except ValueError:
        return False


def _parts(url: str) -> tuple[str, str, str]:
    """What stands up to ``://``, between that and the last ``@``, and behind it; only the last where one is missing."""
    at = url.rfind("@")
    scheme = _SCHEME.search(url, 0, at) if at > 0 else None
    return ("", "", url) if scheme is None else (url[: scheme.end()], url[scheme.end() : at], url[at + 1 :])
