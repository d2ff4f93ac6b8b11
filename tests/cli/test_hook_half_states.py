"""Flows of Git's own in which pointers change and neither a checkout nor a merge ends: the weights come along.

Each ends with the same question: has the file at ``m.bin`` the hash that ``m.bin.dvc`` names?
"""

import hashlib
import re
import shutil
import sys

import pytest
from sandbox import InProcess, Sandbox, environment, start

V1, V2, V3 = (bytes([n]) * 3000 for n in (1, 2, 3))


def _weights(box, data, message=""):
    (box.root / "m.bin").unlink(missing_ok=True)
    box.write("m.bin", data)
    box.mv("add", "m", "m.bin", "--plain")
    if message:
        box.commit(message)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """``base`` has V1; ``theirs`` V2 and other code; ``main`` V1 and, again, other code; ``aside`` a file more."""
    tmp = tmp_path_factory.mktemp("half")
    box = start(tmp / "repo", environment(tmp / "home"))
    box.write("code", "1\n")
    _weights(box, V1, "base")
    box.git("branch", "base")
    box.git("switch", "-qc", "theirs")
    box.write("code", "2\n")
    _weights(box, V2, "theirs")
    box.git("switch", "-qc", "aside", "base")
    box.write("aside", "x\n")
    box.commit("aside")
    box.git("switch", "-q", "main")
    box.write("code", "3\n")
    box.commit("mine")
    return tmp


@pytest.fixture
def box(template, tmp_path):
    shutil.copytree(template, tmp_path, symlinks=True, dirs_exist_ok=True)
    found = InProcess(tmp_path / "repo", environment(tmp_path / "home"))
    found.git("status")
    return found


def _lies(box):
    """The weights, the hash that the pointer names, and what Git sees beside the commit."""
    named = re.search(r"md5: (\S+)", (box.root / "m.bin.dvc").read_text())[1]
    return (box.root / "m.bin").read_bytes(), named, box.git("status", "--porcelain", "--untracked-files=no")


def _whole(data, state=""):
    """The weights are these, the pointer says so, and Git sees no more than was left."""
    return data, hashlib.md5(data).hexdigest(), state


UNCOMMITTED = " M m.bin.dvc\n M models/m/files.jsonl"


class TestMerges:
    @pytest.mark.parametrize("end", [["commit", "-qm", "merged"], ["merge", "--continue"]], ids=" ".join)
    def test_with_a_conflict_elsewhere(self, box, end):
        box.git("merge", "theirs", status=1)
        box.write("code", "4\n")
        box.git("add", "code")
        box.git(*end, GIT_EDITOR="true")
        assert len(box.git("rev-parse", "HEAD^@").split()) == 2
        assert _lies(box) == _whole(V2)

    def test_where_git_keeps_no_reflog(self, box):
        box.git("config", "core.logAllRefUpdates", "false")
        shutil.rmtree(box.root / ".git/logs")
        self.test_with_a_conflict_elsewhere(box, ["commit", "-qm", "merged"])

    def test_aborted(self, box):
        box.git("merge", "theirs", status=1)
        box.git("merge", "--abort")
        assert _lies(box) == _whole(V1)

    def test_squashed(self, box):
        box.git("switch", "-q", "aside")
        box.git("merge", "-q", "--squash", "theirs")
        assert _lies(box) == _whole(V2, "M  code\nM  m.bin.dvc\nM  models/m/files.jsonl")

    def test_pointers_that_are_not_committed_say_what_lies_here(self, box):
        """Between the conflict and its commit other weights were added: the merge's are committed, and not here."""
        box.git("merge", "theirs", status=1)
        _weights(box, V3)
        box.write("code", "4\n")
        box.git("add", "code")
        box.git("commit", "-qm", "merged")
        assert _lies(box) == _whole(V3, UNCOMMITTED)


class TestPicks:
    def test_picked_and_reverted(self, box):
        box.git("switch", "-q", "aside")
        box.git("cherry-pick", "theirs")
        assert _lies(box) == _whole(V2)
        box.git("revert", "--no-edit", "HEAD")
        assert _lies(box) == _whole(V1)

    def test_with_conflicts(self, box):
        for command, end, data in (
            (["cherry-pick", "theirs"], "4\n", V2),
            (["revert", "--no-edit", "HEAD~1"], "6\n", V1),
        ):
            box.git(*command, status=1)
            box.write("code", end)
            box.git("add", "code")
            box.git(command[0], "--continue", GIT_EDITOR="true")
            assert _lies(box) == _whole(data)
            box.write("code", "5\n")
            box.commit("code")


