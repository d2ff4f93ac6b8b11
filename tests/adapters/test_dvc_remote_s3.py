"""A DVC remote on S3: keys, wrong addresses, large objects, and a server that fails."""

import hashlib
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from storages import Place, in_bucket, repository
from swift import S3, Swift

from modelver.adapters.dvc import DvcRemote
from modelver.adapters.dvc.s3 import ATTEMPTS, PROBE_TIMEOUT
from modelver.adapters.dvc.secrets import without_secrets
from modelver.errors import ExternalFailure, InvalidInput, ModelverError, Refused

NAME = "0" * 32
PATH = f"files/md5/00/{'0' * 30}"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No credentials and no AWS settings but those that a test brings."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    # dvc-s3 looks for it when it is imported, with the home folder of that time
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "home" / ".aws" / "config"))
    (tmp_path / "home" / ".aws").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def keys(swift: Swift, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in swift.env().items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """As modelver sets them."""
    monkeypatch.delenv("AWS_MAX_ATTEMPTS")


@pytest.fixture(scope="module")
def bucket(swift: Swift) -> str:
    return swift.bucket()


@pytest.fixture
def place(swift: Swift, keys: None, tmp_path: Path) -> Place:
    return in_bucket(tmp_path / "repo", swift, swift.bucket())


def opened(tmp_path: Path, local: dict[str, str] | None = None, **settings: str) -> DvcRemote:
    return DvcRemote.open(repository(tmp_path / "repo", settings, local))


def refusal(remote: DvcRemote) -> ExternalFailure:
    with pytest.raises(ExternalFailure) as caught:
        remote.probe()
    return caught.value


# credentials by the usual ways


@pytest.mark.s3
@pytest.mark.parametrize("way", ["environment", "file", "profile", "variable profile", "config.local"])
def test_credentials(
    way: str, swift: Swift, bucket: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"url": f"s3://{bucket}/x", "endpointurl": swift.endpoint}
    local = {}
    with_keys = f"aws_access_key_id = {swift.key}\naws_secret_access_key = {swift.secret}\n"
    if way == "environment":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", swift.key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", swift.secret)
    elif way == "file":
        (home / ".aws" / "credentials").write_text(f"[default]\n{with_keys}")
    elif way.endswith("profile"):
        wrong = "aws_access_key_id = test:tester\naws_secret_access_key = not-this\n"
        (home / ".aws" / "credentials").write_text(f"[default]\n{wrong}[work]\n{with_keys}")
        if way == "profile":
            settings["profile"] = "work"
        else:
            monkeypatch.setenv("AWS_PROFILE", "work")
    else:
        local = {"access_key_id": swift.key, "secret_access_key": swift.secret}
    remote = opened(tmp_path, local, **settings)
    remote.probe()
    assert remote.stat(NAME) is None


@pytest.mark.s3
@pytest.mark.parametrize(
    ("key", "secret", "said"),
    [
        ("test:tester", "canary-wrong-secret", "access key id or the secret is wrong"),
        ("canary-nobody", "testing", "access key id or the secret is wrong"),
        ("other:nobody", "nothing", "access is denied"),
    ],
)
def test_wrong_credentials(key: str, secret: str, said: str, swift: Swift, bucket: str, tmp_path: Path) -> None:
    local = {"access_key_id": key, "secret_access_key": secret}
    remote = opened(tmp_path, local, url=f"s3://{bucket}/x", endpointurl=swift.endpoint)
    error = refusal(remote)
    assert said in error.message
    assert "dvc remote modify --local" in error.hint
    for canary in (key, secret):
        assert canary not in f"{error.message} {error.hint} {remote.identity}"
    with pytest.raises(ExternalFailure, match="access is denied"):
        remote.stat(NAME)


@pytest.mark.s3
def test_no_credentials(swift: Swift, bucket: str, tmp_path: Path) -> None:
    assert "no credentials" in refusal(opened(tmp_path, url=f"s3://{bucket}", endpointurl=swift.endpoint)).message


@pytest.mark.s3
def test_a_profile_that_does_not_exist(swift: Swift, bucket: str, tmp_path: Path) -> None:
    with pytest.raises(ExternalFailure, match="profile does not exist"):
        opened(tmp_path, url=f"s3://{bucket}", endpointurl=swift.endpoint, profile="nobody")


