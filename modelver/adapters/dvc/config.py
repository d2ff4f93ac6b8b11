"""Where DVC keeps its cache: its configuration files, without DVC.

Source of names, order and defaults: ``dvc.config.Config``, ``dvc.dirs`` and ``dvc.cachemgr.CacheManager`` (DVC 3).
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from modelver.disk.files import as_written
from modelver.errors import InvalidInput, Refused

_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """What DVC's configuration says of the cache.

    Attributes:
        folder: where the cache is; it need not exist.
        from_repository: the folder is the default one or was named by the repository itself (in ``.dvc/config``, which
            is in Git), not by its user.
        shared: the cache belongs to a group (``cache.shared = group``).
        others: caches to read from when an object is not in `folder`: that of the main working tree.
        sharable: the cache of the main working tree, where DVC itself would not find it: this is a linked working tree
            without settings of its own.
    """

    folder: Path
    from_repository: bool
    shared: bool
    others: tuple[Path, ...]
    sharable: Path | None = None


def cache_settings(root: Path) -> CacheSettings:
    """The settings of the DVC repository at ``root``, the folder that holds ``.dvc``.

    In a linked working tree (``git worktree add``) the main one's cache is read too, for DVC makes a new, empty one
    there (https://github.com/iterative/dvc/issues/5456), and its ``config.local`` stands in for a missing one.

    Raises:
        Refused: no ``.dvc`` there.
        InvalidInput: a configuration file that can't be parsed, or a cache that is no local folder.
    """
    if not (root / ".dvc").is_dir():
        raise Refused(f"{root} is not a DVC repository", hint="dvc init")
    twin = main_twin(root)
    local = root / ".dvc" / "config.local"
    if twin is not None and not local.exists():
        local = twin / ".dvc" / "config.local"
    folder, from_repository, shared = root / ".dvc" / "cache", True, False
    for path in (_site_config(), _user_config(), root / ".dvc" / "config", local):
        section = _cache_section(path)
        named = section.get("dir")
        if named:
            folder, from_repository = _resolve(path, named), path == root / ".dvc" / "config"
        shared = section.get("shared", "group" if shared else "") == "group"
    others = () if twin is None else (_twin_cache(twin),)
    alone = not (root / ".dvc" / "config.local").exists() and not (root / ".dvc" / "cache").exists()
    sharable = others[0] if others and alone and _cache_section(root / ".dvc" / "config").get("dir") is None else None
    return CacheSettings(folder, from_repository, shared, tuple(p for p in others if p != folder), sharable)


def _twin_cache(twin: Path) -> Path:
    folder = twin / ".dvc" / "cache"
    for path in (twin / ".dvc" / "config", twin / ".dvc" / "config.local"):
        named = _cache_section(path).get("dir")
        folder = _resolve(path, named) if named else folder
    return folder


def _resolve(config: Path, value: str) -> Path:
    if re.match(r"\w+://", value):
        raise InvalidInput(f"{config}: cache.dir {value} is no local folder")
    return as_written(config.parent / os.path.expanduser(value))  # noqa: PTH111  (as DVC: an unknown ~user stays)


def _cache_section(path: Path) -> dict[str, str]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InvalidInput(f"{path}: larger than a configuration file can be")
        text = path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except (UnicodeDecodeError, OSError) as error:
        raise InvalidInput(f"{path} can't be read: {error}") from None
    # DVC's own parser of these files
    from configobj import ConfigObj, ConfigObjError

    try:
        document = ConfigObj(text.splitlines(), interpolation=False).dict()
    except ConfigObjError as error:
        raise InvalidInput(f"{path}: {error}") from None
    section = next((v for k, v in document.items() if k.lower() == "cache"), None)
    if not isinstance(section, dict):
        return {}
    return {k.lower(): v for k, v in section.items() if isinstance(v, str)}


def _site_config() -> Path:
    folder = os.environ.get("DVC_SYSTEM_CONFIG_DIR")
    if not folder:
        folder = os.environ.get("XDG_CONFIG_DIRS", "").split(os.pathsep)[0] or "/etc/xdg"
        folder = str(Path(folder) / "dvc")
    return Path(folder) / "config"


def _user_config() -> Path:
    folder = os.environ.get("DVC_GLOBAL_CONFIG_DIR")
    if not folder:
        folder = str(Path(os.environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser()) / "dvc")
    return Path(folder) / "config"


def main_twin(root: Path) -> Path | None:
    """The same folder in the main working tree, where ``root`` lies in a linked one."""
    top = next((p for p in (root, *root.parents) if (p / ".git").exists()), None)
    if top is None or (top / ".git").is_dir():
        return None
    git_dir = _path_in(top / ".git", prefix="gitdir: ")
    common = None if git_dir is None else _path_in(git_dir / "commondir")
    if common is None:  # a submodule has its own Git folder, but no working tree besides
        return None
    main = common.parent if common.name == ".git" else _configured_worktree(common)
    twin = None if main is None else main / root.relative_to(top)
    return twin if twin is not None and (twin / ".dvc").is_dir() else None


def _path_in(file: Path, prefix: str = "") -> Path | None:
    """The path that one of Git's one-line files holds, relative to the file's folder."""
    try:
        text = file.read_text("utf-8", "surrogateescape")[:8192].rstrip("\n")
    except OSError:
        return None
    if not text.startswith(prefix):
        return None
    return as_written(file.parent / text.removeprefix(prefix))


def _configured_worktree(common: Path) -> Path | None:
    """``core.worktree`` of a submodule's Git folder, whose main working tree lies elsewhere."""
    try:
        text = (common / "config").read_text("utf-8", "surrogateescape")
    except OSError:
        return None
    found = re.search(r"^\s*worktree\s*=\s*\"?(.+?)\"?\s*$", text, re.MULTILINE)
    return as_written(common / found.group(1)) if found else None
