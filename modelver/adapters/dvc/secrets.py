"""Keeping secrets out of messages."""

import os
import re

_NAMED = re.compile(r"(?i)(password|secret|token|access_?key(?:_?id)?|signature|credential)(\s*[=:]\s*)[^\s&,;\"']+")
_IN_URL = re.compile(r"([a-z][a-z0-9+.-]*://)[^/@\s]+@", re.IGNORECASE)
_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")


def without_secrets(text: str) -> str:
    """A message of a library's without the credentials that it may repeat."""
    for name in _VARIABLES:
        value = os.environ.get(name)
        if value and len(value) >= 4:
            text = text.replace(value, "***")
    return _NAMED.sub(r"\1\2***", _IN_URL.sub(r"\1", text))
