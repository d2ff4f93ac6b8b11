"""``modelver client``: the code that calls one version of a model, written from its committed signature."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from modelver.core.client import interface
from modelver.core.client_names import identifier
from modelver.core.client_python import python_client
from modelver.core.client_typescript import typescript_client
from modelver.disk import write_atomic
from modelver.errors import NotFound, Refused
from modelver.operations.project import Project
from modelver.operations.views import view

Language = Literal["python", "typescript"]

_SEAL: dict[Language, str] = {
    "python": "# As modelver client wrote it: sha256:",
    "typescript": "// As modelver client wrote it: sha256:",
}
"""What the last line of a module starts with; the digest of all lines above follows."""


@dataclass(frozen=True)
class Client:
    """A module that was written.

    Attributes:
        model, version: what it calls.
        name: the file's name, made of the model's.
        text: its content; a function of the sidecar alone. The last line holds the digest of those above.
        path: where it was written; None where it was not.
    """

    model: str
    version: str
    name: str
    text: str
    path: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        path = None if self.path is None else str(self.path)
        return {"model": self.model, "version": self.version, "name": self.name, "path": path, "text": self.text}


def client(
    project: Project,
    ref: str | None,
    model: str | None = None,
    *,
    language: Language = "python",
    folder: Path | None = None,
    force: bool = False,
) -> Client:
    """Write the client of a version; no weights are read.

    Args:
        project: the repository.
        ref: as the user wrote it; None for the working tree.
        model: used where the ref names none.
        language: what to write.
        folder: where to; None only composes it.
        force: replace a file there that modelver did not write, or that was changed since.

    Raises:
        InvalidInput: the ref is malformed, or the model has no signature.
        NotFound: nothing is called so, or there is no such folder.
        Refused: a file is in the way that modelver did not write, or that was changed since.
    """
    face = interface(view(project, project.resolve(ref, model)).sidecar)
    text = _sealed(python_client(face) if language == "python" else typescript_client(face), language)
    name = identifier(face.model) + ("_client.py" if language == "python" else "_client.ts")
    if folder is None:
        return Client(face.model, face.version, name, text)
    if not folder.is_dir():
        raise NotFound(f"there is no folder {folder}", hint=f"mkdir -p {folder}")
    path = folder / name
    _refuse_own(path, language, force)
    write_atomic(path, text.encode("ascii"))
    return Client(face.model, face.version, name, text, path)


def _refuse_own(path: Path, language: Language, force: bool) -> None:
    """Raise Refused where a file would be replaced that is not, byte for byte, as some modelver wrote it."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise Refused(f"{path} is no regular file", hint="choose another folder")
    if force or not path.exists():
        return
    present = path.read_bytes().replace(b"\r\n", b"\n").decode("utf-8", "replace")  # Git may make CRLF of LF
    body, mark, _ = present.rpartition(_SEAL[language])
    if not mark:
        raise Refused(f"{path} is there, and modelver did not write it", hint="add --force, or choose another folder")
    if present != _sealed(body, language):
        raise Refused(
            f"{path} was changed since modelver wrote it",
            hint="add --force to drop the change, or choose another folder",
        )


def _sealed(body: str, language: Language) -> str:
    """A module with the digest of its text in its last line, so that a change by hand can be told."""
    return f"{body}{_SEAL[language]}{hashlib.sha256(body.encode()).hexdigest()}\n"
