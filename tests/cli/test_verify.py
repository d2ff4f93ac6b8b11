"""`modelver verify`: objects here and on the DVC remote, what it answers, and versions tagged without modelver."""

import hashlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import zlib
from pathlib import Path

import pytest
from sandbox import InProcess, Sandbox, environment
from verifying import kinds, report, verdict

from modelver.errors import ExternalFailure, Refused


@pytest.fixture
def tagged_repo(tagged_template, tmp_path) -> Sandbox:
    """m@v1.0.0, copied: to tag takes longer than most of these tests."""
    shutil.copytree(tagged_template, tmp_path / "repo", symlinks=True)
    box = InProcess(tmp_path / "repo", environment(tmp_path / "home"))
    box.git("status")
    return box


def objects(box: Sandbox) -> list[Path]:
    return sorted(path for path in (box.root / ".dvc/cache/files/md5").rglob("*") if path.is_file())


def flip(path: Path, bit: int, *, keep_times: bool = False) -> None:
    found = path.stat()
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.chmod(0o644)
    path.write_bytes(data)
    if keep_times:
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def storage(box: Sandbox, url: object, **settings: str) -> None:
    """Configure a DVC remote, as `dvc remote add --local` does."""
    lines = "".join(f"    {key} = {value}\n" for key, value in settings.items())
    box.write(".dvc/config.local", f"[core]\n    remote = storage\n['remote \"storage\"']\n    url = {url}\n{lines}")


@pytest.fixture
def stored(model_repo, tmp_path) -> Sandbox:
    """v1.0.0 with a DVC remote that holds its weights: DVC lays a folder remote out as its cache."""
    url = tmp_path / "storage"
    model_repo.write(".dvc/config", f"[core]\n    remote = storage\n['remote \"storage\"']\n    url = {url}\n")
    model_repo.commit("storage")
    model_repo.mv("tag", "m")
    shutil.copytree(model_repo.root / ".dvc/cache", url)
    return model_repo


def test_a_whole_version(tagged_repo):
    before = tagged_repo.fingerprint()
    done = tagged_repo.mv("verify", "--format", "json")
    assert done.json() == {
        "ok": True,
        "versions": [
            {
                "tag": "m@v1.0.0",
                "model": "m",
                "version": "v1.0.0",
                "object": tagged_repo.git("rev-parse", "m@v1.0.0"),
                "commit": tagged_repo.git("rev-parse", "HEAD"),
                "ok": True,
                "signature": {"state": "unsigned", "signers": []},
                "checked": {"local": 3},  # the listing, the index, one shard
                "problems": [],
                "notes": [],
            }
        ],
        "decisions": [],
        "notes": [],
    }
    assert done.err == ""
    for ref in ("v1", "m@latest", "m", "m@v1.0.0", "refs/tags/m@v1.0.0"):
        assert report(tagged_repo, ref=ref) == done.json()
    assert tagged_repo.mv("verify", "v1").out.split()[-5:] == ["m@v1.0.0", "ok", "none", "3", "local"]
    assert tagged_repo.mv("verify", "--all", "--format", "markdown").out.startswith("| tag")
    assert tagged_repo.fingerprint() == before


def test_each_object_of_the_cache_with_a_flipped_bit(tagged_repo):
    rng = random.Random(7)
    for path in objects(tagged_repo):
        data = path.read_bytes()
        for bit in rng.sample(range(len(data) * 8), 2):
            flip(path, bit)
            (problem,) = verdict(tagged_repo, ok=False)["problems"]
            assert problem["kind"] == "weights"
            assert path.parent.name + path.name in problem["message"]
            assert str(path) in problem["hint"]
            flip(path, bit)
    assert verdict(tagged_repo)["ok"]


def test_a_flip_that_leaves_no_trace_in_the_times_is_found_by_full(tagged_repo):
    """The change time can't be set back; a file system that restores it from a backup can. Remembered digests are those
    of before, so they are made to look right."""
    path = max(objects(tagged_repo), key=lambda p: p.stat().st_size)
    tagged_repo.mv("verify")
    flip(path, 900, keep_times=True)

    found = path.stat()
    with sqlite3.connect(tagged_repo.root / ".git/modelver/hashes.sqlite") as database:
        database.execute(
            "UPDATE files SET ctime=?, inode=? WHERE path=?", (found.st_ctime_ns, found.st_ino, bytes(path))
        )
    database.close()
    assert verdict(tagged_repo)["ok"]
    assert kinds(verdict(tagged_repo, ok=False, full=True)) == ["weights"]
    assert kinds(verdict(tagged_repo, ok=False)) == ["weights"]  # what it found is remembered


