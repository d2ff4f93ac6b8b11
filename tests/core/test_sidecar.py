"""The sidecar: built, checked and ordered, against a golden file of every schema version ever released."""

import copy
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from modelver.core import sidecar
from modelver.core.card import CardFacts
from modelver.core.manifest import FileEntry, TensorEntry, load_files, load_tensors
from modelver.errors import InvalidInput

GOLDEN = Path(__file__).parent.parent / "golden"
GRAPH = FileEntry(
    "model.onnx",
    5,
    "f8b0b924ebd7046dbfa85a856e4682c8",
    "eef93e1d14482804277fca0172464032d1a4fdbcc338524059fa1e861454ad4d",
)
TENSOR = FileEntry(
    "tensors/t",
    6,
    "2af2584abc1418fcc1098807a7129ddb",
    "cf4051ef5db4ce6e38aa9e5e2bc54993328ac077a19a8db4a8beff792afed5a9",
)


def golden(name="sidecar-1"):
    return yaml.safe_load((GOLDEN / f"{name}.yaml").read_text())


def built(**changes):
    """From inputs with keys in another order than the sidecar's."""
    arguments = {
        "model": "digits",
        "version": "v1.1.0",
        "previous": "v1.0.0",
        "kind": "pipeline",
        "path": "models/digits/weights",
        "desc": "ignored, for the card has one",
        "card": CardFacts("Handwritten digits", "Maria", "apache-2.0", "Teaching.", None),
        "md5": "b4542c22657ec0f8139b66dbd6271970.dir",
        "files": [TENSOR, GRAPH],
        "tensors": [
            TensorEntry("W", "float32", (64, 10), 2560, "a" * 64),
            TensorEntry("b", "float32", (10,), 40, "b" * 64),
        ],
        "source": {
            "kind": "pipeline",
            "environment": {
                "packages": {"skl2onnx": "1.20.0", "scikit-learn": "1.9.1"},
                "platform": "linux-x86_64",
                "python": "3.11.7",
            },
            "graph": {
                "digest": f"{2:064x}",
                "nodes": 2,
                "operators": {"ai.onnx/Softmax": 1, "ai.onnx/MatMul": 1},
            },
            "signature": {
                "labels": list(range(10)),
                "inputs": [{"shape": ["N", 64], "name": "X", "dtype": "float32"}],
                "outputs": [
                    {"name": "label", "dtype": "int64", "shape": ["N"]},
                    {"name": "probabilities", "dtype": "float32", "shape": ["N", 10]},
                ],
            },
            "format": {
                "metadata": {},
                "functions": 0,
                "producer": "skl2onnx 1.20.0",
                "opsets": {"ai.onnx.ml": 3, "ai.onnx": 17},
                "ir_version": 10,
                "name": "onnx",
            },
            "source": {
                "sha256": f"{1:064x}",
                "bytes": 123,
                "framework_version": "1.9.1",
                "framework": "scikit-learn",
                "format": "joblib",
                "path": "build/digits.joblib",
            },
        },
        "validation": {
            "ok": True,
            "metrics": {"per_class": {"f1": 0.96}, "accuracy": 0.97, "passed": True},
            "checks": [
                {
                    "name": "parity",
                    "ok": True,
                    "value": 1e-6,
                    "limit": 1e-3,
                    "message": "largest difference",
                    "hint": "",
                }
            ],
            "targets": {"onnxruntime": {"version": "1.31.1", "ok": True, "ran": True}},
        },
        "lineage": [
            {
                "stage": "train",
                "cmd": "python train.py",
                "outs": [{"md5": TENSOR.md5, "path": "build/digits.joblib", "bytes": 6}],
                "deps": [{"bytes": 5, "path": "train.py", "md5": GRAPH.md5}],
            }
        ],
        "params": {"params.yaml": {"train.max_iter": 100, "train.C": 0.1}},
    }
    return sidecar.build(**(arguments | changes))


def same_with_order(a, b):
    if isinstance(a, dict):
        return list(a) == list(b) and all(same_with_order(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same_with_order, a, b))
    return type(a) is type(b) and a == b


def test_built_as_the_golden_file():
    assert same_with_order(built(), golden())


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("sidecar-*.yaml")), ids=lambda p: p.stem)
def test_golden_files_are_valid_and_in_order(path):
    document = golden(path.stem)
    sidecar.validate(document, path.name)
    assert same_with_order(sidecar.ordered(document), document)


