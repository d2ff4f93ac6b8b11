"""Making commits and tags so that nothing shows until the refs move, and then everything at once."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelver.adapters.git.process import git_status, run_git
from modelver.adapters.git.repository import GitRepository
from modelver.errors import ExternalFailure, Refused

# Refs and objects reach the disk before the command that depends on them goes on (Git leaves loose objects, refs and
# the index to the kernel by default).
_DURABLE = ("-c", "core.fsync=committed,loose-object,reference,index")


@dataclass(frozen=True, slots=True)
class RefChange:
    """One change of a ref.

    Attributes:
        ref: full name, or ``HEAD``.
        new: the object that it shall name.
        old: what it must name now; None: it must not exist.
    """

    ref: str
    new: str
    old: str | None


def write_blob(git: GitRepository, data: bytes, *, filtered_as: str | None = None) -> str:
    """Store bytes and return the blob's id: as they are, or as `git add` would store the file ``filtered_as``."""
    filters = "--no-filters" if filtered_as is None else f"--path={filtered_as}"
    return run_git(git.root, [*_DURABLE, "hash-object", "-w", "--stdin", filters], stdin=data).decode().strip()


def write_commit(git: GitRepository, parent: str, files: Mapping[str, str | None], message: str) -> str:
    """A commit on ``parent`` that differs in ``files`` only (path → blob id, None: removed); no ref moves.

    The index that the user works with is not touched: the tree is built in one of its own. Signed where
    ``commit.gpgSign`` says so.

    Raises:
        Refused: Git knows no name and address for the author.
    """
    with tempfile.TemporaryDirectory(prefix="index-", dir=_state_dir(git)) as folder:
        env = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        run_git(git.root, ["read-tree", parent], env=env)
        run_git(git.root, ["update-index", "-z", "--index-info"], stdin=_index_info(files), env=env)
        tree = run_git(git.root, [*_DURABLE, "write-tree"], env=env).decode().strip()
    args = [*_DURABLE, "commit-tree", tree, "-p", parent]
    if git.flag("commit.gpgSign"):
        args.append("-S")
    return run_git(git.root, args, stdin=message.encode()).decode().strip()


def committer(git: GitRepository) -> str:
    """``Name <address> seconds zone`` of whoever runs this.

    Raises:
        Refused: Git knows no name and address.
    """
    status, output, errors = git_status(git.root, ["var", "GIT_COMMITTER_IDENT"])
    if status != 0:
        said = errors.decode("utf-8", "replace").strip().splitlines()
        raise Refused(
            "Git does not know who you are" + (f" ({said[-1]})" if said else ""),
            hint='git config user.name "Your Name" && git config user.email you@example.com',
        )
    return output.decode("utf-8", "replace").strip()


def write_tag(
    git: GitRepository, name: str, commit: str, message: str, *, sign: bool, not_before: int | None = None
) -> str:
    """The tag object; no ref is made. With ``sign``, by whatever ``gpg.format`` and ``user.signingKey`` say.

    Args:
        git: the repository.
        name, commit, message: of the tag.
        sign: whether to sign it.
        not_before: the earliest time for the tagger, in seconds since the epoch, where tags must follow each other.

    Raises:
        ExternalFailure: signing failed.
    """
    who, seconds, zone = committer(git).rsplit(" ", 2)
    if not_before is not None:
        seconds = str(max(int(seconds), not_before))
    if sign:
        return _write_signed_tag(git, name, commit, message, f"@{seconds} {zone}")
    content = f"object {commit}\ntype commit\ntag {name}\ntagger {who} {seconds} {zone}\n\n{message}"
    return run_git(git.root, [*_DURABLE, "mktag"], stdin=content.encode()).decode().strip()


