"""The rows of the table: each function measures one piece of work beside the peers."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import profiles
from harness import Line, Run, Sandbox, Spread, alternate, differences, ratios, seconds
from inputs import MIB, Shape, change_middle_tensor, write
from peers import Peers
from repos import DvcRepo, LfsRepo, ModelverRepo, PipelineRepo, Repo, ThetaRepo, disk_bytes, tags_repo

NOISE = 1.15
"""How far two times may lie apart and still count as independent of the size."""


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
        self._two_versions("modelver", repo, self.v1, self.v2)
        return repo

    @cached_property
    def dvc(self) -> DvcRepo:
        """Two versions in DVC."""
        repo = DvcRepo(self.box, "dvc")
        self._two_versions("DVC", repo, self.v1, self.v2)
        return repo

    @cached_property
    def lfs(self) -> LfsRepo:
        """Two versions in Git LFS."""
        repo = LfsRepo(self.box, "lfs")
        self._two_versions("Git LFS", repo, self.v1, self.v2)
        return repo

    def _two_versions(self, name: str, repo: "ModelverRepo | DvcRepo | LfsRepo", v1: Path, v2: Path) -> None:
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


def storage(bench: Bench) -> list[Line]:
    """Growth of the store and upload by a version with one tensor changed, ONNX and safetensors."""
    _ = bench.modelver, bench.dvc_like()
    found = {f"{name}, ONNX": growth for name, growth in bench.growth.items()}
    v1 = write("safetensors", bench.box.root / "v1.safetensors", bench.big, 1)
    v2 = write("safetensors", bench.box.root / "v2.safetensors", bench.big, 2)
    twin = ModelverRepo(bench.box, "modelver-safetensors")
    bench._two_versions("twin", twin, v1, v2)
    found["modelver, safetensors"] = bench.growth.pop("twin")
    twin.drop()
    if bench.peers.theta:
        theta = ThetaRepo(bench.box, "theta")
        bench._two_versions("theta", theta, v1, v2)
        found["git-theta, safetensors"] = bench.growth.pop("theta")
        theta.drop()
    v1.unlink()
    v2.unlink()
    changed = bench.big.tensor_bytes
    lines = []
    for name, (stored, uploaded) in sorted(found.items(), key=lambda item: not item[0].startswith("modelver")):
        ours = name.startswith("modelver")
        worst = max(stored, uploaded) / changed
        lines.append(
            Line(
                "storage",
                f"{name}: store and upload for v2, one of {bench.big.tensors} tensors changed",
                f"+{stored / MIB:.2f} MiB, +{uploaded / MIB:.2f} MiB",
                f"{worst:.3f} × the changed bytes",
                "≤ 1.02 ×" if ours else "",
                worst <= 1.02 if ours else None,
            )
        )
    return lines


def tag(bench: Bench) -> list[Line]:
    """`tag` where the pipeline is current, beside `md5sum` of the model and the same for a model an eighth its size."""
    repo = PipelineRepo(bench.box, "pipeline", bench.v1)
    small_model = write("onnx", bench.box.root / "little.onnx", bench.little, 1)
    small = PipelineRepo(bench.box, "pipeline-little", small_model)
    first = repo.tag()
    small.tag()
    runs = alternate(
        {
            "md5sum": bench.md5sum,
            "tag": lambda _: repo.tag("--force-new"),
            "small": lambda _: small.tag("--force-new"),
        },
        bench.rounds,
    )
    to_md5, to_small = ratios(runs["tag"], runs["md5sum"]), ratios(runs["tag"], runs["small"])
    met = to_md5.median <= 1, to_small.median <= NOISE
    profile = "" if all(met) else profiles.calls(bench.box, repo.root, ["tag", "m", "--force-new"])
    lines = [
        _peer("tag", f"`md5sum` of {bench.big.label}", runs["md5sum"]),
        Line(
            "tag", f"`modelver tag`, {bench.big.label}, pipeline current", seconds(runs["tag"]).text(" s"),
            f"{to_md5.text()} × md5sum", "≤ 1 × `md5sum`", met[0], profile,
        ),
        Line(
            "tag", f"`modelver tag`, {bench.little.label}, pipeline current", seconds(runs["small"]).text(" s"),
            f"large to small: {to_small.text()} ×", f"independent of size (≤ {NOISE} ×)", met[1],
        ),
        Line("tag", "the first `modelver tag` after `dvc repro`, which hashes all", f"{first.seconds:.2f} s"),
    ]  # fmt: skip
    for each in (repo, small):
        each.drop()
    small_model.unlink()
    return lines


def release(bench: Bench) -> list[Line]:
    """All of it: from a new file, one tensor changed, to a tagged version."""
    source = bench.box.root / "next.onnx"
    shutil.copyfile(bench.v2, source)
    repos: dict[str, ModelverRepo | DvcRepo | LfsRepo] = {"modelver": bench.modelver, **bench.dvc_like()}
    keep = {name: repo.stored() for name, repo in repos.items()}
    for repo in repos.values():
        repo.checkout("main")

    def contestant(name: str, repo: "ModelverRepo | DvcRepo | LfsRepo") -> Callable[[int], Run]:
        def run(number: int) -> Run:
            change_middle_tensor(source, bench.big, number)
            return repo.release(source, f"next-{number}")

        return run

    runs = alternate({name: contestant(name, repo) for name, repo in repos.items()}, bench.rounds)
    for name, repo in repos.items():
        repo.checkout(_versions(repo)[1])
        repo.trim(keep[name])
    source.unlink()
    what = {"modelver": "add + commit + tag", "DVC": "add + commit + tag", "Git LFS": "add + commit + tag"}
    return [
        Line(
            "release",
            f"{name}: {what[name]} of {bench.big.label}, one tensor changed",
            seconds(runs[name]).text(" s"),
            "" if name == "modelver" else f"modelver to it: {ratios(runs['modelver'], runs[name]).text()} ×",
        )
        for name in repos
    ]


def add(bench: Bench) -> list[Line]:
    """Split, hash and store a model that was never seen, in a fresh repository each time."""
    peers: dict[str, type[DvcRepo] | type[LfsRepo]] = {"DVC": DvcRepo}
    if bench.peers.lfs:
        peers["Git LFS"] = LfsRepo

    empty: dict[str, ModelverRepo | DvcRepo | LfsRepo] = {"modelver": ModelverRepo(bench.box, "add-modelver")}
    empty |= {name: kind(bench.box, f"add-{kind.__name__}") for name, kind in peers.items()}

    def fresh(name: str) -> Callable[[int], Run]:
        def run(number: int) -> Run:
            repo = empty[name].copy(f"add-{number}")
            try:
                if isinstance(repo, ModelverRepo):
                    return repo.add(bench.v1)
                shutil.copyfile(bench.v1, repo.file)
                return repo.add()
            finally:
                bench.box.remove(repo.root)

        return run

    runs = alternate({"md5sum": bench.md5sum, **{name: fresh(name) for name in empty}}, bench.rounds)
    ratio = ratios(runs["modelver"], runs["md5sum"])
    peak = Spread.of([run.peak / MIB for run in runs["modelver"]])
    met = ratio.median <= 3, peak.greatest <= 400
    profile = ""
    if not all(met):
        profile = profiles.calls(bench.box, empty["modelver"].root, ["add", "m", str(bench.v1)])
    for repo in empty.values():
        repo.drop()
    name = f"`modelver add` of {bench.big.label}"
    return [
        _peer("add", f"`md5sum` of {bench.big.label}", runs["md5sum"]),
        Line(
            "add", f"{name}: split, hash, store", seconds(runs["modelver"]).text(" s"), f"{ratio.text()} × md5sum",
            "≤ 3 × `md5sum`", met[0], profile,
        ),
        Line("add", f"{name}: peak memory", peak.text(" MiB"), "", "≤ 400 MiB", met[1]),
        *(
            _peer("add", f"{peer_} add: hash, store ({max(run.peak for run in runs[peer_]) // MIB} MiB)", runs[peer_])
            for peer_ in peers
        ),
    ]  # fmt: skip


def checkout(bench: Bench) -> list[Line]:
    """`git checkout` from v1 to v2 and back, weights and all."""
    repos: dict[str, Repo] = {"modelver": bench.modelver, **bench.dvc_like()}
    split = _dvc_of_split_folder(bench)
    repos["DVC, the same split folder"] = split
    versions = {name: _versions(repo) for name, repo in repos.items()}
    versions["DVC, the same split folder"] = versions["modelver"]
    for name, repo in repos.items():
        repo.checkout(versions[name][1])
        repo.checkout(versions[name][0])
    bench.modelver.check()

    def there_and_back(name: str) -> Callable[[int], Run]:
        return lambda number: repos[name].checkout(versions[name][1 - number % 2])

    runs = alternate({name: there_and_back(name) for name in repos}, bench.rounds + bench.rounds % 2)
    bench.modelver.check()
    lines = []
    ratio = ratios(runs["modelver"], runs["DVC"])
    met = ratio.median <= 0.6
    profile = ""
    if not met:
        other = bench.modelver.run("git", "rev-parse", versions["modelver"][1]).output.strip()
        bench.modelver.run("git", "-c", "core.hooksPath=/dev/null", "checkout", "--quiet", other)
        profile = profiles.calls(bench.box, bench.modelver.root, ["restore"])
    lines.append(
        Line(
            "checkout", f"`git checkout` v1 ↔ v2 of {bench.big.label}, modelver's hook",
            seconds(runs["modelver"]).text(" s"), f"{ratio.text()} × DVC", "≤ 0.6 × DVC", met, profile,
        )
    )  # fmt: skip
    for name in list(repos)[1:]:
        to_it = "" if name == "DVC" else f"modelver to it: {ratios(runs['modelver'], runs[name]).text()} ×"
        lines.append(_peer("checkout", f"`git checkout` v1 ↔ v2, {name}", runs[name], to_it))
    split.drop()
    return lines


def _dvc_of_split_folder(bench: Bench) -> Repo:
    """A clone of modelver's repository with DVC's hooks in place of modelver's: the same files, the same cache."""
    clone = Repo(bench.box, "split")
    clone.run("git", "fetch", "--quiet", "--tags", str(bench.modelver.root), "main")
    clone.checkout(_versions(bench.modelver)[0])
    clone.run("dvc", "cache", "dir", "--quiet", "--local", str(bench.modelver.store.parent))
    clone.run("dvc", "install")
    clone.run("dvc", "checkout", "--quiet")
    return clone


