"""`get` from repositories that mean harm: nothing is written outside, nothing runs, and what was moved is seen."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from consumer import World, files_in, make_world, tree
from sandbox import Sandbox

import modelver
from modelver.adapters.dvc.foreign import foreign_config
from modelver.errors import InvalidInput


@pytest.fixture
def world(tmp_path, tmp_path_factory) -> World:
    return make_world(tmp_path, tmp_path_factory)


@pytest.fixture
def evil(world, tmp_path) -> Sandbox:
    """A clone in which somebody goes on; its DVC remote is the publisher's."""
    shutil.copytree(world.base / "repo", tmp_path / "evil", symlinks=True)
    box = Sandbox(tmp_path / "evil", dict(world.box.env))
    box.git("config", "core.hooksPath", "/dev/null")
    return box


def _tag(box: Sandbox, name: str, message: str = "made by hand") -> None:
    box.git("tag", "-f", "-a", "-m", message, name)


def _refused(world: World, evil: Sandbox, ref: str, status: int, said: str, *options: str) -> None:
    before = tree(world.box.root.parent / "canary")
    done = world.mv("get", ref, "--repo", str(evil.root), "-o", "out", *options, status=status)
    assert said in done.err, done.err
    assert tree(world.box.root) == {}
    assert tree(world.box.root.parent / "canary") == before


# What was moved or changed after tagging


def test_a_tag_moved_to_another_commit(world, evil):
    message = evil.git("for-each-ref", "--format=%(contents)", "refs/tags/m@v1.0.0")
    evil.git("tag", "-f", "-a", "-m", message, "m@v1.0.0", "m@v1.0.1^{commit}")
    _refused(world, evil, "m@v1.0.0", 1, "is not the sidecar that the tag names")


def test_a_tag_that_leads_to_another_versions_tag(world, evil):
    evil.git("update-ref", "refs/tags/m@v1.0.0", evil.git("rev-parse", "m@v1.0.1"))
    _refused(world, evil, "m@v1.0.0", 1, "somebody moved it")


def test_a_tag_that_was_moved_since_it_was_got(world, evil):
    """Even with trailers that fit: what this machine got before is remembered."""
    world.get("m@v1.0.0", "-o", "before", repo=str(evil.root))
    old = evil.git("rev-parse", "m@v1.0.0")
    message = evil.git("for-each-ref", "--format=%(contents)", "refs/tags/m@v1.0.0")
    evil.git("tag", "-f", "-a", "-m", f"again\n\n{message}", "m@v1.0.0", "m@v1.0.0^{commit}")
    done = world.get("m@v1.0.0", "-o", "after", repo=str(evil.root), status=1)
    assert old in done.err
    assert evil.git("rev-parse", "m@v1.0.0") in done.err
    assert not (world.box.root / "after").exists()
    world.box.run("sh", "-c", world.box.hint(done).split("if that is right: ")[1])
    world.get("m@v1.0.0", "-o", "after", repo=str(evil.root))


@pytest.mark.parametrize("what", ["manifest", "pointer", "sidecar"])
def test_a_file_changed_under_a_kept_message(world, evil, what):
    evil.git("checkout", "-q", "-B", "main", "m@v1.0.0")
    path = {"manifest": "files.jsonl", "pointer": "weights.dvc", "sidecar": "metadata.yaml"}[what]
    data = (evil.root / "models" / "m" / path).read_text()
    digest = world.files("m", "v1.0.0")[0]["sha256"]
    other = world.files("m", "v1.0.1")[0]["sha256"]
    if what == "manifest":
        data = data.replace(digest, other)
    elif what == "pointer":
        old = next(line for line in data.splitlines() if "md5:" in line and ".dir" in line)
        new = evil.git("show", "m@v1.0.1:models/m/weights.dvc").splitlines()
        data = data.replace(old, next(line for line in new if ".dir" in line))
    else:
        data = data.replace("description: null", "description: better")
    message = evil.git("for-each-ref", "--format=%(contents)", "refs/tags/m@v1.0.0")
    evil.write(f"models/m/{path}", data)
    assert evil.git("status", "--porcelain", "--", "models/m"), "the change took"
    evil.commit("change")
    _tag(evil, "m@v1.0.0", message)
    _refused(world, evil, "m@v1.0.0", 1, "error: m@v1.0.0")


