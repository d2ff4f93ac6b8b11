"""`get` from somebody else's repository: the user's own credentials go where the user meant them to go."""

import base64
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from consumer import World, files_in, make_world
from sandbox import Sandbox

from modelver.adapters.dvc.destination import place
from modelver.adapters.dvc.joining import joined
from modelver.errors import Refused

PASSWORD = "canary-password"
LOGIN = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
KEY = "CANARYACCESSKEY"


class Listener:
    """A web server that writes down what it is sent, and serves a DVC storage to whoever logs in."""

    def __init__(self, storage: Path) -> None:
        heard: list[tuple[str, dict[str, str]]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                heard.append((self.path, dict(self.headers)))
                if self.headers.get("Authorization") != LOGIN:
                    self._answer(401, b"")
                elif (storage / self.path.partition("/x/")[2]).is_file():
                    self._answer(200, (storage / self.path.partition("/x/")[2]).read_bytes())
                else:
                    self._answer(404, b"")

            def do_HEAD(self) -> None:
                self.do_GET()

            def _answer(self, status: int, data: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.heard = heard
        Thread(target=self.server.serve_forever, daemon=True).start()

    def text(self) -> str:
        return repr(self.heard)


@pytest.fixture
def world(tmp_path, tmp_path_factory) -> World:
    return make_world(tmp_path, tmp_path_factory)


@pytest.fixture
def listeners(world) -> Iterator[tuple[Listener, Listener]]:
    """The user's own storage, and somebody else's."""
    both = Listener(world.base / "storage"), Listener(world.base / "storage")
    yield both
    for one in both:
        one.server.shutdown()
        one.server.server_close()


@pytest.fixture
def foreign(world, tmp_path) -> Sandbox:
    shutil.copytree(world.base / "repo", tmp_path / "foreign", symlinks=True)
    box = Sandbox(tmp_path / "foreign", dict(world.box.env))
    box.git("config", "core.hooksPath", "/dev/null")
    box.git("checkout", "-q", "-B", "main", "m@v1.0.1")
    return box


def remote(name: str, **settings: str) -> str:
    return f"['remote \"{name}\"']\n" + "".join(f"    {key} = {value}\n" for key, value in settings.items())


def configure(world: World, foreign: Sandbox, own: str, theirs: str) -> None:
    config = Path(world.box.env["XDG_CONFIG_HOME"]) / "dvc" / "config"
    config.parent.mkdir(parents=True)
    config.write_text(own)
    foreign.write(".dvc/config", theirs)
    foreign.commit("config", ".dvc/config")
    foreign.git("tag", "-f", "-a", "-m", "made by hand", "m@v9.0.0")


def own_storage(good: Listener) -> str:
    return remote("storage", url=f"{good.url}/x", auth="basic", user="me", password=PASSWORD)


def default(name: str) -> str:
    return f"[core]\n    remote = {name}\n"


def test_another_address_under_the_same_name_gets_no_password(world, foreign, listeners):
    good, evil = listeners
    theirs = default("storage") + remote("storage", url=f"{evil.url}/x", auth="basic", user="me")
    configure(world, foreign, own_storage(good), theirs)
    done = world.mv("get", "m@v9.0.0", "--repo", str(foreign.root), "-o", "out", status=None)
    assert done.status in (2, 3)
    assert PASSWORD not in done.err
    assert "Authorization" not in evil.text()
    assert good.heard == []


def test_what_was_left_out_is_said_where_it_fails(world, foreign, listeners):
    good, evil = listeners
    configure(world, foreign, own_storage(good), default("storage") + remote("storage", url=f"{evil.url}/x"))
    done = world.mv("get", "m@v9.0.0", "--repo", str(foreign.root), "-o", "out", status=3)
    assert "your own settings of that name are for another address, and were left out" in done.err
    assert evil.heard
    assert "Authorization" not in evil.text()


def test_the_same_address_gets_it_and_the_version_comes(world, foreign, listeners):
    good, _ = listeners
    theirs = default("storage") + remote("storage", url=f"{good.url}/x")
    configure(world, foreign, own_storage(good).replace("/x", "/elsewhere"), theirs)
    right = {entry["path"]: world.stored(entry["md5"]).read_bytes() for entry in world.files("m", "v1.0.1")}
    world.mv("get", "m@v9.0.0", "--repo", str(foreign.root), "-o", "out")
    assert files_in(world.box.root / "out") == right
    assert LOGIN in good.text()


def test_a_remote_of_ones_own_is_not_led_elsewhere(world, foreign, listeners):
    """``--dvc-remote mine`` is below the user's own ``storage``, not below what the repository calls so."""
    good, evil = listeners
    own = own_storage(good) + remote("mine", url="remote://storage", password=PASSWORD)
    theirs = default("mine") + remote("storage", url=f"{evil.url}/x")
    configure(world, foreign, own, theirs)
    world.mv("get", "m@v9.0.0", "--repo", str(foreign.root), "-o", "out")
    world.forget()
    world.mv("get", "m@v9.0.0", "--repo", str(foreign.root), "-o", "again", "--dvc-remote", "mine")
    assert LOGIN in good.text()
    assert evil.heard == []


@pytest.mark.parametrize("below", [False, True])
def test_another_endpoint_gets_no_access_key(world, foreign, listeners, below):
    _, evil = listeners
    own = remote("storage", url="s3://b/p", access_key_id=KEY, secret_access_key=PASSWORD)
    if below:
        theirs = default("x") + remote("x", url="remote://storage/q", endpointurl=evil.url)
    else:
        theirs = default("storage") + remote("storage", url="s3://b/p", endpointurl=evil.url)
    configure(world, foreign, own, theirs)
    aws = {"AWS_ACCESS_KEY_ID": "of-the-environment", "AWS_SECRET_ACCESS_KEY": "of-the-environment"}
    done = world.mv("get", "m@v9.0.0", "--repo", str(foreign.root), "-o", "out", status=2 if below else 3, **aws)
    assert KEY not in evil.text()
    assert PASSWORD not in done.err
    assert bool(evil.heard) is not below
    if below:
        assert "your own remote 'storage'" in done.err


# The rule by itself


OWN = {"url": "https://good.example/x", "password": "p"}


@pytest.mark.parametrize(
    ("theirs", "shared"),
    [
        ({"url": "https://good.example/y"}, True),
        ({"url": "https://GOOD.example:443/y"}, True),
        ({"url": "https://else@good.example/y"}, True),
        ({"url": "http://good.example/x"}, False),
        ({"url": "webdavs://good.example/x"}, False),
        ({"url": "https://good.example:8443/x"}, False),
        ({"url": "https://good.example.evil.example/x"}, False),
        ({"url": "https://good.example@evil.example/x"}, False),
        ({"url": "https://evil.example\\@good.example/x"}, False),
        ({"url": "https://evil.example#@good.example/x"}, False),
        ({"url": "https://a@evil.example@good.example/x"}, False),
        ({"url": "https://good.example\t.evil.example/x"}, False),
        ({"url": "/mnt/x"}, False),
        ({}, True),
    ],
)
def test_which_addresses_are_the_same(theirs, shared):
    remotes, left_out = joined("storage", {"storage": theirs}, {"storage": OWN})
    assert ("password" in remotes["storage"]) is shared
    assert left_out == (() if shared else ("storage",))


@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        ({"url": "s3://b"}, {"url": "s3://c"}),
        ({"url": "s3://b"}, {"url": "s3://b", "endpointurl": "https://evil.example"}),
        ({"url": "s3://b"}, {"url": "s3://b", "use_ssl": "false"}),
        ({"url": "s3://b"}, {"url": "s3://b", "profile": "other"}),
        ({"url": "oss://b"}, {"url": "oss://b", "oss_endpoint": "evil.example"}),
        ({"url": "azure://c", "account_name": "good"}, {"url": "azure://c", "account_name": "evil"}),
        ({"url": "azure://c"}, {"url": "azure://c", "connection_string": "BlobEndpoint=https://evil.example"}),
        ({"url": "ssh://h/x"}, {"url": "ssh://h/x", "port": "2222"}),
        ({}, {"url": "https://evil.example"}),
        ({"url": "remote://base/x"}, {"url": "https://evil.example"}),
    ],
)
def test_what_else_says_who_is_spoken_to(own, theirs):
    secret = {"password": "p", "sas_token": "t"}
    remotes, left_out = joined("s", {"s": theirs}, {"s": own | secret, "base": {"url": "https://good.example"}})
    assert remotes == {"s": theirs}
    assert left_out == ("s",)
    remotes, left_out = joined("s", {"s": own}, {"s": own | secret, "base": {"url": "https://good.example"}})
    assert (remotes["s"] == own | secret) is bool(own)


def test_an_endpoint_of_ones_own_stays_with_its_keys():
    own = {"url": "s3://b/p", "endpointurl": "https://Minio.example/", "access_key_id": "k"}
    for endpoint in ({}, {"endpointurl": "https://minio.example"}):
        remotes, _ = joined("s", {"s": {"url": "s3://b/q", **endpoint}}, {"s": own})
        assert remotes["s"]["access_key_id"] == "k"
        assert place(remotes["s"]) == place(own)


def test_a_circle_through_both_is_refused():
    theirs = {"a": {"url": "remote://b"}, "c": {"url": "https://evil.example"}}
    own = {"b": {"url": "remote://a", "password": "p"}, "a": {"url": "https://good.example"}}
    with pytest.raises(Refused, match="your own remote 'b'"):
        joined("a", theirs, own)
