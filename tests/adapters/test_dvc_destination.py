"""Who would be spoken to, and how openly: by settings alone, for storages whose packages are not installed."""

import pytest

from modelver.adapters.dvc.destination import addresses, refuse_unencrypted
from modelver.errors import Refused

ACCOUNT = "AccountName=a;AccountKey=aGVtbGlnCg=="

OPEN = [
    ("oss", {"oss_endpoint": "oss-cn-beijing.aliyuncs.com"}, {}),
    ("oss", {"oss_endpoint": "http://oss-cn-beijing.aliyuncs.com"}, {}),
    ("oss", {"oss_endpoint": "HTTPS://oss-cn-beijing.aliyuncs.com"}, {}),  # oss2 puts http:// before it
    ("oss", {}, {"OSS_ENDPOINT": "oss-cn-beijing.aliyuncs.com"}),
    ("azure", {"connection_string": f"DefaultEndpointsProtocol=http;{ACCOUNT};EndpointSuffix=core.windows.net"}, {}),
    ("azure", {"connection_string": f"defaultendpointsprotocol=HTTP;{ACCOUNT}"}, {}),
    ("azure", {"connection_string": f"{ACCOUNT};BlobEndpoint=http://blobs.example/a"}, {}),
    (
        "azure",
        {"connection_string": f"DefaultEndpointsProtocol=https;{ACCOUNT};BLOBENDPOINT=Http://blobs.example/a;"},
        {},
    ),
    (
        "azure",
        {"connection_string": f"{ACCOUNT};BlobEndpoint=https://b.example;BlobSecondaryEndpoint=http://c.example"},
        {},
    ),
    ("azure", {"account_name": "a"}, {"AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;{ACCOUNT}"}),
    ("gs", {"endpointurl": "http://storage.example"}, {}),
    ("s3", {"endpointurl": "http://minio.example"}, {}),
    ("s3", {"use_ssl": False}, {}),
    ("http", {"host": "files.example"}, {}),
    ("webdav", {"host": "http://files.example:8080"}, {}),
    ("webdav", {"host": "files.example"}, {}),
    ("webhdfs", {"host": "files.example"}, {}),
    ("hdfs", {"host": "files.example"}, {}),
]

CLOSED = [
    ("oss", {"oss_endpoint": "https://oss-cn-beijing.aliyuncs.com"}, {"OSS_ENDPOINT": "oss-cn-beijing.aliyuncs.com"}),
    ("oss", {}, {}),
    ("oss", {"oss_endpoint": "127.0.0.1:9000"}, {}),
    ("azure", {"connection_string": f"DefaultEndpointsProtocol=https;{ACCOUNT};EndpointSuffix=core.windows.net"}, {}),
    ("azure", {"connection_string": ACCOUNT}, {}),
    ("azure", {"connection_string": f"{ACCOUNT};BlobEndpoint=https://blobs.example/a"}, {}),
    ("azure", {"connection_string": f"DefaultEndpointsProtocol=http;{ACCOUNT};BlobEndpoint=http://127.0.0.1:1/a"}, {}),
    ("azure", {"account_name": "a"}, {}),
    ("gs", {}, {}),
    ("s3", {}, {}),
    ("http", {"host": "localhost"}, {}),
    ("webdav", {"host": "http://localhost:8080"}, {}),
    ("webdavs", {"host": "https://files.example:8080"}, {}),
    ("https", {"host": "files.example"}, {}),
    ("webhdfs", {"host": "files.example", "use_https": True}, {}),
    ("ssh", {"host": "files.example"}, {}),
]


@pytest.mark.parametrize(("protocol", "settings", "environ"), OPEN)
def test_lines_that_are_not_encrypted(protocol, settings, environ):
    with pytest.raises(Refused, match="not encrypted") as caught:
        refuse_unencrypted("r", addresses(protocol, settings, "bucket/x", environ), False)
    assert "aGVtbGlnCg" not in caught.value.message + caught.value.hint
    refuse_unencrypted("r", addresses(protocol, settings, "bucket/x", environ), True)


@pytest.mark.parametrize(("protocol", "settings", "environ"), CLOSED)
def test_lines_that_are(protocol, settings, environ):
    refuse_unencrypted("r", addresses(protocol, settings, "bucket/x", environ), False)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("minio.example", True),
        ("MINIO.example", True),
        ("minio.example:9000", True),
        ("http://minio.example:9000", True),
        ("http://minio.example:9000/any/path", True),
        (" minio.example ", True),
        ("minio.example:9001", False),
        ("http://minio.example", False),
        ("https://minio.example:9000", False),
        ("example", False),
        ("true", False),
        ("*", False),
        ("", False),
        ("http://", False),
    ],
)
def test_which_places_were_allowed(text, means):
    urls = ["http://user:canary@minio.example:9000/bucket"]
    if means:
        refuse_unencrypted("r", urls, ["elsewhere.example", text])
    else:
        with pytest.raises(Refused) as caught:
            refuse_unencrypted("r", urls, ["elsewhere.example", text])
        assert "git config --add modelver.plainHttp http://minio.example:9000" in caught.value.hint
        assert "canary" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("protocol", "settings", "path"),
    [
        ("http", {"host": "files.example"}, "http://files.example:8080/x"),
        ("webdav", {"host": "http://files.example:8080", "prefix": "/x"}, ""),
        ("webhdfs", {"host": "files.example", "port": 8080}, "/x"),
    ],
)
def test_the_port_is_part_of_the_place(protocol, settings, path):
    urls = addresses(protocol, settings, path, {})
    refuse_unencrypted("r", urls, ["files.example:8080"])
    with pytest.raises(Refused, match="8080"):
        refuse_unencrypted("r", urls, ["files.example:80"])


def test_the_whole_of_it_must_be_allowed():
    with pytest.raises(Refused, match=r"c\.example"):
        refuse_unencrypted("r", ["http://b.example", "http://c.example"], ["b.example"])


@pytest.mark.parametrize("allowed", [False, []])
def test_the_setting_is_named_where_it_is_read(allowed):
    with pytest.raises(Refused) as caught:
        refuse_unencrypted("r", ["http://b.example"], allowed)
    assert ("modelver.plainHttp" in caught.value.hint) is (allowed is not False)
