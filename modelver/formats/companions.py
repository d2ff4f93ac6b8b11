"""The files beside a model's weights in its folder: configuration, tokenizer, texts."""

import os
from collections.abc import Iterator
from pathlib import Path

from modelver.errors import InvalidInput
from modelver.formats.contained import Folder
from modelver.formats.digest import Digester
from modelver.formats.output import Output
from modelver.formats.result import OWNED
from modelver.formats.wire import Rope

_SUFFIXES = """
joblib pkl pickle dill pt pt2 pth ckpt nemo h5 hdf5 keras bin msgpack gguf ggml llamafile tflite pb npz npy
mlmodel mlpackage engine plan ot ort cbm ubj zip tar gz tgz 7z
"""

FRAMEWORK_SUFFIXES = frozenset(f".{name}" for name in _SUFFIXES.split())
"""Files that may hold weights (or anything): modelver does not look into them."""

_MAX_FILES = 10_000


def listing(folder: Path) -> Iterator[str]:
    """Relative paths of the files in a folder and below, sorted; hidden ones are left out.

    Raises:
        InvalidInput: there are more than 10,000.
    """
    found: list[str] = []
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(root).relative_to(folder)
        found += [(below / name).as_posix() for name in files if not name.startswith(".")]
        if len(found) > _MAX_FILES:
            raise InvalidInput(f"{folder} holds more than {_MAX_FILES} files", "name the model file itself")
    return iter(sorted(found))


def copy(folder: Folder, source: Path, skip: set[str], output: Output, digester: Digester) -> None:
    """Copy the files of ``source`` that are not in ``skip`` to the output, under the same paths.

    Left out as well: what an earlier split left (see `result.stale_files`), and the output itself.

    Raises:
        InvalidInput: one is a link or no regular file.
    """
    root, target = source.resolve(), output.folder.resolve()
    inside = target.relative_to(root).as_posix() if target != root and target.is_relative_to(root) else ""
    names = [
        name
        for name in listing(source)
        if name not in skip and not OWNED.fullmatch(name) and not (inside and name.startswith(f"{inside}/"))
    ]
    readers = {name: folder.open(name, str(source)) for name in names}  # refuses before anything is replaced
    for name, reader in readers.items():
        content = Rope()
        content.add_span(reader, 0, reader.size)
        output.add_hashed(name, content, digester)
