import hashlib
import subprocess
import sys

import pytest
from weights_repo import V1, V2, Repo

from modelver.adapters.dvc import DvcCache
from modelver.adapters.git import GitRepository
from modelver.disk import HashCache, hashes
from modelver.errors import CheckFailed, ExternalFailure, InvalidInput, NotFound, Refused
from modelver.operations import hooks
from modelver.operations.restore import restore, restore_paths


def _git(repo):
    return GitRepository.find(repo.root)


def _tree(repo):
    """Path → identity and content of everything outside of Git's and DVC's own folders."""
    found = {}
    for path in repo.root.rglob("*"):
        name = path.relative_to(repo.root).as_posix()
        if name.split("/")[0] not in (".git", ".dvc") and (path.is_symlink() or path.is_file()):
            stat = path.lstat()
            found[name] = (stat.st_ino, stat.st_mtime_ns, path.read_bytes())
    return found


def _spoil(path):
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_checkout_back_and_forth(repo):
    for version, files in (("v1", V1), ("v2", V2), ("v1", V1), ("v2", V2)):
        done = repo.git("checkout", "-q", version)
        assert done.stderr == ""
        assert repo.holds("m/w") == files
        assert (repo.root / "out.bin").read_bytes() == (repo.root / "seed").read_bytes()
        assert (repo.root / "plain.bin").exists() == (version == "v1")
        assert repo.git("status", "--porcelain").stdout == ""
        assert "up to date" in repo.run("dvc", "status").stdout


def test_weights_vanish_with_their_pointer_and_come_back(repo):
    repo.git("checkout", "-q", "v0")
    assert not (repo.root / "m").exists()
    assert not (repo.root / "out.bin").exists()
    repo.git("checkout", "-q", "v2")
    assert repo.holds("m/w") == V2


def test_only_files_that_differ_are_touched(repo):
    before = _tree(repo)
    repo.git("checkout", "-q", "v1")
    after = _tree(repo)
    assert before["m/w/tensors/a"] == after["m/w/tensors/a"]
    assert after["m/w/tensors/b"][2] == V1["tensors/b"]


def test_a_changed_file_is_kept_and_named(repo):
    (repo.root / "m/w/model.onnx").write_bytes(b"my own work")
    done = repo.git("checkout", "-q", "v1")
    assert "changed by you" in done.stderr
    assert "m/w/model.onnx" in done.stderr
    assert "modelver restore --force m/w/model.onnx" in done.stderr
    assert repo.holds("m/w") == {**V1, "model.onnx": b"my own work"}
    assert restore_paths(_git(repo), ["m/w/model.onnx"], force=True).complete
    assert repo.holds("m/w") == V1


def test_a_changed_file_that_both_versions_have_is_named(repo):
    (repo.root / "m/w/tensors/a").write_bytes(b"my own work")
    done = repo.git("checkout", "-q", "v1")
    assert "changed by you, so left alone: m/w/tensors/a" in done.stderr
    assert repo.holds("m/w") == {**V1, "tensors/a": b"my own work"}


def test_a_changed_file_that_the_version_lacks_is_not_deleted(repo):
    (repo.root / "m/w/extra/deep/x").write_bytes(b"my own work")
    done = repo.git("checkout", "-q", "v1")
    assert "m/w/extra/deep/x" in done.stderr
    assert repo.holds("m/w") == {**V1, "extra/deep/x": b"my own work"}


def test_untracked_files_stay(repo):
    (repo.root / "m/w/extra/notes.txt").write_bytes(b"notes")
    repo.git("checkout", "-q", "v1")
    assert repo.holds("m/w") == {**V1, "extra/notes.txt": b"notes"}
    repo.git("checkout", "-q", "v0")
    assert repo.holds("m/w") == {"extra/notes.txt": b"notes"}


def test_an_untracked_file_where_the_version_has_one_is_kept(repo):
    (repo.root / "m/w/tensors/b").write_bytes(b"mine")
    assert "m/w/tensors/b" in repo.git("checkout", "-q", "v1").stderr
    assert repo.holds("m/w")["tensors/b"] == b"mine"


