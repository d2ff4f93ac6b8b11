"""A repository that several users share: a lock that another user's process holds is no left-over."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sandbox import Sandbox, environment, start

OWN, OTHER = 23456, 34567

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as two other users"),
    pytest.mark.skipif(not Path("/proc/self/comm").exists(), reason="processes are looked up in Linux's /proc"),
]


class Shared(Sandbox):
    """A sandbox where commands are run by a user."""

    user = OWN

    def run(self, *command: str, status: int | None = 0, stdin: str = "", **env: str):
        prefix = ("setpriv", f"--reuid={self.user}", f"--regid={OWN}", "--clear-groups")
        return super().run(*prefix, *command, status=status, stdin=stdin, **env)


@pytest.fixture(scope="module")
def template() -> Iterator[Shared]:
    """Below a folder that everybody may enter; what pytest makes is its user's alone."""
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv (util-linux)")
    top = Path(tempfile.mkdtemp(prefix="modelver-shared-"))
    top.chmod(0o755)
    env = environment(top / "home")
    config = top / "home" / "gitconfig"
    config.write_text(config.read_text() + "[safe]\n\tdirectory = *\n[core]\n\tsharedRepository = world\n")
    start(top / "repo", env)
    for place, _, names in os.walk(top):
        for path in (Path(place), *(Path(place) / name for name in names)):
            os.chown(path, OWN, OWN)
            path.chmod(0o777 if path.is_dir() or os.access(path, os.X_OK) else 0o666)
    shared = Shared(top / "repo", env)
    try:
        if shared.run(sys.executable, "-c", "import modelver", status=None).status:
            pytest.skip("other users may not read this Python or modelver")
        yield shared
    finally:
        shutil.rmtree(top)


@contextmanager
def holding(box: Sandbox, user: int, lasts: float = 60.0) -> Iterator[subprocess.Popen[bytes]]:
    """A Git of that user's which holds the index's lock for so many seconds, and then adds a file."""
    box.run("touch", "added")
    given = f"{{ sleep {lasts}; echo added; }}"
    command = f"{given} | setpriv --reuid={user} --regid={OWN} --clear-groups git update-index --add --stdin"
    with subprocess.Popen(["sh", "-c", command], cwd=box.root, env=box.env, process_group=0) as git:
        try:
            lock = box.root / ".git" / "index.lock"
            deadline = time.monotonic() + 30
            while not lock.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            assert lock.stat().st_uid == user
            yield git
        finally:
            with suppress(ProcessLookupError):
                os.killpg(git.pid, signal.SIGKILL)
            git.wait()


def test_doctor_leaves_a_lock_that_another_user_holds(template):
    lock = template.root / ".git" / "index.lock"
    with holding(template, OTHER):
        done = template.mv("doctor", "--offline", "--fix", status=None)
        assert "index.lock" not in done.out + done.err
        assert lock.exists()
    # what is left of it once that Git is dead is a left-over
    done = template.mv("doctor", "--offline", "--fix", status=None)
    assert "index.lock" in done.out + done.err
    assert not lock.exists()


def test_a_recovery_waits_for_it(template):
    clear = (
        "from pathlib import Path; from modelver.adapters.git import GitRepository\n"
        "from modelver.operations.transaction import clear_stale_locks\n"
        "git = GitRepository.find(Path('.')); clear_stale_locks(git, [git.git_dir / 'index.lock'])"
    )
    with holding(template, OTHER, lasts=2.5) as git:
        template.run(sys.executable, "-P", "-c", clear)
        assert git.wait(timeout=20) == 0, "its lock was taken away under it"
    assert template.git("ls-files", "added") == "added"
    template.git("update-index", "--force-remove", "added")


def test_a_git_of_that_user_elsewhere_holds_nothing_of_ones_own(template, tmp_path_factory):
    """A lock of one's own is no concern of another user's Git."""
    lock = template.root / ".git" / "index.lock"
    elsewhere = template.root.parent / "elsewhere"
    template.run("git", "init", "-q", str(elsewhere))
    other = Sandbox(elsewhere, template.env)
    with holding(other, OTHER):
        template.run("touch", str(lock))
        template.mv("doctor", "--offline", "--fix", status=None)
        assert not lock.exists()
