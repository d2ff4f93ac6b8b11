"""Continuous integration: the workflow that `init --ci` writes, and the tags that it makes after a merge."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from modelver.adapters import dvc_project
from modelver.adapters.dvc import DvcCache
from modelver.core.names import version_tag
from modelver.core.plan import Request
from modelver.core.versions import Version
from modelver.errors import CheckFailed, InvalidInput, Refused
from modelver.operations.facts import ModelFacts, collect, model_names, read_sidecar
from modelver.operations.project import Project
from modelver.operations.record import base_of, compare_with
from modelver.operations.snapshot import CommitSnapshot
from modelver.operations.tag import TagResult, tag
from modelver.operations.tag_result import made_before

Say = Callable[[str], None]

_TARGETS = {"github": ".github/workflows/modelver.yml", "gitlab": ".gitlab/modelver.yml"}
_GITLAB_ROOT = ".gitlab-ci.yml"
_GITLAB_INCLUDE = b"include:\n  - local: .gitlab/modelver.yml\n"
_HEAD = "# Written by `modelver init --ci {}`, digest {}. Once changed by hand, it is never written again.\n"


@dataclass(frozen=True, slots=True)
class CiFiles:
    """What `init --ci` is to write.

    Attributes:
        contents: path → bytes of the files that are missing or of an older modelver.
        notes: what is left for the user to do.
    """

    contents: dict[str, bytes]
    notes: tuple[str, ...] = ()


def plan_workflow(root: Path, provider: str) -> CiFiles:
    """What is missing of a provider's workflow.

    Args:
        root: top of the working tree.
        provider: ``github`` or ``gitlab``.

    Raises:
        InvalidInput: there is no such provider.
        Refused: the file is there and was changed by hand.
    """
    if provider not in _TARGETS:
        raise InvalidInput(f"--ci {ascii(provider)[:40]} is no CI that modelver knows", hint="github or gitlab")
    path = _TARGETS[provider]
    wanted = workflow(provider)
    contents = {}
    present = _read(root / path)
    if present != wanted:
        if present is not None and not _unchanged(present, provider):
            raise Refused(
                f"{path} was changed by hand, and is left as it is",
                hint=f"mv {path} {path}.old && modelver init --ci {provider}   (then compare the two)",
            )
        contents[path] = wanted
    notes: tuple[str, ...] = ()
    if provider == "gitlab":
        including = _read(root / _GITLAB_ROOT)
        if including is None:
            contents[_GITLAB_ROOT] = _GITLAB_INCLUDE
        elif path.encode() not in including:
            notes = (f"{_GITLAB_ROOT}: left as it is; it needs include: [{{local: {path}}}]",)
    return CiFiles(contents, notes)


def workflow(provider: str) -> bytes:
    """A provider's workflow, with this modelver's version in it and its own digest in the first line."""
    from modelver import __version__

    template = resources.files("modelver").joinpath("templates", "ci", f"{provider}.yml").read_text("utf-8")
    return _signed(template.replace("@VERSION@", __version__), provider)


def tag_recorded(
    project: Project,
    name: str | None = None,
    *,
    fetch: bool = False,
    sign: bool = False,
    to_push: bool = False,
    dry_run: bool = False,
    say: Say = lambda _: None,
) -> list[TagResult]:
    """Tag every model whose committed sidecar proposes a version that has no tag yet: what CI does after a merge.

    No commit is made: what was reviewed is what is tagged. Either every model is tagged or none.

    Args:
        project: the repository.
        name: only this model.
        fetch: bring the weights into DVC's cache first; they are not put into the working tree.
        sign: sign the tags.
        to_push: they are pushed next, and with them the versions that HEAD carries and the Git remote lacks.
        dry_run: only plan.
        say: told of what goes on, a sentence at a time.

    Raises:
        Refused: a sidecar is not what recording gives, or a precondition of `tag` does not hold.
        CheckFailed: weights are damaged, or not on DVC's remote.
        ExternalFailure: Git or DVC failed.
    """
    project.require_dvc()
    names = [project.pick_model(name)] if name else model_names(project.worktree)
    requests = {model: request for model in names if (request := _request(project, model)) is not None}
    if fetch and requests:
        _fetch(project, [collect(project.worktree, model) for model in requests], say)
    others = [collect(project.worktree, model) for model in names if to_push and model not in requests]
    found = [made_before(project, facts, Request(), dry_run=dry_run, say=say) for facts in others]
    before = [result for result in found if result is not None]
    planned = []
    for model, request in requests.items():
        result = tag(project, model, request, sign=sign, dry_run=True, say=say)
        if result.committed:
            raise Refused(
                f"{', '.join(result.files)} in HEAD's commit is not what recording {model} {result.version} gives",
                hint=f"modelver record {model} && git commit -- {' '.join(result.files)}",
            )
        planned.append(result)
    if dry_run:
        return before + planned
    return before + [tag(Project.open(project.root), model, request, sign=sign) for model, request in requests.items()]


def _fetch(project: Project, models: list[ModelFacts], say: Say) -> None:
    """Bring weights into DVC's cache. `dvc fetch` ends with 0 though objects are missing, so the cache is looked at."""
    paths = [facts.path for facts in models]
    say(f"fetching {', '.join(paths)}")
    dvc_project.fetch(project.root, paths)
    cache = DvcCache.find(project.root)
    for facts in models:
        wanted = [] if facts.weights is None else [facts.weights.md5]
        if facts.weights is not None and facts.weights.is_dir:
            wanted += [entry.md5 for entry in facts.files or ()]
        missing = [md5 for md5 in wanted if not cache.has(md5)]
        if missing:
            raise CheckFailed(
                f"the weights of {facts.name} are not on DVC's remote: {len(missing)} of {len(wanted)} objects missing",
                hint=f"dvc push {facts.path}   (where they were recorded)",
            )


def _request(project: Project, model: str) -> Request | None:
    """The version that HEAD's sidecar of a model proposes; None where it has none, or that is tagged already."""
    head = project.git.head().commit
    recorded = read_sidecar(CommitSnapshot(project.git, head), model) if head else None
    if recorded is None:
        return None
    version = Version.parse(recorded["version"])
    if any(v.tag == version_tag(model, version) for v in project.registry.versions(model)):
        return None
    base = base_of(project, model)
    changed = compare_with(project, base, collect(project.worktree, model))[1]
    return Request(version=version, force_new=not changed)  # a new version of unchanged weights was reviewed as such


def _signed(body: str, provider: str) -> bytes:
    return (_HEAD.format(provider, _digest(body)) + body).encode()


def _unchanged(data: bytes, provider: str) -> bool:
    """Whether a file is as some modelver wrote it."""
    body = data.decode("utf-8", "replace").partition("\n")[2]
    return data == _signed(body, provider)


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
