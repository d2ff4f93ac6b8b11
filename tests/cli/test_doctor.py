"""`modelver doctor`: each kind of trouble is found, and mended where that is safe; a healthy repository has none."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sandbox import Sandbox


@pytest.fixture(scope="module")
def healthy_template(model_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tagged repository with both remotes, everything pushed."""
    import shutil

    from sandbox import environment

    top = tmp_path_factory.mktemp("healthy")
    shutil.copytree(model_template, top / "repo", symlinks=True)
    box = Sandbox(top / "repo", environment(top / "home"))
    box.git("status")
    box.run("git", "init", "-q", "--bare", str(top / "origin.git"))
    (top / "store").mkdir()
    (box.root / ".dvc" / "config").write_text(
        "[core]\n    remote = storage\n['remote \"storage\"']\n    url = @STORE@\n"
    )
    box.commit("remote", ".dvc/config")
    box.mv("tag", "m")
    box.mv("hook", "install")
    return top


@pytest.fixture
def box(healthy_template: Path, tmp_path: Path) -> Sandbox:
    import shutil

    from sandbox import environment

    shutil.copytree(healthy_template, tmp_path / "h", symlinks=True)
    top = tmp_path / "h"
    config = top / "repo" / ".dvc" / "config"
    config.write_text(config.read_text().replace("@STORE@", str(top / "store")))
    box = Sandbox(top / "repo", environment(tmp_path / "home"))
    box.env.pop("CI", None)
    box.git("remote", "add", "origin", f"file://{top}/origin.git")
    box.git("status")
    return box


def find(box: Sandbox, *options: str, **env: str) -> dict[str, dict[str, Any]]:
    """Findings by id; the exit status must say whether any is left."""
    done = box.mv("doctor", "--format", "json", *options, status=None, **env)
    answer = done.json()
    assert done.status == (0 if answer["ok"] else 1), done.err
    assert answer["ok"] == all(finding["fixed"] for finding in answer["findings"])
    for finding in answer["findings"]:
        assert set(finding) == {"id", "level", "message", "why", "hint", "fixable", "fixed"}
        assert finding["level"] in ("error", "warning")
        assert finding["message"]
        assert finding["why"]
    return {finding["id"]: finding for finding in answer["findings"]}


def found_and_mended(box: Sandbox, kind: str, *options: str, **env: str) -> dict[str, Any]:
    """It is told without a change; --fix mends it; then it is gone."""
    before = box.files(), box.refs()
    found = find(box, *options, **env)
    assert list(found) == [kind]
    assert found[kind]["fixable"]
    assert not found[kind]["fixed"]
    assert (box.files(), box.refs()) == before
    mended = find(box, "--fix", *options, **env)
    assert list(mended) == [kind]
    assert mended[kind]["fixed"]
    assert find(box, *options, **env) == {}
    return found[kind]


def found_only(box: Sandbox, kind: str, *options: str, **env: str) -> dict[str, Any]:
    """It is told, and --fix leaves it to the user."""
    before = box.files(), box.refs()
    found = find(box, "--fix", *options, **env)
    assert list(found) == [kind]
    assert not found[kind]["fixed"]
    assert (box.files(), box.refs()) == before
    return found[kind]


def an_object(box: Sandbox) -> Path:
    """A file object in the cache."""
    files = [json.loads(line) for line in (box.root / "models/m/files.jsonl").read_text().splitlines()]
    md5 = max(files, key=lambda entry: entry["bytes"])["md5"]
    return box.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]


def test_a_healthy_repository(box: Sandbox) -> None:
    assert find(box) == {}
    done = box.mv("doctor")
    assert done.out == "nothing to mend\n"
    assert find(box, "--fix") == {}


# locks


