"""`modelver push`: weights first, read back and hashed; then commit and tags, all or none."""

import hashlib
import json
import shlex
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from published import FolderStorage, Hub, cached, harmed, needed, spoil_cache, with_folder, with_hub
from sandbox import Done, InProcess, Sandbox, environment, start

STRACE = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@pytest.fixture(scope="session")
def unpushed_template(model_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """m@v1.0.0, a bare ``origin`` and a folder as the DVC remote beside it, by relative paths; nothing is pushed."""
    tmp = tmp_path_factory.mktemp("unpushed")
    shutil.copytree(model_template, tmp / "repo", symlinks=True)
    box = Sandbox(tmp / "repo", environment(tmp / "home"))
    with_hub(box)
    with_folder(box)
    box.mv("tag", "m")
    return tmp


@pytest.fixture(scope="session")
def pushed_template(unpushed_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, pushed."""
    tmp = copied(unpushed_template, tmp_path_factory.mktemp("pushed")).root.parent
    Sandbox(tmp / "repo", environment(tmp / "home")).mv("push")
    return tmp


def copied(template: Path, to: Path) -> Sandbox:
    subprocess.run(["cp", "-a", f"{template}/.", str(to)], check=True)
    box = InProcess(to / "repo", environment(to / "home"))
    box.git("status")  # refreshes the index: the copied files have other inodes
    return box


@pytest.fixture(scope="session")
def empty_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tmp = tmp_path_factory.mktemp("empty")
    start(tmp / "repo", environment(tmp / "home"))
    return tmp


@pytest.fixture
def empty_repo(empty_template: Path, tmp_path: Path) -> Sandbox:
    return copied(empty_template, tmp_path)


@pytest.fixture
def model_repo(model_template: Path, tmp_path: Path) -> Sandbox:
    shutil.copytree(model_template, tmp_path / "repo", symlinks=True)
    box = InProcess(tmp_path / "repo", environment(tmp_path / "home"))
    box.git("status")
    return box


@pytest.fixture
def box(unpushed_template: Path, tmp_path: Path) -> Sandbox:
    return copied(unpushed_template, tmp_path)


@pytest.fixture
def pushed(pushed_template: Path, tmp_path: Path) -> Sandbox:
    return copied(pushed_template, tmp_path)


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return Hub(tmp_path / "hub.git", Sandbox(tmp_path, environment(tmp_path / "home")))


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    return FolderStorage(tmp_path / "storage")


def next_version(box: Sandbox, seed: int = 2, *options: str) -> str:
    box.change("m", seed)
    box.commit(f"seed {seed}")
    return box.mv("tag", "m", *options, "--format", "json").json()["tag"]


def unchanged_store(storage) -> dict[str, bytes]:
    found = storage.objects()
    assert all(hashlib.md5(data).hexdigest() == name.removesuffix(".dir") for name, data in found.items())
    return found


def test_exactly_the_objects_then_commit_and_tag(box, hub, storage):
    box.write("notes.txt", "later\n")
    box.commit("later than the version")
    done = box.mv("push", "--format", "json").json()
    assert unchanged_store(storage) == needed(box, "v1.0.0")
    tag, commit = box.git("rev-parse", "m@v1.0.0"), box.git("rev-parse", "m@v1.0.0^{}")
    assert hub.refs() == {"refs/tags/m@v1.0.0": tag, "refs/heads/main": commit}, "no later commit is pushed"
    assert box.git("rev-parse", "origin/main") == commit
    objects = done.pop("objects")
    assert done == {
        "remote": "origin", "versions": ["m@v1.0.0"], "tags": ["m@v1.0.0"], "dry_run": False,
        "branch": {"name": "main", "old": None, "new": commit},
    }  # fmt: skip
    size = sum(map(len, needed(box, "v1.0.0").values()))
    assert objects == {
        "remote": "storage", "objects": 3, "uploaded": 3, "uploaded_bytes": size, "replaced": 0, "read": 3,
        "read_bytes": size, "trusted": 0, "missing": [],
    }  # fmt: skip


def test_a_clone_gets_the_bytes_by_dvc_alone(pushed, hub, storage, tmp_path):
    clone = hub.clone(tmp_path / "clone")
    clone.git("checkout", "-q", "m@v1.0.0")
    clone.dvc("pull", "-q")
    assert needed(clone, "v1.0.0") == needed(pushed, "v1.0.0")


def test_a_second_push_does_nothing(pushed, hub, storage):
    refs = hub.refs()
    done = pushed.mv("push")
    assert done.out == "origin: has every version and decision already\n"
    assert hub.refs() == refs


@STRACE
def test_what_was_read_back_is_not_read_again_unless_full(box, hub, storage, tmp_path):
    box.mv("push")

    def opened(*options: str) -> int:
        log = tmp_path / "opened"
        command = ("strace", "-f", "-qq", "-e", "trace=openat", "-o", str(log), "modelver", "push", "v1", *options)
        box.run(*command)
        return sum(
            f'"{storage.root}/files/md5/' in line and "O_RDONLY" in line for line in log.read_text().splitlines()
        )

    assert opened() == 0
    assert opened("--full") == 3
    done = box.mv("push", "v1").out
    assert "3 objects: 3 read back before and untouched since" in done


def test_an_empty_file_counts_as_read_as_any_other_does(empty_repo):
    with_hub(empty_repo)
    storage = with_folder(empty_repo)
    empty_repo.write("in/empty.txt", "")
    empty_repo.write("in/full.txt", "words\n")
    empty_repo.mv("add", "m", "in", "--plain")
    empty_repo.commit("m")
    empty_repo.mv("tag", "m")

    def counted(*options: str) -> tuple[int, ...]:
        objects = empty_repo.mv("push", "m@v1", *options, "--format", "json").json()["objects"]
        return tuple(objects[key] for key in ("objects", "uploaded", "read", "trusted"))

    assert counted() == (3, 3, 3, 0)  # the two files, and the folder's listing
    assert hashlib.md5(b"").hexdigest() in storage.objects()
    assert counted() == (3, 0, 0, 3)
    assert counted("--full") == (3, 0, 3, 0)


def test_an_object_that_was_touched_is_read_again(box, hub, storage):
    box.mv("push")
    one = max(storage.objects())
    storage.put(one, storage.objects()[one])
    objects = box.mv("push", "v1", "--format", "json").json()["objects"]
    assert (objects["read"], objects["trusted"], objects["uploaded"]) == (1, 2, 0)


def test_full_reads_what_is_published_too(pushed, hub, storage):
    next_version(pushed)
    done = pushed.mv("push", "--full", "--format", "json").json()
    assert done["versions"] == ["m@v1.0.1", "m@v1.0.0"]
    assert done["tags"] == ["m@v1.0.1"]
    assert done["objects"]["read"] == done["objects"]["objects"] == len(storage.objects())


@pytest.mark.parametrize("damage", [b"", b"no database" * 100, None])
def test_the_memory_is_only_a_cache(pushed, hub, storage, damage):
    memory = pushed.root / ".git/modelver/remote.sqlite"
    with closing(sqlite3.connect(memory)) as connection:
        assert connection.execute("SELECT count(*) FROM objects").fetchone() == (3,)
    if damage is None:
        memory.unlink()
        memory.mkdir()
    else:
        memory.write_bytes(damage)
    for suffix in ("-wal", "-shm"):
        memory.with_name(memory.name + suffix).unlink(missing_ok=True)
    assert pushed.mv("push", "v1", "--format", "json").json()["objects"]["read"] == 3


def test_only_what_is_missing_is_uploaded(box, hub, storage):
    box.mv("push")
    for name in sorted(storage.objects())[:2]:
        storage.delete(name)
    objects = box.mv("push", "v1", "--format", "json").json()["objects"]
    assert (objects["uploaded"], objects["read"], objects["trusted"]) == (2, 2, 1)
    assert unchanged_store(storage) == needed(box, "v1.0.0")


def test_objects_that_versions_share_go_once(box, hub, storage):
    box.write("models/m/README.md", "# m\n\nOther words.\n")
    box.commit("words")
    box.mv("tag", "m", "--force-new")
    assert box.mv("push", "--format", "json").json()["objects"]["uploaded"] == 3
    assert hub.tags() == ["m@v1.0.0", "m@v1.0.1"]


def test_a_dry_run_writes_nothing(box, hub, storage):
    before = box.fingerprint()
    done = box.mv("push", "--dry-run")
    assert "3 to upload" in done.out
    assert "origin: would push m@v1.0.0\norigin: would move main to " in done.out
    assert (storage.objects(), hub.refs(), box.fingerprint()) == ({}, {}, before)
    box.mv("push")
    one = max(storage.objects())
    storage.put(one, storage.objects()[one])
    assert box.mv("push", "v1", "-n", "--format", "json").json()["objects"] == {
        "remote": "storage", "objects": 3, "uploaded": 0, "uploaded_bytes": 0, "replaced": 0, "read": 1,
        "read_bytes": 0, "trusted": 2, "missing": [],
    }  # fmt: skip


def test_jobs(box, hub, storage):
    box.refused("push", "--jobs", "0")
    box.refused("push", "--jobs", "1000")
    box.mv("push", "--jobs", "1")
    assert unchanged_store(storage) == needed(box, "v1.0.0")


def test_only_the_versions_asked_for_and_what_was_decided_about_them(box, hub, storage):
    next_version(box)
    box.mv("promote", "v1.0.0", "prod")
    box.mv("promote", "v1.0.1", "prod")
    box.mv("yank", "v1.0.0")
    done = box.mv("push", "m@v1.0.0", "--format", "json").json()
    assert done["tags"] == ["m@v1.0.0", "m#prod#1", "m@v1.0.0!"]
    assert sorted(done["tags"]) == hub.tags()
    assert set(storage.objects()) == set(needed(box, "v1.0.0"))
    assert hub.refs()["refs/heads/main"] == box.git("rev-parse", "m@v1.0.0^{}")
    done = box.mv("push", "--format", "json").json()
    assert done["tags"] == ["m@v1.0.1", "m#prod#2"]
    assert hub.refs()["refs/heads/main"] == box.git("rev-parse", "m@v1.0.1^{}")


def test_decisions_alone_need_no_weights(pushed, hub, storage):
    pushed.mv("promote", "v1.0.0", "prod")
    for name in storage.objects():
        storage.delete(name)
    done = pushed.mv("push")
    assert done.out == "origin: pushed m#prod#1\n"
    assert hub.tags() == ["m#prod#1", "m@v1.0.0"]


def next_command(done: Done) -> list[str]:
    """The words of the command that stands behind ``next:``."""
    return shlex.split(next(line for line in done.err.splitlines() if line.startswith("next: ")).removeprefix("next: "))


@pytest.mark.parametrize(
    ("decision", "tag"), [(("promote", "v1.0.0", "prod"), "m#prod#1"), (("yank", "v1.0.0"), "m@v1.0.0!")]
)
def test_what_is_said_to_be_next_publishes_version_and_decision(box, hub, storage, decision, tag):
    program, *arguments = next_command(box.mv(*decision))
    assert (program, arguments) == ("modelver", ["push", "m@v1.0.0"])
    box.mv(*arguments)
    assert hub.tags() == sorted([tag, "m@v1.0.0"])
    assert unchanged_store(storage) == needed(box, "v1.0.0")


def test_a_decision_on_a_published_version_goes_out_though_the_dvc_remote_is_down(pushed, hub, storage):
    storage.root.rename(storage.root.with_name("gone"))
    done = pushed.mv("promote", "v1.0.0", "prod")
    command = next_command(done)
    assert command == ["git", "push", "origin", "m#prod#1"]
    pushed.run(*command)
    assert hub.tags() == ["m#prod#1", "m@v1.0.0"]
    taken_out = pushed.mv("rollback", "m", "--to-nothing")
    pushed.run(*next_command(taken_out))
    assert hub.tags() == ["m#prod!#2", "m#prod#1", "m@v1.0.0"]


def test_by_environment(box, hub, storage):
    box.mv("promote", "v1.0.0", "prod")
    box.mv("push", "m#prod")
    assert hub.tags() == ["m#prod#1", "m@v1.0.0"]


def test_by_the_tag_of_a_decision(box, hub, storage):
    box.mv("promote", "v1.0.0", "prod")
    assert "m#prod#1" in box.tags()
    box.mv("push", "m#prod#1")
    assert {"m@v1.0.0", "m#prod#1"} <= set(hub.tags())
    assert storage.objects() == needed(box, "v1.0.0")


@pytest.mark.parametrize("ref", ["HEAD", "m@v9", "nobody@v1"])
def test_what_is_no_version_is_refused(box, hub, storage, ref):
    box.refused("push", ref)
    assert hub.refs() == {}


def test_without_remotes_the_hint_says_what_to_do(tagged_repo, tmp_path):
    box = tagged_repo
    assert "git remote add origin" in box.hint(box.refused("push"))
    with_hub(box)
    assert "dvc remote add" in box.hint(box.refused("push"))
    with_folder(box)
    box.refused("push", "--remote", "elsewhere", status=3)
    box.refused("push", "--remote=--upload-pack=touch x", status=3)
    assert "'elsewhere'" in box.refused("push", "--dvc-remote", "elsewhere").err


def test_several_git_remotes_of_which_none_is_the_one_to_push_to(box, hub, storage):
    box.git("remote", "rename", "origin", "work")
    box.git("remote", "add", "backup", "../nowhere.git")
    box.git("config", "--unset-all", "branch.main.remote", status=None)
    done = box.refused("push")
    assert "there are 2 Git remotes (backup, work), and nothing says which to push to" in done.err
    assert box.hint(done) == "modelver push --remote backup"
    box.mv("push", "--remote", "work")
    assert hub.tags() == ["m@v1.0.0"]


def test_other_remotes_by_name_and_path(box, hub, storage, tmp_path):
    box.dvc("remote", "add", "-q", "other", str(tmp_path / "other-storage"))
    box.run("git", "init", "-q", "--bare", str(tmp_path / "other.git"))
    box.mv("push", "--remote", str(tmp_path / "other.git"), "--dvc-remote", "other")
    assert storage.objects() == {}
    assert hub.tags() == []
    assert "m@v1.0.0" in box.git("ls-remote", str(tmp_path / "other.git"))
    assert len([p for p in (tmp_path / "other-storage").rglob("*") if p.is_file()]) == 3


def test_another_url_for_pushing_is_the_one_that_counts(box, hub, storage, tmp_path):
    box.run("git", "init", "-q", "--bare", str(tmp_path / "writable.git"))
    box.git("config", "remote.origin.pushurl", str(tmp_path / "writable.git"))
    box.mv("push")
    assert hub.tags() == []
    assert "m@v1.0.0" in box.git("ls-remote", str(tmp_path / "writable.git"))
    assert "already" in box.mv("push").out


def test_several_places_to_push_to_of_which_one_refuses(box, hub, storage, tmp_path):
    """Git has pushed to the first when the second says no."""
    mirror = Hub(tmp_path / "mirror.git", box)
    box.run("git", "init", "-q", "--bare", "-b", "main", str(mirror.path))
    for place in (hub, mirror):
        box.git("config", "--add", "remote.origin.pushurl", str(place.path))
    refuse = mirror.path / "hooks" / "pre-receive"
    refuse.write_text("#!/bin/sh\nexit 1\n")
    refuse.chmod(0o755)
    done = box.mv("push", status=3)
    assert (hub.tags(), mirror.tags()) == (["m@v1.0.0"], [])
    assert f"pushed to 2 places, and not all took m@v1.0.0: {mirror.path} did not" in done.err
    refuse.unlink()
    box.mend(done)
    assert mirror.refs() == hub.refs()
    assert hub.git("rev-parse", "m@v1.0.0") == box.git("rev-parse", "m@v1.0.0")
    box.change("m", 2)
    box.mv("tag", "m", "--push")
    assert mirror.refs() == hub.refs()
    assert hub.tags() == ["m@v1.0.0", "m@v1.0.1"]


def test_what_is_said_to_be_run_again_goes_the_same_way(box, hub, tmp_path):
    (tmp_path / "file").touch()
    box.dvc("remote", "add", "-q", "other", str(tmp_path / "file"))
    box.change("m", 2)
    done = box.mv("tag", "m", "--push", "--dvc-remote", "other", status=3)
    assert "modelver push m@v1.0.1 --dvc-remote other" in done.err


def test_another_tag_of_that_name_is_refused_and_the_hint_mends_it(box, hub, storage, tmp_path):
    other = Sandbox(tmp_path / "other", box.env)
    box.clone(other.root)
    other.git("tag", "-f", "-a", "-m", "mine", "m@v1.0.0", "m@v1.0.0^{}")
    other.git("push", "-q", str(hub.path), "m@v1.0.0")
    theirs, mine = other.git("rev-parse", "m@v1.0.0"), box.git("rev-parse", "m@v1.0.0")
    refused = box.refused("push")
    assert f"m@v1.0.0 is {theirs[:12]} on origin and {mine[:12]} here" in refused.err
    assert storage.objects() == {}
    box.mend(refused)
    assert box.git("rev-parse", "m@v1.0.0") == theirs
    assert "already" in box.mv("push").out


def test_a_lightweight_tag_there_is_another_object(box, hub, storage):
    box.git("push", "-q", "--no-verify", "origin", "m@v1.0.0^{}:refs/tags/m@v1.0.0")
    assert "on origin and" in box.refused("push").err


def test_a_damaged_object_of_the_cache_is_never_uploaded(box, hub, storage):
    for name, data in needed(box, "v1.0.0").items():
        if name.endswith(".dir"):
            continue  # Git's manifest spells it out
        spoil_cache(box, name, harmed(data, "flip"))
        done = box.refused("push", status=1)
        assert name in done.err
        assert "damaged in DVC's cache" in done.err
        assert str(cached(box, name)) in box.hint(done)
        spoil_cache(box, name, data)
    assert (storage.objects(), hub.refs()) == ({}, {})


def test_the_hint_brings_a_lost_object_back_from_the_working_tree(box, hub, storage):
    names = [name for name in needed(box, "v1.0.0") if not name.endswith(".dir")]
    spoil_cache(box, names[0], None)
    refused = box.refused("push")
    assert f"({names[0]}) is not in DVC's cache, and is not on DVC remote storage" in refused.err
    box.mend(refused)
    assert unchanged_store(storage) == needed(box, "v1.0.0")
    assert hub.tags() == ["m@v1.0.0"]


def test_what_is_nowhere_is_refused_by_name(box, hub, storage):
    old = needed(box, "v1.0.0")
    next_version(box)
    gone = next(name for name in set(old) - set(needed(box, "v1.0.1")) if not name.endswith(".dir"))
    spoil_cache(box, gone, None)
    refused = box.refused("push")
    assert "m@v1.0.0: models/m/weights" in refused.err
    assert "modelver push m@v1.0.0" in box.hint(refused)
    box.mv("push", "m@v1.0.1")
    assert hub.tags() == ["m@v1.0.1"], "the others need not wait"


def test_a_cache_that_lacks_what_the_remote_has_right_is_fine(box, hub, storage):
    box.dvc("push", "-q")
    shutil.rmtree(box.root / ".dvc/cache")
    objects = box.mv("push", "--format", "json").json()["objects"]
    assert (objects["uploaded"], objects["read"]) == (0, 3)
    assert hub.tags() == ["m@v1.0.0"]


def test_the_listing_is_made_of_the_manifest(box, hub, storage):
    wanted = needed(box, "v1.0.0")
    listing = next(name for name in wanted if name.endswith(".dir"))
    spoil_cache(box, listing, None)
    box.mv("push")
    assert unchanged_store(storage) == wanted


# The Git side


def test_a_diverged_branch_is_left_alone(box, hub, storage, tmp_path):
    box.git("push", "-q", "origin", "main")
    clone = hub.clone(tmp_path / "clone")
    clone.write("other.txt", "x\n")
    clone.commit("somebody else's")
    clone.git("push", "-q", "origin", "main")
    theirs = hub.refs()["refs/heads/main"]
    next_version(box)
    done = box.mv("push")
    assert "note: origin/main has commits that are not here, so it is left as it is" in done.err
    assert hub.refs()["refs/heads/main"] == theirs
    assert hub.tags() == ["m@v1.0.0", "m@v1.0.1"]
    box.git("fetch", "-q")
    next_version(box, 3)
    assert "diverged" in box.mv("push").err
    assert hub.refs()["refs/heads/main"] == theirs


def test_a_branch_that_has_the_commit_stays(box, hub, storage):
    box.write("notes.txt", "later\n")
    head = box.commit("later")
    box.git("push", "-q", "origin", "main")
    assert box.mv("push", "--format", "json").json()["branch"] is None
    assert hub.refs()["refs/heads/main"] == head


@pytest.mark.parametrize("where", ["detached", "branch"])
def test_a_branch_that_does_not_hold_the_commit_stays(box, hub, storage, where):
    box.git("checkout", "-q", *(["--detach"] if where == "detached" else ["-b", "early"]), "HEAD^")
    assert box.mv("push", "m@v1.0.0", "--format", "json").json()["branch"] is None
    assert list(hub.refs()) == ["refs/tags/m@v1.0.0"]


def test_nothing_else_is_pushed_along(box, hub, storage):
    box.git("config", "push.followTags", "true")
    box.git("tag", "-a", "-m", "not a model's", "release-1", "HEAD~1")
    next_version(box)
    box.mv("push", "m@v1.0.1")
    assert hub.tags() == ["m@v1.0.1"]


def test_a_local_tag_that_moves_meanwhile_is_not_what_goes_out(box, hub, storage):
    """What is pushed is the object that was looked at, by its id."""
    right = box.git("rev-parse", "m@v1.0.0")
    hook = box.root / ".git/hooks/pre-push"
    hook.write_text("#!/bin/sh\ncat > /dev/null\ngit tag -f -a -m moved m@v1.0.0 HEAD~1 > /dev/null\n")
    hook.chmod(0o755)
    box.mv("push")
    assert hub.refs()["refs/tags/m@v1.0.0"] == right != box.git("rev-parse", "m@v1.0.0")


def test_a_refusal_of_the_server_is_shown_in_its_own_words(box, hub, storage):
    hook = hub.path / "hooks/update"
    hook.write_text('#!/bin/sh\ncase $1 in refs/heads/main) echo "main is protected, Ada" >&2; exit 1;; esac\n')
    hook.chmod(0o755)
    done = box.refused("push", status=3)
    assert "git: remote: main is protected, Ada" in done.err
    assert "error: origin did not take main, m@v1.0.0: [remote rejected]" in done.err
    assert hub.refs() == {}, "all or none"
    hook.unlink()
    assert box.mv("push", "--format", "json").json()["objects"]["uploaded"] == 0
    assert hub.tags() == ["m@v1.0.0"]


def test_a_branch_that_moves_in_between_is_asked_for_again(box, hub, storage, tmp_path):
    """Somebody else's push comes after the branch was looked at: the user's hook runs at that very moment."""
    box.git("push", "-q", "origin", "main")
    clone = hub.clone(tmp_path / "clone")
    clone.write("other.txt", "x\n")
    clone.commit("somebody else's")
    next_version(box)
    hook = box.root / ".git/hooks/pre-push"
    hook.write_text(
        f"#!/bin/sh\ncat > /dev/null\necho x >> '{tmp_path}/runs'\n"
        f"env -u GIT_DIR git -C '{clone.root}' push -q origin main 2>&1\n"
    )
    hook.chmod(0o755)
    done = box.mv("push", "--format", "json").json()
    assert (tmp_path / "runs").read_text() == "x\nx\n"
    assert done["branch"] is None
    assert sorted(done["tags"]) == hub.tags() == ["m@v1.0.0", "m@v1.0.1"]
    assert hub.refs()["refs/heads/main"] == clone.git("rev-parse", "main")


def test_an_object_that_vanishes_while_the_tags_go_out_is_put_back(box, hub, storage):
    """As by somebody's gc, which could not know of the tag yet."""
    name = next(name for name in needed(box, "v1.0.0") if not name.endswith(".dir"))
    hook = box.root / ".git/hooks/pre-push"
    hook.write_text(f"#!/bin/sh\ncat > /dev/null\nrm -f '{storage.path(name)}'\n")
    hook.chmod(0o755)
    assert "note: 1 objects were gone from DVC remote storage meanwhile" in box.mv("push").err
    assert unchanged_store(storage) == needed(box, "v1.0.0")
    next_version(box)
    hook.write_text(f"#!/bin/sh\ncat > /dev/null\nrm -f '{storage.path(name)}' '{cached(box, name)}'\n")
    done = box.mv("push", "--full", status=2)
    assert "error: the tags are out, and since then: m@v1.0.0: " in done.err


def test_a_push_whose_answer_got_lost_counts(box, hub, storage):
    """The very refs are there when the push comes: as where the line broke after the server had done its work."""
    hook = box.root / ".git/hooks/pre-push"
    hook.write_text("#!/bin/sh\ncat > /dev/null\ngit push -q --no-verify origin main m@v1.0.0\n")
    hook.chmod(0o755)
    done = box.mv("push", "--format", "json").json()
    assert (done["tags"], done["branch"]["name"]) == (["m@v1.0.0"], "main")
    assert hub.tags() == ["m@v1.0.0"]


def test_a_tag_that_appears_in_between_wins(box, hub, storage, tmp_path):
    other = Sandbox(tmp_path / "other", box.env)
    box.clone(other.root)
    other.git("tag", "-f", "-a", "-m", "theirs", "m@v1.0.0", "m@v1.0.0^{}")
    hook = box.root / ".git/hooks/pre-push"
    hook.write_text(
        f"#!/bin/sh\ncat > /dev/null\nenv -u GIT_DIR git -C '{other.root}' push -q --no-verify '{hub.path}' m@v1.0.0\n"
    )
    hook.chmod(0o755)
    done = box.refused("push")
    assert f"on origin and {box.git('rev-parse', 'm@v1.0.0')[:12]} here" in done.err
    assert hub.refs() == {"refs/tags/m@v1.0.0": other.git("rev-parse", "m@v1.0.0")}


def test_the_users_own_hook_runs_and_ours_does_not_look_twice(box, hub, storage, tmp_path):
    hook = box.root / ".git/hooks/pre-push"
    ours = hook.read_text()
    failing = ours.replace("modelver.cli.githook", "no_such_module")
    assert failing != ours
    hook.write_text(f"{failing}cat > '{tmp_path}/stdin'\necho \"$@\" > '{tmp_path}/args'\n")
    box.git("push", "-q", "origin", "m@v1.0.0", status=1)
    box.mv("push")
    sent = {line.split(" ")[2] for line in (tmp_path / "stdin").read_text().splitlines()}
    assert sent == {"refs/heads/main", "refs/tags/m@v1.0.0"}
    assert (tmp_path / "args").read_text() == "origin ../hub.git\n"
    hook.write_text(f"{ours}cat > /dev/null\necho 'no pushing on Fridays' >&2\nexit 1\n")
    next_version(box)
    done = box.refused("push", status=3)
    assert "git: no pushing on Fridays" in done.err
    assert hub.tags() == ["m@v1.0.0"]


def test_from_a_linked_working_tree(box, hub, storage, tmp_path):
    box.git("worktree", "add", "-q", str(tmp_path / "linked"), "m@v1.0.0")
    linked = Sandbox(tmp_path / "linked", box.env)
    linked.mv("push")
    assert unchanged_store(storage) == needed(box, "v1.0.0")
    assert hub.tags() == ["m@v1.0.0"]


# Versions that modelver did not make, and lineage


def test_a_version_made_by_git_and_dvc_alone_is_held_to_its_md5(empty_repo):
    box = empty_repo
    box.write("out/a.bin", b"a" * 5000)
    box.write("out/b.bin", b"b" * 5000)
    box.dvc("add", "-q", "out")
    text = (box.root / "dvc.yaml").read_text().replace("artifacts: {}\n", "")
    box.write("dvc.yaml", text + "artifacts:\n  g:\n    path: out\n    type: model\n")
    hub, storage = with_hub(box), with_folder(box)
    box.commit("by hand")
    box.git("tag", "-a", "-m", "by hand", "g@v1.0.0")
    one = hashlib.md5(b"a" * 5000).hexdigest()
    spoil_cache(box, one, b"a" * 4999 + b"?")
    assert one in box.refused("push", status=1).err
    assert hub.refs() == {}
    spoil_cache(box, one, b"a" * 5000)
    assert box.mv("push", "--format", "json").json()["objects"]["uploaded"] == 3
    assert hub.tags() == ["g@v1.0.0"]
    storage.put(one, b"a" * 4999 + b"?")
    assert box.mv("push", "g@v1", "--format", "json").json()["objects"]["replaced"] == 1
    assert storage.objects()[one] == b"a" * 5000


def test_what_git_has_itself_needs_no_storage(empty_repo):
    box = empty_repo
    box.write("small.bin", b"small")
    text = (box.root / "dvc.yaml").read_text().replace("artifacts: {}\n", "")
    box.write("dvc.yaml", text + "artifacts:\n  g:\n    path: small.bin\n")
    hub = with_hub(box)
    with_folder(box)
    box.commit("by hand")
    box.git("tag", "-a", "-m", "by hand", "g@v1.0.0")
    box.git("tag", "-a", "-m", "no model", "dataset@v1.0.0", "HEAD~1")
    done = box.mv("push")
    assert "note: g@v1.0.0: small.bin is in Git itself" in done.err
    assert "note: dataset@v1.0.0: dataset is no model there" in done.err
    assert hub.tags() == ["dataset@v1.0.0", "g@v1.0.0"]


def test_a_version_whose_weights_nobody_tracks_is_refused(empty_repo):
    box = empty_repo
    text = (box.root / "dvc.yaml").read_text().replace("artifacts: {}\n", "")
    box.write("dvc.yaml", text + "artifacts:\n  g:\n    path: nowhere.bin\n")
    hub = with_hub(box)
    with_folder(box)
    box.commit("by hand")
    box.git("tag", "-a", "-m", "by hand", "g@v1.0.0")
    assert "g@v1.0.0: no pointer of DVC's at" in box.refused("push", "g@v1.0.0").err
    assert "so it is passed over" in box.mv("push").err
    assert hub.refs() == {}


@pytest.fixture(scope="session")
def staged_template(empty_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    box = copied(empty_template, tmp_path_factory.mktemp("staged"))
    box.write("rows.csv", "1\n2\n")
    box.write("notes.bin", "noted\n")
    box.dvc("add", "-q", "rows.csv", "notes.bin")
    stage = "  train:\n    cmd: cp rows.csv w.bin && echo weights >> w.bin\n    deps: [rows.csv]\n    outs: [w.bin]\n"
    box.write("dvc.yaml", (box.root / "dvc.yaml").read_text().replace("stages:\n", "stages:\n" + stage, 1))
    box.dvc("repro", "-q", "train")
    box.mv("add", "p", "w.bin")
    box.commit("pipeline")
    box.mv("tag", "p")
    return box.root.parent


@pytest.fixture
def staged(staged_template: Path, tmp_path: Path) -> Sandbox:
    """A plain model that a stage makes of a tracked file, tagged p@v1.0.0."""
    return copied(staged_template, tmp_path)


ROWS, WEIGHTS = (hashlib.md5(data).hexdigest() for data in (b"1\n2\n", b"1\n2\nweights\n"))


def test_lineage_goes_along_unless_weights_only(staged):
    hub, storage = with_hub(staged), with_folder(staged)
    staged.git("push", "-q", "origin", "main")  # the storage was configured after the tag
    staged.mv("push", "--weights-only")
    assert set(storage.objects()) == {WEIGHTS}
    staged.mv("push", "p@v1")
    assert storage.objects() == {WEIGHTS: b"1\n2\nweights\n", ROWS: b"1\n2\n"}
    assert hub.tags() == ["p@v1.0.0"]


def test_lost_lineage_is_told_and_lost_weights_are_refused(staged):
    hub, storage = with_hub(staged), with_folder(staged)
    staged.git("push", "-q", "origin", "main")
    spoil_cache(staged, ROWS, None)
    done = staged.mv("push", "--format", "json")
    assert "warning: 1 files of the lineage are neither in DVC's cache nor on DVC remote storage" in done.err
    assert "rows.csv" in done.err
    assert done.json()["objects"]["missing"] == ["rows.csv"]
    assert set(storage.objects()) == {WEIGHTS}
    assert hub.tags() == ["p@v1.0.0"]
    spoil_cache(staged, WEIGHTS, None)
    storage.delete(WEIGHTS)
    refused = staged.refused("push", "p@v1")
    assert WEIGHTS in refused.err
    staged.write("notes.bin", "changed, and nobody's business here\n")
    staged.mend(refused)
    assert WEIGHTS in storage.objects()
    assert staged.git("status", "--porcelain") == ""


def test_manifests_that_contradict_each_other_are_refused(box, hub, storage):
    """Two versions give one object two digests of SHA-256: nobody can say which of them lies."""
    path = "models/m/files.jsonl"
    lines = [json.loads(line) for line in (box.root / path).read_text().splitlines()]
    lines[0]["sha256"] = "0" * 64
    box.write(path, "".join(json.dumps(line) + "\n" for line in lines))
    box.commit("forged")
    box.git("tag", "-a", "-m", "forged", "m@v1.0.1")
    assert "not the same SHA-256" in box.refused("push", status=1).err
    refused = box.refused("push", "m@v1.0.1", status=1)
    assert "another SHA-256 than the manifest says" in refused.err
    assert box.hint(refused) == "modelver verify m@v1.0.1", "to remove the cache's object would be wrong"
    box.mv("push", "m@v1.0.0")
    assert "another SHA-256" in box.refused("push", "m@v1.0.1", status=1).err, "what is remembered counts too"
    assert hub.tags() == ["m@v1.0.0"]


# tag --push


def test_tag_push_does_both(model_repo):
    hub, storage = with_hub(model_repo), with_folder(model_repo)
    done = model_repo.mv("tag", "m", "--push")
    assert done.out.startswith("m@v1.0.0 (")
    assert "origin: pushed m@v1.0.0\n" in done.out
    assert hub.refs()["refs/tags/m@v1.0.0"] == model_repo.git("rev-parse", "m@v1.0.0")
    assert unchanged_store(storage) == needed(model_repo, "v1.0.0")
    model_repo.change("m", 2)
    model_repo.commit("2")
    done = model_repo.mv("tag", "m", "--push", "--format", "json").json()
    assert (done["tag"], done["push"]["tags"]) == ("m@v1.0.1", ["m@v1.0.1"])


def test_tag_push_as_a_dry_run_does_nothing(model_repo):
    hub, storage = with_hub(model_repo), with_folder(model_repo)
    before = model_repo.fingerprint()
    done = model_repo.mv("tag", "m", "--push", "--dry-run")
    assert "push its weights, read them back" in done.out
    assert (hub.refs(), storage.objects(), model_repo.fingerprint()) == ({}, {}, before)


def test_a_tag_that_could_not_be_pushed_stays_and_the_hint_pushes_it(model_repo):
    hub, storage = with_hub(model_repo), with_folder(model_repo)
    storage.root.write_text("a file where the folder should be")
    done = model_repo.mv("tag", "m", "--push", status=3)
    assert "m@v1.0.0 is made here and not pushed" in done.err
    assert model_repo.tags() == ["m@v1.0.0"]
    assert hub.refs() == {}
    storage.root.unlink()
    assert "modelver push m@v1.0.0" in done.err
    model_repo.mv("push", "m@v1.0.0")
    assert hub.tags() == ["m@v1.0.0"]


def test_a_loser_keeps_no_tag(model_repo, tmp_path):
    hub = with_hub(model_repo)
    with_folder(model_repo)
    other = Sandbox(tmp_path / "other", model_repo.env)
    model_repo.clone(other.root)
    other.git("tag", "-a", "-m", "theirs", "m@v1.0.0", "HEAD")
    hook = model_repo.root / ".git/hooks/pre-push"
    hook.write_text(
        f"#!/bin/sh\ncat > /dev/null\nenv -u GIT_DIR git -C '{other.root}' push -q --no-verify '{hub.path}' m@v1.0.0\n"
    )
    hook.chmod(0o755)
    done = model_repo.mv("tag", "m", "--push", status=2)
    assert "somebody else has published m@v1.0.0 on origin; the tag that was made here is removed" in done.err
    assert model_repo.tags() == []
    assert hub.refs() == {"refs/tags/m@v1.0.0": other.git("rev-parse", "m@v1.0.0")}


def test_recorded_versions_are_pushed_too(model_repo):
    hub = with_hub(model_repo)
    with_folder(model_repo)
    model_repo.mv("record", "m")
    model_repo.commit("record")
    done = model_repo.mv("tag", "--recorded", "--push")
    assert done.out == "m@v1.0.0\n"
    assert hub.tags() == ["m@v1.0.0"]
