"""Where the bytes and credentials of a DVC remote would go, told from its settings: no storage's package is needed."""

import re
from collections.abc import Collection, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from modelver.core.addresses import url_without_credentials
from modelver.errors import Refused

Settings = Mapping[str, Any]
"""Settings of one remote, by DVC's names (``dvc.config_schema``)."""

_UNENCRYPTED = {"http": "http", "webdav": "http", "webhdfs": "http", "hdfs": "http"}
"""DVC's protocols that go over the line as they are."""

_PORTS = {"http": 80, "webdav": 80, "https": 443, "webdavs": 443, "ssh": 22}

_PLAIN_URL = re.compile(
    r"([a-z][a-z0-9+.-]*)://(?:[^/?#@\\\s]*@)?([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?(?:/|\Z)", re.IGNORECASE
)
"""A URL of whose host no two libraries can be of two minds."""

_DECIDE = (
    "oss_endpoint", "account_name", "connection_string", "tenant_id", "profile", "port", "use_ssl", "use_https",
)  # fmt: skip
"""Settings beside the addresses that say who is spoken to, or how openly."""


def addresses(protocol: str, settings: Settings, path: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The URLs that would be spoken to, as far as settings and variables tell.

    An endpoint of OSS without a scheme is http (``oss2.api._normalize_endpoint``, to which ossfs hands it on), and
    Azure's connection string names scheme or endpoint (``parse_connection_str`` of azure-storage-blob).

    Args:
        protocol: of DVC's file system.
        settings: of the remote; those of ``fs_args`` may be among them.
        path: of the remote, as the file system takes it.
        environ: environment variables, which some storages read where a setting is missing.
    """
    if protocol == "azure":
        text = str(settings.get("connection_string") or environ.get("AZURE_STORAGE_CONNECTION_STRING") or "")
        return _azure(text)
    if protocol == "oss":
        endpoint = str(settings.get("oss_endpoint") or environ.get("OSS_ENDPOINT") or "")
        if not endpoint:
            return ()
        return (endpoint if endpoint.startswith(("http://", "https://")) else f"http://{endpoint}",)
    if settings.get("endpointurl"):
        return (str(settings["endpointurl"]),)
    if protocol == "s3":
        return ("https://" if settings.get("use_ssl", True) else "http://s3.amazonaws.com",)
    scheme = _UNENCRYPTED.get(protocol, "https")
    if settings.get("use_https"):  # of webhdfs
        scheme = "https"
    host, port = str(settings.get("host") or ""), settings.get("port")
    whole = next((text for text in (path, host) if "://" in text), None)  # of http in the path, of webdav in the host
    return (whole or f"{scheme}://{host or urlsplit(path).hostname or ''}{f':{port}' if port else ''}",)


def _azure(connection: str) -> tuple[str, ...]:
    pairs = (pair.partition("=") for pair in connection.split(";"))
    values = {key.strip().upper(): value.strip() for key, _, value in pairs}
    named = tuple(url for key in ("BLOBENDPOINT", "BLOBSECONDARYENDPOINT") if (url := values.get(key)))
    if named:
        return named
    account = values.get("ACCOUNTNAME", "")
    suffix = values.get("ENDPOINTSUFFIX") or "core.windows.net"
    return (f"{values.get('DEFAULTENDPOINTSPROTOCOL') or 'https'}://{account}.blob.{suffix}",)


def refuse_unencrypted(name: str, urls: Collection[str], allowed: bool | Collection[str]) -> None:
    """Raise Refused where a line beyond this machine is not encrypted.

    Args:
        name: of the remote.
        urls: what is spoken to.
        allowed: True lets all through; else hosts (``HOST``, ``HOST:PORT``) or URLs to which it may go.
    """
    for url in urls:
        parts = urlsplit(url)
        if allowed is True or parts.scheme != "http" or _is_loopback(parts.hostname or ""):
            continue
        if allowed is not False and any(_means(text, url) for text in allowed):
            continue
        where = f"http://{parts.netloc.rpartition('@')[2]}"
        clone = "" if allowed is False else f"; for good, in this clone: git config --add modelver.plainHttp {where}"
        raise Refused(
            f"DVC remote {name} is at {url_without_credentials(url).split('?')[0]}, and http is not encrypted: weights "
            "and credentials could be read and changed on the way",
            hint=f"use https, or --plain-http if that line is safe{clone}",
        )


def _means(text: str, url: str) -> bool:
    """Whether a host, a host and port, or a URL means the place that a URL is at."""
    there = _origin(url)
    here = _origin(text.strip() if "://" in text else f"http://{text.strip()}")
    bare = re.fullmatch(r"[^/:]+|\[[^\]]*\]", text.strip()) is not None
    return there is not None and here is not None and (here[1] == there[1] if bare else here == there)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reference(settings: Settings) -> str | None:
    """The remote that a remote is below, by ``remote://NAME/path``; None where it has an address of its own.

    Raises:
        ValueError: its URL can't be read.
    """
    parts = urlsplit(str(settings.get("url") or ""))
    return parts.netloc.lower() if parts.scheme == "remote" else None


def place(settings: Settings) -> tuple[object, ...] | None:
    """Who would be given the credentials among these settings; None where that can't be told.

    Two remotes of one place may share credentials. It is scheme, host (of an object storage: the bucket) and port of
    the URL, those of an endpoint, and what else decides who is spoken to. The path below does not count, as it does not
    for Git's own credentials.
    """
    url, endpoint = str(settings.get("url") or ""), str(settings.get("endpointurl") or "")
    if not url or (endpoint and _origin(endpoint) is None):
        return None
    if "://" not in url:  # a folder
        return None if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", url) else ("folder",)
    origin = _origin(url)
    if origin is None:
        return None
    decided = tuple(str(settings.get(key) or "") for key in _DECIDE)
    return (*origin, _origin(endpoint) if endpoint else None, *decided)


def _origin(url: str) -> tuple[str, str, int | None] | None:
    found = _PLAIN_URL.match(url)
    if found is None:
        return None
    scheme, host, port = found[1].lower(), found[2].lower(), found[3]
    return scheme, host, int(port) if port else _PORTS.get(scheme)
