"""`git checkout` gives the recorded bytes or fails with the weights unchanged: harm of each sort to DVC's cache."""

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from consumer import World, make_world
from sandbox import Sandbox

from modelver.adapters.git import GitRepository
from modelver.operations.restore import restore

SAMPLE = 40
"""Bits flipped in an unmarked run, in each object."""


class Clone:
    """A clone with a model's v1.0.1 checked out, which has v1.0.0 too."""

    def __init__(self, world: World, root: Path, model: str) -> None:
        self.model = model
        shutil.copytree(world.base / "repo", root, symlinks=True)
        self.world = world
        self.box = Sandbox(root, world.box.env)
        self.box.git("status")
        self.box.git("checkout", "-q", f"{model}@v1.0.1")
        self.old, self.new = (
            self.box.git("rev-parse", f"{model}@{version}^{{commit}}") for version in ("v1.0.1", "v1.0.0")
        )
        # the objects that v1.0.0 has and v1.0.1 has not: its listing and its files
        before, after = ({e["md5"] for e in world.files(model, version)} for version in ("v1.0.1", "v1.0.0"))
        pointer = self.box.git("show", f"{model}@v1.0.0:models/{model}/weights.dvc")
        listing = next(line.split()[-1] for line in pointer.splitlines() if ".dir" in line)
        self.objects = [self.object(md5) for md5 in (listing, *sorted(after - before))]
        assert len(self.objects) == 3

    def object(self, md5: str) -> Path:
        return self.box.root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]

    def weights(self) -> dict[str, tuple[int, int, bytes]]:
        folder = self.box.root / "models" / self.model / "weights"
        return {
            p.relative_to(folder).as_posix(): (p.stat().st_ino, p.stat().st_mtime_ns, p.read_bytes())
            for p in folder.rglob("*")
            if p.is_file()
        }

    def all_but_weights(self) -> tuple[object, ...]:
        """HEAD, refs, index and files; without the weights, and without DVC's cache, which is harmed."""
        refs, index, head, files = self.box.fingerprint()
        own = {p: d for p, d in files.items() if not p.startswith((f"models/{self.model}/weights/", ".dvc/cache/"))}
        assert len(own) < len(files)
        return refs, index, head, own

    def holds(self, version: str) -> bool:
        return {path: data for path, (_, _, data) in self.weights().items()} == self.world.expected(self.model, version)

    @contextmanager
    def harmed(self, place: Path, data: bytes | None) -> Iterator[None]:
        right, mode = place.read_bytes(), place.stat().st_mode
        place.unlink()
        if data is not None:
            place.write_bytes(data)
        try:
            yield
        finally:
            place.unlink(missing_ok=True)
            place.write_bytes(right)
            place.chmod(mode)


@pytest.fixture
def clone(tmp_path, tmp_path_factory, monkeypatch, request) -> Clone:
    world = make_world(tmp_path, tmp_path_factory)
    for name in ("HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"):
        monkeypatch.setenv(name, world.box.env[name])
    return Clone(world, tmp_path / "clone", getattr(request, "param", "m"))


def _flipped(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


def _sweep(clone: Clone, count: int | None) -> None:
    """What the hook does, in this process."""
    clone.box.git("-c", "core.hooksPath=/dev/null", "checkout", "-q", f"{clone.model}@v1.0.0")
    git = GitRepository.find(clone.box.root)
    before = clone.weights()
    assert clone.holds("v1.0.1")
    tried = 0
    for place in clone.objects:
        data = place.read_bytes()
        every = range(len(data) * 8)
        for bit in every if count is None else sorted(random.Random(6).sample(every, count)):
            with clone.harmed(place, _flipped(data, bit)):
                result = restore(git, clone.old, clone.new)
            assert result.hook_status == 1, bit
            assert clone.weights() == before, bit
            tried += 1
    print(f"{tried} bits flipped in DVC's cache")
    assert restore(git, clone.old, clone.new).complete
    assert clone.holds("v1.0.0")


def test_sampled_bits(clone):
    _sweep(clone, SAMPLE)


@pytest.mark.parametrize("clone", ["net"], indirect=True)
def test_sampled_bits_of_a_larger_model(clone):
    """A listing, a graph, and a tensor of 1 MiB."""
    _sweep(clone, 15)


@pytest.mark.slow
def test_every_bit(clone):
    _sweep(clone, None)


def test_git_checkout_itself(clone):
    """One harm of each sort to each object: the command fails, the weights stay, and mended it works.

    Git has moved HEAD and its own files by then: the hook runs after that. All else is as a checkout without the hook
    leaves it, and `git status` has nothing to say; what the error names brings the weights.
    """
    before = clone.weights()
    clone.box.git("-c", "core.hooksPath=/dev/null", "checkout", "-q", "m@v1.0.0")
    moved = clone.all_but_weights()
    clone.box.git("-c", "core.hooksPath=/dev/null", "checkout", "-q", "m@v1.0.1")
    for number, place in enumerate(clone.objects):
        data = place.read_bytes()
        other = clone.objects[number - 1].read_bytes()
        harms = [_flipped(data, 77), data[:-1], data + b"\n", b"", other, None]
        for harm in harms if number == 1 else harms[:1]:
            with clone.harmed(place, harm):
                done = clone.box.run("git", "checkout", "-q", "m@v1.0.0", status=1)
                assert "error: " in done.err
                assert "models/m/weights" in done.err or str(place) in done.err
                assert clone.weights() == before
                assert clone.all_but_weights() == moved
                assert clone.box.git("rev-parse", "HEAD") == clone.new
                assert clone.box.git("status", "--porcelain") == ""
                if harm is harms[0]:  # as harmed as before
                    assert "error: " in clone.box.mv("restore", status=1).err
                    assert clone.weights() == before
            if number == 1:
                clone.box.mv("restore")
                assert clone.holds("v1.0.0")
                clone.box.git("checkout", "-q", "m@v1.0.1")
                before = clone.weights()
                continue
            clone.box.git("-c", "core.hooksPath=/dev/null", "checkout", "-q", "m@v1.0.1")
    clone.box.git("checkout", "-q", "m@v1.0.0")
    assert clone.holds("v1.0.0")
