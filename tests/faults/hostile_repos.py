"""Repositories that mean harm: each is a good one, changed in one way that shall make a command write outside of it.

Around the repository lie canaries; ``outside`` is what most of the repositories aim at.
"""

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sandbox import Sandbox, environment

READS: tuple[tuple[str, ...], ...] = (
    ("list",),
    ("list", "--format", "json"),
    ("show", "m@v1.0.0"),
    ("show", "--model", "m"),
    ("diff", "m@v1.0.0", "m@v1.1.0"),
    ("diff", "m@v1.0.0"),
    ("show", "m@v1.2.0"),
    ("diff", "m@v1.0.0", "m@v1.2.0"),
    ("log", "m"),
    ("status",),
    ("check", "m@v1.0.0"),
    ("portability", "m@v1.1.0"),
    ("verify", "--all"),
    ("verify", "--all", "--remote"),
    ("verify", "m@v1.2.0", "--full"),
    ("doctor",),
    ("gc", "--dry-run", "--no-fetch", "--grace", "0d"),
    ("tag", "m", "--dry-run"),
    ("get", "m@v1.0.0", "--dry-run"),
    ("get", "m@v1.2.0", "--dry-run"),
    ("push", "--dry-run"),
)
"""Commands that only answer. One line a command; ``m@v1.2.0`` is the tag of whoever means harm, where there is one."""

ELSEWHERE = ("--remote", "get", "push", "doctor")
"""Words of those that ask a remote."""

WRITES: tuple[tuple[str, ...], ...] = (
    ("init", "--ci", "github"),
    ("restore",),
    ("restore", "--force"),
    ("rollback", "m", "m@v1.0.0", "--commit", "--reason", "x"),
    ("record", "m"),
    ("add", "m", "../incoming/next.safetensors"),
    ("add", "p/q", "plain.bin", "--plain"),
    ("tag", "m", "--force-new"),
    ("tag", "m"),
    ("promote", "m@v1.0.0", "prod"),
    ("promote", "m@v1.1.0", "prod"),
    ("promote", "m@v1.2.0", "prod"),
    ("rollback", "m", "m@v1.0.0", "--env", "prod", "--reason", "x"),
    ("yank", "m@v1.1.0", "--reason", "x"),
    ("push",),
    ("push", "m@v1.2.0"),
    ("get", "m@v1.0.0", "-o", "got"),
    ("get", "m@v1.2.0", "-o", "got-evil"),
    ("get", "m@v1.0.0", "-o", "got.safetensors", "--single-file"),
    ("gc", "--yes", "--no-fetch", "--grace", "0d"),
    ("hook", "install"),
    ("doctor", "--fix"),
    ("backup", "../backup"),
    ("stage", "assess", "m"),
    ("stage", "validate", "m"),
    ("stage", "export", "sk"),
    ("stage", "validate", "sk"),
    ("stage", "optimize", "sk"),
    ("client", "m@v1.0.0", "-o", "client.py"),
    ("restore", "--force"),
)
"""Commands that write. One line a command."""

CHECKOUTS: tuple[tuple[str, ...], ...] = (
    ("git", "checkout", "-q", "-f", "m@v1.0.0"),
    ("git", "checkout", "-q", "-f", "m@v1.2.0"),
    ("git", "checkout", "-q", "-f", "main"),
)
"""Git's own, which run modelver's hook. They come and go with the links, so that what they write can't be followed by
names afterwards: what lies around is compared."""


@dataclass
class Scene:
    """A repository and all that lies around it.

    Attributes:
        box: where the commands run.
        top: holds everything.
        outside: a folder with canaries.
        env: what is added to the environment.
        also: other folders in which writing is right here.
        cwd: where the commands run, if not at the top.
    """

    box: Sandbox
    top: Path
    env: dict[str, str] = field(default_factory=dict)
    also: list[Path] = field(default_factory=list)
    cwd: Path | None = None

    @property
    def outside(self) -> Path:
        return self.top / "outside"

    def evil(self, name: str) -> Path:
        """A program that leaves a mark in ``outside`` when it is run."""
        path = self.top / "evil" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "$0 $*" >> {self.outside}/ran\n')
        path.chmod(0o755)
        return path


