"""The registry that tags spell out."""

from hypothesis import given
from hypothesis import strategies as st

from modelver.core.registry import TagRecord, build_registry


def records(*rows: tuple[str, str, int]) -> list[TagRecord]:
    return [TagRecord(tag, f"o{n}", commit, time, "A <a@e>") for n, (tag, commit, time) in enumerate(rows)]


def test_versions_newest_first_and_latest_no_prerelease():
    found = build_registry(
        records(("m@v1.9.0", "a", 3), ("m@v1.10.0", "b", 1), ("m@v2.0.0-rc.1", "c", 2), ("n@v1.0.0", "a", 9))
    )
    assert [v.tag for v in found.versions("m")] == ["m@v2.0.0-rc.1", "m@v1.10.0", "m@v1.9.0"]
    assert found.latest("m").tag == "m@v1.10.0"
    assert [v.tag for v in found.versions()] == ["m@v2.0.0-rc.1", "m@v1.10.0", "m@v1.9.0", "n@v1.0.0"]
    assert found.latest("x") is None


def test_tags_of_others_are_none_of_ours():
    tags = ("release-1", "m@1.0.0", "m@v1", "m@v1.0.0#2", "m@v1.0.0-", "dir=m@v1.0.0")
    found = build_registry(records(*((tag, "a", 1) for tag in tags)))
    assert found.versions() == []


def test_a_yanked_version_stays_listed_and_is_never_latest():
    found = build_registry(records(("m@v1.0.0", "a", 1), ("m@v2.0.0", "b", 2), ("m@v2.0.0!", "b", 3)))
    assert [(v.tag, v.yanked) for v in found.versions("m")] == [("m@v2.0.0", True), ("m@v1.0.0", False)]
    assert found.latest("m").tag == "m@v1.0.0"


def test_environments_follow_the_newest_assignment():
    rows = [("m@v1.0.0", "a", 1), ("m@v2.0.0", "b", 2), ("m#prod#1", "a", 3), ("m#prod#2", "b", 4), ("m#dev#3", "b", 5)]
    found = build_registry(records(*rows))
    assert found.environment("m", "prod").tag == "m@v2.0.0"
    assert found.versions("m")[0].environments == ("dev", "prod")
    back = build_registry(records(*rows, ("m#prod#4", "a", 6)))
    assert back.environment("m", "prod").tag == "m@v1.0.0"
    gone = build_registry(records(*rows, ("m#prod!#4", "b", 6), ("m#prod!#5", "a", 7)))
    assert gone.environment("m", "prod") is None


@given(st.permutations(range(7)))
def test_the_order_of_the_tags_does_not_matter(order):
    rows = records(
        ("m@v1.0.0", "a", 1), ("m@v2.0.0", "b", 2), ("m#prod#1", "a", 3), ("m#prod#2", "b", 4), ("m#prod!#3", "b", 5),
        ("m#prod#4", "a", 6), ("m@v2.0.0!", "b", 7),
    )  # fmt: skip
    found = build_registry([rows[n] for n in order])
    assert [(v.tag, v.environments, v.yanked) for v in found.versions("m")] == [
        ("m@v2.0.0", (), True), ("m@v1.0.0", ("prod",), False),
    ]  # fmt: skip


def test_the_json_form():
    version = build_registry(records(("m@v1.0.0", "abc", 0))).versions("m")[0]
    assert version.to_dict() == {
        "model": "m", "version": "v1.0.0", "tag": "m@v1.0.0", "commit": "abc", "created": "1970-01-01T00:00:00Z",
        "environments": [], "yanked": False,
    }  # fmt: skip
