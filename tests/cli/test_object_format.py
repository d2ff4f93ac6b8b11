"""Repositories whose object ids are of SHA-256, in which DVC can't work."""

from sandbox import Sandbox, environment


def test_init_and_doctor_say_so(tmp_path):
    box = Sandbox(tmp_path / "repo", environment(tmp_path / "home"))
    box.root.mkdir()
    box.git("init", "-q", "--object-format=sha256")
    assert "SHA256" in box.refused("init").err
    assert not (box.root / ".dvc").exists()
    found = box.mv("doctor", "--format", "json", status=1).json()
    assert "object-format" in str(found)


def test_init_makes_one_that_dvc_can_work_in(tmp_path):
    box = Sandbox(tmp_path / "repo", environment(tmp_path / "home"))
    box.root.mkdir()
    box.mv("init", GIT_DEFAULT_HASH="sha256")
    box.commit("start")
    assert len(box.git("rev-parse", "HEAD")) == 40
    box.dvc("status")
