"""Guarantee 7: work that is not committed is never overwritten without `--force`.

Each command that writes into the working tree runs where one thing was changed that it may touch, beside changes that
are none of its business. Afterwards every byte of the user's is there: in its place, or, in a file that people and
modelver both write, as lines in the order that they had. A command that refuses has left everything alone.

What a DVC stage makes is DVC's to replace: a run of the stage makes its outs anew, as `dvc repro` does.
"""

import random
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sandbox import Sandbox, environment, start

import models

GUARANTEE = 7
SAMPLE = 8

INGESTED = ("source.json", "files.jsonl", "tensors.jsonl", "weights.dvc")
"""Files of `models/m` that `add` writes whole, or whose fields it sets."""

PEOPLE = ("dvc.yaml", "params.yaml", ".gitattributes", ".gitignore", ".dvc/config", "models/m/README.md")
"""Files that people write, and to which modelver adds; and the card, which it never touches."""

COMMANDS: dict[str, tuple[str, ...]] = {
    "add": ("add", "m", "../incoming/next.onnx"),
    "add new": ("add", "n", "../incoming/next.onnx"),
    "add plain": ("add", "p", "p.bin"),
    "add pipeline": ("add", "q", "q.onnx", "--framework", "onnx", "--data", "rows.npz"),
    "record": ("record", "m"),
    "tag": ("tag", "m"),
    "rollback": ("rollback", "m", "v1.0.0", "--commit"),
    "restore": ("restore",),
    "get": ("get", "m@v1.0.0", "-o", "out"),
    "get file": ("get", "m@v1.0.0", "--single-file", "-o", "out/m.onnx"),
    "client": ("client", "m@v1.0.0", "-o", "src"),
    "init": ("init",),
    "init ci": ("init", "--ci", "github"),
    "init remote": ("init", "--remote", "../storage"),
    "doctor": ("doctor", "--fix"),
    "export": ("stage", "export", "q"),
    "assess": ("stage", "assess", "q", "--brief"),
    "optimize": ("stage", "optimize", "q"),
    "validate": ("stage", "validate", "q"),
}

STAGES = ("export", "assess", "optimize", "validate")


def line(box: Sandbox, path: str, text: str = "# mine\n") -> list[str]:
    """A line of the user's at the end of a text file."""
    present = (box.root / path).read_bytes() if (box.root / path).exists() else b""
    box.write(path, present + text.encode())
    return [path]


def generated(name: str) -> Callable[[Sandbox], list[str]]:
    """One more line end, which no version of the file would have."""
    return lambda box: line(box, f"models/m/{name}", "\n")


def people(path: str) -> Callable[[Sandbox], list[str]]:
    return lambda box: line(box, path)


def own(path: str) -> Callable[[Sandbox], list[str]]:
    """A file of the user's, of whatever form, where none was."""

    def make(box: Sandbox) -> list[str]:
        assert not (box.root / path).exists()
        box.write(path, "mine\n")
        return [path]

    return make


def edited_weights(box: Sandbox) -> list[str]:
    path = max((box.root / "models/m/weights").rglob("*"), key=lambda file: file.stat().st_size * file.is_file())
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    return [path.relative_to(box.root).as_posix()]


def staged_sidecar(box: Sandbox) -> list[str]:
    """Staged, and edited further."""
    line(box, "models/m/metadata.yaml")
    box.git("add", "models/m/metadata.yaml")
    return line(box, "models/m/metadata.yaml", "# and more\n")


def named_remote(box: Sandbox) -> list[str]:
    """A remote of the name that `init` gives, with settings and words of the user's."""
    return line(box, ".dvc/config", "# ours\n['remote \"storage\"']\n    url = /elsewhere\n    verify = true\n")


def written_client(box: Sandbox) -> list[str]:
    box.write("src/m_client.py", box.mv("client", "m@v1.0.0").out + "# mine\n")
    return ["src/m_client.py"]


def hook(box: Sandbox) -> list[str]:
    """A hook of the user's in the place of modelver's."""
    box.write(".git/hooks/pre-push", "#!/bin/sh\necho mine\nexit 0\n").chmod(0o755)
    return [".git/hooks/pre-push"]


def workflow(box: Sandbox) -> list[str]:
    box.mv("init", "--ci", "github")
    return line(box, ".github/workflows/modelver.yml")