def test_what_is_not_here_is_not_called_right(stored, tmp_path):
    shutil.rmtree(stored.root / ".dvc/cache")
    one = verdict(stored, ok=False)
    assert (kinds(one), one["checked"]) == (["unchecked"], {"local": 0})
    assert "not checked: the weights are not on this machine" in one["problems"][0]["message"]
    assert "--remote" in one["problems"][0]["hint"]
    there = verdict(stored, remote=True)
    assert (there["ok"], there["checked"]) == (True, {"local": 0, "remote": 3})
    assert "not compared with the weights" in there["notes"][0]
    shutil.copytree(tmp_path / "storage", stored.root / ".dvc/cache")
    assert verdict(stored)["checked"] == {"local": 3}


def test_an_object_that_is_none(tagged_repo):
    path = next(path for path in objects(tagged_repo) if not path.name.endswith(".dir"))
    path.unlink()
    os.mkfifo(path)  # to open it would wait for a writer for ever
    assert kinds(verdict(tagged_repo, ok=False)) == ["unchecked"]
    path.unlink()
    path.symlink_to("/dev/zero")
    assert kinds(verdict(tagged_repo, ok=False)) == ["unchecked"]


def test_a_listing_that_git_spells_out_need_not_be_here(tagged_repo):
    listing = next(path for path in objects(tagged_repo) if path.name.endswith(".dir"))
    listing.unlink()
    assert verdict(tagged_repo)["checked"] == {"local": 2}


def test_one_object_is_missing_here(tagged_repo):
    path = next(path for path in objects(tagged_repo) if not path.name.endswith(".dir"))
    path.unlink()
    (problem,) = verdict(tagged_repo, ok=False)["problems"]
    assert (problem["kind"], "1 of 2 files are not on this machine" in problem["message"]) == ("unchecked", True)


def test_each_object_of_the_remote_missing_cut_and_flipped(stored, tmp_path):
    for path in sorted(p for p in (tmp_path / "storage").rglob("*") if p.is_file()):
        whole = path.read_bytes()
        path.chmod(0o644)
        for damage, kind in (
            (None, "missing"),
            (whole[:-1], "weights"),
            (bytes([whole[0] ^ 4]) + whole[1:], "weights"),
        ):
            path.unlink(missing_ok=True)
            if damage is not None:
                path.write_bytes(damage)
            one = verdict(stored, ok=False, remote=True)
            assert kinds(one) == [kind]
            assert path.parent.name + path.name in one["problems"][0]["message"]
            assert one["problems"][0]["hint"] == "modelver push m@v1.0.0"
            assert verdict(stored)["ok"]  # here it is whole
        path.write_bytes(whole)
    assert verdict(stored, remote=True)["ok"]


def test_the_hint_mends_the_remote(stored, tmp_path):
    stored.git("init", "-q", "--bare", str(tmp_path / "origin.git"))
    stored.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    stored.git("push", "-q", "origin", "main")
    path = next(p for p in (tmp_path / "storage").rglob("*") if p.is_file())
    flip(path, 3)
    hint = verdict(stored, ok=False, remote=True)["problems"][0]["hint"]
    stored.mv(*hint.split()[1:])
    assert verdict(stored, remote=True, full=True)["ok"]


def test_remotes_that_can_not_be_asked(tagged_repo, tmp_path):
    assert "no DVC remote" in tagged_repo.refused("verify", "--remote").err
    storage(tagged_repo, tmp_path / "storage")
    with pytest.raises(Refused, match="no DVC remote 'other'"):
        report(tagged_repo, remote=True, dvc_remote="other")
    storage(tagged_repo, "s3://nowhere/at/all", endpointurl="http://127.0.0.1:9")
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "canary-secret"}
    done = tagged_repo.refused("verify", "--remote", status=3, **keys)
    assert "canary-secret" not in done.err + done.out
    tagged_repo.git("remote", "add", "origin", str(tmp_path / "no such.git"))
    with pytest.raises(ExternalFailure):
        report(tagged_repo, remote=True)


def test_versions_that_share_objects_hash_them_once(tagged_repo):
    tagged_repo.change("m", 2)
    tagged_repo.mv("tag", "m")
    found = report(tagged_repo, full=True)
    assert [one["tag"] for one in found["versions"]] == ["m@v1.0.1", "m@v1.0.0"]


@pytest.mark.parametrize(
    "options", [{"ref": "v9"}, {"ref": "HEAD"}, {"ref": "m#prod"}, {"model": "nothing"}, {"signers": Path("missing")}]
)
def test_what_names_nothing_to_verify(tagged_repo, options):
    with pytest.raises(Refused) as raised:
        report(tagged_repo, **options)
    assert raised.value.exit_code == 2


