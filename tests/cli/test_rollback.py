"""`modelver rollback`: an environment or a branch goes back, and nothing else changes."""

import os
import re
import sys

import pytest
from sandbox import InProcess, Sandbox
from test_promote import gto, policy, runs, trailer

GATED = "modelver: {environments: {staging: {}, prod: {requires: staging, gates: {accuracy: {min: 0.92}}}}}\n"


def test_back_to_what_ran_before(released):
    for version in ("v1.0.0", "v1.0.1", "v1.0.2"):
        released.mv("promote", version, "prod")
    done = released.mv("rollback", "m", "--to-previous", "--reason", "alarms")
    assert "m#prod#4: rollback m v1.0.1 in prod (before: v1.0.2)" in done.out
    assert trailer(released, "m#prod#4", "Modelver-Action") == "rollback"
    assert trailer(released, "m#prod#4", "Modelver-From") == "v1.0.2"
    assert trailer(released, "m#prod#4", "Modelver-Emergency") == ""
    assert gto(released, "show")["m"]["stage"] == {"prod": "v1.0.1"}
    released.mv("rollback", "m", "--to-previous")  # further back, and not to what was just left
    assert runs(released, "--env", "prod") == {"prod": "v1.0.0"}
    refused = released.refused("rollback", "m", "--to-previous")
    assert "ran in prod before v1.0.0" in refused.err
    assert released.mend(refused).out.count("rollback") == 2


def test_back_to_a_version_by_name(released):
    released.mv("promote", "v1.0.1", "prod")
    before = released.fingerprint()
    assert "would make m#prod#2" in released.mv("rollback", "m", "v1.0.0", "--dry-run").out
    assert released.fingerprint() == before
    released.mv("rollback", "m", "m@v1.0.0")
    assert gto(released, "show")["m"]["stage"] == {"prod": "v1.0.0"}
    released.mv("rollback", "m", "v1.0.1")  # newer, but it ran there
    refused = released.refused("rollback", "m", "v1.0.2")
    assert "never ran in prod" in refused.err
    released.mend(refused)
    assert runs(released, "--env", "prod") == {"prod": "v1.0.2"}


def test_the_environment_must_be_clear(released):
    assert "runs nowhere" in released.refused("rollback", "m", "v1.0.0").err
    released.mv("promote", "v1.0.1", "prod")
    released.mv("promote", "v1.0.1", "qa")
    assert "prod, qa" in released.refused("rollback", "m", "v1.0.0").err
    released.mv("rollback", "m", "v1.0.0", "--env", "qa")
    assert runs(released, "--on", "2199-01-01") == {"prod": "v1.0.1", "qa": "v1.0.0"}
    assert "say what to go back to" in released.refused("rollback", "m").err
    assert "say what to go back to" in released.refused("rollback", "m", "v1", "--to-previous").err
    assert "no model" in released.refused("rollback", "n", "v1").err


def test_a_rollback_goes_through_the_same_gates_and_an_emergency_says_what_it_went_over(released):
    released.mv("promote", "v1.0.0", "prod")
    released.mv("promote", "v1.0.1", "prod")
    policy(released, GATED)
    assert "has not run in staging" in released.refused("rollback", "m", "--to-previous").err
    released.mv("promote", "v1.0.0", "staging")
    refused = released.refused("rollback", "m", "--to-previous", "--env", "prod", status=1)
    assert "accuracy 0.9 is below 0.92" in refused.err
    assert "needs a reason" in released.refused("rollback", "m", "v1.0.0", "--env", "prod", "--emergency").err
    done = released.mv("rollback", "m", "v1.0.0", "--env", "prod", "--emergency", "--reason", "fire")
    assert "overridden: accuracy 0.9 is below 0.92" in done.err
    assert trailer(released, "m#prod#4", "Modelver-Emergency") == "accuracy 0.9 is below 0.92"
    assert gto(released, "show")["m"]["stage"]["prod"] == "v1.0.0"
    event = released.mv("log", "m", "--format", "json").json()[0]
    assert (event["emergency"], event["reason"]) == ("accuracy 0.9 is below 0.92", "fire")


