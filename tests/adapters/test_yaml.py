"""YAML: strict reading, deterministic writing, edits that people do not notice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelver.adapters import yaml
from modelver.errors import InvalidInput

LAYOUTS = {
    "lists at their key": "a:\n- 1\n- b:\n    c: 1\nd:\n  e:\n  - 2\n",
    "lists set in": "a:\n  - 1\n  - b:\n      c: 1\n    d: 2\n",
    "four spaces": "a:\n    b:\n        c: 1\n    l:\n        - 1\n        - x: 2\n          y: 3\n",
    "a list deep inside": "stages:\n  a:\n    cmd: x\n    deps:\n    - x\n    - y:\n        cache: false\n",
    "nulls as null": "a: null\nb:\n  c: null  # none yet\n",
    "nulls as tilde": "a: ~\n",
    "nulls left out": "a:\nb: 1\n",
    "scalars": "b: 1.10\nc: 010\nd: 0x1F\ne: 1e3\nf: 'q'\ng: \"dq\"\nh: NO\ni: 2020-01-01\n",
    "text": "h: |\n  text\n  more\ni: >\n  folded\n  x\n",
    "flow": "a: {b: 1, c: [1, 2]}\n",
    "anchors": "a: &x\n  b: 1\nc: *x\nd:\n  <<: *x\n",
    "comments": "# top\n\na:\n  # inside\n  b: 1  # behind\n\n\nc: 2\n# tail\n",
    "a start": "# top\n---\na: 1\n",
    "long lines": "a: " + "word " * 100 + "end\n",
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_an_edit_changes_what_it_is_about(tmp_path, name, end):
    path = tmp_path / "x.yaml"
    text = LAYOUTS[name].replace("\n", end)
    path.write_bytes(text.encode())
    assert yaml.edit(path, lambda _: None) == text.encode()

    def change(document):
        document["new"] = 1

    assert yaml.edit(path, change).decode().replace(f"new: 1{end}", "") == text


def test_comments_alone_stay(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("# only words\n")
    assert yaml.edit(path, lambda document: document.update(a=1)) == b"# only words\na: 1\n"


def test_a_file_that_is_not_there(tmp_path):
    assert yaml.edit(tmp_path / "x.yaml", lambda document: document.update(a=[1])) == b"a:\n- 1\n"


def test_too_much_to_edit(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a:\n" + b"- 1\n" * 200_000)
    with pytest.raises(InvalidInput, match="nodes"):
        yaml.edit(path, lambda _: None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"), ("yes", "yes"), ("on", "on"), ("true", True), ("1.10", 1.1), ("'1.10'", "1.10"), ("010", 10),
        ("0o10", 8), ("0x1F", 31), ("1_000", "1_000"), ("12:30", "12:30"), ("2020-01-01", "2020-01-01"), ("~", None),
        ("null", None), ("1e3", 1000.0), (".5", 0.5), ("1.", 1.0), ("=", "="),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text, value):
    found = yaml.load(f"a: {text}\n".encode(), "x")["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"a: 1\na: 2\n", "line 2: duplicate key 'a'"),
        (b"x: {a: 1, a: 2}\n", "duplicate key"),
        (b"a: !!python/object/apply:os.system [id]\n", "line 1"),
        (b"a: &a [*a]\n", "contains itself"),
        (b"? [a]\n: 1\n", "no scalar"),
        (b"x: {<<: {[a]: 1}}\n", "x"),
        (b"a: 1\n<<<<<<< HEAD\n", "line 2: conflict markers"),
        (b"a: \0", "NUL"),
        (b"a: \xff", "not UTF-8"),
        (b"[" * 1000, "nested deeper"),
        (b"a: 1\n---\nb: 2\n", "x"),
        (b"- 1\n" * 1_100_000, "more than the 1000000 nodes"),
        (b" " * (33 << 20), "more than the"),
        (b"a: " + b"9" * 1000, "400 digits"),
    ],
)
def test_refused(data, what):
    with pytest.raises(InvalidInput) as caught:
        yaml.load(data, "x")
    assert what in caught.value.message


def test_an_empty_document_and_one_that_is_no_mapping():
    assert yaml.load_mapping(b"", "x") == {}
    assert yaml.load_mapping(b"# words\n", "x") == {}
    with pytest.raises(InvalidInput, match="found list"):
        yaml.load_mapping(b"- a\n", "x")


def test_byte_order_mark_and_crlf():
    assert yaml.load(b"\xef\xbb\xbfa: 1\r\nb: |\r\n  x\r\n", "x") == {"a": 1, "b": "x\n"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n", {"x": 1, "y": 3}),
        ("b: {y: 3, <<: {x: 1, y: 2}}\n", {"x": 1, "y": 3}),
        ("b: {<<: [{x: 1}, {x: 2, z: 3}]}", {"x": 1, "z": 3}),
        ("x: &x {<<: {q: 1}, q: 2}\nb: {<<: *x}\n", {"q": 2}),
    ],
)
def test_merge_keys(text, value):
    """What stands in the mapping wins, then the earlier of the merged (https://yaml.org/type/merge.html)."""
    assert yaml.load(text.encode(), "x")["b"] == value


def test_merges_of_merges():
    lines = [b"a0: &a0 {x: 1}"]
    lines += [b"a%d: &a%d {<<: [%s]}" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 30)]
    assert yaml.load(b"\n".join(lines), "x")["a29"] == {"x": 1}


@pytest.mark.parametrize(
    "text", ["1e1", "12e34567", "0o7", "0x1F", "1.", "null", "1", "", "<<", "+1", ".inf", "on", "1:2"]
)
def test_text_that_looks_like_a_number_stays_text(text):
    assert yaml.load_mapping(yaml.dump({"a": text, "b": {text or "c": [text]}}), "x") == {
        "a": text,
        "b": {text or "c": [text]},
    }


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text("abNOyes1.-: #", max_size=6), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.sampled_from(["a", "b", "NO", "1", "~"]), plain))
def test_what_is_written_is_read_again(document):
    data = yaml.dump(document)
    assert yaml.load_mapping(data, "x") == document
    assert yaml.dump(yaml.load_mapping(data, "x")) == data
    assert b"\r" not in data


@given(st.binary(max_size=200) | st.text("ab:-[]{}&*<!?|>'\"# \n\t", max_size=60).map(str.encode))
def test_any_bytes_parse_or_are_refused(data):
    try:
        yaml.load(data, "x")
    except InvalidInput as refusal:
        assert refusal.message.startswith("x")  # noqa: PT017


CONFLICT = b"a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> x\n"


@pytest.mark.parametrize(
    ("where", "hint"),
    [
        ("params.yaml", "mend it, then: git add params.yaml"),
        ("dvc.lock", "modelver status   ("),
        ("a b/w.dvc", "modelver status   ("),
        ("models/t/m/metadata.yaml", "modelver status t/m   ("),
    ],
)
def test_conflict_markers_in_a_generated_file_are_not_mended_by_hand(where, hint):
    with pytest.raises(InvalidInput) as caught:
        yaml.load(CONFLICT, where)
    assert caught.value.hint.startswith(hint)
