"""Diffs from sidecars and manifests alone: every section, tensors that moved, hypothesis properties."""

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from modelver.core.diff import diff
from modelver.core.diff_sections import moved_at_least, same
from modelver.core.manifest import FileEntry, TensorEntry

GOLDEN = yaml.safe_load((Path(__file__).parent.parent / "golden" / "sidecar-1.yaml").read_text())
SECTIONS = [
    *("metadata", "weights", "source", "format", "signature", "graph", "metrics", "params", "validation", "targets"),
    *("lineage", "environment", "variants", "files", "tensors"),
]


def sidecar(**changes):
    """The golden sidecar with dotted paths replaced; ``__`` stands for the dot."""
    document = copy.deepcopy(GOLDEN)
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = document
        for key in parents:
            target = target[key]
        target[last] = value
    return document


def tensor(name, sha="a", shape=(2,), dtype="float32", **stats):
    return TensorEntry(name, dtype, shape, 4 * math.prod(shape), sha * 64, **stats)


def file(path, sha="a", size=1):
    return FileEntry(path, size, sha * 32, sha * 64)


def only(result, section):
    """The section's JSON; every other section must be empty."""
    document = result.to_dict()
    others = [name for name in SECTIONS if name != section and not result.sections[name].empty]
    assert others == []
    return document[section]


def test_the_shape_of_the_json_form():
    document = diff(sidecar(), sidecar(), ref_a={"ref": "v1", "commit": "c"}).to_dict()
    assert list(document) == ["a", "b", "bump", "caller", *SECTIONS]
    assert document["a"] == {"ref": "v1", "commit": "c", "model": "digits", "version": "v1.1.0", "kind": "pipeline"}
    assert document["bump"] == {"level": "none", "reasons": []}
    assert document["caller"] == {"must_change": False, "why": []}
    plain = {"changed": [], "added": [], "removed": []}
    extra = {"files": {"renamed": []}, "tensors": {"renamed": [], "same": 0}}
    assert {name: document[name] for name in SECTIONS} == {name: plain | extra.get(name, {}) for name in SECTIONS}


def test_versions_alone_are_no_difference():
    result = diff(sidecar(version="v1.0.0", previous=None), sidecar())
    assert result.empty
    assert result.bump.level == "none"


