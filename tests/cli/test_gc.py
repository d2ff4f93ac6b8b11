"""gc on the cache: what something needs stays, what nothing needs goes, and where that can't be known nothing goes."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from tracked import Tracked, make_template, md5_of, tracked

from modelver.core.retention import Policy
from modelver.disk import exclusive
from modelver.errors import ExternalFailure, Refused
from modelver.operations.gc import GcRequest, gc
from modelver.operations.project import Project
from modelver.operations.transaction import locked

KEPT, GONE = b"kept", b"gone"


@pytest.fixture(scope="session")
def gc_template(tmp_path_factory) -> Path:
    return make_template(tmp_path_factory.mktemp("gc") / "template")


@pytest.fixture
def box(gc_template, tmp_path, monkeypatch) -> Tracked:
    made = tracked(gc_template, tmp_path / "w")
    for name in [name for name in os.environ if name.startswith(("GIT_", "DVC_"))]:
        monkeypatch.delenv(name)
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    return made


def drop(box: Tracked) -> None:
    """Forget the last commit, as `git reset` does, and with it the pointer."""
    box.git("reset", "-q", "--hard", "HEAD~1")


def by_tag(box):
    box.put("d", KEPT)
    box.git("tag", "light")
    drop(box)
    return lambda: box.git("tag", "-d", "light")


def by_annotated_tag(box):
    box.put("d", KEPT)
    box.git("tag", "-a", "-m", "x", "full")
    drop(box)
    return lambda: box.git("tag", "-d", "full")


def by_tag_of_tag(box):
    box.put("d", KEPT)
    box.git("tag", "-a", "-m", "x", "inner")
    box.git("tag", "-a", "-m", "x", "outer", "inner")
    box.git("tag", "-d", "inner")
    drop(box)
    return lambda: box.git("tag", "-d", "outer")


def by_tag_of_tree(box):
    box.put("d", KEPT)
    box.git("tag", "-a", "-m", "x", "files", "HEAD^{tree}")
    drop(box)
    return lambda: box.git("tag", "-d", "files")


def by_branch(box):
    box.put("d", KEPT)
    box.git("branch", "side")
    drop(box)
    return lambda: box.git("branch", "-D", "side")


def by_past_of_branch(box):
    box.put("d", KEPT)
    box.git("rm", "-q", "d.dvc")
    box.commit("no more")
    return lambda: box.git("reset", "-q", "--hard", "HEAD~2")


def by_merged_side(box):
    box.git("checkout", "-q", "-b", "side")
    box.put("d", KEPT)
    box.git("rm", "-q", "d.dvc")
    box.commit("no more")
    box.git("checkout", "-q", "main")
    box.write("x", "x")
    box.commit("x")
    box.git("merge", "-q", "--no-ff", "-m", "merge", "side")
    box.git("branch", "-D", "side")
    return lambda: box.git("reset", "-q", "--hard", "HEAD~1")


def by_remote_tracking_branch(box):
    box.put("d", KEPT)
    box.git("update-ref", "refs/remotes/elsewhere/side", "HEAD")
    drop(box)
    return lambda: box.git("update-ref", "-d", "refs/remotes/elsewhere/side")


def by_unfetched_branch(box):
    """Somebody else's branch, on the remote alone."""
    box.put("d", KEPT)
    box.git("push", "-q", "../git", "HEAD:refs/heads/theirs")
    drop(box)
    return lambda: box.git("push", "-q", "../git", ":refs/heads/theirs")


def by_unfetched_tag(box):
    box.put("d", KEPT)
    box.git("push", "-q", "../git", "HEAD:refs/tags/theirs")
    drop(box)
    return lambda: box.git("push", "-q", "../git", ":refs/tags/theirs")


def by_tag_that_moved_on_the_remote(box):
    """The same name means something else there; the user's own tag is not touched."""
    box.put("d", KEPT)
    box.git("push", "-q", "../git", "HEAD:refs/tags/v")
    drop(box)
    box.git("tag", "v")
    return lambda: box.git("push", "-q", "../git", ":refs/tags/v")


def by_other_ref(box):
    box.put("d", KEPT)
    box.git("update-ref", "refs/exps/ab/cdef/brave", "HEAD")
    drop(box)
    return lambda: box.git("update-ref", "-d", "refs/exps/ab/cdef/brave")


