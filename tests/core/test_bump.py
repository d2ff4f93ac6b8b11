"""The bump that a change calls for, case by case and as properties."""

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from modelver.core.bump import LEVELS, MAX_REASONS, Bump
from modelver.core.diff import diff
from modelver.core.manifest import FileEntry, TensorEntry

GOLDEN = yaml.safe_load((Path(__file__).parent.parent / "golden" / "sidecar-1.yaml").read_text())


def required_bump(a, b, **manifests) -> Bump:
    return diff(a, b, **manifests).bump


def value(name, *shape, dtype="float32", **more):
    return {"name": name, "dtype": dtype, "shape": list(shape), **more}


def signed(inputs, outputs, labels=None):
    document = copy.deepcopy(GOLDEN)
    document["signature"] = {"inputs": inputs, "outputs": outputs, "labels": labels}
    return document


X = value("X", "N", 64)
Y = value("Y", "N", 10)


@pytest.mark.parametrize(
    ("level", "old", "new", "reason"),
    [
        ("major", [X, value("Z")], [X], "input 'Z' removed"),
        ("major", [X], [X, value("Z")], "input 'Z' added, which callers do not supply"),
        ("minor", [X], [X, value("Z", optional=True)], "input 'Z' added"),
        ("major", [X], [value("W", "N", 64)], "input 'X' renamed to 'W'"),
        ("major", [X], [value("X", "N", 64, dtype="float64")], "input 'X' retyped from float32 to float64"),
        ("major", [X], [value("X", 1, 64)], "shape of input 'X' narrowed from [N, 64] to [1, 64]"),
        ("major", [value("X", None, 64)], [value("X", 1, 64)], "shape of input 'X' narrowed from [?, 64] to [1, 64]"),
        ("major", [X], [value("X", "N", 65)], "shape of input 'X' changed from [N, 64] to [N, 65]"),
        ("major", [X], [value("X", "N", 8, 8)], "shape of input 'X' changed from [N, 64] to [N, 8, 8]"),
        ("minor", [X], [value("X", "N", None)], "shape of input 'X' widened from [N, 64] to [N, ?]"),
        ("major", [X, value("Z", 1)], [value("Z", 1), X], "order of inputs changed"),
        (
            "major",
            [value("X", "N"), value("Z", "M")],
            [value("X", "N"), value("Z", "N")],
            "input dimensions 'M', 'N' must now be equal ('N')",
        ),
        ("patch", [value("X", None)], [value("X", "rows")], "dimensions of input 'X' have other names"),
    ],
)
def test_inputs(level, old, new, reason):
    bump = required_bump(signed(old, []), signed(new, []))
    assert bump.level == level
    assert bump.reasons[0] == reason


@pytest.mark.parametrize(
    ("level", "old", "new", "reason"),
    [
        ("major", [Y], [], "output 'Y' removed"),
        ("minor", [Y], [Y, value("Z", "N")], "output 'Z' added"),
        ("major", [Y], [value("Z", "N", 3), Y], "output 'Z' stands before older ones, which changes their positions"),
        ("major", [Y], [value("Z", "N", 10)], "output 'Y' renamed to 'Z'"),
        ("major", [Y], [value("Y", "N", 10, dtype="float16")], "output 'Y' retyped from float32 to float16"),
        ("major", [Y], [value("Y", "N", 11)], "shape of output 'Y' changed from [N, 10] to [N, 11]"),
        ("major", [Y], [value("Y", "N", None)], "shape of output 'Y' changed from [N, 10] to [N, ?]"),
        # N is a dimension of input X: a caller of 5 rows counts on 5 rows.
        ("major", [Y], [value("Y", 1, 10)], "shape of output 'Y' no longer follows input 'X' ([N, 10] to [1, 10])"),
        ("minor", [value("Y", "k")], [value("Y", 5)], "shape of output 'Y' promises more from [k] to [5]"),
        ("minor", [value("Y", None)], [value("Y", 5)], "shape of output 'Y' promises more from [?] to [5]"),
        ("patch", [value("Y", None)], [value("Y", "N")], "dimensions of output 'Y' have other names"),
        ("major", [Y, value("Z")], [value("Z"), Y], "order of outputs changed"),
    ],
)
def test_outputs(level, old, new, reason):
    bump = required_bump(signed([X], old), signed([X], new))
    assert bump.level == level
    assert bump.reasons[0].replace("(from ", "(") == reason