def test_options_that_contradict_each_other(tagged_repo):
    assert "either one version or all" in tagged_repo.refused("verify", "v1", "--all").err
    tagged_repo.refused("verify", "--accept")
    assert "m@v1.0.0" in tagged_repo.refused("verify", "m@v7.0.0", "--accept").err


def test_a_repository_without_versions_is_not_called_right(model_repo):
    assert "no versions" in model_repo.refused("verify").err


def test_a_shallow_clone_without_tags(tagged_repo, tmp_path):
    box = tagged_repo.clone(tmp_path / "shallow", "--depth", "1", "--no-tags")
    refused = box.refused("verify")
    box.git("fetch", "-q", *box.hint(refused).split()[2:])
    assert kinds(verdict(box, ok=False)) == ["unchecked"]
    said = box.mv("verify", status=1)
    assert "m@v1.0.0  not checked" in said.out
    assert box.hint(said) == "modelver verify --remote"


def test_a_version_that_gto_made(tagged_repo):
    """A DVC-tracked file, registered by `gto register`: no sidecar, no SHA-256."""
    tagged_repo.write("old.bin", b"weights")
    tagged_repo.dvc("add", "-q", "old.bin")
    text = (tagged_repo.root / "dvc.yaml").read_text()
    tagged_repo.write("dvc.yaml", text + "  old:\n    path: old.bin\n")
    tagged_repo.commit("old")
    tagged_repo.git("config", "user.name", "A U Thor")  # GTO reads no GIT_CONFIG_GLOBAL
    tagged_repo.git("config", "user.email", "a@example.com")
    tagged_repo.run("gto", "register", "old", "--version", "v0.1.0")
    one = verdict(tagged_repo, "old@v0.1.0", ok=False)
    assert kinds(one) == ["partial"]
    assert one["problems"][0]["message"] == "it was tagged without modelver, so only MD5s of its weights are known"
    assert one["checked"] == {"local": 1}
    passed = verdict(tagged_repo, "old@v0.1.0", ref="old@v0.1.0", allow_partial=True)
    assert passed["notes"] == ["it was tagged without modelver, so only MD5s of its weights are known"]
    md5 = hashlib.md5(b"weights").hexdigest()
    flip(tagged_repo.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:], 0)
    assert kinds(verdict(tagged_repo, "old@v0.1.0", ok=False, ref="old", allow_partial=True)) == ["weights"]


def test_a_recorded_version_that_was_tagged_by_hand(model_repo):
    model_repo.mv("record", "m")
    model_repo.commit("record")
    model_repo.git("tag", "-a", "-m", "by hand", "m@v1.0.0")
    one = verdict(model_repo, ok=False)
    assert kinds(one) == ["partial"]
    assert "which sidecar and weights were meant" in one["problems"][0]["message"]
    verdict(model_repo, allow_partial=True)


def test_a_tag_of_another_version(tagged_repo):
    """Git's own objects are right: it is the name that lies."""
    tagged_repo.git("update-ref", "refs/tags/m@v2.0.0", "refs/tags/m@v1.0.0")
    one = verdict(tagged_repo, "m@v2.0.0", ok=False)
    assert {*kinds(one)} == {"tag", "sidecar"}
    assert "'m@v1.0.0'" in one["problems"][0]["message"]
    assert verdict(tagged_repo, ref="m@v1.0.0")["ok"]


def test_a_tag_that_is_wrong_from_the_start_is_not_remembered(tagged_repo):
    """Else the right one, once it is fetched, would be called moved."""
    right = tagged_repo.git("rev-parse", "m@v1.0.0")
    shutil.rmtree(tagged_repo.root / ".git/modelver")
    raw = tagged_repo.run("git", "cat-file", "tag", right).out.replace("Sidecar: sha256:", "Sidecar: sha256:0")
    wrong = tagged_repo.git("hash-object", "-t", "tag", "-w", "--stdin", stdin=raw)
    tagged_repo.git("update-ref", "refs/tags/m@v1.0.0", wrong)
    assert kinds(verdict(tagged_repo, ok=False)) == ["sidecar"]
    tagged_repo.git("update-ref", "refs/tags/m@v1.0.0", right)
    assert verdict(tagged_repo)["ok"]


@pytest.mark.parametrize("content", [b"", b"tree", b"100644 x", b"100644 x\0" + b"a" * 20 + b"40000", b"\xff" * 50])
def test_objects_that_git_would_never_write(tagged_repo, content):
    """They hash to their ids, and are no trees."""
    run = {"cwd": tagged_repo.root, "env": tagged_repo.env, "capture_output": True, "check": True}
    tree = subprocess.run(["git", "hash-object", "-t", "tree", "-w", "--literally", "--stdin"], input=content, **run)
    old = tagged_repo.git("rev-parse", "HEAD^{tree}")
    raw = tagged_repo.run("git", "cat-file", "commit", "HEAD").out.replace(old, tree.stdout.decode().strip())
    commit = tagged_repo.git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=raw)
    tagged_repo.git("tag", "-a", "-m", "odd", "m@v3.0.0", commit)
    done = tagged_repo.mv("verify", "m@v3.0.0", status=None)
    assert done.status in (1, 3)