def by_stash(box):
    box.put("d", KEPT, commit=False)
    box.git("stash", "push", "-q", "--include-untracked")
    return lambda: box.git("stash", "drop", "-q")


def by_older_stash(box):
    box.put("d", KEPT, commit=False)
    box.git("stash", "push", "-q", "--include-untracked")
    box.write("x", "x")
    box.git("stash", "push", "-q", "--include-untracked")
    return lambda: box.git("stash", "drop", "-q", "stash@{1}")


def by_stashed_index(box):
    """Only the index commit of the stash has it: the file was changed on after it had been staged."""
    box.write("d.dvc", "outs: []\n")
    box.commit("d")
    box.put("d", KEPT, commit=False)
    box.git("add", "d.dvc")
    box.write("d.dvc", "outs: []\n")
    box.git("stash", "push", "-q")
    return lambda: box.git("stash", "drop", "-q")


def by_working_tree(box):
    box.write("d.dvc", "outs: []\n")
    box.commit("d")
    box.put("d", KEPT, commit=False)
    return lambda: box.git("checkout", "-q", "d.dvc")


def by_untracked_pointer(box):
    box.put("some/where/d", KEPT, commit=False)
    return lambda: (box.root / "some/where/d.dvc").unlink()


def by_ignored_pointer(box):
    box.put("data/d", KEPT, commit=False)
    return lambda: (box.root / "data/d.dvc").unlink()


def by_index(box):
    box.put("d", KEPT, commit=False)
    box.git("add", "d.dvc")
    (box.root / "d.dvc").unlink()
    return lambda: box.git("rm", "-q", "--cached", "d.dvc")


def by_detached_head(box):
    box.git("checkout", "-q", "--detach")
    box.put("d", KEPT)
    box.git("rm", "-q", "d.dvc")
    box.commit("no more")
    return lambda: box.git("checkout", "-q", "main")


def by_linked_worktree(box):
    """Detached there: no ref names the commit."""
    box.git("worktree", "add", "-q", "--detach", "../linked")
    linked = Tracked(box.root.parent / "linked", box.env)
    box.put("d", KEPT, commit=False)
    shutil.move(box.root / "d.dvc", linked.root / "d.dvc")
    linked.commit("there")
    linked.git("rm", "-q", "d.dvc")
    linked.commit("no more")
    return lambda: box.git("worktree", "remove", "--force", "../linked")


def by_uncommitted_in_linked_worktree(box):
    box.git("worktree", "add", "-q", "--detach", "../linked")
    box.put("d", KEPT, commit=False)
    shutil.move(box.root / "d.dvc", box.root.parent / "linked" / "d.dvc")
    return lambda: box.git("worktree", "remove", "--force", "../linked")


def by_half_done_merge(box):
    box.git("checkout", "-q", "-b", "side")
    box.put("d", KEPT)
    box.write("x", "theirs")
    box.git("rm", "-q", "d.dvc")
    box.commit("theirs")
    box.git("checkout", "-q", "main")
    box.write("x", "ours")
    box.commit("ours")
    box.git("merge", "side", status=1)
    box.git("branch", "-D", "side")
    return lambda: box.git("merge", "--abort")


def by_half_done_rebase(box):
    box.git("checkout", "-q", "-b", "side")
    box.put("d", KEPT)
    box.write("x", "theirs")
    box.commit("theirs")
    box.git("checkout", "-q", "main")
    box.write("x", "ours")
    box.commit("ours")
    box.git("checkout", "-q", "side")
    box.git("rebase", "main", status=1)
    box.git("rm", "-q", "-f", "--cached", "d.dvc")
    (box.root / "d.dvc").unlink()

    def undo():
        box.git("rebase", "--quit")
        box.git("checkout", "-q", "-f", "main")
        box.git("branch", "-D", "side")

    return undo


def by_replacement(box):
    box.put("d", KEPT)
    taken = box.git("rev-parse", "HEAD")
    drop(box)
    box.write("x", "x")
    box.commit("x")
    box.git("replace", "HEAD", taken)
    return lambda: box.git("replace", "-d", "HEAD")


