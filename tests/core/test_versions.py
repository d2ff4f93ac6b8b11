"""Versions: order, parsing, schemes."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelver.core.versions import (
    Version,
    bump_between,
    first_version,
    next_version,
    parse_bump,
    parse_requested,
    parse_scheme,
    timestamp_version,
)
from modelver.errors import InvalidInput

# https://semver.org/spec/v2.0.0.html, section 11
SPECIFICATION = [
    ["1.0.0", "2.0.0", "2.1.0", "2.1.1"],
    ["1.0.0-alpha", "1.0.0"],
    ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
     "1.0.0"],
]  # fmt: skip

numbers = st.integers(min_value=0, max_value=10**20)
identifiers = st.one_of(numbers.map(str), st.from_regex(r"[0-9]{0,3}[A-Za-z-][0-9A-Za-z-]{0,5}", fullmatch=True))
versions = st.builds(
    Version,
    numbers,
    numbers,
    numbers,
    st.lists(identifiers, max_size=4).map(tuple),
    st.sampled_from(["", "b", "001.x"]),
)


@pytest.mark.parametrize("chain", SPECIFICATION)
def test_order_of_the_specification(chain):
    for lower, higher in pairwise(chain):
        assert Version.parse(lower) < Version.parse(higher)
        assert not Version.parse(higher) < Version.parse(lower)


@given(versions, versions)
def test_order_is_total_and_agrees_with_the_sort_key(a, b):
    assert (a < b) + (b < a) + (a.precedence == b.precedence) == 1
    assert (a <= b) == (not b < a) or a.precedence == b.precedence


@given(versions, versions, versions)
def test_order_is_transitive(a, b, c):
    low, middle, high = sorted([a, b, c], key=lambda v: v.precedence)
    assert not high < low
    assert not middle < low


@given(versions)
def test_round_trip(version):
    if len(str(version)) <= 128:
        assert Version.parse(str(version)) == version
        assert Version.parse(str(version)[1:]) == version


@given(versions, versions)
def test_build_metadata_does_not_count(a, b):
    plain = [Version(v.major, v.minor, v.patch, v.prerelease) for v in (a, b)]
    assert (a < b) == (plain[0] < plain[1])


@given(st.text(max_size=60))
def test_anything_parses_or_is_refused(text):
    try:
        assert str(Version.parse(text)).removeprefix("v") == text.removeprefix("v")
    except InvalidInput as error:
        assert error.hint  # noqa: PT017


@pytest.mark.parametrize(
    "text",
    ["", "v", "1", "1.2", "1.2.3.4", "01.2.3", "1.02.3", "1.2.3-", "1.2.3-01", "1.2.3-a..b", "1.2.3+", "V1.2.3",
     "vv1.2.3", "1.2.3\n", " 1.2.3", "1.2.3-a\n", "\u0661.2.3", "1.2.-3", "+1.2.3", "v1.2.3!",
     "v" + "1" * 200 + ".0.0"],
)  # fmt: skip
def test_what_is_no_version(text):
    with pytest.raises(InvalidInput):
        Version.parse(text)


def test_bumps():
    version = Version(1, 2, 3)
    assert [str(version.bumped(level)) for level in ("patch", "minor", "major", "none")] == [
        "v1.2.4", "v1.3.0", "v2.0.0", "v1.2.4",
    ]  # fmt: skip
    assert str(Version(2, 0, 0, ("rc", "1")).bumped("major")) == "v2.0.0"
    assert [bump_between(version, v) for v in (Version(2, 0, 0), Version(1, 3, 0), Version(1, 2, 4), version)] == [
        "major", "minor", "patch", "none",
    ]  # fmt: skip


def test_schemes():
    now = datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))
    assert str(first_version("semver", now)) == "v1.0.0"
    assert str(first_version("sequence", now)) == "v1.0.0"
    assert str(next_version("sequence", Version(4, 0, 0), "patch", now)) == "v5.0.0"
    assert str(first_version("timestamp", now)) == "v20240102.10405.0"
    for wrong in ("calver", "", None, 1, ["semver"]):
        with pytest.raises(InvalidInput):
            parse_scheme(wrong)


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(9999, 1, 1), timezones=st.just(UTC)),
       st.integers(min_value=1, max_value=10**7))  # fmt: skip
def test_timestamps_sort_by_time_and_are_semantic_versions(now, seconds):
    earlier, later = (
        timestamp_version(now),
        timestamp_version(min(now + timedelta(seconds=seconds), datetime.max.replace(tzinfo=UTC))),
    )
    assert earlier < later
    assert Version.parse(str(earlier)) == earlier


@given(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(9999, 1, 1), timezones=st.just(UTC)),
       st.integers(-3600, 3600))  # fmt: skip
def test_a_timestamp_comes_after_the_version_before_whatever_the_clock_says(now, seconds):
    previous = timestamp_version(now)
    assert previous < next_version("timestamp", previous, "patch", now + timedelta(seconds=seconds))


def test_requested():
    assert parse_requested("3", "sequence") == parse_requested("v3", "sequence") == Version(3, 0, 0)
    for text, scheme in (("3", "semver"), ("v0", "sequence"), ("1.0.0+b", "semver"), ("\u0663", "sequence")):
        with pytest.raises(InvalidInput):
            parse_requested(text, scheme)
    assert parse_bump("auto") is None
    assert parse_bump("major") == "major"
    for wrong in ("none", "", "MAJOR", "x\n"):
        with pytest.raises(InvalidInput):
            parse_bump(wrong)