def test_a_deleted_file_is_placed(repo):
    (repo.root / "m/w/tensors/a").unlink()
    repo.git("checkout", "-q", "v1")
    assert repo.holds("m/w") == V1


def test_what_the_cache_holds_is_no_work_of_the_users(repo):
    """After `git reset`, which runs no hook, the weights are another version's; the next checkout mends that."""
    repo.git("reset", "-q", "--hard", "v1")
    assert repo.holds("m/w") == V2
    (repo.root / "m/w/model.onnx").write_bytes(V2["model.onnx"])
    result = restore(_git(repo), "v2", "v1")
    assert result.complete
    assert repo.holds("m/w") == V1


def test_restore_paths_removes_leftovers_that_the_cache_holds_and_nothing_else(repo):
    repo.git("reset", "-q", "--hard", "v1")
    (repo.root / "m/w/notes.txt").write_bytes(b"notes")
    result = restore_paths(_git(repo))
    assert result.kept == ("m/w/notes.txt",)
    assert not result.complete
    assert sorted(result.removed) == ["m/w/extra/deep/x", "m/w/tensors/c"]
    assert repo.holds("m/w") == {**V1, "notes.txt": b"notes"}
    assert (repo.root / "out.bin").read_text() == "1\n"


def test_restore_paths_removes_a_stray_file_by_force_only(repo):
    """It stands between the model and its tag, and the hint of that refusal is `modelver restore --force`."""
    (repo.root / "m/w/stray.bin").write_bytes(b"stray")
    assert restore_paths(_git(repo), ["m/w"]).kept == ("m/w/stray.bin",)
    assert restore_paths(_git(repo), ["m/w"], force=True).removed == ("m/w/stray.bin",)
    assert repo.holds("m/w") == V2


def test_restore_paths_follows_the_paths_given(repo):
    for path in ("m/w/model.onnx", "m/w/tensors/a", "out.bin"):
        (repo.root / path).unlink()
    git = _git(repo)
    assert restore_paths(git, ["m/w/tensors"]).placed == ("m/w/tensors/a",)
    assert restore_paths(git, ["m"]).placed == ("m/w/model.onnx",)
    assert restore_paths(git, ["./out.bin"]).placed == ("out.bin",)
    with pytest.raises(NotFound, match="nothing at seed"):
        restore_paths(git, ["seed"])


def test_a_missing_object_leaves_that_out_and_restores_the_others(repo):
    repo.object(V1["tensors/b"]).unlink()
    done = repo.git("checkout", "-q", "v1", ok=False)
    assert done.returncode == 1, "the weights are v2's while the commit is v1"
    assert "not in DVC's cache" in done.stderr
    assert "hint: dvc pull m/w\n" in done.stderr
    assert repo.holds("m/w") == V2
    assert (repo.root / "out.bin").read_text() == "1\n"
    assert (repo.root / "plain.bin").exists()


def test_without_weights_at_all_a_checkout_only_warns(repo, tmp_path):
    subprocess.run(["git", "clone", "-q", repo.root, tmp_path / "clone"], check=True, env=repo.env)
    clone = Repo(tmp_path / "clone", repo.env)
    hooks.install(_git(clone))
    done = clone.git("checkout", "-q", "v1")
    assert done.stderr.count("warning: ") == 1
    assert "dvc pull" in done.stderr


@pytest.mark.parametrize("content", ["tensors/b", "model.onnx"])
def test_a_damaged_object_changes_nothing_and_is_named(repo, content):
    spoilt = repo.object(V1[content])
    _spoil(spoilt)
    before = _tree(repo)
    done = repo.git("checkout", "-q", "v1", ok=False)
    assert done.returncode == 1
    assert f"error: {spoilt} is damaged" in done.stderr
    assert f"hint: rm -f {spoilt} && dvc pull" in done.stderr
    after = _tree(repo)
    assert {p: v for p, v in after.items() if p.startswith("m/w/")} == {
        p: v for p, v in before.items() if p.startswith("m/w/")
    }
    assert (repo.root / "out.bin").read_text() == "1\n", "other outs are restored"
    assert repo.git("status", "--porcelain").stdout == ""


