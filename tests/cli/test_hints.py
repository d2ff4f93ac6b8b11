"""Hints for those who stumble: each says what is so, and names a command that helps."""

import shutil

import pytest
from sandbox import Sandbox

import modelver
from modelver.errors import ModelverError


def test_an_environment_in_which_nothing_of_a_model_runs(tagged_repo: Sandbox):
    done = tagged_repo.refused("show", "m#prod")
    assert "nothing of m runs in" in done.err
    assert "prod" in done.err.splitlines()[0]
    assert "hint: modelver promote m@latest prod" in done.err


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ModelverError, match="is no folder") as caught:
        modelver.open(tmp_path / "absent")
    assert "Git repository" in caught.value.hint


@pytest.mark.parametrize("spoilt", [b"a: [b\n", b"\xff\xfe\xff\n", b"modelver: 5\n", b"modelver:\n  models: 5\n"])
def test_parameters_that_cannot_be_read(tagged_repo: Sandbox, spoilt: bytes):
    (tagged_repo.root / "params.yaml").write_bytes(spoilt)
    done = tagged_repo.refused("tag", "m")
    assert "error: params.yaml" in done.err
    tagged_repo.mend(done)  # only looks
    remark = done.err.partition("take the committed one back: ")[2].partition(")")[0]
    assert remark == "git checkout HEAD -- params.yaml"
    tagged_repo.run("sh", "-c", remark)
    tagged_repo.change("m", 2)
    tagged_repo.mv("tag", "m")


def test_a_version_whose_commit_was_amended(tagged_repo: Sandbox):
    tagged_repo.change("m", 2)
    tagged_repo.mv("tag", "m")
    was = tagged_repo.git("rev-parse", "m@v1.0.1^{commit}")
    tagged_repo.git("commit", "-q", "--amend", "-m", "in better words")
    done = tagged_repo.refused("tag", "m")
    assert f"m v1.0.1 exists already, on another commit ({was[:10]})" in done.err


def test_taken_out_says_what_ran_and_what_would_run_again(tagged_repo: Sandbox):
    tagged_repo.change("m", 2)
    tagged_repo.mv("tag", "m")
    text = (tagged_repo.root / "params.yaml").read_text()
    assert "environments" not in text
    tagged_repo.mv("promote", "m@v1.0.1", "prod")
    tagged_repo.mv("promote", "m@v1.0.0", "prod")
    first, second = tagged_repo.mv("rollback", "m", "--to-nothing", "--env", "prod").out.splitlines()
    assert first.endswith("unassign m v1.0.1 in prod (put there earlier: it would run again once v1.0.0 is taken out)")
    assert second.endswith("unassign m v1.0.0 in prod (it ran there)")


def test_weights_of_another_version_are_no_change_to_be_dropped(tagged_repo: Sandbox):
    weights = tagged_repo.root / "models/m/weights"
    shutil.copytree(weights, tagged_repo.root.parent / "old")
    tagged_repo.change("m", 2)
    tagged_repo.mv("tag", "m")
    shutil.rmtree(weights)
    shutil.copytree(tagged_repo.root.parent / "old", weights)  # as a checkout that was killed leaves them
    done = tagged_repo.refused("tag", "m")
    assert "--force" not in done.err
    tagged_repo.mend(done)
    assert tagged_repo.mv("status", "--format", "json").json()[0]["obstacles"] == []
    file = next(path for path in weights.iterdir() if path.is_file())
    file.chmod(0o644)
    file.write_bytes(b"edited")
    assert "modelver restore --force models/m/weights" in tagged_repo.refused("tag", "m").err
