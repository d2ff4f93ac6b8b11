"""Whether a lock file or a ``.dvc`` file is one that DVC writes, with the right counts. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelver.core.manifest import FileEntry
from modelver.core.pointers import LockedStage, Out
from modelver.core.verify import Problem, quoted

_LOCK = frozenset({"schema", "stages", "datasets"})
_STAGE = frozenset({"cmd", "deps", "params", "outs"})
_POINTER = frozenset({"md5", "wdir", "deps", "outs", "frozen", "locked", "meta", "always_changed", "desc"})
_ENTRY = frozenset(
    {"path", "hash", "md5", "etag", "checksum", "size", "nfiles", "isexec", "version_id", "cloud", "files"}
    | {"cache", "persist", "remote", "push", "desc", "type", "labels", "meta", "fs_config", "db", "repo", "dataset"}
)
_WHOLE = {"size": int, "nfiles": int, "isexec": bool, "cache": bool, "persist": bool, "push": bool}
"""Source of these names and types: ``dvc.schema`` and ``dvc.output`` (DVC 3)."""


def judge_pointers(
    pointer: str, document: object, stages: Sequence[LockedStage], weights: Out | None,
    files: Sequence[FileEntry] | None, count: Callable[[str], int | None],
) -> list[Problem]:  # fmt: skip
    """Whether the lock file (or a ``.dvc`` file) is one that DVC writes, and its counts are right.

    What it says of hashes, sizes and commands is in the sidecar's lineage, which `judge_sidecar` compares; this looks
    at what no sidecar repeats.

    Args:
        pointer: the file's path.
        document: its parsed YAML.
        stages: those of the model's lineage; none for a ``.dvc`` file.
        weights: what DVC says of the model's weights.
        files: their manifest.
        count: how many files a folder's object (``….dir``) lists; None where that is not known here.
    """
    if not isinstance(document, Mapping):
        return []
    problems: list[Problem] = []

    def wrong(message: str) -> None:
        problems.append(Problem("lock", pointer, message))

    entries: list[Mapping[str, Any]] = []
    if pointer.endswith(".dvc"):
        _known(document, _POINTER, "the file", wrong)
        entries += [e for part in ("outs", "deps") for e in document.get(part) or () if isinstance(e, Mapping)]
    else:
        _known(document, _LOCK, "the file", wrong)
        if document.get("schema") != "2.0":
            wrong(f"schema is {quoted(document.get('schema'))}, not '2.0'")
        listed = document.get("stages") or {}
        for stage in stages:
            entry = listed.get(stage.name, {})
            _known(entry, _STAGE, f"stage {stage.name}", wrong)
            entries += [e for part in ("outs", "deps") for e in entry.get(part) or () if isinstance(e, Mapping)]
    sizes = {} if weights is None or files is None else {weights.md5: (sum(f.bytes for f in files), len(files))}
    counts: dict[str, set[object]] = {}
    for entry in entries:
        _judge_entry(entry, sizes, count, wrong)
        counts.setdefault(str(entry.get("md5")), set()).add(entry.get("nfiles"))
    for md5, found in counts.items():
        if len(found) > 1:
            wrong(f"{md5} has {' and '.join(sorted(map(str, found)))} files")
    return problems


def _judge_entry(
    entry: Mapping[str, Any], sizes: Mapping[str, tuple[int, int]], count: Callable[[str], int | None],
    wrong: Callable[[str], None],
) -> None:  # fmt: skip
    path, md5 = quoted(entry.get("path")), str(entry.get("md5"))
    _known(entry, _ENTRY, path, wrong)
    if entry.get("hash", "md5") != "md5":
        wrong(f"{path}: hash is {quoted(entry.get('hash'))}, not md5")
    for key, kind in _WHOLE.items():
        if key in entry and type(entry[key]) is not kind:
            wrong(f"{path}: {key} is {quoted(entry[key])}")
    size, number = sizes.get(md5, (None, None))
    if number is None and md5.endswith(".dir"):
        number = count(md5)
    if size is not None and entry.get("size", size) != size:
        wrong(f"{path}: size is {quoted(entry['size'])}, and the files have {size} bytes")
    if md5.endswith(".dir") and number is not None and entry.get("nfiles", number) != number:
        wrong(f"{path}: nfiles is {quoted(entry['nfiles'])}, and there are {number}")


def _known(entry: object, keys: frozenset[str], where: str, wrong: Callable[[str], None]) -> None:
    unknown = [key for key in entry if key not in keys] if isinstance(entry, Mapping) else []
    if unknown:
        wrong(f"{where} holds {quoted(unknown[0])}, which DVC does not write")
