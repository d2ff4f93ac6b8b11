"""Repositories that hold a model, one class a tool: all answer the same few verbs."""

import copy
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Self

from harness import BenchmarkError, Run, Sandbox
from inputs import tags_stream

COMMIT = ["git", "commit", "--quiet", "--all", "--message", "next"]

_BUILD = '''\
"""Stands for a training and an export: weights, manifests and a passed validation of the model file given."""
import json, sys
from pathlib import Path
from modelver.core.manifest import dump_files, dump_tensors
from modelver.formats import onnx_split

place = Path("models/m")
place.mkdir(parents=True, exist_ok=True)
found = onnx_split.split(Path(sys.argv[1]), place / "weights", lambda _: None)
(place / "tensors.jsonl").write_bytes(dump_tensors(found.tensors))
(place / "files.jsonl").write_bytes(dump_files(found.files))
source = {"path": "model.bin", "format": "joblib", "framework": "bench", "framework_version": "1", "bytes": 1,
          "sha256": "0" * 64}
document = {"schema": "modelver/source/1", "kind": "pipeline", "source": source, "format": found.format,
            "signature": found.signature, "graph": found.graph, "environment": None}
(place / "source.json").write_text(json.dumps(document, indent=2) + "\\n")
validation = {"ok": True, "metrics": {"accuracy": 0.9}, "checks": [], "targets": {},
              "schema": ["modelver/validation/1"]}
(place / "validation.json").write_text(json.dumps(validation, indent=2) + "\\n")
'''

_PIPELINE = """\
  build:
    cmd: python build.py {source}
    deps:
    - build.py
    outs:
    - models/m/weights
    - models/m/tensors.jsonl:
        cache: false
    - models/m/files.jsonl:
        cache: false
    - models/m/source.json:
        cache: false
    metrics:
    - models/m/validation.json:
        cache: false
artifacts:
  m:
    path: models/m/weights
    type: model
"""


def disk_bytes(folder: Path) -> int:
    """Sum of the sizes of the regular files below a folder."""
    return sum(path.lstat().st_size for path in _files(folder))


def _files(folder: Path) -> list[Path]:
    return [Path(place) / name for place, _, names in os.walk(folder) for name in names]


def md5(path: Path) -> str:
    """MD5 of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


class Repo:
    """A Git repository with a model in it.

    Attributes:
        root: its working tree.
        remote: where it uploads to; inside the sandbox.
    """

    STORE = ""

    def __init__(self, box: Sandbox, name: str) -> None:
        self.box = box
        self.root = box.root / name
        self.remote = box.root / f"{name}-remote"
        self.root.mkdir()
        self.run("git", "init", "--quiet")

    @property
    def store(self) -> Path:
        """Where the tool keeps content on this machine."""
        return self.root / self.STORE

    def copy(self, name: str) -> Self:
        """The same in another folder, with the same remote."""
        other = copy.copy(self)
        other.root = Path(shutil.copytree(self.root, self.box.root / name, symlinks=True))
        return other

    def run(self, *command: str) -> Run:
        """One command at the top."""
        return self.box.run(command, self.root)

    def commit_all(self) -> Run:
        """Commit everything."""
        return self.run("git", "add", "--all") + self.run(*COMMIT)

    def checkout(self, revision: str) -> Run:
        """What a user types to have another version; hooks and filters do the rest."""
        return self.run("git", "checkout", "--quiet", revision)

    def trim(self, keep: set[Path]) -> None:
        """Remove from the store what is not in ``keep``, so that content that comes again is new again."""
        for path in set(_files(self.store)) - keep:
            path.unlink()

    def stored(self) -> set[Path]:
        """The files of the store."""
        return set(_files(self.store))

    def drop(self) -> None:
        """Remove the repository and its remote."""
        self.box.remove(self.root)
        self.box.remove(self.remote)


class ModelverRepo(Repo):
    """modelver, the model ingested."""

    STORE = ".dvc/cache/files"

    def __init__(self, box: Sandbox, name: str) -> None:
        super().__init__(box, name)
        self.run("modelver", "init", "--remote", str(self.remote))
        self.commit_all()

    def add(self, source: Path) -> Run:
        """`modelver add`."""
        return self.run("modelver", "add", "m", str(source))

    def tag(self, *options: str) -> Run:
        """`modelver tag`."""
        return self.run("modelver", "tag", "m", *options)

    def release(self, source: Path, _tag: str) -> Run:
        """Everything from a new file to a version."""
        return self.add(source) + self.commit_all() + self.tag()

    def push(self) -> None:
        """Upload."""
        self.run("dvc", "push", "--quiet")

    def tags(self) -> list[str]:
        """Version tags, oldest first."""
        return self.run("git", "tag", "--list", "--sort=version:refname").output.split()

    def check(self) -> None:
        """Raise BenchmarkError unless the weights in the working tree are those of the manifest."""
        place = self.root / "models" / "m"
        for line in (place / "files.jsonl").read_text().splitlines():
            entry = json.loads(line)
            if md5(place / "weights" / entry["path"]) != entry["md5"]:
                raise BenchmarkError(f"after checkout {entry['path']} has other bytes")


class PipelineRepo(ModelverRepo):
    """modelver, the weights made by a DVC stage that is current."""

    def __init__(self, box: Sandbox, name: str, source: Path) -> None:
        super().__init__(box, name)
        (self.root / "build.py").write_text(_BUILD)
        with (self.root / "dvc.yaml").open("a") as file:
            file.write(_PIPELINE.format(source=source))
        self.run("dvc", "repro", "--quiet", "build")
        self.commit_all()


class ExportRepo(ModelverRepo):
    """modelver, the weights made by its own stage `export` from an ONNX file that a stage of the user's wrote."""

    def __init__(self, box: Sandbox, name: str, source: Path, columns: int) -> None:
        super().__init__(box, name)
        shutil.copyfile(source, self.root / "built.onnx")
        lines = [
            [f"x{n}" for n in range(columns)],
            *[[str((n * row) % 7 - 3) for n in range(columns)] for row in (1, 2)],
        ]
        (self.root / "rows.csv").write_text("".join(",".join(line) + "\n" for line in lines))
        self.run("modelver", "add", "m", "built.onnx", "--framework", "onnx", "--data", "rows.csv")
        self.commit_all()

    def export(self) -> Run:
        """`modelver stage export`: split, hash, tensor statistics, and the recorded run in onnxruntime."""
        return self.run("modelver", "stage", "export", "m")


