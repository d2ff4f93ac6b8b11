"""A repository with two versions of weights, made by the real Git and DVC."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

# Both note each call: `modelver` on PATH, and the interpreter that the hooks were installed with.
ON_PATH = f"""#!/bin/sh
echo "$@" >> "$MODELVER_CALLS"
shift
exec {sys.executable} -P -m modelver.cli.githook "$@"
"""
INTERPRETER = f"""#!/bin/sh
echo "$@" >> "$MODELVER_CALLS"
exec {sys.executable} "$@"
"""
CALL = "-P -m modelver.cli.githook"

V1 = {"model.onnx": b"graph 1", "tensors/a": b"A" * 3000, "tensors/b": b"B" * 3000, "test_data_set_0/input_0.pb": b"i"}
V2 = {"model.onnx": b"graph 2", "tensors/a": b"A" * 3000, "tensors/c": b"C" * 3000, "extra/deep/x": b"x"}


def environment(tmp: Path) -> dict[str, str]:
    """Nothing of the user's own configuration, and programs that note each call of modelver."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "PRE_COMMIT"))}
    env.update(
        HOME=str(tmp / "home"),
        XDG_CONFIG_HOME=str(tmp / "home" / ".config"),
        GIT_CONFIG_NOSYSTEM="1",
        GIT_AUTHOR_NAME="A U Thor",
        GIT_AUTHOR_EMAIL="a@example.com",
        GIT_COMMITTER_NAME="A U Thor",
        GIT_COMMITTER_EMAIL="a@example.com",
        DVC_NO_ANALYTICS="1",
        DVC_SITE_CACHE_DIR=str(tmp / "dvc-site"),
        MODELVER_CALLS=str(tmp / "calls"),
        PATH=f"{tmp / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        PYTHONPATH=str(Path(__file__).parents[2]),
    )
    (tmp / "home").mkdir(exist_ok=True)
    (tmp / "bin").mkdir(exist_ok=True)
    for name, text in (("modelver", ON_PATH), ("interpreter", INTERPRETER)):
        (tmp / "bin" / name).write_text(text)
        (tmp / "bin" / name).chmod(0o755)
    return env


class Repo:
    """A working tree and the environment to work on it."""

    def __init__(self, root: Path, env: dict[str, str]) -> None:
        self.root = root
        self.env = env

    def run(self, *command: str, ok: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(command, cwd=self.root, env=self.env, input=stdin, capture_output=True, text=True)
        assert not ok or done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done

    def git(self, *args: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("git", *args, ok=ok)

    def put(self, folder: str, files: dict[str, bytes]) -> None:
        """Make a folder hold exactly these files."""
        top = self.root / folder
        for path in sorted(top.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        for name, data in files.items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_bytes(data)

    def holds(self, folder: str) -> dict[str, bytes]:
        top = self.root / folder
        return {p.relative_to(top).as_posix(): p.read_bytes() for p in top.rglob("*") if p.is_file()}

    def object(self, data: bytes) -> Path:
        """Where DVC's cache has these bytes."""
        digest = hashlib.md5(data).hexdigest()
        return self.root / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]

    def calls(self) -> list[str]:
        """How ``modelver`` was called since the last time this was asked."""
        path = Path(self.env["MODELVER_CALLS"])
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines


def make(root: Path, env: dict[str, str]) -> Repo:
    """Versions ``v0`` (nothing tracked), ``v1`` and ``v2`` of ``m/w``, ``v2`` checked out; no hooks.

    ``plain.bin`` is a tracked file that only v1 has; a stage makes ``out.bin``, and ``metric.json``, which is in Git.
    """
    root.mkdir(parents=True)
    repo = Repo(root, env)
    repo.git("init", "-q", "-b", "main")
    repo.run("dvc", "init", "-q")
    repo.run("dvc", "config", "core.autostage", "true")
    repo.git("add", ".")
    repo.git("commit", "-qm", "v0")
    repo.git("tag", "v0")
    stage = "stages:\n  s:\n    cmd: cp seed out.bin && cp seed metric.json\n    deps: [seed]\n    outs: [out.bin]\n"
    (root / "dvc.yaml").write_text(stage + "    metrics:\n      - metric.json:\n          cache: false\n")
    (root / "seed").write_text("1\n")
    (root / "plain.bin").write_bytes(b"plain")
    repo.put("m/w", V1)
    repo.run("dvc", "add", "-q", "m/w", "plain.bin")
    repo.run("dvc", "repro", "-q")
    _commit(repo, "v1")
    (root / "seed").write_text("2\n")
    repo.run("dvc", "remove", "-q", "plain.bin.dvc")
    (root / "plain.bin").unlink()
    repo.put("m/w", V2)
    repo.run("dvc", "add", "-q", "m/w")
    repo.run("dvc", "repro", "-q")
    _commit(repo, "v2")
    return repo


def _commit(repo: Repo, version: str) -> None:
    repo.git("add", ".")
    repo.git("commit", "-qm", version)
    repo.git("tag", version)
    assert repo.git("status", "--porcelain").stdout == ""