def test_an_emergency_goes_over_the_order_and_over_nothing_else(released):
    released.mv("promote", "v1.0.0", "prod")
    released.mv("promote", "v1.0.1", "prod")
    policy(released, "modelver: {environments: {staging: {}, prod: {requires: staging, protected: true}}}\n")
    released.mv("yank", "v1.0.0")
    emergency = ("--env", "prod", "--emergency", "--reason", "fire")
    assert "is yanked" in released.refused("rollback", "m", "v1.0.0", *emergency).err
    released.mv("promote", "v1.0.2", "staging")
    released.mv("promote", "v1.0.2", "prod", "--reason", "go")
    released.mv("rollback", "m", "--to-previous", *emergency)
    assert trailer(released, "m#prod#5", "Modelver-Emergency") == "m@v1.0.1 has not run in staging"
    assert runs(released, "--env", "prod") == {"prod": "v1.0.1"}


def test_to_nothing_takes_the_model_out_for_gto_as_well(released):
    for version in ("v1.0.0", "v1.0.1", "v1.0.0"):
        released.mv("promote", version, "prod")
    done = released.mv("rollback", "m", "--to-nothing", "--reason", "the end", "--format", "json").json()
    # GTO falls back on what was put there and never taken out; so both are taken out, what runs last.
    assert [(one["tag"], one["version"]) for one in done] == [("m#prod!#4", "v1.0.1"), ("m#prod!#5", "v1.0.0")]
    assert gto(released, "show")["m"]["stage"] == {}
    assert runs(released, "--env", "prod") == {}
    assert released.mv("list", "--format", "json").json()[0]["environments"] == []
    assert "does not run in prod" in released.refused("rollback", "m", "--to-nothing", "--env", "prod").err
    released.mv("rollback", "m", "--to-previous", "--env", "prod")
    assert gto(released, "show")["m"]["stage"] == {"prod": "v1.0.0"}


def weights(box: Sandbox) -> dict[str, bytes]:
    return {k: v for k, v in box.files().items() if k.startswith("models/m/weights/") and isinstance(v, bytes)}


def test_a_commit_brings_back_the_files_of_one_model_and_nothing_else(released):
    released.git("checkout", "-q", "m@v1.0.0")
    old = weights(released)
    released.git("checkout", "-q", "main")
    released.add_model("other", 7)
    released.write("code.py", "staged\n")
    released.git("add", "code.py")
    released.write("notes.txt", "dirty\n")
    released.write("new.txt", "untracked\n")
    head, tags, others = (
        released.git("rev-parse", "HEAD"),
        released.tags(),
        released.git("ls-tree", "-r", "HEAD", "other"),
    )
    done = released.mv("rollback", "m", "v1.0.0", "--commit", "--reason", "alarms")
    assert "m@v1.0.0 is back" in done.out
    assert released.git("rev-parse", "HEAD^") == head
    assert released.git("symbolic-ref", "HEAD") == "refs/heads/main"
    assert released.git("diff", "--stat", "m@v1.0.0", "HEAD", "--", "models/m") == ""
    changed = released.git("diff", "--name-only", head, "HEAD").splitlines()
    assert changed
    assert all(path.startswith("models/m/") for path in changed)
    assert released.git("ls-tree", "-r", "HEAD", "other") == others
    assert weights(released) == old
    assert released.git("status", "--porcelain").splitlines() == ["M  code.py", " M notes.txt", "?? new.txt"]
    assert released.tags() == tags
    message = released.git("log", "-1", "--format=%B")
    assert message.startswith("Bring back m v1.0.0\n\nalarms\n")
    assert "Modelver-Version: v1.0.0" in message
    assert not (released.root / ".git/modelver/journal.json").exists()
    before = released.fingerprint()
    again = released.mv("rollback", "m", "v1.0.0", "--commit")
    assert again.out == "HEAD has the files of m@v1.0.0 already; its weights are those of that version\n"
    assert released.fingerprint() == before


