"""Somebody else's repository, known by its URL: names of its tags, and the one commit that is wanted of it.

Git is hardened against what a URL or a server can do: transport helpers run programs of the caller's choice, hooks and
automatic maintenance run what a template put there.
"""

import hashlib
import os
import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from modelver.adapters.git.patience import patience
from modelver.adapters.git.process import git_status, run_git, told
from modelver.adapters.git.repository import GitRepository
from modelver.core.addresses import is_plain, url_without_credentials
from modelver.core.names import shown
from modelver.core.registry import TagRecord
from modelver.disk import as_written, exclusive, remove_file
from modelver.errors import CheckFailed, ExternalFailure, InvalidInput, NotFound, Refused

ASK_TIMEOUT = 120.0
"""Seconds until a server must have listed its tags."""

FETCH_TIMEOUT = 3600.0
"""Seconds until one commit must have arrived."""

MAX_FILE = 256 << 20
"""Largest file of a commit that is read, in bytes: a manifest of a million tensors."""

_SCHEMES = ("https", "ssh", "git+ssh", "ssh+git", "file", "http", "git")
_PROTOCOLS = ("https", "ssh", "file", "http", "git")
_HELPER = re.compile(r"[A-Za-z0-9+.-]*::")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_USER = re.compile(r"://[^/\s]+@")
_SCP = re.compile(r"[^/:]+:")
_OBJECT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")

_HARDENED = (
    "-c", "protocol.ext.allow=never",
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.logAllRefUpdates=false",  # a log of refs would keep the URL, and a password that is in it
    "-c", "gc.auto=0",
    "-c", "maintenance.auto=false",
)  # fmt: skip


