"""A DVC remote at ``file:///srv``: to DVC that is a folder called ``file:`` below wherever the command runs."""

import shutil
from pathlib import Path

import pytest
from sandbox import Sandbox


@pytest.fixture
def hub(tagged_repo: Sandbox) -> Sandbox:
    """m@v1.0.0, not published; the storage is given as a URL."""
    box = tagged_repo
    box.git("init", "-q", "--bare", "../hub.git")
    box.git("remote", "add", "origin", str(box.root.parent / "hub.git"))
    return box


def configure(box: Sandbox, url: str, file: str = ".dvc/config", name: str = "storage") -> None:
    box.write(file, f"[core]\n    remote = {name}\n['remote \"{name}\"']\n    url = {url}\n")


@pytest.mark.parametrize("form", ["file://{}", "FILE://{}", "file:{}", "file://localhost{}", "other://{}"])
def test_init_refuses_it(empty_repo, form):
    storage = empty_repo.root.parent / "a storage"
    refused = empty_repo.refused("init", "--remote", form.format(storage))
    assert empty_repo.hint(refused) == f"modelver init --remote '{storage}'"
    empty_repo.mend(refused)
    assert f"url = {storage}" in (empty_repo.root / ".dvc/config").read_text()


@pytest.mark.parametrize("form", ["file://{}", "file:{}"])
def test_push_refuses_it(hub, form):
    storage = hub.root.parent / "storage"
    configure(hub, form.format(storage))
    refused = hub.refused("push")
    assert f"DVC remote storage is at {form.format(storage)}, which DVC takes for a folder" in refused.err
    assert hub.hint(refused) == f"dvc remote modify storage url {storage}"
    assert not storage.exists()
    assert [p.name for p in hub.root.rglob("*:*")] == []
    assert hub.git("ls-remote", "origin") == ""
    hub.mend(refused)
    hub.commit("storage")
    hub.git("push", "-q", "--no-verify", "origin", "main")
    hub.mv("push")
    got = hub.root.parent / "got"
    hub.mv("get", "m", "--repo", str(hub.root.parent / "hub.git"), "-o", str(got))
    assert any(got.iterdir())


def test_the_hint_names_the_file_and_the_remote_that_the_url_stands_in(hub):
    storage = hub.root.parent / "storage"
    configure(hub, str(storage))
    hub.commit("storage")
    hub.git("push", "-q", "origin", "main")
    configure(hub, f"file://{storage}", ".dvc/config.local")
    refused = hub.refused("push")
    assert hub.hint(refused) == f"dvc remote modify --local storage url {storage}"
    hub.mend(refused)
    hub.mv("push")
    assert len(hub.git("ls-remote", "--tags", "origin").splitlines()) == 2
    configure(hub, "remote://base/sub", ".dvc/config.local")
    with (hub.root / ".dvc/config").open("a") as file:
        file.write(f"['remote \"base\"']\n    url = file://{storage}\n")
    assert hub.hint(hub.refused("push", "--full")) == f"dvc remote modify base url {storage}"


def test_the_hook_stops_a_push_by_hand(hub):
    configure(hub, f"file://{hub.root.parent}/storage")
    hub.commit("storage")
    hub.dvc("push", "-q")
    assert (hub.root / "file:").is_dir()
    stopped = hub.run("git", "push", "-q", "origin", "m@v1.0.0", status=1)
    assert "which DVC takes for a folder" in stopped.err
    assert hub.git("ls-remote", "origin") == ""


def test_what_others_get_is_refused_too(hub):
    """The current folder of whoever gets it says nothing of where the weights are."""
    configure(hub, f"file://{hub.root.parent}/storage")
    hub.commit("storage")
    hub.git("tag", "-d", "m@v1.0.0")
    hub.mv("tag", "m")
    hub.dvc("push", "-q")
    hub.git("push", "-q", "--no-verify", "origin", "main", "m@v1.0.0")
    shutil.rmtree(Path(hub.env["XDG_CACHE_HOME"]), ignore_errors=True)
    done = hub.mv("get", "m", "--repo", str(hub.root.parent / "hub.git"), "-o", "../got", status=2)
    assert "which DVC takes for a folder" in done.err


def test_doctor_names_each_and_rewrites_none(hub):
    storage = hub.root.parent / "storage"
    configure(hub, f"file://{storage}")
    configure(hub, f"file:{storage}", ".dvc/config.local", "mine")
    before = (hub.root / ".dvc/config").read_text(), (hub.root / ".dvc/config.local").read_text()
    found = hub.mv("doctor", "--fix", "--format", "json", status=1).json()["findings"]
    about = [finding for finding in found if finding["id"] in ("remote-url", "relative-remote", "dvc-remote")]
    assert [(finding["id"], finding["hint"]) for finding in about] == [
        ("remote-url", f"dvc remote modify storage url {storage}"),
        ("remote-url", f"dvc remote modify --local mine url {storage}"),
    ]
    assert ((hub.root / ".dvc/config").read_text(), (hub.root / ".dvc/config.local").read_text()) == before
