"""What a validation judged: the weights, and the settings and data that it judged them by.

The verdict on a model that a stage exports is kept current by DVC, which knows what the stage read. A model that was
added as it is has no stage: its verdict names what it speaks of, so that it is not taken for one on other weights.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from modelver.core.manifest import FileEntry, tree_digest

SETTINGS = ("data", "target", "task", "gates", "parity", "targets", "validate")
"""What the validate stage reads of a model's entry in ``params.yaml``."""


def judged(files: Sequence[FileEntry], settings: Mapping[str, Any], data: str | None) -> list[dict[str, str | None]]:
    """The record in ``validation.json``: SHA-256 of weights and settings in hexadecimal, and ``data``.

    Args:
        files: the file manifest.
        settings: the model's entry in ``params.yaml``.
        data: MD5 of the data file, by which DVC's pointer knows it too; None where none is declared.

    In a list, as DVC shows texts that lie elsewhere in a metrics file as if they were metrics.
    """
    return [{"weights": tree_digest(files), "settings": _digest(settings), "data": data}]


def other_than(record: object, files: Sequence[FileEntry] | None, settings: Mapping[str, Any], data: str | None) -> str:
    """What a verdict does not speak of: ``weights``, ``settings`` or ``data``; empty where it speaks of all.

    Args:
        record: what `judged` gave when the verdict was reached; a verdict that says nothing was written by hand, and is
            its writer's word.
        files: the file manifest of now; None where there is none that fits the weights.
        settings: the model's entry of now.
        data: MD5 of the data file of now; None where there is none.
    """
    if not isinstance(record, list) or not record or not isinstance(record[0], Mapping):
        return ""
    if files is None or record[0].get("weights") != tree_digest(files):
        return "weights"
    if record[0].get("settings") != _digest(settings):
        return "settings"
    return "data" if record[0].get("data") != data else ""


def _digest(settings: Mapping[str, Any]) -> str:
    """Of what is said: a key without a value says what a missing one says."""
    said = {key: settings[key] for key in SETTINGS if settings.get(key) not in (None, {}, [])}
    text = json.dumps(said, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
