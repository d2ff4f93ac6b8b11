"""`get` killed anywhere, on a full disk, and twice at once: nothing half lands, and the rerun needs no cleaning."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from consumer import World, files_in, make_world, tree
from kills import PARTS, Killer, Point, part_of, sweep
from sandbox import Sandbox

SAMPLE = 3

_LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from modelver.cli.main import run
sys.exit(run(sys.argv[2:]))
"""


@pytest.fixture
def world(tmp_path, tmp_path_factory) -> World:
    return make_world(tmp_path, tmp_path_factory)


def _command(world: World, *options: str) -> tuple[str, ...]:
    return ("get", "net@v1.0.0", "--repo", world.bare, "-o", "out", *options)


def _rubbish(world: World) -> list[str]:
    """What is in the consumer's cache and is neither an object, a repository, nor a lock."""
    found = []
    for path in world.cache.rglob("*"):
        inside = path.relative_to(world.cache).as_posix()
        odd = any(part in path.name for part in (".tmp", ".new", "tmp_")) or inside.startswith("objects/partial/")
        if odd or (path.name.endswith(".lock") and ".git/" in inside):
            found.append(inside)
    return found


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
class TestKilled:
    """At each system call that changes something, of Python and of each Git."""

    @pytest.mark.parametrize("kind", ["folder", "single", "force"])
    def test_sampled_points(self, world, tmp_path, kind):
        points = self._points(world, tmp_path, kind)
        chosen = random.Random(kind).sample(points, SAMPLE)
        chosen += [p for p in points if p.mode == "python" and p.call.startswith("rename")][-1:]
        self._sweep(world, tmp_path, kind, chosen)

    @pytest.mark.slow
    @pytest.mark.parametrize("part", PARTS)
    @pytest.mark.parametrize("kind", ["folder", "single", "force"])
    def test_every_point(self, world, tmp_path, kind, part):
        self._sweep(world, tmp_path, kind, part_of(self._points(world, tmp_path, kind), part))

    def _options(self, kind: str) -> tuple[str, ...]:
        return {"folder": (), "single": ("--single-file",), "force": ("--force",)}[kind]

    def _prepare(self, world: World, kind: str) -> None:
        world.forget()
        for path in world.box.root.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if kind == "force":
            (world.box.root / "out").mkdir()
            (world.box.root / "out" / "mine").write_text("old")

    def _points(self, world: World, tmp_path: Path, kind: str) -> list[Point]:
        self._prepare(world, kind)
        points = Killer(tmp_path / "kill", _command(world, *self._options(kind))).points(world.box)
        assert len(points) > 50
        return points

    def _sweep(self, world: World, tmp_path: Path, kind: str, points: list[Point]) -> None:
        self._prepare(world, kind)
        before = tree(world.box.root)
        world.box.mv(*_command(world, *self._options(kind)))
        after = tree(world.box.root)
        sweep(points, lambda point, place: self._check(world, place, kind, point, before, after), tmp_path)

    def _check(self, world: World, place: Path, kind: str, point: Point, before: dict, after: dict) -> None:
        self._prepare(world, kind)
        command = _command(world, *self._options(kind))
        status = Killer(place / "kill", command).kill(world.box, point)
        assert status in (-9, 0, 1, 2, 3), status
        left = {p: d for p, d in tree(world.box.root).items() if not p.startswith(".")}
        assert left in (before, after), "a half is there"
        if left == before or kind == "force":
            done = world.mv(*command, status=None)
            assert done.status == 0, done.err
        else:  # whatever comes next clears up: another version to the same place
            world.mv(*command, "--force")
        assert tree(world.box.root) == after
        assert _rubbish(world) == []


@pytest.mark.parametrize("warm", [False, True])
def test_a_full_disk(world, warm):
    """A limit on file sizes fails a write as a full disk does; a tensor of 1 MiB does not fit."""
    if warm:
        world.box.mv("get", "net@v1.0.0", "--repo", world.bare, "-o", "elsewhere")
        shutil.rmtree(world.box.root / "elsewhere")
    code = [sys.executable, "-P", "-c", _LIMITED, "600000", *_command(world)]
    done = world.box.run(*code, status=3)
    assert "File too large" in done.err
    assert "Traceback" not in done.err
    assert tree(world.box.root) == {}
    result = world.box.mv(*_command(world), "--format", "json").json()
    assert files_in(world.box.root / "out") == world.expected("net", "v1.0.0")
    assert result["downloaded"] < result["bytes"], "it went on where it stopped"
    assert _rubbish(world) == []


def test_a_cache_that_can_not_be_written(world, tmp_path):
    (tmp_path / "file").touch()
    done = world.box.mv(*_command(world), status=3, XDG_CACHE_HOME=str(tmp_path / "file"))
    assert "XDG_CACHE_HOME" in world.box.hint(done)
    assert tree(world.box.root) == {}


def test_several_at_once(world):
    """They share objects, the bare copy and its lock; each gets the whole, and each object comes once or more."""
    command = [sys.executable, "-P", "-m", "modelver", "get", "--repo", world.bare]
    running = [
        subprocess.Popen(
            [*command, f"net@v1.0.{n % 2}", "-o", f"out{n}"],
            cwd=world.box.root,
            env=world.box.env,
            stderr=subprocess.PIPE,
        )
        for n in range(4)
    ]
    for number, process in enumerate(running):
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
        assert files_in(world.box.root / f"out{number}") == world.expected("net", f"v1.0.{number % 2}")
    assert sorted(p.name for p in world.box.root.iterdir()) == [f"out{n}" for n in range(4)]
    assert _rubbish(world) == []


def test_two_to_one_place(world):
    """One lands; the other lands nothing over it."""
    command = [sys.executable, "-P", "-m", "modelver", "get", "--repo", world.bare, "-o", "out"]
    running = [
        subprocess.Popen([*command, f"net@v1.0.{n}"], cwd=world.box.root, env=world.box.env, stderr=subprocess.PIPE)
        for n in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in running]
    statuses = [process.returncode for process in running]
    assert sorted(statuses) in ([0, 2], [0, 3]), said
    assert files_in(world.box.root / "out") == world.expected("net", f"v1.0.{statuses.index(0)}")
    assert [p.name for p in world.box.root.iterdir()] == ["out"]


def test_interrupted(world):
    """Ctrl-C in the midst: status 130, nothing half, no word of Python's."""
    code = (
        "import os, signal, sys\n"
        "from modelver.operations import fetching\n"
        "real, calls = os.pwrite, []\n"
        "def pwrite(*args):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 2: os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(*args)\n"
        "os.pwrite = pwrite\n"
        "from modelver.cli.main import run\n"
        "sys.exit(run(sys.argv[1:]))"
    )
    box: Sandbox = world.box
    done = box.run(sys.executable, "-P", "-c", code, *_command(world), "--jobs", "1", status=130)
    assert "Traceback" not in done.err
    assert tree(box.root) == {}
    box.mv(*_command(world))
    assert files_in(box.root / "out") == world.expected("net", "v1.0.0")
    assert _rubbish(world) == []
