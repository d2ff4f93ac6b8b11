"""Settings and fixtures for all tests."""

import compileall
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import swift as s3_server
from hypothesis import settings
from sandbox import InProcess, Sandbox, environment, start

# A deadline on each example measures the machine and its other work, not the code: budgets have tests of their own.
settings.register_profile("modelver", deadline=None)
settings.load_profile("modelver")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # as in a shell's background job; commands that tests interrupt would inherit it, and not hear them
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Compile the package once: the thousands of commands under test write no bytecode, and each would do it again."""
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(Path(__file__).parents[1] / "modelver", quiet=2)


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
    return InProcess(start(tmp_path / "repo", environment(tmp_path / "home")).root, environment(tmp_path / "home"))


@pytest.fixture
def model_repo(model_template: Path, tmp_path: Path) -> Sandbox:
    """A repository with the ingested model ``m``, committed and not tagged."""
    shutil.copytree(model_template, tmp_path / "repo", symlinks=True)
    box = InProcess(tmp_path / "repo", environment(tmp_path / "home"))
    box.git("status")  # refreshes the index: the copied files have other inodes
    return box


@pytest.fixture
def tagged_repo(model_repo: Sandbox) -> Sandbox:
    """The same, tagged m@v1.0.0."""
    model_repo.mv("tag", "m")
    return model_repo


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_server.Swift]:
    """A real S3 server, one for each worker; tests that use it are marked ``s3``."""
    why_not = s3_server.missing()
    if why_not:
        (pytest.fail if os.environ.get("MODELVER_SWIFT_REQUIRED") else pytest.skip)(why_not)
    server = s3_server.Swift.start(tmp_path_factory.mktemp("swift"))
    yield server
    server.stop()