def test_a_commit_goes_to_the_version_before_the_recorded_one(released):
    released.mv("rollback", "m", "--to-previous", "--commit")
    assert "version: v1.0.1" in (released.root / "models/m/metadata.yaml").read_text()
    released.mv("yank", "v1.0.0")
    assert "no version before v1.0.1" in released.refused("rollback", "m", "--to-previous", "--commit").err
    assert "is yanked" in released.refused("rollback", "m", "v1.0.0", "--commit").err


@pytest.mark.parametrize("how", ["edited", "staged", "removed", "weights", "in the way", "ignored"])
def test_uncommitted_work_is_never_overwritten(released, how):
    sidecar = "models/m/metadata.yaml"
    if how in ("edited", "staged"):
        released.write(sidecar, "mine\n")
    if how == "staged":
        released.git("add", sidecar)
    if how == "removed":
        released.git("rm", "-q", sidecar)
    if how == "weights":
        path = next(p for p in (released.root / "models/m/weights").iterdir() if p.suffix == ".safetensors")
        path.write_bytes(b"mine")
        done = released.mv("rollback", "m", "v1.0.0", "--commit", status=1)
        assert "changed by you" in done.err
        assert path.read_bytes() == b"mine"
        return
    if how in ("in the way", "ignored"):
        released.git("rm", "-q", "models/m/validation.json")
        released.git("commit", "-qm", "no validation")
        released.write("models/m/validation.json", "mine\n")
        if how == "ignored":
            released.write(".git/info/exclude", "validation.json\n")
    released.write("notes.txt", "dirty\n")
    refused = released.refused("rollback", "m", "v1.0.0", "--commit")
    assert "uncommitted changes would be overwritten" in refused.err
    if how in ("edited", "staged"):
        released.mend(refused)
        released.mv("rollback", "m", "v1.0.0", "--commit")
        assert "dirty" in (released.root / "notes.txt").read_text()
        assert "mine" in released.git("show", "stash@{0}:models/m/metadata.yaml")


def test_a_dry_run_of_a_commit_names_the_files(released):
    before = released.fingerprint()
    done = released.mv("rollback", "m", "v1.0.0", "--commit", "--dry-run", "--format", "json").json()
    assert released.fingerprint() == before
    released.mv("rollback", "m", "v1.0.0", "--commit")
    assert done["files"] == released.git("diff", "--name-only", "HEAD^").splitlines()


def test_a_commit_in_a_clone_without_the_old_weights_says_how_to_get_them(released):
    cache = released.root / ".dvc/cache"
    old = released.git("show", "m@v1.0.0:models/m/weights.dvc").split("md5: ")[1].split()[0]
    (cache / "files/md5" / old[:2] / old[2:]).unlink()
    done = released.mv("rollback", "m", "v1.0.0", "--commit", status=1)
    assert "not in DVC's cache" in done.err
    assert "dvc pull models/m/weights" in done.err


def test_options_that_mean_nothing_together_are_refused(released):
    for option in ("--emergency", "--sign", "--env=prod"):
        done = released.refused("rollback", "m", "v1.0.0", "--commit", option)
        assert option.partition("=")[0] in done.err
    assert "--to-nothing" in released.refused("rollback", "m", "--to-nothing", "--commit").err


STAGE = """\
stages:
  shared:
    cmd: cp seed.txt build.txt
    deps: [seed.txt]
    outs: [build.txt]
  make:
    foreach: [a, b]
    do:
      cmd: cat build.txt seed-${item}.txt > ${item}.bin
      deps: [build.txt, "seed-${item}.txt"]
      outs: ["${item}.bin"]
artifacts:
  a: {path: a.bin, desc: first}
  b: {path: b.bin}
"""