def update_refs(git: GitRepository, changes: Sequence[RefChange], reason: str, *, lock: int) -> None:
    """Move or create refs in one transaction, each with compare-and-swap.

    Args:
        git: the repository.
        changes: what shall move.
        reason: for the reflog.
        lock: descriptor of modelver's lock. Git holds it as well, so that nobody looks for what was left behind while a
            Git whose parent was killed still works.

    Raises:
        ExternalFailure: a ref is not what it was expected to be; then none has moved.
    """
    lines = ["start"]
    for change in changes:
        if change.old is None:
            lines.append(f"create {change.ref}\0{change.new}")
        else:
            lines.append(f"update {change.ref}\0{change.new}\0{change.old}")
    lines += ["prepare", "commit"]
    run_git(
        git.root,
        [*_DURABLE, "update-ref", "--create-reflog", "-m", reason, "-z", "--stdin"],
        stdin=("\0".join(lines) + "\0").encode(),
        inherit=(lock,),
    )


def delete_ref(git: GitRepository, ref: str, old: str) -> None:
    """Delete a ref that names ``old``."""
    run_git(git.root, [*_DURABLE, "update-ref", "-d", ref, old])


def set_index_entries(git: GitRepository, files: Mapping[str, str | None], *, lock: int) -> None:
    """Make the user's index hold these blobs at these paths; every other entry stays as it is. ``lock`` as above."""
    run_git(git.root, [*_DURABLE, "update-index", "-z", "--index-info"], stdin=_index_info(files), inherit=(lock,))
    # Without its stat data `git status` would have to read the file to find it unchanged.
    present = [path for path, blob in files.items() if blob]
    status, _, _ = git_status(git.root, ["update-index", "-q", "--really-refresh", "--", *present], inherit=(lock,))
    if status < 0:  # a file that changed meanwhile is no failure, but a Git that was killed leaves its lock behind
        raise ExternalFailure(f"git update-index was ended by signal {-status}")


def _index_info(files: Mapping[str, str | None]) -> bytes:
    lines = [f"100644 {blob} 0\t{path}" if blob else f"0 {'0' * 40}\t{path}" for path, blob in sorted(files.items())]
    return ("\0".join(lines) + "\0").encode("utf-8", "surrogateescape")


def _write_signed_tag(git: GitRepository, name: str, commit: str, message: str, date: str) -> str:
    """Let Git sign in a Git directory of its own that shares objects and configuration, so no ref is made here."""
    scratch = Path(tempfile.mkdtemp(prefix="sign-", dir=_state_dir(git)))
    try:
        (scratch / "refs" / "tags").mkdir(parents=True)
        (scratch / "objects").mkdir()
        (scratch / "HEAD").write_text("ref: refs/heads/none\n")
        config = str(git.common_dir / "config").replace("\\", "\\\\").replace('"', '\\"')
        (scratch / "config").write_text(f'[include]\n\tpath = "{config}"\n[core]\n\tbare = true\n')
        env = {"GIT_DIR": str(scratch), "GIT_OBJECT_DIRECTORY": str(git.common_dir / "objects")}
        env["GIT_COMMITTER_DATE"] = date
        status, _, errors = git_status(
            git.root, [*_DURABLE, "tag", "--sign", "--cleanup=verbatim", "-F", "-", "--", name, commit],
            stdin=message.encode(), env=env,
        )  # fmt: skip
        if status != 0:
            raise _not_signed(errors)
        output = run_git(git.root, ["rev-parse", "--verify", f"refs/tags/{name}"], env=env)
        tag = output.decode().strip()
        # Git 2.39 says what is wrong, makes the tag without a signature, and ends with 0 where ssh-keygen finds no key.
        if b"\n-----BEGIN " not in run_git(git.root, ["cat-file", "tag", tag]):
            raise _not_signed(errors)
        return tag
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _not_signed(errors: bytes) -> ExternalFailure:
    said = " ".join(errors.decode("utf-8", "replace").split())[-300:]
    return ExternalFailure(
        f"Git could not sign the tag: {said}",
        hint="git config gpg.format ssh && git config user.signingKey ~/.ssh/id_ed25519.pub",
    )


def _state_dir(git: GitRepository) -> Path:
    git.state_dir.mkdir(parents=True, exist_ok=True)
    return git.state_dir
