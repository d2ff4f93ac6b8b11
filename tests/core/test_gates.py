import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelver.core.gates import Check, Gate, judge_gates, parse_gates, rounded
from modelver.errors import InvalidInput

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def test_gates_come_in_the_order_of_names():
    gates = parse_gates({"rmse": {"max": 5}, "accuracy": {"min": 0.9, "max": 1}}, "gates")
    assert gates == (Gate("accuracy", 0.9, 1.0), Gate("rmse", None, 5.0))
    assert parse_gates(None, "gates") == ()


@pytest.mark.parametrize(
    "data",
    [
        [],
        "accuracy",
        {"accuracy": 0.9},
        {"accuracy": {}},
        {"accuracy": None},
        {"accuracy": {"least": 1}},
        {"accuracy": {"min": "0.9"}},
        {"accuracy": {"min": True}},
        {"accuracy": {"min": math.nan}},
        {"accuracy": {"max": math.inf}},
        {"accuracy": {"min": 2, "max": 1}},
        {3: {"min": 1}},
    ],
)
def test_malformed_gates_are_refused_with_their_place(data):
    with pytest.raises(InvalidInput, match=r"params\.yaml, gates"):
        parse_gates(data, "params.yaml, gates")


@given(NUMBERS, NUMBERS)
def test_bounds_are_inclusive(value, bound):
    (low,) = judge_gates([Gate("m", min=bound)], {"m": value})
    (high,) = judge_gates([Gate("m", max=bound)], {"m": value})
    assert low.ok is (value >= bound)
    assert high.ok is (value <= bound)
    assert (low.hint == "") is low.ok


@pytest.mark.parametrize("metrics", [{}, {"other": 1.0}, {"m": math.nan}])
def test_what_was_not_measured_fails(metrics):
    (check,) = judge_gates([Gate("m", min=-1e300)], metrics)
    assert not check.ok
    assert check.value is None


def test_two_bounds_are_two_checks_of_different_names():
    names = [check.name for check in judge_gates([Gate("m", 0.0, 1.0)], {"m": 2.0})]
    assert names == ["gate:m", "gate:m:max"]


def test_records_keep_six_digits_and_nothing_that_json_lacks():
    assert rounded(0.123456789) == 0.123457
    assert rounded(123456789.0) == 123457000.0
    assert rounded(math.nan) is None
    assert rounded(-math.inf) is None
    assert rounded(None) is None
    assert Check("x", True, 1 / 3, 2).to_dict() == {
        "name": "x", "ok": True, "value": 0.333333, "limit": 2.0, "message": "", "hint": ""
    }  # fmt: skip