def test_a_damaged_listing_is_named(repo):
    pointer = repo.git("show", "v1:m/w.dvc").stdout
    md5 = pointer.split("md5: ")[1].split()[0]
    listing = repo.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    _spoil(listing)
    done = repo.git("checkout", "-q", "v1", ok=False)
    assert f"{listing} is damaged" in done.stderr
    assert repo.holds("m/w") == V2


def test_nothing_is_written_through_links(repo, tmp_path):
    outside = tmp_path / "outside"
    (repo.root / "m/w").rename(outside)
    (repo.root / "m/w").symlink_to(outside)
    done = repo.git("checkout", "-q", "v1", ok=False)
    assert done.returncode == 1
    assert "symbolic link" in done.stderr
    assert {p.name: p.read_bytes() for p in outside.iterdir() if p.is_file()} == {"model.onnx": b"graph 2"}


def test_a_link_on_the_way_is_refused(repo, tmp_path):
    outside = tmp_path / "outside"
    (repo.root / "m/w/tensors").rename(outside)
    (repo.root / "m/w/tensors").symlink_to(outside)
    done = repo.git("checkout", "-q", "v1", ok=False)
    assert "symbolic link" in done.stderr
    assert sorted(p.name for p in outside.iterdir()) == ["a", "c"]


def test_a_committed_link_does_not_lead_out_of_the_clone(repo, tmp_path):
    """https://github.com/iterative/dvc/issues/11101"""
    outside = tmp_path / "outside"
    outside.mkdir()
    repo.git("checkout", "-q", "v2")
    (repo.root / "link").symlink_to(outside)
    digest = hashlib.md5(V1["tensors/b"]).hexdigest()
    (repo.root / "evil.dvc").write_text(f"outs:\n- md5: {digest}\n  path: link/b\n")
    repo.git("add", "link", "evil.dvc")
    repo.git("commit", "-qm", "evil")
    result = restore(_git(repo), "v2", "HEAD")
    assert [type(e) for e in result.failures] == [Refused]
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "error"),
    [("../out", InvalidInput), ("/tmp/out", InvalidInput), (".git/hooks/pre-commit", Refused), (".dvc/tmp/x", Refused)],
)
def test_pointers_that_leave_the_working_tree_are_refused(repo, path, error):
    digest = hashlib.md5(V1["tensors/b"]).hexdigest()
    (repo.root / "evil.dvc").write_text(f"outs:\n- md5: {digest}\n  path: {path}\n")
    repo.git("add", "evil.dvc")
    repo.git("commit", "-qm", "evil")
    result = restore(_git(repo), "v2", "HEAD", force=True)
    assert [type(e) for e in result.failures] == [error]
    assert not (repo.root / ".git/hooks/pre-commit").exists()
    assert not (repo.root.parent / "out").exists()
    assert not (repo.root / ".dvc/tmp/x").exists()


def test_a_listing_with_a_nested_git_folder_is_refused(repo):
    digest = hashlib.md5(V1["tensors/b"]).hexdigest()
    md5 = DvcCache.find(repo.root).add_dir([("sub/.git/config", digest)])
    (repo.root / "evil.dvc").write_text(f"outs:\n- md5: {md5}\n  path: data\n")
    result = restore_paths(_git(repo), ["data"])
    assert [type(e) for e in result.failures] == [Refused]
    assert not (repo.root / "data").exists()


def test_a_broken_pointer_does_not_stop_the_others(repo):
    (repo.root / "evil.dvc").write_text("outs: [\n")
    (repo.root / "out.bin").unlink()
    result = restore_paths(_git(repo))
    assert [type(e) for e in result.failures] == [InvalidInput]
    assert result.placed == ("out.bin",)