@pytest.mark.parametrize(
    ("section", "old", "new", "expected"),
    [
        (
            "metadata",
            {"owner": "A", "description": None},
            {"owner": "B", "description": "D"},
            {
                "changed": [{"name": "owner", "a": "A", "b": "B"}],
                "added": [{"name": "description", "value": "D"}],
                "removed": [],
            },
        ),
        (
            "format",
            {"format__opsets": {"ai.onnx": 17, "ai.onnx.ml": 3}},
            {"format__opsets": {"ai.onnx": 18, "x": 1}},
            {
                "changed": [{"name": "opsets.ai.onnx", "a": 17, "b": 18}],
                "added": [{"name": "opsets.x", "value": 1}],
                "removed": [{"name": "opsets.ai.onnx.ml", "value": 3}],
            },
        ),
        (
            "params",
            {"params": {"params.yaml": {"a": {"b": 1}, "depth": None, "flag": True}}},
            {"params": {"params.yaml": {"a.b": 2, "depth": 3, "flag": 1}}},
            {
                "changed": [
                    {"name": "params.yaml:a.b", "a": 1, "b": 2},
                    {"name": "params.yaml:depth", "a": None, "b": 3},
                    {"name": "params.yaml:flag", "a": True, "b": 1},
                ],
                "added": [],
                "removed": [],
            },
        ),
        (
            "metrics",
            {"metrics": {"accuracy": 0.95, "loss": 1.0, "foo": 1, "old": 1}},
            {"metrics": {"accuracy": 0.97, "loss": 1.5, "foo": 2, "new": 1}},
            {
                "changed": [
                    {"name": "accuracy", "a": 0.95, "b": 0.97, "delta": 0.02, "direction": "max", "better": True},
                    {"name": "foo", "a": 1, "b": 2, "delta": 1, "direction": None, "better": None},
                    {"name": "loss", "a": 1.0, "b": 1.5, "delta": 0.5, "direction": "min", "better": False},
                ],
                "added": [{"name": "new", "value": 1}],
                "removed": [{"name": "old", "value": 1}],
            },
        ),
        (
            "lineage",
            {},
            {
                "lineage": [
                    {
                        "stage": "train",
                        "cmd": "python t.py",
                        "deps": [{"path": "train.py", "md5": "f8b0b924ebd7046dbfa85a856e4682c8", "bytes": 5}],
                        "outs": [{"path": "build/digits.joblib", "md5": "0" * 32, "bytes": 7}],
                    }
                ]
            },
            {
                "changed": [
                    {"name": "train.cmd", "a": "python train.py", "b": "python t.py"},
                    {
                        "name": "train.outs.build/digits.joblib",
                        "a": {"md5": "2af2584abc1418fcc1098807a7129ddb", "bytes": 6},
                        "b": {"md5": "0" * 32, "bytes": 7},
                    },
                ],
                "added": [],
                "removed": [],
            },
        ),
        (
            "validation",
            {},
            {"validation": {"ok": True, "checks": []}},
            {
                "changed": [],
                "added": [],
                "removed": [
                    {
                        "name": "checks.parity",
                        "value": {"ok": True, "value": 1e-6, "limit": 0.001, "message": "largest difference"},
                    }
                ],
            },
        ),
        (
            "signature",
            {},
            {"signature__inputs": [{"name": "X", "dtype": "float64", "shape": ["N", 64]}], "signature__labels": None},
            {
                "changed": [
                    {
                        "name": "inputs.X",
                        "a": {"dtype": "float32", "shape": ["N", 64]},
                        "b": {"dtype": "float64", "shape": ["N", 64]},
                    }
                ],
                "added": [],
                "removed": [{"name": "labels", "value": list(range(10))}],
            },
        ),
        (
            "signature",
            {},
            {"signature__outputs": GOLDEN["signature"]["outputs"][::-1]},
            {
                "changed": [{"name": "outputs", "a": ["label", "probabilities"], "b": ["probabilities", "label"]}],
                "added": [],
                "removed": [],
            },
        ),
        (
            "environment",
            {},
            {"environment": None},
            {
                "changed": [],
                "added": [],
                "removed": [
                    {"name": "python", "value": "3.11.7"},
                    {"name": "platform", "value": "linux-x86_64"},
                    {"name": "packages.scikit-learn", "value": "1.9.1"},
                    {"name": "packages.skl2onnx", "value": "1.20.0"},
                ],
            },
        ),
        (
            "metadata",
            {},
            {"sbom": {"parts": [1]}},
            {"changed": [], "added": [{"name": "sbom.parts", "value": [1]}], "removed": []},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_sections(section, old, new, expected):
    assert only(diff(sidecar(**old), sidecar(**new)), section) == expected


def test_overridden_direction():
    a, b = sidecar(metrics={"accuracy": 0.9}), sidecar(metrics={"accuracy": 0.8})
    assert only(diff(a, b, directions={"accuracy": "min"}), "metrics")["changed"][0]["better"] is True


def test_tensors():
    a = [tensor("same"), tensor("moved", l2=2.0, mean=0.0, max=1.0, min=-1.0), tensor("gone", "1"), tensor("old", "9")]
    b = [
        tensor("same"),
        tensor("moved", "b", l2=3.0, mean=0.0, max=1.0, min=-1.0),
        tensor("new", "2"),
        tensor("now", "9"),
    ]
    result = only(diff(sidecar(), sidecar(), tensors_a=a, tensors_b=b), "tensors")
    assert result["same"] == 1
    assert [(c["name"], c["moved"]) for c in result["changed"]] == [("moved", 0.5)]
    assert result["changed"][0]["b"]["l2"] == 3.0
    assert result["changed"][0]["a"]["shape"] == [2]
    assert [e["name"] for e in result["added"]] == ["new"]
    assert [e["name"] for e in result["removed"]] == ["gone"]
    assert result["renamed"] == [{"name": "now", "a": "old", "b": "now"}]


def test_equal_contents_are_paired_by_name():
    zeros = [tensor(name, "0") for name in ("a1", "a2", "a3")]
    others = [tensor(name, "0") for name in ("b1", "b2")] + [tensor("b3", "0", shape=(1, 2))]
    result = only(diff(sidecar(), sidecar(), tensors_a=zeros, tensors_b=others), "tensors")
    assert [(c["a"], c["b"]) for c in result["renamed"]] == [("a1", "b1"), ("a2", "b2")]
    assert [e["name"] for e in result["removed"]] == ["a3"]
    assert [e["name"] for e in result["added"]] == ["b3"]


def test_files():
    a = [file("same"), file("changed", "1"), file("old", "2"), file("gone", "3")]
    b = [file("same"), file("changed", "4", 7), file("new", "2"), file("come", "5")]
    result = only(diff(sidecar(), sidecar(), files_a=a, files_b=b), "files")
    assert result == {
        "changed": [{"name": "changed", "a": {"bytes": 1, "sha256": "1" * 64}, "b": {"bytes": 7, "sha256": "4" * 64}}],
        "added": [{"name": "come", "value": {"bytes": 1, "sha256": "5" * 64}}],
        "removed": [{"name": "gone", "value": {"bytes": 1, "sha256": "3" * 64}}],
        "renamed": [{"name": "new", "a": "old", "b": "new"}],
    }


def test_a_new_model_is_all_added():
    result = diff(None, sidecar(), tensors_b=[tensor("t")], files_b=[file("f")])
    assert result.a is None
    assert not result.empty
    assert (result.bump.level, result.bump.reasons) == ("none", ("first version",))
    assert {"name": "inputs.X", "value": {"dtype": "float32", "shape": ["N", 64]}} in result.to_dict()["signature"][
        "added"
    ]
    assert all(not (s.removed or s.changed) for s in result.sections.values())
    assert diff(sidecar(), None).bump.level == "major"
    assert diff(None, None).empty


def test_equality_is_that_of_json():
    assert same(1, 1.0)
    assert not same(1, True)
    assert not same([True], [1])
    assert same({"a": 1, "b": [2]}, {"b": [2], "a": 1})
    assert not same(None, {})


def entry_of(array):
    data = array.astype(np.float64)
    return TensorEntry(
        "t",
        "float64",
        array.shape,
        array.nbytes,
        "a" * 64,
        l2=float(np.linalg.norm(data)),
        min=float(data.min()),
        max=float(data.max()),
        mean=float(data.mean()),
    )


@given(st.data())
def test_moved_is_a_lower_bound(data):
    count = data.draw(st.integers(1, 30))
    values = st.lists(st.floats(-100, 100), min_size=count, max_size=count)
    a, b = (np.array(data.draw(values)) for _ in range(2))
    bound = moved_at_least(entry_of(a), entry_of(b))
    norm = np.linalg.norm(a)
    if norm == 0:
        assert bound is None
    elif bound is not None and norm > 1e-100:
        # Rounding: half a digit of the four printed, and the cancellation in l2² - n·mean².
        assert bound <= np.linalg.norm(b - a) / norm * 1.0006 + 1e-6 * (1 + np.linalg.norm(b) / norm)


def test_moved_where_it_is_exact():
    ones = np.ones(100)
    assert moved_at_least(entry_of(ones), entry_of(ones * 3)) == pytest.approx(2.0)
    spike = np.zeros(100)
    spike[3] = 10.0
    moved = np.roll(spike, 1)
    assert moved_at_least(entry_of(spike), entry_of(moved)) == 0.0  # permuted: no statistic tells


@pytest.mark.parametrize("changes", [{"l2": None}, {"mean": None}, {"l2": 0.0}, {"nonfinite": 1}, {"shape": (1, 2)}])
def test_moved_unknown(changes):
    facts = {"shape": (2,), "l2": 1.0, "mean": 0.0, "min": -1.0, "max": 1.0}
    a, b = tensor("t", **(facts | changes)), tensor("t", "b", **facts)
    assert moved_at_least(a, b) is None


names = st.sampled_from(["x", "y", "z"])
dims = st.none() | st.integers(1, 3) | st.sampled_from(["N", "M"])
value = st.fixed_dictionaries(
    {"name": names, "dtype": st.sampled_from(["float32", "int64"]), "shape": st.lists(dims, max_size=3)}
)
values = st.lists(value, max_size=3, unique_by=lambda v: v["name"])
signatures = st.none() | st.fixed_dictionaries(
    {"inputs": values, "outputs": values, "labels": st.none() | st.lists(st.sampled_from("abc"), max_size=3)}
)
formats = st.none() | st.fixed_dictionaries(
    {
        "name": st.sampled_from(["onnx", "safetensors"]),
        "opsets": st.dictionaries(names, st.integers(1, 3), max_size=2),
        "producer": st.none() | names,
    }
)
sidecars = st.builds(
    lambda **facts: sidecar() | facts,
    license=st.none() | st.sampled_from(["mit", "gpl-3.0", "agpl-3.0", "odd"]),
    format=formats,
    signature=signatures,
    metrics=st.dictionaries(st.sampled_from(["loss", "f1", "x"]), st.integers(0, 3), max_size=3),
    params=st.dictionaries(names, st.dictionaries(names, st.integers(0, 2) | st.booleans() | st.none()), max_size=2),
    variants=st.dictionaries(names, st.just({"bytes": 1}), max_size=2),
    lineage=st.lists(
        st.fixed_dictionaries({"stage": names, "cmd": names, "deps": st.just([]), "outs": st.just([])}),
        max_size=2,
        unique_by=lambda s: s["stage"],
    ),
)
tensors = st.lists(
    st.builds(tensor, names, st.sampled_from("ab"), st.sampled_from([(2,), (1, 2)])),
    max_size=3,
    unique_by=lambda t: t.name,
)
files = st.lists(st.builds(file, names, st.sampled_from("ab")), max_size=3, unique_by=lambda f: f.path)
sides = st.tuples(sidecars, tensors, files)


def compared(a, b):
    return diff(a[0], b[0], tensors_a=a[1], tensors_b=b[1], files_a=a[2], files_b=b[2])


@given(sides)
def test_nothing_differs_from_itself(side):
    result = compared(side, copy.deepcopy(side))
    assert result.empty
    assert result.bump.level == "none"
    assert result.bump.reasons == ()


@given(sides, sides)
def test_swapping_the_sides_swaps_the_parts(a, b):
    there, back = compared(a, b), compared(b, a)
    for name in SECTIONS:
        one, other = there.sections[name], back.sections[name]
        assert sorted(map(repr, one.added)) == sorted(map(repr, other.removed))
        assert sorted(map(repr, one.removed)) == sorted(map(repr, other.added))
        assert sorted((c.name, repr(c.a), repr(c.b)) for c in one.changed) == sorted(
            (c.name, repr(c.b), repr(c.a)) for c in other.changed
        )
        assert {(c.a, c.b) for c in one.renamed or ()} == {(c.b, c.a) for c in other.renamed or ()}
        assert one.same == other.same


@given(sides, sides)
def test_a_difference_has_a_bump_with_reasons_and_no_difference_has_none(a, b):
    result = compared(a, b)
    assert (result.bump.level == "none") == result.empty
    assert bool(result.bump.reasons) == (not result.empty)
    assert all(reason.isprintable() and len(reason) < 300 for reason in result.bump.reasons)
    json.dumps(result.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"metrics": {"accuracy": 0.5}}, None),
        ({"license": "agpl-3.0"}, None),  # major, but breaks no code
        ({"variants": {}}, None),
        ({"signature__labels": [f"label {n}" for n in range(10)]}, "labels changed"),
        ({"signature__inputs": []}, "removed"),
        ({"format": {"name": "safetensors"}, "signature": None}, "format changed"),
    ],
)
def test_callers_must_change_where_they_would_break(changes, why):
    found = diff(sidecar(), sidecar(**changes)).to_dict()["caller"]
    assert found["must_change"] is (why is not None)
    assert why is None or any(why in text for text in found["why"])


def test_a_model_that_went_breaks_its_callers_and_a_new_one_has_none():
    assert diff(sidecar(), None).caller == ("model removed",)
    assert diff(None, sidecar()).caller == ()
