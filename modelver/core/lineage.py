"""Lineage of a model's weights, read from ``dvc.lock`` alone. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from modelver.core.pointers import LockedStage, Out


def stages_of(model_dir: str, weights: str, stages: Sequence[LockedStage]) -> list[LockedStage]:
    """The stages that made the model's files and all stages upstream of them, upstream first, else by name.

    Args:
        model_dir: ``models/NAME``: stages that write below it (export, validate, …) belong to the model.
        weights: path of the weights, which may lie elsewhere.
        stages: all stages of the lock file.
    """
    by_name = {stage.name: stage for stage in stages}
    maker = {out.path: stage.name for stage in stages for out in stage.outs}
    own = [s for s in stages if any(o.path == weights or o.path.startswith(model_dir + "/") for o in s.outs)]
    ordered: list[LockedStage] = []
    seen: set[str] = set()

    def visit(stage: LockedStage) -> None:
        if stage.name in seen:
            return
        seen.add(stage.name)
        upstream = {maker[found] for dep in stage.deps if (found := covering(dep.path, maker)) is not None}
        for name in sorted(upstream):
            visit(by_name[name])
        ordered.append(stage)

    for stage in sorted(own, key=lambda s: s.name):
        visit(stage)
    return ordered


def as_documents(stages: Sequence[LockedStage]) -> list[dict[str, Any]]:
    """The sidecar's ``lineage``: each stage with command, dependencies and outs."""
    return [
        {
            "stage": stage.name,
            "cmd": stage.cmd,
            "deps": [_entry(dep) for dep in stage.deps],
            "outs": [_entry(out) for out in stage.outs],
        }
        for stage in stages
    ]


def merged_params(stages: Sequence[LockedStage]) -> dict[str, dict[str, Any]]:
    """The params that these stages ran with: file → key → value, files and keys in order."""
    merged: dict[str, dict[str, Any]] = {}
    for stage in stages:
        for file, values in stage.params.items():
            merged.setdefault(file, {}).update(values)
    return {file: dict(sorted(merged[file].items())) for file in sorted(merged)}


def inputs_of(stages: Sequence[LockedStage]) -> list[str]:
    """Paths that the stages depend on and that none of them makes: code, data, params files."""
    made = {out.path for stage in stages for out in stage.outs}
    deps = {dep.path for stage in stages for dep in stage.deps if covering(dep.path, made) is None}
    params = {file for stage in stages for file in stage.params}
    return sorted(deps | params)


def pointers_of_inputs(stages: Sequence[LockedStage]) -> list[str]:
    """Where `dvc add` puts the pointer of each of `inputs_of`, or of a folder around it; most of these do not exist."""
    found = set()
    for place in inputs_of(stages):
        while place:
            found.add(f"{place}.dvc")
            place = place.rpartition("/")[0]
    return sorted(found)


def covering(path: str, made: Mapping[str, str] | set[str]) -> str | None:
    """The one of ``made`` that is ``path`` or a folder around it."""
    while path:
        if path in made:
            return path
        path = path.rpartition("/")[0]
    return None


def _entry(out: Out) -> dict[str, Any]:
    return {"path": out.path, "md5": out.md5, "bytes": out.bytes}