class DvcRepo(Repo):
    """DVC alone, the model one file, its hooks installed."""

    STORE = ".dvc/cache/files"

    def __init__(self, box: Sandbox, name: str, file: str = "model.onnx") -> None:
        super().__init__(box, name)
        self.name = file
        self.run("dvc", "init", "--quiet")
        self.run("dvc", "remote", "add", "--quiet", "--default", "store", str(self.remote))
        self.run("dvc", "install")
        self.commit_all()

    @property
    def file(self) -> Path:
        """The model."""
        return self.root / self.name

    def release(self, source: Path, tag: str) -> Run:
        """Everything from a new file to a version."""
        shutil.copyfile(source, self.file)
        return self.add() + self.commit_all() + self.run("git", "tag", "-a", tag, "-m", tag)

    def add(self) -> Run:
        """`dvc add` of the file that lies there."""
        return self.run("dvc", "add", "--quiet", self.name)

    def push(self) -> None:
        """Upload."""
        self.run("dvc", "push", "--quiet")


class LfsRepo(Repo):
    """Git LFS, the model one file."""

    STORE = ".git/lfs/objects"

    def __init__(self, box: Sandbox, name: str, file: str = "model.onnx") -> None:
        super().__init__(box, name)
        self.name = file
        self.run("git", "lfs", "install", "--local")
        self.track()
        self.commit_all()
        self.run("git", "init", "--quiet", "--bare", str(self.remote))
        self.run("git", "remote", "add", "origin", f"file://{self.remote}")

    def track(self) -> None:
        """Declare the file."""
        self.run("git", "lfs", "track", self.name)

    @property
    def file(self) -> Path:
        """The model."""
        return self.root / self.name

    def release(self, source: Path, tag: str) -> Run:
        """Everything from a new file to a version."""
        shutil.copyfile(source, self.file)
        return self.commit_all() + self.run("git", "tag", "-a", tag, "-m", tag)

    def add(self) -> Run:
        """`git add` of the file that lies there."""
        return self.run("git", "add", self.name)

    def push(self) -> None:
        """Upload."""
        self.run("git", "push", "--quiet", "origin", "HEAD", "--tags")


class ThetaRepo(LfsRepo):
    """git-theta on Git LFS, the model a safetensors file."""

    def __init__(self, box: Sandbox, name: str) -> None:
        box.env["GIT_THETA_CHECKPOINT_TYPE"] = "safetensors"
        super().__init__(box, name, "model.safetensors")

    def track(self) -> None:
        """Declare the file."""
        self.run("git", "theta", "install")
        self.run("git", "theta", "track", self.name)


def tags_repo(box: Sandbox, name: str, count: int) -> Path:
    """A repository of ``count`` version tags on as many commits."""
    root = box.root / name
    root.mkdir()
    box.run(["git", "init", "--quiet"], root)
    box.run(["git", "fast-import", "--quiet"], root, stdin=tags_stream(count))
    box.run(["git", "pack-refs", "--all"], root)
    box.run(["git", "checkout", "--quiet", "--force", "main"], root)
    return root
