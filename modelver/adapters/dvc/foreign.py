"""The DVC configuration of somebody else's repository: what of it is used to read from its remotes, and no more."""

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelver.adapters.dvc.destination import Settings, reference
from modelver.adapters.dvc.joining import joined
from modelver.adapters.dvc.remote import DvcRemote
from modelver.adapters.dvc.secrets import without_secrets
from modelver.disk import as_written, write_atomic
from modelver.errors import ExternalFailure, InvalidInput, Refused

_MAX_BYTES = 1 << 20
_REMOTE = re.compile(r'\s*remote\s*"(.*)"\s*\Z')

_SETTINGS = """
url region profile endpointurl use_ssl allow_anonymous_login listobjects read_timeout connect_timeout timeout
access_key_id secret_access_key session_token sse_customer_algorithm sse_customer_key cache_regions
projectname port user password account_name account_key sas_token connection_string tenant_id client_id client_secret
connection_timeout oss_key_id oss_key_secret oss_endpoint auth method custom_auth_header token use_https kerberos
max_sessions worktree version_aware verify jobs checksum_jobs
"""

SETTINGS = frozenset(_SETTINGS.split())
"""Settings of a remote that are taken over (names of ``dvc.config_schema``).

Not among them are those that run a program (``bearer_token_command``), name files of this machine (``configpath``, that
may name a program in its turn, ``keyfile``, …), turn off the checking of certificates (``ssl_verify``) or ask the user
for a password."""


Join = Callable[[Mapping[str, Settings]], Mapping[str, Settings]]
"""Remotes by name, as that repository has them, to those that are opened."""


@dataclass(frozen=True, slots=True)
class ForeignConfig:
    """What is used of a configuration.

    Attributes:
        text: the configuration that DVC is given.
        default: the default remote's name; None where none is named.
        relative: remote → URL, of those that are relative to a clone that is not here.
        dropped: ``remote.NAME.SETTING`` that was left out.
    """

    text: str
    default: str | None
    relative: Mapping[str, str]
    dropped: tuple[str, ...]

    @property
    def remotes(self) -> dict[str, dict[str, Any]]:
        """Settings by the remote's name."""
        sections = _sections(self.text.encode(), "DVC's configuration")
        return {name: section for title, section in sections.items() if (name := _name(title)) is not None}

    def open(
        self,
        folder: Path,
        name: str | None = None,
        *,
        plain_http: bool | Collection[str] = False,
        local: Join = lambda theirs: theirs,
    ) -> DvcRemote:
        """The remote, with this configuration and what of the user's own, global one is for the same place (`joined`).

        Args:
            folder: a private folder to keep the configuration in; DVC reads files only.
            name: of the remote; None means the default one.
            plain_http: as `DvcRemote.open`.
            local: adds what the user has set in a clone of that repository (`LocalSettings`).

        Raises:
            Refused: there is no such remote, it is relative to a clone, it would have one of the user's own remotes
                speak to somebody else, or its line is not encrypted.
            InvalidInput: the configuration is broken.
            ExternalFailure: the disk failed, or what DVC needs for this storage is not installed.
        """
        data = self.text.encode()
        root = folder / hashlib.sha256(data).hexdigest()[:32]
        try:
            (root / ".dvc").mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ExternalFailure(f"{root}: {error.strerror}") from None
        write_atomic(root / ".dvc" / "config", data, mode=0o600)  # people do commit secrets
        chosen = (name or self.default or "").lower()
        if not chosen:
            raise Refused(
                "that repository names no default DVC remote", hint="--dvc-remote NAME, one of its own or of yours"
            )
        try:
            config, left_out = _joined(root, chosen, local)
            remark = "your own settings of that name are for another address, and were left out" if left_out else ""
            return DvcRemote.configured(config, chosen, plain_http=plain_http, remark=remark)
        except Refused:
            base = _base(chosen, self.remotes)
            if base in self.relative:
                raise _relative(base, self.relative[base]) from None
            raise


