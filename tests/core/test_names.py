"""Names and tags: GTO's grammar to the letter, and a subset of it that is safe."""

import re
import string

import gto.constants
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from modelver.core.names import (
    check_case,
    check_environment_name,
    check_model_name,
    is_model_name,
    parse_tag,
    shown,
    version_tag,
)
from modelver.core.versions import Version
from modelver.errors import InvalidInput

HOSTILE = [
    "-d", "--delete", "../../x", "a..b", "x.lock", "@{x", "HEAD", "head", "a\u202eb", "a" * 300, "a" * 101, "", "a\nb",
    "a\n", "a\0b", "\0", " ", "a b", "a/", "/a", "a//b", "a/../b", "a/./b", ".", "..", ".git", "a.b", "a@b", "a#b",
    "a!", "a:b", "a~1", "a^", "a?", "a*", "a[", "a\\b", "$(id)", "`id`", "a;b", "a|b", "a'b", 'a"b', "caf\u00e9",
    "\uff41",
    "\u0660", "con", "CON", "a/nul", "com1", "weights", "a/weights", "a/variants", "latest", "refs", "v1", "V1", "12",
    "FETCH_HEAD", "a\x7fb", "\x1b[31m", "-", "_", "a-", "_a", "a/-b", "a/_", "\ud800",
]  # fmt: skip

GTO_TAG = re.compile(gto.constants.tag_re.pattern, re.ASCII)

names = st.from_regex(re.compile(r"[a-zA-Z0-9][a-zA-Z0-9/_-]{0,12}[a-zA-Z0-9]"), fullmatch=True).filter(is_model_name)
GTO_VERSIONS = ["1.0.0", "1.0", "01.0.0", "1.0.0-rc.1", "1.0.0-01", "1.0.0+b"]
ends = st.sampled_from(["", "!", "#1", "#", "#x", "#01", "!#7"])
tag_like = st.one_of(
    st.text(alphabet=string.ascii_letters + string.digits + "@#!-/_.v+=", max_size=25),
    st.builds(lambda n, v, end: f"{n}@v{v}{end}", names, st.sampled_from(GTO_VERSIONS), ends),
    st.builds(lambda n, e, end: f"{n}#{e}{end}", names, names, ends),
    st.text(max_size=12),
)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused(name):
    with pytest.raises(InvalidInput) as caught:
        check_model_name(name)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "name", ["a", "digits", "A1", "team/digits", "a-b_c", "a" * 100, "v1x", "x/v1", "head2", "com10"]
)
def test_good_names(name):
    assert check_model_name(name) == name
    assert check_environment_name(name) == name
    assert gto.constants.name_re.fullmatch(name)


def test_case_pairs():
    check_case("digits", ["digits", "other"])
    with pytest.raises(InvalidInput, match="only by case"):
        check_case("Digits", ["digits"])


@given(tag_like)
def test_tags_are_read_as_gto_reads_them(tag):
    """Against GTO's own expression."""
    # By `fullmatch` and ASCII: GTO's own `$` and `\d` also take a line break at the end and any script's digits.
    theirs = GTO_TAG.fullmatch(tag)
    ours = parse_tag(tag)
    if theirs is None:
        assert ours is None
        return
    found = theirs.groupdict()
    # what modelver never makes: names behind a folder, and tags that create or deprecate an artifact
    assume("=" not in tag and not found["created"] and not found["deprecated"])
    assume(len(found["counter"] or "") <= 18)
    assert ours is not None
    assert ours.model == found["artifact"]
    assert ours.environment == found.get("stage")
    assert (ours.version is None) == (found.get("version") is None)
    assert (ours.action in ("yank", "unassign")) == bool(found.get("cancel"))
    assert ours.counter == (int(found["counter"]) if found.get("counter") else None)


@given(names, st.integers(0, 10**9), st.integers(0, 9), st.integers(0, 9), st.sampled_from([(), ("rc", "1"), ("a-b",)]))
def test_round_trip(name, major, minor, patch, pre):
    version = Version(major, minor, patch, pre)
    parsed = parse_tag(version_tag(name, version))
    assert parsed is not None
    assert (parsed.model, parsed.version, parsed.action, parsed.counter) == (name, version, "register", None)


@pytest.mark.parametrize("name", ["con", "weights", "Variants", "a/nul", "weights/x", "con/con", "a/com1/b"])
def test_a_reserved_word_is_called_so_and_the_hint_names_one_that_is_free(name):
    with pytest.raises(InvalidInput) as caught:
        check_model_name(name)
    assert "is reserved" in caught.value.message
    assert check_model_name(caught.value.hint.removeprefix("try "))


def test_a_name_outside_the_grammar_is_told_the_grammar():
    with pytest.raises(InvalidInput) as caught:
        check_model_name("\u00fcn\u00ef")
    assert caught.value.message == "'\u00fcn\u00ef' is no model name"
    assert "ASCII letters" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\u00fcn\u00ef \u540d", "'\u00fcn\u00ef \u540d'"),
        ("a\u202eb\n\x1b", r"'a\u202eb\n\x1b'"),
        ("\ud800\u200b", r"'\ud800\u200b'"),
        (r"\n'", r"'\\n\''"),
        ("x" * 61, "'" + "x" * 59 + "\u2026'"),
    ],
    ids=ascii,
)
def test_only_what_cannot_be_printed_is_escaped(text, seen):
    assert shown(text) == seen


@given(st.text())
def test_what_is_shown_is_printable_and_short(text):
    assert shown(text).isprintable()
    assert len(shown(text)) <= 62 + 10 * 60
