"""Which data a validation measured on."""

import hashlib
from pathlib import Path

from modelver.adapters import yaml
from modelver.core.pointers import outs_in


def data_md5(root: Path, path: str | None) -> str | None:
    """MD5 of the data file at ``path`` below ``root``; where it is not here, what DVC's pointer says.

    None where no data is declared, or neither is there.

    Raises:
        InvalidInput: the pointer is malformed.
    """
    if path is None:
        return None
    try:
        with (root / path).open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    except OSError:
        pass  # in a clone without the data, such as CI's
    pointer = f"{path}.dvc"
    try:
        document = yaml.load_mapping((root / pointer).read_bytes(), pointer)
    except OSError:
        return None
    return next((out.md5 for out in outs_in(pointer, document) if out.path == path), None)
