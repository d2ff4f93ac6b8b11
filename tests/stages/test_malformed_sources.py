"""Framework files that are broken or mean harm, through `stage export`: a clear error, and all stays as it was."""

import random
import shutil
from pathlib import Path

import broken_sources
import pytest
import trained
from hostile import run_all
from sandbox import Sandbox, environment, start

pytestmark = pytest.mark.xdist_group("four-frameworks")

KINDS: dict[str, dict] = {
    "sklearn.joblib": {"data": "table.csv", "target": "sorte"},
    "sklearn.pkl": {"data": "table.csv", "target": "sorte"},
    "torch.pt": {"framework": "torch", "export": {"builder": "net:build"}},
    "torch.pt2": {},
    "xgboost.json": {"framework": "xgboost"},
    "xgboost.ubj": {},
    "lightgbm.txt": {"framework": "lightgbm"},
    "catboost.cbm": {},
    "keras.keras": {},
    "onnx.onnx": {"framework": "onnx"},
}
"""Entries of params.yaml, by the source's name."""

NET = """\
from torch import nn


def build():
    return nn.Sequential(nn.BatchNorm1d(13), nn.Linear(13, 8), nn.Tanh(), nn.Linear(8, 3))
"""

PRELOAD = {
    "sklearn": ("joblib", "skl2onnx", "sklearn.pipeline", "sklearn.linear_model"),
    "torch": ("torch", "onnxscript"),
    "keras": ("torch", "onnxscript"),
    "onnx": ("onnx", "onnxruntime"),
}
"""What a process imports once before it forks for each file; the others' libraries have threads from the start."""

SOUND = {
    "lightgbm.txt": {"all but the last 16 bytes"},  # the list of parameters ends there, the trees are whole
    "onnx.onnx": {"a hole of zeros"},  # the hole is in the weights
}
"""Files that only look broken."""

MAY_BE_SOUND = "wrong bytes"

SAMPLE = {"sklearn.joblib": 8, "torch.pt": 4, "torch.pt2": 1, "xgboost.json": 5, "lightgbm.txt": 4, "catboost.cbm": 3,
          "keras.keras": 1, "onnx.onnx": 3}  # fmt: skip

ALWAYS = {
    "sklearn.joblib": ["raises a class of its own", "ends with status 0", "three GiB, compressed", "a folder"],
    "torch.pt": ["runs a command", "a storage of 3 GiB"],
    "xgboost.json": ["a circle", "a link to nothing"],  # the one ends XGBoost's process by a signal
    "lightgbm.txt": ["half", "no objective"],  # as these do LightGBM's
    "keras.keras": ["a member outside", "a Lambda layer"],
}
"""In each sample."""


