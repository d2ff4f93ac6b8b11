"""`get` from a bare repository whose objects lie on a real S3 server."""

import shutil
import subprocess
from pathlib import Path

import pytest
from consumer import World, files_in, make_world, tree
from sandbox import Sandbox

pytestmark = pytest.mark.s3


@pytest.fixture
def world(tmp_path, tmp_path_factory, swift) -> World:
    """The same versions, tagged anew at commits that point to a bucket of their own."""
    made = make_world(tmp_path, tmp_path_factory)
    shutil.copytree(made.base / "repo", tmp_path / "repo", symlinks=True)
    box = Sandbox(tmp_path / "repo", {**made.box.env})
    box.git("config", "core.hooksPath", "/dev/null")
    box.git("checkout", "-q", "-B", "main", "net@v1.0.1")
    (box.root / ".dvc" / "config").unlink()
    bucket = swift.configure(box)
    client = swift.client()
    for path in (made.base / "storage" / "files").rglob("*"):
        if path.is_file():
            key = f"dvc/{path.relative_to(made.base / 'storage').as_posix()}"
            client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
    for model in ("m", "net"):
        box.git("checkout", "-q", f"{model}@v1.0.0")
        box.git("checkout", "-q", "main", "--", ".dvc/config")
        box.commit("remote")
        message = box.git("for-each-ref", "--format=%(contents)", f"refs/tags/{model}@v1.0.0")
        box.git("tag", "-f", "-a", "-m", message, f"{model}@v1.0.0")
    box.git("clone", "-q", "--bare", ".", str(tmp_path / "s3.git"))
    made.box.env.update(swift.env())
    made.bucket = bucket
    made.bare_s3 = str(tmp_path / "s3.git")
    return made


def _key(md5: str) -> str:
    return f"dvc/files/md5/{md5[:2]}/{md5[2:]}"


def test_get_from_s3(world):
    for ref in ("m@v1.0.0", "net@v1.0.0"):
        done = world.get(ref, "--format", "json", repo=world.bare_s3)
        assert (done.json()["vouched"], done.json()["checked"]) == (True, "sha256")
        assert files_in(world.box.root / ref.replace("@", "-")) == world.expected(*ref.split("@"))


def test_harm_on_s3(world, swift):
    """Objects overwritten past DVC, each with another harm: nothing lands."""
    client = swift.client()
    for entry in world.files("net", "v1.0.0")[-1:]:
        key = _key(entry["md5"])
        data = client.get_object(Bucket=world.bucket, Key=key)["Body"].read()
        for harm in (data[:10] + bytes([data[10] ^ 4]) + data[11:], data[:-1], data + b"x", b"", None):
            if harm is None:
                client.delete_object(Bucket=world.bucket, Key=key)
            else:
                client.put_object(Bucket=world.bucket, Key=key, Body=harm)
            world.forget_objects()
            done = world.get("net@v1.0.0", "-o", "out", repo=world.bare_s3, status=None)
            assert done.status == (3 if harm is None else 1), done.err
            assert entry["md5"] in done.err
            assert tree(world.box.root) == {}
        client.put_object(Bucket=world.bucket, Key=key, Body=data)
    world.get("net@v1.0.0", "-o", "out", repo=world.bare_s3)


def test_a_half_download_asks_for_the_rest_only(world):
    entry = world.files("net", "v1.0.0")[-1]
    data = world.stored(entry["md5"]).read_bytes()
    partial = world.cache / "objects" / "partial" / entry["md5"]
    partial.parent.mkdir(parents=True)
    partial.write_bytes(data[:700_000])
    result = world.get("net@v1.0.0", "--format", "json", repo=world.bare_s3).json()
    assert result["downloaded"] == result["bytes"] - 700_000
    assert files_in(world.box.root / "net-v1.0.0") == world.expected("net", "v1.0.0")


def test_wrong_secret(world):
    done = world.get("m@v1.0.0", repo=world.bare_s3, status=3, AWS_SECRET_ACCESS_KEY="canary-secret-x")
    assert "canary-secret-x" not in done.out + done.err
    assert "secret" in done.err
    assert tree(world.box.root) == {}
    kept = subprocess.run(["grep", "-r", "testing", str(Path(world.cache))], capture_output=True, check=False)
    assert kept.stdout == b"", "no credentials of the environment are kept"