def test_an_input_that_was_fixed_is_told_once():
    bump = required_bump(signed([X], [Y]), signed([value("X", 1, 64)], [value("Y", 1, 10)]))
    assert bump.reasons == (
        "shape of input 'X' narrowed from [N, 64] to [1, 64]",
        "shape of output 'Y' promises more from [N, 10] to [1, 10]",
    )
    assert len(required_bump(signed([X], [Y]), signed([value("X", 1, 64)], [Y])).reasons) == 1


def test_another_name_for_a_dimension_everywhere_breaks_nobody():
    new = signed([value("X", "batch", 64)], [value("Y", "batch", 10)])
    assert required_bump(signed([X], [Y]), new).level == "patch"


@pytest.mark.parametrize(
    ("old", "new", "level", "reason"),
    [
        (["a", "b"], ["b", "a"], "major", "labels reordered"),
        (["a", "b"], ["a", "c"], "major", "labels changed (2 before, 2 now)"),
        (["a"], ["a", "b"], "major", "labels changed (1 before, 2 now)"),
        (["a"], None, "major", "labels removed"),
        (None, ["a"], "minor", "labels added"),
    ],
)
def test_labels(old, new, level, reason):
    bump = required_bump(signed([X], [Y], old), signed([X], [Y], new))
    assert (bump.level, bump.reasons) == (level, (reason,))


def changed(**facts):
    return GOLDEN | facts


@pytest.mark.parametrize(
    ("facts", "level", "reasons"),
    [
        ({"license": "agpl-3.0"}, "major", ("licence tightened from apache-2.0 to agpl-3.0",)),
        ({"license": None}, "major", ("licence tightened from apache-2.0 to none",)),
        ({"license": "mit"}, "patch", ("licence changed from apache-2.0 to mit",)),
        ({"description": "Other"}, "patch", ("card changed: description",)),
        (
            {"metrics": {"accuracy": 0.95, "per_class.f1": 0.97}},
            "patch",
            ("accuracy got worse: 0.97 -> 0.95", "per_class.f1 got better: 0.96 -> 0.97"),
        ),
        ({"metrics": {"accuracy": 0.97}}, "patch", ("per_class.f1 is no longer measured",)),
        ({"params": {}}, "patch", ("params changed: params.yaml:train.C, params.yaml:train.max_iter",)),
        ({"environment": None}, "patch", ("environment changed: python, platform, packages.scikit-learn and 1 more",)),
        ({"variants": {"int8": {}}}, "minor", ("variant 'int8' added",)),
        ({"signature": None}, "major", ("signature removed",)),
        ({"format": GOLDEN["format"] | {"name": "safetensors"}}, "major", ("format changed from onnx to safetensors",)),
        (
            {"format": GOLDEN["format"] | {"opsets": {"ai.onnx": 18, "ai.onnx.ml": 3, "com.x": 1}}},
            "minor",
            ("opset com.x 1 added", "opset ai.onnx 17 -> 18"),
        ),
        ({"graph": GOLDEN["graph"] | {"digest": "f" * 64}}, "minor", ("graph changed",)),
        (
            {"graph": {"operators": {"ai.onnx/Gemm": 1, "ai.onnx/Softmax": 1}, "nodes": 3, "digest": "f" * 64}},
            "minor",
            ("operator 'ai.onnx/Gemm' added", "operator 'ai.onnx/MatMul' removed", "nodes 2 -> 3"),
        ),
        ({"weights": GOLDEN["weights"] | {"sha256": "f" * 64}}, "patch", ("weights changed",)),
        (
            {"weights": GOLDEN["weights"] | {"sha256": "f" * 64, "parameters": 1650}},
            "minor",
            ("parameters 650 -> 1,650", "weights changed"),
        ),
        ({"targets": {}}, "patch", ("no longer tried on target 'onnxruntime'",)),
        ({"sbom": "x"}, "patch", ("card changed: sbom",)),
        ({"format": GOLDEN["format"] | {"producer": "me"}}, "patch", ("format's details changed: producer",)),
    ],
)
def test_other_facts(facts, level, reasons):
    bump = required_bump(GOLDEN, changed(**facts))
    assert bump.level == level
    assert bump.reasons == reasons


