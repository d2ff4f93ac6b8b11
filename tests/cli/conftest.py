"""Repositories that several of these tests start from."""

import json
import shutil
from pathlib import Path

import pytest
from sandbox import InProcess, Sandbox, environment

ACCURACIES = (0.90, 0.95, 0.85)


@pytest.fixture(scope="session")
def released_template(model_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """m@v1.0.0, v1.0.1 and v1.0.2, with the accuracies above, and a file of somebody else's."""
    tmp = tmp_path_factory.mktemp("released")
    shutil.copytree(model_template, tmp / "repo", symlinks=True)
    box = InProcess(tmp / "repo", environment(tmp / "home"))
    for number, accuracy in enumerate(ACCURACIES, start=1):
        if number > 1:
            box.change("m", number)
        record = {"ok": True, "metrics": {"accuracy": accuracy}, "checks": [], "targets": {}}
        box.write("models/m/validation.json", json.dumps(record))
        box.commit(f"accuracy {accuracy}")
        box.mv("tag", "m")
    return box.root


@pytest.fixture
def released(released_template: Path, tmp_path: Path) -> Sandbox:
    """The model ``m`` with versions v1.0.0 (accuracy 0.90), v1.0.1 (0.95) and v1.0.2 (0.85)."""
    shutil.copytree(released_template, tmp_path / "repo", symlinks=True)
    box = InProcess(tmp_path / "repo", environment(tmp_path / "home"))
    box.git("status")
    return box


@pytest.fixture(scope="session")
def tagged_template(model_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``tagged_repo`` gives, made once; tests that need many copies use it."""
    tmp = tmp_path_factory.mktemp("tagged")
    shutil.copytree(model_template, tmp / "repo", symlinks=True)
    box = InProcess(tmp / "repo", environment(tmp / "home"))
    box.git("status")
    box.mv("tag", "m")
    return box.root
