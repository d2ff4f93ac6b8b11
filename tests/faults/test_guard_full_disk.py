"""Guarantee 9: a full disk loses no file of the user's and leaves no rubbish; with room again the command finishes.

The repository lies on a small disk of its own (a tmpfs in a mount namespace), filled up to so many bytes before the
command runs.
"""

import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from sandbox import Sandbox, environment

import models

GUARANTEE = 9

SPACES = (0, 4, 8, 12, 16, 20, 28, 36, 48, 64, 96, 128, 192, 256, 384, 512, 768)
"""KiB that are free when the command starts."""

SAMPLE = 2

COMMANDS = {
    "add": ("add", "m", "../incoming/next.safetensors"),
    "add plain": ("add", "new", "plain.bin", "--plain"),
    "record": ("record", "m"),
    "tag": ("tag", "m"),
    "promote": ("promote", "m@v1.0.0", "prod"),
    "rollback": ("rollback", "m", "m@v1.0.0", "--commit", "--reason", "x"),
    "restore": ("restore", "--force"),
    "push": ("push",),
    "get": ("get", "m@v1.0.0", "-o", "got"),
    "gc": ("gc", "--yes", "--no-fetch", "--grace", "0"),
    "backup": ("backup", "../backup"),
    "tag and push": ("tag", "m", "--push"),
    "yank": ("yank", "m@v1.0.0", "--reason", "x"),
    "init": ("-C", "../fresh", "init"),
    "restore of a backup": ("restore", "../made-backup", "--into", "../again"),
    "gc of the remote": ("gc", "--remote", "--yes", "--grace", "0"),
}
STANDING = {
    "rollback": {f"repo/models/m/{name}" for name in ("metadata.yaml", "files.jsonl", "tensors.jsonl", "source.json",
                                                      "weights.dvc")},
    "tag and push": {"repo/models/m/metadata.yaml"},
}  # fmt: skip
"""What is committed before there is no room for the rest, and stays so; the files that the commit is about."""

CASES = len(COMMANDS) * len(SPACES)

DRIVER = """
import json, os, shutil, subprocess, sys
top, template, command, free = sys.argv[1], sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", top], check=True)
subprocess.run(["cp", "-a", template + "/.", top], check=True)
repo = top + "/repo"
subprocess.run(["git", "status", "--short"], cwd=repo, check=True, capture_output=True)

def files():
    found = {}
    for place, folders, names in os.walk(top):
        for name in names:
            path = os.path.join(place, name)
            if name != "fill":
                found[os.path.relpath(path, top)] = "link" if os.path.islink(path) else open(path, "rb").read().hex()
    return found

def fill():
    with open(top + "/fill", "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 65536)
        except OSError:
            pass
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
        file.truncate(max(file.tell() - free * 1024, 0))

def run():
    done = subprocess.run([sys.executable, "-P", "-m", "modelver", *command], cwd=repo, capture_output=True, text=True)
    return {"status": done.returncode, "out": done.stdout[-3000:], "err": done.stderr[-3000:]}

def refs():
    return subprocess.run(["git", "for-each-ref"], cwd=repo, capture_output=True, text=True).stdout

before, had = files(), refs()
fill()
first = run()
after, has = files(), refs()
os.unlink(top + "/fill")
second = run()
json.dump({"first": first, "second": second, "before": before, "after": after, "end": files(), "had": had, "has": has,
           "fsck": subprocess.run(["git", "fsck", "--strict"], cwd=repo, capture_output=True, text=True).returncode},
          sys.stdout)
"""


def _may_mount() -> bool:
    return subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs none /mnt"],
        capture_output=True, check=False,
    ).returncode == 0  # fmt: skip


pytestmark = pytest.mark.skipif(not _may_mount(), reason="no mount namespaces for this user")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("full")
    box = Sandbox(top / "repo", environment(top / "home"))
    box.root.mkdir()
    (top / "storage").mkdir()
    box.git("init", "-q", "--bare", "../remote.git")
    box.mv("init")
    box.write(".dvc/config", "[core]\n    remote = storage\n['remote \"storage\"']\n    url = ../../storage\n")
    box.write("notes.txt", "notes\n")
    box.commit("start")
    box.git("remote", "add", "origin", "../remote.git")
    names = tuple(f"layer{n}" for n in range(60))
    models.safetensors(top / "incoming" / "m.safetensors", 1, names=names)
    box.mv("add", "m", "../incoming/m.safetensors")
    box.commit("m")
    box.mv("tag", "m")
    box.git("push", "-q", "-u", "origin", "main")
    models.safetensors(top / "incoming" / "m.safetensors", 2, names=names)
    box.mv("add", "m", "../incoming/m.safetensors")
    box.commit("m again")
    models.safetensors(top / "incoming" / "next.safetensors", 3, names=names)
    box.write("plain.bin", os.urandom(100_000))
    box.mv("backup", "../made-backup")
    for name in ("fresh", "roomy"):
        box.git("init", "-q", f"../{name}")
    box.mv("-C", "../roomy", "init")
    for _ in range(3):  # what nothing needs, for gc
        data = os.urandom(3000)
        md5 = hashlib.md5(data).hexdigest()
        box.write(f"../storage/files/md5/{md5[:2]}/{md5[2:]}", data)
        os.utime(top / "storage" / "files" / "md5" / md5[:2] / md5[2:], (1, 1))
    return top


