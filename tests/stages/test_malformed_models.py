"""Broken and hostile model files through the commands: a clear error, little time and memory, nothing left behind."""

import pytest
from hostile import run_all
from malformed import BIG, ONNX, SAFETENSORS, links
from sandbox import Sandbox


def as_jobs(box: Sandbox, corpus: dict, name: str) -> tuple[list[dict], dict[str, str]]:
    """One `add` for each file, each in a folder of its own with links beside it; and the files' paths."""
    jobs, paths = [], {}
    for number, (what, (data, _)) in enumerate(corpus.items()):
        folder = box.root.parent / "incoming" / str(number) / "m"
        folder.mkdir(parents=True)
        links(folder)
        (folder / name).write_bytes(data)
        paths[what] = str(folder / name)
        jobs.append({"name": what, "command": ["add", "hostile", str(folder / name)]})
    return jobs, paths


@pytest.mark.parametrize(("corpus", "name"), [(ONNX, "m.onnx"), (SAFETENSORS, "m.safetensors")])
def test_add_refuses_and_leaves_nothing(model_repo: Sandbox, corpus, name):
    jobs, paths = as_jobs(model_repo, corpus, name)
    found = run_all(model_repo, jobs)
    for what, (_, words) in corpus.items():
        said = found[what]
        assert said.status == 2, f"{what}: {said}"
        assert paths[what] in said.text, f"{what}: {said.text}"
        assert words in said.text, f"{what}: {said.text}"
        assert said.changed == (), what
    assert model_repo.git("status", "--porcelain") == ""


@pytest.mark.parametrize("name", BIG)
def test_a_hundred_thousand_tensors_come_in_within_bounds(model_repo: Sandbox, name):
    path = model_repo.root.parent / name
    path.write_bytes(BIG[name](100_000))
    found = run_all(model_repo, [{"name": "add", "command": ["add", "big", str(path)]}])
    assert found["add"].status == 0
    lines = (model_repo.root / "models/big/tensors.jsonl").read_text().splitlines()
    assert len(lines) == 100_000
