"""Guarantee 12: nothing is written outside of worktree and cache, over a corpus of hostile repositories."""

import random
from pathlib import Path

import hostile_repos
import path_audit
import pytest

GUARANTEE = 12

MENDED = (
    "core fsmonitor", "bare repository inside", "state folder is a link", "state hashes.sqlite is a link",
    "journal that writes outside", "journal of another tree",
)  # fmt: skip
"""What once got through; always run."""

SAMPLE = 4
"""Of the others, those of the unmarked run; the marked one takes all."""


def cases() -> int:
    """Commands on hostile repositories."""
    return len(hostile_repos.REPOSITORIES) * len((*hostile_repos.READS, *hostile_repos.WRITES))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_repos.template(tmp_path_factory.mktemp("hostile"))


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
        import subprocess

        done, written = subprocess.run(command, cwd=cwd, env=env, capture_output=True, check=False), []
    answers = list(hostile_repos.said(done.stderr))
    assert len(answers) == len(lines), done.stderr.decode()[-3000:]
    for what, words, status in answers:
        assert "Traceback" not in words, f"{what}: {words}"
        assert status in ("0", "1", "2", "3"), f"{what}: {status}: {words}"
    inside = hostile_repos.allowed(place)
    outside = [w for w in written if not any(w.path.is_relative_to(folder) for folder in inside)]
    assert outside == []
    assert hostile_repos.harm(before, place) == []
    assert list((place.top / "scratch").iterdir()) == []


@pytest.mark.parametrize(
    "name", [*MENDED, *random.Random(12).sample(sorted({*hostile_repos.REPOSITORIES} - {*MENDED}), SAMPLE)]
)
def test_some_hostile_repositories(made: Path, tmp_path: Path, name: str) -> None:
    stays_inside(made, tmp_path, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile_repos.REPOSITORIES)
def test_every_hostile_repository(made: Path, tmp_path: Path, name: str) -> None:
    stays_inside(made, tmp_path, name)
