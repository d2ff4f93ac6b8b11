"""The lineage of a version names the source that its weights were made from, and no other."""

import sys

from sandbox import Sandbox
from test_rollback import FIT


def test_a_lock_file_that_was_forced_to_name_another_source(empty_repo: Sandbox):
    """`dvc commit --force` takes what a stage's inputs have become for what it ran on."""
    box = empty_repo
    box.write("fit.py", FIT)
    box.run(sys.executable, "fit.py", "0.1")
    box.mv("add", "iris", "iris.joblib", "--data", "data/test.npz")
    box.dvc("repro", "-q")
    box.commit("one")
    lock = box.root / "dvc.lock"
    honest = lock.read_text()
    box.run(sys.executable, "fit.py", "0.2")
    box.dvc("add", "-q", "iris.joblib")
    for stage in ("export", "validate", "optimize", "assess"):
        box.dvc("commit", "-q", "--force", f"{stage}@iris")
    assert lock.read_text() != honest
    box.commit("forced")
    refused = box.refused("tag", "iris")
    assert "they were made from another one (models/iris/source.json)" in refused.err
    (status,) = box.mv("status", "--format", "json").json()
    assert "made from another one" in str(status["obstacles"])
    box.dvc("repro", "-q", "--force", "export@iris")
    box.dvc("repro", "-q")
    box.commit("made of it")
    box.mv("tag", "iris")
