"""Which data a validation measured on, and whether a clone has it too."""

import hashlib
import os
import shlex
from pathlib import Path

from modelver.adapters import yaml
from modelver.adapters.git import GitRepository
from modelver.core.pointers import Out, outs_in
from modelver.core.restore import below
from modelver.errors import InvalidInput, Refused
from modelver.operations.refill import out_around
from modelver.operations.restore import POINTERS


def data_md5(root: Path, path: str | None) -> str | None:
    """MD5 of the data file at ``path`` below ``root``; where it is not here, what DVC's pointer says.

    None where no data is declared, or neither is there.
    """
    if path is None:
        return None
    try:
        with (root / path).open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    except OSError:
        pass  # in a clone without the data, such as CI's
    out = out_around(root, path)
    return out.md5 if out is not None and out.path == path and not out.is_dir else None


def refuse_lost(git: GitRepository, path: str, name: str) -> None:
    """Refuse data that a clone would not have, so that nobody else could say what the verdict is about.

    Args:
        git: the repository.
        path: of the data file, relative to its root.
        name: the model that was validated on it.

    Raises:
        Refused: neither Git nor DVC tracks it; or DVC does, and it is not here, nor a pointer of it alone.
    """
    out, quoted = _tracked(git, path), shlex.quote(path)
    if out is None and not git.run("--literal-pathspecs", "ls-files", "-z", "--cached", "--", path):
        raise Refused(
            f"{path}, on which {name} was validated, is tracked by neither Git nor DVC: no clone has it",
            hint=f"dvc add {quoted} && git add {quoted}.dvc   (or a small file: git add {quoted})",
        )
    if not (git.root / path).exists() and data_md5(git.root, path) is None:
        bring = f"git checkout -- {quoted}" if out is None else f"dvc pull {shlex.quote(out.path)}"
        raise Refused(f"{path} is not here: whether {name} was validated on it can't be said", hint=bring)


def _tracked(git: GitRepository, path: str) -> Out | None:
    """What DVC tracks that is the file or a folder around it; its pointer may have any name."""
    found = out_around(git.root, path)
    if found is not None:
        return found
    listed = git.run("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *POINTERS)
    for pointer in sorted({os.fsdecode(name) for name in listed.split(b"\0") if name}):
        try:
            outs = outs_in(pointer, yaml.load((git.root / pointer).read_bytes(), pointer))
        except (InvalidInput, OSError):
            continue
        found = next((out for out in outs if below(path, out.path)), None)
        if found is not None:
            return found
    return None
