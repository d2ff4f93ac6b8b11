"""`modelver get`: one version, of a repository at a URL or around."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from consumer import World, files_in, make_world, tree
from sandbox import Done, Sandbox, environment, start


@pytest.fixture
def world(tmp_path, tmp_path_factory) -> World:
    return make_world(tmp_path, tmp_path_factory)


def _git(folder, *args) -> str:
    done = subprocess.run(["git", f"--git-dir={folder}", *args], capture_output=True, check=True, text=True)
    return done.stdout


def _bare(world: World):
    (found,) = (world.cache / "git").glob("*.git")
    return found


@pytest.mark.parametrize(
    ("ref", "version"),
    [
        ("m@v1.0.0", "v1.0.0"),
        ("m@latest", "v1.0.1"),  # v1.0.2 was yanked
        ("m", "v1.0.1"),
        ("m@v1", "v1.0.1"),
        ("m#prod", "v1.0.0"),
        ("refs/tags/m@v1.0.0", "v1.0.0"),
    ],
)
def test_a_version_of_a_bare_repository(world, ref, version):
    done = world.get(ref, "--format", "json")
    assert (done.json()["tag"], done.json()["checked"], done.json()["vouched"]) == (f"m@{version}", "sha256", True)
    assert files_in(world.box.root / f"m-{version}") == world.expected("m", version)
    assert done.json()["path"] == str(world.box.root / f"m-{version}")
    assert sorted(tree(world.box.root)) == sorted(
        [f"m-{version}", *(f"m-{version}/{p}" for p in world.expected("m", version))]
    )
    assert world.box.root.stat().st_mode & 0o777 == (world.box.root / f"m-{version}").stat().st_mode & 0o777


def test_nothing_is_cloned_and_nothing_else_is_read(world):
    world.get("m@v1.0.0")
    bare = _bare(world)
    assert _git(bare, "for-each-ref", "--format=%(refname)").split() == ["refs/tags/m@v1.0.0"]
    commits = [line for line in _all_objects(bare) if line.endswith(" commit")]
    assert [line.split()[0] for line in commits] == [_git(world.bare, "rev-parse", "m@v1.0.0^{commit}").strip()]
    # the tag, the commit, and the trees and files of it: counted on the publisher's side
    listed = _git(world.bare, "ls-tree", "-r", "-t", "--format=%(objectname)", "m@v1.0.0").split()
    assert len(_all_objects(bare)) == len(set(listed)) + 3  # the top tree is not in its own listing
    have = {path.parent.name + path.name for path in (world.cache / "objects" / "md5").rglob("*") if path.is_file()}
    assert have == {entry["md5"] for entry in world.files("m", "v1.0.0")}
    assert not list((world.cache / "objects" / "partial").iterdir())


def _all_objects(bare) -> list[str]:
    return _git(bare, "cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)").splitlines()


def test_a_second_version_brings_only_what_is_new(world):
    sizes = {entry["path"]: entry["bytes"] for entry in world.files("net", "v1.0.0")}
    assert world.get("net@v1.0.0", "--format", "json").json()["downloaded"] == sum(sizes.values())
    shared = {e["md5"] for e in world.files("net", "v1.0.0")} & {e["md5"] for e in world.files("net", "v1.0.1")}
    new = [e for e in world.files("net", "v1.0.1") if e["md5"] not in shared]
    assert len(shared) == 1
    assert world.get("net@v1.0.1", "--format", "json").json()["downloaded"] == sum(e["bytes"] for e in new)
    again = world.get("net@v1.0.1", "-o", "again", "--format", "json").json()
    assert again["downloaded"] == 0
    assert files_in(world.box.root / "again") == world.expected("net", "v1.0.1")


def test_single_file_is_the_file_that_came_in(world):
    world.get("net@v1.0.0", "--single-file")
    incoming = (world.base / "incoming" / "net11.onnx").read_bytes()
    assert files_in(world.box.root) == {"net-v1.0.0.onnx": incoming}
    world.get("m@v1.0.2", "--allow-yanked", "--single-file", "-o", "sub/m.st")
    assert (world.box.root / "sub" / "m.st").read_bytes() == (
        world.base / "repo/../incoming/m.safetensors"
    ).read_bytes()
    assert sorted(files_in(world.box.root)) == ["net-v1.0.0.onnx", "sub/m.st"]


def test_a_plain_model_is_its_file(world):
    world.get("plain", "-o", "p")
    assert files_in(world.box.root / "p") == {"llm.gguf": (world.base / "repo" / "llm.gguf").read_bytes()}
    world.get("plain", "--single-file")
    assert (world.box.root / "plain-v1.0.0.gguf").read_bytes() == (world.base / "repo" / "llm.gguf").read_bytes()


def test_a_tag_of_gtos_is_checked_by_md5_and_says_so(world):
    done = world.get("g@v1.0.0", "--format", "json")
    assert (done.json()["checked"], done.json()["vouched"]) == ("md5", False)
    assert "made without modelver" in done.err
    assert "MD5 only" in done.err
    text = {name: f"content of {name}\n".encode() * 20 for name in ("a.bin", "deep/b.bin")}
    assert files_in(world.box.root / "g-v1.0.0") == text
    assert "can't be joined" in world.failed("g@v1.0.0", "--single-file", status=2).err


def test_a_yanked_version_is_refused(world):
    done = world.failed("m@v1.0.2", status=2)
    assert "yanked" in done.err
    assert "--allow-yanked" in done.err
    world.get("m@v1.0.2", "--allow-yanked")
    assert files_in(world.box.root / "m-v1.0.2") == world.expected("m", "v1.0.2")


def test_what_an_environment_runs_comes_though_it_was_yanked(world, tmp_path):
    mine = str(tmp_path / "mine.git")  # the world's own is everybody's
    world.box.run("git", "clone", "-q", "--bare", world.bare, mine)
    world.box.run("git", f"--git-dir={mine}", "tag", "-a", "-m", "withdrawn", "m@v1.0.0!", "m@v1.0.0^{commit}")
    done = world.get("m#prod", repo=mine)
    assert "warning: m@v1.0.0 was yanked, and prod still runs it\n" in done.err
    assert files_in(world.box.root / "m-v1.0.0") == world.expected("m", "v1.0.0")
    for ref in ("m@v1.0.0", "refs/tags/m@v1.0.0", "m#prod#1"):  # by its number; by a decision of whenever it was
        done = world.get(ref, "-o", "other", repo=mine, status=2)
        assert "was yanked: whoever published it withdrew it" in done.err
        assert world.box.hint(done) == "modelver get m@latest"
        assert not (world.box.root / "other").exists()
    assert "yanked" not in world.get("m@v1.0.0", "--allow-yanked", "-o", "asked", repo=mine).err


@pytest.mark.parametrize("left", [100, None], ids=["cut off", "gone"])
def test_who_published_mends_the_remote_as_the_hint_says(world, tmp_path, left):
    """A plain push answers that the remote has every version already, and looks at none."""
    shutil.copytree(world.base / "repo", tmp_path / "publisher", symlinks=True)
    publisher = Sandbox(tmp_path / "publisher", world.box.env)
    publisher.git("remote", "add", "origin", world.bare)
    entry = next(entry for entry in world.files("m", "v1.0.1") if entry["bytes"] > 100)
    whole = world.stored(entry["md5"]).read_bytes()
    with world.harmed(entry["md5"], whole[:left] if left else None):
        done = world.failed("m@v1.0.1", status=1 if left else 3)
        assert "ask whoever published it to run: " in done.err
        publisher.mend(Done(1, "", "hint: " + world.box.hint(done).partition(" to run: ")[2]))
        assert world.stored(entry["md5"]).read_bytes() == whole
        world.get("m@v1.0.1")
    assert files_in(world.box.root / "m-v1.0.1") == world.expected("m", "v1.0.1")


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("m@v9", "m@v1.0.1"),
        ("nope@v1", "there are"),
        ("m#nowhere", "nothing of m runs in"),
        ("main", "no version and no model"),
        ("latest", "does not say which model"),
        ("-x", "No such option"),
        ("a\nb", "is no ref"),
    ],
)
def test_refs_that_name_nothing(world, ref, said):
    before = tree(world.box.root)
    assert said in world.get(ref, status=2).err
    assert tree(world.box.root) == before


def test_what_is_there_is_replaced_by_force_only(world):
    place = world.box.root / "there"
    (place / "sub").mkdir(parents=True)
    (place / "sub" / "mine.txt").write_text("mine")
    done = world.failed("m@v1.0.0", "-o", "there", status=2)
    assert "--force" in done.err
    world.get("m@v1.0.0", "-o", "there", "--force")
    assert files_in(world.box.root) == {f"there/{p}": d for p, d in world.expected("m", "v1.0.0").items()}
    (world.box.root / "empty").mkdir()
    world.get("m@v1.0.0", "-o", "empty")
    assert files_in(world.box.root / "empty") == world.expected("m", "v1.0.0")
    (world.box.root / "file").write_text("mine")
    world.failed("m@v1.0.0", "-o", "file", "--force", status=2)
    world.failed("m@v1.0.0", "--single-file", "-o", "file", status=2)
    world.get("m@v1.0.0", "--single-file", "-o", "file", "--force")
    assert (world.box.root / "file").stat().st_size > 4


@pytest.mark.parametrize("output", [".", "..", "/"])
def test_the_current_folder_is_never_replaced(world, output):
    assert "or one around it" in world.failed("m@v1.0.0", "-o", output, "--force", status=2).err


def test_a_repository_is_never_replaced(world):
    (world.box.root / "theirs" / ".git").mkdir(parents=True)
    assert "is a repository" in world.failed("m@v1.0.0", "-o", "theirs", "--force", status=2).err


def test_dry_run_writes_nothing(world):
    done = world.mv("get", "m@v1.0.0", "--repo", world.bare, "--dry-run", "--format", "json")
    assert done.json()["dry_run"] is True
    assert done.json()["downloaded"] == sum(e["bytes"] for e in world.files("m", "v1.0.0"))
    assert tree(world.box.root) == {}
    (world.box.root / "m-v1.0.0").mkdir()
    (world.box.root / "m-v1.0.0" / "x").touch()
    world.failed("m@v1.0.0", "--dry-run", status=2)


def test_without_a_repository_it_says_what_to_do(world):
    assert "--repo URL" in world.box.hint(world.mv("get", "m", status=2))


@pytest.fixture
def clone(world, tmp_path) -> Sandbox:
    """A working tree with DVC's cache, of the same versions."""
    shutil.copytree(world.base / "repo", tmp_path / "clone", symlinks=True)
    box = Sandbox(tmp_path / "clone", world.box.env)
    box.git("status")
    return box


