"""A hint is run where its reader is, and that may be a folder within the repository."""

from pathlib import Path

import pytest
from published import with_folder, with_hub
from sandbox import InProcess, Sandbox

import models
from modelver.cli.hints import for_here


@pytest.fixture
def below(tagged_repo: Sandbox) -> InProcess:
    """A folder of the repository, in which commands are run."""
    (tagged_repo.root / "work" / "deep").mkdir(parents=True)
    return InProcess(tagged_repo.root / "work" / "deep", tagged_repo.env)


def test_an_edit_in_place_is_dropped(tagged_repo: Sandbox, below: InProcess) -> None:
    weights = next((tagged_repo.root / "models/m/weights").glob("*.safetensors"))
    right = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(right + b"x")
    refused = below.mv("tag", "m", status=2)
    assert below.hint(refused).startswith("cd ../.. && modelver restore --force models/m/weights")
    below.mend(refused)
    assert weights.read_bytes() == right


def test_what_the_cache_lost_is_pulled(tagged_repo: Sandbox, below: InProcess) -> None:
    with_hub(tagged_repo)
    with_folder(tagged_repo)
    tagged_repo.git("push", "-q", "origin", "main")
    tagged_repo.mv("push")
    weights = next((tagged_repo.root / "models/m/weights").glob("*.safetensors"))
    right = weights.read_bytes()
    tagged_repo.run("rm", "-rf", ".dvc/cache/files", "models/m/weights")
    below.mend(below.mv("tag", "m", "--force-new", status=2))
    assert weights.read_bytes() == right


def test_what_must_be_committed_first(tagged_repo: Sandbox, below: InProcess) -> None:
    tagged_repo.mv("add", "llm", str(models.gguf(tagged_repo.root / "llm.gguf")))
    refused = below.mv("tag", "llm", status=2)
    command = below.hint(refused)
    assert command.endswith(" && git commit")
    below.run("sh", "-c", command.replace("git commit", "git commit -qm llm"))
    below.mv("tag", "llm")
    assert "llm@v1.0.0" in tagged_repo.tags()


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        (
            "git add dvc.yaml models/m/README.md   (then again)",
            "cd .. && git add dvc.yaml models/m/README.md   (then again)",
        ),
        ("dvc pull gone.bin", "cd .. && dvc pull gone.bin"),
        ("git checkout HEAD -- params.yaml", "cd .. && git checkout HEAD -- params.yaml"),
        ("modelver tag x --sign", "modelver tag x --sign"),
        ("git add ../dvc.yaml", "git add ../dvc.yaml"),
        ("git add here.txt", "git add here.txt"),
        ("modelver add x here.txt && git add dvc.yaml", "modelver add x here.txt && git add dvc.yaml"),
        ("ask whoever hasn't", "ask whoever hasn't"),
    ],
)
def test_only_what_names_a_path_from_the_top(
    hint: str, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (".git/HEAD", "dvc.yaml", "models/m/README.md", "gone.bin.dvc", "sub/here.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    monkeypatch.chdir(tmp_path)
    assert for_here(hint) == hint
    monkeypatch.chdir(tmp_path / "sub")
    assert for_here(hint) == shown
