"""A repository with data that DVC tracks, written as DVC writes it but without its second for each command.

Also what the repository needs, found out another way than gc does: by Git's porcelain and by text alone.
"""

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

from sandbox import InProcess, environment

from modelver.core.retention import Policy
from modelver.operations.gc import GcRequest, GcResult, gc
from modelver.operations.gc_remote import gc_remote
from modelver.operations.project import Project


def md5_of(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


class Tracked(InProcess):
    """A sandbox with `put`, and with what its cache and its remote hold."""

    @property
    def cache(self) -> Path:
        return self.root / ".dvc" / "cache" / "files" / "md5"

    @property
    def store(self) -> Path:
        return self.root.parent / "store" / "files" / "md5"

    def put(self, path: str, content: bytes | dict[str, bytes], *, commit: bool = True) -> str:
        """Track a file or a folder at ``path``; the hash that its pointer names."""
        if isinstance(content, bytes):
            name = self._object(content)
            size, count = len(content), ""
        else:
            items = [{"md5": self._object(data), "relpath": file} for file, data in sorted(content.items())]
            name = self._object(json.dumps(items, sort_keys=True).encode(), ".dir")
            size, count = sum(map(len, content.values())), f"  nfiles: {len(content)}\n"
        pointer = f"outs:\n- md5: {name}\n  size: {size}\n{count}  hash: md5\n  path: {Path(path).name}\n"
        self.write(f"{path}.dvc", pointer)
        if commit:
            self.commit(f"{path}: {name}", f"{path}.dvc")
        return name

    def _object(self, data: bytes, suffix: str = "") -> str:
        name = md5_of(data) + suffix
        place = self.cache / name[:2] / name[2:]
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            place.chmod(0o444)
        return name

    def held(self, top: Path | None = None) -> set[str]:
        """Hashes of the objects in the cache, or another place, each of which is what its name says."""
        found = set()
        for place in (top or self.cache).glob("??/*"):
            if top is not None and place.name.startswith(".") and place.name.endswith(".tmp"):
                continue  # half an upload, by a name that is no object's
            name = place.parent.name + place.name
            assert md5_of(place.read_bytes()) == name.removesuffix(".dir"), f"{name} is damaged"
            found.add(name)
        return found

    def upload(self, *names: str) -> None:
        """Copy objects to the remote, as a push does that skips what is there."""
        for name in names or tuple(self.held()):
            target = self.store / name[:2] / name[2:]
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.cache / name[:2] / name[2:], target)

    def aside(self) -> set[str]:
        """Hashes of what gc has set aside on the remote."""
        top = self.store.parent / "modelver" / "retired"
        return {place.parent.name + place.name for place in top.glob("*/??/*")}

    def collect(self, *, grace: float = 0, fetch: bool = True, **policy: int | float) -> GcResult:
        """Run gc on the cache, in this process."""
        request = GcRequest(Policy(grace, **policy), fetch)  # type: ignore[arg-type]
        return gc(Project.open(self.root), request, confirm=lambda _: True)

    def collect_remote(self, *, grace: float = 0, jobs: int = 8) -> GcResult:
        """Run gc on the remote, in this process."""
        return gc_remote(Project.open(self.root), GcRequest(Policy(grace)), confirm=lambda _: True, jobs=jobs)

    def named_at(self, commits: list[str], git_dir: Path | None = None) -> set[str]:
        """Hashes that pointer files name at these commits, which may be another repository's."""
        where = ["--git-dir", str(git_dir)] if git_dir else []
        found: set[str] = set()
        for commit in commits:
            paths = self.git(*where, "ls-tree", "-r", "--name-only", commit).splitlines()
            for path in filter(_points, paths):
                found |= _hashes(self.git(*where, "show", f"{commit}:{path}"))
        return found

    def lying(self, *worktrees: Path) -> set[str]:
        """Hashes that pointer files name in the working trees, and in the index."""
        found: set[str] = set()
        for root in (self.root, *worktrees):
            for path in root.rglob("*"):
                if _points(path.name) and path.is_file() and ".git" not in path.parts:
                    found |= _hashes(path.read_text())
            staged = subprocess.run(
                ["git", "ls-files", "-s"], cwd=root, env=self.env, capture_output=True, check=True, text=True
            ).stdout
            for line in staged.splitlines():
                if _points(line.rpartition("\t")[2]):
                    found |= _hashes(self.git("cat-file", "blob", line.split()[1]))
        return found

    def whole(self, names: set[str], top: Path | None = None) -> set[str]:
        """The same with the files of folders whose listing is in the cache, or another place."""
        found = set(names)
        for name in names:
            place = (top or self.cache) / name[:2] / name[2:]
            if name.endswith(".dir") and place.exists():
                found |= {item["md5"] for item in json.loads(place.read_bytes())}
        return found


def _points(path: str) -> bool:
    return path.endswith(".dvc") and path != ".dvc"


def _hashes(text: str) -> set[str]:
    return set(re.findall(r"md5: ([0-9a-f]{32}(?:\.dir)?)", text))


def tracked(template: Path, place: Path) -> Tracked:
    """A copy of a template made by `make_template`, with its Git and DVC remotes beside it."""
    shutil.copytree(template, place, symlinks=True)
    box = Tracked(place / "repo", environment(place / "home"))
    box.git("status")
    return box


def make_template(place: Path) -> Path:
    """A repository with one commit and no data, a bare one that it pushes to, and a folder as DVC remote."""
    box = Tracked(place / "repo", environment(place / "home"))
    box.root.mkdir(parents=True)
    box.git("init", "-q")
    box.dvc("init", "-q")
    box.write(
        ".dvc/config",
        "[core]\n    analytics = false\n    remote = store\n['remote \"store\"']\n    url = ../../store\n",
    )
    box.write(".gitignore", "/data\n/*.bin\n")
    box.commit("start")
    box.run("git", "init", "-q", "--bare", str(place / "git"))
    box.git("remote", "add", "origin", "../git")
    box.git("push", "-q", "-u", "origin", "main")
    return place
