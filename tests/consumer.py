"""A repository with published versions, and somebody on another machine who wants them."""

import contextlib
import functools
import hashlib
import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from sandbox import Done, Sandbox, environment, start

import models

SIDE = 512
"""Rows and columns of a float32 matrix of 1 MiB, which gets a file of its own."""


def net(path: Path, *seeds: int) -> Path:
    """``y = x @ w0 @ w1 …``, a matrix of 1 MiB for each seed."""
    from onnx import TensorProto, helper, numpy_helper, save

    names = ["x", *(f"h{n}" for n in range(1, len(seeds))), "y"]
    inits = [numpy_helper.from_array(matrix(seed), f"w{n}") for n, seed in enumerate(seeds)]
    nodes = [helper.make_node("MatMul", [names[n], f"w{n}"], [names[n + 1]]) for n in range(len(seeds))]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", SIDE]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], inits)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), str(path))
    return path


def matrix(seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal((SIDE, SIDE)) / 23).astype(np.float32)


@functools.cache
def template(base: Path) -> Path:
    """A folder with ``repo``, ``bare.git`` and ``storage``, to which the committed DVC configuration points.

    Models: ``m`` (safetensors; v1.0.0 in prod, v1.0.1, v1.0.2 yanked), ``net`` (ONNX of two tensor files; v1.0.1
    shares one of them), ``plain`` (one file), ``g`` (a folder, tagged by GTO).
    """
    box = start(base / "repo", environment(base / "home"))
    box.dvc("remote", "add", "-d", "storage", str(base / "storage"))
    box.commit("remote")
    box.add_model("m", 1)
    box.mv("tag", "m")
    box.mv("promote", "m@v1.0.0", "prod")
    for seed in (2, 3):
        box.change("m", seed)
        box.commit(f"m: {seed}")
        box.mv("tag", "m")
    box.mv("yank", "m@v1.0.2")
    for seeds in ((10, 11), (10, 12)):
        box.mv("add", "net", str(net(base / "incoming" / f"net{seeds[1]}.onnx", *seeds)))
        box.commit(f"net: {seeds}")
        box.mv("tag", "net")
    box.mv("add", "plain", str(models.gguf(box.root / "llm.gguf", 5)))
    box.commit("plain")
    box.mv("tag", "plain")
    for name in ("a.bin", "deep/b.bin"):
        box.write(f"folder/{name}", f"content of {name}\n" * 20)
    box.dvc("add", "-q", "folder")
    text = (box.root / "dvc.yaml").read_text()
    (box.root / "dvc.yaml").write_text(
        text.replace("artifacts:\n", "artifacts:\n  g:\n    path: folder\n    type: model\n")
    )
    box.commit("g")
    for key, value in (("name", "A U Thor"), ("email", "a@example.com")):
        box.git("config", f"user.{key}", value)  # GTO's Git does not look at GIT_CONFIG_GLOBAL
    box.run("gto", "register", "g", "--version", "v1.0.0")
    shutil.copytree(box.root / ".dvc" / "cache", base / "storage")  # DVC's layout is the same in both
    box.git("clone", "-q", "--bare", ".", str(base / "bare.git"))
    return base


@dataclass
class World:
    """The publisher's side, and a consumer who has neither a clone nor a cache.

    Attributes:
        base: what `template` made; to be left as it was found.
        box: the consumer's working folder, in no repository; commands run there.
    """

    base: Path
    box: Sandbox

    @property
    def bare(self) -> str:
        return str(self.base / "bare.git")

    @property
    def cache(self) -> Path:
        return Path(self.box.env["XDG_CACHE_HOME"]) / "modelver"

    def mv(self, *args: str, status: int | None = 0, **env: str) -> Done:
        """Run modelver's command line in the consumer's folder and environment, in this process: starting one costs
        more than most of what is tried here. (`Sandbox.mv` starts one.)"""
        from modelver.cli.main import run

        out, err = io.StringIO(), io.StringIO()
        with (
            patch.dict(os.environ, {**self.box.env, **env}, clear=True),
            contextlib.chdir(self.box.root),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            found = run(list(args))
        done = Done(found, out.getvalue(), err.getvalue())
        assert status is None or found == status, f"{args}: {found}\n{done.out}\n{done.err}"
        if found:
            assert done.err.strip(), f"{args}: status {found} and no word why"
        return done

    def get(self, *args: str, status: int | None = 0, repo: str | None = None, **env: str) -> Done:
        return self.mv("get", *args, "--repo", repo or self.bare, status=status, **env)

    def failed(self, *args: str, status: int, **env: str) -> Done:
        """A `get` that must fail, say why, and leave everything beside the cache as it was."""
        before = tree(self.box.root)
        done = self.get(*args, status=status, **env)
        assert "error: " in done.err
        assert tree(self.box.root) == before
        return done

    def stored(self, md5: str) -> Path:
        """An object on the DVC remote."""
        return self.base / "storage" / "files" / "md5" / md5[:2] / md5[2:]

    def files(self, model: str, version: str) -> list[dict]:
        """The manifest of a version, from Git."""
        done = subprocess.run(
            ["git", f"--git-dir={self.bare}", "show", f"{model}@{version}:models/{model}/files.jsonl"],
            capture_output=True, check=True,
        )  # fmt: skip
        return [json.loads(line) for line in done.stdout.splitlines()]

    def expected(self, model: str, version: str) -> dict[str, bytes]:
        """Path → bytes of a version, from the publisher's objects."""
        found = {}
        for entry in self.files(model, version):
            data = self.stored(entry["md5"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == entry["sha256"]
            found[entry["path"]] = data
        return found

    @contextmanager
    def harmed(self, md5: str, data: bytes | None) -> Iterator[None]:
        """For a while the remote has other bytes under a name, or nothing."""
        place = self.stored(md5)
        aside = place.with_name("aside")
        place.rename(aside)
        try:
            if data is not None:
                place.write_bytes(data)
            yield
        finally:
            place.unlink(missing_ok=True)
            aside.rename(place)

    def forget(self) -> None:
        """The consumer's cache is empty again."""
        subprocess.run(["rm", "-rf", str(self.cache)], check=True)

    def forget_objects(self) -> None:
        """What was brought of Git stays."""
        subprocess.run(["rm", "-rf", str(self.cache / "objects")], check=True)


def tree(root: Path) -> dict[str, bytes | str | None]:
    """Everything below a folder: bytes of files, targets of links, None for folders."""
    found: dict[str, bytes | str | None] = {}
    for place, folders, names in os.walk(root):
        for name in folders + names:
            path = Path(place) / name
            key = path.relative_to(root).as_posix()
            if path.is_symlink():
                found[key] = f"-> {path.readlink()}"
            else:
                found[key] = None if path.is_dir() else path.read_bytes()
    return found


def files_in(root: Path) -> dict[str, bytes | str | None]:
    return {path: data for path, data in tree(root).items() if data is not None}


def make_world(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    work = tmp_path / "work"
    work.mkdir()
    base = template(tmp_path_factory.getbasetemp() / "consumer-template")
    return World(base, Sandbox(work, environment(tmp_path / "home")))