def test_a_file_becomes_a_folder_and_back(repo):
    digest = hashlib.md5(V1["tensors/b"]).hexdigest()
    (repo.root / "m/w.dvc").write_text(f"outs:\n- md5: {digest}\n  path: w\n")
    repo.git("commit", "-qam", "v3")
    repo.git("tag", "v3")
    assert restore(_git(repo), "v2", "v3").complete
    assert (repo.root / "m/w").read_bytes() == V1["tensors/b"]
    repo.git("checkout", "-q", "v2")
    assert repo.holds("m/w") == V2


def test_a_folder_with_own_files_does_not_become_a_file(repo):
    digest = hashlib.md5(V1["tensors/b"]).hexdigest()
    (repo.root / "m/w.dvc").write_text(f"outs:\n- md5: {digest}\n  path: w\n")
    repo.git("commit", "-qam", "v3")
    (repo.root / "m/w/notes.txt").write_bytes(b"notes")
    result = restore(_git(repo), "v2", "HEAD")
    assert [type(e) for e in result.failures] == [ExternalFailure]
    assert repo.holds("m/w") == {**V2, "notes.txt": b"notes"}


def test_a_failure_while_swapping_puts_everything_back(repo):
    (repo.root / "m/w/tensors/b").mkdir()
    (repo.root / "m/w/tensors/b/mine").write_bytes(b"mine")
    result = restore(_git(repo), "v2", "v1")
    assert any(isinstance(e, ExternalFailure) for e in result.failures)
    assert repo.holds("m/w") == {**V2, "tensors/b/mine": b"mine"}
    assert not (repo.root / ".dvc/tmp/modelver-restore").exists()


def test_links_that_dvc_made_are_replaced_and_the_cache_stays_whole(repo):
    repo.run("dvc", "config", "--local", "cache.type", "symlink")
    repo.run("dvc", "checkout", "-q", "--relink")
    assert (repo.root / "m/w/model.onnx").is_symlink()
    repo.git("checkout", "-q", "v1")
    assert repo.holds("m/w") == V1
    assert not (repo.root / "m/w/model.onnx").is_symlink()
    assert repo.object(V2["model.onnx"]).read_bytes() == V2["model.onnx"]
    (repo.root / "m/w/tensors/b").write_bytes(b"edited in place")
    assert repo.object(V1["tensors/b"]).read_bytes() == V1["tensors/b"]


def test_outs_that_git_tracks_are_gits_business(repo):
    (repo.root / "metric.json").write_text("mine\n")
    result = restore(_git(repo), "v1", "v2")
    assert "metric.json" not in (*result.placed, *result.kept, *result.removed)
    assert (repo.root / "metric.json").read_text() == "mine\n"
    assert restore_paths(_git(repo)).missing == ()


def test_a_linked_working_tree_reads_the_main_ones_cache(repo, tmp_path):
    """https://github.com/iterative/dvc/issues/5456"""
    folder = tmp_path / "linked, #1"
    done = repo.git("worktree", "add", "-q", str(folder), "v1")
    assert "note: DVC uses the main working tree's cache" in done.stderr
    linked = Repo(folder, repo.env)
    assert linked.holds("m/w") == V1
    assert "up to date" in linked.run("dvc", "status").stdout
    assert linked.git("status", "--porcelain").stdout == ""
    linked.git("checkout", "-q", "v2")
    assert linked.holds("m/w") == V2
    assert repo.holds("m/w") == V2
    assert "up to date" in linked.run("dvc", "status").stdout


def test_weights_in_a_submodule(repo, tmp_path):
    outer = Repo(tmp_path / "outer", repo.env)
    outer.root.mkdir()
    outer.git("init", "-q")
    outer.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(repo.root), "sub")
    sub = Repo(outer.root / "sub", repo.env)
    assert {a.state for a in hooks.install(_git(sub))} == {"installed"}
    (sub.root / ".dvc/config.local").write_text(f"[cache]\n    dir = {repo.root / '.dvc/cache'}\n")
    sub.git("checkout", "-q", "v1")
    assert sub.holds("m/w") == V1
    sub.git("checkout", "-q", "v2")
    assert sub.holds("m/w") == V2


