"""Killed anywhere, `modelver tag --push` makes and publishes one version: the same command once more finishes it."""

import hashlib
import random
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from kills import PARTS, Killer, Point, part_of, sweep
from published import FolderStorage, Hub, needed, with_folder, with_hub
from sandbox import Sandbox, environment
from test_push_kill import _open, _wait_for_the_server

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

SAMPLE = 5
COMMAND = ("tag", "m", "--push", "--jobs", "1")  # in one thread, so that strace counts the uploads too


@dataclass(frozen=True)
class World:
    """A folder with a repository, its hub and its storage; v1.0.0 is published, v1.0.1 is to be made.

    Attributes:
        folder: where they are.
        head: the commit that v1.0.1 is made on.
        old, new: refs of the hub and the trees that they finally name, before and after.
        objects: what the storage must hold for both versions.
        points: where to kill.
    """

    folder: Path
    head: str
    old: str
    new: str
    objects: dict[str, bytes]
    points: list[Point]


@pytest.fixture(scope="module")
def world(model_template: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    shutil.copytree(model_template, folder / "repo", symlinks=True)
    box = Sandbox(folder / "repo", environment(folder / "home"))
    hub = with_hub(box)
    with_folder(box)
    box.mv("tag", "m", "--push")
    box.change("m", 2)
    box.commit("2")
    control = tmp_path_factory.mktemp("control")
    subprocess.run(["cp", "-a", f"{folder}/.", str(control)], check=True)
    there, its_hub, storage = _open(control)
    points = Killer(control / "kill", COMMAND).points(there)  # carries the command out
    objects = needed(there, "v1.0.0") | needed(there, "v1.0.1")
    assert storage.objects() == objects
    return World(folder, box.git("rev-parse", "HEAD"), _trees(hub), _trees(its_hub), objects, points)


def _trees(hub: Hub) -> str:
    """Times differ from run to run, and so do ids of commits and tags."""
    return hub.git("for-each-ref", "--format=%(refname) %(tree)%(*tree)")


def test_the_points_cover_the_tag_the_uploads_and_the_push(world: World) -> None:
    assert {"rename", "write", "fsync"} <= {point.call for point in world.points if point.mode == "python"}
    assert {"python", "git", "both"} == {point.mode for point in world.points}
    assert {line.split()[0] for line in world.new.splitlines()} - {
        line.split()[0] for line in world.old.splitlines()
    } == {"refs/tags/m@v1.0.1"}


def test_sampled_points(world: World, tmp_path: Path) -> None:
    chosen = random.Random(7).sample(world.points, SAMPLE)
    chosen += [point for point in world.points if point.mode == "python" and point.call == "unlink"][-1:]
    sweep(chosen, partial(_check, world), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_every_point(world: World, part: int, tmp_path: Path) -> None:
    sweep(part_of(world.points, part), partial(_check, world), tmp_path)


def _check(world: World, point: Point, place: Path) -> None:
    subprocess.run(["cp", "-a", str(world.folder), str(place)], check=True)
    box, hub, storage = _open(place)
    killer = Killer(place / "kill", COMMAND)
    status = killer.kill(box, point)
    assert status in ((0, 2, 3) if point.mode == "git" else (-9, 0)), status
    _wait_for_the_server(hub)
    ended = killer.has_ended(box)
    assert ended or status != 0
    assert _trees(hub) in (world.old, world.new), f"neither the old state nor the new one: {_trees(hub)}"
    _check_storage(world, hub, storage)
    again = box.mv(*COMMAND, status=None)
    # What had answered has ended, and is told that nothing has changed; so is nobody else.
    assert again.status == (2 if ended else 0), again.err
    assert _trees(hub) == world.new
    _check_storage(world, hub, storage)
    refs = hub.refs()
    assert box.tags() == ["m@v1.0.0", "m@v1.0.1"]
    assert refs["refs/tags/m@v1.0.1"] == box.git("rev-parse", "m@v1.0.1")
    assert refs["refs/heads/main"] == box.git("rev-parse", "HEAD") == box.git("rev-parse", "m@v1.0.1^{commit}")
    assert box.git("rev-parse", "HEAD^") == world.head
    assert box.git("status", "--porcelain") == ""
    for git in (box.root / ".git", hub.path):
        assert not [p for p in git.rglob("*.lock") if p.parent.name != "modelver"], "a lock stays behind"
    assert not list((box.root / ".git/modelver").glob("unfinished-*.json"))
    assert hub.git("fsck", "--strict", "--no-dangling") == ""


def _check_storage(world: World, hub: Hub, storage: FolderStorage) -> None:
    """Nothing is torn, and no version is published before its weights."""
    found = storage.objects()
    for name, data in found.items():
        if re.fullmatch(r"[0-9a-f]{32}(\.dir)?", name):
            assert hashlib.md5(data).hexdigest() == name.removesuffix(".dir"), f"{name} is torn"
    if "m@v1.0.1" in hub.tags():
        assert world.objects.items() <= found.items(), "the tag is there before its weights"
