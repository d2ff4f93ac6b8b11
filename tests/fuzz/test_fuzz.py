"""Two minutes of the fuzzing that `make fuzz` does for an hour, and every input that it ever found."""

import os
from pathlib import Path

import pytest
import run
from fuzz_targets import TARGETS

SECONDS = 60
"""For each of the two halves, so that two workers run them side by side."""

SEED = 20261121
"""The same inputs on each run, as far as time lets them run; `make fuzz` draws others."""

HALVES = {"first": list(TARGETS)[::2], "second": list(TARGETS)[1::2]}
INPUTS = sorted(path for path in run.CORPUS.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_what_was_found_once(path: Path) -> None:
    run.run_one(TARGETS[path.parent.name].call, path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_each_seed_is_read_to_its_end(name: str) -> None:
    """Else only the refusal of the seed would be fuzzed."""
    seeds = TARGETS[name].seeds()
    assert seeds
    for seed in seeds:
        TARGETS[name].call(seed)


@pytest.mark.parametrize("half", HALVES)
def test_two_minutes(half: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("MODELVER_FUZZ_SEED") or SEED)
    out = Path(os.environ.get("MODELVER_FUZZ_OUT") or tmp_path / "found")
    result = run.fuzz(HALVES[half], SECONDS, seed, "plain", out, print)  # atheris takes seconds to begin
    assert result["found"] == [], f"MODELVER_FUZZ_SEED={seed}"
    assert all(result["by_target"].values()), result


def test_the_watch_sees_what_it_should(tmp_path: Path) -> None:
    """A reader that raises, hangs, fills the memory or kills its process is found, each once."""
    faults = {
        "raises": "raise KeyError('x')",
        "hangs": "while True: pass",
        "memory": "bytearray(2 << 30)",
        "dies": "import os; os.kill(os.getpid(), 11)",
        "answers": "from modelver.errors import Refused; raise Refused('no')",
    }
    said = {name: _watched(tmp_path / name, body) for name, body in faults.items()}
    assert "KeyError" in said["raises"]
    assert "Hang" in said["hangs"]
    assert "MemoryError" in said["memory"]
    assert "status -11" in said["dies"]
    assert said["answers"] == ""


def _watched(folder: Path, body: str) -> str:
    import subprocess
    import sys

    folder.mkdir()
    script = f"""
import sys
sys.path.insert(0, {str(Path(run.__file__).parent)!r})
import run
run.SECONDS = 1
def call(data):
    {body}
from pathlib import Path
one = run.Watched("x", call, Path({str(folder)!r}))
one(b"data")
one(b"data")
one.close()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    found = sorted(folder.glob("*.found"))
    assert (done.returncode == 0) == (len(found) == 1 or "Refused" in body), done.stderr
    assert (folder / "current").read_bytes() == b"data"
    return f"status {done.returncode}" if done.returncode else "".join(path.read_text() for path in found)
