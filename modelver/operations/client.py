"""``modelver client``: the code that calls one version of a model, written from its committed signature."""

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


@dataclass(frozen=True)
class Client:
    """A module that was written.

    Attributes:
        model, version: what it calls.
        name: the file's name, made of the model's.
        text: its content; a function of the sidecar alone.
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
        force: replace a file there that modelver did not write.

    Raises:
        InvalidInput: the ref is malformed, or the model has no signature.
        NotFound: nothing is called so, or there is no such folder.
        Refused: a file that modelver did not write is in the way.
    """
    face = interface(view(project, project.resolve(ref, model)).sidecar)
    text = python_client(face) if language == "python" else typescript_client(face)
    name = identifier(face.model) + ("_client.py" if language == "python" else "_client.ts")
    if folder is None:
        return Client(face.model, face.version, name, text)
    if not folder.is_dir():
        raise NotFound(f"there is no folder {folder}", hint=f"mkdir -p {folder}")
    path = folder / name
    if path.is_symlink() or (path.exists() and not force and "Written by: modelver client" not in _head(path)):
        raise Refused(f"{path} is there, and modelver did not write it", hint="add --force, or choose another folder")
    write_atomic(path, text.encode("ascii"))
    return Client(face.model, face.version, name, text, path)


def _head(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(8192).decode("utf-8", "replace")
