"""A real S3 server for tests: OpenStack Swift with its S3 API, on loopback, from a venv of its own (`make swift`).

It checks signatures and checksums, does multipart, versioning and conditional writes, and its storage can be killed.
"""

import ctypes
import functools
import os
import pwd
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import Sandbox

TOP = Path(__file__).parents[1]
SETUP = "make swift"

# s3api must come before tempauth, and versioned_writes before symlink: the other way round a versioned bucket stores
# empty objects.
_PIPELINE = (
    "catch_errors gatekeeper healthcheck cache listing_formats bulk s3api tempauth slo versioned_writes symlink "
    "proxy-logging proxy-server"
)
# The memcache address has nobody behind it: Swift then does without a cache, and needs no daemon for one.
_PROXY = """\
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:9
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
user_other_nobody = nothing
[filter:slo]
use = egg:swift#slo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
[filter:symlink]
use = egg:swift#symlink
[filter:proxy-logging]
use = egg:swift#proxy_logging
"""


def venv() -> Path:
    """Where Swift is installed, or would be."""
    return Path(os.environ.get("MODELVER_SWIFT_VENV") or TOP / ".venv-swift").absolute()


def missing() -> str | None:
    """Why there can be no Swift here; None where there can."""
    if (venv() / "bin" / "swift-proxy-server").exists():
        return None
    return f"no S3 server in {venv()}: {SETUP}"


