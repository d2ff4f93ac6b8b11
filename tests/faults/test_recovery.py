"""What a killed `modelver tag` leaves behind, met under circumstances that a plain sweep does not make."""

import os
import shutil
import subprocess

import pytest
from sandbox import Sandbox

PRELUDE = """\
#!/bin/sh
real=$(PATH="$REAL_PATH" command -v git)
case " $* " in
*" update-ref "*) verb=update-ref ;;
*" update-index --index-info "*|*" update-index -z --index-info "*) [ -n "$GIT_INDEX_FILE" ] || verb=update-index ;;
esac
"""
KILL_PARENT_AND_GO_ON = """\
if [ "$verb" = update-ref ]; then
    cat > "$SHIM_DIR/stdin"
    kill -9 $PPID
    sleep 1.5
    exec "$real" "$@" < "$SHIM_DIR/stdin" > /dev/null
fi
exec "$real" "$@"
"""
KILL_PARENT_BEFORE_INDEX = """\
if [ "$verb" = update-index ]; then kill -9 $PPID; kill -9 $$; fi
exec "$real" "$@"
"""
DIE_IN_INDEX = """\
if [ "$verb" = update-index ] && mkdir "$SHIM_DIR/once" 2>/dev/null; then
    : > "$("$real" rev-parse --git-dir)/index.lock"
    kill -9 $$
fi
exec "$real" "$@"
"""
DIE_IN_REFRESH = """\
case " $* " in *" --really-refresh "*)
    if mkdir "$SHIM_DIR/once" 2>/dev/null; then
        : > "$("$real" rev-parse --git-dir)/index.lock"
        kill -9 $$
    fi ;;
esac
exec "$real" "$@"
"""
DIE_IN_REFS = """\
if [ "$verb" = update-ref ] && mkdir "$SHIM_DIR/once" 2>/dev/null; then
    : > "$("$real" rev-parse --git-dir)/HEAD.lock"
    kill -9 $$
fi
exec "$real" "$@"
"""


@pytest.fixture
def changed(tagged_repo):
    """v1.0.0 is tagged, the next weights are there."""
    tagged_repo.change("m", 2)
    return Sandbox(tagged_repo.root, tagged_repo.env)  # commands that are killed: not the test's own process


def tag_with(box: Sandbox, body: str) -> int:
    """Run `modelver tag m` with a stand-in for Git; its exit status."""
    folder = box.root.parent / "shim"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "git").write_text(PRELUDE + body)
    (folder / "git").chmod(0o755)
    path = f"{folder}{os.pathsep}{box.env['PATH']}"
    done = box.mv("tag", "m", status=None, PATH=path, REAL_PATH=box.env["PATH"], SHIM_DIR=str(folder))
    return done.status


def assert_new(box: Sandbox) -> None:
    assert box.tags() == ["m@v1.0.0", "m@v1.0.1"]
    assert box.git("rev-parse", "m@v1.0.1^{commit}") == box.git("rev-parse", "HEAD")
    assert_clean(box)
    assert [v["version"] for v in box.mv("list", "--format", "json").json()] == ["v1.0.1", "v1.0.0"]


def assert_clean(box: Sandbox) -> None:
    assert box.git("status", "--porcelain") == ""
    assert box.git("fsck", "--no-dangling", "--strict") == ""
    assert [path for path in (box.root / ".git").rglob("*.lock") if path.parent.name != "modelver"] == []


def test_git_goes_on_after_its_parent_was_killed(changed):
    """Whoever comes next must wait for it: to undo the files of refs that are about to move would tear them apart."""
    assert tag_with(changed, KILL_PARENT_AND_GO_ON) == -9
    assert changed.mv("list").out.splitlines()[1].split()[:2] == ["m", "v1.0.1"]
    assert_new(changed)


@pytest.mark.parametrize("body", [DIE_IN_INDEX, DIE_IN_REFRESH], ids=["index", "refresh"])
def test_a_git_that_dies_after_the_refs_moved_is_no_failure(changed, body):
    assert tag_with(changed, body) == 0
    assert_new(changed)