EDITS: dict[str, Callable[[Sandbox], list[str]]] = {
    **{f"people {path}": people(path) for path in PEOPLE},
    "people models/m/.gitignore": people("models/m/.gitignore"),
    **{f"generated {name}": generated(name) for name in (*INGESTED, "metadata.yaml")},
    "staged sidecar": staged_sidecar,
    "named remote": named_remote,
    "weights": edited_weights,
    **{
        f"own {path}": own(path)
        for path in (
            "models/m/notes.txt", "models/m/weights/mine.txt", "models/n/weights/mine.txt", "models/n/files.jsonl",
            "models/n/README.md", "models/n/.gitignore", "models/n/metadata.yaml", "models/p/files.jsonl", "p.bin.dvc",
            "out/mine.txt", "out/m.onnx", "src/m_client.py", ".github/workflows/modelver.yml",
            ".dvc/tmp/mine.txt",
        )
    },
    "client": written_client,
    "workflow": workflow,
    "hook": hook,
    "nothing": lambda box: [],
}  # fmt: skip


@dataclass(frozen=True)
class World:
    """A repository with two versions of ``m``, its next content committed and not tagged, and a pipeline ``q``."""

    root: Path
    home: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    tmp = tmp_path_factory.mktemp("work")
    box = start(tmp / "repo", environment(tmp / "home"))
    for name in ("code.py", "notes.txt"):
        box.write(name, "one\ntwo\n")
    line(box, ".gitignore", "*.log\n/out\n/src\n/p.bin\n")
    for seed in (1, 2, 3):
        box.mv("add", "m", str(models.onnx(tmp / "incoming" / "m.onnx", seed)))
        box.commit(f"m {seed}")
        if seed < 3:
            box.mv("tag", "m")
    models.onnx(box.root / "q.onnx", 7)
    np.savez(box.root / "rows.npz", x=np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32))
    box.mv("add", "q", "q.onnx", "--framework", "onnx", "--data", "rows.npz")
    box.run(sys.executable, "-P", "-m", "dvc", "repro", "-q", "export@q")
    box.commit("q")
    box.write("p.bin", "weights\n")
    (box.root / "src").mkdir()
    models.onnx(tmp / "incoming" / "next.onnx", 9)
    return World(tmp, tmp / "home")


def unrelated(box: Sandbox) -> list[str]:
    """Work that is none of any command's business: edited, staged and edited further, untracked, ignored."""
    line(box, "code.py")
    line(box, "notes.txt", "staged\n")
    box.git("add", "notes.txt")
    line(box, "notes.txt")
    box.write("models/m/scratch.txt", "mine\n")
    box.write("build.log", "mine\n")
    box.write("models/m/train.log", "mine\n")
    return ["code.py", "notes.txt", "models/m/scratch.txt", "build.log", "models/m/train.log", "p.bin"]


def in_order(lines: list[bytes], among: list[bytes]) -> bool:
    rest = iter(among)
    return all(any(found == line for found in rest) for line in lines)


def kept(path: str, before: bytes, after: bytes) -> bool:
    """Whether a file holds all that the user had in it: whole, or where modelver adds to it line by line."""
    shared = path in PEOPLE or path.endswith(".gitignore") or path.startswith(".git/hooks/")
    return before == after or (shared and in_order(before.splitlines(), after.splitlines()))


def everything(box: Sandbox) -> dict[str, bytes | str]:
    """The working tree but DVC's cache, which may grow."""
    return {path: data for path, data in box.files().items() if not path.startswith(".dvc/cache/")}


def check(world: World, command: str, edit: str, place: Path) -> int:
    """Run a command where one thing was edited; its status."""
    shutil.copytree(world.root, place, symlinks=True)
    box = Sandbox(place / "repo", environment(place / "home"))
    box.git("status")
    mine = unrelated(box) + EDITS[edit](box)
    if command == "restore":  # gives it something to do
        next(
            (box.root / "models/m/weights").glob("test_data_set_0/*"), box.root / "models/q/weights/model.onnx"
        ).unlink()
    before = {path: (box.root / path).read_bytes() for path in mine}
    staged = box.run("git", "diff", "--cached").out
    files, index, refs = everything(box), box.index(), box.refs()
    done = box.mv(*COMMANDS[command], status=None)
    what = f"{command}, {edit}: status {done.status}\n{done.out}\n{done.err}"
    assert done.status in (0, 1, 2), what
    for path, data in before.items():
        place_of = box.root / path
        assert place_of.is_file(), f"{path} is gone: {what}"
        assert kept(path, data, place_of.read_bytes()), f"{path} was overwritten: {what}"
    assert box.run("git", "diff", "--cached").out == staged or done.status == 0, what
    assert box.git("show", ":notes.txt") == "one\ntwo\nstaged", what
    if done.status == 2:
        assert (everything(box), box.index(), box.refs()) == (files, index, refs), what
    return done.status


