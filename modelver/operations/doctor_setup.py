"""How Git and DVC are set up here: hooks, links, worktrees, tags."""

import os
import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from modelver.adapters.git import WHOLE_CLONE
from modelver.core.names import parse_tag
from modelver.disk import copy_file
from modelver.operations import hooks
from modelver.operations.doctor import Problem, Scene
from modelver.operations.doctor_storage import weight_files

_BREAKING_LINKS = ("hardlink", "symlink")
_NO_HOOKS = (
    "after a checkout other weights lie there than Git's version has, and a plain git push may publish a tag whose "
    "weights nobody can get"
)
_LINKS_BREAK = (
    "ONNX refuses external data that are links, and whoever edits such a file edits the cache of all versions"
)


def hooks_installed(scene: Scene) -> Iterator[Problem]:
    """The hooks that restore weights and stop half publishes. CI makes a new clone for each run, and needs none."""
    if os.environ.get("CI"):
        return
    actions = hooks.status(scene.git)
    for state, words in (("absent", "not installed"), ("updated", "of another modelver")):
        names = [action.hook for action in actions if action.state == state]
        if names:
            yield Problem(
                "hook",
                f"hooks that are {words}: {', '.join(names)}",
                _NO_HOOKS,
                "modelver hook install",
                partial(hooks.install, scene.git),
                level="warning",
            )
    for action in actions:
        if action.state == "manual":
            message = f"the hook {action.hook} has to be installed by you: {action.note}"
            yield Problem("hook", message, _NO_HOOKS, f"edit {shlex.quote(str(action.path))}", level="warning")


def link_types(scene: Scene) -> Iterator[Problem]:
    """``cache.type``: how DVC puts files of its cache into the working tree."""
    if not scene.has_dvc:
        return
    level, kinds = scene.settings.link_types
    bad = [kind for kind in kinds if kind in _BREAKING_LINKS]
    if not bad:
        return
    better = [kind for kind in kinds if kind not in _BREAKING_LINKS] or ["reflink", "copy"]
    option = "" if level == "repo" else f" --{level}"
    own = level in ("repo", "local")  # what else the user has set for other repositories too is theirs
    yield Problem(
        "link-type",
        f"cache.type is {','.join(kinds)} ({level} configuration): DVC links weights to its cache",
        _LINKS_BREAK,
        f"dvc config{option} cache.type {','.join(better)} && dvc checkout --relink",
        partial(scene.settings.set_link_types, level, better) if own else None,
    )


def linked_weights(scene: Scene) -> Iterator[Problem]:
    """Weights in the working tree that share their bytes with the cache."""
    for facts in scene.models:
        linked = []
        for place, entry in weight_files(scene, facts):
            cached = scene.cache.path(entry.md5)
            if cached.exists() and place.exists() and place.samefile(cached) and scene.is_own(place):
                linked.append(place)
        if linked:
            yield Problem(
                "linked-weights",
                f"{facts.path}: {len(linked)} file{'s are' if len(linked) > 1 else ' is'} linked to DVC's cache",
                _LINKS_BREAK,
                "dvc config cache.type reflink,copy && dvc checkout --relink",
                partial(_unlink, linked),
            )


def worktree_cache(scene: Scene) -> Iterator[Problem]:
    """A linked working tree in which DVC would make a cache of its own."""
    if not scene.has_dvc:
        return
    cache = scene.cache
    if cache.sharable is not None:
        yield Problem(
            "worktree-cache",
            f"DVC does not know the cache of the main working tree, {cache.sharable}",
            "in this linked working tree it misses every object, and would download all weights a second time",
            f"dvc config --local cache.dir {shlex.quote(str(cache.sharable))}",
            cache.share_main,
            level="warning",
        )


def shallow(scene: Scene) -> Iterator[Problem]:
    """A clone without history, as CI makes it."""
    if scene.git.is_shallow():
        yield Problem(
            "shallow-clone",
            "this is a shallow clone: tags and history are missing",
            "versions can't be found or compared, and nothing may be tagged or cleaned up from here",
            "git fetch --unshallow --tags   (GitHub Actions: fetch-depth: 0; GitLab: GIT_DEPTH: 0)",
        )


def lacking(scene: Scene) -> Iterator[Problem]:
    """A clone without all files of past commits (``git clone --filter``)."""
    if scene.git.lacks_objects():
        yield Problem(
            "partial-clone",
            "this is a partial clone (--filter) that lacks files of past commits",
            "versions can't be restored, compared or verified from here, and gc and backup refuse",
            WHOLE_CLONE,
        )


def tags(scene: Scene) -> Iterator[Problem]:
    """Tags that GTO fails on, or that nobody takes for versions."""
    seen: dict[tuple[str, str], str] = {}
    for version in sorted(scene.registry.versions(), key=lambda v: v.record.time):
        first = seen.setdefault((version.model, version.record.commit), version.tag)
        if first != version.tag:
            yield Problem(
                "two-versions",
                f"{first} and {version.tag} are on the same commit",
                "gto show and gto history fail as soon as one of them gets an environment",
                f"git tag -d {shlex.quote(version.tag)}   (if it was not pushed)",
                level="warning",
            )
    listed = scene.git.text("for-each-ref", "--format=%(objecttype) %(refname:short)", "refs/tags")
    for line in listed.splitlines():
        kind, _, name = line.partition(" ")
        parsed = parse_tag(name) if kind == "commit" else None
        if parsed is not None:
            quoted = shlex.quote(name)
            yield Problem(
                "lightweight-tag",
                f"{name} is a lightweight tag",
                "it is not taken for a version: it tells neither who made it nor when, and anybody's may move it",
                f"git tag -d {quoted} && modelver tag {shlex.quote(parsed.model)} --version {parsed.version}"
                if parsed.version
                else f"git tag -d {quoted}",
                level="warning",
            )


def object_format(scene: Scene) -> Iterator[Problem]:
    """A repository that DVC can't work in."""
    if scene.git.object_format() != "sha1":
        yield Problem(
            "object-format",
            f"Git's object ids are of {scene.git.object_format().upper()} here",
            "DVC works in repositories of SHA-1 only: its commands fail",
            "git init --object-format=sha1 NEW_FOLDER, and modelver init there",
        )


CHECKS = (object_format, hooks_installed, link_types, linked_weights, worktree_cache, shallow, lacking, tags)


def _unlink(places: list[Path]) -> None:
    for place in places:
        copy_file(place, place)
