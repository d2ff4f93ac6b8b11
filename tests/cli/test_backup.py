"""backup and restore --into: whatever comes back is what was there, or nothing is claimed."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sandbox import InProcess, Sandbox, environment
from tracked import Tracked, md5_of

from modelver.core.backup import MANIFEST, load_manifest
from modelver.errors import CheckFailed, ExternalFailure, InvalidInput, ModelverError
from modelver.operations.backup import backup
from modelver.operations.backup_restore import restore_backup
from modelver.operations.project import Project


@pytest.fixture(scope="session")
def backup_template(model_template, tmp_path_factory) -> Path:
    """Two versions, a branch, a stash, notes, a DVC remote that has everything, and a backup."""
    tmp = tmp_path_factory.mktemp("backup")
    shutil.copytree(model_template, tmp / "repo", symlinks=True)
    box = Sandbox(tmp / "repo", environment(tmp / "home"))
    box.write(".dvc/config", "[core]\n    remote = store\n['remote \"store\"']\n    url = ../../store\n")
    box.commit("remote", ".dvc/config")
    box.mv("tag", "m")
    box.change("m", 2)
    box.commit("2")
    box.mv("tag", "m")
    box.git("branch", "side", "HEAD~1")
    box.git("notes", "add", "-m", "a note")
    box.git("tag", "light")
    box.write("notes.txt", "stashed\n")
    box.git("stash", "push", "-q")
    box.git("remote", "add", "origin", "https://me:canary-secret@example.com/x.git")
    shutil.copytree(box.root / ".dvc/cache/files", tmp / "store/files")
    box.mv("backup", str(tmp / "backup"))
    return tmp


@pytest.fixture
def world(backup_template, tmp_path) -> Path:
    place = tmp_path / "w"
    shutil.copytree(backup_template, place, symlinks=True)
    return place


@pytest.fixture
def box(world, monkeypatch) -> Sandbox:
    made = InProcess(world / "repo", environment(world / "home"))
    for name in [name for name in os.environ if name.startswith(("GIT_", "DVC_"))]:
        monkeypatch.delenv(name)
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    made.git("status")
    return made


def objects(top: Path) -> dict[str, bytes]:
    found = {place.parent.name + place.name: place.read_bytes() for place in (top / "files/md5").glob("??/*")}
    for name, data in found.items():
        assert md5_of(data) == name.removesuffix(".dir")
    return found


def files(top: Path) -> dict[str, bytes]:
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def restored(box: Sandbox, *options: str, status: int = 0) -> Sandbox:
    box.mv("restore", str(box.root.parent / "backup"), "--into", str(box.root.parent / "new"), *options, status=status)
    return InProcess(box.root.parent / "new", box.env)


def restored_from(box: Sandbox, backup: Path, into: Path) -> Sandbox:
    box.mv("restore", str(backup), "--into", str(into))
    return InProcess(into, box.env)


def test_all_comes_back(box, world):
    new = restored(box)
    assert new.refs() == box.refs()
    assert new.git("symbolic-ref", "HEAD") == box.git("symbolic-ref", "HEAD")
    assert objects(new.root / ".dvc/cache") == objects(box.root / ".dvc/cache")
    assert new.git("status", "--porcelain") == ""
    assert new.git("notes", "show") == "a note"
    assert "stashed" in new.git("stash", "show", "-p")
    assert "canary" not in (new.root / ".git" / "config").read_text()
    assert new.git("remote", "get-url", "origin") == "https://example.com/x.git"
    assert new.mv("list", "--format", "json").json() == box.mv("list", "--format", "json").json()
    weights = box.root / "models/m/weights"
    assert files(new.root / "models/m/weights") == files(weights)
    assert new.dvc("status", "--json").out.strip() == "{}"
    new.mv("init")
    new.git("checkout", "-q", "m@v1.0.0")
    box.git("checkout", "-q", "m@v1.0.0")
    assert files(new.root / "models/m/weights") == files(weights)
    assert list(world.glob(".new.*")) == []


@pytest.mark.parametrize("where", ["main", "linked"])
def test_beside_linked_working_trees(box, world, where):
    """Git's bundle of everything has their HEADs too, by names that are no refs; one is detached, on no branch."""
    box.git("worktree", "add", "-q", "-b", "topic", str(world / "linked"))
    box.git("worktree", "add", "-q", "--detach", str(world / "detached"))
    Sandbox(world / "detached", box.env).git("commit", "-q", "--allow-empty", "-m", "of no branch")
    there = box if where == "main" else InProcess(world / "linked", box.env)
    there.mv("backup", str(world / "other backup"))
    done = box.mv("restore", str(world / "other backup"), "--into", str(world / "a new place"))
    new = InProcess(world / "a new place", box.env)
    assert new.refs() == box.refs()
    assert [one["ok"] for one in new.mv("verify", "--all", "--format", "json").json()["versions"]] == [True, True]
    command = next(line for line in done.err.splitlines() if line.startswith("next: "))
    box.run("sh", "-c", command.removeprefix("next: ").split("   (")[0].replace("modelver", "echo"))
    assert f"-C '{world / 'a new place'}' init" in command


