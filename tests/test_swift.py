"""The S3 server that other tests use is a strict one, and ends with them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from sandbox import Sandbox
from swift import S3, Swift, missing

pytestmark = pytest.mark.s3


def code_of(call: object, **arguments: object) -> str:
    with pytest.raises(ClientError) as caught:
        call(**arguments)  # type: ignore[operator]
    return str(caught.value.response["Error"]["Code"])


def test_it_checks_keys_and_checksums(swift: Swift) -> None:
    bucket = swift.bucket()
    swift.client().put_object(Bucket=bucket, Key="a", Body=b"hello")
    assert swift.client().get_object(Bucket=bucket, Key="a")["Body"].read() == b"hello"
    assert code_of(S3(swift.endpoint, secret="wrong").client().list_objects_v2, Bucket=bucket) == (
        "SignatureDoesNotMatch"
    )
    wrong = "1B2M2Y8AsgTpgAmY7PhCfg=="  # MD5 of nothing
    assert code_of(swift.client().put_object, Bucket=bucket, Key="b", Body=b"x", ContentMD5=wrong) == "BadDigest"


def test_dvc_pushes_to_it(swift: Swift, tagged_repo: Sandbox) -> None:
    bucket = swift.configure(tagged_repo)
    tagged_repo.dvc("push")
    keys = [entry["Key"] for entry in swift.client().list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys
    assert all(key.startswith("dvc/files/md5/") for key in keys)


def test_storage_killed_and_back(swift: Swift) -> None:
    bucket = swift.bucket()
    client = swift.client()
    swift.kill_storage()
    try:
        with pytest.raises(ClientError) as caught:
            client.put_object(Bucket=bucket, Key="a", Body=b"x")
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    finally:
        swift.start_storage()
    client.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert list(swift.objects_dir.rglob("*.data"))


def test_it_ends_with_a_killed_session(tmp_path: Path) -> None:
    if missing():
        pytest.skip(missing() or "")
    program = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from swift import Swift\n"
        "server = Swift.start(Path(sys.argv[2]))\n"
        "print(*[p.pid for p in server._servers.values()], flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(Path(__file__).parent), str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as session:
        assert session.stdout is not None
        pids = [int(pid) for pid in session.stdout.readline().split()]
        assert len(pids) == 4
        assert all(is_alive(pid) for pid in pids)
        session.send_signal(signal.SIGKILL)
    end = time.monotonic() + 10
    while any(is_alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    assert not [pid for pid in pids if is_alive(pid)]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
