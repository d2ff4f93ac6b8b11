"""A name that others have seen never means something else."""

from published import with_folder, with_hub
from sandbox import Sandbox


def test_a_published_version_whose_tag_was_deleted_keeps_its_name(tagged_repo: Sandbox):
    box = tagged_repo
    with_hub(box)
    with_folder(box)
    box.git("push", "-q", "origin", "main")
    box.mv("push")
    box.git("tag", "-d", "m@v1.0.0")
    box.git("push", "-q", "origin", ":refs/tags/m@v1.0.0")
    box.change("m", 2)
    box.commit("other weights")
    refused = box.refused("tag", "m")
    assert "m v1.0.0 exists already, published on origin; its tag is gone" in refused.err
    assert "m@v1.0.0" not in box.tags()
    box.mv("tag", "m", "--version", "v1.0.1")


def test_a_version_that_nobody_saw_may_be_made_again(tagged_repo: Sandbox):
    tagged_repo.git("tag", "-d", "m@v1.0.0")
    tagged_repo.mv("tag", "m")
    assert tagged_repo.tags() == ["m@v1.0.0"]


def test_a_tag_that_was_moved_on_the_remote_is_put_back_by_who_has_the_right_one(tagged_repo: Sandbox):
    """The hint must not have the right one thrown away."""
    box = tagged_repo
    hub = with_hub(box)
    with_folder(box)
    box.git("push", "-q", "origin", "main")
    box.mv("push")
    right = box.git("rev-parse", "m@v1.0.0")
    box.git("tag", "-a", "-m", "another", "other", "HEAD")
    box.git("push", "-q", "--force", "--no-verify", "origin", "refs/tags/other:refs/tags/m@v1.0.0")
    refused = box.refused("push")
    assert "m@v1.0.0 was moved on origin" in refused.err
    (version,) = box.mv("verify", "m@v1.0.0", "--remote", "--format", "json", status=1).json()["versions"]
    (problem,) = version["problems"]
    assert problem["hint"].startswith("git push --force origin refs/tags/m@v1.0.0   (puts it back there")
    box.mend(refused)
    assert hub.git("rev-parse", "m@v1.0.0") == right
    box.mv("verify", "m@v1.0.0", "--remote")
    assert box.mv("push").status == 0
