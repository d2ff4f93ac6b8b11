"""What people are shown of an address may lack a part of it; what is remembered under it must not be mixed up."""

from pathlib import Path

import pytest
from git_http import GitHttp
from sandbox import Sandbox, environment

from modelver.adapters.dvc.secrets import storage_identity
from modelver.adapters.git import GitRepository
from modelver.adapters.git.foreign import ForeignRepository
from modelver.operations.backup import remote_urls


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    env = environment(tmp_path / "home")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", env["GIT_CONFIG_GLOBAL"])
    box = Sandbox(tmp_path / "repo", env)
    box.root.mkdir()
    box.git("init", "-q")
    box.git("commit", "-q", "--allow-empty", "-m", "one")
    return box


def test_copies_of_repositories_that_are_shown_alike(box: Sandbox, tmp_path: Path) -> None:
    names = ("a@scope/x.git", "b@scope/x.git")
    for name in names:
        box.git("tag", "-f", "-a", "-m", name, "m@v1.0.0")
        box.run("git", "clone", "-q", "--bare", ".", str(tmp_path / "served" / name))
    password = "Kw7a/Kw7b@Kw7c"
    with GitHttp(tmp_path / "served", box.env, "user", password).running() as server:
        found = []
        for name in (*names, *names):
            repository = ForeignRepository.open(server.url(name), tmp_path / "cache")
            assert repository.shown == "http://***@scope/x.git"
            (record,) = repository.tags()
            bare = repository.fetch(record)
            found.append(bare.text("for-each-ref", "--format=%(contents:subject)", "refs/tags"))
        assert found == [*names, *names]
        again = ForeignRepository.open(server.url(names[0]).replace("Kw7a", "Kw7z"), tmp_path / "cache")
        assert len(list((tmp_path / "cache").glob("*.git"))) == 2
        known = {path.name for path in (tmp_path / "cache").glob("*.git")}
        assert again._bare.name in known, "another password is no other repository"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("s3://bucket/a@x/dvc", "s3://bucket/b@x/dvc"),
        ("ssh://me@host/a@x", "ssh://me@other/a@x"),
        ("https://host/a@x", "https://other/a@x"),
        ("/srv/a?b", "/srv/a?c"),
        ("/srv//a@b", "/srv//c@b"),
    ],
)
def test_storages_that_are_shown_alike(one: str, other: str) -> None:
    assert storage_identity(one) != storage_identity(other)


def test_a_storage_is_the_same_by_another_password() -> None:
    known = {storage_identity(f"https://{user}host/a@x?sig=1") for user in ("", "user@", "user:pw1@", "user:p@w2@")}
    assert known == {"https://host/a@x"}
    assert storage_identity("azure://box/Secret1/x", ["Secret1"]) == "azure://box/***/x"


def test_a_backup_knows_no_address_by_half(box: Sandbox) -> None:
    urls = {
        "origin": "https://user:pw1@host/x.git", "path": "../x@y.git", "file": "file:///srv/x@y.git",
        "scope": "https://host/@scope/x.git", "raw": "https://user:s3cr/et@host/x.git",
    }  # fmt: skip
    for name, url in urls.items():
        box.git("remote", "add", name, url)
    assert remote_urls(GitRepository.find(box.root)) == {
        "origin": "https://host/x.git", "path": "../x@y.git", "file": "file:///srv/x@y.git",
    }  # fmt: skip