def test_a_git_that_dies_before_the_refs_moved_changes_nothing(changed):
    before = changed.fingerprint()
    assert tag_with(changed, DIE_IN_REFS) == 3
    assert changed.fingerprint() == before
    changed.mv("tag", "m")
    assert_new(changed)


def test_the_repository_is_moved_in_between(changed, tmp_path):
    """A container's repository lies elsewhere for its host."""
    assert tag_with(changed, KILL_PARENT_BEFORE_INDEX) == -9
    moved = changed.root.rename(tmp_path / "elsewhere")
    box = Sandbox(moved, changed.env)
    box.mv("list")
    assert_new(box)


def test_somebody_commits_in_between(changed):
    """The record is part of history then: it is not undone, and the tag stays where it belongs."""
    assert tag_with(changed, KILL_PARENT_BEFORE_INDEX) == -9
    recorded = changed.git("rev-parse", "HEAD")
    changed.git("reset", "-q", "--hard")
    changed.write("notes.txt", "more\n")
    changed.commit("more", "notes.txt")
    changed.git("tag", "-d", "m@v1.0.1")  # as if killed between the two refs
    changed.mv("list")
    assert changed.git("rev-parse", "m@v1.0.1^{commit}") == recorded
    assert_clean(changed)


def test_a_linked_working_tree(changed, tmp_path):
    """Killed there, mended by a command that runs in the main one."""
    changed.git("add", "-A")
    changed.git("commit", "-qm", "new weights")
    changed.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    linked = Sandbox(tmp_path / "side", changed.env)
    assert tag_with(linked, KILL_PARENT_BEFORE_INDEX) == -9
    assert linked.git("status", "--porcelain") != ""
    changed.mv("list")
    assert linked.git("status", "--porcelain") == ""
    assert changed.git("status", "--porcelain") == ""
    assert changed.git("rev-parse", "m@v1.0.1^{commit}") == linked.git("rev-parse", "HEAD")


def test_a_pager_in_another_window_is_not_waited_for(changed):
    """Git's own readers take no locks, and may stay open for days."""
    assert tag_with(changed, KILL_PARENT_BEFORE_INDEX) == -9
    (changed.root / ".git" / "index.lock").write_bytes(b"")
    reader = subprocess.Popen(["git", "cat-file", "--batch"], cwd=changed.root, stdin=subprocess.PIPE, env=changed.env)
    try:
        changed.mv("list")
    finally:
        reader.communicate()
    assert_new(changed)


@pytest.mark.parametrize("journal", [b"", b"{", b"[]", b"{}", b'{"files": {"a": 1}}', b'{"files": {}, "newer": 1}'])
def test_a_journal_that_makes_no_sense_stops_nobody(tagged_repo, journal):
    path = tagged_repo.root / ".git" / "modelver" / "journal.json"
    path.write_bytes(journal)
    tagged_repo.mv("list")
    assert not path.exists()


def test_a_hook_of_the_users_may_refuse_the_refs(changed):
    """Git runs it for every ref that moves; the commit and the tag then do not appear."""
    hook = changed.root / ".git" / "hooks" / "reference-transaction"
    hook.write_text('#!/bin/sh\n[ "$1" != prepared ] || exit 1\n')
    hook.chmod(0o755)
    before = changed.fingerprint()
    assert "git update-ref failed" in changed.mv("tag", "m", status=3).err
    assert changed.fingerprint() == before


@pytest.mark.parametrize("command", ["record", "tag"])
def test_nothing_is_written_through_a_symbolic_link(model_repo, tmp_path, command):
    """A repository may hold ``models/p`` as a link to anywhere."""
    outside = tmp_path / "outside"
    outside.mkdir()
    model_repo.write("blob.bin", b"bytes")
    model_repo.mv("add", "p", "blob.bin")
    shutil.rmtree(model_repo.root / "models" / "p")
    (model_repo.root / "models" / "p").symlink_to(outside)
    model_repo.commit("a link")
    assert "symbolic link" in model_repo.refused(command, "p").err
    assert list(outside.iterdir()) == []
