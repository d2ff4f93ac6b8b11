"""A name that others have seen never means something else."""

from published import with_folder, with_hub
from sandbox import Sandbox


def test_a_published_version_whose_tag_was_deleted_keeps_its_name(tagged_repo: Sandbox):
    box = tagged_repo
    with_hub(box)
    with_folder(box)
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
