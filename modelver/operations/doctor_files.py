"""Files of the repository: can they be read, and have they the bytes that they should?"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from modelver.core import starter
from modelver.core.layout import DVC_LOCK, DVC_YAML, PARAMS
from modelver.disk import write_atomic
from modelver.errors import ModelverError
from modelver.operations.doctor import Problem, Scene
from modelver.operations.facts import collect, model_names, modelver_params, parsed, read_sidecar

_GENERATED = (
    "*.dvc", "*dvc.lock", "models/**/metadata.yaml", "models/**/source.json", "models/**/validation.json",
    "models/**/*.jsonl", "models/**/assessment.json", "models/**/variants.json", "models/**/variants-latency.json",
)  # fmt: skip


def readable(scene: Scene) -> Iterator[Problem]:
    """``dvc.yaml``, ``params.yaml``, ``dvc.lock``, and each model's sidecar and manifests."""
    why = "no version can be recorded, tagged or checked until it can be read"
    for path in (DVC_YAML, PARAMS, DVC_LOCK):
        try:
            parsed(scene.project.worktree, path)
            if path == PARAMS:
                modelver_params(scene.project.worktree)
        except ModelverError as error:
            conflict = b"<<<<<<< " in (scene.project.worktree.read(path) or b"")
            hint = f"git checkout --merge {path}, and take one side of each conflict" if conflict else f"edit {path}"
            yield Problem("unreadable", error.message, why, error.hint or hint)
    try:
        names = model_names(scene.project.worktree)
    except ModelverError:
        return
    for name in names:
        try:
            read_sidecar(scene.project.worktree, name)
            collect(scene.project.worktree, name)
        except ModelverError as error:
            yield Problem("unreadable", error.message, why, error.hint)


def line_ends(scene: Scene) -> Iterator[Problem]:
    """Files that modelver and DVC wrote, and an editor or Git turned to CRLF."""
    listed = scene.git.run("ls-files", "-z", "--", *(f":(glob){_anywhere(p)}" for p in _GENERATED)).decode(
        "utf-8", "surrogateescape"
    )
    bad = [path for path in sorted(set(listed.split("\0"))) if path and _has_crlf(scene, path)]
    if bad:
        yield Problem(
            "crlf",
            f"CRLF line ends in {_some(bad)}",
            "their digests differ from those that were recorded, so every check of them fails",
            "modelver doctor --fix, then commit",
            partial(_to_lf, [scene.root / path for path in bad]),
        )


def attributes(scene: Scene) -> Iterator[Problem]:
    """The lines of ``.gitattributes`` that keep Git from changing line ends."""
    place = scene.root / ".gitattributes"
    # Git does not follow a link there
    present = place.read_text("utf-8", "surrogateescape") if place.is_file() and not place.is_symlink() else ""
    wanted = starter.merged_attributes(present)
    if wanted != present:
        yield Problem(
            "gitattributes",
            ".gitattributes lacks lines that keep line ends" if present else "there is no .gitattributes",
            "on another machine Git may turn LF into CRLF, and recorded digests no longer fit",
            "modelver init, then commit .gitattributes",
            partial(write_atomic, place, wanted.encode("utf-8", "surrogateescape")),
            level="warning",
        )


CHECKS = (readable, line_ends, attributes)


def _anywhere(pattern: str) -> str:
    return pattern if "/" in pattern else f"**/{pattern}"


def _has_crlf(scene: Scene, path: str) -> bool:
    return b"\r\n" in (scene.project.worktree.read(path) or b"")


def _to_lf(places: list[Path]) -> None:
    for place in places:
        write_atomic(place, place.read_bytes().replace(b"\r\n", b"\n"), place.stat().st_mode & 0o777)


def _some(paths: list[str]) -> str:
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
