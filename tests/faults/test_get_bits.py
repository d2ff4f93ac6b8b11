"""`get` and `load` give the recorded bytes or fail with nothing changed: bits flipped, files cut, missing, swapped."""

import hashlib
import os
import random
import shutil

import pytest
from consumer import World, files_in, make_world, tree

import modelver
from modelver.errors import CheckFailed, ExternalFailure, ModelverError

SAMPLE = 40
"""Bits flipped in an unmarked run, in each place."""


@pytest.fixture
def world(tmp_path, tmp_path_factory, monkeypatch) -> World:
    """The consumer is this process, so that a flip costs a fraction of a second."""
    made = make_world(tmp_path, tmp_path_factory)
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"):
        monkeypatch.setenv(name, made.box.env[name])
    monkeypatch.chdir(made.box.root)
    return made


def _get(world: World, ref: str = "m@v1.0.0", output: str = "out") -> dict:
    modelver.get(ref, output, repo=world.bare)
    found = files_in(world.box.root / output)
    shutil.rmtree(world.box.root / output)
    return found


def _flipped(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


def _bits(size: int, count: int | None, seed: int) -> list[int]:
    every = range(size * 8)
    return list(every) if count is None else sorted(random.Random(seed).sample(every, count))


def _cached(world: World, md5: str):
    return world.cache / "objects" / "md5" / md5[:2] / md5[2:]


def _flip_on_the_remote(world: World, count: int | None) -> None:
    tried = 0
    for entry in world.files("m", "v1.0.0"):
        data = world.stored(entry["md5"]).read_bytes()
        for bit in _bits(len(data), count, 1):
            world.forget_objects()
            with world.harmed(entry["md5"], _flipped(data, bit)), pytest.raises(CheckFailed, match="is damaged"):
                modelver.get("m@v1.0.0", "out", repo=world.bare)
            assert tree(world.box.root) == {}, bit
            assert not list((world.cache / "objects" / "partial").iterdir())
            tried += 1
    print(f"{tried} bits flipped on the remote")
    assert _get(world) == world.expected("m", "v1.0.0")


def test_sampled_bits_on_the_remote(world):
    _flip_on_the_remote(world, SAMPLE)


@pytest.mark.slow
def test_every_bit_on_the_remote(world):
    _flip_on_the_remote(world, None)


def _flip_in_the_cache(world: World, count: int | None) -> None:
    """With the remote at hand the object is brought anew; without it the run fails."""
    right, tried = _get(world), 0
    for entry in world.files("m", "v1.0.0"):
        place = _cached(world, entry["md5"])
        data = place.read_bytes()
        for bit in _bits(len(data), count, 2):
            stat = place.stat()
            place.chmod(0o644)
            place.write_bytes(_flipped(data, bit))

            os.utime(place, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a disk that rots would leave it
            if tried % 2:
                assert _get(world) == right
            else:
                with world.harmed(entry["md5"], None), pytest.raises(ExternalFailure, match="is not there"):
                    modelver.get("m@v1.0.0", "out", repo=world.bare)
                assert tree(world.box.root) == {}
                assert _get(world) == right
            assert place.read_bytes() == data
            tried += 1
    print(f"{tried} bits flipped in the consumer's cache")


def test_sampled_bits_in_the_cache(world):
    _flip_in_the_cache(world, SAMPLE)


@pytest.mark.slow
def test_every_bit_in_the_cache(world):
    _flip_in_the_cache(world, None)


def test_sampled_bits_of_a_larger_model(world):
    """Three files, two of them of 1 MiB; on the remote, for `get` and for `load`."""
    entries = world.files("net", "v1.0.0")
    for number, entry in enumerate(entries * 3):
        data = world.stored(entry["md5"]).read_bytes()
        (bit,) = _bits(len(data), 1, number)
        world.forget_objects()
        with world.harmed(entry["md5"], _flipped(data, bit)):
            with pytest.raises(CheckFailed):
                modelver.get("net@v1.0.0", "out", repo=world.bare)
            with pytest.raises(CheckFailed):
                modelver.load("net@v1.0.0", world.bare)
        assert tree(world.box.root) == {}
        assert not list((world.cache / "views").iterdir())
    assert _get(world, "net@v1.0.0") == world.expected("net", "v1.0.0")


def test_load_verifies_what_is_cached(world):
    import numpy as np

    rows = {"x": np.ones((1, 512), np.float32)}
    right = modelver.load("net@v1.0.0", world.bare).run(rows)["y"]
    for number, entry in enumerate(world.files("net", "v1.0.0")):
        place = _cached(world, entry["md5"])
        data = place.read_bytes()
        place.chmod(0o644)
        place.write_bytes(_flipped(data, *_bits(len(data), 1, number)))
        with world.harmed(entry["md5"], None), pytest.raises(ExternalFailure):
            modelver.load("net@v1.0.0", world.bare)
        np.testing.assert_array_equal(modelver.load("net@v1.0.0", world.bare).run(rows)["y"], right)


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_cut_short_on_the_remote(world, cut):
    for entry in world.files("m", "v1.0.0"):
        data = world.stored(entry["md5"]).read_bytes()
        world.forget_objects()
        with world.harmed(entry["md5"], data[:cut]), pytest.raises(CheckFailed, match="bytes, not"):
            modelver.get("m@v1.0.0", "out", repo=world.bare)
        assert tree(world.box.root) == {}


def test_longer_on_the_remote(world):
    entry = world.files("m", "v1.0.0")[0]
    data = world.stored(entry["md5"]).read_bytes()
    with world.harmed(entry["md5"], data + b"x"), pytest.raises(CheckFailed, match="more than"):
        modelver.get("m@v1.0.0", "out", repo=world.bare)
    assert tree(world.box.root) == {}


def test_deleted_on_the_remote(world):
    for entry in world.files("m", "v1.0.0"):
        world.forget_objects()
        with world.harmed(entry["md5"], None), pytest.raises(ExternalFailure, match="is not there"):
            modelver.get("m@v1.0.0", "out", repo=world.bare)
        assert tree(world.box.root) == {}


def test_swapped_on_the_remote(world):
    first, second = world.files("net", "v1.0.0")[-2:]
    assert first["bytes"] == second["bytes"]
    one, other = (world.stored(entry["md5"]).read_bytes() for entry in (first, second))
    with world.harmed(first["md5"], other), world.harmed(second["md5"], one), pytest.raises(CheckFailed):
        modelver.get("net@v1.0.0", "out", repo=world.bare)
    assert tree(world.box.root) == {}


@pytest.mark.parametrize("harm", ["swap", "cut", "empty", "folder", "fifo", "link"])
def test_anything_in_the_cache(world, harm, tmp_path):
    """Whatever lies under an object's name: the right bytes come out all the same."""
    right = _get(world, "net@v1.0.0")
    first, second = (_cached(world, e["md5"]) for e in world.files("net", "v1.0.0")[-2:])
    data = first.read_bytes()
    first.unlink()
    if harm == "swap":
        second.rename(first)
    elif harm == "cut":
        first.write_bytes(data[:-1])
    elif harm == "empty":
        first.touch()
    elif harm == "folder":
        first.mkdir()
    elif harm == "fifo":
        os.mkfifo(first)
    else:
        (tmp_path / "elsewhere").write_bytes(b"mine")
        first.symlink_to(tmp_path / "elsewhere")
    if harm == "folder":  # not made by anything of ours: said, and left alone
        with pytest.raises(ExternalFailure):
            _get(world, "net@v1.0.0")
        return
    assert _get(world, "net@v1.0.0") == right
    if harm == "link":
        assert (tmp_path / "elsewhere").read_bytes() == b"mine"


def test_bits_of_what_is_cached_of_git(world):
    """A loose object or a ref of the bare copy, damaged: the right bytes, or an error in words."""
    right = _get(world)
    (bare,) = (world.cache / "git").glob("*.git")
    places = sorted(path for path in bare.rglob("*") if path.is_file() and path.stat().st_size)
    outcomes = {"right": 0, "refused": 0}
    for number, place in enumerate(places):
        data = place.read_bytes()
        mode = place.stat().st_mode & 0o777
        place.chmod(0o644)
        place.write_bytes(_flipped(data, *_bits(len(data), 1, number)))
        try:
            assert _get(world) == right
            outcomes["right"] += 1
        except ModelverError:
            assert tree(world.box.root) == {}
            outcomes["refused"] += 1
        if place.exists():
            place.chmod(0o644)
        place.write_bytes(data)
        place.chmod(mode)
    print(outcomes, len(places))
    assert outcomes["refused"] > len(places) // 4
    assert _get(world) == right


@pytest.mark.parametrize("rest", ["right", "wrong", "long"])
def test_a_half_download_goes_on_where_it_stopped(world, rest):
    entry = world.files("net", "v1.0.0")[-1]
    data = world.stored(entry["md5"]).read_bytes()
    partial = world.cache / "objects" / "partial" / entry["md5"]
    partial.parent.mkdir(parents=True)
    half = data[: len(data) // 2]
    partial.write_bytes({"right": half, "wrong": _flipped(half, 12345), "long": data + b"x"}[rest])
    result = modelver.get("net@v1.0.0", "out", repo=world.bare)
    assert files_in(world.box.root / "out") == world.expected("net", "v1.0.0")
    assert result.downloaded == result.bytes - (len(half) if rest == "right" else -len(half) * (rest == "wrong"))
    assert not list(partial.parent.iterdir())
    assert hashlib.md5(_cached(world, entry["md5"]).read_bytes()).hexdigest() == entry["md5"]