@dataclass
class S3:
    """A way to the server: its address, and the keys of a user who may do everything."""

    endpoint: str
    key: str = "test:tester"
    secret: str = "testing"

    def env(self) -> dict[str, str]:
        """The usual AWS variables."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        """A botocore client, for looking at the storage past modelver and DVC, and for harming it; it never retries."""
        return _client(self.endpoint, self.key, self.secret)

    def bucket(self) -> str:
        """A new bucket; its name."""
        name = f"b-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name

    def configure(self, box: Sandbox, bucket: str | None = None, prefix: str = "dvc", name: str = "storage") -> str:
        """Make a new bucket the repository's default DVC remote, committed; credentials come from the environment.

        Returns the bucket's name. Objects lie in it as ``PREFIX/files/md5/ab/cdef…``.
        """
        from configobj import ConfigObj

        bucket = bucket or self.bucket()
        config = ConfigObj(str(box.root / ".dvc" / "config"))
        config.setdefault("core", {})["remote"] = name
        config[f'remote "{name}"'] = {"url": f"s3://{bucket}/{prefix}", "endpointurl": self.endpoint}
        config.write()
        box.env.update(self.env())
        box.git("add", "--", ".dvc/config")
        box.git("commit", "-qm", "remote", "--", ".dvc/config")
        return bucket


class Swift(S3):
    """A running server; `start` makes one, `stop` ends it. It never outlives the process that started it."""

    def __init__(self, folder: Path, ports: list[int], servers: dict[str, subprocess.Popen[bytes]]) -> None:
        super().__init__(f"http://127.0.0.1:{ports[0]}")
        self._folder, self._ports, self._servers = folder, ports, servers

    @classmethod
    def start(cls, folder: Path) -> "Swift":
        """A new server with its files in ``folder``, whose file system must have user attributes."""
        _check_attributes(folder)
        for attempt in range(4):
            try:
                return cls._start(folder / str(attempt))
            except PortTaken:
                continue
        raise RuntimeError(f"Swift does not start; see {folder}/*/*.log")

    @classmethod
    def _start(cls, folder: Path) -> "Swift":
        (folder / "disk" / "disk").mkdir(parents=True)
        ports = free_ports(4)
        (folder / "swift.conf").write_text(
            "[swift-hash]\nswift_hash_path_suffix = t\nswift_hash_path_prefix = t\n"
            "[storage-policy:0]\nname = gold\ndefault = yes\n"
        )
        rings = [venv() / "bin" / "python", "-P", TOP / "tests" / "swift_rings.py", folder, *map(str, ports[1:])]
        subprocess.run(rings, check=True, capture_output=True)
        servers = {}
        for kind, port in zip(("account", "container", "object"), ports[1:], strict=True):
            (folder / f"{kind}.conf").write_text(
                f"{_common(folder, port)}devices = {folder}/disk\nmount_check = false\ndisable_fallocate = true\n"
                f"[pipeline:main]\npipeline = {kind}-server\n[app:{kind}-server]\nuse = egg:swift#{kind}\n"
            )
            servers[kind] = _run(folder, kind)
        (folder / "proxy.conf").write_text(
            f"{_common(folder, ports[0])}[pipeline:main]\npipeline = {_PIPELINE}\n{_PROXY}"
        )
        servers["proxy"] = _run(folder, "proxy")
        swift = cls(folder, ports, servers)
        try:
            for kind, port in zip(("proxy", "account", "container", "object"), ports, strict=True):
                _wait(servers[kind], port)
            swift.client().list_buckets()
        except BaseException:
            swift.stop()
            raise
        return swift

    @property
    def objects_dir(self) -> Path:
        """Where the object server keeps its ``.data`` files."""
        return self._folder / "disk" / "disk"

    def stop(self) -> None:
        """End every process."""
        for server in self._servers.values():
            server.kill()
        for server in self._servers.values():
            server.wait()

    def kill_storage(self) -> None:
        """SIGKILL the object server: the proxy then answers 503 to what needs it."""
        self._servers["object"].kill()
        self._servers["object"].wait()

    def start_storage(self) -> None:
        """Start the object server again where `kill_storage` ended it."""
        if self._servers["object"].poll() is not None:
            self._servers["object"] = _run(self._folder, "object")
            _wait(self._servers["object"], self._ports[3])

    @contextmanager
    def faulty(self, factory: str, **settings: object) -> Iterator[S3]:
        """A second proxy over the same storage, with a WSGI filter in front of it.

        Args:
            factory: ``module:function`` after paste.deploy's filter_factory, ``function(global_conf, **settings)``
                that returns ``filter(app)``; the module lies in tests/ and imports nothing beyond the standard library.
            settings: for the function, which gets them as strings, and one more named ``__name__``.
        """
        module = f"{factory.partition(':')[0]}.py"
        filters = self._folder / "filters"
        filters.mkdir(exist_ok=True)
        # a link: with tests/ itself on its path the server would take this module for Swift
        (filters / module).unlink(missing_ok=True)
        (filters / module).symlink_to(TOP / "tests" / module)
        port = free_ports(1)[0]
        name = f"proxy-{port}"
        options = "".join(f"{key} = {value}\n" for key, value in settings.items())
        (self._folder / f"{name}.conf").write_text(
            f"{_common(self._folder, port)}[pipeline:main]\npipeline = faulty {_PIPELINE}\n{_PROXY}"
            f"[filter:faulty]\npaste.filter_factory = {factory}\n{options}"
        )
        server = self._servers[name] = _run(self._folder, name)
        try:
            try:
                _wait(server, port)
            except PortTaken:
                log = (self._folder / f"{name}.log").read_text()
                raise RuntimeError(f"the server does not start with {factory}:\n{log[-2000:]}") from None
            yield S3(f"http://127.0.0.1:{port}")
        finally:
            server.kill()
            server.wait()
            del self._servers[name]


@functools.cache
def _client(endpoint: str, key: str, secret: str) -> Any:
    from botocore.config import Config
    from botocore.session import Session

    return Session().create_client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        region_name="us-east-1",
        config=Config(retries={"total_max_attempts": 1}),
    )


class PortTaken(Exception):
    """Somebody else got the port between choosing and using it."""


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listened on a moment ago."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def end_with_parent() -> None:
    """In a child, before exec: have the kernel kill it when its parent is gone, however that ended."""
    parent_death_signal = 1
    ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)


def _check_attributes(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        os.setxattr(folder, "user.swift.test", b"1")
    except OSError as error:
        raise RuntimeError(f"Swift needs user attributes in {folder}; set TMPDIR to a disk that has them") from error


def _common(folder: Path, port: int) -> str:
    return (
        f"[DEFAULT]\nswift_dir = {folder}\nbind_ip = 127.0.0.1\nbind_port = {port}\nworkers = 0\n"
        f"user = {pwd.getpwuid(os.getuid()).pw_name}\n"
    )


def _run(folder: Path, name: str) -> subprocess.Popen[bytes]:
    program = venv() / "bin" / f"swift-{name.split('-')[0]}-server"
    # without the variables of the test's own Python and proxy settings
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder / "filters"), "HOME": str(folder), "LANG": "C.UTF-8"}
    with (folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            [program, str(folder / f"{name}.conf")],
            cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=end_with_parent,
        )  # fmt: skip


def _wait(server: subprocess.Popen[bytes], port: int) -> None:
    """Until the server takes connections. None is used for a request: a filter may count them."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if server.poll() is not None:
            raise PortTaken
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise PortTaken
