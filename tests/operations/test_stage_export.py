"""What an export leaves behind: whole after a run, unchanged after a failure, unmistakably unfinished after a kill."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from sklearn import datasets
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelver.core.manifest import load_files, load_tensors
from modelver.errors import InvalidInput, NotFound
from modelver.operations import stage_export, stage_validate

SETTINGS = {"source": "build/m.joblib", "framework": "sklearn", "data": "build/data.npz"}


def train(root: Path, penalty: float = 1.0) -> None:
    X, y = datasets.load_wine(return_X_y=True)
    (root / "build").mkdir(parents=True, exist_ok=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=penalty)).fit(X, y)
    joblib.dump(model, root / "build/m.joblib")
    np.savez(root / "build/data.npz", X=X, y=y)


@pytest.fixture(scope="module")
def before(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("repo")
    train(root)
    stage_export.run(root, "m", SETTINGS)
    return root


@pytest.fixture
def root(before, tmp_path) -> Path:
    return Path(shutil.copytree(before, tmp_path / "repo"))


def state(root: Path) -> dict[str, bytes]:
    home = root / "models/m"
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_the_folder_is_an_onnx_backend_test_with_the_sources_own_answers(root):
    weights = root / "models/m/weights"
    case = weights / "test_data_set_0"
    model = joblib.load(root / "build/m.joblib")
    X, _ = datasets.load_wine(return_X_y=True)
    proto = onnx.load(weights / "model.onnx")
    rows = numpy_helper.to_array(onnx.load_tensor(case / "input_0.pb"))
    wanted = X[[number * len(X) // 32 for number in range(32)]]
    assert rows.tolist() == wanted.astype(np.float32).tolist()
    by_name = {}
    for number, value in enumerate(proto.graph.output):
        tensor = onnx.load_tensor(case / f"output_{number}.pb")
        assert tensor.name == value.name
        by_name[value.name] = numpy_helper.to_array(tensor)
    assert by_name["label"].tolist() == model.predict(wanted).tolist()
    assert by_name["probabilities"].tolist() == model.predict_proba(wanted).astype(np.float32).tolist()


def test_the_manifests_are_of_what_lies_there(root):
    files = load_files((root / "models/m/files.jsonl").read_bytes())
    weights = root / "models/m/weights"
    assert {file.path for file in files} == {
        path.relative_to(weights).as_posix() for path in weights.rglob("*") if path.is_file()
    }
    for file in files:
        data = (weights / file.path).read_bytes()
        assert (file.bytes, file.md5) == (len(data), hashlib.md5(data).hexdigest())
        assert file.sha256 == hashlib.sha256(data).hexdigest()
    tensors = {tensor.name for tensor in load_tensors((root / "models/m/tensors.jsonl").read_bytes())}
    assert {"coef", "intercept"} <= tensors  # not hidden in attributes of a LinearClassifier


def test_source_json_says_where_it_came_from(root):
    source = json.loads((root / "models/m/source.json").read_bytes())
    data = (root / "build/m.joblib").read_bytes()
    assert source["source"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert source["source"]["path"] == "build/m.joblib"
    assert list(source) == ["schema", "kind", "source", "format", "signature", "graph", "environment"]
    assert source["signature"]["labels"] == [0, 1, 2]
    assert set(source["environment"]) == {"python", "platform", "packages"}


def test_a_new_export_replaces_the_old_one_wholly(root):
    old = state(root)
    (root / "models/m/weights/stale.bin").write_bytes(b"x")
    (root / "models/m/README.md").write_text("card")
    train(root, penalty=0.01)
    stage_export.run(root, "m", SETTINGS)
    new = state(root)
    assert new["weights/model.onnx"] != old["weights/model.onnx"]
    assert set(new) == set(old) | {"README.md"}
    assert stage_validate.run(root, "m", SETTINGS).ok


def test_weights_that_are_a_link_are_replaced_and_not_followed(root, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (root / "models/m/weights").rename(elsewhere)
    (root / "models/m/weights").symlink_to(elsewhere)
    kept = sorted(path.name for path in elsewhere.iterdir())
    stage_export.run(root, "m", SETTINGS)
    assert not (root / "models/m/weights").is_symlink()
    assert sorted(path.name for path in elsewhere.iterdir()) == kept


def test_dvc_may_have_removed_or_protected_what_was_there(root):
    old = state(root)
    shutil.rmtree(root / "models/m/weights")
    (root / "models/m/tensors.jsonl").unlink()
    (root / "models/m/files.jsonl").chmod(0o444)
    stage_export.run(root, "m", SETTINGS)
    assert state(root) == old


def test_a_failure_changes_nothing(root):
    old = state(root)
    (root / "build/m.joblib").write_bytes(b"garbage")
    with pytest.raises(InvalidInput):
        stage_export.run(root, "m", SETTINGS)
    assert state(root) == old
    train(root)
    np.savez(root / "build/data.npz", X=np.zeros((3, 2)))
    with pytest.raises(InvalidInput):
        stage_export.run(root, "m", SETTINGS)
    assert state(root) == old


KILLED = """
import os, signal, sys
from pathlib import Path
from modelver.operations import stage_export
left = int(sys.argv[2])
def count(event, args):
    global left
    if event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree") and "models" in str(args[0]):
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
sys.addaudithook(count)
"""
BUILD = KILLED + f"stage_export.run(Path(sys.argv[1]), 'm', {SETTINGS!r})"
PUBLISH = KILLED + "home = Path(sys.argv[1], 'models/m'); stage_export._publish(home / '.export', home)"


def killed(code: str, root: Path, boundary: int) -> bool:
    done = subprocess.run([sys.executable, "-c", code, str(root), str(boundary)], check=False)
    assert done.returncode in (0, -signal.SIGKILL)
    return done.returncode != 0


def visible(root: Path) -> dict[str, bytes]:
    return {name: data for name, data in state(root).items() if not name.startswith(".export/")}


def test_killed_while_it_builds_the_old_state_stands_and_the_next_run_cleans_up(root):
    old = state(root)
    train(root, penalty=0.01)
    assert killed(BUILD, root, 4)
    assert visible(root) == old
    assert state(root) != old
    stage_export.run(root, "m", SETTINGS)
    assert visible(root) == state(root) != old


def test_killed_at_any_change_of_the_disk_no_half_state_looks_whole(root, tmp_path):
    old = state(root)
    other = Path(shutil.copytree(root, tmp_path / "other"))
    train(other, penalty=0.01)
    stage_export.run(other, "m", SETTINGS)
    new = state(other)
    shutil.copytree(other / "models/m", root / "models/m/.export")
    unfinished = 0
    for boundary in range(100):
        again = Path(shutil.copytree(root, tmp_path / f"killed{boundary}"))
        if not killed(PUBLISH, again, boundary):
            assert visible(again) == new
            break
        if "source.json" in visible(again):
            assert visible(again) in (old, new)
        else:
            unfinished += 1
            with pytest.raises(NotFound):
                stage_validate.run(again, "m", SETTINGS)
            stage_export.run(again, "m", SETTINGS)
            assert state(again) == old  # from the repository's own, older source
    assert 3 <= unfinished <= boundary
