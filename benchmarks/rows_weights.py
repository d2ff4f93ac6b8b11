"""Rows that hash, split, store or place weights."""

import shutil
from collections.abc import Callable

import profiles
from harness import Line, Run, Spread, alternate, ratios, seconds
from inputs import MIB, change_middle_tensor, write
from repos import DvcRepo, ExportRepo, LfsRepo, ModelverRepo, PipelineRepo, Repo, ThetaRepo
from shared import Bench, peer_line, versions_of

NOISE = 1.15
"""How far two times may lie apart and still count as independent of the size."""


def storage(bench: Bench) -> list[Line]:
    """Growth of the store and upload by a version with one tensor changed, ONNX and safetensors."""
    _ = bench.modelver, bench.dvc_like()
    found = {f"{name}, ONNX": growth for name, growth in bench.growth.items()}
    v1 = write("safetensors", bench.box.root / "v1.safetensors", bench.big, 1)
    v2 = write("safetensors", bench.box.root / "v2.safetensors", bench.big, 2)
    twin = ModelverRepo(bench.box, "modelver-safetensors")
    bench.two_versions("twin", twin, v1, v2)
    found["modelver, safetensors"] = bench.growth.pop("twin")
    twin.drop()
    if bench.peers.theta:
        theta = ThetaRepo(bench.box, "theta")
        bench.two_versions("theta", theta, v1, v2)
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
        peer_line("tag", f"`md5sum` of {bench.big.label}", runs["md5sum"]),
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
        repo.checkout(versions_of(repo)[1])
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
        peer_line("add", f"`md5sum` of {bench.big.label}", runs["md5sum"]),
        Line(
            "add", f"{name}: split, hash, store", seconds(runs["modelver"]).text(" s"), f"{ratio.text()} × md5sum",
            "≤ 3 × `md5sum`", met[0], profile,
        ),
        Line("add", f"{name}: peak memory", peak.text(" MiB"), "", "≤ 400 MiB", met[1]),
        *(
            peer_line("add", f"{peer_} add: hash, store ({_peak(runs[peer_])} MiB)", runs[peer_])
            for peer_ in peers
        ),
    ]  # fmt: skip


def export(bench: Bench) -> list[Line]:
    """The stage `export`: as `add`, and the source's own outputs on real rows are recorded."""
    repo = ExportRepo(bench.box, "export", bench.v1, bench.big.side)
    runs = alternate({"md5sum": bench.md5sum, "export": lambda _: repo.export()}, bench.rounds)
    ratio = ratios(runs["export"], runs["md5sum"])
    peak = Spread.of([run.peak / bench.big.bytes for run in runs["export"]])
    mib = Spread.of([run.peak / MIB for run in runs["export"]])
    met = ratio.median <= 3, peak.greatest <= 1.25
    profile = "" if all(met) else profiles.calls(bench.box, repo.root, ["stage", "export", "m"])
    repo.drop()
    name = f"`modelver stage export` of {bench.big.label}"
    return [
        peer_line("export", f"`md5sum` of {bench.big.label}", runs["md5sum"]),
        Line(
            "export", f"{name}: split, hash, recorded run", seconds(runs["export"]).text(" s"),
            f"{ratio.text()} × md5sum", "≤ 3 × `md5sum`", met[0], profile,
        ),
        Line(
            "export", f"{name}: peak memory", mib.text(" MiB"), f"{peak.text()} × the model", "≤ 1.25 × the model",
            met[1],
        ),
    ]  # fmt: skip


def checkout(bench: Bench) -> list[Line]:
    """`git checkout` from v1 to v2 and back, weights and all."""
    repos: dict[str, Repo] = {"modelver": bench.modelver, **bench.dvc_like()}
    split = _dvc_of_split_folder(bench)
    repos["DVC, the same split folder"] = split
    versions = {name: versions_of(repo) for name, repo in repos.items()}
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
        lines.append(peer_line("checkout", f"`git checkout` v1 ↔ v2, {name}", runs[name], to_it))
    split.drop()
    return lines


def _dvc_of_split_folder(bench: Bench) -> Repo:
    """A clone of modelver's repository with DVC's hooks in place of modelver's: the same files, the same cache."""
    clone = Repo(bench.box, "split")
    clone.run("git", "fetch", "--quiet", "--tags", str(bench.modelver.root), "main")
    clone.checkout(versions_of(bench.modelver)[0])
    clone.run("dvc", "cache", "dir", "--quiet", "--local", str(bench.modelver.store.parent))
    clone.run("dvc", "install")
    clone.run("dvc", "checkout", "--quiet")
    return clone


def _peak(runs: list[Run]) -> int:
    """Most memory of any run, in MiB."""
    return max(run.peak for run in runs) // MIB