@pytest.mark.parametrize("target", ["HEAD^{tree}", "HEAD:dvc.yaml", "m@v1.0.0"])
def test_a_tag_of_no_commit(world, evil, target):
    evil.git("tag", "-a", "-m", "x", "m@v9.0.0", target)
    done = world.mv("get", "m@v9.0.0", "--repo", str(evil.root), "-o", "out", status=None)
    assert done.status in (1, 2, 3)
    assert tree(world.box.root) == {}


def test_a_lightweight_tag_is_no_version(world, evil):
    evil.git("tag", "m@v9.0.0", "HEAD")
    _refused(world, evil, "m@v9.0.0", 2, "no version matches")


# Paths


def _listing(world: World, evil: Sandbox, entries: list[dict]) -> None:
    """A version of ``g`` whose folder is what a hostile listing says, with honest hashes."""
    data = json.dumps(entries).encode()
    md5 = hashlib.md5(data).hexdigest()
    pointer = f"outs:\n- md5: {md5}.dir\n  hash: md5\n  path: folder\n"
    evil.git("checkout", "-q", "-B", "main", "g@v1.0.0")
    evil.write("folder.dvc", pointer)
    store = evil.root.parent / "evil-store"
    shutil.copytree(world.base / "storage", store)
    place = store / "files" / "md5" / md5[:2] / f"{md5[2:]}.dir"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    evil.write(".dvc/config", f"[core]\n    remote = s\n['remote \"s\"']\n    url = {store}\n")
    evil.commit("listing")
    _tag(evil, "g@v2.0.0")


@pytest.mark.parametrize(
    "path",
    [
        "../canary/x",
        "/tmp/canary-x",
        "a/../../x",
        ".git/hooks/post-checkout",
        "sub/.GIT/config",
        "a\\..\\x",
        "",
        ".",
        "a//b",
    ],
)
def test_paths_in_a_listing(world, evil, path):
    md5 = world.files("m", "v1.0.0")[0]["md5"]
    _listing(world, evil, [{"md5": md5, "relpath": path}])
    _refused(world, evil, "g@v2.0.0", 2, "error: ")


@pytest.mark.parametrize("paths", [("a", "a"), ("a", "a/b"), ("a/b/c", "a")])
def test_two_files_at_one_place(world, evil, paths):
    md5 = world.files("m", "v1.0.0")[0]["md5"]
    _listing(world, evil, [{"md5": md5, "relpath": path} for path in paths])
    _refused(world, evil, "g@v2.0.0", 2, "error: ")


@pytest.mark.parametrize("path", ["../canary/x", "/etc/x", ".git/config", "a/./b"])
def test_paths_in_a_manifest(world, evil, path):
    """With a pointer that agrees, so that nothing but the path is wrong."""
    entry = {**world.files("m", "v1.0.0")[0], "path": path}
    md5 = hashlib.md5(json.dumps([{"md5": entry["md5"], "relpath": path}]).encode()).hexdigest()
    evil.git("checkout", "-q", "-B", "main", "m@v1.0.0")
    evil.write("models/m/files.jsonl", json.dumps(entry) + "\n")
    evil.write("models/m/weights.dvc", f"outs:\n- md5: {md5}.dir\n  hash: md5\n  path: weights\n")
    evil.commit("manifest")
    _tag(evil, "m@v9.0.0")
    _refused(world, evil, "m@v9.0.0", 2, "error: ")


def test_one_md5_for_two_contents(world, evil):
    """Both would be brought as one object, and one of them would be checked against the other's SHA-256."""
    entry = world.files("m", "v1.0.0")[0]
    listed = [{**entry, "path": "a", "sha256": "0" * 64}, {**entry, "path": "b"}]
    listing = [{"md5": entry["md5"], "relpath": path} for path in "ab"]
    md5 = hashlib.md5(json.dumps(listing).encode()).hexdigest()
    evil.git("checkout", "-q", "-B", "main", "m@v1.0.0")
    evil.write("models/m/files.jsonl", "".join(json.dumps(item) + "\n" for item in listed))
    evil.write("models/m/weights.dvc", f"outs:\n- md5: {md5}.dir\n  hash: md5\n  path: weights\n")
    evil.commit("manifest")
    _tag(evil, "m@v9.0.0")
    _refused(world, evil, "m@v9.0.0", 1, "not alike")


@pytest.mark.parametrize("out", ["../../../canary", "/tmp/canary", "../../.git/hooks"])
def test_outs_elsewhere(world, evil, out):
    evil.git("checkout", "-q", "-B", "main", "m@v1.0.0")
    pointer = (evil.root / "models/m/weights.dvc").read_text().replace("path: weights", f"path: {out}")
    evil.write("models/m/weights.dvc", pointer)
    evil.commit("out")
    _tag(evil, "m@v9.0.0")
    _refused(world, evil, "m@v9.0.0", 2, "error: ")


