"""Programs and packages whose known faults break what modelver promises."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from modelver.operations.doctor import Problem, Scene


@dataclass(frozen=True, slots=True)
class Bad:
    """Releases of a package that are known to be bad.

    Attributes:
        package: its name in the package index.
        below: the first good release; empty for no lower bound.
        since: the first bad release; empty for no upper bound.
        why: what goes wrong.
        beside: only where this package is installed too.
    """

    package: str
    below: str
    since: str
    why: str
    beside: str = ""


KNOWN_BAD = (
    Bad("gto", "1.10", "", "its commands fail with current releases of Typer"),
    Bad("dvc", "3.60", "", "it has not the layout of cache and remote that modelver writes"),
    Bad("dvc", "", "4", "modelver was not tried with it"),
    Bad(
        "onnx", "1.21", "",
        "external data of a hostile model can read and write files outside of its folder (CVE-2024-27318, "
        "CVE-2025-51480, CVE-2026-27489, CVE-2026-34446 and others)",
    ),
    Bad("torch", "2.10", "", "a checkpoint can run code although weights_only was asked for"),
    Bad(
        "protobuf", "", "7",
        "skl2onnx fails on HistGradientBoosting (AttributeProto.ints: Expected an int, got a boolean)", "skl2onnx",
    ),
)  # fmt: skip
GIT_FLOOR = (2, 36)
"""`git worktree list -z` is of this release (Git's RelNotes/2.36.0)."""


def packages(scene: Scene) -> Iterator[Problem]:
    """Python packages beside modelver."""
    del scene
    for bad in KNOWN_BAD:
        found, beside = _version(bad.package), not bad.beside or _version(bad.beside)
        if found is None or not beside:
            continue
        too_old = bad.below and _numbers(found) < _numbers(bad.below)
        too_new = bad.since and _numbers(found) >= _numbers(bad.since)
        if too_old or too_new:
            wanted = f">={bad.below}" if too_old else f"<{bad.since}"
            yield Problem(
                "known-bad", f"{bad.package} {found} is installed", bad.why, f"pip install '{bad.package}{wanted}'"
            )


def git_version(scene: Scene) -> Iterator[Problem]:
    """Git itself."""
    program = shutil.which("git")
    if program is None:
        return
    said = subprocess.run([program, "--version"], cwd=scene.root, capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+(\.\d+)+", said)
    if found and _numbers(found.group()) < GIT_FLOOR:
        yield Problem(
            "known-bad",
            f"Git {found.group()} is older than {'.'.join(map(str, GIT_FLOOR))}",
            "it can't list linked working trees safely: gc, and mending what a killed command left in one, fail",
            "install a newer Git",
        )


CHECKS = (packages, git_version)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _numbers(text: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in found.group().split(".")) if found else ()
