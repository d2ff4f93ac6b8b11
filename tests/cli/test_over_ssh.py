"""The whole way by the command line, where Git's remote and DVC's are both reached over SSH."""

import hashlib
import json
import shlex
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from published import FolderStorage, Hub, needed
from sandbox import Sandbox, environment
from storages import SshServer, ssh_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with ssh_server(tmp_path_factory.mktemp("ssh")) as running:
        yield running


@pytest.fixture
def env(server: SshServer, tmp_path: Path) -> dict[str, str]:
    """Of one who has a key and knows the server's. OpenSSH goes by the user's entry in passwd, not by ``HOME``."""
    made = environment(tmp_path / "home")
    shutil.copytree(server.folder / "home/.ssh", tmp_path / "home/.ssh")
    shutil.copy(server.folder / "key", tmp_path / "home/.ssh/id_ed25519")
    (tmp_path / "home/.ssh/id_ed25519").chmod(0o600)
    settings = {
        "Port": server.port, "IdentityFile": tmp_path / "home/.ssh/id_ed25519",
        "UserKnownHostsFile": tmp_path / "home/.ssh/known_hosts", "StrictHostKeyChecking": "yes",
    }  # fmt: skip
    config = tmp_path / "home/.ssh/config"
    config.write_text("Host *\n" + "".join(f"  {key} {value}\n" for key, value in settings.items()))
    made["GIT_SSH_COMMAND"] = f"ssh -F {shlex.quote(str(config))}"
    return made


def published(
    template: Path, server: SshServer, env: dict[str, str], tmp_path: Path, form: str
) -> tuple[Sandbox, Hub, FolderStorage]:
    """A model's repository whose v1.0.0 was pushed: the commit and the tag to Git's remote, the weights to DVC's."""
    shutil.copytree(template, tmp_path / "repo", symlinks=True)
    box = Sandbox(tmp_path / "repo", env)
    box.git("status")
    name = uuid.uuid4().hex
    hub = Hub(server.folder / "root" / f"{name}.git", box)
    box.run("git", "init", "-q", "--bare", "-b", "main", str(hub.path))
    box.git("remote", "add", "origin", form.format(port=server.port, path=hub.path.name))
    box.dvc("remote", "add", "-q", "-d", "storage", f"ssh://tester@127.0.0.1:{server.port}/store/{name}")
    box.dvc("remote", "modify", "-q", "--local", "storage", "keyfile", str(tmp_path / "home/.ssh/id_ed25519"))
    box.git("commit", "-qm", "remote", "--", ".dvc/config")
    box.mv("tag", "m", "--push")
    return box, hub, FolderStorage(server.folder / "root/store" / name)


@pytest.mark.parametrize("form", ["ssh://tester@127.0.0.1:{port}/{path}", "tester@127.0.0.1:{path}"])
def test_a_version_goes_out_and_comes_back(
    model_template: Path, server: SshServer, env: dict[str, str], tmp_path: Path, form: str
) -> None:
    """Git's remote as a URL, and as ``host:path``, where the port stands in the client's settings."""
    box, hub, storage = published(model_template, server, env, tmp_path, form)
    assert hub.tags() == ["m@v1.0.0"]
    assert storage.objects() == needed(box, "v1.0.0")
    box.change("m", 2)
    box.commit("2")
    box.mv("tag", "m")
    box.mv("promote", "v1.0.1", "prod")
    stopped = box.run("git", "push", "origin", "m@v1.0.1", status=1)
    assert "modelver push m@v1.0.1" in stopped.err
    box.mv("push")
    assert hub.tags() == ["m#prod#1", "m@v1.0.0", "m@v1.0.1"]
    assert storage.objects() == needed(box, "v1.0.0") | needed(box, "v1.0.1")

    away = Sandbox(tmp_path / "away", env)
    away.root.mkdir()
    url = box.git("remote", "get-url", "origin")
    got = away.mv("get", "m#prod", "--repo", url, "-o", "out", "--format", "json")
    assert got.json()["tag"] == "m@v1.0.1"
    for line in box.git("show", "m@v1.0.1:models/m/files.jsonl").splitlines():
        entry = json.loads(line)
        assert hashlib.sha256((away.root / "out" / entry["path"]).read_bytes()).hexdigest() == entry["sha256"]

    plain = Sandbox(tmp_path / "plain", env)  # who has no modelver
    box.run("git", "clone", "-q", "--branch", "m@v1.0.0", url, str(plain.root))
    plain.dvc("remote", "modify", "-q", "--local", "storage", "keyfile", str(tmp_path / "home/.ssh/id_ed25519"))
    plain.dvc("pull", "-q")
    for line in box.git("show", "m@v1.0.0:models/m/files.jsonl").splitlines():
        entry = json.loads(line)
        data = (plain.root / "models/m/weights" / entry["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"]

    judged = box.mv("verify", "--all", "--remote", "--full", "--format", "json").json()
    assert {version["tag"]: version["ok"] for version in judged["versions"]} == {"m@v1.0.0": True, "m@v1.0.1": True}


def test_gc_and_verify_see_what_lies_there(
    model_template: Path, server: SshServer, env: dict[str, str], tmp_path: Path
) -> None:
    box, _, storage = published(model_template, server, env, tmp_path, "tester@127.0.0.1:{path}")
    wanted = needed(box, "v1.0.0")
    stray = storage.path(hashlib.md5(b"stray").hexdigest())
    stray.parent.mkdir()
    stray.write_bytes(b"stray")
    box.mv("gc", "--remote", "--grace", "0", "--yes")
    assert storage.objects() == wanted

    name = next(name for name in wanted if not name.endswith(".dir"))
    storage.put(name, wanted[name][:-1] + bytes([wanted[name][-1] ^ 1]))
    judged = box.mv("verify", "m@v1.0.0", "--remote", "--full", "--format", "json", status=1).json()
    assert name in json.dumps(judged["versions"][0]["problems"])