def play(made: Path, tmp_path: Path, name: str, free: int) -> None:
    top = tmp_path / "disk"
    top.mkdir()
    env = {**environment(tmp_path / "home"), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-P", "-c", DRIVER, str(top), str(made), json.dumps(COMMANDS[name]), str(free)]
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", *command], env=env, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    seen = json.loads(done.stdout)
    first, second = seen["first"], seen["second"]
    assert "Traceback" not in first["err"] + second["err"], first["err"] + second["err"]
    if first["status"] == 0:
        return
    assert "error: " in first["err"]
    stands = name in STANDING and seen["had"] != seen["has"]
    if stands and name == "rollback":  # its commit stands, and there was no room for the weights
        assert first["status"] == 1, first
        assert "modelver restore" in first["err"] or "run the command again" in first["err"]
    else:
        assert first["status"] == 3, first
    lost = [path for path, data in seen["before"].items() if _is_the_users(path) and seen["after"].get(path) != data]
    assert [path for path in lost if not (stands and path in STANDING[name])] == []
    assert stands or seen["had"] == seen["has"]
    rubbish = [path for path in seen["after"].keys() - seen["before"].keys() if _is_rubbish(path)]
    if name == "init":  # what it had made stays, for the rerun; which makes all that it makes where there is room
        rubbish = [path for path in rubbish if path.replace("fresh/", "roomy/", 1) not in seen["end"]]
        assert _made_by_init(seen["end"], "fresh/") == _made_by_init(seen["end"], "roomy/")
    assert [path for path in rubbish if not (stands and path == "repo/.git/refs/tags/m@v1.0.1")] == []
    assert second["status"] == 0, second
    assert seen["fsck"] == 0


def _is_the_users(path: str) -> bool:
    inside = path.removeprefix("repo/")
    return path.startswith("repo/") and not inside.startswith((".git/", ".dvc/tmp", ".dvc/cache"))


def _made_by_init(files: dict[str, str], top: str) -> dict[str, str]:
    """The files of a working tree that is new, its hooks, and what DVC keeps for itself in words."""
    own = {path.removeprefix(top): data for path, data in files.items() if path.startswith(top)}
    left_out = (".git/objects/", ".git/index", ".git/modelver/", ".dvc/tmp/")
    return {path: data for path, data in own.items() if not path.startswith(left_out)}


def _is_rubbish(path: str) -> bool:
    """What nobody will look for. Whole objects of a cache, Git's objects and its own temporary ones, which `git gc`
    removes, are neither needed nor in the way; nor are the files that locks are held by."""
    name = path.rsplit("/", 1)[-1]
    if "/objects/" in path or name in ("lock", ".lock", "restore.lock") or path.startswith("repo/.dvc/tmp/rwlock"):
        return False
    if path in ("repo/.gitignore", "repo/plain.bin.dvc"):  # of `dvc add`, which the rerun takes over
        return False
    if path.startswith(("repo/.dvc/cache/files/md5/", "storage/files/md5/")):
        return len(name.removesuffix(".dir")) != 30
    if path.startswith(("repo/.git/modelver/", "repo/.git/logs/")):
        return name.endswith(".tmp") or name == "journal.json" or "index-" in path
    return True


@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_with_little_room(made: Path, tmp_path: Path, name: str) -> None:
    for free in random.Random(name).sample(SPACES, SAMPLE):
        (tmp_path / str(free)).mkdir()
        play(made, tmp_path / str(free), name, free)


@pytest.mark.slow
@pytest.mark.parametrize("free", SPACES)
@pytest.mark.parametrize("name", COMMANDS)
def test_every_size_of_room(made: Path, tmp_path: Path, name: str, free: int) -> None:
    play(made, tmp_path, name, free)
