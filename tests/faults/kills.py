"""Killing a command of modelver at every system call that changes something.

strace kills a process as it enters its N-th call of one name, so the N-th call is not carried out, and all before are.
It counts the calls of each name on their own, also where it is given a set of them, and those of each thread. So a
point has a name; Python and each Git that it starts are killed on their own, by a stand-in for ``git``, first on PATH,
that counts the invocations and puts the K-th under strace; and what works in several threads is told to work in one
(``--jobs 1``), as the calls of others than the main one are no points.

What is killed is a process of its own. What runs after it, the rerun above all, does so in the test's process
(`published.InProcess`): thousands of starts of Python would take half the time of a sweep.
"""

import itertools
import os
import re
import shutil
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox import Sandbox

PARTS = range(8)
"""A whole sweep is divided, so that it can be carried on where it stopped, and by several processes at once."""

CHANGES = (
    "rename", "renameat", "renameat2", "write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "splice",
    "copy_file_range", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat",
    "fsync", "fdatasync", "truncate", "ftruncate", "fallocate", "chmod", "fchmod", "fchmodat", "utimensat", "openat",
    "ioctl",
)  # fmt: skip
"""Calls before which a process is killed, where they change something."""

WAITS = ("poll", "ppoll", "wait4", "waitid", "vfork", "clone", "clone3")
"""For Python also these: killed there, it leaves a Git behind that goes on alone. Of several polls of one the first."""

_ONLY_WHERE = {"openat": re.compile("O_CREAT|O_TRUNC|O_TMPFILE"), "ioctl": re.compile("CLONE")}
"""Most calls of these names change nothing: what their arguments must say."""

_FAILED = re.compile(r"\) += -1 E")

SHIM = """\
#!/bin/sh
number=$(($(cat "$KILL_DIR/count") + 1))
echo $number > "$KILL_DIR/count"
if [ "$KILL_MODE" = count ]; then
    exec strace -qq -o "$KILL_DIR/git.$number" -e trace=$KILL_CALLS "$KILL_GIT" "$@"
fi
[ $number = "$KILL_GIT_NUMBER" ] || exec "$KILL_GIT" "$@"
strace -qq -o /dev/null -e trace=$KILL_CALL -e inject=$KILL_CALL:signal=KILL:when=$KILL_WHEN "$KILL_GIT" "$@"
status=$?
[ $status = 137 ] || exit $status
: > "$KILL_DIR/killed"
[ "$KILL_MODE" = both ] && kill -9 $PPID
kill -9 $$
"""


@dataclass(frozen=True)
class Point:
    """Where to kill.

    Attributes:
        mode: ``python`` (Git goes on), ``git`` (Python goes on) or ``both`` (as when the power fails).
        process: which Git, counted from 1; 0 for Python.
        call: the name of the call.
        when: which of that name in that process, counted from 1.
    """

    mode: str
    process: int
    call: str
    when: int

    def __str__(self) -> str:
        return f"{self.mode}-{self.process}-{self.call}-{self.when}"


class Killer:
    """Runs one command of modelver in a sandbox, to its end or to a point.

    Attributes:
        said: what it wrote to its standard output before it was killed.
        dated: when all that is killed says that it was run, as Git takes it. By the time go the ids of commits and
            tags, and by those whether Git has to make a folder for an object.
    """

    said = b""
    dated = ""

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
        Killer.dated = f"@{int(time.time())} +0000"
        done = self._run(box, ["strace", "-qq", "-o", str(log), "-e", f"trace={_set(CHANGES + WAITS)}"], "count")
        assert done == 0
        found = [Point("python", 0, call, n) for call, n in _calls(log)]
        for process in itertools.count(1):
            log = self.scratch / f"git.{process}"
            if not log.exists():
                break
            found += [Point(mode, process, call, n) for mode in ("git", "both") for call, n in _calls(log)]
        return found

    def kill(self, box: Sandbox, point: Point) -> int:
        """Carry the command out up to a point; its exit status, -9 where Python was killed.

        How often Python waits depends on the machine. All else it does in one order, so a point at which nothing was
        killed is a fault of the sweep.
        """
        if point.mode == "python":
            inject = ["-e", f"trace={point.call}", "-e", f"inject={point.call}:signal=KILL:when={point.when}"]
            status = self._run(box, ["strace", "-qq", "-o", "/dev/null", *inject], "none")
            killed = status == -9
        else:
            status = self._run(box, [], point.mode, point.process, point)
            killed = (self.scratch / "killed").exists()
        assert killed or point.call in WAITS, f"nothing was killed; the command ended with {status}"
        return status

    def has_ended(self, box: Sandbox) -> bool:
        """Whether a command that is not to be done twice had ended when it was killed, and was closing its caches.

        It removes its note by its last act, and not before it has answered.
        """
        noted = any((box.root / ".git/modelver").glob("unfinished-*.json"))
        return bool(self.said) and not noted

    def _run(self, box: Sandbox, prefix: list[str], mode: str, process: int = 0, point: Point | None = None) -> int:
        (self.scratch / "count").write_text("0\n")
        (self.scratch / "killed").unlink(missing_ok=True)
        env = {
            **box.env,
            "PATH": f"{self.scratch}{os.pathsep}{box.env['PATH']}",
            "GIT_AUTHOR_DATE": Killer.dated,
            "GIT_COMMITTER_DATE": Killer.dated,
            "KILL_DIR": str(self.scratch),
            "KILL_MODE": mode,
            "KILL_CALLS": _set(CHANGES),
            "KILL_CALL": point.call if point else "",
            "KILL_GIT": str(self.git),
            "KILL_GIT_NUMBER": str(process),
            "KILL_WHEN": str(point.when if point else 0),
        }
        done = subprocess.run([*prefix, *self.command], cwd=box.root, env=env, capture_output=True, check=False)
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        self.said = done.stdout
        return done.returncode


def part_of(points: Sequence[Point], part: int) -> list[Point]:
    """One of `PARTS`, chosen by the point's name.

    How often Python polls differs from run to run, and so does the list of points: a share of the list would let some
    slip through between two processes, each of which has a list of its own.
    """
    return [point for point in points if zlib.crc32(str(point).encode()) % len(PARTS) == part]


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


def _set(calls: Sequence[str]) -> str:
    """For strace; not every processor has all of them."""
    return ",".join(f"?{call}" for call in calls)


def _calls(log: Path) -> list[tuple[str, int]]:
    """Name and number of each call in strace's log that changed something, or waited."""
    found = []
    count: Counter[str] = Counter()
    waited = ""
    for line in log.read_text("utf-8", "replace").splitlines():
        call = line.partition("(")[0]
        if call not in CHANGES + WAITS or call == line:
            continue
        count[call] += 1
        only = _ONLY_WHERE.get(call)
        if call in WAITS:
            if not ("poll" in call and waited == call):
                found.append((call, count[call]))
            waited = call
        elif not (_FAILED.search(line) or (only and not only.search(line))):
            found.append((call, count[call]))
    return found
