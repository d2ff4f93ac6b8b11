"""The repository of four models, built once and copied for each test."""

import importlib.util
import shutil
from pathlib import Path

import combined
import pytest
import trained
from sandbox import Sandbox, environment


@pytest.fixture(scope="session")
def tree_framework() -> str:
    """XGBoost, or LightGBM where that is what there is; skips where a framework is missing, and says which."""
    for package in ("sklearn", "torch", "onnxscript"):
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'modelver[sklearn,torch]'")
    for package in ("xgboost", "lightgbm"):
        if importlib.util.find_spec(package):
            return package
    pytest.skip("neither XGBoost nor LightGBM is installed: pip install 'modelver[xgboost]'")


@pytest.fixture(scope="session")
def declared(tree_framework: str, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """Declared and committed, and not run; kept as it is."""
    tmp = tmp_path_factory.mktemp("declared")
    return combined.build(tmp / "repo", environment(tmp / "home"), tree_framework)


@pytest.fixture(scope="session")
def ran(declared: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> tuple[Sandbox, frozenset[str]]:
    """After the first `dvc repro`, committed; and the stages that it ran."""
    copy = copied(declared, tmp_path_factory.mktemp("ran"))
    box = Sandbox(copy.root, {**copy.env, "PYTHONHASHSEED": "1"})  # others run with another one
    stages = frozenset(combined.repro(box))
    box.commit("run")
    return box, stages


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a model of each framework that is installed lies, with rows for all; only read."""
    tmp = tmp_path_factory.mktemp("sources")
    return trained.train(tmp / "trained", environment(tmp / "home"))


@pytest.fixture
def repo(ran: tuple[Sandbox, frozenset[str]], tmp_path: Path) -> Sandbox:
    """A copy of the repository that ran."""
    return copied(ran[0], tmp_path)


def copied(box: Sandbox, place: Path) -> Sandbox:
    """A copy with a home of its own."""
    shutil.copytree(box.root, place / "repo", symlinks=True)
    copy = Sandbox(place / "repo", environment(place / "home"))
    copy.git("status")  # refreshes the index: the copied files have other inodes
    return copy
