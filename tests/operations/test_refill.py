"""Objects that are damaged or gone in DVC's cache, never pushed, while the working tree holds their bytes."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from sandbox import Sandbox


def objects(box: Sandbox) -> tuple[Path, Path]:
    """The folder's listing and its largest file, in the cache."""
    md5 = yaml.safe_load((box.root / "models/m/weights.dvc").read_text())["outs"][0]["md5"]
    top = box.root / ".dvc/cache/files/md5"
    listing = top / md5[:2] / md5[2:]
    files = [top / item["md5"][:2] / item["md5"][2:] for item in json.loads(listing.read_bytes())]
    return listing, max(files, key=lambda file: file.stat().st_size)


def spoil(file: Path, how: str) -> None:
    file.chmod(0o644)
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(b"x" + file.read_bytes()[1:])


@pytest.mark.parametrize("how", ["gone", "damaged"])
@pytest.mark.parametrize("which", [0, 1])
def test_the_hint_fills_the_cache_from_the_working_tree(model_repo: Sandbox, which: int, how: str):
    file = objects(model_repo)[which]
    whole = file.read_bytes()
    spoil(file, how)
    (obstacle,) = model_repo.mv("status", "--format", "json").json()[0]["obstacles"]
    refused = model_repo.refused("tag", status=1 if how == "damaged" else 2)
    assert obstacle["mend"] in refused.err
    model_repo.mend(refused)
    assert file.read_bytes() == whole
    model_repo.mv("tag")


@pytest.mark.parametrize("how", ["gone", "damaged"])
def test_restore_makes_a_listing_anew(model_repo: Sandbox, how: str):
    file = objects(model_repo)[0]
    whole = file.read_bytes()
    spoil(file, how)
    model_repo.mv("restore")
    assert file.read_bytes() == whole


def test_a_working_tree_that_was_changed_is_never_committed_for_the_lost_object(model_repo: Sandbox):
    lost = objects(model_repo)[1]
    spoil(lost, "gone")
    changed = next(path for path in (model_repo.root / "models/m/weights").rglob("*") if path.is_file())
    changed.chmod(0o644)
    changed.write_bytes(b"other")
    assert "modelver restore" not in model_repo.refused("tag").err
    model_repo.mv("restore", status=1)
    assert not lost.exists()


@pytest.mark.parametrize("stale", [False, True])
def test_a_lost_cache_is_filled_without_touching_the_lineage(empty_repo: Sandbox, stale: bool):
    """`dvc commit` would take what the stage's inputs have become for what the weights were made from."""
    box = empty_repo
    box.write(
        "dvc.yaml",
        "stages:\n  make:\n    cmd: cp seed.txt a.bin\n    deps: [seed.txt]\n    outs: [a.bin]\n"
        "artifacts:\n  a: {path: a.bin}\n",
    )
    box.write("seed.txt", "one\n")
    box.dvc("repro", "-q")
    box.commit("one")
    lock = (box.root / "dvc.lock").read_bytes()
    shutil.rmtree(box.root / ".dvc/cache")
    if stale:
        box.write("seed.txt", "two\n")
    (status,) = box.mv("status", "--format", "json").json()
    mend = next(o["mend"] for o in status["obstacles"] if "cache" in json.dumps(o))
    assert mend == "modelver restore a.bin"
    box.mv(*mend.split()[1:])
    assert (box.root / "dvc.lock").read_bytes() == lock
    if stale:
        assert "stale" in box.refused("tag", "a").err
    else:
        box.mv("tag", "a")


def test_an_empty_folder_of_variants_is_never_lost(model_repo: Sandbox):
    """Its listing says nothing that is not known: a lost one stops neither push nor verify, and restore makes it."""
    box = model_repo
    stage = "stages:\n  empty:\n    cmd: mkdir -p models/m/variants\n    outs: [models/m/variants]\n"
    box.write("dvc.yaml", (box.root / "dvc.yaml").read_text().replace("stages:\n", stage, 1))
    box.write("models/m/variants.json", json.dumps({"variants": {}, "parent": {"sha256": "0" * 64}}))
    box.dvc("repro", "-q")
    (listing,) = (f for f in (box.root / ".dvc/cache/files/md5").glob("*/*.dir") if f.read_bytes() == b"[]")
    listing.unlink()
    box.commit("no variants")
    box.mv("tag")
    box.mv("verify", "--all")
    box.git("init", "-q", "--bare", "../origin.git")
    box.git("remote", "add", "origin", "../origin.git")
    box.dvc("remote", "add", "-q", "-d", "storage", "../storage")
    box.commit("remote")
    box.git("push", "-q", "origin", "main")
    box.mv("push")
    box.mv("verify", "--all", "--remote", "--full")
    assert (box.root.parent / "storage/files/md5" / listing.parent.name / listing.name).read_bytes() == b"[]"
    shutil.rmtree(box.root / "models/m/variants")
    box.mv("restore")
    assert listing.read_bytes() == b"[]"
    assert (box.root / "models/m/variants").is_dir()