def test_a_symbolic_link_in_git_is_no_manifest(world, evil, tmp_path):
    (tmp_path / "canary").mkdir()
    evil.git("checkout", "-q", "-B", "main", "m@v1.0.0")
    (evil.root / "models/m/weights.dvc").unlink()
    (evil.root / "models/m/weights.dvc").symlink_to("/etc/passwd")
    evil.commit("link")
    _tag(evil, "m@v9.0.0")
    _refused(world, evil, "m@v9.0.0", 2, "error: ")


@pytest.mark.parametrize("broken", [False, True])
def test_a_symbolic_link_at_the_destination(world, tmp_path, broken):
    (tmp_path / "canary").mkdir()
    (world.box.root / "out").symlink_to(tmp_path / ("nowhere" if broken else "canary"))
    for options in ((), ("--force",), ("--single-file",), ("--single-file", "--force")):
        assert "symbolic link" in world.failed("m@v1.0.0", "-o", "out", *options, status=2).err
    assert tree(tmp_path / "canary") == {}
    assert not (tmp_path / "nowhere").exists()


# Configuration


def _with_config(world: World, evil: Sandbox, text: str) -> None:
    evil.git("checkout", "-q", "-B", "main", "m@v1.0.1")
    evil.write(".dvc/config", text)
    evil.commit("config", ".dvc/config")
    _tag(evil, "m@v9.0.0")


def test_a_foreign_cache_has_no_effect(world, evil, tmp_path):
    canary = tmp_path / "canary"
    (canary / "files" / "md5").mkdir(parents=True)
    right = {entry["path"]: world.stored(entry["md5"]).read_bytes() for entry in world.files("m", "v1.0.1")}
    config = (world.base / "repo" / ".dvc" / "config").read_text()
    _with_config(world, evil, f"[cache]\n    dir = {canary}\n    type = symlink\n{config}")
    before = tree(canary)
    world.get("m@v9.0.0", "-o", "out", repo=str(evil.root))
    assert files_in(world.box.root / "out") == right
    assert tree(canary) == before


def test_a_setting_that_runs_a_program_is_left_out(world, evil, tmp_path):
    """DVC runs ``bearer_token_command`` of a WebDAV remote when it is opened."""
    canary = tmp_path / "canary"
    _with_config(
        world,
        evil,
        "[core]\n    remote = w\n['remote \"w\"']\n    url = webdavs://127.0.0.1:9/x\n"
        f"    bearer_token_command = touch {canary}\n    ssl_verify = false\n",
    )
    done = world.get("m@v9.0.0", "-o", "out", repo=str(evil.root), status=3)
    assert tree(world.box.root) == {}
    assert not canary.exists()
    assert "Traceback" not in done.err


def test_only_harmless_settings_are_taken_over():
    """Whichever storage is installed: what runs programs, names files or lowers a guard never reaches DVC."""
    bad = {
        "bearer_token_command": "touch x",
        "configpath": "/tmp/aws",
        "credentialpath": "/tmp/aws",
        "keyfile": "/tmp/key",
        "cert_path": "/tmp/cert",
        "key_path": "/tmp/key",
        "gdrive_service_account_json_file_path": "/tmp/g",
        "gdrive_user_credentials_file": "/tmp/g",
        "ssl_verify": "false",
        "ask_password": "true",
    }
    lines = "".join(f"    {key.upper()} = {value}\n" for key, value in bad.items())
    text = "[cache]\n    dir = /tmp/c\n[core]\n    remote = W\n    site_cache_dir = /tmp/s\n"
    text += "['remote \"W\"']\n    url = s3://b\n"
    config = foreign_config((text + lines + '[db "x"]\n    url = y\n').encode(), None, "config")
    assert set(config.text.split()) == {"[core]", "remote", "=", "w", "['remote", '"w"\']', "url", "s3://b"}
    assert sorted(config.dropped) == sorted(f"remote.w.{key}" for key in bad)