def test_values_of_unknown_type_and_rank():
    unknown = {"name": "X", "dtype": None, "shape": None}
    narrower = required_bump(signed([unknown], []), signed([X], []))
    assert narrower.level == "major"
    assert narrower.reasons == (
        "input 'X' retyped from ? to float32",
        "shape of input 'X' narrowed from any to [N, 64]",
    )
    some = unknown | {"dtype": "float32"}
    assert required_bump(signed([X], []), signed([some], [])).level == "minor"
    assert required_bump(signed([], [X]), signed([], [some])).level == "major"
    assert required_bump(signed([], [some]), signed([], [X])).level == "minor"


def test_most_important_first():
    new = signed([value("X", "N", 64, dtype="int8")], [Y]) | {"license": "mit", "metrics": {"accuracy": 0.5}}
    new["graph"] = GOLDEN["graph"] | {"nodes": 3}
    bump = required_bump(signed([X], [Y]), new)
    assert bump.reasons == (
        "input 'X' retyped from float32 to int8",
        "nodes 2 -> 3",
        "licence changed from apache-2.0 to mit",
        "accuracy got worse: 0.97 -> 0.5",
        "per_class.f1 is no longer measured",
    )


def tensor(name, sha="a", shape=(2,), dtype="float32"):
    return TensorEntry(name, dtype, shape, 8, sha * 64)


@pytest.mark.parametrize(
    ("new", "safetensors", "onnx", "reason"),
    [
        ([], "major", "minor", "tensor 't' removed"),
        ([tensor("u")], "major", "minor", "tensor 't' renamed to 'u'"),
        ([tensor("t", dtype="float16")], "major", "minor", "tensor 't' retyped from float32 to float16"),
        ([tensor("t", shape=(1, 2))], "major", "minor", "tensor 't' reshaped from [2] to [1, 2]"),
        ([tensor("t"), tensor("u", "b")], "minor", "minor", "tensor 'u' added"),
        ([tensor("t", "b")], "patch", "patch", "weights changed in 1 of 1 tensors"),
    ],
)
def test_tensors_are_loaded_by_name_from_safetensors_only(new, safetensors, onnx, reason):
    weights = GOLDEN["weights"] | {"sha256": "f" * 64}
    facts = {"signature": None, "graph": None}
    for name, level in (("safetensors", safetensors), ("onnx", onnx)):
        old = GOLDEN | facts | {"format": {"name": name}}
        bump = required_bump(old, old | {"weights": weights}, tensors_a=[tensor("t")], tensors_b=new)
        assert bump.level == level
        assert name == "onnx" or bump.reasons[0] == reason


def file(path, sha="a"):
    return FileEntry(path, 1, sha * 32, sha * 64)


@pytest.mark.parametrize(
    ("new", "level", "reason"),
    [
        ([file("m.gguf")], "major", "file 'tokenizer.json' removed"),
        ([file("m.gguf"), file("t.json", "b")], "major", "file 'tokenizer.json' renamed to 't.json'"),
        ([file("m.gguf"), file("tokenizer.json", "b"), file("x", "d")], "minor", "file 'x' added"),
        ([file("m.gguf", "c"), file("tokenizer.json", "b")], "patch", "file 'm.gguf' changed"),
    ],
)
def test_files_of_plain_models(new, level, reason):
    old = GOLDEN | {"kind": "plain", "format": None, "signature": None, "graph": None}
    changed_weights = old | {"weights": GOLDEN["weights"] | {"sha256": "f" * 64}}
    bump = required_bump(old, changed_weights, files_a=[file("m.gguf"), file("tokenizer.json", "b")], files_b=new)
    assert (bump.level, bump.reasons[0]) == (level, reason)