def foreign_config(data: bytes | None, base: Path | None, where: str) -> ForeignConfig:
    """Read the ``.dvc/config`` of another repository.

    Args:
        data: its bytes; None where there is none.
        base: the folder that relative paths in it start from; None where that is not on this machine.
        where: names it in messages.

    Raises:
        InvalidInput: it can't be parsed.
    """
    default: str | None = None
    relative: dict[str, str] = {}
    dropped: list[str] = []
    kept: dict[str, dict[str, Any]] = {}
    for title, section in _sections(data, where).items():
        if title == "core" and isinstance(section.get("remote"), str):
            default = section["remote"].lower()  # as DVC reads it
        name = _name(title)
        if name is None:
            continue
        settings = {key: value for key, value in section.items() if key in SETTINGS and isinstance(value, str)}
        dropped += [f"remote.{name}.{key}" for key in section if key not in settings]
        url = settings.get("url", "")
        if _is_relative(url) and base is not None:
            settings["url"] = str(as_written(base / url))
        elif _is_relative(url):
            relative[name] = url
            continue
        kept[f'remote "{name}"'] = settings
    if default is not None:
        kept["core"] = {"remote": default}
    _check_references({name: str(kept[title].get("url", "")) for title in kept if (name := _name(title))}, where)
    return ForeignConfig(_written(kept, where), default, relative, tuple(dropped))


def _name(title: str) -> str | None:
    match = _REMOTE.match(title)
    return match[1] if match else None


def _base(name: str, remotes: Mapping[str, Settings]) -> str:
    """What a remote is below, by ``remote://NAME/path``, down to the one that has an address, or is not among these."""
    while name in remotes and (below := reference(remotes[name])) is not None:
        name = below
    return name


def _joined(root: Path, name: str, local: Join) -> tuple[dict[str, Any], tuple[str, ...]]:
    """DVC's configuration for opening one remote, and the remotes of which the user's own settings are left out."""
    from dvc.config import Config, ConfigError

    try:
        config = Config(dvc_dir=str(root / ".dvc"), validate=False)
        own = config.load_config_to_level("repo")["remote"]  # the system's and the user's
        remotes, left_out = joined(name, local(config.load_one("repo")["remote"]), own)
        return Config.validate({**config, "remote": remotes}), left_out
    except (ConfigError, ValueError) as error:
        raise InvalidInput(f"DVC's configuration can't be read: {without_secrets(str(error))}") from None


def _check_references(urls: Mapping[str, str], where: str) -> None:
    """``remote://NAME/path`` is below another remote; DVC follows a circle of them for ever."""
    for start in urls:
        name, seen = start, set[str]()
        while name in urls:
            if name in seen:
                raise InvalidInput(f"{where}: remote {start} is said to be below itself")
            seen.add(name)
            try:
                name = reference({"url": urls[name]}) or ""
            except ValueError as error:
                raise InvalidInput(f"{where}: the URL of remote {name} can't be read: {error}") from None


def _written(sections: Mapping[str, Mapping[str, Any]], where: str) -> str:
    from configobj import ConfigObj, ConfigObjError  # quotes as DVC reads it

    if any("%(" in value for section in sections.values() for value in section.values()):
        raise InvalidInput(f"{where}: DVC takes %( in a value for the name of another one")
    try:
        return "".join(f"{line}\n" for line in ConfigObj(sections, interpolation=False).write())
    except ConfigObjError as error:
        raise InvalidInput(f"{where}: {error}") from None


def _sections(data: bytes | None, where: str) -> dict[str, dict[str, Any]]:
    if data is None:
        return {}
    if len(data) > _MAX_BYTES:
        raise InvalidInput(f"{where}: larger than a configuration file can be")
    from configobj import ConfigObj, ConfigObjError

    try:
        document = ConfigObj(data.decode("utf-8").splitlines(), interpolation=False).dict()
    except (UnicodeDecodeError, ConfigObjError) as error:
        raise InvalidInput(f"{where}: {error}") from None
    return {
        title.lower(): {key.lower(): value for key, value in section.items()}
        for title, section in document.items()
        if isinstance(section, dict)
    }


def _is_relative(url: str) -> bool:
    return bool(url) and not re.match(r"\w+://", url) and not url.startswith("~") and not Path(url).is_absolute()


def _relative(name: str, url: str) -> Refused:
    return Refused(
        f"DVC remote {name} of that repository is at {url}, which is relative to a clone, and there is none here",
        hint="clone it and use --repo PATH; or give the remote an address of your own: "
        f"dvc remote add --global {name} URL",
    )