def _versions(repo: Repo) -> tuple[str, str]:
    """The tags of the two versions."""
    if isinstance(repo, ModelverRepo):
        first, second, *_ = repo.tags()
        return first, second
    return "v1", "v2"


def list_(bench: Bench) -> list[Line]:
    """`list` of many versions, beside what Git takes to read its tags."""
    many = tags_repo(bench.box, "tags", bench.tags)
    few = tags_repo(bench.box, "tags-gto", bench.gto_tags)
    refs = ["git", "for-each-ref", "--format=%(refname) %(objectname) %(*objectname) %(taggerdate:unix)", "refs/tags"]
    contestants: dict[str, Callable[[int], Run]] = {
        "refs": lambda _: bench.box.run(refs, many),
        "list": lambda _: bench.box.run(["modelver", "list"], many),
        "few": lambda _: bench.box.run(["modelver", "list"], few),
    }
    if bench.peers.gto:
        contestants["gto"] = lambda _: bench.box.run(["gto", "show"], few)
    runs = alternate(contestants, bench.rounds)
    if (seen := runs["list"][0].output.count("model-")) < bench.tags:
        raise AssertionError(f"`modelver list` showed {seen} of {bench.tags} versions")
    more = differences(runs["list"], runs["refs"])
    met = more.median <= 0.4
    lines = [
        _peer("list", f"`git for-each-ref` of {bench.tags:,} tags", runs["refs"]),
        Line(
            "list", f"`modelver list` of {bench.tags:,} versions", seconds(runs["list"]).text(" s"),
            f"for-each-ref + {more.text(' s')}", "≤ `for-each-ref` + 0.4 s", met,
            "" if met else profiles.calls(bench.box, many, ["list"]),
        ),
        _peer("list", f"`modelver list` of {bench.gto_tags:,} versions", runs["few"]),
    ]  # fmt: skip
    if "gto" in runs:
        to_gto = f"modelver to it: {ratios(runs['few'], runs['gto']).text()} ×"
        lines.append(_peer("list", f"`gto show` of {bench.gto_tags:,} versions", runs["gto"], to_gto))
    return lines


