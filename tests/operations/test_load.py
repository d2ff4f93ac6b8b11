"""`modelver.load`: a version as a session of onnxruntime, mapped from the cache."""

import json
import shutil
import sys

import numpy as np
import pytest
from consumer import SIDE, World, make_world, matrix, tree

import modelver
from modelver.errors import InvalidInput, NotFound, Refused

ROWS = np.random.default_rng(7).standard_normal((3, SIDE)).astype(np.float32)


@pytest.fixture
def world(tmp_path, tmp_path_factory, monkeypatch) -> World:
    made = make_world(tmp_path, tmp_path_factory)
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"):
        monkeypatch.setenv(name, made.box.env[name])
    monkeypatch.chdir(made.box.root)
    return made


def _answer(*seeds: int) -> np.ndarray:
    """What the model is: rows times matrices, in double precision."""
    out = ROWS.astype(np.float64)
    for seed in seeds:
        out = out @ matrix(seed).astype(np.float64)
    return out


@pytest.mark.parametrize(("ref", "seeds"), [("net@v1.0.0", (10, 11)), ("net", (10, 12)), ("net@latest", (10, 12))])
def test_a_version_answers_as_its_weights_say(world, ref, seeds):
    loaded = modelver.load(ref, world.bare)
    np.testing.assert_allclose(loaded.run({"x": ROWS})["y"], _answer(*seeds), rtol=1e-3, atol=1e-4)
    assert loaded.version == ("v1.0.0" if seeds[1] == 11 else "v1.0.1")
    assert loaded.signature["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["N", SIDE]}]
    assert loaded.labels is None
    assert [output.name for output in loaded.session.get_outputs()] == ["y"]
    assert tree(world.box.root) == {}
    assert not list((world.cache / "views").iterdir())


def test_the_weights_are_the_caches_own_files(world):
    """Mapped by the kernel, not copied: the process maps the very inodes of the objects."""
    code = (
        "import json, modelver, numpy as np, os\n"
        f"m = modelver.load('net@v1.0.0', {world.bare!r})\n"
        f"m.run({{'x': np.ones((1, {SIDE}), np.float32)}})\n"
        "print(json.dumps([int(line.split()[4]) for line in open('/proc/self/maps')]))"
    )
    mapped = set(json.loads(world.box.run(sys.executable, "-P", "-c", code).out))
    tensors = [e for e in world.files("net", "v1.0.0") if e["path"].startswith("tensors/")]
    assert len(tensors) == 2
    for entry in tensors:
        place = world.cache / "objects" / "md5" / entry["md5"][:2] / entry["md5"][2:]
        assert place.stat().st_ino in mapped
        assert place.stat().st_nlink == 1


def test_only_what_runs_is_brought(world):
    """And a second load brings nothing: the remote may be gone."""
    modelver.load("net@v1.0.0", world.bare)
    have = {p.parent.name + p.name for p in (world.cache / "objects" / "md5").rglob("*") if p.is_file()}
    assert have == {e["md5"] for e in world.files("net", "v1.0.0")}
    with world.harmed(next(iter(have)), None):
        modelver.load("net@v1.0.0", world.bare)


def test_inside_a_repository_dvcs_cache_is_used(world, tmp_path):
    shutil.copytree(world.base / "repo", tmp_path / "clone", symlinks=True)
    loaded = modelver.open(tmp_path / "clone").load("net@v1.0.0")
    np.testing.assert_allclose(loaded.run({"x": ROWS})["y"], _answer(10, 11), rtol=1e-3, atol=1e-4)
    assert not (world.cache / "objects" / "md5").exists()
    entry = next(e for e in world.files("net", "v1.0.0") if e["path"] == "model.onnx")
    place = tmp_path / "clone" / ".dvc" / "cache" / "files" / "md5" / entry["md5"][:2] / entry["md5"][2:]
    data = place.read_bytes()
    place.chmod(0o644)
    place.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))  # damaged: the remote's is taken
    loaded = modelver.open(tmp_path / "clone").load("net@v1.0.0")
    np.testing.assert_allclose(loaded.run({"x": ROWS})["y"], _answer(10, 11), rtol=1e-3, atol=1e-4)