class TestRebases:
    @pytest.mark.parametrize("backend", ["--merge", "--apply"])
    def test_aborted(self, box, backend):
        box.git("rebase", backend, "theirs", status=1)
        box.git("rebase", "--abort")
        assert box.git("symbolic-ref", "HEAD") == "refs/heads/main"
        assert _lies(box) == _whole(V1)

    def test_aborted_in_a_linked_working_tree(self, box, tmp_path):
        box.git("worktree", "add", "-q", "-b", "linked", str(tmp_path / "linked"), "main")
        linked = Sandbox(tmp_path / "linked", box.env)
        assert _lies(linked) == _whole(V1)
        linked.git("rebase", "theirs", status=1)
        linked.git("rebase", "--abort")
        assert _lies(linked) == _whole(V1)
        assert _lies(box) == _whole(V1)

    def test_aborted_in_a_folder_of_the_working_tree(self, box):
        box.write("folder/x", "x\n")
        box.git("-C", "folder", "rebase", "theirs", status=1)
        box.git("-C", "folder", "rebase", "--abort")
        assert _lies(box) == _whole(V1)

    def test_what_nobody_else_has_stays_where_it_is(self, box):
        """Weights that were changed in place while the rebase stood still are in no cache."""
        box.git("rebase", "theirs", status=1)
        (box.root / "m.bin").unlink()
        box.write("m.bin", b"mine alone")
        done = box.run("git", "rebase", "--abort")
        assert "changed by you, so left alone: m.bin" in done.err
        assert (box.root / "m.bin").read_bytes() == b"mine alone"

    def test_continued_and_skipped(self, box):
        box.git("rebase", "theirs", status=1)
        box.write("code", "4\n")
        box.git("add", "code")
        box.git("rebase", "--continue", GIT_EDITOR="true")
        assert _lies(box) == _whole(V2)
        box.git("reset", "-q", "--hard", "ORIG_HEAD")
        box.mv("restore")
        box.git("rebase", "theirs", status=1)
        box.git("rebase", "--skip")
        assert box.git("rev-parse", "HEAD") == box.git("rev-parse", "theirs")
        assert _lies(box) == _whole(V2)


class TestAutostash:
    @pytest.mark.parametrize("command", ["rebase", "rebase --apply", "merge -q"])
    def test_weights_that_were_added_and_not_committed(self, box, command):
        _weights(box, V3)
        box.git(*command.split(), "--autostash", "aside")
        assert _lies(box) == _whole(V3, UNCOMMITTED)

    def test_pull(self, box, tmp_path):
        hub = box.clone(tmp_path / "hub", "--bare").root
        box.git("remote", "add", "origin", str(hub))
        box.git("fetch", "-q")
        box.git("branch", "-q", "-u", "origin/aside")
        _weights(box, V3)
        box.git("pull", "-q", "--rebase", "--autostash")
        assert _lies(box) == _whole(V3, UNCOMMITTED)

    def test_on_top_of_commits_that_changed_the_weights_too(self, box):
        _weights(box, V2, "mine: V2")
        _weights(box, V3)
        box.git("rebase", "--autostash", "aside")
        assert _lies(box) == _whole(V3, UNCOMMITTED)

    def test_aborted(self, box):
        _weights(box, V3)
        box.git("rebase", "--autostash", "theirs", status=1)
        box.git("rebase", "--abort")
        assert _lies(box) == _whole(V3, UNCOMMITTED)


def test_plain_commits_and_a_rebase_of_code_start_no_python(box, tmp_path):
    """Where modelver's interpreter is started, it says so: the hooks' own is replaced by a script."""
    note, script = tmp_path / "started", tmp_path / "interpreter"
    script.write_text(f'#!/bin/sh\necho "$@" >> {note}\n')
    script.chmod(0o755)
    for hook in (box.root / ".git/hooks").glob("post-*"):
        text = hook.read_text()
        hook.write_text(text.replace(sys.executable, str(script)))
    box.write("code", "7\n")
    box.commit("plain")
    _weights(box, V3, "weights")
    box.git("commit", "-q", "--amend", "-m", "amended")
    box.write("code", "8\n")
    box.git("stash", "-q")
    box.git("stash", "pop", "-q")
    box.git("reset", "-q", "--hard")
    assert not note.exists()
    box.git("switch", "-qc", "code", "base")
    for number in range(3):
        box.write(f"file{number}", "x\n")
        box.commit(f"file {number}")
    note.unlink()  # the switch had weights to restore
    box.git("rebase", "-q", "aside")
    assert [line.split()[3] for line in note.read_text().splitlines()] == ["post-rewrite"]