def by_link_into_the_cache(box):
    """With `cache.type = symlink` the file in the working tree is the object."""
    md5 = box.put("d", KEPT, commit=False)
    (box.root / "d.dvc").unlink()
    (box.root / "d.bin").symlink_to(box.cache / md5[:2] / md5[2:])
    return lambda: (box.root / "d.bin").unlink()


def by_folder(box):
    box.put("d", {"a": KEPT, "b/c": b"other"})
    box.git("tag", "light")
    drop(box)
    return lambda: box.git("tag", "-d", "light")


def by_lock_file(box):
    md5 = box.put("d", KEPT, commit=False)
    (box.root / "d.dvc").unlink()
    box.write("sub/dvc.lock", f"schema: '2.0'\nstages:\n  s:\n    cmd: x\n    outs:\n    - path: d\n      md5: {md5}\n")
    box.commit("lock")
    return lambda: drop(box)


PROTECTORS = [value for name, value in list(globals().items()) if name.startswith("by_")]


@pytest.mark.parametrize("protect", PROTECTORS, ids=lambda protect: protect.__name__)
def test_what_something_needs_stays_and_goes_once_nothing_does(box, protect):
    box.put("gone", GONE)
    drop(box)
    release = protect(box)
    kept, gone = md5_of(KEPT), md5_of(GONE)
    assert {kept, gone} <= box.held()
    before = box.refs(), box.index(), box.files().keys()
    box.collect()
    assert kept in box.held()
    assert gone not in box.held()
    files = {path for path in before[2] if not path.endswith(gone[2:])}
    assert (box.refs(), box.index(), box.files().keys()) == (*before[:2], files)
    release()
    box.collect()
    assert kept not in box.held()


def test_everything_goes_that_nothing_needs_and_nothing_else(box):
    """Folders share files with folders that go; the cache is exactly what is needed, afterwards."""
    box.put("d", {"a": b"1", "b": b"2"})
    box.git("tag", "v1")
    box.put("d", {"a": b"1", "b": b"3", "c": b"4"})
    box.put("e", b"4")
    box.put("f", b"5")
    box.git("branch", "side")
    box.git("reset", "-q", "--hard", "HEAD~3")
    box.put("d", {"a": b"6"})
    box.put("d", b"7", commit=False)
    needed = box.whole(box.named_at(box.git("rev-list", "--all").split()) | box.lying())
    assert needed == box.held()
    box.git("branch", "-D", "side")
    box.git("checkout", "-q", "d.dvc")
    needed = box.whole(box.named_at(box.git("rev-list", "--all").split()) | box.lying())
    result = box.collect()
    assert box.held() == needed
    assert {md5_of(data) for data in (b"3", b"4", b"5", b"7")} <= {item.md5 for item in result.items}
    assert result.bytes == sum(item.bytes for item in result.items)


def test_what_git_has_thrown_away_of_the_reflog_is_no_reason_to_stop(box):
    box.put("d", KEPT)
    box.put("sub/e", GONE)
    tree = box.git("rev-parse", "HEAD:sub")
    box.git("reset", "-q", "--hard", "HEAD~1")
    box.git("update-ref", "-d", "ORIG_HEAD")
    (box.root / ".git/objects" / tree[:2] / tree[2:]).unlink()
    assert box.collect(grace=3600).items == ()
    assert box.collect(grace=3600, keep_untagged=0).items == ()
    box.git("tag", "broken", "HEAD@{1}")
    with pytest.raises(ExternalFailure, match="missing"):
        box.collect(grace=3600)


def test_reflog_entries_count_while_they_are_young(box):
    box.put("d", KEPT)
    drop(box)
    assert box.collect(grace=3600).idle
    assert md5_of(KEPT) in box.held()
    box.collect()
    assert md5_of(KEPT) not in box.held()


def test_a_young_reflog_entry_keeps_an_old_object(box):
    """Apart from the object's own age, which can't be set back."""
    box.put("d", KEPT)
    drop(box)
    time.sleep(1.2)
    box.git("commit", "-q", "--allow-empty", "-m", "later")
    # the reset is the later of the two entries that name it, and 2 s are not over since
    from modelver.operations import roots

    git = Project.open(box.root).git
    dropped = box.git("rev-parse", "HEAD@{2}")
    young = roots.gather(git, roots.worktrees(git), time.time() - 60)
    assert dropped in young.logged
    old = roots.gather(git, roots.worktrees(git), time.time() + 60)
    assert dropped not in old.logged | old.held | old.solid
    assert dropped in old.lapsed


