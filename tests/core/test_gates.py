import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelver.core.gates import (
    Baseline,
    Check,
    Gate,
    judge_against,
    judge_gates,
    merge_gates,
    parse_gates,
    parse_own_gates,
    rounded,
)
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


BASE = {"latest": Baseline("m@v1.0.0", {"accuracy": 0.98, "rmse": 2.0, "score": 1.0})}


@pytest.mark.parametrize(
    ("bounds", "metric", "value", "ok"),
    [
        ({"max_drop": 0.01}, "accuracy", 0.97, True),  # exactly the drop that is allowed, in decimals
        ({"max_drop": 0.01}, "accuracy", 0.969, False),
        ({"max_drop": 0.01}, "accuracy", 1.0, True),
        ({"max_drop": 0}, "accuracy", 0.98, True),
        ({"max_drop": 0.1}, "rmse", 2.1, True),  # of an error, more is worse
        ({"max_drop": 0.1}, "rmse", 2.2, False),
        ({"min_gain": 0.01}, "accuracy", 0.99, True),
        ({"min_gain": 0.01}, "accuracy", 0.985, False),
        ({"min_gain": 0.5}, "rmse", 1.5, True),
        ({"min_gain": 0.5}, "rmse", 1.6, False),
        ({"max_drop": 0.1, "direction": "min"}, "score", 1.2, False),
        ({"max_drop": 0.1, "direction": "min"}, "score", 0.5, True),
    ],
)
def test_bounds_against_a_baseline(bounds, metric, value, ok):
    (check,) = judge_against(parse_gates({metric: bounds}, "gates"), {metric: value}, BASE)
    assert check.ok is ok
    assert check.name == f"gate:{metric}:{next(iter(bounds))}"
    assert "m@v1.0.0 (latest)" in check.message
    assert f"{value:g} against" in check.message
    assert bool(check.hint) is not ok


def test_a_baseline_without_the_metric_fails_and_none_at_all_passes():
    gates = parse_gates({"accuracy": {"max_drop": 0.1}}, "gates")
    (check,) = judge_against(gates, {"accuracy": 0.5}, {"latest": Baseline("m@v1.0.0", {})})
    assert not check.ok
    assert "m@v1.0.0 has no accuracy" in check.message
    (check,) = judge_against(gates, {"accuracy": 0.5}, {"latest": None})
    assert check.ok
    assert "no latest version yet" in check.message
    (check,) = judge_against(gates, {}, {"latest": None})
    assert not check.ok, "a missing metric fails even where there is nothing to compare with"


def test_gates_against_baselines_are_not_judged_with_the_others():
    gates = parse_gates({"accuracy": {"min": 0.5, "max_drop": 0.1, "min_gain": 0}}, "gates")
    assert [c.name for c in judge_gates(gates, {"accuracy": 0.9})] == ["gate:accuracy"]
    names = [c.name for c in judge_against(gates, {"accuracy": 0.9}, BASE)]
    assert names == ["gate:accuracy:max_drop", "gate:accuracy:min_gain"]


def test_a_pattern_judges_every_metric_that_it_matches_and_fails_on_none():
    gates = parse_gates({"slices.*.accuracy": {"min": 0.5}}, "gates")
    metrics = {"accuracy": 0.1, "slices.a.accuracy": 0.6, "slices.b.accuracy": 0.4}
    checks = judge_gates(gates, metrics)
    assert [(c.name, c.ok) for c in checks] == [("gate:slices.a.accuracy", True), ("gate:slices.b.accuracy", False)]
    (check,) = judge_gates(gates, {"accuracy": 1.0})
    assert not check.ok


def test_a_gate_on_a_metric_takes_the_place_of_patterns_and_two_patterns_are_both_judged():
    gates = parse_gates({"a.*": {"min": 0.5}, "*.x": {"min": 0.9}, "a.y": {"min": 0.1}}, "gates")
    checks = judge_gates(gates, {"a.x": 0.7, "a.y": 0.2})
    assert [(c.name, c.ok) for c in checks] == [("gate:a.x", False), ("gate:a.x (a.*)", True), ("gate:a.y", True)]


def test_an_own_gate_takes_the_place_of_the_environments():
    general = parse_gates({"accuracy": {"min": 0.9}, "f1": {"min": 0.8}}, "gates")
    own = parse_gates({"accuracy": {"min": 0.7}, "rmse": {"max": 1}}, "gates")
    assert merge_gates(general, own) == (Gate("accuracy", 0.7), Gate("f1", 0.8), Gate("rmse", None, 1.0))


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"direction": "max"}, "at least one of"),
        ({"max_drop": -0.1}, "0 or more"),
        ({"min_gain": -1}, "0 or more"),
        ({"max_drop": 10**400}, "finite"),
        ({"max_drop": 0.1, "direction": "up"}, "direction"),
        ({"max_drop": 0.1}, "does not follow from its name"),
        ({"max_drop": 0.1, "direction": "max", "baseline": "main"}, "names no version"),
        ({"max_drop": 0.1, "direction": "max", "baseline": "--all"}, "names no version"),
        ({"max_drop": 0.1, "direction": "max", "baseline": 1.0}, "must be text"),
    ],
)
def test_mistakes_in_gates_are_refused(bounds, words):
    with pytest.raises(InvalidInput, match=words) as caught:
        parse_gates({"quux": bounds}, "params.yaml, gates")
    assert "params.yaml, gates.quux" in caught.value.message


@pytest.mark.parametrize("baseline", ["latest", "previous", "v1", "1.2.0", "m@v1.2", "m#prod", "#prod"])
def test_baselines(baseline):
    (gate,) = parse_gates({"accuracy": {"max_drop": 0, "baseline": baseline}}, "gates")
    assert gate.baseline == baseline


def test_a_model_lifts_a_gate_by_its_name_to_the_letter():
    general = parse_gates({"accuracy": {"min": 0.9}, "slices.*.f1": {"min": 0.8}, "rmse": {"max": 1}}, "gates")
    own, lifted = parse_own_gates({"slices.*.f1": None, "accuracy": None, "rmse": {"max": 2}, "mae": None}, "gates")
    assert lifted == ("accuracy", "mae", "slices.*.f1")
    assert merge_gates(general, own, lifted) == (Gate("rmse", None, 2.0),)
    assert merge_gates(general, (), ("slices.a.f1",)) == merge_gates(general, ())
    assert parse_own_gates(None, "gates") == ((), ())
    for bad in ({1: None}, {"": None}, [], {"accuracy": {}}):
        with pytest.raises(InvalidInput, match="gates"):
            parse_own_gates(bad, "gates")