@pytest.mark.s3
def test_an_expired_token(swift: Swift, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in swift.env().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "canary-token")
    with swift.faulty("s3_faults:factory", kind="expired") as server:
        error = refusal(opened(tmp_path, url=f"s3://{bucket}", endpointurl=server.endpoint))
    assert "token is not valid any more" in error.message
    assert "canary" not in error.message


# wrong addresses


@pytest.mark.s3
def test_a_missing_bucket(swift: Swift, keys: None, tmp_path: Path) -> None:
    remote = opened(tmp_path, url="s3://not-there/x", endpointurl=swift.endpoint)
    for ask in (remote.probe, lambda: remote.stat(NAME), lambda: list(remote.objects()), lambda: remote.delete(NAME)):
        with pytest.raises(ExternalFailure, match="the bucket does not exist"):
            ask()


@pytest.mark.s3
def test_a_name_that_no_bucket_can_have(swift: Swift, keys: None, tmp_path: Path) -> None:
    assert "can't be a bucket's name" in refusal(opened(tmp_path, url="s3://A b!", endpointurl=swift.endpoint)).message


@pytest.mark.s3
def test_tls_where_none_is_spoken(swift: Swift, keys: None, tmp_path: Path) -> None:
    endpoint = swift.endpoint.replace("http:", "https:")
    assert "no encrypted connection" in refusal(opened(tmp_path, url="s3://b", endpointurl=endpoint)).message


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in S3("").env().items():
        monkeypatch.setenv(name, value)
    error = refusal(opened(tmp_path, url="s3://b", endpointurl="http://127.0.0.1:9"))
    assert "the storage can't be reached" in error.message
    assert "endpointurl" in error.hint


def test_no_such_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in S3("").env().items():
        monkeypatch.setenv(name, value)
    error = refusal(opened(tmp_path, url="s3://b", endpointurl="https://no-such-host.invalid"))
    assert "the storage can't be reached" in error.message


def test_no_endpoint_at_all(tmp_path: Path) -> None:
    with pytest.raises((InvalidInput, ExternalFailure), match="Invalid endpoint"):
        opened(tmp_path, url="s3://b", endpointurl="garbage")


@pytest.mark.parametrize("accepts", [True, False])
def test_a_line_that_swallows_everything(accepts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that never comes, and, with a full queue of connections, a packet that nobody takes."""
    for name, value in S3("").env().items():
        monkeypatch.setenv(name, value)
    assert PROBE_TIMEOUT <= 15
    monkeypatch.setattr("modelver.adapters.dvc.s3.PROBE_TIMEOUT", 2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50 if accepts else 0)
        fillers = [] if accepts else [_started(silent.getsockname()) for _ in range(4)]
        remote = opened(tmp_path, url="s3://b", endpointurl=f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        error = refusal(remote)
        assert time.monotonic() - start < 8
        for filler in fillers:
            filler.close()
    assert "does not answer" in error.message or "can't be reached" in error.message


def _started(address: tuple[str, int]) -> socket.socket:
    one = socket.socket()
    one.setblocking(False)
    one.connect_ex(address)
    return one


# plain http


def other_address() -> str | None:
    """An address of this machine beyond loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.254", 9))  # sends nothing
        except OSError:
            return None
        found = str(probe.getsockname()[0])
    return None if found.startswith("127.") else found


@pytest.fixture
def listener() -> Iterator[tuple[str, list[bytes]]]:
    """The URL of a listener beyond loopback, and what it was sent."""
    address = other_address()
    if address is None:
        pytest.skip("this machine has no address but loopback")
    heard: list[bytes] = []
    server = socket.create_server((address, 0))

    def serve() -> None:
        while True:
            try:
                line, _ = server.accept()
            except OSError:
                return
            with line:
                heard.append(line.recv(1 << 16))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://{address}:{server.getsockname()[1]}", heard
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)


