"""Whatever is done to a repository, gc removes what nothing needs, and never what something does.

What is needed is found by Git's porcelain and the text of pointers (`Tracked.named_at`, `Tracked.lying`), not by the
code of gc.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tracked import Tracked, make_template, tracked

from modelver.adapters.dvc.stores import FolderStore

PATHS = st.sampled_from(["d", "sub/e"])
# few, and sharing files: what one commit lets go another one takes up again
CONTENTS = st.sampled_from(
    [b"1", b"2", b"3", {"a": b"1", "b": b"2"}, {"a": b"1", "b": b"3"}, {"a": b"4", "c/d": b"5"}, {"a": b"4"}]
)
NUMBERS = st.integers(0, 7)

PUBLISH = """\
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from sandbox import environment
from tracked import Tracked
box = Tracked(Path(sys.argv[2]), environment(Path(sys.argv[3])))
names, tag = sys.argv[5:], sys.argv[4]
box.upload(*names)
box.git("push", "-q", "origin", tag)
box.upload(*names)
"""


class Machine(RuleBasedStateMachine):
    """One repository, another clone that publishes, their Git remote and their DVC remote."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.top = Path(tempfile.mkdtemp(prefix="modelver-machine-"))
        self.box = tracked(self.template, self.top / "w")
        self.environment = dict(os.environ)
        for name in [name for name in os.environ if name.startswith(("GIT_", "DVC_"))]:
            del os.environ[name]
        os.environ.update(self.box.env)
        self.git_dir = self.top / "w" / "git"
        self.box.run("git", "clone", "-q", str(self.git_dir), str(self.top / "w" / "other"))
        self.other = Tracked(self.top / "w" / "other", self.box.env)
        self.count = 0
        self.known: dict[str, set[str]] = {}

    def teardown(self) -> None:
        try:
            self.what_was_published_can_be_fetched()
        finally:
            os.environ.clear()
            os.environ.update(self.environment)
            shutil.rmtree(self.top, ignore_errors=True)

    @initialize(path=PATHS, content=CONTENTS)
    def first(self, path, content):
        self.box.put(path, content)

    @rule(path=PATHS, content=CONTENTS)
    def commit(self, path, content):
        self.box.git("add", "-A")
        self.box.put(path, content, commit=False)
        self.box.git("add", "-A")
        self.box.git("commit", "-q", "-m", "x", status=None)

    @rule(path=PATHS, content=CONTENTS, staged=st.booleans())
    def change(self, path, content, staged):
        self.box.put(path, content, commit=False)
        if staged:
            self.box.git("add", "-A")

    @rule(path=PATHS, content=CONTENTS)
    def amend(self, path, content):
        self.box.put(path, content, commit=False)
        self.box.git("add", "-A")
        self.box.git("commit", "-q", "--amend", "-m", "x", "--allow-empty")

    @rule(annotated=st.booleans(), back=st.integers(0, 2))
    def tag(self, annotated, back):
        options = ["-a", "-m", "x"] if annotated else []
        self.box.git("tag", *options, self._name("t"), f"HEAD~{back}", status=None)

    @rule(number=NUMBERS)
    def delete_tag(self, number):
        self.box.git("tag", "-d", *self._pick(self.box.tags(), number), status=None)

    @rule()
    def branch(self):
        self.box.git("checkout", "-q", "-b", self._name("b"))

    @rule(number=NUMBERS, force=st.booleans())
    def checkout(self, number, force):
        name = self._pick(self._branches(), number)
        self.box.git("checkout", "-q", *(["-f"] if force else []), *name, status=None)

    @rule(number=NUMBERS)
    def delete_branch(self, number):
        self.box.git("branch", "-q", "-D", *self._pick(self._branches(), number), status=None)

    @rule()
    def detach(self):
        self.box.git("checkout", "-q", "--detach")

    @rule()
    def reset(self):
        self.box.git("reset", "-q", "--hard", "HEAD~1", status=None)

    @rule()
    def stash(self):
        self.box.git("stash", "push", "-q", "--include-untracked", status=None)

    @rule(number=st.integers(0, 1))
    def drop_stash(self, number):
        self.box.git("stash", "drop", "-q", f"stash@{{{number}}}", status=None)

    @rule(path=PATHS, content=CONTENTS)
    def worktree(self, path, content):
        """Detached, and with a change of its own that is in no commit."""
        name = self._name("w")
        self.box.git("worktree", "add", "-q", "--detach", f"../{name}")
        self.box.put(path, content, commit=False)
        target = self.top / "w" / name / f"{path}.dvc"
        target.parent.mkdir(exist_ok=True)
        shutil.move(self.box.root / f"{path}.dvc", target)

    @rule(number=NUMBERS)
    def remove_worktree(self, number):
        linked = sorted(path.name for path in (self.top / "w").glob("w[0-9]*"))
        for name in self._pick(linked, number):
            self.box.git("worktree", "remove", "--force", f"../{name}")

    @rule()
    def push(self):
        """All tags and the branch, once their objects are on the DVC remote."""
        branch = self.box.git("branch", "--show-current")
        refs = [f"refs/heads/{branch}", *(f"refs/tags/{tag}" for tag in self.box.tags())] if branch else []
        for ref in refs:
            names = self.box.whole(self._named(self.box, self._past(self.box, ref)))
            if names <= self.box.held():  # of another's commits it has not got everything
                self.box.upload(*names)
                self.box.git("push", "-q", "--force", "origin", f"{ref}:{ref}")

    @rule()
    def fetch(self):
        self.box.git("fetch", "-q", "--tags", "--force", "origin")

    @rule(path=PATHS, content=CONTENTS)
    def publish_elsewhere(self, path, content):
        tag, names = self._made_elsewhere(path, content)
        self.other.upload(*names)
        self.other.git("push", "-q", "origin", tag)

    @rule(number=NUMBERS)
    def delete_published(self, number):
        listed = self.box.git("--git-dir", str(self.git_dir), "tag", "--list", "p*").split()
        for name in self._pick(listed, number):
            self.other.git("push", "-q", "origin", f":refs/tags/{name}")

    @rule()
    def collect(self):
        needed = self._needed()
        before = self.box.held()
        refs, index, files = self.box.refs(), self.box.index(), self._files()
        self.box.collect()
        assert self.box.held() == before & needed
        assert (self.box.refs(), self.box.index(), self._files()) == (refs, index, files)

    @rule()
    def collect_remote(self):
        needed = self._needed()
        before = self.box.held(self.box.store) | self.box.aside()
        self._grow_old()
        self.box.collect_remote(grace=3600)
        assert self.box.held(self.box.store) == before & self._with_young_reflogs(needed)
        assert self.box.aside() == before - self.box.held(self.box.store)

    @rule(path=PATHS, content=CONTENTS)
    def collect_remote_beside_a_push(self, path, content):
        """In another process, at whatever moment it comes to it."""
        tag, names = self._made_elsewhere(path, content)
        self._grow_old()
        before = self.box.held(self.box.store) | self.box.aside()
        arguments = [str(Path(__file__).parents[1]), str(self.other.root), str(self.top / "w" / "home"), tag, *names]
        with subprocess.Popen([sys.executable, "-c", PUBLISH, *arguments], env=self.box.env) as publishing:
            while publishing.poll() is None:
                self.box.collect_remote(grace=3600)
        assert publishing.returncode == 0
        assert {*names} <= self.box.held(self.box.store)
        assert self.box.held(self.box.store) | self.box.aside() >= before

    @invariant()
    def what_was_published_is_there(self):
        """On the DVC remote; what was set aside because nothing needed it comes back by the next gc."""
        published = self._past(self.box, "--all", git_dir=self.git_dir)
        names = self._named(self.box, published, git_dir=self.git_dir)
        there = self.box.held(self.box.store) | self.box.aside()
        assert names <= there

    def what_was_published_can_be_fetched(self):
        """By DVC itself, in a new clone."""
        self._grow_old()
        self.box.collect_remote(grace=3600)
        clone = Tracked(self.top / "w" / "clone", self.box.env)
        self.box.run("git", "clone", "-q", str(self.git_dir), str(clone.root))
        names = self._named(clone, self._past(clone, "--tags", "--branches", "--remotes", walk=False))
        # DVC takes a relative folder from the file system's root once it reads another commit's configuration
        clone.write(".dvc/config.local", f"['remote \"there\"']\n    url = {self.top / 'w' / 'store'}\n")
        clone.dvc("fetch", "-q", "--remote", "there", "--all-tags", "--all-branches")
        tips = self._named(clone, self._past(clone, "--tags", "--branches", walk=False))
        assert clone.held() >= clone.whole(tips)
        assert names <= self.box.held(self.box.store)

    def _made_elsewhere(self, path, content):
        """A commit of the other clone with a tag that is not published, and what it needs."""
        name = self.other.put(path, content, commit=False)
        self.other.git("add", "-A")
        self.other.git("commit", "-q", "--allow-empty", "-m", "x")
        tag = self._name("p")
        self.other.git("tag", tag)
        past = self._named(self.other, self._past(self.other, "HEAD"))
        return tag, sorted(self.other.whole({name, *past}))

    def _needed(self) -> set[str]:
        """By every ref here and on the Git remote, all that can be reached, the stashes, and the working trees."""
        box = self.box
        stashes = box.git("stash", "list", "--format=%H").split()
        roots = [line.split(" ", 1)[1] for line in box.git("worktree", "list", "--porcelain").splitlines()
                 if line.startswith("worktree ")]  # fmt: skip
        heads = [box.git("-C", root, "rev-parse", "HEAD") for root in roots]
        here = self._named(box, self._past(box, "--all", "HEAD", *stashes, *heads))
        there = self._named(box, self._past(box, "--all", git_dir=self.git_dir), git_dir=self.git_dir)
        names = here | there | box.lying(*(Path(root) for root in roots))
        return self._whole(names)

    def _whole(self, names: set[str]) -> set[str]:
        """With the files of folders, where a listing can be had: from the cache, the remote, or what is set aside."""
        found = self.box.whole(names) | self.box.whole(names, self.box.store)
        for top in (self.box.store.parent / "modelver" / "retired").glob("*"):
            found |= self.box.whole(names, top)
        return found

    def _with_young_reflogs(self, needed: set[str]) -> set[str]:
        """With a grace period of an hour all that this clone ever had checked out is young."""
        box = self.box
        logged = box.git("reflog", "show", "--all", "--format=%H").split()
        commits = [commit for commit in logged if box.git("cat-file", "-t", commit, status=None) == "commit"]
        left = box.git("rev-parse", "-q", "--verify", "ORIG_HEAD", status=None).split()
        names = self._named(box, self._past(box, *commits, *left)) if commits else set()
        return needed | self._whole(names)

    def _past(self, box: Tracked, *revisions: str, git_dir: Path | None = None, walk: bool = True) -> list[str]:
        where = ["--git-dir", str(git_dir)] if git_dir else []
        return box.git(*where, "rev-list", *([] if walk else ["--no-walk"]), *revisions).split()

    def _named(self, box: Tracked, commits: list[str], git_dir: Path | None = None) -> set[str]:
        found: set[str] = set()
        for commit in commits:
            if commit not in self.known:
                self.known[commit] = box.named_at([commit], git_dir=git_dir)
            found |= self.known[commit]
        return found

    def _grow_old(self) -> None:
        for place in self.box.store.glob("??/*"):
            os.utime(place, (1, 1))

    def _files(self) -> set[str]:
        return {path for path in self.box.files() if not path.startswith(".dvc/cache/")}

    def _name(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    def _branches(self) -> list[str]:
        return self.box.git("for-each-ref", "--format=%(refname:short)", "refs/heads").split()

    def _pick(self, names: list[str], number: int) -> list[str]:
        return names[number % len(names) :][:1] if names else []


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    made = type("Machine", (Machine,), {"template": make_template(tmp_path_factory.mktemp("machine") / "template")})
    real = FolderStore.stat

    def by_modification(self, path):
        """A file's change time can't be set back, so that it is left out of its age."""
        found = real(self, path)
        return None if found is None else (*found[:2], (self._root / path).stat().st_mtime)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FolderStore, "stat", by_modification)
        yield made


CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def test_a_few_lives_of_a_repository(machine):
    some = settings(
        max_examples=3, stateful_step_count=14, derandomize=True, database=None, deadline=None,
        phases=[Phase.generate],
        suppress_health_check=CHECKS,
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=some)


@pytest.mark.slow
def test_many_lives_of_a_repository(machine):
    many = settings(max_examples=60, stateful_step_count=30, database=None, deadline=None, suppress_health_check=CHECKS)
    run_state_machine_as_test(machine, settings=many)