def test_a_submodule_update_restores(repo, tmp_path):
    outer = Repo(tmp_path / "outer", repo.env)
    outer.root.mkdir()
    outer.git("init", "-q")
    outer.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(repo.root), "sub")
    sub = Repo(outer.root / "sub", repo.env)
    hooks.install(_git(sub))
    sub.run("dvc", "cache", "dir", "--local", str(repo.root / ".dvc/cache"))
    sub.git("checkout", "-q", "v1")
    outer.git("add", "sub")
    outer.git("commit", "-qm", "v1")
    sub.git("checkout", "-q", "v2")
    assert sub.holds("m/w") == V2
    outer.git("submodule", "update", "-q")
    assert sub.holds("m/w") == V1


def test_what_a_sparse_checkout_leaves_out_stays_out(repo):
    repo.git("checkout", "-q", "v0")
    repo.git("sparse-checkout", "set", "--no-cone", "/*", "!/m/")
    done = repo.git("checkout", "-q", "v1")
    assert done.stderr == ""
    assert not (repo.root / "m").exists()
    assert (repo.root / "out.bin").exists()
    repo.git("sparse-checkout", "disable")
    assert restore_paths(_git(repo)).complete
    assert repo.holds("m/w") == V1


def test_a_full_disk_leaves_the_out_as_it_was(repo):
    """A limit on file sizes fails a write as a full disk does; 3,000 bytes do not fit, `out.bin` does."""
    code = (
        "import resource, signal, sys; from modelver.cli.githook import run\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "sys.exit(run(['post-checkout', *sys.argv[1:], '1']))"
    )
    ids = [repo.git("rev-parse", version).stdout.strip() for version in ("v2", "v1")]
    repo.git("-c", "core.hooksPath=/dev/null", "checkout", "-q", "v1")
    done = repo.run(sys.executable, "-c", code, *ids, ok=False)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert repo.holds("m/w") == V2
    assert (repo.root / "out.bin").read_text() == "1\n"
    assert not (repo.root / ".dvc/tmp/modelver-restore").exists()


def test_a_dvc_repository_below_gits_root(repo):
    inner = repo.root / "inner"
    inner.mkdir()
    inside = Repo(inner, repo.env)
    inside.run("dvc", "init", "-q", "--subdir")
    (inner / "data").write_bytes(b"one")
    inside.run("dvc", "add", "-q", "data")
    inside.git("add", ".")
    inside.git("commit", "-qm", "one")
    (inner / "data").unlink()
    assert restore_paths(_git(repo), ["inner/data"]).placed == ("inner/data",)
    repo.git("checkout", "-q", "v2")
    assert not (inner / "data").exists()


_KILL = """
import os, sys
from pathlib import Path
left = int(sys.argv[1])
def deadly(real):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os._exit(9)
        return real(*args, **kwargs)
    return call
for name in ("rename", "replace", "link", "unlink", "rmdir", "mkdir"):
    setattr(os, name, deadly(getattr(os, name)))
from modelver.cli.githook import run
sys.exit(run(["post-checkout", *sys.argv[2:], "1"]))
"""


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_anywhere_each_file_is_whole_and_the_next_checkout_mends_it(repo, step):
    v1, v2 = (repo.git("rev-parse", version).stdout.strip() for version in ("v1", "v2"))
    whole = {*V1.items(), *V2.items()}
    points = step % 4
    while True:
        points += step
        repo.git("-c", "core.hooksPath=/dev/null", "checkout", "-q", "v1")
        died = repo.run(sys.executable, "-c", _KILL, str(points), v2, v1, ok=False).returncode == 9
        assert set(repo.holds("m/w").items()) <= whole
        if not died:
            break
        repo.git("checkout", "-q", "v2") if points % 2 else restore_paths(_git(repo))
        assert repo.holds("m/w") == (V2 if points % 2 else V1)
        assert repo.git("status", "--porcelain").stdout == ""
        repo.git("checkout", "-q", "v2")
        assert repo.holds("m/w") == V2
        assert not (repo.root / ".dvc/tmp/modelver-restore").exists()
    assert points > 15
    assert repo.holds("m/w") == V1