@pytest.fixture(scope="module")
def exported(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """A repository with a model of each kind, which tests share: none of them changes it."""
    tmp = tmp_path_factory.mktemp("malformed")
    box = start(tmp / "repo", environment(tmp / "home"))
    found = [kind for kind in KINDS if (sources / kind).is_file()]
    for name in ("rows.npz", "table.csv", *found):
        shutil.copyfile(sources / name, box.root / name)
    box.write("net.py", NET)
    trained.declare(box, {model(kind): {"source": kind, **KINDS[kind]} for kind in found})
    box.commit("declare")
    return box


def model(kind: str) -> str:
    return kind.replace(".", "-")


def refused(box: Sandbox, sources: Path, kind: str, chosen: dict[str, broken_sources.Made]) -> None:
    """A good export, and behind it every broken one, which must leave the good one's files."""
    if not (sources / kind).is_file():
        package = trained.missing(kind.partition(".")[0])
        pytest.skip(f"{package} is not installed: pip install 'modelver[{kind.partition('.')[0]}]'")
    files = box.root.parent / "files" / model(kind)
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir(parents=True)
    command = ["stage", "export", model(kind)]
    target = str(box.root / kind)
    good = [str(sources / kind), target]
    jobs = [{"name": "good", "command": command, "put": [good]}]
    for number, (what, made) in enumerate(chosen.items()):
        place = files / str(number)
        place.write_bytes(made) if isinstance(made, bytes) else made(place)
        jobs.append({"name": what, "command": command, "put": [[str(place), target]]})
    jobs.append({"name": "good again", "command": command, "put": [good]})
    found = run_all(box, jobs, "above-first", PRELOAD.get(kind.partition(".")[0], ()))
    assert found["good"].status == found["good again"].status == 0
    for what in chosen:
        said = found[what]
        if said.status == 0 and (what.startswith(MAY_BE_SOUND) or what in SOUND.get(kind, ())):
            continue
        assert said.status == 2, f"{what}: {said}"
        lines = said.text.splitlines()
        assert len(lines) == 2, f"{what}: {said}"
        assert lines[0].startswith("error: "), f"{what}: {said}"
        assert lines[1].startswith("hint: "), f"{what}: {said}"
        assert f"model {model(kind)}" in lines[0], f"{what}: {said}"
        assert kind in lines[0], f"{what}: {said}"
        assert said.changed == (), f"{what}: {said}"
    assert not list(box.root.rglob("pwned"))
    assert not list(box.root.parent.rglob("outside"))
    assert not (box.root / "models" / model(kind) / ".export").exists()


@pytest.mark.parametrize("kind", SAMPLE)
def test_a_sample(exported: Sandbox, sources: Path, kind):
    if not (sources / kind).is_file():
        pytest.skip(f"{kind.partition('.')[0]} is not installed")
    corpus = broken_sources.corpus(kind, sources)
    names = {*ALWAYS.get(kind, ()), *random.Random(7).sample(sorted(corpus), SAMPLE[kind])}
    refused(exported, sources, kind, {what: made for what, made in corpus.items() if what in names})


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_all_of_them(exported: Sandbox, sources: Path, kind):
    if not (sources / kind).is_file():
        pytest.skip(f"{kind.partition('.')[0]} is not installed")
    corpus = broken_sources.corpus(kind, sources)
    flipped = broken_sources.flips((sources / kind).read_bytes(), 5, 8)
    refused(exported, sources, kind, {**corpus, **flipped})


def test_a_model_that_was_never_exported_has_nothing_afterwards(exported: Sandbox, sources: Path, tmp_path):
    if not (sources / "sklearn.joblib").is_file():
        pytest.skip("scikit-learn is not installed: pip install 'modelver[sklearn]'")
    shutil.copytree(exported.root, tmp_path / "repo", ignore=shutil.ignore_patterns("models"))
    box = Sandbox(tmp_path / "repo", exported.env)
    box.write("sklearn.joblib", broken_sources.runs("raise ValueError('of its own')"))
    before = box.files()
    said = box.mv("stage", "export", "sklearn-joblib", status=2).err.splitlines()
    assert said[0].startswith("error: model sklearn-joblib: sklearn.joblib cannot be opened with joblib: ValueError")
    assert said[1].startswith("hint: ")
    assert box.files() == before


def test_dvc_removes_the_old_weights_and_its_cache_has_them(exported: Sandbox, sources: Path, tmp_path):
    """`dvc repro` clears a stage's outs before it runs it; dvc.lock still names them, and a checkout brings them."""
    if not (sources / "sklearn.joblib").is_file():
        pytest.skip("scikit-learn is not installed: pip install 'modelver[sklearn]'")
    shutil.copytree(exported.root, tmp_path / "repo", ignore=shutil.ignore_patterns("models"))
    box = Sandbox(tmp_path / "repo", exported.env)
    shutil.copyfile(sources / "sklearn.joblib", box.root / "sklearn.joblib")
    box.dvc("repro", "export@sklearn-joblib")
    box.commit("exported")
    good = {path: data for path, data in box.files().items() if path.startswith("models/")}
    assert len(good) > 4
    box.write("sklearn.joblib", b"")
    done = box.dvc("repro", "export@sklearn-joblib", status=None)
    assert done.status != 0
    assert "error: model sklearn-joblib: sklearn.joblib cannot be opened" in done.out + done.err
    assert not [path for path in box.files() if path.startswith("models/") and path not in good]
    box.git("checkout", "--", "models", "dvc.lock")
    box.dvc("checkout", "models/sklearn-joblib/weights")
    assert {path: data for path, data in box.files().items() if path.startswith("models/")} == good
