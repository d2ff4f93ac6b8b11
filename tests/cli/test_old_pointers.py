"""Pointers as DVC 2 wrote them: DVC 3 looks for their objects under other names, so none of them is published."""

from sandbox import Sandbox


def test_weights_of_dvc_2_are_migrated_before_they_are_a_version(empty_repo: Sandbox):
    box = empty_repo
    box.write("m.bin", b"\x00\x01weights")
    box.mv("add", "m", "m.bin", "--plain")
    pointer = (box.root / "m.bin.dvc").read_text()
    box.write("m.bin.dvc", "".join(line for line in pointer.splitlines(keepends=True) if "hash:" not in line))
    box.commit("as DVC 2 wrote it")
    (status,) = box.mv("status", "--format", "json").json()
    assert "DVC 2" in str(status["obstacles"])
    refused = box.refused("tag", "m")
    assert "m.bin.dvc is of DVC 2" in refused.err
    box.dvc("cache", "migrate", "--dvc-files")
    assert "dvc cache migrate --dvc-files" in box.hint(refused)
    assert sorted((box.root / "m.bin.dvc").read_text().split()) == sorted(pointer.split())
    box.mv("tag", "m")