def test_young_objects_stay(box):
    """However old the file was that became the object: DVC moves it in with its times."""
    box.put("d", KEPT)
    drop(box)
    object_ = box.cache / md5_of(KEPT)[:2] / md5_of(KEPT)[2:]
    os.utime(object_, (1, 1))
    box.git("reflog", "expire", "--expire=now", "--all")
    box.git("update-ref", "-d", "ORIG_HEAD")
    result = box.collect(grace=3600)
    assert (result.items, result.young) == ((), 1)
    time.sleep(1.1)
    assert [item.md5 for item in box.collect(grace=1).items] == [md5_of(KEPT)]


def test_a_policy_lets_untagged_states_go(box):
    names = [box.put("d", str(n).encode()) for n in range(6)]
    box.git("tag", "v", "HEAD~3")
    collect = ("gc", "--grace", "0", "--yes")
    box.mv(*collect)
    assert box.held() == {*names}
    box.mv(*collect, "--keep-untagged", "2")
    assert box.held() == {names[2], names[3], names[4], names[5]}
    box.mv(*collect, "--keep-untagged", "0", "--older-than", "1h")
    assert box.held() == {names[2], names[3], names[4], names[5]}
    time.sleep(1.1)
    box.mv(*collect, "--older-than", "1s")
    assert box.held() == {names[2], names[5]}


def test_what_it_frees_is_told_by_what_used_it(box):
    box.put("models/m/weights", {"a": b"1", "b": b"22"})
    drop(box)
    done = box.mv("gc", "--grace", "0", "--dry-run")
    row = next(line for line in done.out.splitlines() if line.startswith("models/m/weights"))
    assert row.split()[1] == "3"
    answer = box.mv("gc", "--grace", "0", "--dry-run", "--format", "json").json()
    paths = {item["path"]: item["bytes"] for item in answer["removed"]}
    assert paths["models/m/weights/a"] == 1
    assert paths["models/m/weights/b"] == 2
    assert answer["bytes"] == sum(paths.values())
    assert answer["dry_run"] is True
    assert len(box.held()) == 3


def test_it_asks_and_needs_yes_where_nobody_can_answer(box):
    box.put("d", GONE)
    drop(box)
    done = box.refused("gc", "--grace", "0")
    assert "1 object, 4 B" in done.out
    assert box.mv("gc", "--grace", "0", "--yes").out.splitlines()[-1] == "removed 1 object, 4 B"
    assert box.held() == set()
    assert "nothing to remove" in box.mv("gc", "--grace", "0").out


def test_a_no_at_the_terminal_removes_nothing(box):
    box.put("d", GONE)
    drop(box)
    typed = f"import sys; sys.argv = ['modelver', 'gc', '--grace', '0']; sys.stdin.isatty = lambda: True\n{_MAIN}"
    assert "nothing was removed" in box.run("python", "-c", typed, stdin="n\n").out
    assert box.held()
    assert "removed 1 object" in box.run("python", "-c", typed, stdin="y\n").out
    assert not box.held()


_MAIN = "from modelver.cli.main import main\nmain()"


def test_what_is_needed_by_the_time_it_goes_stays(box):
    """A tag is made while the question stands."""
    box.put("d", KEPT)
    commit = box.git("rev-parse", "HEAD")
    drop(box)

    def confirm(plan):
        assert [item.md5 for item in plan.items] == [md5_of(KEPT)]
        box.git("push", "-q", "../git", f"{commit}:refs/tags/rescued")
        return True

    result = gc(Project.open(box.root), GcRequest(Policy(0)), confirm=confirm)
    assert result.items == ()
    assert md5_of(KEPT) in box.held()


@pytest.mark.parametrize("arguments", [("--remote", "--no-fetch"), ("--grace", "soon"), ("--keep-untagged", "-1")])
def test_bad_arguments_are_refused(box, arguments):
    done = box.mv("gc", *arguments, status=2)
    assert done.err