def test_only_the_models_own_stages_of_the_lock_come_back(empty_repo):
    """Two plain models, each made by a stage of its own from what a third stage makes for both."""
    box = empty_repo
    box.write("dvc.yaml", STAGE)
    for name in ("seed", "seed-a", "seed-b"):
        box.write(f"{name}.txt", "1\n")
    box.dvc("repro", "-q")
    box.commit("one")
    box.mv("tag", "a")
    for name in ("seed", "seed-a", "seed-b"):
        box.write(f"{name}.txt", "2\n")
    box.write("dvc.yaml", "# a comment\n" + STAGE.replace("first", "second"))
    box.dvc("repro", "-q")
    box.commit("two")
    box.write("seed-b.txt", "3\n")  # somebody's work on the other model
    done = box.mv("rollback", "a", "v1.0.0", "--commit")
    assert "stage shared is left as it is: other models depend on it too" in done.err
    assert box.git("diff", "--name-only", "HEAD^", "HEAD").splitlines() == ["dvc.lock", "dvc.yaml"]
    assert (box.root / "a.bin").read_text() == "1\n1\n"
    assert (box.root / "b.bin").read_text() == "2\n2\n"
    assert (box.root / "dvc.yaml").read_text() == "# a comment\n" + STAGE
    new, before, old = (stages(box, revision) for revision in ("HEAD", "HEAD^", "a@v1.0.0"))
    assert new["make@a"] == old["make@a"] != before["make@a"]
    assert {name: new[name] for name in ("shared", "make@b")} == {name: before[name] for name in ("shared", "make@b")}
    assert box.git("status", "--porcelain").split() == ["M", "seed-b.txt"]
    box.dvc("status")  # reads the lock file


def stages(box: Sandbox, revision: str) -> dict[str, str]:
    """The text of each stage's entry in ``dvc.lock``."""
    lock = box.git("show", f"{revision}:dvc.lock")
    return dict(re.findall(r"^  (\S+):\n((?:    .*\n?)*)", lock + "\n", re.MULTILINE))


def test_a_model_below_another_models_folder_stays_as_it_is(released):
    released.add_model("m/n", 5)
    released.mv("tag", "m/n")
    released.mv("rollback", "m", "v1.0.0", "--commit")
    assert (released.root / "models/m/n/metadata.yaml").exists()
    assert released.git("diff", "--stat", "m/n@v1.0.0", "HEAD", "--", "models/m/n") == ""


@pytest.fixture
def pipeline(empty_repo) -> Sandbox:
    """A pipeline model in two versions of source and data, both of which DVC tracks; the first one had another C."""
    box = empty_repo
    box.write("fit.py", FIT)
    for c in (0.1, 10.0):
        box.run(sys.executable, "fit.py", str(c))
        box.dvc("add", "-q", "iris.joblib", "data")
        if c == 0.1:
            box.mv("add", "iris", "iris.joblib", "--data", "data/test.npz")
        box.dvc("repro", "-q")
        box.commit(f"C = {c}")
        box.mv("tag", "iris")
    return box


FIT = """\
import pathlib, sys
import joblib, numpy, sklearn.datasets, sklearn.linear_model
rows, target = sklearn.datasets.load_iris(return_X_y=True)
pathlib.Path("data").mkdir(exist_ok=True)
some = slice(int(float(sys.argv[1])), None, 2)
numpy.savez("data/test.npz", X=rows[some].astype("f4"), y=target[some])
joblib.dump(sklearn.linear_model.LogisticRegression(C=float(sys.argv[1])).fit(rows, target), "iris.joblib")
"""


def test_what_dvc_tracks_of_a_pipelines_inputs_comes_back_too(pipeline):
    """Else the pipeline would be stale, and `dvc repro` make the weights again that were just taken back."""
    newer = (pipeline.root / "iris.joblib").read_bytes()
    done = pipeline.mv("rollback", "iris", "v1.0.0", "--commit")
    assert {"iris.joblib.dvc", "data.dvc", "dvc.lock"} <= {line.strip() for line in done.out.splitlines()}
    assert "note:" not in done.err
    assert (pipeline.root / "iris.joblib").read_bytes() != newer
    assert pipeline.git("diff", "--name-only", "iris@v1.0.0", "HEAD") == ""
    assert pipeline.dvc("status", "--json").json() == {}
    weights_before = pipeline.files()
    pipeline.dvc("repro", "-q")
    assert pipeline.files() == weights_before
    pipeline.mv("check", "HEAD^")


