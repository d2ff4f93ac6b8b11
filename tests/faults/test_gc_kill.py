"""Killed anywhere, gc and backup lose nothing that is needed, and the rerun finishes with no manual cleaning."""

import os
import random
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from kills import PARTS, Killer, Point, part_of, sweep
from sandbox import environment
from tracked import Tracked, make_template

from modelver.core.backup import MANIFEST
from modelver.operations.backup_restore import restore_backup

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

SAMPLE = 4

# In one thread, so that strace counts what is moved and copied too.
COMMANDS = {
    "cache": ("gc", "--grace", "0", "--yes"),
    "remote": ("gc", "--remote", "--jobs", "1", "--grace", "0", "--yes"),
    "backup": ("backup", "--jobs", "1", "../backup"),
}


@dataclass(frozen=True)
class World:
    """A repository in which the command has work to do.

    Attributes:
        top: the folder with the repository, its remotes and its backup.
        needed: objects that something needs, all of which are in the cache and on the remote.
        refs: before and after.
        old: the manifest of the earlier backup.
    """

    top: Path
    command: tuple[str, ...]
    needed: frozenset[str]
    refs: str
    old: bytes
    points: list[Point]


@pytest.fixture(scope="module", params=list(COMMANDS))
def world(request, tmp_path_factory) -> World:
    top = make_template(tmp_path_factory.mktemp("kill") / "w")
    box = Tracked(top / "repo", environment(top / "home"))
    box.put("d", {"a": b"1", "b": b"2"})
    box.git("tag", "-a", "-m", "x", "v1")
    box.mv("backup", "../backup")
    old = (top / "backup" / MANIFEST).read_bytes()
    box.put("d", {"a": b"1", "b": b"3"})
    box.git("tag", "-a", "-m", "x", "v2")
    box.git("push", "-q", "--tags", "origin", "main")
    needed = frozenset(box.held())
    box.put("d", {"a": b"1", "b": b"4", "c": b"5"})
    box.upload()
    box.git("reset", "-q", "--hard", "HEAD~1")
    aside = top / "store/files/modelver/retired/1000"  # one that is needed, one that is not
    for name in (sorted(needed)[0], sorted({*box.held()} - needed)[0]):
        (aside / name[:2]).mkdir(parents=True, exist_ok=True)
        shutil.move(box.store / name[:2] / name[2:], aside / name[:2] / name[2:])
    box.git("status")
    _copy(top, top.parent / "control")
    control = Tracked(top.parent / "control" / "repo", environment(top.parent / "control" / "home"))
    points = Killer(top.parent / "kill", COMMANDS[request.param]).points(control)  # carries the command out
    made = World(top, COMMANDS[request.param], needed, box.refs(), old, points)
    _check_done(made, control)
    return made


def test_the_points_cover_what_is_moved_and_copied(world):
    """In other threads than the main one nothing would be killed."""
    calls = Counter(point.call for point in world.points if point.mode == "python")
    if world.command == COMMANDS["cache"]:
        assert calls["unlink"] + calls["unlinkat"] >= 4, (
            "the objects of one commit: two files, a listing, the old entry"
        )
    if world.command == COMMANDS["remote"]:
        assert calls["rename"] >= 4, "three are set aside, one is put back"
    if world.command == COMMANDS["backup"]:
        assert calls["rename"] >= 2, "objects get their names when they are whole"
        assert calls["utimensat"] + calls["copy_file_range"] + calls["sendfile"] > 0


def test_sampled_points(world, tmp_path):
    chosen = random.Random(11).sample(world.points, min(SAMPLE, len(world.points)))
    chosen += [p for p in world.points if p.mode == "python" and p.call in ("utimensat", "copy_file_range")][:1]
    sweep(chosen, partial(_check, world), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_every_point(world, part, tmp_path):
    sweep(part_of(world.points, part), partial(_check, world), tmp_path)


def _check(world: World, point: Point, place: Path) -> None:
    place.mkdir()
    _copy(world.top, place / "w")
    box = Tracked(place / "w" / "repo", environment(place / "w" / "home"))
    status = Killer(place / "kill", world.command).kill(box, point)
    assert status in ((0, 1, 2, 3) if point.mode == "git" else (-9, 0)), status
    assert box.held() >= world.needed
    assert box.held(box.store) | box.aside() >= world.needed
    assert "error" not in box.git("fsck", "--no-dangling")
    if world.command[0] == "backup":
        _check_backup(box, place / "again")
        shutil.rmtree(place / "again")
    assert box.mv(*world.command, status=None).status == 0
    _check_done(world, box)


def _check_done(world: World, box: Tracked) -> None:
    """After the rerun: all that was to be done is done, and nothing is left behind."""
    assert box.refs() == world.refs
    assert box.held() >= world.needed
    if world.command == COMMANDS["cache"]:
        assert box.held() == world.needed
    if world.command == COMMANDS["remote"]:
        assert (box.held(box.store), box.aside()) == (world.needed, set())
    if world.command == COMMANDS["backup"]:
        again = box.root.parent / "again"
        new = _check_backup(box, again)
        assert new.refs() == world.refs
        assert new.held() == world.needed
        shutil.rmtree(again)
        left = [path.name for path in (box.root.parent / "backup").rglob("*") if ".part" in path.name]
        assert left == []
    state = {path.name for path in (box.root / ".git" / "modelver").iterdir()}
    assert state <= {"lock", "gc.lock", "hashes.sqlite", "hashes.sqlite-wal", "hashes.sqlite-shm", "known-tags.jsonl"}
    assert [path.name for path in (box.root / ".git").rglob("*.lock") if path.parent.name != "modelver"] == []


def _check_backup(box: Tracked, place: Path) -> Tracked:
    """The earlier backup or the new one: every object of it is verified when it is restored."""
    before = dict(os.environ)
    os.environ.update(box.env)
    try:
        restore_backup(box.root.parent / "backup", place)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return Tracked(place, box.env)


def _copy(top: Path, to: Path) -> None:
    subprocess.run(["cp", "-a", str(top), str(to)], check=True)
