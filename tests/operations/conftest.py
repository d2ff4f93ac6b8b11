import shutil
import sys

import pytest
from weights_repo import Repo, environment, make

from modelver.adapters.git import GitRepository
from modelver.operations import hooks


@pytest.fixture(scope="session")
def weights_template(tmp_path_factory):
    tmp = tmp_path_factory.mktemp("weights")
    return make(tmp / "repo", environment(tmp))


@pytest.fixture
def bare_repo(weights_template, tmp_path, monkeypatch):
    """A repository at v2 of its weights, without hooks."""
    env = environment(tmp_path)
    for name in ("HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_NOSYSTEM"):
        monkeypatch.setenv(name, env[name])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin/interpreter"))
    shutil.copytree(weights_template.root, tmp_path / "repo", symlinks=True)
    return Repo(tmp_path / "repo", env)


@pytest.fixture
def repo(bare_repo):
    """The same with hooks."""
    hooks.install(GitRepository.find(bare_repo.root))
    return bare_repo
