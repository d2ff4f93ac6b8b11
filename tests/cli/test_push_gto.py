"""Tags of GTO's for what a stage of another ``dvc.yaml`` makes, or what lies in a tracked folder, beside a version."""

import hashlib
import shutil
from pathlib import Path

import pytest
from published import FolderStorage, Hub, with_folder, with_hub
from sandbox import InProcess, Sandbox, environment

STAGES = """\
stages:
  make:
    cmd: echo made > made.bin
    outs:
    - made.bin
  moved:
    wdir: ..
    cmd: echo moved > sub/moved.bin
    outs:
    - sub/moved.bin
  kept:
    cmd: echo kept > kept.bin
    outs:
    - kept.bin:
        cache: false
"""

ARTIFACTS = {
    "made": "sub/made.bin",
    "moved": "sub/moved.bin",
    "kept": "sub/kept.bin",
    "within": "folder/a.bin",
}


@pytest.fixture(scope="module")
def template(model_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """m@v1.0.0 and four artifacts that no tag names yet; nothing is pushed."""
    tmp = tmp_path_factory.mktemp("gto")
    shutil.copytree(model_template, tmp / "repo", symlinks=True)
    box = InProcess(tmp / "repo", environment(tmp / "home"))
    with_hub(box)
    with_folder(box)
    box.write("sub/dvc.yaml", STAGES)
    box.write("folder/a.bin", "a\n")
    box.write("folder/b.bin", "b\n")
    box.dvc("add", "-q", "folder")
    box.dvc("repro", "-q", "sub/dvc.yaml")
    entries = "".join(f"  {name}:\n    path: {path}\n    type: model\n" for name, path in ARTIFACTS.items())
    document = (box.root / "dvc.yaml").read_text()
    box.write("dvc.yaml", document.replace("artifacts:\n", f"artifacts:\n{entries}", 1))
    box.commit("artifacts")
    box.mv("tag", "m")
    return tmp


@pytest.fixture
def box(template: Path, tmp_path: Path) -> Sandbox:
    for name in ("repo", "hub.git"):
        shutil.copytree(template / name, tmp_path / name, symlinks=True)
    box = InProcess(tmp_path / "repo", environment(tmp_path / "home"))
    box.git("status")
    return box


@pytest.fixture
def hub(box: Sandbox, tmp_path: Path) -> Hub:
    return Hub(tmp_path / "hub.git", box)


def register(box: Sandbox, *tags: str) -> None:
    for tag in tags:
        box.git("tag", "-a", "-m", "by hand", tag)


def test_what_a_stage_of_another_pipeline_made(box: Sandbox, hub: Hub, tmp_path: Path) -> None:
    register(box, "made@v1.0.0")
    box.mv("push")
    assert hub.tags() == ["m@v1.0.0", "made@v1.0.0"]
    assert FolderStorage(tmp_path / "storage").objects()[hashlib.md5(b"made\n").hexdigest()] == b"made\n"
    box.mv("get", "made@v1.0.0", "--repo", str(hub.path.parent / "repo"), "-o", str(tmp_path / "got"))
    assert (tmp_path / "got/made.bin").read_bytes() == b"made\n"
    verified = box.mv("verify", "made@v1.0.0", "--remote", "--allow-partial", "--format", "json").json()
    assert (verified["ok"], verified["versions"][0]["checked"]) == (True, {"local": 1, "remote": 1})


def test_what_is_left_to_git(box: Sandbox, hub: Hub) -> None:
    register(box, "kept@v1.0.0")
    assert "note: kept@v1.0.0: sub/kept.bin is in Git itself" in box.mv("push").err
    assert hub.tags() == ["kept@v1.0.0", "m@v1.0.0"]


@pytest.mark.parametrize("name", ["moved", "within"])
def test_what_no_pointer_speaks_of_stops_nothing_else(box: Sandbox, hub: Hub, name: str) -> None:
    register(box, f"{name}@v1.0.0", f"{name}#prod#1", f"{name}@v1.0.0!")
    why = f"{name}@v1.0.0: no pointer of DVC's at {box.git('rev-parse', 'HEAD')[:12]} says what {ARTIFACTS[name]} is"
    done = box.mv("push")
    assert f"warning: {why}" in done.err
    assert "so it is passed over" in done.err
    assert hub.tags() == ["m@v1.0.0"]
    assert why in box.refused("push", f"{name}@v1.0.0").err
    again = box.mv("push", "--format", "json")
    assert (again.json()["versions"], again.json()["tags"]) == ([], [])
    assert f"warning: {why}" in again.err
    assert hub.tags() == ["m@v1.0.0"]


def test_a_version_that_is_to_be_made_is_of_the_first_pipeline(box: Sandbox) -> None:
    """Its lineage could not be told."""
    assert "model 'made' has no weights yet" in box.refused("tag", "made").err