def test_locks_of_a_dead_git(box: Sandbox) -> None:
    names = ["index.lock", "HEAD.lock", "packed-refs.lock", "config.lock", "refs/tags/m@v9.lock"]
    places = [box.root / ".git" / name for name in names]
    for place in places:
        place.write_bytes(b"")
    findings = box.mv("doctor", "--format", "json", status=1).json()["findings"]
    assert [finding["message"].split(" was left")[0] for finding in findings] == [str(place) for place in places]
    found_and_mended(box, "git-lock")
    assert not [place for place in places if place.exists()]
    box.git("commit", "-q", "--allow-empty", "-m", "works again")


def test_a_lock_of_a_living_git_is_left_alone(box: Sandbox) -> None:
    """A commit whose editor is open holds the index."""
    (box.root / "new").write_text("x")
    box.git("add", "new")
    env = {**box.env, "GIT_EDITOR": "touch ../ready; sleep 60; :"}
    with subprocess.Popen(["git", "commit", "-a"], cwd=box.root, env=env, start_new_session=True) as git:
        try:
            end = time.monotonic() + 20
            while not (box.root.parent / "ready").exists():
                assert time.monotonic() < end
                time.sleep(0.02)
            assert (box.root / ".git/index.lock").exists()
            assert find(box, "--fix") == {}
            assert (box.root / ".git/index.lock").exists()
        finally:
            os.killpg(git.pid, signal.SIGKILL)
    assert "git-lock" in find(box)


def test_a_lock_that_another_program_has_open_is_left_alone(box: Sandbox) -> None:
    place = box.root / ".git" / "index.lock"
    with place.open("wb"):
        assert find(box, "--fix") == {}
        assert place.exists()
    found_and_mended(box, "git-lock")


@pytest.mark.parametrize("text", ['{"write": {', '{"write": {"/x": {"pid": "1"}}, "read": {}}'])
def test_a_broken_rwlock(box: Sandbox, text: str) -> None:
    place = box.write(".dvc/tmp/rwlock", text)
    assert box.dvc("status", status=None).status != 0
    found_and_mended(box, "dvc-rwlock")
    assert not place.exists()
    box.dvc("status")


def test_a_sound_rwlock(box: Sandbox) -> None:
    box.write(".dvc/tmp/rwlock", '{"write": {"/x": {"pid": 999999999, "cmd": "dvc repro"}}, "read": {"/y": []}}')
    assert find(box) == {}
    box.dvc("status")


def test_a_broken_rwlock_beside_a_living_dvc(box: Sandbox) -> None:
    box.write(".dvc/tmp/rwlock", "{")
    program = "import sys, time; print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", program, "dvc"]  # as `python -m dvc` looks: what runs is in the command line
    with subprocess.Popen(command, cwd=box.root, stdout=subprocess.PIPE) as dvc:
        try:
            assert dvc.stdout is not None
            dvc.stdout.readline()
            assert find(box, "--fix") == {}
        finally:
            dvc.kill()
    found_and_mended(box, "dvc-rwlock")