def diff(bench: Bench) -> list[Line]:
    """`diff` of two versions in a clone that has neither weights nor cache."""
    old, new = _versions(bench.modelver)
    clone = bench.box.root / "bare-of-weights"
    bench.box.run(["git", "clone", "--quiet", str(bench.modelver.root), str(clone)], bench.box.root)
    on_disk = disk_bytes(clone) - disk_bytes(clone / ".git")
    runs = alternate(
        {
            "modelver": lambda _: bench.box.run(["modelver", "diff", old, new], clone),
            "dvc": lambda _: bench.box.run(["dvc", "diff", old, new], bench.modelver.root),
        },
        bench.rounds,
    )
    if f"layer{bench.big.tensors // 2:03}.weight" not in runs["modelver"][0].output:
        raise AssertionError("`modelver diff` did not name the tensor that changed")
    took = seconds(runs["modelver"])
    if (clone / "models" / "m" / "weights").exists() or (clone / ".dvc" / "cache").exists():
        raise AssertionError("the clone has weights")
    bench.box.remove(clone)
    return [
        Line(
            "diff", f"`modelver diff v1 v2`, tensors too ({bench.big.tensors})", took.text(" s"), "", "≤ 0.8 s",
            took.median <= 0.8,
            "" if took.median <= 0.8 else profiles.calls(bench.box, bench.modelver.root, ["diff", old, new]),
        ),
        Line(
            "diff", "weights that it could read: the clone has none, and no cache",
            f"0 bytes (the whole working tree: {on_disk >> 10} KiB)", "", "0 bytes of weights", True,
        ),
        _peer("diff", "`dvc diff v1 v2`, in the repository with all weights: files only", runs["dvc"]),
    ]  # fmt: skip


