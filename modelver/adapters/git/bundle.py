"""Git bundles: a whole repository in one file."""

import os
from collections.abc import Iterable
from pathlib import Path

from modelver.adapters.git.process import run_git
from modelver.adapters.git.repository import GitRepository
from modelver.errors import ExternalFailure, Refused

_OTHER_WORKTREES = ("worktrees/", "main-worktree/")
"""What ``--all`` calls the HEADs of the other working trees: their commits come along, and Git fetches no such name."""


def bundle_refs(git: GitRepository) -> dict[str, str]:
    """What a bundle of everything holds: full name of each ref, and HEAD → object id."""
    refs = {}
    for line in git.text("for-each-ref", "--format=%(objectname) %(refname)").splitlines():
        name, _, ref = line.partition(" ")
        refs[ref] = name
    head = git.head().commit
    return {"HEAD": head, **refs} if head else refs


def make_bundle(git: GitRepository, target: Path) -> dict[str, str]:
    """Write all refs and what can be reached from them into a file; the refs.

    Raises:
        Refused: there is no commit yet.
        ExternalFailure: Git failed, or refs kept moving.
    """
    for _ in range(5):
        refs = bundle_refs(git)
        if not refs:
            raise Refused("there is nothing to bundle: no commit yet", hint="git commit")
        target.unlink(missing_ok=True)
        git.run("bundle", "create", "--quiet", str(target), "--all")
        git.run("bundle", "verify", "--quiet", str(target))
        held = {}
        for line in git.text("bundle", "list-heads", str(target)).splitlines():
            name, _, ref = line.partition(" ")
            if not ref.startswith(_OTHER_WORKTREES):
                held[ref] = name
        if refs == held:
            return refs
    lacking = sorted(refs.items() ^ held.items())[0][0]
    raise ExternalFailure(f"Git's bundle does not hold {lacking} as it is", hint="try again while nobody works here")


def init_for(refs: Iterable[str]) -> list[str]:
    """Arguments of `git init` for a repository that takes these object ids: SHA-1, or SHA-256."""
    return ["init", "--quiet", *(["--object-format=sha256"] if any(len(name) == 64 for name in refs) else [])]


def fetched_refs(bundle: Path, scratch: Path) -> dict[str, str]:
    """Unpack a bundle into a new bare repository at ``scratch``, which proves that it is whole; its refs."""
    heads = run_git(bundle.parent, ["bundle", "list-heads", os.fspath(bundle.absolute())]).split()[::2]
    run_git(bundle.parent, [*init_for(os.fsdecode(head) for head in heads), "--bare", "--template=", str(scratch)])
    place = f"--git-dir={scratch}"
    run_git(bundle.parent, [place, "fetch", "--quiet", "--", os.fspath(bundle.absolute()), "+refs/*:refs/*"])
    listed = run_git(bundle.parent, [place, "for-each-ref", "--format=%(objectname) %(refname)"])
    pairs = (line.partition(" ") for line in listed.decode("utf-8", "surrogateescape").splitlines())
    return {ref: name for name, _, ref in pairs}