def test_an_input_of_several_models_stays_and_is_named(pipeline):
    pipeline.write("other.joblib", (pipeline.root / "iris.joblib").read_bytes())
    pipeline.dvc("add", "-q", "other.joblib")
    pipeline.mv("add", "other", "other.joblib", "--data", "data/test.npz")
    pipeline.dvc("repro", "-q")
    pipeline.commit("another model of the same data")
    done = pipeline.mv("rollback", "iris", "v1.0.0", "--commit")
    assert "data.dvc is left as it is: other models depend on it too" in done.err
    assert "data.dvc" not in pipeline.git("diff", "--name-only", "HEAD^", "HEAD").splitlines()
    assert "iris.joblib.dvc" in pipeline.git("diff", "--name-only", "HEAD^", "HEAD").splitlines()


def test_code_and_params_that_differ_are_named(empty_repo):
    box = empty_repo
    box.write(
        "dvc.yaml",
        "stages:\n  make:\n    cmd: sh make.sh\n    deps: [make.sh]\n    params: [size]\n"
        "    outs: [a.bin]\nartifacts:\n  a: {path: a.bin}\n",
    )
    for size in (1, 2):
        box.write("params.yaml", f"size: {size}\n")
        box.write("make.sh", f"echo {size} > a.bin\n")
        box.dvc("repro", "-q")
        box.commit(str(size))
        box.mv("tag", "a")
    done = box.mv("rollback", "a", "v1.0.0", "--commit", "--format", "json")
    assert done.json()["changed"] == ["make.sh", "params.yaml: size"]
    assert "dvc repro would make other weights: make.sh, params.yaml: size" in done.err
    assert (box.root / "make.sh").read_text() == "echo 2 > a.bin\n"
    box.mend(done)
    assert (box.root / "make.sh").read_text() == "echo 1 > a.bin\n"


KILLED_AFTER_THE_REFS = """\
#!/bin/sh
real=$(PATH="$REAL_PATH" command -v git)
case " $* " in *" update-ref "*) "$real" "$@"; kill -9 $PPID; exit 0 ;; esac
exec "$real" "$@"
"""


@pytest.fixture
def killed(released: Sandbox) -> Sandbox:
    """The same repository; what is not killed runs in this very process."""
    return InProcess(released.root, released.env)


def cut_off(box: Sandbox, *command: str) -> None:
    """Run a command up to where its refs have moved."""
    shim = box.root.parent / "shim"
    shim.mkdir(exist_ok=True)
    (shim / "git").write_text(KILLED_AFTER_THE_REFS)
    (shim / "git").chmod(0o755)
    done = Sandbox(box.root, box.env).mv(
        *command, status=None, PATH=f"{shim}{os.pathsep}{box.env['PATH']}", REAL_PATH=box.env["PATH"]
    )
    assert done.status == -9


def weights_at(box: Sandbox, version: str) -> dict[str, bytes]:
    """What a checkout by Git and DVC alone gives."""
    box.git("worktree", "add", "-q", "--detach", str(box.root.parent / version), f"m@{version}")
    other = Sandbox(box.root.parent / version, box.env)
    other.dvc("cache", "dir", "--local", str(box.root / ".dvc/cache"))
    other.dvc("checkout", "models/m/weights.dvc")
    found = weights(other)
    box.git("worktree", "remove", "--force", str(other.root))
    assert found
    return found


def test_the_rerun_of_a_rollback_that_was_cut_off_goes_back_once(killed):
    for version in ("v1.0.0", "v1.0.1", "v1.0.2"):
        killed.mv("promote", version, "prod")
    command = ("rollback", "m", "--to-previous", "--env", "prod", "--reason", "alarms")
    cut_off(killed, *command)
    assert runs(killed, "--env", "prod") == {"prod": "v1.0.1"}
    before = killed.fingerprint()
    killed.mv(*command, "--dry-run")
    rerun = killed.mv(*command, "--format", "json")
    assert "m#prod#4 was made by a run that was cut off" in rerun.err
    answer = rerun.json()
    assert (answer["tag"], answer["version"], answer["before"]) == ("m#prod#4", "v1.0.1", "v1.0.2")
    assert (answer["action"], answer["reason"], answer["dry_run"]) == ("rollback", "alarms", False)
    assert killed.fingerprint() == before
    killed.mv(*command)
    assert runs(killed, "--env", "prod") == {"prod": "v1.0.0"}, "the second command is a second step"


