"""`add` shows the old state or the new one, and leaves nothing where Git would see it."""

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

from sandbox import Sandbox

import models

SLOW_SPLIT = """
import os, signal, sys
from modelver.operations import ingest
real = getattr(ingest, sys.argv[1])
def dying(*args, **more):
    result = real(*args, **more)
    os.kill(os.getpid(), signal.SIGKILL)
    return result
setattr(ingest, sys.argv[1], dying)
from modelver.cli.main import run
sys.exit(run(["add", "m", sys.argv[2]]))
"""


def test_killed_between_its_steps_add_leaves_nothing_for_git_add(tagged_repo: Sandbox) -> None:
    source = models.safetensors(tagged_repo.root.parent / "incoming" / "m.safetensors", 2)
    for step in ("split", "store", "swap"):
        done = subprocess.run(
            [sys.executable, "-P", "-c", SLOW_SPLIT, step, str(source)], cwd=tagged_repo.root, env=tagged_repo.env
        )
        assert done.returncode == -signal.SIGKILL
        assert "??" not in tagged_repo.git("status", "--porcelain"), step
        if step != "swap":
            assert tagged_repo.git("status", "--porcelain") == "", step
    tagged_repo.mv("add", "m", str(source))
    tagged_repo.mv("tag", "m")
    assert tagged_repo.tags() == ["m@v1.0.0", "m@v1.0.1"]
    assert not (tagged_repo.root / ".dvc/tmp/modelver-add").exists()


def test_interrupted_add_says_so_and_leaves_the_old_state(tagged_repo: Sandbox) -> None:
    script = SLOW_SPLIT.replace("signal.SIGKILL", "signal.SIGINT")
    source = models.safetensors(tagged_repo.root.parent / "incoming" / "m.safetensors", 2)
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, "split", str(source)],
        cwd=tagged_repo.root, env=tagged_repo.env, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 130
    assert "interrupted" in done.stderr
    assert "Traceback" not in done.stderr
    assert tagged_repo.git("status", "--porcelain") == ""
    assert not (tagged_repo.root / ".dvc/tmp/modelver-add").exists()


def test_an_upstream_stages_param_must_be_committed(tagged_repo: Sandbox) -> None:
    """Two stages with params of one file: the first one's were once not looked at."""
    from modelver.core.pointers import LockedStage
    from modelver.operations.committed import inputs_changed
    from modelver.operations.facts import collect
    from modelver.operations.project import Project
    from modelver.operations.snapshot import OverlaySnapshot

    project = Project.open(tagged_repo.root)
    facts = collect(project.worktree, "m")
    stages = [
        LockedStage("train", "", "python train.py", (), (), {"params.yaml": {"train.C": 0.1}}),
        LockedStage(
            "export@m", "", "modelver stage export m", (), (), {"params.yaml": {"modelver.models.m.export": {}}}
        ),
    ]
    facts = type(facts)(**{**vars(facts), "stages": stages})
    old = OverlaySnapshot(project.worktree, {"params.yaml": b"train: {C: 0.1}\n"})
    new = OverlaySnapshot(project.worktree, {"params.yaml": b"train: {C: 10.0}\n"})
    assert inputs_changed(facts, ["params.yaml"], old, new) == ["params.yaml"]
    assert inputs_changed(facts, ["params.yaml"], old, old) == []


def test_weights_replaced_in_place_are_said_to_be_so(empty_repo: Sandbox) -> None:
    models.gguf(empty_repo.root / "llm/model.gguf", 1)
    empty_repo.mv("add", "llm", "llm")
    empty_repo.commit("add llm")
    empty_repo.mv("tag", "llm")
    models.gguf(empty_repo.root / "llm/model.gguf", 2)
    done = empty_repo.refused("tag", "llm")
    assert "llm is not what llm.dvc says" in done.err
    empty_repo.mend(done)
    empty_repo.mv("tag", "llm")
    assert empty_repo.tags() == ["llm@v1.0.0", "llm@v1.0.1"]


def test_what_record_says_to_commit_is_all_that_check_wants(empty_repo: Sandbox) -> None:
    """`git add models/NAME` left out dvc.lock and params.yaml, and check said no to what was committed so."""
    models.gguf(empty_repo.root / "llm/model.gguf", 1)
    empty_repo.mv("add", "llm", "llm")
    done = empty_repo.mv("record", "llm")
    command = next(line for line in done.err.splitlines() if line.startswith("next: ")).removeprefix("next: ")
    empty_repo.git("branch", "base")
    empty_repo.run("sh", "-c", command + " -qm 'add llm'")
    assert "llm" in empty_repo.mv("check", "base").out


def test_every_tagged_version_can_be_pulled_in_a_clone_after_a_push_of_all_tags(
    model_repo: Sandbox, tmp_path: Path
) -> None:
    """With a relative remote DVC put the tagged versions' weights elsewhere; `init --remote` makes it absolute."""
    model_repo.mv("init", "--remote", "../storage")
    model_repo.commit("a remote")
    model_repo.mv("tag", "m")
    model_repo.change("m", 2)
    model_repo.mv("tag", "m")
    model_repo.dvc("push", "-q", "--all-tags")
    clone = model_repo.clone(tmp_path / "clone")
    for tag in ("m@v1.0.0", "m@v1.0.1"):
        clone.git("checkout", "-q", tag)
        clone.dvc("pull", "-q")
        for line in (clone.root / "models/m/files.jsonl").read_text().splitlines():
            entry = json.loads(line)
            data = (clone.root / "models/m/weights" / entry["path"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == entry["sha256"]
