import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelver.core.export_options import ExportOptions, InputSpec, parse_export
from modelver.core.gates import Gate
from modelver.core.model_settings import parse_settings
from modelver.core.parity import Limits
from modelver.errors import InvalidInput


def test_an_empty_entry_has_all_defaults():
    found = parse_settings("m", {})
    assert (found.source, found.framework, found.data, found.target, found.task) == (None,) * 5
    assert (found.gates, found.parity, found.export) == ((), Limits(), ExportOptions())


def test_a_full_entry():
    found = parse_settings(
        "team/m",
        {
            "source": "build/m.joblib", "framework": "sklearn", "data": "data/test.csv", "target": "y",
            "task": "regression", "gates": {"r2": {"min": 0}}, "parity": {"rtol": 0.1},
            "export": {"opset": 15, "ir_version": 8, "rows": 7, "dtype": "float64"},
            "optimize": {"of": "another command"},
        },
    )  # fmt: skip
    assert found.source == "build/m.joblib"
    assert found.gates == (Gate("r2", 0.0),)
    assert found.export == ExportOptions(15, 8, 7, "float64")


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"source": "/etc/passwd"}, "source"),
        ({"source": "../x"}, "source"),
        ({"source": 3}, "source"),
        ({"source": ""}, "source"),
        ({"data": "a/../../b"}, "data"),
        ({"data": ["a"]}, "data"),
        ({"target": 1.5}, "target"),
        ({"task": "magic"}, "task"),
        ({"export": []}, "export"),
        ({"export": {"opsets": 3}}, "export"),
        ({"export": {"opset": "17"}}, "export.opset"),
        ({"export": {"opset": True}}, "export.opset"),
        ({"export": {"rows": 0}}, "export.rows"),
        ({"export": {"dtype": "float8"}}, "export.dtype"),
        ({"export": {"builder": "module"}}, "export.builder"),
        ({"export": {"builder": "os:system('x')"}}, "export.builder"),
        ({"export": {"inputs": {"x": [1]}}}, "export.inputs"),
        ({"export": {"inputs": [{"name": "x"}]}}, "export.inputs"),
        ({"export": {"inputs": [{"name": "x y", "shape": [1]}]}}, "export.inputs"),
        ({"export": {"inputs": [{"name": "x", "shape": ["N", 0]}]}}, "export.inputs"),
        ({"export": {"inputs": [{"name": "x", "shape": ["N", True]}]}}, "export.inputs"),
        ({"export": {"inputs": [{"name": "x", "shape": ["a-b"]}]}}, "export.inputs"),
        ({"export": {"inputs": [{"name": "x", "shape": ["N"], "dtype": "float8"}]}}, "export.inputs"),
        ({"export": {"inputs": [{"name": "x", "shape": ["N"]}] * 2}}, "export.inputs"),
        ({"export": {"outputs": ["a", "a"]}}, "export.outputs"),
        ({"export": {"labels": ["a", False]}}, "export.labels"),
        ({"export": {"labels": ["a", "a"]}}, "export.labels"),
        ({"export": {"labels": [["a"]]}}, "export.labels"),
        ({"gates": {"a": 1}}, "gates.a"),
        ({"parity": {"a": 1}}, "parity"),
    ],
)
def test_mistakes_name_model_and_field(entry, field):
    with pytest.raises(InvalidInput, match=rf"modelver\.models\.m\.{field}"):
        parse_settings("m", entry)


@pytest.mark.parametrize("entry", [[], None, "x", 3])
def test_an_entry_that_is_no_mapping_is_refused(entry):
    with pytest.raises(InvalidInput, match="must be a mapping"):
        parse_settings("m", entry)


@pytest.mark.parametrize("name", ["../m", "", "-d", "a\nb"])
def test_hostile_names_are_refused(name):
    with pytest.raises(InvalidInput):
        parse_settings(name, {})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
KEYS = st.sampled_from(["source", "framework", "data", "target", "task", "gates", "parity", "export"])


def test_inputs_outputs_and_labels():
    found = parse_export(
        {
            "builder": "src.nets:build",
            "inputs": [{"name": "image", "shape": ["N", 1, 8, 8]}, {"name": "ids", "shape": ["N"], "dtype": "int64"}],
            "outputs": ["logits"],
            "labels": ["no", "yes"],
        },
        "here",
    )
    assert found.inputs == (InputSpec("image", ("N", 1, 8, 8), "float32"), InputSpec("ids", ("N",), "int64"))
    assert (found.builder, found.outputs, found.labels) == ("src.nets:build", ("logits",), ("no", "yes"))


EXPORT = st.sampled_from(["opset", "ir_version", "rows", "dtype", "builder", "inputs", "outputs", "labels"])


@given(st.dictionaries(EXPORT, JSON, max_size=4))
def test_any_export_options_are_understood_or_refused(options):
    found: object
    try:
        found = parse_export(options, "here")
    except InvalidInput as error:
        found = str(error)
    assert isinstance(found, ExportOptions) or str(found).startswith("here")


@given(st.dictionaries(KEYS, JSON, max_size=4))
def test_anything_is_understood_or_refused(entry):
    try:
        found = parse_settings("m", entry).source
    except InvalidInput as error:
        found = str(error)
    assert found == entry.get("source") or "modelver.models.m" in str(found)
