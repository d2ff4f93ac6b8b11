"""Guarantee 12: nothing is written outside of worktree and cache, over a corpus of hostile repositories."""

import os
import random
import subprocess
import sys
from pathlib import Path

import hostile_repos
import path_audit
import pytest

GUARANTEE = 12

MENDED = (
    "core fsmonitor", "bare repository inside", "state folder is a link", "state hashes.sqlite is a link",
    "journal that writes outside", "journal of another tree", ".github is a link", "models/sk is a link, exported",
    "cache in home", ".dvc/cache is a link",
)  # fmt: skip
"""What once got through; always run."""

SECONDS = 10
BYTES = 1 << 30
"""What no command may take of the processors' time and of memory, whatever the repository."""

SAMPLE = 3
"""Of the others, those of the unmarked run; the marked one takes all."""


def cases() -> int:
    """Commands on hostile repositories."""
    every = len(hostile_repos.READS) + len(hostile_repos.WRITES)
    return sum(every + len(hostile_repos.checkouts(name)) for name in hostile_repos.REPOSITORIES)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_repos.template(tmp_path_factory.mktemp("hostile"))


@pytest.mark.skipif(not path_audit.available(), reason="strace is not installed, or may not trace")
def test_the_audit_sees_what_is_written(tmp_path: Path) -> None:
    """Relative paths, other folders, links on the way, children, threads' children, names beyond ASCII."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "far").mkdir()
    (tmp_path / "a" / "link").symlink_to("../far")
    program = """
import os, subprocess, threading
open('one', 'w').close()
os.chdir('b')
open('../link/two', 'w').close()
os.mkdir('three'); os.rename('three', '../link/four'); os.symlink('/nowhere', 'five')
subprocess.run(['sh', '-c', 'cd ../link; : > six; mv six seven; ln -s x \u00e9'])
thread = threading.Thread(target=subprocess.run, args=(['touch', 'eight'],), kwargs={'cwd': '../link'})
thread.start(); thread.join()
os.chmod('../one', 0o600); os.truncate('../one', 0)
try:
    os.mkdir('/proc/none')
except OSError:
    pass
"""
    done, written = path_audit.run(
        [sys.executable, "-P", "-S", "-c", program], tmp_path / "a", {**os.environ}, tmp_path / "log"
    )
    assert done.returncode == 0, done.stderr
    far, here = tmp_path / "far", tmp_path / "a"
    wanted = {
        here / "one",
        far / "two",
        here / "b" / "three",
        far / "four",
        here / "b" / "five",
        far / "six",
        far / "seven",
    }
    wanted |= {far / "\u00e9", far / "eight"}
    assert {w.path for w in written if w.path.is_relative_to(tmp_path)} == wanted
    assert {w.call for w in written if w.path == here / "one"} == {"openat", "chmod", "truncate"}
    assert not any(w.path.name == "none" for w in written), "what was refused is nothing written"


def test_what_only_answers_runs_nothing_of_a_copied_configuration(made: Path, tmp_path: Path) -> None:
    """`core.fsmonitor`, `core.hooksPath`, `gpg.program` and their like; where a remote is asked, its transport runs."""
    place = hostile_repos.scene(made, tmp_path / "scene", "tag of a tag")
    hostile_repos.copied_configuration(place)
    before = hostile_repos.canaries(place.top)
    local = tuple(line for line in hostile_repos.READS if not {*line} & {*hostile_repos.ELSEWHERE})
    assert len(local) > 10
    done = subprocess.run(
        hostile_repos.command(local), cwd=place.box.root, env=place.box.env, capture_output=True, check=False
    )
    answers = list(hostile_repos.answers(done.stderr))
    assert [a.what for a in answers if a.status not in ("0", "1", "2")] == []
    assert len(answers) == len(local)
    assert hostile_repos.harm(before, place) == []
    place.box.git("update-ref", "refs/heads/x", "HEAD")  # the programs do what they shall
    assert "reference-transaction" in (place.outside / "ran").read_text()


def stays_inside(made: Path, tmp_path: Path, name: str) -> None:
    place = hostile_repos.scene(made, tmp_path / "scene", name)
    before = hostile_repos.canaries(place.top)
    lines = (*hostile_repos.READS, *hostile_repos.WRITES)
    command = hostile_repos.command(lines)
    env, cwd = {**place.box.env, **place.env}, place.cwd or place.box.root
    if path_audit.available():
        done, written = path_audit.run(command, cwd, env, tmp_path / "log")
        assert any(w.path.is_relative_to(place.box.root) for w in written) or place.cwd, "the audit saw nothing"
    else:
        done, written = subprocess.run(command, cwd=cwd, env=env, capture_output=True, check=False), []
    _judged(name, lines, done)
    inside = hostile_repos.allowed(place)
    outside = [w for w in written if not any(w.path.is_relative_to(folder) for folder in inside)]
    assert outside == []
    assert hostile_repos.harm(before, place) == []
    checkouts = hostile_repos.checkouts(name)
    command = hostile_repos.command(checkouts)
    _judged(name, checkouts, subprocess.run(command, cwd=cwd, env=env, capture_output=True, check=False))
    assert hostile_repos.harm(before, place) == []
    assert list((place.top / "scratch").iterdir()) == []


def _judged(name: str, lines: tuple[tuple[str, ...], ...], done: subprocess.CompletedProcess[bytes]) -> None:
    """Each command answered, in words, time and memory, and asked nobody whom the repository does not name."""
    answers = list(hostile_repos.answers(done.stderr))
    assert len(answers) == len(lines), done.stderr.decode()[-3000:]
    for one in answers:
        assert "Traceback" not in one.said, f"{one.what}: {one.said}"
        ended = ("0", "1", "128") if one.what.startswith("git ") else ("0", "1", "2", "3")
        assert one.status in ended, f"{one.what}: {one.status}: {one.said}"
        assert one.seconds < SECONDS, f"{one.what} took {one.seconds} s"
        assert one.peak < BYTES, f"{one.what}: {one.peak} bytes"
    asked = frozenset[str]().union(*(one.asked for one in answers))
    named = hostile_repos.ADDRESSES.get(name, set())
    assert asked == (named if ("push",) in lines else set())


@pytest.mark.parametrize(
    "name", [*MENDED, *random.Random(12).sample(sorted({*hostile_repos.REPOSITORIES} - {*MENDED}), SAMPLE)]
)
def test_some_hostile_repositories(made: Path, tmp_path: Path, name: str) -> None:
    stays_inside(made, tmp_path, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile_repos.REPOSITORIES)
def test_every_hostile_repository(made: Path, tmp_path: Path, name: str) -> None:
    stays_inside(made, tmp_path, name)
