"""What `.dvc/config.local` says goes with other commits' remotes only where those are at the address that it is for."""

import pytest

from modelver.adapters.dvc.clone import LocalSettings

PASSWORD = {"password": "canary"}
HERE = {"storage": {"url": "https://weights.example/a"}}
KEYS = {"access_key_id": "a", "secret_access_key": "canary"}


@pytest.mark.parametrize("way", ["over", "lent"])
@pytest.mark.parametrize(
    ("url", "goes"),
    [
        ("https://weights.example/other/path", True),
        ("https://elsewhere.example/a", False),
        ("http://weights.example/a", False),
        ("https://weights.example:8443/a", False),
        ("https://weights.example@elsewhere.example/a", False),
    ],
)
def test_a_password_stays_with_its_server(way, url, goes):
    local = LocalSettings(None, {"storage": PASSWORD})
    found = getattr(local, way)({"storage": {"url": url}}, [HERE])
    assert found["storage"]["url"] == url
    assert ("password" in found["storage"]) is goes


@pytest.mark.parametrize("way", ["over", "lent"])
def test_keys_of_s3_go_with_another_bucket_of_that_endpoint_only(way):
    local = LocalSettings(None, {"storage": KEYS})
    known = [{"storage": {"url": "s3://one/x", "endpointurl": "https://s3.example"}}]
    same = {"storage": {"url": "s3://two/x", "endpointurl": "https://s3.example"}}
    other = {"storage": {"url": "s3://one/x", "endpointurl": "https://elsewhere.example"}}
    assert getattr(local, way)(same, known)["storage"] == {**same["storage"], **KEYS}
    assert getattr(local, way)(other, known)["storage"] == other["storage"]


def test_keys_for_another_address_are_not_lent_to_where_others_look():
    local = LocalSettings(None, {"storage": {"url": "https://mirror.example/a", **PASSWORD}})
    assert local.lent(HERE, [HERE]) == HERE
    assert local.over(HERE, [HERE]) == {"storage": {"url": "https://mirror.example/a", **PASSWORD}}


def test_what_is_below_another_remote_goes_by_that_one():
    local = LocalSettings(None, {"storage": PASSWORD})
    below = {"storage": {"url": "remote://base/x"}}
    known = [{**below, "base": {"url": "https://weights.example"}}]
    evil = {**below, "base": {"url": "https://elsewhere.example"}}
    assert local.over(evil, known)["storage"] == below["storage"]
    assert local.over(known[0], known)["storage"] == {**below["storage"], **PASSWORD}