def test_inside_a_repository_its_own_cache_comes_first(world, clone):
    before = clone.fingerprint()
    done = clone.mv("get", "m@v1.0.0", "-o", str(world.box.root / "out"), "--format", "json")
    assert (done.json()["downloaded"], done.json()["repo"]) == (0, None)
    assert files_in(world.box.root / "out") == world.expected("m", "v1.0.0")
    assert clone.fingerprint() == before
    assert not list((world.cache / "objects").rglob("*")) if (world.cache / "objects").exists() else True


def test_inside_a_repository_the_remote_stands_in_for_the_cache(world, clone):
    shutil.rmtree(clone.root / ".dvc" / "cache")
    done = clone.mv("get", "v1.0.0", "--model", "m", "-o", str(world.box.root / "out"), "--format", "json")
    assert done.json()["downloaded"] == sum(e["bytes"] for e in world.files("m", "v1.0.0"))
    assert files_in(world.box.root / "out") == world.expected("m", "v1.0.0")
    assert not (clone.root / ".dvc" / "cache").exists()


def test_what_is_damaged_in_dvcs_cache_is_passed_over_and_named(world, clone):
    entry = world.files("m", "v1.0.0")[0]
    place = clone.root / ".dvc" / "cache" / "files" / "md5" / entry["md5"][:2] / entry["md5"][2:]
    data = place.read_bytes()
    place.chmod(0o644)
    place.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    done = clone.mv("get", "m@v1.0.0", "-o", str(world.box.root / "out"))
    assert f"warning: {place} is damaged" in done.err
    assert files_in(world.box.root / "out") == world.expected("m", "v1.0.0")
    assert place.read_bytes() != data, "the repository's cache is left as it is"