class BareRepository(GitRepository):
    """A repository without a working tree; Git looks for no other around it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, folder, folder)

    def run(
        self, *args: str, stdin: bytes | None = None, ok: Sequence[int] = (0,), timeout: float | None = None
    ) -> bytes:
        """See `run_git`."""
        return run_git(self.root, [f"--git-dir={self.root}", *args], stdin=stdin, ok=ok, timeout=timeout)

    def _batch(self, keys: Sequence[str], names: Sequence[str]) -> list[tuple[str, bytes, bytes]]:
        """Sizes first: a few kilobytes on the line can be gigabytes here."""
        request = "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")
        sizes = self.run("cat-file", "--batch-check=%(objectsize)", stdin=request).split(b"\n") if names else []
        for name, size in zip(names, sizes, strict=False):
            if size.isdigit() and int(size) > MAX_FILE:
                raise InvalidInput(f"{shown(name)} has {int(size)} bytes, more than the {MAX_FILE} that are read")
        return super()._batch(keys, names)


class ForeignRepository:
    """A repository at a URL, and the bare copy of what was fetched of it.

    Attributes:
        shown: the URL without credentials, for people.
        folder: the repository's own folder, where the URL is one of this machine; else None.
    """

    def __init__(self, url: str, folder: Path | None, cache: Path) -> None:
        self.shown = url_without_credentials(url)
        self.folder = folder
        self._url = url
        self._cache = cache
        # whoever asks with another password asks the same server; what people are shown may lack a part of the path
        name = hashlib.sha256(_USER.sub("://", url, count=1).encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self._bare = cache / f"{name}.git"
        self._lock = cache / f"{name}.lock"

    @classmethod
    def open(cls, url: str, cache: Path, *, plain_http: bool = False) -> "ForeignRepository":
        """The repository at a URL as Git takes it: ``https://…``, ``ssh://…``, ``host:path``, ``file://…``, a path.

        Args:
            url: as the user wrote it.
            cache: the folder for bare copies; made if missing.
            plain_http: let http and git URLs go over the line unencrypted, beyond this machine.

        Raises:
            InvalidInput: no URL, or one that makes Git run a program (``ext::…``).
            NotFound: a path at which nothing is.
            Refused: a line that is not encrypted.
        """
        folder = _checked(url, plain_http)
        try:
            cache.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ExternalFailure(
                f"{cache}: {error.strerror}", hint="name a folder for caches: export XDG_CACHE_HOME=DIR"
            ) from None
        return cls(str(folder) if folder is not None and "://" not in url else url, folder, cache)

    def tags(self) -> list[TagRecord]:
        """Annotated tags, as the server lists them; their times are not known, and stand as 0.

        Raises:
            ExternalFailure: the server can't be reached, or refuses.
        """
        output = self._ask(self._cache, ["ls-remote", "--quiet", "--tags", "--", self._url], ASK_TIMEOUT)
        objects: dict[str, str] = {}
        peeled: dict[str, str] = {}
        for line in output.decode("utf-8", "replace").splitlines():
            object_id, _, ref = line.partition("\t")
            name = ref.removeprefix("refs/tags/")
            if _OBJECT.match(object_id) and name != ref:
                if name.endswith("^{}"):
                    peeled[name[:-3]] = object_id
                else:
                    objects[name] = object_id
        # a lightweight tag has nothing to peel, and is no version
        return [TagRecord(name, objects[name], commit, 0) for name, commit in peeled.items() if name in objects]

    def fetch(self, record: TagRecord) -> GitRepository:
        """Bring one tag, its commit and that commit's files; nothing before it. A bare repository that holds them.

        Raises:
            CheckFailed: this machine got another object under that tag before: the tag was moved.
            ExternalFailure: the server failed, or moved the tag in this moment.
        """
        with exclusive(self._lock, FETCH_TIMEOUT) as lock:
            self._make(len(record.object_id))
            bare = BareRepository(self._bare)
            ref = f"refs/tags/{record.name}"
            known = _target(bare, ref)
            if known is not None and known != record.object_id:
                raise CheckFailed(
                    f"{record.name} was moved: it is {record.object_id} on {self.shown}, and was {known} when this "
                    "machine got it before",
                    hint=f"ask who moved it; if that is right: git --git-dir={self._bare} update-ref -d '{ref}'",
                )
            if known is None:
                self._fetch(ref, lock)
                found = _target(bare, ref)
                if found != record.object_id:
                    if found is not None:
                        bare.run("update-ref", "-d", ref)
                    raise ExternalFailure(
                        f"{record.name} on {self.shown} was {record.object_id} and is {found} a moment later",
                        hint="run the command again",
                    )
        return bare

    def newest(self, paths: Sequence[str]) -> dict[str, bytes]:
        """Files of the branch that the server shows first (its HEAD), as they are now; those that are there.

        Raises:
            ExternalFailure: the server failed, or has no such branch.
        """
        with exclusive(self._lock, FETCH_TIMEOUT) as lock:
            bare = BareRepository(self._bare)
            self._fetch("HEAD", lock, into="+HEAD:refs/modelver/head")
            return bare.files_at(bare.text("rev-parse", "refs/modelver/head").strip(), paths)

    def _fetch(self, ref: str, lock: int, into: str = "") -> None:
        for left in (*self._bare.glob("*.lock"), *(self._bare / "refs").rglob("*.lock")):
            remove_file(left)  # of a Git that was killed: one that lives holds our lock
        for left in (self._bare / "objects" / "pack").glob("tmp_*"):
            remove_file(left)
        args = ["fetch", "--quiet", "--depth=1", "--update-shallow", "--no-tags", "--no-recurse-submodules"]
        args += ["--no-write-fetch-head", "--", self._url, into or f"{ref}:{ref}"]
        self._ask(self._bare, args, FETCH_TIMEOUT, f"--git-dir={self._bare}", inherit=(lock,))

    def _ask(
        self, folder: Path, args: Sequence[str], timeout: float, *options: str, inherit: Sequence[int] = ()
    ) -> bytes:
        """Run a Git command that speaks to the server."""
        command = [*options, *_HARDENED, *args]
        status, output, errors = git_status(
            folder, command, env=patience(folder, _environment(self._cache)), timeout=timeout, inherit=inherit
        )
        if status != 0:
            lines = told(errors, args).splitlines()
            said = [
                line.partition(":")[2].strip() for line in lines if line.startswith(("fatal:", "error:", "remote:"))
            ]
            raise ExternalFailure(
                f"{self.shown} can't be read: {'; '.join(said[:4]) or f'Git ended with {status}'}",
                hint=f"check address and access: git ls-remote {shlex.quote(self.shown)}",
            )
        return output

    def _make(self, id_length: int) -> None:
        if (self._bare / "HEAD").is_file():
            return
        making = self._bare.with_suffix(".new")
        shutil.rmtree(making, ignore_errors=True)  # of one that was killed
        form = "sha256" if id_length == 64 else "sha1"
        args = ["init", "--quiet", "--bare", "--template=", f"--object-format={form}", str(making)]
        run_git(self._cache, args, env=_environment(self._cache))
        making.rename(self._bare)


def _target(bare: GitRepository, ref: str) -> str | None:
    found = bare.text("for-each-ref", "--format=%(objectname)", "--", ref).splitlines()
    return found[0] if found else None


def _environment(cache: Path) -> dict[str, str]:
    """No repository around the cache has a say; of the protocols that the user allows only those that run nothing."""
    env = {"GIT_CEILING_DIRECTORIES": str(cache.parent)}
    allowed = os.environ.get("GIT_ALLOW_PROTOCOL")
    if allowed is not None:  # it goes before `protocol.ext.allow`
        env["GIT_ALLOW_PROTOCOL"] = ":".join(name for name in allowed.split(":") if name in _PROTOCOLS) or "none"
    return env


def _checked(url: str, plain_http: bool) -> Path | None:
    """The folder that a URL names, None where it is on another machine; raises as `ForeignRepository.open`."""
    known = "https://…, ssh://…, host:path, file://… or a folder"
    said = shown(url_without_credentials(url))
    if not url or len(url) > 4096 or url.startswith("-") or not url.isprintable():
        raise InvalidInput(f"{said} is no URL of a repository", hint=known)
    if _HELPER.match(url):
        raise InvalidInput(
            f"{said} names a transport helper, a program that Git would run: refused",
            hint=known,
        )
    scheme = _SCHEME.match(url)
    if scheme:
        name = scheme[1].lower()
        if name not in _SCHEMES:
            raise InvalidInput(f"{said}: {name} is no protocol that Git itself speaks", hint=known)
        if not plain_http and is_plain(url):
            raise Refused(
                f"{url_without_credentials(url)} is not encrypted: names, tags and files could be changed on the way",
                hint="use https or ssh, or --plain-http if that line is safe",
            )
        return Path(url[len("file://") :]) if name == "file" else None
    if _SCP.match(url):
        return None
    folder = as_written(url)
    if not folder.exists():
        raise NotFound(f"{url} does not exist", hint=known)
    if not folder.is_dir() and not folder.is_file():  # Git would wait at a FIFO
        raise InvalidInput(f"{url} is no folder", hint=known)
    return folder
