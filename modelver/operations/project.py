"""An opened repository: where it is, its registry of versions, its working tree."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from modelver.adapters.git import GitRepository
from modelver.core.names import check_model_name, shown
from modelver.core.refs import Ref, near, parse_ref, resolve_version
from modelver.core.registry import ModelVersion, Registry, build_registry
from modelver.errors import InvalidInput, NotFound, Refused
from modelver.operations.pushing import recover_push
from modelver.operations.snapshot import WorktreeSnapshot
from modelver.operations.transaction import recover_if_needed


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a ref became.

    Attributes:
        ref: as parsed.
        model: the model that it speaks of.
        commit: the commit; None for the working tree.
        version: the published version; None for any other revision.
    """

    ref: Ref
    model: str
    commit: str | None
    version: ModelVersion | None

    @property
    def label(self) -> str:
        """How to call it in front of people."""
        if self.version:
            return self.version.tag
        return self.ref.text or "working tree"


class Project:
    """A Git repository with models."""

    def __init__(self, git: GitRepository) -> None:
        self.git = git
        self.root = git.root

    @classmethod
    def open(cls, path: str | Path = ".") -> "Project":
        """Open the repository around ``path``; what a killed command left is finished or undone first.

        Raises:
            Refused: there is no Git repository with a working tree.
        """
        git = GitRepository.find(Path(path))
        recover_if_needed(git)
        recover_push(git)
        return cls(git)

    def require_dvc(self) -> None:
        """Raise Refused unless DVC is initialised at the top of the working tree."""
        if not (self.root / ".dvc").is_dir():
            raise Refused(f"{self.root} has no DVC project at its top", hint="modelver init")

    @cached_property
    def registry(self) -> Registry:
        """Versions and environments, from one listing of the tags."""
        return build_registry(self.git.tags())

    @cached_property
    def worktree(self) -> WorktreeSnapshot:
        """The files as they lie."""
        return WorktreeSnapshot(self.root)

    def models(self) -> list[str]:
        """Names of all models: those of the working tree and those that have versions."""
        from modelver.operations.facts import model_names

        return sorted({*model_names(self.worktree), *self.registry.models})

    def pick_model(self, name: str | None) -> str:
        """The model that a command means: the named one, or the only one.

        Raises:
            InvalidInput: no such name can be, or it is left out where there are several.
            NotFound: there is no such model.
        """
        from modelver.operations.facts import model_names

        if name is not None:
            check_model_name(name)
            declared = model_names(self.worktree)
            if name not in declared:
                raise NotFound(
                    f"there is no model {shown(name)}", hint=near(name, declared) or "modelver add NAME PATH"
                )
            return name
        declared = model_names(self.worktree)
        if not declared:
            raise NotFound("this repository has no models yet", hint="modelver add NAME PATH")
        if len(declared) > 1:
            raise InvalidInput(f"which model? there are {len(declared)}", hint="one of " + ", ".join(declared[:12]))
        return declared[0]

    def resolve(self, text: str | None, model: str | None = None) -> Resolved:
        """What a ref names; a model's bare name is its latest version.

        Args:
            text: as the user wrote it; None for the working tree.
            model: used where the ref names none.

        Raises:
            InvalidInput: the ref is malformed, or does not say which model it means.
            NotFound: nothing is called so; the hint lists the near ones.
        """
        ref = parse_ref(text)
        known = self.models() if (ref.model is None and model is None) else []
        default = model or (known[0] if len(known) == 1 else None)
        version = resolve_version(ref, self.registry, default)
        if version is not None:
            return Resolved(ref, version.model, version.record.commit, version)
        if ref.kind == "worktree":
            return Resolved(ref, self.pick_model(model), None, None)
        by_tag = self._version_by_tag(ref.text)
        if by_tag is not None:
            return Resolved(ref, by_tag.model, by_tag.record.commit, by_tag)
        commit = self.git.rev_parse(ref.text)
        if commit is None and ref.text in self.registry.models:
            return self.resolve(f"{ref.text}@latest")
        if commit is None:
            names = [*(() if default else self.registry.models), *(v.tag for v in self.registry.versions(default))]
            raise NotFound(f"{shown(ref.text)} is no version and no Git revision", hint=near(ref.text, names))
        if default is None:
            raise InvalidInput(
                f"{shown(ref.text)} does not say which model", hint="--model " + " or --model ".join(known[:5])
            )
        return Resolved(ref, default, commit, None)

    def _version_by_tag(self, text: str) -> ModelVersion | None:
        short = text.removeprefix("refs/").removeprefix("tags/")
        return next((v for v in self.registry.versions() if v.tag == short), None)