def test_a_git_revision_is_no_version(world, clone):
    done = clone.refused("get", "HEAD", "--model", "m")
    assert "no version" in done.err


def test_a_relative_remote_needs_the_clone(world, tmp_path):
    """DVC takes a relative address from the folder of the configuration."""
    box = start(tmp_path / "repo", environment(tmp_path / "home"))
    box.write(".dvc/config", "[core]\n    remote = s\n['remote \"s\"']\n    url = ../../store\n")
    box.commit("remote")
    box.add_model("m", 1)
    box.mv("tag", "m")
    shutil.copytree(box.root / ".dvc" / "cache", tmp_path / "store")
    world.get("m", repo=str(box.root))
    box.git("clone", "-q", "--bare", ".", str(tmp_path / "b.git"))
    world.forget()
    done = world.get("m", "-o", "other", repo=str(tmp_path / "b.git"), status=2)
    assert "relative to a clone" in done.err
    config = tmp_path / "home" / ".config" / "dvc" / "config"
    config.parent.mkdir(parents=True)
    config.write_text(f"['remote \"s\"']\n    url = {tmp_path / 'store'}\n")  # what the hint says, for this user
    world.get("m", "-o", "other", repo=str(tmp_path / "b.git"))
    assert files_in(world.box.root / "other") == files_in(world.box.root / "m-v1.0.0")


