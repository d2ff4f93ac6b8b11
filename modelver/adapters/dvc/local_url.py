"""URLs that DVC (seen in 3.67) takes for a folder of that name below the current one: ``file:///srv`` is none to it."""

import os
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from modelver.adapters.dvc.destination import Settings, reference
from modelver.errors import Refused

_FILE = re.compile(r"file:(?://[^/]*)?(/.*)", re.IGNORECASE | re.DOTALL)
_ANY = re.compile(r"(\w+)://[^/]*(/.*)?", re.DOTALL)


def folder_meant(url: str) -> str | None:
    """The folder that is meant by a URL which is no address to DVC; None for a URL or folder that DVC understands.

    Args:
        url: as the user wrote it.
    """
    if found := _FILE.fullmatch(url):
        return _path(found[1])
    found = _ANY.fullmatch(url)
    if found is None:
        return None
    from dvc_objects.fs import known_implementations  # what has none of these is a folder

    scheme = found[1].lower()
    return None if scheme == "remote" or scheme in known_implementations.keys() - {"local"} else _path(found[2] or "")


def refuse_misread(
    name: str, remotes: Mapping[str, Settings], path: str, option: Callable[[str], str] = lambda _: ""
) -> None:
    """Raise Refused where a folder would be made below the current one, whatever that is, and filled.

    Args:
        name: of a remote that is a folder.
        remotes: all of them, as DVC has read them: relative folders are absolute by then.
        path: of the remote, as DVC gives it to the file system.
        option: what `dvc remote modify` must be told to change the file in which a remote's URL stands.
    """
    named, url = name, str(remotes[name]["url"])
    while (base := reference(remotes[named])) is not None:
        named, url = base, str(remotes[base]["url"])
    meant = _meant(remotes[named]["url"], path)
    if meant is None:
        return
    raise Refused(
        f"DVC remote {name} is at {_written(url)}, which DVC takes for a folder below the current one, so that nobody "
        "else would find what is put there",
        hint=shlex.join(["dvc", "remote", "modify", *option(named).split(), named, "url", meant]),
    )


def _meant(url: Any, path: str) -> str | None:
    from dvc.config_schema import RelPath

    if not os.path.isabs(path):  # noqa: PTH117  (as DVC asks)
        return folder_meant(str(url)) or _path(str(url).partition("://")[2])
    # ``file:/srv`` was taken as relative to the configuration
    return folder_meant(_written(str(url))) if isinstance(url, RelPath) else None


def _written(url: str) -> str:
    """A URL as it stands in the configuration: DVC puts the configuration's folder before what it takes as relative."""
    return re.sub(r".*/\.dvc/(?=file:/)", "", url, flags=re.IGNORECASE | re.DOTALL)


def _path(text: str) -> str:
    return "/" + unquote(text).lstrip("/")