def test_plain_model_of_one_file():
    file = FileEntry("tiny.GGUF", 5, GRAPH.md5, GRAPH.sha256)
    document = built(
        kind="plain", path="build/tiny.GGUF", md5=GRAPH.md5, files=[file], tensors=None, source=None, validation=None
    )
    assert document["weights"] == {
        "path": "build/tiny.GGUF",
        "md5": GRAPH.md5,
        "sha256": GRAPH.sha256,
        "bytes": 5,
        "files": 1,
        "tensors": None,
        "parameters": None,
    }
    assert document["source"]["format"] == "gguf"
    assert document["source"]["sha256"] == GRAPH.sha256
    absent = ("format", "signature", "graph", "validation", "environment")
    assert [document[key] for key in absent] == [None] * 5
    assert (document["metrics"], document["targets"]) == ({}, {})


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["model.gguf", "tokenizer.json"], "gguf"),
        (["a.pkl", "b.pt"], "files"),
        (["README"], "files"),
        (["sub.onnx/part"], "files"),
        (["a.pt", "b.pth"], "pytorch"),
    ],
)
def test_plain_format(names, expected):
    assert sidecar.plain_format([FileEntry(n, 1, "0" * 32, "0" * 64) for n in names]) == expected


def test_description_falls_back_to_the_artifacts():
    assert built(card=CardFacts(), desc="From dvc.yaml")["description"] == "From dvc.yaml"
    assert built(card=CardFacts(), desc="")["description"] is None


def test_a_nan_metric_is_refused_and_a_nan_parity_is_absent():
    with pytest.raises(InvalidInput, match=r"metrics\.accuracy: nan is not a finite number"):
        built(validation={"ok": True, "metrics": {"accuracy": float("nan")}})
    check = {"name": "parity", "ok": False, "value": float("nan"), "limit": 0.1, "message": "NaN in the output"}
    document = built(validation={"ok": False, "checks": [check]})
    assert document["validation"]["checks"][0]["value"] is None


@pytest.mark.parametrize(
    "validation",
    [
        {"ok": True, "metrics": [1]},
        {"ok": True, "checks": {"a": 1}},
        {"ok": True, "checks": ["a"]},
        {"ok": True, "targets": "all"},
        {"metrics": {}},
    ],
)
def test_malformed_validation_documents(validation):
    with pytest.raises(InvalidInput):
        built(validation=validation)


def test_deep_metrics_are_refused():
    nested = {"x": 1}
    for _ in range(900):
        nested = {"x": nested}
    with pytest.raises(InvalidInput, match="levels deep"):
        built(validation={"ok": True, "metrics": nested})


def test_onnx_values_without_type_or_rank():
    # ONNX requires neither of graph inputs and outputs in every case, so a model may come without.
    document = golden()
    document["signature"]["outputs"] = [{"name": "y", "dtype": None, "shape": None}]
    sidecar.validate(document, "m.yaml")  # raises where it does not hold
    for wrong in (3, ["float32"]):
        document["signature"]["outputs"][0]["dtype"] = wrong
        with pytest.raises(InvalidInput, match=r"signature\.outputs"):
            sidecar.validate(document, "m.yaml")


def put(document, path, value):
    *parents, last = path
    for key in parents:
        document = document[key]
    document[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["weights", "bytes"], -1, r"m\.yaml: weights\.bytes: -1 is less than 0"),
        (["weights", "bytes"], "5", r"m\.yaml: weights\.bytes: expected integer, found string"),
        (["weights", "md5"], "x", r"m\.yaml: weights\.md5: 'x' does not have the expected form"),
        (["kind"], "magic", r"kind: 'magic' is none of pipeline, ingested, plain"),
        (["version"], 1.1, r"version: 1\.1.* is read as number, not as text"),
        (["version"], "1.1.0", r"version: '1\.1\.0' does not have the expected form"),
        (["previous"], True, r"previous: .*not as text"),
        (["license"], False, r"license: expected (null or string|string or null), found boolean"),
        (["signature", "inputs", 0, "shape", 1], 2.5, r"signature\.inputs\[0\]\.shape\[1\]: expected .*found number"),
        (["metrics", "accuracy"], float("inf"), r"metrics\.accuracy: inf is not a finite number"),
        (["params", "params.yaml", "x"], {1: 2}, r"params\.params\.yaml\.x\.1: the name is integer, not text"),
        (["variants", "x"], {"d": object()}, r"variants\.x\.d: object where"),
        (["metrics"], None, r"metrics: expected object, found null"),
        (["graph"], {"nodes": 1}, r"graph: field \w+ is missing"),
    ],
)
def test_errors_name_file_and_field(path, value, message):
    document = golden()
    put(document, path, value)
    with pytest.raises(InvalidInput, match=message) as caught:
        sidecar.validate(document, "m.yaml")
    assert "m.yaml" in caught.value.message


