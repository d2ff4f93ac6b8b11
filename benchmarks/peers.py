"""The tools to compare with: found, or fetched into the sandbox; one that can't be had is not run."""

import platform
import re
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness import BenchmarkError, Sandbox

GIT_THETA = "git-theta==0.2.0"


@dataclass(frozen=True)
class Peers:
    """Which tools are there.

    Attributes:
        lfs, theta, gto: whether each can be run. DVC always can, since modelver needs it.
        missing: the tool and why it was not run.
    """

    lfs: bool
    theta: bool
    gto: bool
    missing: dict[str, str]


def prepare(box: Sandbox, *, install: bool) -> Peers:
    """Put Git LFS and git-theta on the sandbox's path.

    Args:
        box: its ``PATH`` is extended.
        install: whether to fetch what is not there: Git LFS from Debian's packages, unpacked without root, git-theta
            into a virtual environment. False takes only what is installed.
    """
    missing: dict[str, str] = {}
    for name, fetch in (("git-lfs", _fetch_lfs), ("git-theta", _fetch_theta)):
        if _which(box, name):
            continue
        if not install:
            missing[name] = "not installed, and --no-install was given"
            continue
        try:
            fetch(box)
        except BenchmarkError as error:
            missing[name] = str(error).splitlines()[0]
    if not _which(box, "gto"):
        missing["gto"] = "not installed"
    lfs = "git-lfs" not in missing
    if not lfs and "git-theta" not in missing:
        missing["git-theta"] = "needs Git LFS"
    return Peers(lfs, "git-theta" not in missing, "gto" not in missing, missing)


def versions(box: Sandbox, peers: Peers) -> dict[str, str]:
    """Versions of everything that was run."""
    found = {"Python": platform.python_version(), "Git": _said(box, ["git", "--version"])}
    for package in ("modelver", "dvc", "dvc-data", "gto", "gitpython", "onnx", "numpy", "typer"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    if peers.lfs:
        found["git-lfs"] = _said(box, ["git-lfs", "version"])
    if peers.theta:
        found["git-theta"] = GIT_THETA.partition("==")[2]
    return found


def _fetch_lfs(box: Sandbox) -> None:
    folder = box.root / "git-lfs"
    folder.mkdir()
    box.run(["apt-get", "download", "git-lfs"], folder)
    package = next(folder.glob("git-lfs_*.deb"), None)
    if package is None:
        raise BenchmarkError("apt-get brought no git-lfs")
    box.run(["dpkg-deb", "-x", package.name, "."], folder)
    _extend_path(box, folder / "usr" / "bin")


def _fetch_theta(box: Sandbox) -> None:
    folder = box.root / "git-theta"
    box.run([sys.executable, "-m", "venv", str(folder)], box.root)
    box.run([str(folder / "bin" / "pip"), "install", "--quiet", GIT_THETA, "safetensors"], box.root)
    # only its own programs: the environment's Python must not come before the one that runs modelver
    programs = box.root / "git-theta-programs"
    programs.mkdir()
    for program in (folder / "bin").glob("git-theta*"):
        (programs / program.name).symlink_to(program)
    _extend_path(box, programs)


def _extend_path(box: Sandbox, folder: Path) -> None:
    box.env["PATH"] = f"{box.env['PATH']}:{folder}"


def _which(box: Sandbox, name: str) -> bool:
    return shutil.which(name, path=box.env["PATH"]) is not None


def _said(box: Sandbox, command: list[str]) -> str:
    found = re.search(r"\d+(\.\d+)+", box.run(command, box.root).output)
    return found.group() if found else "?"
