"""A version that plain Git tagged, on a commit without a record of the model, must not stand in its way."""

from sandbox import Sandbox


def tagged_by_git(box: Sandbox, tag: str) -> None:
    start = box.git("rev-list", "--max-parents=0", "HEAD")
    box.git("tag", "-a", tag, "-m", "plain", start)


def test_the_next_version_is_compared_with_the_last_record_and_numbered_after_the_tag(tagged_repo: Sandbox):
    box = tagged_repo
    tagged_by_git(box, "m@v2.0.0")
    (status,) = box.mv("status", "--format", "json").json()
    assert (status["last"], status["level"], status["obstacles"]) == ("v1.0.0", "none", [])
    assert "m@v2.0.0 was tagged without modelver" in status["notes"][0]
    assert "compared with v1.0.0" in box.mv("status").out

    box.change("m", 2)
    (status,) = box.mv("status", "--format", "json").json()
    assert (status["next"], status["level"]) == ("v2.0.1", "patch")
    assert "is not newer than v2.0.0" in box.refused("tag", "--version", "v1.0.1").err
    assert "exists already" in box.refused("tag", "--version", "v2.0.0").err
    assert box.mv("record", "--dry-run", "--format", "json").json()["version"] == "v2.0.1"
    done = box.mv("tag", "--format", "json")
    assert "note: m@v2.0.0 was tagged without modelver" in done.err
    assert (done.json()["version"], done.json()["previous"]) == ("v2.0.1", "v1.0.0")
    assert box.mv("show", "m@latest", "--format", "json").json()["version"] == "v2.0.1"
    (status,) = box.mv("status", "--format", "json").json()
    assert status["notes"] == []


def test_what_is_asked_of_such_a_version_is_refused_with_a_way_out(tagged_repo: Sandbox):
    box = tagged_repo
    tagged_by_git(box, "m@v2.0.0")
    for ref in ("m@latest", "v2", "m@v2.0.0"):
        done = box.refused("show", ref)
        assert "made without modelver" in done.err
        assert "by A U Thor" in done.err
    copy = box.clone(box.root.parent / "copy")
    copy.mv("yank", "m@v2.0.0", "--reason", "holds nothing")  # the remark's way
    assert copy.mv("show", "m@latest", "--format", "json").json()["version"] == "v1.0.0"
    box.mend(done)
    assert box.mv("show", "m@latest", "--format", "json").json()["version"] == "v1.0.0"


def test_a_model_that_only_git_has_tagged_gets_the_next_number(model_repo: Sandbox):
    tagged_by_git(model_repo, "m@v1.0.0")
    assert model_repo.mv("tag", "m", "--format", "json").json()["version"] == "v1.0.1"