def test_a_remote_of_ones_own(world, tmp_path):
    moved = tmp_path / "mirror"
    shutil.copytree(world.base / "storage", moved)
    config = tmp_path / "home" / ".config" / "dvc" / "config"
    config.parent.mkdir(parents=True)
    config.write_text(f"['remote \"mirror\"']\n    url = {moved}\n")
    entry = world.files("m", "v1.0.0")[0]
    with world.harmed(entry["md5"], None):
        assert "it is not there" in world.failed("m@v1.0.0", status=3).err
        world.get("m@v1.0.0", "--dvc-remote", "mirror")
    assert files_in(world.box.root / "m-v1.0.0") == world.expected("m", "v1.0.0")
    assert "no DVC remote 'nope'" in world.failed("net@v1.0.0", "--dvc-remote", "nope", status=2).err


def test_from_a_shallow_clone(world, tmp_path):
    """Its history is cut off; the tag and its files are there."""
    clone = tmp_path / "shallow"
    command = ["git", "clone", "-q", "--depth=1", "--branch=m@v1.0.1", f"file://{world.bare}", str(clone)]
    subprocess.run(command, check=True, env=world.box.env)
    world.get("m@v1.0.1", repo=str(clone))
    world.get("m@v1.0.1", "-o", "again", repo=f"file://{clone}")
    assert files_in(world.box.root / "again") == world.expected("m", "v1.0.1")


def test_a_repository_of_sha256(world, tmp_path):
    """Git's newer object format: ids of 64 digits."""
    box = Sandbox(tmp_path / "new", world.box.env)
    box.root.mkdir()
    box.git("init", "-q", "--object-format=sha256")
    old = world.base / "repo"
    for path in ("dvc.yaml", "params.yaml", ".dvc/config", "models/m"):
        source = old / path
        target = box.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    box.git("add", "-A")
    box.git("commit", "-qm", "m")
    box.git("tag", "-a", "-m", "by hand", "m@v1.0.2")
    world.get("m", repo=str(box.root))
    assert files_in(world.box.root / "m-v1.0.2") == world.expected("m", "v1.0.2")


