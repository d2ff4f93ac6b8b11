"""`modelver add`: declare a model, in whichever of the three ways it comes."""

import os
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from modelver.adapters import dvc_project, yaml
from modelver.adapters.dvc import DvcCache
from modelver.core import card, starter
from modelver.core.layout import DVC_YAML, PARAMS, Layout
from modelver.core.manifest import FileEntry, dump_files, dump_tensors
from modelver.core.names import check_case, check_model_name
from modelver.disk import HashCache, as_written
from modelver.errors import NotFound, Refused
from modelver.operations import ingest
from modelver.operations.facts import collect, model_names, model_settings
from modelver.operations.held import refuse_unheld_text, refuse_unheld_weights
from modelver.operations.project import Project
from modelver.operations.snapshot import OverlaySnapshot
from modelver.operations.transaction import locked, publish_files, refuse_link
from modelver.operations.weights import manifest_of_worktree

Progress = Callable[[int], None]
Say = Callable[[str], None]
Kind = Literal["pipeline", "ingested", "plain"]


@dataclass(frozen=True)
class AddRequest:
    """What the user asked for.

    Attributes:
        name: the model.
        path: a file or folder, as the user wrote it.
        framework: exporter to use; None lets the file's name decide.
        data: rows for a pipeline model.
        target: the column or key with the answers.
        plain: track it as it lies, whatever it is.
        desc: one line for ``dvc.yaml``.
        force: replace weights and generated files though nothing else holds what the user put there.
    """

    name: str
    path: Path
    framework: str | None = None
    data: str | None = None
    target: str | None = None
    plain: bool = False
    desc: str | None = None
    force: bool = False


@dataclass(frozen=True)
class AddResult:
    """What `add` found and did.

    Attributes:
        model: its name.
        kind: ``pipeline``, ``ingested`` or ``plain``.
        weights: where the weights lie or will lie.
        files: files in Git that were written, in order.
        tensors: number of tensors; None where they are not known (yet).
        bytes: size of the weights; None where there are none yet.
        new: whether the model was not declared before.
    """

    model: str
    kind: Kind
    weights: str
    files: tuple[str, ...]
    tensors: int | None
    bytes: int | None
    new: bool

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {**vars(self), "files": list(self.files)}


def add(
    project: Project, request: AddRequest, *, dry_run: bool = False, progress: Progress = lambda _: None
) -> AddResult:
    """Declare a model, or bring the next content of one that exists.

    Raises:
        InvalidInput: a name that no model can have, or a file that is not what its name says.
        NotFound: nothing lies at the path.
        Refused: a precondition does not hold; the hint mends it.
        ExternalFailure: DVC or the disk failed.
    """
    check_model_name(request.name)
    project.require_dvc()
    check_case(request.name, project.models())
    with locked(project.git) as lock:
        return _Adding(project, request, progress, lock).run(dry_run)


