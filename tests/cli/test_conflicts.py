"""Merges that conflict in a model's files, and files of a model that somebody spoilt: the hints lead to a tag."""

import pytest
from sandbox import Sandbox
from test_tag_pipeline import pipeline, retrain  # noqa: F401

MARKED = "<<<<<<< HEAD\n{}\n=======\n{}\n>>>>>>> x\n"


def diverge(box: Sandbox, change) -> None:
    """Two branches that both changed the model; the second one is checked out."""
    box.git("checkout", "-q", "-b", "side")
    change(box, 2)
    box.git("commit", "-qam", "side")
    box.git("checkout", "-q", "main")
    change(box, 3)
    box.git("commit", "-qam", "main")


def ingest(box: Sandbox, seed: int) -> None:
    box.change("m", seed)
    box.mv("record", "m")
    box.git("add", "-A")


def edit_plain(box: Sandbox, seed: int) -> None:
    box.write("data/p.bin", f"weights {seed}\n")
    box.mv("add", "p", "data/p.bin", "--plain")
    box.mv("record", "p")
    box.git("add", "-A")


def run_again(box: Sandbox, depth: int) -> None:
    retrain(box, depth)
    box.dvc("repro", "-q")
    box.git("add", "-A")


def follow(box: Sandbox, name: str, operation: str) -> None:
    """What a user does: read the hint of `status`, see that `tag` says the same, run it, tag."""
    box.git(operation, "side", status=1)
    obstacle = box.mv("status", name, "--format", "json").json()[0]["obstacles"][0]
    assert "in conflict" in obstacle["what"]
    done = box.refused("tag", name)
    assert obstacle["mend"] in done.err
    box.mend(done)
    assert box.git("ls-files", "--unmerged") == ""
    assert not (box.root / ".git/MERGE_HEAD").exists()
    assert not (box.root / ".git/CHERRY_PICK_HEAD").exists()


@pytest.mark.parametrize("operation", ["merge", "cherry-pick", "rebase"])
def test_an_ingested_model(tagged_repo: Sandbox, operation: str):
    diverge(tagged_repo, ingest)
    theirs = tagged_repo.git("rev-parse", "main:models/m" if operation == "rebase" else "side:models/m")
    follow(tagged_repo, "m", operation)
    assert tagged_repo.git("rev-parse", "HEAD:models/m") == theirs
    tagged_repo.mv("tag", "m")


def test_a_plain_model(empty_repo: Sandbox):
    edit_plain(empty_repo, 1)
    empty_repo.commit("p")
    empty_repo.mv("tag", "p")
    diverge(empty_repo, edit_plain)
    follow(empty_repo, "p", "merge")
    assert (empty_repo.root / "data/p.bin").read_text() == "weights 2\n"
    empty_repo.mv("tag", "p")


def test_a_model_that_a_stage_makes(pipeline: Sandbox):  # noqa: F811
    pipeline.mv("tag", "p")
    diverge(pipeline, run_again)
    pipeline.git("merge", "side", status=1)
    done = pipeline.refused("tag", "p")
    assert "settle make.py first" in done.err  # what people wrote is theirs to merge
    pipeline.git("checkout", "MERGE_HEAD", "--", "make.py")
    done = pipeline.refused("tag", "p")
    assert "&& dvc checkout && dvc repro &&" in done.err
    pipeline.mend(done)
    assert pipeline.git("ls-files", "--unmerged") == ""
    assert not (pipeline.root / ".git/MERGE_HEAD").exists()
    pipeline.mv("tag", "p")
    assert pipeline.git("show", "p@v1.0.1:params.yaml") == pipeline.git("show", "side:params.yaml")


@pytest.mark.parametrize(
    ("name", "committed"),
    [("source.json", False), ("tensors.jsonl", False), ("weights.dvc", False), ("files.jsonl", True)],
)
def test_conflict_markers_that_were_left_in(tagged_repo: Sandbox, name: str, committed: bool):
    tagged_repo.write(f"models/m/{name}", MARKED)
    if committed:
        tagged_repo.commit("oops")
    obstacle = tagged_repo.mv("status", "--format", "json").json()[0]["obstacles"][0]
    done = tagged_repo.refused("tag")
    assert f"in conflict: models/m/{name}" in done.err
    assert obstacle["mend"] in done.err
    tagged_repo.mend(done)
    tagged_repo.git("commit", "-qam", "mended", status=None)
    tagged_repo.change("m", 2)
    tagged_repo.mv("tag")


@pytest.mark.parametrize("spoilt", ["{}", "x", '{"schema": "modelver/source/1", "kind": "other"}'])
def test_a_source_document_that_nobody_wrote(tagged_repo: Sandbox, spoilt: str):
    tagged_repo.write("models/m/source.json", spoilt)
    (status,) = tagged_repo.mv("status", "--format", "json").json()
    assert status["kind"] != "pipeline"
    assert "models/m/source.json" in status["obstacles"][0]["what"]
    done = tagged_repo.refused("tag")
    assert "modelver add m PATH" in done.err
    tagged_repo.mend(done)
    (status,) = tagged_repo.mv("status", "--format", "json").json()
    assert (status["kind"], status["obstacles"]) == ("ingested", [])


def test_a_sidecar_that_cannot_be_read_is_said(tagged_repo: Sandbox):
    path = tagged_repo.root / "models/m/metadata.yaml"
    path.write_text(path.read_text() + "<<<<<<< HEAD\n")
    said = tagged_repo.mv("status").out
    assert "the sidecar can't be read: models/m/metadata.yaml, line " in said
    assert "nothing changed" not in said
    for command in (["show"], ["diff", "v1.0.0"]):
        done = tagged_repo.refused(*command)
        assert "the sidecar can't be read" in done.err
        assert "v0.0.0" not in done.out
    tagged_repo.change("m", 2)
    path.write_text(path.read_text() + "<<<<<<< HEAD\n")
    assert "edited by hand" in tagged_repo.mv("tag", "--dry-run", status=2).err
    assert "it is written anew" in tagged_repo.mv("record", "--dry-run", "--force").err
    tagged_repo.mend(tagged_repo.refused("show"))
    tagged_repo.mv("show")
