"""A temporary repository that real commands work in, cut off from the user's own settings."""

import io
import json
import os
import subprocess
import sys
import threading
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import models

GITCONFIG = """\
[user]
\tname = A U Thor
\temail = a@example.com
[init]
\tdefaultBranch = main
[gc]
\tauto = 0
[protocol "file"]
\tallow = always
[advice]
\tdetachedHead = false
"""


def environment(home: Path) -> dict[str, str]:
    """The process environment without what belongs to the user or to a Git hook that runs the tests."""
    home.mkdir(parents=True, exist_ok=True)
    config = home / "gitconfig"
    config.write_text(GITCONFIG)
    drop = ("GIT_", "DVC_", "MODELVER_", "_MODELVER", "PRE_COMMIT", "LC_", "PYTEST")
    env = {k: v for k, v in os.environ.items() if not k.startswith(drop)}
    env.update(
        HOME=str(home),
        XDG_CONFIG_HOME=str(home / ".config"),
        XDG_CACHE_HOME=str(home / ".cache"),
        GIT_CONFIG_GLOBAL=str(config),
        GIT_CONFIG_NOSYSTEM="1",
        DVC_NO_ANALYTICS="1",
        DVC_SITE_CACHE_DIR=str(home / "dvc-site"),
        LANG="C.UTF-8",
        TZ="UTC",
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        PYTHONPATH=str(Path(__file__).parents[1]),
        PYTHONDONTWRITEBYTECODE="1",
    )
    env.pop("NO_COLOR", None)
    return env


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Sandbox:
    """A working tree, and commands run at its top.

    Commands of modelver are real processes; every one of them is checked for the manners that all share: no traceback,
    an ``error:`` line exactly where the status says so.
    """

    def __init__(self, root: Path, env: dict[str, str]) -> None:
        self.root = root
        self.env = env

    def run(self, *command: str, status: int | None = 0, stdin: str = "", **env: str) -> Done:
        done = subprocess.run(
            command, cwd=self.root, env={**self.env, **env}, input=stdin.encode(), capture_output=True, check=False
        )
        result = Done(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))
        assert status is None or done.returncode == status, f"{command}: {done.returncode}\n{result.out}\n{result.err}"
        return result

    def mv(self, *args: str, status: int | None = 0, stdin: str = "", **env: str) -> Done:
        """Run modelver."""
        done = self.run(sys.executable, "-P", "-m", "modelver", *args, status=status, stdin=stdin, **env)
        assert "Traceback" not in done.err, done.err
        if status:
            assert done.err.strip(), f"{args}: status {done.status} and no word why"
        return done

    def refused(self, *args: str, status: int = 2, **env: str) -> Done:
        """Run modelver, which must refuse, and leave refs, index and files as they were."""
        before = self.fingerprint()
        done = self.mv(*args, status=status, **env)
        assert "error: " in done.err, done.err
        assert self.fingerprint() == before
        return done

    def hint(self, done: Done) -> str:
        """The command that a refusal names: what stands behind ``hint:``, up to the remark in brackets."""
        line = next(line for line in done.err.splitlines() if line.startswith("hint: "))
        return line.removeprefix("hint: ").split("   (")[0]

    def mend(self, done: Done) -> Done:
        """Run the command that a refusal names, in a shell, as a user would who copies it."""
        command = self.hint(done)
        bin_dir = self.root.parent / ".mend-bin"
        bin_dir.mkdir(exist_ok=True)
        script = bin_dir / "modelver"
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m modelver "$@"\n')
        script.chmod(0o755)
        path = f"{bin_dir}{os.pathsep}{self.env['PATH']}"
        return self.run("sh", "-c", command, PATH=path, GIT_EDITOR="true")

    def git(self, *args: str, status: int | None = 0, stdin: str = "", **env: str) -> str:
        return self.run("git", *args, status=status, stdin=stdin, **env).out.rstrip("\n")

    def dvc(self, *args: str, status: int | None = 0) -> Done:
        return self.run(sys.executable, "-P", "-m", "dvc", *args, status=status)

    def write(self, path: str, text: str | bytes) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode() if isinstance(text, str) else text)
        return target

    def commit(self, message: str, *paths: str) -> str:
        self.git("add", "-A", "--", *(paths or (".",)))
        self.git("commit", "-qm", message)
        return self.git("rev-parse", "HEAD")

    def tags(self) -> list[str]:
        return self.git("tag", "--list").splitlines()

    def refs(self) -> str:
        return self.git("for-each-ref", "--format=%(refname) %(objectname)") + self.git(
            "rev-parse", "--verify", "-q", "HEAD", status=None
        )

    def index(self) -> str:
        return self.git("-c", "core.quotePath=false", "ls-files", "-s", "-v")

    def files(self) -> dict[str, bytes | str]:
        """Every file of the working tree but DVC's scratch space: path → bytes, or where a link points."""
        found: dict[str, bytes | str] = {}
        for place, folders, names in os.walk(self.root):
            folders[:] = [f for f in folders if f != ".git" and not (Path(place).name == ".dvc" and f == "tmp")]
            for name in names:
                path = Path(place) / name
                key = path.relative_to(self.root).as_posix()
                found[key] = f"-> {path.readlink()}" if path.is_symlink() else path.read_bytes()
        return found

    def fingerprint(self) -> tuple[object, ...]:
        """All that a refused command must leave alone."""
        return (self.refs(), self.index(), self.git("symbolic-ref", "-q", "HEAD", status=None), self.files())

    def add_model(self, name: str, seed: int, *options: str) -> None:
        """Bring a safetensors checkpoint in, and commit it."""
        source = models.safetensors(self.root.parent / "incoming" / f"{name.replace('/', '-')}.safetensors", seed)
        self.mv("add", name, str(source), *options)
        self.commit(f"{name}: seed {seed}")

    def change(self, name: str, seed: int) -> None:
        """The next weights of a model that is there, not committed."""
        source = models.safetensors(self.root.parent / "incoming" / f"{name.replace('/', '-')}.safetensors", seed)
        self.mv("add", name, str(source))

    def clone(self, to: Path, *options: str) -> "Sandbox":
        self.run("git", "clone", "-q", *options, f"file://{self.root}", str(to))
        return Sandbox(to, self.env)