def test_a_repository_without_versions(world, tmp_path):
    subprocess.run(["git", "init", "-q", str(tmp_path / "empty")], check=True)
    assert "has no versions" in world.get("m", repo=str(tmp_path / "empty"), status=2).err
    assert "not appear to be a git repository" in world.get("m", repo=str(tmp_path / "home"), status=3).err


def test_many_small_files(world, tmp_path):
    """More than are flushed one by one; many of one content."""
    box = Sandbox(tmp_path / "many", world.box.env)
    shutil.copytree(world.base / "repo", box.root, symlinks=True)
    shutil.rmtree(box.root / "folder")
    for number in range(300):
        box.write(f"folder/{number % 7}/{number}.bin", f"{number % 50}\n")
    box.dvc("add", "-q", "folder")
    box.commit("many")
    box.git("tag", "-a", "-m", "many", "g@v2.0.0")
    done = box.mv("get", "g@v2.0.0", "-o", str(world.box.root / "out"), "--format", "json")
    assert files_in(world.box.root / "out") == {f"{n % 7}/{n}.bin": f"{n % 50}\n".encode() for n in range(300)}
    assert len(done.json()["files"]) == 300


def test_a_variant(world, tmp_path):
    """Made by the stage's own command, tracked by DVC, recorded by `tag`."""
    shutil.copytree(world.base / "repo", tmp_path / "clone", symlinks=True)
    box = Sandbox(tmp_path / "clone", world.box.env)
    box.git("checkout", "-q", "-B", "main", "net@v1.0.0")
    settings = "optimize: {small: {method: graph}}, data: rows.npz"
    box.write("params.yaml", f"modelver: {{models: {{net: {{{settings}}}}}}}\n")
    np.savez(box.root / "rows.npz", x=np.random.default_rng(0).standard_normal((4, 512)).astype(np.float32))
    box.mv("stage", "optimize", "net")
    box.git("checkout", "-q", "--", "params.yaml")  # with it, dvc.yaml would want a source to export
    box.dvc("add", "models/net/variants")
    (box.root / "rows.npz").unlink()
    box.commit("variants")
    box.mv("tag", "net", "--version", "v2.0.0", "--force-new")
    recorded = json.loads((box.root / "models/net/variants.json").read_text())["variants"]["small"]
    whole = files_in(box.root / "models" / "net" / "variants" / "small")
    assert sorted(whole) == [e["path"] for e in recorded["manifest"]]
    done = box.mv("get", "net@v2.0.0", "--variant", "small", "-o", str(world.box.root / "v"), "--format", "json")
    assert done.json()["variant"] == "small"
    assert files_in(world.box.root / "v") == whole
    assert "it has 'small'" in box.hint(box.mv("get", "net@v2.0.0", "--variant", "of another name", status=2))
    megabytes = sum(len(content) for content in whole.values()) / (1 << 20)
    assert f"small: graph, {megabytes:.1f} MiB" in box.mv("show", "net@v2.0.0").out
    assert "has none" in box.hint(box.mv("get", "m@v1.0.0", "--variant", "smal", status=2))
    loaded = box.run(
        sys.executable, "-P", "-c",
        "import modelver, numpy as np\n"
        "x = np.ones((2, 512), np.float32)\n"
        "a, b = (modelver.load('net@v2.0.0', variant=v).run({'x': x})['y'] for v in ('small', None))\n"
        "np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)",
    )  # fmt: skip
    assert loaded.status == 0


def test_no_heavy_import_for_help(world):
    code = (
        "import sys; from modelver.cli.main import run; run(['get', '--help'])\n"
        "print(sorted({'dvc', 'onnx', 'onnxruntime', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    assert world.box.run(sys.executable, "-P", "-c", code).err == "[]\n"