def test_a_hard_link_lock(box: Sandbox) -> None:
    """DVC's own, killed while it holds it."""
    box.write(".dvc/config.local", "[core]\n    hardlink_lock = true\n")
    program = (
        "import os, signal; from dvc.lock import make_lock\n"
        "make_lock('.dvc/tmp/lock', tmp_dir='.dvc/tmp', hardlink_lock=True).lock()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    box.run(sys.executable, "-P", "-c", program, status=-signal.SIGKILL)
    assert box.dvc("status", status=None).status != 0
    finding = found_only(box, "dvc-lock")
    box.run("sh", "-c", finding["hint"].split("   (")[0])
    assert find(box) == {}
    box.dvc("status")


# files


def test_line_ends(box: Sandbox) -> None:
    files = ["models/m/metadata.yaml", "models/m/weights.dvc", "models/m/files.jsonl"]
    right = {name: (box.root / name).read_bytes() for name in files}
    for name in files:
        (box.root / name).write_bytes(right[name].replace(b"\n", b"\r\n"))
    found = find(box)
    assert "models/m/files.jsonl, models/m/metadata.yaml, models/m/weights.dvc" in found["crlf"]["message"]
    assert find(box, "--fix")["crlf"]["fixed"]
    assert {name: (box.root / name).read_bytes() for name in files} == right
    assert find(box) == {}


@pytest.mark.parametrize("present", [None, "*.png binary\n"])
def test_attributes(box: Sandbox, present: str | None) -> None:
    place = box.root / ".gitattributes"
    wanted = set(place.read_text().splitlines())
    place.unlink() if present is None else place.write_text(present)
    found_and_mended(box, "gitattributes")
    assert wanted <= set(place.read_text().splitlines())
    assert present is None or place.read_text().startswith(present)


@pytest.mark.parametrize("name", ["dvc.yaml", "params.yaml", "models/m/metadata.yaml"])
def test_unreadable_files(box: Sandbox, name: str) -> None:
    box.write(name, "a: [1\n")
    finding = found_only(box, "unreadable")
    assert name in finding["message"]


def test_conflict_markers(box: Sandbox) -> None:
    box.write("params.yaml", "<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> other\n")
    assert found_only(box, "unreadable")["hint"]


def test_broken_dvc_configuration(box: Sandbox) -> None:
    box.write(".dvc/config", "[core\nremote = canary\n")
    assert list(find(box, "--fix")) == ["unreadable"]


# set-up


def test_missing_hooks(box: Sandbox) -> None:
    box.mv("hook", "uninstall")
    finding = found_and_mended(box, "hook")
    assert finding["message"].endswith(
        ": post-checkout, post-merge, post-rewrite, post-commit, post-index-change, pre-push"
    )
    assert finding["hint"] == "modelver hook install"
    assert "modelver" in (box.root / ".git/hooks/pre-push").read_text()


def test_outdated_hook(box: Sandbox) -> None:
    hook = box.root / ".git/hooks/post-checkout"
    now = hook.read_text()
    hook.write_text(now.replace("# <<< modelver", "true\n# <<< modelver"))
    assert "another modelver" in found_and_mended(box, "hook")["message"]
    assert hook.read_text() == now


def test_hooks_in_a_folder_that_others_share(box: Sandbox) -> None:
    shared = box.root.parent / "shared-hooks"
    shared.mkdir()
    box.git("config", "core.hooksPath", str(shared))
    finding = found_only(box, "hook")
    assert str(shared) in finding["message"]
    assert not list(shared.iterdir())


def test_ci_needs_no_hooks(box: Sandbox) -> None:
    box.mv("hook", "uninstall")
    assert find(box, CI="true") == {}


@pytest.mark.parametrize(
    ("file", "kinds", "after"),
    [("config", "symlink", "reflink,copy"), ("config.local", "hardlink,copy", "copy")],
)
def test_link_types(box: Sandbox, file: str, kinds: str, after: str) -> None:
    place = box.root / ".dvc" / file
    place.write_text((place.read_text() if place.exists() else "") + f"[cache]\n    type = {kinds}\n")
    assert "--local" in found_and_mended(box, "link-type")["hint"] or file == "config"
    assert f"type = {after}" in place.read_text().replace('"', "").replace("'", "")
    if file == "config":
        assert "url = /" in place.read_text()


def test_link_types_of_the_user_are_left_to_the_user(box: Sandbox, tmp_path: Path) -> None:
    config = tmp_path / "home" / ".config" / "dvc" / "config"
    config.parent.mkdir(parents=True)
    config.write_text("[cache]\n    type = hardlink\n")
    finding = found_only(box, "link-type")
    assert "--global" in finding["hint"]
    assert not finding["fixable"]


@pytest.mark.parametrize("kind", ["symlink", "hardlink"])
def test_linked_weights(box: Sandbox, kind: str) -> None:
    cached = an_object(box)
    size = cached.stat().st_size
    weights = [p for p in (box.root / "models/m/weights").rglob("*") if p.is_file() and p.stat().st_size == size]
    for place in weights:
        place.unlink()
        place.symlink_to(cached) if kind == "symlink" else place.hardlink_to(cached)
    before = cached.read_bytes()
    finding = find(box)["linked-weights"]
    assert "models/m/weights" in finding["message"]
    assert find(box, "--fix")["linked-weights"]["fixed"]
    assert find(box) == {}
    for place in weights:
        assert not place.is_symlink()
        assert place.read_bytes() == before
        place.write_bytes(b"edited")
    assert cached.read_bytes() == before


def test_a_worktree_without_the_cache(box: Sandbox) -> None:
    box.git("worktree", "add", "-q", "--no-checkout", "--detach", "../linked")
    linked = Sandbox(box.root.parent / "linked", box.env)
    linked.git("-c", "core.hooksPath=/dev/null", "checkout", "-q", "HEAD")
    found = find(linked)
    assert "worktree-cache" in found
    assert find(linked, "--fix")["worktree-cache"]["fixed"]
    assert str(box.root / ".dvc/cache") in (linked.root / ".dvc/config.local").read_text()
    assert "worktree-cache" not in find(linked)


def test_a_partial_clone(box: Sandbox, tmp_path: Path) -> None:
    """Whose files of past commits Git would fetch one by one; each command says how it becomes a whole one."""
    box.change("m", 2)
    box.commit("2")
    box.mv("tag", "m")
    box.git("config", "uploadpack.allowFilter", "true")
    box.git("config", "uploadpack.allowAnySHA1InWant", "true")
    box.run("git", "clone", "-q", "--filter=blob:none", f"file://{box.root}", str(tmp_path / "partial"))
    clone = Sandbox(tmp_path / "partial", box.env)
    finding = find(clone, "--offline")["partial-clone"]
    verdict = clone.mv("verify", "m@v1.0.0", status=1)
    assert finding["hint"] == "git fetch --refetch --no-filter"
    assert finding["hint"] in verdict.out + verdict.err
    shown = clone.mv("diff", "v1.0.0", "v1.0.1", status=3)
    clone.mend(shown)
    clone.mv("diff", "v1.0.0", "v1.0.1")
    assert "partial-clone" not in find(clone, "--offline")


def test_a_shallow_clone(box: Sandbox, tmp_path: Path) -> None:
    box.git("push", "-q", "--no-verify", "origin", "HEAD:refs/heads/main", "m@v1.0.0")
    box.run("git", "clone", "-q", "--depth", "1", "--no-tags", f"file://{box.root}", str(tmp_path / "ci"))
    clone = Sandbox(tmp_path / "ci", box.env)
    finding = find(clone, "--offline", CI="1")["shallow-clone"]
    assert not finding["fixable"]
    clone.run("sh", "-c", finding["hint"].split("   (")[0])
    assert clone.tags() == ["m@v1.0.0"]
    assert "shallow-clone" not in find(clone, "--offline", CI="1")


def test_missing_tags(box: Sandbox) -> None:
    box.git("push", "-q", "--no-verify", "origin", "HEAD:refs/heads/main", "m@v1.0.0")
    box.git("tag", "-d", "m@v1.0.0")
    box.git("push", "-q", "--no-verify", "origin", "HEAD:refs/tags/note")
    box.git("tag", "note", "HEAD~1")
    (box.root / ".git/modelver/known-tags.jsonl").unlink(missing_ok=True)
    assert list(find(box)) == ["missing-tags"]
    assert find(box, "--fix")["missing-tags"]["fixed"]
    assert box.tags() == ["m@v1.0.0", "note"]
    assert box.git("rev-parse", "note") == box.git("rev-parse", "HEAD~1")
    assert find(box) == {}


def test_two_versions_on_one_commit(box: Sandbox) -> None:
    box.git("tag", "-a", "-m", "again", "m@v1.0.1", "m@v1.0.0^{}", GIT_COMMITTER_DATE="2040-01-01T00:00:00Z")
    box.git("tag", "-a", "-m", "assigned", "m#prod#1", "m@v1.0.0^{}", GIT_COMMITTER_DATE="2040-01-01T00:00:01Z")
    gto = ["gto", "show"]
    assert box.run(*gto, status=None).status != 0
    finding = found_only(box, "two-versions")
    assert "m@v1.0.1" in finding["hint"]
    box.run("sh", "-c", finding["hint"].split("   (")[0])
    assert find(box) == {}
    box.run(*gto)


def test_a_lightweight_tag(box: Sandbox) -> None:
    box.git("tag", "m@v3.0.0")
    assert "m@v3.0.0" in found_only(box, "lightweight-tag")["message"]


# storage


def test_little_room(box: Sandbox) -> None:
    sidecar = box.root / "models/m/metadata.yaml"
    text = sidecar.read_text()
    line = next(line for line in text.splitlines() if line.strip().startswith("bytes:"))
    sidecar.write_text(text.replace(line, f"{line.split(':')[0]}: {10**17}"))
    finding = found_only(box, "disk")
    assert str(10**17) in finding["message"]


def test_leftovers(box: Sandbox) -> None:
    places = [
        box.write(".dvc/cache/files/md5/ab/.Xy_0-abcdefghijklmnop.tmp", bytes(5000)),
        box.write(".dvc/cache/files/md5/.half.tmp", b"x"),
        box.write("models/m/.metadata.yaml.abcdefgh.tmp", b"half"),
        box.write(".dvc/tmp/modelver-add/weights/half", b"half"),
        box.write(".git/modelver/.journal.json.abcdefgh.tmp", b"half"),
    ]
    assert find(box) == {}  # young: their makers may live
    late = box.root.parent / "late"
    late.mkdir()
    # change times can't be set, so the clock is an hour ahead
    (late / "sitecustomize.py").write_text("import time\nreal = time.time\ntime.time = lambda: real() + 3600\n")
    env = {"PYTHONPATH": f"{late}{os.pathsep}{box.env['PYTHONPATH']}"}
    with places[0].open("ab"):
        found = find(box, **env)["leftover"]
        assert str(places[0]) not in found["message"]
    mended = find(box, "--fix", **env)["leftover"]
    assert mended["fixed"]
    assert not [place for place in places if place.exists()]
    assert find(box, **env) == {}


@pytest.mark.parametrize("source", ["worktree", "remote"])
def test_a_truncated_object(box: Sandbox, source: str) -> None:
    place = an_object(box)
    right = place.read_bytes()
    box.dvc("push")
    if source == "remote":
        import shutil

        shutil.rmtree(box.root / "models/m/weights")
    place.chmod(0o644)
    place.write_bytes(right[:-1])
    place.chmod(0o444)
    finding = found_and_mended_cache(box, "cache-damaged")
    assert str(place) in finding["message"]
    assert place.read_bytes() == right
    assert place.stat().st_mode & 0o777 == 0o444


def found_and_mended_cache(box: Sandbox, kind: str) -> dict[str, Any]:
    found = find(box)
    assert list(found) == [kind]
    assert find(box, "--fix")[kind]["fixed"]
    assert find(box) == {}
    return found[kind]


def test_a_damaged_object_without_a_copy_stays(box: Sandbox) -> None:
    import shutil

    place = an_object(box)
    shutil.rmtree(box.root / "models/m/weights")
    place.chmod(0o644)
    place.write_bytes(b"short")
    finding = find(box, "--fix", "--offline")["cache-damaged"]
    assert not finding["fixed"]
    assert "no good copy" in finding["message"]
    assert place.read_bytes() == b"short"


def test_writable_objects(box: Sandbox) -> None:
    place = an_object(box)
    place.chmod(0o644)
    found_and_mended_cache(box, "cache-writable")
    assert place.stat().st_mode & 0o777 == 0o444


def test_an_object_that_was_edited(box: Sandbox) -> None:
    place = an_object(box)
    right = place.read_bytes()
    place.chmod(0o644)
    place.write_bytes(bytes([right[0] ^ 1]) + right[1:])
    found_and_mended_cache(box, "cache-damaged")
    assert hashlib.md5(place.read_bytes()).hexdigest() == place.parent.name + place.name


def test_nothing_is_touched_through_links(box: Sandbox) -> None:
    """A hostile clone whose folders are links to what is the user's."""
    home = box.root.parent / "precious"
    (home / "modelver-mine").mkdir(parents=True)
    files = {
        home / "rwlock": b"{ not json",
        home / "modelver-mine" / "thesis": b"thesis",
        home / ".metadata.yaml.abcdefgh.tmp": b"mine",
        home / "files/md5/ab/x.tmp": b"mine",
        home / "files/md5/ab" / ("c" * 30): b"writable",
        home / "config": b"[cache]\n    type = symlink\n['remote \"r\"']\n    url = ../x\n",
        home / "attributes": b"secret\n",
        home / "metadata.yaml": b"a: 1\r\n",
    }
    for place, data in files.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    import shutil

    for name, target in (("tmp", home), ("cache", home), ("config", home / "config")):
        place = box.root / ".dvc" / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
        place.symlink_to(target)
    (box.root / ".gitattributes").unlink()
    (box.root / ".gitattributes").symlink_to(home / "attributes")
    shutil.rmtree(box.root / "models/m")
    (box.root / "models/m").symlink_to(home)
    late = box.root.parent / "late"
    late.mkdir()
    (late / "sitecustomize.py").write_text("import time\nreal = time.time\ntime.time = lambda: real() + 3e6\n")
    found = find(box, "--fix", "--offline", PYTHONPATH=f"{late}{os.pathsep}{box.env['PYTHONPATH']}")
    assert not found["link-type"]["fixed"]
    assert "secret" not in (box.root / ".gitattributes").read_text()
    assert {place: place.read_bytes() for place in files} == files
    assert (home / "files/md5/ab" / ("c" * 30)).stat().st_mode & 0o200
    assert sorted(p for p in home.rglob("*") if p.is_file()) == sorted(files)


def test_edited_weights(box: Sandbox) -> None:
    place = max((box.root / "models/m/weights").rglob("*"), key=lambda p: p.stat().st_size if p.is_file() else 0)
    data = place.read_bytes()
    place.chmod(0o644)
    place.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    finding = found_only(box, "weights-edited")
    box.run("sh", "-c", f"{sys.executable} -P -m {finding['hint'].split('   (')[0]}")
    assert place.read_bytes() == data
    assert find(box) == {}


def test_weights_that_were_not_pulled_are_nobodys_edit(box: Sandbox) -> None:
    """As after `git pull` of a version whose objects are not here yet."""
    weights, cache = box.root / "models/m/weights", box.root / ".dvc/cache/files/md5"
    old = {path: path.read_bytes() for path in weights.rglob("*") if path.is_file()}
    before = set(cache.glob("*/*"))
    box.change("m", 5)
    box.commit("other weights")
    box.dvc("push", "-q")
    new = {path: path.read_bytes() for path in weights.rglob("*") if path.is_file()}
    for path in {*cache.glob("*/*")} - before:
        path.unlink()
    shutil.rmtree(weights)
    for path, data in old.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    finding = found_only(box, "weights-edited")
    assert "holds another version's weights" in finding["message"]
    assert finding["hint"] == "dvc fetch models/m/weights && modelver restore models/m/weights"
    box.dvc("fetch", "-q", "models/m/weights")
    box.mv("restore", "models/m/weights")
    assert {path: path.read_bytes() for path in weights.rglob("*") if path.is_file()} == new
    assert find(box) == {}


# remotes


def test_a_relative_remote(box: Sandbox) -> None:
    config = box.root / ".dvc" / "config"
    store = str(box.root.parent / "store")
    config.write_text(config.read_text().replace(store, "../../store"))
    assert "../../store" in found_and_mended(box, "relative-remote")["message"]
    assert f"url = {store}" in config.read_text()


def test_an_unreachable_dvc_remote(box: Sandbox) -> None:
    config = box.root / ".dvc" / "config"
    (box.root.parent / "file").write_text("")
    config.write_text(config.read_text().replace("/store", "/file"))
    assert "is no folder" in found_only(box, "dvc-remote")["message"]
    assert find(box, "--offline") == {}


def test_no_dvc_remote(box: Sandbox) -> None:
    box.write(".dvc/config", "")
    assert "no DVC remote" in found_only(box, "dvc-remote")["message"]


def test_a_plain_http_remote_that_is_not_the_default(box: Sandbox) -> None:
    config = box.root / ".dvc" / "config"
    more = "['remote \"other\"']\n    url = s3://b\n    endpointurl = http://u:canary@storage.example\n"
    config.write_text(config.read_text() + more)
    finding = found_only(box, "plain-http")
    assert "canary" not in json.dumps(finding)
    assert "other" in finding["hint"]
    assert find(box, "--plain-http") == {}


@pytest.mark.s3
def test_a_wrong_secret(box: Sandbox, swift: Any) -> None:
    swift.configure(box)
    assert find(box) == {}
    finding = found_only(box, "dvc-remote", AWS_SECRET_ACCESS_KEY="canary-secret")
    assert "secret is wrong" in finding["message"]
    assert "canary" not in json.dumps(finding)


def test_an_unreachable_git_remote(box: Sandbox) -> None:
    box.git("remote", "set-url", "origin", "file:///nowhere/origin.git")
    assert "origin" in found_only(box, "git-remote")["message"]


def test_no_git_remote(box: Sandbox) -> None:
    box.git("remote", "remove", "origin")
    assert found_only(box, "git-remote")["level"] == "warning"


# versions


@pytest.mark.parametrize(("package", "version"), [("gto", "1.9.0"), ("onnx", "1.16.2"), ("dvc", "4.0.0")])
def test_known_bad_packages(box: Sandbox, tmp_path: Path, package: str, version: str) -> None:
    info = tmp_path / "site" / f"{package}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    path = f"{tmp_path / 'site'}{os.pathsep}{box.env['PYTHONPATH']}"
    finding = found_only(box, "known-bad", PYTHONPATH=path)
    assert f"{package} {version}" in finding["message"]
    assert finding["hint"].startswith(f"pip install '{package}")


def test_an_old_git(box: Sandbox, tmp_path: Path) -> None:
    script = tmp_path / "bin" / "git"
    script.parent.mkdir()
    script.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && { echo "git version 2.34.1"; exit; }\n'
        f'PATH={box.env["PATH"]} exec git "$@"\n'
    )
    script.chmod(0o755)
    finding = found_only(box, "known-bad", PATH=f"{script.parent}{os.pathsep}{box.env['PATH']}")
    assert "2.34.1" in finding["message"]


# answers


def test_it_says_what_why_and_how(box: Sandbox) -> None:
    box.git("tag", "m@v3.0.0")
    (box.root / ".git/index.lock").write_bytes(b"")
    done = box.mv("doctor", status=1)
    assert "error: git-lock: " in done.out
    assert "    why: Git refuses" in done.out
    assert "    mend: rm -f " in done.out
    assert done.err.splitlines() == ["error: 2 problems found", "hint: modelver doctor --fix   (mends 1 of them)"]
    done = box.mv("doctor", "--fix", "--format", "markdown", status=1)
    assert "| mended" in done.out
    assert done.err.splitlines() == ["error: 1 problem found"]


def test_outside_of_a_repository(tmp_path: Path, box: Sandbox) -> None:
    (tmp_path / "empty").mkdir()
    done = Sandbox(tmp_path / "empty", box.env).mv("doctor", status=2)
    assert "hint: modelver init" in done.err


def test_a_repository_without_dvc(tmp_path: Path, box: Sandbox) -> None:
    (tmp_path / "bare").mkdir()
    other = Sandbox(tmp_path / "bare", box.env)
    other.git("init", "-q")
    assert "no-dvc" in find(other)
