"""What of an address is secret, and whether its line is encrypted."""

import time

import pytest

from modelver.core.addresses import is_cut, is_loopback, is_plain, url_without_credentials, without_credentials

SECRETS = (
    "s3cr/etpw", "p@sspw", "a:b@c/d+e%f#g?h", "/first", "last/", "@first", "last@", "//", "http://in", "päss", "\\",
    "it's",
)  # fmt: skip


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("scheme", ["https", "ssh", "git+ssh", "s3", "http::https", "HTTPS"])
@pytest.mark.parametrize("user", ["user:", ":", ""])
def test_nothing_before_the_last_at_is_left(secret: str, scheme: str, user: str) -> None:
    said = f"fatal: unable to access '{scheme}://{user}{secret}@127.0.0.1:9/x.git/': no"
    hidden = without_credentials(said)
    assert hidden.replace("***@", "") == f"fatal: unable to access '{scheme}://127.0.0.1:9/x.git/': no"


@pytest.mark.parametrize("before", ["", "'", '"', "(", "url=", "\x1b[31m", "remote1", "a,", "é"])
def test_whatever_stands_before_the_scheme(before: str) -> None:
    assert without_credentials(f"{before}https://user:pw1@host/x") == f"{before}https://host/x"


def test_blanks_end_a_word_of_a_text_and_nothing_of_a_url() -> None:
    url = "https://user:pa ss@host/x"
    assert url_without_credentials(url) == "https://host/x"
    assert without_credentials("at https://host/x is m@v1.0.0") == "at https://host/x is m@v1.0.0"


@pytest.mark.parametrize(
    "url",
    ["https://host/x.git", "origin", "git@github.com:a/b.git", "me@host", "../a@b", "/srv/a@b", "file:///srv/a@b/x.git",
     "https://host:8080/a/b", "", "@", "m@v1.0.0"],
)  # fmt: skip
def test_what_holds_no_password_stays(url: str) -> None:
    assert url_without_credentials(url) == without_credentials(url) == url
    assert not is_cut(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pw@host/x", "https://host/x"),
        ("https://host/a@b/x.git", "https://***@b/x.git"),
        ("https://to/ken@host/x.git", "https://***@host/x.git"),
    ],
)
def test_it_is_said_where_a_part_of_the_path_may_be_missing(url: str, shown: str) -> None:
    assert url_without_credentials(url) == shown
    assert is_cut(shown) == ("***" in shown)


def test_a_hostile_text_takes_no_time() -> None:
    """A server's words: a megabyte each of what a backtracking expression would fall for."""
    began = time.process_time()
    for piece in ("a://", "a", "@", "://", "a.b+c-", "file:///", "a://@"):
        without_credentials(piece * (1_000_000 // len(piece)))
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("http://host/x.git", True),
        ("git://host/x.git", True),
        ("ftp://host/x.git", True),
        ("HTTP://host/x.git", True),
        ("http::http://host/x.git", True),
        ("http://127.0.0.1@host/x.git", True),
        ("http://user:s3cr/etpw@127.0.0.1/x.git", True),
        ("http://[zz]/x.git", True),
        ("http:///x.git", True),
        ("http://127.0.0.1.example.com/x.git", True),
        ("https://host/x.git", False),
        ("ssh://host/x.git", False),
        ("git@host:x.git", False),
        ("file:///srv/x.git", False),
        ("../http", False),
        ("origin", False),
        ("http://127.0.0.1:8080/x.git", False),
        ("http://user:pw@127.1.2.3/x.git", False),
        ("http://[::1]/x.git", False),
        ("git://localhost/x.git", False),
    ],
)
def test_lines_that_can_be_read_on_the_way(url: str, plain: bool) -> None:
    assert is_plain(url) is plain


def test_this_machine() -> None:
    assert [host for host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "host", "", None) if is_loopback(host)] == [
        "localhost", "127.0.0.1", "::1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://token/more@host/x", "Could not resolve host: token"),
        ("https://token/more:first@host/x", "Could not resolve host: token"),
        ("https://user:12345/more@host/x", "Failed to connect to user port 12345"),
        ("git://user:pass word@host/x", "unable to look up user:pass word@host"),
        ("https://user:first#more@host/x", "no path first"),
    ],
)
def test_a_piece_of_a_password_that_is_taken_for_something_else(url: str, said: str) -> None:
    hidden = without_credentials(said, "ls-remote", "--", url)
    assert not any(piece in hidden for piece in ("token", "12345", "pass", "word", "first", "more"))
    assert without_credentials(said, "https://user:secret1@host/x", "-c", "a@b") == said