def template(folder: Path) -> Path:
    """A repository with two versions of ``m`` (safetensors) and a plain model, a DVC remote and a Git remote."""
    env = environment(folder / "home")
    root = folder / "repo"
    root.mkdir(parents=True)
    box = Sandbox(root, env)
    box.git("init", "-q", "--bare", "../remote.git")
    (folder / "storage").mkdir()
    box.mv("init")
    box.write(".dvc/config", "[core]\n    remote = storage\n['remote \"storage\"']\n    url = ../../storage\n")
    box.write("plain.bin", b"plain bytes")
    box.commit("start")
    box.git("remote", "add", "origin", "../remote.git")
    box.add_model("m", 1)
    box.mv("tag", "m")
    box.change("m", 2)
    box.commit("next")
    box.mv("tag", "m", "--version", "v1.1.0", "--reason", "x", status=None)
    box.write("big/w.bin", b"big file")
    box.mv("add", "big", "big/w.bin", "--plain")
    box.commit("big")
    box.git("push", "-q", "-u", "origin", "main", status=None)
    box.change("m", 3)
    shutil.copy(root.parent / "incoming" / "m.safetensors", root.parent / "incoming" / "next.safetensors")
    box.change("m", 2)
    assert len(box.tags()) == 2, box.tags()
    return folder


def scene(made: Path, folder: Path, name: str) -> Scene:
    """A copy of the template, made hostile."""
    shutil.copytree(made, folder, symlinks=True, dirs_exist_ok=True)
    box = Sandbox(folder / "repo", environment(folder / "home"))
    box.env["TMPDIR"] = str(folder / "scratch")
    box.env |= {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}  # else the machine's are asked for
    (folder / "scratch").mkdir()
    box.git("status")
    place = Scene(box, folder)
    for path, data in CANARIES.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    REPOSITORIES[name](place)
    box.git("rm", "-q", "-f", "--cached", "--ignore-unmatch", "plain.bin")  # for `add`
    return place


CANARIES = {
    "outside/secret.txt": b"canary\n",
    "outside/weights/model.safetensors": b"canary weights\n",
    "outside/m/metadata.yaml": b"schema: canary\n",
    "outside/m/README.md": b"# canary\n",
    "outside/m/weights/x": b"canary\n",
    "other/cache/files/md5/00/" + "0" * 30: b"canary object\n",
    "outside/hooks/pre-commit": b"#!/bin/sh\n",
    "outside/journal.json": b"{}",
    "outside/lock": b"canary\n",
    "outside/hashes.sqlite": b"",
    "home/.bashrc": b"# canary\n",
    "home/.ssh/authorized_keys": b"ssh-ed25519 canary\n",
    "other/repo.txt": b"canary\n",
}


def harm(before: Mapping[str, tuple[object, ...]], place: Scene) -> list[str]:
    """Paths around the repository that changed; where writing is right, those that were there before."""
    after = canaries(place.top)
    right = [folder.relative_to(place.top) for folder in place.also]
    changed = [path for path in {**before, **after} if before.get(path) != after.get(path)]
    return [
        path
        for path in changed
        if not any(Path(path).is_relative_to(folder) for folder in right) or (path in before and before[path][3])
    ]


def canaries(top: Path) -> dict[str, tuple[object, ...]]:
    """All that lies around the repository: path → kind, mode, time, bytes. What may change is left out."""
    skip = {"repo", "scratch", "evil", "storage", "remote.git", "backup", "log"}
    found: dict[str, tuple[object, ...]] = {}
    for place, folders, names in os.walk(top):
        here = Path(place)
        if here == top:
            folders[:] = [name for name in folders if name not in skip]
        if here == top / "home":
            folders[:] = [name for name in folders if name not in (".cache", "dvc-site")]
        for name in [*folders, *names]:
            path = here / name
            state = path.lstat()
            data = str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            time = 0 if path.is_dir() and here == top else state.st_mtime_ns
            if not (here == top and name == "log"):
                found[str(path.relative_to(top))] = (stat.S_IFMT(state.st_mode), state.st_mode, time, data)
    return found


