"""`record` and `tag` over generated files that somebody edited by hand."""

import pytest
from sandbox import Sandbox

SIDECAR = "models/m/metadata.yaml"


def edit(box: Sandbox, name: str = SIDECAR, mark: bytes = b"# checked by me\n") -> bytes:
    path = box.root / name
    path.write_bytes(mark + path.read_bytes())
    return path.read_bytes()


@pytest.mark.parametrize("command", ["record", "tag"])
def test_an_edit_that_git_does_not_hold(tagged_repo: Sandbox, command: str) -> None:
    """It was replaced without a word; `tag` even committed in its place."""
    tagged_repo.change("m", 2)
    tagged_repo.commit("next")
    edited = edit(tagged_repo)
    (status,) = tagged_repo.mv("status", "--format", "json").json()
    done = tagged_repo.refused(command, "m")
    assert f"edited by hand, and neither committed nor staged: {SIDECAR}" in done.err
    assert [obstacle["mend"] for obstacle in status["obstacles"] if SIDECAR in obstacle["what"]] != []
    tagged_repo.mend(done)
    assert edited not in (tagged_repo.root / SIDECAR).read_bytes()
    tagged_repo.mv("tag", "m")
    tagged_repo.mv("verify", "m@latest")


def test_an_edited_sidecar_that_git_never_had(model_repo: Sandbox) -> None:
    model_repo.mv("record", "m")
    edit(model_repo)
    model_repo.mend(model_repo.refused("record", "m"))


def test_a_staged_edit_is_held_by_the_index(tagged_repo: Sandbox) -> None:
    tagged_repo.change("m", 2)
    edited = edit(tagged_repo)
    tagged_repo.git("add", SIDECAR)
    tagged_repo.mv("record", "m")
    assert tagged_repo.run("git", "show", f":{SIDECAR}").out.encode() == edited
    assert edited not in (tagged_repo.root / SIDECAR).read_bytes()


def test_what_was_generated_is_generated_anew(tagged_repo: Sandbox) -> None:
    """Recorded and not committed, recorded again after a change: no hand was in it."""
    tagged_repo.change("m", 2)
    tagged_repo.mv("record", "m")
    tagged_repo.write("models/m/README.md", "---\nlicense: mit\n---\n# m\n")
    first = (tagged_repo.root / SIDECAR).read_bytes()
    tagged_repo.mv("record", "m")
    assert (tagged_repo.root / SIDECAR).read_bytes() != first
    tagged_repo.git("add", "models/m/README.md")
    tagged_repo.git("commit", "-qm", "card")
    tagged_repo.mv("tag", "m")
