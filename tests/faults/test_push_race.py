"""Of those who publish one version at once exactly one wins; a loser does not end with 0 and keeps no tag."""

import subprocess
import sys
from pathlib import Path

import pytest
from published import Hub, with_folder, with_hub
from sandbox import InProcess, Sandbox

TAGGERS, CLONES = 8, 3
SAMPLE, ROUNDS = 3, 100


@pytest.fixture
def clones(model_repo: Sandbox, tmp_path: Path) -> tuple[Hub, list[Sandbox]]:
    """Three clones with a first version that all have."""
    hub = with_hub(model_repo)
    storage = with_folder(model_repo)
    text = (model_repo.root / ".dvc/config").read_text()
    model_repo.write(".dvc/config", text.replace("../../storage", str(storage.root)))
    model_repo.commit("an absolute remote", ".dvc/config")
    model_repo.mv("tag", "m", "--push")
    found = []
    for number in range(CLONES):
        place = tmp_path / f"clone-{number}"
        place.mkdir()
        clone = InProcess(hub.clone(place / "repo").root, model_repo.env)
        clone.mv("init")
        # one cache for all, as several clones of a machine often have: a loser's clone has the winner's weights at once
        clone.write(".dvc/config.local", f"[cache]\n    dir = {model_repo.root}/.dvc/cache\n")
        found.append(clone)
    return hub, found


def play(hub: Hub, clones: list[Sandbox], number: int) -> None:
    """One round: each clone has weights of its own, and several tag them at the same moment."""
    for index, clone in enumerate(clones):
        clone.git("fetch", "-q", "--tags", "--prune", "origin")
        clone.git("reset", "-q", "--hard", "origin/main")
        clone.mv("restore", "--force")
        clone.change("m", 1000 * number + index + 1)
        clone.commit(f"round {number}, clone {index}")
    before = hub.tags()
    command = [sys.executable, "-P", "-m", "modelver", "tag", "m", "--push"]
    running = [
        subprocess.Popen(
            command, cwd=clones[n % CLONES].root, env=clones[n % CLONES].env, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        for n in range(TAGGERS)
    ]  # fmt: skip
    ended = [(*process.communicate(), process.returncode) for process in running]
    words = "\n".join(f"{status}: {out} {err}" for out, err, status in ended)
    assert sum(status == 0 for _, _, status in ended) == 1, words
    assert all("error: " in err for _, err, status in ended if status), words
    assert not any("Traceback" in err for _, err, _ in ended), words
    after = hub.tags()
    assert len(after) == len(before) + 1, words
    published = dict(line.split(" ")[::-1] for line in _tags(hub))
    for clone in clones:
        for line in clone.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/tags").splitlines():
            object_id, ref = line.split(" ")
            assert published.get(ref) == object_id, f"{clone.root} keeps {ref}\n{words}"
    assert hub.refs()["refs/heads/main"] == hub.git("rev-parse", f"{(set(after) - set(before)).pop()}^{{}}")


def _tags(hub: Hub) -> list[str]:
    return hub.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/tags").splitlines()


def test_some_rounds(clones: tuple[Hub, list[Sandbox]]) -> None:
    for number in range(1, SAMPLE + 1):
        play(*clones, number)


@pytest.mark.slow
def test_many_rounds(clones: tuple[Hub, list[Sandbox]]) -> None:
    for number in range(1, ROUNDS + 1):
        play(*clones, number)
