"""Settings and fixtures for all tests."""

import shutil
from pathlib import Path

import pytest
from hypothesis import settings
from sandbox import Sandbox, environment, start

# A deadline on each example measures the machine and its other work, not the code: budgets have tests of their own.
settings.register_profile("modelver", deadline=None)
settings.load_profile("modelver")


@pytest.fixture(scope="session")
def model_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the ingested model ``m``, committed and not tagged."""
    tmp = tmp_path_factory.mktemp("template")
    box = start(tmp / "repo", environment(tmp / "home"))
    box.write("code.py", "".join(f"line {n}\n" for n in range(20)))
    box.write("notes.txt", "notes\n")
    box.add_model("m", 1)
    return box.root


@pytest.fixture
def empty_repo(tmp_path: Path) -> Sandbox:
    """A repository made by `modelver init`, without models."""
    return start(tmp_path / "repo", environment(tmp_path / "home"))


@pytest.fixture
def model_repo(model_template: Path, tmp_path: Path) -> Sandbox:
    """A repository with the ingested model ``m``, committed and not tagged."""
    shutil.copytree(model_template, tmp_path / "repo", symlinks=True)
    box = Sandbox(tmp_path / "repo", environment(tmp_path / "home"))
    box.git("status")  # refreshes the index: the copied files have other inodes
    return box


@pytest.fixture
def tagged_repo(model_repo: Sandbox) -> Sandbox:
    """The same, tagged m@v1.0.0."""
    model_repo.mv("tag", "m")
    return model_repo
