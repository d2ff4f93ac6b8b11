"""What a validation judged: the weights, and the settings that it judged them by.

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


def judged(files: Sequence[FileEntry], settings: Mapping[str, Any]) -> list[dict[str, str]]:
    """The record in ``validation.json``: digests of weights and settings, both SHA-256 in hexadecimal.

    In a list, as DVC shows texts that lie elsewhere in a metrics file as if they were metrics.
    """
    return [{"weights": tree_digest(files), "settings": _digest(settings)}]


def other_than(record: object, files: Sequence[FileEntry] | None, settings: Mapping[str, Any]) -> str:
    """What a verdict does not speak of: ``weights`` or ``settings``; empty where it speaks of both.

    Args:
        record: what `judged` gave when the verdict was reached; a verdict that says nothing was written by hand, and is
            its writer's word.
        files: the file manifest of now; None where there is none that fits the weights.
        settings: the model's entry of now.
    """
    if not isinstance(record, list) or not record or not isinstance(record[0], Mapping):
        return ""
    if files is None or record[0].get("weights") != tree_digest(files):
        return "weights"
    return "settings" if record[0].get("settings") != _digest(settings) else ""


def _digest(settings: Mapping[str, Any]) -> str:
    """Of what is said: a key without a value says what a missing one says."""
    said = {key: settings[key] for key in SETTINGS if settings.get(key) not in (None, {}, [])}
    text = json.dumps(said, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
