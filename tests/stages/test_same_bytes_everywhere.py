"""`dvc repro` here and `modelver stage export` there, under another locale, time zone, home and hash seed."""

import hashlib
import json
import shutil
from pathlib import Path

import combined
import pytest
import trained
from combined import PIPELINES
from sandbox import Sandbox, environment, start

from modelver.core.manifest import dvc_dir_hash, load_files

pytestmark = pytest.mark.xdist_group("four-frameworks")

HERE = {"PYTHONHASHSEED": "1"}
ELSEWHERE = {
    "LANG": "C",
    "LC_ALL": "POSIX",
    "PYTHONUTF8": "0",  # with the next one, Python takes the locale at its word: files open as ASCII
    "PYTHONCOERCECLOCALE": "0",
    "TZ": "Asia/Kathmandu",
    "PYTHONHASHSEED": "3",  # of 1 and 3, unlike 1 and 2, the set in which skl2onnx keeps domains has two orders
    "OMP_NUM_THREADS": "2",
}

MODELS: dict[str, dict] = {
    "table": {"source": "sklearn.joblib", "data": "table.csv", "target": "sorte"},
    "keras": {"source": "keras.keras"},
    "catboost": {"source": "catboost.cbm"},
    "lightgbm": {
        "source": "lightgbm.txt", "framework": "lightgbm", "export": {"labels": ["rouge", "rosé", "blanc"]}
    },
    "onnx-as-it-is": {"source": "onnx.onnx", "framework": "onnx"},
    "onnx-converted": {"source": "onnx.onnx", "framework": "onnx", "export": {"opset": 19}},
}  # fmt: skip
"""Entries of params.yaml, by the model's name."""


def exported(box: Sandbox, model: str) -> dict[str, str]:
    """SHA-256 of all that an export or an ingest writes, by path."""
    folder = box.root / "models" / model
    records = [folder / name for name in ("tensors.jsonl", "files.jsonl", "source.json")]
    weights = [path for path in sorted((folder / "weights").rglob("*")) if path.is_file()]
    assert weights
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (*records, *weights)
    }


def framework(model: str) -> str:
    return MODELS[model]["source"].partition(".")[0]


@pytest.fixture(scope="module")
def reproduced(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """A repository whose exports `dvc repro` ran."""
    tmp = tmp_path_factory.mktemp("here")
    box = start(tmp / "repo", {**environment(tmp / "home"), **HERE})
    found = {name: entry for name, entry in MODELS.items() if not trained.missing(framework(name))}
    trained.declare(box, found)
    for name in {"rows.npz", *(entry[key] for entry in found.values() for key in ("source", "data") if key in entry)}:
        shutil.copyfile(sources / name, box.root / name)
    box.dvc("repro", *(f"export@{name}" for name in found))
    return box


@pytest.fixture
def elsewhere(reproduced: Sandbox, tmp_path: Path) -> Sandbox:
    """The repository as it was before, in a deeper folder of another name."""
    place = tmp_path / "a much longer folder's name" / "below" / "it"
    shutil.copytree(reproduced.root, place, ignore=shutil.ignore_patterns("models", "dvc.lock", "tmp", "cache"))
    return Sandbox(place, {**environment(tmp_path / "home"), **ELSEWHERE})


@pytest.mark.parametrize("model", MODELS)
def test_from_another_folder_with_c(reproduced: Sandbox, elsewhere: Sandbox, tmp_path, model):
    package = trained.missing(framework(model))
    if package:
        pytest.skip(f"{package} is not installed: pip install 'modelver[{framework(model)}]'")
    Sandbox(tmp_path, elsewhere.env).mv("-C", str(elsewhere.root), "stage", "export", model)
    there = exported(elsewhere, model)
    assert there == exported(reproduced, model)
    listed = load_files((elsewhere.root / f"models/{model}/files.jsonl").read_bytes(), "files.jsonl")
    assert {f"weights/{file.path}": file.sha256 for file in listed}.items() <= there.items()
    assert dvc_dir_hash(listed) in (reproduced.root / "dvc.lock").read_text()
    assert str(tmp_path) not in (elsewhere.root / f"models/{model}/source.json").read_text("utf-8")


@pytest.mark.parametrize("name", ["onnx.onnx", "safetensors.safetensors"])
def test_what_add_takes_in_is_the_same_from_everywhere(reproduced: Sandbox, elsewhere: Sandbox, sources, name):
    for box, place in ((reproduced, sources), (elsewhere, elsewhere.root.parent / "incoming")):
        place.mkdir(exist_ok=True)
        if place != sources:
            shutil.copyfile(sources / name, place / name)
        box.mv("add", "taken/" + name.partition(".")[0], str(place / name))
    model = "taken/" + name.partition(".")[0]
    assert exported(elsewhere, model) == exported(reproduced, model)
    assert json.loads((reproduced.root / f"models/{model}/source.json").read_text("utf-8"))["kind"] == "ingested"


@pytest.mark.parametrize("model", PIPELINES)
def test_the_bytes_are_those_of_the_other_folder(ran, declared: Sandbox, tmp_path, model):
    there, _ = ran
    assert there.env["PYTHONHASHSEED"] != ELSEWHERE["PYTHONHASHSEED"]
    place = tmp_path / "a much longer folder's name" / "below"
    place.mkdir(parents=True)
    declared.run("cp", "-r", str(declared.root), str(place / "repo"))
    here = Sandbox(place / "repo", {**declared.env, **ELSEWHERE, "HOME": str(tmp_path)})
    source = combined.SOURCES[model]
    if not (there.root / source).exists():
        source = "trees.txt"
    for name in (source, "test.npz"):
        (here.root / name).write_bytes((there.root / name).read_bytes())
    here.mv("stage", "export", model)
    assert exported(here, model) == exported(there, model)
    md5 = dvc_dir_hash(load_files((here.root / f"models/{model}/files.jsonl").read_bytes(), "files.jsonl"))
    assert md5 in (there.root / "dvc.lock").read_text()