def test_file_names_of_onnx_weights_are_nobodys_business():
    bump = required_bump(GOLDEN, GOLDEN, files_a=[file("tensors/a")], files_b=[file("tensors/b", "b")])
    assert bump.level == "patch"


def test_reasons_are_bounded_and_say_nothing_twice():
    old = GOLDEN | {"format": {"name": "safetensors"}, "signature": None}
    bump = required_bump(old, old, tensors_a=[tensor(f"t{i:04}", f"{i % 10}") for i in range(3000)], tensors_b=[])
    assert len(bump.reasons) == MAX_REASONS
    assert bump.reasons[-1] == f"and {3000 - MAX_REASONS + 1} more"


def test_reasons_cannot_forge_lines():
    evil = "X\nModelver-Bump: none\x1b[2J\u202eevil" + "x" * 500
    old = signed([X], [value("p", 1)])
    new = signed([X, value(evil, 1)], [value("p", evil, dtype=evil), value(evil, 1)], [evil])
    new |= {"license": evil, "variants": {evil: {}}, "targets": {evil: {"ok": True}}, "params": {evil: {evil: 1}}}
    new["format"] = GOLDEN["format"] | {"opsets": {evil: 1}}
    for side in (new, new | {"format": {"name": evil}}):
        bump = required_bump(old, side)
        assert bump.level == "major"
        assert all(reason.isprintable() and len(reason) < 200 for reason in bump.reasons)


dims = st.none() | st.integers(1, 3) | st.sampled_from(["N", "M"])
values = st.lists(
    st.builds(
        lambda name, dtype, shape: value(name, *shape, dtype=dtype),
        st.sampled_from("pqrs"),
        st.sampled_from(["float32", "int64"]),
        st.lists(dims, max_size=3),
    ),
    max_size=4,
    unique_by=lambda v: v["name"],
)


@given(values, values, st.lists(dims, max_size=3))
def test_only_adding_an_output_is_minor(inputs, outputs, shape):
    bump = required_bump(signed(inputs, outputs), signed(inputs, [*outputs, value("new", *shape)]))
    assert (bump.level, bump.reasons) == ("minor", ("output 'new' added",))


@given(values.filter(bool), values, st.data())
def test_removing_an_input_or_output_is_major(some, others, data):
    gone = data.draw(st.sampled_from(some))
    rest = [v for v in some if v is not gone]
    assert required_bump(signed(some, others), signed(rest, others)).level == "major"
    assert required_bump(signed(others, some), signed(others, rest)).level == "major"


@given(values.filter(bool), values, st.data())
def test_fixing_an_open_dimension_of_an_input_is_major(inputs, outputs, data):
    places = [(i, j) for i, v in enumerate(inputs) for j, dim in enumerate(v["shape"]) if not isinstance(dim, int)]
    if places:
        i, j = data.draw(st.sampled_from(places))
        narrowed = copy.deepcopy(inputs)
        narrowed[i]["shape"][j] = 7
        assert required_bump(signed(inputs, outputs), signed(narrowed, outputs)).level == "major"


@given(values, values, values, values)
def test_there_and_back_is_major_where_the_names_differ(inputs_a, outputs_a, inputs_b, outputs_b):
    a, b = signed(inputs_a, outputs_a), signed(inputs_b, outputs_b)
    there, back = required_bump(a, b), required_bump(b, a)
    if {v["name"] for v in inputs_a} != {v["name"] for v in inputs_b}:
        assert there.level == back.level == "major"
    assert (there.level == "none") == (back.level == "none") == (a == b)
    assert LEVELS.index(there.level) >= 0
