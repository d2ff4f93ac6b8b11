"""DVC's pointers and the lineage that they spell out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelver.core.lineage import as_documents, inputs_of, merged_params, stages_of
from modelver.core.pointers import is_pointer, locked_stages, outs_in
from modelver.errors import InvalidInput

MD5 = "0123456789abcdef" * 2


def entry(path: str, **more: object) -> dict[str, object]:
    return {"path": path, "md5": MD5, "size": 3, **more}


LOCK = {
    "schema": "2.0",
    "stages": {
        "validate@m": {"cmd": "v", "deps": [entry("models/m/weights")], "outs": [entry("models/m/validation.json")]},
        "export@m": {
            "cmd": ["e", "f"], "deps": [entry("build/m.joblib"), entry("data/rows/x.csv")],
            "params": {"params.yaml": {"b": 2, "a": 1}}, "outs": [entry("models/m/weights", md5=MD5 + ".dir")],
        },
        "train": {
            "cmd": "t", "deps": [entry("train.py")], "outs": [entry("build")], "params": {"params.yaml": {"c": 3}},
        },
        "split": {"cmd": "s", "deps": [entry("raw.csv")], "outs": [entry("data/rows", md5=MD5 + ".dir")]},
        "other": {"cmd": "o", "deps": [entry("x")], "outs": [entry("models/mm/weights")]},
    },
}  # fmt: skip


def test_lineage_is_upstream_first_and_holds_no_strangers():
    stages = stages_of("models/m", "models/m/weights", locked_stages("dvc.lock", LOCK))
    assert [s.name for s in stages] == ["split", "train", "export@m", "validate@m"]
    assert inputs_of(stages) == ["params.yaml", "raw.csv", "train.py"]
    assert merged_params(stages) == {"params.yaml": {"a": 1, "b": 2, "c": 3}}
    export = as_documents(stages)[2]
    assert export["cmd"] == "e\nf"
    assert export["outs"] == [{"path": "models/m/weights", "md5": MD5 + ".dir", "bytes": 3}]


def test_stages_that_feed_each_other_end():
    lock = {"stages": {"a": {"deps": [entry("y")], "outs": [entry("models/m/x")]},
                       "b": {"deps": [entry("models/m/x")], "outs": [entry("y")]}}}  # fmt: skip
    assert {s.name for s in stages_of("models/m", "w", locked_stages("dvc.lock", lock))} == {"a", "b"}


def test_paths_are_relative_to_the_repository():
    assert [o.path for o in outs_in("a/b/w.dvc", {"outs": [entry("w")]})] == ["a/b/w"]
    assert [o.path for o in outs_in("a/b/w.dvc", {"outs": [entry("w")], "wdir": ".."})] == ["a/w"]
    assert [o.path for o in outs_in("sub/dvc.lock", {"stages": {"s": {"outs": [entry("w")]}}})] == ["sub/w"]


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", ".", "..", "", "s3://b/k", "a\0b", None, 1, ["x"]]
)
def test_outs_that_leave_the_repository(path):
    with pytest.raises(InvalidInput):
        outs_in("w.dvc", {"outs": [{"path": path, "md5": MD5}]})


@pytest.mark.parametrize("md5", ["", "x" * 32, MD5 + "0", MD5.upper(), MD5 + ".DIR", f"../{MD5}", 1, [MD5], MD5 + "\n"])
def test_hashes_that_are_none(md5):
    with pytest.raises(InvalidInput):
        outs_in("w.dvc", {"outs": [{"path": "w", "md5": md5}]})


def test_which_files_are_pointers():
    assert all(is_pointer(path) for path in ("dvc.lock", "a/w.dvc", "a/dvc.lock"))
    assert not any(is_pointer(path) for path in (".dvc", "a/.dvc", "dvc.yaml", "x.dvc.bak"))


anything = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.just(MD5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["stages", "outs", "deps", "path", "md5", "size", "wdir", "params", "x"]), inner
        )
    ),
    max_leaves=15,
)


@given(st.sampled_from(["dvc.lock", "w.dvc"]), anything)
def test_any_document_is_read_or_refused(name, document):
    try:
        for out in outs_in(name, document):
            assert not out.path.startswith(("/", ".."))
    except InvalidInput as refusal:
        assert refusal.message  # noqa: PT017
