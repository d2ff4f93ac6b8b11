"""Killed anywhere, `modelver tag` leaves the old state or the new one, and the next command goes through."""

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

SAMPLE = 12
UNRELATED = ("code.py", "notes.txt", "scratch.txt")


@dataclass(frozen=True)
class World:
    """A repository in which `modelver tag m` has work to do, and how it looks before and after."""

    root: Path
    old: str
    before: dict[str, bytes | str]
    after: dict[str, bytes | str]
    index_before: str
    index_after: str
    command: tuple[str, ...]
    points: list[Point]


@pytest.fixture(scope="module", params=["plain", "signed"])
def world(request, model_template, tmp_path_factory) -> World:
    """v1.0.0 is tagged, new weights are there, and a partly staged, a dirty and an untracked file lie beside them."""
    tmp = tmp_path_factory.mktemp("world")
    shutil.copytree(model_template, tmp / "repo", symlinks=True)
    box = Sandbox(tmp / "repo", environment(tmp / "home"))
    command: tuple[str, ...] = ("tag", "m")
    if request.param == "signed":
        command = ("tag", "m", "--sign", "--message", "signed")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp / "key"], check=True)
        box.git("config", "gpg.format", "ssh")
        box.git("config", "user.signingKey", str(tmp / "key"))
    box.mv("tag", "m")
    box.change("m", 2)
    lines = (box.root / "code.py").read_text().splitlines(keepends=True)
    box.write("code.py", "".join(["staged\n", *lines]))
    box.git("add", "code.py")
    box.write("code.py", "".join(["staged\n", *lines, "not staged\n"]))
    box.write("notes.txt", "dirty\n")
    box.write("scratch.txt", "untracked\n")
    box.git("status")
    control = _copy(box.root, tmp / "control")
    points = Killer(tmp / "kill", command).points(control)  # carries the command out
    return World(
        box.root, box.git("rev-parse", "HEAD"), box.files(), control.files(), box.index(), control.index(), command,
        points,
    )  # fmt: skip


def _copy(root: Path, to: Path) -> Sandbox:
    subprocess.run(["cp", "-a", str(root), str(to)], check=True)
    return InProcess(to, environment(to.parent / f"{to.name}-home"))


def _point_numbers(total: int) -> list[int]:
    return sorted(random.Random(20240611).sample(range(total), min(SAMPLE, total)))


def test_sampled_points(world, tmp_path):
    chosen = [world.points[number] for number in _point_numbers(len(world.points))]
    sweep(chosen, partial(_check, world), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_every_point(world, part, tmp_path):
    sweep(part_of(world.points, part), partial(_check, world), tmp_path)


def test_the_sweep_covers_what_it_claims(world):
    assert len(world.points) > 150
    calls = {p.call for p in world.points}
    assert {"rename", "write", "unlink", "fsync", "openat"} <= calls
    assert {"python", "git", "both"} == {p.mode for p in world.points}


def _check(world: World, point: Point, place: Path) -> None:
    place.mkdir()
    box = _copy(world.root, place / "repo")
    killer = Killer(place / "kill", world.command)
    status = killer.kill(box, point)
    ended = killer.has_ended(box)
    assert ended or status != 0
    if point.mode == "git":
        # A Git that died was noticed (3), did not matter (0), or had been asked whether something is there (2).
        assert status in (0, 2, 3), status
    else:  # how often Python polls depends on the machine, so a late point may come after the end
        assert status in (-9, 0), status
    _check_nothing_torn(world, box)
    assert box.mv("list").status == 0
    new = _is_new(world, box)
    if point.mode == "git":
        assert new == (status == 0), f"tag ended with {status}, and the new version is {'' if new else 'not '}there"
    _check_state(world, box, new=new)
    again = box.mv(*world.command, status=None)
    # What had answered has ended, and is told that nothing has changed; so is nobody else.
    assert again.status == (2 if ended else 0), again.err
    _check_state(world, box, new=True)
    assert _litter(box) == []


def _is_new(world: World, box: Sandbox) -> bool:
    return box.git("rev-parse", "HEAD") != world.old


def _check_nothing_torn(world: World, box: Sandbox) -> None:
    """At once after the kill: each thing is old or new, and a version that shows is whole."""
    files = box.files()
    for path in world.before.keys() | world.after.keys():
        assert files.get(path) in (world.before.get(path), world.after.get(path)), f"{path} is torn"
    for path in UNRELATED:
        assert files[path] == world.before[path]
    assert box.git("show", ":code.py") == "staged\n" + "".join(f"line {n}\n" for n in range(20)).rstrip("\n")
    head = box.git("rev-parse", "HEAD")
    assert head == world.old or box.git("rev-parse", "HEAD^") == world.old
    if "m@v1.0.1" in box.tags():
        tagged = box.git("rev-parse", "m@v1.0.1^{commit}")
        assert box.git("rev-parse", f"{tagged}^") == world.old
        assert (
            box.run("git", "show", f"{tagged}:models/m/metadata.yaml").out.encode()
            == (world.after["models/m/metadata.yaml"])
        )
    assert "error" not in box.git("fsck", "--no-dangling", "--strict")


def _check_state(world: World, box: Sandbox, *, new: bool) -> None:
    """After the next command: one state, whole, and what is not the model's as it was."""
    assert box.files() == (world.after if new else world.before)
    assert box.index() == (world.index_after if new else world.index_before)
    assert box.tags() == ["m@v1.0.0", "m@v1.0.1"] if new else ["m@v1.0.0"]
    assert box.git("symbolic-ref", "HEAD") == "refs/heads/main"
    head = box.git("rev-parse", "HEAD")
    if new:
        assert box.git("rev-parse", "HEAD^") == world.old
        assert box.git("rev-parse", "m@v1.0.1^{commit}") == head
        assert box.git("cat-file", "-t", "m@v1.0.1") == "tag"
        assert ("SSH SIGNATURE" in box.git("cat-file", "-p", "m@v1.0.1")) == ("--sign" in world.command)
        assert box.git("status", "--porcelain", "--", "models", "dvc.yaml") == ""
        assert [v["version"] for v in box.mv("list", "--format", "json").json()] == ["v1.0.1", "v1.0.0"]
    else:
        assert head == world.old
    assert box.git("fsck", "--no-dangling", "--strict") == ""


def _litter(box: Sandbox) -> list[str]:
    """Locks and temporary files that nobody needs any more."""
    git = [
        p.relative_to(box.root).as_posix() for p in (box.root / ".git").rglob("*.lock") if p.parent.name != "modelver"
    ]
    state = [p.name for p in (box.root / ".git" / "modelver").iterdir()]
    known = ("lock", "hashes.sqlite", "known-tags.jsonl")
    return git + [name for name in state if name not in known and not name.endswith(".lock")]
