"""`modelver push` to S3 with a wrong secret, bucket or endpoint, or no network: said at once, and nothing goes out."""

import shutil
from pathlib import Path

import pytest
from published import Hub, with_hub
from sandbox import InProcess, environment
from swift import Swift

pytestmark = pytest.mark.s3

CANARY = "canary-wrong-secret"


@pytest.fixture(scope="module")
def tagged(swift: Swift, model_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """m@v1.0.0 on no remote; the DVC remote is a bucket."""
    top = tmp_path_factory.mktemp("preflight")
    shutil.copytree(model_template, top / "repo", symlinks=True)
    box = InProcess(top / "repo", environment(top / "home"))
    with_hub(box)
    swift.configure(box)
    box.mv("tag", "m")
    return top


@pytest.mark.parametrize(
    ("settings", "env", "said", "hint"),
    [
        ({}, {"AWS_SECRET_ACCESS_KEY": CANARY}, "access key id or the secret is wrong", "dvc remote modify --local"),
        ({"url": "s3://not-there/dvc"}, {}, "the bucket does not exist", "url"),
        ({"endpointurl": "http://127.0.0.1:9"}, {}, "the storage can't be reached", "endpointurl"),
        ({"endpointurl": "https://no-such-host.invalid"}, {}, "the storage can't be reached", "endpointurl"),
    ],
    ids=["secret", "bucket", "endpoint", "network"],
)
def test_what_is_wrong_is_said_before_anything_goes_out(
    settings: dict[str, str], env: dict[str, str], said: str, hint: str, tagged: Path, swift: Swift, tmp_path: Path
) -> None:
    for name in ("repo", "hub.git"):
        shutil.copytree(tagged / name, tmp_path / name, symlinks=True)
    box = InProcess(tmp_path / "repo", environment(tmp_path / "home"))
    box.env.update(swift.env())
    for key, value in settings.items():
        box.dvc("remote", "modify", "-q", "storage", key, value)
    if settings:
        box.git("commit", "-qm", "another address", "--", ".dvc/config")
    done = box.mv("push", status=3, **env)
    assert said in done.err, done.err
    assert hint in done.err.partition("hint: ")[2], done.err
    assert CANARY not in done.out + done.err
    hub = Hub(tmp_path / "hub.git", box)
    assert hub.refs() == {}
    if env:  # with the right one the same command goes through
        box.mv("push")
        assert hub.tags() == ["m@v1.0.0"]