_INTERRUPT = """
import os, runpy, signal, sys
left = None
class Finder:
    def find_spec(name, path=None, target=None):
        global left
        if name == "modelver.cli.githook":
            left = int(sys.argv[1])
            del sys.argv[1]
        elif left is not None:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder)
runpy.run_module("modelver.cli.githook", run_name="__main__", alter_sys=True)
"""


def test_interrupted_while_it_imports(repo):
    """A real signal at some of the modules that it takes."""
    v1, v2 = (repo.git("rev-parse", version).stdout.strip() for version in ("v1", "v2"))
    point, points = 1, []
    while True:
        repo.git("-c", "core.hooksPath=/dev/null", "checkout", "-q", "v1")
        done = repo.run(sys.executable, "-c", _INTERRUPT, str(point), "post-checkout", v2, v1, "1", ok=False)
        if done.returncode == 0:
            break
        assert (done.returncode, done.stdout) == (130, "")
        assert done.stderr == "error: interrupted\nhint: modelver restore\n"
        points.append(point)
        point = 1 + point * 2
    assert len(points) > 4
    assert repo.holds("m/w") == V1


def test_unchanged_files_are_not_read_again(repo, monkeypatch):
    git = _git(repo)
    restore(git, "v2", "v1")
    read = []
    real = hashes.digest_file
    monkeypatch.setattr(hashes, "digest_file", lambda path: read.append(path) or real(path))
    restore(git, "v1", "v2")
    assert read == [], "what the first restore placed is known, and tensors/a is the same in both"


def test_a_write_right_after_placing_is_seen(repo):
    """The racy case: same size, at once, in place."""
    restore(_git(repo), "v2", "v1")
    place = repo.root / "m/w/model.onnx"
    with place.open("r+b") as file:
        file.write(b"GRAPH")
    result = restore(_git(repo), "v1", "v2")
    assert result.kept == ("m/w/model.onnx",)


def test_no_heavy_import(repo):
    code = (
        "import sys; from modelver.cli.githook import run\n"
        "assert run(['post-checkout', *sys.argv[1:], '1']) == 0\n"
        "print(sorted({'dvc', 'dvc_data', 'onnx', 'numpy', 'git', 'fsspec', 'typer', 'pydantic'} & set(sys.modules)))"
    )
    ids = [repo.git("rev-parse", version).stdout.strip() for version in ("v2", "v1")]
    assert repo.run(sys.executable, "-c", code, *ids).stdout == "[]\n"
    assert repo.holds("m/w") == V1


def test_names_cannot_drive_the_terminal(repo):
    name = "a\x1b[2J\u202e.bin"
    (repo.root / name).write_bytes(b"one")
    repo.run("dvc", "add", "-q", name)
    (repo.root / name).write_bytes(b"mine")
    ((_, text, hint),) = restore_paths(_git(repo), [name]).messages()
    assert (text + hint).isprintable()
    assert "\\x1b[2J\\u202e.bin" in text


def test_error_types_of_damage(repo):
    _spoil(repo.object(V1["model.onnx"]))
    assert [type(e) for e in restore(_git(repo), "v2", "v1").failures] == [CheckFailed]


def test_hash_cache_is_beside_git(repo):
    restore(_git(repo), "v2", "v1")
    cache = HashCache(_git(repo).state_dir)
    digest = cache.get(repo.root / "m/w/model.onnx")
    assert digest is not None
    assert digest.md5 == hashlib.md5(V1["model.onnx"]).hexdigest()
    assert digest.sha256 == hashlib.sha256(V1["model.onnx"]).hexdigest()
