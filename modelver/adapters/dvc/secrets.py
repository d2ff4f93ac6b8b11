"""Keeping secrets out of messages."""

import os
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from modelver.core.addresses import without_credentials

_HIDDEN = "***"
_NAME = r"pass(?:word|wd|phrase)?|secret|token|(?:access|account|api)_?key(?:_?id)?|signature|credentials?|sas"
_NAMED = re.compile(rf"(?i)({_NAME})([\"']?\s*[=:]\s*[\"']?)[^\s&,;\"']+")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}")
_SECRET_NAME = re.compile(
    r"(?i)pass(word|wd|phrase)|secret|token|(access|account|api|customer)_?key|credential|sas_|connection_string"
)
_USER = re.compile(r"//[^/]*@")
_SHORTEST = 4
"""A shorter value is no secret, and would blot out words."""


def without_secrets(text: str, secrets: Iterable[str] = ()) -> str:
    """A message of a library's without the credentials that it may repeat.

    Taken out: the values given, those of environment variables whose names speak of secrets, what follows such a name
    in the text, and the user part of URLs.
    """
    text = _BEARER.sub(rf"\1 {_HIDDEN}", without_credentials(_without_values(text, secrets)))
    return _NAMED.sub(rf"\1\2{_HIDDEN}", text)


def storage_identity(url: str, secrets: Iterable[str] = ()) -> str:
    """The URL of a storage without credentials, all of its host and path kept: what tells it from others.

    Nothing behind the host's first ``/`` is taken for a password, as it is none to whoever connects. People are shown
    `without_secrets`, which hides more, so that two storages can look the same.
    """
    # in a folder's path neither an @ nor a question mark means anything
    own = _USER.sub("//", url, count=1).split("?")[0] if "://" in url else url
    return _without_values(own, secrets)


def _without_values(text: str, secrets: Iterable[str]) -> str:
    values = {*secrets, *secret_values(os.environ)}
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= _SHORTEST:
            text = text.replace(value, _HIDDEN).replace(quote(value, safe=""), _HIDDEN)
    return text


def secret_values(settings: Mapping[str, object]) -> set[str]:
    """The values of settings or variables whose names speak of secrets, but for paths of files."""
    return {
        str(value)
        for name, value in settings.items()
        if _SECRET_NAME.search(name) and isinstance(value, str) and not value.startswith(("/", "~", "./"))
    }