def test_a_git_remote_that_cannot_be_asked_refuses(box):
    box.put("d", GONE)
    drop(box)
    shutil.move(box.root.parent / "git", box.root.parent / "away")
    done = box.refused("gc", "--grace", "0", "--yes", status=3)
    assert "origin" in done.err
    done = box.mv("gc", "--grace", "0", "--yes", "--no-fetch")
    assert "others' tags and branches" in done.err
    assert box.held() == set()


def test_a_shallow_clone_refuses(box):
    box.put("d", GONE)
    box.git("push", "-q")
    box.clone(box.root.parent / "shallow", "--depth", "1")
    shallow = Tracked(box.root.parent / "shallow", box.env)
    assert "--unshallow" in shallow.refused("gc", "--yes").err


def test_a_partial_clone_that_lacks_objects_refuses(box):
    box.git("config", "uploadpack.allowFilter", "true")
    box.put("d", b"1")
    box.put("d", b"2")
    partial = Tracked(box.clone(box.root.parent / "partial", "--filter=blob:none").root, box.env)
    assert "lacks objects" in partial.refused("gc", "--yes").err


def test_grafts_refuse(box):
    box.write(".git/info/grafts", box.git("rev-parse", "HEAD") + "\n")
    assert "grafts" in box.refused("gc", "--yes").err


@pytest.mark.parametrize("text", ["outs: [", "<<<<<<< ours\nouts: []\n=======\n>>>>>>> theirs\n", "- no\n- mapping\n"])
def test_a_pointer_that_cannot_be_read_refuses(box, text):
    kept = box.put("d", KEPT, commit=False)
    box.write("d.dvc", text)
    box.write("e.dvc", f"outs: [\n- md5: {kept}\n")
    box.commit("broken")
    box.git("rm", "-q", "d.dvc", "e.dvc")
    box.commit("mended")
    box.put("gone", GONE)
    drop(box)
    done = box.refused("gc", "--grace", "0", "--yes")
    assert ".dvc" in done.err
    box.mv("gc", "--grace", "0", "--yes", "--skip-unreadable")
    assert box.held() == {kept}


def test_a_pointer_that_is_a_link_to_something_else_refuses(box):
    (box.root / "d.dvc").symlink_to("elsewhere.txt")
    box.write("elsewhere.txt", "outs: []\n")
    box.commit("link")
    assert "d.dvc" in box.refused("gc", "--yes").err


def test_a_folder_whose_listing_nobody_has_refuses(box):
    folder = box.put("d", {"a": KEPT})
    box.put("gone", GONE)
    drop(box)
    (box.cache / folder[:2] / folder[2:]).unlink()
    done = box.refused("gc", "--grace", "0", "--yes")
    assert folder in done.err
    assert KEPT in [place.read_bytes() for place in box.cache.glob("??/*")]


def test_a_listing_that_is_lost_in_the_past_is_told(box):
    """A stricter gc has let it go: the next one need not stop there, in history as in the reflog."""
    box.put("d", {"a": b"1"})
    box.put("d", {"a": b"2"})
    box.put("d", {"a": KEPT})
    box.git("commit", "-q", "--amend", "-m", "again")
    box.collect(keep_untagged=0)
    left = box.held()
    assert len(left) == 2
    done = box.mv("gc", "--yes")
    assert "nobody has the listing of 2 folders" in done.err
    assert box.held() == left
    box.git("branch", "past", "HEAD~1")
    assert "nobody has the listing" not in box.mv("gc", "--yes", status=2).out


def test_a_listing_is_taken_from_the_remote(box):
    folder = box.put("d", {"a": KEPT})
    box.upload()
    (box.cache / folder[:2] / folder[2:]).unlink()
    box.put("gone", GONE)
    drop(box)
    box.collect()
    assert box.held() == {md5_of(KEPT)}


def test_a_damaged_listing_is_not_believed(box):
    folder = box.put("d", {"a": KEPT})
    box.upload()
    place = box.cache / folder[:2] / folder[2:]
    place.chmod(0o644)
    place.write_text("[]")
    box.collect()
    assert (box.cache / md5_of(KEPT)[:2] / md5_of(KEPT)[2:]).read_bytes() == KEPT
    shutil.rmtree(box.store)
    with pytest.raises(Refused, match="listing"):
        box.collect()


