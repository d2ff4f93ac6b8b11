"""Killed anywhere, `modelver push` leaves the Git remote as it was or with the whole version; the rerun finishes."""

import hashlib
import random
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from kills import PARTS, Killer, Point, part_of, sweep
from published import FolderStorage, Hub, needed, with_folder, with_hub
from sandbox import InProcess, Sandbox, environment

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

SAMPLE = 5
COMMAND = ("push", "--jobs", "1")  # in one thread, so that strace counts the uploads too


@dataclass(frozen=True)
class World:
    """A folder with a repository, its hub and its storage; v1.0.0 is published, v1.0.1 and a decision are to be."""

    folder: Path
    old: dict[str, str]
    new: dict[str, str]
    objects: dict[str, bytes]
    local: tuple[object, ...]
    points: list[Point]


def _open(folder: Path) -> tuple[Sandbox, Hub, FolderStorage]:
    box = InProcess(folder / "repo", environment(folder / "home"))
    return box, Hub(folder / "hub.git", box), FolderStorage(folder / "storage")


@pytest.fixture(scope="module")
def world(model_template: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    shutil.copytree(model_template, folder / "repo", symlinks=True)
    box, hub, storage = _open(folder)
    with_hub(box)
    with_folder(box)
    box.mv("tag", "m", "--push")
    box.change("m", 2)
    box.commit("2")
    box.mv("tag", "m")
    box.mv("promote", "v1.0.1", "prod")
    old, local = hub.refs(), _local(box)
    control = tmp_path_factory.mktemp("control")
    subprocess.run(["cp", "-a", f"{folder}/.", str(control)], check=True)
    there, hub, storage = _open(control)
    points = Killer(control / "kill", COMMAND).points(there)
    objects = needed(box, "v1.0.0") | needed(box, "v1.0.1")
    assert storage.objects() == objects
    return World(folder, old, hub.refs(), objects, local, points)


def _local(box: Sandbox) -> tuple[object, ...]:
    """All that a push must not touch."""
    return box.git("for-each-ref", "refs/heads", "refs/tags"), box.git("rev-parse", "HEAD"), box.index(), box.files()


def test_the_points_cover_upload_reading_back_and_git(world: World) -> None:
    assert len(world.points) > 100
    assert {"rename", "write", "fsync"} <= {point.call for point in world.points}
    assert {"python", "git", "both"} == {point.mode for point in world.points}
    assert set(world.new) - set(world.old) == {"refs/tags/m@v1.0.1", "refs/tags/m#prod#1"}
    assert world.new["refs/heads/main"] != world.old["refs/heads/main"]


def test_sampled_points(world: World, tmp_path: Path) -> None:
    sweep(random.Random(20241107).sample(world.points, SAMPLE), partial(_check, world), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_every_point(world: World, part: int, tmp_path: Path) -> None:
    sweep(part_of(world.points, part), partial(_check, world), tmp_path)


def _check(world: World, point: Point, place: Path) -> None:
    subprocess.run(["cp", "-a", str(world.folder), str(place)], check=True)
    box, hub, storage = _open(place)
    status = Killer(place / "kill", COMMAND).kill(box, point)
    assert status in ((0, 2, 3) if point.mode == "git" else (-9, 0)), status
    _wait_for_the_server(hub)
    refs = hub.refs()
    assert refs in (world.old, world.new), f"neither the old state nor the new one: {refs}"
    if point.mode == "git" and status == 0:
        assert refs == world.new
    found = storage.objects()
    for name, data in found.items():
        if re.fullmatch(r"[0-9a-f]{32}(\.dir)?", name):
            assert hashlib.md5(data).hexdigest() == name.removesuffix(".dir"), f"{name} is torn"
    if refs == world.new:
        assert world.objects.items() <= found.items(), "the tag is there before its weights"
    assert _local(box) == world.local
    again = box.mv("push", "--format", "json").json()
    assert hub.refs() == world.new
    assert world.objects.items() <= storage.objects().items()
    assert (again["objects"] is None) == (refs == world.new)
    box.git("fetch", "-q", "origin")
    assert box.git("rev-parse", "origin/main") == world.new["refs/heads/main"]
    assert _local(box) == world.local
    for git in (box.root / ".git", hub.path):
        assert not [p for p in git.rglob("*.lock") if p.parent.name != "modelver"], "a lock stays behind"
    assert hub.git("fsck", "--strict", "--no-dangling") == ""


def _wait_for_the_server(hub: Hub) -> None:
    """The server of a client that was killed may still be at work."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        at_work = False
        for entry in Path("/proc").iterdir():
            try:
                at_work |= entry.name.isdigit() and str((entry / "cwd").readlink()) == str(hub.path)
            except OSError:
                continue
        if not at_work:
            return
        time.sleep(0.05)
