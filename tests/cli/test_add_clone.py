"""A model that came by `git clone`: beside its weights lie a `.git`, and files that a `.dvcignore` names."""

import json
from pathlib import Path

import pytest
from sandbox import InProcess, Sandbox, environment

import models


def cloned(box: Sandbox, folder: Path) -> Sandbox:
    """A Git repository of a model, as a hub gives it, with what a downloader leaves in it."""
    (folder / ".cache" / "hub").mkdir(parents=True)
    (folder / ".cache" / "hub" / "download.lock").write_text("x")
    models.gguf(folder / "model.gguf", 5)
    (folder / "config.json").write_text("{}\n")
    (folder / "train.log").write_text("a log\n")
    inner = Sandbox(folder, box.env)
    inner.git("init", "-q")
    inner.git("add", "model.gguf", "config.json")
    inner.git("commit", "-qm", "theirs")
    return inner


def history(inner: Sandbox) -> dict[str, bytes]:
    """All files of its ``.git``."""
    return {str(path): path.read_bytes() for path in (inner.root / ".git").rglob("*") if path.is_file()}


@pytest.fixture
def box(empty_repo: Sandbox) -> Sandbox:
    box = InProcess(empty_repo.root, empty_repo.env)
    box.write(".dvcignore", "*.log\n")
    box.commit("no logs", ".dvcignore")
    return box


def test_its_versions_are_tagged_and_come_back_beside_its_history(box: Sandbox, tmp_path: Path) -> None:
    inner = cloned(box, box.root / "llm")
    kept = history(inner)
    box.mv("add", "llm", "llm")
    box.commit("llm", "llm.dvc", ".gitignore", "dvc.yaml", "models")
    listed = [json.loads(line)["path"] for line in (box.root / "models/llm/files.jsonl").read_text().splitlines()]
    assert sorted(listed) == [".cache/hub/download.lock", "config.json", "model.gguf"]
    assert "in the way" not in box.mv("status").out
    box.mv("tag", "llm")
    (box.root / "llm/config.json").write_text('{"new": 1}\n')
    assert "llm is not what llm.dvc says: config.json" in box.refused("tag", "llm").err
    box.mv("add", "llm", "llm")
    box.mv("tag", "llm")

    for version, config in (("v1.0.0", "{}\n"), ("v1.0.1", '{"new": 1}\n')):
        box.git("checkout", "-q", f"llm@{version}")
        assert (box.root / "llm/config.json").read_text() == config
        assert (box.root / "llm/train.log").read_text() == "a log\n"
        assert history(inner) == kept
        got = tmp_path / version
        box.mv("get", f"llm@{version}", "-o", str(got))
        assert (got / "config.json").read_text() == config
        assert sorted(path.relative_to(got).as_posix() for path in got.rglob("*") if path.is_file()) == sorted(listed)
    judged = box.mv("verify", "--all", "--format", "json").json()
    assert [(one["tag"], one["ok"]) for one in judged["versions"]] == [("llm@v1.0.1", True), ("llm@v1.0.0", True)]


def test_a_file_that_dvc_would_take_is_a_change(box: Sandbox) -> None:
    cloned(box, box.root / "llm")
    box.mv("add", "llm", "llm")
    box.commit("llm", "llm.dvc", ".gitignore", "dvc.yaml", "models")
    (box.root / "llm" / "more.json").write_text("{}")
    assert "llm is not what llm.dvc says: more.json" in box.refused("tag", "llm").err


def test_the_source_of_an_ingested_model_is_told_without_its_history(box: Sandbox, tmp_path: Path) -> None:
    inner = Sandbox(tmp_path / "clone", environment(tmp_path / "home"))
    inner.root.mkdir()
    models.safetensors(inner.root / "model.safetensors", 5)
    inner.git("init", "-q")
    inner.git("add", ".")
    inner.git("commit", "-qm", "theirs")
    box.mv("add", "enc", str(inner.root))
    first = json.loads((box.root / "models/enc/source.json").read_text())["source"]
    inner.git("commit", "-q", "--allow-empty", "-m", "nothing of the model")
    box.mv("add", "enc", str(inner.root))
    assert json.loads((box.root / "models/enc/source.json").read_text())["source"] == first
    assert first["bytes"] == (inner.root / "model.safetensors").stat().st_size
