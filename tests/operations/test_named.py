"""What a pointer names is found however it is written: a hash that gc misses is weights lost."""

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from modelver.errors import InvalidInput
from modelver.operations.named import named_in

HASHES = st.text("0123456789abcdef", min_size=32, max_size=32).flatmap(lambda h: st.sampled_from([h, f"{h}.dir"]))
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=40)
VALUES = st.recursive(
    HASHES | TEXTS | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS | HASHES, inner, max_size=4),
    max_leaves=12,
)
STYLES = st.fixed_dictionaries(
    {
        "default_style": st.sampled_from([None, "'", '"']),
        "default_flow_style": st.booleans(),
        "width": st.sampled_from([5, 80]),
        "indent": st.sampled_from([2, 6]),
        "allow_unicode": st.booleans(),
    }
)


@given(st.dictionaries(TEXTS, VALUES, max_size=5), STYLES)
def test_every_hash_is_found_however_the_document_is_written(document, style):
    text = yaml.safe_dump(document, **style)
    try:
        found = named_in(text.encode(), "x.dvc").objects
    except InvalidInput:  # refused, so nothing goes
        return
    assert found >= _hashes(document)


@pytest.mark.parametrize(
    "text",
    [
        'outs:\n- md5: "0123456789abcdef\\\n  0123456789abcdef"\n',
        'outs:\n- md5: "\\x30123456789abcdef0123456789abcdef"\n',
        "outs: [{md5: 0123456789abcdef0123456789abcdef}]\n",
        "a: &a 0123456789abcdef0123456789abcdef\nouts: [{md5: *a}]\n",
        "outs:\n- files:\n  - relpath: x\n    md5: 0123456789abcdef0123456789abcdef\n",
        "outs:\n- {path: x, 0123456789abcdef0123456789abcdef: 1}\n",
        "# 0123456789abcdef0123456789abcdef\n",
    ],
)
def test_odd_ways_to_write_a_hash(text):
    assert "0123456789abcdef" * 2 in named_in(text.encode(), "x.dvc").objects


def test_numbers_that_are_hashes():
    """YAML takes them for numbers."""
    for name in ("1" * 32, "12345678901234567890123456789e12"):
        assert name in named_in(f"outs:\n- md5: {name}\n".encode(), "x.dvc").objects


def test_what_only_a_stage_depends_on_is_no_out():
    text = f"stages:\n  s:\n    deps:\n    - md5: {'a' * 32}.dir\n    outs:\n    - md5: {'b' * 32}.dir\n"
    named = named_in(text.encode(), "dvc.lock")
    assert named.objects >= {f"{'a' * 32}.dir", f"{'b' * 32}.dir"}
    assert named.outs == {f"{'b' * 32}.dir"}


def test_paths_are_told_relative_to_the_repository():
    text = f"wdir: ..\nouts:\n- md5: {'a' * 32}\n  path: w/x\n"
    assert named_in(text.encode(), "models/m/x.dvc").paths == {"a" * 32: "models/w/x"}


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    try:
        named_in(data, "x.dvc")
    except InvalidInput:
        assert named_in(data, "x.dvc", lenient=True).objects >= set(
            re.findall(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f.])", data.decode("utf-8", "replace"))
        )


def _hashes(value):
    if isinstance(value, dict):
        return set().union(*map(_hashes, value), *map(_hashes, value.values()))
    if isinstance(value, list):
        return set().union(*map(_hashes, value))
    return {value} if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32}(\.dir)?", value) else set()