def allowed(place: Scene) -> list[Path]:
    """Where writing is right: the repository, its remotes, modelver's and DVC's folders for this user, devices."""
    top = place.top
    inside = [place.box.root, top / "home" / ".cache", top / "home" / "dvc-site", top / "scratch", top / "storage"]
    inside += [top / "remote.git", top / "backup", *place.also]
    return [Path(os.path.realpath(path)) for path in inside] + [Path("/dev"), Path("/proc")]


REPOSITORIES: dict[str, Callable[[Scene], None]] = {}
"""Name → what makes a good repository hostile."""


def _hostile(make: Callable[[Scene], None]) -> Callable[[Scene], None]:
    REPOSITORIES[make.__name__.replace("_", " ")] = make
    return make


def _pointer(path: str, *, md5: str = "d41d8cd98f00b204e9800998ecf8427e", wdir: str | None = None) -> str:
    first = f"wdir: {json.dumps(wdir)}\n" if wdir else ""
    return f"{first}outs:\n- md5: {md5}\n  size: 0\n  hash: md5\n  path: {json.dumps(path)}\n"


def _object(place: Scene, data: bytes, suffix: str = "") -> str:
    """Put an object into cache and remote, as a repository that comes with its remote has it."""
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    for folder in (place.box.root / ".dvc" / "cache", place.top / "storage"):
        target = folder / "files" / "md5" / md5[:2] / (md5[2:] + suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return md5 + suffix


def _commit(place: Scene) -> None:
    """All of it, also links where Git ignores what lies there; but no weights, nor DVC's cache."""
    place.box.git("add", "-A", "-f")
    names = place.box.git("ls-files", "-z").split("\0")
    theirs = [n for n in names if n.startswith((".dvc/cache/", ".dvc/tmp/")) or "/weights/" in n or n == "big/w.bin"]
    place.box.git("update-index", "-z", "--force-remove", "--stdin", stdin="".join(f"{name}\0" for name in theirs))
    place.box.git("commit", "-qm", "hostile", "--allow-empty", "--no-verify")


def _link(place: Scene, path: str, target: Path | str) -> None:
    there = place.box.root / path
    if there.is_dir() and not there.is_symlink():
        shutil.rmtree(there)
    elif there.exists() or there.is_symlink():
        there.unlink()
    there.parent.mkdir(parents=True, exist_ok=True)
    there.symlink_to(target)


# ---- links in the working tree


def _linked(path: str, target: str) -> None:
    def make(place: Scene) -> None:
        _link(place, path, os.path.relpath(place.top / target, (place.box.root / path).parent))
        _commit(place)

    REPOSITORIES[f"{path} is a link"] = make


_linked("models/m/weights", "outside/weights")
_linked("models/m", "outside/m")
_linked("models", "outside")
_linked("models/m/metadata.yaml", "outside/m/metadata.yaml")
_linked("models/m/README.md", "outside/m/README.md")
_linked("models/m/files.jsonl", "outside/new-file")
_linked("models/m/tensors.jsonl", "outside/secret.txt")
_linked("models/m/weights.dvc", "outside/secret.txt")
_linked("models/m/validation.json", "outside/new-validation")
_linked("models/m/assessment.json", "outside/new-assessment")
_linked("models/m/.gitignore", "outside/new-ignore")
_linked("dvc.yaml", "outside/secret.txt")
_linked("dvc.lock", "outside/new-lock")
_linked("params.yaml", "outside/new-params")
_linked(".gitignore", "outside/new-gitignore")
_linked(".gitattributes", "outside/new-attributes")
_linked(".dvcignore", "outside/new-dvcignore")
_linked("plain.bin", "outside/secret.txt")
_linked("got", "outside")
_linked("client.py", "outside/new-client")
_linked(".dvc/tmp", "outside/tmp")
_linked(".dvc/cache", "outside")
_linked(".dvc/config.local", "outside/new-local")
_linked(".github", "outside")


def _exported(path: str, target: str) -> None:
    """A model that a stage exports, whose folder or record is a link."""

    def make(place: Scene) -> None:
        program = "import joblib, numpy as np; from sklearn.linear_model import LogisticRegression as L; "
        program += "x = np.eye(4, dtype='float32'); y = np.array([0, 1, 0, 1]); np.savez('t.npz', x=x, y=y); "
        place.box.run(sys.executable, "-P", "-c", program + "joblib.dump(L().fit(x, y), 'sk.joblib')")
        place.box.mv("add", "sk", "sk.joblib", "--framework", "sklearn", "--data", "t.npz")
        _link(place, path, place.top / target)
        _commit(place)

    REPOSITORIES[f"{path} is a link, exported"] = make


_exported("models/sk", "outside")
_exported("models/sk/weights", "outside/weights")
_exported("models/sk/validation.json", "outside/new-validation")


# ---- DVC's pointers


def _pointing(name: str, path: str, text: Callable[[Scene], str]) -> None:
    def make(place: Scene) -> None:
        place.box.write(path, text(place))
        _object(place, b"")
        _commit(place)

    REPOSITORIES[name] = make


_pointing("wdir up", "data/x.dvc", lambda _: _pointer("outside/secret.txt", wdir="../.."))
_pointing("wdir absolute", "data/x.dvc", lambda p: _pointer("secret.txt", wdir=str(p.outside)))
_pointing("out absolute", "x.dvc", lambda p: _pointer(str(p.outside / "secret.txt")))
_pointing("out climbs", "x.dvc", lambda _: _pointer("a/../../outside/secret.txt"))
_pointing("out in hooks", "x.dvc", lambda _: _pointer(".git/hooks/pre-push"))
_pointing("out in hooks of any case", "x.dvc", lambda _: _pointer(".GIT/hooks/pre-push"))
_pointing("out in config", "x.dvc", lambda _: _pointer(".git/config"))
_pointing("out in dvc's config", "x.dvc", lambda _: _pointer(".dvc/config"))
_pointing("out in a nested git", "sub/x.dvc", lambda _: _pointer(".git/config"))
_pointing("out in home", "x.dvc", lambda _: _pointer("~/.bashrc"))
_pointing("out is a URL", "x.dvc", lambda p: _pointer(f"local://{p.outside}/secret.txt"))
_pointing("out is a remote's", "x.dvc", lambda _: _pointer("remote://storage/../outside/secret.txt"))
_pointing(
    "lock file with outs outside", "sub/dvc.lock",
    lambda p: f"schema: '2.0'\nstages:\n  s:\n    cmd: touch {p.outside}/ran\n    outs:\n"
              "    - path: ../../outside/secret.txt\n      md5: d41d8cd98f00b204e9800998ecf8427e\n      size: 0\n",
)  # fmt: skip


@_hostile
def out_through_a_link(place: Scene) -> None:
    _link(place, "data/link", "../../outside")
    place.box.write("data/x.dvc", _pointer("link/secret.txt"))
    _object(place, b"")
    _commit(place)


@_hostile
def weights_through_a_link_in_the_middle(place: Scene) -> None:
    _link(place, "big", "../outside")
    _commit(place)


def _listing(name: str, *paths: str) -> None:
    """A folder's listing, in cache and remote, whose entries leave the folder; the tag's version restores it."""

    def make(place: Scene) -> None:
        md5 = _object(place, b"pwned")
        items = [{"md5": md5, "relpath": path.replace("OUTSIDE", str(place.outside))} for path in paths]
        folder = _object(place, json.dumps(items, sort_keys=True).encode(), ".dir")
        place.box.write("data/x.dvc", _pointer("x", md5=folder))
        pointer, sidecar = (place.box.root / "models/m" / name for name in ("weights.dvc", "metadata.yaml"))
        was = next(line for line in pointer.read_text().splitlines() if ".dir" in line).split("md5: ")[1]
        message = place.box.git("for-each-ref", "--format=%(contents)", "refs/tags/m@v1.1.0")
        digest = hashlib.sha256(sidecar.read_bytes()).hexdigest()
        for path in (pointer, sidecar):
            assert was in path.read_text()
            path.write_text(path.read_text().replace(was, folder).replace("v1.1.0", "v1.2.0"))
        assert digest in message
        _commit(place)
        shutil.rmtree(place.box.root / "models/m/weights", ignore_errors=True)
        message = message.replace(digest, hashlib.sha256(sidecar.read_bytes()).hexdigest()).replace("v1.1.0", "v1.2.0")
        place.box.git("tag", "-am", message, "m@v1.2.0")

    REPOSITORIES[name] = make


_listing("listing climbs", "../../../../outside/pwned")
_listing("listing is absolute", "OUTSIDE/pwned")
_listing("listing names git", "../../../.git/hooks/pre-push")
_listing("listing with backslashes", "..\\..\\outside\\pwned")
_listing("listing twice", "a", "a")
_listing("listing file and folder", "a", "a/b")
_listing("listing with empty parts", "a//../../../../../outside/pwned")


# ---- DVC's configuration


def _configured(name: str, text: str) -> None:
    def make(place: Scene) -> None:
        place.box.write(".dvc/config", text.replace("OUTSIDE", str(place.outside)))
        _commit(place)

    REPOSITORIES[name] = make


_configured("cache outside", "[cache]\n    dir = OUTSIDE/new-cache\n")
_configured("cache outside, relative", "[cache]\n    dir = ../../outside/new-cache\n")
_configured("cache of links", "[cache]\n    type = symlink\n    dir = OUTSIDE/new-cache\n")
_configured("cache in home", "[cache]\n    dir = ~/.ssh\n")
_configured("cache in hooks", "[cache]\n    dir = ../.git/hooks\n")
_configured("endpoint elsewhere", "[core]\n    remote = s\n['remote \"s\"']\n    url = s3://bucket/x\n"
            "    endpointurl = http://127.0.0.1:9\n")  # fmt: skip
_configured("remote is a program", "[core]\n    remote = s\n['remote \"s\"']\n    url = ssh://127.0.0.1:9/x\n"
            "    ask_password = false\n    gss_auth = false\n")  # fmt: skip
_configured("site cache elsewhere", "[core]\n    site_cache_dir = OUTSIDE/site\n    remote = storage\n"
            "['remote \"storage\"']\n    url = ../../storage\n")  # fmt: skip
_configured("database elsewhere", "[state]\n    dir = OUTSIDE/state\n[index]\n    dir = OUTSIDE/index\n")
_configured("machine and exp", "[exp]\n    auto_push = true\n    git_remote = ext::sh -c touch% OUTSIDE/ran\n"
            "[core]\n    autostage = true\n    check_update = true\n")  # fmt: skip


@_hostile
def cache_of_another_repository(place: Scene) -> None:
    """A cache may be shared, so objects may be added to one that is there; none of its own may go or change."""
    place.also.append(place.top / "other" / "cache")
    place.box.write(".dvc/config", f"[cache]\n    dir = {place.top}/other/cache\n")
    _commit(place)


@_hostile
def cache_is_a_link_to_another(place: Scene) -> None:
    place.also.append(place.top / "other" / "cache")
    _link(place, ".dvc/cache", "../../other/cache")
    _commit(place)


@_hostile
def stages_that_write_outside(place: Scene) -> None:
    text = (place.box.root / "dvc.yaml").read_text()
    stage = f"  evil:\n    cmd: touch {place.outside}/ran\n    wdir: ../outside\n    outs:\n    - new-out\n"
    text = text.replace("stages:\n", f"stages:\n{stage}", 1) if "stages:\n" in text else f"{text}stages:\n{stage}"
    place.box.write("dvc.yaml", text)
    _commit(place)


@_hostile
def models_that_lie_outside(place: Scene) -> None:
    artifacts = "".join(
        f"  {json.dumps(name)}:\n    path: {json.dumps(path)}\n    type: model\n"
        for name, path in {"../up": "../outside", "M": "models/M", "m/x": "models/m/weights/x", "m": "../outside/m",
                           "abs": "/etc", "git": ".git", "con": ".git/hooks/pre-push"}.items()
    )  # fmt: skip
    place.box.write("dvc.yaml", f"artifacts:\n{artifacts}")
    _commit(place)


@_hostile
def params_that_point_outside(place: Scene) -> None:
    place.box.write(
        "params.yaml",
        "modelver:\n  environments: {prod: {}}\n  models:\n    m:\n      source: ../outside/secret.txt\n"
        "      data: /etc/passwd\n      calibration: ../outside/secret.txt\n      framework: torch\n",
    )
    _commit(place)


# ---- tags


def _tagged(name: str, *commands: tuple[str, ...]) -> None:
    def make(place: Scene) -> None:
        for command in commands:
            place.box.git(*command, stdin="blob\n")

    REPOSITORIES[name] = make


_tagged("tag of a blob", ("tag", "-am", "x", "m@v1.2.0", "HEAD:plain.bin"))
_tagged("tag of a tree", ("tag", "-am", "x", "m@v1.2.0", "HEAD^{tree}"))
_tagged("tag of a tag", ("tag", "-am", "x", "m@v1.2.0", "m@v1.0.0"))
_tagged("tag of a tag, assigned", ("tag", "-am", "x", "m#prod#1", "m@v1.0.0"))
_tagged("lightweight tag", ("tag", "m@v1.2.0"))
_tagged("tags that look like options", ("update-ref", "refs/tags/--output=x", "HEAD"), ("tag", "-am", "x", "m@v1.2.0"))
_tagged("tag called HEAD", ("update-ref", "refs/tags/HEAD", "HEAD"), ("update-ref", "refs/tags/main", "HEAD~1"))


# ---- Git's own folder, as in a repository that was copied with it


@_hostile
def core_fsmonitor(place: Scene) -> None:
    place.box.git("config", "core.fsmonitor", str(place.evil("fsmonitor")))


@_hostile
def bare_repository_inside(place: Scene) -> None:
    """A clone brings it along: a folder that looks like a bare repository, whose configuration Git would follow."""
    inner = place.box.root / "inner"
    subprocess.run(["git", "init", "-q", "--bare", str(inner)], check=True, env=place.box.env)
    shutil.rmtree(inner / "hooks", ignore_errors=True)
    (inner / "refs" / "keep").write_text("")
    (inner / "objects" / "keep").write_text("")
    config = (
        f"[core]\n\tbare = false\n\tworktree = .\n\trepositoryformatversion = 0\n\tfsmonitor = {place.evil('inner')}\n"
    )
    (inner / "config").write_text(config)
    _commit(place)
    place.cwd = inner


@_hostile
def pager_and_aliases(place: Scene) -> None:
    evil = str(place.evil("configured"))
    for key in (
        "core.pager",
        "core.editor",
        "core.askPass",
        "diff.external",
        "interactive.diffFilter",
        "sequence.editor",
    ):
        place.box.git("config", key, evil)
    for name in ("status", "tag", "show", "diff", "log", "for-each-ref", "cat-file", "rev-parse", "ls-files"):
        place.box.git("config", f"alias.{name}", f"!{evil}")
        place.box.git("config", f"pager.{name}", evil)
    place.box.git("config", "trailer.evil.command", evil)
    place.box.git("config", "trailer.evil.key", "Modelver-Model")


@_hostile
def diff_drivers(place: Scene) -> None:
    evil = str(place.evil("driver"))
    place.box.write(".gitattributes", "* diff=evil merge=evil\n")
    for key in ("diff.evil.textconv", "diff.evil.command", "merge.evil.driver"):
        place.box.git("config", key, evil)
    _commit(place)


@_hostile
def transport_helper(place: Scene) -> None:
    place.box.git("config", "remote.origin.url", f"ext::{place.evil('ext')} %S")
    place.box.git("config", "remote.origin.pushurl", f"ext::{place.evil('ext')} %S")


@_hostile
def submodules(place: Scene) -> None:
    place.box.write(
        ".gitmodules",
        f'[submodule "s"]\n\tpath = s\n\turl = ext::{place.evil("sub")}\n\tupdate = !{place.evil("update")}\n',
    )
    head = place.box.git("rev-parse", "HEAD")
    place.box.git("add", ".gitmodules")
    place.box.git("update-index", "--add", "--cacheinfo", f"160000,{head},s")
    place.box.git("commit", "-qm", "submodule")
    place.box.git("config", "submodule.recurse", "true")
    place.box.git("config", "fetch.recurseSubmodules", "true")
    place.box.git("config", "push.recurseSubmodules", "on-demand")


def copied_configuration(place: Scene) -> None:
    """All that Git's own configuration can make Git run; a clone never brings it, a copied ``.git`` does.

    Git runs it where it is asked to publish, fetch or sign, as its users want, and modelver's that write do so too.
    """
    box = place.box
    for name in (
        "reference-transaction",
        "post-index-change",
        "pre-push",
        "pre-auto-gc",
        "fsmonitor-watchman",
        "pre-commit",
    ):
        place.evil(name)
    programs = {
        "core.sshCommand": "ssh", "core.askPass": "ask", "gpg.program": "gpg", "gpg.ssh.program": "sshgpg",
        "core.gitProxy": "proxy", "core.fsmonitor": "fsmonitor", "core.alternateRefsCommand": "refs",
        "uploadpack.packObjectsHook": "pack", "gc.recentObjectsHook": "gc", "remote.origin.uploadpack": "uploadpack",
    }  # fmt: skip
    settings = {key: str(place.evil(name)) for key, name in programs.items()}
    settings |= {"core.hooksPath": str(place.top / "evil"), "credential.helper": f"!{place.evil('helper')}"}
    settings |= {"extensions.partialClone": "origin", "remote.origin.promisor": "true"}
    settings |= {"maintenance.auto": "true", "gc.auto": "1"}
    for key, value in settings.items():
        box.git("config", key, value)


@_hostile
def state_folder_is_a_link(place: Scene) -> None:
    shutil.rmtree(place.box.root / ".git" / "modelver", ignore_errors=True)
    (place.box.root / ".git" / "modelver").symlink_to(place.outside)


def _state(name: str) -> None:
    def make(place: Scene) -> None:
        target = place.box.root / ".git" / "modelver" / name
        target.parent.mkdir(exist_ok=True)
        target.unlink(missing_ok=True)
        target.symlink_to(place.outside / name.replace("known-tags.jsonl", "secret.txt"))

    REPOSITORIES[f"state {name} is a link"] = make


_STATE = ("lock", "running.lock", "journal.json", "hashes.sqlite", "known-tags.jsonl", "remote.sqlite", "restore.lock")
for _name in _STATE:
    _state(_name)


@_hostile
def journal_that_writes_outside(place: Scene) -> None:
    """What a killed command left names files; this one was written by somebody else."""
    blob = place.box.git("hash-object", "-w", "--stdin", stdin="pwned\n")
    head = place.box.git("rev-parse", "HEAD")
    was = place.box.git("hash-object", "--no-filters", str(place.outside / "secret.txt"))
    files = {path: {"before": blob, "after": was} for path in
             ("../outside/secret.txt", str(place.outside / "secret.txt"), ".git/hooks/pre-push")}  # fmt: skip
    journal = {"operation": "tag", "worktree": "", "git_dir": "", "branch": None, "old_commit": head,
               "new_commit": head,
               "tag": "refs/tags/m@v9.0.0", "tag_object": "a" * 40, "files": files}  # fmt: skip
    target = place.box.root / ".git" / "modelver" / "journal.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(journal))


@_hostile
def journal_of_another_tree(place: Scene) -> None:
    victim = _victim(place)
    (victim / "secret.txt").write_text("canary\n")
    blob = place.box.git("-C", str(victim), "hash-object", "-w", "--stdin", stdin="pwned\n")
    was = place.box.git("hash-object", "-w", "--no-filters", str(victim / "secret.txt"))
    head = place.box.git("rev-parse", "HEAD")
    journal = {"operation": "tag", "worktree": str(victim), "git_dir": str(victim / ".git"), "branch": None,
               "old_commit": head, "new_commit": head, "tag": "refs/tags/m@v9.0.0", "tag_object": "a" * 40,
               "files": {"secret.txt": {"before": blob, "after": was}}}  # fmt: skip
    target = place.box.root / ".git" / "modelver" / "journal.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(journal))


# ---- the environment


def _environment(name: str, make: Callable[[Scene], Mapping[str, str]]) -> None:
    REPOSITORIES[name] = lambda place: place.env.update(make(place))


def _victim(place: Scene) -> Path:
    victim = place.top / "other" / "victim"
    subprocess.run(["git", "init", "-q", str(victim)], check=True, env=place.box.env)
    return victim


_environment("GIT_DIR", lambda p: {"GIT_DIR": str(_victim(p) / ".git"), "GIT_WORK_TREE": str(p.outside)})
_environment("GIT_INDEX_FILE", lambda p: {"GIT_INDEX_FILE": str(p.outside / "index")})
_environment("GIT_OBJECT_DIRECTORY", lambda p: {"GIT_OBJECT_DIRECTORY": str(p.outside / "objects")})
_environment("GIT_COMMON_DIR", lambda p: {"GIT_COMMON_DIR": str(_victim(p) / ".git")})
_environment(
    "GIT_CONFIG_COUNT",
    lambda p: {"GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": "core.fsmonitor", "GIT_CONFIG_VALUE_0": str(p.evil("env")),
               "GIT_CONFIG_KEY_1": "core.hooksPath", "GIT_CONFIG_VALUE_1": str(p.evil("reference-transaction").parent)},
)  # fmt: skip
_environment("GIT_CONFIG_PARAMETERS", lambda p: {"GIT_CONFIG_PARAMETERS": f"'core.fsmonitor'='{p.evil('parameters')}'"})
_environment("GIT_NAMESPACE", lambda _: {"GIT_NAMESPACE": "evil", "GIT_PREFIX": "../outside/"})


GIT_ITSELF = ("core fsmonitor", "bare repository inside")
"""Where Git runs or writes what it is told, with or without modelver: it is not asked here. So it is in an environment
that names another repository."""

ADDRESSES = {"endpoint elsewhere": {"127.0.0.1:9"}, "remote is a program": {"127.0.0.1:9"}}
"""Hosts and ports that a repository names, and that may be asked therefore; all others are asked for nothing."""


def checkouts(name: str) -> tuple[tuple[str, ...], ...]:
    """Those of Git that are run on a repository."""
    return () if name in GIT_ITSELF or name.startswith("GIT_") else CHECKOUTS


@dataclass(frozen=True)
class Answer:
    """How a command ended.

    Attributes:
        what: the command line.
        said: what it said on stderr.
        status: its exit status.
        seconds: of the processors' time, its children's too.
        asked: ``HOST:PORT`` that Python connected to.
        peak: bytes of memory that the process, or the largest child, had at most until then.
    """

    what: str
    said: str
    status: str
    seconds: float
    asked: frozenset[str]
    peak: int


def runner() -> str:
    """A program that runs many command lines in one process: ``argv[1]`` is their JSON."""
    return """
import json, os, resource, subprocess, sys
asked = set()
def hook(event, args):
    if event == "socket.connect" and isinstance(args[1], tuple):
        asked.add(f"{args[1][0]}:{args[1][1]}")
sys.addaudithook(hook)
def most():
    # not getrusage of itself: that counts what the process was before exec, a fork of pytest
    with open("/proc/self/status") as file:
        own = next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) << 10
from modelver.cli.main import run
for command in json.loads(sys.argv[1]):
    sys.stderr.write(f"\\0{' '.join(command)}\\0")
    sys.stderr.flush()
    start = sum(os.times()[:4])
    asked.clear()
    try:
        status = subprocess.run(command).returncode if command[0] == "git" else run(command)
    except SystemExit as error:
        status = error.code
    measured = {"seconds": sum(os.times()[:4]) - start, "asked": sorted(asked), "peak": most()}
    sys.stderr.write(f"\\0{status}\\0{json.dumps(measured)}")
    sys.stderr.flush()
"""


def command(lines: tuple[tuple[str, ...], ...]) -> list[str]:
    """The command line that runs all of ``lines``, one after the other."""
    return [sys.executable, "-P", "-c", runner(), json.dumps(lines)]


def answers(errors: bytes) -> Iterator[Answer]:
    """What the runner's stderr tells."""
    words = errors.decode("utf-8", "replace").split("\0")
    for at in range(1, len(words) - 3, 4):
        what, said, status, measured = words[at : at + 4]
        found = json.loads(measured)
        yield Answer(what, said, status, found["seconds"], frozenset(found["asked"]), found["peak"])
