"""`modelver add`: the three ways in, and what it refuses."""

import json
import os
import pickle

import pytest

import models


def test_ingested_plain_and_listed_in_dvc_yaml(model_repo, tmp_path):
    plain = model_repo.mv("add", "llm", str(models.gguf(model_repo.root / "llm.gguf")), "--format", "json").json()
    net = model_repo.mv("add", "net", str(models.onnx(tmp_path / "net.onnx")), "--format", "json").json()
    assert (plain["kind"], net["kind"]) == ("plain", "ingested")
    text = (model_repo.root / "dvc.yaml").read_text()
    assert all(f"\n  {name}:\n    path: " in text for name in ("m", "llm", "net"))


def test_the_names_of_written_files_are_all_that_git_sees(model_repo, tmp_path):
    done = model_repo.mv("add", "net", str(models.onnx(tmp_path / "net.onnx")), "--format", "json").json()
    seen = {line[3:] for line in model_repo.git("status", "--porcelain", "-uall").splitlines()}
    assert seen == set(done["files"])


def test_comments_and_layout_of_peoples_files_stay(model_repo, tmp_path):
    text = "# ours\n" + (model_repo.root / "dvc.yaml").read_text() + "# the end\n"
    model_repo.write("dvc.yaml", text)
    model_repo.mv("add", "net", str(models.onnx(tmp_path / "net.onnx")))
    new = (model_repo.root / "dvc.yaml").read_text().splitlines()
    assert [line for line in text.splitlines() if line not in new] == []
    assert [line for line in new if line not in text.splitlines()] == ["  net:", "    path: models/net/weights"]


def test_dry_run_writes_nothing(model_repo, tmp_path):
    before = model_repo.fingerprint()
    model_repo.mv("add", "net", str(models.onnx(tmp_path / "net.onnx")), "--dry-run")
    model_repo.mv("add", "m", str(models.safetensors(tmp_path / "x.safetensors", 5)), "--dry-run")
    assert model_repo.fingerprint() == before


@pytest.mark.parametrize(
    "name", ["with space.gguf", "-d.gguf", "quote'.gguf", "$x;id.gguf", "\u00e9\u6a21.gguf", "a.b.gguf"]
)
def test_odd_names_of_files(model_repo, name):
    path = models.gguf(model_repo.root / "files" / name)
    model_repo.mv("add", "--", "odd", f"files/{name}")
    model_repo.commit("odd")
    model_repo.mv("tag", "odd")
    assert model_repo.mv("show", "odd@v1", "--format", "json").json()["weights"]["path"] == f"files/{name}"
    assert path.exists()


def test_a_missing_file_an_outside_one_and_gits_own(model_repo, tmp_path):
    assert "does not exist" in model_repo.refused("add", "x", "missing.bin").err
    outside = models.gguf(tmp_path / "out side.gguf")
    done = model_repo.refused("add", "x", str(outside))
    assert "lies outside the repository" in done.err
    model_repo.mend(done)
    model_repo.mv("add", "x", "out side.gguf")
    model_repo.refused("add", "x", ".git/config", "--plain")
    assert "is the repository itself" in model_repo.refused("add", "y", ".").err


def test_a_link_is_not_followed(model_repo, tmp_path):
    models.gguf(tmp_path / "real.gguf")
    (model_repo.root / "link.gguf").symlink_to(tmp_path / "real.gguf")
    assert "symbolic link" in model_repo.refused("add", "x", "link.gguf").err


def test_a_fifo_is_not_waited_for(model_repo):
    os.mkfifo(model_repo.root / "pipe")
    done = model_repo.mv("add", "x", "pipe", status=2)
    assert "pipe is not a regular file" in done.err
    assert model_repo.git("status", "--porcelain") == ""


def test_what_git_tracks(model_repo):
    models.gguf(model_repo.root / "tracked.gguf")
    model_repo.commit("tracked")
    done = model_repo.refused("add", "x", "tracked.gguf")
    model_repo.mend(done)
    model_repo.mv("add", "x", "tracked.gguf")
    assert model_repo.git("ls-files", "tracked.gguf") == ""
    assert (model_repo.root / "tracked.gguf.dvc").is_file()