def test_a_version_of_which_nothing_says_what_it_needs(box, world):
    """A tag of GTO's for a file within a folder that DVC tracks: where something tracked is lost, it may be that."""
    box.write("parts/model.bin", "weights\n")
    box.dvc("add", "-q", "parts")
    text = (box.root / "dvc.yaml").read_text()
    box.write(
        "dvc.yaml", text.replace("artifacts:\n", "artifacts:\n  g:\n    path: parts/model.bin\n    type: model\n", 1)
    )
    box.git("add", "-A")
    box.git("commit", "-qm", "g")
    box.git("tag", "-a", "-m", "g", "g@v1.0.0")
    box.mv("backup", str(world / "whole"))
    new = restored_from(box, world / "whole", world / "there")
    assert (new.root / "parts/model.bin").read_text() == "weights\n"
    assert (world / "whole" / "modelver-backup.json").exists()
    name = md5_of(b"weights\n")
    (box.root / ".dvc/cache/files/md5" / name[:2] / name[2:]).unlink()
    done = box.mv("backup", str(world / "lacking"), status=1)
    assert "g@v1.0.0" in done.err
    assert not (world / "lacking" / "modelver-backup.json").exists()


def test_weights_that_can_not_be_placed_are_told(box, world):
    """A pointer that leads out of the repository: the backup comes back whole, and the working tree does not."""
    pointer = (box.root / "models/m/weights.dvc").read_text()
    box.write("table.dvc", pointer.replace("path: weights", "path: ../table"))
    box.commit("outside", "table.dvc")
    box.mv("backup", str(world / "backup"))
    command = ("restore", str(world / "backup"), "--into")
    done = box.mv(*command, str(world / "new"), status=1)
    assert "table" in done.err.partition("error: ")[2]
    assert f"hint: modelver -C {world / 'new'} restore" in done.err
    assert not (world / "table").exists()
    new = Sandbox(world / "new", box.env)
    assert files(new.root / "models/m/weights") == files(box.root / "models/m/weights")
    assert new.refs() == box.refs()
    answer = box.mv(*command, str(world / "again"), "--format", "json", status=1).json()
    assert any("table" in message for message in answer["unplaced"])


def test_the_bundle_and_the_objects_are_enough_for_git_and_dvc(box, world):
    """Without modelver: what the README in the backup says."""
    bundle = next((world / "backup/git").glob("*.bundle"))
    plain = Sandbox(world / "plain", box.env)
    box.run("git", "clone", "-q", str(bundle), str(plain.root))
    plain.git("checkout", "-q", "m@v1.0.0")
    plain.dvc("remote", "add", "-q", "--local", "--default", "backup", str(world / "backup/objects"))
    plain.dvc("pull", "-q")
    box.git("checkout", "-q", "m@v1.0.0")
    assert files(plain.root / "models/m/weights") == files(box.root / "models/m/weights")


def test_a_second_backup_copies_what_is_new(box, world):
    before = {path: path.stat().st_ino for path in (world / "backup/objects").rglob("*") if path.is_file()}
    bundles = set((world / "backup/git").iterdir())
    answer = box.mv("backup", "../backup", "--format", "json").json()
    assert (answer["copied"], answer["versions"]) == (0, ["m@v1.0.0", "m@v1.0.1"])
    assert set((world / "backup/git").iterdir()) == bundles
    box.change("m", 3)
    box.commit("3")
    box.mv("tag", "m")
    new = objects(box.root / ".dvc/cache").keys() - objects(world / "backup/objects").keys()
    assert len(new) == 3
    answer = box.mv("backup", "../backup", "--format", "json").json()
    assert answer["copied"] == len(new)
    assert objects(world / "backup/objects") == objects(box.root / ".dvc/cache")
    assert all(path.stat().st_ino == inode for path, inode in before.items())
    assert len(list((world / "backup/git").iterdir())) == 1
    assert restored(box).refs() == box.refs()


