"""`modelver tag --push` that ended, or was cut off, between the tag and the push: the same command once more."""

import os
import shutil
from pathlib import Path

import pytest
from published import FolderStorage, Hub, needed, with_folder, with_hub
from sandbox import InProcess, Sandbox, environment


@pytest.fixture
def box(model_template: Path, tmp_path: Path) -> Sandbox:
    """The model ``m``, committed and not tagged, with a Git remote and a DVC remote, both empty."""
    shutil.copytree(model_template, tmp_path / "repo", symlinks=True)
    box = InProcess(tmp_path / "repo", environment(tmp_path / "home"))
    box.git("status")
    with_hub(box)
    with_folder(box)
    return box


@pytest.fixture
def hub(box: Sandbox) -> Hub:
    return Hub(box.root.parent / "hub.git", box)


@pytest.fixture
def storage(box: Sandbox) -> FolderStorage:
    return FolderStorage(box.root.parent / "storage")


def cut_off(box: Sandbox, storage: FolderStorage, *command: str) -> None:
    """Run a command whose push fails, as the DVC remote is not there for the moment."""
    aside = storage.root.with_name("aside")
    if storage.root.exists():
        storage.root.rename(aside)
    storage.root.write_text("a file where the folder should be")
    assert "is made here and not pushed" in box.mv(*command, status=3).err
    storage.root.unlink()
    if aside.exists():
        aside.rename(storage.root)


def test_the_rerun_publishes_what_was_made_and_nothing_else(box, hub, storage):
    cut_off(box, storage, "tag", "m", "--push")
    commit, made = box.git("rev-parse", "HEAD"), box.git("rev-parse", "m@v1.0.0")
    done = box.mv("tag", "m", "--push")
    assert done.out.startswith("m@v1.0.0 (")
    assert "note: m@v1.0.0 was made by a run that was cut off, and this one ends it\n" in done.err
    assert box.tags() == hub.tags() == ["m@v1.0.0"]
    assert hub.refs() == {"refs/heads/main": commit, "refs/tags/m@v1.0.0": made}
    assert box.git("rev-parse", "HEAD") == commit
    assert storage.objects() == needed(box, "v1.0.0")


def test_what_was_made_before_is_published_though_nothing_remembers_it(box, hub, storage):
    cut_off(box, storage, "tag", "m", "--push")
    shutil.rmtree(box.root / ".git/modelver")
    done = box.mv("tag", "m", "--push")
    assert "m@v1.0.0 is HEAD's version already, and origin does not have it yet\n" in done.err
    assert box.tags() == hub.tags() == ["m@v1.0.0"]


def test_the_answer_is_that_of_the_first_run(box, hub, storage):
    """A script that reads it does not care which of the two runs it hears."""
    box.mv("tag", "m", "--push")
    box.change("m", 2)
    box.commit("2")
    planned = box.mv("tag", "m", "--dry-run", "--format", "json").json()
    cut_off(box, storage, "tag", "m", "--push")
    rerun = box.mv("tag", "m", "--push", "--format", "json").json()
    same = ("model", "version", "tag", "previous", "bump")
    assert {key: rerun[key] for key in same} == {key: planned[key] for key in same}
    assert (rerun["commit"], rerun["committed"]) == (box.git("rev-parse", "HEAD"), False)
    assert rerun["push"]["tags"] == ["m@v1.0.1"]


def test_a_dry_run_says_what_the_rerun_would_do(box, hub, storage):
    cut_off(box, storage, "tag", "m", "--push")
    before = box.fingerprint()
    done = box.mv("tag", "m", "--push", "--dry-run")
    assert "m@v1.0.0" in done.out
    assert "push its weights, read them back" in done.out
    assert (box.fingerprint(), hub.refs(), storage.objects()) == (before, {}, {})


def test_without_push_the_hint_publishes_it(box, hub, storage):
    cut_off(box, storage, "tag", "m", "--push")
    refused = box.refused("tag", "m")
    assert "the weights of m have not changed since v1.0.0, which is not published yet" in refused.err
    box.mend(refused)
    assert hub.tags() == ["m@v1.0.0"]
    assert "origin: has m@v1.0.0 already" in box.mv("tag", "m", "--push").out, "the first such command has not ended"
    refused = box.refused("tag", "m", "--push")
    assert "have not changed since v1.0.0\n" in refused.err
    assert box.hint(refused) == "modelver tag m --force-new"


def test_another_version_of_the_same_weights_is_made_where_it_is_asked_for(box, hub, storage):
    cut_off(box, storage, "tag", "m", "--push")
    box.mv("tag", "m", "--force-new", "--push")
    assert hub.tags() == ["m@v1.0.1"]
    box.mv("push")
    assert hub.tags() == ["m@v1.0.0", "m@v1.0.1"]


