"""Killing a command of modelver at every system call that changes something.

strace kills a process as it enters its N-th call of a set, so the N-th call is not carried out and all before it are.
Its count is per process, so Python and each Git that it starts are counted and killed on their own: a stand-in for
``git``, first on PATH, counts the invocations and puts the K-th under strace.
"""

import itertools
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox import Sandbox

PARTS = range(8)
"""A whole sweep is divided, so that it can be carried on where it stopped, and by several processes at once."""

CHANGES = (
    "rename,renameat,renameat2,write,pwrite64,writev,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,"
    "mkdir,mkdirat,fsync,fdatasync,ftruncate"
)
"""Calls before which a process is killed."""

WAITS = ",poll,ppoll,wait4,waitid,vfork,clone,clone3"
"""For Python also these: killed there, it leaves a Git behind that goes on alone."""

SHIM = """\
#!/bin/sh
number=$(($(cat "$KILL_DIR/count") + 1))
echo $number > "$KILL_DIR/count"
if [ "$KILL_MODE" = count ]; then
    exec strace -qq -o "$KILL_DIR/git.$number" -e trace=$KILL_CALLS "$KILL_GIT" "$@"
fi
[ $number = "$KILL_GIT_NUMBER" ] || exec "$KILL_GIT" "$@"
strace -qq -o /dev/null -e trace=$KILL_CALLS -e inject=$KILL_CALLS:signal=KILL:when=$KILL_WHEN "$KILL_GIT" "$@"
status=$?
[ $status = 137 ] || exit $status
[ "$KILL_MODE" = both ] && kill -9 $PPID
kill -9 $$
"""


@dataclass(frozen=True)
class Point:
    """Where to kill.

    Attributes:
        mode: ``python`` (Git goes on), ``git`` (Python goes on) or ``both`` (as when the power fails).
        process: which Git, counted from 1; 0 for Python.
        when: which call of that process, counted from 1.
        call: its name, for the report.
    """

    mode: str
    process: int
    when: int
    call: str

    def __str__(self) -> str:
        return f"{self.mode}-{self.process}-{self.when}-{self.call}"


class Killer:
    """Runs one command of modelver in a sandbox, to its end or to a point."""

    def __init__(self, scratch: Path, command: tuple[str, ...]) -> None:
        self.scratch = scratch
        self.command = [sys.executable, "-P", "-m", "modelver", *command]
        self.git = shutil.which("git")
        scratch.mkdir(parents=True, exist_ok=True)
        (scratch / "git").write_text(SHIM)
        (scratch / "git").chmod(0o755)

    def points(self, box: Sandbox) -> list[Point]:
        """Carry the command out, and tell of all points at which it could be killed."""
        log = self.scratch / "python"
        done = self._run(box, ["strace", "-qq", "-o", str(log), "-e", f"trace={CHANGES}{WAITS}"], "count")
        assert done == 0
        found = [Point("python", 0, n, call) for n, call in _calls(log)]
        for process in itertools.count(1):
            log = self.scratch / f"git.{process}"
            if not log.exists():
                break
            found += [Point(mode, process, n, call) for mode in ("git", "both") for n, call in _calls(log)]
        return found

    def kill(self, box: Sandbox, point: Point) -> int:
        """Carry the command out up to a point; its exit status, -9 where Python was killed."""
        if point.mode == "python":
            calls = CHANGES + WAITS
            inject = ["-e", f"trace={calls}", "-e", f"inject={calls}:signal=KILL:when={point.when}"]
            return self._run(box, ["strace", "-qq", "-o", "/dev/null", *inject], "none")
        return self._run(box, [], point.mode, point.process, point.when)

    def _run(self, box: Sandbox, prefix: list[str], mode: str, process: int = 0, when: int = 0) -> int:
        (self.scratch / "count").write_text("0\n")
        env = {
            **box.env,
            "PATH": f"{self.scratch}{os.pathsep}{box.env['PATH']}",
            "KILL_DIR": str(self.scratch),
            "KILL_MODE": mode,
            "KILL_CALLS": CHANGES,
            "KILL_GIT": str(self.git),
            "KILL_GIT_NUMBER": str(process),
            "KILL_WHEN": str(when),
        }
        done = subprocess.run([*prefix, *self.command], cwd=box.root, env=env, capture_output=True, check=False)
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return done.returncode


def part_of(points: Sequence[Point], part: int) -> list[Point]:
    """One of `PARTS`, chosen by the number of the call.

    How often Python polls differs from run to run, and so does the list of points: a share of the list would let some
    slip through between two processes, each of which has a list of its own.
    """
    return [point for point in points if (point.process + point.when) % len(PARTS) == part]


def sweep(points: Sequence[Point], check: Callable[[Point, Path], None], scratch: Path) -> None:
    """Check each point in a place of its own in ``scratch``; fail with the list of those that failed.

    The environment variable ``KILL_ONLY`` chooses the points whose names contain it.
    """
    chosen = os.environ.get("KILL_ONLY", "")
    points = [point for point in points if chosen in str(point)]
    failures = []
    for number, point in enumerate(points):
        place = scratch / str(number)
        try:
            check(point, place)
        except AssertionError as error:
            failures.append(f"{point}: {error}")
        shutil.rmtree(place, ignore_errors=True)
    print(f"{len(points)} points: {sorted(Counter(point.mode for point in points).items())}")
    assert not failures, f"{len(failures)} of {len(points)} points:\n" + "\n".join(failures)


def _calls(log: Path) -> list[tuple[int, str]]:
    """Number and name of each call in strace's log."""
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if "(" in line and line[0].isalpha()]
    return [(n, line.partition("(")[0]) for n, line in enumerate(lines, start=1)]
