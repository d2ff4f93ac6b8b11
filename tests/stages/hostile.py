"""Running commands on what means harm: in a process with 1 GiB, timed, with a look at all that they leave behind."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from sandbox import Sandbox

SECONDS = 10
"""Of the processor's time, for each command: a busy machine is no fault of the file's."""

MEMORY = 1 << 30

RUNNER = """
import faulthandler, importlib, json, os, resource, shutil, sys
from pathlib import Path
from modelver.cli.main import run

faulthandler.dump_traceback_later(300, exit=True)  # what hangs is told, and ends
for package in sys.argv[3:]:
    importlib.import_module(package)  # once, and not in each process that is forked
limited = sys.argv[2] == "address-space"
if limited:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
temp = Path(os.environ["TMPDIR"])
# What DVC, Git and onnxruntime note for themselves: locks, times of files that were looked at, that it ran.
OWN = {".dvc/tmp/btime", ".dvc/tmp/lock", ".dvc/tmp/rwlock", ".dvc/tmp/rwlock.lock", ".git/index", ".ses"}

def listing():
    found = {}
    for top in (Path("."), temp):
        for place, folders, names in os.walk(top):
            for name in folders + names:
                path = os.path.relpath(os.path.join(place, name), top)
                if path in OWN or path.startswith(".git/modelver"):
                    continue
                facts = os.lstat(os.path.join(place, name))
                size = 0 if name in folders else facts.st_size
                found[path if top == Path(".") else f"{top}/{path}"] = (facts.st_mode, size, facts.st_ino)
    return found

def put(source, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    elif not source.is_file() or not target.is_file() or target.is_symlink():
        target.unlink(missing_ok=True)
    if source.is_fifo():
        os.mkfifo(target)
    elif source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target, follow_symlinks=False)

def peak():
    # not its own ru_maxrss, which Linux hands down from the process that forked this one
    own = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmHWM"))
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10)

for job in json.loads(Path(sys.argv[1]).read_text()):
    for source, target in job["put"]:
        put(Path(source), Path(target))
    before = listing()
    sys.stderr.write("\\0")
    start = sum(os.times()[:4])
    status = run(job["command"])
    sys.stderr.flush()
    seconds = sum(os.times()[:4]) - start
    after = listing()
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    sys.stderr.write("\\0" + json.dumps({"name": job["name"], "status": status, "seconds": seconds, "peak": peak(),
                                         "changed": changed}))
"""


@dataclass(frozen=True)
class Said:
    """What a command answered.

    Attributes:
        status: its exit status.
        text: what it wrote to stderr.
        changed: files that were made, changed or removed, in the repository and in the folder for temporary files.
    """

    status: int
    text: str
    changed: tuple[str, ...]


def run_all(
    box: Sandbox, jobs: list[dict], limit: str = "address-space", preload: Sequence[str] = ()
) -> dict[str, Said]:
    """Run jobs of ``name``, ``command`` and ``put`` (pairs of files that are copied first), one after the other.

    Every command must keep its time and memory, end with 0 or 2, and say why without a traceback.

    Args:
        box: where they run.
        jobs: what is run.
        limit: ``address-space`` lets the kernel refuse more memory; ``measured`` looks at the peak at the end,
            ``above-first`` at how far it is above that of the first job.
        preload: modules that are imported before the first job.
    """
    scratch = box.root.parent / "scratch"
    temp = box.root.parent / "temp"
    for folder in (scratch, temp):
        folder.mkdir(exist_ok=True)
    plan = scratch / "jobs.json"
    plan.write_text(json.dumps([{"put": [], **job} for job in jobs]))
    status_before = box.git("status", "--porcelain")
    done = subprocess.run(
        [sys.executable, "-P", "-c", RUNNER, str(plan), limit, *preload],
        cwd=box.root, env={**box.env, "TMPDIR": str(temp), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True, check=False,
    )  # fmt: skip
    words = done.stderr.decode("utf-8", "replace").split("\0")
    assert done.returncode == 0, words[-1][-3000:]
    found, base = {}, 0
    for said, facts in zip(words[1::2], map(json.loads, words[2::2]), strict=True):
        name = facts["name"]
        assert "Traceback" not in said, f"{name}: {said}"
        assert facts["status"] in (0, 2), f"{name}: {said}"
        assert facts["status"] == 0 or said.startswith("error: "), f"{name}: {said}"
        assert len(said) < 4000, name
        assert facts["seconds"] < SECONDS, f"{name} took {facts['seconds']} s"
        base = base or facts["peak"]
        taken = facts["peak"] - base if limit == "above-first" else facts["peak"]
        assert taken < MEMORY, f"{name} took {taken} bytes"
        found[name] = Said(facts["status"], said, tuple(facts["changed"]))
    assert list(found) == [job["name"] for job in jobs]
    if all(said.status == 2 for said in found.values()) and not any(job.get("put") for job in jobs):
        assert box.git("status", "--porcelain") == status_before
    return found