def test_replaced_objects_are_not_believed(tagged_repo):
    """`git replace` shows another commit under the same id; what is verified is what the id names."""
    commit = tagged_repo.git("rev-parse", "HEAD")
    tagged_repo.write("models/m/metadata.yaml", b"schema: nothing\n")
    other = tagged_repo.commit("other")
    tagged_repo.git("replace", commit, other)
    assert "nothing" in tagged_repo.git("show", "m@v1.0.0:models/m/metadata.yaml")
    assert verdict(tagged_repo)["ok"]


@pytest.mark.parametrize("kind", ["blob", "tree", "commit", "tag"])
@pytest.mark.parametrize("damage", ["flipped", "other", "gone"])
def test_gits_own_objects_are_damaged(tagged_repo, kind, damage):
    name = {"blob": "m@v1.0.0:models/m/tensors.jsonl", "tree": "m@v1.0.0:models/m", "commit": "m@v1.0.0^{commit}",
            "tag": "m@v1.0.0"}[kind]  # fmt: skip
    ident = tagged_repo.git("rev-parse", name)
    path = tagged_repo.root / ".git/objects" / ident[:2] / ident[2:]
    path.chmod(0o644)
    if damage == "flipped":
        flip(path, path.stat().st_size * 4)
    elif damage == "other":  # valid for zlib, and not what the id says
        data = bytearray(zlib.decompress(path.read_bytes()))
        data[-1] ^= 1
        path.write_bytes(zlib.compress(bytes(data)))
    else:
        path.unlink()
    if (kind, damage) in (("commit", "gone"), ("commit", "flipped"), ("tag", "gone"), ("tag", "flipped")):
        # Git itself can't list such a tag
        assert "error: " in (done := tagged_repo.mv("verify", status=None)).err
        assert done.status in (1, 3)
        return
    assert "git" in kinds(verdict(tagged_repo, ok=False))


def test_many_decisions_and_their_words(tagged_repo):
    tagged_repo.mv("promote", "v1.0.0", "qa")
    tagged_repo.mv("yank", "v1.0.0")
    assert [one["tag"] for one in report(tagged_repo)["decisions"]] == ["m@v1.0.0!", "m#qa#1"]
    tagged_repo.git("update-ref", "refs/tags/m#prod#9", "refs/tags/m#qa#1")
    (problem,) = verdict(tagged_repo, "m#prod#9", ok=False)["problems"][:1]
    assert (problem["kind"], "'m#qa#1'" in problem["message"]) == ("tag", True)
    message = tagged_repo.git("tag", "-l", "--format=%(contents)", "m#qa#1").replace("ronment: qa", "ronment: prod")
    tagged_repo.git("tag", "-f", "-a", "-m", message, "m#prod#9", "HEAD^{commit}")
    tagged_repo.run("rm", "-rf", ".git/modelver")
    assert kinds(verdict(tagged_repo, "m#prod#9", ref="m#prod#9")) == []
    tagged_repo.git("tag", "-f", "-a", "-m", message.replace("v1.0.0", "v1.0.1"), "m#prod#9", "HEAD^{commit}")
    assert kinds(verdict(tagged_repo, "m#prod#9", ok=False, ref="m#prod#9")) == ["moved", "tag"]


def test_help_and_list_load_nothing_heavy(tagged_repo):
    code = (
        "import sys; from modelver.cli.main import run; run(['verify', '--help']);"
        "bad = {'dvc', 'onnx', 'onnxruntime', 'numpy'} & {*sys.modules}; sys.exit(str(bad) if bad else 0)"
    )
    tagged_repo.run("python", "-c", code)
    assert json.loads(tagged_repo.mv("verify", "--format", "json").out)["ok"]


def test_a_tag_of_a_commit_without_the_model_names_what_ends_it(tagged_repo):
    first = tagged_repo.git("rev-list", "--max-parents=0", "HEAD")
    tagged_repo.git("tag", "-a", "-m", "plain", "m@v2.0.0", first)
    done = tagged_repo.mv("verify", "m@v2.0.0", "--format", "json", status=1)
    (hint,) = {p["hint"] for p in done.json()["versions"][0]["problems"] if p["kind"] == "file"}
    tagged_repo.run("sh", "-c", hint.split("   (")[0])
    assert [v["tag"] for v in tagged_repo.mv("verify", "--format", "json").json()["versions"]] == ["m@v1.0.0"]