def test_another_kind_under_a_name_that_is_taken(model_repo):
    models.gguf(model_repo.root / "x.gguf")
    assert "is ingested" in model_repo.refused("add", "m", "x.gguf").err


def test_the_same_again_changes_nothing(model_repo, tmp_path):
    before = model_repo.fingerprint()
    model_repo.change("m", 1)
    assert model_repo.fingerprint() == before


def test_the_folder_of_a_model_is_no_link_to_elsewhere(model_repo, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (model_repo.root / "models" / "net").symlink_to(outside)
    assert "symbolic link" in model_repo.refused("add", "net", str(models.onnx(tmp_path / "net.onnx"))).err
    assert list(outside.iterdir()) == []


def test_a_folder_with_files_that_git_tracks_is_not_taken_from_git(model_repo):
    done = model_repo.refused("add", "x", "models")
    tracked = model_repo.git("ls-files", "models").splitlines()
    assert f"({tracked[0]} and {len(tracked) - 1} more)" in done.err
    assert "a folder of their own" in model_repo.hint(done)
    assert "git rm" not in done.err


@pytest.mark.parametrize("target", ["secret", "secrets", "../code.py", "nowhere"])
def test_a_link_that_leads_out_of_a_folder_is_not_followed(model_repo, tmp_path, target):
    (tmp_path / "secrets").mkdir()
    for name in ("secret", "secrets/key"):
        (tmp_path / name).write_text("not yours")
    inside = models.gguf(model_repo.root / "llm" / "deep" / "m.gguf")
    (inside.parent / "link").symlink_to(tmp_path / target if target != "../code.py" else "../../code.py")
    assert "llm/deep/link is a symbolic link that leads out of llm" in model_repo.refused("add", "x", "llm").err


def test_a_link_that_stays_in_its_folder_or_leads_into_the_cache(model_repo):
    first = models.gguf(model_repo.root / "llm" / "m.gguf")
    (model_repo.root / "llm/same.gguf").symlink_to("m.gguf")
    model_repo.run("dvc", "config", "cache.type", "symlink")
    model_repo.mv("add", "x", "llm")
    model_repo.commit("add")
    model_repo.mv("add", "x", "llm")
    assert first.is_symlink()
    assert model_repo.git("status", "--porcelain") == ""


@pytest.mark.parametrize("name", ["x.onnx", "x.safetensors", "x.pkl"])
def test_what_was_added_plain_stays_plain_and_the_hints_bring_its_next_version(empty_repo, name):
    """Also a file that would be split or exported, were it new."""

    def make(seed):
        path = empty_repo.root / name
        path.unlink(missing_ok=True)
        if name == "x.pkl":
            path.write_bytes(pickle.dumps({"seed": seed}))
        else:
            (models.onnx if name == "x.onnx" else models.safetensors)(path, seed)

    make(1)
    empty_repo.mv("add", "raw", name, "--plain")
    empty_repo.commit("raw")
    empty_repo.mv("tag", "raw")
    make(2)
    new = (empty_repo.root / name).read_bytes()
    empty_repo.mend(empty_repo.refused("tag", "raw"))
    empty_repo.mv("tag", "raw")
    listed = (empty_repo.root / "models/raw/files.jsonl").read_text().splitlines()
    assert [json.loads(line)["path"] for line in listed] == [name]
    empty_repo.git("checkout", "-q", "raw@v1.0.0")
    assert (empty_repo.root / name).read_bytes() != new
    empty_repo.git("checkout", "-q", "raw@v1.0.1")
    assert (empty_repo.root / name).read_bytes() == new


def test_a_plain_model_that_comes_from_elsewhere_is_told_how_to_stay_plain(empty_repo):
    models.onnx(empty_repo.root / "x.onnx", 1)
    models.onnx(empty_repo.root / "y.onnx", 2)
    empty_repo.mv("add", "raw", "x.onnx", "--plain")
    done = empty_repo.refused("add", "raw", "y.onnx")
    empty_repo.mend(done)
    assert (empty_repo.root / "y.onnx.dvc").exists()
