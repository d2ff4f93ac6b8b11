"""Weights that somebody else committed and pushed, broken or hostile, met by the stages."""

import hashlib
import json

import numpy as np
import pytest
import yaml
from hostile import run_all
from malformed import BOMBS, ONNX, good, links
from sandbox import Sandbox

from modelver.core.manifest import FileEntry, dump_files

RECORDS = {f"models/m/{name}" for name in ("validation.json", "scores.json", "assessment.json")}
"""What the stages write where they come to a verdict."""


@pytest.fixture
def repo(empty_repo: Sandbox) -> Sandbox:
    """An ingested model with data and a variant that is asked for; beside its file all that a model might name."""
    source = empty_repo.root.parent / "incoming" / "good.onnx"
    source.parent.mkdir()
    source.write_bytes(good())
    empty_repo.mv("add", "m", str(source))
    np.savez(empty_repo.root / "rows.npz", x=np.ones((5, 4), np.float32))
    path = empty_repo.root / "params.yaml"
    params = yaml.safe_load(path.read_text())
    variants = {"half": {"method": "float16", "max_drop": {"agreement": 1}}, "plain": {"method": "graph"}}
    params["modelver"]["models"] = {"m": {"data": "rows.npz", "optimize": variants, "validate": {"canary": False}}}
    path.write_text(yaml.safe_dump(params))
    links(empty_repo.root / "models/m/weights")
    (empty_repo.root / "models/m/weights/fifo").unlink()
    empty_repo.commit("add m")
    return empty_repo


def manifest(box: Sandbox, data: bytes) -> bytes:
    """A manifest that tells the truth, so that nobody stops at the digests."""
    weights = box.root / "models/m/weights"
    contents = {name: (weights / name).read_bytes() for name in ("data.bin", "hard.bin", "link.bin")}
    return dump_files(
        [
            FileEntry(name, len(content), hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest())
            for name, content in sorted({**contents, "model.onnx": data}.items())
        ]
    )


def test_stages_say_no_and_leave_nothing(repo: Sandbox, tmp_path):
    corpus = {what: data for what, (data, _) in ONNX.items()} | BOMBS
    jobs = []
    for number, (what, data) in enumerate(corpus.items()):
        place = tmp_path / "files" / str(number)
        place.mkdir(parents=True)
        (place / "model.onnx").write_bytes(data)
        (place / "files.jsonl").write_bytes(manifest(repo, data))
        put = [[str(place / "model.onnx"), "models/m/weights/model.onnx"],
               [str(place / "files.jsonl"), "models/m/files.jsonl"]]  # fmt: skip
        jobs += [
            {"name": f"{what}: {stage}", "command": ["stage", stage, "m"], "put": put}
            for stage in ("assess", "optimize", "validate")
        ]
    found = run_all(repo, jobs)
    for what in corpus:
        for stage in ("assess", "optimize", "validate"):
            said = found[f"{what}: {stage}"]
            if said.status == 2:
                assert "model m" in said.text or "models/m" in said.text, f"{what}, {stage}: {said.text}"
            if what not in BOMBS and stage != "validate":
                assert said.status == 2, f"{what}, {stage}: {said}"
            assert set(said.changed) <= RECORDS, f"{what}, {stage}: {said.changed}"
    assert json.loads((repo.root / "models/m/validation.json").read_bytes())["ok"] is False
