"""Whether others can get what is published here: the DVC remote, the Git remote, and the tags there."""

import os
import shlex
from collections.abc import Iterator
from functools import partial

from modelver.adapters.dvc import DvcRemote
from modelver.adapters.dvc.config import main_twin
from modelver.adapters.dvc.local_url import folder_meant
from modelver.adapters.dvc.settings import RemoteUrl
from modelver.adapters.git import run_git
from modelver.adapters.git.patience import TALK_TIMEOUT, patience
from modelver.adapters.git.remotes import GitRemote
from modelver.core.names import parse_tag
from modelver.core.printable import printable
from modelver.disk import as_written
from modelver.errors import ExternalFailure, ModelverError, Refused
from modelver.operations.doctor import Problem, Scene
from modelver.operations.plain_lines import plain_lines

_MISREAD = "which DVC takes for a folder"
_UNREACHABLE = "nobody can push or get weights until it answers"


def relative_remotes(scene: Scene) -> Iterator[Problem]:
    """Remotes that are folders relative to the configuration file."""
    if not scene.has_dvc:
        return
    linked, twin = scene.git.git_dir != scene.git.common_dir, main_twin(scene.root)
    for remote in scene.settings.remotes():
        if remote.path is None or folder_meant(remote.url) is not None:
            continue
        # the file is the branch's, and others resolve it from a clone: never from where a linked tree happens to lie
        path = remote.path if twin is None or remote.level != "repo" else as_written(twin / ".dvc" / remote.url)
        yield Problem(
            "relative-remote",
            f"DVC remote {remote.name} is the relative folder {remote.url}",
            "DVC 3.67 takes it from the file system's root as soon as it reads another commit's configuration, so "
            "`dvc push --all-tags` fills another folder"
            + ("" if not linked else "; and from a linked working tree it may lead elsewhere"),
            _new_url(remote, str(path)),
            None if linked else partial(scene.settings.set_remote_url, remote.level, remote.name, str(path)),
            level="warning",
        )


def misread_remotes(scene: Scene) -> Iterator[Problem]:
    """Remotes of which DVC makes a folder below the current one."""
    if not scene.has_dvc:
        return
    for remote in scene.settings.remotes():
        meant = folder_meant(remote.url)
        if meant is not None:
            yield Problem(
                "remote-url",
                f"DVC remote {remote.name} is at {remote.url}, {_MISREAD} below the current one",
                "what `dvc push` puts there is in a folder that nobody else looks into",
                _new_url(remote, meant),
            )


def plain_http(scene: Scene) -> Iterator[Problem]:
    """Remotes, not only the default one, that are spoken to without encryption."""
    if not scene.has_dvc:
        return
    for name in sorted({remote.name for remote in scene.settings.remotes() if "://" in remote.url}):
        try:
            DvcRemote.open(scene.root, name, plain_http=plain_lines(scene.git, scene.plain_http))
        except Refused as refusal:
            if "not encrypted" in refusal.message:
                yield Problem(
                    "plain-http",
                    refusal.message,
                    "whoever sits on the line can take the credentials, and give other bytes",
                    f"dvc remote modify {shlex.quote(name)} endpointurl https://…",
                )
        except ModelverError:  # told of the default one below, and of others when they are used
            continue


def dvc_remote(scene: Scene) -> Iterator[Problem]:
    """Whether the default DVC remote answers."""
    if not scene.has_dvc:
        yield Problem("no-dvc", "DVC is not set up here", "weights can't be versioned without it", "modelver init")
        return
    if scene.offline:
        return
    try:
        DvcRemote.open(scene.root, plain_http=plain_lines(scene.git, scene.plain_http)).probe()
    except Refused as refusal:
        known = any(words in refusal.message for words in ("not encrypted", _MISREAD))  # told of above
        if not known and ("no DVC remote" not in refusal.message or _published(scene)):
            yield Problem("dvc-remote", refusal.message, _UNREACHABLE, refusal.hint)
    except ExternalFailure as failure:
        yield Problem("dvc-remote", failure.message, _UNREACHABLE, failure.hint)


def git_remote(scene: Scene) -> Iterator[Problem]:
    """Whether the Git remote answers, and whether its version tags are here."""
    if scene.offline:
        return
    remote = scene.git.default_remote()
    if remote is None:
        if _published(scene):
            yield Problem(
                "git-remote",
                "there is no Git remote",
                "the versions are on this machine only",
                "git remote add origin URL && modelver push",
                level="warning",
            )
        return
    try:
        there = scene.git.remote_tags(remote, "*", plain_http=scene.plain_http)
    except (ExternalFailure, Refused) as failure:
        yield Problem(
            "git-remote",
            f"Git remote {remote}: {failure.message}",
            "nobody can publish, and it can't be known what others have published",
            failure.hint or f"git ls-remote {shlex.quote(remote.shown)}",
        )
        return
    here = set(scene.git.text("for-each-ref", "--format=%(refname:short)", "refs/tags").splitlines())
    missing = sorted(name for name in there.keys() - here if parse_tag(name) is not None)
    if missing and not (os.environ.get("CI") and scene.git.is_shallow()):
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        yield Problem(
            "missing-tags",
            f"{remote} has version tags that are not here: {printable(', '.join(missing[:3]))}{more}",
            "the latest version, and what runs where, are unknown here",
            f"git fetch --tags {shlex.quote(remote.shown)}",
            partial(_fetch_tags, scene, remote, missing),
            level="warning",
        )


CHECKS = (relative_remotes, misread_remotes, plain_http, dvc_remote, git_remote)


def _new_url(remote: RemoteUrl, url: str) -> str:
    option = [] if remote.level == "repo" else [f"--{remote.level}"]
    return shlex.join(["dvc", "remote", "modify", *option, remote.name, "url", url])


def _published(scene: Scene) -> bool:
    return bool(scene.registry.models)


def _fetch_tags(scene: Scene, remote: GitRemote, names: list[str]) -> None:
    """Only those that are missing: another tag that differs from the remote's would stop all of them."""
    refs = "".join(f"refs/tags/{name}:refs/tags/{name}\n" for name in names)
    fetch = ["fetch", "--quiet", "--no-tags", "--stdin", "--", remote.name]
    root = scene.git.root
    run_git(root, fetch, stdin=refs.encode(), env=patience(root), timeout=TALK_TIMEOUT)