RELEVANT: dict[str, tuple[str, ...]] = {
    "add": ("people", "generated", "staged", "weights", "own models/m"),
    "add new": ("people", "own models/n", "own .dvc"),
    "add plain": ("people", "own models/p", "own p.bin.dvc"),
    "add pipeline": ("people",),
    "record": ("people", "generated", "staged", "weights", "own models/m"),
    "tag": ("people", "generated", "staged", "weights", "own models/m"),
    "rollback": ("people", "generated", "staged", "weights", "own models/m"),
    "restore": ("people", "generated weights.dvc", "weights", "own models/m"),
    "get": ("own out", "weights"),
    "get file": ("own out", "weights"),
    "client": ("own src", "client"),
    "init": ("people", "named", "hook"),
    "init ci": ("people", "own .github", "hook", "workflow"),
    "init remote": ("people", "named"),
    "doctor": ("people", "generated", "staged", "weights", "own", "hook"),
    **dict.fromkeys(STAGES, ("people", "own models/m/weights", "weights")),
}
"""Command → what its edits' names start with: all that it may touch."""

CASES = [
    (command, edit) for command, starts in RELEVANT.items() for edit in EDITS if edit.startswith(starts)
]  # fmt: skip


@pytest.mark.parametrize(("command", "edit"), random.Random(7).sample(CASES, SAMPLE))
def test_sampled_work(world: World, tmp_path: Path, command: str, edit: str) -> None:
    check(world, command, edit, tmp_path / "world")


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_all_work(world: World, tmp_path: Path, command: str) -> None:
    for number, edit in enumerate(edit for name, edit in CASES if name == command):
        check(world, command, edit, tmp_path / str(number))


@pytest.mark.slow
def test_the_commands_have_work_to_do(world: World, tmp_path: Path) -> None:
    """Each ends with 0 beside the unrelated changes alone, so that what is kept is not kept for want of trying."""
    for number, command in enumerate(name for name in COMMANDS if name not in STAGES):
        status = check(world, command, "nothing", tmp_path / str(number))
        assert status == 0 or (command, status) == ("doctor", 1), command  # not all that it finds can be mended


def test_a_remote_of_the_same_name_keeps_what_is_said_of_it(empty_repo: Sandbox) -> None:
    """`dvc remote add --force` dropped the remote's options, all comments, and another URL without a word."""
    config = empty_repo.root / ".dvc" / "config"
    config.write_text("# ours\n['remote \"storage\"']\n    url = ../../storage\n    verify = true\n")
    done = empty_repo.refused("init", "--remote", "../elsewhere")
    assert "has a remote 'storage' already" in done.err
    empty_repo.mv("init", "--remote", "../storage")
    lines = [line.strip() for line in config.read_text().splitlines()]
    assert {"# ours", "verify = true", "remote = storage"} <= set(lines)
    assert empty_repo.dvc("remote", "list").out.split()[0] == "storage"
    before = config.read_bytes()
    empty_repo.mv("init", "--remote", "../storage")
    assert config.read_bytes() == before
    empty_repo.mend(done)
    assert "elsewhere" in config.read_text()


def test_attributes_keep_their_bytes(empty_repo: Sandbox) -> None:
    """Lines are added to a file with CRLF, or in another encoding; those that are there stay as they are."""
    path = empty_repo.root / ".gitattributes"
    path.write_bytes("*.f\u00fcr text\r\n".encode("latin-1"))
    before = path.read_bytes()
    empty_repo.mv("init")
    assert path.read_bytes().startswith(before)
    assert path.read_bytes() != before


def test_a_damaged_object_does_not_hold_what_lies_in_the_working_tree(model_repo: Sandbox) -> None:
    """Weights that were added, the pointer taken back since: the cache has objects of these names, all zeros."""
    folder = model_repo.root / "models/m/weights"
    model_repo.change("m", 5)
    mine = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    model_repo.git("checkout", "-q", "--", "models/m")
    cache = model_repo.root / ".dvc" / "cache" / "files" / "md5"
    for path in [path for path in cache.glob("*/*") if path.read_bytes() in mine.values()]:
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(bytes(len(data)))
    done = model_repo.mv("restore", status=1)
    assert "changed by you, so left alone" in done.err
    left = {path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    objects = {path.read_bytes() for path in cache.glob("*/*")}
    assert set(mine.values()) - left - objects == set()
