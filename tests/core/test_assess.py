"""Which operators a runtime has, and what an export risks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelver.core.assess import OPEN, Operator, Support, Target, hardware, judge_kernels, judge_listed, risks


def operator(name="Softmax", since=13, domain="ai.onnx", body=False):
    return Operator(domain, name, 1, since, body)


SOFTMAX = [(1, 10), (11, 12), (13, OPEN)]  # as onnxruntime registers it


@pytest.mark.parametrize(
    ("since", "verdict"),
    [(1, "yes"), (11, "yes"), (12, "yes"), (13, "yes"), (14, "no")],
)
def test_a_kernel_without_end_takes_the_definition_that_it_starts_with_and_no_later_one(since, verdict):
    assert judge_kernels(operator(since=since), SOFTMAX, "r").verdict == verdict


def test_too_new_says_which_opset_still_has_the_older_definition():
    support = judge_kernels(operator(since=22), [(1, 12), (13, OPEN)], "r")
    assert support.verdict == "no"
    assert "version 22" in support.why
    assert "{opset: 21}" in support.advice


def test_too_old_says_from_which_opset_on_it_is_known():
    support = judge_kernels(operator(since=1), [(7, 12), (13, OPEN)], "r")
    assert support.verdict == "no"
    assert "{opset: 7}" in support.advice


def test_what_has_no_kernel_is_never_called_supported():
    assert judge_kernels(operator(), None, "r").verdict == "no"
    assert judge_kernels(operator(body=True), [], "r").verdict == "unknown"
    assert judge_kernels(operator(since=None), SOFTMAX, "r").verdict == "no"


@given(st.integers(1, 40), st.lists(st.tuples(st.integers(1, 40), st.integers(0, 10)), max_size=5))
def test_supported_means_that_some_kernel_covers_the_version(since, kernels):
    ranges = [(low, OPEN if width == 10 else low + width) for low, width in kernels]
    verdict = judge_kernels(operator(since=since), ranges, "r").verdict
    covered = any(low == since if high == OPEN else low <= since <= high for low, high in ranges)
    assert (verdict == "yes") == covered


def test_a_table_vouches_for_the_versions_it_names_alone():
    assert judge_listed(operator(since=13), [1, 11, 13], "", "r") == Support("yes")
    assert judge_listed(operator(since=13), [1, 11], "", "r").verdict == "unknown"
    assert judge_listed(operator(since=13), [13], "in certain patterns", "r").verdict == "unknown"
    assert judge_listed(operator(since=13), None, "", "r").verdict == "no"


@pytest.mark.parametrize(
    ("verdicts", "loads", "ok"),
    [
        (["yes", "yes"], None, True),
        (["yes", "yes"], True, True),
        (["yes", "yes"], False, False),
        (["yes", "unknown"], None, None),
        (["no", "unknown"], None, False),
        ([], None, None),
    ],
)
def test_a_target_is_as_good_as_its_worst_operator(verdicts, loads, ok):
    operators = {str(number): Support(verdict) for number, verdict in enumerate(verdicts)}
    assert Target("r", "1", "table", loads, "", operators).ok is ok


def value(name="x", dtype="float32", shape=("N", 4)):
    return {"name": name, "dtype": dtype, "shape": None if shape is None else list(shape)}


def found(operators=(), source=None, kind="pipeline", inputs=(), dtypes=(), nonfinite=(), rows=32):
    return {
        risk.name: risk
        for risk in risks(
            source=source or {},
            kind=kind,
            signature={"inputs": list(inputs) or [value()], "outputs": []},
            operators=operators,
            dtypes=dtypes,
            nonfinite=nonfinite,
            recorded_rows=rows,
        )
    }


TREES = operator("TreeEnsembleClassifier", 3, "ai.onnx.ml")


def test_trees_that_read_float32_are_a_risk_and_a_greater_one_behind_a_scaler():
    assert found([TREES])["float32-trees"].level == "medium"
    scaled = found([operator("Scaler", 1, "ai.onnx.ml"), TREES])["float32-trees"]
    assert scaled.level == "high"
    assert "float64" in scaled.advice
    assert "float32-trees" not in found([TREES], inputs=[value(dtype="float64")])


@pytest.mark.parametrize(("kind", "level"), [("plain", "high"), ("pipeline", "medium")])
def test_pickles_are_named_and_weigh_most_where_they_are_what_is_shipped(kind, level):
    assert found(source={"path": "m.joblib", "format": "joblib"}, kind=kind)["pickled-code"].level == level
    assert "pickled-code" not in found(source={"path": "m.onnx", "format": "onnx"}, kind=kind)


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        (("N", 4), set()),
        (("N", "length"), {"dynamic-shapes"}),
        ((None, None), {"dynamic-shapes"}),
        ((1, 4), {"fixed-batch"}),
        (None, {"unknown-rank"}),
    ],
)
def test_shapes_that_callers_meet(shape, names):
    assert set(found([operator()], inputs=[value(shape=shape)])) == names


def test_a_sequence_is_no_tensor():
    assert "no-tensor" in found([operator()], inputs=[value(dtype="sequence(map(int64, float32))", shape=None)])


def test_custom_operators_but_not_functions_that_the_model_brings_along():
    assert found([operator("Mine", None, "my.domain")])["custom-operators"].level == "high"
    assert "custom-operators" not in found([operator("Mine", None, "my.domain", body=True)])


def test_the_worst_comes_first():
    listed = risks(
        source={"format": "joblib", "path": "m"}, kind="plain", signature=None, operators=[operator("Mine", None, "d")],
        dtypes=["float16"], nonfinite=["w"], recorded_rows=None,
    )  # fmt: skip
    levels = [risk.level for risk in listed]
    assert levels == sorted(levels, key=["high", "medium", "low"].index)
    assert {risk.name for risk in listed} == {
        "pickled-code", "custom-operators", "no-recorded-answers", "nonfinite-weights", "half-precision"
    }  # fmt: skip


def test_hardware_adds_weights_and_activations():
    needed = hardware(100, 1000, ["float32"], 5)
    assert needed["memory_bytes"] == 1100
    assert needed["needs"] == []
    assert hardware(None, 1000, ["float16"], None)["needs"]


@pytest.mark.parametrize(
    ("dtype", "below"),
    [
        ("float64", False),
        ("int64", False),
        ("int8", False),
        ("int4", True),
        ("uint2", True),
        ("float6_e2m3fn", True),
        ("float4_e2m1fn", True),
    ],
)
def test_types_below_8_bits_want_kernels_of_their_own(dtype, below):
    assert any("below 8 bits" in need for need in hardware(0, 0, [dtype], 0)["needs"]) == below