def test_the_manifest_in_git_stands_in_for_a_listing(model_repo):
    """A clone that never had the weights, and no remote: what modelver wrote says what the folder holds."""
    model_repo.mv("tag", "m")
    listing = next((model_repo.root / ".dvc/cache/files/md5").glob("??/*.dir"))
    listing.unlink()
    assert "nothing to remove" in model_repo.mv("gc", "--grace", "0").out


def test_a_folder_in_git_itself_needs_no_listing(box):
    """An out with `cache: false`: the lock file has its hash, and nobody has an object of it."""
    box.write("plots/a.json", "{}")
    lock = f"schema: '2.0'\nstages:\n  s:\n    cmd: x\n    outs:\n    - path: plots\n      md5: {'0' * 32}.dir\n"
    box.write("dvc.lock", lock)
    box.commit("plots")
    assert box.collect().idle


def test_what_a_stage_depends_on_needs_no_listing(box):
    lock = f"schema: '2.0'\nstages:\n  s:\n    cmd: x\n    deps:\n    - path: src\n      md5: {'0' * 32}.dir\n"
    box.write("dvc.lock", lock)
    box.commit("deps")
    assert box.collect().idle


def test_a_shared_cache_is_left_alone(box, tmp_path):
    box.put("d", GONE)
    shared = tmp_path / "shared"
    shutil.move(box.root / ".dvc" / "cache", shared)
    box.write(".dvc/config.local", f"[cache]\n    dir = {shared}\n")
    drop(box)
    done = box.refused("gc", "--grace", "0", "--yes")
    assert str(shared) in done.err
    assert list(shared.glob("files/md5/??/*"))
    done = box.mv("gc", "--grace", "0", "--yes", "--shared-cache")
    assert "warning" in done.err
    assert not list(shared.glob("files/md5/??/*"))


def test_a_cache_behind_a_link_is_a_shared_one(box, tmp_path):
    box.put("d", GONE)
    drop(box)
    shutil.move(box.cache.parent, tmp_path / "files")
    box.cache.parent.symlink_to(tmp_path / "files")
    with pytest.raises(Refused, match="outside"):
        box.collect()
    assert list((tmp_path / "files" / "md5").glob("??/*"))


def test_a_linked_worktree_sees_what_the_main_one_needs(box):
    """They share a cache; gc runs in the linked one."""
    box.put("d", KEPT, commit=False)
    box.put("gone", GONE)
    drop(box)
    box.git("worktree", "add", "-q", "--detach", "../linked")
    linked = Tracked(box.root.parent / "linked", box.env)
    linked.write(".dvc/config.local", f"[cache]\n    dir = {box.root / '.dvc' / 'cache'}\n")
    linked.collect()
    assert box.held() == {md5_of(KEPT)}


def test_a_locked_worktree_that_is_away_refuses(box):
    box.git("worktree", "add", "-q", "--detach", "../linked")
    box.git("worktree", "lock", "../linked")
    shutil.move(box.root.parent / "linked", box.root.parent / "away")
    assert "linked" in box.refused("gc", "--yes").err


def test_nothing_but_objects_is_touched(box):
    """DVC's memory of runs, objects of DVC 2, half-written files, and whatever else lies there."""
    others = {
        ".dvc/cache/runs/ab/abcd/ef": b"x",
        f".dvc/cache/ab/{'c' * 30}": b"x",
        ".dvc/cache/files/md5/ab/.x.tmp": b"x",
        ".dvc/cache/files/md5/notes.txt": b"x",
        ".dvc/tmp/lock.txt": b"x",
    }
    for path, data in others.items():
        box.write(path, data)
    box.put("d", GONE)
    drop(box)
    box.collect()
    assert all((box.root / path).read_bytes() == data for path, data in others.items())
    assert not (box.cache / md5_of(GONE)[:2] / md5_of(GONE)[2:]).exists()


