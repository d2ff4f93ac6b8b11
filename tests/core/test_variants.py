"""What may be asked of variants, and when one passes."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelver.core.variants import METHODS, drop, judge_drops, parse_calibration, parse_variants, refusal, section
from modelver.errors import InvalidInput

WHERE = "params.yaml, modelver.models.m.optimize"


def parse(data):
    return parse_variants(data, WHERE)


def test_nothing_asked_is_nothing():
    assert parse(None) == parse({}) == ()


def test_defaults_are_filled_in_and_names_sorted():
    variants = parse(
        {
            "z": {"method": "graph"},
            "int8": {"method": "dynamic-int8", "max_drop": {"accuracy": 0.01}, "weights": "uint8"},
        }
    )
    assert [variant.name for variant in variants] == ["int8", "z"]
    assert variants[0].max_drop == {"accuracy": 0.01}
    assert variants[0].config == {"weights": "uint8", "per_channel": False, "reduce_range": False, "operators": []}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_accepts_its_own_defaults(method):
    defaults = {name: default for name, (default, _, _) in METHODS[method].items()}
    (variant,) = parse({"v": {"method": method, "max_drop": {"accuracy": 0}, **defaults}})
    assert set(variant.config) == set(defaults)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("int8", "must map"),
        ({"../x": {"method": "graph"}}, "no name"),
        ({"a/b": {"method": "graph"}}, "no name"),
        ({"": {"method": "graph"}}, "no name"),
        ({1: {"method": "graph"}}, "no name"),
        ({"a": {"method": "graph"}, "A": {"method": "graph"}}, "upper and lower case"),
        ({"v": "graph"}, r"optimize\.v must be a mapping"),
        ({"v": {"method": "magic"}}, r"optimize\.v\.method is 'magic'"),
        ({"v": {"method": ["graph"]}}, r"optimize\.v\.method"),
        ({"v": {"method": "graph", "sparsity": 0.5}}, "'sparsity' is no option of graph"),
        ({"v": {"method": "prune"}}, r"v\.max_drop: say by how much"),
        ({"v": {"method": "prune", "max_drop": {}}}, r"v\.max_drop"),
        ({"v": {"method": "prune", "max_drop": {"accuracy": -1}}}, r"max_drop\.accuracy"),
        ({"v": {"method": "prune", "max_drop": {"accuracy": True}}}, r"max_drop\.accuracy"),
        ({"v": {"method": "prune", "max_drop": {"accuracy": float("nan")}}}, r"max_drop\.accuracy"),
        ({"v": {"method": "prune", "max_drop": {"zorg": 1}}}, "more or less of 'zorg'"),
        ({"v": {"method": "prune", "max_drop": {"accuracy": 0}, "sparsity": 1}}, r"v\.sparsity is 1"),
        ({"v": {"method": "static-int8", "max_drop": {"accuracy": 0}, "rows": True}}, r"v\.rows is True"),
    ],
)
def test_mistakes_name_the_field(data, words):
    with pytest.raises(InvalidInput, match=words) as error:
        parse(data)
    assert error.value.message.startswith(WHERE)


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12) | st.integers(), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(json_like)
def test_any_input_is_understood_or_refused(data):
    with suppress(InvalidInput):
        parse(data)


@pytest.mark.parametrize("path", ["../x.npz", "/x.npz", 3])
def test_calibration_stays_below_the_top(path):
    with pytest.raises(InvalidInput, match=r"m\.calibration"):
        parse_calibration({"calibration": path}, "m")


@pytest.mark.parametrize(
    ("metric", "before", "after", "worse"),
    [
        ("accuracy", 0.9, 0.88, 0.02),
        ("accuracy", 0.88, 0.9, -0.02),
        ("rmse", 2.0, 2.5, 0.5),
        ("rmse", 2.5, 2.0, -0.5),
        ("log_loss", 0.1, 0.1, 0.0),
        ("agreement", 1.0, 0.75, 0.25),
        ("slices.female.accuracy", 0.5, 0.25, 0.25),
    ],
)
def test_worse_is_positive_whichever_way_the_metric_goes(metric, before, after, worse):
    assert drop(metric, before, after) == pytest.approx(worse, abs=1e-12)


def test_exactly_the_limit_passes_though_floats_say_otherwise():
    assert 0.93 - 0.92 > 0.01  # 0.010000000000000009
    (check,) = judge_drops({"accuracy": 0.01}, {"accuracy": 0.93}, {"accuracy": 0.92})
    assert check.ok
    (check,) = judge_drops({"accuracy": 0.01}, {"accuracy": 0.93}, {"accuracy": 0.9199})
    assert not check.ok
    assert "0.9199" in check.message


def test_a_metric_that_was_not_computed_fails_its_limit():
    (check,) = judge_drops({"accuracy": 1.0}, {}, {"accuracy": 1.0})
    assert not check.ok
    (check,) = judge_drops({"accuracy": 1.0}, {"accuracy": 1.0}, {})
    assert not check.ok


def record(ok=True, parent="p"):
    checks = [{"name": "drop:accuracy", "ok": ok, "value": 0.1, "limit": 0.2, "message": "m", "hint": "mend it"}]
    return {
        "parent": {"sha256": parent, "bytes": 3},
        "variants": {"int8": {"ok": ok, "method": "graph", "manifest": [{"path": "x"}], "checks": checks}},
    }


def test_the_sidecar_gets_the_parents_digest_and_no_list_of_files():
    part = section(record())
    assert part["int8"]["parent"] == "p"
    assert "manifest" not in part["int8"]
    assert list(part["int8"]["checks"][0]) == ["name", "ok", "value", "limit", "message"]


@pytest.mark.parametrize("broken", [{}, {"variants": []}, {"variants": {"a": 1}, "parent": {}}])
def test_a_broken_record_is_refused(broken):
    with pytest.raises(InvalidInput, match=r"variants\.json"):
        section(broken)


def test_what_keeps_a_version_from_being_tagged():
    assert refusal(None, None, "p") is None
    assert refusal(None, {}, "p") is None
    assert refusal(record(), {"int8": {}}, "p") is None
    assert refusal(record(), {"int8": {}}, None) is None
    assert "has not been made" in refusal(None, {"int8": {}}, "p")[0]
    assert "half has not been made" in refusal(record(), {"int8": {}, "half": {}}, "p")[0]
    assert "other weights" in refusal(record(), {"int8": {}}, "q")[0]
    why, hint = refusal(record(ok=False), {"int8": {}}, "p")
    assert "int8 fails: drop:accuracy: m" in why
    assert hint == "mend it"
