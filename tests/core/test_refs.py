"""Refs: what they name, and that nothing can make them fail in another way than by a clear refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelver.core.refs import near, parse_ref, resolve_version
from modelver.core.registry import Registry, TagRecord, build_registry
from modelver.errors import InvalidInput, NotFound, Refused


def registry(*tags: str) -> Registry:
    return build_registry([TagRecord(tag, f"{n:040x}", f"{n + 100:040x}", n) for n, tag in enumerate(tags)])


ONE = registry("m@v1.0.0", "m@v1.2.0", "m@v1.10.0", "m@v2.0.0-rc.1", "m@v3.0.0", "m@v3.0.0!", "m#prod#1")
TWO = registry("m@v1.0.0", "n@v1.0.0")


@pytest.mark.parametrize(
    ("ref", "tag"),
    [
        ("v1", "m@v1.10.0"), ("1", "m@v1.10.0"), ("v1.2", "m@v1.2.0"), ("v1.2.0", "m@v1.2.0"), ("1.0.0", "m@v1.0.0"),
        ("m@v1", "m@v1.10.0"), ("latest", "m@v1.10.0"), ("m@latest", "m@v1.10.0"), ("v2", "m@v2.0.0-rc.1"),
        ("v2.0.0-rc.1", "m@v2.0.0-rc.1"), ("v3", "m@v3.0.0"), ("m@3.0.0", "m@v3.0.0"),
    ],
)  # fmt: skip
def test_versions(ref, tag):
    found = resolve_version(parse_ref(ref), ONE, "m")
    assert found is not None
    assert found.tag == tag


def test_environments():
    assigned = build_registry(
        [TagRecord("m@v1.0.0", "a", "c1", 1), TagRecord("m@v2.0.0", "b", "c2", 2), TagRecord("m#prod#1", "d", "c1", 3)]
    )
    assert resolve_version(parse_ref("m#prod"), assigned, None).tag == "m@v1.0.0"
    with pytest.raises(NotFound):
        resolve_version(parse_ref("m#staging"), assigned, None)


def test_decisions_by_their_tags():
    tags = [("m@v1.0.0", 1), ("m@v2.0.0", 2), ("m#prod#1", 1), ("m#prod#2", 2), ("m#prod!#3", 2), ("m#qa#4", 9)]
    decided = build_registry([TagRecord(tag, f"{n}", f"c{commit}", n) for n, (tag, commit) in enumerate(tags)])
    wanted = {"m#prod#1": "m@v1.0.0", "m#prod#2": "m@v2.0.0", "m#prod!#3": "m@v2.0.0", "m#prod": "m@v1.0.0"}
    assert {ref: resolve_version(parse_ref(ref), decided, None).tag for ref in wanted} == wanted
    for missing in ("m#prod#9", "m#qa#4"):  # the other one is of a commit that is no version
        with pytest.raises(NotFound, match="no decision is tagged") as caught:
            resolve_version(parse_ref(missing), decided, None)
        assert "m#prod#1" in caught.value.hint


@pytest.mark.parametrize("ref", ["v9", "v1.7", "m@v1.0.1", "m@v9", "x@v1", "x@latest", "m#none"])
def test_unknown_ones_list_the_near(ref):
    with pytest.raises(NotFound) as caught:
        resolve_version(parse_ref(ref), ONE, "m")
    assert caught.value.hint


def test_digits_may_be_a_commit():
    assert resolve_version(parse_ref("1234567"), ONE, "m") is None


def test_which_model():
    with pytest.raises(InvalidInput, match="which model"):
        resolve_version(parse_ref("v1"), TWO, None)
    assert resolve_version(parse_ref("n@v1"), TWO, None).tag == "n@v1.0.0"
    with pytest.raises(NotFound):
        resolve_version(parse_ref("v1"), Registry({}), None)


@pytest.mark.parametrize(
    "ref", ["HEAD", "main", "HEAD~2", "@{-1}", "@{x", "x.lock", "a..b", ":/fix", "../../x", "m@x", "v1x"]
)
def test_git_decides_on_revisions(ref):
    assert parse_ref(ref).kind == "revision"


@pytest.mark.parametrize(
    "ref", ["", "-d", "--delete", "a\u202eb", "x" * 300, "a\nb", "a\0b", "\x1b[0m", "a\u2028", "\ud800"]
)
def test_hostile_refs(ref):
    with pytest.raises(InvalidInput) as caught:
        parse_ref(ref)
    assert caught.value.message.isprintable()


pieces = st.sampled_from(["m", "n", "@", "#", "v", "1", ".", "0", "latest", "!", "-rc.1", "+b", "prod", "9" * 30, "٣"])


@given(st.one_of(st.text(max_size=300), st.lists(pieces, max_size=8).map("".join)), st.sampled_from([None, "m", "zz"]))
def test_any_text_resolves_or_is_refused(text, default):
    for known in (ONE, TWO, Registry({})):
        try:
            resolve_version(parse_ref(text), known, default)
        except Refused as refusal:
            assert refusal.message.isprintable() and refusal.hint.isprintable()  # noqa: PT017, PT018


def test_near_is_quick_on_many():
    assert "m@v1.0.9" in near("m@v1.0.99", [f"m@v1.0.{n}" for n in range(100_000)])