@pytest.mark.parametrize(
    "text",
    [
        "[core]\n    remote = x\n",
        "[[[",
        "\xff\xfe",
        "['remote \"x\"']\n    url = %(nothing)s\n[core]\n    remote = x\n",
        "['remote \"x\"']\n    url = nothing://x\n[core]\n    remote = x\n",
        "['remote \"x\"']\n    url = https://[x/y\n[core]\n    remote = x\n",
        "['remote \"x\"']\n    url = remote://[x/y\n[core]\n    remote = x\n",
        "['remote \"x\"']\n    url = remote://x?/y\n[core]\n    remote = x\n",
        "['remote \"x\"']\n    url = remote://x/y\n[core]\n    remote = x\n",
        "['remote \"x\"']\n    url = s3://\n    endpointurl = ftp://x\n[core]\n    remote = x\n",
        "['remote \"x\"']\n    url = /\n    worktree = true\n[core]\n    remote = x\n",
        "['remote \"x\"']\n    url = remote://y/z\n['remote \"y\"']\n    url = remote://x/y\n[core]\n    remote = x\n",
        "['remote \"x\"']\n    url = remote://Y/z\n['remote \"y\"']\n    url = remote://X/y\n[core]\n    remote = X\n",
        '[\'remote "x"\']\n    url = \'a"b\'\n    user = """it\'s\n"quoted" \'\'\' """\n[core]\n    remote = x\n',
        "['remote \"x\"']\n    port = many\n    url = ssh://127.0.0.1/x\n[core]\n    remote = x\n",
        "['remote \"x\"']\n    [[url]]\n    a = b\n[core]\n    remote = x\n",
        "remote = x\n",
        "",
    ],
)
def test_a_broken_configuration_is_told_in_words(world, evil, text):
    evil.git("checkout", "-q", "-B", "main", "m@v1.0.1")
    (evil.root / ".dvc" / "config").write_bytes(text.encode("latin-1"))
    evil.commit("config", ".dvc/config")
    _tag(evil, "m@v9.0.0")
    done = world.mv("get", "m@v9.0.0", "--repo", str(evil.root), "-o", "out", status=None)
    assert done.status in (2, 3), done.err
    assert "error: " in done.err
    assert tree(world.box.root) == {}


def test_plain_http_storage_is_refused(world, evil):
    _with_config(
        world,
        evil,
        "[core]\n    remote = x\n['remote \"x\"']\n    url = s3://b/p\n    endpointurl = http://203.0.113.1:9\n",
    )
    _refused(world, evil, "m@v9.0.0", 2, "not encrypted")


# URLs and the environment


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% CANARY",
        "fd::17",
        "foo::bar",
        "foo://host/x",
        "--upload-pack=touch CANARY",
        "-oProxyCommand=touch CANARY",
        "",
        "a\nb",
        "nowhere/at/all",
    ],
)
def test_urls_that_are_none(world, tmp_path, url):
    canary = tmp_path / "canary"
    done = world.mv("get", "m", f"--repo={url.replace('CANARY', str(canary))}", status=2, GIT_ALLOW_PROTOCOL="ext:file")
    assert "error: " in done.err
    assert not canary.exists()
    assert tree(world.box.root) == {}
    assert not list((world.cache / "git").glob("*.git"))


def test_a_shorthand_of_the_users_own_can_not_lead_to_a_program(world, tmp_path):
    canary = tmp_path / "canary"
    config = Path(world.box.env["GIT_CONFIG_GLOBAL"])
    config.write_text(
        config.read_text() + f'[url "ext::touch {canary} "]\n\tinsteadOf = evil:\n[protocol "ext"]\n\tallow = always\n'
    )
    world.mv("get", "m", "--repo", "evil:x", status=3, GIT_ALLOW_PROTOCOL="ext:file")
    world.mv("get", "m", "--repo", "evil:x", status=3)
    assert not canary.exists()


@pytest.mark.parametrize("url", ["http://203.0.113.1/x.git", "git://203.0.113.1/x.git"])
def test_an_open_line_is_refused(world, url):
    assert "--plain-http" in world.box.hint(world.mv("get", "m", "--repo", url, status=2))


def test_a_password_in_a_url_is_not_shown_or_kept(world):
    done = world.mv("get", "m", "--repo", "https://user:hunter2@127.0.0.1:9/x.git", status=3)
    assert "hunter2" not in done.err + done.out
    kept = subprocess.run(["grep", "-r", "hunter2", str(world.cache)], capture_output=True, check=False)
    assert kept.stdout == b""