def test_another_gc_and_a_dvc_command_are_waited_for(box):
    box.put("d", GONE)
    drop(box)
    git = Project.open(box.root).git
    with exclusive(git.state_dir / "gc.lock", 1), pytest.raises(ExternalFailure, match="another modelver gc"):
        box.collect()
    with exclusive(box.root / ".dvc" / "tmp" / "lock", 1), pytest.raises(ExternalFailure, match="a DVC command"):
        box.collect()
    assert box.held() == {md5_of(GONE)}


def test_another_modelver_is_waited_for(box, monkeypatch):
    box.put("d", GONE)
    drop(box)
    monkeypatch.setattr("modelver.operations.transaction.LOCK_TIMEOUT", 0.3)
    with locked(Project.open(box.root).git), pytest.raises(ExternalFailure, match="lock"):
        box.collect()
    assert box.held() == {md5_of(GONE)}


def test_no_lock_is_written_through_a_link(box, tmp_path):
    box.put("d", GONE)
    drop(box)
    shutil.rmtree(box.root / ".dvc" / "tmp", ignore_errors=True)
    (tmp_path / "canary").mkdir()
    (box.root / ".dvc" / "tmp").symlink_to(tmp_path / "canary")
    with pytest.raises(Refused, match="symbolic link"):
        box.collect()
    assert list((tmp_path / "canary").iterdir()) == []


def test_an_intent_to_add_is_no_missing_object(box):
    box.write("d.dvc", "outs: []\n")
    box.git("add", "-N", "d.dvc")
    assert box.collect().idle


def test_what_a_killed_gc_fetched_does_not_stay(box):
    left = box.root / ".git" / "modelver" / "gc-abc" / "refs"
    left.mkdir(parents=True)
    before = box.refs()
    box.collect()
    assert box.refs() == before
    assert [path.name for path in left.parent.parent.iterdir() if path.name != "lock"] == ["gc.lock"]


def test_a_repository_with_sha256_ids(box):
    """Git's other object format, with a remote to ask."""
    place = box.root.parent
    shutil.rmtree(box.root / ".git")
    box.git("init", "-q", "--object-format=sha256")
    box.run("git", "init", "-q", "--bare", "--object-format=sha256", str(place / "git256"))
    box.git("remote", "add", "origin", str(place / "git256"))
    box.commit("start")
    box.put("d", KEPT)
    box.git("push", "-q", "origin", "HEAD:refs/tags/theirs")
    box.git("update-ref", "-d", "refs/tags/theirs", status=None)
    drop(box)
    box.put("gone", GONE)
    drop(box)
    box.collect()
    assert box.held() == {md5_of(KEPT)}


def test_the_working_tree_is_whole_for_dvc_afterwards(box):
    """Real DVC: what is checked out and each tag can be restored."""
    box.write("real.txt", "one")
    box.dvc("add", "-q", "real.txt")
    box.commit("one")
    box.git("tag", "v1")
    box.write("real.txt", "two")
    box.dvc("add", "-q", "real.txt")
    box.commit("two")
    box.git("reset", "-q", "--hard", "HEAD~1")
    box.mv("gc", "--grace", "0", "--yes")
    (box.root / "real.txt").unlink()
    box.dvc("checkout", "-q")
    assert (box.root / "real.txt").read_text() == "one"
    assert box.held() == {md5_of(b"one")}


def test_every_needed_object_is_found_in_a_long_history(box):
    """Beyond one batch of objects read from Git at once."""
    stream = ["reset refs/heads/long\n"]
    md5s = []
    for number in range(2300):
        md5 = md5_of(str(number).encode())
        md5s.append(md5)
        text = f"outs:\n- md5: {md5}\n  path: d\n"
        stream.append(f"commit refs/heads/long\ncommitter A <a@b> {number + 1} +0000\ndata 1\nx\n")
        stream.append(f"M 100644 inline sub/d{number % 7}.dvc\ndata {len(text)}\n{text}\n")
    subprocess.run(
        ["git", "fast-import", "--quiet"], cwd=box.root, env=box.env, input="".join(stream).encode(), check=True
    )
    from modelver.operations.gc import Looker

    git = Project.open(box.root).git
    started = time.monotonic()
    found = Looker(git, None, GcRequest(Policy(0)), print).look_here()
    assert {*md5s} <= found.hashes
    assert time.monotonic() - started < 20