def test_what_the_cache_lacks_comes_from_the_remote(box, world):
    shutil.rmtree(box.root / ".dvc/cache")
    shutil.rmtree(world / "backup")
    box.mv("backup", "../backup")
    assert objects(world / "backup/objects") == objects(world / "store")


def test_a_damaged_object_in_the_cache_is_taken_from_the_remote(box, world):
    victim = next((box.root / ".dvc/cache/files/md5").glob("??/*[0-9a-f]"))
    victim.chmod(0o644)
    victim.write_bytes(victim.read_bytes()[:-1] + b"\0")
    shutil.rmtree(world / "backup")
    box.mv("backup", "../backup")
    assert objects(world / "backup/objects") == objects(world / "store")


def test_what_nobody_has_is_named_and_nothing_is_claimed(box, world):
    shutil.rmtree(world / "backup")
    listing = json.loads(next((box.root / ".dvc/cache/files/md5").glob("??/*.dir")).read_bytes())
    md5 = listing[0]["md5"]
    for top in (box.root / ".dvc/cache", world / "store"):
        (top / "files/md5" / md5[:2] / md5[2:]).unlink()
    done = box.refused("backup", "../backup", status=1)
    assert "m@v1.0." in done.err
    assert md5 in done.err
    assert not (world / "backup" / MANIFEST).exists()
    assert "is no backup" in box.mv("restore", "../backup", "--into", "../new", status=2).err


def test_a_backup_that_fails_leaves_the_earlier_one_whole(box, world):
    before = (world / "backup" / MANIFEST).read_bytes()
    refs = box.refs()
    box.change("m", 3)
    box.commit("3")
    box.mv("tag", "m")
    for place in (box.root / ".dvc/cache/files/md5").glob("??/*"):
        if not (world / "store/files/md5" / place.parent.name / place.name).exists():
            place.unlink()
    box.mv("backup", "../backup", status=1)
    assert (world / "backup" / MANIFEST).read_bytes() == before
    assert restored(box).refs() == refs


def test_a_damaged_object_of_the_backup_is_copied_again(box, world):
    victim = next((world / "backup/objects/files/md5").glob("??/*"))
    right = victim.read_bytes()
    victim.chmod(0o644)
    victim.write_bytes(b"x" * len(right))
    assert box.mv("backup", "../backup", "--format", "json").json()["copied"] == 1
    assert victim.read_bytes() == right


