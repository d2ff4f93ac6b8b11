"""Weights that a stage of a ``dvc.yaml`` below the top makes: what the ``dvc.lock`` beside it says of them."""

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any

from modelver.adapters import yaml
from modelver.core.pointers import Out, locked_stages
from modelver.errors import InvalidInput
from modelver.operations.snapshot import Snapshot


def nested_out(snapshot: Snapshot, path: str) -> Out | None:
    """What the ``dvc.lock`` of a folder around a path says of it; None where none does, or what it says can't be used.

    That is the case for stages with a ``wdir`` of their own, and for what ``cache: false`` leaves to Git.

    Args:
        snapshot: the repository's files.
        path: of the weights, relative to the repository's root.
    """
    folders = list(_around(path))
    files = snapshot.read_many([f"{folder}/{name}" for folder in folders for name in ("dvc.lock", "dvc.yaml")])
    for folder in folders:
        lock = f"{folder}/dvc.lock"
        try:
            stages = locked_stages(lock, _parsed(files, lock))
            declared = _mapping(_mapping(_parsed(files, f"{folder}/dvc.yaml")).get("stages"))
        except InvalidInput:
            continue  # whoever runs that pipeline is told
        for stage in stages:
            entry = _mapping(declared.get(stage.name.partition("@")[0]))
            entry = _mapping(entry.get("do")) or entry
            for out in stage.outs:
                if out.path == path and "wdir" not in entry and not _in_git(entry, folder, path):
                    return out
    return None


def _around(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def _parsed(files: Mapping[str, bytes], path: str) -> object:
    return yaml.load(files[path], path) if path in files else None


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _in_git(entry: Mapping[Any, Any], folder: str, path: str) -> bool:
    """Whether a stage leaves this out to Git; a name that DVC fills in may be that of any."""
    outs = entry.get("outs")
    for item in outs if isinstance(outs, list) else ():
        for name, settings in _mapping(item).items():
            same = "${" in str(name) or posixpath.normpath(posixpath.join(folder, str(name))) == path
            if same and _mapping(settings).get("cache") is False:
                return True
    return False
