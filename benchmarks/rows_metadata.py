"""Rows that read no weights: start-up, `list`, `diff`."""

from collections.abc import Callable

import profiles
from harness import Line, Run, alternate, differences, ratios, seconds
from repos import disk_bytes, tags_repo
from shared import Bench, peer_line, versions_of


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
            lines.append(peer_line("startup", f"`{name}`", runs[name]))
            continue
        met = took.median <= 0.15
        profile = "" if met else profiles.imports(bench.box, root, [name.split()[1]])
        to_dvc = f"{ratios(runs[name], runs['dvc --version']).text()} × dvc --version"
        lines.append(Line("startup", f"`{name}`", took.text(" s"), to_dvc, "≤ 0.15 s", met, profile))
    return lines


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
        peer_line("list", f"`git for-each-ref` of {bench.tags:,} tags", runs["refs"]),
        Line(
            "list", f"`modelver list` of {bench.tags:,} versions", seconds(runs["list"]).text(" s"),
            f"for-each-ref + {more.text(' s')}", "≤ `for-each-ref` + 0.4 s", met,
            "" if met else profiles.calls(bench.box, many, ["list"]),
        ),
        peer_line("list", f"`modelver list` of {bench.gto_tags:,} versions", runs["few"]),
    ]  # fmt: skip
    if "gto" in runs:
        to_gto = f"modelver to it: {ratios(runs['few'], runs['gto']).text()} ×"
        lines.append(peer_line("list", f"`gto show` of {bench.gto_tags:,} versions", runs["gto"], to_gto))
    return lines


def diff(bench: Bench) -> list[Line]:
    """`diff` of two versions in a clone that has neither weights nor cache."""
    old, new = versions_of(bench.modelver)
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
        peer_line("diff", "`dvc diff v1 v2`, in the repository with all weights: files only", runs["dvc"]),
    ]  # fmt: skip
