"""`modelver init`: make a folder a Git + DVC repository that is ready for models."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

from modelver.adapters import dvc_project, yaml
from modelver.adapters.dvc.local_url import folder_meant
from modelver.adapters.dvc.settings import DvcSettings
from modelver.adapters.git import GitRepository, run_git
from modelver.core import starter
from modelver.core.layout import DVC_YAML, PARAMS
from modelver.disk import as_written, write_atomic
from modelver.errors import Refused
from modelver.operations import hooks
from modelver.operations.ci import plan_workflow
from modelver.operations.transaction import refuse_link

Say = Callable[[str], None]

_PASSWORD = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^/@\s:]*):.*@(.*)\Z", re.DOTALL)


def init(path: Path, *, remote: str | None = None, ci: str | None = None, dry_run: bool = False) -> list[str]:
    """Create what is missing; what is there stays. Safe to run again.

    Args:
        path: a folder; the top of the repository around it is used.
        remote: where DVC shall push to (a folder, ``s3://…``, ``ssh://…``); None leaves that open.
        ci: ``github`` or ``gitlab``: write its workflow too.
        dry_run: only say what would be done.

    Returns:
        What was done, a line each.

    Raises:
        InvalidInput: there is no such CI.
        Refused: Git's object ids are of SHA-256, DVC is set up in a folder above or below, a stage of the user's has a
            name that modelver needs, the workflow was changed by hand, or the remote's URL holds a password, is no
            address to DVC, or its name stands for another URL.
        ExternalFailure: Git or DVC failed.
    """
    done: list[str] = []
    if remote:
        _refuse_password(remote)
        _refuse_file_url(remote)
        remote = _absolute(path, remote)
        _refuse_letters(remote)
    git = _git(path, done, dry_run)
    if git is not None and git.object_format() != "sha1":
        raise Refused(
            f"{git.root} is a Git repository of {git.object_format().upper()}, and DVC works in those of SHA-1 only",
            hint="git init --object-format=sha1 NEW_FOLDER, and modelver init there",
        )
    root = git.root if git else path
    workflow = plan_workflow(root, ci) if ci else None  # first: it may refuse
    if remote:
        _refuse_other_remote(root, remote)
    if not (root / ".dvc").is_dir():
        done.append("DVC: initialised")
        if not dry_run:
            dvc_project.init(root)
    attributes = _text(root / ".gitattributes")
    if (merged := starter.merged_attributes(attributes)) != attributes:  # as text: Git may have made CRLF of LF
        _write(root, ".gitattributes", merged.encode("utf-8", "surrogateescape"), done, dry_run)
    if not (root / PARAMS).exists():
        _write(root, PARAMS, starter.PARAMS.encode(), done, dry_run)
    else:
        _write(root, PARAMS, yaml.edit(root / PARAMS, _ensure_models), done, dry_run)
    _write(root, DVC_YAML, yaml.edit(root / DVC_YAML, starter.ensure_stages), done, dry_run)
    if remote:
        done.append(f"DVC's default remote: {remote}")
        if not dry_run:
            dvc_project.add_default_remote(root, remote)
    if workflow:
        for name, data in workflow.contents.items():
            _write(root, name, data, done, dry_run)
        done += workflow.notes
    if git:
        for action in hooks.install(git, dry_run=dry_run):
            if action.state != "current":
                done.append(f"hook {action.hook}: {action.state}" + (f" ({action.note})" if action.note else ""))
    return done


def _git(path: Path, done: list[str], dry_run: bool) -> GitRepository | None:
    try:
        return GitRepository.find(path)
    except Refused as refusal:
        if refusal.hint != "modelver init":
            raise
    done.append("Git: initialised")
    if dry_run:
        return None
    run_git(path, ["init", "--quiet", "--object-format=sha1"])  # whatever `init.defaultObjectFormat` says
    return GitRepository.find(path)


def _ensure_models(document: dict[str, dict[str, object]]) -> None:
    starter.ensure_models(document)
    starter.complete_settings(document)


def _write(root: Path, name: str, data: bytes, done: list[str], dry_run: bool) -> None:
    target = root / name
    old = target.read_bytes() if target.exists() else None
    if data == old:
        return
    refuse_link(root, name)
    done.append(f"{name}: {'written' if old is None else 'extended'}")
    if not dry_run:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, data)


def _refuse_password(remote: str) -> None:
    """``.dvc/config`` is committed, and what is committed is published."""
    found = _PASSWORD.match(remote)
    if found:
        scheme, user, rest = found.groups()
        raise Refused(
            f"{scheme}***@{rest} holds a password, and .dvc/config, where it would stand, is committed",
            hint=f"modelver init --remote {shlex.quote(scheme + user + '@' + rest)} && "
            "dvc remote modify --local storage password PASSWORD",
        )


def _refuse_file_url(remote: str) -> None:
    """DVC would make a folder called ``file:`` below the current one, and fill that."""
    meant = folder_meant(remote)
    if meant is not None:
        raise Refused(
            f"{remote} is no address to DVC, which would take it for a folder below the current one",
            hint=shlex.join(["modelver", "init", "--remote", meant]),
        )


def _refuse_letters(remote: str) -> None:
    """DVC (seen in 3.67) writes its configuration in ASCII; what does not fit leaves an empty file behind."""
    if not remote.isascii():
        raise Refused(
            f"{remote} holds letters beyond ASCII, which DVC can't write into its configuration",
            hint="modelver init --remote FOLDER   (one whose whole path is ASCII, as a link may be: ln -s)",
        )


def _refuse_other_remote(root: Path, remote: str) -> None:
    """The remote that is there under the name may be where the weights of published versions lie."""
    refuse_link(root, ".dvc/config")
    if not (root / ".dvc" / "config").is_file():
        return
    for found in DvcSettings(root).remotes():
        if (found.level, found.name) == ("repo", "storage") and remote not in (found.url, str(found.path)):
            raise Refused(
                f"DVC has a remote 'storage' already, with another URL than {remote}",
                hint=shlex.join(["dvc", "remote", "modify", "storage", "url", remote]),
            )


def _absolute(path: Path, remote: str) -> str:
    """A folder as an absolute path.

    DVC (seen in 3.67) takes a relative one from the root of the file system as soon as it reads the configuration of
    another commit than the one checked out: `dvc push --all-tags` then fills ``/storage`` in place of ``../storage``.
    """
    return remote if "://" in remote else str(as_written(path / remote))


def _text(path: Path) -> str:
    """A text file with the line ends that it has, whatever its encoding."""
    return path.read_bytes().decode("utf-8", "surrogateescape") if path.is_file() else ""