def test_a_cache_of_symbolic_links_is_read_through(world, tmp_path):
    """A DVC cache on another disk, linked file by file: nothing of it gets a second name."""
    shutil.copytree(world.base / "repo", tmp_path / "clone", symlinks=True)
    cache = tmp_path / "clone" / ".dvc" / "cache" / "files" / "md5"
    for path in [p for p in cache.rglob("*") if p.is_file()]:
        moved = tmp_path / "disk" / path.parent.name / path.name
        moved.parent.mkdir(parents=True, exist_ok=True)
        path.rename(moved)
        path.symlink_to(moved)
    loaded = modelver.load("net@v1.0.0", path=tmp_path / "clone")
    np.testing.assert_allclose(loaded.run({"x": ROWS})["y"], _answer(10, 11), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("ref", "said"), [("plain", "plain model"), ("m", "no ONNX model"), ("g@v1.0.0", "plain model")]
)
def test_what_can_not_be_run_says_why(world, ref, said):
    with pytest.raises(Refused, match=said) as raised:
        modelver.load(ref, world.bare)
    assert "modelver get" in raised.value.hint
    assert not (world.cache / "objects" / "md5").exists(), "and nothing was brought for it"


def test_inputs_that_do_not_fit(world):
    loaded = modelver.load("net", world.bare)
    for inputs in ({}, {"z": ROWS}, {"x": ROWS[:, :5]}, {"x": ROWS.astype(np.int64)}):
        with pytest.raises(InvalidInput) as raised:
            loaded.run(inputs)
        assert "x: tensor(float)" in raised.value.hint


def test_unknown_yanked_and_variant(world):
    with pytest.raises(NotFound):
        modelver.load("net@v7", world.bare)
    with pytest.raises(NotFound):
        modelver.load("net", world.bare, variant="int8")
    with pytest.raises(Refused, match="yanked") as raised:
        modelver.load("m@v1.0.2", world.bare)
    assert "allow_yanked=True" in raised.value.hint


def test_what_an_environment_runs_is_loaded_also_once_it_was_yanked(world, tmp_path):
    mine = str(tmp_path / "mine.git")  # the world's own is everybody's
    world.box.run("git", "clone", "-q", "--bare", world.bare, mine)
    tag = ["git", f"--git-dir={mine}", "tag", "-a", "-m", "said"]
    world.box.run(*tag, "net#prod#1", "net@v1.0.0^{commit}")
    running = modelver.load("net#prod", mine)
    assert (running.version, running.notes) == ("v1.0.0", ())
    np.testing.assert_allclose(running.run({"x": ROWS})["y"], _answer(10, 11), rtol=1e-3, atol=1e-4)
    world.box.run(*tag, "net@v1.0.0!", "net@v1.0.0^{commit}")
    loaded = modelver.load("net#prod", mine)
    np.testing.assert_allclose(loaded.run({"x": ROWS})["y"], _answer(10, 11), rtol=1e-3, atol=1e-4)
    assert loaded.notes == ("net@v1.0.0 was yanked, and prod still runs it",)
    with pytest.raises(Refused, match="yanked"):
        modelver.load("net@v1.0.0", mine)


def test_options_and_providers_of_ones_own(world):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    loaded = modelver.load("net", world.bare, options=options, providers=["CPUExecutionProvider"])
    assert loaded.session.get_session_options().intra_op_num_threads == 1
    np.testing.assert_allclose(loaded.run({"x": ROWS})["y"], _answer(10, 12), rtol=1e-3, atol=1e-4)


def test_no_pickle_no_program_but_git(world):
    """An audit hook sees every program and every pickle of a load, from fetching to running."""
    code = (
        "import sys\n"
        "seen = []\n"
        "def hook(event, args):\n"
        "    if event in ('pickle.find_class', 'os.system', 'os.exec', 'os.posix_spawn'): seen.append(event)\n"
        "    if event == 'subprocess.Popen': seen.append(str(args[0]).rsplit('/', 1)[-1])\n"
        "import modelver, numpy as np, onnxruntime\n"
        "sys.addaudithook(hook)\n"
        f"modelver.load('net', {world.bare!r}).run({{'x': np.ones((1, {SIDE}), np.float32)}})\n"
        "print(sorted(set(seen) - {'git'}))"
    )
    assert world.box.run(sys.executable, "-P", "-c", code).out == "[]\n"


def test_the_librarys_get(world):
    result = modelver.get("m@v1.0.0", "out", repo=world.bare)
    assert (result.tag, result.path, result.checked) == ("m@v1.0.0", world.box.root / "out", "sha256")
    assert {f.path: f.bytes for f in result.files} == {e["path"]: e["bytes"] for e in world.files("m", "v1.0.0")}
    ticks: list[int] = []
    modelver.get("m@v1.0.0", "again", repo=world.bare, progress=ticks.append)
    assert sum(ticks) == result.bytes
    shutil.rmtree(world.box.root / "out")
    assert modelver.open(world.base / "repo").get("m@v1.0.0", "out").path == world.box.root / "out"
    assert tree(world.box.root / "out") == tree(world.box.root / "again")