def test_full_reads_what_was_not_touched_since(box, world):
    """A bit that flipped on the disk shows in no time stamp."""
    box.mv("backup", "../backup")
    victim = next((world / "backup/objects/files/md5").glob("??/*"))
    right, stat = victim.read_bytes(), victim.stat()
    victim.chmod(0o644)
    victim.write_bytes(b"x" * len(right))
    victim.chmod(0o444)
    os.utime(victim, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert box.mv("backup", "../backup", "--full", "--format", "json").json()["copied"] == 1
    assert victim.read_bytes() == right


@pytest.mark.parametrize("harm", ["flip", "cut", "delete", "link"])
def test_a_damaged_backup_is_not_restored(box, world, harm):
    for victim in [next((world / "backup/objects/files/md5").glob("??/*[0-9a-f]")), _bundle(world)]:
        kept = victim.read_bytes()
        _harm(victim, harm)
        with pytest.raises(CheckFailed, match=victim.name[:20]):
            restore_backup(world / "backup", world / "new")
        assert not (world / "new").exists()
        assert list(world.glob(".new*")) == []
        victim.unlink(missing_ok=True)
        victim.write_bytes(kept)
    restore_backup(world / "backup", world / "new")
    assert Sandbox(world / "new", box.env).refs() == box.refs()


def test_what_is_whole_of_a_damaged_backup_can_be_had(box, world):
    old = json.loads((box.root / ".dvc/cache/files/md5").joinpath(*_pointer(box, "m@v1.0.0")).read_bytes())
    new = json.loads((box.root / ".dvc/cache/files/md5").joinpath(*_pointer(box, "m@v1.0.1")).read_bytes())
    md5 = next(iter({item["md5"] for item in old} - {item["md5"] for item in new}))
    (world / "backup/objects/files/md5" / md5[:2] / md5[2:]).unlink()
    again = restored(box, "--partial", status=1)
    assert again.refs() == box.refs()
    assert objects(again.root / ".dvc/cache").keys() == objects(box.root / ".dvc/cache").keys() - {md5}
    shutil.rmtree(again.root)
    answer = box.mv("restore", "../backup", "--into", "../new", "--partial", "--format", "json", status=1).json()
    assert (answer["damaged"], answer["lost"]) == ([md5], ["m@v1.0.0"])


@pytest.mark.parametrize("key", ["bundle_sha256", "refs", "objects", "versions", "head", "sha256"])
def test_a_changed_manifest_is_found(box, world, key):
    place = world / "backup" / MANIFEST
    document = json.loads(place.read_bytes())
    document[key] = document[key][:-1] if isinstance(document[key], list | str) else {}
    place.write_text(json.dumps(document))
    with pytest.raises(ModelverError):
        restore_backup(world / "backup", world / "new")
    assert not (world / "new").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [("bundle", "../outside.bundle"), ("bundle", "/etc/passwd"), ("head", "--upload-pack=x"),
     ("refs", {"../x": "0" * 40}),
     ("objects", [{"md5": "../../../etc/passwd", "sha256": "0" * 64, "bytes": 1}]), ("remotes", {"o": 1}),
     ("versions", [{"tag": "v"}]), ("schema", "modelver-backup/9")],
)  # fmt: skip
def test_a_forged_manifest_names_nothing_outside(box, world, key, value):
    """Its own digest is right: whoever forged it knows how."""
    from modelver.core.backup import _digest

    place = world / "backup" / MANIFEST
    document = json.loads(place.read_bytes())
    document[key] = value
    document.pop("sha256")
    document["sha256"] = _digest(document)
    place.write_text(json.dumps(document))
    with pytest.raises(InvalidInput):
        restore_backup(world / "backup", world / "new")
    assert not (world / "new").exists()


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"{" * 100_000, b"\xff"])
def test_a_manifest_that_is_none_is_refused(box, world, text):
    (world / "backup" / MANIFEST).write_bytes(text)
    with pytest.raises(InvalidInput):
        restore_backup(world / "backup", world / "new")
    with pytest.raises(InvalidInput):
        backup(Project.open(box.root), world / "backup")


def test_a_remote_of_a_forged_manifest_runs_nothing(box, world):
    from modelver.core.backup import _digest

    place = world / "backup" / MANIFEST
    document = json.loads(place.read_bytes())
    document["remotes"] = {"a": "ext::sh -c touch% canary", "-b": "x", "c": "-upload-pack", "ok": "../git"}
    document.pop("sha256")
    document["sha256"] = _digest(document)
    place.write_text(json.dumps(document))
    assert restored(box).git("remote") == "ok"


def test_nothing_is_written_over(box, world):
    (world / "new").mkdir()
    (world / "new" / "mine").write_text("x")
    done = box.mv("restore", "../backup", "--into", "../new", status=2)
    assert "exists" in done.err
    assert files(world / "new") == {"mine": b"x"}
    (world / "link").symlink_to(world / "elsewhere")
    box.mv("restore", "../backup", "--into", "../link", status=2)
    assert not (world / "elsewhere").exists()
    (world / "new" / "mine").unlink()
    assert restored(box).refs() == box.refs()  # an empty folder is fine


@pytest.mark.parametrize("place", [".", "sub", ".git/x", "../full", "../repo/models"])
def test_folders_that_are_no_place_for_a_backup_are_refused(box, world, place):
    (world / "full").mkdir()
    (world / "full" / "mine").write_text("x")
    box.refused("backup", place)
    assert files(world / "full") == {"mine": b"x"}


def test_a_backup_with_versions_that_are_not_here_is_left_alone(box, world):
    before = files(world / "backup")
    box.git("tag", "-d", "m@v1.0.0")
    done = box.refused("backup", "../backup")
    assert "m@v1.0.0" in done.err
    assert files(world / "backup") == before
    box.mend(done)
    box.mv("backup", "../backup")


