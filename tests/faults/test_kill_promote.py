"""Killed anywhere, `promote` and `rollback` leave the old state or the new one, and the rerun needs no cleaning."""

import random
import shutil
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from kills import PARTS, Killer, Point, part_of, sweep
from sandbox import InProcess, Sandbox, environment

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")

SAMPLE = 4

COMMANDS = {
    "promote": ("promote", "v1.0.1", "prod", "--reason", "go"),
    "rollback": ("rollback", "m", "--to-previous", "--env", "qa"),
    "nothing": ("rollback", "m", "--to-nothing", "--env", "qa"),
    "yank": ("yank", "v1.0.0"),
    "commit": ("rollback", "m", "v1.0.1", "--commit"),
    "previous": ("rollback", "m", "--to-previous", "--commit"),
}
STEPS = ("nothing",)
"""Those that make several tags, one after the other; killed between two, the model still runs what it ran."""

DONE = {"promote": "already runs in prod", "nothing": "does not run in qa", "yank": "yanked already"}
"""How a rerun is refused for which nothing is left to do; the others end as if nothing had been."""


@dataclass(frozen=True)
class World:
    """A repository in which the command has work to do, and how it looks before and after."""

    name: str
    root: Path
    command: tuple[str, ...]
    before: tuple[object, ...]
    after: tuple[object, ...]
    points: list[Point]


@pytest.fixture(scope="module", params=list(COMMANDS))
def world(request, model_template, tmp_path_factory) -> World:
    tmp = tmp_path_factory.mktemp("world")
    shutil.copytree(model_template, tmp / "repo", symlinks=True)
    box = Sandbox(tmp / "repo", environment(tmp / "home"))
    box.mv("tag", "m")
    box.change("m", 2)
    box.commit("2")
    box.mv("tag", "m")
    box.change("m", 3)
    box.commit("3")
    box.mv("tag", "m")
    for version in ("v1.0.0", "v1.0.1", "v1.0.2"):
        box.mv("promote", version, "qa")
    box.write("notes.txt", "dirty\n")
    box.git("status")
    control = _copy(box.root, tmp / "control")
    command = COMMANDS[request.param]
    points = Killer(tmp / "kill", command).points(control)  # carries the command out
    return World(request.param, box.root, command, _state(box), _state(control), points)


def test_sampled_points(world, tmp_path):
    chosen = random.Random(4).sample(world.points, min(SAMPLE, len(world.points)))
    sweep(chosen, partial(_check, world), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_every_point(world, part, tmp_path):
    sweep(part_of(world.points, part), partial(_check, world), tmp_path)


def _check(world: World, point: Point, place: Path) -> None:
    place.mkdir()
    box = _copy(world.root, place / "repo")
    killer = Killer(place / "kill", world.command)
    status = killer.kill(box, point)
    assert status in ((0, 1, 2, 3) if point.mode == "git" else (-9, 0)), status
    box.mv("list")  # whatever comes next finishes or undoes it
    state = _state(box)
    weights_late = "--commit" in world.command and state[:2] == world.after[:2]
    half = world.name in STEPS and state[1:] == world.before[1:]
    assert state in (world.before, world.after) or weights_late or half, "neither the old state nor the new one"
    if half and state != world.after:
        runs = [v["version"] for v in box.mv("list", "m", "--format", "json").json() if "qa" in v["environments"]]
        assert runs == ["v1.0.2"]
    if point.mode == "git" and not weights_late and not half:
        assert (state == world.after) == (status == 0), f"ended with {status}"
    if world.name in ("rollback", "previous") and killer.has_ended(box):
        assert state == world.after
        return  # once more would go back once more
    again = box.mv(*world.command, status=None)
    if again.status:
        assert state == world.after
        assert DONE[world.name] in again.err
    assert _state(box) == world.after
    assert _litter(box) == []


def _state(box: Sandbox) -> tuple[object, ...]:
    """Names of refs and what they finally point at (the times of tags differ from run to run), index, files."""
    refs = box.git("for-each-ref", "--format=%(refname) %(*tree)", "refs/tags", "refs/stash")
    files = box.files()
    kept = {path: data for path, data in files.items() if not path.startswith(".dvc/")}
    return refs + box.git("rev-parse", "HEAD^{tree}"), box.index(), kept


def _copy(root: Path, to: Path) -> Sandbox:
    subprocess.run(["cp", "-a", str(root), str(to)], check=True)
    return InProcess(to, environment(to.parent / f"{to.name}-home"))


def _litter(box: Sandbox) -> list[str]:
    """What nobody needs any more."""
    locks = [path.name for path in (box.root / ".git").rglob("*.lock") if path.parent.name != "modelver"]
    known = ("lock", "hashes.sqlite", "known-tags.jsonl")
    return locks + [
        path.name
        for path in (box.root / ".git/modelver").iterdir()
        if path.name not in known and path.suffix != ".lock"
    ]
