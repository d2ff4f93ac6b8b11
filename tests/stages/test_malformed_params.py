"""Settings of a model that are wrong in every way, through the stages: the field is named, nothing is left behind."""

import random
import shutil
from pathlib import Path

import joblib
import numpy as np
import pytest
import yaml
from hostile import run_all
from sandbox import Sandbox, environment, start
from sklearn.linear_model import LinearRegression

from modelver.core.model_settings import parse_settings
from modelver.errors import InvalidInput

HUGE = 10**390
"""A whole number that no float holds, and that the YAML reader lets through."""

STAGES = ("export", "optimize", "validate")
READ_BY = {
    "framework": ("export",),
    "targets": ("optimize", "validate"),
    "validate": ("optimize", "validate"),
    "optimize": ("optimize",),
    "calibration": ("optimize",),
}
"""The stages that read a field, where not all of `STAGES` do."""

WRONG: dict[str, list[object]] = {
    "source": [3, [], {}, "", "/etc/passwd", "../x", "a\0b", "a/" * 5000, "a" * 5000],
    "framework": [3, [], "", "nobody", "../x", "os.system"],
    "data": [3, [], {}, "", "/etc/passwd", "../x", "a\0b", "a" * 5000],
    "target": [3, [], {}, ""],
    "task": ["magic", 3, [], {}],
    "gates": [
        3, "x", [1], {"rmse": 3}, {"rmse": {"min": "a"}}, {"rmse": {"mni": 1}}, {"rmse": {"min": HUGE}},
        {"rmse": {"min": float("nan")}}, {"rmse": {"max": float("inf")}}, {3: {"min": 1}},
        {"rmse": {"max_drop": -HUGE}},
    ],
    "parity": [3, [], "x", {"rtol": -1}, {"rtol": "x"}, {"rtol": HUGE}, {"atol": float("nan")}, {"x": 1}],
    "export": [
        3, [], {"opset": HUGE}, {"opset": "17"}, {"rows": HUGE}, {"rows": 0}, {"ir_version": -1}, {"unknown": 1},
        {"inputs": [{"name": "x", "shape": [HUGE]}]}, {"inputs": [{"name": "x"}]}, {"labels": [[]]}, {"outputs": [3]},
    ],
    "targets": [3, "x", [3], ["../x"], {"a": 1}, [None]],
    "validate": [
        3, [], {"slices": 3}, {"slices": {"a": "__import__('os').system('touch pwned')"}}, {"slices": {"a": HUGE}},
        {"metrics": {"a": "os:system('touch pwned')"}}, {"edges": {"nan": "maybe"}}, {"canary": "yes"}, {"unknown": 1},
        {"latency": {"rounds": HUGE}}, {"latency": {"max_ratio": {"p95": -1}}},
        {"latency": {"max_ratio": {"p95": HUGE}}},
    ],
    "optimize": [
        3, [], {"a": 3}, {"../a": {"method": "graph"}}, {"a": {"method": "magic"}}, {"a": {"method": []}},
        {"a": {"method": "prune", "sparsity": HUGE, "max_drop": {"agreement": 1}}},
        {"a": {"method": "prune", "max_drop": {"agreement": HUGE}}},
        {"a": {"method": "static-int8", "rows": HUGE, "max_drop": {"agreement": 1}}},
    ],
    "calibration": [3, [], "../x", "/etc/passwd"],
    "gate": [{"rmse": {"max": 1}}],
    "optimise": [{}],
}  # fmt: skip