class _Adding:
    """One run of `add`: what it has found out so far, and the files in Git that it will write, all at once."""

    def __init__(self, project: Project, request: AddRequest, progress: Progress, lock: int) -> None:
        self.project = project
        self.root = project.root
        self.request = request
        self.progress = progress
        self.layout = Layout(request.name)
        self.new = request.name not in model_names(project.worktree)
        self.lock = lock
        self.pending: dict[str, bytes] = {}
        self.written: list[str] = []

    def run(self, dry_run: bool) -> AddResult:
        path = self.request.path
        if not os.path.lexists(path) and not self._made_by_stage(path):
            raise NotFound(f"{path} does not exist")
        if path.is_symlink():
            raise Refused(
                f"{path} is a symbolic link", hint=_command("modelver", "add", self.request.name, path.resolve())
            )
        refuse_link(self.root, self.layout.sidecar)
        kind = self._kind()
        self._refuse_change_of_kind(kind)
        self._refuse_data(kind)
        if dry_run:
            weights = self._inside() if kind == "plain" else self.layout.weights
            return AddResult(self.request.name, kind, weights, (), None, None, self.new)
        if kind == "pipeline":
            return self._pipeline()
        return self._ingested() if kind == "ingested" else self._plain()

    def _refuse_data(self, kind: Kind) -> None:
        """Options that mean nothing are not passed over: the user expects an export that there would not be."""
        request = self.request
        if kind == "pipeline" or not (request.data or request.target):
            return
        from modelver.exporters import plugins
        from modelver.exporters.base import GROUP

        taken = "split as it is" if kind == "ingested" else "tracked as it lies"
        names = ", ".join(plugins.names(GROUP))
        raise Refused(
            f"--data and --target are for a model that a stage exports; {request.path.name} would be {taken}",
            hint=f"leave them out, or say what made it: --framework NAME   ({names})",
        )

    def _kind(self) -> Kind:
        from modelver.exporters.base import find
        from modelver.formats.detect import detect

        request = self.request
        if request.plain:
            return "plain"
        if request.framework:
            find(request.framework, request.path)
            return "pipeline"
        if self._is_tracked_there():
            return "plain"
        if request.path.exists() and detect(request.path) != "other":
            return "ingested"
        if request.path.is_dir():
            return "plain"
        try:
            find(None, request.path)
        except Refused:
            return "plain"
        return "pipeline"

    def _is_tracked_there(self) -> bool:
        """Whether the model is declared as what lies at this very path: so it was wanted, and so it stays."""
        if self.new:
            return False
        facts = collect(self.project.worktree, self.request.name)
        there = os.path.realpath(self.root / facts.path)
        return facts.kind == "plain" and os.path.realpath(self.request.path) == there

    def _refuse_change_of_kind(self, kind: Kind) -> None:
        if self.new:
            return
        facts = collect(self.project.worktree, self.request.name)
        if facts.kind != kind:
            other = "give it another name, or remove the model's entry from dvc.yaml and its folder first"
            again = _command("modelver", "add", self.request.name, self.request.path, "--plain")
            raise Refused(
                f"model {self.request.name!r} is {facts.kind}, and {self.request.path} would make it {kind}",
                hint=f"{again}   (tracks it as it lies; or {other})" if facts.kind == "plain" else other,
            )

    def _pipeline(self) -> AddResult:
        request = self.request
        source = self._inside()
        old = _settings(self.project, request.name)
        data = self._relative(Path(request.data)) if request.data else old.get("data")
        if not data:
            raise Refused(
                f"exporting {source} needs real rows of data, to record what the model answers on them",
                hint=_command("modelver", "add", request.name, source)
                + " --data FILE.csv   (or --plain to track it as it lies)",
            )
        for path in (source, data):
            if path in self._made:
                continue
            if not (self.root / path).is_file():
                raise NotFound(f"{path} does not exist")
            self._track(path)
        settings: dict[str, Any] = {
            "source": source,
            "framework": request.framework or old.get("framework") or _framework(request.path),
            "data": data,
            "target": request.target,
            "export": {},
            "gates": {},
            "parity": {},
        }
        self._edit(PARAMS, lambda document: starter.ensure_settings(document, request.name, settings))
        self._edit(DVC_YAML, starter.ensure_stages)
        return self._declare("pipeline", self.layout.weights, None, None)

    def _ingested(self) -> AddResult:
        # DVC's folder for temporary files: Git ignores it, and it lies on the working tree's file system.
        scratch = self.root / ".dvc" / "tmp" / "modelver-add"
        shutil.rmtree(scratch, ignore_errors=True)  # what a killed run left; the lock is held
        try:
            return self._split_into(scratch / "weights")
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _split_into(self, staging: Path) -> AddResult:
        weights = self.root / self.layout.weights
        source, cache, hashes = self.request.path, DvcCache.find(self.root), HashCache(self.project.git.state_dir)
        if tracked := self._tracked_by_git(self.layout.weights):
            raise Refused(
                f"Git tracks {tracked[0]}, and {self.layout.weights} would be replaced whole, and tracked by DVC",
                hint=_command("git", "rm", "-r", "--cached", self.layout.weights),
            )
        found = ingest.split(source, weights, staging, hashes, self.progress)
        if not self.request.force:
            label, incoming = self.layout.weights, {entry.md5 for entry in found.files}
            refuse_unheld_weights(weights, label, incoming, self._recorded(), cache, hashes, drop=self._by_force())
        md5, size, sha256 = ingest.store(source, staging, found, cache, hashes)
        total = sum(entry.bytes for entry in found.files)
        self._write(self.layout.tensors, dump_tensors(found.tensors))
        self._write(self.layout.files, dump_files(found.files))
        self._write(self.layout.source, ingest.source_document(self.root, source, found, size, sha256))
        self._ignore(self.layout.gitignore, "/weights")
        pointer = f"{self.layout.weights}.dvc"
        self._write(pointer, ingest.pointer(md5, total, len(found.files), self._read(pointer)))
        result = self._declare("ingested", self.layout.weights, len(found.tensors), total)
        ingest.swap(staging, weights, found, hashes)
        return result

    def _plain(self) -> AddResult:
        path = self._inside()
        if tracked := self._tracked_by_git(path):
            raise _in_git(path, tracked)
        if path not in self._made:
            self._refuse_links_out(path)
            self._refuse_unheld([self.layout.files])
            self._dvc_add(path)
        self._edit(DVC_YAML, lambda document: starter.ensure_artifact(document, self.request.name, path, None))
        facts = collect(OverlaySnapshot(self.project.worktree, self.pending), self.request.name)
        files: list[FileEntry] = []
        if facts.weights is not None:
            files = facts.files or manifest_of_worktree(self.project, facts.weights)
            self._write(self.layout.files, dump_files(files))
        return self._declare("plain", path, None, sum(entry.bytes for entry in files))

    def _declare(self, kind: Kind, weights: str, tensors: int | None, size: int | None) -> AddResult:
        name, desc = self.request.name, self.request.desc
        self._edit(DVC_YAML, lambda document: starter.ensure_artifact(document, name, weights, desc))
        if not (self.root / self.layout.card).exists():
            self._write(self.layout.card, card.template(name).encode())
        generated = set(self.layout.generated()) - {self.layout.gitignore}  # that one is extended
        self._refuse_unheld(sorted(generated & self.pending.keys()))
        publish_files(self.project.git, f"add {name}", self.pending, lock=self.lock)
        return AddResult(name, kind, weights, tuple(dict.fromkeys(self.written)), tensors, size, self.new)

    @cached_property
    def _made(self) -> frozenset[str]:
        """What the stages of ``dvc.yaml`` make."""
        return frozenset(out for stage in dvc_project.stages(self.root) for out in stage.outs)

    def _made_by_stage(self, path: Path) -> bool:
        full, root = as_written(path), as_written(self.root)
        return full.is_relative_to(root) and full.relative_to(root).as_posix() in self._made

    def _recorded(self) -> set[str]:
        """MD5s of the files that the model has by its pointer and manifest."""
        files = None if self.new else collect(self.project.worktree, self.request.name).files
        return {entry.md5 for entry in files or ()}

    def _refuse_unheld(self, paths: list[str]) -> None:
        if not self.request.force:
            refuse_unheld_text(self.project.git, paths, drop=self._by_force())

    def _by_force(self) -> str:
        request = self.request
        desc = ("--desc", request.desc) if request.desc else ()
        return _command("modelver", "add", request.name, request.path, *desc, "--force")

    def _track(self, path: str) -> None:
        """Have DVC track a file, unless Git has it."""
        if self._tracked_by_git(path):
            return
        self._dvc_add(path)

    def _dvc_add(self, path: str) -> None:
        touched = [f"{path}.dvc", str(Path(path).parent / ".gitignore")]
        before = self.project.worktree.read_many(touched)
        ingest.heal(self.root, self.root / path, DvcCache.find(self.root), HashCache(self.project.git.state_dir))
        dvc_project.add(self.root, path)
        after = self.project.worktree.read_many(touched)
        self.written += [name for name in touched if after.get(name) != before.get(name)]

    def _tracked_by_git(self, path: str) -> list[str]:
        """What Git tracks at or below a path, relative to the repository's top."""
        listed = self.project.git.run("--literal-pathspecs", "ls-files", "-z", "--", path)
        return [os.fsdecode(name) for name in listed.split(b"\0") if name]

    def _refuse_links_out(self, path: str) -> None:
        """Refuse a folder with a link that leads out of it: DVC would put what lies there into its cache.

        Links into DVC's own cache are how DVC lays files out where ``cache.type`` is ``symlink``.
        """
        folder = Path(os.path.realpath(self.root / path))
        cache = DvcCache.find(self.root)
        for place, folders, names in os.walk(folder):
            for link in (Path(place) / name for name in sorted(folders + names)):
                if not link.is_symlink():
                    continue
                if not Path(os.path.realpath(link)).is_relative_to(folder) and cache.holds(link) is None:
                    raise Refused(
                        f"{path}/{link.relative_to(folder).as_posix()} is a symbolic link that leads out of {path}, "
                        "and DVC would take in what lies there",
                        hint="put the file itself in its place, or remove the link",
                    )

    def _inside(self) -> str:
        return self._relative(self.request.path)

    def _relative(self, path: Path) -> str:
        """``path`` relative to the repository's top; raises Refused where it lies outside."""
        full = Path(os.path.realpath(path))
        root = Path(os.path.realpath(self.root))
        if full == root:
            raise Refused(f"{path} is the repository itself", hint="name a file or a folder in it that is the model")
        if not full.is_relative_to(root):
            raise Refused(
                f"{path} lies outside the repository",
                hint=_command("mv", path, self.root) + "   (or another place in the repository; then add it there)",
            )
        relative = full.relative_to(root).as_posix()
        if relative.split("/")[0] in (".git", ".dvc"):
            raise Refused(f"{path} belongs to Git or DVC")
        return relative

    def _edit(self, name: str, change: Callable[[Any], None]) -> None:
        self._write(name, yaml.edit_bytes(self._read(name) or b"", name, change))

    def _read(self, name: str) -> bytes | None:
        if name in self.pending:
            return self.pending[name]
        target = self.root / name
        refuse_link(self.root, name)
        if target.exists() and not target.is_file():
            raise Refused(f"{name} is no regular file", hint=_command("mv", name, f"{name}.mine"))
        return target.read_bytes() if target.exists() else None

    def _write(self, name: str, data: bytes) -> None:
        if data != self._read(name):
            self.pending[name] = data
            self.written.append(name)

    def _ignore(self, name: str, line: str) -> None:
        present = self._read(name) or b""
        if line.encode() not in present.splitlines():
            self._write(
                name, present + (b"\n" if present and not present.endswith(b"\n") else b"") + line.encode() + b"\n"
            )


def _command(*words: str | Path) -> str:
    """A command to copy into a shell: a file may be called anything."""
    return shlex.join(map(str, words))


def _in_git(path: str, tracked: list[str]) -> Refused:
    if tracked == [path]:
        return Refused(
            f"{path} is tracked by Git, and DVC can't track it as well", hint=_command("git", "rm", "--cached", path)
        )
    more = f" and {len(tracked) - 1} more" if len(tracked) > 1 else ""
    return Refused(
        f"{path} holds files that Git tracks ({tracked[0]}{more}), and DVC can't track the folder as well",
        hint="put the weights into a folder of their own, without files that Git tracks, and add that",
    )


def _settings(project: Project, name: str) -> dict[str, Any]:
    return model_settings(project.worktree, name)


def _framework(path: Path) -> str | None:
    """The exporter that takes files of this name."""
    from modelver.exporters import plugins
    from modelver.exporters.base import GROUP

    return next((n for n in plugins.names(GROUP) if path.suffix in plugins.load(GROUP, n, "exporter").suffixes), None)