def test_a_shallow_clone_has_no_backup_to_give(box, world):
    box.git("push", "-q", f"file://{world}/repo", "main:other")
    shallow = box.clone(world / "shallow", "--depth", "1")
    assert "--unshallow" in shallow.refused("backup", "../b2").err


def test_a_dry_run_writes_nothing(box, world):
    shutil.rmtree(world / "backup")
    answer = box.mv("backup", "../backup", "--dry-run", "--format", "json").json()
    assert answer["copied"] == len(objects(box.root / ".dvc/cache"))
    assert not (world / "backup").exists()


def test_a_detached_head_comes_back(box, world):
    box.git("checkout", "-q", "--detach")
    box.write("notes.txt", "on no branch\n")
    box.commit("on no branch", "notes.txt")
    box.mv("backup", "../backup")
    new = restored(box)
    assert new.git("rev-parse", "HEAD") == box.git("rev-parse", "HEAD")
    assert new.refs() == box.refs()
    assert new.git("status", "--porcelain") == ""


def test_restore_says_what_a_backup_is_for(box):
    done = box.refused("restore", "../backup")
    assert "--into" in done.err
    assert "takes one backup" in box.refused("restore", "--into", "../new").err
    assert "new folder" in box.refused("restore", "../backup", "--into", "../new", "--force").err


@pytest.mark.parametrize("place", [".dvc", ".dvc/tmp", ".dvc/cache", "models"])
def test_links_in_the_repository_lead_nowhere(box, world, place):
    """Whoever made the backup may have put a link where modelver would write."""
    (world / "canary").mkdir()
    (world / "canary" / "config").write_text("")
    box.git("rm", "-q", "-r", "--cached", place, status=None)
    shutil.rmtree(box.root / place)
    (box.root / place).symlink_to(world / "canary")
    box.git("add", "-f", place)
    box.git("commit", "-q", "-m", "link")
    (box.root / place).unlink()
    subprocess.run(["cp", "-a", str(world / "repo" / ".git"), str(world / "kept")], check=True)
    shutil.rmtree(world / "repo")
    (world / "repo").mkdir()
    box.run("git", "clone", "-q", "--bare", str(world / "kept"), str(world / "bare"))
    _rebundle(box, world)
    done = box.mv("restore", "../backup", "--into", "../new", status=None)
    assert done.status in (0, 1, 2)
    assert files(world / "canary") == {"config": b""}


def test_a_full_disk_leaves_the_earlier_backup(box, world):
    """Files can't grow past 1 KiB: Git's bundle does."""
    before = files(world / "backup")
    box.write("big.txt", "".join(f"{n * 7919 % 10007}\n" for n in range(5000)))
    box.commit("big", "big.txt")
    python = f"{sys.executable} -P -m modelver backup ../backup"
    done = box.run("sh", "-c", f"ulimit -f 2; exec {python}", status=None)
    assert done.status == 3, done
    assert "Traceback" not in done.err
    assert {path: data for path, data in files(world / "backup").items() if path in before} == before
    assert restored(box).refs() != box.refs()
    box.mv("backup", "../backup")
    shutil.rmtree(world / "new")
    assert restored(box).refs() == box.refs()


def test_a_version_that_comes_while_a_backup_is_made_is_whole(box, world):
    """An editor that fetches in the background, or another terminal."""
    shutil.copytree(box.root, world / "there", symlinks=True)
    there = Sandbox(world / "there", box.env)
    there.change("m", 3)
    there.commit("3")
    there.mv("tag", "m")
    box.run("cp", "-rn", str(there.root / ".dvc/cache/files"), str(world / "store"))
    came = []

    def fetch_meanwhile(text: str) -> None:
        if text.startswith("bundling") and not came:
            came.append(box.git("fetch", "-q", "../there", "refs/tags/m@v1.0.2:refs/tags/m@v1.0.2"))

    result = backup(Project.open(box.root), world / "backup", say=fetch_meanwhile)
    assert len(came) == 1
    assert result.versions == ("m@v1.0.0", "m@v1.0.1", "m@v1.0.2")
    new = restored(box)
    assert new.tags() == ["light", "m@v1.0.0", "m@v1.0.1", "m@v1.0.2"]
    assert objects(new.root / ".dvc/cache").items() >= objects(there.root / ".dvc/cache").items()


