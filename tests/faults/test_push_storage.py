"""A published tag's every object was read back from the DVC remote and was right, whatever had become of it there."""

import hashlib
import shutil
from pathlib import Path

import pytest
from published import BucketStorage, Hub, Storage, cached, harm, needed, spoil_cache, with_folder, with_hub
from sandbox import InProcess, Sandbox, environment

HARMS = ("delete", "truncate", "flip", "extend", "empty")


class Place:
    """m@v1.0.0, whose objects were uploaded once; its tag is on no Git remote."""

    def __init__(self, box: Sandbox, hub: Hub, storage: Storage) -> None:
        self.box, self.hub, self.storage = box, hub, storage
        box.mv("push")
        self.needed = needed(box, "v1.0.0")
        self.unpublish()

    def unpublish(self) -> None:
        self.hub.git("update-ref", "-d", "refs/tags/m@v1.0.0")

    def check_published(self) -> None:
        assert self.hub.tags() == ["m@v1.0.0"]
        assert self.storage.objects() == self.needed
        for name, data in self.needed.items():
            assert hashlib.md5(data).hexdigest() == name.removesuffix(".dir")
        self.unpublish()


@pytest.fixture(params=["folder", pytest.param("swift", marks=pytest.mark.s3)])
def place(request: pytest.FixtureRequest, model_template: Path, tmp_path: Path) -> Place:
    shutil.copytree(model_template, tmp_path / "repo", symlinks=True)
    box = InProcess(tmp_path / "repo", environment(tmp_path / "home"))
    box.git("status")
    hub = with_hub(box)
    storage: Storage
    if request.param == "folder":
        storage = with_folder(box)
    else:
        swift = request.getfixturevalue("swift")
        storage = BucketStorage(swift, swift.configure(box))
    box.mv("tag", "m")
    return Place(box, hub, storage)


def sweep(place: Place, harms: tuple[str, ...]) -> int:
    """Harm each object in each way, with the cache whole and with the cache lacking it; the number of cases."""
    cases = 0
    for name, data in place.needed.items():
        for how in harms:
            harm(place.storage, name, how)
            place.box.mv("push")
            place.check_published()
            harm(place.storage, name, how)
            spoil_cache(place.box, name, None)
            done = place.box.mv("push", status=None)
            if name.endswith(".dir"):  # Git's manifest spells it out, so it is made again
                assert done.status == 0
                place.check_published()
            else:
                assert done.status == 2, done.err
                assert name in done.err
                assert place.hub.tags() == []
            cached(place.box, name).write_bytes(data)
            place.box.mv("push")  # with the object back in the cache, it is mended
            place.check_published()
            cases += 2
    return cases


def test_some_harms(place: Place) -> None:
    assert sweep(place, ("flip",)) == 6


@pytest.mark.slow
def test_every_harm(place: Place) -> None:
    cases = sweep(place, HARMS)
    assert cases == 3 * 5 * 2
    print(f"{cases} cases")


def test_harmed_in_cache_and_on_the_remote(place: Place) -> None:
    """Both wrong, each in its own way: nothing goes out, and neither is taken for the other's cure."""
    name = next(name for name in place.needed if not name.endswith(".dir"))
    harm(place.storage, name, "flip")
    spoil_cache(place.box, name, place.needed[name][:-1])
    wrong = place.storage.objects()[name]
    assert "damaged" in place.box.refused("push", status=1).err
    assert place.hub.tags() == []
    assert place.storage.objects()[name] == wrong, "what is wrong is not replaced by what is wrong"


@pytest.mark.s3
def test_a_bit_that_flips_on_the_disk_of_the_storage(model_repo: Sandbox, swift) -> None:
    """The etag stays what it was, so what is remembered holds; `--full` reads, and puts it right."""
    box = model_repo
    hub = with_hub(box)
    storage = BucketStorage(swift, swift.configure(box))
    box.mv("tag", "m")
    box.mv("push")
    data = next(data for name, data in needed(box, "v1.0.0").items() if not name.endswith(".dir"))
    found = [path for path in swift.objects_dir.rglob("*.data") if path.read_bytes() == data]
    assert found
    for path in found:
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    before = box.mv("push", "v1", "--format", "json").json()["objects"]
    assert before["trusted"] == 3
    done = box.mv("push", "v1", "--full", "--format", "json").json()["objects"]
    assert done["uploaded"] == 1
    assert storage.objects() == needed(box, "v1.0.0")
    assert hub.tags() == ["m@v1.0.0"]