def test_a_hooks_environment_does_not_lead_elsewhere(world, evil):
    env = {
        "GIT_DIR": str(evil.root / ".git"),
        "GIT_WORK_TREE": str(evil.root),
        "GIT_INDEX_FILE": str(evil.root / ".git" / "index"),
        "GIT_OBJECT_DIRECTORY": str(evil.root / ".git" / "objects"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.hooksPath",
        "GIT_CONFIG_VALUE_0": "/nonexistent",
    }
    before = evil.fingerprint()
    world.get("m@v1.0.0", "-o", "out", **env)
    assert files_in(world.box.root / "out") == world.expected("m", "v1.0.0")
    assert evil.fingerprint() == before


def test_a_repository_around_the_cache_has_no_say(world, tmp_path):
    """The cache lies in a repository whose configuration sends every URL elsewhere."""
    around = tmp_path / "around"
    around.mkdir()
    subprocess.run(["git", "init", "-q", str(around)], check=True, env=world.box.env)
    with (around / ".git" / "config").open("a") as file:
        file.write(f'[url "/nowhere/"]\n\tinsteadOf = {world.base}/\n')
    world.get("m@v1.0.0", "-o", "out", XDG_CACHE_HOME=str(around / "cache"))
    assert files_in(world.box.root / "out") == world.expected("m", "v1.0.0")


def test_a_graph_that_names_files_of_others(world, evil, tmp_path, monkeypatch):
    """A version, honestly tagged, whose graph reads a file of the machine: `load` refuses."""
    import numpy as np
    from onnx import TensorProto, helper, save

    monkeypatch.setenv("XDG_CACHE_HOME", world.box.env["XDG_CACHE_HOME"])
    secret = tmp_path / "secret"
    secret.write_bytes(np.arange(6, dtype=np.float32).tobytes())
    for location in (str(secret), "../secret"):
        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 2], data_location=TensorProto.EXTERNAL)
        for key, value in (("location", location), ("offset", "0"), ("length", "24")):
            tensor.external_data.add(key=key, value=value)
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])],
            [tensor],
        )
        model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
        evil.git("checkout", "-q", "-B", "main", "net@v1.0.0")
        shutil.rmtree(evil.root / "models/net/weights")
        (evil.root / "models/net/weights").mkdir()
        save(model, str(evil.root / "models/net/weights/model.onnx"))
        evil.dvc("add", "-q", "models/net/weights")
        evil.commit("graph")
        evil.git("tag", "-f", "-a", "-m", "x", "net@v9.0.0")
        with pytest.raises(InvalidInput, match="which the version does not have"):
            modelver.load("net@v9.0.0", path=evil.root)


def test_a_tag_moved_between_two_requests(world, evil, tmp_path):
    """The server lists one tag object and hands out another."""
    (tmp_path / "bin").mkdir()
    shim = tmp_path / "bin" / "git"
    real = shutil.which("git")
    other = evil.git("rev-parse", "m@v1.0.1")
    shim.write_text(
        f'#!/bin/sh\n{real} "$@"\nstatus=$?\ncase "$*" in *ls-remote*)\n'
        f"{real} --git-dir={evil.root}/.git update-ref refs/tags/m@v1.0.0 {other};; esac\nexit $status\n"
    )
    shim.chmod(0o755)
    done = world.get("m@v1.0.0", repo=str(evil.root), status=3, PATH=f"{shim.parent}:{world.box.env['PATH']}")
    assert "a moment later" in done.err
    assert tree(world.box.root) == {}
    evil.git("update-ref", "refs/tags/m@v1.0.0", _tag_id(world, "m@v1.0.0"))
    world.get("m@v1.0.0", "-o", "out", repo=str(evil.root))
    assert files_in(world.box.root / "out") == world.expected("m", "v1.0.0")


def _tag_id(world: World, tag: str) -> str:
    command = ["git", f"--git-dir={world.bare}", "rev-parse", tag]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()


def test_a_file_too_large_to_be_read(world, monkeypatch):
    """What compresses to nothing may be gigabytes: refused by its size, before it is read."""
    from modelver.adapters.git import foreign

    for name in ("HOME", "XDG_CACHE_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"):
        monkeypatch.setenv(name, world.box.env[name])
    monkeypatch.chdir(world.box.root)
    monkeypatch.setattr(foreign, "MAX_FILE", 100)
    with pytest.raises(InvalidInput, match="more than the 100"):
        modelver.get("m@v1.0.0", "out", repo=world.bare)
    assert tree(world.box.root) == {}


def test_a_fifo_is_no_repository(world, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    assert "no folder" in world.mv("get", "m", "--repo", str(tmp_path / "fifo"), status=2).err


def test_no_default_remote(world, evil):
    _with_config(world, evil, "")
    _refused(world, evil, "m@v9.0.0", 2, "no default DVC remote")