def test_what_has_changed_since_is_another_version(box, hub, storage):
    cut_off(box, storage, "tag", "m", "--push")
    box.change("m", 2)
    box.commit("2")
    box.mv("tag", "m", "--push")
    assert hub.tags() == ["m@v1.0.1"]


def test_a_name_that_somebody_else_took_meanwhile_is_given_back(box, hub, storage, tmp_path):
    cut_off(box, storage, "tag", "m", "--push")
    other = box.clone(tmp_path / "other")
    other.git("tag", "-f", "-a", "-m", "theirs", "m@v1.0.0", "HEAD")
    other.git("push", "-q", "--no-verify", str(hub.path), "m@v1.0.0")
    refused = box.mv("tag", "m", "--push", status=2)
    assert "m@v1.0.0 exists on origin already" in refused.err or "somebody else has published m@v1.0.0" in refused.err
    assert hub.refs() == {"refs/tags/m@v1.0.0": other.git("rev-parse", "m@v1.0.0")}
    assert box.tags() == []


def test_recorded_versions_go_out_together_though_some_were_tagged_before(box, hub, storage):
    box.add_model("n", 7)
    for name in ("m", "n"):
        box.mv("record", name)
    box.commit("records")
    box.mv("tag", "--recorded", "m")
    assert box.tags() == ["m@v1.0.0"], "as if killed between the two"
    done = box.mv("tag", "--recorded", "--push")
    assert done.out == "m@v1.0.0\nn@v1.0.0\n"
    assert hub.tags() == ["m@v1.0.0", "n@v1.0.0"]
    assert box.mv("tag", "--recorded", "--push").out == ""


def test_the_options_of_push_that_its_errors_name_are_there(box, hub, storage, tmp_path):
    box.mv("tag", "m", "--push", "--dvc-remote", "nowhere", status=2)
    box.git("tag", "-d", "m@v1.0.0")
    box.dvc("remote", "add", "--local", "other", str(tmp_path / "other"))
    box.mv("tag", "m", "--push", "--dvc-remote", "other", "--jobs", "1", "--force-new")
    assert FolderStorage(tmp_path / "other").objects() == needed(box, "v1.0.0")
    assert storage.objects() == {}


def test_plain_http_goes_through_to_the_push(box, hub):
    """There is no such host; without the option the refusal comes before anybody is asked."""
    box.dvc("remote", "add", "--local", "plain", "s3://bucket/dvc")
    box.dvc("remote", "modify", "--local", "plain", "endpointurl", "http://modelver.invalid:9")
    refused = box.mv("tag", "m", "--push", "--dvc-remote", "plain", status=2)
    assert "--plain-http" in refused.err
    assert "is not encrypted" not in box.mv("tag", "m", "--push", "--dvc-remote", "plain", "--plain-http", status=3).err
    assert "go with --push" in box.refused("tag", "m", "--plain-http").err
    assert hub.refs() == {}


KILLED_AFTER_THE_REFS = """\
#!/bin/sh
real=$(PATH="$REAL_PATH" command -v git)
case " $* " in *" update-ref "*) "$real" "$@"; kill -9 $PPID; exit 0 ;; esac
exec "$real" "$@"
"""


@pytest.mark.parametrize("push", [(), ("--push",)], ids=["here", "pushed"])
def test_the_rerun_of_a_forced_version_that_was_cut_off_makes_no_other(box, hub, storage, push):
    box.mv("tag", "m", "--push")
    shim = box.root.parent / "shim"
    shim.mkdir()
    (shim / "git").write_text(KILLED_AFTER_THE_REFS)
    (shim / "git").chmod(0o755)
    command = ("tag", "m", "--force-new", *push)
    path = f"{shim}{os.pathsep}{box.env['PATH']}"
    killed = Sandbox(box.root, box.env).mv(*command, status=None, PATH=path, REAL_PATH=box.env["PATH"])
    assert killed.status == -9
    assert box.tags() == ["m@v1.0.0", "m@v1.0.1"]
    assert "has made m@v1.0.1" in box.mv(*command, "--dry-run").out
    rerun = box.mv(*command)
    assert rerun.out.startswith("m@v1.0.1 (")
    assert "m@v1.0.1 was made by a run that was cut off" in rerun.err
    assert box.tags() == ["m@v1.0.0", "m@v1.0.1"]
    assert hub.tags() == (box.tags() if push else ["m@v1.0.0"])
    box.mv(*command)
    assert box.tags() == ["m@v1.0.0", "m@v1.0.1", "m@v1.0.2"], "the second command is a second version"
