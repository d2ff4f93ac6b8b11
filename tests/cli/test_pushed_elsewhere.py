"""Git remotes that are fetched from one place, a mirror, and pushed to another."""

import shutil


def test_verify_compares_with_the_tags_where_they_are_pushed(tagged_repo, tmp_path):
    box = tagged_repo
    box.write(".dvc/config", "[core]\n    remote = store\n['remote \"store\"']\n    url = ../../store\n")
    box.commit("store")
    shutil.copytree(box.root / ".dvc/cache/files", tmp_path / "store/files")
    for name in ("mirror", "hub"):
        box.git("clone", "-q", "--bare", ".", f"../{name}")
    box.git("remote", "add", "origin", "../mirror")
    box.git("remote", "set-url", "--push", "origin", "../hub")
    box.git("-C", "../hub", "tag", "-f", "-a", "-m", "moved", "m@v1.0.0", "m@v1.0.0~1")
    moved = box.mv("verify", "--remote", "--format", "json", status=1).json()
    assert [problem["what"] for problem in moved["versions"][0]["problems"]] == ["m@v1.0.0"]
    box.git("remote", "set-url", "--push", "origin", "no_push")
    box.mv("verify", "--remote")
