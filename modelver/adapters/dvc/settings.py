"""DVC's configuration as its files have it: which file says what, so that one of them can be mended."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelver.disk.files import as_written
from modelver.errors import InvalidInput, Refused

OWN_LEVELS = ("repo", "local")
"""Configuration files that belong to the repository: ``.dvc/config`` and ``.dvc/config.local``."""


@dataclass(frozen=True, slots=True)
class RemoteUrl:
    """What one configuration file says of one remote.

    Attributes:
        level: DVC's name of the file: system, global, repo, local.
        name: of the remote.
        url: as it is written there.
        path: a relative folder made absolute; None for anything else.
    """

    level: str
    name: str
    url: str
    path: Path | None


class DvcSettings:
    """The configuration files of a DVC repository, each by itself.

    Args:
        root: the folder that holds ``.dvc``.

    Raises:
        InvalidInput: a file can't be parsed.
    """

    def __init__(self, root: Path) -> None:
        from dvc.config import Config, ConfigError

        self._root = root
        try:
            config = Config(dvc_dir=str(root / ".dvc"), validate=False)
            self._levels: list[tuple[str, Path, dict[str, Any]]] = [
                (level, Path(file), config.load_file(file)) for level, file in config.files.items() if _exists(file)
            ]
        except ConfigError as error:
            raise InvalidInput(f"DVC's configuration can't be read: {error}") from None

    @property
    def link_types(self) -> tuple[str, list[str]]:
        """The file that has the last word on how files leave the cache, and its link types, in order of preference."""
        found: tuple[str, list[str]] = ("", [])
        for level, _, values in self._levels:
            kinds = values.get("cache", {}).get("type")
            if kinds:
                words = kinds if isinstance(kinds, list) else str(kinds).split(",")
                found = level, [word.strip().lower() for word in words]
        return found

    @property
    def hardlink_lock(self) -> bool:
        """Whether DVC locks by hard links, which outlive their process."""
        words = [values.get("core", {}).get("hardlink_lock") for _, _, values in self._levels]
        return str(next((word for word in reversed(words) if word is not None), "")).lower() in ("true", "1", "yes")

    def remotes(self) -> Iterator[RemoteUrl]:
        """All remotes that have a URL."""
        for level, file, values in self._levels:
            for name, remote in values.get("remote", {}).items():
                url = str(remote.get("url") or "")
                if not url:
                    continue
                relative = not re.match(r"\w+://", url) and not os.path.isabs(os.path.expanduser(url))  # noqa: PTH111, PTH117
                path = as_written(file.parent / url) if relative else None
                yield RemoteUrl(level, name, url, path)

    def of_remote(self, level: str, name: str) -> Mapping[str, Any]:
        """What one of the files says of a remote; empty where it says nothing."""
        found: Mapping[str, Any] = next(
            (v.get("remote", {}).get(name, {}) for at, _, v in self._levels if at == level), {}
        )
        return found

    def set_link_types(self, level: str, kinds: list[str]) -> None:
        """Write ``cache.type`` into one of the files."""
        self._edit(level, lambda values: values.setdefault("cache", {}).update(type=",".join(kinds)))

    def set_remote_url(self, level: str, name: str, url: str) -> None:
        """Write a remote's URL into one of the files."""
        self._edit(level, lambda values: values["remote"][name].update(url=url))

    def _edit(self, level: str, change: Any) -> None:
        """Raises Refused where a link would lead the writing elsewhere."""
        from dvc.config import Config, ConfigError

        for place in (self._root / ".dvc", self._root / ".dvc" / "config", self._root / ".dvc" / "config.local"):
            if place.is_symlink():
                raise Refused(f"{place} is a symbolic link; nothing is written through it", hint=f"rm {place}")
        try:
            with Config(dvc_dir=str(self._root / ".dvc"), validate=False).edit(level) as values:
                change(values)
        except ConfigError as error:
            raise InvalidInput(f"DVC's configuration can't be written: {error}") from None


def _exists(file: str) -> bool:
    return Path(file).is_file()