class InProcess(Sandbox):
    """Runs modelver in this very process, where the start of another would be most of a test's time.

    What is read of it is what it writes through Python; a program that it starts and that writes by itself is not seen.
    """

    def mv(self, *args: str, status: int | None = 0, stdin: str = "", **env: str) -> Done:
        # folder and environment are the whole process's, so one of several threads can't have its own; who brings
        # programs along puts in ones that kill who starts them; and modules are looked up once
        if stdin or {"PATH", "PYTHONPATH"} & env.keys() or threading.current_thread() is not threading.main_thread():
            return super().mv(*args, status=status, stdin=stdin, **env)
        from modelver.cli.main import run

        out, err = io.StringIO(), io.StringIO()
        before, place = dict(os.environ), Path.cwd()
        os.environ.clear()
        os.environ.update({**self.env, **env})
        os.chdir(self.root)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                ended = run(list(args))
        finally:
            os.chdir(place)
            os.environ.clear()
            os.environ.update(before)
        done = Done(ended, out.getvalue(), err.getvalue())
        assert status is None or ended == status, f"{args}: {ended}\n{done.out}\n{done.err}"
        assert not ended or done.err.strip(), f"{args}: status {ended} and no word why"
        return done


def start(root: Path, env: dict[str, str]) -> Sandbox:
    """A repository made by `modelver init`, with one commit."""
    root.mkdir(parents=True)
    box = Sandbox(root, env)
    box.mv("init")
    box.commit("start")
    return box
