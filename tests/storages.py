"""DVC remotes of each kind, and a way to their bytes that passes by modelver."""

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh
from swift import S3, end_with_parent

from modelver.adapters.dvc import DvcRemote

TESTS = Path(__file__).parent


@dataclass
class Place:
    """A remote of which the tests see the inside.

    Attributes:
        remote: as modelver opens it.
        raw: path below the remote's root → bytes, None where nothing is.
        put: path, bytes: put them there.
        names: every path there.
    """

    remote: DvcRemote
    raw: Callable[[str], bytes | None]
    put: Callable[[str, bytes], object]
    names: Callable[[], list[str]]


def repository(top: Path, settings: dict[str, str], local: dict[str, str] | None = None) -> Path:
    """A folder with a DVC configuration of one remote, named ``r``."""
    (top / ".dvc").mkdir(parents=True, exist_ok=True)
    for name, values in (("config", settings), ("config.local", local or {})):
        lines = "".join(f"    {key} = {value}\n" for key, value in values.items())
        (top / ".dvc" / name).write_text(f"[core]\n    remote = r\n['remote \"r\"']\n{lines}")
    return top


def in_folder(top: Path, folder: Path) -> Place:
    remote = DvcRemote.open(repository(top, {"url": str(folder)}))
    return Place(remote, *_folder_access(folder))


def in_bucket(top: Path, server: S3, bucket: str, prefix: str = "p", **settings: str) -> Place:
    """Credentials come from the environment."""
    remote = DvcRemote.open(
        repository(top, {"url": f"s3://{bucket}/{prefix}", "endpointurl": server.endpoint, **settings})
    )
    client = server.client()

    def raw(path: str) -> bytes | None:
        try:
            return bytes(client.get_object(Bucket=bucket, Key=f"{prefix}/{path}")["Body"].read())
        except client.exceptions.NoSuchKey:
            return None

    def names() -> list[str]:
        found = client.list_objects_v2(Bucket=bucket).get("Contents", [])
        return [entry["Key"].removeprefix(f"{prefix}/") for entry in found]

    return Place(
        remote, raw, lambda path, data: client.put_object(Bucket=bucket, Key=f"{prefix}/{path}", Body=data), names
    )


@dataclass
class SshServer:
    """A running SSH server.

    Attributes:
        port: on loopback.
        folder: holds the client's key ``key`` and ``root``, what the server shows as its top.
    """

    port: int
    folder: Path

    def place(self, top: Path, user: str = "tester") -> Place:
        """A new folder there, for a user."""
        path = f"store/a b {uuid.uuid4().hex}"
        settings = {"url": f"ssh://{user}@127.0.0.1:{self.port}/{path}", "keyfile": str(self.folder / "key")}
        return Place(DvcRemote.open(repository(top, settings)), *_folder_access(self.folder / "root" / path))


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """A server whose host key is in ``folder/home/.ssh/known_hosts``."""
    host, client = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
    (folder / "root" / "store").mkdir(parents=True)
    host.write_private_key(folder / "host_key")
    client.write_private_key(folder / "key")
    (folder / "authorized").write_bytes(client.export_public_key())
    command = [sys.executable, "-P", str(TESTS / "ssh_server.py"), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=end_with_parent) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            known = folder / "home" / ".ssh" / "known_hosts"
            known.parent.mkdir(parents=True)
            known.write_text(f"[127.0.0.1]:{port} {host.export_public_key().decode()}")
            yield SshServer(port, folder)
        finally:
            server.kill()


def _folder_access(
    folder: Path,
) -> tuple[Callable[[str], bytes | None], Callable[[str, bytes], object], Callable[[], list[str]]]:
    def raw(path: str) -> bytes | None:
        return (folder / path).read_bytes() if (folder / path).is_file() else None

    def put(path: str, data: bytes) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).unlink(missing_ok=True)
        (folder / path).write_bytes(data)

    def names() -> list[str]:
        return [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]

    return raw, put, names
