"""Hints, as they must be run where the user is."""

import os
import shlex
from pathlib import Path

from modelver.core.layout import DVC_LOCK, DVC_YAML, PARAMS

_REMARK = "   ("
"""What stands behind a hint's command begins so."""


def for_here(hint: str) -> str:
    """A hint whose command names paths from the repository's top, made to work in the current folder.

    Operations know paths from the top, and Git, DVC and modelver take them from the current folder.
    """
    here = Path.cwd()
    top = next((folder for folder in (here, *here.parents) if os.path.lexists(folder / ".git")), here)
    if top == here:
        return hint
    try:
        words = shlex.split(hint.partition(_REMARK)[0])
    except ValueError:  # words, and no command
        return hint
    arguments = [word for word in words if word and not word.startswith(("-", "/")) and "\0" not in word]
    from_top = [word for word in arguments if not os.path.lexists(word) and _is_known(top, word)]
    from_here = [word for word in arguments if os.path.lexists(word) and not _is_known(top, word)]
    return f"cd {shlex.quote(os.path.relpath(top))} && {hint}" if from_top and not from_here else hint


def _is_known(top: Path, word: str) -> bool:
    """Whether a word is a path from the top: of what lies there, or of what DVC or modelver would place there."""
    try:
        lies = any(os.path.lexists(top / path) for path in (word, f"{word}.dvc"))
    except ValueError:
        return False
    return lies or word in (DVC_YAML, DVC_LOCK, PARAMS)
