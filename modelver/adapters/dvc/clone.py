"""The DVC configuration of a clone: its files as DVC joins them, also in a linked working tree, which lacks some."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelver.adapters.dvc.config import main_twin
from modelver.adapters.dvc.destination import Settings, place
from modelver.adapters.dvc.joining import Remotes, resolved
from modelver.adapters.dvc.secrets import without_secrets
from modelver.disk import as_written
from modelver.errors import InvalidInput

_ADDRESS = ("url", "endpointurl", "oss_endpoint")


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """What ``.dvc/config.local`` says, which Git ignores: the user's own word about this clone.

    Attributes:
        default: the default remote; None where it names none.
        remotes: settings by the remote's name; paths are absolute.
    """

    default: str | None
    remotes: Mapping[str, Settings]

    def over(self, theirs: Remotes, known: Sequence[Remotes]) -> dict[str, dict[str, Any]]:
        """Remotes of another commit as this clone's user has them: what is set here has the last word, as for DVC.

        Args:
            theirs: of that commit.
            known: of the commits that the settings were made for; they count only for what is at the same place.
        """
        whole = _merged(theirs, self.remotes)
        return _merged(theirs, {n: s for n, s in self.remotes.items() if self._fits(n, whole, known)})

    def lent(self, theirs: Remotes, known: Sequence[Remotes]) -> dict[str, dict[str, Any]]:
        """Remotes where others have them, with what this clone's user has set to be let in; arguments as `over`."""
        keys = {
            name: {key: value for key, value in own.items() if key not in _ADDRESS}
            for name, own in self.remotes.items()
            if name in theirs
        }
        whole = _merged(theirs, keys)
        return _merged(theirs, {n: s for n, s in keys.items() if self._fits(n, whole, known)})

    def _fits(self, name: str, whole: Remotes, known: Sequence[Remotes]) -> bool:
        """Whether a remote goes where the user's settings of that name go."""
        there = _server(name, whole)
        return there is not None and any(_server(name, _merged(one, self.remotes)) == there for one in known)


def _merged(one: Remotes, over: Remotes) -> dict[str, dict[str, Any]]:
    return {name: {**one.get(name, {}), **over.get(name, {})} for name in {*one, *over}}


def _server(name: str, remotes: Remotes) -> tuple[object, ...] | None:
    """Who is spoken to: of S3 the endpoint, whatever the bucket."""
    settings = resolved(name, remotes)
    if str(settings.get("url") or "").startswith("s3://"):
        settings["url"] = "s3://any"
    return place(settings)


def clone_config(root: Path) -> Any:
    """DVC's configuration of the repository at ``root``, the folder that holds ``.dvc``, as a ``dvc.config.Config``.

    In a linked working tree (``git worktree add``) two things are found that DVC itself misses there: where its
    ``config.local`` names no remote, the main working tree's counts; and a relative folder that leads nowhere from
    there is taken from the main one, as in any clone that is none.

    Raises:
        InvalidInput: it can't be read.
    """
    from dvc.config import Config, ConfigError
    from dvc.config_schema import RelPath

    twin = main_twin(root)
    try:
        if twin is None:
            return Config(dvc_dir=str(root / ".dvc"))
        own = Config(dvc_dir=str(root / ".dvc"), validate=False).load_one("local")
        alone = not own["remote"] and not own["core"].get("remote")
        found = Config(dvc_dir=str(root / ".dvc"), local_dvc_dir=str(twin / ".dvc") if alone else None)
        for name, settings in found.load_one("repo")["remote"].items():
            url = settings.get("url")
            if not isinstance(url, RelPath) or found["remote"][name]["url"] != url or Path(url).is_dir():
                continue
            main = as_written(twin / ".dvc" / os.path.relpath(url, root / ".dvc"))
            if main.is_dir():
                found["remote"][name]["url"] = str(main)
        return found
    except (ConfigError, ValueError) as error:
        raise InvalidInput(f"DVC's configuration can't be read: {without_secrets(str(error))}") from None


def local_settings(root: Path) -> LocalSettings:
    """What ``.dvc/config.local`` says at ``root``, or what stands in for it there; raises as `clone_config`."""
    from dvc.config import ConfigError

    if not (root / ".dvc").is_dir() and main_twin(root) is None:
        return LocalSettings(None, {})
    try:
        found = clone_config(root).load_one("local")
    except ConfigError as error:
        raise InvalidInput(f"DVC's configuration can't be read: {without_secrets(str(error))}") from None
    return LocalSettings(found["core"].get("remote"), found["remote"])