def test_a_number_too_long_to_spell_out():
    with pytest.raises(InvalidInput, match=r"version: a number of 16,610 bits is read as integer"):
        sidecar.validate(golden() | {"version": 10**5000}, "m.yaml")


@pytest.mark.parametrize("key", list(golden()))
def test_every_key_is_required(key):
    document = golden()
    del document[key]
    with pytest.raises(InvalidInput, match=key):
        sidecar.validate(document, "m.yaml")


@pytest.mark.parametrize("place", ["value", "name"])
def test_half_a_surrogate_pair_is_refused_in_words(place):
    """JSON and YAML can spell it; UTF-8, in which the sidecar is written, can't."""
    document = golden()
    document["metrics"] = {"a": {"b": "x\ud800"}} if place == "value" else {"a\udfff": 1.0}
    with pytest.raises(InvalidInput, match="UTF-8"):
        sidecar.validate(document, "m.yaml")


@pytest.mark.parametrize("load", [load_files, load_tensors])
def test_half_a_surrogate_pair_in_a_manifest(load):
    entry = {
        "path": "a\ud800", "name": "a\ud800", "dtype": "float32", "shape": [1], "bytes": 4, "md5": "0" * 32,
        "sha256": "0" * 64,
    }  # fmt: skip
    with pytest.raises(InvalidInput, match="line 1"):
        load(json.dumps(entry).encode())


@pytest.mark.parametrize("schema", ["modelver/sidecar/2", "modelver/sidecar/17"])
def test_a_newer_schema_asks_for_an_upgrade(schema):
    document = golden() | {"schema": schema}
    assert sidecar.is_newer(document)
    with pytest.raises(InvalidInput, match="newer") as caught:
        sidecar.validate(document, "m.yaml")
    assert "upgrade modelver" in caught.value.hint


@pytest.mark.parametrize("schema", [None, 1, "other", ""])
def test_another_schema_is_refused(schema):
    assert not sidecar.is_newer({"schema": schema})
    with pytest.raises(InvalidInput, match="schema"):
        sidecar.validate(golden() | {"schema": schema}, "m.yaml")


@pytest.mark.parametrize("document", [None, [], "text", 3, {}])
def test_not_a_sidecar(document):
    with pytest.raises(InvalidInput):
        sidecar.validate(document, "m.yaml")


def test_unknown_keys_are_kept_at_the_end():
    document = {"zebra": 1, **golden(), "apple": {"b": 1, "a": 2}}
    document["weights"] = {"sha512": "x", **document["weights"]}
    sidecar.validate(document, "m.yaml")
    result = sidecar.ordered(document)
    assert list(result)[-2:] == ["zebra", "apple"]
    assert list(result["apple"]) == ["b", "a"]
    assert list(result["weights"])[-1] == "sha512"


def test_merge_unknown_carries_over_what_is_unknown_and_nothing_else():
    old, new = golden(), golden()
    old["sbom"] = {"a": 1}
    old["weights"]["sha512"] = "x"
    old["metrics"]["gone"] = 1.0  # a known section's data: the new version does not have it
    new["version"] = "v2.0.0"
    new["graph"] = None
    merged = sidecar.merge_unknown(old, new)
    expected = copy.deepcopy(new)
    expected["weights"]["sha512"] = "x"
    expected["sbom"] = {"a": 1}
    assert same_with_order(merged, expected)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_any_value_anywhere_is_accepted_or_refused_in_words(data):
    document = golden()
    key = data.draw(st.sampled_from([*document, "unknown"]))
    document[key] = data.draw(json_values)
    refusal = refused(document)
    if refusal is None:
        assert sidecar.ordered(sidecar.ordered(document)) == sidecar.ordered(document) == document
    else:
        assert refusal.startswith("m.yaml: ")
        assert refusal.isprintable()


def refused(document):
    try:
        sidecar.validate(document, "m.yaml")
    except InvalidInput as error:
        return error.message
    return None