def test_a_rollback_that_was_cut_off_is_not_waited_for_once_others_have_decided(killed):
    for version in ("v1.0.0", "v1.0.1", "v1.0.2"):
        killed.mv("promote", version, "prod")
    cut_off(killed, "rollback", "m", "--to-previous")
    killed.mv("promote", "v1.0.2", "prod")
    done = killed.mv("rollback", "m", "--to-previous")
    assert "m#prod#6: rollback m v1.0.1 in prod (before: v1.0.2)" in done.out
    assert "cut off" not in done.err


def test_the_rerun_of_a_commit_that_was_cut_off_brings_the_weights_back(killed):
    wanted = weights_at(killed, "v1.0.0")
    late = weights(killed)
    head = killed.git("rev-parse", "HEAD")
    cut_off(killed, "rollback", "m", "v1.0.0", "--commit")
    killed.mv("list")
    assert weights(killed) == late != wanted
    would = killed.mv("rollback", "m", "v1.0.0", "--commit", "--dry-run")
    assert would.out == "HEAD has the files of m@v1.0.0 already; would bring its weights back\n"
    assert weights(killed) == late
    done = killed.mv("rollback", "m", "v1.0.0", "--commit", "--format", "json").json()
    assert (done["files"], done["weights"]) == ([], {"complete": True})
    assert done["commit"] == killed.git("rev-parse", "HEAD")
    assert killed.git("rev-parse", "HEAD^") == head
    assert weights(killed) == wanted


def test_the_rerun_of_a_commit_to_the_previous_version_goes_back_once(killed):
    wanted = {version: weights_at(killed, version) for version in ("v1.0.0", "v1.0.1")}
    head = killed.git("rev-parse", "HEAD")
    command = ("rollback", "m", "--to-previous", "--commit")
    cut_off(killed, *command)
    rerun = killed.mv(*command)
    assert "went back to m@v1.0.1, and this one ends it" in rerun.err
    assert killed.git("rev-parse", "HEAD^") == head
    assert weights(killed) == wanted["v1.0.1"]
    assert killed.git("status", "--porcelain") == ""
    killed.mv(*command)
    assert weights(killed) == wanted["v1.0.0"], "the second command is a second step"


def test_what_the_user_changed_since_stays_and_is_said(killed):
    cut_off(killed, "rollback", "m", "v1.0.0", "--commit")
    killed.add_model("other", 7)
    mine = killed.write("models/m/weights/mine.bin", b"mine")
    others = {k: v for k, v in killed.files().items() if k.startswith("models/other/")}
    path = next(path for path in weights(killed) if path.endswith(".safetensors"))
    killed.write(path, b"edited")
    killed.write(next(path for path in others if path.endswith(".safetensors")), b"edited too")
    others = {k: v for k, v in killed.files().items() if k.startswith("models/other/")}
    done = killed.mv("rollback", "m", "v1.0.0", "--commit", status=1)
    (said,) = (line for line in done.err.splitlines() if "changed by you, so left alone: " in line)
    assert {path, "models/m/weights/mine.bin"} == set(said.partition("alone: ")[2].split(", "))
    assert mine.read_bytes() == b"mine"
    assert {k: v for k, v in killed.files().items() if k.startswith("models/other/")} == others


def test_a_pointer_that_is_being_changed_is_no_place_to_go_back_to(killed):
    killed.mv("rollback", "m", "v1.0.0", "--commit")
    killed.change("m", 9)
    refused = killed.refused("rollback", "m", "v1.0.0", "--commit")
    assert "models/m/weights.dvc" in refused.err


def test_a_note_that_makes_no_sense_stops_nobody(killed):
    command = ("rollback", "m", "--to-previous", "--commit", "--dry-run")
    cut_off(killed, *command[:-1])
    assert "HEAD has the files of m@v1.0.1 already" in killed.mv(*command).out
    (path,) = (killed.root / ".git/modelver").glob("unfinished-*.json")
    for note in (b"", b"[]", b"{}", b'{"command": 1, "target": 2, "ref": 3, "object_id": 4}'):
        path.write_bytes(note)
        assert "would bring back m@v1.0.0" in killed.mv(*command).out