@pytest.mark.parametrize("way", ["endpointurl", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS's configuration"])
def test_plain_http_is_refused_before_a_word_is_sent(
    way: str, listener: tuple[str, list[bytes]], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, heard = listener
    for name, value in S3("").env().items():
        monkeypatch.setenv(name, value)
    settings = {"url": "s3://b/x"}
    if way == "endpointurl":
        settings["endpointurl"] = url.replace("http://", "http://user:canary@")
    elif way.startswith("AWS_"):
        monkeypatch.setenv(way, url)
    else:
        (home / ".aws" / "config").write_text(f"[default]\nendpoint_url = {url}\n")
    with pytest.raises(Refused, match="http is not encrypted") as caught:
        opened(tmp_path, **settings)
    assert "canary" not in caught.value.message
    assert "--plain-http" in caught.value.hint
    assert heard == []

    settings["endpointurl"] = url
    remote = DvcRemote.open(repository(tmp_path / "repo", settings), plain_http=True)
    with pytest.raises(ExternalFailure):
        remote.probe()
    assert heard  # with the flag it is spoken to, so the listener would have heard the first attempt


@pytest.mark.parametrize(
    "settings",
    [
        {"url": "s3://b/x", "use_ssl": "false"},
        {"url": "http://example.com/x"},
        {"url": "s3://b/x", "endpointurl": "HTTP://example.com"},
        {"url": "s3://b/x", "endpointurl": "http://127.0.0.1.example.com"},
        {"url": "s3://b/x", "endpointurl": "http://127.0.0.1@example.com"},
    ],
)
def test_other_plain_lines(tmp_path: Path, settings: dict[str, str]) -> None:
    with pytest.raises(Refused, match="http is not encrypted"):
        opened(tmp_path, **settings)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "[::1]"])
def test_loopback_needs_no_encryption(tmp_path: Path, host: str) -> None:
    endpoint = f"http://{host}:9"
    assert opened(tmp_path, url="s3://b/x", endpointurl=endpoint).url == f"s3://b/x at {endpoint}"


# objects


def test_the_right_address_is_remembered(tmp_path: Path) -> None:
    here = opened(tmp_path, url="s3://b/x", endpointurl="https://one.example")
    there = opened(tmp_path, url="s3://b/x", endpointurl="https://two.example")
    amazon = opened(tmp_path, url="s3://b/x")
    assert len({here.identity, there.identity, amazon.identity}) == 3
    assert amazon.url == "s3://b/x"


@pytest.mark.s3
def test_a_large_object_goes_in_parts(place: Place, tmp_path: Path) -> None:
    data = random.Random(7).randbytes(104 << 20)
    md5 = hashlib.md5(data).hexdigest()
    (tmp_path / "f").write_bytes(data)
    told: list[int] = []
    place.remote.write(md5, tmp_path / "f", told.append)
    assert sum(told) == len(data)
    assert len(told) == 13  # of 8 MiB
    stored = place.remote.stat(md5)
    assert stored is not None
    assert stored.bytes == len(data)
    assert stored.stamp.strip('"').endswith("-13")
    assert [stored] == list(place.remote.objects())
    found = place.remote.digest(md5)
    assert found is not None
    assert (found[0].sha256, found[1]) == (hashlib.sha256(data).hexdigest(), len(data))
    assert b"".join(place.remote.read(md5, 100 << 20)) == data[100 << 20 :]


@pytest.mark.s3
def test_a_bucket_with_versions(swift: Swift, place: Place, tmp_path: Path) -> None:
    bucket = place.remote.url.split("/")[2]
    swift.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    (tmp_path / "f").write_bytes(b"one")
    place.remote.write(NAME, tmp_path / "f")
    first = place.remote.stat(NAME)
    (tmp_path / "f").write_bytes(b"two")
    place.remote.write(NAME, tmp_path / "f")
    second = place.remote.stat(NAME)
    assert first is not None
    assert second is not None
    assert first.stamp != second.stamp
    assert b"".join(place.remote.read(NAME)) == b"two"
    assert [second] == list(place.remote.objects())
    place.remote.delete(NAME)
    assert place.remote.stat(NAME) is None
    assert list(place.remote.objects()) == []
    versions = swift.client().list_object_versions(Bucket=bucket)
    assert len(versions["Versions"]) == 2
    assert len(versions["DeleteMarkers"]) == 1


@pytest.mark.s3
def test_more_objects_than_a_page(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelver.adapters.dvc.s3.PAGE", 7)
    names = {f"{number:032x}" for number in range(20)}
    for name in names:
        place.put(f"files/md5/{name[:2]}/{name[2:]}", b"x")
    found = [stored.md5 for stored in place.remote.objects()]
    assert len(found) == 20
    assert set(found) == names


# a server that fails


@pytest.mark.s3
@pytest.mark.parametrize("times", [1, ATTEMPTS - 1])
def test_a_few_refusals_are_outlasted(
    swift: Swift, keys: None, retries: None, bucket: str, tmp_path: Path, times: int
) -> None:
    with swift.faulty("s3_faults:factory", kind="unavailable", times=times) as server:
        place = in_bucket(tmp_path / "repo", server, bucket, f"few{times}")
        (tmp_path / "f").write_bytes(b"data")
        place.remote.write(NAME, tmp_path / "f")
        assert place.raw(PATH) == b"data"


@pytest.mark.s3
def test_refusals_without_end_are_given_up(
    swift: Swift, keys: None, retries: None, bucket: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with swift.faulty("s3_faults:factory", kind="unavailable", log=log) as server:
        remote = opened(tmp_path, url=f"s3://{bucket}/no", endpointurl=server.endpoint)
        start = time.monotonic()
        with pytest.raises(ExternalFailure, match="overloaded or down") as caught:
            remote.stat(NAME)
        assert time.monotonic() - start < 15
    assert caught.value.hint == "run the command again"
    assert len(log.read_text().splitlines()) == ATTEMPTS


@pytest.mark.s3
def test_a_read_that_breaks_off_goes_on(swift: Swift, keys: None, bucket: str, tmp_path: Path) -> None:
    data = random.Random(9).randbytes(9_000_001)
    log = tmp_path / "log"
    with swift.faulty("s3_faults:factory", kind="truncated", times=3, log=log) as server:
        place = in_bucket(tmp_path / "repo", server, bucket, "cut")
        swift.client().put_object(Bucket=bucket, Key=f"cut/{PATH}", Body=data)
        assert b"".join(place.remote.read(NAME)) == data
        assert len(log.read_text().splitlines()) == 4


@pytest.mark.s3
def test_a_read_that_always_breaks_off_fails(swift: Swift, keys: None, bucket: str, tmp_path: Path) -> None:
    data = random.Random(9).randbytes(100_000)
    with swift.faulty("s3_faults:factory", kind="truncated") as server:
        place = in_bucket(tmp_path / "repo", server, bucket, "broken")
        swift.client().put_object(Bucket=bucket, Key=f"broken/{PATH}", Body=data)
        with pytest.raises(ExternalFailure, match=r"broke off|overloaded"):
            list(place.remote.read(NAME))


@pytest.mark.s3
def test_an_object_replaced_while_it_is_read_is_no_mixture(
    swift: Swift, keys: None, bucket: str, tmp_path: Path
) -> None:
    old, new = bytes(6_000_000), b"\1" * 6_000_000
    with swift.faulty("s3_faults:factory", kind="truncated", times=1) as server:
        place = in_bucket(tmp_path / "repo", server, bucket, "mix")
        swift.client().put_object(Bucket=bucket, Key=f"mix/{PATH}", Body=old)
        reading = place.remote.read(NAME)
        next(reading)
        swift.client().put_object(Bucket=bucket, Key=f"mix/{PATH}", Body=new)
        with pytest.raises(ExternalFailure):
            list(reading)


@pytest.mark.s3
def test_storage_that_is_gone_gives_an_error_and_no_half(swift: Swift, keys: None, tmp_path: Path) -> None:
    place = in_bucket(tmp_path / "repo", swift, swift.bucket(), "gone")
    data = random.Random(5).randbytes(20 << 20)
    (tmp_path / "f").write_bytes(data)
    swift.kill_storage()
    try:
        with pytest.raises(ExternalFailure):
            place.remote.write(NAME, tmp_path / "f")
    finally:
        swift.start_storage()
    assert place.remote.stat(NAME) is None
    assert place.names() == []
    place.remote.write(NAME, tmp_path / "f")
    assert place.raw(PATH) == data


# secrets


def test_secrets_are_taken_out_of_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "can/ary+1")
    monkeypatch.setenv("GITLAB_TOKEN", "canary-2")
    said = (
        "can/ary+1 can%2Fary%2B1 canary-2 https://me:canary-3@host/x?X-Amz-Signature=canary4 password: canary-5 "
        "{'secret_access_key': 'canary-6'} Authorization: Bearer canary-seven canary-8"
    )
    clean = without_secrets(said, ["canary-8"])
    assert "canar" not in clean
    assert "can%2F" not in clean
    assert "https://host/x" in clean


def test_broken_configuration_shows_no_secret(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text(
        "[core]\n    remote = r\n"
        "['remote \"r\"']\n    url = s3://b\n    secret_access_key = canary\n    nonsense = canary\n"
    )
    with pytest.raises(ModelverError) as caught:
        DvcRemote.open(tmp_path)
    assert "canary" not in f"{caught.value.message} {caught.value.hint}"
