"""Objects that are damaged or gone in DVC's cache, never pushed, while the working tree holds their bytes."""

import json
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
def test_restore_gives_the_same_hint_for_a_listing(model_repo: Sandbox, how: str):
    file = objects(model_repo)[0]
    whole = file.read_bytes()
    spoil(file, how)
    done = model_repo.mv("restore", status=None)
    assert done.status
    assert "dvc commit --force models/m/weights.dvc" in done.err
    model_repo.mend(done)
    assert file.read_bytes() == whole
    model_repo.mv("restore")


def test_a_working_tree_that_was_changed_is_never_committed_for_the_lost_object(model_repo: Sandbox):
    spoil(objects(model_repo)[1], "gone")
    changed = next(path for path in (model_repo.root / "models/m/weights").rglob("*") if path.is_file())
    changed.chmod(0o644)
    changed.write_bytes(b"other")
    assert "dvc commit" not in model_repo.refused("tag").err
