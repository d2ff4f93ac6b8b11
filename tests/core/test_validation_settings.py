import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelver.core.slices import Condition, Slice, parse_conditions, parse_slices
from modelver.core.validation_settings import LatencySettings, parse_validation
from modelver.errors import InvalidInput


def test_nothing_asked_for():
    asked = parse_validation("m", {"targets": None, "validate": {}})
    assert (asked.targets, asked.slices, asked.functions, asked.canary, asked.latency) == (
        ("onnxruntime",), (), {}, True, None,
    )  # fmt: skip
    assert set(asked.edges.values()) == {"report"}


def test_everything_asked_for():
    entry = {
        "targets": ["reference", "onnxruntime", "openvino"],
        "validate": {
            "slices": {"young": "age < 30"}, "metrics": {"profit": "scoring.money:profit"},
            "edges": {"nan": "answer", "text": False}, "canary": False,
            "latency": {
                "baseline": "m#prod", "rounds": 3, "runs": 9, "max_ratio": {"p95": 1.5},
                "max_target_ratio": {"openvino": 4},
            },
        },
    }  # fmt: skip
    asked = parse_validation("m", entry)
    assert asked.targets == ("onnxruntime", "openvino", "reference")
    assert asked.slices == (Slice("young", (Condition("age", "<", 30.0),)),)
    assert asked.functions == {"profit": "scoring.money:profit"}
    assert asked.edges == {"batch": "report", "nan": "answer", "extremes": "report", "text": "off"}
    assert asked.latency == LatencySettings("m#prod", 3, 9, {"p95": 1.5}, {"openvino": 4.0})
    assert not asked.canary


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"targets": "openvino"}, "targets"),
        ({"targets": ["../x"]}, "targets"),
        ({"validate": []}, "validate"),
        ({"validate": {"slice": {}}}, "validate"),
        ({"validate": {"canary": "no"}}, "validate.canary"),
        ({"validate": {"metrics": {"m": "os.system"}}}, "validate.metrics.m"),
        ({"validate": {"metrics": {"m": "a:b()"}}}, "validate.metrics.m"),
        ({"validate": {"metrics": {"a.b": "a:b"}}}, "validate.metrics"),
        ({"validate": {"edges": {"nan": "maybe"}}}, "validate.edges.nan"),
        ({"validate": {"edges": {"cold": "off"}}}, "validate.edges"),
        ({"validate": {"latency": {"baseline": "main"}}}, "validate.latency.baseline"),
        ({"validate": {"latency": {"runs": 1}}}, "validate.latency.runs"),
        ({"validate": {"latency": {"max_ratio": {"p95": 0}}}}, "validate.latency.max_ratio.p95"),
        ({"validate": {"latency": {"max_target_ratio": 3}}}, "validate.latency.max_target_ratio"),
        ({"validate": {"latency": {"max_target_ratio": {"openvino": 3}}}}, "validate.latency.max_target_ratio"),
        ({"validate": {"latency": {"max_target_ratio": {"onnxruntime": 3}}}}, "validate.latency.max_target_ratio"),
        (
            {"targets": ["openvino"], "validate": {"latency": {"max_target_ratio": {"openvino": "3"}}}},
            "validate.latency.max_target_ratio.openvino",
        ),
        ({"validate": {"slices": {"a.b": "x < 1"}}}, "validate.slices"),
        ({"validate": {"slices": {"a": 3}}}, "validate.slices.a"),
    ],
)
def test_mistakes_name_the_field(entry, field):
    with pytest.raises(InvalidInput) as caught:
        parse_validation("m", entry)
    assert f"params.yaml, modelver.models.m.{field}" in caught.value.message


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("age<30", [("age", "<", 30.0)]),
        ('age >= -1.5e3 and sex == "f"', [("age", ">=", -1500.0), ("sex", "==", "f")]),
        ("`sepal length (cm)` != .5", [("sepal length (cm)", "!=", 0.5)]),
        ("place == 'a and b < 3'", [("place", "==", "a and b < 3")]),
        ("größe > 1", [("größe", ">", 1.0)]),
        ("and == 1 and and == 2", [("and", "==", 1.0), ("and", "==", 2.0)]),
    ],
)
def test_conditions(text, conditions):
    assert parse_conditions(text, "s") == tuple(Condition(*condition) for condition in conditions)


@pytest.mark.parametrize(
    "text",
    ["", "age", "age <", "< 30", "age < 30 or b < 1", "age < 30 and", "age < b", "3 < age", "age < 'x'", "age = 3",
     "__import__('os')", "a < 1; b", "a == 1e999", "a < 3x", "x" * 3000, "a == \"b"],
)  # fmt: skip
def test_what_is_no_comparison_is_refused(text):
    with pytest.raises(InvalidInput, match="slices"):
        parse_conditions(text, "slices.s")


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(InvalidInput):
        parse_conditions(text, "s")
    with contextlib.suppress(InvalidInput):
        parse_slices({text: text}, "s")