def startup(bench: Bench) -> list[Line]:
    """`--help` and `--version`."""
    root = bench.box.root
    commands = {
        "python -c pass": ["python", "-c", "pass"],
        "modelver --version": ["modelver", "--version"],
        "modelver --help": ["modelver", "--help"],
        "dvc --version": ["dvc", "--version"],
    }
    if bench.peers.gto:
        commands["gto --version"] = ["gto", "--version"]
    runs = alternate(
        {name: (lambda _, c=command: bench.box.run(c, root)) for name, command in commands.items()}, 2 * bench.rounds
    )
    lines = []
    for name in commands:
        took = seconds(runs[name])
        if not name.startswith("modelver"):
            lines.append(_peer("startup", f"`{name}`", runs[name]))
            continue
        met = took.median <= 0.15
        profile = "" if met else profiles.imports(bench.box, root, [name.split()[1]])
        to_dvc = f"{ratios(runs[name], runs['dvc --version']).text()} × dvc --version"
        lines.append(Line("startup", f"`{name}`", took.text(" s"), to_dvc, "≤ 0.15 s", met, profile))
    return lines


def _peer(row: str, what: str, runs: list[Run], ratio: str = "") -> Line:
    return Line(row, what, seconds(runs).text(" s"), ratio)


ROWS: dict[str, Callable[[Bench], list[Line]]] = {
    "startup": startup,
    "list": list_,
    "add": add,
    "tag": tag,
    "storage": storage,
    "diff": diff,
    "checkout": checkout,
    "release": release,
}
"""By name, in the order in which they run: what needs most of the disk comes last."""
