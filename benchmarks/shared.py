"""What the rows share: sizes, rounds, and the files and repositories that are made when first asked for."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from harness import Line, Run, Sandbox, seconds
from inputs import Shape, write
from peers import Peers
from repos import DvcRepo, LfsRepo, ModelverRepo, Repo, disk_bytes


@dataclass
class Bench:
    """What rows share: sizes, rounds, and files and repositories that are made when first asked for.

    Attributes:
        box, peers: where and beside what.
        big, little: the model of the budgets, and one an eighth of it.
        tags, gto_tags: version tags in the repository of `list`, and in the one that GTO gets.
        rounds: alternating runs of each measurement.
    """

    box: Sandbox
    peers: Peers
    big: Shape
    little: Shape
    tags: int
    gto_tags: int
    rounds: int
    growth: dict[str, tuple[int, int]] = field(default_factory=dict)

    @cached_property
    def v1(self) -> Path:
        """The model."""
        return write("onnx", self.box.root / "v1.onnx", self.big, 1)

    @cached_property
    def v2(self) -> Path:
        """One tensor changed."""
        return write("onnx", self.box.root / "v2.onnx", self.big, 2)

    @cached_property
    def modelver(self) -> ModelverRepo:
        """Two versions, ingested."""
        repo = ModelverRepo(self.box, "modelver")
        self.two_versions("modelver", repo, self.v1, self.v2)
        return repo

    @cached_property
    def dvc(self) -> DvcRepo:
        """Two versions in DVC."""
        repo = DvcRepo(self.box, "dvc")
        self.two_versions("DVC", repo, self.v1, self.v2)
        return repo

    @cached_property
    def lfs(self) -> LfsRepo:
        """Two versions in Git LFS."""
        repo = LfsRepo(self.box, "lfs")
        self.two_versions("Git LFS", repo, self.v1, self.v2)
        return repo

    def two_versions(self, name: str, repo: "ModelverRepo | DvcRepo | LfsRepo", v1: Path, v2: Path) -> None:
        """Release both, upload both, note by how much store and remote grew, and drop the remote's content."""
        repo.release(v1, "v1")
        repo.push()
        before = disk_bytes(repo.store), disk_bytes(repo.remote)
        repo.release(v2, "v2")
        repo.push()
        self.growth[name] = (disk_bytes(repo.store) - before[0], disk_bytes(repo.remote) - before[1])
        self.box.remove(repo.remote)

    def dvc_like(self) -> dict[str, "DvcRepo | LfsRepo"]:
        """The peers that hold the model as one file."""
        found: dict[str, DvcRepo | LfsRepo] = {"DVC": self.dvc}
        if self.peers.lfs:
            found["Git LFS"] = self.lfs
        return found

    def md5sum(self, _: int = 0) -> Run:
        """`md5sum` of the model."""
        return self.box.run(["md5sum", str(self.v1)], self.box.root)


def versions_of(repo: Repo) -> tuple[str, str]:
    """The tags of the two versions."""
    if isinstance(repo, ModelverRepo):
        first, second, *_ = repo.tags()
        return first, second
    return "v1", "v2"


def peer_line(row: str, what: str, runs: list[Run], ratio: str = "") -> Line:
    return Line(row, what, seconds(runs).text(" s"), ratio)
