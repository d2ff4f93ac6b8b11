"""`modelver verify --remote` on a real S3 server: each object gone, cut and flipped; nothing is downloaded."""

import contextlib

import pytest
from sandbox import Sandbox
from verifying import kinds, verdict

from modelver.errors import ExternalFailure

pytestmark = pytest.mark.s3


@pytest.fixture
def there(tagged_repo, swift) -> tuple[Sandbox, str]:
    """v1.0.0, its weights in a bucket of their own, and the folder of that bucket that holds them."""
    tagged_repo.env.update(swift.env())
    bucket = swift.configure(tagged_repo)
    tagged_repo.dvc("push", "-q")
    return tagged_repo, bucket


def test_each_object_gone_cut_and_flipped(there, swift):
    box, bucket = there
    client = swift.client()
    assert verdict(box, remote=True)["checked"] == {"local": 3, "remote": 3}
    keys = [item["Key"] for item in client.list_objects_v2(Bucket=bucket)["Contents"]]
    assert len(keys) == 3
    for key in keys:
        whole = client.get_object(Bucket=bucket, Key=key)["Body"].read()
        name = "".join(key.split("/")[-2:])
        for damaged in (None, whole[:-1], whole[:-1] + bytes([whole[-1] ^ 0x80])):
            if damaged is None:
                client.delete_object(Bucket=bucket, Key=key)
            else:
                client.put_object(Bucket=bucket, Key=key, Body=damaged)
            one = verdict(box, ok=False, remote=True)
            assert kinds(one) == ["missing" if damaged is None else "weights"]
            assert name in one["problems"][0]["message"]
        client.put_object(Bucket=bucket, Key=key, Body=whole)
    assert verdict(box, remote=True)["ok"]


def test_what_was_read_once_is_not_read_again_unless_asked(there, swift):
    """A disk that rots below the server changes neither size nor etag: only reading the bytes can tell."""
    box, _ = there
    verdict(box, remote=True)
    whole = max((p for p in (box.root / ".dvc/cache").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    data = whole.read_bytes()
    rotten = [p for p in swift.objects_dir.rglob("*.data") if p.read_bytes() == data]  # other tests' buckets, too
    assert rotten
    for path in rotten:
        path.write_bytes(data[:10] + bytes([data[10] ^ 1]) + data[11:])
    assert verdict(box, remote=True)["ok"]
    with contextlib.suppress(ExternalFailure):  # Swift breaks off the first reading, and puts the object aside
        verdict(box, ok=False, remote=True, full=True)
    assert kinds(verdict(box, ok=False, remote=True, full=True)) == ["missing"]


def test_a_wrong_key_is_told_apart_from_a_wrong_object(there):
    box, _ = there
    box.env["AWS_SECRET_ACCESS_KEY"] = "canary"
    done = box.refused("verify", "--remote", status=3)
    assert "canary" not in done.err + done.out
