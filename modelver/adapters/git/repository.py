"""One Git repository: where it is, its head, its tags, its files at a commit."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shlex import quote

from modelver.adapters.git.patience import patience
from modelver.adapters.git.process import git_status, run_git
from modelver.adapters.git.remotes import GitRemote, as_it_is, fetch_urls, published_at, refuse_plain_http
from modelver.core.registry import TagRecord
from modelver.errors import ExternalFailure, InvalidInput, Refused

_TAG_FORMAT = (
    "%(refname:strip=2)%00%(objectname)%00%(*objectname)%00%(*objecttype)%00%(taggerdate:unix)%00"
    "%(taggername) %(taggeremail)"
)

# Files in the Git directory that say that an operation is half done, and what the user calls it.
_IN_PROGRESS = {
    "MERGE_HEAD": ("merge", "git merge --continue   (or --abort)"),
    "rebase-merge": ("rebase", "git rebase --continue   (or --abort)"),
    "rebase-apply": ("rebase", "git rebase --continue   (or --abort)"),
    "CHERRY_PICK_HEAD": ("cherry-pick", "git cherry-pick --continue   (or --abort)"),
    "REVERT_HEAD": ("revert", "git revert --continue   (or --abort)"),
    "BISECT_LOG": ("bisect", "git bisect reset"),
}


@dataclass(frozen=True, slots=True)
class Head:
    """What is checked out.

    Attributes:
        branch: full ref name (``refs/heads/main``); None when detached.
        commit: None on an unborn branch.
    """

    branch: str | None
    commit: str | None


class GitRepository:
    """A repository with a working tree.

    Attributes:
        root: top of the working tree.
        git_dir: this working tree's Git directory.
        common_dir: the Git directory that all working trees share.
    """

    def __init__(self, root: Path, git_dir: Path, common_dir: Path) -> None:
        self.root = root
        self.git_dir = git_dir
        self.common_dir = common_dir

    @classmethod
    def find(cls, path: Path) -> "GitRepository":
        """The repository around ``path``.

        Raises:
            Refused: there is none, it is bare, or Git does not trust it.
        """
        if not path.is_dir():
            raise InvalidInput(
                f"{str(path)!r} is no folder", hint="name the folder of a Git repository; modelver init makes one of it"
            )
        # A clone can hold a folder that looks like a bare repository, with a configuration of its author's: explicit.
        asked = ("--show-toplevel", "--git-dir", "--git-common-dir")
        status, output, errors = git_status(
            path, ["-c", "safe.bareRepository=explicit", "rev-parse", "--path-format=absolute", *asked]
        )
        if status != 0:
            said = errors.decode("utf-8", "replace").strip().splitlines()
            if any("dubious ownership" in line for line in said):
                raise Refused(f"Git does not trust {path}: it belongs to another user", hint=said[-1].strip())
            if any("must be run in a work tree" in line or "cannot use bare repository" in line for line in said):
                raise Refused(f"{path} is a bare repository, and modelver needs a working tree", hint="git clone it")
            raise Refused(f"{path} is not in a Git repository", hint="modelver init")
        lines = os.fsdecode(output).split("\n")[:-1]
        if len(lines) != 3:
            raise Refused(f"{path}: the name of a folder around it holds a line break", hint="give it another name")
        top, git_dir, common = map(Path, lines)
        return cls(top, git_dir, common)

    @classmethod
    def main_of(cls, git: "GitRepository") -> "GitRepository | None":
        """The main working tree of a repository; None where the repository is bare.

        Raises:
            Refused: nothing says where it is, as in a linked one of a repository made with ``--separate-git-dir``.
        """
        common = git.common_dir
        if git.git_dir == common:
            return git

        def setting(*args: str) -> str | None:
            status, output, _ = git_status(common, [f"--git-dir={common}", "config", *args])
            return os.fsdecode(output).rstrip("\n") if status == 0 else None

        if setting("--type=bool", "--get", "core.bare") == "true":
            return None
        # `git worktree list` gives the Git directory of a submodule in place of its working tree
        root = setting("--get", "core.worktree")
        if root is None and common.name != ".git":
            raise Refused(
                f"{common} does not say where the main working tree is", hint="run the command in the main working tree"
            )
        return cls(common.parent if root is None else Path(os.path.realpath(common / root)), common, common)

    def run(
        self, *args: str, stdin: bytes | None = None, ok: Sequence[int] = (0,), timeout: float | None = None
    ) -> bytes:
        """Run Git at the top of the working tree; see `run_git`."""
        return run_git(self.root, args, stdin=stdin, ok=ok, timeout=timeout)

    def text(self, *args: str, ok: Sequence[int] = (0,)) -> str:
        """As `run`, as text without the trailing newline."""
        return self.run(*args, ok=ok).decode("utf-8", "surrogateescape").rstrip("\n")

    @cached_property
    def state_dir(self) -> Path:
        """Where modelver keeps its journal, lock and caches; deleting it loses nothing.

        Raises:
            Refused: it is a link: what is kept there would land somewhere else.
        """
        folder = self.common_dir / "modelver"
        if folder.is_symlink():
            raise Refused(
                f"{folder} is a symbolic link; nothing is written through it", hint=f"rm {quote(str(folder))}"
            )
        return folder

    def config(self, key: str) -> str | None:
        """One configuration value, None where it is unset."""
        status, output, _ = git_status(self.root, ["config", "--get", key])
        return output.decode("utf-8", "replace").rstrip("\n") if status == 0 else None

    def flag(self, key: str) -> bool:
        """Whether Git takes a configuration value for true: ``yes``, ``on``, ``1``, also a key without a value."""
        status, output, _ = git_status(self.root, ["config", "--type=bool", "--get", key])
        return status == 0 and output.strip() == b"true"

    def object_format(self) -> str:
        """What object ids are: ``sha1`` or ``sha256``."""
        return (self.config("extensions.objectFormat") or "sha1").lower()

    def head(self) -> Head:
        """What is checked out now."""
        status, output, _ = git_status(self.root, ["symbolic-ref", "--quiet", "HEAD"])
        branch = output.decode().strip() if status == 0 else None
        status, output, _ = git_status(self.root, ["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])
        return Head(branch, output.decode().strip() if status == 0 else None)

    def is_shallow(self) -> bool:
        """Whether history was cut off when cloning."""
        return (self.common_dir / "shallow").exists()

    def lacks_objects(self) -> bool:
        """Whether this is a partial clone (``--filter``) that has not all that its history names.

        It asks Git for every object that can be reached, but for clones that are whole by their settings.
        """
        if not self.text("config", "--get-regexp", r"^(remote\..*\.promisor|extensions\.partialclone)$", ok=(0, 1)):
            return False
        listed = self.run("rev-list", "--all", "--reflog", "--objects", "--missing=print")
        return listed.startswith(b"?") or b"\n?" in listed

    def operation_in_progress(self) -> tuple[str, str] | None:
        """A half-done merge, rebase, …: its name and the command that ends it."""
        for name, (operation, mend) in _IN_PROGRESS.items():
            if (self.git_dir / name).exists():
                return operation, mend
        return None

    def is_ancestor(self, commit: str, of: str) -> bool:
        """Whether ``of``, a commit or ``HEAD``, is ``commit`` or comes after it."""
        return git_status(self.root, ["merge-base", "--is-ancestor", commit, of])[0] == 0

    def rev_parse(self, revision: str) -> str | None:
        """The commit that a revision names; None where it names none."""
        status, output, _ = git_status(
            self.root, ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
        )
        return output.decode().strip() if status == 0 else None

    def tags(self, patterns: Iterable[str] = (), *, merged: str | None = None) -> list[TagRecord]:
        """Annotated tags that point at a commit, in one call of Git.

        Args:
            patterns: below ``refs/tags/``, with Git's globbing; none means all.
            merged: only tags whose commit this commit can reach.
        """
        args = ["for-each-ref", f"--format={_TAG_FORMAT}"]
        if merged:
            args.append(f"--merged={merged}")
        output = self.run(*args, "--", *([f"refs/tags/{p}" for p in patterns] or ["refs/tags"]))
        records = []
        for line in output.decode("utf-8", "replace").splitlines():
            name, object_id, commit, kind, time, tagger = line.split("\0")
            # Lightweight tags have nothing to peel; a tag of a tree, a blob or another tag is no version.
            if kind == "commit":
                records.append(TagRecord(name, object_id, commit, int(time or 0), tagger.strip()))
        return records

    def read_object(self, object_id: str) -> bytes:
        """A blob's or tag's raw content."""
        kind = self.text("cat-file", "-t", object_id)
        return self.run("cat-file", kind, object_id)

    def read_objects(self, object_ids: Sequence[str]) -> dict[str, bytes]:
        """Raw contents of many objects, in one call of Git; a missing one is left out."""
        return {key: data for key, _, data in self._batch(object_ids, object_ids)}

    def trailers(self, message: str) -> dict[str, str]:
        """The trailers at the end of a message."""
        output = self.run("interpret-trailers", "--parse", "--no-divider", stdin=message.encode())
        pairs = (line.partition(":") for line in output.decode("utf-8", "replace").splitlines())
        return {key.strip(): value.strip() for key, _, value in pairs}

    def verifies(self, tag: str) -> bool:
        """Whether Git's own `verify-tag` accepts a tag's signature with the keys of this machine."""
        return git_status(self.root, ["verify-tag", "--", tag])[0] == 0

    def files_at(self, commit: str, paths: Sequence[str]) -> dict[str, bytes]:
        """The contents of files at a commit; a path that is absent there, or no regular file, is left out."""
        wanted = [p for p in paths if "\n" not in p]
        found = self._batch(wanted, [f"{commit}:{path}" for path in wanted])
        return {path: data for path, kind, data in found if kind == b"blob"}

    def _batch(self, keys: Sequence[str], names: Sequence[str]) -> list[tuple[str, bytes, bytes]]:
        """`git cat-file --batch`: (key, type, content) of each object that exists, in order."""
        if not names:
            return []
        request = "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")
        output = self.run("cat-file", "--batch", stdin=request)
        found = []
        position = 0
        for key in keys:
            end = output.index(b"\n", position)
            header = output[position:end].split(b" ")
            position = end + 1
            if header[-1] in (b"missing", b"ambiguous"):
                continue
            size = int(header[2])
            found.append((key, header[1], output[position : position + size]))
            position += size + 1
        return found

    def list_files(self, commit: str, *pathspecs: str) -> list[str]:
        """Paths of all regular files at a commit, below the given folders."""
        output = self.run("ls-tree", "-r", "-z", "--full-tree", commit, "--", *pathspecs)
        paths = []
        for entry in output.split(b"\0"):
            meta, _, path = entry.partition(b"\t")
            if meta.startswith(b"100"):
                paths.append(os.fsdecode(path))
        return paths

    def changed_paths(self, paths: Sequence[str]) -> dict[str, str]:
        """Of these paths (files or folders): those that differ from HEAD, with Git's two-letter state.

        ``??`` is untracked.
        """
        if not paths:
            return {}
        output = self.run(
            "-c", "core.quotePath=false", "--literal-pathspecs", "status", "--porcelain=v1", "-z",
            "--untracked-files=all", "--ignored=no", "--no-renames", "--", *paths,
        )  # fmt: skip
        return {os.fsdecode(entry[3:]): os.fsdecode(entry[:2]) for entry in output.split(b"\0") if entry}

    def default_remote(self) -> GitRemote | None:
        """The remote that a push of HEAD goes to: the branch's own, ``origin``, or the only one."""
        branch = self.head().branch
        if branch:
            short = branch.removeprefix("refs/heads/")
            for key in (f"branch.{short}.pushRemote", "remote.pushDefault", f"branch.{short}.remote"):
                remote = self.config(key)
                if remote and remote != ".":
                    return GitRemote(remote)
        remotes = self.text("remote").splitlines()
        if "origin" in remotes:
            return GitRemote("origin")
        return GitRemote(remotes[0]) if len(remotes) == 1 else None

    def shown_remote(self) -> str | None:
        """What people are told that `default_remote` is."""
        remote = self.default_remote()
        return None if remote is None else remote.shown

    def remote_tags(
        self, remote: GitRemote, pattern: str, *, plain_http: bool = False, timeout: float = 30
    ) -> dict[str, str]:
        """Tags on a remote, where it is pushed to, whose names match Git's glob ``pattern``: short name → object id.

        Raises:
            Refused: the line to it is not encrypted, and ``plain_http`` does not allow that.
            ExternalFailure: the remote can't be reached within ``timeout`` seconds.
        """
        if remote.name.startswith("-"):
            raise ExternalFailure(f"{remote.name!r} is no remote")
        place = published_at(self.root, remote)
        by_name = place == remote.name
        if not plain_http:
            refuse_plain_http(remote, fetch_urls(self.root, remote) if by_name else [place])
        output = run_git(
            self.root,
            ["ls-remote", "--tags", "--refs", "--", place, f"refs/tags/{pattern}"],
            env=patience(self.root, {} if by_name else as_it_is(place)),
            timeout=timeout,
        )
        tags = {}
        for line in output.decode("utf-8", "replace").splitlines():
            object_id, _, ref = line.partition("\t")
            tags[ref.removeprefix("refs/tags/")] = object_id
        return tags