DOCUMENTS = {
    "alias bomb": b"a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    + b"".join(b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 30)),
    "a settings bomb": b"modelver:\n  models:\n    m: &m\n      source: x\n      export: {a: *m}\n",
    "duplicate keys": b"modelver:\n  models:\n    m: {source: a, source: b}\n",
    "python object": b"modelver: !!python/object/apply:os.system [touch pwned]\n",
    "deep": b"modelver: " + b"[" * 100_000,
    "models are a list": b"modelver: {models: [m]}\n",
    "a model is a text": b"modelver: {models: {m: text}}\n",
    "a number without end": b"modelver: {models: {m: {source: " + b"9" * 100_000 + b"}}}\n",
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """A pipeline model that was exported; copied for each test."""
    tmp = tmp_path_factory.mktemp("params")
    box = start(tmp / "repo", environment(tmp / "home"))
    X = np.arange(40, dtype=np.float64).reshape(20, 2)
    joblib.dump(LinearRegression().fit(X, X.sum(1)), box.root / "m.joblib")
    np.savez(box.root / "data.npz", X=X, y=X.sum(1))
    box.mv("add", "m", "m.joblib", "--data", "data.npz")
    box.mv("stage", "export", "m")
    box.commit("add m")
    return box


@pytest.fixture
def repo(exported: Sandbox, tmp_path: Path) -> Sandbox:
    shutil.copytree(exported.root, tmp_path / "repo", symlinks=True)
    box = Sandbox(tmp_path / "repo", exported.env)
    box.git("status")  # refreshes the index: the copied files have other inodes
    return box


def jobs_for(box: Sandbox, documents: dict[str, tuple[bytes, tuple[str, ...]]]) -> list[dict]:
    """Each document as params.yaml, and the stages that are run on it."""
    place = box.root.parent / "documents"
    place.mkdir()
    jobs = []
    for number, (what, (data, stages)) in enumerate(documents.items()):
        (place / str(number)).write_bytes(data)
        put = [[str(place / str(number)), "params.yaml"]]
        jobs += [{"name": f"{what}: {stage}", "command": ["stage", stage, "m"], "put": put} for stage in stages]
    return jobs


ALL = [(field, value) for field, values in WRONG.items() for value in values]
SAMPLE = sorted(random.Random(3).sample(range(len(ALL)), 25))


def test_a_sample_of_wrong_values(repo: Sandbox):
    refused(repo, [ALL[number] for number in SAMPLE])
    assert not (repo.root / "pwned").exists()


@pytest.mark.slow
def test_the_other_wrong_values_of_every_field(repo: Sandbox):
    refused(repo, [wrong for number, wrong in enumerate(ALL) if number not in SAMPLE])
    assert not (repo.root / "pwned").exists()


def refused(repo: Sandbox, wrong: list[tuple[str, object]]) -> None:
    """Every stage that reads the field names it, and leaves everything as it was."""
    good = yaml.safe_load((repo.root / "params.yaml").read_text())
    documents, fields = {}, {}
    for number, (field, value) in enumerate(wrong):
        entry = {**good["modelver"]["models"]["m"], field: value}
        text = yaml.safe_dump({"modelver": {"models": {"m": entry}}}, sort_keys=False)
        what = f"{number} {field} = {str(value)[:60]!a}"
        documents[what] = (text.encode(), READ_BY.get(field, STAGES))
        fields[what] = field
    for name, said in run_all(repo, jobs_for(repo, documents)).items():
        what = name.rpartition(": ")[0]
        assert said.status == 2, f"{name}: {said}"
        assert fields[what] in said.text, f"{name}: {said}"
        assert "modelver.models.m" in said.text or fields[what] == "framework", f"{name}: {said}"
        assert said.changed == (), f"{name}: {said}"


def test_documents_that_are_no_settings(repo: Sandbox):
    documents = {what: (data, STAGES) for what, data in DOCUMENTS.items()}
    for name, said in run_all(repo, jobs_for(repo, documents)).items():
        assert said.status == 2, f"{name}: {said}"
        assert "params.yaml" in said.text, f"{name}: {said}"
        assert said.changed == (), f"{name}: {said}"
    assert not (repo.root / "pwned").exists()


@pytest.mark.parametrize(
    ("wrong", "near"), [("gate", "gates"), ("optimise", "optimize"), ("target_column", "target"), ("task_", "task")]
)
def test_a_key_that_is_nearly_right_is_named_with_the_right_one(wrong, near):
    with pytest.raises(InvalidInput, match=rf"modelver\.models\.m\.'{wrong}'") as caught:
        parse_settings("m", {wrong: {}})
    assert near in caught.value.hint
