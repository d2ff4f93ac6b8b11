"""What DVC leaves out of a folder that it tracks."""

from collections.abc import Iterable
from pathlib import Path


def not_left_out(root: Path, paths: Iterable[Path]) -> list[Path]:
    """Those of some files that DVC tracks where they lie in a folder that is added.

    It leaves out what a ``.dvcignore`` of the folder, or of one around it, names, and always ``.git``, ``.hg`` and
    ``.dvc``: a model that came by ``git clone`` has its history beside its weights.

    Args:
        root: of the DVC repository.
        paths: absolute.
    """
    from dvc.fs import localfs
    from dvc.ignore import DvcIgnoreFilter

    rules = DvcIgnoreFilter(localfs, str(root))
    return [path for path in paths if not rules.is_ignored_file(str(path))]
