"""`modelver demo`: the whole tour on real data, in a fresh repository, by the commands that a user would type."""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from modelver.errors import ExternalFailure, Refused

Say = Callable[[str], None]

_PARAMS = """\
train:
  hidden: 16
  epochs: 60
modelver:
  scheme: semver
  models: {}
"""

_WEIGHTS = "models/digits/weights"


def demo(folder: Path, say: Say) -> None:
    """Train, export, validate, tag and publish two versions, compare them, roll back, and prove it by hash.

    Args:
        folder: a new or empty folder; the repository, a bare Git remote and a DVC remote are made in it.
        say: told what is done and why.

    Raises:
        Refused: the folder holds something, or scikit-learn is missing.
        ExternalFailure: a command failed.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused(f"{folder} is not empty", hint="modelver demo another-folder")
    _require_sklearn()
    folder.mkdir(parents=True, exist_ok=True)
    work = folder.resolve() / "work"
    work.mkdir()
    tour = _Tour(work, say)
    say("# A repository for models: Git for the code, a bare repository to push to, a folder as DVC's remote.")
    tour.run("git init --quiet --bare ../remote.git")
    tour.run("git init --quiet --initial-branch=main .")
    tour.run("git remote add origin ../remote.git")
    tour.run("modelver init --remote ../storage")
    say("\n# The training code, and a stage for it; `modelver add` puts export and validation behind it.")
    tour.make_folder("build")
    tour.write("train.py", files("modelver.demo").joinpath("train.py").read_bytes())
    tour.write("params.yaml", _PARAMS.encode())
    tour.run(
        "dvc stage add --quiet --name train --deps train.py --params train --outs build/digits.joblib"
        " --outs build/test.npz python train.py"
    )
    tour.run("modelver add digits build/digits.joblib --data build/test.npz --desc 'Handwritten digits, 8x8 pixels'")
    say("\n# Train, export to ONNX, validate; then make version 1 of it and publish it.")
    tour.run("dvc repro --quiet")
    tour.run("git add -A")
    tour.run("git commit --quiet -m 'Digits: a first model'")
    tour.run("modelver tag digits -m 'A first model'")
    tour.run("modelver push")
    first = _digests(work)
    say("\n# A larger network makes version 2. The change calls for a minor bump; we ask for a major one.")
    tour.run("sed -i.bak 's/hidden: 16/hidden: 64/' params.yaml")
    (work / "params.yaml.bak").unlink()
    tour.run("dvc repro --quiet")
    tour.run("git add -A")
    tour.run("git commit --quiet -m 'Digits: 64 hidden units'")
    tour.run("modelver tag digits --bump major -m '64 hidden units'")
    tour.run("modelver push")
    second = _digests(work)
    say("\n# What is there, and what changed? No weights are needed to answer.")
    tour.run("modelver list")
    tour.run("modelver diff v1 v2")
    say("\n# Roll back. The weights come along.")
    tour.run("git checkout --quiet digits@v1.0.0")
    tour.run(("sha256sum" if shutil.which("sha256sum") else "shasum -a 256") + f" {_WEIGHTS}/model.onnx")
    restored = _digests(work)
    if restored != first or restored == second:
        raise ExternalFailure("the weights after git checkout are not those of version 1")
    say(f"# {len(first)} files of weights have the SHA-256 that version 1 had, byte for byte.")
    tour.run("git checkout --quiet main")
    if _digests(work) != second:
        raise ExternalFailure("the weights after git checkout are not those of version 2")
    say("\n# Whoever has no clone gets a version from the remotes alone; each one published can be verified there.")
    tour.run("modelver get digits@v1 --repo ../remote.git -o ../v1")
    if _digests(folder.resolve() / "v1", "") != first:
        raise ExternalFailure("what modelver get brought is not version 1")
    tour.run("modelver verify --all --remote")
    say(f"\nThe repository is in {work}: try `modelver show v2` or `modelver log` there.")


class _Tour:
    """Runs commands as typed in a shell, and shows them."""

    def __init__(self, work: Path, say: Say) -> None:
        self._work = work
        self._say = say
        self._env = {**os.environ, "DVC_NO_ANALYTICS": "1"}
        # `dvc` and `modelver` are those of the Python that runs now, whatever else is installed.
        self._env["PATH"] = str(Path(sys.executable).parent) + os.pathsep + self._env.get("PATH", "")
        for key, value in (("NAME", "modelver demo"), ("EMAIL", "demo@localhost")):
            for role in ("AUTHOR", "COMMITTER"):
                self._env.setdefault(f"GIT_{role}_{key}", value)

    def run(self, command: str) -> None:
        self._say(f"$ {command}")
        done = subprocess.run(
            shlex.split(command), cwd=self._work, env=self._env, stderr=subprocess.STDOUT, check=False
        )
        if done.returncode != 0:
            raise ExternalFailure(f"{command}: exit status {done.returncode}")

    def make_folder(self, name: str) -> None:
        (self._work / name).mkdir()

    def write(self, name: str, data: bytes) -> None:
        self._say(f"  (writes {name})")
        (self._work / name).write_bytes(data)


def _digests(work: Path, weights: str = _WEIGHTS) -> dict[str, str]:
    folder = work / weights
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _require_sklearn() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("sklearn", "skl2onnx", "joblib", "pandas") if find_spec(name) is None]
    if missing:
        raise Refused(
            f"the demo trains with scikit-learn, and {', '.join(missing)} is missing",
            hint="pip install 'modelver[sklearn]'",
        )