def test_tags_that_never_stand_still(box, world):
    before = (world / "backup" / MANIFEST).read_bytes()

    def tag_meanwhile(text: str) -> None:
        if text.startswith("bundling"):
            box.git("tag", f"moving-{len(box.tags())}")

    with pytest.raises(ExternalFailure, match="no backup was made"):
        backup(Project.open(box.root), world / "backup", say=tag_meanwhile)
    assert (world / "backup" / MANIFEST).read_bytes() == before
    box.mv("backup", "../backup")
    assert restored(box).refs() == box.refs()
    assert len(list((world / "backup/git").iterdir())) == 1


def test_version_tags_that_the_manifest_does_not_list_are_named(box, world):
    """As an older modelver left it where a tag came while it made the backup."""
    place = world / "backup" / MANIFEST
    manifest = load_manifest(place.read_bytes(), str(place))
    place.write_bytes(replace(manifest, versions=manifest.versions[:1]).dump())
    done = box.mv("restore", "../backup", "--into", "../new", "--format", "json", status=1)
    assert done.json()["unlisted"] == ["m@v1.0.1"]
    assert "does not list m@v1.0.1" in done.err
    box.mend(done)


def test_folders_without_files_are_there(box, world):
    """DVC takes an out that is not there for deleted; a stage that writes no variants leaves such a folder."""
    (box.root / "none/at/all").mkdir(parents=True)
    box.dvc("add", "-q", "none/at/all")
    box.commit("empty", "none")
    box.mv("backup", "../backup")
    new = restored(box)
    assert list((new.root / "none/at/all").iterdir()) == []
    assert new.dvc("status", "--json").out.strip() == "{}"


def test_a_repository_of_sha_256(box, world):
    """DVC's own commands can't work in one; the data and the tags can be there all the same."""
    place = Tracked(world / "long", box.env)
    box.git("init", "-q", "--object-format=sha256", str(place.root))
    place.write(".dvc/config", "")
    place.put("d", b"kept")
    place.git("tag", "-a", "-m", "x", "v1")
    place.mv("backup", "../long-backup")
    place.mv("restore", "../long-backup", "--into", "../again")
    again = Tracked(world / "again", box.env)
    assert len(again.git("rev-parse", "HEAD")) == 64
    assert again.refs() == place.refs()
    assert (again.root / "d").read_bytes() == b"kept"


def _bundle(world: Path) -> Path:
    return next((world / "backup/git").glob("*.bundle"))


def _rebundle(box: Sandbox, world: Path) -> None:
    """Make the backup one of the bare repository, with its own digest right."""
    from modelver.core.backup import _digest

    def git(*args: str) -> str:
        done = subprocess.run(
            ["git", "--git-dir", str(world / "bare"), *args], env=box.env, capture_output=True, check=True, text=True
        )
        return done.stdout

    _bundle(world).unlink()
    made = world / "made.bundle"
    git("bundle", "create", "-q", str(made), "--all")
    sha256 = hashlib.sha256(made.read_bytes()).hexdigest()
    made.rename(world / "backup" / "git" / f"{sha256}.bundle")
    place = world / "backup" / MANIFEST
    document = json.loads(place.read_bytes())
    refs = dict(line.split(" ")[::-1] for line in git("for-each-ref", "--format=%(objectname) %(refname)").splitlines())
    document |= {"bundle": f"git/{sha256}.bundle", "bundle_sha256": sha256, "refs": refs, "remotes": {}}
    document.pop("sha256")
    document["sha256"] = _digest(document)
    place.write_text(json.dumps(document))


def _pointer(box: Sandbox, tag: str) -> tuple[str, str]:
    text = box.git("show", f"{tag}:models/m/weights.dvc")
    md5 = next(line.split("md5: ")[1] for line in text.splitlines() if "md5: " in line)
    return md5[:2], md5[2:]


def _harm(victim: Path, how: str) -> None:
    data = victim.read_bytes()
    victim.unlink()
    if how == "flip":
        victim.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    elif how == "cut":
        victim.write_bytes(data[:-1])
    elif how == "link":
        elsewhere = victim.with_name("elsewhere")
        elsewhere.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        victim.symlink_to(elsewhere)
